package caddymodule

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/kalpana-dev/kalpana/api"
	"github.com/kalpana-dev/kalpana/gateway"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/store/sqlite"
	"github.com/kalpana-dev/kalpana/web"
	"github.com/kalpana-dev/kalpana/workspace"
)

// servingApp is an app that has started, with an engine in this process.
func servingApp(t *testing.T, console string) *App {
	t.Helper()
	hosts, err := workspace.NewHosts(console, "")
	if err != nil {
		t.Fatal(err)
	}
	store, err := sqlite.Open(t.Context(), filepath.Join(runtimetest.Dir(t), "kalpana.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	key := identity.NewKey()
	service := identity.New(identity.Config{Store: store, Hosts: hosts, Key: key})
	if err := service.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	orch := orchestrator.New(orchestrator.Config{
		Store: store, Runtime: runtimetest.New(t), Hosts: hosts, Token: key.BridgeToken, Image: "image", Templates: []orchestrator.Template{{Name: "blank"}},
	})
	t.Cleanup(orch.Close)
	app := &App{hosts: hosts, started: make(chan struct{}), stopping: make(chan struct{})}
	app.gateway = gateway.New(gateway.Config{Hosts: hosts, Identity: service, Orchestrator: orch, Stopping: app.stopping})
	app.api = api.New(api.Config{Hosts: hosts, Identity: service, Orchestrator: orch, Links: true, Stopping: app.stopping})
	close(app.started)
	return app
}

func wantHeaders(t *testing.T, what string, w *httptest.ResponseRecorder, https bool, want map[string]string) {
	t.Helper()
	want["X-Content-Type-Options"], want["Referrer-Policy"] = "nosniff", "no-referrer"
	want["Cross-Origin-Opener-Policy"], want["Cross-Origin-Resource-Policy"] = "same-origin", "same-origin"
	want["Content-Security-Policy"] = "default-src "
	if https {
		want["Strict-Transport-Security"] = "max-age=31536000"
	} else if got := w.Header().Get("Strict-Transport-Security"); got != "" {
		t.Errorf("%s: over http: Strict-Transport-Security %q", what, got)
	}
	for name, value := range want {
		if got := w.Header()[name]; len(got) != 1 || !strings.Contains(got[0], value) {
			t.Errorf("%s: %d with %s %q, want %q", what, w.Code, name, got, value)
		}
	}
	if !strings.Contains(w.Header().Get("Permissions-Policy"), "camera=()") {
		t.Errorf("%s: %d with Permissions-Policy %q", what, w.Code, w.Header().Get("Permissions-Policy"))
	}
}

var consoles = []string{"http://kalpana.localhost:8080", "https://kalpana.example.com"}

func TestHeaders_EveryAnswerOfTheConsoleIsProtected(t *testing.T) {
	for _, console := range consoles {
		app := servingApp(t, console)
		ui := &UIHandler{app: app, pages: web.Handler()}
		next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error { return ui.ServeHTTP(w, r, nil) })
		handler := &APIHandler{app: app}

		targets := map[string][]string{}
		add := func(path string, methods ...string) { targets[path] = append(targets[path], methods...) }
		for _, path := range []string{
			"/", "/login", "/login/link", "/login/github/callback?code=x&state=y", "/invite", "/settings", "/w/abcdefghij", "/nothing/here", "/favicon.svg", "/assets/none.js", "/index.html",
			"/api", "/api/", "/api/nothing", "/api/openapi.json", "/api/openapi.yaml", "/api/events", "/robots.txt", "//", "/..%2f", "/%00",
			"/handoff", "/handoff?host=abcdefghij&challenge=" + identity.Hash("nonce"), "/handoff?host=evil.example",
		} {
			add(path, "GET", "HEAD", "POST", "PUT", "OPTIONS", "TRACE")
		}
		text, err := app.api.OpenAPI()
		if err != nil {
			t.Fatal(err)
		}
		var description struct {
			Paths map[string]map[string]json.RawMessage `json:"paths"`
		}
		if err := json.Unmarshal(text, &description); err != nil || len(description.Paths) < 8 {
			t.Fatal(err, len(description.Paths))
		}
		for path, operations := range description.Paths {
			for method := range operations {
				add(path, strings.ToUpper(method))
			}
		}
		for target, methods := range targets {
			for _, method := range methods {
				for _, site := range []string{"", "same-origin", "cross-site"} {
					r := httptest.NewRequest(method, console+strings.NewReplacer("{", "", "}", "").Replace(target), nil)
					r.Header.Set("Sec-Fetch-Dest", "document")
					if site != "" {
						r.Header.Set("Sec-Fetch-Site", site)
					}
					w := httptest.NewRecorder()
					if err := handler.ServeHTTP(w, r, next); err != nil { // Caddy answers, with these headers
						var status caddyhttp.HandlerError
						if !errors.As(err, &status) || status.StatusCode != http.StatusForbidden {
							t.Errorf("%s %s (%s): %v", method, target, site, err)
						}
					}
					wantHeaders(t, method+" "+console+target+" "+site, w, strings.HasPrefix(console, "https"), map[string]string{
						"X-Frame-Options": "DENY",
					})
					if policy := w.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "frame-ancestors 'none'") || !strings.Contains(policy, "object-src 'none'") {
						t.Errorf("%s %s: %s", method, target, policy)
					}
				}
			}
		}
	}
}

func TestHeaders_AnErrorOfCaddysIsProtected(t *testing.T) {
	app := servingApp(t, consoles[1])
	for name, handler := range map[string]caddyhttp.MiddlewareHandler{"API": &APIHandler{app: app}, "pages": &UIHandler{app: app, pages: web.Handler()}} {
		w := httptest.NewRecorder()
		if err := handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "https://elsewhere.example/", nil), nil); err == nil {
			t.Errorf("%s: another host is served", name)
		}
		wantHeaders(t, name, w, true, map[string]string{"X-Frame-Options": "DENY"})
	}
}

func TestHeaders_EveryAnswerOfTheGatewaysOwnIsProtected(t *testing.T) {
	for _, console := range consoles {
		app := servingApp(t, console)
		workspaces := strings.Replace(console, "://", "://abcdefghij.ws.", 1)
		preview := strings.Replace(console, "://", "://3000-abcdefghij.ws.", 1)
		for _, target := range []string{
			workspaces + "/", workspaces + "/.kalpana/handoff?code=x", workspaces + "/.kalpana/wake", workspaces + "/.kalpana/progress", workspaces + "/.kalpana/none",
			workspaces + "/a/b?c", preview + "/", preview + "/.kalpana/handoff",
		} {
			for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS"} {
				for _, dest := range []string{"document", "iframe", "empty", ""} {
					r := httptest.NewRequest(method, target, nil)
					if dest != "" {
						r.Header.Set("Sec-Fetch-Dest", dest)
						r.Header.Set("Sec-Fetch-Mode", map[bool]string{true: "cors", false: "navigate"}[dest == "empty"])
					}
					w := httptest.NewRecorder()
					if err := (&WorkspaceHandler{app: app}).ServeHTTP(w, r, nil); err != nil {
						t.Fatal(err)
					}
					wantHeaders(t, method+" "+target+" as "+dest, w, strings.HasPrefix(console, "https"), map[string]string{"Cache-Control": "no-store"})
				}
			}
		}
	}
}
