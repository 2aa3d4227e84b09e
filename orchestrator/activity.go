package orchestrator

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// Names of activities.
const (
	ActivityOpened    = "opened"  // a page of it
	ActivityPreview   = "preview" // a request on one
	ActivityTyping    = "typing"
	ActivitySelection = "selection"
	ActivitySave      = "save"
	ActivityFocus     = "focus"
	ActivityTerminal  = "terminal"
	ActivityAgent     = "agent"
	ActivityKeepAlive = "keep-alive"
	ActivityCPU       = "cpu"
	ActivityStarted   = "started"
)

// Activity is what a container says was done in it.
type Activity struct {
	Last      []ActivityAt
	KeepAlive time.Duration // still asked for
	CPU       float64       // share of its CPU limit since it was last asked
}

// ActivityAt is when something was last done.
type ActivityAt struct {
	Name string // one of the names of activities
	Ago  time.Duration
}

// uses is what this gateway knows of the use of workspaces, in memory alone.
type uses struct {
	mu   sync.RWMutex
	byID map[workspace.ID]*use
}

// use is the use of one workspace.
type use struct {
	seen atomic.Pointer[mark] // the newest activity that the gateway saw itself

	mu   sync.Mutex
	busy []string // names of lasting uses, oldest first
}

// mark is one activity.
type mark struct {
	name string
	at   time.Time
}

// touchGrain is how exactly the time of an activity is kept.
const touchGrain = time.Second

func (u *uses) of(id workspace.ID) *use {
	u.mu.RLock()
	found := u.byID[id]
	u.mu.RUnlock()
	if found != nil {
		return found
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.byID == nil {
		u.byID = map[workspace.ID]*use{}
	}
	if u.byID[id] == nil {
		u.byID[id] = new(use)
	}
	return u.byID[id]
}

func (u *use) touch(name string) {
	now := time.Now()
	last := u.seen.Load()
	if last != nil && last.name == name && now.Sub(last.at) < touchGrain {
		return
	}
	u.seen.Store(&mark{name, now})
}

// Touch notes an activity in a workspace that the gateway itself saw, e.g. ActivityOpened. It touches
// memory alone, and costs no allocation when the same was noted within the last second.
func (o *Orchestrator) Touch(id workspace.ID, activity string) { o.uses.of(id).touch(activity) }

// Busy notes a use that lasts, e.g. ActivityAgent: until release is called, the workspace does not sleep
// by itself.
func (o *Orchestrator) Busy(id workspace.ID, activity string) (release func()) {
	u := o.uses.of(id)
	u.mu.Lock()
	u.busy = append(u.busy, activity)
	u.mu.Unlock()
	u.touch(activity)
	var once sync.Once
	return func() {
		once.Do(func() {
			u.mu.Lock()
			if i := slices.Index(u.busy, activity); i >= 0 {
				u.busy = slices.Delete(u.busy, i, i+1)
			}
			u.mu.Unlock()
			u.touch(activity)
		})
	}
}
