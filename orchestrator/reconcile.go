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
		if o.ctx.Err() != nil || errors.Is(err, workspace.ErrShuttingDown) {
			return
		}
		retry = nil
		switch unfinished := o.unfinished.Swap(false); {
		case err != nil:
			retry = time.After(pause)
			pause = min(2*pause, lastRetry)
		case unfinished:
			retry = time.After(o.timing.lease / 4)
			fallthrough
		default:
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
// adopts what runs or is paused, corrects what does not, finishes what was cut short, and removes
// containers of this instance that no record knows. What an operation is working on, here or on another
// gateway, is left to it.
func (o *Orchestrator) Reconcile(ctx context.Context) error {
	start := time.Now()
	err := o.reconcileOnce(ctx)
	o.cfg.Metrics.reconciled(start, err)
	return err
}

func (o *Orchestrator) reconcileOnce(ctx context.Context) error {
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
	states := make(map[string]ContainerState, len(containers))
	spare := map[workspace.ID][]string{} // containers that their workspace's record does not know
	var faults []error
	for _, c := range containers {
		states[c.ID] = c.State
		if w := known[c.Workspace]; w != nil {
			if w.Container != c.ID {
				spare[c.Workspace] = append(spare[c.Workspace], c.ID)
			}
			continue
		}
		if o.operation(c.Workspace) != nil {
			continue
		}
		// It may have been created after the records were read.
		if _, err := o.cfg.Store.Workspace(ctx, c.Workspace); !errors.Is(err, workspace.ErrNotFound) {
			continue
		}
		if err := o.removeSpare(ctx, c.Workspace, c.ID); err != nil {
			faults = append(faults, err)
		}
	}
	faults = append(faults, o.repairAll(ctx, records, states, spare)...)
	return errors.Join(append(faults, prepared)...)
}

func (o *Orchestrator) removeSpare(ctx context.Context, id workspace.ID, container string) error {
	o.log.Info("removing a container that no record knows", "workspace", id, "container", container)
	if err := o.cfg.Runtime.Remove(ctx, container); err != nil {
		return err
	}
	o.cfg.Metrics.corrected(correctedOrphan)
	return nil
}

// repairsAtOnce bounds how many records are corrected at a time: one that hangs must not keep the
// others from being adopted.
const repairsAtOnce = 16

// repairAll corrects what disagrees. A workspace that runs and has only to be found costs one request to
// it, and neither a lease nor a write.
func (o *Orchestrator) repairAll(ctx context.Context, records []*workspace.Workspace, states map[string]ContainerState, spare map[workspace.ID][]string) (faults []error) {
	var mu sync.Mutex
	var repairs sync.WaitGroup
	slots := make(chan struct{}, repairsAtOnce)
	elsewhere := sync.OnceValue(func() map[string]bool { return o.operationsElsewhere(ctx) })
	for _, w := range records {
		state, extra := states[w.Container], spare[w.ID]
		if o.operation(w.ID) != nil || len(extra) == 0 && o.agrees(w, state) {
			continue
		}
		work := func() error { return o.repair(ctx, w.ID, extra) }
		switch {
		case len(extra) == 0 && w.State == workspace.StateRunning && state == ContainerRunning:
			work = func() error { return o.adopt(ctx, w) }
		case elsewhere()[operationLease(w.ID)]:
			o.unfinished.Store(true) // unless that gateway is no more: look again soon
			continue
		}
		slots <- struct{}{}
		repairs.Go(func() {
			defer func() { <-slots }()
			if err := work(); err != nil {
				mu.Lock()
				defer mu.Unlock()
				faults = append(faults, fmt.Errorf("workspace %s: %w", w.ID, err))
			}
		})
	}
	repairs.Wait()
	return faults
}

// operationsElsewhere returns the leases of operations that other gateways have under way.
func (o *Orchestrator) operationsElsewhere(ctx context.Context) map[string]bool {
	leases, err := o.cfg.Store.Leases(ctx, operationLease(""), time.Now())
	if err != nil {
		return nil // the repairs will tell
	}
	held := map[string]bool{}
	for _, l := range leases {
		if l.Holder != o.holder {
			held[l.Name] = true
		}
	}
	return held
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

// answerTime is how long a workspace that should run may take to answer.
const answerTime = 15 * time.Second

// adopt gives a workspace that runs, by its record and by the engine, its route once it answers.
// Whatever happens to it meanwhile is newer.
func (o *Orchestrator) adopt(ctx context.Context, w *workspace.Workspace) error {
	newer := false
	o.mu.Lock()
	if o.ops[w.ID] != nil || o.adoptions[w.ID] != nil {
		o.mu.Unlock()
		return nil
	}
	o.adoptions[w.ID] = &newer
	o.mu.Unlock()
	answers := o.answers(ctx, w, answerTime)
	o.mu.Lock()
	delete(o.adoptions, w.ID)
	if answers && !newer {
		o.putRoute(w)
	}
	again := newer && o.ops[w.ID] == nil && o.Route(w.ID) == nil
	o.mu.Unlock()
	switch {
	case again:
		o.unfinished.Store(true)
	case !answers && !newer && ctx.Err() == nil:
		return o.repair(ctx, w.ID, nil)
	}
	return ctx.Err()
}

// overtake tells an adoption that is under way that something happened to the workspace; the caller
// holds the lock.
func (o *Orchestrator) overtake(id workspace.ID) {
	if newer := o.adoptions[id]; newer != nil {
		*newer = true
	}
}

// repair corrects one record under its lease, and removes what containers of it are spare.
func (o *Orchestrator) repair(ctx context.Context, id workspace.ID, spare []string) error {
	op := o.begin(opRepair, id, func(ctx context.Context, _ *Operation) error {
		w, err := o.cfg.Store.Workspace(ctx, id)
		if errors.Is(err, workspace.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		o.publish(w)
		for _, c := range spare {
			if c != w.Container {
				if err := o.removeSpare(ctx, id, c); err != nil {
					return err
				}
			}
		}
		state, err := o.containerState(ctx, w.Container)
		if err != nil && w.State != workspace.StateDeleting {
			return err
		}
		return o.putInOrder(ctx, w, state)
	})
	if err := op.Wait(ctx); err != nil && o.isRepair(op) { // else it is somebody else's to tell
		return err
	}
	return nil
}

// putInOrder makes w, which was just read, agree with its container, which is in the given state. The
// caller has the lease.
func (o *Orchestrator) putInOrder(ctx context.Context, w *workspace.Workspace, state ContainerState) error {
	before := w.State
	switch {
	case before == workspace.StateDeleting:
		if err := o.remove(ctx, w); err != nil {
			return err
		}
		o.cfg.Metrics.corrected(correctedDelete)
		return nil
	case o.agrees(w, state):
		return nil
	case isUnfinished(w):
		o.cfg.Metrics.corrected(correctedStart)
		o.finishWake(w.ID)
		return nil
	case before == workspace.StateStopping, before == workspace.StateError && w.Desired == workspace.StateStopped:
		return o.corrected(ctx, w, "stopped") // the engine would not stop it before
	case state == ContainerPaused:
		return o.adoptPaused(ctx, w)
	case state == ContainerRunning && o.answers(ctx, w, answerTime):
		if before != workspace.StateRunning {
			o.become(w, workspace.StateRunning, "")
			w.Desired = workspace.StateRunning
			if err := o.save(ctx, w, before); err != nil {
				return err
			}
			o.cfg.Metrics.corrected(correctedAdopted)
		}
		o.putRoute(w)
		o.log.Info("adopted a running workspace", "workspace", w.ID, "was", before)
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return o.corrected(ctx, w, "stopped while the gateway was away")
}

// corrected records that a workspace does not run, and sees to it.
func (o *Orchestrator) corrected(ctx context.Context, w *workspace.Workspace, reason string) error {
	o.dropRoute(w.ID)
	if w.Container != "" {
		if err := o.cfg.Runtime.Stop(ctx, w.Container, o.cfg.StopGrace); err != nil {
			return err
		}
	}
	before := w.State
	if before == workspace.StateStopped || before == workspace.StateError && w.Desired != workspace.StateStopped {
		o.cfg.Metrics.corrected(correctedContainer)
		return nil
	}
	if before == workspace.StateStopping && w.Reason != "" {
		reason = w.Reason
	}
	o.become(w, workspace.StateStopped, reason)
	w.Desired = workspace.StateStopped
	o.log.Info("corrected a workspace", "workspace", w.ID, "was", before, "is", w.State)
	if err := o.save(ctx, w, before); err != nil {
		return err
	}
	o.cfg.Metrics.corrected(correctedStopped)
	return nil
}

// isUnfinished reports whether w was told to run by an operation that has not come to its end.
func isUnfinished(w *workspace.Workspace) bool {
	return w.Desired == workspace.StateRunning && (w.State == workspace.StateStarting || w.State == workspace.StateStopping)
}

// finishWake wakes a workspace that an operation was waking, or restarting, which was cut short. It does
// nothing where that is not so any more, unless somebody asks for a wake meanwhile and so joins it.
func (o *Orchestrator) finishWake(id workspace.ID) *Operation {
	return o.begin(opWake, id, func(ctx context.Context, op *Operation) error {
		w, err := o.cfg.Store.Workspace(ctx, id)
		if err != nil {
			return err
		}
		if !isUnfinished(w) && o.demote(op) {
			return nil
		}
		o.log.Info("a start was cut short; starting again", "workspace", id)
		return o.wake(ctx, op, w)
	})
}

// demote makes a wake that nobody has joined a repair, which nobody joins to have a workspace woken.
func (o *Orchestrator) demote(op *Operation) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if op.joined {
		return false
	}
	op.kind = opRepair
	return true
}

func (o *Orchestrator) isRepair(op *Operation) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return op.kind == opRepair
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
	o.overtake(e.Workspace)
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
	case !e.Died && !e.Paused:
		return
	case r == nil: // a request may just have found out that nothing answers, and this says why
		if w := o.hub.lastOf(e.Workspace); !e.Died || w == nil || w.State != workspace.StateRunning || w.Container != e.Container {
			return
		}
	case r.container != e.Container:
		return
	}
	o.dropRoute(e.Workspace)
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
	if err != nil || w.Container != e.Container {
		return err
	}
	o.publish(w) // perhaps it was another gateway
	if w.State != workspace.StateRunning {
		return nil
	}
	state, err := o.settled(ctx, w.Container, ContainerPaused, 100*time.Millisecond)
	if err != nil {
		return err
	}
	switch state {
	case ContainerPaused:
		return o.adoptPaused(ctx, w)
	case ContainerRunning: // it was a late report, of an earlier pause
		o.putRoute(w)
		return nil
	default:
		o.requestReconcile()
		return nil
	}
}

// resumed records that somebody else let a paused workspace go on.
func (o *Orchestrator) resumed(ctx context.Context, e ContainerEvent) error {
	w, err := o.cfg.Store.Workspace(ctx, e.Workspace)
	if err != nil || w.Container != e.Container {
		return err
	}
	o.publish(w)
	if w.State != workspace.StatePaused && w.State != workspace.StateRunning {
		return nil
	}
	state, err := o.settled(ctx, w.Container, ContainerRunning, time.Second)
	if err != nil || state != ContainerRunning || !o.answers(ctx, w, resumeTime) {
		return err // the next reconcile looks again
	}
	if w.State == workspace.StateRunning { // another gateway did it
		o.putRoute(w)
		return nil
	}
	return o.saveRunning(ctx, nil, w)
}

// adoptPaused records that a workspace is paused, as its container is.
func (o *Orchestrator) adoptPaused(ctx context.Context, w *workspace.Workspace) error {
	o.dropRoute(w.ID)
	before := w.State
	if before == workspace.StatePaused {
		return nil
	}
	reason := pausedElsewhere
	if before == workspace.StatePausing {
		reason = w.Reason
	}
	o.become(w, workspace.StatePaused, reason)
	w.Desired = workspace.StatePaused
	o.log.Info("a workspace is paused", "workspace", w.ID, "was", before)
	if err := o.save(ctx, w, before); err != nil {
		return err
	}
	o.cfg.Metrics.corrected(correctedAdopted)
	if before == workspace.StateRunning && o.useOf(w.ID).inFlight.Load() > 0 {
		// Somebody waits for an answer, who would wait for ever.
		o.log.Info("a workspace that was paused by somebody else is being used; resuming it", "workspace", w.ID)
		o.Wake(w.ID)
	}
	return nil
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
		o.putRoute(w)
		return nil
	}
	o.become(w, workspace.StateStopped, "its container ended by itself")
	w.Desired = workspace.StateStopped
	if e.OOMKilled {
		o.become(w, workspace.StateError, "It was killed, as what runs out of memory is. Start it again; if it happens often, ask the operator for a higher memory limit.")
	}
	o.log.Warn("a container ended by itself", "workspace", w.ID, "exit", e.ExitCode, "oom", e.OOMKilled)
	if err := o.save(ctx, w, workspace.StateRunning); err != nil {
		return err
	}
	reason := sleptEnded
	if e.OOMKilled {
		reason = sleptMemory
	}
	o.cfg.Metrics.slept(w.State, reason)
	return nil
}
