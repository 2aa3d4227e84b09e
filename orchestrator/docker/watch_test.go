package docker

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/client"

	"github.com/kalpana-dev/kalpana/orchestrator"
)

// cutter is a socket that leads to the engine and can be cut.
type cutter struct {
	path string

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]bool
	all   sync.WaitGroup
}

func newCutter(t *testing.T) *cutter {
	t.Helper()
	engine, err := client.ParseHostURL(engine(t).DaemonHost())
	if err != nil {
		t.Fatal(err)
	}
	address := engine.Host
	if engine.Scheme == "unix" {
		address = engine.Path
		if address == "" {
			address = engine.Host
		}
	}
	c := &cutter{path: filepath.Join(t.TempDir(), "engine.sock"), conns: make(map[net.Conn]bool)}
	l, err := net.Listen("unix", c.path)
	if err != nil {
		t.Fatal(err)
	}
	c.all.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial(engine.Scheme, address)
			if err != nil {
				t.Error(err)
				_ = near.Close()
				continue
			}
			if !c.keep(near, far) {
				continue
			}
			c.all.Go(func() { c.pipe(near, far) })
			c.all.Go(func() { c.pipe(far, near) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		c.set(true)
		c.all.Wait()
	})
	return c
}

func (c *cutter) keep(conns ...net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range conns {
		if c.cut {
			_ = conn.Close()
		} else {
			c.conns[conn] = true
		}
	}
	return !c.cut
}

func (c *cutter) pipe(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_ = to.Close()
	_ = from.Close()
}

func (c *cutter) set(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cut
	if cut {
		for conn := range c.conns {
			_ = conn.Close()
		}
		clear(c.conns)
	}
}

// watched collects what Watch says.
type watched struct {
	mu      sync.Mutex
	events  []orchestrator.ContainerEvent
	resyncs int
}

func watch(t *testing.T, r *Runtime) *watched {
	t.Helper()
	w := &watched{}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Watch(ctx, func(e orchestrator.ContainerEvent) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e)
		}, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.resyncs++
		})
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case <-ended:
		case <-time.After(time.Second):
			t.Error("Watch does not end with its context")
		}
	})
	eventually(t, "the first resync", func() bool { return w.synced() == 1 })
	return w
}

func (w *watched) synced() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.resyncs
}

// last returns the last event of a container.
func (w *watched) last(id string) (event orchestrator.ContainerEvent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e.Container == id {
			event = e
		}
	}
	return event
}

func TestWatch_TellsStartsAndDeathsAndWhy(t *testing.T) {
	t.Parallel()
	r, other := prepared(t), prepared(t)
	w := watch(t, r)

	served := spec(t, r, "serve")
	id := run(t, r, served)
	eventually(t, "a start", func() bool {
		return w.last(id) == orchestrator.ContainerEvent{Container: id, Workspace: served.Workspace}
	})
	foreign := run(t, other, spec(t, other, "exit 0"))

	failing := spec(t, r, "exit 3")
	id = run(t, r, failing)
	eventually(t, "a death with exit code 3", func() bool {
		return w.last(id) == orchestrator.ContainerEvent{Container: id, Workspace: failing.Workspace, Died: true, ExitCode: 3}
	})
	greedy := spec(t, r, "eat")
	greedy.Limits.Memory = 24 << 20
	id = run(t, r, greedy)
	eventually(t, "a death for want of memory", func() bool {
		return w.last(id) == orchestrator.ContainerEvent{Container: id, Workspace: greedy.Workspace, Died: true, ExitCode: 137, OOMKilled: true}
	})
	ended := spec(t, r, "serve")
	id = run(t, r, ended)
	if err := world.api.ContainerKill(t.Context(), id, "KILL"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a death by somebody's order", func() bool {
		return w.last(id) == orchestrator.ContainerEvent{Container: id, Workspace: ended.Workspace, Died: true, ExitCode: 137}
	})
	if e := w.last(foreign); e.Container != "" {
		t.Errorf("an event of another instance: %+v", e)
	}
}

func TestWatch_ADeathForWantOfMemoryIsKnownByItsLackOfAKiller(t *testing.T) {
	t.Parallel()
	say := func(action events.Action, attributes ...string) events.Message {
		m := events.Message{Action: action, Actor: events.Actor{ID: "c", Attributes: map[string]string{LabelWorkspace: "w"}}}
		for i := 0; i < len(attributes); i += 2 {
			m.Actor.Attributes[attributes[i]] = attributes[i+1]
		}
		return m
	}
	start, oom := say(events.ActionStart), say(events.ActionOOM)
	term, kill := say(events.ActionKill, "signal", "15"), say(events.ActionKill, "signal", "9")
	killed, failed := say(events.ActionDie, "exitCode", "137"), say(events.ActionDie, "exitCode", "1")
	for name, c := range map[string]struct {
		said []events.Message
		want bool
	}{
		"the engine does not say so":                    {[]events.Message{start, killed}, true},
		"the engine says so":                            {[]events.Message{start, oom, killed}, true},
		"while it was asked to end":                     {[]events.Message{start, term, killed}, true},
		"a run after one that was killed":               {[]events.Message{start, kill, killed, start, killed}, true},
		"the end of the run before was lost":            {[]events.Message{start, kill, start, killed}, true},
		"it was killed":                                 {[]events.Message{start, kill, killed}, false},
		"it did not end in time":                        {[]events.Message{start, term, kill, killed}, false},
		"it was killed, after another process had been": {[]events.Message{start, oom, kill, killed}, false},
		"it failed, after another process was killed":   {[]events.Message{start, oom, failed}, false},
	} {
		k, last := make(killers), orchestrator.ContainerEvent{}
		for _, m := range c.said {
			if event, ok := k.hear(m); ok {
				last = event
			}
		}
		if !last.Died || last.OOMKilled != c.want {
			t.Errorf("%s: %+v", name, last)
		}
		if len(k) > 0 {
			t.Errorf("%s: it remembers %v", name, k)
		}
	}
}

func TestWatch_ConnectsAgainAndResyncs(t *testing.T) {
	t.Parallel()
	c := newCutter(t)
	r := newRuntime(t, ownScope(t, "m"), func(cfg *Config) { cfg.Host = "unix://" + c.path })
	if err := r.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := watch(t, r)
	s := spec(t, r, "serve")
	id := run(t, r, s)
	eventually(t, "a start", func() bool { return w.last(id).Container == id })

	c.set(true)
	if _, err := r.Containers(t.Context()); err == nil {
		t.Fatal("the connection was not cut")
	}
	eventually(t, "the fence is in doubt", func() bool { return r.fence.state.Load() == int32(fenceDoubted) })
	if err := world.api.ContainerKill(t.Context(), id, "KILL"); err != nil { // and nobody hears it
		t.Fatal(err)
	}
	if err := r.Start(t.Context(), id); err == nil || errors.Is(err, orchestrator.ErrNoContainer) {
		t.Errorf("Start without an engine: %v", err)
	}
	c.set(false)
	eventually(t, "another resync", func() bool { return w.synced() == 2 })
	if got := listed1(t, r, id); got.State != orchestrator.ContainerExited {
		t.Errorf("after the resync it is %s", got.State)
	}
	removeRules(t.Context(), r.cfg.scope) // as if the engine's machine had been started anew
	if err := r.Start(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if rules := host(t, "-S", "INPUT"); !strings.Contains(rules, r.cfg.scope.chain) {
		t.Errorf("a container was started without the firewall:\n%s", rules)
	}
	eventually(t, "a start after the cut", func() bool {
		return w.last(id) == orchestrator.ContainerEvent{Container: id, Workspace: s.Workspace}
	})
	if got := w.synced(); got != 2 {
		t.Errorf("%d resyncs for two connections", got)
	}
}

func TestWatch_EndsWhileTheEngineIsDown(t *testing.T) {
	t.Parallel()
	r, err := New(Config{Host: "unix://" + filepath.Join(t.TempDir(), "none.sock"), Instance: "test"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
	defer cancel()
	r.Watch(ctx, func(orchestrator.ContainerEvent) { t.Error("an event from nowhere") }, func() { t.Error("a resync with nobody") })
	if ctx.Err() == nil {
		t.Error("Watch ended by itself")
	}
}
