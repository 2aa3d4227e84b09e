package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/kalpana-dev/kalpana/identity"
)

// browser plays what matters of a browser: cookies by host, as one treats .localhost (Secure ones come
// back), Fetch Metadata, redirects.
type browser struct {
	s   *site
	mu  sync.Mutex
	jar map[string]map[string]string // host name → cookie → value
}

// stranger returns a browser without a session.
func (s *site) stranger() *browser {
	return &browser{s: s, jar: map[string]map[string]string{}}
}

// browser returns a browser with the session of a person, which tests share and must not end, and
// without any grant.
func (s *site) browser(who person) *browser {
	b := s.stranger()
	name, value, _ := strings.Cut(s.sessions[who], "=") // set before the tests begin
	b.set(hostName(s.console), name, value)
	return b
}

// signIn returns a browser with a session of its own.
func (s *site) signIn(t testing.TB, who person) *browser {
	t.Helper()
	b := s.stranger()
	if code, body := b.follow(t, s.link(t, who)); code != http.StatusNoContent {
		t.Fatalf("signing in as %s: %d %s", who, code, body)
	}
	return b
}

// follow does what the console's page does with a sign-in link.
func (b *browser) follow(t testing.TB, link string) (int, string) {
	t.Helper()
	_, secret, _ := strings.Cut(link, "#")
	return b.api(t, "POST", "/api/login/link", map[string]string{"token": secret}, nil)
}

// link returns a sign-in link that was not used.
func (s *site) link(t testing.TB, who person) string {
	t.Helper()
	s.mu.Lock()
	id := s.people[who]
	s.mu.Unlock()
	var link struct{ URL string }
	if code, body := s.browser(admin).api(t, "POST", "/api/people/"+id+"/sign-in-link", nil, &link); code != http.StatusOK {
		t.Fatalf("a sign-in link of %s: %d %s", who, code, body)
	}
	return link.URL
}

// invite returns the address of an invitation.
func (b *browser) invite(t testing.TB) string {
	t.Helper()
	var made struct{ URL string }
	if code, body := b.api(t, "POST", "/api/invitations", map[string]string{"role": "member"}, &made); code != http.StatusCreated {
		t.Fatalf("inviting: %d %s", code, body)
	}
	return made.URL
}

// accept accepts an invitation.
func (b *browser) accept(t testing.TB, invitation, name string) (int, string) {
	t.Helper()
	_, secret, _ := strings.Cut(invitation, "#")
	return b.api(t, "POST", "/api/invitations/redeem", map[string]string{"token": secret, "name": name}, nil)
}

// me returns the id of who is signed in.
func (b *browser) me(t testing.TB) string {
	t.Helper()
	var me struct{ ID string }
	if code, body := b.api(t, "GET", "/api/me", nil, &me); code != http.StatusOK {
		t.Fatalf("who is signed in: %d %s", code, body)
	}
	return me.ID
}

func hostName(address string) string {
	host, _ := split(address)
	name, _, _ := strings.Cut(host, ":")
	return name
}

func (b *browser) set(host, name, value string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.jar[host] == nil {
		b.jar[host] = map[string]string{}
	}
	if value == "" {
		delete(b.jar[host], name)
		return
	}
	b.jar[host][name] = value
	b.s.secret(value)
}

// cookies returns the Cookie header for an address, or "".
func (b *browser) cookies(address string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []string
	for name, value := range b.jar[hostName(address)] {
		all = append(all, name+"="+value)
	}
	if len(all) == 0 {
		return ""
	}
	slices.Sort(all)
	return "Cookie: " + strings.Join(all, "; ")
}

// do sends one request with the cookies of its host, and keeps those that come back.
func (b *browser) do(t testing.TB, method, address string, headers ...string) *answer {
	t.Helper()
	return b.doBody(t, method, address, "", headers...)
}

func (b *browser) doBody(t testing.TB, method, address, body string, headers ...string) *answer {
	t.Helper()
	a := b.s.sendBody(t, method, address, body, with(headers, b.cookies(address))...)
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		if c.MaxAge < 0 {
			c.Value = ""
		}
		b.set(hostName(address), c.Name, c.Value)
	}
	return a
}

// open opens an address in a tab and follows redirects, up to an answer that is none.
func (b *browser) open(t testing.TB, address string) *answer {
	t.Helper()
	for range 10 {
		a := b.do(t, http.MethodGet, address, navigation...)
		if a.location() == "" {
			return a
		}
		address = resolve(t, address, a.location())
	}
	t.Fatalf("too many redirects at %s", address)
	return nil
}

func resolve(t testing.TB, base, location string) string {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	next, err := u.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	return next.String()
}

// grant returns "name=value" of the grant that a hand-off gives on a workspace label.
func (b *browser) grant(t testing.TB, label string) string {
	t.Helper()
	a := b.open(t, b.s.at(label)+"/")
	b.mu.Lock()
	defer b.mu.Unlock()
	value := b.jar[hostName(b.s.at(label))][identity.GrantCookie]
	if value == "" {
		t.Fatalf("no grant for %s: %v%s", label, a, b.s.log())
	}
	return identity.GrantCookie + "=" + value
}

// api calls the console's API as its own page does.
func (b *browser) api(t testing.TB, method, path string, in, out any) (int, string) {
	t.Helper()
	body := ""
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		body = string(raw)
	}
	a := b.doBody(t, method, b.s.console+path, body, "Content-Type: application/json",
		"Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Origin: "+b.s.console)
	if out != nil && a.status < 300 {
		if err := json.Unmarshal([]byte(a.body), out); err != nil {
			t.Fatalf("%s %s: %v\n%s", method, path, err, a.body)
		}
	}
	return a.status, a.body
}

// workspace is one as the console tells of it.
type workspace struct{ ID, State, Reason string }

// create makes a workspace, which is deleted in the end. act is what its app plays; see
// test/gateway/app.
func (b *browser) create(t testing.TB, name, act string) string {
	t.Helper()
	in := map[string]string{"name": name, "template": "blank"}
	if act != "" {
		in["repository"] = "https://app.test" + act
	}
	var w workspace
	if code, body := b.api(t, "POST", "/api/workspaces", in, &w); code != http.StatusCreated {
		t.Fatalf("making a workspace: %d %s", code, body)
	}
	return w.ID
}

// wake makes a workspace that runs.
func (b *browser) wake(t testing.TB, name string) string {
	t.Helper()
	id := b.create(t, name, "")
	b.start(t, id)
	return id
}

// start wakes a workspace. An engine that is busy with many containers at once may need a second try.
func (b *browser) start(t testing.TB, id string) {
	t.Helper()
	var w workspace
	for range 3 {
		if code, body := b.api(t, "POST", "/api/workspaces/"+id+"/start", nil, nil); code != http.StatusAccepted && code != http.StatusServiceUnavailable {
			t.Fatalf("starting: %d %s%s", code, body, b.s.log())
		}
		if w = b.await(t, id, "running", "error"); w.State == "running" {
			return
		}
	}
	t.Fatalf("the workspace failed: %s%s", w.Reason, b.s.log())
}

// await waits until a workspace is in one of the states.
func (b *browser) await(t testing.TB, id string, states ...string) workspace {
	t.Helper()
	var w workspace
	eventuallyWithin(t, 2*patience, fmt.Sprintf("workspace is %v", states), func() bool {
		if code, body := b.api(t, "GET", "/api/workspaces/"+id, nil, &w); code != http.StatusOK {
			t.Fatalf("looking at a workspace: %d %s", code, body)
		}
		return slices.Contains(states, w.State)
	})
	return w
}

func (b *browser) delete(t testing.TB, id string) {
	t.Helper()
	if code, body := b.api(t, "DELETE", "/api/workspaces/"+id, nil, nil); code != http.StatusNoContent {
		t.Errorf("deleting a workspace: %d %s%s", code, body, b.s.log())
	}
}

// socket opens a WebSocket as the page at origin does.
func (b *browser) socket(t testing.TB, address, origin string) (*websocket.Conn, error) {
	t.Helper()
	host, _ := split(address)
	header := http.Header{"Origin": {origin}}
	if cookies, ok := strings.CutPrefix(b.cookies(address), "Cookie: "); ok {
		header.Set("Cookie", cookies)
	}
	dial := func(_, _ string) (net.Conn, error) { return b.s.connect(b.s.address(t), host) }
	dialer := websocket.Dialer{NetDial: dial, NetDialTLSContext: nil, HandshakeTimeout: patience}
	conn, resp, err := dialer.Dial("ws"+strings.TrimPrefix(strings.TrimPrefix(address, "https"), "http"), header)
	if err != nil {
		if resp != nil {
			err = errors.New(resp.Status)
		}
		return nil, err
	}
	return conn, nil
}
