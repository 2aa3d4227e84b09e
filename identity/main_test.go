package identity_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/store/sqlite"
	"github.com/kalpana-dev/kalpana/workspace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	wsA = workspace.ID("abcdefghij")
	wsB = workspace.ID("bcdefghijk")
)

var (
	ideA     = workspace.Host{Kind: workspace.HostIDE, ID: wsA}
	ideB     = workspace.Host{Kind: workspace.HostIDE, ID: wsB}
	previewA = workspace.Host{Kind: workspace.HostPreview, ID: wsA, Port: 3000}
	otherA   = workspace.Host{Kind: workspace.HostPreview, ID: wsA, Port: 3002}
	previewB = workspace.Host{Kind: workspace.HostPreview, ID: wsB, Port: 3000}
)

// clock stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// site is one installation with a clock of its own.
type site struct {
	*identity.Service
	t     testing.TB
	dir   string
	store *sqlite.Store
	clock *clock
	hosts *workspace.Hosts
	key   identity.Key
}

func newSite(t testing.TB) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), clock: newClock(), key: identity.NewKey()}
	var err error
	if s.hosts, err = workspace.NewHosts("http://kalpana.localhost:8080", ""); err != nil {
		t.Fatal(err)
	}
	s.store = openStore(t, s.dir)
	s.Service = s.service(s.config())
	return s
}

func openStore(t testing.TB, dir string) *sqlite.Store {
	t.Helper()
	store, err := sqlite.Open(context.Background(), filepath.Join(dir, "kalpana.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func (s *site) config() identity.Config {
	return identity.Config{Store: s.store, Hosts: s.hosts, Key: s.key, Now: s.clock.Now}
}

// service is another gateway of the same installation.
func (s *site) service(cfg identity.Config) *identity.Service {
	s.t.Helper()
	service := identity.New(cfg)
	if err := service.Load(context.Background()); err != nil {
		s.t.Fatal(err)
	}
	return service
}

// advance moves the clock, and reads revocations as the poll would have done meanwhile.
func (s *site) advance(d time.Duration) {
	s.t.Helper()
	s.clock.Advance(d)
	if err := s.Load(context.Background()); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) person(name string) identity.Person {
	s.t.Helper()
	p, err := s.AddPerson(context.Background(), name, identity.RoleMember)
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// link returns the secret of a fresh sign-in link.
func (s *site) link(p identity.Person) string {
	s.t.Helper()
	address, _, err := s.SignInLink(context.Background(), p)
	if err != nil {
		s.t.Fatal(err)
	}
	_, secret, _ := strings.Cut(address, "#")
	return secret
}

// signIn returns the session's cookie.
func (s *site) signIn(p identity.Person) *http.Cookie {
	s.t.Helper()
	cookie, _, err := s.SignInByLink(context.Background(), s.link(p))
	if err != nil {
		s.t.Fatal(err)
	}
	return cookie
}

// caller signs p in once more and returns who they are then.
func (s *site) caller(p identity.Person) identity.Caller {
	s.t.Helper()
	caller, err := s.Authenticate(request("/", s.signIn(p)))
	if err != nil {
		s.t.Fatal(err)
	}
	return caller
}

// request carries the cookies as they are, not as AddCookie would mend them.
func request(target string, cookies ...*http.Cookie) *http.Request {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	var pairs []string
	for _, c := range cookies {
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	if len(pairs) > 0 {
		r.Header.Set("Cookie", strings.Join(pairs, "; "))
	}
	return r
}

// begin starts a hand-off on host and returns the nonce cookie and the challenge.
func begin(t testing.TB, s *identity.Service, host workspace.Host, path string) (*http.Cookie, string) {
	t.Helper()
	cookie, address := s.BeginHandoff(host, path)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return cookie, u.Query().Get("challenge")
}

// grant runs a whole hand-off and returns the grant's cookie.
func (s *site) grant(caller identity.Caller, host workspace.Host) *http.Cookie {
	s.t.Helper()
	nonce, challenge := begin(s.t, s.Service, host, "/")
	address, err := s.ApproveHandoff(context.Background(), caller, host, challenge)
	if err != nil {
		s.t.Fatal(err)
	}
	cookie, _, _, err := s.CompleteHandoff(request(address, nonce), host)
	if err != nil {
		s.t.Fatal(err)
	}
	return cookie
}

// check returns what service makes of a grant's cookie on host.
func check(service *identity.Service, cookie *http.Cookie, host workspace.Host) error {
	_, err := service.CheckGrant(request("/", cookie), host)
	return err
}

func mustBe(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) || (want == nil && got != nil) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}
