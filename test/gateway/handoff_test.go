package gateway

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/identity"
)

// aHost is every kind of workspace host that there is for a person without a grant.
func (s *site) hosts() map[string]string {
	return map[string]string{
		"mine": s.mine, "theirs": s.theirs, "unknown": unknown,
		"a preview": preview(3000, s.mine), "a preview of an unknown one": preview(3000, unknown),
	}
}

// withoutSession asks for everything without a grant.
func withoutSession(t *testing.T, s *site) {
	for name, label := range s.hosts() {
		mark := marker()
		path := s.at(label) + "/" + mark + "?folder=/x"
		for _, method := range []string{"GET", "HEAD"} {
			a := s.send(t, method, path, navigation...)
			to, err := url.Parse(a.location())
			if err != nil || a.status != http.StatusSeeOther || to.Scheme+"://"+to.Host+to.Path != s.console+identity.HandoffPath {
				t.Fatalf("%s: a navigation: %v", name, a)
			}
			if q := to.Query(); q.Get("host") != label || len(q.Get("challenge")) != identity.ChallengeLength || len(q) != 2 || strings.Contains(a.location(), mark) {
				t.Errorf("%s: sent to %s", name, a.location())
			}
			if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Referrer-Policy") != "no-referrer" {
				t.Errorf("%s: a navigation: %v", name, a)
			}
			if c := a.cookie(identity.NonceCookie); c == nil || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.MaxAge <= 0 || c.MaxAge > 3600 {
				t.Errorf("%s: the nonce's cookie: %v", name, a.header["Set-Cookie"])
			}
		}
		for what, headers := range map[string][]string{
			"a program": program, "a subresource": subresource,
			"a fetch":        {"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Sec-Fetch-Site: cross-site"},
			"a WebSocket":    with("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Origin: "+s.at(label)),
			"an upgrade":     {"Connection: Upgrade", "Upgrade: anything"},
			"a prefetch":     with("Sec-Purpose: prefetch", navigation),
			"an object":      {"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: object", "Sec-Fetch-Site: cross-site"},
			"an empty grant": {"Cookie: " + identity.GrantCookie + "="},
			"basic":          {"Authorization: Basic YWRtaW46YWRtaW4="},
			"a bearer":       {"Authorization: Bearer " + strings.Repeat("A", 43)},
			"an X-header":    {"X-Kalpana-User: admin", "X-Forwarded-User: admin", "X-Original-URL: /", "X-Rewrite-URL: /"},
			"a health probe": {"User-Agent: kube-probe/1.29"},
		} {
			for _, method := range []string{"GET", "POST", "OPTIONS", "DELETE", "PROPFIND", "TRACE"} {
				a := s.send(t, method, path, headers...)
				if a.status != http.StatusUnauthorized || a.location() != "" || len(a.header["Set-Cookie"]) > 0 {
					t.Errorf("%s: %s %s: %v", name, what, method, a)
				}
			}
		}
		for _, method := range []string{"POST", "PUT", "DELETE"} {
			if a := s.send(t, method, path, navigation...); a.status != http.StatusUnauthorized {
				t.Errorf("%s: a navigation by %s: %v", name, method, a)
			}
		}
		// No path is an exception.
		for _, target := range []string{
			"/.kalpana/wake", "/.kalpana/progress", "/.kalpana/ready", "/health", "/healthz", "/ping", "/rpc", "/oauth2/callback", "/favicon.ico", "/robots.txt",
			"/.well-known/acme-challenge/x", "/static/out/vs/x.js", "/manifest.json", "/login", "/logout", "/.kalpana/handoff/../" + mark, "/.kalpana/handoff%2f" + mark,
			"/_static/x?skip", "/?allow=1#/.kalpana/handoff", "/;/.kalpana/handoff", "//.kalpana/handoff",
		} {
			if a := s.send(t, "GET", s.at(label)+target+"?"+mark, program...); a.status != http.StatusUnauthorized || a.app() != "" {
				t.Errorf("%s: %s: %v", name, target, a)
			}
		}
		s.unreached(t, mark, name+" without a grant")
	}
}

// attempt is a hand-off that was approved: its code was not used yet.
type attempt struct {
	b        *browser
	label    string
	callback string // address on the workspace host, with the code
	code     string
	nonce    string // "name=value"
}

// begin takes a hand-off up to where the browser would go to the callback.
func (b *browser) begin(t testing.TB, label, path string) *attempt {
	t.Helper()
	first := b.do(t, "GET", b.s.at(label)+path, navigation...)
	nonce := first.cookie(identity.NonceCookie)
	if nonce == nil {
		t.Fatalf("no hand-off began: %v", first)
	}
	second := b.do(t, "GET", first.location(), navigation...)
	a := &attempt{b: b, label: label, callback: second.location(), nonce: nonce.Name + "=" + nonce.Value}
	var ok bool
	if _, a.code, ok = strings.Cut(a.callback, b.s.at(label)+identity.CallbackPath+"?code="); !ok || len(a.code) != 43 {
		t.Fatalf("the console did not approve: %v%s", second, b.s.log())
	}
	return a
}

// complete goes to the callback on a host, with a code and a cookie.
func (s *site) complete(t testing.TB, label, code, cookie string) *answer {
	t.Helper()
	if cookie != "" {
		cookie = "Cookie: " + cookie
	}
	return s.send(t, "GET", s.at(label)+identity.CallbackPath+"?code="+code, with(navigation, cookie)...)
}

func refused(t testing.TB, what string, a *answer) {
	t.Helper()
	if a.status != http.StatusBadRequest || a.cookie(identity.GrantCookie) != nil || a.location() != "" {
		t.Errorf("%s: %v", what, a)
	}
}

func accepted(t testing.TB, what string, a *answer) *http.Cookie {
	t.Helper()
	c := a.cookie(identity.GrantCookie)
	if a.status != http.StatusSeeOther || c == nil {
		t.Fatalf("%s: %v", what, a)
	}
	return c
}

// codes uses codes of the hand-off as they must not be used.
func codes(t *testing.T, s *site) {
	b := s.browser(admin)
	label, other := s.mine, s.sibling

	h := b.begin(t, label, "/some/path?and=query")
	a := s.complete(t, label, h.code, h.nonce)
	c := accepted(t, "in order", a)
	if !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || a.location() != "/some/path?and=query" {
		t.Errorf("in order: %v", a)
	}
	if cleared := a.cookie(identity.NonceCookie); cleared == nil || cleared.MaxAge >= 0 {
		t.Errorf("the nonce stays: %v", a)
	}
	if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("in order: %v", a)
	}
	refused(t, "used twice", s.complete(t, label, h.code, h.nonce))
	// A second tab of the same browser has the grant by then, and goes on.
	if a := s.complete(t, label, h.code, h.nonce+"; "+c.Name+"="+c.Value); a.status != http.StatusSeeOther || a.location() != "/" || a.cookie(identity.GrantCookie) != nil {
		t.Errorf("used twice, with the grant: %v", a)
	}

	h = b.begin(t, label, "/")
	refused(t, "without the nonce", s.complete(t, label, h.code, ""))
	refused(t, "on another host", s.complete(t, other, h.code, h.nonce))
	refused(t, "on a preview of the same workspace", s.complete(t, preview(3000, label), h.code, h.nonce))
	if a := s.send(t, "GET", s.at(label)+identity.CallbackPath+"?code="+h.code, with(program, "Cookie: "+h.nonce)...); a.status != http.StatusBadRequest {
		t.Errorf("by a program: %v", a)
	}
	for _, method := range []string{"POST", "HEAD", "OPTIONS", "PUT"} {
		if a := s.send(t, method, s.at(label)+identity.CallbackPath+"?code="+h.code, with(navigation, "Cookie: "+h.nonce)...); a.status < 400 || len(a.header["Set-Cookie"]) > 0 {
			t.Errorf("by %s: %v", method, a)
		}
	}
	accepted(t, "after all that", s.complete(t, label, h.code, h.nonce))

	h, g := b.begin(t, label, "/"), b.begin(t, other, "/")
	refused(t, "another host's code, this host's nonce", s.complete(t, label, g.code, h.nonce))
	g = b.begin(t, other, "/")
	refused(t, "another host with its nonce, this host's code", s.complete(t, other, h.code, g.nonce))

	first, second := b.begin(t, label, "/1"), s.browser(admin).begin(t, label, "/2")
	refused(t, "another browser's nonce", s.complete(t, label, first.code, second.nonce))
	refused(t, "a code that was tried once with the wrong nonce", s.complete(t, label, first.code, first.nonce))
	accepted(t, "the other browser", s.complete(t, label, second.code, second.nonce))

	h = b.begin(t, label, "/")
	name, value, _ := strings.Cut(h.nonce, "=")
	for what, forged := range map[string]string{
		"no code": "", "a guess": strings.Repeat("A", 43), "one character less": h.code[:42], "one more": h.code + "A", "its hash": identity.Hash(h.code),
		"another case": flip(h.code), "the session": valueOf(s.sessions[admin]), "10,000 characters": strings.Repeat("A", 10_000), "a list": h.code[:20] + "," + h.code,
		"encoded bytes": "%00%ff%0d%0aSet-Cookie:x=y", "SQL": url.QueryEscape("' OR 1=1 --" + strings.Repeat("x", 32)),
	} {
		refused(t, "code: "+what, s.complete(t, label, forged, h.nonce))
	}
	for what, forged := range map[string]string{
		"empty": "", "a word": "evil", "cut": value[:len(value)-1], "with a byte more": value + "A", "another signature": value[:len(value)-2] + "AA",
		"the grant": c.Value, "twice": value + "; " + name + "=" + value[:10], "under another name": "x; kalpana_handoff=" + value,
	} {
		if what == "twice" {
			continue // the first is good: a browser never sends two
		}
		refused(t, "nonce: "+what, s.complete(t, label, h.code, name+"="+forged))
	}
	accepted(t, "after all that", s.complete(t, label, h.code, h.nonce))

	// Two codes in one address: whichever is looked at, the browser's own must be needed.
	h = b.begin(t, label, "/")
	a = s.send(t, "GET", s.at(label)+identity.CallbackPath+"?code="+strings.Repeat("A", 43)+"&code="+h.code, with(navigation, "Cookie: "+h.nonce)...)
	if a.status >= 500 {
		t.Errorf("two codes: %v", a)
	}
}

func valueOf(cookie string) string {
	_, value, _ := strings.Cut(cookie, "=")
	return value
}

// flip changes the case of every letter.
func flip(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return r
	}, s)
}

// lateCode waits out the half minute of a code that was given when the tests began.
func lateCode(t *testing.T, s *site) {
	time.Sleep(time.Until(s.lateSince.Add(identity.HandoffLife + 500*time.Millisecond)))
	refused(t, "late", s.complete(t, s.late.label, s.late.code, s.late.nonce))
}

// consoleEnd asks the console's end of the hand-off for what it must not give.
func consoleEnd(t *testing.T, s *site) {
	cookie := "Cookie: " + s.sessions[admin]
	challenge := strings.Repeat("0", identity.ChallengeLength)
	address := func(label, challenge string) string {
		return s.console + identity.HandoffPath + "?host=" + url.QueryEscape(label) + "&challenge=" + challenge
	}
	if a := s.send(t, "GET", address(s.mine, challenge), with(navigation, cookie)...); a.status != http.StatusSeeOther {
		t.Fatalf("in order: %v", a)
	}
	for what, headers := range map[string][]string{
		"a program":   program,
		"an image":    {"Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image", "Sec-Fetch-Site: same-site"},
		"a fetch":     {"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Sec-Fetch-Site: same-origin"},
		"an object":   {"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: object", "Sec-Fetch-Site: cross-site"},
		"an embed":    {"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: embed", "Sec-Fetch-Site: cross-site"},
		"a worker":    {"Sec-Fetch-Mode: same-origin", "Sec-Fetch-Dest: worker", "Sec-Fetch-Site: same-site"},
		"a WebSocket": {"Sec-Fetch-Mode: websocket", "Sec-Fetch-Dest: websocket", "Connection: Upgrade", "Upgrade: websocket"},
	} {
		if a := s.send(t, "GET", address(s.mine, challenge), with(headers, cookie)...); a.status != http.StatusForbidden || a.location() != "" {
			t.Errorf("%s: %v", what, a)
		}
	}
	for _, method := range []string{"POST", "PUT", "HEAD", "DELETE"} {
		if a := s.send(t, method, address(s.mine, challenge), with(navigation, cookie)...); a.status < 400 || a.location() != "" {
			t.Errorf("%s: %v", method, a)
		}
	}
	for _, short := range []string{"", "0", challenge[1:], challenge + "0"} {
		if a := s.send(t, "GET", address(s.mine, short), with(navigation, cookie)...); a.status < 400 || a.location() != "" {
			t.Errorf("a challenge of %d characters: %v", len(short), a)
		}
	}
	// Without a session it leads to the login, and nowhere else.
	a := s.send(t, "GET", address(s.mine, challenge), navigation...)
	if a.status != http.StatusSeeOther || !strings.HasPrefix(a.location(), "/login?next=%2Fhandoff%3F") {
		t.Errorf("without a session: %v", a)
	}
}
