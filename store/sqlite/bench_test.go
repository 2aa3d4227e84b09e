package sqlite_test

import (
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func BenchmarkGuardedUpdate(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "kalpana.db"))
	w := create(b, s)
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		if err := s.UpdateWorkspace(b.Context(), w); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	for name, n := range map[string]int{"p50-ns": len(took) / 2, "p99-ns": len(took) * 99 / 100, "max-ns": len(took) - 1} {
		b.ReportMetric(float64(took[n]), name)
	}
}

func BenchmarkRead(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "kalpana.db"))
	w := create(b, s)
	for b.Loop() {
		if _, err := s.Workspace(b.Context(), w.ID); err != nil {
			b.Fatal(err)
		}
	}
}
