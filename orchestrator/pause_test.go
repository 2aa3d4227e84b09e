package orchestrator_test

import (
	"errors"
	"testing"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/workspace"
)

// paused returns a workspace that is paused.
func (w *world) paused(o *orchestrator.Orchestrator) workspace.ID {
	w.Helper()
	id := w.awake(o)
	w.must(w.end(o.Pause(id, "paused by ann")))
	w.wantState(id, workspace.StatePaused)
	return id
}

func TestPause_FreezesTheContainerAndKeepsIt(t *testing.T) {
	w := newWorld(t)
	o := w.started()
	id := w.paused(o)
	got := w.wantState(id, workspace.StatePaused)
	if got.Reason != "paused by ann" || got.Desired != workspace.StatePaused || got.StateSince.IsZero() {
		t.Errorf("record %+v", got)
	}
	if o.Route(id) != nil {
		t.Error("a paused workspace has a route")
	}
	w.wantContainer(id, orchestrator.ContainerPaused)
	w.must(w.end(o.Pause(id, "again"))) // no error
	w.must(o.Reconcile(t.Context()))
	w.wantState(id, workspace.StatePaused)
}

func TestPause_OfWhatDoesNotRunSaysSo(t *testing.T) {
	w := newWorld(t)
	o := w.started()
	w.wantErr(w.end(o.Pause(w.create(o), "test")), workspace.ErrNotRunning)
	w.wantErr(w.end(o.Pause(workspace.NewID(), "test")), workspace.ErrNotFound)
}

func TestWake_FromPausedResumesTheSameContainer(t *testing.T) {
	w := newWorld(t)
	o := w.started()
	id := w.paused(o)
	before := w.record(id)
	w.wake(o, id)
	got := w.wantState(id, workspace.StateRunning)
	if got.Container != before.Container || got.Desired != workspace.StateRunning || got.LastStart.From != workspace.StatePaused {
		t.Errorf("record %+v", got)
	}
	w.wantContainer(id, orchestrator.ContainerRunning)
	if starts := w.runtime.Calls(runtimetest.Start); starts != 1 {
		t.Errorf("%d starts, want 1: it was resumed", starts)
	}
}

func TestWake_APausedWorkspaceWhoseContainerIsGoneIsStarted(t *testing.T) {
	for name, end := range map[string]func(*world, string){
		"removed": func(w *world, container string) { w.runtime.Vanish(container) },
		"ended":   func(w *world, container string) { w.runtime.Kill(container, 137, false) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			o := w.gateway() // it hears of nothing
			id := w.paused(o)
			end(w, w.record(id).Container)
			w.wake(o, id)
			w.wantState(id, workspace.StateRunning)
			w.wantContainer(id, orchestrator.ContainerRunning)
		})
	}
}

func TestPaused_BehindOurBackIsNoticed(t *testing.T) {
	w := newWorld(t)
	o := w.started()
	id := w.awake(o)
	w.must(w.runtime.Freeze(w.record(id).Container))
	w.eventually("it is paused", func() bool { return w.record(id).State == workspace.StatePaused && o.Route(id) == nil })
	w.must(w.runtime.Thaw(w.record(id).Container))
	w.eventually("it runs", func() bool { return w.record(id).State == workspace.StateRunning && o.Route(id) != nil })
}

func TestPause_WithTheEngineDownLeavesItRunning(t *testing.T) {
	w := newWorld(t)
	o := w.started()
	id := w.awake(o)
	w.runtime.SetDown(true)
	w.wantErr(w.end(o.Pause(id, "test")), workspace.ErrEngineDown)
	w.runtime.SetDown(false)
	w.must(o.Reconcile(t.Context()))
	// Another reconcile may have been at it already, and then this one leaves it to that.
	w.eventually("it runs", func() bool { return w.record(id).State == workspace.StateRunning && o.Route(id) != nil })
}

func TestWake_CutsAPauseShort(t *testing.T) {
	w := newWorld(t)
	o := w.started()
	id := w.awake(o)
	held := w.gate(runtimetest.Pause)
	pause := o.Pause(id, "test")
	<-held.reached
	wake := o.Wake(id)
	close(held.open)
	if err := w.end(pause); err != nil && !errors.Is(err, workspace.ErrInUse) {
		t.Error(err)
	}
	w.must(w.end(wake))
	w.wantState(id, workspace.StateRunning)
	w.wantContainer(id, orchestrator.ContainerRunning)
}

func TestStop_OfAPausedOne(t *testing.T) {
	w := newWorld(t)
	o := w.started()
	id := w.paused(o)
	w.must(w.end(o.Stop(id, "test")))
	w.wantState(id, workspace.StateStopped)
	w.wantContainer(id, orchestrator.ContainerExited)
	w.must(w.end(o.Delete(w.paused(o))))
}

func TestRestart_EndsTheContainerAndStartsItAgain(t *testing.T) {
	w := newWorld(t)
	o := w.started()
	id := w.awake(o)
	before := w.record(id)
	w.must(w.end(o.Restart(id, "restarted by ann")))
	after := w.wantState(id, workspace.StateRunning)
	if after.Container != before.Container || w.runtime.Calls(runtimetest.Start) != 2 {
		t.Errorf("container %s, before %s; %d starts", after.Container, before.Container, w.runtime.Calls(runtimetest.Start))
	}
	if o.Route(id) == nil {
		t.Error("it has no route")
	}
}

func TestRebuild_MakesANewContainerOnTheSameVolume(t *testing.T) {
	w := newWorld(t)
	o := w.started()
	id := w.awake(o)
	before := w.record(id)
	w.must(w.end(o.Rebuild(id)))
	after := w.wantState(id, workspace.StateRunning)
	if after.Container == before.Container || after.IDEPort != before.IDEPort || len(w.runtime.Volumes()) != 1 {
		t.Errorf("record %+v, before %+v", after, before)
	}
	w.wantContainer(id, orchestrator.ContainerRunning)
}
