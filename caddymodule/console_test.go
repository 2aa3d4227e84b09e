package caddymodule

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/kalpana-dev/kalpana/api"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/store/sqlite"
	"github.com/kalpana-dev/kalpana/workspace"
)

// consoleApp is an app that has started, without what a console's handlers do not ask for.
func consoleApp(t *testing.T) *App {
	t.Helper()
	hosts, err := workspace.NewHosts("https://kalpana.example.com", "")
	if err != nil {
		t.Fatal(err)
	}
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "kalpana.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	login := &GitHubLogin{ClientID: "id", ClientSecret: "secret"}
	providers, err := provideLogins([]Login{login}, identity.Access{})
	if err != nil {
		t.Fatal(err)
	}
	app := &App{hosts: hosts, started: make(chan struct{})}
	app.api = api.New(api.Config{
		Hosts: hosts, Orchestrator: new(orchestrator.Orchestrator),
		Identity: identity.New(identity.Config{Store: store, Hosts: hosts, Key: identity.NewKey(), Providers: providers}),
	})
	close(app.started)
	return app
}

func TestAPIHandler_ServesTheWayBackFromProviders(t *testing.T) {
	m := &APIHandler{app: consoleApp(t)}
	const elsewhere = http.StatusTeapot
	next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(elsewhere)
		return nil
	})
	for path, want := range map[string]int{
		"/login/github/callback?code=x&state=y": http.StatusSeeOther,
		"/login/nowhere/callback":               http.StatusSeeOther,
		"/login":                                elsewhere,
		"/login/link":                           elsewhere,
		"/login/callback":                       elsewhere,
		"/login//callback":                      elsewhere,
		"/login/a/b/callback":                   elsewhere,
		"/login/github/callback/":               elsewhere,
		"/LOGIN/github/callback":                elsewhere,
	} {
		w := httptest.NewRecorder()
		if err := m.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "https://kalpana.example.com"+path, nil), next); err != nil || w.Code != want {
			t.Errorf("%s: %d, %v; want %d", path, w.Code, err, want)
		}
		if want == http.StatusSeeOther && (w.Header().Get("X-Frame-Options") != "DENY" || w.Header().Get("Cache-Control") != "no-store") {
			t.Errorf("%s: %v", path, w.Header())
		}
	}
	var refused caddyhttp.HandlerError
	err := m.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "https://abcdefghij.ws.kalpana.example.com/login/github/callback", nil), next)
	if !errors.As(err, &refused) || refused.StatusCode != http.StatusNotFound {
		t.Errorf("on a workspace's host: %v", err)
	}
}

func TestInstance_ChangesWithWhatItsSecretsAre(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	key := func(secret string) string {
		t.Helper()
		if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
		a := &App{LoginsRaw: []json.RawMessage{json.RawMessage(`{"method":"github","client_id":"id","client_secret":"{file.` + file + `}"}`)}}
		key, err := a.instanceKey()
		if err != nil || strings.Contains(key, secret) {
			t.Errorf("%s: %v", key, err)
		}
		return key
	}
	before := key("first-secret")
	if key("first-secret") != before {
		t.Error("a reload that changes nothing makes another instance")
	}
	if key("second-secret") == before {
		t.Error("a reload after the secret was changed goes on with the old one")
	}
}

// Clients of the Model Context Protocol that are refused look for OAuth, and must not take a page for an answer.
func TestMCPHandler_ServesItsOwnAddressesOnly(t *testing.T) {
	m := &MCPHandler{app: consoleApp(t)}
	const elsewhere = http.StatusTeapot
	next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(elsewhere)
		return nil
	})
	for path, want := range map[string]int{
		"/mcp/abcdefghij": http.StatusUnauthorized,
		"/mcp/":           http.StatusUnauthorized,
		"/mcp":            elsewhere,
		"/mcpx":           elsewhere,
		"/":               elsewhere,
		"/api/me":         elsewhere,
		"/.well-known/oauth-protected-resource/mcp/abcdefghij": http.StatusNotFound,
		"/.well-known/oauth-authorization-server":              http.StatusNotFound,
		"/.well-known/openid-configuration":                    http.StatusNotFound,
		"/.well-known/acme-challenge/x":                        elsewhere,
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "https://kalpana.example.com"+path, strings.NewReader("{}"))
		if err := m.ServeHTTP(w, r, next); err != nil {
			t.Errorf("%s: %v", path, err)
		} else if w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
	r := httptest.NewRequest(http.MethodPost, "https://evil.example/mcp/abcdefghij", strings.NewReader("{}"))
	var status caddyhttp.HandlerError
	if err := m.ServeHTTP(httptest.NewRecorder(), r, next); !errors.As(err, &status) || status.StatusCode != http.StatusNotFound {
		t.Errorf("on another host: %v", err)
	}
}
