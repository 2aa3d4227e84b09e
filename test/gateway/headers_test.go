package gateway

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/identity"
)

// spellings returns a header's name as servers on the way might fold it to the same one.
func spellings(name string) []string {
	all := []string{name, strings.ToLower(name), strings.ToUpper(name)}
	for _, sep := range []string{"_", ".", "~", "!", "'", "*", "+", "`", "|", "^", "#", "$", "%", "&"} {
		all = append(all, strings.ReplaceAll(name, "-", sep), strings.Replace(strings.ToLower(name), "-", sep, 1))
	}
	return all
}

// identityHeaders are what only the gateway may say.
var identityHeaders = []string{
	bridge.TokenHeader, bridge.PortHeader, "X-Kalpana-User", "X-Kalpana-Person", "X-Kalpana-Role", "X-Kalpana-Anything", "X-Kalpana",
	"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-User",
	"X-Forwarded-Email", "X-Forwarded-Groups", "X-Forwarded-Server", "X-Forwarded-Uri", "Forwarded", "X-Real-Ip",
}

// identityHeadersStay sends identity headers in every spelling, to VS Code and to a preview.
func identityHeadersStay(t *testing.T, s *site) {
	b := s.browser(admin)
	for _, label := range []string{s.mine, preview(3000, s.mine)} {
		grant := "Cookie: " + b.grant(t, label)
		for _, name := range identityHeaders {
			mark := marker()
			var lines []string
			for _, spelling := range spellings(name) {
				lines = append(lines, spelling+": "+mark+"evil", spelling+":"+mark+"evil") // each twice
			}
			lines = append(lines, "Connection: "+name+", close", "X-Stays: "+mark)
			a := s.send(t, "GET", s.at(label)+"/"+mark, with(grant, lines)...)
			if a.status != http.StatusOK {
				t.Errorf("%s: %v", name, a)
				continue
			}
			got := s.reached(t, s.mine, mark)
			if len(got) != 1 {
				t.Fatalf("%s: %d requests reached the app", name, len(got))
			}
			if bytes.Contains(got[0].Raw, []byte(mark+"evil")) {
				t.Errorf("%s got through:\n%s", name, got[0].Raw)
			}
			s.saysOurs(t, got[0], label)
		}
	}
}

// saysOurs checks that a request carries exactly what the gateway says, once each.
func (s *site) saysOurs(t *testing.T, r record, label string) {
	t.Helper()
	h := r.header(t)
	want := http.Header{
		"X-Forwarded-Host":  {s.host(label)},
		"X-Forwarded-Proto": {s.scheme},
		"X-Forwarded-For":   h["X-Forwarded-For"],
		bridge.TokenHeader:  h[bridge.TokenHeader],
	}
	if port, _, ok := strings.Cut(label, "-"); ok {
		want[bridge.PortHeader] = []string{port}
	}
	for name, values := range h {
		if foldedOurs(name) && !slices.Equal(values, want[name]) {
			t.Errorf("the app got %s %q, want %q", name, values, want[name])
		}
	}
	if ip := s.address(t); ip != nil && h.Get("X-Forwarded-For") != ip.String() {
		t.Errorf("X-Forwarded-For is %q, not the client's %s", h["X-Forwarded-For"], ip)
	}
	if len(h["X-Forwarded-For"]) != 1 || len(h[bridge.TokenHeader]) != 1 || len(h.Get(bridge.TokenHeader)) != 64 {
		t.Errorf("the gateway's own headers: %v", h)
	}
}

// foldedOurs reports whether a server that folds names could take this one for one of ours.
func foldedOurs(name string) bool {
	folded := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(name))
	return strings.HasPrefix(folded, "x-kalpana") || strings.HasPrefix(folded, "x-forwarded") || folded == "forwarded" || folded == "x-real-ip"
}

// oddHeadersStay sends what no client library would: folded lines, trailers, colons after spaces.
func oddHeadersStay(t *testing.T, s *site) {
	label := s.mine
	grant := "Cookie: " + s.browser(admin).grant(t, label)
	for name, lines := range map[string]string{
		"a trailer":        "Transfer-Encoding: chunked\r\nTrailer: X-Kalpana-User, X-Kalpana-Token, X-Kalpana-Port\r\n\r\n1\r\na\r\n0\r\nX-Kalpana-User: evil\r\nX-Kalpana-Token: evil\r\nX-Kalpana-Port: 22\r\n\r\n",
		"a folded line":    "X-Other: a\r\n X-Kalpana-User: evil\r\n\r\n",
		"a folded value":   "X-Kalpana-User:\r\n evil\r\n\r\n",
		"a space before :": "X-Kalpana-User : evil\r\n\r\n",
		"a tab before :":   "X-Kalpana-User\t: evil\r\n\r\n",
		"a bare LF":        "X-Other: a\nX-Kalpana-User: evil\r\n\r\n",
		"a bare CR":        "X-Other: a\rX-Kalpana-User: evil\r\n\r\n",
		"NUL":              "X-Kalpana-User\x00: evil\r\n\r\n",
		"no name":          ": X-Kalpana-User: evil\r\n\r\n",
		"no value":         "X-Kalpana-User:\r\nX_Kalpana_User:\r\n\r\n",
		"after Connection": "Connection: X-Forwarded-Host, X-Kalpana-Token, X-Kalpana-Port\r\n\r\n",
		"digits":           "X-Kalpana-User2: evil\r\nX-Kalpana2: evil\r\n\r\n",
		"an early end":     "X-Kalpana-User: evil",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mark := marker()
			s.exchange(t, s.host(label), "POST /"+mark+" HTTP/1.1\r\nHost: "+s.host(label)+"\r\nOrigin: "+s.at(label)+"\r\n"+grant+"\r\n"+lines)
			for _, r := range s.reached(t, s.mine, mark) {
				s.saysOurs(t, r, label)
			}
		})
	}
}

// cookiesStay sends our cookies among an app's own.
func cookiesStay(t *testing.T, s *site) {
	b := s.browser(admin)
	for _, label := range []string{s.mine, preview(3000, s.mine)} {
		grant := b.grant(t, label)
		session := s.sessions[admin]
		for given, want := range map[string]string{
			grant:                                      "",
			"a=1; " + grant + `; b="x y"; c`:           `a=1; b="x y"; c`,
			grant + "; " + session + "; a=1":           "a=1",
			session + ";" + grant + ";a=1;" + grant:    "a=1",
			"a=1;\t" + grant + "\t; b=2":               "a=1; b=2",
			grant + "; " + identity.NonceCookie + "=n": "",
			grant + "; __Host-kalpana_new=x; a=1":      "a=1",
			"__Host-app=1; " + grant:                   "__Host-app=1",
			"__host-kalpana_grant=app; " + grant:       "__host-kalpana_grant=app",
			"kalpana_grant=app; " + grant:              "kalpana_grant=app",
		} {
			mark := marker()
			a := s.send(t, "GET", s.at(label)+"/"+mark, "Cookie: "+given)
			if a.status != http.StatusOK {
				t.Errorf("%q: %v", given, a)
				continue
			}
			got := s.reached(t, s.mine, mark)
			if len(got) != 1 || strings.ReplaceAll(got[0].header(t).Get("Cookie"), ";\t", "; ") != want && !sameCookies(got[0].header(t).Get("Cookie"), want) {
				t.Errorf("%q arrives as %q, want %q", given, got[0].header(t)["Cookie"], want)
			}
		}
		mark := marker()
		s.send(t, "GET", s.at(label)+"/"+mark, "Cookie: a=1", "Cookie: "+grant, "cookie: b=2", "COOKIE: "+session, "Authorization: Bearer of the app")
		got := s.reached(t, s.mine, mark)
		if len(got) != 1 {
			t.Fatalf("%d requests reached the app", len(got))
		}
		h := got[0].header(t)
		if joined := strings.Join(h["Cookie"], "; "); joined != "a=1; b=2" || h.Get("Authorization") != "Bearer of the app" {
			t.Errorf("several Cookie headers arrive as %q, Authorization as %q", joined, h["Authorization"])
		}
	}
}

// sameCookies compares what a server makes of two Cookie headers.
func sameCookies(a, b string) bool {
	fields := func(s string) []string {
		return strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune("; \t", r) })
	}
	return slices.Equal(fields(a), fields(b))
}

// answersCannotSetOurs lets an app answer with cookies of our names.
func answersCannotSetOurs(t *testing.T, s *site) {
	b := s.browser(admin)
	for _, label := range []string{s.mine, preview(3000, s.mine)} {
		grant := "Cookie: " + b.grant(t, label)
		answer := func(raw string) *answer {
			return s.send(t, "GET", s.at(label)+"/__app/answer?bytes="+base64.RawURLEncoding.EncodeToString([]byte(raw)), grant)
		}
		evil := []string{
			"__Host-kalpana_grant=evil; Path=/; Secure", "__Host-kalpana_session=evil", "__Host-kalpana_handoff=evil",
			"  __Host-kalpana_grant=evil", "\t__Host-kalpana_grant=evil", "=__Host-kalpana_grant=evil; Secure", " = __Host-kalpana_grant=evil",
			"==__Host-kalpana_grant=evil", "__Host-kalpana_grant", "__Host-kalpana_anything=evil",
		}
		for _, status := range []string{"200 OK", "103 Early Hints"} {
			raw := "HTTP/1.1 " + status + "\r\nX-App: app\r\n"
			for _, cookie := range evil {
				raw += "Set-Cookie: " + cookie + "\r\nset-cookie:" + cookie + "\r\n"
			}
			raw += "Set-Cookie: app=1; Path=/\r\nSet-Cookie: __Host-app=2; Path=/; Secure\r\n"
			if status == "103 Early Hints" {
				raw += "\r\nHTTP/1.1 200 OK\r\nSet-Cookie: app=1; Path=/\r\nSet-Cookie: __Host-app=2; Path=/; Secure\r\n"
			}
			a := answer(raw + "Content-Length: 0\r\n\r\n")
			if got := a.header["Set-Cookie"]; !slices.Equal(got, []string{"app=1; Path=/", "__Host-app=2; Path=/; Secure"}) {
				t.Errorf("%s: %s sets %q", label, status, got)
			}
			if got := a.early["Set-Cookie"]; got != nil {
				t.Errorf("%s: an early answer sets %q", label, got)
			}
		}
	}
}

// answersCannotClear lets an app answer with what would clear cookies of the whole domain.
func answersCannotClear(t *testing.T, s *site) {
	grant := "Cookie: " + s.browser(admin).grant(t, s.mine)
	for given, want := range map[string]string{`"cookies"`: "", `"*"`: "", `"cache", "cookies"`: "", `"cache"`: `"cache"`} {
		raw := "HTTP/1.1 200 OK\r\nClear-Site-Data: " + given + "\r\nContent-Length: 0\r\n\r\n"
		a := s.send(t, "GET", s.at(s.mine)+"/__app/answer?bytes="+base64.RawURLEncoding.EncodeToString([]byte(raw)), grant)
		if got := a.header.Get("Clear-Site-Data"); a.status != http.StatusOK || got != want {
			t.Errorf("%s passes as %q: %v", given, got, a)
		}
	}
}

// addressesPass sends addresses that nothing on the way may change.
func addressesPass(t *testing.T, s *site) {
	b := s.browser(admin)
	for _, label := range []string{s.mine, preview(3000, s.mine)} {
		grant := "Cookie: " + b.grant(t, label)
		for _, target := range []string{
			"/a%2fb/..%2fc", "/%41", "/a;b=c?d;e=f&g=%ZZ&h", "/x?", "/a//b/./c/../d", "//double", "/%2e%2e/x", "/%C3%BC", "/?q=a+b%20c;d",
			"/..%2f..%2fetc", "/%252e%252e/", "/%00", "/a%0d%0ab", "/?a=b?c=d#", "/" + url.PathEscape("ü/ä"), "/@evil.com", "/http://evil.com/", "/x:80",
			"/?code=" + strings.Repeat("A", 43), "/x?host=" + s.mine + "&challenge=" + strings.Repeat("0", 64),
		} {
			mark := marker()
			query := "?"
			if strings.Contains(target, "?") {
				query = "&"
			}
			target, _, _ = strings.Cut(target, "#")
			target += query + mark
			a := s.send(t, "GET", s.at(label)+target, grant)
			if a.status != http.StatusOK || a.body != target {
				t.Errorf("%s: %v", target, a)
			}
			got := s.reached(t, s.mine, mark)
			if want := fmt.Sprintf("GET %s HTTP/1.1", target); len(got) != 1 || got[0].line() != want {
				t.Errorf("%s arrives as %v", target, got)
			}
		}
	}
}

// nothingOfOurs looks at all that any test has sent through.
func nothingOfOurs(t *testing.T, s *site) {
	all := 0
	for id := range s.watchers {
		for _, r := range s.reached(t, id, "") {
			all++
			switch head, _, _ := bytes.Cut(r.Raw, []byte("\r\n\r\n")); {
			case r.Refused:
				t.Errorf("a request came to the container without its token:\n%.2000q", r.Raw)
			case bytes.Contains(head, []byte("\nCookie: __Host-kalpana_")), bytes.Contains(head, []byte("; __Host-kalpana_")):
				t.Errorf("a cookie of ours:\n%.2000q", r.Raw)
			case strings.HasPrefix(r.line(), "GET "+identity.CallbackPath):
				t.Errorf("a step of the hand-off:\n%.2000q", r.Raw)
			case bytes.Count(bytes.ToLower(head), []byte("x-kalpana-token")) != 1:
				t.Errorf("the workspace's token is there more than once:\n%.2000q", r.Raw)
			}
			for secret := range s.secrets {
				if len(secret) > 20 && bytes.Contains(r.Raw, []byte(secret)) {
					t.Errorf("the value of a cookie of ours:\n%.2000q", r.Raw)
				}
			}
		}
	}
	if all < 100 {
		t.Errorf("only %d requests reached an app: the suite did not do its work", all)
	}
	t.Logf("%d requests reached an app", all)
}
