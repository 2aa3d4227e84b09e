package gateway_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/kalpana-dev/kalpana/gateway"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

// protected is another site of the operator's: /public is open, /admin is for administrators, the rest
// is for everybody who is signed in. Behind it is the app of the tests.
type protected struct {
	*world
	host     workspace.Host
	origin   string
	reached  chan http.Header // what got to the app
	upstream *httptest.Server
}

func newProtected(t *testing.T) *protected {
	t.Helper()
	w := newWorld(t)
	host, err := w.hosts.ParseSite("grafana.localhost:8080")
	w.must(err)
	p := &protected{world: w, host: host, origin: w.hosts.Origin(host), reached: make(chan http.Header, 100)}
	p.upstream = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.reached <- r.Header.Clone()
		app.ServeHTTP(w, r)
	}))
	upstream, err := url.Parse(p.upstream.URL)
	w.must(err)
	proxy := httputil.NewSingleHostReverseProxy(upstream)
	proxy.Transport = w.transport
	handler := gateway.New(gateway.Config{Hosts: w.hosts, Identity: w.identity, Orchestrator: w.orch, Transport: w.transport})
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rule := gateway.SiteRule{Required: !strings.HasPrefix(r.URL.Path, "/public")}
		if strings.HasPrefix(r.URL.Path, "/admin") {
			rule.Role = identity.RoleAdmin
		}
		_ = handler.ServeSite(rw, r, host, gateway.SiteRule{}, func(rw http.ResponseWriter, r *http.Request, _ *identity.Grant) error {
			return handler.ServeSite(rw, r, host, rule, func(rw http.ResponseWriter, r *http.Request, g *identity.Grant) error {
				if g != nil {
					r.Header.Set("X-Who", fmt.Sprint(g.Person, " ", g.Claims.Name, " ", g.Claims.Role))
				}
				proxy.ServeHTTP(rw, r)
				return nil
			})
		})
	}))
	address := server.Listener.Addr().String()
	w.client.CloseIdleConnections()
	w.client.Transport = &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	t.Cleanup(func() {
		w.client.CloseIdleConnections()
		server.CloseClientConnections()
		server.Close()
		w.transport.CloseIdleConnections()
		p.upstream.CloseClientConnections()
		p.upstream.Close()
	})
	return p
}

// access goes through the hand-off and returns the site's cookie.
func (p *protected) access(caller identity.Caller) string {
	p.Helper()
	begun := p.do(p.navigation(p.origin+"/d/1?x=y", ""))
	target, challenge := challengeOf(p, begun)
	if target.Scheme+"://"+target.Host != console || target.Path != identity.HandoffPath || target.Query().Get("host") != p.host.Label() {
		p.Fatalf("sent to %s", target)
	}
	p.wantCookie(begun, identity.NonceCookie, false)
	code, err := p.identity.ApproveHandoff(p.Context(), caller, p.host, challenge)
	p.must(err)
	done := p.do(p.navigation(code, cookieOf(begun, identity.NonceCookie)))
	if done.StatusCode != http.StatusSeeOther || done.Header.Get("Location") != "/d/1?x=y" {
		p.Fatalf("%d to %q", done.StatusCode, done.Header.Get("Location"))
	}
	p.wantCookie(done, identity.SiteCookie, false)
	return cookieOf(done, identity.SiteCookie)
}

func TestSite_ASignedInPersonGetsInAndTheAppIsToldWho(t *testing.T) {
	p := newProtected(t)
	cookie := p.access(p.caller)
	a := p.do(p.navigation(p.origin+"/d/1", "theme=dark; "+cookie+"; x=y", "Remote-User", "admin", "Authorization", "Bearer "+identity.TokenPrefix+identity.NewSecret()))
	if a.StatusCode != http.StatusOK || a.text != "hello" {
		t.Fatalf("%d %s", a.StatusCode, a.text)
	}
	got := <-p.reached
	if want := p.person.ID + " ann member"; got.Get("X-Who") != want {
		t.Errorf("%q, want %q", got.Get("X-Who"), want)
	}
	if _, ok := got["Authorization"]; ok {
		t.Error("the app got an API token")
	}
	if got.Get("Cookie") != "theme=dark; x=y" {
		t.Errorf("cookie %q", got.Get("Cookie"))
	}
}

func TestSite_WithoutAGrantNothingGetsIn(t *testing.T) {
	p := newProtected(t)
	session := identity.SessionCookie + "=" + identity.NewSecret()
	for name, r := range map[string]*http.Request{
		"program":       p.program("GET", p.origin+"/", ""),
		"post":          p.program("POST", p.origin+"/", "", "Sec-Fetch-Site", "same-origin"),
		"subresource":   p.subresource(p.origin+"/", ""),
		"posted form":   p.program("POST", p.origin+"/", "", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"),
		"WebSocket":     p.program("GET", p.origin+"/echo", "", "Upgrade", "websocket", "Connection", "Upgrade", "Origin", p.origin),
		"session":       p.program("GET", p.origin+"/", session),
		"forged":        p.program("GET", p.origin+"/", identity.SiteCookie+"=1s.a.b.@grafana_localhost:8080.zzzzzzzz.zzzzzzzzz.e30.AAAA"),
		"forged person": p.program("GET", p.origin+"/", "", "Remote-User", "admin", "X-Kalpana-User", "admin", "X-Forwarded-User", "admin"),
		"a workspace's": p.program("GET", p.origin+"/", identity.SiteCookie+"="+p.workspaceGrant()),
		"bearer":        p.program("GET", p.origin+"/", "", "Authorization", "Bearer x"),
	} {
		if p.wantProblem(p.do(r), http.StatusUnauthorized); t.Failed() {
			t.Fatal(name)
		}
	}
	if n := len(p.reached); n != 0 {
		t.Errorf("%d reached the app", n)
	}
}

// workspaceGrant returns the value of a grant on a workspace host.
func (p *protected) workspaceGrant() string {
	p.Helper()
	host := ide(workspace.NewID())
	nonce, address := p.identity.BeginHandoff(host, "/")
	_, challenge, _ := strings.Cut(address, "challenge=")
	challenge, _, _ = strings.Cut(challenge, "&")
	code, err := p.identity.ApproveHandoff(p.Context(), p.caller, host, challenge)
	p.must(err)
	r := httptest.NewRequest(http.MethodGet, code, nil)
	r.AddCookie(nonce)
	grant, _, _, err := p.identity.CompleteHandoff(r, host)
	p.must(err)
	return grant.Value
}

func TestSite_WhoIsThereIsOnlyEverOurWord(t *testing.T) {
	p := newProtected(t)
	cookie := p.access(p.caller)
	for _, path := range []string{"/", "/public"} {
		r := p.program("GET", p.origin+path, cookie+"; "+identity.SessionCookie+"=x; "+identity.GrantCookie+"=y")
		for _, name := range []string{
			"Remote-User", "remote_user", "REMOTE.USER", "Remote-Groups", "Remote-Email", "Remote-Name", "X-Kalpana-User", "x_kalpana_role", "X-Remote-User",
			"X-Forwarded-User", "X-Forwarded_Email", "X-Forwarded-Groups", "X-Forwarded-Preferred-Username", "X-Auth-Request-User", "X-Webauth-User", "X-WEBAUTH-ROLE",
		} {
			r.Header[name] = []string{"admin", "root"}
		}
		r.Header["X-Forwarded-For"] = []string{"192.0.2.1"} // Caddy's own business
		if a := p.do(r); a.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s", path, a.StatusCode, a.text)
		}
		for name, values := range <-p.reached {
			if text := strings.Join(values, " "); strings.Contains(text, "root") || strings.Contains(text, "kalpana") {
				t.Errorf("%s: %s: %s reached the app", path, name, text)
			}
		}
	}
}

func TestSite_TheOpenPartIsOpen(t *testing.T) {
	p := newProtected(t)
	a := p.do(p.program("POST", p.origin+"/public", "", "Origin", "https://elsewhere.example"))
	if a.StatusCode != http.StatusOK || (<-p.reached).Get("X-Who") != "" {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	if a := p.do(p.program("GET", p.origin+"/public", p.access(p.caller))); a.StatusCode != http.StatusOK || (<-p.reached).Get("X-Who") == "" {
		t.Errorf("%d; signed in, and the app is not told", a.StatusCode)
	}
}

func TestSite_TheAdministratorsPartIsForThem(t *testing.T) {
	p := newProtected(t)
	member := p.access(p.caller)
	p.wantProblem(p.do(p.program("GET", p.origin+"/admin", member)), http.StatusForbidden)
	a := p.do(p.navigation(p.origin+"/admin", member))
	if a.StatusCode != http.StatusForbidden || !strings.Contains(a.text, "for administrators") {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	p.caller.Person.Role = identity.RoleAdmin
	if a := p.do(p.program("GET", p.origin+"/admin", p.access(p.caller))); a.StatusCode != http.StatusOK {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
}

func TestSite_TheOriginRuleHolds(t *testing.T) {
	p := newProtected(t)
	cookie := p.access(p.caller)
	for name, headers := range map[string][]string{
		"same-site": {"Sec-Fetch-Site", "same-site"}, "cross-site": {"Sec-Fetch-Site", "cross-site"}, "neither": {}, "console": {"Origin", console},
		"null": {"Origin", "null"}, "a workspace": {"Origin", p.hosts.Origin(ide("abcdefghij"))}, "another port": {"Origin", "http://grafana.localhost:9090"},
	} {
		p.wantProblem(p.do(p.program("POST", p.origin+"/", cookie, headers...)), http.StatusForbidden)
		upgrade := p.program("GET", p.origin+"/echo", cookie, append([]string{
			"Upgrade", "websocket", "Connection", "Upgrade", "Sec-Websocket-Version", "13", "Sec-Websocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==",
		}, headers...)...)
		if p.wantProblem(p.do(upgrade), http.StatusForbidden); t.Failed() {
			t.Fatal(name)
		}
	}
	for _, site := range []string{"same-site", "cross-site"} { // a fetch, a script
		p.wantProblem(p.do(p.program("GET", p.origin+"/", cookie, "Sec-Fetch-Site", site)), http.StatusForbidden)
	}
	if n := len(p.reached); n != 0 {
		t.Errorf("%d reached the app", n)
	}
	// On the open part, what another site's page sends is nobody's.
	for _, method := range []string{"GET", "POST"} {
		for site, want := range map[string]string{"same-origin": p.person.ID + " ann member", "same-site": "", "cross-site": ""} {
			if a := p.do(p.program(method, p.origin+"/public", cookie, "Sec-Fetch-Site", site)); a.StatusCode != http.StatusOK {
				t.Errorf("%s on the open part: %d", method, a.StatusCode)
			}
			if got := (<-p.reached).Get("X-Who"); got != want {
				t.Errorf("%s of %s on the open part is told to be of %q", method, site, got)
			}
		}
	}
	if a := p.do(p.program("POST", p.origin+"/", cookie, "Sec-Fetch-Site", "same-origin")); a.StatusCode != http.StatusOK {
		t.Errorf("%d", a.StatusCode)
	}
}

func TestSite_SigningOutEndsItsRequestsAndWebSockets(t *testing.T) {
	p := newProtected(t)
	cookie := p.access(p.caller)
	ws := p.dial(p.host, cookie)
	p.must(ws.WriteMessage(websocket.TextMessage, []byte("a")))
	_, _, err := ws.ReadMessage()
	p.must(err)
	p.must(p.identity.Revoke(t.Context(), identity.Revocation{Session: p.caller.Session.Hash}))
	if _, _, err := ws.ReadMessage(); err == nil {
		t.Error("the WebSocket is still there")
	}
	p.wantProblem(p.do(p.program("GET", p.origin+"/", cookie)), http.StatusUnauthorized)
	if a := p.do(p.navigation(p.origin+"/", cookie)); a.StatusCode != http.StatusSeeOther {
		t.Errorf("%d", a.StatusCode)
	}
}

func TestSite_ARequestAsksNoStore(t *testing.T) {
	p := newProtected(t)
	cookie := p.access(p.caller)
	p.eventually("the first reconcile is over", func() bool { return p.store.calls.Load() > 0 })
	before := p.store.calls.Load()
	for range 20 {
		if a := p.do(p.program("GET", p.origin+"/", cookie)); a.StatusCode != http.StatusOK {
			t.Fatalf("%d", a.StatusCode)
		}
		<-p.reached
	}
	if n := p.store.calls.Load() - before; n > 5 { // reconciles of the background
		t.Errorf("%d calls of the store", n)
	}
}
