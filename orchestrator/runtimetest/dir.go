package runtimetest

import (
	"os"
	"testing"
)

// Dir returns a directory for a test's database: in memory, where the system has such a place, for
// it is not the disk that is tested.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "kalpana-test-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
