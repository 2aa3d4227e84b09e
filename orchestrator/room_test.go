package orchestrator_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/workspace"
)

func running(limit int) func(*orchestrator.Config) {
	return func(c *orchestrator.Config) { c.RunningLimit, c.WorkspaceLimit = limit, -1 }
}

func TestRunningLimit_AWakeBeyondItIsRefusedWithTheNamesOfThoseThatRun(t *testing.T) {
	w := newWorld(t)
	o := w.gateway(running(2))
	for _, name := range []string{"api", "site"} {
		w.wake(o, w.createFor(o, "ann", name))
	}
	w.wake(o, w.createFor(o, "bob", "not hers"))
	third := w.createFor(o, "ann", "tools")
	err := w.end(o.Wake(third))
	w.wantErr(err, workspace.ErrRunningLimit)
	text := orchestrator.Explain(err)
	first, names, _ := strings.Cut(text, "\n")
	if first != "You have as many workspaces running as you may have, 2. Stop one of them, then try again." || names != "Awake now: api, site" {
		t.Errorf("it says %q", text)
	}
	if record := w.wantState(third, workspace.StateStopped); record.LastStart.Error != first {
		t.Errorf("the record says %q", record.LastStart.Error)
	}
	if list := w.runtime.Of(third); len(list) != 0 {
		t.Errorf("containers %v", list)
	}
}

func TestRunningLimit_AStopMakesRoom(t *testing.T) {
	w := newWorld(t)
	o := w.gateway(running(1))
	first, second := w.createFor(o, "ann", "1"), w.createFor(o, "ann", "2")
	w.wake(o, first)
	w.wantErr(w.end(o.Wake(second)), workspace.ErrRunningLimit)
	w.wake(o, first) // it runs, so this is none more
	w.must(w.end(o.Stop(first, "test")))
	w.wake(o, second)
}

func TestRunningLimit_TheLongestPausedIsStoppedToMakeRoom(t *testing.T) {
	w := newWorld(t)
	o := w.gateway(running(3))
	var ids []workspace.ID
	for _, name := range []string{"1", "2", "3", "new"} {
		ids = append(ids, w.createFor(o, "ann", name))
	}
	for _, id := range ids[:3] {
		w.wake(o, id)
	}
	w.must(w.end(o.Pause(ids[1], "test")))
	w.must(w.end(o.Pause(ids[0], "test")))
	w.wake(o, ids[3])
	stopped := w.wantState(ids[1], workspace.StateStopped)
	if want := "stopped to make room for “new”: it was paused, and 3 of your workspaces may be awake at a time"; stopped.Reason != want {
		t.Errorf("reason %q, want %q", stopped.Reason, want)
	}
	w.wantState(ids[0], workspace.StatePaused)
	w.wantState(ids[2], workspace.StateRunning)
	w.wake(o, ids[0]) // resuming it is none more
	w.wantErr(w.end(o.Wake(ids[1])), workspace.ErrRunningLimit)
}

func TestRunningLimit_WherePausedOnesAreNotEnoughNoneIsStopped(t *testing.T) {
	w := newWorld(t)
	var limit atomic.Int64
	limit.Store(3)
	o := w.gateway(running(-1), func(c *orchestrator.Config) {
		c.Quota = func(context.Context, string) (workspace.Quota, error) {
			return workspace.Quota{Running: int(limit.Load())}, nil
		}
	})
	var ids []workspace.ID
	for range 4 {
		ids = append(ids, w.create(o))
	}
	for _, id := range ids[:3] {
		w.wake(o, id)
	}
	w.must(w.end(o.Pause(ids[0], "test")))
	limit.Store(1) // the operator lowered it: two would have to go
	w.wantErr(w.end(o.Wake(ids[3])), workspace.ErrRunningLimit)
	w.wantState(ids[0], workspace.StatePaused)
}

func TestRunningLimit_IsKeptByManyWakesAtOnceOverTwoGateways(t *testing.T) {
	w := newWorld(t)
	w.boots(runtimetest.Boot{After: 20 * time.Millisecond})
	one, two := w.gateway(running(2)), w.second(running(2))
	var ids []workspace.ID
	for range 8 {
		ids = append(ids, w.create(one))
	}
	var all sync.WaitGroup
	var ran, refused atomic.Int64
	for i, id := range ids {
		o := one
		if i%2 == 1 {
			o = two
		}
		all.Go(func() {
			switch err := o.Wake(id).Wait(t.Context()); {
			case err == nil:
				ran.Add(1)
			case errors.Is(err, workspace.ErrRunningLimit):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if ran.Load() != 2 || refused.Load() != 6 {
		t.Errorf("%d run and %d were refused, want 2 and 6", ran.Load(), refused.Load())
	}
	if n := w.runtime.Calls(runtimetest.Start); n != 2 {
		t.Errorf("%d containers were started", n)
	}
}

func TestRunningLimit_OfADeadGatewaysDecisionIsWaitedForOnlyAsLongAsItsLease(t *testing.T) {
	w := newWorld(t)
	o := w.gateway(running(1))
	ends := time.Now().Add(300 * time.Millisecond)
	ok, err := w.store.AcquireLease(t.Context(), "running:ann", "a dead gateway", time.Now(), ends)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	w.awake(o)
	if time.Now().Before(ends) {
		t.Error("two decided at once")
	}
}

func TestRunningLimit_AStoreThatIsTooSlowToDecideSaysSo(t *testing.T) {
	w := newWorld(t)
	var slow atomic.Bool
	store := &slowStore{Store: w.store, slow: &slow}
	o := w.gateway(running(1), func(c *orchestrator.Config) { c.Store = store })
	o.SetLease(300 * time.Millisecond)
	id := w.create(o)
	slow.Store(true)
	w.wantErr(w.end(o.Wake(id)), workspace.ErrStoreDown)
	slow.Store(false)
	w.wake(o, id)
}

// slowStore takes longer to write down a start than anybody waits for.
type slowStore struct {
	orchestrator.Store
	slow *atomic.Bool
}

func (s *slowStore) UpdateWorkspace(ctx context.Context, w *workspace.Workspace) error {
	if s.slow.Load() && w.State == workspace.StateStarting {
		<-ctx.Done()
		return ctx.Err()
	}
	return s.Store.UpdateWorkspace(ctx, w)
}

func TestQuota_OfAPersonComesBeforeTheTemplatesAndThatBeforeTheDefaults(t *testing.T) {
	w := newWorld(t)
	quotas := map[string]workspace.Quota{
		"bob": {Memory: 8 << 30, CPUs: -1, Workspaces: 1},
		"eve": {Disk: -1, Running: 1},
	}
	o := w.gateway(func(c *orchestrator.Config) {
		c.Limits = orchestrator.Limits{Memory: 4 << 30, CPUs: 2, PIDs: 100, OpenFiles: 200, LogSize: 300, Disk: 20 << 30}
		c.WorkspaceLimit, c.RunningLimit = 2, 3
		c.Templates = []orchestrator.Template{{Name: "blank"}, {Name: "big", Quota: workspace.Quota{Memory: 16 << 30, PIDs: -1, Disk: 50 << 30}}}
		c.Quota = func(_ context.Context, person string) (workspace.Quota, error) { return quotas[person], nil }
	})
	for _, c := range []struct {
		person, template string
		want             workspace.Quota
	}{
		{"ann", "blank", workspace.Quota{Workspaces: 2, Running: 3, CPUs: 2, Memory: 4 << 30, PIDs: 100, Disk: 20 << 30}},
		{"ann", "big", workspace.Quota{Workspaces: 2, Running: 3, CPUs: 2, Memory: 16 << 30, Disk: 50 << 30}},
		{"bob", "big", workspace.Quota{Workspaces: 1, Running: 3, Memory: 8 << 30, Disk: 50 << 30}},
		{"eve", "blank", workspace.Quota{Workspaces: 2, Running: 1, CPUs: 2, Memory: 4 << 30, PIDs: 100}},
		{"ann", "no longer configured", workspace.Quota{Workspaces: 2, Running: 3, CPUs: 2, Memory: 4 << 30, PIDs: 100, Disk: 20 << 30}},
	} {
		got := o.LimitsOf(&workspace.Workspace{Owner: c.person, Template: c.template})
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s with %s: %s", c.person, c.template, diff)
		}
	}
	record, err := o.Create(t.Context(), orchestrator.NewWorkspace{Owner: "bob", Name: "1", Template: "big"})
	w.must(err)
	w.wake(o, record.ID)
	want := orchestrator.Limits{Memory: 8 << 30, OpenFiles: 200, LogSize: 300, Disk: 50 << 30}
	if diff := cmp.Diff(want, w.runtime.Spec(w.record(record.ID).Container).Limits); diff != "" {
		t.Error(diff)
	}
	_, err = o.Create(t.Context(), orchestrator.NewWorkspace{Owner: "bob", Name: "2", Template: "big"})
	w.wantErr(err, workspace.ErrLimit)
}

func TestQuota_AChangedLimitTakesEffectAtTheNextStart(t *testing.T) {
	w := newWorld(t)
	quota := workspace.Quota{Memory: 1 << 30}
	o := w.gateway(func(c *orchestrator.Config) {
		c.Quota = func(context.Context, string) (workspace.Quota, error) { return quota, nil }
	})
	id := w.awake(o)
	first := w.record(id).Container
	w.must(w.end(o.Stop(id, "test")))
	calls := w.runtime.Calls(runtimetest.Limit)
	w.wake(o, id)
	if n := w.runtime.Calls(runtimetest.Limit); n != calls {
		t.Error("the engine was told of limits that did not change")
	}
	w.must(w.end(o.Stop(id, "test")))
	quota.Memory = 2 << 30
	w.wake(o, id)
	if again := w.record(id).Container; again != first || w.runtime.Spec(again).Limits.Memory != 2<<30 {
		t.Errorf("container %s with %+v, before %s", again, w.runtime.Spec(again).Limits, first)
	}
	w.must(w.end(o.Stop(id, "test")))
	quota.Disk = 1 << 30 // an engine sets this once and for all
	w.wake(o, id)
	again := w.record(id)
	if again.Container == first || w.runtime.Spec(again.Container).Limits.Disk != 1<<30 {
		t.Errorf("container %s with %+v, before %s", again.Container, w.runtime.Spec(again.Container).Limits, first)
	}
	w.wantContainer(id, orchestrator.ContainerRunning)
	if volumes := w.runtime.Volumes(); len(volumes) != 1 {
		t.Errorf("volumes %v", volumes)
	}
}

func TestTemplate_MayHaveAnImageOfItsOwn(t *testing.T) {
	w := newWorld(t)
	o := w.gateway(func(c *orchestrator.Config) {
		c.Templates = []orchestrator.Template{{Name: "blank"}, {Name: "cuda", Image: "corp/cuda:1"}}
	})
	record, err := o.Create(t.Context(), orchestrator.NewWorkspace{Owner: "ann", Name: "1", Template: "cuda"})
	w.must(err)
	w.wake(o, record.ID)
	if got := w.record(record.ID); got.Image != "corp/cuda:1" || w.runtime.Spec(got.Container).Image != "corp/cuda:1" {
		t.Errorf("image %s", got.Image)
	}
	w.must(w.end(o.Stop(record.ID, "test")))
	w.wake(o, record.ID)
	if n := w.runtime.Calls(runtimetest.Create); n != 1 {
		t.Errorf("%d containers were made, want 1", n)
	}
}

const gib = 1 << 30

func TestReserve_NothingIsStartedThatWouldTakeOfIt(t *testing.T) {
	for _, c := range []struct {
		name string
		host orchestrator.Host
		says string // "" where it is started
	}{
		{"enough of both", orchestrator.Host{Memory: 8 * gib, MemoryFree: 2 * gib, Disk: 100 * gib, DiskFree: 5 * gib}, ""},
		{
			"too little memory",
			orchestrator.Host{Memory: 8 * gib, MemoryFree: 1100 << 20, Disk: 100 * gib, DiskFree: 5 * gib},
			"The machine has no room for another workspace right now: 1.07 GiB of its memory are free, 1 GiB are kept for the machine itself, and a start takes about 256 MiB." +
				" Stop a workspace that you do not need and try again, or ask the operator for more room.",
		},
		{
			"too little disk",
			orchestrator.Host{Memory: 8 * gib, MemoryFree: 2 * gib, Disk: 100 * gib, DiskFree: 700 << 20},
			"The machine has no room for another workspace right now: 700 MiB of its disk are free, and 2 GiB are kept for the machine itself." +
				" Stop a workspace that you do not need and try again, or ask the operator for more room.",
		},
		{"nothing is known", orchestrator.Host{}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.runtime.SetHost(c.host)
			o := w.gateway(func(cfg *orchestrator.Config) { cfg.Reserve = orchestrator.Reserve{Memory: gib, Disk: 2 * gib} })
			id := w.create(o)
			err := w.end(o.Wake(id))
			if c.says == "" {
				w.must(err)
				return
			}
			w.wantErr(err, workspace.ErrHostFull)
			if text := orchestrator.Explain(err); text != c.says {
				t.Errorf("it says %q", text)
			}
			w.wantState(id, workspace.StateStopped)
			w.runtime.SetHost(orchestrator.Host{Memory: 8 * gib, MemoryFree: 4 * gib, Disk: 100 * gib, DiskFree: 9 * gib})
			w.wake(o, id)
		})
	}
}

func TestReserve_ByDefaultIsNoMoreThanAShareOfTheMachine(t *testing.T) {
	for _, c := range []struct {
		host    orchestrator.Host
		refused bool
	}{
		{orchestrator.Host{Memory: 16 * gib, MemoryFree: 769 << 20, Disk: 100 * gib, DiskFree: gib + 1}, false},
		{orchestrator.Host{Memory: 16 * gib, MemoryFree: 767 << 20, Disk: 100 * gib, DiskFree: gib + 1}, true},
		{orchestrator.Host{Memory: 16 * gib, MemoryFree: 769 << 20, Disk: 100 * gib, DiskFree: gib - 1}, true},
		{orchestrator.Host{Memory: 1000 << 20, MemoryFree: 357 << 20, Disk: 1000 << 20, DiskFree: 51 << 20}, false},
		{orchestrator.Host{Memory: 1000 << 20, MemoryFree: 355 << 20, Disk: 1000 << 20, DiskFree: 51 << 20}, true},
		{orchestrator.Host{Memory: 1000 << 20, MemoryFree: 357 << 20, Disk: 1000 << 20, DiskFree: 49 << 20}, true},
	} {
		w := newLoneWorld(t)
		w.runtime.SetHost(c.host)
		o := w.gateway(func(cfg *orchestrator.Config) { cfg.Reserve = orchestrator.Reserve{Memory: -1, Disk: -1} })
		if err := w.end(o.Wake(w.create(o))); errors.Is(err, workspace.ErrHostFull) != c.refused || err != nil && !c.refused {
			t.Errorf("%+v: %v", c.host, err)
		}
	}
}

func TestReserve_AStartThatWasCutShortAndIsRefusedNowEndsStopped(t *testing.T) {
	w := newWorld(t)
	w.runtime.SetHost(orchestrator.Host{Memory: gib, MemoryFree: 1})
	o := w.gateway(func(cfg *orchestrator.Config) { cfg.Reserve = orchestrator.Reserve{Memory: gib} })
	id := w.create(o)
	record := w.record(id)
	record.State, record.Desired = workspace.StateStarting, workspace.StateRunning
	w.must(w.store.UpdateWorkspace(t.Context(), record))
	w.must(o.Reconcile(t.Context()))
	w.eventually("it is stopped", func() bool { return w.record(id).State == workspace.StateStopped })
	if record := w.record(id); !strings.HasPrefix(record.Reason, "The machine has no room") || record.Desired != workspace.StateStopped {
		t.Errorf("record %+v", record)
	}
}

func TestReserve_AnEngineElsewhereIsNotMeasuredAndStarts(t *testing.T) {
	w := newWorld(t)
	o := w.gateway(func(cfg *orchestrator.Config) { cfg.Reserve = orchestrator.Reserve{Memory: gib, Disk: gib} })
	w.awake(o)
}

func TestReserve_AResumeTakesNothing(t *testing.T) {
	w := newWorld(t)
	o := w.gateway(func(cfg *orchestrator.Config) { cfg.Reserve = orchestrator.Reserve{Memory: gib} })
	id := w.awake(o)
	w.must(w.end(o.Pause(id, "test")))
	w.runtime.SetHost(orchestrator.Host{Memory: gib, MemoryFree: 1})
	w.wake(o, id)
}

func TestRunningLimit_ARestartBeyondItLeavesItRunning(t *testing.T) {
	w := newWorld(t)
	limit := 2
	o := w.gateway(func(c *orchestrator.Config) {
		c.Quota = func(context.Context, string) (workspace.Quota, error) { return workspace.Quota{Running: limit}, nil }
	})
	first, second := w.awake(o), w.awake(o)
	w.must(w.end(o.Restart(first, "test")))
	limit = 1
	w.wantErr(w.end(o.Restart(first, "test")), workspace.ErrRunningLimit)
	w.wantErr(w.end(o.Rebuild(second)), workspace.ErrRunningLimit)
	w.wantState(first, workspace.StateRunning)
	w.wantState(second, workspace.StateRunning)
}
