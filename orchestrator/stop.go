package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// Stop takes a workspace down to stopped from any state but deleting; a wake that is under way is cut
// short, and a paused one gets its grace as well. It returns at once; [Operation.Wait] tells how it
// ended.
func (o *Orchestrator) Stop(id workspace.ID, reason string) *Operation {
	return o.stopFor(id, reason, sleptAsked)
}

// stopFor is Stop, counted under why.
func (o *Orchestrator) stopFor(id workspace.ID, reason, why string) *Operation {
	return o.begin(opStop, id, func(ctx context.Context, _ *Operation) error {
		w, err := o.cfg.Store.Workspace(ctx, id)
		if err != nil {
			return err
		}
		awake := w.State != workspace.StateStopped
		err = o.stop(ctx, w, reason, workspace.StateStopped)
		if err == nil && awake {
			o.cfg.Metrics.slept(workspace.StateStopped, why)
		}
		return err
	})
}

// stop takes w, which was just read, down to stopped. desired is what comes after: a stop that is cut
// short is finished by it. Where that is to run again, the record stays at stopping until it starts, so
// that no moment is without somebody to finish it.
func (o *Orchestrator) stop(ctx context.Context, w *workspace.Workspace, reason string, desired workspace.State) error {
	if w.State == workspace.StateDeleting {
		return workspace.ErrBusy
	}
	if w.State == workspace.StateStopped {
		return nil
	}
	from := w.State
	o.become(w, workspace.StateStopping, reason)
	w.Desired = desired
	if err := o.save(ctx, w, from); err != nil {
		return err
	}
	o.dropRoute(w.ID)
	if w.Container != "" {
		if err := o.cfg.Runtime.Stop(ctx, w.Container, o.cfg.StopGrace); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			o.log.Error("workspace was not stopped", "workspace", w.ID, "error", err)
			err = fmt.Errorf("the workspace could not be stopped: %w", err)
			o.become(w, workspace.StateError, Explain(err))
			return errors.Join(err, o.save(ctx, w, workspace.StateStopping))
		}
	}
	if desired == workspace.StateRunning {
		return nil
	}
	o.become(w, workspace.StateStopped, reason)
	return o.save(ctx, w, workspace.StateStopping)
}

// Delete removes container, volume and record, in this order, so that a delete that is cut short
// is found and finished by the next reconcile.
func (o *Orchestrator) Delete(id workspace.ID) *Operation {
	return o.begin(opDelete, id, func(ctx context.Context, _ *Operation) error {
		w, err := o.cfg.Store.Workspace(ctx, id)
		if errors.Is(err, workspace.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if from := w.State; from != workspace.StateDeleting {
			o.become(w, workspace.StateDeleting, "")
			w.Desired = workspace.StateDeleting
			if err := o.save(ctx, w, from); err != nil {
				return err
			}
		}
		o.dropRoute(id)
		return o.remove(ctx, w)
	})
}

// How often, and how long after one another, a delete tries to remove what a workspace has on the engine.
const (
	removeAttempts = 10
	removePause    = 200 * time.Millisecond
)

func (o *Orchestrator) remove(ctx context.Context, w *workspace.Workspace) error {
	for attempt := 1; ; attempt++ {
		err := o.removeContainers(ctx, w.ID)
		if err == nil {
			err = o.cfg.Runtime.RemoveVolume(ctx, w.Volume())
		}
		if err == nil {
			break
		}
		// A container that was being made for a start that was cut short may come about only now, and
		// use the volume.
		if attempt == removeAttempts || errors.Is(err, workspace.ErrEngineDown) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(removePause):
		}
	}
	for {
		err := o.cfg.Store.DeleteWorkspace(ctx, w.ID, w.Revision)
		if errors.Is(err, workspace.ErrConflict) { // renamed meanwhile
			var newest *workspace.Workspace
			if newest, err = o.cfg.Store.Workspace(ctx, w.ID); err == nil {
				w.Revision = newest.Revision
				continue
			}
		}
		if err != nil && !errors.Is(err, workspace.ErrNotFound) {
			return err
		}
		o.publishDeleted(w)
		return nil
	}
}

func (o *Orchestrator) removeContainers(ctx context.Context, id workspace.ID) error {
	containers, err := o.cfg.Runtime.Containers(ctx)
	if err != nil {
		return err
	}
	for _, c := range containers { // also one that was made just before a crash
		if c.Workspace == id {
			if err := o.cfg.Runtime.Remove(ctx, c.ID); err != nil {
				return err
			}
		}
	}
	return nil
}
