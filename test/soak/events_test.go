package soak

import (
	"context"
	"errors"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/kalpana-dev/kalpana/test/harness"
)

// event is something that happens. An event of a workspace happens beside others; any other is for the
// goroutine that chooses events, while those of workspaces go on.
type event struct {
	name   string
	weight int
	place  func(*walk, *gateway, *place)
	whole  func(*walk)
}

var kinds = []event{
	{"hit", 18, (*walk).hit, nil},
	{"write", 22, (*walk).write, nil},
	{"start", 5, verb("start"), nil},
	{"stop", 10, verb("stop"), nil},
	{"pause", 10, verb("pause"), nil},
	{"restart", 3, verb("restart"), nil},
	{"rebuild", 3, verb("rebuild"), nil},
	{"delete and create", 4, (*walk).exchange, nil},
	{"container killed", 4, behind(func(ctx context.Context, e *harness.Engine, id string) error {
		return e.ContainerKill(ctx, id, "KILL")
	}), nil},
	{"container paused", 3, behind(func(ctx context.Context, e *harness.Engine, id string) error {
		return e.ContainerPause(ctx, id)
	}), nil},
	{"container resumed", 2, behind(func(ctx context.Context, e *harness.Engine, id string) error {
		return e.ContainerUnpause(ctx, id)
	}), nil},
	{"container started", 2, behind(func(ctx context.Context, e *harness.Engine, id string) error {
		return e.ContainerStart(ctx, id, container.StartOptions{})
	}), nil},
	{"container removed", 3, behind(func(ctx context.Context, e *harness.Engine, id string) error {
		return e.ContainerRemove(ctx, id, forced)
	}), nil},
	{"gateway killed", 3, nil, (*walk).killGateway},
	{"second gateway comes or goes", 3, nil, (*walk).secondGateway},
	{"reload", 3, nil, (*walk).reload},
	{"event stream cut", 3, nil, (*walk).cut},
	{"engine slow", 1, nil, (*walk).slow},
	{"engine restarted", 1, nil, (*walk).restartEngine},
}

// step chooses an event, and lets it happen.
func (w *walk) step() {
	total := 0
	for _, k := range kinds {
		total += k.weight
	}
	n := w.random.IntN(total)
	var kind event
	for _, kind = range kinds {
		if n -= kind.weight; n < 0 {
			break
		}
	}
	p, g := w.places[w.random.IntN(len(w.places))], w.gateways[w.random.IntN(len(w.gateways))]
	pause := time.Duration(w.random.IntN(60)) * time.Millisecond
	w.count[kind.name]++
	if kind.whole != nil {
		kind.whole(w)
		return
	}
	if !g.running.Load() {
		g = w.gateways[0]
	}
	w.slots <- struct{}{}
	w.all.Go(func() {
		defer func() { <-w.slots }()
		kind.place(w, g, p)
	})
	time.Sleep(pause)
}

// hit asks a workspace's app, which wakes it.
func (w *walk) hit(g *gateway, p *place) {
	id := *p.id.Load()
	a := w.ask("hit", g, "GET", g.Workspace(id)+"/hello", "")
	switch {
	case a.status == http.StatusOK && a.header.Get("X-App") != id:
		w.fault("a hit on workspace %s was answered by %q", id, a.header.Get("X-App"))
	case a.status == http.StatusServiceUnavailable && !strings.Contains(a.body, `"detail":"`):
		w.fault("a hit was refused without a word: %.300s", a.body)
	case a.status == http.StatusNotFound, a.status == http.StatusUnauthorized:
		w.missing(g, id, a)
	}
}

// missing says so where a workspace does not exist that nobody deleted.
func (w *walk) missing(g *gateway, id string, a answer) {
	w.mu.Lock()
	deleted := w.deleted[id]
	w.mu.Unlock()
	if !deleted {
		w.fault("a hit on workspace %s, which nobody deleted, at %s: %d %.300s", id, g.Dir, a.status, a.body)
	}
}

// write replaces the workspace's file, unless somebody else is about to.
func (w *walk) write(g *gateway, p *place) {
	if !p.TryLock() {
		return
	}
	defer p.Unlock()
	p.attempted++
	a := w.ask("write", g, "POST", g.Workspace(*p.id.Load())+"/__app/file/counter", strconv.Itoa(p.attempted))
	if a.status == http.StatusOK {
		p.written = p.attempted
	}
}

func verb(name string) func(*walk, *gateway, *place) {
	return func(w *walk, g *gateway, p *place) { w.api(name, g, "POST", *p.id.Load(), name) }
}

// exchange deletes a workspace, and puts another in its place.
func (w *walk) exchange(g *gateway, p *place) {
	p.Lock()
	defer p.Unlock()
	id := *p.id.Load()
	w.mu.Lock()
	w.deleted[id] = true
	w.mu.Unlock()
	a := w.api("delete", g, "DELETE", id, "")
	if a.status == http.StatusNoContent {
		if again := w.api("after a delete", g, "GET", id, ""); again.status != http.StatusNotFound && again.status != 0 {
			w.fault("a workspace that was deleted is there: %d %s", again.status, again.body)
		}
	}
	w.create(p)
}

// behind does something to a workspace's container behind the gateways' backs.
func behind(do func(context.Context, *harness.Engine, string) error) func(*walk, *gateway, *place) {
	return func(w *walk, _ *gateway, p *place) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if id := w.containerOf(*p.id.Load()); id != "" {
			_ = do(ctx, w.engine, id) // which may not be in the right state for it
		}
	}
}

// killGateway kills one that runs, and starts it again.
func (w *walk) killGateway() {
	g := w.gateways[w.random.IntN(len(w.gateways))]
	if !g.running.Load() {
		g = w.gateways[0]
	}
	w.end(g, func() error { g.Kill(); return nil })
	w.start(g)
}

func (w *walk) end(g *gateway, how func() error) {
	g.lives.Add(1)
	g.running.Store(false)
	if err := how(); err != nil {
		w.fault("ending a gateway: %v", err)
	}
	g.lives.Add(1)
}

// secondGateway starts the second gateway, or ends it in one way or the other.
func (w *walk) secondGateway() {
	g, killed := w.gateways[1], w.random.IntN(2) == 0
	switch {
	case !g.running.Load():
		w.start(g)
	case killed:
		w.end(g, func() error { g.Kill(); return nil })
	default:
		w.end(g, g.Stop)
	}
}

// reload makes the first gateway read its configuration, with or without a change.
func (w *walk) reload() {
	g := w.gateways[0]
	text, err := os.ReadFile(filepath.Join(harness.Root(), "Caddyfile"))
	w.must(err)
	hours := strconv.Itoa(100 + w.random.IntN(3))
	text = []byte(strings.Replace(string(text), "\tkalpana {\n", "\tkalpana {\n\t\taudit_keep "+hours+"h\n", 1))
	g.Config = filepath.Join(g.Dir, "Caddyfile")
	w.must(os.WriteFile(g.Config, text, 0o600))
	g.reload.Store(math.MaxInt64)
	if err := g.Reload(); err != nil {
		w.fault("%v", err)
	}
	g.reload.Store(time.Now().Add(time.Second).UnixNano()) // the server before ends in the background
}

func (w *walk) cut() { w.gateways[w.random.IntN(len(w.gateways))].relay.Cut() }

// slow makes the engine slow for one of the gateways, for a few seconds.
func (w *walk) slow() {
	g := w.gateways[w.random.IntN(len(w.gateways))]
	g.relay.Play(harness.Slow(500 * time.Millisecond))
	time.AfterFunc(3*time.Second, func() { g.relay.Play(nil) })
}

// restartEngine ends the engine in one way or the other, and starts it again.
func (w *walk) restartEngine() {
	var err error
	if w.random.IntN(3) == 0 {
		w.engine.Kill()
	} else {
		err = w.engine.Stop()
	}
	w.must(errors.Join(err, w.engine.Start()))
}
