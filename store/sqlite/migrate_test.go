package sqlite

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/kalpana-dev/kalpana/workspace"
)

func TestEveryConnectionIsSafe(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "kalpana.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1"} {
		var got string
		if err := s.writer.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("the writer's %s is %s (%v), want %s", pragma, got, err, want)
		}
	}
	if _, err := s.reader.ExecContext(t.Context(), "DELETE FROM people"); err == nil {
		t.Error("a reader can write")
	}
}

func TestAMigrationHappensWhollyOrNotAtAll(t *testing.T) {
	released := migrations
	defer func() { migrations = released }()
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "kalpana.db")
	s, err := Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	w := &workspace.Workspace{ID: workspace.NewID(), Owner: "ann"}
	if err := s.CreateWorkspace(ctx, w, 0); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	const good = "CREATE TABLE added (n INTEGER); INSERT INTO added VALUES (1);"
	migrations = append(released[:len(released):len(released)], good, "DELETE FROM workspaces; DELETE FROM missing")
	if s, err = Open(ctx, path); err == nil {
		_ = s.Close()
		t.Fatal("a migration that fails was taken")
	}
	if !errors.Is(err, workspace.ErrStoreDown) {
		t.Errorf("%v is no ErrStoreDown", err)
	}

	migrations = append(released[:len(released):len(released)], good)
	for range 2 {
		if s, err = Open(ctx, path); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Workspace(ctx, w.ID); err != nil {
			t.Error(err)
		}
		var rows int
		if err := s.reader.QueryRowContext(ctx, "SELECT count(*) FROM added").Scan(&rows); err != nil || rows != 1 {
			t.Errorf("the migration ran %d times (%v), want once", rows, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
