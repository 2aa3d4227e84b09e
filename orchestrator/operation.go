package orchestrator

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

type operationKind int

const (
	opWake    operationKind = iota
	opRestart               // stop, then wake
	opRebuild               // a new container, then wake
	opPause                 // somebody asked for it
	opSleep                 // pause or stop, because it is idle; gives way to whoever uses it
	opStop
	opDelete
	opRepair
)

// wakes reports whether the workspace runs once the operation has succeeded.
func (k operationKind) wakes() bool { return k == opWake || k == opRestart || k == opRebuild }

// overrules reports whether an operation of kind k cuts one of kind before short: a stop or a delete
// does whatever is not final, and whoever wants a workspace to run need not wait for its pause.
func (k operationKind) overrules(before operationKind) bool {
	switch k {
	case opStop, opDelete:
		return before != opStop && before != opDelete && before != opRepair
	case opRestart, opRebuild:
		return before == opWake || before == opPause || before == opSleep
	case opWake:
		return before == opPause || before == opSleep
	case opPause:
		return before == opSleep
	default:
		return false
	}
}

// Stage is how far an operation has come.
type Stage string

// The stages of a wake, in their order. StageTotal is the whole of it, in metrics alone.
const (
	StageQueued    Stage = "queued"    // waits for a lease, for its turn, or for the end of another operation
	StageStop      Stage = "stop"      // of a restart or a rebuild: the container is ended first
	StageContainer Stage = "container" // ports and container are made, or looked up
	StageStart     Stage = "start"     // the engine starts the container
	StageEditor    Stage = "editor"    // VS Code is coming up
	StageReady     Stage = "ready"
	StageFailed    Stage = "failed"
	StageTotal     Stage = "total"
)

// Operation is something that is being done to a workspace. It goes on when nobody waits for it.
type Operation struct {
	// Guarded by the orchestrator's lock.
	kind   operationKind
	before *Operation // what it waits for; nil once that has ended
	joined bool       // by another that comes to the same

	ctx    context.Context
	cancel context.CancelCauseFunc
	done   chan struct{}
	runs   chan struct{} // closed once requests are let in
	err    error         // set before done is closed

	admitted bool // it was asked for while this gateway did not drain: it is done all the same

	mu        sync.Mutex
	next      *Operation // has taken its place, if it fails
	stage     Stage
	start     workspace.Start // what is recorded of a wake
	tell      func(workspace.Start)
	resumes   bool // it resumes what is paused, and starts nothing
	container string
	died      chan ContainerEvent // holds the newest, which nobody has looked at yet
	late      *ContainerEvent     // the newest pause, or end of one, that the engine reported meanwhile
	changed   chan struct{}       // closed and replaced at each change of stage
	inLine    [2]int              // its place among those who wait for a slot, and their number

	turn *turn // of the queue, under its lock

	log startLog
}

func newOperation(ctx context.Context, kind operationKind) *Operation {
	op := &Operation{
		kind: kind, done: make(chan struct{}), runs: make(chan struct{}), stage: StageQueued,
		died: make(chan ContainerEvent, 1), changed: make(chan struct{}),
	}
	now := recordTime(time.Now())
	op.start = workspace.Start{At: now, Stages: []workspace.Stage{{Name: string(StageQueued), At: now}}}
	op.ctx, op.cancel = context.WithCancelCause(ctx)
	return op
}

// recordTime is how records keep a time.
func recordTime(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// Done is closed when the operation has ended.
func (op *Operation) Done() <-chan struct{} { return op.done }

// Err returns how it ended; only after Done.
func (op *Operation) Err() error { return op.err }

// Running is closed once a wake lets requests in, a moment before it has ended.
func (op *Operation) Running() <-chan struct{} { return op.runs }

// AwaitRoute waits until a wake lets requests in, or for its end or ctx.
func (op *Operation) AwaitRoute(ctx context.Context) error {
	select {
	case <-op.runs:
		return nil
	case <-op.done:
		if next := op.Next(); next != nil {
			return next.AwaitRoute(ctx)
		}
		return op.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Next returns the operation that has taken the place of one that failed: a restart, or a rebuild, of a
// wake that it cut short. Who waits for the one waits for the other. Only after Done; else, and mostly, nil.
func (op *Operation) Next() *Operation {
	op.mu.Lock()
	defer op.mu.Unlock()
	if op.err == nil {
		return nil
	}
	return op.next
}

func (op *Operation) follow(next *Operation) {
	op.mu.Lock()
	defer op.mu.Unlock()
	op.next = next
}

// Wait waits for the operation, and for what has taken its place, or for ctx.
func (op *Operation) Wait(ctx context.Context) error {
	select {
	case <-op.done:
		if next := op.Next(); next != nil {
			return next.Wait(ctx)
		}
		return op.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stage returns how far it is, and a channel that is closed when that changes.
func (op *Operation) Stage() (Stage, <-chan struct{}) {
	op.mu.Lock()
	defer op.mu.Unlock()
	return op.stage, op.changed
}

// Container returns the engine's id of the container, once there is one.
func (op *Operation) Container() string {
	op.mu.Lock()
	defer op.mu.Unlock()
	return op.container
}

func (op *Operation) enter(s Stage, container string) {
	op.mu.Lock()
	defer op.mu.Unlock()
	op.stage = s
	if container != "" {
		op.container = container
	}
	if s == StageStart {
		op.forget() // what was reported before the start is of an earlier run
	}
	op.record(s)
	close(op.changed)
	op.changed = make(chan struct{})
}

// report takes what the engine says of the operation's container. Events come in order: a start
// makes an end before it one of an earlier run.
func (op *Operation) report(e ContainerEvent) {
	op.mu.Lock()
	defer op.mu.Unlock()
	if op.container != "" && op.container != e.Container {
		return
	}
	if e.Paused || e.Resumed {
		op.late = &e
		return
	}
	op.late = nil
	op.forget()
	if e.Died {
		op.died <- e
	}
}

// unseen returns what the engine reported and the operation has not seen: it came too late for it.
func (op *Operation) unseen() (events []ContainerEvent) {
	op.mu.Lock()
	defer op.mu.Unlock()
	if op.late != nil {
		events = append(events, *op.late)
	}
	select {
	case e := <-op.died:
		events = append(events, e)
	default:
	}
	return events
}

// forget drops a report that nobody has looked at; the caller holds the lock.
func (op *Operation) forget() {
	select {
	case <-op.died:
	default:
	}
}

type work func(context.Context, *Operation) error

// begin joins an operation that comes to the same, or starts one after whatever else concerns the
// workspace has ended or was cut short; a repair gives way to anything. It does not wait itself.
func (o *Orchestrator) begin(kind operationKind, id workspace.ID, run work) *Operation {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.beginLocked(kind, id, run)
}

func (o *Orchestrator) beginLocked(kind operationKind, id workspace.ID, run work) *Operation {
	before := o.ops[id]
	o.overtake(id)
	var op *Operation
	switch {
	case o.closed:
		op = newOperation(o.ctx, kind)
		op.end(workspace.ErrShuttingDown)
		close(op.done)
		return op
	case before == nil:
	case kind == opRepair, before.ctx.Err() == nil && (before.kind == kind || kind == opWake && before.kind.wakes()):
		before.joined = true
		return before
	default:
		cause := workspace.ErrBusy
		if kind != opStop && kind != opDelete {
			cause = workspace.ErrInUse
		}
		op = newOperation(o.ctx, kind)
		for cut := before; cut != nil; cut = cut.before {
			if !kind.overrules(cut.kind) {
				continue
			}
			if kind.wakes() && cut.kind.wakes() {
				cut.follow(op)
			}
			cut.cancel(cause)
		}
	}
	if op == nil {
		op = newOperation(o.ctx, kind)
	}
	op.before, op.admitted = before, !o.Draining()
	if kind.wakes() {
		op.tell = func(s workspace.Start) { o.publishStart(id, s) }
	}
	o.ops[id] = op
	o.work.Add(1)
	go func() {
		defer o.work.Done()
		if before != nil {
			<-before.done
			o.mu.Lock()
			op.before = nil
			o.mu.Unlock()
		}
		err := o.queued(op, id, run)
		if cause := context.Cause(op.ctx); err != nil && errors.Is(err, context.Canceled) && cause != nil {
			err = cause
		}
		if o.ctx.Err() != nil && errors.Is(err, context.Canceled) {
			err = workspace.ErrShuttingDown
		}
		op.end(err)
		o.mu.Lock()
		if o.ops[id] == op {
			delete(o.ops, id)
		}
		o.mu.Unlock()
		close(op.done)
		for _, e := range op.unseen() {
			o.containerChanged(e)
		}
	}()
	return op
}

// end says how it ended; the caller closes done when nothing refers to the operation any more.
func (op *Operation) end(err error) {
	op.cancel(nil)
	op.err = err
	if err == nil {
		op.enter(StageReady, "")
	} else {
		op.enter(StageFailed, "")
	}
}

// operationLease names the lease of what is done to a workspace.
func operationLease(id workspace.ID) string { return "operation:" + string(id) }

// leased runs the operation under the workspace's lease, which it renews. Losing the lease ends
// the operation: another gateway has taken over.
func (o *Orchestrator) leased(op *Operation, id workspace.ID, run func(context.Context, *Operation) error) error {
	name := operationLease(id)
	var held time.Time
	var other otherLease
	for {
		now := time.Now()
		held = now.Add(o.timing.lease)
		ok, err := o.cfg.Store.AcquireLease(op.ctx, name, o.holder, now, held)
		if err == nil && !ok {
			ok, err = o.takeOver(op.ctx, name, &other, held)
		}
		if err != nil {
			return err
		}
		if ok {
			break
		}
		select {
		case <-op.ctx.Done():
			return op.ctx.Err()
		case <-time.After(o.timing.leasePoll):
		}
	}
	stop := make(chan struct{})
	var renewing sync.WaitGroup
	renewing.Add(1)
	go func() {
		defer renewing.Done()
		o.renew(op, name, held, stop)
	}()
	err := run(op.ctx, op)
	close(stop)
	renewing.Wait()
	release, cancel := context.WithTimeout(context.WithoutCancel(op.ctx), 5*time.Second)
	defer cancel()
	if e := o.cfg.Store.ReleaseLease(release, name, o.holder); e != nil {
		o.log.Warn("a lease could not be released; it ends by itself", "workspace", id, "error", e)
	}
	return err
}

// otherLease is a lease of somebody else's, as it was seen while waiting for it.
type otherLease struct {
	Lease
	looked time.Time
	since  time.Time // it was seen first like this
}

// takeOver takes a lease, until held, that was not renewed for as long as a lease lasts, whatever its end
// says: the clock was set back since, and its holder was killed.
func (o *Orchestrator) takeOver(ctx context.Context, name string, other *otherLease, held time.Time) (bool, error) {
	if time.Since(other.looked) < o.timing.leaseRenewal/3 {
		return false, nil
	}
	found, err := o.cfg.Store.Leases(ctx, name, time.Now())
	if err != nil || len(found) != 1 {
		return false, err
	}
	other.looked = time.Now()
	if l := found[0]; l.Holder != other.Holder || !l.EndsAt.Equal(other.EndsAt) {
		other.Lease, other.since = l, other.looked
		return false, nil
	}
	if other.looked.Sub(other.since) < o.timing.lease {
		return false, nil
	}
	return o.cfg.Store.AcquireLease(ctx, name, o.holder, other.EndsAt, held) // unless it was renewed just now
}

// renew keeps a lease until stop is closed, or ends the operation before somebody else can get it.
func (o *Orchestrator) renew(op *Operation, name string, held time.Time, stop <-chan struct{}) {
	tick := time.NewTicker(o.timing.leaseRenewal)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		ctx, cancel := context.WithDeadline(op.ctx, held) // a store that hangs must not hide the end
		now := time.Now()
		ok, err := o.cfg.Store.AcquireLease(ctx, name, o.holder, now, now.Add(o.timing.lease))
		cancel()
		switch {
		case ok && err == nil:
			held = now.Add(o.timing.lease)
		case err == nil, time.Now().Add(o.timing.leaseRenewal).After(held):
			op.cancel(workspace.ErrConflict)
			return
		}
	}
}

// operation returns what is being done to a workspace now, or nil.
func (o *Orchestrator) operation(id workspace.ID) *Operation {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ops[id]
}

// Waking returns the operation that is under way and ends with a workspace that runs, or nil.
func (o *Orchestrator) Waking(id workspace.ID) *Operation {
	o.mu.Lock()
	defer o.mu.Unlock()
	if op := o.ops[id]; op != nil && op.kind.wakes() {
		return op
	}
	return nil
}
