package orchestrator_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/workspace"
)

// second returns a gateway with a store of its own on the same file.
func (w *world) second(change ...func(*orchestrator.Config)) *orchestrator.Orchestrator {
	store := w.open()
	return w.gateway(append([]func(*orchestrator.Config){func(c *orchestrator.Config) { c.Store = store }}, change...)...)
}

func TestGateways_FiftyWakesOverTwoStartOnce(t *testing.T) {
	w := newWorld(t)
	w.boots(runtimetest.Boot{After: 100 * time.Millisecond})
	one, two := w.started(), w.second()
	w.start(two)
	id := w.create(one)
	errs := make([]error, 50)
	var all sync.WaitGroup
	for i := range errs {
		o := one
		if i%2 == 1 {
			o = two
		}
		all.Go(func() { errs[i] = o.Wake(id).Wait(t.Context()) })
	}
	all.Wait()
	w.must(errors.Join(errs...))
	w.wantContainer(id, orchestrator.ContainerRunning)
	if made, started := w.runtime.Calls(runtimetest.Create), w.runtime.Calls(runtimetest.Start); made != 1 || started != 1 {
		t.Errorf("made %d times and started %d times, want once each", made, started)
	}
	for _, o := range []*orchestrator.Orchestrator{one, two} {
		if o.Route(id) == nil {
			t.Error("a gateway has no route")
		}
	}
}

func TestGateways_AStopOnOneIsAStopOnTheOther(t *testing.T) {
	w := newWorld(t)
	one, two := w.started(), w.second()
	w.start(two)
	id := w.awake(one)
	w.wake(two, id)
	w.must(w.end(one.Stop(id, "test")))
	w.eventually("the other has no route", func() bool { return two.Route(id) == nil })
	w.wake(two, id)
	w.must(w.end(one.Delete(id)))
	w.eventually("the other has no route", func() bool { return two.Route(id) == nil })
	w.wantErr(w.end(two.Wake(id)), workspace.ErrNotFound)
}

func TestGateways_OneOperationAtATime(t *testing.T) {
	w := newWorld(t)
	one, two := w.gateway(), w.second()
	id := w.create(one)
	held := w.gate(runtimetest.Create)
	wake := one.Wake(id)
	<-held.reached
	stop := two.Stop(id, "by the other")
	time.Sleep(250 * time.Millisecond)
	if stage, _ := stop.Stage(); stage != orchestrator.StageQueued {
		t.Errorf("the stop is at stage %s, want queued", stage)
	}
	w.wantState(id, workspace.StateStarting)
	close(held.open)
	w.must(w.end(wake))
	w.must(w.end(stop))
	w.wantState(id, workspace.StateStopped)
	w.wantContainer(id, orchestrator.ContainerExited)
}

func TestGateways_TheLeaseOfADeadOneBlocksForItsLifeOnly(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	id := w.create(o)
	ends := time.Now().Add(400 * time.Millisecond)
	ok, err := w.store.AcquireLease(t.Context(), "operation:"+string(id), "a dead gateway", time.Now(), ends)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	w.wake(o, id)
	if d := time.Since(ends); d < 0 || d > 2*time.Second {
		t.Errorf("it began %v after the end of the lease", d)
	}
}

// The clock is set back by minutes after a gateway was killed: its lease seems to last for long.
func TestGateways_TheLeaseOfADeadOneEndsThoughTheClockWasSetBack(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	o.SetLease(400 * time.Millisecond)
	id := w.create(o)
	ok, err := w.store.AcquireLease(t.Context(), "operation:"+string(id), "a dead gateway", time.Now(), time.Now().Add(5*time.Minute))
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	began := time.Now()
	w.wake(o, id)
	if d := time.Since(began); d < 400*time.Millisecond || d > 4*time.Second {
		t.Errorf("it began after %v", d)
	}
}

// One that lives renews its lease, to whatever time its clock says.
func TestGateways_TheLeaseOfALivingOneLastsThoughTheClockWasSetBack(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	o.SetLease(400 * time.Millisecond)
	id := w.create(o)
	name := "operation:" + string(id)
	lives, dies := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer dies()
	for ends := time.Now().Add(5 * time.Minute); lives.Err() == nil; ends = ends.Add(time.Millisecond) {
		if ok, err := w.store.AcquireLease(t.Context(), name, "a living gateway", time.Now(), ends); !ok || err != nil {
			t.Fatal("its lease was taken", ok, err)
		}
		o.Wake(id)
		time.Sleep(100 * time.Millisecond)
	}
	if n := w.runtime.Calls(runtimetest.Create); n != 0 {
		t.Error("an operation began under another's lease")
	}
	w.wake(o, id)
}

func TestGateways_ALongOperationKeepsItsLease(t *testing.T) {
	w := newWorld(t)
	one, two := w.gateway(), w.second()
	one.SetLease(600 * time.Millisecond)
	two.SetLease(600 * time.Millisecond)
	id := w.create(one)
	held := w.gate(runtimetest.Create)
	first := one.Wake(id)
	<-held.reached
	second := two.Wake(id)
	time.Sleep(1500 * time.Millisecond)
	if n := w.runtime.Calls(runtimetest.Create); n != 1 {
		t.Errorf("%d containers are being made", n)
	}
	close(held.open)
	w.must(w.end(first))
	w.must(w.end(second))
	w.wantContainer(id, orchestrator.ContainerRunning)
}

// A gateway that hangs, as on a machine that swaps, wakes up after another has taken over.
func TestGateways_WhoLostTheLeaseChangesNothingMore(t *testing.T) {
	w := newWorld(t)
	hung := make(chan struct{})
	frail := &frailStore{Store: w.store}
	var hangs atomic.Bool
	frail.fault = func(_ string, r *workspace.Workspace) error {
		if r != nil && r.State == workspace.StateRunning {
			hangs.Store(true)
		}
		if hangs.Load() {
			<-hung
		}
		return nil
	}
	one := w.gateway(func(c *orchestrator.Config) { c.Store = frail })
	two := w.second()
	one.SetLease(300 * time.Millisecond)
	two.SetLease(300 * time.Millisecond)
	id := w.create(one)
	wake := one.Wake(id)
	w.eventually("it hangs", hangs.Load)
	w.must(w.end(two.Stop(id, "taken over")))
	close(hung)
	if err := w.end(wake); err == nil {
		t.Error("the wake that was overtaken says that it succeeded")
	}
	if got := w.wantState(id, workspace.StateStopped); got.Reason != "taken over" {
		t.Errorf("reason %q", got.Reason)
	}
	w.wantContainer(id, orchestrator.ContainerExited)
	if one.Route(id) != nil {
		t.Error("it has a route")
	}
}

func TestGateways_AStateThatAnotherWroteIsNotOverwritten(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	id := w.create(o)
	held := w.gate(runtimetest.Create)
	wake := o.Wake(id)
	<-held.reached
	record := w.record(id)
	record.State, record.Reason = workspace.StateStopped, "by another gateway"
	w.must(w.store.UpdateWorkspace(t.Context(), record))
	close(held.open)
	w.wantErr(w.end(wake), workspace.ErrConflict)
	if got := w.wantState(id, workspace.StateStopped); got.Reason != "by another gateway" || got.Container != "" {
		t.Errorf("record %+v", got)
	}
	w.must(o.Reconcile(t.Context()))
	if list := w.runtime.List(); len(list) != 0 {
		t.Errorf("containers %v", list)
	}
}

func TestGateways_AStoreThatHangsEndsTheOperationBeforeItsLease(t *testing.T) {
	w := newWorld(t)
	var slow sync.Map
	frail := &hangingStore{Store: w.store, hang: func() bool { _, ok := slow.Load("now"); return ok }}
	o := w.gateway(func(c *orchestrator.Config) { c.Store = frail })
	o.SetLease(600 * time.Millisecond)
	id := w.create(o)
	held := w.gate(runtimetest.Create)
	wake := o.Wake(id)
	<-held.reached
	slow.Store("now", true)
	began := time.Now()
	w.wantErr(w.end(wake), workspace.ErrConflict)
	if d := time.Since(began); d > time.Second {
		t.Errorf("it went on for %v", d)
	}
	slow.Delete("now")
}

// hangingStore does not answer about leases for a while.
type hangingStore struct {
	orchestrator.Store
	hang func() bool
}

func (s *hangingStore) AcquireLease(ctx context.Context, name, holder string, now, until time.Time) (bool, error) {
	if s.hang() {
		<-ctx.Done()
		return false, ctx.Err()
	}
	return s.Store.AcquireLease(ctx, name, holder, now, until)
}
