package identity_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/identity"
)

// openRedirects are return paths that lead elsewhere in one browser or another, or did.
var openRedirects = []string{
	"//evil.com", "//evil.com/", "///evil.com", "////evil.com", "//evil.com:80/x", "//user@evil.com", "//[::1]/", "//%65vil.com",
	"/\\evil.com", "\\/evil.com", "\\\\evil.com", "/\\/evil.com", "/\\\\evil.com", "//\\evil.com", "\\evil.com",
	"https://evil.com", "http://evil.com", "https:evil.com", "https:/evil.com", "https:///evil.com", "HTTPS://evil.com", "ftp://evil.com",
	"javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd", "blob:x", "about:blank",
	"evil.com", "evil.com/x", "@evil.com", ".evil.com", ":80", ":@evil.com", "?//evil.com", "#//evil.com", "*", "",
	"/\t/evil.com", "/\n/evil.com", "/\r/evil.com", "/\r\n/evil.com", "\t//evil.com", "\n//evil.com", "\r\n//evil.com", " //evil.com",
	"/x\r\nLocation: https://evil.com", "/x\r\n\r\n<script>alert(1)</script>", "/x\nSet-Cookie: a=b", "/x\rSet-Cookie: a=b", "/\x00/evil.com",
	"/" + strings.Repeat("x", 2048), "/" + strings.Repeat("/evil.com", 10_000), "//" + strings.Repeat("x", 100_000),
	identity.CallbackPath, identity.CallbackPath + "?code=" + strings.Repeat("A", 43), identity.CallbackPath + "/x", identity.CallbackPath + "#",
	"/\u2028/evil.com", "/\u0085/evil.com", "\u3000//evil.com", "\ufeff//evil.com", "\u00a0//evil.com", "／／evil.com", "〱evil.com",
	"/./\\evil.com", "/..\\evil.com", "/%0d%0aLocation:%20https://evil.com", "/%09/evil.com", "/%5cevil.com", "/%2fevil.com", "/..//evil.com",
	"/.//evil.com", "/x/..//evil.com", "/@evil.com", "/:evil.com", "/;//evil.com", "/?next=//evil.com", "/#//evil.com", "/x?y=https://evil.com",
}

func TestHandoff_TheReturnPathNeverLeavesTheHost(t *testing.T) {
	s := newSite(t)
	caller := s.caller(s.person("Asha"))
	origin := s.hosts.Origin(ideA)
	base, err := url.Parse(origin + identity.CallbackPath + "?code=x")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range openRedirects {
		nonce, challenge := begin(t, s.Service, ideA, path)
		if len(nonce.String()) > 4096 {
			t.Errorf("%.60q: a cookie of %d bytes, which browsers drop", path, len(nonce.String()))
		}
		_, _, got, err := s.CompleteHandoff(request(s.approve(caller, ideA, challenge), nonce), ideA)
		if err != nil {
			t.Errorf("%.60q: %v", path, err)
			continue
		}
		if !strings.HasPrefix(got, "/") || strings.HasPrefix(got, "//") || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r == '\\' || r == 0x7f }) {
			t.Errorf("%.60q: goes on to %.60q", path, got)
		}
		if target, err := base.Parse(got); err == nil && target.Scheme+"://"+target.Host != origin {
			t.Errorf("%.60q: leads to %s", path, target)
		}
		if strings.HasPrefix(got, identity.CallbackPath) {
			t.Errorf("%.60q: leads back to the callback", path)
		}
	}
}

func TestHandoff_OrdinaryPathsComeBackAsTheyWere(t *testing.T) {
	s := newSite(t)
	caller := s.caller(s.person("Asha"))
	for _, path := range []string{
		"/", "/?folder=/home/coder/workspace", "/a/b/c.html", "/?a=b&c=%2F%2Fd", "/%E2%82%AC", "/?redirect=https://example.com/", "/a//b", "/.kalpana/other",
		"/.kalpana", "/?x=" + strings.Repeat("y", 2000), "/!$&'()*+,;=:@~-._", "/?q=a b\"c", "/ü",
	} {
		nonce, challenge := begin(t, s.Service, ideA, path)
		_, _, got, err := s.CompleteHandoff(request(s.approve(caller, ideA, challenge), nonce), ideA)
		if err != nil || got != path {
			t.Errorf("%.60q came back as %.60q, %v", path, got, err)
		}
	}
}

func TestCookies_BelongToOneHostAlone(t *testing.T) {
	s := newSite(t)
	asha := s.person("Asha")
	caller := s.caller(asha)
	nonce, challenge := begin(t, s.Service, ideA, "/")
	grant, clearNonce, _, err := s.CompleteHandoff(request(s.approve(caller, ideA, challenge), nonce), ideA)
	if err != nil {
		t.Fatal(err)
	}
	g, err := s.CheckGrant(request("/", grant), ideA)
	if err != nil {
		t.Fatal(err)
	}
	s.advance(2 * time.Hour)
	clearSession, err := s.SignOut(t.Context(), caller.Session)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		cookie *http.Cookie
		maxAge int
	}{
		"session": {s.signIn(asha), 7 * 24 * 3600}, "grant": {grant, 24 * 3600}, "renewed grant": {s.RenewGrant(g), 24 * 3600},
		"nonce": {nonce, 600}, "cleared nonce": {clearNonce, -1}, "cleared session": {clearSession, -1},
	} {
		// What a browser demands of the prefix (RFC 6265bis, 4.1.3.2), and what keeps scripts off.
		cookie := c.cookie
		if !strings.HasPrefix(cookie.Name, "__Host-kalpana_") || !cookie.Secure || cookie.Path != "/" || cookie.Domain != "" ||
			!cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.MaxAge != c.maxAge {
			t.Errorf("%s: %s", name, cookie)
		}
		text := cookie.String()
		for _, attribute := range []string{"; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax"} {
			if !strings.Contains(text, attribute) {
				t.Errorf("%s: %s lacks %s", name, text, attribute)
			}
		}
		if strings.Contains(text, "Domain") || cookie.Valid() != nil {
			t.Errorf("%s: %s, %v", name, text, cookie.Valid())
		}
	}
}
