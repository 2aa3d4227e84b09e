package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// Sleep is when an idle workspace sleeps. Zero turns each part off.
type Sleep struct {
	PauseAfter time.Duration // without activity a running workspace is paused
	StopAfter  time.Duration // a paused one is stopped; a running one, where PauseAfter is off
	// MaxAwake is how long after the last activity that the gateway saw itself what a container claims
	// keeps it awake.
	MaxAwake time.Duration
	CPU      float64 // share of the CPU limit from which on its use is activity, e.g. 0.2
}

// sleepOf returns when a workspace sleeps.
func (o *Orchestrator) sleepOf(w *workspace.Workspace) Sleep {
	for _, t := range o.cfg.Templates {
		if t.Name == w.Template && t.Sleep != nil {
			return *t.Sleep
		}
	}
	return o.cfg.Sleep
}

// Awake is why a workspace is awake, and when it will sleep.
type Awake struct {
	Reason   string          // name of the newest activity, or of what keeps it awake; why it sleeps, where it does
	Since    time.Time       // of that activity, or of that state
	SleepsAt time.Time       // zero: not by itself, as it is now
	Next     workspace.State // what it then is: paused or stopped; "" where SleepsAt is zero
}

// Awake tells why w is awake, and when it will sleep, as far as this gateway knows.
func (o *Orchestrator) Awake(w *workspace.Workspace) Awake {
	sleep, now := o.sleepOf(w), o.now()
	a := Awake{Reason: w.Reason, Since: w.StateSince}
	switch w.State {
	case workspace.StateRunning:
		i := o.idle(w, sleep)
		a.Reason, a.Since = i.name, i.at
		if i.until.After(now) && !i.lasting {
			a.Reason, a.Since = ActivityKeepAlive, now
		}
		a.SleepsAt, a.Next = sleep.next(w, i)
	case workspace.StatePaused:
		a.SleepsAt, a.Next = sleep.next(w, idleness{until: w.KeepAwakeUntil})
	default:
		return a
	}
	if stop := nextStop(w.Schedule, now); !stop.IsZero() && stop.After(w.KeepAwakeUntil) && (a.SleepsAt.IsZero() || stop.Before(a.SleepsAt)) {
		a.SleepsAt, a.Next = stop, workspace.StateStopped
	}
	return a
}

// next returns when w, which was used as i tells, sleeps, and what it then is; zero is never.
func (s Sleep) next(w *workspace.Workspace, i idleness) (time.Time, workspace.State) {
	var at time.Time
	var to workspace.State
	used := i.at
	if w.StateSince.After(used) { // it was about to sleep, and did not
		used = w.StateSince
	}
	switch {
	case w.State == workspace.StateRunning && i.lasting:
		return time.Time{}, ""
	case w.State == workspace.StateRunning && s.PauseAfter > 0:
		at, to = used.Add(s.PauseAfter), workspace.StatePaused
	case w.State == workspace.StateRunning && s.StopAfter > 0:
		at, to = used.Add(s.StopAfter), workspace.StateStopped
	case w.State == workspace.StatePaused && s.StopAfter > 0:
		at, to = w.StateSince.Add(s.StopAfter), workspace.StateStopped
	default:
		return time.Time{}, ""
	}
	if at.Before(i.until) {
		at = i.until
	}
	return at, to
}

// KeepAwake lets person's workspace not sleep by itself before until; the zero time ends that. Errors:
// ErrNotFound, ErrInvalidAwake beyond the operator's bound, ErrBusy while it is being deleted, or the
// store's.
func (o *Orchestrator) KeepAwake(ctx context.Context, person string, id workspace.ID, until time.Time) (*workspace.Workspace, error) {
	w, err := o.Get(ctx, person, id)
	if err != nil {
		return nil, err
	}
	if bound := o.sleepOf(w).MaxAwake; bound > 0 && until.After(o.now().Add(bound+time.Minute)) {
		return nil, fmt.Errorf("%w: the longest is %s", workspace.ErrInvalidAwake, span(bound))
	}
	return o.update(ctx, id, func(w *workspace.Workspace) error {
		if w.State == workspace.StateDeleting {
			return workspace.ErrBusy
		}
		w.KeepAwakeUntil = time.Time{}
		if !until.IsZero() {
			w.KeepAwakeUntil = recordTime(until)
		}
		return nil
	})
}

// span writes a duration for people: 90 minutes, 24 hours.
func span(d time.Duration) string {
	for _, unit := range []struct {
		of   time.Duration
		name string
	}{{time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		if d >= unit.of && d%unit.of == 0 {
			if d == unit.of {
				return "1 " + unit.name
			}
			return fmt.Sprintf("%d %ss", d/unit.of, unit.name)
		}
	}
	return d.String()
}

// lookInterval is how often it is looked at what is awake: every few seconds, and where workspaces sleep
// soon, to about a tenth of that time.
func (o *Orchestrator) lookInterval() time.Duration {
	every := o.timing.idle
	for _, after := range []time.Duration{o.cfg.Sleep.PauseAfter, o.cfg.Sleep.StopAfter} {
		if after > 0 {
			every = min(every, max(after/10, 10*time.Millisecond))
		}
	}
	for _, t := range o.cfg.Templates {
		if t.Sleep != nil && t.Sleep.PauseAfter > 0 {
			every = min(every, max(t.Sleep.PauseAfter/10, 10*time.Millisecond))
		}
	}
	return every
}

// sleepLoop looks at what is awake, in memory alone.
func (o *Orchestrator) sleepLoop() {
	tick := time.NewTicker(o.lookInterval())
	defer tick.Stop()
	for {
		select {
		case <-o.ctx.Done():
			return
		case <-tick.C:
		}
		o.lookAround(o.ctx)
	}
}

// writeInterval is how often a record is written at most for the sake of its activity.
const writeInterval = 30 * time.Second

// atOnce bounds how many containers are asked, and how many workspaces are put to sleep, at a time.
const atOnce = 16

// batch does jobs a few at a time, in the background. One that is not done yet lets no other begin:
// what is due then is so at the next look.
type batch struct{ free chan struct{} }

func newBatch() batch { return batch{make(chan struct{}, 1)} }

func (o *Orchestrator) runBatch(b batch, jobs []func()) {
	if len(jobs) == 0 {
		return
	}
	select {
	case b.free <- struct{}{}:
	default:
		return
	}
	o.work.Go(func() {
		defer func() { <-b.free }()
		next := make(chan func())
		var workers sync.WaitGroup
		for range min(atOnce, len(jobs)) {
			workers.Go(func() {
				for job := range next {
					job()
				}
			})
		}
		for _, job := range jobs {
			if o.ctx.Err() != nil {
				break
			}
			next <- job
		}
		close(next)
		workers.Wait()
	})
}

// lookAround asks containers that it is time to ask, writes down activity, lets sleep what is idle, and
// does what schedules say. What takes time goes on when it returns. While this gateway drains nothing
// sleeps or wakes by itself: nobody could wake it, and the next gateway makes up for it.
func (o *Orchestrator) lookAround(ctx context.Context) {
	var attend, rest []func()
	draining := o.Draining()
	for _, w := range o.hub.toWatch() {
		if ctx.Err() != nil {
			return
		}
		if !draining {
			if stop := o.followSchedule(w); stop != nil {
				rest = append(rest, stop)
				continue
			}
		}
		sleep := o.sleepOf(w)
		i := o.idle(w, sleep)
		if w.State == workspace.StateRunning {
			route := o.Route(w.ID)
			if route == nil {
				continue // others look after it, or the next reconcile finds it
			}
			if job := o.attend(route, w, i, sleep); job != nil {
				attend = append(attend, job)
			}
		}
		if at, _ := sleep.next(w, i); !at.IsZero() && !o.now().Before(at) && o.operation(w.ID) == nil && !draining {
			rest = append(rest, func() {
				op := o.sleep(w.ID)
				if err := op.Wait(o.ctx); err != nil && o.ctx.Err() == nil {
					o.log.Warn("an idle workspace does not sleep; trying again", "workspace", w.ID, "error", err)
				}
			})
		}
	}
	o.runBatch(o.attending, attend)
	o.runBatch(o.resting, rest)
}

// attend returns what asks the container of a running workspace, and writes its activity down, where it
// is time; else nil.
func (o *Orchestrator) attend(route *Route, w *workspace.Workspace, i idleness, sleep Sleep) func() {
	u, now := route.use, o.now()
	u.mu.Lock()
	defer u.mu.Unlock()
	ask := o.cfg.Activity != nil && now.Sub(u.asked) >= askInterval
	write := i.at.Sub(w.LastActiveAt) >= touchGrain && now.Sub(u.written) >= writeInterval
	if !ask && !write {
		return nil
	}
	return func() {
		u.mu.Lock()
		if ask {
			u.asked = now
		}
		if write {
			u.written = now
		}
		u.mu.Unlock()
		if ask {
			o.ask(o.ctx, route, sleep)
		}
		if write {
			o.writeActivity(w.ID, i)
		}
	}
}

var errNothingNew = errors.New("nothing new")

// writeActivity tells the other gateways, and people, of an activity.
func (o *Orchestrator) writeActivity(id workspace.ID, i idleness) {
	ctx, cancel := context.WithTimeout(o.ctx, 10*time.Second)
	defer cancel()
	_, err := o.update(ctx, id, func(w *workspace.Workspace) error {
		if w.State != workspace.StateRunning || !i.at.After(w.LastActiveAt) {
			return errNothingNew
		}
		w.LastActiveAt, w.LastActivity = recordTime(i.at), i.name
		return nil
	})
	if err != nil && !errors.Is(err, errNothingNew) && ctx.Err() == nil {
		o.log.Warn("the activity of a workspace could not be recorded", "workspace", id, "error", err)
	}
}

// sleep pauses, or stops, a workspace if it is idle indeed.
func (o *Orchestrator) sleep(id workspace.ID) *Operation {
	return o.begin(opSleep, id, func(ctx context.Context, _ *Operation) error {
		w, err := o.cfg.Store.Workspace(ctx, id)
		if err != nil {
			return err
		}
		o.publish(w)
		to := o.due(w)
		switch {
		case to == "":
			return nil // another gateway saw something
		case w.State == workspace.StatePaused:
			err = o.stop(ctx, w, "no activity for "+span(o.sleepOf(w).StopAfter)+" while it was paused", workspace.StateStopped)
		default:
			err = o.sleepRunning(ctx, w, to)
		}
		if err == nil {
			o.cfg.Metrics.slept(to, sleptIdle)
		} else if errors.Is(err, workspace.ErrInUse) {
			o.log.Debug("a workspace does not sleep after all", "workspace", id, "error", err)
			return nil
		}
		return err
	})
}

// due returns what w should be by now since it is idle, or "".
func (o *Orchestrator) due(w *workspace.Workspace) workspace.State {
	sleep := o.sleepOf(w)
	at, to := sleep.next(w, o.idle(w, sleep))
	if at.IsZero() || o.now().Before(at) {
		return ""
	}
	return to
}

// ran returns the record of a workspace that is about to sleep as it was when it ran.
func ran(w *workspace.Workspace) *workspace.Workspace {
	before := *w
	before.State, before.StateSince = workspace.StateRunning, time.Time{}
	return &before
}

// sleepRunning pauses or stops an idle workspace that runs. First it lets no request in any more, here
// and at every other gateway, and then looks once more whether somebody needs it.
func (o *Orchestrator) sleepRunning(ctx context.Context, w *workspace.Workspace, to workspace.State) error {
	route := o.Route(w.ID)
	if route == nil || route.container != w.Container {
		return fmt.Errorf("%w: this gateway does not reach it", workspace.ErrInUse)
	}
	sleep := o.sleepOf(w)
	reason := "no activity for " + span(sleep.PauseAfter)
	if to == workspace.StateStopped {
		reason = "no activity for " + span(sleep.StopAfter)
	}
	if err := o.pausing(ctx, w, reason); err != nil {
		return err
	}
	release, err := o.askGateways(ctx, w.ID)
	defer release()
	if err != nil {
		return o.unfreeze(ctx, w, err)
	}
	o.ask(ctx, route, sleep)
	if o.due(ran(w)) == "" {
		return o.unfreeze(ctx, w, workspace.ErrInUse)
	}
	if to == workspace.StateStopped && ctx.Err() == nil {
		return o.stop(ctx, w, reason, workspace.StateStopped)
	}
	return o.freeze(ctx, w, reason)
}
