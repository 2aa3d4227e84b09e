package orchestrator_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/workspace"
)

func TestDrain_BeginsNoWakeAndFinishesThoseUnderWay(t *testing.T) {
	w := newWorld(t)
	o := w.started()
	running := w.awake(o)
	up := make(chan struct{})
	w.boots(runtimetest.Boot{Until: up})
	starting, asleep := w.create(o), w.create(o)
	wake := o.Wake(starting)
	w.eventually("it starts", func() bool { s, _ := wake.Stage(); return s == orchestrator.StageEditor })

	o.SetDraining(true)
	w.wantErr(w.end(o.Wake(asleep)), workspace.ErrDraining)
	w.wantState(asleep, workspace.StateStopped)
	w.must(w.end(o.Wake(running))) // which it is already
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := o.AwaitOperations(short); !errors.Is(err, context.DeadlineExceeded) || o.Operations() == 0 {
		t.Errorf("a wake is under way, and the wait ended with %v", err)
	}
	close(up)
	w.must(w.end(wake))
	w.must(o.AwaitOperations(t.Context()))
	w.must(w.end(o.Stop(running, "test"))) // so much may be done
	if metric(t, o, "kalpana_draining") != 1 {
		t.Error("the metrics do not show it")
	}

	o.SetDraining(false)
	w.wake(o, asleep)
}

func TestDrain_OutlivesTheConfiguration(t *testing.T) {
	w := newWorld(t)
	drain := new(orchestrator.Drain)
	shared := func(c *orchestrator.Config) { c.Drain = drain }
	before := w.gateway(shared)
	running, asleep := w.awake(before), w.create(before)
	before.SetDraining(true)
	after := w.gateway(shared)
	if !after.Draining() || metric(t, after, "kalpana_draining") != 1 {
		t.Error("the next configuration does not drain")
	}
	w.wantErr(w.end(after.Wake(asleep)), workspace.ErrDraining)
	w.wake(after, running) // it has only to be found
}

func TestDrain_WhoWaitsInLineIsServed(t *testing.T) {
	w := newWorld(t)
	o := w.gateway(oneAtOnce)
	first, second, late := w.createFor(o, "ann", "1"), w.createFor(o, "bob", "2"), w.createFor(o, "eve", "3")
	l := newLine(w, o, map[workspace.ID]string{first: "1", second: "2", late: "3"})
	starts := o.Wake(first)
	w.eventually("the first has begun", func() bool { return l.began() == "1" })
	waits := o.Wake(second)
	w.wantPlace(waits, 1, 1)
	o.SetDraining(true)
	w.wantErr(w.end(o.Wake(late)), workspace.ErrDraining)
	close(l.next)
	w.must(w.end(starts))
	w.must(w.end(waits))
	w.must(o.AwaitOperations(t.Context()))
}

func TestDrain_NothingSleepsOrWakesByItself(t *testing.T) {
	b := newBedroom(t, usual)
	id, sleeper := b.awake(b.o), b.awake(b.o)
	b.must(b.end(b.o.Stop(sleeper, "test")))
	_, err := b.o.SetSchedule(t.Context(), "ann", sleeper, workspace.Schedule{WakeAt: "13:00"})
	b.must(err)
	b.o.SetDraining(true)
	b.clock.later(62 * time.Minute) // past both
	b.look(id)
	b.wantState(id, workspace.StateRunning)
	b.wantState(sleeper, workspace.StateStopped)
	b.o.SetDraining(false)
	b.look(id)
	b.wantState(id, workspace.StatePaused)
	b.eventually("the other is woken", func() bool { return b.o.Route(sleeper) != nil })
}

func TestDrain_RestartsAndRebuildsNothing(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	id := w.awake(o)
	o.SetDraining(true)
	w.wantErr(w.end(o.Restart(id, "test")), workspace.ErrDraining)
	w.wantErr(w.end(o.Rebuild(id)), workspace.ErrDraining)
	if o.Route(id) == nil { // which could not be woken again
		t.Error("it was stopped")
	}
	w.wantState(id, workspace.StateRunning)
}
