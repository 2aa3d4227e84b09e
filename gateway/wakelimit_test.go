package gateway

import (
	"fmt"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// WakesPerWorkspace is how often visitors wake one workspace.
const WakesPerWorkspace = wakesPerWorkspace

func TestWakeLimit_CountsByWorkspaceAndByAddressInAWindow(t *testing.T) {
	clock := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	l := &wakeLimit{now: func() time.Time { return clock }}
	take := func(id, remote string, allowed bool) {
		t.Helper()
		if wait := l.take(workspace.ID(id), remote); (wait == 0) != allowed || wait < 0 || wait > wakeWindow {
			t.Errorf("%s from %s waits %v", id, remote, wait)
		}
	}
	for i := range wakesPerWorkspace {
		take("one", fmt.Sprintf("192.0.2.%d:1", i), true)
		clock = clock.Add(time.Second)
	}
	take("one", "192.0.2.200:1", false)
	for i := range wakesPerAddress {
		take(fmt.Sprint("of six ", i), fmt.Sprintf("[2001:db8::%d]:1", i), true)
	}
	take("another", "[2001:db8::ffff]:2", false)
	take("another", "[2001:db8:0:1::1]:2", true)
	take("another", "[::ffff:192.0.2.7]:2", true)
	clock = clock.Add(wakeWindow - wakesPerWorkspace*time.Second)
	take("one", "192.0.2.200:1", true) // the first is over
	take("one", "192.0.2.200:1", false)
	clock = clock.Add(wakeWindow)
	take("one", "192.0.2.200:1", true)
	if n := len(l.taken); n != 2 {
		t.Errorf("%d keys are kept, want 2", n)
	}
}
