package orchestrator_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/workspace"
)

func TestSubscribe_TellsEveryChangeInOrder(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	changes, unsubscribe := o.Subscribe("ann")
	defer unsubscribe()
	others, unsubscribeOther := o.Subscribe("bob")
	defer unsubscribeOther()
	id := w.awake(o)
	_, err := o.Rename(t.Context(), "ann", id, "renamed")
	w.must(err)
	w.must(w.end(o.Stop(id, "test")))
	w.must(w.end(o.Delete(id)))
	var got []string
	var revision int64
	for len(changes) > 0 {
		e := <-changes
		if e.Workspace.ID != id || e.Workspace.Revision < revision {
			t.Errorf("revision %d after %d", e.Workspace.Revision, revision)
		}
		revision = e.Workspace.Revision
		state := string(e.Workspace.State)
		if e.Deleted {
			state = "deleted"
		}
		if len(got) == 0 || got[len(got)-1] != state {
			got = append(got, state)
		}
	}
	if s := strings.Join(got, " "); s != "stopped starting running stopping stopped deleting deleted" {
		t.Errorf("states %s", s)
	}
	if len(others) != 0 {
		t.Error("bob saw ann's workspace")
	}
}

func TestSubscribe_AnOlderRecordNeverFollowsANewer(t *testing.T) {
	w := newWorld(t)
	written, tell := make(chan struct{}), make(chan struct{})
	frail := &frailStore{Store: w.store}
	frail.after = func(_ string, r *workspace.Workspace) error {
		if r != nil && r.State == workspace.StateStopped && r.Name == "renamed" {
			close(written) // and not told to anybody yet
			<-tell
		}
		return nil
	}
	o := w.gateway(func(c *orchestrator.Config) { c.Store = frail })
	id := w.create(o)
	renamed := make(chan error)
	go func() {
		_, err := o.Rename(t.Context(), "ann", id, "renamed")
		renamed <- err
	}()
	<-written
	changes, unsubscribe := o.Subscribe("ann")
	w.wake(o, id)
	close(tell)
	w.must(<-renamed)
	unsubscribe()
	var last *workspace.Workspace
	for e := range changes {
		last = e.Workspace
	}
	if last == nil || last.State != workspace.StateRunning || last.Name != "renamed" {
		t.Errorf("the last that was told is %+v", last)
	}
	if gauge(t, o, "running") != 1 || gauge(t, o, "stopped") != 0 {
		t.Error("the older state is counted")
	}
}

func TestSubscribe_WhoIsTooSlowIsCutOff(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	slow, unsubscribe := o.Subscribe("ann")
	id := w.create(o)
	for range orchestrator.EventBuffer + 1 {
		_, err := o.Rename(t.Context(), "ann", id, "again")
		w.must(err)
	}
	n := 0
	for range slow { // ends only because the channel is closed
		n++
	}
	if n != orchestrator.EventBuffer {
		t.Errorf("%d events, want %d", n, orchestrator.EventBuffer)
	}
	unsubscribe() // harmless
}

func TestSubscribe_HearsOfOtherGatewaysByTheNextReconcile(t *testing.T) {
	w := newWorld(t)
	one, two := w.gateway(), w.second()
	id := w.create(one)
	w.must(two.Reconcile(t.Context()))
	changes, unsubscribe := two.Subscribe("ann")
	defer unsubscribe()
	w.wake(one, id)
	w.must(two.Reconcile(t.Context()))
	if e := <-changes; e.Workspace.State != workspace.StateRunning || e.Deleted {
		t.Errorf("event %+v", e)
	}
	w.must(w.end(one.Delete(id)))
	w.must(two.Reconcile(t.Context()))
	if e := <-changes; e.Workspace.ID != id || !e.Deleted {
		t.Errorf("event %+v", e)
	}
	if n := gauge(t, two, "running") + gauge(t, two, "deleting"); n != 0 {
		t.Errorf("%v workspaces are counted", n)
	}
}

func TestClose_EndsOperationsAndSubscriptionsAndLeaksNothing(t *testing.T) {
	w := newLoneWorld(t)
	before := goleak.IgnoreCurrent()
	w.boots(runtimetest.Boot{Never: true})
	o := w.started()
	id := w.create(o)
	changes, _ := o.Subscribe("ann")
	wake := o.Wake(id)
	w.stage(wake, orchestrator.StageEditor)
	queued := o.Stop(w.create(o), "test")
	o.Close()
	w.wantErr(w.end(wake), workspace.ErrShuttingDown)
	if err := w.end(queued); err != nil {
		w.wantErr(err, workspace.ErrShuttingDown)
	}
	for range changes { // until it is closed
	}
	w.wantErr(w.end(o.Wake(id)), workspace.ErrShuttingDown)
	w.wantErr(w.end(o.Delete(id)), workspace.ErrShuttingDown)
	after, unsubscribe := o.Subscribe("ann")
	if _, open := <-after; open {
		t.Error("a subscription after the end")
	}
	unsubscribe()
	o.Close() // again
	w.wantState(id, workspace.StateStarting)
	w.wantContainer(id, orchestrator.ContainerRunning)
	w.runtime.Kill(w.record(id).Container, 0, false)
	w.must(w.store.Close())
	w.wantErr(w.end(o.Wake(id)), workspace.ErrShuttingDown)
	goleak.VerifyNone(t, before)
}

// gauge returns how many workspaces are counted under a state.
func gauge(t *testing.T, o *orchestrator.Orchestrator, state string) float64 {
	t.Helper()
	return metric(t, o, "kalpana_workspaces", "state", state)
}

// metric returns the value of a gauge or counter, or the count of a histogram, that has all the labels;
// with _sum after its name, the sum of a histogram.
func metric(t *testing.T, o *orchestrator.Orchestrator, name string, labels ...string) float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(o.Metrics())
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	name, sum := strings.CutSuffix(name, "_sum")
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
	metrics:
		for _, m := range family.GetMetric() {
			have := map[string]string{}
			for _, l := range m.GetLabel() {
				have[l.GetName()] = l.GetValue()
			}
			for i := 0; i < len(labels); i += 2 {
				if have[labels[i]] != labels[i+1] {
					continue metrics
				}
			}
			if sum {
				return m.GetHistogram().GetSampleSum()
			}
			if m.GetHistogram() != nil {
				return float64(m.GetHistogram().GetSampleCount())
			}
			if m.GetCounter() != nil {
				return m.GetCounter().GetValue()
			}
			return m.GetGauge().GetValue()
		}
	}
	return 0
}

func TestMetrics_StatesAreRightAfterEveryChange(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	want := func(state string, n float64) {
		t.Helper()
		if got := gauge(t, o, state); got != n {
			t.Errorf("%v are %s, want %v", got, state, n)
		}
	}
	first, second := w.awake(o), w.create(o)
	want("running", 1)
	want("stopped", 1)
	w.must(w.end(o.Stop(first, "test")))
	want("running", 0)
	want("stopped", 2)
	w.must(o.Reconcile(t.Context()))
	want("stopped", 2)
	w.must(w.end(o.Delete(first)))
	w.must(w.end(o.Delete(second)))
	for _, s := range workspace.States {
		want(string(s), 0)
	}
	w.must(o.Reconcile(t.Context()))
	want("stopped", 0)
}

func TestMetrics_WakesAreObservedByStageAndOutcome(t *testing.T) {
	w := newWorld(t)
	o := w.started()
	id := w.awake(o)
	w.must(w.end(o.Stop(id, "test")))
	w.boots(runtimetest.Boot{Exit: true})
	w.wantErr(w.end(o.Wake(id)), workspace.ErrStartFailed)
	for stage, want := range map[string][2]float64{"container": {2, 0}, "start": {2, 0}, "editor": {1, 1}, "total": {1, 1}} {
		for i, outcome := range []string{"ok", "error"} {
			if got := metric(t, o, "kalpana_wake_duration_seconds", "stage", stage, "outcome", outcome); got != want[i] {
				t.Errorf("%s %s: %v, want %v", stage, outcome, got, want[i])
			}
		}
	}
}

// A new configuration has taken over: who waits for a start is served, and nothing else begins.
func TestFinish_WaitsForWhatIsUnderWay(t *testing.T) {
	w := newWorld(t)
	o := w.started()
	id, other := w.create(o), w.create(o)
	held := w.gate(runtimetest.Create)
	wake := o.Wake(id)
	<-held.reached
	finished := make(chan struct{})
	go func() {
		o.Finish(t.Context())
		close(finished)
	}()
	w.eventually("nothing else begins", func() bool { return errors.Is(w.end(o.Stop(other, "test")), workspace.ErrShuttingDown) })
	select {
	case <-finished:
		t.Error("it did not wait")
	default:
	}
	close(held.open)
	w.must(w.end(wake))
	<-finished
	w.wantState(id, workspace.StateRunning)
	if o.Route(id) == nil {
		t.Error("who waited finds no route")
	}
}

func TestFinish_WaitsNoLongerThanItMay(t *testing.T) {
	w := newWorld(t)
	w.boots(runtimetest.Boot{Never: true})
	o := w.started()
	id := w.create(o)
	wake := o.Wake(id)
	w.stage(wake, orchestrator.StageEditor)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	o.Finish(ctx)
	w.wantErr(w.end(wake), workspace.ErrShuttingDown)
}

// A request finds out that nothing answers a moment before the engine says why.
func TestWatch_WhyAContainerEndedIsToldThoughARequestFoundOutFirst(t *testing.T) {
	w := newWorld(t)
	o := w.started()
	id := w.awake(o)
	held := w.gate(runtimetest.Prepare) // of the reconcile that follows
	o.Lost(o.Route(id))
	<-held.reached
	w.runtime.Kill(w.record(id).Container, 137, true)
	w.eventually("it is known to have run out of memory", func() bool {
		r := w.record(id)
		return r.State == workspace.StateError && strings.Contains(r.Reason, "out of memory")
	})
	close(held.open)
}
