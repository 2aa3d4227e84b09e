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
