package orchestrator_test

import (
	"context"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/workspace"
)

func TestMetrics_EngineErrorsByVerbAndKind(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	id := w.create(o)
	want := func(verb, kind string, n float64) {
		t.Helper()
		if got := metric(t, o, "kalpana_engine_errors_total", "verb", verb, "kind", kind); got != n {
			t.Errorf("%s %s: %v, want %v", verb, kind, got, n)
		}
	}
	fails := func(verb runtimetest.Verb, err error) {
		w.runtime.SetBefore(func(_ context.Context, v runtimetest.Verb, _ workspace.ID) error {
			if v == verb {
				return err
			}
			return nil
		})
		_ = w.end(o.Wake(id))
	}
	fails(runtimetest.Create, workspace.ErrImageMissing)
	fails(runtimetest.Start, workspace.ErrStorageFull)
	fails(runtimetest.Start, context.DeadlineExceeded)
	want("create", "image_missing", 1)
	want("start", "storage_full", 1)
	want("start", "timeout", 1)
	w.runtime.SetBefore(nil)
	w.runtime.SetDown(true)
	_ = o.Reconcile(t.Context())
	want("prepare", "down", 1)

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_ = o.Reconcile(gone)
	want("prepare", "other", 0) // the caller left
	want("prepare", "down", 1)
}

func TestMetrics_WhatAReconcilePutRight(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	want := func(kind string, n float64) {
		t.Helper()
		if got := metric(t, o, "kalpana_reconcile_corrections_total", "kind", kind); got != n {
			t.Errorf("%s: %v, want %v", kind, got, n)
		}
	}
	gone := w.awake(o)
	w.runtime.Vanish(w.record(gone).Container)
	w.runtime.Plant(workspace.NewID())
	w.must(o.Reconcile(t.Context()))
	want("orphan", 1)
	want("stopped", 1)
	for _, kind := range []string{"adopted", "container", "delete"} {
		want(kind, 0)
	}
	w.must(o.Reconcile(t.Context()))
	want("orphan", 1)
	want("stopped", 1)
	if n := metric(t, o, "kalpana_reconcile_duration_seconds", "outcome", "ok"); n != 2 {
		t.Errorf("%v reconciles, want 2", n)
	}
}

func TestMetrics_AWakeThatWasCutShortIsNoFault(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	id := w.create(o)
	w.boots(runtimetest.Boot{Never: true})
	wake := o.Wake(id)
	w.eventually("it starts", func() bool { s, _ := wake.Stage(); return s == orchestrator.StageEditor })
	w.must(w.end(o.Stop(id, "test")))
	w.wantErr(w.end(wake), workspace.ErrBusy)
	for outcome, want := range map[string]float64{"canceled": 1, "error": 0, "ok": 0} {
		if got := metric(t, o, "kalpana_wake_duration_seconds", "from", "stopped", "stage", "total", "outcome", outcome); got != want {
			t.Errorf("%s: %v, want %v", outcome, got, want)
		}
	}
}

func TestMetrics_SleepsThatNobodyAskedFor(t *testing.T) {
	w := newWorld(t)
	o := w.started()
	want := func(to, reason string, n float64) {
		t.Helper()
		w.eventually(to+" "+reason, func() bool {
			return metric(t, o, "kalpana_sleeps_total", "to", to, "reason", reason) == n
		})
	}
	id := w.awake(o)
	w.must(w.end(o.Stop(id, "test")))
	want("stopped", "asked", 1)
	w.wake(o, id)
	w.runtime.Kill(w.record(id).Container, 1, false)
	want("stopped", "ended", 1)
	w.wake(o, id)
	w.runtime.Kill(w.record(id).Container, 137, true)
	want("error", "out_of_memory", 1)
}

func TestMetrics_AWakeBeginsWhenItIsAskedFor(t *testing.T) {
	w := newWorld(t)
	o := w.gateway(oneAtOnce)
	first, second := w.createFor(o, "ann", "1"), w.createFor(o, "bob", "2")
	l := newLine(w, o, map[workspace.ID]string{first: "1", second: "2"})
	starts := o.Wake(first)
	w.eventually("the first has begun", func() bool { return l.began() == "1" })
	waits := o.Wake(second)
	w.wantPlace(waits, 1, 1)
	w.eventually("one waits", func() bool { return metric(t, o, "kalpana_starts_queued") == 1 })
	const wait = 50 * time.Millisecond
	time.Sleep(wait) // that long it waits for its turn
	close(l.next)
	w.must(w.end(starts))
	w.must(w.end(waits))
	for _, stage := range []string{"queued", "total"} {
		if n, sum := metric(t, o, "kalpana_wake_duration_seconds", "stage", stage), metric(t, o, "kalpana_wake_duration_seconds_sum", "stage", stage); n != 2 || sum < wait.Seconds() {
			t.Errorf("%s: %v, %v s in all", stage, n, sum)
		}
	}
}
