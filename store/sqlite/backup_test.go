package sqlite_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/store/sqlite"
	"github.com/kalpana-dev/kalpana/workspace"
)

func TestBackup_HoldsEverythingButLeases(t *testing.T) {
	path := filled(t)
	s := open(t, path)
	now := time.Now()
	if ok, err := s.AcquireLease(t.Context(), "wake/a", "g1", now, now.Add(time.Hour)); err != nil || !ok {
		t.Fatal(ok, err)
	}
	want, err := s.Workspaces(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	into := filepath.Join(t.TempDir(), "copy.db")
	if err := sqlite.Backup(t.Context(), path, into); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(into); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	facts, err := sqlite.Verify(t.Context(), into)
	if err != nil || facts.Workspaces != len(want) || facts.Schema == 0 {
		t.Errorf("%+v, %v", facts, err)
	}
	c := open(t, into)
	got, err := c.Workspaces(t.Context(), "")
	if err != nil || len(got) != len(want) {
		t.Errorf("%d workspaces of %d, %v", len(got), len(want), err)
	}
	if ok, err := c.AcquireLease(t.Context(), "wake/a", "g2", now, now.Add(time.Hour)); err != nil || !ok {
		t.Errorf("a lease of a gateway that will not be there: %v, %v", ok, err)
	}
	if err := c.CreateWorkspace(t.Context(), &workspace.Workspace{ID: want[0].ID}, 0); !errors.Is(err, workspace.ErrConflict) {
		t.Errorf("an id is used again: %v", err)
	}
}

func TestBackup_RefusesWhatIsNoDatabaseOfOurs(t *testing.T) {
	dir := t.TempDir()
	into := filepath.Join(dir, "copy.db")
	if err := sqlite.Backup(t.Context(), filepath.Join(dir, "missing"), into); err == nil || !strings.Contains(err.Error(), "there is no database") {
		t.Error(err)
	}
	foreign := filepath.Join(dir, "recipes")
	raw(t, foreign, "CREATE TABLE recipes (name TEXT)")
	if err := sqlite.Backup(t.Context(), foreign, into); err == nil || !strings.Contains(err.Error(), "another program") {
		t.Error(err)
	}
	path := filled(t)
	if err := sqlite.Backup(t.Context(), path, foreign); err == nil {
		t.Error("a backup replaced a file")
	}
	if _, err := os.Stat(into); err == nil {
		t.Error("something was written")
	}
}

func TestVerify_ChangesNothing(t *testing.T) {
	path := filled(t)
	before := read(t, path)
	if _, err := sqlite.Verify(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, read(t, path)) {
		t.Error("the file was changed")
	}
	if err := os.WriteFile(path, before[:len(before)-8000], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Verify(t.Context(), path); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a damaged file: %v", err)
	}
}
