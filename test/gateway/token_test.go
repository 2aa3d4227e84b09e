package gateway

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/gorilla/websocket"
)

// token makes an API token and returns its id and text.
func (b *browser) token(t testing.TB, scopes ...string) (id, text string) {
	t.Helper()
	var made struct{ ID, Token string }
	if code, body := b.api(t, "POST", "/api/tokens", map[string]any{"name": "test", "scopes": scopes}, &made); code != http.StatusCreated {
		t.Fatalf("making a token: %d %s", code, body)
	}
	b.s.secret(made.Token)
	t.Cleanup(func() { b.api(t, "DELETE", "/api/tokens/"+made.ID, nil, nil) })
	return made.ID, made.Token
}

// tokens opens workspaces with API tokens.
func tokens(t *testing.T, s *site) {
	b := s.browser(admin)
	id, text := b.token(t, "workspaces:open")
	bearer := "Authorization: Bearer " + text
	mark := marker()
	address := s.at(s.mine) + "/" + mark

	// A program needs no Origin, whatever it does.
	for _, method := range []string{"GET", "POST", "DELETE"} {
		if a := s.send(t, method, address, bearer); a.status != http.StatusOK || a.app() != s.mine || len(a.header["Set-Cookie"]) > 0 {
			t.Errorf("%s: %v", method, a)
		}
	}
	for _, spelled := range []string{"authorization: bearer " + text, "AUTHORIZATION: BEARER " + text} {
		if a := s.send(t, "GET", address, spelled); a.status != http.StatusOK && a.status != http.StatusUnauthorized {
			t.Errorf("%.25s: %v", spelled, a)
		}
	}
	got := s.reached(t, s.mine, mark)
	if len(got) < 3 {
		t.Errorf("%d requests reached the app", len(got))
	}
	for _, r := range got {
		if h := r.header(t); h.Get("Authorization") != "" {
			t.Errorf("the token reaches the app: %v", h)
		}
	}

	mark = marker()
	address = s.at(s.mine) + "/" + mark
	for what, headers := range map[string][]string{
		"a sibling's page":      {bearer, "Origin: " + s.at(s.sibling)},
		"the console's page":    {bearer, "Origin: " + s.console},
		"a page of no origin":   {bearer, "Origin: null"},
		"a fetch of a sibling":  {bearer, "Sec-Fetch-Site: same-site"},
		"a fetch of elsewhere":  {bearer, "Sec-Fetch-Site: cross-site"},
		"a sibling's WebSocket": with(socketHead, bearer, "Origin: "+s.at(s.sibling)),
	} {
		if a := s.send(t, "GET", address, headers...); a.status != http.StatusForbidden {
			t.Errorf("%s: %v", what, a)
		}
	}
	forged := map[string]string{
		"a guess": "kalpana_" + strings.Repeat("A", 43), "cut": text[:len(text)-1], "longer": text + "A", "without its prefix": strings.TrimPrefix(text, "kalpana_"),
		"in another case": flip(text), "its id": id, "its id with the prefix": "kalpana_" + id, "a session": valueOf(s.sessions[admin]), "empty": "", "two": text + " " + text,
	}
	for what, word := range forged {
		if a := s.send(t, "GET", address, "Authorization: Bearer "+word); a.status != http.StatusUnauthorized {
			t.Errorf("%s: %v", what, a)
		}
	}
	for what, headers := range map[string][]string{
		"in the wrong scheme": {"Authorization: Basic " + text}, "in a header of its own": {"X-Api-Key: " + text, "X-Kalpana-Token: " + text},
		"in a cookie": {"Cookie: token=" + text}, "in Proxy-Authorization": {"Proxy-Authorization: Bearer " + text},
	} {
		if a := s.send(t, "GET", address, headers...); a.status != http.StatusUnauthorized {
			t.Errorf("%s: %v", what, a)
		}
	}
	if a := s.send(t, "GET", address+"?access_token="+text+"&token="+text); a.status != http.StatusUnauthorized {
		t.Errorf("in the query: %v", a)
	}
	// Of two, none reaches the app, whichever opens.
	both := marker()
	s.send(t, "GET", s.at(s.mine)+"/"+both, bearer, "Authorization: Bearer "+forged["a guess"])
	s.send(t, "GET", s.at(s.mine)+"/"+both, "Authorization: Bearer "+forged["a guess"], bearer)
	for _, r := range s.reached(t, s.mine, both) {
		if h := r.header(t); len(h["Authorization"]) > 0 {
			t.Errorf("two tokens: %v", h)
		}
	}
	// On a preview, Authorization belongs to the app, and opens nothing.
	if a := s.send(t, "GET", s.at(preview(3000, s.mine))+"/"+mark, bearer); a.status != http.StatusUnauthorized {
		t.Errorf("on a preview: %v", a)
	}
	_, reads := b.token(t, "workspaces:read")
	if a := s.send(t, "GET", address, "Authorization: Bearer "+reads); a.status != http.StatusForbidden {
		t.Errorf("a token without the scope: %v", a)
	}
	// Somebody else's token sees no difference between a workspace that exists and one that does not.
	_, theirs := s.browser(member).token(t, "workspaces:open")
	there, none := s.send(t, "GET", s.at(s.mine)+"/"+mark, "Authorization: Bearer "+theirs), s.send(t, "GET", s.at(unknown)+"/"+mark, "Authorization: Bearer "+theirs)
	if there.status != http.StatusNotFound || shape(there, s.mine) != shape(none, unknown) {
		t.Errorf("somebody else's token:\n%v\n%v", there, none)
	}
	s.unreached(t, mark, "a token that is no good")

	// What it has open ends with it.
	conn := s.socketByToken(t, s.mine, text)
	start := time.Now()
	if code, body := b.api(t, "DELETE", "/api/tokens/"+id, nil, nil); code != http.StatusNoContent {
		t.Fatalf("revoking: %d %s", code, body)
	}
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if _, _, err := conn.ReadMessage(); err == nil || time.Since(start) > endTime {
		t.Errorf("a WebSocket %s after its token was revoked: %v", time.Since(start), err)
	}
	if a := s.send(t, "GET", address, bearer); a.status != http.StatusUnauthorized {
		t.Errorf("revoked: %v", a)
	}
}

// socketByToken opens a WebSocket as a program does.
func (s *site) socketByToken(t *testing.T, label, token string) *websocket.Conn {
	t.Helper()
	dialer := websocket.Dialer{HandshakeTimeout: patience, NetDial: func(_, _ string) (net.Conn, error) { return s.connect(s.address(t), s.host(label)) }}
	conn, resp, err := dialer.Dial("ws://"+s.host(label)+"/", http.Header{"Authorization": {"Bearer " + token}})
	if err != nil {
		t.Fatalf("a WebSocket by a token: %v, %v", err, resp)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.WriteMessage(websocket.TextMessage, []byte("open")); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if _, _, err := conn.ReadMessage(); err != nil {
		t.Fatal(err)
	}
	return conn
}

// tokenScopes calls the API with tokens of each scope.
func tokenScopes(t *testing.T, s *site) {
	b := s.browser(admin)
	id := b.create(t, "for tokens", "")
	type call struct{ method, path, body, scope string }
	calls := []call{
		{"GET", "/api/me", "", "any"},
		{"GET", "/api/workspaces", "", "workspaces:read"},
		{"GET", "/api/workspaces/" + id, "", "workspaces:read"},
		{"PATCH", "/api/workspaces/" + id, `{"name":"by a token"}`, "workspaces:write"},
		{"GET", "/api/audit", "", "admin"},
		{"GET", "/api/sessions", "", "none"},
		{"DELETE", "/api/sessions", "", "none"},
		{"GET", "/api/tokens", "", "none"},
		{"POST", "/api/tokens", `{"name":"more","scopes":["admin"]}`, "none"},
		{"POST", "/api/logout", "", "none"},
	}
	for _, scope := range []string{"workspaces:read", "workspaces:write", "workspaces:open", "admin"} {
		_, text := b.token(t, scope)
		for _, c := range calls {
			a := s.sendBody(t, c.method, s.console+c.path, c.body, "Authorization: Bearer "+text, "Content-Type: application/json")
			may := c.scope == "any" || c.scope == scope
			if (a.status < 300) != may || !may && a.status != http.StatusForbidden {
				t.Errorf("a token of %s: %s %s: %v", scope, c.method, c.path, a)
			}
			if len(a.header["Set-Cookie"]) > 0 {
				t.Errorf("a token gets a cookie: %v", a)
			}
		}
	}
	// A member makes no admin's token, and does not become one by a token.
	m := s.browser(member)
	if code, body := m.api(t, "POST", "/api/tokens", map[string]any{"name": "x", "scopes": []string{"admin"}}, nil); code < 400 || code >= 500 {
		t.Errorf("a member makes an admin's token: %d %s", code, body)
	}
	if code, body := m.api(t, "GET", "/api/audit", nil, nil); code != http.StatusForbidden {
		t.Errorf("a member reads the audit log: %d %s", code, body)
	}
	_, text := m.token(t, "workspaces:read", "workspaces:write", "workspaces:open")
	for _, c := range calls {
		if !strings.Contains(c.path, id) {
			continue
		}
		if a := s.sendBody(t, c.method, s.console+c.path, c.body, "Authorization: Bearer "+text, "Content-Type: application/json"); a.status != http.StatusNotFound {
			t.Errorf("a member's token on somebody else's workspace: %s: %v", c.method, a)
		}
	}
	for _, header := range [][]string{{"Origin: " + s.at(s.mine)}, {"Sec-Fetch-Site: same-site"}, {"Sec-Fetch-Site: cross-site"}} {
		_, text := b.token(t, "workspaces:read")
		if a := s.send(t, "GET", s.console+"/api/workspaces", with(header, "Authorization: Bearer "+text)...); a.status != http.StatusForbidden {
			t.Errorf("a token from a page with %s: %v", header, a)
		}
	}
}

// session is one as the API tells of it.
type session struct {
	ID      string
	Current bool
}

func (b *browser) listSessions(t testing.TB) []session {
	t.Helper()
	var list struct{ Sessions []session }
	if code, body := b.api(t, "GET", "/api/sessions", nil, &list); code != http.StatusOK {
		t.Fatalf("the sessions: %d %s", code, body)
	}
	return list.Sessions
}

// sessionsEnd revokes sessions from another one.
func sessionsEnd(t *testing.T, s *site) {
	ended, stays := s.signIn(t, member), s.signIn(t, member)
	grant := ended.grant(t, s.theirs)
	conn, err := ended.socket(t, s.at(s.theirs)+"/", s.at(s.theirs))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	id := ""
	for _, v := range ended.listSessions(t) {
		if v.Current {
			id = v.ID
		}
	}
	if id == "" || strings.Contains(ended.cookies(s.console+"/"), id) {
		t.Fatalf("the session's id is %q", id)
	}
	// Nobody else can.
	for _, v := range s.browser(admin).listSessions(t) {
		if v.ID == id {
			t.Error("an admin sees a member's session among their own")
		}
	}
	if code, body := s.browser(admin).api(t, "DELETE", "/api/sessions/"+id, nil, nil); code != http.StatusNotFound {
		t.Errorf("somebody else revokes it: %d %s", code, body)
	}
	start := time.Now()
	if code, body := stays.api(t, "DELETE", "/api/sessions/"+id, nil, nil); code != http.StatusNoContent {
		t.Fatalf("revoking: %d %s", code, body)
	}
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if _, _, err := conn.ReadMessage(); err == nil || time.Since(start) > endTime {
		t.Errorf("a WebSocket %s after its session was revoked: %v", time.Since(start), err)
	}
	if a := s.send(t, "GET", s.at(s.theirs)+"/", "Cookie: "+grant); a.status != http.StatusUnauthorized {
		t.Errorf("a grant of a session that was revoked: %v", a)
	}
	if code, _ := ended.api(t, "GET", "/api/me", nil, nil); code != http.StatusUnauthorized {
		t.Errorf("the session that was revoked: %d", code)
	}
	if code, _ := stays.api(t, "GET", "/api/me", nil, nil); code != http.StatusOK {
		t.Errorf("the other session: %d", code)
	}
}

// auditLog has an attacker write into the audit log.
func auditLog(t *testing.T, s *site) {
	mark := marker()
	evil := mark + "\t\x80\xff\u202e\u2028" + `"},{"action":"sign-in","outcome":"ok` + "\u001b[31m<script>alert(1)</script>" + strings.Repeat("x", 10_000)
	a := s.sendBody(t, "POST", s.console+"/api/login/link", `{"token":"`+strings.Repeat("A", 43)+`"}`, "Content-Type: application/json", "User-Agent: "+evil)
	if a.status != http.StatusUnauthorized && a.status != http.StatusBadRequest {
		t.Errorf("a guess: %v", a)
	}
	if a.status == http.StatusBadRequest { // net/http takes no control characters
		evil = strings.ReplaceAll(evil, "\u001b", "")
		s.sendBody(t, "POST", s.console+"/api/login/link", `{"token":"`+strings.Repeat("A", 43)+`"}`, "Content-Type: application/json", "User-Agent: "+evil)
	}
	var event map[string]any
	b := s.browser(admin)
	eventually(t, "the attempt is in the audit log", func() bool {
		var log struct{ Events []map[string]any }
		if code, body := b.api(t, "GET", "/api/audit?action=sign-in&limit=500", nil, &log); code != http.StatusOK {
			t.Fatalf("the audit log: %d %s", code, body)
		}
		for _, e := range log.Events {
			if strings.HasPrefix(fmt.Sprint(e["userAgent"]), mark) {
				event = e
			}
		}
		return event != nil
	})
	if event["outcome"] != "refused" || s.own != nil && event["address"] != s.address(t).String() {
		t.Errorf("%v", event)
	}
	for field, value := range event {
		text := fmt.Sprint(value)
		if len(text) > 1024 || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%s is %q", field, text)
		}
	}
	if s.own == nil {
		return
	}
	lines := 0
	for line := range strings.SplitSeq(s.own.Log.String(), "\n") {
		if !strings.Contains(line, mark) {
			continue
		}
		lines++
		var parsed map[string]any
		if err := json.Unmarshal([]byte(line), &parsed); err != nil || len(line) > 4096 || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("a line of the log (%v): %q", err, line)
		}
	}
	if lines != 1 {
		t.Errorf("%d lines of the log tell of the attempt", lines)
	}
}

// otherAgents asks for the tools of workspaces, and of the agent's routes, as whoever is not to have them.
func otherAgents(t *testing.T, s *site) {
	b := s.browser(admin)
	_, agents := b.token(t, "agent")
	_, rest := b.token(t, "workspaces:read", "workspaces:write", "workspaces:open", "admin")
	_, members := s.browser(member).token(t, "agent")
	const call = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"readFile","arguments":{"path":"x"}}}`
	message := `{"id":"chat-of-mine","workspace":"` + s.mine + `","trigger":"submit-message","messages":[{"id":"m","role":"user","parts":[{"type":"text","text":"go"}]}]}`
	for _, to := range []struct{ path, body string }{{"/mcp/" + s.mine, call}, {"/api/agent", message}} {
		head := []string{"Content-Type: application/json", "Accept: application/json, text/event-stream"}
		asks := func(what, path string, status int, headers ...string) {
			t.Helper()
			if a := s.sendBody(t, "POST", s.console+path, to.body, with(head, headers)...); a.status != status || a.app() != "" {
				t.Errorf("%s, %s: %v", path, what, a)
			}
		}
		asks("nobody", to.path, 401)
		for _, name := range []string{"access_token", "token", "key", "authorization"} {
			asks("a token in the query", to.path+"?"+name+"="+agents, 401)
		}
		asks("a token in another header", to.path, 401, "X-Api-Key: "+agents)
		asks("a token as a cookie", to.path, 401, "Cookie: __Host-kalpana_session="+agents)
		asks("a token as basic", to.path, 401, "Authorization: Basic "+agents)
		asks("a grant", to.path, 401, "Cookie: "+b.grant(t, s.mine))
		asks("other scopes", to.path, 403, "Authorization: Bearer "+rest)
		asks("somebody else's token", to.path, 404, "Authorization: Bearer "+members)
		for what, origin := range s.foreignOrigins(s.mine) {
			if what != "console" {
				asks("a token from "+what, to.path, 403, "Authorization: Bearer "+agents, "Origin: "+origin)
			}
		}
		for _, fetch := range []string{"same-site", "cross-site", "evil"} {
			asks("a token from a page, "+fetch, to.path, 403, "Authorization: Bearer "+agents, "Sec-Fetch-Site: "+fetch)
			asks("a session from a page, "+fetch, to.path, 403, "Cookie: "+s.sessions[admin], "Sec-Fetch-Site: "+fetch)
		}
	}
	// A session is no agent, and a name that leads here by DNS is not the console's.
	if a := s.sendBody(t, "POST", s.console+"/mcp/"+s.mine, call, "Content-Type: application/json", "Cookie: "+s.sessions[admin], "Sec-Fetch-Site: same-origin", "Origin: "+s.console); a.status != http.StatusUnauthorized {
		t.Errorf("a session: %v", a)
	}
	for _, host := range []string{"evil.example", "127.0.0.1", "localhost", s.host(s.mine)} {
		raw := "POST /mcp/" + s.mine + " HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: application/json\r\nAuthorization: Bearer " + agents +
			"\r\nContent-Length: " + strconv.Itoa(len(call)) + "\r\nConnection: close\r\n\r\n" + call
		for _, a := range s.exchange(t, hostOf(s.console), raw) {
			if a.status < 300 && a.body != "" || strings.Contains(a.body, "jsonrpc") || strings.Contains(a.header.Get("WWW-Authenticate"), "Kalpana") {
				t.Errorf("as %s: %v", host, a)
			}
		}
	}
}
