package orchestrator

import (
	"context"
	"errors"

	"github.com/kalpana-dev/kalpana/workspace"
)

// Restart stops a workspace, as [Orchestrator.Stop] does, and wakes it. It returns at once;
// [Operation.Wait] tells how it ended; errors are those of a stop and of a wake.
func (o *Orchestrator) Restart(id workspace.ID, reason string) *Operation {
	return o.again(opRestart, id, func(ctx context.Context, op *Operation, w *workspace.Workspace) error {
		op.enter(StageStop, "")
		return o.stop(ctx, w, reason, workspace.StateRunning)
	})
}

// Rebuild gives a workspace a new container of the current image on its old volume, and wakes it. The
// new container is made before the old one is stopped, so that a rebuild that cannot be done (the image
// is missing, the disk is full) leaves everything as it was. It returns at once; [Operation.Wait] tells
// how it ended.
func (o *Orchestrator) Rebuild(id workspace.ID) *Operation {
	return o.again(opRebuild, id, func(ctx context.Context, op *Operation, w *workspace.Workspace) error {
		if w.Container == "" {
			return nil
		}
		return o.replaceContainer(ctx, op, w)
	})
}

// again takes a workspace down, when its turn to start has come, and wakes it.
func (o *Orchestrator) again(kind operationKind, id workspace.ID, down func(context.Context, *Operation, *workspace.Workspace) error) *Operation {
	return o.begin(kind, id, func(ctx context.Context, op *Operation) error {
		w, err := o.cfg.Store.Workspace(ctx, id)
		if err != nil {
			return err
		}
		if w.State == workspace.StateDeleting {
			return workspace.ErrBusy
		}
		if !op.admitted {
			return workspace.ErrDraining
		}
		op.from(w.State)
		if _, err := o.inTurn(ctx, op, w); err != nil {
			return err
		}
		if err := down(ctx, op, w); err != nil {
			return err
		}
		return o.wake(ctx, op, w)
	})
}

// replaceContainer stops a workspace and puts a new container in the place of its old one.
func (o *Orchestrator) replaceContainer(ctx context.Context, op *Operation, w *workspace.Workspace) error {
	op.enter(StageContainer, "")
	made, err := o.createContainer(ctx, w)
	if errors.Is(err, workspace.ErrFirewall) { // the gateway, or the engine, has just started
		if err = o.cfg.Runtime.Prepare(ctx); err == nil {
			made, err = o.createContainer(ctx, w)
		}
	}
	if err != nil {
		return err
	}
	old := w.Container
	err = func() error {
		op.enter(StageStop, "")
		if err := o.stop(ctx, w, "rebuilt", workspace.StateRunning); err != nil {
			return err
		}
		w.Container, w.Image = made, o.image(w)
		return o.save(ctx, w, w.State)
	}()
	if err != nil {
		// Where even this fails, the next reconcile finds a container that no record knows.
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
		defer cancel()
		if e := o.cfg.Runtime.Remove(undo, made); e != nil {
			o.log.Warn("a container that is not needed could not be removed", "workspace", w.ID, "error", e)
		}
		return err
	}
	return o.cfg.Runtime.Remove(ctx, old)
}
