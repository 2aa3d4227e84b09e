package orchestrator_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/workspace"
)

func oneAtOnce(c *orchestrator.Config) { c.StartsAtOnce, c.WorkspaceLimit = 1, -1 }

func (w *world) createFor(o *orchestrator.Orchestrator, owner, name string) workspace.ID {
	w.Helper()
	record, err := o.Create(w.Context(), orchestrator.NewWorkspace{Owner: owner, Name: name, Template: "blank"})
	w.must(err)
	return record.ID
}

// wantPlace waits until an operation has that place in line.
func (w *world) wantPlace(op *orchestrator.Operation, place, of int) {
	w.Helper()
	for timeout := time.After(patient); ; {
		_, changed := op.Stage()
		p, n := op.Place()
		if p == place && n == of {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			w.Fatalf("place %d of %d, want %d of %d", p, n, place, of)
		}
	}
}

// line is a queue of starts of which each is held at the engine until it is let go.
type line struct {
	*world
	mu    sync.Mutex
	order []string // names of those whose start began
	next  chan struct{}
}

func newLine(w *world, o *orchestrator.Orchestrator, names map[workspace.ID]string) *line {
	l := &line{world: w, next: make(chan struct{})}
	w.runtime.SetBefore(func(ctx context.Context, v runtimetest.Verb, id workspace.ID) error {
		if v != runtimetest.Create {
			return nil
		}
		l.mu.Lock()
		l.order = append(l.order, names[id])
		l.mu.Unlock()
		select {
		case <-l.next:
		case <-ctx.Done():
		}
		return nil
	})
	return l
}

func (l *line) began() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.order, " ")
}

func TestQueue_PeopleTakeTurns(t *testing.T) {
	w := newWorld(t)
	o := w.gateway(oneAtOnce)
	names := map[workspace.ID]string{}
	var ids []workspace.ID
	for _, name := range []string{"ann1", "ann2", "ann3", "ann4", "bob1", "bob2", "eve1"} {
		id := w.createFor(o, name[:3], name)
		names[id], ids = name, append(ids, id)
	}
	l := newLine(w, o, names)
	var ops []*orchestrator.Operation
	for i, id := range ids {
		ops = append(ops, o.Wake(id))
		if i == 0 {
			w.stage(ops[0], orchestrator.StageContainer)
			continue
		}
		w.eventually("it is in line", func() bool { place, _ := ops[i].Place(); return place > 0 })
	}
	for i, want := range []int{0, 3, 5, 6, 1, 4, 2} { // ann1 has begun
		w.wantPlace(ops[i], want, map[bool]int{true: 0, false: 6}[i == 0])
	}
	if n := metric(t, o, "kalpana_starts_queued"); n != 6 {
		t.Errorf("%v starts are said to be queued, want 6", n)
	}
	for range ids {
		l.next <- struct{}{}
	}
	for _, op := range ops {
		w.must(w.end(op))
	}
	if got, want := l.began(), "ann1 bob1 eve1 ann2 bob2 ann3 ann4"; got != want {
		t.Errorf("they began as %s, want %s", got, want)
	}
	if n := metric(t, o, "kalpana_starts_queued"); n != 0 {
		t.Errorf("%v starts are said to be queued, want none", n)
	}
	if n := metric(t, o, "kalpana_wake_duration_seconds", "stage", "queued", "outcome", "ok"); n != 7 {
		t.Errorf("%v waits are counted, want one for each wake", n)
	}
}

func TestQueue_WhoWaitsHoldsNoLeaseAndItsTimeDoesNotRun(t *testing.T) {
	w := newWorld(t)
	o := w.gateway(oneAtOnce, func(c *orchestrator.Config) { c.StartTimeout = 3 * time.Second })
	first, second := w.createFor(o, "ann", "first"), w.createFor(o, "bob", "second")
	held := w.gate(runtimetest.Start)
	slow := o.Wake(first)
	<-held.reached
	op := o.Wake(second)
	w.wantPlace(op, 1, 1)
	if stage, _ := op.Stage(); stage != orchestrator.StageQueued {
		t.Errorf("stage %s", stage)
	}
	w.wantState(second, workspace.StateStopped)
	w.eventually("its lease is free", func() bool {
		leases, err := w.store.Leases(t.Context(), "operation:"+string(second), time.Now())
		w.must(err)
		return len(leases) == 0
	})
	w.wantErr(w.end(slow), workspace.ErrStartTimeout) // by then, it has waited for as long as a start may take
	close(held.open)
	w.must(w.end(op))
	w.wantState(second, workspace.StateRunning)
}

func TestQueue_AStopOrADeleteCutsAWaitingOneOut(t *testing.T) {
	w := newWorld(t)
	o := w.gateway(oneAtOnce)
	first, second, third, last := w.createFor(o, "ann", "1"), w.createFor(o, "bob", "2"), w.createFor(o, "eve", "3"), w.createFor(o, "joe", "4")
	held := w.gate(runtimetest.Start)
	o.Wake(first)
	<-held.reached
	two := o.Wake(second)
	w.wantPlace(two, 1, 1)
	three := o.Wake(third)
	w.wantPlace(three, 2, 2)
	four := o.Wake(last)
	w.wantPlace(four, 3, 3)
	w.must(w.end(o.Stop(second, "test")))
	w.wantErr(w.end(two), workspace.ErrBusy)
	w.must(w.end(o.Delete(third)))
	w.wantErr(w.end(three), workspace.ErrBusy)
	w.wantPlace(four, 1, 1)
	close(held.open)
	w.must(w.end(four))
	if n := w.runtime.Calls(runtimetest.Create); n != 2 {
		t.Errorf("%d containers were made, want 2", n)
	}
}

func TestQueue_AStartThatIsSlowLetsOthersGo(t *testing.T) {
	w := newWorld(t)
	o := w.gateway(oneAtOnce)
	o.SetSlotHold(100 * time.Millisecond)
	first, second := w.createFor(o, "ann", "never ready"), w.createFor(o, "bob", "second")
	w.runtime.SetBoot(func(id workspace.ID) runtimetest.Boot { return runtimetest.Boot{Never: id == first} })
	slow := o.Wake(first)
	w.stage(slow, orchestrator.StageEditor)
	w.wake(o, second)
	select {
	case <-slow.Done():
		t.Error("the slow one has ended")
	default:
	}
}

func TestQueue_ACloseEndsTheWait(t *testing.T) {
	w := newWorld(t)
	o := w.gateway(oneAtOnce)
	first, second := w.createFor(o, "ann", "1"), w.createFor(o, "bob", "2")
	held := w.gate(runtimetest.Start)
	o.Wake(first)
	<-held.reached
	op := o.Wake(second)
	w.wantPlace(op, 1, 1)
	o.Close()
	w.wantErr(w.end(op), workspace.ErrShuttingDown)
}

func TestQueue_OfManyNoMoreGoOnThanMay(t *testing.T) {
	w := newWorld(t)
	o := w.gateway(func(c *orchestrator.Config) { c.StartsAtOnce, c.WorkspaceLimit = 3, -1 })
	held := w.gate(runtimetest.Create)
	var ops []*orchestrator.Operation
	for i := range 9 {
		ops = append(ops, o.Wake(w.createFor(o, fmt.Sprint("p", i%4), "w")))
	}
	for range 3 {
		<-held.reached
	}
	w.eventually("six are in line", func() bool {
		waiting := 0
		for _, op := range ops {
			if _, of := op.Place(); of == 6 {
				waiting++
			}
		}
		return waiting == 6
	})
	if n := w.runtime.Calls(runtimetest.Create); n != 3 {
		t.Errorf("%d go on, want 3", n)
	}
	close(held.open)
	for _, op := range ops {
		w.must(w.end(op))
	}
}

func TestQueue_WithoutABoundNobodyWaits(t *testing.T) {
	w := newWorld(t)
	o := w.gateway(func(c *orchestrator.Config) { c.WorkspaceLimit = -1 })
	held := w.gate(runtimetest.Create)
	for range 5 {
		o.Wake(w.create(o))
	}
	for range 5 {
		<-held.reached
	}
	close(held.open)
}

func TestQueue_WhatIsRestartedOrRebuiltRunsOnUntilItsTurn(t *testing.T) {
	w := newWorld(t)
	o := w.gateway(oneAtOnce)
	restarted, rebuilt, other := w.createFor(o, "ann", "1"), w.createFor(o, "bob", "2"), w.createFor(o, "eve", "3")
	w.wake(o, restarted)
	w.wake(o, rebuilt)
	held := w.gate(runtimetest.Start)
	o.Wake(other)
	<-held.reached
	before := w.record(rebuilt).Container
	one := o.Restart(restarted, "test")
	w.wantPlace(one, 1, 1)
	two := o.Rebuild(rebuilt)
	w.wantPlace(two, 2, 2)
	w.wantState(restarted, workspace.StateRunning)
	w.wantState(rebuilt, workspace.StateRunning)
	if o.Route(restarted) == nil || o.Route(rebuilt) == nil {
		t.Error("requests are not let in while they wait")
	}
	close(held.open)
	w.must(w.end(one))
	w.must(w.end(two))
	w.wantContainer(rebuilt, orchestrator.ContainerRunning)
	if again := w.record(rebuilt).Container; again == before {
		t.Error("it was not rebuilt")
	}
}
