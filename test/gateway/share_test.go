package gateway

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kalpana-dev/kalpana/identity"
)

// levels of sharing, each wider than the one before.
var levels = []string{"private", "members", "public"}

// share sets the level of a port of a workspace of b's, and returns the one that is in force.
func (b *browser) share(t testing.TB, id string, port int, level string) string {
	t.Helper()
	var got struct{ Effective string }
	code, body := b.api(t, "PUT", fmt.Sprintf("/api/workspaces/%s/ports/%d", id, port), map[string]any{"level": level}, &got)
	if code != http.StatusOK {
		t.Fatalf("sharing port %d as %s: %d %s", port, level, code, body)
	}
	return got.Effective
}

// shareLimit returns the widest level that the operator allows.
func (b *browser) shareLimit(t testing.TB, id string) string {
	t.Helper()
	var ports struct{ Cap string }
	if code, body := b.api(t, "GET", "/api/workspaces/"+id+"/ports", nil, &ports); code != http.StatusOK || !slices.Contains(levels, ports.Cap) {
		t.Fatalf("the ports of a workspace: %d %s", code, body)
	}
	return ports.Cap
}

// shares asks for ports of every level, as everybody, in every way.
func shares(t *testing.T, s *site) {
	owner := s.browser(admin)
	limit := slices.Index(levels, owner.shareLimit(t, s.mine))
	for width, level := range levels[:limit+1] {
		if got := owner.share(t, s.mine, 4100+width, level); got != level {
			t.Errorf("%s is in force as %s", level, got)
		}
	}
	for width, level := range levels[limit+1:] {
		path := fmt.Sprintf("/api/workspaces/%s/ports/%d", s.mine, 4200+width)
		if code, body := owner.api(t, "PUT", path, map[string]any{"level": level}, nil); code < 400 || code >= 500 {
			t.Errorf("%s, above the operator's limit: %d %s", level, code, body)
		}
	}
	for _, port := range []string{"8080", "3001", "80", "0", "65536", "x"} {
		if code, body := owner.api(t, "PUT", "/api/workspaces/"+s.mine+"/ports/"+port, map[string]any{"level": "members"}, nil); code < 400 || code >= 500 {
			t.Errorf("sharing port %s: %d %s", port, code, body)
		}
	}
	for _, id := range []string{s.mine, unknown} {
		if code, body := s.browser(member).api(t, "PUT", "/api/workspaces/"+id+"/ports/4100", map[string]any{"level": "members"}, nil); code != http.StatusNotFound {
			t.Errorf("somebody else shares a port: %d %s", code, body)
		}
	}

	type request struct {
		method, path string
		headers      []string
	}
	var (
		requests = map[string]request{}
		// What each request gets: from those who are inside by a grant, from those who have none, and on a
		// public port from anybody.
		inside, outside, public = map[string]int{}, map[string]int{}, map[string]int{}
	)
	add := func(name string, r request, in, out, all int) {
		requests[name], inside[name], outside[name], public[name] = r, in, out, all
	}
	for _, path := range []string{"/", "/a/b?c=d", "/.kalpana", "/..%2f", "//x", "/login", "/static/x.js"} {
		add("a navigation to "+path, request{"GET", path, navigation}, 200, 303, 200)
		add("a program at "+path, request{"GET", path, program}, 200, 401, 200)
		add("a subresource "+path, request{"GET", path, subresource}, 200, 401, 200)
		add("a webhook at "+path, request{"POST", path, program}, 403, 401, 200)
		add("a POST of its own page at "+path, request{"POST", path, []string{"Origin: {own}", "Sec-Fetch-Site: same-origin"}}, 200, 401, 200)
		add("a POST of a sibling at "+path, request{"POST", path, []string{"Origin: {sibling}", "Sec-Fetch-Site: same-site"}}, 403, 401, 200)
		add("a POST from elsewhere at "+path, request{"DELETE", path, []string{"Origin: http://evil.com", "Sec-Fetch-Site: cross-site"}}, 403, 401, 200)
		add("a WebSocket of its own page at "+path, request{"GET", path, with(socketHead, "Origin: {own}")}, 101, 401, 101)
		add("a WebSocket of a sibling at "+path, request{"GET", path, with(socketHead, "Origin: {sibling}")}, 403, 401, 101)
		add("a WebSocket of VS Code's at "+path, request{"GET", path, with(socketHead, "Origin: {ide}")}, 403, 401, 101)
		add("a WebSocket from nowhere at "+path, request{"GET", path, socketHead}, 403, 401, 101)
	}
	check := func(t *testing.T, who, label, cookie string, want map[string]int) {
		t.Helper()
		for name, r := range requests {
			headers := with(program)
			if cookie != "" {
				headers = with("Cookie: " + cookie)
			}
			for _, h := range r.headers {
				headers = append(headers, strings.NewReplacer("{own}", s.at(label), "{sibling}", s.at(s.sibling), "{ide}", s.at(s.mine)).Replace(h))
			}
			a := s.send(t, r.method, s.at(label)+r.path, headers...)
			if a.status != want[name] {
				t.Errorf("%s sends %s and gets %v, want %d", who, name, a, want[name])
			}
			if a.status < 300 && len(a.header["Set-Cookie"]) > 0 {
				t.Errorf("%s sends %s and gets cookies: %q", who, name, a.header["Set-Cookie"])
			}
		}
	}
	for width, level := range levels[:limit+1] {
		label := preview(4100+width, s.mine)
		t.Run(level, func(t *testing.T) {
			none := outside
			if level == "public" {
				none = public
				check(t, "the owner", label, s.sessions[admin], public)
			} else {
				check(t, "the owner", label, s.browser(admin).grant(t, label), inside)
			}
			switch level {
			case "private":
				if a := s.browser(member).open(t, s.at(label)+"/"); a.status != http.StatusNotFound {
					t.Errorf("a member opens it: %v", a)
				}
			case "members":
				check(t, "a member", label, s.browser(member).grant(t, label), inside)
			case "public":
				if a := s.browser(member).open(t, s.at(label)+"/"); a.status != http.StatusOK {
					t.Errorf("a member opens it: %v", a)
				}
			}
			check(t, "a stranger", label, "", none)
			check(t, "one with a forged grant", label, identity.GrantCookie+"="+strings.Repeat("A", 43), none)
			check(t, "one with the grant of VS Code", label, s.browser(admin).grant(t, s.mine), none)
			check(t, "one with the grant of another port", label, s.browser(admin).grant(t, preview(4150, s.mine)), none)
			check(t, "one with a session", label, s.sessions[member], none)
		})
	}
	// Nothing else of the workspace is shared by that.
	for _, label := range []string{s.mine, preview(4150, s.mine), preview(4100+limit, s.sibling)} {
		if a := s.browser(member).open(t, s.at(label)+"/"); a.status != http.StatusNotFound {
			t.Errorf("a member opens %s: %v", label, a)
		}
		if a := s.send(t, "GET", s.at(label)+"/", program...); a.status != http.StatusUnauthorized {
			t.Errorf("a stranger at %s: %v", label, a)
		}
	}
}

// sharesEnd narrows shares with people inside.
func sharesEnd(t *testing.T, s *site) {
	owner := s.browser(admin)
	if owner.shareLimit(t, s.mine) == "private" {
		t.Skip("this deployment lets nobody share")
	}
	ends := func(what string, port int, level string, visitor *browser) {
		t.Helper()
		label := preview(port, s.mine)
		owner.share(t, s.mine, port, level)
		if a := visitor.open(t, s.at(label)+"/"); a.status != http.StatusOK {
			t.Fatalf("%s: %v", what, a)
		}
		conn, err := visitor.socket(t, s.at(label)+"/", s.at(label))
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		defer conn.Close()
		if err := conn.WriteMessage(websocket.TextMessage, []byte("open")); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		if _, _, err := conn.ReadMessage(); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		owner.share(t, s.mine, port, "private")
		if _, _, err := conn.ReadMessage(); err == nil || time.Since(start) > endTime {
			t.Errorf("%s: a WebSocket ends %s after the share: %v", what, time.Since(start), err)
		}
		if a := visitor.do(t, "GET", s.at(label)+"/", program...); a.status != http.StatusUnauthorized && a.status != http.StatusNotFound {
			t.Errorf("%s, afterwards: %v", what, a)
		}
		// The owner is let in again, by the next page.
		eventually(t, "the owner is let in again", func() bool { return s.browser(admin).open(t, s.at(label)+"/").status == http.StatusOK })
	}
	ends("a member", 4300, "members", s.browser(member))
	if owner.shareLimit(t, s.mine) == "public" {
		ends("a stranger", 4301, "public", s.stranger())
	}
}

// publicWakes has strangers visit a public port of a workspace that is stopped.
func publicWakes(t *testing.T, s *site) {
	owner := s.browser(admin)
	if owner.shareLimit(t, s.mine) != "public" {
		t.Skip("this deployment lets nobody share with everybody")
	}
	id := owner.wake(t, "woken by strangers")
	if code, body := owner.api(t, "POST", "/api/workspaces/"+id+"/stop", nil, nil); code != http.StatusAccepted {
		t.Fatalf("stopping: %d %s", code, body)
	}
	owner.await(t, id, "stopped")
	const port = 4500
	address := s.at(preview(port, id)) + "/hook"
	waking := func(wakes bool) {
		t.Helper()
		path := fmt.Sprintf("/api/workspaces/%s/ports/%d", id, port)
		if code, body := owner.api(t, "PUT", path, map[string]any{"level": "public", "wakes": wakes}, nil); code != http.StatusOK {
			t.Fatalf("sharing: %d %s", code, body)
		}
	}
	sleeps := func(what, method, address string, headers ...string) {
		t.Helper()
		if a := s.send(t, method, address, headers...); a.status != http.StatusServiceUnavailable && a.status != http.StatusForbidden || a.app() != "" {
			t.Errorf("%s: %v", what, a)
		}
		if w := owner.await(t, id, "stopped", "starting", "running"); w.State != "stopped" {
			t.Fatalf("%s woke it: %s", what, w.State)
		}
	}
	own := "Origin: " + s.at(preview(port, id))
	background := map[string][]string{
		"a subresource": subresource, "a WebSocket": with(socketHead, own), "a prefetch": with("Sec-Purpose: prefetch", navigation),
	}
	waking(false)
	sleeps("a navigation", "GET", address, navigation...)
	sleeps("a webhook", "POST", address, program...)
	for _, origin := range []string{own, "Origin: " + s.console, ""} {
		sleeps("the page's button, "+origin, "POST", s.at(preview(port, id))+"/.kalpana/wake", origin)
	}
	for what, headers := range background {
		sleeps(what, "GET", address, headers...)
	}
	waking(true)
	for what, headers := range background {
		sleeps(what+" where visitors may", "GET", address, headers...)
	}
	mark := marker()
	if a := s.sendBody(t, "POST", address, mark, "Content-Type: text/plain"); a.status != http.StatusOK || a.app() != id {
		t.Fatalf("a webhook where visitors may: %v%s", a, s.log())
	}
	var log struct {
		Events []struct{ Person, Outcome, Detail string }
	}
	if code, body := owner.api(t, "GET", "/api/audit?action=start&limit=2&workspace="+id, nil, &log); code != http.StatusOK || len(log.Events) != 2 {
		t.Fatalf("the audit log: %d %s", code, body)
	}
	if e := log.Events[0]; e.Person != "" || e.Outcome != "ok" || !strings.Contains(e.Detail, preview(port, id)) {
		t.Errorf("the audit log: %+v", log.Events)
	}
}

// cors has pages of every origin call a port that its owner opened to the workspace's own previews.
func cors(t *testing.T, s *site) {
	owner := s.browser(admin)
	for _, port := range []int{4400, 4401} {
		path := fmt.Sprintf("/api/workspaces/%s/ports/%d", s.mine, port)
		if code, body := owner.api(t, "PUT", path, map[string]any{"level": "private", "cors": port == 4400}, nil); code != http.StatusOK {
			t.Fatalf("setting CORS: %d %s", code, body)
		}
	}
	const allowed = "Access-Control-Allow-Origin"
	own := "preview of its own"
	for _, port := range []int{4400, 4401} {
		label := preview(port, s.mine)
		grant := "Cookie: " + s.browser(admin).grant(t, label)
		address := s.at(label) + "/"
		origins := s.foreignOrigins(label)
		origins["VS Code of its own"] = s.at(s.mine)
		origins["preview of a sibling"] = s.at(preview(3005, s.sibling))
		for what, origin := range origins {
			may := port == 4400 && what == own
			for kind, a := range map[string]*answer{
				"a GET": s.send(t, "GET", address, grant, "Origin: "+origin, "Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"),
				"a preflight": s.send(t, "OPTIONS", address, "Origin: "+origin, "Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty",
					"Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: x-own"),
			} {
				got := a.header.Get(allowed)
				if (got != "") != may || may && (got != origin || len(a.header[allowed]) != 1 || a.header.Get("Access-Control-Allow-Credentials") != "true") {
					t.Errorf("port %d, %s of %s: %v", port, kind, what, a)
				}
			}
			want := map[bool]int{true: http.StatusOK, false: http.StatusForbidden}[may]
			if a := s.sendBody(t, "POST", address, "x", grant, "Origin: "+origin, "Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"); a.status != want {
				t.Errorf("port %d, a POST of %s: %v", port, what, a)
			}
			want = map[bool]int{true: http.StatusSwitchingProtocols, false: http.StatusForbidden}[may]
			if a := s.send(t, "GET", address, with(socketHead, grant, "Origin: "+origin)...); a.status != want {
				t.Errorf("port %d, a WebSocket of %s: %v", port, what, a)
			}
		}
		// The right Origin is not enough: without a grant there is nothing, and cross-site is not from there.
		if a := s.send(t, "GET", address, "Origin: "+origins[own], "Sec-Fetch-Site: same-site"); a.status != http.StatusUnauthorized {
			t.Errorf("port %d without a grant: %v", port, a)
		}
		if a := s.sendBody(t, "POST", address, "x", grant, "Origin: "+origins[own], "Sec-Fetch-Site: cross-site"); a.status != http.StatusForbidden {
			t.Errorf("port %d from another site: %v", port, a)
		}
	}
}
