package sqlite_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A caller that gets an error must be able to rely on it, also when its context ends in the middle.
func TestACancelledWriteIsWrittenOrRefusedAndNeverBoth(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "kalpana.db"))
	w := create(t, s)
	start := time.Now()
	for range 5 {
		if err := s.UpdateWorkspace(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	}
	longest := max(time.Since(start)/2, time.Millisecond) // two and a half times what a write takes here
	written, refused := 0, 0
	for range 150 {
		before := *w
		ctx, cancel := context.WithTimeout(t.Context(), rand.N(longest)) //nolint:gosec // not a secret
		err := s.UpdateWorkspace(ctx, w)
		cancel()
		// How long a write takes depends on what else the machine does: find the limit where half are refused.
		switch {
		case err == nil:
			written++
			longest = max(longest*9/10, 10*time.Microsecond)
		case !errors.Is(err, context.DeadlineExceeded):
			t.Fatalf("got error %v, want none or the context's", err)
		default:
			refused++
			longest += longest/4 + time.Microsecond
			if !cmp.Equal(*w, before) {
				t.Fatal("a refused update changed the caller's record")
			}
		}
		stored, err := s.Workspace(t.Context(), w.ID)
		if err != nil {
			t.Fatal(err)
		}
		if stored.Revision != w.Revision {
			t.Fatalf("revision %d is stored, but the caller was told %d (%v)", stored.Revision, w.Revision, err)
		}
	}
	t.Logf("%d written, %d refused", written, refused)
	if written == 0 || refused == 0 {
		t.Errorf("%d written and %d refused: the test did not test", written, refused)
	}
}
