package orchestrator_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/workspace"
)

// boots lets every container of the world come up like this.
func (w *world) boots(b runtimetest.Boot) {
	w.runtime.SetBoot(func(workspace.ID) runtimetest.Boot { return b })
}

func TestWake_AContainerThatDiesDuringTheStartIsAnErrorWithTheEndOfItsLog(t *testing.T) {
	w := newWorld(t)
	w.boots(runtimetest.Boot{Exit: true, Code: 3, After: 20 * time.Millisecond})
	o := w.started()
	id := w.create(o)
	w.runtime.SetLog(id, strings.Repeat("early line\n", 1000)+"cannot find node\n")
	err := w.end(o.Wake(id))
	w.wantErr(err, workspace.ErrStartFailed)
	if !strings.Contains(err.Error(), "its container ended with code 3") {
		t.Errorf("error %q", err)
	}
	got := w.wantState(id, workspace.StateError)
	first, log, _ := strings.Cut(got.Reason, "\n")
	if first != "The workspace did not start: its container ended with code 3. Try again; if it stays so, the log tells why." ||
		!strings.HasSuffix(log, "early line\ncannot find node") || len(got.Reason) > 4096 {
		t.Errorf("reason of %d bytes: %q … %q", len(got.Reason), first, log[max(0, len(log)-40):])
	}
	w.boots(runtimetest.Boot{})
	w.wake(o, id)
}

func TestWake_AnEndThatWasNotReportedIsFound(t *testing.T) {
	w := newWorld(t)
	w.boots(runtimetest.Boot{Exit: true, Code: 3})
	o := w.gateway() // it watches nothing
	o.SetLiveness(20 * time.Millisecond)
	id := w.create(o)
	err := w.end(o.Wake(id))
	w.wantErr(err, workspace.ErrStartFailed)
	if !strings.Contains(err.Error(), "its container ended") {
		t.Errorf("error %q", err)
	}
}

func TestWake_OutOfMemoryIsNamed(t *testing.T) {
	w := newWorld(t)
	w.boots(runtimetest.Boot{Exit: true, Code: 137, OOM: true})
	o := w.started()
	id := w.create(o)
	w.wantErr(w.end(o.Wake(id)), workspace.ErrStartFailed)
	if got := w.wantState(id, workspace.StateError); !strings.Contains(got.Reason, "it was killed, as what runs out of memory is") {
		t.Errorf("reason %q", got.Reason)
	}
}

func TestWake_NeverReadyEndsInTime(t *testing.T) {
	w := newWorld(t)
	w.boots(runtimetest.Boot{Never: true})
	o := w.started(func(c *orchestrator.Config) { c.StartTimeout = 200 * time.Millisecond })
	id := w.create(o)
	w.runtime.SetLog(id, "still installing\n")
	w.wantErr(w.end(o.Wake(id)), workspace.ErrStartTimeout)
	got := w.wantState(id, workspace.StateError)
	if !strings.HasPrefix(got.Reason, "The workspace did not become ready in time (200ms).") || !strings.HasSuffix(got.Reason, "\nstill installing") {
		t.Errorf("reason %q", got.Reason)
	}
	w.wantContainer(id, orchestrator.ContainerExited)
}

func TestWake_WhatTheBridgeReportsIsToldOnce(t *testing.T) {
	w := newWorld(t)
	w.boots(runtimetest.Boot{Failed: "VS Code ended with code 1", Log: "no such option"})
	o := w.started()
	id := w.create(o)
	w.runtime.SetLog(id, "another log")
	w.wantErr(w.end(o.Wake(id)), workspace.ErrStartFailed)
	want := "The workspace did not start: VS Code ended with code 1. Try again; if it stays so, the log tells why.\nno such option"
	if got := w.wantState(id, workspace.StateError); got.Reason != want {
		t.Errorf("reason %q", got.Reason)
	}
	w.wantContainer(id, orchestrator.ContainerExited)
}

func TestWake_AContainerThatDoesNotKnowOurTokenIsMadeAgainOnItsVolume(t *testing.T) {
	w := newWorld(t)
	w.runtime.Unfenced = true // so that another attempt was needed before
	o := w.gateway()
	id := w.awake(o)
	before := w.record(id)
	w.must(w.end(o.Stop(id, "test")))
	o = w.gateway(func(c *orchestrator.Config) { c.Token = func(workspace.ID) string { return "another" } })
	w.wake(o, id)
	after := w.record(id)
	if after.Container == before.Container || after.IDEPort != before.IDEPort || len(w.runtime.Volumes()) != 1 {
		t.Errorf("record %+v, before %+v, volumes %v", after, before, w.runtime.Volumes())
	}
	w.wantContainer(id, orchestrator.ContainerRunning)
}

func TestWake_AnEndThatIsListedLateIsNoticedAtOnce(t *testing.T) {
	w := newWorld(t)
	w.boots(runtimetest.Boot{Exit: true, Code: 3})
	w.runtime.ListLate(100 * time.Millisecond)
	o := w.started()
	id := w.create(o)
	began := time.Now()
	w.wantErr(w.end(o.Wake(id)), workspace.ErrStartFailed)
	if d := time.Since(began); d > 3*time.Second {
		t.Errorf("it took %v", d)
	}
	w.boots(runtimetest.Boot{})
	w.wake(o, id)
	w.runtime.Kill(w.record(id).Container, 1, false)
	w.eventually("its end is recorded", func() bool { return w.record(id).State == workspace.StateStopped })
}

func TestWake_ALateReportOfAnEarlierRunFailsNothing(t *testing.T) {
	w := newWorld(t)
	o := w.started()
	id := w.awake(o)
	w.runtime.KeepEvents()
	w.must(w.end(o.Stop(id, "test")))
	ready := make(chan struct{})
	w.runtime.SetBoot(func(workspace.ID) runtimetest.Boot {
		defer close(ready)
		return runtimetest.Boot{After: 100 * time.Millisecond}
	})
	wake := o.Wake(id)
	<-ready
	w.stage(wake, orchestrator.StageEditor)
	w.runtime.ReleaseEvents()
	w.must(w.end(wake))
	w.settle(o)
	w.wantState(id, workspace.StateRunning)
	if o.Route(id) == nil {
		t.Error("it lost its route")
	}
}

func TestWake_AnEarlierEndDoesNotHideTheRealOne(t *testing.T) {
	w := newWorld(t)
	reached, open := make(chan struct{}), make(chan struct{})
	frail := &frailStore{Store: w.store}
	frail.after = func(_ string, r *workspace.Workspace) error {
		if r != nil && r.State == workspace.StateStarting && r.Container != "" && r.StartedAt.Unix() > 0 { // the second wake
			close(reached)
			<-open
		}
		return nil
	}
	o := w.started(func(c *orchestrator.Config) { c.Store = frail })
	id := w.awake(o)
	w.runtime.KeepEvents()
	w.must(w.end(o.Stop(id, "test")))
	w.boots(runtimetest.Boot{Exit: true, Code: 3, OOM: true})
	wake := o.Wake(id)
	<-reached
	w.runtime.ReleaseEvents() // the end of the run before
	w.settle(o)
	close(open)
	err := w.end(wake)
	w.wantErr(err, workspace.ErrStartFailed)
	if !strings.Contains(err.Error(), "it was killed, as what runs out of memory is") {
		t.Errorf("error %q", err)
	}
}

func TestWake_AReportThatComesAfterItFailsNothing(t *testing.T) {
	w := newWorld(t)
	o := w.started()
	id := w.awake(o)
	w.runtime.KeepEvents()
	w.must(w.end(o.Stop(id, "test")))
	w.wake(o, id)
	w.runtime.ReleaseEvents()
	w.settle(o)
	w.wantState(id, workspace.StateRunning)
	w.eventually("it has its route", func() bool { return o.Route(id) != nil })
}

func TestWake_AReportOfTheContainerBeforeFailsNothing(t *testing.T) {
	w := newWorld(t)
	o := w.started()
	id := w.awake(o)
	before := w.record(id).Container
	w.runtime.KeepEvents()
	w.must(w.end(o.Stop(id, "test")))
	w.runtime.Vanish(before)
	w.wake(o, id)
	route := o.Route(id)
	w.runtime.ReleaseEvents()
	w.settle(o)
	w.wantState(id, workspace.StateRunning)
	if o.Route(id) != route {
		t.Error("a running workspace lost its route to a report about another container")
	}
}

// settle gives reports the time to have an effect that they must not have.
func (w *world) settle(*orchestrator.Orchestrator) { time.Sleep(50 * time.Millisecond) }

func TestRunning_AnEndByItselfIsNoticedAtOnce(t *testing.T) {
	for _, c := range []struct {
		oom   bool
		state workspace.State
		start string
	}{
		{false, workspace.StateStopped, "its container ended by itself"},
		{true, workspace.StateError, "It was killed, as what runs out of memory is."},
	} {
		t.Run(string(c.state), func(t *testing.T) {
			w := newWorld(t)
			o := w.started()
			id := w.awake(o)
			w.runtime.Kill(w.record(id).Container, 137, c.oom)
			w.eventually("its end is recorded", func() bool { return w.record(id).State == c.state })
			if o.Route(id) != nil {
				t.Error("it has a route")
			}
			if got := w.record(id); !strings.HasPrefix(got.Reason, c.start) {
				t.Errorf("reason %q", got.Reason)
			}
			w.wake(o, id)
		})
	}
}

// An end right after VS Code has answered comes too late for the wake.
func TestRunning_AnEndAtTheVeryEndOfAWakeIsNoticed(t *testing.T) {
	w := newWorld(t)
	frail := &frailStore{Store: w.store}
	frail.after = func(_ string, r *workspace.Workspace) error {
		if r != nil && r.State == workspace.StateRunning {
			w.runtime.Kill(r.Container, 1, false)
			time.Sleep(20 * time.Millisecond) // the report comes while the wake still goes on
		}
		return nil
	}
	o := w.started(func(c *orchestrator.Config) { c.Store = frail })
	id := w.create(o)
	w.must(w.end(o.Wake(id)))
	w.eventually("its end is recorded", func() bool { return w.record(id).State == workspace.StateStopped })
	if o.Route(id) != nil {
		t.Error("it has a route")
	}
}

func TestWake_EngineDownIsToldQuicklyAndWorksAgainAfterwards(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	id := w.create(o)
	w.runtime.SetDown(true)
	began := time.Now()
	w.wantErr(w.end(o.Wake(id)), workspace.ErrEngineDown)
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("it took %v", d)
	}
	got := w.wantState(id, workspace.StateError)
	if !strings.HasSuffix(got.Reason, "Ask the operator to see that the container engine runs, then try again.") {
		t.Errorf("reason %q", got.Reason)
	}
	w.runtime.SetDown(false)
	w.wake(o, id)
	w.wantContainer(id, orchestrator.ContainerRunning)
}

func TestWake_MissingImageAndFullDiskAreNamed(t *testing.T) {
	for _, fault := range []error{workspace.ErrImageMissing, workspace.ErrStorageFull} {
		t.Run(fault.Error(), func(t *testing.T) {
			w := newWorld(t)
			o := w.gateway()
			id := w.create(o)
			w.runtime.SetBefore(func(_ context.Context, v runtimetest.Verb, _ workspace.ID) error {
				if v == runtimetest.Create {
					return fault
				}
				return nil
			})
			w.wantErr(w.end(o.Wake(id)), fault)
			if got := w.wantState(id, workspace.StateError); !strings.Contains(got.Reason, "Ask the operator to") {
				t.Errorf("reason %q", got.Reason)
			}
			w.runtime.SetBefore(nil)
			w.wake(o, id)
		})
	}
}

func TestWake_PreparesTheFirewallItself(t *testing.T) {
	w := newWorld(t)
	w.runtime.Unfenced = true
	o := w.gateway()
	w.awake(o)
}

func TestWake_WithoutAFirewallStartsNothing(t *testing.T) {
	w := newWorld(t)
	w.runtime.Unfenced = true
	w.runtime.SetBefore(func(_ context.Context, v runtimetest.Verb, _ workspace.ID) error {
		if v == runtimetest.Prepare {
			return workspace.ErrFirewall
		}
		return nil
	})
	o := w.started()
	id := w.create(o)
	w.wantErr(w.end(o.Wake(id)), workspace.ErrFirewall)
	if got := w.wantState(id, workspace.StateError); !strings.HasSuffix(got.Reason, "Ask the operator to look at: kalpana firewall.") {
		t.Errorf("reason %q", got.Reason)
	}
	if list := w.runtime.List(); len(list) != 0 {
		t.Errorf("containers %v", list)
	}
}

func TestWake_StoreFaultsLeaveNothingRunning(t *testing.T) {
	w := newWorld(t)
	frail := &frailStore{Store: w.store}
	frail.fault = func(_ string, r *workspace.Workspace) error {
		if r != nil && (r.State == workspace.StateRunning || r.State == workspace.StateError) {
			return workspace.ErrStorageFull
		}
		return nil
	}
	o := w.gateway(func(c *orchestrator.Config) { c.Store = frail })
	id := w.create(o)
	w.wantErr(w.end(o.Wake(id)), workspace.ErrStorageFull)
	w.wantContainer(id, orchestrator.ContainerExited)
	frail.fault = nil
	w.must(o.Reconcile(t.Context()))
	w.eventually("the start is done again", func() bool { return w.record(id).State == workspace.StateRunning })
}
