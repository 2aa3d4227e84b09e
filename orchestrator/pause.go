package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// Pause freezes a running workspace, which keeps its memory; a wake that is under way comes first. It
// returns at once; [Operation.Wait] tells how it ended: nil also where it is paused already,
// ErrNotRunning where there is nothing to pause, ErrInUse where it was woken meanwhile, ErrBusy,
// ErrEngineDown, or the store's.
func (o *Orchestrator) Pause(id workspace.ID, reason string) *Operation {
	return o.begin(opPause, id, func(ctx context.Context, _ *Operation) error {
		w, err := o.cfg.Store.Workspace(ctx, id)
		if err != nil {
			return err
		}
		switch w.State {
		case workspace.StateDeleting:
			return workspace.ErrBusy
		case workspace.StatePaused:
			return nil
		case workspace.StateRunning, workspace.StatePausing:
		default:
			return workspace.ErrNotRunning
		}
		if err := o.pausing(ctx, w, reason); err != nil {
			return err
		}
		err = o.freeze(ctx, w, reason)
		if err == nil {
			o.cfg.Metrics.slept(workspace.StatePaused, sleptAsked)
		}
		return err
	})
}

// pausing records that a workspace is about to be paused, and lets no request in any more.
func (o *Orchestrator) pausing(ctx context.Context, w *workspace.Workspace, reason string) error {
	from := w.State
	o.become(w, workspace.StatePausing, reason)
	w.Desired = workspace.StatePaused
	if err := o.save(ctx, w, from); err != nil {
		w.State = from
		return err
	}
	o.dropRoute(w.ID)
	return nil
}

// undoTime bounds what is done for a workspace after its operation was cut short.
const undoTime = 10 * time.Second

// freeze pauses the container of a workspace that is pausing, or brings it back to running.
func (o *Orchestrator) freeze(ctx context.Context, w *workspace.Workspace, reason string) error {
	if ctx.Err() != nil {
		return o.unfreeze(ctx, w, context.Cause(ctx))
	}
	// Begun, it is ended: half a pause is worse than a pause that nobody wants any more.
	whole, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	err := o.cfg.Runtime.Pause(whole, w.Container)
	switch {
	case errors.Is(err, ErrNotRunning), errors.Is(err, ErrNoContainer):
		o.become(w, workspace.StateStopped, "its container ended by itself")
		w.Desired = workspace.StateStopped
		return errors.Join(fmt.Errorf("%w: its container ended by itself", workspace.ErrNotRunning), o.save(whole, w, workspace.StatePausing))
	case err != nil:
		return o.unfreeze(ctx, w, fmt.Errorf("the workspace could not be paused: %w", err))
	}
	o.become(w, workspace.StatePaused, reason)
	return o.save(whole, w, workspace.StatePausing)
}

// unfreeze brings a workspace that was about to be paused back to running, since of cause, which it
// returns.
func (o *Orchestrator) unfreeze(ctx context.Context, w *workspace.Workspace, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	state, err := o.containerState(ctx, w.Container)
	if err != nil || state != ContainerRunning {
		o.requestReconcile() // it may be paused all the same, or gone
		return cause
	}
	o.become(w, workspace.StateRunning, "")
	w.Desired = workspace.StateRunning
	if err := o.save(ctx, w, workspace.StatePausing); err != nil {
		o.requestReconcile()
		return errors.Join(cause, err)
	}
	o.putRoute(w)
	return cause
}
