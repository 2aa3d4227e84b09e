package orchestrator_test

import (
	"errors"
	"testing"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/workspace"
)

// An operation that comes during another has a defined outcome, whichever they are.
func TestOperations_OneDuringAnother(t *testing.T) {
	type operation func(*orchestrator.Orchestrator, workspace.ID) *orchestrator.Operation
	var (
		wake  operation = (*orchestrator.Orchestrator).Wake
		pause operation = func(o *orchestrator.Orchestrator, id workspace.ID) *orchestrator.Operation {
			return o.Pause(id, "test")
		}
		stop  operation = func(o *orchestrator.Orchestrator, id workspace.ID) *orchestrator.Operation { return o.Stop(id, "test") }
		again operation = func(o *orchestrator.Orchestrator, id workspace.ID) *orchestrator.Operation {
			return o.Restart(id, "test")
		}
		anew   operation = (*orchestrator.Orchestrator).Rebuild
		remove operation = (*orchestrator.Orchestrator).Delete
	)
	const (
		stopped = workspace.StateStopped
		running = workspace.StateRunning
		paused  = workspace.StatePaused
		gone    = workspace.State("gone")
	)
	firsts := map[string]struct {
		from workspace.State
		run  operation
		held runtimetest.Verb
	}{
		"start":        {stopped, wake, runtimetest.Start},
		"resume":       {paused, wake, runtimetest.Unpause},
		"pause":        {running, pause, runtimetest.Pause},
		"stop":         {running, stop, runtimetest.Stop},
		"paused: stop": {paused, stop, runtimetest.Stop},
		"restart":      {running, again, runtimetest.Stop},
		"rebuild":      {running, anew, runtimetest.Create},
		"delete":       {running, remove, runtimetest.Remove},
	}
	seconds := map[string]operation{"wake": wake, "pause": pause, "stop": stop, "restart": again, "rebuild": anew, "delete": remove}
	for first, f := range firsts {
		for second, s := range seconds {
			want, wantErr := map[string]workspace.State{
				"wake": running, "pause": paused, "stop": stopped, "restart": running, "rebuild": running, "delete": gone,
			}[second], error(nil)
			switch {
			case first == "delete" && second != "delete":
				want, wantErr = gone, workspace.ErrNotFound
			case (first == "stop" || first == "paused: stop") && second == "pause":
				want, wantErr = stopped, workspace.ErrNotRunning
			}
			t.Run(second+" during "+first, func(t *testing.T) {
				w := newWorld(t)
				o := w.started()
				id := w.create(o)
				if f.from != stopped {
					w.wake(o, id)
				}
				if f.from == paused {
					w.must(w.end(o.Pause(id, "test")))
				}
				held := w.gate(f.held)
				one := f.run(o, id)
				<-held.reached
				other := s(o, id)
				close(held.open)
				if err := w.end(one); err != nil && !errors.Is(err, workspace.ErrBusy) && !errors.Is(err, workspace.ErrInUse) {
					t.Errorf("the first ended with %v", err)
				}
				if err := w.end(other); !errors.Is(err, wantErr) {
					t.Errorf("the second ended with %v, want %v", err, wantErr)
				}
				if want == gone {
					w.wantGone(o, id)
					return
				}
				got := w.wantState(id, want)
				if got.Desired != want {
					t.Errorf("it is to be %s", got.Desired)
				}
				// What the engine reports of the operation may be looked at only now.
				w.eventually("it has a route just if it runs", func() bool { return (o.Route(id) != nil) == (want == running) })
				container := map[workspace.State]orchestrator.ContainerState{
					running: orchestrator.ContainerRunning, paused: orchestrator.ContainerPaused, stopped: orchestrator.ContainerExited,
				}[want]
				if c := w.containerState(id); c != container && (want != stopped || c != orchestrator.ContainerCreated) {
					t.Errorf("its container is %s", c)
				}
				w.must(o.Reconcile(t.Context()))
				w.wantState(id, want)
				w.wake(o, id)
				w.must(w.end(o.Delete(id)))
				w.wantGone(o, id)
			})
		}
	}
}

func TestOperations_StopAndDeleteWorkFromAnyState(t *testing.T) {
	for _, state := range workspace.States {
		for _, container := range []orchestrator.ContainerState{orchestrator.ContainerRunning, orchestrator.ContainerPaused, orchestrator.ContainerExited, ""} {
			name := "its container gone"
			if container != "" {
				name = "its container " + string(container)
			}
			t.Run(string(state)+" with "+name, func(t *testing.T) {
				w := newWorld(t)
				id := w.left(state, state, container)
				o := w.gateway()
				if state != workspace.StateDeleting && (state != workspace.StateStopped || container != orchestrator.ContainerRunning) {
					w.must(w.end(o.Stop(id, "test")))
					w.wantState(id, workspace.StateStopped)
				}
				w.must(w.end(o.Delete(id)))
				w.wantGone(o, id)
			})
		}
	}
}

// A queue of operations ends as the last of them says, and none of those before it holds it up.
func TestOperations_StopCutsShortWhatIsQueuedBehindAWakeToo(t *testing.T) {
	w := newWorld(t)
	w.boots(runtimetest.Boot{Never: true})
	o := w.started()
	id := w.create(o)
	wake := o.Wake(id)
	w.stage(wake, orchestrator.StageEditor)
	pause := o.Pause(id, "test")
	w.must(w.end(o.Stop(id, "test")))
	w.wantErr(w.end(wake), workspace.ErrBusy)
	w.wantErr(w.end(pause), workspace.ErrBusy)
	w.wantState(id, workspace.StateStopped)
}

func TestRestart_OfAnythingEndsWithItRunning(t *testing.T) {
	for _, c := range []struct {
		state     workspace.State
		container orchestrator.ContainerState
	}{
		{workspace.StateStopped, orchestrator.ContainerExited},
		{workspace.StateStopped, ""},
		{workspace.StatePaused, orchestrator.ContainerPaused},
		{workspace.StateError, orchestrator.ContainerExited},
		{workspace.StateError, orchestrator.ContainerRunning},
		{workspace.StateRunning, ""},
	} {
		for name, run := range map[string]func(*orchestrator.Orchestrator, workspace.ID) *orchestrator.Operation{
			"restart": func(o *orchestrator.Orchestrator, id workspace.ID) *orchestrator.Operation {
				return o.Restart(id, "test")
			},
			"rebuild": (*orchestrator.Orchestrator).Rebuild,
		} {
			t.Run(name+" of "+string(c.state)+" "+string(c.container), func(t *testing.T) {
				w := newWorld(t)
				id := w.left(c.state, c.state, c.container)
				o := w.gateway()
				w.must(w.end(run(o, id)))
				w.wantState(id, workspace.StateRunning)
				w.wantContainer(id, orchestrator.ContainerRunning)
			})
		}
	}
}

func TestRebuild_ThatCannotBeDoneLeavesEverythingAsItWas(t *testing.T) {
	w := newWorld(t)
	o := w.started()
	id := w.awake(o)
	before := w.record(id)
	w.runtime.SetBefore(w.fails(runtimetest.Create, workspace.ErrImageMissing))
	w.wantErr(w.end(o.Rebuild(id)), workspace.ErrImageMissing)
	after := w.wantState(id, workspace.StateRunning)
	if after.Container != before.Container || o.Route(id) == nil {
		t.Errorf("record %+v, route %v", after, o.Route(id))
	}
	w.wantContainer(id, orchestrator.ContainerRunning)
}

func TestRebuild_ThatFailsAfterTheStopStartsTheOldOneAgain(t *testing.T) {
	w := newWorld(t)
	frail := &frailStore{Store: w.store}
	o := w.gateway(func(c *orchestrator.Config) { c.Store = frail })
	id := w.awake(o)
	before := w.record(id)
	frail.fault = func(_ string, r *workspace.Workspace) error {
		if r != nil && r.Container != before.Container {
			return workspace.ErrStorageFull
		}
		return nil
	}
	w.wantErr(w.end(o.Rebuild(id)), workspace.ErrStorageFull)
	w.must(o.Reconcile(t.Context()))
	w.eventually("it runs again", func() bool { return w.record(id).State == workspace.StateRunning })
	w.wantContainer(id, orchestrator.ContainerRunning)
	if after := w.record(id); after.Container != before.Container {
		t.Errorf("container %s, before %s", after.Container, before.Container)
	}
}
