package gateway_test

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kalpana-dev/kalpana/gateway"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/store/sqlite"
	"github.com/kalpana-dev/kalpana/upstream"
	"github.com/kalpana-dev/kalpana/workspace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(bothForms{m}) }

// The two forms of an installation: workspaces below the console's domain, and on a registrable
// domain of their own. Every test runs in both.
var forms = []string{"ws.kalpana.localhost", "ws.spaces.localhost"}

// workspaces is the domain of the form that is under test.
var workspaces = forms[0]

type bothForms struct{ m *testing.M }

// Run implements goleak.TestingM.
func (f bothForms) Run() int {
	for _, workspaces = range forms {
		if code := f.m.Run(); code != 0 {
			fmt.Fprintf(os.Stderr, "the workspaces' domain was %s\n", workspaces)
			return code
		}
		if flag.Lookup("test.bench").Value.String() != "" {
			break // it measures, and proves nothing
		}
	}
	return 0
}

const (
	console = "http://kalpana.localhost:8080"
	patient = 10 * time.Second // for what should be there at once
)

// world is one installation: the gateway on a real server, with everything below it but the engine.
type world struct {
	testing.TB
	store     *countingStore
	runtime   *runtimetest.Runtime
	hosts     *workspace.Hosts
	identity  *identity.Service
	orch      *orchestrator.Orchestrator
	metrics   *gateway.Metrics
	stopping  chan struct{}
	server    *httptest.Server
	transport *upstream.Transport // to the containers
	client    *http.Client        // knows no cookies and follows no redirect
	person    identity.Person
	caller    identity.Caller

	mu    sync.Mutex
	clock time.Duration // that identity is ahead by

	path string // of the database
	key  identity.Key
}

type options struct {
	gateway func(*gateway.Config)
	orch    func(*orchestrator.Config)
	server  func(*http.Server)
	client  func(*http.Request) string // what trusted proxies say of who asks
	domain  string                     // of the workspaces; "" means the form under test
}

func newWorld(t *testing.T, given ...options) *world {
	t.Helper()
	t.Parallel()
	return newLoneWorld(t, given...)
}

func newLoneWorld(t testing.TB, given ...options) *world {
	t.Helper()
	var opt options
	if len(given) > 0 {
		opt = given[0]
	}
	w := &world{TB: t, runtime: runtimetest.New(t), metrics: gateway.NewMetrics(), stopping: make(chan struct{})}
	w.runtime.App = app
	w.path = filepath.Join(runtimetest.Dir(t), "kalpana.db")
	file, err := sqlite.Open(t.Context(), w.path)
	w.must(err)
	t.Cleanup(func() { _ = file.Close() })
	w.store = &countingStore{Store: file}
	w.hosts, err = workspace.NewHosts(console, cmp.Or(opt.domain, workspaces))
	w.must(err)
	key := identity.NewKey()
	w.key = key
	w.identity = identity.New(identity.Config{Store: w.store, Hosts: w.hosts, Key: key, Now: w.now, ClientAddress: opt.client})
	w.must(w.identity.Load(t.Context()))

	transport := upstream.New(new(net.Dialer).DialContext, time.Minute)
	w.transport = transport
	first := runtimetest.FreePorts(t, 10)
	config := orchestrator.Config{
		Store: w.store, Runtime: w.runtime, Hosts: w.hosts, Token: key.BridgeToken, Image: "image", Templates: []orchestrator.Template{{Name: "blank"}},
		FirstPort: first, LastPort: first + 9, StartTimeout: 20 * time.Second, StopGrace: time.Second, Transport: transport,
	}
	if opt.orch != nil {
		opt.orch(&config)
	}
	w.orch = orchestrator.New(config)
	w.identity.OnRevocation(func(r identity.Revocation) { w.orch.Invalidate(r.Workspace) })
	w.orch.Start()

	handler := gateway.Config{
		Hosts: w.hosts, Identity: w.identity, Orchestrator: w.orch, Transport: transport, Metrics: w.metrics, Stopping: w.stopping,
	}
	if opt.gateway != nil {
		opt.gateway(&handler)
	}
	w.server = httptest.NewUnstartedServer(gateway.New(handler))
	if opt.server != nil {
		opt.server(w.server.Config)
	}
	w.server.Start()
	address := w.server.Listener.Addr().String()
	w.client = &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       3 * patient,
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, address)
			},
			DisableCompression: true,
		},
	}
	t.Cleanup(func() {
		w.client.CloseIdleConnections()
		w.server.CloseClientConnections()
		w.server.Close()
		w.orch.Close()
		transport.CloseIdleConnections()
	})
	w.person, w.caller = w.signIn("ann")
	return w
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.clock)
}

// later moves identity's clock on.
func (w *world) later(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock += d
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// signIn makes a person who is signed in on the console.
func (w *world) signIn(name string) (identity.Person, identity.Caller) {
	w.Helper()
	person, err := w.identity.AddPerson(w.Context(), name, identity.RoleMember)
	w.must(err)
	return person, w.signInAgain(person)
}

func (w *world) signInAgain(person identity.Person) identity.Caller {
	w.Helper()
	link, _, err := w.identity.SignInLink(w.Context(), person)
	w.must(err)
	_, secret, _ := strings.Cut(link, "#")
	cookie, _, err := w.identity.SignInByLink(w.Context(), secret)
	w.must(err)
	r := httptest.NewRequestWithContext(w.Context(), http.MethodGet, console, nil)
	r.AddCookie(cookie)
	caller, err := w.identity.Authenticate(r)
	w.must(err)
	return caller
}

func (w *world) create() workspace.ID {
	w.Helper()
	record, err := w.orch.Create(w.Context(), orchestrator.NewWorkspace{Owner: w.person.ID, Name: "mine", Template: "blank"})
	w.must(err)
	return record.ID
}

// running returns a workspace that runs.
func (w *world) running() workspace.ID {
	w.Helper()
	id := w.create()
	w.must(w.orch.Wake(id).Wait(w.Context()))
	return id
}

func ide(id workspace.ID) workspace.Host { return workspace.Host{Kind: workspace.HostIDE, ID: id} }

func preview(id workspace.ID, port int) workspace.Host {
	return workspace.Host{Kind: workspace.HostPreview, ID: id, Port: port}
}

// grant goes through the hand-off and returns "name=value" of the grant's cookie.
func (w *world) grant(host workspace.Host) string {
	w.Helper()
	nonce, challenge := w.beginHandoff(host, "/")
	target, err := w.identity.ApproveHandoff(w.Context(), w.caller, host, challenge)
	w.must(err)
	answer := w.do(w.navigation(target, nonce))
	grant := cookieOf(answer, identity.GrantCookie)
	if answer.StatusCode != http.StatusSeeOther || grant == "" {
		w.Fatalf("the hand-off ended with %d %s", answer.StatusCode, answer.text)
	}
	return grant
}

// beginHandoff opens path on host without a grant.
func (w *world) beginHandoff(host workspace.Host, path string) (nonce, challenge string) {
	w.Helper()
	answer := w.do(w.navigation(w.hosts.Origin(host)+path, ""))
	target, err := url.Parse(answer.Header.Get("Location"))
	w.must(err)
	if answer.StatusCode != http.StatusSeeOther {
		w.Fatalf("without a grant: %d", answer.StatusCode)
	}
	return cookieOf(answer, identity.NonceCookie), target.Query().Get("challenge")
}

// cookieOf returns "name=value" of a cookie that was set, or "".
func cookieOf(a *answer, name string) string {
	for _, c := range a.Cookies() {
		if c.Name == name {
			return c.Name + "=" + c.Value
		}
	}
	return ""
}

// program is a request as curl makes it; headers are pairs.
func (w *world) program(method, url, cookie string, headers ...string) *http.Request {
	w.Helper()
	r, err := http.NewRequestWithContext(w.Context(), method, url, nil)
	w.must(err)
	r.Header.Set("Accept", "*/*")
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header[headers[i]] = append(r.Header[headers[i]], headers[i+1]) // in this very spelling
	}
	return r
}

// navigation is a request as Chromium makes it when a person opens a page.
func (w *world) navigation(url, cookie string, headers ...string) *http.Request {
	w.Helper()
	return w.program(http.MethodGet, url, cookie, append([]string{
		"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-Site", "none",
	}, headers...)...)
}

// subresource is a request as a page makes it.
func (w *world) subresource(url, cookie string, headers ...string) *http.Request {
	w.Helper()
	return w.program(http.MethodGet, url, cookie, append([]string{
		"Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image", "Sec-Fetch-Site", "same-origin",
	}, headers...)...)
}

type answer struct {
	*http.Response
	text string
}

func (w *world) do(r *http.Request) *answer {
	w.Helper()
	resp, err := w.client.Do(r)
	w.must(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	w.must(err)
	return &answer{resp, string(text)}
}

// wantProblem checks for a problem (RFC 9457) that says what to do.
func (w *world) wantProblem(a *answer, status int) {
	w.Helper()
	if a.StatusCode != status || a.Header.Get("Content-Type") != "application/problem+json" || !strings.Contains(a.text, `"detail":"`) {
		w.Errorf("%d %s %s, want a problem with status %d", a.StatusCode, a.Header.Get("Content-Type"), a.text, status)
	}
	if retry := a.Header.Get("Retry-After"); (retry != "") != (status == http.StatusServiceUnavailable) {
		w.Errorf("Retry-After %q with status %d", retry, status)
	}
}

// wantPage checks for one of the gateway's own pages.
func (w *world) wantPage(a *answer, status int, text string) {
	w.Helper()
	policy := a.Header.Get("Content-Security-Policy")
	if a.StatusCode != status || a.Header.Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(a.text, text) {
		w.Errorf("%d %s %s\nwant a page with status %d and %q", a.StatusCode, a.Header.Get("Content-Type"), a.text, status, text)
	}
	_, ancestors, _ := strings.Cut(policy, "; frame-ancestors ")
	host, err := w.hosts.Parse(a.Request.Host)
	w.must(err)
	want := "'self' " + console
	if host.Kind == workspace.HostPreview {
		want = "'self' " + w.hosts.Origin(ide(host.ID)) + " " + console
	}
	if !strings.HasPrefix(policy, "default-src 'none'") || ancestors != want || strings.Contains(policy, "unsafe") {
		w.Errorf("policy %q", policy)
	}
	if a.Header.Get("Cache-Control") != "no-store" {
		w.Error("it may be stored")
	}
}

func (w *world) eventually(what string, is func() bool) {
	w.Helper()
	for deadline := time.Now().Add(patient); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.Fatalf("it never came true that %s", what)
		}
	}
}

// boots lets every container come up like this.
func (w *world) boots(b runtimetest.Boot) {
	w.runtime.SetBoot(func(workspace.ID) runtimetest.Boot { return b })
}

// wantAsleep checks that nothing was started.
func (w *world) wantAsleep(id workspace.ID) {
	w.Helper()
	if w.orch.Waking(id) != nil || w.runtime.Calls(runtimetest.Create) != 0 {
		w.Error("a wake was started")
	}
}
