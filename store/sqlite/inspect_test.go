package sqlite_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/store/sqlite"
	"github.com/kalpana-dev/kalpana/workspace"
)

// kept returns what is in a directory: names, sizes, times and modes.
func kept(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			all.WriteString(strings.Join([]string{path, info.Mode().String(), info.ModTime().String(), "\n"}, " "))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

func TestInspect_TellsOfADatabaseAndChangesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "kalpana.db")
	if _, err := sqlite.Inspect(t.Context(), path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("no file: %v", err)
	}
	store, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	w := &workspace.Workspace{ID: workspace.NewID(), Owner: "ann", State: workspace.StateStopped, UpdatedAt: time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)}
	if err := store.CreateWorkspace(t.Context(), w, 0); err != nil {
		t.Fatal(err)
	}
	for _, port := range []int{40001, 40000} {
		if _, err := store.ClaimPort(t.Context(), port, w.ID); err != nil {
			t.Fatal(err)
		}
	}
	check := func(when string) {
		t.Helper()
		before := kept(t, dir)
		info, err := sqlite.Inspect(t.Context(), path)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if info.Version != info.Known || info.Version == 0 || info.Size == 0 || !info.Newest.Equal(w.UpdatedAt) ||
			len(info.Ports) != 2 || info.Ports[0] != 40000 {
			t.Errorf("%s: %+v", when, info)
		}
		if after := kept(t, dir); after != before {
			t.Errorf("%s: it changed the directory from\n%s to\n%s", when, before, after)
		}
	}
	check("while it is open")
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	check("when it is closed")
}

// TestInspect_ReadsALogThatAKilledGatewayLeft takes copies of an open database.
func TestInspect_ReadsALogThatAKilledGatewayLeft(t *testing.T) {
	from := t.TempDir()
	store, err := sqlite.Open(t.Context(), filepath.Join(from, "kalpana.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	if _, err := store.ClaimPort(t.Context(), 40000, created(t, store)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		files  []string
		unread bool
	}{
		{[]string{"kalpana.db", "kalpana.db-wal", "kalpana.db-shm"}, false},
		{[]string{"kalpana.db", "kalpana.db-wal"}, true},
	} {
		dir := t.TempDir()
		for _, name := range c.files {
			text, err := os.ReadFile(filepath.Join(from, name))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		before := kept(t, dir)
		info, err := sqlite.Inspect(t.Context(), filepath.Join(dir, "kalpana.db"))
		if err != nil || info.Unread != c.unread || len(info.Ports) != 1 && !c.unread {
			t.Errorf("%v: %+v, %v", c.files, info, err)
		}
		if after := kept(t, dir); after != before {
			t.Errorf("%v: it changed the directory from\n%s to\n%s", c.files, before, after)
		}
	}
}

func created(t *testing.T, s *sqlite.Store) workspace.ID {
	t.Helper()
	w := &workspace.Workspace{ID: workspace.NewID(), Owner: "ann", State: workspace.StateStopped}
	if err := s.CreateWorkspace(t.Context(), w, 0); err != nil {
		t.Fatal(err)
	}
	return w.ID
}

func TestInspect_RefusesWhatOpenRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kalpana.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("not a database. ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Inspect(t.Context(), path); !errors.Is(err, workspace.ErrStoreDown) || !strings.Contains(err.Error(), "restore a backup") {
		t.Errorf("%v", err)
	}
}
