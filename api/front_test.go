package api_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/kalpana-dev/kalpana/api"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

// protecting makes the given sites known.
func (s *site) protecting(names ...string) {
	s.t.Helper()
	s.Handler = api.New(api.Config{
		Hosts: s.hosts, Identity: s.identity, Orchestrator: s.orchestrator, Links: true,
		Site: func(host string) (workspace.Host, bool) {
			for _, name := range names {
				if name == host {
					site, err := s.hosts.ParseSite(name)
					return site, err == nil
				}
			}
			return workspace.Host{}, false
		},
	})
}

func TestHandoff_OfAProtectedSiteIsForEverybodyWhoIsSignedIn(t *testing.T) {
	s := newSite(t)
	s.protecting("grafana.localhost:8080")
	asha := s.signIn("Asha")
	host, err := s.hosts.ParseSite("grafana.localhost:8080")
	if err != nil {
		t.Fatal(err)
	}
	w := asha.handoff("GET", handoffPath(host.Label(), identity.Hash("nonce")))
	if location := w.Header().Get("Location"); w.Code != http.StatusSeeOther || !strings.HasPrefix(location, "http://grafana.localhost:8080/.kalpana/handoff?code=") {
		t.Fatalf("%d to %q", w.Code, location)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Cookie", asha.grant(host))
	if g, err := s.identity.CheckGrant(r, host); err != nil || g.Claims.Name != "Asha" {
		t.Errorf("%+v, %v", g, err)
	}
	w = s.stranger().handoff("GET", handoffPath(host.Label(), identity.Hash("nonce")))
	u, err := url.Parse(w.Header().Get("Location"))
	if err != nil || u.Path != "/login" || !strings.Contains(u.Query().Get("next"), url.QueryEscape(host.Label())) {
		t.Errorf("%d to %q, %v", w.Code, u, err)
	}
}

func TestHandoff_OtherSitesGetNoCode(t *testing.T) {
	s := newSite(t)
	s.protecting("grafana.localhost:8080", "Upper.localhost:8080", "kalpana.localhost:8080")
	asha := s.signIn("Asha")
	for _, label := range []string{
		"@evil_example", "@grafana_localhost", "@grafana_localhost:80", "@grafana_localhost:9090", "@grafana_localhost:8080_evil_example", "@x_grafana_localhost:8080",
		"grafana_localhost:8080", "grafana.localhost:8080", "@grafana.localhost:8080", "@Grafana_localhost:8080", "@upper_localhost:8080", "@Upper_localhost:8080",
		"@kalpana_localhost:8080", "@", "@@", "@/evil", "@a@grafana_localhost:8080", "@grafana_localhost:08080", "https://grafana.localhost:8080",
	} {
		if w := asha.handoff("GET", handoffPath(label, identity.Hash("nonce"))); w.Code != http.StatusNotFound || w.Header().Get("Location") != "" {
			t.Errorf("%s: %d to %q", label, w.Code, w.Header().Get("Location"))
		}
	}
}

func TestGuard_HoldsOnEveryRouteOfTheConsole(t *testing.T) {
	hosts, err := workspace.NewHosts(console, "")
	if err != nil {
		t.Fatal(err)
	}
	guard := func(method string, pairs ...string) error {
		r := httptest.NewRequest(method, console+"/any", nil)
		for i := 0; i < len(pairs); i += 2 {
			r.Header[pairs[i]] = append(r.Header[pairs[i]], pairs[i+1])
		}
		return api.Guard(r, hosts)
	}
	sibling := "http://abcdefghij.ws.kalpana.localhost:8080"
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "PROPFIND", "TRACE"} {
		for name, pairs := range map[string][]string{
			"same-site": {"Sec-Fetch-Site", "same-site"}, "cross-site": {"Sec-Fetch-Site", "cross-site", "Origin", console},
			"a sibling": {"Origin", sibling}, "null": {"Origin", "null"}, "another scheme": {"Origin", "https://kalpana.localhost:8080"},
			"a sibling that says it is none": {"Origin", sibling, "Sec-Fetch-Site", "none"}, "two": {"Origin", console, "Origin", console},
		} {
			if err := guard(method, pairs...); !errors.Is(err, api.ErrCrossOrigin) {
				t.Errorf("%s %s: %v", method, name, err)
			}
		}
		for name, pairs := range map[string][]string{
			"own page": {"Sec-Fetch-Site", "same-origin", "Origin", console}, "older browser": {"Origin", console}, "program": {},
		} {
			if err := guard(method, pairs...); err != nil {
				t.Errorf("%s %s: %v", method, name, err)
			}
		}
	}
	for _, method := range []string{"GET", "HEAD", "OPTIONS"} { // a link from elsewhere opens the console
		if err := guard(method, "Sec-Fetch-Site", "cross-site"); err != nil {
			t.Errorf("%s: %v", method, err)
		}
	}
	for name, origin := range map[string][]string{
		"none": nil, "null": {"null"}, "sibling": {sibling}, "prefix": {console + "0"}, "another scheme": {"https://kalpana.localhost:8080"}, "two": {console, console},
	} {
		pairs := []string{"Upgrade", "websocket", "Connection", "Upgrade", "Sec-Fetch-Site", "same-origin"}
		for _, o := range origin {
			pairs = append(pairs, "Origin", o)
		}
		if err := guard("GET", pairs...); !errors.Is(err, api.ErrCrossOrigin) {
			t.Errorf("a WebSocket with origin %s: %v", name, err)
		}
	}
	if err := guard("GET", "Upgrade", "websocket", "Origin", console); err != nil {
		t.Errorf("a WebSocket of the console: %v", err)
	}
}
