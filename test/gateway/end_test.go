package gateway

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kalpana-dev/kalpana/identity"
)

// endTime is within what signing out ends everything that is open.
const endTime = 5 * time.Second

// signOutEndsTabs signs out with WebSockets and streams open in several tabs.
func signOutEndsTabs(t *testing.T, s *site) {
	b := s.signIn(t, admin)
	stays := s.browser(admin) // another session of the same person
	type tab struct {
		name  string
		ended chan time.Time
	}
	var tabs []tab
	watch := func(name string, read func() error) {
		at := tab{name, make(chan time.Time, 1)}
		tabs = append(tabs, at)
		go func() {
			for read() == nil {
			}
			at.ended <- time.Now()
		}()
	}
	open := func(b *browser, label string) *websocket.Conn {
		t.Helper()
		b.grant(t, label)
		conn, err := b.socket(t, s.at(label)+"/", s.at(label))
		if err != nil {
			t.Fatalf("a WebSocket on %s: %v", label, err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	labels := []string{s.mine, s.sibling, preview(3000, s.mine), preview(3000, s.sibling)}
	for _, label := range labels {
		for range 3 {
			conn := open(b, label)
			watch("a WebSocket on "+label, func() error { _, _, err := conn.ReadMessage(); return err })
		}
		conn := s.dial(t, s.host(label))
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := io.WriteString(conn, head("GET", "/__app/stream", s.host(label), "", b.cookies(s.at(label)+"/"))); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(conn)
		resp, err := http.ReadResponse(in, nil)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("a stream on %s: %v, %v", label, resp, err)
		}
		buf := make([]byte, 1024)
		watch("a stream on "+label, func() error { _, err := resp.Body.Read(buf); return err })
		waits := s.dial(t, s.host(label))
		t.Cleanup(func() { _ = waits.Close() })
		if _, err := io.WriteString(waits, head("GET", "/__app/silent", s.host(label), "", b.cookies(s.at(label)+"/"))); err != nil {
			t.Fatal(err)
		}
		silent := bufio.NewReader(waits)
		answered := false
		watch("a request that waits on "+label, func() error {
			if answered {
				return io.EOF
			}
			answered = true
			a, err := readAnswer(silent, "GET")
			if err == nil && a.status < 400 {
				t.Errorf("a request that waited: %v", a)
			}
			return err
		})
	}
	deaf := open(b, s.mine) // one that reads nothing
	_ = deaf
	events := s.dial(t, hostOf(s.console))
	t.Cleanup(func() { _ = events.Close() })
	if _, err := io.WriteString(events, head("GET", "/api/events", hostOf(s.console), "", b.cookies(s.console+"/"), "Sec-Fetch-Site: same-origin")); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(events), nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("the console's events: %v, %v", resp, err)
	}
	buf := make([]byte, 1024)
	watch("the console's events", func() error { _, err := resp.Body.Read(buf); return err })

	// Everything is open, and works.
	kept := []*websocket.Conn{open(stays, s.mine), open(s.browser(member), s.theirs)}
	waiting := s.reachedCount(t, s.mine, "/__app/silent")
	eventually(t, "the requests that wait reach the app", func() bool { return s.reachedCount(t, s.mine, "/__app/silent") >= max(waiting, 2) })

	start := time.Now()
	if code, body := b.api(t, "POST", "/api/logout", nil, nil); code != http.StatusNoContent {
		t.Fatalf("signing out: %d %s", code, body)
	}
	for _, at := range tabs {
		select {
		case end := <-at.ended:
			if d := end.Sub(start); d > endTime {
				t.Errorf("%s ended %s after signing out", at.name, d)
			}
		case <-time.After(patience):
			t.Fatalf("%s outlives signing out", at.name)
		}
	}
	for i, conn := range kept {
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		if err := conn.WriteMessage(websocket.TextMessage, []byte("still here")); err != nil {
			t.Errorf("another session's WebSocket (%d): %v", i, err)
		}
		if _, got, err := conn.ReadMessage(); err != nil || string(got) != "still here" {
			t.Errorf("another session's WebSocket (%d): %q, %v", i, got, err)
		}
	}
}

func (s *site) reachedCount(t *testing.T, id, text string) int { return len(s.reached(t, id, text)) }

// tossedCookies sends what a sibling can make a browser send: cookies for the parent domain, in any
// order and number.
func tossedCookies(t *testing.T, s *site) {
	b := s.browser(admin)
	grant := b.grant(t, s.mine)
	theirs := s.browser(member).grant(t, s.theirs)
	for what, tossed := range map[string]string{
		"look-alikes":           "kalpana_grant=evil; __Secure-kalpana_grant=evil; __host-kalpana_grant=evil; Host-kalpana_grant=evil",
		"names with space":      "__Host-kalpana_grant\u00a0=evil; \u00a0__Host-kalpana_grant=evil",
		"no name":               "=__Host-kalpana_grant=evil",
		"no name, no sign":      "evil",
		"quotes":                `a="; __Host-x=1; b=`,
		"another's, look-alike": "kalpana_grant=" + flip(theirs),
		"bytes":                 "\x80\xff=\x80; a=\"\\\"",
		"empty":                 "; ;;=; =;",
		"dollar version":        `$Version=1; $Path=/; a=1`,
	} {
		for order, cookie := range map[string]string{"before": tossed + "; " + grant, "after": grant + "; " + tossed} {
			if a := s.send(t, "GET", s.at(s.mine)+"/", "Cookie: "+cookie); a.status != http.StatusOK || a.app() != s.mine {
				t.Errorf("%s %s: %v", what, order, a)
			}
		}
		if a := s.send(t, "GET", s.at(s.mine)+"/", "Cookie: "+tossed); a.status != http.StatusUnauthorized {
			t.Errorf("%s alone: %v", what, a)
		}
		if a := s.send(t, "GET", s.console+"/api/me", "Cookie: "+strings.ReplaceAll(tossed, "grant", "session")+"; "+s.sessions[admin]); a.status != http.StatusOK {
			t.Errorf("%s on the console: %v", what, a)
		}
	}
	// A browser keeps about 180 cookies of 4 KiB for a domain. That many may be refused, but no more.
	for _, size := range []int{20, 100, 180} {
		overflow := strings.TrimSuffix(strings.Repeat("c="+strings.Repeat("x", 4000)+"; ", size), "; ")
		for _, to := range []string{s.at(s.mine) + "/", s.console + "/api/me"} {
			cookie := grant
			if strings.HasPrefix(to, s.console) {
				cookie = s.sessions[admin]
			}
			for _, all := range []string{overflow + "; " + cookie, cookie + "; " + overflow} {
				a := s.send(t, "GET", to, "Cookie: "+all)
				if a.status != http.StatusOK && a.status != http.StatusRequestHeaderFieldsTooLarge {
					t.Errorf("%d cookies of a sibling at %s: %v", size, to, a)
				}
			}
		}
	}
	s.serves(t, grant, "without them again")
	// One that was pushed out begins a new hand-off, which works beside the sibling's cookies.
	crowd := strings.TrimSuffix(strings.Repeat("c="+strings.Repeat("x", 300)+"; ", 20), "; ")
	h := s.browser(admin).begin(t, s.mine, "/")
	accepted(t, "a hand-off in a crowd", s.complete(t, s.mine, h.code, crowd+"; "+h.nonce))
}

// sessionIsRotated signs in with a session that is there already: it must get another, and the old one
// must end.
func sessionIsRotated(t *testing.T, s *site) {
	b := s.signIn(t, member)
	before := b.cookies(s.console + "/")
	grant := b.grant(t, s.theirs)
	fixed := "Cookie: " + identity.SessionCookie + "=" + strings.Repeat("A", 43)
	for _, planted := range []string{fixed, before} {
		_, secret, _ := strings.Cut(s.link(t, member), "#")
		a := s.sendBody(t, "POST", s.console+"/api/login/link", `{"token":"`+secret+`"}`, "Content-Type: application/json", "Sec-Fetch-Site: same-origin", planted)
		c := a.cookie(identity.SessionCookie)
		if a.status != http.StatusNoContent || c == nil || c.Value == valueOf(planted) || len(c.Value) != 43 {
			t.Fatalf("signing in with a session planted: %v", a)
		}
		if !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite == http.SameSiteNoneMode {
			t.Errorf("the session's cookie: %v", a.header["Set-Cookie"])
		}
		s.secret(c.Value)
	}
	for what, cookie := range map[string]string{"a session of somebody's own making": fixed, "the session from before": before} {
		if a := s.send(t, "GET", s.console+"/api/me", cookie); a.status != http.StatusUnauthorized {
			t.Errorf("%s: %v", what, a)
		}
	}
	if a := s.send(t, "GET", s.at(s.theirs)+"/", "Cookie: "+grant); a.status != http.StatusUnauthorized {
		t.Errorf("a grant of the session from before: %v", a)
	}
}

// linkWorksOnce uses one link many times at once.
func linkWorksOnce(t *testing.T, s *site) {
	_, secret, _ := strings.Cut(s.link(t, member), "#")
	var mu sync.Mutex
	statuses := map[int]int{}
	var takers sync.WaitGroup
	for range 20 {
		takers.Go(func() {
			a := s.sendBody(t, "POST", s.console+"/api/login/link", `{"token":"`+secret+`"}`, "Content-Type: application/json", "Sec-Fetch-Site: same-origin")
			mu.Lock()
			defer mu.Unlock()
			statuses[a.status]++
		})
	}
	takers.Wait()
	if statuses[http.StatusNoContent] != 1 || statuses[http.StatusUnauthorized] != 19 {
		t.Errorf("twenty takers of one link got %v", statuses)
	}
}
