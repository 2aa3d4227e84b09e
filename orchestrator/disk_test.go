package orchestrator_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/workspace"
)

const mib = 1 << 20

func diskLimit(limit int64) func(*orchestrator.Config) {
	return func(c *orchestrator.Config) { c.Limits.Disk = limit }
}

// measure measures the disks of the workspaces at once.
func (w *world) measure(o *orchestrator.Orchestrator) {
	w.Helper()
	o.MeasureAllDisks()
	w.must(o.MeasureDisks(w.Context()))
}

// wantStops waits until a workspace is stopped for a reason that says this.
func (w *world) wantStops(id workspace.ID, says string) {
	w.Helper()
	w.eventually("it is stopped", func() bool { return w.record(id).State == workspace.StateStopped })
	if reason := w.record(id).Reason; !strings.Contains(reason, says) {
		w.Fatalf("reason %q, want %q", reason, says)
	}
}

func TestDisk_WhatAWorkspaceTakesIsWrittenDownWhenItChanges(t *testing.T) {
	w := newWorld(t)
	o := w.gateway(diskLimit(1000 * mib))
	id := w.awake(o)
	w.runtime.SetDiskUsed(id, 100*mib)
	w.measure(o)
	before := w.record(id)
	if before.DiskUsed != 100*mib {
		t.Errorf("%d bytes", before.DiskUsed)
	}
	w.runtime.SetDiskUsed(id, 109*mib) // less than a hundredth of the limit
	w.measure(o)
	if again := w.record(id); again.Revision != before.Revision {
		t.Error("a small change was written down")
	}
	w.runtime.SetDiskUsed(id, 111*mib)
	w.measure(o)
	if again := w.record(id); again.DiskUsed != 111*mib {
		t.Errorf("%d bytes", again.DiskUsed)
	}
	for used, want := range map[int64]bool{799 * mib: false, 800 * mib: true, 1200 * mib: true} {
		if orchestrator.DiskWarning(used, 1000*mib) != want || orchestrator.DiskWarning(used, 0) {
			t.Errorf("a warning at %d", used)
		}
	}
}

func TestDisk_AtItsLimitItIsStoppedAndWhoComesBackCanTidyUp(t *testing.T) {
	w := newWorld(t)
	o := w.gateway(diskLimit(1000 * mib))
	id := w.awake(o)
	w.runtime.SetDiskUsed(id, 1000*mib)
	w.measure(o)
	w.wantState(id, workspace.StateRunning)
	w.runtime.SetDiskUsed(id, 1100*mib)
	w.measure(o)
	w.wantStops(id, "stopped since its disk is full: 1.07 GiB of 1000 MiB are used. Start it and delete files that you no longer need; it is stopped again only if it grows by 64 MiB more.")
	if used := w.record(id).DiskUsed; used != 1100*mib {
		t.Errorf("%d bytes", used)
	}

	w.wake(o, id) // a start is never refused for it
	w.runtime.SetDiskUsed(id, 1110*mib)
	w.measure(o)
	w.wantState(id, workspace.StateRunning)
	w.runtime.SetDiskUsed(id, 1050*mib) // something was deleted …
	w.measure(o)
	w.wantState(id, workspace.StateRunning)
	w.runtime.SetDiskUsed(id, 1130*mib) // … and that room is not for something else
	w.measure(o)
	w.wantStops(id, "its disk is full")

	w.wake(o, id)
	w.runtime.SetDiskUsed(id, 500*mib)
	w.measure(o)
	w.runtime.SetDiskUsed(id, 999*mib)
	w.measure(o)
	w.wantState(id, workspace.StateRunning)
}

func TestDisk_OneThatBeginsJustBelowTheLimitMayStillWriteALittle(t *testing.T) {
	w := newWorld(t)
	o := w.gateway(diskLimit(1000 * mib))
	id := w.awake(o)
	w.runtime.SetDiskUsed(id, 990*mib)
	w.measure(o)
	w.must(w.end(o.Stop(id, "test")))
	w.wake(o, id)
	w.runtime.SetDiskUsed(id, 1020*mib)
	w.measure(o)
	w.wantState(id, workspace.StateRunning)
	w.runtime.SetDiskUsed(id, 1060*mib)
	w.measure(o)
	w.wantStops(id, "its disk is full")
}

func TestDisk_WithoutALimitNothingIsStopped(t *testing.T) {
	w := newWorld(t)
	o := w.gateway(diskLimit(0))
	id := w.awake(o)
	w.runtime.SetDiskUsed(id, 1<<50)
	w.measure(o)
	if w.wantState(id, workspace.StateRunning).DiskUsed != 1<<50 {
		t.Error("it is not written down")
	}
}

func TestDisk_OfSeveralGatewaysOneMeasures(t *testing.T) {
	w := newWorld(t)
	one, two := w.gateway(diskLimit(gib)), w.second(diskLimit(gib))
	id := w.awake(one)
	w.wake(two, id)
	w.measure(one)
	w.measure(two)
	if n := w.runtime.Calls(runtimetest.Measure); n != 1 {
		t.Errorf("it was measured %d times, want once", n)
	}
}

func TestDisk_WhenTheOneThatMeasuresEndsAnotherDoes(t *testing.T) {
	w := newWorld(t)
	one, two := w.gateway(diskLimit(gib)), w.second(diskLimit(gib))
	one.Start()
	id := w.awake(one)
	w.wake(two, id)
	w.measure(one)
	one.Close()
	w.runtime.SetDiskUsed(id, 5*mib)
	w.measure(two)
	if used := w.record(id).DiskUsed; used != 5*mib {
		t.Errorf("%d bytes", used)
	}
}

func TestDisk_WhatSleepsIsNotMeasured(t *testing.T) {
	w := newWorld(t)
	o := w.gateway(diskLimit(gib))
	stopped, paused := w.awake(o), w.awake(o)
	w.must(w.end(o.Stop(stopped, "test")))
	w.must(w.end(o.Pause(paused, "test")))
	w.measure(o)
	if n := w.runtime.Calls(runtimetest.Measure); n != 0 {
		t.Errorf("%d were measured", n)
	}
}

func TestDisk_WhereTheMachineRunsFullTheOneThatGrewMostIsStopped(t *testing.T) {
	w := newWorld(t)
	w.runtime.SetHost(orchestrator.Host{Memory: 8 * gib, MemoryFree: 8 * gib, Disk: 100 * gib, DiskFree: 10 * gib})
	o := w.gateway(func(c *orchestrator.Config) { c.Reserve.Disk = gib })
	calm, greedy, large := w.awake(o), w.awake(o), w.awake(o)
	for id, used := range map[workspace.ID]int64{calm: gib, greedy: gib, large: 50 * gib} {
		w.runtime.SetDiskUsed(id, used)
	}
	w.measure(o)
	w.runtime.SetDiskUsed(calm, gib+100*mib)
	w.runtime.SetDiskUsed(greedy, 9*gib)
	w.measure(o)
	w.wantState(greedy, workspace.StateRunning) // there is room
	w.runtime.SetHost(orchestrator.Host{Memory: 8 * gib, MemoryFree: 8 * gib, Disk: 100 * gib, DiskFree: gib / 3})
	w.measure(o)
	w.wantStops(greedy, "the machine's disk is nearly full, and this workspace has grown by 8 GiB since it was started")
	w.wantState(calm, workspace.StateRunning)
	w.wantState(large, workspace.StateRunning)
}

func TestDisk_IsWatchedWhileTheOrchestratorRuns(t *testing.T) {
	w := newWorld(t)
	o := w.gateway(diskLimit(100 * mib))
	o.SetDiskInterval(20 * time.Millisecond)
	o.Start()
	id := w.awake(o)
	w.runtime.SetDiskUsed(id, 300*mib)
	w.wantStops(id, "its disk is full")
}

func TestDisk_AnEngineThatCannotTellIsNotAskedAgain(t *testing.T) {
	w := newWorld(t)
	o := w.gateway(diskLimit(100 * mib))
	o.SetDiskInterval(5 * time.Millisecond)
	id := w.create(o)
	w.runtime.SetDiskUsed(id, -1)
	o.Start()
	w.wake(o, id)
	w.eventually("it was asked", func() bool { return w.runtime.Calls(runtimetest.Measure) > 0 })
	time.Sleep(30 * time.Millisecond)
	if n := w.runtime.Calls(runtimetest.Measure); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// wantBound checks what a workspace's volume may take.
func (w *world) wantBound(id workspace.ID, want int64) {
	w.Helper()
	if bound, has := w.runtime.Bound("kalpana-" + string(id)); !has || bound != want {
		w.Fatalf("its volume may take %d MiB (%v), want %d MiB", bound/mib, has, want/mib)
	}
}

func TestVolumeQuota_FollowsTheLimitUpAndDown(t *testing.T) {
	w := newWorld(t)
	w.runtime.Quotas = true
	limit := int64(1000 * mib)
	o := w.gateway(func(c *orchestrator.Config) {
		c.Quota = func(context.Context, string) (workspace.Quota, error) { return workspace.Quota{Disk: limit}, nil }
	})
	id := w.awake(o)
	w.wantBound(id, 1000*mib)
	w.runtime.SetDiskUsed(id, 900*mib)
	limit = 2000 * mib // while it runs
	w.measure(o)
	w.wantBound(id, 2000*mib)
	w.must(w.end(o.Stop(id, "test")))
	w.wake(o, id) // the engine brought back what the volume was made with
	w.wantBound(id, 2000*mib)

	limit = 500 * mib // it takes more than that already: somebody who comes back can tidy up
	w.measure(o)
	w.wantBound(id, 964*mib)
	w.wantState(id, workspace.StateRunning)
	w.must(w.end(o.Stop(id, "test")))
	w.wake(o, id)
	w.wantBound(id, 964*mib)
	w.runtime.SetDiskUsed(id, 100*mib)
	w.measure(o)
	w.wantBound(id, 500*mib)

	limit = -1
	w.measure(o)
	w.wantBound(id, 0)
	w.must(w.end(o.Rebuild(id)))
	w.wantBound(id, 0)
}

func TestVolumeQuota_AFullVolumeStartsWithRoomToTidyUp(t *testing.T) {
	w := newWorld(t)
	w.runtime.Quotas = true
	o := w.gateway(diskLimit(1000 * mib))
	id := w.awake(o)
	w.runtime.SetDiskUsed(id, 1000*mib)
	w.measure(o)
	w.wantState(id, workspace.StateRunning) // what it writes is refused
	w.wantBound(id, 1000*mib)
	w.must(w.end(o.Stop(id, "test")))
	w.wake(o, id)
	w.wantBound(id, 1064*mib)
	w.measure(o)
	w.wantBound(id, 1064*mib)
	w.runtime.SetDiskUsed(id, 700*mib)
	w.measure(o)
	w.wantBound(id, 1000*mib)
}

func TestVolumeQuota_WhoCountsFilesElsewhereGainsNothingByIt(t *testing.T) {
	w := newWorld(t)
	w.runtime.Quotas = true
	o := w.gateway(diskLimit(1000 * mib))
	thief, victim := w.awake(o), w.awake(o)
	for _, id := range []workspace.ID{thief, victim} {
		w.runtime.SetDiskUsed(id, 600*mib)
	}
	w.runtime.SetForeign(thief, -500*mib)
	w.runtime.SetForeign(victim, 500*mib)
	w.measure(o)
	w.wantBound(thief, 500*mib)   // 100 are counted; 400 more are left
	w.wantBound(victim, 1500*mib) // 1100 are counted; 400 more are left
}

func TestVolumeQuota_AnEngineWithoutOneIsMeasured(t *testing.T) {
	w := newWorld(t)
	o := w.gateway(diskLimit(1000 * mib))
	id := w.awake(o)
	if _, has := w.runtime.Bound("kalpana-" + string(id)); has {
		t.Error("its volume has a quota")
	}
	w.runtime.SetDiskUsed(id, 1100*mib)
	w.measure(o)
	w.wantStops(id, "its disk is full")
}

func TestVolumeQuota_ThatCannotBeSetKeepsNobodyFromStarting(t *testing.T) {
	w := newWorld(t)
	w.runtime.Quotas = true
	w.runtime.SetBefore(w.fails(runtimetest.Bound, errors.New("not permitted")))
	o := w.gateway(diskLimit(1000 * mib))
	id := w.awake(o)
	w.runtime.SetDiskUsed(id, 1100*mib)
	w.measure(o)
	w.wantStops(id, "its disk is full")
}

func TestVolumeQuota_ADiskThatHasLostItsQuotasIsSaid(t *testing.T) {
	w := newWorld(t)
	w.runtime.SetBefore(w.fails(runtimetest.Start, orchestrator.ErrQuotaLost))
	o := w.gateway()
	id := w.create(o)
	w.wantErr(w.end(o.Wake(id)), orchestrator.ErrQuotaLost)
	if reason := w.wantState(id, workspace.StateError).Reason; !strings.HasSuffix(reason, "mount that disk with project quotas again, and to restart the engine.") {
		t.Errorf("reason %q", reason)
	}
	w.runtime.SetBefore(nil)
	w.wake(o, id)
}

func TestDisk_AStartThatFailsForAFullDiskSaysHowToGoOn(t *testing.T) {
	w := newWorld(t)
	o := w.started()
	id := w.create(o)
	w.runtime.SetBoot(func(workspace.ID) runtimetest.Boot { return runtimetest.Boot{Exit: true, Code: 1} })
	w.runtime.SetLog(id, "kalpana-bridge: mkdir /tmp/kalpana-bridge-1: no space left on device")
	w.wantErr(w.end(o.Wake(id)), workspace.ErrStartFailed)
	if reason := w.wantState(id, workspace.StateError).Reason; !strings.Contains(reason, "ended with code 1. Its disk is full. Rebuild it") {
		t.Errorf("reason %q", reason)
	}
	w.runtime.SetBoot(nil)
	w.must(w.end(o.Rebuild(id)))
	w.wantState(id, workspace.StateRunning)
}
