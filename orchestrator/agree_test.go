package orchestrator_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/workspace"
)

// pair is two gateways on one store whose workspaces sleep by the same clock; both look for questions
// often.
type pair struct {
	*bedroom
	other *orchestrator.Orchestrator
	delay *delays
}

// delays puts the store off, each call as the test says.
type delays struct {
	orchestrator.Store
	mu sync.Mutex
	by func(method string) time.Duration
}

func (d *delays) set(by func(string) time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.by = by
}

func (d *delays) wait(method string) {
	d.mu.Lock()
	by := d.by
	d.mu.Unlock()
	if by != nil {
		time.Sleep(by(method))
	}
}

func (d *delays) Workspace(ctx context.Context, id workspace.ID) (*workspace.Workspace, error) {
	w, err := d.Store.Workspace(ctx, id)
	d.wait("Workspace") // between reading and writing
	return w, err
}

func (d *delays) UpdateWorkspace(ctx context.Context, w *workspace.Workspace) error {
	d.wait("UpdateWorkspace")
	return d.Store.UpdateWorkspace(ctx, w)
}

func (d *delays) AcquireLease(ctx context.Context, name, holder string, now, until time.Time) (bool, error) {
	d.wait("AcquireLease")
	return d.Store.AcquireLease(ctx, name, holder, now, until)
}

func (d *delays) Leases(ctx context.Context, prefix string, now time.Time) ([]orchestrator.Lease, error) {
	leases, err := d.Store.Leases(ctx, prefix, now)
	d.wait("Leases")
	return leases, err
}

func newPair(t *testing.T) *pair {
	t.Helper()
	b := newBedroom(t, usual)
	p := &pair{bedroom: b, delay: &delays{Store: b.open()}}
	p.other = b.gateway(func(c *orchestrator.Config) { c.Store, c.Sleep = p.delay, usual })
	for _, o := range []*orchestrator.Orchestrator{b.o, p.other} {
		o.SetClock(b.clock.now)
		o.SetQuestions(5 * time.Millisecond)
		o.SetLease(2 * time.Second)
		b.start(o)
	}
	b.eventually("they know of each other", func() bool { return b.o.Peers() == 1 && p.other.Peers() == 1 })
	return p
}

// both returns a workspace that runs, and that both gateways reach.
func (p *pair) both() workspace.ID {
	p.Helper()
	id := p.awake(p.o)
	p.wake(p.other, id)
	return id
}

func TestGateways_OnePausesOnlyWhatTheOtherDoesNotUse(t *testing.T) {
	for name, use := range map[string]func(*pair, workspace.ID) (end func()){
		"a request": func(p *pair, id workspace.ID) func() {
			r := p.other.Route(id)
			r.Enter()
			return r.Leave
		},
		"an agent": func(p *pair, id workspace.ID) func() { return p.other.Busy(id, orchestrator.ActivityAgent) },
		"a page that was just opened": func(p *pair, id workspace.ID) func() {
			p.other.Touch(id, orchestrator.ActivityOpened)
			return func() { p.clock.later(11 * time.Minute) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			id := p.both()
			p.clock.later(11 * time.Minute)
			end := use(p, id)
			p.look(id)
			p.wantState(id, workspace.StateRunning)
			if p.runtime.Calls(runtimetest.Pause) != 0 || p.o.Route(id) == nil || p.other.Route(id) == nil {
				t.Errorf("%d pauses, routes %v and %v", p.runtime.Calls(runtimetest.Pause), p.o.Route(id), p.other.Route(id))
			}
			end()
			p.clock.later(11 * time.Minute)
			p.look(id)
			p.wantState(id, workspace.StatePaused)
			if p.other.Route(id) != nil {
				t.Error("the other has a route to what is paused")
			}
			p.wake(p.other, id)
		})
	}
}

func TestGateways_WhatOneSawTheOtherKnowsByTheRecord(t *testing.T) {
	p := newPair(t)
	id := p.both()
	p.clock.later(9 * time.Minute)
	p.other.Touch(id, orchestrator.ActivityPreview)
	p.other.LookAround()
	p.eventually("it is written down", func() bool { return p.record(id).LastActivity == orchestrator.ActivityPreview })
	p.clock.later(9 * time.Minute)
	p.look(id)
	p.wantState(id, workspace.StateRunning)
	if n := p.runtime.Calls(runtimetest.Pause); n != 0 {
		t.Errorf("%d pauses", n)
	}
}

func TestGateways_OneThatIsGoneIsNotWaitedFor(t *testing.T) {
	p := newPair(t)
	id := p.both()
	p.other.Close()
	p.clock.later(11 * time.Minute)
	began := time.Now()
	p.look(id)
	p.wantState(id, workspace.StatePaused)
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("it took %v", d)
	}
}

// A gateway that hangs may have requests under way: nothing sleeps that it might use, for as long as it lives.
func TestGateways_OneThatDoesNotAnswerIsWaitedForAsLongAsItLives(t *testing.T) {
	p := newPair(t)
	id := p.both()
	hung := make(chan struct{})
	p.delay.set(func(method string) time.Duration {
		if method == "Leases" {
			<-hung
		}
		return 0
	})
	var ends time.Time
	leases, err := p.store.Leases(t.Context(), "gateway:", time.Now())
	p.must(err)
	for _, l := range leases {
		if l.Holder == p.other.Holder() {
			ends = l.EndsAt
		}
	}
	p.clock.later(11 * time.Minute)
	p.o.LookAround()
	p.eventually("its lease ended", func() bool { return p.record(id).State == workspace.StatePaused })
	if early := time.Until(ends); ends.IsZero() || early > 0 {
		t.Errorf("it was paused %v before the end of the lease", early)
	}
	p.delay.set(nil)
	close(hung)
}

func TestGateways_ARequestThatComesWhileTheyAgreeIsServed(t *testing.T) {
	for name, slow := range map[string]string{
		"":                 "",
		" with slow reads": "Workspace", " with slow writes": "UpdateWorkspace", " with slow leases": "AcquireLease", " with slow lists": "Leases",
	} {
		t.Run("at the other"+name, func(t *testing.T) {
			p := newPair(t)
			id := p.both()
			p.delay.set(func(method string) time.Duration {
				if method == slow {
					return 30 * time.Millisecond
				}
				return 0
			})
			for range 5 {
				p.clock.later(11 * time.Minute)
				p.o.LookAround()
				// The other has a request now and then, at any moment of the agreement.
				for asleep := 0; asleep < 3; {
					r := p.other.Route(id)
					if r == nil || !r.Enter() {
						asleep++
						p.wake(p.other, id)
						continue
					}
					if s := p.containerState(id); s != orchestrator.ContainerRunning {
						t.Fatalf("a request is under way, and its container is %s", s)
					}
					r.Saw(orchestrator.ActivityOpened)
					r.Leave()
					if p.o.Operation(id) == nil {
						break
					}
				}
				p.eventually("it is decided", func() bool { return p.o.Operation(id) == nil && p.other.Operation(id) == nil })
				p.wake(p.other, id)
				p.wake(p.o, id)
			}
			p.wantContainer(id, orchestrator.ContainerRunning)
		})
	}
}

// containerState returns what a workspace's only container is.
func (w *world) containerState(id workspace.ID) orchestrator.ContainerState {
	w.Helper()
	list := w.runtime.Of(id)
	if len(list) != 1 {
		w.Fatalf("containers %v", list)
	}
	return list[0].State
}

func TestGateways_WhatBothFindIdleSleepsOnce(t *testing.T) {
	p := newPair(t)
	var ids []workspace.ID
	for range 4 {
		ids = append(ids, p.both())
	}
	p.clock.later(11 * time.Minute)
	p.eventually("all sleep", func() bool {
		p.o.LookAround()
		p.other.LookAround()
		return !slices.ContainsFunc(ids, func(id workspace.ID) bool {
			return p.record(id).State != workspace.StatePaused || p.o.Operation(id) != nil || p.other.Operation(id) != nil
		})
	})
	if n := p.runtime.Calls(runtimetest.Pause); n != len(ids) {
		t.Errorf("%d pauses of %d workspaces", n, len(ids))
	}
}

func TestGateways_APauseOfOneIsKnownToTheOther(t *testing.T) {
	p := newPair(t)
	id := p.both()
	p.must(p.end(p.o.Pause(id, "test")))
	p.eventually("the other lets no request in", func() bool { return p.other.Route(id) == nil })
	p.wake(p.o, id)
	p.eventually("the other reaches it again", func() bool { return p.other.Route(id) != nil })
	if n := p.runtime.Calls(runtimetest.Unpause); n != 1 {
		t.Errorf("%d resumes, want 1", n)
	}
}

func TestGateways_WhatOneWokeTheOtherFinds(t *testing.T) {
	p := newPair(t)
	id := p.awake(p.o)
	if p.other.Find(t.Context(), id) == nil {
		t.Error("the other does not find it")
	}
}

// One is killed in the middle of a start: the other takes it over.
func TestGateways_AStartOfOneThatIsKilledIsTakenOver(t *testing.T) {
	p := newPair(t)
	up := make(chan struct{})
	p.runtime.SetBoot(func(workspace.ID) runtimetest.Boot { return runtimetest.Boot{Until: up} })
	id := p.create(p.o)
	d := &doom{left: 1 << 30}
	frail := &frailStore{Store: p.open(), fault: func(string, *workspace.Workspace) error { return d.strike() }}
	doomed := p.gateway(func(c *orchestrator.Config) { c.Store, c.Runtime = frail, &doomedRuntime{p.runtime, d} })
	doomed.SetLease(2 * time.Second)
	p.start(doomed)
	p.eventually("the others know of it", func() bool { return p.o.Peers() == 2 && p.other.Peers() == 2 })
	wake := doomed.Wake(id)
	p.stage(wake, orchestrator.StageEditor)
	d.kill()
	began := time.Now()
	close(up)
	p.eventually("another has taken it over", func() bool {
		return p.record(id).State == workspace.StateRunning && (p.o.Route(id) != nil || p.other.Route(id) != nil)
	})
	t.Logf("taken over after %v; a lease lasts 2 s here", time.Since(began))
	p.wantContainer(id, orchestrator.ContainerRunning)
	if n := p.runtime.Calls(runtimetest.Start); n > 2 {
		t.Errorf("%d starts", n)
	}
}
