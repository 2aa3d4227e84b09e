package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fill writes so many bytes to a file, all of them to the disk.
func fill(t *testing.T, path string, size int) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil { // else its blocks may not be given out yet
		t.Fatal(err)
	}
}

// wantUsage checks what is in a directory, give or take what the directories themselves take.
func wantUsage(t *testing.T, size int64, dirs ...string) {
	t.Helper()
	used, whole, err := usage(t.Context(), dirs...)
	if err != nil || !whole {
		t.Fatal(used, whole, err)
	}
	if used < size || used > size+1<<20 {
		t.Errorf("%d bytes, want about %d", used, size)
	}
}

func TestUsage_CountsWhatIsOnTheDiskOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fill(t, filepath.Join(dir, "a"), 5<<20)
	if err := os.MkdirAll(filepath.Join(dir, "x", "y"), 0o700); err != nil {
		t.Fatal(err)
	}
	fill(t, filepath.Join(dir, "x", "y", "b"), 3<<20)
	outside := t.TempDir()
	fill(t, filepath.Join(outside, "c"), 7<<20)
	for _, err := range []error{
		os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "x", "the same")),
		os.Symlink(outside, filepath.Join(dir, "a link")),
		os.Symlink(filepath.Join(outside, "c"), filepath.Join(dir, "another")),
		os.Chmod(filepath.Join(dir, "x"), 0),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	sparse, err := os.Create(filepath.Join(dir, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(sparse.Truncate(1<<30), sparse.Close()); err != nil {
		t.Fatal(err)
	}
	wantUsage(t, 8<<20, dir)
	wantUsage(t, 15<<20, dir, outside)
}

func TestUsage_NothingIsHiddenBelowManyDirectories(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const depth = 3 * maxDepth
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range depth { // its path is longer than a path may be
		if err := unix.Mkdirat(fd, "a directory with a long name", 0o700); err != nil {
			t.Fatal(err)
		}
		below, err := unix.Openat(fd, "a directory with a long name", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			t.Fatal(err)
		}
		_ = unix.Close(fd)
		fd = below
	}
	file, err := unix.Openat(fd, "deep", unix.O_WRONLY|unix.O_CREAT, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(file), "deep")
	if _, err := f.Write(make([]byte, 6<<20)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close(), unix.Close(fd)); err != nil {
		t.Fatal(err)
	}
	used, whole, err := usage(t.Context(), dir)
	if err != nil || !whole || used < 6<<20 || used > 6<<20+(depth+10)*64<<10 {
		t.Errorf("%d bytes, %v, %v", used, whole, err)
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range open {
		if file, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(file, dir) {
			t.Errorf("%.60s… is left open", file)
		}
	}
}

func TestUsage_SaysWhereTimeRanOut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range 2000 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, whole, err := usage(ctx, dir); whole || err != nil {
		t.Error(whole, err)
	}
	if _, whole, err := usage(t.Context(), dir); !whole || err != nil {
		t.Error(whole, err)
	}
}

func TestUsage_WhatIsNotHereCannotBeTold(t *testing.T) {
	t.Parallel()
	if _, _, err := usage(t.Context(), filepath.Join(t.TempDir(), "gone")); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
}

func TestUsage_RunsOnAThreadThatGivesWay(t *testing.T) {
	t.Parallel()
	before, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, _, err := usage(t.Context(), t.TempDir()); err != nil {
			t.Fatal(err)
		}
		if now, err := unix.Getpriority(unix.PRIO_PROCESS, 0); err != nil || now != before {
			t.Fatalf("this thread has priority %d, before %d (%v)", now, before, err)
		}
	}
}

// BenchmarkUsage tells what a workspace with many files costs each time it is measured.
func BenchmarkUsage(b *testing.B) {
	dir := b.TempDir()
	const files = 50_000
	for i := range files / 100 {
		sub := filepath.Join(dir, fmt.Sprint(i))
		if err := os.Mkdir(sub, 0o700); err != nil {
			b.Fatal(err)
		}
		for j := range 100 {
			if err := os.WriteFile(filepath.Join(sub, fmt.Sprint(j)), []byte("x"), 0o600); err != nil {
				b.Fatal(err)
			}
		}
	}
	start := time.Now()
	n := 0
	for b.Loop() {
		n++
		if _, whole, err := usage(b.Context(), dir); !whole || err != nil {
			b.Fatal(whole, err)
		}
	}
	b.ReportMetric(float64(time.Since(start).Nanoseconds())/float64(n*files), "ns/file")
}
