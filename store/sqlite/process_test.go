package sqlite_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/kalpana-dev/kalpana/store/sqlite"
	"github.com/kalpana-dev/kalpana/store/storetest"
)

func opener(ctx context.Context, path string) (storetest.Opened, error) {
	return sqlite.Open(ctx, path)
}

func TestProcesses(t *testing.T) {
	storetest.RunProcesses(t, opener, func(t *testing.T) string { return filepath.Join(t.TempDir(), "kalpana.db") })
}
