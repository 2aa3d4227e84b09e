// Package oidc_test signs people in at a real OpenID provider: the npm package oidc-provider, which
// the tests install for themselves.
package oidc_test

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/identity/login/oidc"
	"github.com/kalpana-dev/kalpana/store/sqlite"
	"github.com/kalpana-dev/kalpana/test/harness"
	"github.com/kalpana-dev/kalpana/workspace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs the provider until the test ends, and returns its issuer.
func start(t *testing.T) string {
	t.Helper()
	dir, err := harness.Packages(t.Context(), "oidc")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("provider.mjs")
	if err != nil {
		t.Fatal(err)
	}
	// It finds its packages from where it is.
	file, err := os.CreateTemp(dir, "provider-*.mjs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(file.Name()) })
	if _, err := file.Write(program); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	node := exec.Command("node", file.Name()) //nolint:gosec // a file of ours
	var fault strings.Builder
	node.Stderr = &fault
	stdin, err := node.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close() // which ends it
		_, _ = io.Copy(io.Discard, stdout)
		_ = node.Wait()
		if t.Failed() {
			t.Logf("the provider says:\n%s", fault.String())
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("the provider did not start: %v\n%s", err, fault.String())
	}
	return strings.TrimSpace(line)
}

// site is an installation whose people sign in at the provider.
type site struct {
	*identity.Service
	store *sqlite.Store

	mu   sync.Mutex
	skew time.Duration // of its clock
}

func (s *site) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Add(s.skew)
}

func (s *site) advance(t *testing.T, d time.Duration) {
	t.Helper()
	s.mu.Lock()
	s.skew += d
	s.mu.Unlock()
	if err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func newSite(t *testing.T, change func(*oidc.Config), allow ...string) *site {
	t.Helper()
	hosts, err := workspace.NewHosts("http://kalpana.localhost:8080", "")
	if err != nil {
		t.Fatal(err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(transport.CloseIdleConnections)
	cfg := oidc.Config{Name: "corp", ClientID: "kalpana", ClientSecret: "oidc-secret", Groups: true, Transport: transport}
	change(&cfg)
	p, err := oidc.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var access identity.Access
	for i := 0; i < len(allow); i += 2 {
		rule, err := identity.ParseRule(allow[i], allow[i+1])
		if err != nil {
			t.Fatal(err)
		}
		access.Allow = append(access.Allow, rule)
	}
	s := new(site)
	if s.store, err = sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "kalpana.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.store.Close() })
	s.Service = identity.New(identity.Config{
		Store: s.store, Hosts: hosts, Key: identity.NewKey(), Now: s.now, Providers: []identity.Provider{p}, Access: access, Sealer: identity.NewSealer(),
	})
	if err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// browser has the cookies of the console, and a jar for those of the provider.
type browser struct {
	site    *site
	client  *http.Client
	cookies map[string]string
}

func (s *site) browser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(transport.CloseIdleConnections)
	return &browser{site: s, cookies: map[string]string{}, client: &http.Client{
		Jar: jar, Timeout: 30 * time.Second, Transport: transport,
		CheckRedirect: func(r *http.Request, _ []*http.Request) error {
			if r.URL.Hostname() == "kalpana.localhost" { // which this test is
				return http.ErrUseLastResponse
			}
			return nil
		},
	}}
}

func (b *browser) keep(cookies []*http.Cookie) {
	for _, c := range cookies {
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		} else {
			b.cookies[c.Name] = c.Value
		}
	}
}

func (b *browser) request(target string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	return r
}

var formAction = regexp.MustCompile(`action="([^"]+)"`)

// visit signs account in at the provider, lets us in there, and returns where the provider then
// sends the browser.
func (b *browser) visit(t *testing.T, address, account string) string {
	t.Helper()
	resp, err := b.client.Get(address)
	for range 3 { // a form to sign in, one to let us in
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if location := resp.Header.Get("Location"); location != "" {
			return location
		}
		action := formAction.FindSubmatch(body)
		if action == nil {
			t.Fatalf("%s: %d, no form in\n%s", resp.Request.URL, resp.StatusCode, body)
		}
		form := url.Values{"prompt": {"consent"}}
		if strings.Contains(string(body), `name="login"`) {
			form = url.Values{"prompt": {"login"}, "login": {account}, "password": {"any"}}
		}
		target, err := resp.Request.URL.Parse(string(action[1]))
		if err != nil {
			t.Fatal(err)
		}
		resp, err = b.client.PostForm(target.String(), form)
		if err != nil {
			t.Fatal(err)
		}
	}
	_ = resp.Body.Close()
	t.Fatalf("the provider does not come to an end: %s", resp.Request.URL)
	return ""
}

// begin returns the address that the provider sends the browser back to.
func (b *browser) begin(t *testing.T, account string) string {
	t.Helper()
	address, cookies, err := b.site.BeginLogin(b.request("/"), identity.LoginStart{Provider: "corp", Next: "/workspaces"})
	if err != nil {
		t.Fatal(err)
	}
	b.keep(cookies)
	return b.visit(t, address, account)
}

func (b *browser) complete(address string) (*identity.Login, error) {
	login, err := b.site.CompleteLogin(b.request(address), "corp")
	b.keep(login.Cookies)
	return login, err
}

func at(issuer string) func(*oidc.Config) { return func(c *oidc.Config) { c.Issuer = issuer } }

func TestProvider_SignsInAndIsRecognisedAgain(t *testing.T) {
	s := newSite(t, at(start(t)), "group", "corp:developers")
	b := s.browser(t)
	login, err := b.complete(b.begin(t, "mona"))
	if err != nil {
		t.Fatal(err)
	}
	if p := login.Person; p.Name != "Mona Lisa" || p.Email != "mona@corp.com" || login.Next != "/workspaces" {
		t.Errorf("%+v", login)
	}
	caller, err := s.Authenticate(b.request("/"))
	if err != nil || caller.Person.ID != login.Person.ID || caller.Session.Provider != "corp" {
		t.Errorf("%+v, %v", caller, err)
	}
	other := s.browser(t)
	again, err := other.complete(other.begin(t, "mona"))
	if err != nil || again.Person.ID != login.Person.ID {
		t.Errorf("the second time: %+v, %v", again.Person, err)
	}
}

func TestProvider_WhoseAddressIsNotVerifiedDoesNotComeInByIt(t *testing.T) {
	s := newSite(t, at(start(t)), "domain", "corp.com", "user", "corp:nobody")
	for _, account := range []string{"eve", "mallory"} {
		b := s.browser(t)
		if _, err := b.complete(b.begin(t, account)); !errors.Is(err, identity.ErrUnverifiedEmail) {
			t.Errorf("%s: %v", account, err)
		}
	}
	b := s.browser(t)
	if _, err := b.complete(b.begin(t, "mona")); err != nil {
		t.Errorf("mona: %v", err)
	}
}

func TestProvider_ACallbackThatIsReplayedFails(t *testing.T) {
	s := newSite(t, at(start(t)), "domain", "corp.com")
	b := s.browser(t)
	address := b.begin(t, "mona")
	before := map[string]string{}
	for name, value := range b.cookies {
		before[name] = value
	}
	if _, err := b.complete(address); err != nil {
		t.Fatal(err)
	}
	if _, err := b.complete(address); !errors.Is(err, identity.ErrAttempt) {
		t.Errorf("in the same browser: %v", err)
	}
	thief := s.browser(t)
	thief.cookies = before
	if _, err := thief.complete(address); !errors.Is(err, identity.ErrAttempt) {
		t.Errorf("with a copy of its cookies: %v", err)
	}
	if _, err := s.Authenticate(thief.request("/")); !errors.Is(err, identity.ErrNoSession) {
		t.Errorf("the copy is signed in: %v", err)
	}
}

func TestProvider_SessionsEndWithATokenThatCannotBeRefreshed(t *testing.T) {
	s := newSite(t, at(start(t)), "domain", "corp.com")
	b := s.browser(t)
	if _, err := b.complete(b.begin(t, "mona")); err != nil {
		t.Fatal(err)
	}
	s.advance(t, 4*time.Minute)
	if _, err := s.Authenticate(b.request("/")); err != nil {
		t.Errorf("before the token's end: %v", err)
	}
	s.advance(t, 2*time.Minute)
	if _, err := s.Authenticate(b.request("/")); !errors.Is(err, identity.ErrNoSession) {
		t.Errorf("after it: %v", err)
	}
}

func TestProvider_TokensAreRefreshedAndRotate(t *testing.T) {
	issuer := start(t)
	s := newSite(t, func(c *oidc.Config) {
		c.Issuer, c.Scopes, c.Parameters = issuer, []string{"profile", "email", "offline_access"}, map[string]string{"prompt": "consent"}
	}, "domain", "corp.com")
	b := s.browser(t)
	login, err := b.complete(b.begin(t, "mona"))
	if err != nil {
		t.Fatal(err)
	}
	accounts, err := s.Accounts(t.Context(), login.Person.ID)
	if err != nil || len(accounts) != 1 {
		t.Fatalf("%+v, %v", accounts, err)
	}
	var seen []string
	for range 3 {
		token, err := s.AccessToken(t.Context(), "corp", accounts[0].Subject)
		if err != nil || token == "" {
			t.Fatalf("after %d refreshes: %v", len(seen), err)
		}
		for _, old := range seen {
			if token == old {
				t.Errorf("the same token after %d refreshes", len(seen))
			}
		}
		seen = append(seen, token)
		s.advance(t, 6*time.Minute)
	}
	if _, err := s.Authenticate(b.request("/")); err != nil {
		t.Errorf("the session ended although its token is refreshed: %v", err)
	}
}
