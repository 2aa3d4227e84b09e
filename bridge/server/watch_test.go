package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
)

// watcher collects what is told of a folder.
type watcher struct {
	t      testing.TB
	mu     sync.Mutex
	last   map[string]bool // path to whether it was removed
	rescan bool
	first  bridge.WatchBatch
	ended  chan error
	stop   context.CancelFunc
}

func (c *container) watch(path string) *watcher {
	c.t.Helper()
	ctx, cancel := context.WithCancel(c.t.Context())
	w := &watcher{t: c.t, last: map[string]bool{}, ended: make(chan error, 1), stop: cancel}
	ready := make(chan struct{})
	cl := c.dial()
	go func() {
		w.ended <- cl.Watch(ctx, path, func(b bridge.WatchBatch) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if b.Ready {
				w.first = b
				close(ready)
			}
			w.rescan = w.rescan || b.Rescan
			for _, change := range b.Changes {
				w.last[change.Path] = change.Removed
			}
			return nil
		})
	}()
	select {
	case <-ready:
	case err := <-w.ended:
		c.t.Fatal(err)
	case <-time.After(30 * time.Second):
		c.t.Fatal("it is never ready")
	}
	c.t.Cleanup(cancel)
	return w
}

// sees waits until a change was told.
func (w *watcher) sees(path string, removed bool) {
	w.t.Helper()
	eventually(w.t, fmt.Sprintf("%s, removed: %v", path, removed), func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		got, ok := w.last[path]
		return ok && got == removed
	})
}

func TestWatch_TellsWhatChangesBelowAFolder(t *testing.T) {
	c := start(t, "serve")
	c.write("src/deep/a.go", "1")
	c.write("node_modules/x/index.js", "1")
	c.write(".git/HEAD", "1")
	w := c.watch("")
	if w.first.Partial {
		t.Errorf("%+v", w.first)
	}
	c.write("src/deep/a.go", "2")
	w.sees("src/deep/a.go", false)
	if err := os.Remove(filepath.Join(c.workspace, "src/deep/a.go")); err != nil {
		t.Fatal(err)
	}
	w.sees("src/deep/a.go", true)
	c.write("new/er/est/b.go", "made with its folders")
	w.sees("new/er/est/b.go", false)
	c.write("new/er/est/b.go", "and changed later")
	w.mu.Lock()
	clear(w.last)
	w.mu.Unlock()
	c.write("new/er/est/c.go", "")
	w.sees("new/er/est/c.go", false)
	if err := os.Rename(filepath.Join(c.workspace, "new/er"), filepath.Join(c.workspace, "moved")); err != nil {
		t.Fatal(err)
	}
	w.sees("new/er", true)
	w.sees("moved/est/b.go", false)
	c.write("moved/est/d.go", "")
	w.sees("moved/est/d.go", false)
	if _, err := c.dial().WriteFile(t.Context(), bridge.WriteFileParams{Path: "w.txt", Content: "x"}); err != nil {
		t.Fatal(err)
	}
	w.sees("w.txt", false)
	c.write("node_modules/x/index.js", "2")
	c.write("node_modules/y/index.js", "2")
	c.write(".git/HEAD", "2")
	c.write("last", "")
	w.sees("last", false)
	w.mu.Lock()
	defer w.mu.Unlock()
	for p := range w.last {
		if strings.HasPrefix(p, "node_modules/") || strings.HasPrefix(p, ".git/") || strings.Contains(p, ".tmp") {
			t.Errorf("told: %s", p)
		}
	}
}

func TestWatch_AFolderOfItsOwn(t *testing.T) {
	c := start(t, "serve")
	c.write("a/x", "")
	c.write("b/x", "")
	outside := t.TempDir()
	if err := os.Symlink("../b", filepath.Join(c.workspace, "a/link")); err != nil {
		t.Fatal(err)
	}
	w := c.watch("a")
	c.write("b/y", "")
	c.write("a/y", "")
	w.sees("a/y", false)
	w.mu.Lock()
	if _, ok := w.last["b/y"]; ok {
		t.Error("it tells of the folder beside it")
	}
	w.mu.Unlock()
	if err := os.RemoveAll(filepath.Join(c.workspace, "a")); err != nil {
		t.Fatal(err)
	}
	if err := <-w.ended; !errors.Is(err, bridge.ErrNotFound) {
		t.Errorf("the folder is gone: %v", err)
	}
	if err := os.Symlink(outside, filepath.Join(c.workspace, "out")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"out", "..", "/etc", "b/x"} {
		if err := c.dial().Watch(t.Context(), path, func(bridge.WatchBatch) error { return errors.New("watched") }); !errors.Is(err, bridge.ErrInvalid) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := c.dial().Watch(t.Context(), "nope", nil); !errors.Is(err, bridge.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

func TestWatch_MoreThanCanBeToldIsARescan(t *testing.T) {
	c := start(t, "serve")
	if err := os.Mkdir(filepath.Join(c.workspace, "many"), 0o755); err != nil {
		t.Fatal(err)
	}
	w := c.watch("")
	for i := range 2 * bridge.MaxWatchChanges {
		if err := os.WriteFile(filepath.Join(c.workspace, "many", fmt.Sprintf("%04d-%s", i, strings.Repeat("x", 150))), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "a rescan, or all of them", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.rescan || len(w.last) >= 2*bridge.MaxWatchChanges
	})
	c.write("many/after", "")
	w.sees("many/after", false)
}

func TestWatch_AnOverflowOfTheKernelsQueueIsARescan(t *testing.T) {
	c := start(t, "serve")
	c.write("sub/x", "")
	w, err := newWatch(folder{c.workspace}, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	event := make([]byte, 16)
	copy(event, []byte{0xff, 0xff, 0xff, 0xff, 0, 0x40, 0, 0}) // wd -1, IN_Q_OVERFLOW
	if gone := w.read(event); gone || !w.rescan || len(w.folders) != 2 {
		t.Errorf("gone %v, rescan %v, %v", gone, w.rescan, w.folders)
	}
	told := false
	if b := w.take(&told); !b.Rescan || len(b.Changes) != 0 {
		t.Errorf("%+v", b)
	}
}

func TestWatch_TooManyFoldersAreToldOf(t *testing.T) {
	c := start(t, "serve", func(cfg *Config) { cfg.watchFolders = 3 })
	for i := range 5 {
		c.write(fmt.Sprintf("d%d/x", i), "")
	}
	w := c.watch("")
	if !w.first.Partial {
		t.Errorf("%+v", w.first)
	}
	c.write("top", "")
	w.sees("top", false)
}

func TestWatch_EndsWithWhoeverWatches(t *testing.T) {
	c := start(t, "serve")
	for range 2 * bridge.MaxWatches { // more than there may be at a time
		w := c.watch("")
		w.stop()
		if err := <-w.ended; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		eventually(t, "the bridge notices", func() bool {
			open, err := os.ReadDir("/proc/self/fd")
			if err != nil {
				t.Fatal(err)
			}
			for _, fd := range open {
				if link, _ := os.Readlink("/proc/self/fd/" + fd.Name()); link == "anon_inode:inotify" {
					return false
				}
			}
			return true
		})
	}
}
