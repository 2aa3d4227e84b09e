package sqlite_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/store/sqlite"
	"github.com/kalpana-dev/kalpana/workspace"
)

// wantRefusal checks that path cannot be opened, for the reason and with the advice named.
func wantRefusal(t *testing.T, path string, want ...string) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path)
	if err == nil {
		_ = s.Close()
		t.Fatalf("%s was opened", path)
	}
	if !errors.Is(err, workspace.ErrStoreDown) {
		t.Errorf("%v is no ErrStoreDown", err)
	}
	for _, part := range want {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	t.Log(err)
}

// raw runs statements on a database that no Store has open.
func raw(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for _, statement := range statements {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
}

// filled returns the path of a database with some workspaces.
func filled(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kalpana.db")
	s := open(t, path)
	for range 20 {
		create(t, s)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestOpen_RefusesWhatIsNoDataDirectory(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing")
	wantRefusal(t, filepath.Join(missing, "kalpana.db"), missing, "does not exist", "make it")

	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, filepath.Join(plain, "kalpana.db"), plain)

	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, filepath.Join(dir, "folder"), "is not a file")
}

func TestOpen_RefusesADamagedFileAndLeavesItAlone(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"no database": func([]byte) []byte { return bytes.Repeat([]byte("not a database\n"), 1000) },
		"overwritten": func(b []byte) []byte { copy(b[8192:], bytes.Repeat([]byte{0x5a}, 4096)); return b },
		"cut off":     func(b []byte) []byte { return b[:len(b)-10000] },
	} {
		t.Run(name, func(t *testing.T) {
			path := filled(t)
			damaged := damage(read(t, path))
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			wantRefusal(t, path, path, "damaged", "restore a backup")
			if !bytes.Equal(read(t, path), damaged) {
				t.Error("the file was changed")
			}
		})
	}
}

func TestOpen_RefusesANewerSchemaAndLeavesItAlone(t *testing.T) {
	path := filled(t)
	raw(t, path, "PRAGMA user_version = 4711")
	before := read(t, path)
	wantRefusal(t, path, path, "newer Kalpana", "schema 4711")
	if !bytes.Equal(read(t, path), before) {
		t.Error("the file was changed")
	}
}

func TestOpen_RefusesTheDatabaseOfAnotherProgramAndLeavesItAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kalpana.db")
	raw(t, path, "CREATE TABLE recipes (name TEXT)", "PRAGMA user_version = 1")
	before := read(t, path)
	wantRefusal(t, path, path, "another program", "name another file")
	if !bytes.Equal(read(t, path), before) {
		t.Error("the file was changed")
	}
}

func TestOpen_MakesFilesForTheirOwnerOnly(t *testing.T) {
	dir := t.TempDir()
	create(t, open(t, filepath.Join(dir, "kalpana.db")))
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		info, err := file.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", file.Name(), info.Mode())
		}
		names = append(names, file.Name())
	}
	if want := "kalpana.db kalpana.db-shm kalpana.db-wal"; strings.Join(names, " ") != want {
		t.Errorf("got files %v, want %s", names, want)
	}
}

func TestOpen_TakesAnyPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a ?b=c#d%20&é")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	w := create(t, open(t, "kal?pana.db"))
	if _, err := open(t, filepath.Join(dir, "kal?pana.db")).Workspace(t.Context(), w.ID); err != nil {
		t.Error(err)
	}
}

func TestAClosedStoreSaysSo(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "kalpana.db"))
	w := create(t, s)
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	_, err := s.Workspace(t.Context(), w.ID)
	for _, err := range []error{err, s.UpdateWorkspace(t.Context(), w), s.Ping(t.Context())} {
		if !errors.Is(err, workspace.ErrStoreDown) {
			t.Errorf("got error %v, want ErrStoreDown", err)
		}
	}
}

func TestPing_TellsThatTheFileWasReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kalpana.db")
	s := open(t, path)
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	for _, replace := range []func() error{
		func() error { return nil },
		func() error { return os.WriteFile(path, nil, 0o600) },
	} {
		if err := replace(); err != nil {
			t.Fatal(err)
		}
		if err := s.Ping(t.Context()); !errors.Is(err, workspace.ErrStoreDown) || !strings.Contains(err.Error(), "replaced") {
			t.Errorf("got error %v, want one that says so", err)
		}
	}
}

func TestAWriteWaitsForTheLockAsLongAsAsked(t *testing.T) {
	path := filled(t)
	const wait = 100 * time.Millisecond
	s := open(t, path, sqlite.Wait(wait))
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}

	start := time.Now()
	err = s.CreateWorkspace(t.Context(), &workspace.Workspace{ID: workspace.NewID()}, 0)
	if !errors.Is(err, workspace.ErrStoreDown) || !strings.Contains(err.Error(), "another process") {
		t.Errorf("got error %v, want ErrStoreDown that names the reason", err)
	}
	if took := time.Since(start); took < wait || took > 50*wait {
		t.Errorf("it waited %v, want %v", took, wait)
	}
	// Those that queue up behind one another wait no longer.
	start = time.Now()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			_, err := s.ClaimPort(t.Context(), 40000, workspace.NewID())
			if !errors.Is(err, workspace.ErrStoreDown) || !strings.Contains(err.Error(), "another process") || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got error %v, want ErrStoreDown that names the reason", err)
			}
		})
	}
	all.Wait()
	if took := time.Since(start); took > 10*wait {
		t.Errorf("twenty writers waited %v, want %v", took, wait)
	}
	if _, err := s.Workspaces(t.Context(), ""); err != nil {
		t.Errorf("a read does not wait for a writer: %v", err)
	}
	if _, err := db.ExecContext(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	create(t, s)
}
