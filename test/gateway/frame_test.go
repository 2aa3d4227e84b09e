package gateway

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/kalpana-dev/kalpana/identity"
)

// frame is the navigation of a frame.
var frame = []string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe", "Sec-Fetch-Site: cross-site", "Accept: text/html"}

// vouchPath is where VS Code's host gives the code of a hand-off in the console's place.
const vouchPath = "/.kalpana/vouch"

// frames opens workspaces in frames: of the console, and previews in one of VS Code.
func frames(t *testing.T, s *site) {
	first := s.send(t, "GET", s.at(s.mine)+"/x?y", frame...)
	nonce := first.cookie(identity.NonceCookie)
	if nonce == nil || !strings.HasPrefix(first.location(), s.console+identity.HandoffPath+"?") {
		t.Fatalf("a frame without a grant: %v", first)
	}
	// Where the console is another site, a frame's cookies are of no use but in partitions.
	apart := nonce.Partitioned
	if s.own != nil && apart != (s.name == forms[1].name) {
		t.Errorf("in %s: %q", s.name, first.header["Set-Cookie"])
	}
	check := func(what string, c *http.Cookie) {
		t.Helper()
		site := http.SameSiteLaxMode
		if apart {
			site = http.SameSiteNoneMode
		}
		if c == nil || c.Partitioned != apart || c.SameSite != site || !c.Secure || !c.HttpOnly || c.Domain != "" || c.Path != "/" {
			t.Fatalf("%s: %v", what, c)
		}
	}
	check("the nonce", nonce)
	approved := s.send(t, "GET", first.location(), with(frame, "Cookie: "+s.sessions[admin])...)
	_, code, ok := strings.Cut(approved.location(), s.at(s.mine)+identity.CallbackPath+"?code=")
	if !ok {
		t.Fatalf("the console does not approve in a frame: %v", approved)
	}
	back := s.send(t, "GET", approved.location(), with(frame, "Cookie: "+nonce.Name+"="+nonce.Value)...)
	grant := back.cookie(identity.GrantCookie)
	check("the grant", grant)
	if back.location() != "/x?y" {
		t.Errorf("back to %q", back.location())
	}
	refused(t, "the code again", s.complete(t, s.mine, code, nonce.Name+"="+nonce.Value))
	cookie := "Cookie: " + grant.Name + "=" + grant.Value
	if a := s.send(t, "GET", s.at(s.mine)+"/", with(frame, cookie)...); a.status != http.StatusOK {
		t.Errorf("VS Code in a frame: %v", a)
	}
	for _, label := range []string{s.sibling, preview(3000, s.mine), s.theirs} {
		if a := s.send(t, "GET", s.at(label)+"/", with(program, cookie)...); a.status != http.StatusUnauthorized {
			t.Errorf("the grant of a frame at %s: %v", label, a)
		}
	}
	vouches(t, s, apart, cookie)
}

// vouches asks VS Code's host for codes. grant is the Cookie header with a grant of it.
func vouches(t *testing.T, s *site, apart bool, grant string) {
	label := preview(3000, s.mine)
	first := s.send(t, "GET", s.at(label)+"/", frame...)
	nonce := first.cookie(identity.NonceCookie)
	u, err := url.Parse(first.location())
	if err != nil || nonce == nil {
		t.Fatalf("a preview in a frame: %v", first)
	}
	address := func(host string) string {
		return s.at(s.mine) + vouchPath + "?" + url.Values{"host": {host}, "challenge": u.Query()["challenge"]}.Encode()
	}
	nothing := func(what string, a *answer) {
		t.Helper()
		if a.status < 400 || a.status >= 500 || a.location() != "" || len(a.header["Set-Cookie"]) > 0 {
			t.Errorf("%s: %v", what, a)
		}
	}
	if !apart {
		nothing("on one site", s.send(t, "GET", address(label), with(frame, grant)...))
		return
	}
	if first.location() != address(label) && u.Scheme+"://"+u.Host+u.Path != s.at(s.mine)+vouchPath {
		t.Errorf("a preview in a frame is sent to %s", first.location())
	}
	for what, headers := range map[string][]string{"a tab": navigation, "a program": program, "a subresource": subresource, "an object": {"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: object"}, "a prefetch": with(frame, "Sec-Purpose: prefetch")} {
		nothing(what, s.send(t, "GET", address(label), with(headers, grant)...))
	}
	nothing("a POST", s.sendBody(t, "POST", address(label), "x", with(frame, grant, "Origin: "+s.at(s.mine))...))
	for _, host := range []string{preview(3000, s.sibling), preview(3000, s.theirs), preview(3000, unknown), s.mine, s.sibling, "8080-" + s.mine, "x", "", "evil.com/" + label} {
		nothing("for "+host, s.send(t, "GET", address(host), with(frame, grant)...))
	}
	nothing("with a short challenge", s.send(t, "GET", address(label)[:len(address(label))-40], with(frame, grant)...))
	if a := s.send(t, "GET", address(label), frame...); a.status != http.StatusSeeOther || !strings.HasPrefix(a.location(), s.console+identity.HandoffPath+"?") {
		t.Errorf("without a grant: %v", a)
	}
	if a := s.send(t, "GET", address(label), with(frame, "Cookie: "+s.browser(member).grant(t, s.theirs))...); !strings.HasPrefix(a.location(), s.console+identity.HandoffPath+"?") {
		t.Errorf("with another's grant: %v", a)
	}
	vouched := func() string {
		t.Helper()
		a := s.send(t, "GET", address(label), with(frame, grant)...)
		_, code, ok := strings.Cut(a.location(), s.at(label)+identity.CallbackPath+"?code=")
		if !ok {
			t.Fatalf("in order: %v", a)
		}
		return code
	}
	cookie := nonce.Name + "=" + nonce.Value
	code := vouched()
	refused(t, "without the nonce", s.complete(t, label, code, ""))
	refused(t, "on another host", s.complete(t, preview(3000, s.sibling), code, cookie))
	accepted(t, "in order", s.complete(t, label, code, cookie))
	refused(t, "again", s.complete(t, label, code, cookie))
}

// framing looks at who may frame what.
func framing(t *testing.T, s *site) {
	b := s.browser(admin)
	grant := "Cookie: " + b.grant(t, s.mine)
	raw := "HTTP/1.1 200 OK\r\nX-Frame-Options: ALLOWALL\r\nContent-Security-Policy: frame-ancestors *\r\nContent-Length: 0\r\n\r\n"
	only := "frame-ancestors 'self' " + s.console
	for what, a := range map[string]*answer{
		"VS Code":                s.send(t, "GET", s.at(s.mine)+"/", grant),
		"VS Code that allows it": s.send(t, "GET", s.at(s.mine)+"/__app/answer?bytes="+base64.RawURLEncoding.EncodeToString([]byte(raw)), grant),
	} {
		if !slices.Contains(a.header["Content-Security-Policy"], only) || a.header.Get("X-Frame-Options") != "" {
			t.Errorf("%s: %v", what, a)
		}
	}
	// No answer takes back that the host is reached over TLS alone, or says so of others.
	for _, early := range []string{"", "HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n"} {
		raw := early + "HTTP/1.1 200 OK\r\nStrict-Transport-Security: max-age=0; includeSubDomains\r\nContent-Length: 0\r\n\r\n"
		a := s.send(t, "GET", s.at(s.mine)+"/__app/answer?bytes="+base64.RawURLEncoding.EncodeToString([]byte(raw)), grant)
		if got := a.header["Strict-Transport-Security"]; s.scheme == "https" && (len(got) != 1 || got[0] != "max-age=31536000") || a.status != http.StatusOK {
			t.Errorf("an app's own policy, early answer %v: %v", early != "", a)
		}
	}
	if a := s.complete(t, s.mine, strings.Repeat("A", 43), ""); !strings.HasSuffix(a.header.Get("Content-Security-Policy"), only) {
		t.Errorf("the gateway's own page: %v", a)
	}
	for _, path := range []string{"/", "/workspaces", "/login", "/api/me", "/handoff", "/handoff?host=" + unknown + "&challenge=" + strings.Repeat("0", 64), "/none"} {
		a := b.do(t, "GET", s.console+path, navigation...)
		if !strings.Contains(a.header.Get("Content-Security-Policy"), "frame-ancestors 'none'") || a.header.Get("X-Frame-Options") != "DENY" || a.header.Get("Cross-Origin-Opener-Policy") == "" {
			t.Errorf("the console's %s: %v", path, a)
		}
	}
}
