package orchestrator_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/workspace"
)

func TestWake_MakesTheContainerOnceAndReusesIt(t *testing.T) {
	w := newWorld(t)
	o := w.gateway(func(c *orchestrator.Config) { c.Limits = orchestrator.Limits{Memory: 1 << 30} })
	id := w.awake(o)
	first := w.wantState(id, workspace.StateRunning)
	if first.StartedAt.IsZero() || first.LastActivity != "started" || first.Reason != "" {
		t.Errorf("record %+v", first)
	}
	w.must(w.end(o.Stop(id, "test")))
	if o.Route(id) != nil {
		t.Error("a stopped workspace has a route")
	}
	w.wake(o, id)
	w.wantContainer(id, orchestrator.ContainerRunning)
	again := w.record(id)
	if again.Container != first.Container || again.IDEPort != first.IDEPort || again.BridgePort != first.BridgePort {
		t.Errorf("another container or other ports: %+v, before %+v", again, first)
	}
	if made, started := w.runtime.Calls(runtimetest.Create), w.runtime.Calls(runtimetest.Start); made != 1 || started != 2 {
		t.Errorf("made %d times and started %d times, want 1 and 2", made, started)
	}
}

func TestWake_TellsTheContainerWhatItNeedsAndNoSecretBeyondItsToken(t *testing.T) {
	w := newWorld(t)
	limits := orchestrator.Limits{Memory: 1 << 30, CPUs: 1.5, PIDs: 100, OpenFiles: 200, LogSize: 300, Disk: 400}
	o := w.gateway(func(c *orchestrator.Config) { c.Limits = limits })
	record, err := o.Create(t.Context(), orchestrator.NewWorkspace{
		Owner: "ann", Name: "mine", Template: "blank", Repository: "https://example.com/a/b",
	})
	w.must(err)
	w.wake(o, record.ID)
	record = w.record(record.ID)
	want := orchestrator.Spec{
		Workspace: record.ID, Image: image, Volume: "kalpana-" + string(record.ID), Address: "127.0.0.1", Limits: limits,
		Ports: map[int]int{8080: record.IDEPort, 3001: record.BridgePort},
		Env: []string{
			bridge.EnvWorkspaceID + "=" + string(record.ID),
			bridge.EnvToken + "=" + token(record.ID),
			bridge.EnvPreviewURI + "=" + w.hosts.PreviewTemplate(record.ID),
			bridge.EnvTemplate + "=blank",
			bridge.EnvViteHosts + "=.ws.kalpana.localhost",
			bridge.EnvRepository + "=https://example.com/a/b",
		},
	}
	if diff := cmp.Diff(want, w.runtime.Spec(record.Container)); diff != "" {
		t.Error(diff)
	}
}

func TestWake_OfAHundredAtOnceOneStartsAndAllSucceed(t *testing.T) {
	w := newWorld(t)
	w.runtime.SetBoot(func(workspace.ID) runtimetest.Boot { return runtimetest.Boot{After: 50 * time.Millisecond} })
	o := w.started()
	id := w.create(o)
	errs := make([]error, 100)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = o.Wake(id).Wait(t.Context()) })
	}
	all.Wait()
	w.must(errors.Join(errs...))
	w.wantContainer(id, orchestrator.ContainerRunning)
	if made, started := w.runtime.Calls(runtimetest.Create), w.runtime.Calls(runtimetest.Start); made != 1 || started != 1 {
		t.Errorf("made %d times and started %d times, want once each", made, started)
	}
}

func TestWake_SecondHitJoinsFirst(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	id := w.create(o)
	start := w.gate(runtimetest.Start)
	first := o.Wake(id)
	<-start.reached
	if second := o.Wake(id); second != first {
		t.Error("a second wake began")
	}
	if o.Waking(id) != first {
		t.Error("the wake is not told")
	}
	close(start.open)
	w.must(w.end(first))
	if o.Waking(id) != nil {
		t.Error("the wake is told after its end")
	}
}

func TestWake_GoesThroughItsStages(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	id := w.create(o)
	create := w.gate(runtimetest.Create)
	op := o.Wake(id)
	<-create.reached
	var seen []orchestrator.Stage
	stage, changed := op.Stage()
	close(create.open)
	for stage != orchestrator.StageReady {
		seen = append(seen, stage)
		<-changed
		stage, changed = op.Stage()
	}
	// A reader may miss a stage that is over at once, but the order holds.
	order := []orchestrator.Stage{orchestrator.StageContainer, orchestrator.StageStart, orchestrator.StageEditor}
	if !slices.IsSortedFunc(seen, func(a, b orchestrator.Stage) int { return slices.Index(order, a) - slices.Index(order, b) }) {
		t.Errorf("stages %v", seen)
	}
	w.must(w.end(op))
}

func TestWake_GoesOnWhenTheClientLeaves(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	id := w.create(o)
	start := w.gate(runtimetest.Start)
	op := o.Wake(id)
	<-start.reached
	client, leave := context.WithCancel(t.Context())
	leave()
	w.wantErr(op.Wait(client), context.Canceled)
	close(start.open)
	w.must(w.end(op))
	w.wantState(id, workspace.StateRunning)
}

func TestWake_OfARunningWorkspaceTouchesNoContainer(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	id := w.awake(o)
	route, calls := o.Route(id), w.runtime.AllCalls()
	w.wake(o, id)
	if o.Route(id) != route || w.runtime.AllCalls() != calls {
		t.Error("something was done to a running workspace")
	}
}

func TestWake_OfAnUnknownWorkspaceIsNotFound(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	w.wantErr(w.end(o.Wake(workspace.NewID())), workspace.ErrNotFound)
	if n := w.runtime.AllCalls(); n != 0 {
		t.Errorf("%d calls of the engine, want none", n)
	}
}

func TestWake_AnotherImageGetsAnotherContainerOnTheSameVolumeAndPorts(t *testing.T) {
	w := newWorld(t)
	o := w.started()
	id := w.awake(o)
	before := w.record(id)
	o.Close()
	w.must(w.runtime.Stop(t.Context(), before.Container, 0))

	o = w.started(func(c *orchestrator.Config) { c.Image = "kalpana/workspace:2" })
	w.wake(o, id)
	after := w.record(id)
	if after.Container == before.Container || after.Image != "kalpana/workspace:2" {
		t.Errorf("container %s of %s, before %s", after.Container, after.Image, before.Container)
	}
	if after.IDEPort != before.IDEPort || after.BridgePort != before.BridgePort {
		t.Error("other ports")
	}
	w.wantContainer(id, orchestrator.ContainerRunning)
	if volumes := w.runtime.Volumes(); len(volumes) != 1 {
		t.Errorf("volumes %v", volumes)
	}
}

func TestWake_AContainerRemovedBehindOurBackIsMadeAgain(t *testing.T) {
	w := newWorld(t)
	o := w.started()
	id := w.awake(o)
	w.must(w.end(o.Stop(id, "test")))
	before := w.record(id)
	w.runtime.Vanish(before.Container)
	w.wake(o, id)
	w.wantContainer(id, orchestrator.ContainerRunning)
	if after := w.record(id); after.IDEPort != before.IDEPort || after.BridgePort != before.BridgePort {
		t.Error("other ports")
	}
}

func TestWake_AContainerWhoseNetworkIsGoneLeavesNoOther(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	id := w.awake(o)
	w.must(w.end(o.Stop(id, "test")))
	before := w.record(id)
	w.runtime.SetBefore(func(_ context.Context, v runtimetest.Verb, _ workspace.ID) error {
		if list := w.runtime.Of(id); v == runtimetest.Start && len(list) > 0 && list[0].ID == before.Container {
			return orchestrator.ErrNoContainer // says Docker, though the container is there
		}
		return nil
	})
	w.wake(o, id)
	w.wantContainer(id, orchestrator.ContainerRunning)
}
