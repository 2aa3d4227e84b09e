package orchestrator_test

import (
	"context"
	"errors"
	"testing"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/workspace"
)

func TestStop_DuringAWakeCutsItShort(t *testing.T) {
	for _, verb := range []runtimetest.Verb{runtimetest.Create, runtimetest.Start, runtimetest.List} {
		t.Run(string(verb), func(t *testing.T) {
			w := newWorld(t)
			w.runtime.SetBoot(func(workspace.ID) runtimetest.Boot { return runtimetest.Boot{Never: true} })
			o := w.gateway()
			id := w.create(o)
			var wake *orchestrator.Operation
			if verb == runtimetest.List { // VS Code is coming up
				wake = o.Wake(id)
				w.stage(wake, orchestrator.StageEditor)
			} else {
				held := w.gate(verb)
				wake = o.Wake(id)
				<-held.reached
			}
			stop := o.Stop(id, "stopped by ann")
			w.must(w.end(stop))
			w.wantErr(w.end(wake), workspace.ErrBusy)
			if got := w.wantState(id, workspace.StateStopped); got.Reason != "stopped by ann" {
				t.Errorf("reason %q", got.Reason)
			}
			for _, c := range w.runtime.Of(id) {
				if c.State == orchestrator.ContainerRunning {
					t.Error("its container runs")
				}
			}
			w.runtime.SetBefore(nil)
			w.runtime.SetBoot(nil)
			w.wake(o, id)
			w.must(o.Reconcile(t.Context()))
			w.wantContainer(id, orchestrator.ContainerRunning)
		})
	}
}

func TestWake_DuringAStopWaitsAndThenStarts(t *testing.T) {
	w := newWorld(t)
	o := w.started()
	id := w.awake(o)
	held := w.gate(runtimetest.Stop)
	stop := o.Stop(id, "test")
	<-held.reached
	wake := o.Wake(id)
	if stage, _ := wake.Stage(); stage != orchestrator.StageQueued {
		t.Errorf("stage %s, want queued", stage)
	}
	w.wantState(id, workspace.StateStopping)
	close(held.open)
	w.must(w.end(stop))
	w.must(w.end(wake))
	w.wantState(id, workspace.StateRunning)
	w.wantContainer(id, orchestrator.ContainerRunning)
	if n := w.runtime.Calls(runtimetest.Start); n != 2 {
		t.Errorf("%d starts, want 2", n)
	}
}

func TestStop_OfAQueuedWakeLeavesItStopped(t *testing.T) {
	w := newWorld(t)
	o := w.started()
	id := w.awake(o)
	held := w.gate(runtimetest.Stop)
	first := o.Stop(id, "first")
	<-held.reached
	wake := o.Wake(id)
	last := o.Stop(id, "last")
	close(held.open)
	w.must(w.end(first))
	w.wantErr(w.end(wake), workspace.ErrBusy)
	w.must(w.end(last))
	w.wantState(id, workspace.StateStopped)
	w.wantContainer(id, orchestrator.ContainerExited)
}

func TestStop_TwiceIsNoError(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	id := w.awake(o)
	w.must(w.end(o.Stop(id, "first")))
	w.must(w.end(o.Stop(id, "second")))
	if got := w.wantState(id, workspace.StateStopped); got.Reason != "first" {
		t.Errorf("reason %q", got.Reason)
	}
	w.wantErr(w.end(o.Stop(workspace.NewID(), "none")), workspace.ErrNotFound)
}

func TestStop_ThatTheEngineRefusesTellsWhyAndIsCorrected(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	id := w.awake(o)
	w.runtime.SetDown(true)
	w.wantErr(w.end(o.Stop(id, "test")), workspace.ErrEngineDown)
	got := w.wantState(id, workspace.StateError)
	if want := "The workspace could not be stopped: stop: the container engine does not answer. Ask the operator to see that the container engine runs, then try again."; got.Reason != want {
		t.Errorf("reason %q", got.Reason)
	}
	w.runtime.SetDown(false)
	w.must(w.end(o.Stop(id, "again")))
	w.wantState(id, workspace.StateStopped)
	w.wantContainer(id, orchestrator.ContainerExited)
}

func TestStop_ThatTheStoreRefusesLeavesTheWorkspaceRunning(t *testing.T) {
	w := newWorld(t)
	frail := &frailStore{Store: w.store}
	o := w.gateway(func(c *orchestrator.Config) { c.Store = frail })
	id := w.awake(o)
	frail.fault = func(_ string, r *workspace.Workspace) error {
		if r != nil && r.State == workspace.StateStopping {
			return workspace.ErrStorageFull
		}
		return nil
	}
	w.wantErr(w.end(o.Stop(id, "test")), workspace.ErrStorageFull)
	if o.Route(id) == nil {
		t.Error("a workspace that runs has no route")
	}
	w.wantContainer(id, orchestrator.ContainerRunning)
}

func TestDelete_LeavesNothing(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	id := w.awake(o)
	w.runtime.Plant(id) // one that was made just before a crash
	w.must(w.end(o.Delete(id)))
	w.wantGone(o, id)
}

func (w *world) wantGone(o *orchestrator.Orchestrator, id workspace.ID) {
	w.Helper()
	if _, err := w.store.Workspace(w.Context(), id); err != workspace.ErrNotFound { //nolint:errorlint // exactly this
		w.Errorf("its record: %v", err)
	}
	if list := w.runtime.Of(id); len(list) != 0 {
		w.Errorf("its containers: %v", list)
	}
	for _, name := range w.runtime.Volumes() {
		if name == "kalpana-"+string(id) {
			w.Error("its volume is there")
		}
	}
	ports, err := w.store.Ports(w.Context())
	w.must(err)
	for port, owner := range ports {
		if owner == id {
			w.Errorf("its port %d is taken", port)
		}
	}
	if o.Route(id) != nil {
		w.Error("it has a route")
	}
}

func TestDelete_DuringAWakeCutsItShortAndLeavesNothing(t *testing.T) {
	for _, verb := range []runtimetest.Verb{runtimetest.Create, runtimetest.Start} {
		t.Run(string(verb), func(t *testing.T) {
			w := newWorld(t)
			o := w.gateway()
			id := w.create(o)
			held := w.gate(verb)
			wake := o.Wake(id)
			<-held.reached
			gone := o.Delete(id)
			w.must(w.end(gone))
			w.wantErr(w.end(wake), workspace.ErrBusy)
			w.wantGone(o, id)
		})
	}
}

func TestDelete_TwiceIsOne(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	id := w.awake(o)
	held := w.gate(runtimetest.Remove)
	first := o.Delete(id)
	<-held.reached
	second := o.Delete(id)
	wake := o.Wake(id)
	close(held.open)
	w.must(w.end(first))
	w.must(w.end(second))
	w.wantErr(w.end(wake), workspace.ErrNotFound)
	w.must(w.end(o.Delete(id))) // it is gone, which is all that was asked for
	w.wantGone(o, id)
}

func TestDelete_SurvivesARename(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	id := w.awake(o)
	held := w.gate(runtimetest.RemoveVolume)
	gone := o.Delete(id)
	<-held.reached
	_, err := o.Rename(t.Context(), "ann", id, "renamed")
	w.must(err)
	close(held.open)
	w.must(w.end(gone))
	w.wantGone(o, id)
}

func TestDelete_ThatWasCutShortIsFinished(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	id := w.awake(o)
	w.runtime.SetBefore(func(_ context.Context, v runtimetest.Verb, _ workspace.ID) error {
		if v == runtimetest.RemoveVolume {
			return workspace.ErrEngineDown
		}
		return nil
	})
	w.wantErr(w.end(o.Delete(id)), workspace.ErrEngineDown)
	w.wantState(id, workspace.StateDeleting)
	w.wantErr(w.end(o.Wake(id)), workspace.ErrBusy)
	w.wantErr(w.end(o.Stop(id, "test")), workspace.ErrBusy)
	w.runtime.SetBefore(nil)
	w.must(o.Reconcile(t.Context()))
	w.wantGone(o, id)
}

// An engine goes on with what it was asked for when nobody waits any more: a container comes about after the
// delete looked for containers, and uses the volume.
func TestDelete_RemovesAContainerThatComesAboutOnlyNow(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	id := w.awake(o)
	spec := w.runtime.Spec(w.record(id).Container)
	late := false
	w.runtime.SetBefore(func(ctx context.Context, v runtimetest.Verb, _ workspace.ID) error {
		if v != runtimetest.RemoveVolume || late {
			return nil
		}
		late = true
		if _, err := w.runtime.Create(ctx, spec); err != nil {
			t.Error(err)
		}
		return errors.New("volume is in use")
	})
	w.must(w.end(o.Delete(id)))
	if list := w.runtime.List(); len(list) != 0 || len(w.runtime.Volumes()) != 0 {
		t.Errorf("left: containers %v, volumes %v", list, w.runtime.Volumes())
	}
}
