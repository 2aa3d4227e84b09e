package orchestrator_test

import (
	"cmp"
	"fmt"
	"testing"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/workspace"
)

// left makes a record as a gateway left it that is no more, with its container in the given state.
func (w *world) left(state, desired workspace.State, container orchestrator.ContainerState) workspace.ID {
	w.Helper()
	o := w.gateway()
	id := w.awake(o)
	record := w.record(id)
	switch container {
	case orchestrator.ContainerExited:
		w.must(w.runtime.Stop(w.Context(), record.Container, 0))
	case orchestrator.ContainerPaused:
		w.must(w.runtime.Freeze(record.Container))
	case "": // removed
		w.runtime.Vanish(record.Container)
	}
	record.State, record.Desired, record.Reason = state, desired, "as it was left"
	w.must(w.store.UpdateWorkspace(w.Context(), record))
	o.Close()
	return id
}

func TestReconcile_PutsInOrderWhatAGatewayLeft(t *testing.T) {
	const (
		running  = workspace.StateRunning
		paused   = workspace.StatePaused
		stopped  = workspace.StateStopped
		starting = workspace.StateStarting
		pausing  = workspace.StatePausing
		stopping = workspace.StateStopping
		failed   = workspace.StateError

		up     = orchestrator.ContainerRunning
		frozen = orchestrator.ContainerPaused
		down   = orchestrator.ContainerExited
		gone   = orchestrator.ContainerState("")
	)
	for _, c := range []struct {
		state, desired workspace.State
		container      orchestrator.ContainerState
		want           workspace.State
	}{
		{running, running, up, running},
		{running, running, frozen, paused},
		{running, running, down, stopped},
		{running, running, gone, stopped},
		{starting, running, up, running}, // a start that was cut short is done again
		{starting, running, frozen, running},
		{starting, running, down, running},
		{starting, running, gone, running},
		{pausing, paused, up, running}, // a pause goes by what the container is
		{pausing, paused, frozen, paused},
		{pausing, paused, down, stopped},
		{pausing, stopped, up, running},
		{paused, paused, up, running},
		{paused, paused, frozen, paused},
		{paused, paused, down, stopped},
		{paused, paused, gone, stopped},
		{stopping, stopped, up, stopped},
		{stopping, stopped, frozen, stopped},
		{stopping, stopped, down, stopped},
		{stopping, stopped, gone, stopped},
		{stopping, running, up, running}, // a restart
		{stopping, running, down, running},
		{failed, running, up, running},
		{failed, running, frozen, paused},
		{failed, running, down, failed},
		{failed, stopped, up, stopped}, // a stop that the engine refused
		{failed, stopped, frozen, stopped},
		{stopped, stopped, up, running},
		{stopped, stopped, frozen, paused},
		{stopped, stopped, down, stopped},
	} {
		t.Run(fmt.Sprintf("%s and to be %s with its container %s", c.state, c.desired, cmp.Or(c.container, "gone")), func(t *testing.T) {
			w := newWorld(t)
			id := w.left(c.state, c.desired, c.container)
			o := w.gateway()
			w.must(o.Reconcile(t.Context()))
			w.eventually("it is put in order", func() bool { return w.record(id).State == c.want && o.Waking(id) == nil })
			if (o.Route(id) != nil) != (c.want == running) {
				t.Errorf("route %v", o.Route(id))
			}
			want := map[workspace.State]orchestrator.ContainerState{running: up, paused: frozen}[c.want]
			if list := w.runtime.Of(id); len(list) > 1 || want != "" && (len(list) != 1 || list[0].State != want) ||
				want == "" && len(list) == 1 && list[0].State != down {
				t.Errorf("containers %v", list)
			}
			got := w.record(id)
			if got.Desired != c.want && c.want != failed {
				t.Errorf("it is %s and to be %s", got.State, got.Desired)
			}
			w.must(o.Reconcile(t.Context()))
			if again := w.record(id); again.Revision != got.Revision {
				t.Errorf("a second look changed the record again, to %+v", again)
			}
			w.wake(o, id) // and nothing is in the way
			w.wantContainer(id, up)
		})
	}
}

func TestReconcile_FinishesADelete(t *testing.T) {
	w := newWorld(t)
	id := w.left(workspace.StateDeleting, workspace.StateDeleting, orchestrator.ContainerRunning)
	o := w.gateway()
	w.must(o.Reconcile(t.Context()))
	w.wantGone(o, id)
}

func TestReconcile_StopsWhatRunsAndDoesNotAnswer(t *testing.T) {
	w := newWorld(t)
	id := w.left(workspace.StateRunning, workspace.StateRunning, orchestrator.ContainerRunning)
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
	id := w.left(workspace.StateRunning, workspace.StateRunning, orchestrator.ContainerRunning)
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
