package docker

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/orchestrator"
)

func TestLimit_IsChangedOfTheContainerThatExists(t *testing.T) {
	t.Parallel()
	r := prepared(t)
	s := spec(t, r, "serve")
	s.Limits = orchestrator.Limits{Memory: 64 << 20, CPUs: 1, PIDs: 64, OpenFiles: 512, LogSize: 1 << 20}
	id := create(t, r, s)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Limit(gone, id, s.Limits); err != nil {
		t.Errorf("the same limits cost a call: %v", err)
	}

	s.Limits.Memory, s.Limits.CPUs, s.Limits.PIDs = 128<<20, 0.5, 32
	if err := r.Limit(t.Context(), id, s.Limits); err != nil {
		t.Fatal(err)
	}
	h := inspect(t, id).HostConfig
	if h.Memory != 128<<20 || h.MemorySwap != 128<<20 || h.NanoCPUs != 500_000_000 || *h.PidsLimit != 32 || h.CPUShares != cpuShares || h.RestartPolicy.Name != "no" {
		t.Errorf("%+v %+v", h.Resources, h.RestartPolicy)
	}
	if err := r.Start(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	within := inside(t, id, "cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory.max")
	if !strings.Contains(within, "134217728") {
		t.Errorf("from within: %q", within)
	}

	// Another gateway does not know the container: it looks, and changes nothing.
	again := newRuntime(t, func(c *Config) { c.Instance = r.cfg.Instance })
	if err := again.Limit(t.Context(), id, s.Limits); err != nil {
		t.Error(err)
	}
	if err := again.Limit(gone, id, s.Limits); err != nil {
		t.Errorf("it looks each time: %v", err)
	}
}

func TestLimit_WhatCannotBeChangedNeedsAnotherContainer(t *testing.T) {
	t.Parallel()
	r := prepared(t)
	s := spec(t, r, "serve")
	s.Limits = orchestrator.Limits{Memory: 64 << 20, CPUs: 1, PIDs: 64, OpenFiles: 512, LogSize: 1 << 20}
	id := create(t, r, s)
	for name, change := range map[string]func(*orchestrator.Limits){
		"no memory limit":    func(l *orchestrator.Limits) { l.Memory = 0 },
		"no processor limit": func(l *orchestrator.Limits) { l.CPUs = 0 },
		"no process limit":   func(l *orchestrator.Limits) { l.PIDs = 0 },
		"open files":         func(l *orchestrator.Limits) { l.OpenFiles = 1024 },
		"log":                func(l *orchestrator.Limits) { l.LogSize = 2 << 20 },
	} {
		limits := s.Limits
		change(&limits)
		if err := r.Limit(t.Context(), id, limits); !errors.Is(err, orchestrator.ErrNoContainer) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := r.Limit(t.Context(), id, s.Limits); err != nil {
		t.Error(err)
	}
	if err := r.Remove(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	s.Limits.Memory *= 2
	if err := r.Limit(t.Context(), id, s.Limits); !errors.Is(err, orchestrator.ErrNoContainer) {
		t.Errorf("a container that is gone: %v", err)
	}
}

func TestHost_TellsWhatThisMachineHas(t *testing.T) {
	t.Parallel()
	r := newRuntime(t)
	h, err := r.Host(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if h.Memory < 64<<20 || h.MemoryFree < 1 || h.MemoryFree > h.Memory || h.Disk < 64<<20 || h.DiskFree < 1 || h.DiskFree > h.Disk {
		t.Errorf("%+v", h)
	}
	began := time.Now()
	for range 100 {
		if _, err := r.Host(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if d := time.Since(began) / 100; d > 20*time.Millisecond {
		t.Errorf("a glance takes %v", d)
	}
}

func TestHost_OfAnEngineElsewhereIsUnknown(t *testing.T) {
	t.Parallel()
	r := newRuntime(t)
	r.machine.known = true // and it is not here
	if _, err := r.Host(t.Context()); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
}

func TestDiskUsed_IsVolumeAndLayer(t *testing.T) {
	t.Parallel()
	r := prepared(t)
	s := spec(t, r, "serve")
	id := run(t, r, s)
	before, whole, err := r.DiskUsed(t.Context(), id, s.Volume)
	if err != nil || !whole {
		t.Fatal(before, whole, err)
	}
	v, err := world.api.VolumeInspect(t.Context(), s.Volume)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(v.Mountpoint); err != nil {
		t.Fatalf("these tests run on the engine's machine: %v", err)
	}
	fill(t, filepath.Join(v.Mountpoint, "in the volume"), 5<<20)
	fill(t, filepath.Join(inspect(t, id).GraphDriver.Data["UpperDir"], "in the layer"), 3<<20)
	after, whole, err := r.DiskUsed(t.Context(), id, s.Volume)
	if err != nil || !whole || after-before < 8<<20 || after-before > 9<<20 {
		t.Errorf("%d bytes, before %d, %v, %v", after, before, whole, err)
	}
	if _, _, err := r.DiskUsed(t.Context(), strings.Repeat("0", fullIDLength), s.Volume); !errors.Is(err, orchestrator.ErrNoContainer) {
		t.Errorf("a container that is gone: %v", err)
	}
}

func TestDiskUsed_OnAnotherMachineTheEngineIsAsked(t *testing.T) {
	t.Parallel()
	r := prepared(t)
	s := spec(t, r, "serve")
	id := run(t, r, s)
	v, err := world.api.VolumeInspect(t.Context(), s.Volume)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, filepath.Join(v.Mountpoint, "in the volume"), 5<<20)
	fill(t, filepath.Join(inspect(t, id).GraphDriver.Data["UpperDir"], "in the layer"), 3<<20)
	r.machine.known = true // and it is not here
	began := time.Now()
	used, whole, err := r.DiskUsed(t.Context(), id, s.Volume)
	if err != nil || !whole || used < 8<<20 || used > 9<<20 {
		t.Errorf("%d bytes, %v, %v", used, whole, err)
	}
	t.Log("the engine took", time.Since(began))
	if _, _, err := r.DiskUsed(t.Context(), id, "another"); err == nil {
		t.Error("a volume that is not there has a size")
	}
}
