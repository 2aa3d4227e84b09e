package orchestrator

import (
	"context"
	"math"
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

// claimable are the activities that a container may tell of. Its words come from whoever controls the
// code in it.
var claimable = []string{
	ActivityTyping, ActivitySelection, ActivitySave, ActivityFocus, ActivityTerminal, ActivityPreview, ActivityAgent,
}

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

// use is the use of one workspace, as far as this gateway knows.
type use struct {
	since    time.Time            // when this gateway began to look
	seen     atomic.Pointer[mark] // the newest activity that it saw itself
	claimed  atomic.Pointer[mark] // the newest that the container, or a page in a tab, told of
	inFlight atomic.Int32         // requests that are under way

	mu        sync.Mutex
	busy      []string  // names of lasting uses, oldest first
	keepAlive time.Time // until when the container asked not to sleep
	asked     time.Time // when the container was last asked
	written   time.Time // when the record was last written
	looked    time.Time // when it was last looked whether another gateway woke it
}

// mark is one activity.
type mark struct {
	name string
	at   time.Time
}

// touchGrain is how exactly the time of an activity is kept.
const touchGrain = time.Second

func (o *Orchestrator) useOf(id workspace.ID) *use {
	u := &o.uses
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
		u.byID[id] = &use{since: o.now()}
	}
	return u.byID[id]
}

func (u *uses) forget(id workspace.ID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.byID, id)
}

// touch notes an activity, unless a newer one is noted.
func touch(last *atomic.Pointer[mark], name string, at time.Time) {
	for {
		old := last.Load()
		if old != nil && (at.Before(old.at) || old.name == name && at.Sub(old.at) < touchGrain) {
			return
		}
		if last.CompareAndSwap(old, &mark{name, at}) {
			return
		}
	}
}

// Touch notes an activity in a workspace that the gateway itself saw, e.g. ActivityOpened. It touches
// memory alone, and costs no allocation when the same was noted within the last second.
func (o *Orchestrator) Touch(id workspace.ID, activity string) {
	touch(&o.useOf(id).seen, activity, o.now())
}

// Busy notes a use that lasts, e.g. ActivityAgent: until release is called, the workspace does not sleep
// by itself.
func (o *Orchestrator) Busy(id workspace.ID, activity string) (release func()) {
	u := o.useOf(id)
	u.mu.Lock()
	u.busy = append(u.busy, activity)
	u.mu.Unlock()
	touch(&u.seen, activity, o.now())
	return sync.OnceFunc(func() {
		touch(&u.seen, activity, o.now())
		u.mu.Lock()
		defer u.mu.Unlock()
		if i := slices.Index(u.busy, activity); i >= 0 {
			u.busy = slices.Delete(u.busy, i, i+1)
		}
	})
}

// Saw notes an activity that is known to be a person's or a program's, as [Orchestrator.Touch] does.
func (r *Route) Saw(activity string) { touch(&r.use.seen, activity, r.now()) }

// Heard notes an activity that may be a forgotten tab's: it keeps the workspace awake no longer than
// what the container claims does; see [Sleep].
func (r *Route) Heard(activity string) { touch(&r.use.claimed, activity, r.now()) }

// Enter notes that a request is on its way on the route: until Leave the workspace does not sleep by
// itself. It reports false where the route is gone; then ask for the newest. Streams that last as long
// as a tab is open should not enter.
func (r *Route) Enter() bool {
	r.use.inFlight.Add(1)
	if r.gone.Load() {
		r.use.inFlight.Add(-1)
		return false
	}
	return true
}

// Leave ends what Enter began.
func (r *Route) Leave() { r.use.inFlight.Add(-1) }

// askInterval is how often a container is asked at most what was done in it, but for the last look
// before it sleeps.
const askInterval = 30 * time.Second

// askTime is how long it may take to answer.
const askTime = 5 * time.Second

// ask asks the container of a running workspace what was done in it, and notes it.
func (o *Orchestrator) ask(ctx context.Context, route *Route, sleep Sleep) {
	if o.cfg.Activity == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	a, err := o.cfg.Activity(ctx, route)
	if err != nil {
		o.log.Debug("a workspace did not tell of its activity", "workspace", route.ID, "error", err)
		return
	}
	o.claim(route.use, a, sleep)
}

func (o *Orchestrator) claim(u *use, a Activity, sleep Sleep) {
	now := o.now()
	for _, last := range a.Last {
		if last.Ago >= 0 && slices.Contains(claimable, last.Name) {
			touch(&u.claimed, last.Name, now.Add(-last.Ago))
		}
	}
	if sleep.CPU > 0 && a.CPU >= sleep.CPU && !math.IsInf(a.CPU, 0) {
		touch(&u.claimed, ActivityCPU, now)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.keepAlive = time.Time{}
	if a.KeepAlive > 0 {
		u.keepAlive = now.Add(a.KeepAlive)
	}
}

// idleness is what is known of when a workspace was used, and for how long it will not sleep.
type idleness struct {
	name    string    // of the newest activity, or of what lasts
	at      time.Time // of that activity; now where it lasts
	lasting bool      // it goes on
	until   time.Time // not to sleep before, as somebody asked; zero is nothing asked for
}

// idle puts together what is known of w's use: by its record, which has what other gateways saw, and by
// this gateway. What a container claims counts for no longer than sleep.MaxAwake after the last
// activity that this gateway saw, or since it began to look.
func (o *Orchestrator) idle(w *workspace.Workspace, sleep Sleep) idleness {
	u, now := o.useOf(w.ID), o.now()
	i := idleness{name: w.LastActivity, at: w.LastActiveAt, until: w.KeepAwakeUntil}
	latest := func(name string, at time.Time) {
		if at.After(i.at) {
			i.name, i.at = name, at
		}
	}
	trusted := u.since
	if w.StartedAt.After(trusted) {
		trusted = w.StartedAt
	}
	if m := u.seen.Load(); m != nil {
		latest(m.name, m.at)
		if m.at.After(trusted) {
			trusted = m.at
		}
	}
	bounded := func(t time.Time) time.Time {
		if end := trusted.Add(sleep.MaxAwake); sleep.MaxAwake > 0 && t.After(end) {
			return end
		}
		return t
	}
	if m := u.claimed.Load(); m != nil {
		latest(m.name, bounded(m.at))
	}
	if u.inFlight.Load() > 0 { // it was noted when it began; perhaps it is a tab that asks for ever
		latest(i.name, bounded(now))
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if alive := bounded(u.keepAlive); !u.keepAlive.IsZero() && alive.After(i.until) {
		i.until = alive
	}
	if len(u.busy) > 0 {
		i.name, i.at, i.lasting = u.busy[0], now, true
	}
	return i
}
