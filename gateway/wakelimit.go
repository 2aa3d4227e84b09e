package gateway

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// A public preview may let strangers start a container, so they do it rarely: each workspace, and each
// address (of IPv6 each /64), has so many wakes in any wakeWindow.
const (
	wakeWindow        = 10 * time.Minute
	wakesPerWorkspace = 6
	wakesPerAddress   = 12
)

// asleepRetry is when somebody who may not wake a workspace is told to look again.
const asleepRetry = time.Minute

// wakeLimit counts the wakes by visitors. It holds only wakes that were allowed, so it is never larger
// than they are many.
type wakeLimit struct {
	mu    sync.Mutex
	taken map[string][]time.Time // by workspace and by address, oldest first
	now   func() time.Time       // nil means time.Now
}

// take counts a wake and returns 0, or returns how long it must wait.
func (l *wakeLimit) take(id workspace.ID, remote string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.now != nil {
		now = l.now()
	}
	if l.taken == nil {
		l.taken = map[string][]time.Time{}
	}
	for key, times := range l.taken {
		for len(times) > 0 && now.Sub(times[0]) >= wakeWindow {
			times = times[1:]
		}
		if l.taken[key] = times; len(times) == 0 {
			delete(l.taken, key)
		}
	}
	workspaceKey, addressKey := "workspace "+string(id), "address "+network(remote)
	wait := max(l.wait(workspaceKey, wakesPerWorkspace, now), l.wait(addressKey, wakesPerAddress, now))
	if wait > 0 {
		return wait
	}
	l.taken[workspaceKey] = append(l.taken[workspaceKey], now)
	l.taken[addressKey] = append(l.taken[addressKey], now)
	return 0
}

func (l *wakeLimit) wait(key string, most int, now time.Time) time.Duration {
	times := l.taken[key]
	if len(times) < most {
		return 0
	}
	return max(wakeWindow-now.Sub(times[len(times)-most]), time.Second)
}

// network returns what stands for one visitor in an address like "[2001:db8::1]:4711".
func network(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is6() {
		if prefix, err := ip.Prefix(64); err == nil {
			return prefix.String()
		}
	}
	return ip.String()
}
