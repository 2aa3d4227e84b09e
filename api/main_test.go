package api_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kalpana-dev/kalpana/agent"
	"github.com/kalpana-dev/kalpana/agent/budget"
	"github.com/kalpana-dev/kalpana/agent/tools"
	"github.com/kalpana-dev/kalpana/api"
	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/store/sqlite"
	"github.com/kalpana-dev/kalpana/workspace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const console = "http://kalpana.localhost:8080"

// engine is an orchestrator.Runtime whose containers are names, and their VS Code: no network, so
// that it works on the clock of a synctest bubble.
type engine struct {
	mu         sync.Mutex
	fault      error         // of Create and Start
	hold       chan struct{} // Create waits until it is closed; nil does not wait
	containers map[string]orchestrator.Container
}

func (e *engine) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fault = err
}

// block lets no container be made until the returned function is called.
func (e *engine) block() (release func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.hold = make(chan struct{})
	return sync.OnceFunc(func() { close(e.hold) })
}

func (e *engine) set(id string, c orchestrator.Container) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.containers[id] = c
	return e.fault
}

func (e *engine) Create(ctx context.Context, s orchestrator.Spec) (string, error) {
	e.mu.Lock()
	hold := e.hold
	e.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	id := rand.Text()
	return id, e.set(id, orchestrator.Container{ID: id, Workspace: s.Workspace, State: orchestrator.ContainerCreated, Image: s.Image})
}

func (e *engine) Start(_ context.Context, id string) error {
	if err := e.change(id, orchestrator.ContainerRunning); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.fault
}

func (e *engine) Remove(_ context.Context, id string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.containers, id)
	return nil
}

func (e *engine) Containers(context.Context) (list []orchestrator.Container, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.containers {
		list = append(list, c)
	}
	return list, nil
}

func (e *engine) change(id string, state orchestrator.ContainerState) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, ok := e.containers[id]
	if !ok {
		return orchestrator.ErrNoContainer
	}
	c.State = state
	e.containers[id] = c
	return nil
}

func (e *engine) Pause(_ context.Context, id string) error {
	return e.change(id, orchestrator.ContainerPaused)
}

func (e *engine) Unpause(_ context.Context, id string) error {
	return e.change(id, orchestrator.ContainerRunning)
}

func (e *engine) State(_ context.Context, id string) (orchestrator.ContainerState, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c, ok := e.containers[id]; ok {
		return c.State, nil
	}
	return orchestrator.ContainerExited, nil
}

func (*engine) Prepare(context.Context) error                     { return nil }
func (*engine) Stop(context.Context, string, time.Duration) error { return nil }
func (*engine) RemoveVolume(context.Context, string) error        { return nil }
func (*engine) Logs(context.Context, string, int) (string, error) { return "", nil }
func (*engine) Watch(ctx context.Context, _ func(orchestrator.ContainerEvent), _ func()) {
	<-ctx.Done()
}

func (*engine) Limit(context.Context, string, orchestrator.Limits) error     { return nil }
func (*engine) LimitVolume(context.Context, string, func(int64) int64) error { return nil }
func (*engine) Host(context.Context) (orchestrator.Host, error) {
	return orchestrator.Host{}, errors.ErrUnsupported
}

func (*engine) DiskUsed(context.Context, string, string) (int64, bool, error) {
	return 0, false, errors.ErrUnsupported
}

// RoundTrip answers for VS Code, which is ready.
func (*engine) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{}, Request: r,
		Body: io.NopCloser(strings.NewReader(`{"ready":true}`)),
	}, nil
}

// site is one installation and its API.
type site struct {
	*api.Handler
	t            testing.TB
	store        *sqlite.Store
	engine       *engine
	identity     *identity.Service
	orchestrator *orchestrator.Orchestrator
	hosts        *workspace.Hosts
	stopping     chan struct{}
	agent        *agent.Service
	model        *speaker
	budgets      *budget.Budgets
	checkKey     func(ctx context.Context, key string) error // what the provider of models says of a key
	ahead        atomic.Int64                                // of the time, in nanoseconds, is the clock of identity
	committer    func(person string)
}

func newSite(t testing.TB) *site {
	t.Helper()
	s := &site{t: t, engine: &engine{containers: map[string]orchestrator.Container{}}, stopping: make(chan struct{})}
	var err error
	if s.hosts, err = workspace.NewHosts(console, ""); err != nil {
		t.Fatal(err)
	}
	if s.store, err = sqlite.Open(context.Background(), filepath.Join(t.TempDir(), "kalpana.db")); err != nil {
		t.Fatal(err)
	}
	s.identity = identity.New(identity.Config{
		Store: s.store, Hosts: s.hosts, Key: identity.NewKey(), Sealer: identity.NewSealer(),
		Now: func() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) },
	})
	if err := s.identity.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	s.orchestrator = orchestrator.New(orchestrator.Config{
		Store: s.store, Runtime: s.engine, Hosts: s.hosts, Image: "kalpana/workspace:1", Templates: []orchestrator.Template{{Name: "blank"}, {Name: "node"}},
		Token: func(workspace.ID) string { return "token" }, Transport: s.engine,
		Sleep: orchestrator.Sleep{PauseAfter: 10 * time.Minute, StopAfter: time.Hour, MaxAwake: 24 * time.Hour},
		Quota: s.identity.Quota, RunningLimit: 3, StartsAtOnce: 1,
	})
	s.model = &speaker{turns: make(chan turn, 16)}
	s.agent = agent.New(agent.Config{
		Store: s.store, Model: s.model, Tools: []tools.Tool{deployTool},
		Bridge: func(context.Context, workspace.ID) (*bridge.Client, error) {
			return nil, errors.New("there is no container here")
		},
		Find: s.store.Workspace,
	})
	t.Cleanup(func() {
		s.agent.Close()
		s.orchestrator.Close()
		_ = s.store.Close()
	})
	s.checkKey = func(context.Context, string) error { return nil }
	s.committer = func(string) {}
	s.budgets = budget.New(budget.Config{
		Store: s.store, Quota: s.identity.Quota,
		Person: budget.Limits{DayCost: 5_000_000}, Workspace: budget.Limits{MonthTokens: 2_000_000},
		Now: func() time.Time { return time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC) }, // no day ends in a test
	})
	s.Handler = api.New(api.Config{
		Hosts: s.hosts, Identity: s.identity, Orchestrator: s.orchestrator, Links: true, Stopping: s.stopping,
		Committer: func(person string) { s.committer(person) },
		Agent: api.AgentConfig{
			Service: s.agent, Models: s.model.Models, Configured: true, OwnKeys: true, Key: s.identity.ModelKey, Budgets: s.budgets,
			CheckKey: func(ctx context.Context, key string) error { return s.checkKey(ctx, key) },
		},
		Templates: []api.Template{{Name: "blank", Title: "Blank", Ports: []int{}}, {Name: "node", Title: "Node", Ports: []int{3000}}},
	})
	return s
}

func (s *site) person(name string) identity.Person {
	s.t.Helper()
	p, err := s.identity.AddPerson(context.Background(), name, identity.RoleMember)
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// link returns the secret of a fresh sign-in link of p.
func (s *site) link(p identity.Person) string {
	s.t.Helper()
	address, _, err := s.identity.SignInLink(context.Background(), p)
	if err != nil {
		s.t.Fatal(err)
	}
	_, secret, _ := strings.Cut(address, "#")
	return secret
}

// browser is somebody's browser, or a program, that makes requests.
type browser struct {
	*site
	cookie string
	header http.Header // of every request
}

func (s *site) stranger() *browser { return &browser{site: s, header: http.Header{}} }

func (s *site) signIn(name string) *browser {
	s.t.Helper()
	cookie, _, err := s.identity.SignInByLink(context.Background(), s.link(s.person(name)))
	if err != nil {
		s.t.Fatal(err)
	}
	return &browser{site: s, cookie: cookie.Name + "=" + cookie.Value, header: http.Header{}}
}

// with returns the same browser with one header more.
func (b *browser) with(name, value string) *browser {
	other := *b
	other.header = b.header.Clone()
	other.header[name] = append(other.header[name], value)
	return &other
}

func (b *browser) request(method, target string, body any) *http.Request {
	b.t.Helper()
	var reader io.Reader
	switch body := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(body)
	default:
		text, err := json.Marshal(body)
		if err != nil {
			b.t.Fatal(err)
		}
		reader = strings.NewReader(string(text))
	}
	r := httptest.NewRequest(method, console+target, reader)
	if reader != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if b.cookie != "" {
		r.Header.Set("Cookie", b.cookie)
	}
	for name, values := range b.header {
		r.Header[name] = values
	}
	return r
}

// do makes a request of the API and checks the form of the answer.
func (b *browser) do(method, target string, body any) *httptest.ResponseRecorder {
	b.t.Helper()
	w := httptest.NewRecorder()
	b.ServeHTTP(w, b.request(method, target, body))
	if w.Code >= 400 {
		problemOf(b.t, w)
	}
	if got := w.Header().Get("Cache-Control"); got != "no-store" {
		b.t.Errorf("%s %s: Cache-Control %q", method, target, got)
	}
	return w
}

// problem is RFC 9457's, with huma's list of what is wrong.
type problem struct {
	Title  string
	Status int
	Detail string
	Errors []struct{ Message, Location string }
}

// problemOf checks that an answer is a problem that a person can read, and returns it.
func problemOf(t testing.TB, w *httptest.ResponseRecorder) problem {
	t.Helper()
	var p problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Fatalf("%d is no problem: %v, %q, %q", w.Code, err, w.Header().Get("Content-Type"), w.Body)
	}
	if p.Status != w.Code || p.Title != http.StatusText(w.Code) || p.Detail == "" {
		t.Errorf("the problem of %d: %+v", w.Code, p)
	}
	return p
}

func (b *browser) must(status int, method, target string, body any) *httptest.ResponseRecorder {
	b.t.Helper()
	w := b.do(method, target, body)
	if w.Code != status {
		b.t.Fatalf("%s %s: %d, want %d: %s", method, target, w.Code, status, w.Body)
	}
	return w
}

// decode reads an answer's body, which must have no field that T lacks.
func decode[T any](t testing.TB, w *httptest.ResponseRecorder) (v T) {
	t.Helper()
	d := json.NewDecoder(w.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%v, %q", err, w.Header().Get("Content-Type"))
	}
	return v
}

// create makes a workspace and returns it.
func (b *browser) create(name string) api.Workspace {
	b.t.Helper()
	return decode[api.Workspace](b.t, b.must(http.StatusCreated, "POST", "/api/workspaces", map[string]any{"name": name, "template": "blank"}))
}

// await reads a workspace until it is in the given state.
func (b *browser) await(id, state string) api.Workspace {
	b.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		w := decode[api.Workspace](b.t, b.must(http.StatusOK, "GET", "/api/workspaces/"+id, nil))
		if w.State == state {
			return w
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("%s is %s (%s), not %s", id, w.State, w.Reason, state)
		}
	}
}
