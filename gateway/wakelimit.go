package gateway

import (
	"time"

	"github.com/kalpana-dev/kalpana/ratelimit"
	"github.com/kalpana-dev/kalpana/workspace"
)

// A public preview may let strangers start a container, so they do it rarely: each workspace, and each
// address, has so many wakes in a wakeWindow.
const (
	wakeWindow        = 10 * time.Minute
	wakesPerWorkspace = 6
	wakesPerAddress   = 12
)

// asleepRetry is when somebody who may not wake a workspace is told to look again.
const asleepRetry = time.Minute

// visitorWakes bounds the wakes by visitors of public previews.
type visitorWakes struct{ workspaces, addresses *ratelimit.Limiter }

func newVisitorWakes() visitorWakes {
	return visitorWakes{
		workspaces: ratelimit.New(wakesPerWorkspace, wakeWindow, wakesPerWorkspace),
		addresses:  ratelimit.New(wakesPerAddress, wakeWindow, wakesPerAddress),
	}
}

// take counts a wake and returns 0, or returns how long it must wait.
func (l visitorWakes) take(id workspace.ID, address string) time.Duration {
	now := time.Now()
	if wait := l.addresses.Wait(address, now); wait > 0 {
		return wait
	}
	if wait := l.workspaces.Take(string(id), now); wait > 0 {
		return wait
	}
	return l.addresses.Take(address, now)
}
