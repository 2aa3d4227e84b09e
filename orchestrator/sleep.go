package orchestrator

import (
	"context"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// Sleep is when an idle workspace sleeps. Zero turns each part off.
type Sleep struct {
	PauseAfter time.Duration // without activity a running workspace is paused
	StopAfter  time.Duration // a paused one is stopped; a running one, where PauseAfter is off
	// MaxAwake is how long after the last activity that the gateway saw itself what a container claims
	// keeps it awake.
	MaxAwake time.Duration
	CPU      float64 // share of the CPU limit from which on its use is activity, e.g. 0.2
}

// sleepOf returns when a workspace sleeps.
func (o *Orchestrator) sleepOf(w *workspace.Workspace) Sleep {
	for _, t := range o.cfg.Templates {
		if t.Name == w.Template && t.Sleep != nil {
			return *t.Sleep
		}
	}
	return o.cfg.Sleep
}

// Awake is why a workspace is awake, and when it will sleep.
type Awake struct {
	Reason   string          // name of the newest activity, or of what keeps it awake; why it sleeps, where it does
	Since    time.Time       // of that activity, or of that state
	SleepsAt time.Time       // zero: not by itself, as it is now
	Next     workspace.State // what it then is: paused or stopped; "" where SleepsAt is zero
}

// Awake tells why w is awake, and when it will sleep, as far as this gateway knows.
func (o *Orchestrator) Awake(w *workspace.Workspace) Awake {
	sleep := o.sleepOf(w)
	switch w.State {
	case workspace.StateRunning:
		a := Awake{Reason: w.LastActivity, Since: w.LastActiveAt}
		switch {
		case sleep.PauseAfter > 0:
			a.SleepsAt, a.Next = a.Since.Add(sleep.PauseAfter), workspace.StatePaused
		case sleep.StopAfter > 0:
			a.SleepsAt, a.Next = a.Since.Add(sleep.StopAfter), workspace.StateStopped
		}
		return a
	case workspace.StatePaused:
		a := Awake{Reason: w.Reason, Since: w.StateSince}
		if sleep.StopAfter > 0 {
			a.SleepsAt, a.Next = a.Since.Add(sleep.StopAfter), workspace.StateStopped
		}
		return a
	default:
		return Awake{Reason: w.Reason, Since: w.StateSince}
	}
}

// KeepAwake lets person's workspace not sleep by itself before until; the zero time ends that. Errors:
// ErrNotFound, ErrInvalidAwake, ErrBusy while it is being deleted, or the store's.
func (o *Orchestrator) KeepAwake(ctx context.Context, person string, id workspace.ID, until time.Time) (*workspace.Workspace, error) {
	if _, err := o.Get(ctx, person, id); err != nil {
		return nil, err
	}
	return o.update(ctx, id, func(w *workspace.Workspace) error {
		if w.State == workspace.StateDeleting {
			return workspace.ErrBusy
		}
		w.KeepAwakeUntil = recordTime(until)
		return nil
	})
}

// SetSchedule sets when person's workspace is stopped and woken by the clock; the zero schedule is
// never. Errors: ErrNotFound, ErrInvalidSchedule, ErrBusy while it is being deleted, or the store's.
func (o *Orchestrator) SetSchedule(ctx context.Context, person string, id workspace.ID, s workspace.Schedule) (*workspace.Workspace, error) {
	if _, err := o.Get(ctx, person, id); err != nil {
		return nil, err
	}
	return o.update(ctx, id, func(w *workspace.Workspace) error {
		if w.State == workspace.StateDeleting {
			return workspace.ErrBusy
		}
		w.Schedule = s
		return nil
	})
}
