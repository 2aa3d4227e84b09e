package orchestrator_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/workspace"
)

// clock is one that the test sets.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) later(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func (c *clock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = t
}

// claims is what containers say was done in them.
type claims struct {
	mu    sync.Mutex
	by    map[workspace.ID]orchestrator.Activity
	err   error
	asked int
}

func (c *claims) say(id workspace.ID, a orchestrator.Activity) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = map[workspace.ID]orchestrator.Activity{}
	}
	c.by[id] = a
}

func (c *claims) ask(_ context.Context, r *orchestrator.Route) (orchestrator.Activity, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	return c.by[r.ID], c.err
}

func (c *claims) times() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked
}

// bedroom is a world whose workspaces sleep by a clock of the test's.
type bedroom struct {
	*world
	clock  *clock
	claims *claims
	o      *orchestrator.Orchestrator
}

var usual = orchestrator.Sleep{PauseAfter: 10 * time.Minute, StopAfter: time.Hour, MaxAwake: 24 * time.Hour}

func newBedroom(t *testing.T, sleep orchestrator.Sleep, change ...func(*orchestrator.Config)) *bedroom {
	t.Helper()
	b := &bedroom{world: newWorld(t), clock: newClock(), claims: new(claims)}
	b.o = b.gateway(append([]func(*orchestrator.Config){func(c *orchestrator.Config) {
		c.Sleep, c.Activity = sleep, b.claims.ask
	}}, change...)...)
	b.o.SetClock(b.clock.now)
	return b
}

// look lets the gateway look around, and waits for what that began.
func (b *bedroom) look(id workspace.ID) {
	b.Helper()
	b.o.LookAround()
	b.o.Settle()
	if op := b.o.Operation(id); op != nil {
		_ = b.end(op)
	}
	b.eventually("it is done", func() bool { return b.o.Operation(id) == nil })
}

// pass lets time pass as it does: with a look every 20 seconds.
func (b *bedroom) pass(id workspace.ID, d time.Duration) {
	b.Helper()
	for ; d > 0; d -= 20 * time.Second {
		b.clock.later(min(d, 20*time.Second))
		b.look(id)
	}
}

func (b *bedroom) sleeps(to, reason string) float64 {
	return metric(b.T, b.o, "kalpana_sleeps_total", "to", to, "reason", reason)
}

func TestSleep_AnIdleWorkspaceIsPausedAndThenStopped(t *testing.T) {
	b := newBedroom(t, usual)
	id := b.awake(b.o)
	b.pass(id, 9*time.Minute+50*time.Second)
	b.wantState(id, workspace.StateRunning)
	b.pass(id, 10*time.Second)
	if got := b.wantState(id, workspace.StatePaused); got.Reason != "no activity for 10 minutes" || got.Desired != workspace.StatePaused {
		t.Errorf("record %+v", got)
	}
	b.wantContainer(id, orchestrator.ContainerPaused)
	if b.o.Route(id) != nil {
		t.Error("it has a route")
	}
	b.pass(id, 59*time.Minute+50*time.Second)
	b.wantState(id, workspace.StatePaused)
	b.pass(id, 10*time.Second)
	if got := b.wantState(id, workspace.StateStopped); got.Reason != "no activity for 1 hour while it was paused" {
		t.Errorf("reason %q", got.Reason)
	}
	b.wantContainer(id, orchestrator.ContainerExited)
	if b.sleeps("paused", "idle") != 1 || b.sleeps("stopped", "idle") != 1 {
		t.Error("the metrics do not tell")
	}
	b.wake(b.o, id)
	b.pass(id, 9*time.Minute)
	b.wantState(id, workspace.StateRunning)
}

func TestSleep_ZeroTurnsEachPartOff(t *testing.T) {
	for name, c := range map[string]struct {
		sleep orchestrator.Sleep
		want  []workspace.State // after 15 minutes, and after 2 hours
	}{
		"no pause": {orchestrator.Sleep{StopAfter: time.Hour}, []workspace.State{workspace.StateRunning, workspace.StateStopped}},
		"no stop":  {orchestrator.Sleep{PauseAfter: 10 * time.Minute}, []workspace.State{workspace.StatePaused, workspace.StatePaused}},
		"neither":  {orchestrator.Sleep{}, []workspace.State{workspace.StateRunning, workspace.StateRunning}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBedroom(t, c.sleep)
			id := b.awake(b.o)
			b.pass(id, 15*time.Minute)
			b.wantState(id, c.want[0])
			b.clock.later(2 * time.Hour)
			b.look(id)
			b.wantState(id, c.want[1])
		})
	}
}

func TestSleep_ATemplateHasItsOwnHours(t *testing.T) {
	b := newBedroom(t, usual, func(c *orchestrator.Config) {
		c.Templates = append(c.Templates, orchestrator.Template{Name: "patient", Sleep: &orchestrator.Sleep{PauseAfter: time.Hour}})
	})
	record, err := b.o.Create(t.Context(), orchestrator.NewWorkspace{Owner: "ann", Name: "mine", Template: "patient"})
	b.must(err)
	b.wake(b.o, record.ID)
	b.pass(record.ID, 50*time.Minute)
	b.wantState(record.ID, workspace.StateRunning)
	b.pass(record.ID, 11*time.Minute)
	b.wantState(record.ID, workspace.StatePaused)
}

func TestSleep_WhatTheGatewaySeesKeepsAwakeAndIsWrittenDownNowAndThen(t *testing.T) {
	b := newBedroom(t, usual)
	id := b.awake(b.o)
	revision := b.record(id).Revision
	for range 90 { // half an hour
		b.o.Touch(id, orchestrator.ActivityOpened)
		b.pass(id, 20*time.Second)
	}
	got := b.wantState(id, workspace.StateRunning)
	if got.LastActivity != orchestrator.ActivityOpened || b.clock.now().Sub(got.LastActiveAt) > time.Minute {
		t.Errorf("active %s ago: %s", b.clock.now().Sub(got.LastActiveAt), got.LastActivity)
	}
	if n := got.Revision - revision; n < 20 || n > 60 {
		t.Errorf("%d writes in half an hour of activity, want at most 60", n)
	}
	revision = got.Revision
	b.pass(id, 9*time.Minute)
	if n := b.record(id).Revision - revision; n > 1 {
		t.Errorf("%d writes without activity", n)
	}
	b.pass(id, time.Minute)
	b.wantState(id, workspace.StatePaused)
}

func TestSleep_ALastingUseKeepsAwakeUntilItsEnd(t *testing.T) {
	b := newBedroom(t, usual)
	id := b.awake(b.o)
	release := b.o.Busy(id, orchestrator.ActivityAgent)
	other := b.o.Busy(id, orchestrator.ActivityAgent)
	b.pass(id, 40*time.Minute)
	b.wantState(id, workspace.StateRunning)
	if a := b.o.Awake(b.record(id)); a.Reason != orchestrator.ActivityAgent || !a.SleepsAt.IsZero() || a.Next != "" {
		t.Errorf("awake %+v", a)
	}
	release()
	release() // harmless
	b.pass(id, 15*time.Minute)
	b.wantState(id, workspace.StateRunning)
	other()
	b.pass(id, 9*time.Minute)
	b.wantState(id, workspace.StateRunning)
	b.pass(id, 2*time.Minute)
	b.wantState(id, workspace.StatePaused)
}

func TestSleep_ARequestThatIsUnderWayIsNotCutOff(t *testing.T) {
	b := newBedroom(t, usual)
	id := b.awake(b.o)
	route := b.o.Route(id)
	if !route.Enter() {
		t.Fatal("its route is gone")
	}
	b.pass(id, 30*time.Minute)
	b.wantState(id, workspace.StateRunning)
	route.Leave()
	b.pass(id, 11*time.Minute)
	b.wantState(id, workspace.StatePaused)
	if route.Enter() {
		t.Error("a request came in on the route of a paused workspace")
	}
}

// Between the look at what is idle and the pause, somebody comes.
func TestSleep_LooksOnceMoreAfterItLetsNoRequestIn(t *testing.T) {
	for name, come := range map[string]func(*bedroom, workspace.ID, *orchestrator.Route){
		"a request": func(_ *bedroom, _ workspace.ID, r *orchestrator.Route) { r.Saw(orchestrator.ActivityOpened) },
		"a key": func(b *bedroom, id workspace.ID, _ *orchestrator.Route) {
			b.claims.say(id, orchestrator.Activity{Last: []orchestrator.ActivityAt{{Name: orchestrator.ActivityTyping, Ago: time.Second}}})
		},
		"an agent":  func(b *bedroom, id workspace.ID, _ *orchestrator.Route) { b.o.Busy(id, orchestrator.ActivityAgent) },
		"a wake":    func(b *bedroom, id workspace.ID, _ *orchestrator.Route) { b.o.Wake(id) },
		"a preview": func(_ *bedroom, _ workspace.ID, r *orchestrator.Route) { r.Heard(orchestrator.ActivityPreview) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBedroom(t, usual)
			frail := &frailStore{Store: b.store}
			b.o = b.gateway(func(c *orchestrator.Config) { c.Store, c.Sleep, c.Activity = frail, usual, b.claims.ask })
			b.o.SetClock(b.clock.now)
			id := b.awake(b.o)
			route := b.o.Route(id)
			var once sync.Once
			frail.after = func(_ string, r *workspace.Workspace) error {
				if r != nil && r.State == workspace.StatePausing {
					once.Do(func() { come(b, id, route) })
				}
				return nil
			}
			b.clock.later(11 * time.Minute)
			b.look(id)
			got := b.wantState(id, workspace.StateRunning)
			if b.o.Route(id) == nil || got.Desired != workspace.StateRunning || b.runtime.Calls(runtimetest.Pause) != 0 {
				t.Errorf("record %+v, route %v, %d pauses", got, b.o.Route(id), b.runtime.Calls(runtimetest.Pause))
			}
		})
	}
}

func TestSleep_ClaimsOfTheContainerKeepAwakeWithinBounds(t *testing.T) {
	b := newBedroom(t, orchestrator.Sleep{PauseAfter: 10 * time.Minute, MaxAwake: 2 * time.Hour})
	id := b.awake(b.o)
	b.claims.say(id, orchestrator.Activity{Last: []orchestrator.ActivityAt{
		{Name: orchestrator.ActivitySave, Ago: 3 * time.Minute}, {Name: orchestrator.ActivityTyping, Ago: 2 * time.Second},
	}})
	b.pass(id, time.Hour)
	if got := b.wantState(id, workspace.StateRunning); got.LastActivity != orchestrator.ActivityTyping {
		t.Errorf("last activity %q", got.LastActivity)
	}
	if n := b.claims.times(); n < 80 || n > 121 {
		t.Errorf("it was asked %d times in an hour, want at most every 30 seconds", n)
	}
	b.pass(id, time.Hour) // what it claims counts until now
	b.pass(id, 9*time.Minute)
	b.wantState(id, workspace.StateRunning)
	b.pass(id, 2*time.Minute)
	b.wantState(id, workspace.StatePaused)

	// A person who comes makes it count again.
	b.wake(b.o, id)
	b.pass(id, time.Hour)
	b.o.Touch(id, orchestrator.ActivityOpened)
	b.pass(id, 110*time.Minute)
	b.wantState(id, workspace.StateRunning)
}

func TestSleep_NonsenseOfTheContainerIsIgnored(t *testing.T) {
	b := newBedroom(t, orchestrator.Sleep{PauseAfter: 10 * time.Minute, MaxAwake: 2 * time.Hour, CPU: 0.5})
	id := b.awake(b.o)
	b.claims.say(id, orchestrator.Activity{
		Last: []orchestrator.ActivityAt{
			{Name: orchestrator.ActivityTyping, Ago: -time.Hour},
			{Name: "<script>", Ago: 0},
			{Name: orchestrator.ActivityOpened, Ago: 0},
			{Name: orchestrator.ActivitySave, Ago: math.MaxInt64},
		},
		KeepAlive: -5, CPU: math.NaN(),
	})
	b.pass(id, 11*time.Minute)
	if got := b.wantState(id, workspace.StatePaused); got.LastActivity != orchestrator.ActivityStarted {
		t.Errorf("last activity %q", got.LastActivity)
	}
}

func TestSleep_CPUCountsWhereTheOperatorSaysSo(t *testing.T) {
	for name, threshold := range map[string]float64{"off": 0, "20 %": 0.2} {
		t.Run(name, func(t *testing.T) {
			b := newBedroom(t, orchestrator.Sleep{PauseAfter: 10 * time.Minute, CPU: threshold})
			id := b.awake(b.o)
			b.claims.say(id, orchestrator.Activity{CPU: 0.3})
			b.pass(id, 30*time.Minute)
			if threshold > 0 {
				if got := b.wantState(id, workspace.StateRunning); got.LastActivity != orchestrator.ActivityCPU {
					t.Errorf("last activity %q", got.LastActivity)
				}
				b.claims.say(id, orchestrator.Activity{CPU: 0.1})
				b.pass(id, 11*time.Minute)
			}
			b.wantState(id, workspace.StatePaused)
		})
	}
}

func TestSleep_KeepAliveOfTheContainer(t *testing.T) {
	b := newBedroom(t, usual)
	id := b.awake(b.o)
	for left := 2 * time.Hour; left > 0; left -= time.Minute {
		b.claims.say(id, orchestrator.Activity{KeepAlive: left})
		b.pass(id, time.Minute)
	}
	b.wantState(id, workspace.StateRunning)
	b.claims.say(id, orchestrator.Activity{})
	b.pass(id, time.Minute)
	b.wantState(id, workspace.StatePaused)
}

func TestSleep_AKeepAliveEndsAtTheOperatorsBound(t *testing.T) {
	b := newBedroom(t, orchestrator.Sleep{PauseAfter: 10 * time.Minute, MaxAwake: time.Hour})
	id := b.awake(b.o)
	b.claims.say(id, orchestrator.Activity{KeepAlive: math.MaxInt64})
	b.pass(id, 59*time.Minute)
	b.wantState(id, workspace.StateRunning)
	b.pass(id, 2*time.Minute)
	b.wantState(id, workspace.StatePaused)
}

func TestSleep_AContainerThatDoesNotTellSleepsAllTheSame(t *testing.T) {
	b := newBedroom(t, usual)
	b.claims.err = errors.New("hostile")
	id := b.awake(b.o)
	b.pass(id, 11*time.Minute)
	b.wantState(id, workspace.StatePaused)
}

func TestKeepAwake_ItDoesNotSleepBefore(t *testing.T) {
	b := newBedroom(t, usual)
	id := b.awake(b.o)
	until := b.clock.now().Add(3 * time.Hour)
	w, err := b.o.KeepAwake(t.Context(), "ann", id, until)
	b.must(err)
	if !w.KeepAwakeUntil.Equal(until) {
		t.Errorf("kept awake until %v", w.KeepAwakeUntil)
	}
	b.pass(id, time.Hour)
	b.wantState(id, workspace.StateRunning)
	if a := b.o.Awake(b.record(id)); a.Reason != orchestrator.ActivityKeepAlive || !a.SleepsAt.Equal(until) || a.Next != workspace.StatePaused {
		t.Errorf("awake %+v", a)
	}
	_, err = b.o.KeepAwake(t.Context(), "ann", id, time.Time{})
	b.must(err)
	b.look(id)
	b.wantState(id, workspace.StatePaused)
}

func TestKeepAwake_IsRefusedBeyondTheBoundAndToOthers(t *testing.T) {
	b := newBedroom(t, usual)
	id := b.create(b.o)
	_, err := b.o.KeepAwake(t.Context(), "ann", id, b.clock.now().Add(48*time.Hour))
	b.wantErr(err, workspace.ErrInvalidAwake)
	if !strings.HasSuffix(err.Error(), "the longest is 24 hours") {
		t.Errorf("error %q", err)
	}
	_, err = b.o.KeepAwake(t.Context(), "eve", id, b.clock.now().Add(time.Hour))
	b.wantErr(err, workspace.ErrNotFound)
}

func TestAwake_TellsWhyAndUntilWhen(t *testing.T) {
	b := newBedroom(t, usual)
	id := b.awake(b.o)
	b.clock.later(5 * time.Minute)
	b.o.Touch(id, orchestrator.ActivityPreview)
	opened := b.clock.now()
	b.clock.later(time.Minute)
	want := orchestrator.Awake{Reason: orchestrator.ActivityPreview, Since: opened, SleepsAt: opened.Add(10 * time.Minute), Next: workspace.StatePaused}
	if a := b.o.Awake(b.record(id)); a != want {
		t.Errorf("awake %+v, want %+v", a, want)
	}
	b.must(b.end(b.o.Pause(id, "paused by ann")))
	now := b.clock.now()
	want = orchestrator.Awake{Reason: "paused by ann", Since: now, SleepsAt: now.Add(time.Hour), Next: workspace.StateStopped}
	if a := b.o.Awake(b.record(id)); a != want {
		t.Errorf("awake %+v, want %+v", a, want)
	}
	b.must(b.end(b.o.Stop(id, "stopped by ann")))
	want = orchestrator.Awake{Reason: "stopped by ann", Since: now}
	if a := b.o.Awake(b.record(id)); a != want {
		t.Errorf("awake %+v, want %+v", a, want)
	}
}

func TestTouch_CostsNoAllocation(t *testing.T) {
	w := newLoneWorld(t)
	o := w.gateway()
	id := w.awake(o)
	route := o.Route(id)
	o.Touch(id, orchestrator.ActivityOpened)
	if n := testing.AllocsPerRun(1000, func() {
		o.Touch(id, orchestrator.ActivityOpened)
		route.Saw(orchestrator.ActivityOpened)
		route.Enter()
		route.Leave()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A gateway that was away finds what was done meanwhile before it lets anything sleep.
func TestSleep_AfterARestartTheContainerIsAskedFirst(t *testing.T) {
	b := newBedroom(t, usual)
	id := b.awake(b.o)
	b.o.Close()
	b.clock.later(3 * time.Hour)
	b.claims.say(id, orchestrator.Activity{Last: []orchestrator.ActivityAt{{Name: orchestrator.ActivityTyping, Ago: time.Minute}}})
	b.o = b.gateway(func(c *orchestrator.Config) { c.Sleep, c.Activity = usual, b.claims.ask })
	b.o.SetClock(b.clock.now)
	b.must(b.o.Reconcile(t.Context()))
	b.look(id)
	b.wantState(id, workspace.StateRunning)
	b.look(id)
	if got := b.record(id); got.LastActivity != orchestrator.ActivityTyping {
		t.Errorf("last activity %q", got.LastActivity)
	}
	b.claims.say(id, orchestrator.Activity{})
	b.pass(id, 10*time.Minute)
	b.wantState(id, workspace.StatePaused)
}

func TestSleep_ALoopThatIsStartedDoesIt(t *testing.T) {
	w := newWorld(t)
	o := w.gateway(func(c *orchestrator.Config) {
		c.Sleep = orchestrator.Sleep{PauseAfter: 300 * time.Millisecond, StopAfter: 300 * time.Millisecond}
	})
	o.Start()
	changes, unsubscribe := o.Subscribe("ann")
	defer unsubscribe()
	id := w.awake(o)
	var states []workspace.State
	for !slices.Contains(states, workspace.StatePaused) || states[len(states)-1] != workspace.StateStopped {
		select {
		case e := <-changes:
			states = append(states, e.Workspace.State)
		case <-time.After(3 * patient):
			t.Fatalf("states %v and no more", states)
		}
	}
	w.wantState(id, workspace.StateStopped)
	states = slices.Compact(states)
	want := []workspace.State{
		workspace.StateStopped, workspace.StateStarting, workspace.StateRunning, workspace.StatePausing, workspace.StatePaused,
		workspace.StateStopping, workspace.StateStopped,
	}
	if !slices.Equal(states, want) {
		t.Errorf("states %v, want %v", states, want)
	}
}
