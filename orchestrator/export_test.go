package orchestrator

import (
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// SetLease shortens the life of leases; before the first operation.
func (o *Orchestrator) SetLease(life time.Duration) {
	o.timing.lease, o.timing.leaseRenewal, o.timing.leasePoll = life, life/3, life/20
}

// SetLiveness changes how often a wake looks at its container.
func (o *Orchestrator) SetLiveness(every time.Duration) { o.timing.liveness = every }

// EventBuffer is how far a subscriber may lag behind.
const EventBuffer = eventBuffer

// SetClock sets the clock by which workspaces sleep; before the first operation.
func (o *Orchestrator) SetClock(now func() time.Time) { o.now = now }

// LookAround looks at what is awake, as happens every few seconds.
func (o *Orchestrator) LookAround() { o.lookAround(o.ctx) }

// Operation returns what is being done to a workspace now, or nil.
func (o *Orchestrator) Operation(id workspace.ID) *Operation { return o.operation(id) }

// SetQuestions changes how often questions of other gateways are looked for; before Start.
func (o *Orchestrator) SetQuestions(every time.Duration) { o.timing.questions = every }

// Settle waits until containers that are being asked have answered, activity is written down, and what is
// idle sleeps.
func (o *Orchestrator) Settle() {
	for _, b := range []batch{o.attending, o.resting} {
		b.free <- struct{}{}
		<-b.free
	}
}

// SetSlotHold changes how long a start keeps its slot at most.
func (o *Orchestrator) SetSlotHold(d time.Duration) { o.queue.hold = d }

// SetDiskInterval changes how often disks are measured; before Start.
func (o *Orchestrator) SetDiskInterval(d time.Duration) { o.disks.every = d }

// MeasureAllDisks makes every workspace due to be measured.
func (o *Orchestrator) MeasureAllDisks() {
	o.disks.mu.Lock()
	defer o.disks.mu.Unlock()
	for _, run := range o.disks.runs {
		run.next = time.Time{}
	}
}

// Instant returns when the clocks of a zone show a time of a day.
func Instant(day time.Time, at, zone string) time.Time {
	hour, minute, _ := clock(at)
	z, err := zoneOf(zone)
	if err != nil {
		panic(err)
	}
	return instant(day.Year(), day.Month(), day.Day(), hour, minute, z)
}

// Peers returns how many other gateways are known to live.
func (o *Orchestrator) Peers() int { return int(o.peers.Load()) }

// Holder returns this gateway's name in leases.
func (o *Orchestrator) Holder() string { return o.holder }

// SetStartLog changes how often the log of a start is looked at.
func (o *Orchestrator) SetStartLog(every time.Duration) { o.timing.startLog = every }
