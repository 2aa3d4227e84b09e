package orchestrator_test

import (
	"testing"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/workspace"
)

// left makes a record as a gateway left it that is no more, with its container running or not.
func (w *world) left(state workspace.State, running bool) workspace.ID {
	w.Helper()
	o := w.gateway()
	id := w.awake(o)
	if !running {
		w.must(w.runtime.Stop(w.Context(), w.record(id).Container, 0))
	}
	record := w.record(id)
	record.State = state
	w.must(w.store.UpdateWorkspace(w.Context(), record))
	o.Close()
	return id
}

func TestReconcile_PutsInOrderWhatAGatewayLeft(t *testing.T) {
	for _, c := range []struct {
		state   workspace.State
		running bool
		want    workspace.State
	}{
		{workspace.StateRunning, true, workspace.StateRunning},
		{workspace.StateRunning, false, workspace.StateStopped},
		{workspace.StateStarting, true, workspace.StateRunning},
		{workspace.StateStarting, false, workspace.StateStopped},
		{workspace.StateStopping, true, workspace.StateStopped},
		{workspace.StateStopping, false, workspace.StateStopped},
		{workspace.StateError, true, workspace.StateRunning},
		{workspace.StateError, false, workspace.StateError},
		{workspace.StateStopped, false, workspace.StateStopped},
	} {
		name := string(c.state) + " without its container"
		if c.running {
			name = string(c.state) + " with its container running"
		}
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			id := w.left(c.state, c.running)
			o := w.gateway()
			w.must(o.Reconcile(t.Context()))
			got := w.wantState(id, c.want)
			if (o.Route(id) != nil) != (c.want == workspace.StateRunning) {
				t.Errorf("route %v", o.Route(id))
			}
			container := orchestrator.ContainerExited
			if c.want == workspace.StateRunning {
				container = orchestrator.ContainerRunning
			}
			w.wantContainer(id, container)
			revision := got.Revision
			w.must(o.Reconcile(t.Context()))
			if w.record(id).Revision != revision {
				t.Error("a second look changed the record again")
			}
		})
	}
}

func TestReconcile_FinishesADelete(t *testing.T) {
	w := newWorld(t)
	id := w.left(workspace.StateDeleting, true)
	o := w.gateway()
	w.must(o.Reconcile(t.Context()))
	w.wantGone(o, id)
}

func TestReconcile_StopsWhatRunsAndDoesNotAnswer(t *testing.T) {
	w := newWorld(t)
	id := w.left(workspace.StateRunning, true)
	o := w.gateway(func(c *orchestrator.Config) { c.Token = func(workspace.ID) string { return "another" } })
	w.must(o.Reconcile(t.Context()))
	w.wantState(id, workspace.StateStopped)
	w.wantContainer(id, orchestrator.ContainerExited)
}

func TestReconcile_RemovesOrphansOnly(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	running := w.awake(o)
	w.runtime.Plant(workspace.NewID()) // of a workspace that is gone
	w.runtime.Plant(running)           // left over from a crash
	w.must(o.Reconcile(t.Context()))
	w.wantContainer(running, orchestrator.ContainerRunning)
	if list := w.runtime.List(); len(list) != 1 {
		t.Errorf("containers %v", list)
	}
}

func TestReconcile_LeavesAContainerAloneWhoseRecordIsBeingWritten(t *testing.T) {
	w := newWorld(t)
	reached, open := make(chan struct{}), make(chan struct{})
	frail := &frailStore{Store: w.store}
	frail.fault = func(_ string, r *workspace.Workspace) error {
		if r != nil && r.Container != "" && r.State == workspace.StateStarting {
			reached <- struct{}{} // the container is made, and not written down
			<-open
		}
		return nil
	}
	one := w.gateway(func(c *orchestrator.Config) { c.Store = frail })
	id := w.create(one)
	wake := one.Wake(id)
	<-reached
	w.must(one.Reconcile(t.Context()))

	two := w.second()
	done := make(chan error, 1)
	go func() { done <- two.Reconcile(t.Context()) }() // waits for the other's lease
	w.eventually("the other looked", func() bool { return w.runtime.Calls(runtimetest.List) >= 2 })
	if len(w.runtime.Of(id)) != 1 {
		t.Fatal("the container is gone")
	}
	close(open)
	w.must(w.end(wake))
	w.must(<-done)
	w.wantContainer(id, orchestrator.ContainerRunning)
	w.wantState(id, workspace.StateRunning)
}

func TestReconcile_ManyAreAdoptedThoughSomeHang(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	var ids []workspace.ID
	for range 5 {
		ids = append(ids, w.awake(o))
	}
	o.Close()
	w.boots(runtimetest.Boot{Never: true})
	for _, id := range ids[:2] { // the oldest, which are looked at first
		container := w.record(id).Container
		w.must(w.runtime.Stop(t.Context(), container, 0))
		w.must(w.runtime.Start(t.Context(), container))
	}
	o = w.started()
	for _, id := range ids[2:] {
		w.eventually("each is adopted", func() bool { return o.Route(id) != nil })
	}
}

func TestReconcile_AfterALostEventStreamFindsWhatEnded(t *testing.T) {
	w := newWorld(t)
	o := w.started()
	id := w.awake(o)
	w.runtime.KeepEvents()
	w.runtime.Kill(w.record(id).Container, 1, false)
	w.runtime.DropEvents()
	w.eventually("its end is found", func() bool { return w.record(id).State == workspace.StateStopped && o.Route(id) == nil })
}

func TestReconcile_WithTheEngineDownChangesNothingAndComesBack(t *testing.T) {
	w := newWorld(t)
	id := w.left(workspace.StateRunning, true)
	w.runtime.SetDown(true)
	o := w.gateway()
	w.wantErr(o.Reconcile(t.Context()), workspace.ErrEngineDown)
	w.wantState(id, workspace.StateRunning)
	w.runtime.SetDown(false)
	w.must(o.Reconcile(t.Context()))
	if o.Route(id) == nil {
		t.Error("it was not adopted")
	}
}

func TestLost_ARouteThatDoesNotAnswerIsForgottenAndLookedAt(t *testing.T) {
	w := newWorld(t)
	o := w.started()
	id := w.awake(o)
	route := o.Route(id)
	o.Lost(route) // a false alarm
	w.eventually("it is adopted again", func() bool { return o.Route(id) != nil })
	newer := o.Route(id)
	o.Lost(route)
	if o.Route(id) != newer {
		t.Error("an old alarm took the newer route away")
	}
	w.wantState(id, workspace.StateRunning)
}
