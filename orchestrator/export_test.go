package orchestrator

import "time"

// SetLease shortens the life of leases; before the first operation.
func (o *Orchestrator) SetLease(life time.Duration) {
	o.timing.lease, o.timing.leaseRenewal, o.timing.leasePoll = life, life/3, life/20
}

// SetLiveness changes how often a wake looks at its container.
func (o *Orchestrator) SetLiveness(every time.Duration) { o.timing.liveness = every }

// EventBuffer is how far a subscriber may lag behind.
const EventBuffer = eventBuffer
