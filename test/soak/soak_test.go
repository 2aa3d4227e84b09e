package soak

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/kalpana-dev/kalpana/store/sqlite"
	"github.com/kalpana-dev/kalpana/test/harness"
	"github.com/kalpana-dev/kalpana/workspace"
)

var (
	events     = flag.Int("events", 80, "how many events")
	workspaces = flag.Int("workspaces", 6, "on how many workspaces")
	seed       = flag.Uint64("seed", 0, "of the random walk; 0 is a new one")
)

const (
	image = "kalpana-test/app:latest"
	// atOnce is how many events happen at the same time.
	atOnce = 8
	// longest is how long a request may take: longer than the gateway holds one.
	longest = 75 * time.Second
	// quiet is how long it may take until everything agrees once nothing happens any more: two
	// reconciles, and the lease of a gateway that was killed.
	quiet = 90 * time.Second
)

func TestSoak(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("seed %d, %d events on %d workspaces", *seed, *events, *workspaces)
	w := newWalk(t)
	began := time.Now()
	for range *events {
		w.step()
	}
	w.all.Wait()
	walked := time.Since(began)
	w.rest()
	t.Logf("%d events in %v, at rest after another %v", *events, walked.Round(time.Second), (time.Since(began) - walked).Round(time.Second))
	w.tell()
}

// walk is one random walk.
type walk struct {
	t      *testing.T
	random *rand.Rand // of the goroutine that chooses events
	engine *harness.Engine
	store  *sqlite.Store
	token  string

	gateways []*gateway
	places   []*place

	all   sync.WaitGroup
	slots chan struct{} // events under way

	mu      sync.Mutex
	count   map[string]int // of events
	answers map[string]int // of their answers
	faults  []string       // what must not be
	deleted map[string]bool
}

// gateway is one of the installation's two, which may or may not run.
type gateway struct {
	*harness.Installation
	relay   *harness.Relay
	client  *http.Client
	running atomic.Bool
	lives   atomic.Int64 // how often it was ended so far
	reload  atomic.Int64 // until when what it begins with may meet the end of the server before, in Unix nanoseconds
}

// place is where a workspace is; another comes into it when the workspace is deleted. Its lock is held by
// whoever writes its file, or exchanges the workspace.
type place struct {
	sync.Mutex
	id        atomic.Pointer[string]
	attempted int // the newest content that was sent
	written   int // the newest that was acknowledged
}

func newWalk(t *testing.T) *walk {
	w := &walk{
		t: t, random: rand.New(rand.NewPCG(*seed, 0)), slots: make(chan struct{}, atOnce),
		count: map[string]int{}, answers: map[string]int{}, deleted: map[string]bool{},
	}
	dir := t.TempDir()
	binary, err := harness.Build(false)
	w.must(err)
	w.engine, err = harness.NewEngine(2 << 30)
	if errors.Is(err, harness.ErrNoEngine) {
		t.Skip(err)
	}
	w.must(err)
	t.Cleanup(func() {
		if err := w.engine.Close(); err != nil {
			t.Error(err)
		}
	})
	app, err := harness.App(dir)
	w.must(err)
	w.must(app.Import(t.Context(), w.engine.Client, image))

	one, err := harness.New(binary, w.dir(), "KALPANA_IMAGE="+image, "KALPANA_WORKSPACE_LIMIT=1000", "KALPANA_RUNNING_LIMIT=unlimited", "KALPANA_PORTS=20000-20999",
		"KALPANA_OPTIONS="+strings.Join([]string{
			"rate_limits off", "reserve {\n memory off\n disk off\n}", "start_timeout 45s",
			"runtime docker {\n allow_host_access true\n}", "limits {\n memory 64MiB\n cpus 1\n}",
		}, "\n"))
	w.must(err)
	one.Namespace = w.engine.Namespace()
	w.add(one)
	w.start(w.gateways[0])
	w.store, err = sqlite.Open(t.Context(), filepath.Join(one.Dir, "kalpana.db"))
	w.must(err)
	t.Cleanup(func() { _ = w.store.Close() })
	two, err := one.Beside(w.dir())
	w.must(err)
	w.add(two)
	w.signIn(one)
	for range *workspaces {
		p := new(place)
		w.places = append(w.places, p)
		w.create(p)
	}
	return w
}

// dir returns a short one: a socket's path has 108 bytes.
func (w *walk) dir() string {
	dir, err := os.MkdirTemp("", "kts")
	w.must(err)
	w.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (w *walk) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *walk) add(i *harness.Installation) {
	relay, err := harness.NewRelay(i.Dir, w.engine.Socket())
	w.must(err)
	i.Env = append(i.Env, "DOCKER_HOST="+relay.Host())
	g := &gateway{Installation: i, relay: relay, client: &http.Client{
		Timeout: longest,
		// A connection that is kept may be closed just when a request goes out on it.
		Transport:     &http.Transport{DialContext: i.Dial, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	w.gateways = append(w.gateways, g)
	name := fmt.Sprintf("TestSoak-gateway%d.log", len(w.gateways))
	w.t.Cleanup(func() {
		_ = relay.Close()
		if err := i.Stop(); err != nil {
			w.t.Error(err)
		}
		if err := i.Faults(); err != nil {
			w.t.Errorf("%v; see test/artifacts/%s", err, name)
		}
		artifacts := filepath.Join(harness.Root(), "test", "artifacts")
		_ = os.MkdirAll(artifacts, 0o755)
		_ = os.WriteFile(filepath.Join(artifacts, name), []byte(i.Log.String()), 0o644)
	})
}

// signIn gets a token for everything that follows.
func (w *walk) signIn(i *harness.Installation) {
	b, err := i.SignIn()
	w.must(err)
	defer b.Close()
	a, err := b.API("POST", "/api/tokens", map[string]any{"name": "soak", "scopes": []string{"workspaces:read", "workspaces:write", "workspaces:open"}})
	w.must(err)
	var made struct{ Token string }
	w.must(json.Unmarshal([]byte(a.Body), &made))
	if w.token = made.Token; w.token == "" {
		w.t.Fatalf("no token: %v", a)
	}
}

func (w *walk) start(g *gateway) {
	w.must(g.Start())
	g.running.Store(true)
}

// fault notes what must not be.
func (w *walk) fault(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.faults) < 50 {
		w.faults = append(w.faults, fmt.Sprintf(format, args...))
	}
}

// answer is an answer of a gateway. Its status is 0 where there was none since the gateway was ended.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends a request to a gateway that runs.
func (w *walk) ask(event string, g *gateway, method, address, body string) answer {
	lives := g.lives.Load()
	r := harness.Request(method, address, strings.NewReader(body), "Authorization", "Bearer "+w.token, "Content-Type", "application/json")
	began := time.Now()
	resp, err := g.client.Do(r)
	var a answer
	if err == nil {
		var text []byte
		text, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		a = answer{resp.StatusCode, resp.Header, string(text)}
	}
	key := fmt.Sprintf("%s %d", event, a.status)
	var problem struct{ Detail string }
	if a.status >= 300 && json.Unmarshal([]byte(a.body), &problem) == nil {
		key += fmt.Sprintf(" (%.40s)", problem.Detail)
	}
	w.mu.Lock()
	w.answers[key]++
	w.mu.Unlock()
	// Caddy ends the server of the configuration before with whatever was not read yet on its connections.
	sentAway := (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)) &&
		began.UnixNano() < g.reload.Load()
	switch {
	case err != nil && g.lives.Load() == lives && g.running.Load() && !sentAway:
		w.fault("%s: no answer after %v: %v", event, time.Since(began), err)
	case err != nil:
		a.status = 0
	case a.status >= 500 && a.status != http.StatusServiceUnavailable && a.status != http.StatusBadGateway:
		w.fault("%s: %d %.300s", event, a.status, a.body)
	}
	return a
}

// api calls the API, about a workspace.
func (w *walk) api(event string, g *gateway, method, id, verb string) answer {
	path := "/api/workspaces/" + id
	if verb != "" {
		path += "/" + verb
	}
	return w.ask(event, g, method, g.Console()+path, "")
}

// create puts a new workspace in a place, whose lock is held or which is new.
func (w *walk) create(p *place) {
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		for _, g := range w.gateways {
			if !g.running.Load() {
				continue
			}
			a := w.ask("create", g, "POST", g.Console()+"/api/workspaces", `{"name":"soak","template":"blank"}`)
			var made struct{ ID string }
			if a.status == http.StatusCreated && json.Unmarshal([]byte(a.body), &made) == nil {
				p.id.Store(&made.ID)
				p.attempted, p.written = 0, 0
				return
			}
		}
		if time.Now().After(deadline) {
			w.t.Error("no workspace can be made for two minutes")
			return
		}
	}
}

// tell reports what happened.
func (w *walk) tell() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, title := range []struct {
		name string
		of   map[string]int
	}{{"events", w.count}, {"answers", w.answers}} {
		var line []string
		for _, key := range slices.Sorted(maps.Keys(title.of)) {
			line = append(line, fmt.Sprintf("%s: %d", key, title.of[key]))
		}
		w.t.Logf("%s: %s", title.name, strings.Join(line, ", "))
	}
	for _, fault := range w.faults {
		w.t.Error(fault)
	}
	if w.t.Failed() {
		w.t.Logf("the same events again: make soak SEED=%d EVENTS=%d WORKSPACES=%d", *seed, *events, *workspaces)
	}
}

// rest lets everything come to rest, and looks at what there is.
func (w *walk) rest() {
	for _, g := range w.gateways {
		g.relay.Play(nil)
		if !g.running.Load() {
			w.start(g)
		}
	}
	w.agree("when nothing happens any more")
	// Every file is there, with what was acknowledged last or sent after it, at either gateway.
	var all sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for n, p := range w.places {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			w.checkFile(w.gateways[n%2], p)
		})
	}
	all.Wait()
	w.agree("when every workspace was opened")
	for n, p := range w.places {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			if a := w.api("delete at the end", w.gateways[n%2], "DELETE", *p.id.Load(), ""); a.status != http.StatusNoContent {
				w.fault("delete at the end: %d %s", a.status, a.body)
			}
		})
	}
	all.Wait()
	left, err := w.gateways[0].Look(w.t.Context(), w.store, w.engine)
	w.must(err)
	for id := range left.Records { // of deletes whose gateway was killed before it had begun
		w.api("delete at the end", w.gateways[0], "DELETE", id, "")
	}
	if left = w.agree("when all are deleted"); left != nil && len(left.Records)+len(left.Containers)+len(left.Volumes)+len(left.Ports) > 0 {
		w.fault("left behind: %+v", left)
	}
}

// agree waits until records, containers, volumes, ports and leases fit together.
func (w *walk) agree(when string) *harness.Left {
	var left *harness.Left
	var err error
	for deadline := time.Now().Add(quiet); ; time.Sleep(200 * time.Millisecond) {
		if left, err = w.gateways[0].Look(w.t.Context(), w.store, w.engine); err == nil {
			err = left.Agree()
		}
		if err == nil {
			return left
		}
		if time.Now().After(deadline) {
			w.fault("%s: %v", when, err)
			return left
		}
	}
}

func (w *walk) checkFile(g *gateway, p *place) {
	id := *p.id.Load()
	a := w.ask("the last hit", g, "GET", g.Workspace(id)+"/__app/file/counter", "")
	if a.status == http.StatusNotFound && p.written == 0 && strings.Contains(a.body, "no such file") {
		return
	}
	n, err := strconv.Atoi(a.body)
	if a.status != http.StatusOK || err != nil || n < p.written || n > p.attempted {
		w.fault("workspace %s: its file has %d %.300q; %d was acknowledged and %d attempted", id, a.status, a.body, p.written, p.attempted)
	}
}

// containerOf returns the container that the store knows a workspace by, or "".
func (w *walk) containerOf(id string) string {
	record, err := w.store.Workspace(context.Background(), workspace.ID(id))
	if err != nil {
		return ""
	}
	return record.Container
}

var forced = container.RemoveOptions{Force: true}
