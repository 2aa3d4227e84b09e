package gateway

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/identity"
)

// tools is another site of the operator's, which kalpana_auth protects: what reaches the program behind
// it, byte for byte but for the order of headers.
type tools struct {
	*httptest.Server
	mu      sync.Mutex
	reached [][]byte
}

func newTools() *tools {
	o := new(tools)
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := httputil.DumpRequest(r, false)
		o.mu.Lock()
		o.reached = append(o.reached, raw)
		o.mu.Unlock()
		w.Header().Set("X-App", "tools")
		if r.URL.Path != "/stream" {
			return
		}
		for r.Context().Err() == nil {
			_, _ = fmt.Fprintln(w, "more")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(20 * time.Millisecond)
		}
	}))
	return o
}

// find returns the requests that hold text.
func (o *tools) find(text string) [][]byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	var found [][]byte
	for _, r := range o.reached {
		if bytes.Contains(r, []byte(text)) {
			found = append(found, r)
		}
	}
	return found
}

// site returns the lines of the Caddyfile that serve it.
func (o *tools) site(f form) string {
	return "\n" + f.scheme + "://tools." + f.console + ":{$KALPANA_PORT} {\n\tkalpana_auth\n\tkalpana_auth /admin/* {\n\t\trole admin\n\t}\n" +
		"\treverse_proxy " + o.Listener.Addr().String() + " {\n\t\theader_up X-Webauth-User {http.auth.user.id}\n\t}\n}\n"
}

// protected asks for the operator's other site.
func protected(t *testing.T, s *site) {
	if s.own == nil {
		t.Skip("needs a site of its own in the Caddyfile")
	}
	origin := s.scheme + "://tools." + hostOf(s.console)
	mark := marker()
	for what, headers := range map[string][]string{
		"a program": program, "a subresource": subresource, "a WebSocket": with(socketHead, "Origin: "+origin), "a forged cookie": {"Cookie: " + identity.SiteCookie + "=" + strings.Repeat("A", 43)},
		"the session": {"Cookie: " + s.sessions[admin]}, "a workspace's grant": {"Cookie: " + s.browser(admin).grant(t, s.mine)},
		"a workspace's grant as the site's": {"Cookie: " + identity.SiteCookie + "=" + valueOf(s.browser(admin).grant(t, s.mine))},
		"headers":                           {"X-Webauth-User: admin", "Remote-User: admin", "X-Kalpana-User: admin"},
	} {
		for _, method := range []string{"GET", "POST", "OPTIONS"} {
			if a := s.send(t, method, origin+"/"+mark, headers...); a.status != http.StatusUnauthorized && a.status != http.StatusForbidden || len(a.header["Set-Cookie"]) > 0 {
				t.Errorf("%s %s: %v", method, what, a)
			}
		}
	}
	if a := s.send(t, "GET", origin+"/"+mark, navigation...); a.status != http.StatusSeeOther || !strings.HasPrefix(a.location(), s.console+identity.HandoffPath+"?") {
		t.Errorf("a navigation: %v", a)
	}
	_, token := s.browser(admin).token(t, "workspaces:open", "admin")
	if a := s.send(t, "GET", origin+"/"+mark, "Authorization: Bearer "+token); a.status != http.StatusUnauthorized {
		t.Errorf("an API token: %v", a)
	}
	if got := s.own.tools.find(mark); len(got) > 0 {
		t.Errorf("it reached the site's program:\n%s", got[0])
	}

	for who, inAdmin := range map[person]int{admin: http.StatusOK, member: http.StatusForbidden} {
		mark := marker()
		b := s.browser(who)
		if a := b.open(t, origin+"/"); a.status != http.StatusOK || a.app() != "tools" {
			t.Fatalf("%s opens the site: %v", who, a)
		}
		if a := b.do(t, "GET", origin+"/admin/"+mark, navigation...); a.status != inAdmin {
			t.Errorf("%s in the part for admins: %v", who, a)
		}
		for _, path := range []string{"/admin%2f", "//admin/", "/./admin/", "/x/../admin/", "/ADMIN/", "/admin/../admin/", "/%61dmin/"} {
			if a := b.do(t, "GET", origin+path+mark, navigation...); who == member && a.app() == "tools" && bytes.Contains(bytes.Join(s.own.tools.find(mark), nil), []byte(" /admin/"+mark)) {
				t.Errorf("the member reaches the part for admins by %s: %v", path, a)
			}
		}
		cookie := b.cookies(origin + "/")
		// From outside nobody says who they are, in no spelling; what the site's lines say is there once.
		mark = marker()
		var lines []string
		for _, name := range []string{"Remote-User", "Remote-Groups", "X-Remote-User", "X-Forwarded-User", "X-Forwarded-Groups", "X-Auth-Request-Email", "X-Webauth-User", "X-Webauth-Role", "X-Kalpana-User"} {
			for _, spelling := range spellings(name) {
				lines = append(lines, spelling+": "+mark+"evil")
			}
		}
		s.send(t, "GET", origin+"/"+mark, with(lines, cookie, "Connection: X-Webauth-User")...)
		got := s.own.tools.find(mark)
		if len(got) != 1 || bytes.Contains(got[0], []byte(mark+"evil")) || bytes.Count(got[0], []byte("\nX-Webauth-User: "+s.people[who]+"\r\n")) != 1 || bytes.Contains(got[0], []byte("__Host-kalpana_")) {
			t.Errorf("as %s: %q", who, got)
		}
		// The site's cookie is good nowhere else, and its pages alone use it.
		for _, address := range []string{s.at(s.mine) + "/", s.at(s.theirs) + "/", s.console + "/api/me"} {
			if a := s.send(t, "GET", address, cookie, strings.ReplaceAll(cookie, identity.SiteCookie, identity.GrantCookie)); a.status != http.StatusUnauthorized {
				t.Errorf("the site's cookie at %s: %v", address, a)
			}
		}
		mark = marker()
		for _, from := range []string{s.at(s.mine), s.at(s.theirs), s.console, "null", origin + ".evil.com", origin + "0", ""} {
			if a := s.sendBody(t, "POST", origin+"/"+mark, "x", cookie, "Origin: "+from); a.status != http.StatusForbidden {
				t.Errorf("a POST from %q: %v", from, a)
			}
			if a := s.send(t, "GET", origin+"/"+mark, with(socketHead, cookie, "Origin: "+from)...); a.status != http.StatusForbidden {
				t.Errorf("a WebSocket from %q: %v", from, a)
			}
			if a := s.send(t, "GET", origin+"/"+mark, cookie, "Origin: "+from, "Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: cors"); a.status != http.StatusForbidden {
				t.Errorf("a fetch from %q: %v", from, a)
			}
		}
		if got := s.own.tools.find(mark); len(got) > 0 {
			t.Errorf("from elsewhere: %q", got)
		}
	}

	b := s.signIn(t, member)
	b.open(t, origin+"/")
	conn := s.dial(t, hostOf(origin))
	defer conn.Close()
	if _, err := io.WriteString(conn, head("GET", "/stream", hostOf(origin), "", b.cookies(origin+"/"))); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	if _, err := conn.Read(buf); err != nil || !bytes.Contains(buf, []byte(" 200 ")) {
		t.Fatalf("a stream: %q, %v", buf, err)
	}
	start := time.Now()
	b.api(t, "POST", "/api/logout", nil, nil)
	for {
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		if _, err := conn.Read(buf); err != nil {
			if slices.Contains([]error{io.EOF}, err) || !isTimeout(err) {
				break
			}
			t.Fatal("a stream outlives signing out")
		}
		if time.Since(start) > patience {
			t.Fatal("a stream outlives signing out")
		}
	}
	if d := time.Since(start); d > endTime {
		t.Errorf("a stream ends %s after signing out", d)
	}
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}
