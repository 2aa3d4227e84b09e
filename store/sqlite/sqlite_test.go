package sqlite_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/store/sqlite"
	"github.com/kalpana-dev/kalpana/store/storetest"
	"github.com/kalpana-dev/kalpana/workspace"
)

// The guard is here so that the package does not need orchestrator, whose own tests may use it.
var _ storetest.Store = (*sqlite.Store)(nil)

// file is a backend: the path of a database.
type file string

func (f file) Open(t *testing.T) storetest.Store { return open(t, string(f)) }

func open(t testing.TB, path string, options ...sqlite.Option) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Backend {
		return file(filepath.Join(t.TempDir(), "kalpana.db"))
	})
}

func TestStore_AHundredThousandRecords(t *testing.T) {
	storetest.RunVolume(t, file(filepath.Join(t.TempDir(), "kalpana.db")), 100_000)
}

func create(t testing.TB, s *sqlite.Store) *workspace.Workspace {
	t.Helper()
	w := &workspace.Workspace{ID: workspace.NewID(), Owner: "ann", CreatedAt: time.Now()}
	if err := s.CreateWorkspace(t.Context(), w, 0); err != nil {
		t.Fatal(err)
	}
	return w
}
