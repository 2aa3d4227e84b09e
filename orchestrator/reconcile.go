package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/workspace"
)

func (o *Orchestrator) requestReconcile() {
	select {
	case o.reconcile <- struct{}{}:
	default:
	}
}

// How long a reconcile that failed waits for the next; it doubles from the first to the last.
const (
	firstRetry = 2 * time.Second
	lastRetry  = 30 * time.Second
)

func (o *Orchestrator) reconcileLoop() {
	tick := time.NewTicker(o.timing.reconcile)
	defer tick.Stop()
	var retry <-chan time.Time
	pause := firstRetry
	for failing := false; ; {
		select {
		case <-o.ctx.Done():
			return
		case <-o.reconcile:
		case <-tick.C:
		case <-retry:
		}
		err := o.Reconcile(o.ctx)
		if o.ctx.Err() != nil {
			return
		}
		retry = nil
		if err != nil {
			retry = time.After(pause)
			pause = min(2*pause, lastRetry)
		} else {
			pause = firstRetry
		}
		if (err != nil) != failing {
			failing = err != nil
			if failing {
				o.log.Error("workspaces cannot be reconciled; trying again", "error", err)
			} else {
				o.log.Info("workspaces are reconciled")
			}
		}
	}
}

// Reconcile makes sure of networks and firewall, and brings records and containers into agreement:
// adopts what runs, corrects what does not, finishes deletes, and removes containers of this
// instance that no record knows. What an operation is working on is left to it.
func (o *Orchestrator) Reconcile(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	prepared := o.cfg.Runtime.Prepare(ctx)
	if errors.Is(prepared, workspace.ErrEngineDown) {
		return prepared
	}
	// Containers first: one that is made after this list has a record before it.
	containers, err := o.cfg.Runtime.Containers(ctx)
	if err != nil {
		return err
	}
	before := o.hub.ids()
	records, err := o.cfg.Store.Workspaces(ctx, "")
	if err != nil {
		return err
	}
	o.catchUp(before, records)
	known := make(map[workspace.ID]*workspace.Workspace, len(records))
	for _, w := range records {
		known[w.ID] = w
	}
	states := map[string]ContainerState{}
	var faults []error
	for _, c := range containers {
		states[c.ID] = c.State
		w := known[c.Workspace]
		switch {
		case w != nil && w.Container == c.ID:
			continue
		case o.operation(c.Workspace) != nil:
			continue
		case w != nil && w.State != workspace.StateStopped && w.State != workspace.StateRunning && w.State != workspace.StateError:
			continue // perhaps another gateway is at it; the repair below comes first
		case w == nil:
			// It may have been created after the records were read.
			if _, err := o.cfg.Store.Workspace(ctx, c.Workspace); !errors.Is(err, workspace.ErrNotFound) {
				continue
			}
		}
		o.log.Info("removing a container that no record knows", "workspace", c.Workspace, "container", c.ID)
		if err := o.cfg.Runtime.Remove(ctx, c.ID); err != nil {
			faults = append(faults, err)
		}
	}
	faults = append(faults, o.repairAll(ctx, records, states)...)
	return errors.Join(append(faults, prepared)...)
}

// repairsAtOnce bounds how many records are corrected at a time: one that hangs must not keep the
// others from being adopted.
const repairsAtOnce = 8

func (o *Orchestrator) repairAll(ctx context.Context, records []*workspace.Workspace, states map[string]ContainerState) (faults []error) {
	var mu sync.Mutex
	var repairs sync.WaitGroup
	slots := make(chan struct{}, repairsAtOnce)
	for _, w := range records {
		if o.operation(w.ID) != nil || o.agrees(w, states[w.Container]) {
			continue
		}
		slots <- struct{}{}
		repairs.Go(func() {
			defer func() { <-slots }()
			if err := o.repair(ctx, w.ID); err != nil {
				mu.Lock()
				defer mu.Unlock()
				faults = append(faults, fmt.Errorf("workspace %s: %w", w.ID, err))
			}
		})
	}
	repairs.Wait()
	return faults
}

// agrees reports whether a record needs no repair.
func (o *Orchestrator) agrees(w *workspace.Workspace, container ContainerState) bool {
	switch w.State {
	case workspace.StateRunning:
		return container == ContainerRunning && o.Route(w.ID) != nil
	case workspace.StatePaused:
		return container == ContainerPaused
	case workspace.StateStopped, workspace.StateError:
		return container != ContainerRunning && container != ContainerPaused
	default:
		return false // an operation was cut short
	}
}

// repair corrects one record under its lease.
func (o *Orchestrator) repair(ctx context.Context, id workspace.ID) error {
	op := o.begin(opRepair, id, func(ctx context.Context, _ *Operation) error {
		w, err := o.cfg.Store.Workspace(ctx, id)
		if errors.Is(err, workspace.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if w.State == workspace.StateDeleting {
			return o.remove(ctx, w)
		}
		state, err := o.containerState(ctx, w.Container)
		if err != nil {
			return err
		}
		if o.agrees(w, state) {
			return nil
		}
		before := w.State
		if state == ContainerPaused && before != workspace.StateStopping {
			return o.adoptPaused(ctx, w)
		}
		if state == ContainerRunning && before != workspace.StateStopping {
			if o.answers(ctx, w, 15*time.Second) {
				become(w, workspace.StateRunning, "")
				w.Desired = workspace.StateRunning
				if before != workspace.StateRunning {
					if err := o.save(ctx, w, before); err != nil {
						return err
					}
				}
				o.routes.Store(id, o.routeOf(w))
				o.log.Info("adopted a running workspace", "workspace", id, "was", before)
				return nil
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		o.routes.Delete(id)
		if w.Container != "" {
			if err := o.cfg.Runtime.Stop(ctx, w.Container, o.cfg.StopGrace); err != nil {
				return err
			}
		}
		if before == workspace.StateStopped || before == workspace.StateError {
			return nil
		}
		become(w, workspace.StateStopped, "stopped while the gateway was away")
		w.Desired = workspace.StateStopped
		if before == workspace.StateStopping {
			w.Reason = "stopped"
		}
		o.log.Info("corrected a workspace", "workspace", id, "was", before, "is", w.State)
		return o.save(ctx, w, before)
	})
	if err := op.Wait(ctx); err != nil && op.kind == opRepair { // else it is somebody else's to tell
		return err
	}
	return nil
}

func (o *Orchestrator) containerState(ctx context.Context, container string) (ContainerState, error) {
	if container == "" {
		return ContainerExited, nil
	}
	return o.cfg.Runtime.State(ctx, container)
}

// answers reports whether VS Code answers in time, as it does in a container that was left running.
func (o *Orchestrator) answers(ctx context.Context, w *workspace.Workspace, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	route := o.routeOf(w)
	return bridge.WaitReady(ctx, o.client, "http://"+route.IDE, route.Token) == nil
}

// containerChanged takes what the engine reports. It forgets the route before anything else: the
// engine gives addresses to others, and what is paused takes connections and never answers.
func (o *Orchestrator) containerChanged(e ContainerEvent) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if op := o.ops[e.Workspace]; op != nil {
		op.report(e)
		return
	}
	r := o.Route(e.Workspace)
	switch {
	case e.Resumed:
		if r == nil {
			o.beginLocked(opRepair, e.Workspace, func(ctx context.Context, _ *Operation) error {
				return o.resumed(ctx, e)
			})
		}
		return
	case !e.Died && !e.Paused, r == nil, r.container != e.Container:
		return
	}
	o.routes.CompareAndDelete(e.Workspace, r)
	o.beginLocked(opRepair, e.Workspace, func(ctx context.Context, _ *Operation) error {
		if e.Paused {
			return o.paused(ctx, e)
		}
		return o.ended(ctx, e)
	})
}

// pausedElsewhere is the reason of a pause that was not ours.
const pausedElsewhere = "paused on the container engine"

// paused records that somebody else paused a running workspace.
func (o *Orchestrator) paused(ctx context.Context, e ContainerEvent) error {
	w, err := o.cfg.Store.Workspace(ctx, e.Workspace)
	if err != nil || w.Container != e.Container || w.State != workspace.StateRunning {
		return err
	}
	state, err := o.settled(ctx, w.Container, ContainerPaused, 300*time.Millisecond)
	if err != nil {
		return err
	}
	switch state {
	case ContainerPaused:
		return o.adoptPaused(ctx, w)
	case ContainerRunning: // it was a late report, of an earlier pause
		o.routes.Store(w.ID, o.routeOf(w))
		return nil
	default:
		o.requestReconcile()
		return nil
	}
}

// resumed records that somebody else let a paused workspace go on.
func (o *Orchestrator) resumed(ctx context.Context, e ContainerEvent) error {
	w, err := o.cfg.Store.Workspace(ctx, e.Workspace)
	if err != nil || w.Container != e.Container || w.State != workspace.StatePaused {
		return err
	}
	state, err := o.settled(ctx, w.Container, ContainerRunning, time.Second)
	if err != nil || state != ContainerRunning || !o.answers(ctx, w, resumeTime) {
		return err // the next reconcile looks again
	}
	return o.saveRunning(ctx, w)
}

// adoptPaused records that a workspace is paused, as its container is.
func (o *Orchestrator) adoptPaused(ctx context.Context, w *workspace.Workspace) error {
	o.routes.Delete(w.ID)
	before := w.State
	if before == workspace.StatePaused {
		return nil
	}
	reason := pausedElsewhere
	if before == workspace.StatePausing {
		reason = w.Reason
	}
	become(w, workspace.StatePaused, reason)
	w.Desired = workspace.StatePaused
	o.log.Info("a workspace is paused", "workspace", w.ID, "was", before)
	return o.save(ctx, w, before)
}

// settled returns the state of a container once it is want, or as it is after about the given time: an
// engine lists a change a moment after it reported it, and a report may be a late one.
func (o *Orchestrator) settled(ctx context.Context, container string, want ContainerState, within time.Duration) (ContainerState, error) {
	for wait := 20 * time.Millisecond; ; wait *= 2 {
		state, err := o.containerState(ctx, container)
		if err != nil || state == want || wait > within {
			return state, err
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(wait):
		}
	}
}

// ended records that the container of a running workspace ended by itself.
func (o *Orchestrator) ended(ctx context.Context, e ContainerEvent) error {
	w, err := o.cfg.Store.Workspace(ctx, e.Workspace)
	if err != nil || w.Container != e.Container || w.State != workspace.StateRunning {
		return err
	}
	switch state, err := o.settled(ctx, w.Container, ContainerExited, time.Second); {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil && state == ContainerRunning: // the report was a late one, of an earlier run
		o.routes.Store(w.ID, o.routeOf(w))
		return nil
	}
	become(w, workspace.StateStopped, "its container ended by itself")
	w.Desired = workspace.StateStopped
	if e.OOMKilled {
		become(w, workspace.StateError, "It ran out of memory and was ended. Start it again; if it happens often, ask the operator for a higher memory limit.")
	}
	o.log.Warn("a container ended by itself", "workspace", w.ID, "exit", e.ExitCode, "oom", e.OOMKilled)
	return o.save(ctx, w, workspace.StateRunning)
}
