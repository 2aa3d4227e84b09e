package server

import (
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
)

// activities is what the bridge knows of the container's use. Times are of the monotonic clock, which goes on while
// the container is frozen.
type activities struct {
	terminals *terminals
	cpu       *cpuMeter

	mu        sync.Mutex
	last      map[string]time.Time // of bridge.ActivityNames only
	keepAlive time.Time            // stay awake until then
}

func newActivities(cfg *Config) *activities {
	return &activities{
		terminals: newTerminals(cfg.terminalsDir), cpu: newCPUMeter(cfg.cgroupDir),
		last: make(map[string]time.Time, len(bridge.ActivityNames)),
	}
}

// saw records an activity, and reports whether it is one that may be claimed from inside.
func (a *activities) saw(name string) bool {
	if name == bridge.ActivityTerminal || !slices.Contains(bridge.ActivityNames, name) {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last[name] = time.Now()
	return true
}

// since returns how long ago an activity was last seen.
func (a *activities) since(name string) (time.Duration, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at, ok := a.last[name]
	return time.Since(at), ok
}

// keepAwake asks for d from now on; 0 ends it.
func (a *activities) keepAwake(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.keepAlive = time.Now().Add(min(max(d, 0), bridge.MaxKeepAlive))
}

// report looks at the terminals and at the CPU, and tells all.
func (a *activities) report() bridge.Activity {
	now := time.Now()
	share := a.cpu.share(now)
	used := a.terminals.look(now)

	a.mu.Lock()
	defer a.mu.Unlock()
	if !used.IsZero() {
		a.last[bridge.ActivityTerminal] = used
	}
	r := bridge.Activity{
		Last: []bridge.LastActivity{}, CPU: share,
		KeepAlive: max(0, a.keepAlive.Sub(now)).Round(time.Second).Seconds(),
	}
	for _, name := range bridge.ActivityNames {
		if at, ok := a.last[name]; ok {
			ago := now.Sub(at).Round(100 * time.Millisecond)
			r.Last = append(r.Last, bridge.LastActivity{Name: name, Ago: max(0, ago).Seconds()})
		}
	}
	return r
}

// serveActivity answers bridge.ActivityPath.
func (s *Server) serveActivity(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, s.activities.report())
}
