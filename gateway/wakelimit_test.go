package gateway

import (
	"fmt"
	"testing"

	"github.com/kalpana-dev/kalpana/workspace"
)

// WakesPerWorkspace is how often visitors wake one workspace.
const WakesPerWorkspace = wakesPerWorkspace

func TestVisitorWakes_AreCountedByWorkspaceAndByAddress(t *testing.T) {
	l := newVisitorWakes()
	take := func(id, address string, allowed bool) {
		t.Helper()
		if wait := l.take(workspace.ID(id), address); (wait == 0) != allowed || wait < 0 || wait > wakeWindow {
			t.Errorf("%s from %s waits %v", id, address, wait)
		}
	}
	for i := range wakesPerWorkspace {
		take("one", fmt.Sprint("address ", i), true)
	}
	take("one", "another address", false)
	for i := range wakesPerAddress {
		take(fmt.Sprint("workspace ", i), "a busy address", true)
	}
	take("another", "a busy address", false)
	for range wakesPerWorkspace { // what was refused did not count
		take("another", "another address", true)
	}
}
