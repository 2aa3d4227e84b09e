package orchestrator

import (
	"context"
	"sync/atomic"
)

// Drain says whether a gateway is about to be stopped. One is shared by the orchestrators of
// successive configurations, so that a reload does not end it.
type Drain struct{ on atomic.Bool }

// SetDraining lets no further wake begin, or lets them begin again. Wakes that are under way are
// finished, workspaces that run go on, and they may be stopped.
func (o *Orchestrator) SetDraining(on bool) {
	o.cfg.Drain.on.Store(on)
	o.showDraining()
}

// Draining reports whether wakes are refused with workspace.ErrDraining.
func (o *Orchestrator) Draining() bool { return o.cfg.Drain.on.Load() }

func (o *Orchestrator) showDraining() {
	value := 0.0
	if o.Draining() {
		value = 1
	}
	o.cfg.Metrics.draining.Set(value)
}

// Operations returns how many operations are under way.
func (o *Orchestrator) Operations() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.ops)
}

// AwaitOperations waits until no operation is under way, or for ctx.
func (o *Orchestrator) AwaitOperations(ctx context.Context) error {
	for {
		op := o.anyOperation()
		if op == nil {
			return ctx.Err()
		}
		select {
		case <-op.Done():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (o *Orchestrator) anyOperation() *Operation {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, op := range o.ops {
		return op
	}
	return nil
}
