package api_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/kalpana-dev/kalpana/api"
	"github.com/kalpana-dev/kalpana/workspace"
)

func serve(b *browser, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	return w
}

// Workspaces are siblings of the console: same-site to a browser, so that it sends the session's
// cookie with whatever their pages request.
func TestAPI_RefusesWhatABrowserMarksAsForeign(t *testing.T) {
	s := newSite(t)
	asha := s.signIn("Asha")
	id := asha.create("x").ID
	sibling := "http://" + id + ".ws.kalpana.localhost:8080"
	type headers map[string]string
	for name, given := range map[string]headers{
		"same-site":                       {"Sec-Fetch-Site": "same-site"},
		"cross-site":                      {"Sec-Fetch-Site": "cross-site"},
		"an unknown site":                 {"Sec-Fetch-Site": "same-planet"},
		"same-site that says our origin":  {"Sec-Fetch-Site": "same-site", "Origin": console},
		"same-site, no-cors":              {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
		"a sibling workspace":             {"Origin": sibling},
		"a sibling that says it is none":  {"Origin": sibling, "Sec-Fetch-Site": "none"},
		"a preview":                       {"Origin": "http://3000-" + id + ".ws.kalpana.localhost:8080"},
		"a stranger":                      {"Origin": "https://evil.com"},
		"null":                            {"Origin": "null"},
		"empty":                           {"Origin": ""},
		"our host by another scheme":      {"Origin": "https://kalpana.localhost:8080"},
		"our host on another port":        {"Origin": "http://kalpana.localhost:8081"},
		"our host without a port":         {"Origin": "http://kalpana.localhost"},
		"our host with a slash":           {"Origin": console + "/"},
		"our host in other letters":       {"Origin": strings.ToUpper(console)},
		"a host that begins like ours":    {"Origin": console + ".evil.com"},
		"a host that ends like ours":      {"Origin": "http://evilkalpana.localhost:8080"},
		"a user that looks like our host": {"Origin": "http://kalpana.localhost:8080@evil.com"},
	} {
		b := asha
		for header, value := range given {
			b = b.with(header, value)
		}
		for _, try := range []struct {
			method, path string
			body         any
		}{
			{"GET", "/api/me", nil},
			{"GET", "/api/workspaces", nil},
			{"GET", "/api/events", nil},
			{"GET", "/api/openapi.json", nil},
			{"HEAD", "/api/me", nil},
			{"POST", "/api/workspaces", map[string]any{"name": "forged", "template": "blank"}},
			{"POST", "/api/logout", nil},
			{"POST", "/api/workspaces/" + id + "/start", nil},
			{"PATCH", "/api/workspaces/" + id, map[string]any{"name": "forged"}},
			{"DELETE", "/api/workspaces/" + id, nil},
			{"OPTIONS", "/api/workspaces", nil},
			{"GET", "/api/nowhere", nil},
		} {
			w := b.do(try.method, try.path, try.body)
			if w.Code != http.StatusForbidden {
				t.Errorf("%s: %s %s: %d", name, try.method, try.path, w.Code)
			}
			for header := range w.Header() {
				if strings.HasPrefix(header, "Access-Control-") {
					t.Errorf("%s: %s", name, header)
				}
			}
		}
	}
	twice := asha.with("Origin", console).with("Origin", sibling)
	twice.must(403, "GET", "/api/me", nil)
	if w := decode[api.Workspace](t, asha.must(200, "GET", "/api/workspaces/"+id, nil)); w.Name != "x" || w.State != "stopped" {
		t.Errorf("afterwards: %+v", w)
	}
}

func TestAPI_AnswersItsOwnPagesPeopleAndPrograms(t *testing.T) {
	asha := newSite(t).signIn("Asha")
	for name, b := range map[string]*browser{
		"a page of the console":             asha.with("Sec-Fetch-Site", "same-origin").with("Origin", console),
		"its GET":                           asha.with("Sec-Fetch-Site", "same-origin"),
		"a person who typed the address":    asha.with("Sec-Fetch-Site", "none"),
		"an older browser":                  asha.with("Origin", console),
		"a program":                         asha,
		"a console behind a forwarded port": asha.with("Sec-Fetch-Site", "same-origin").with("Origin", "http://kalpana.localhost:9090"),
	} {
		t.Log(name)
		b.must(200, "GET", "/api/me", nil)
		b.must(422, "POST", "/api/workspaces", map[string]any{})
	}
}

func TestProtect_ClosesTheConsoleToOtherPages(t *testing.T) {
	hosts, err := workspace.NewHosts(console, "")
	if err != nil {
		t.Fatal(err)
	}
	header := http.Header{"X-Frame-Options": {"SAMEORIGIN"}}
	api.Protect(hosts, header)
	for name, want := range map[string]string{
		"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Referrer-Policy": "no-referrer",
		"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
	} {
		if got := header.Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	policy := map[string]string{}
	for directive := range strings.SplitSeq(header.Get("Content-Security-Policy"), ";") {
		name, sources, _ := strings.Cut(strings.TrimSpace(directive), " ")
		policy[name] = sources
	}
	for name, want := range map[string]string{
		"default-src": "'self'", "frame-ancestors": "'none'", "object-src": "'none'", "base-uri": "'none'", "form-action": "'self'",
		// 'self' for the hand-off, which a frame passes on its way.
		"frame-src": "'self' http://*.ws.kalpana.localhost:8080",
	} {
		if policy[name] != want {
			t.Errorf("%s %q, want %q", name, policy[name], want)
		}
	}
	for _, name := range []string{"script-src", "connect-src"} { // default-src is the strictest there is
		if got, ok := policy[name]; ok {
			t.Errorf("%s %q", name, got)
		}
	}
}
