package caddymodule

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/caddyauth"
	"github.com/gorilla/websocket"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/workspace"
)

// testEngine is the guest module "runtime test": an engine in this process.
type testEngine struct{}

var engineUnderTest *runtimetest.Runtime

func init() { caddy.RegisterModule(testEngine{}) }

func (testEngine) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "kalpana.runtime.test", New: func() caddy.Module { return new(testEngine) }}
}

func (testEngine) Open(RuntimeOptions) (orchestrator.Runtime, error) { return engineUnderTest, nil }

func (*testEngine) UnmarshalCaddyfile(d *caddyfile.Dispenser) error { return noOptions(d) }

// server is a Caddy that runs in this process, with its own authority for certificates.
type server struct {
	*testing.T
	port int
	app  *App
	dir  string // Caddy's storage and, in it, the data directory
	text string // the Caddyfile

	root *x509.CertPool
	jar  http.CookieJar
	http *http.Client // a browser's, as far as cookies and redirects go
}

// run starts Caddy with global options and sites; PORT in them stands for the port.
func run(t *testing.T, options, sites string) *server {
	t.Helper()
	engineUnderTest = runtimetest.New(t)
	dir, first := runtimetest.Dir(t), runtimetest.FreePorts(t, 10)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{T: t, port: l.Addr().(*net.TCPAddr).Port}
	_ = l.Close()
	s.dir = dir
	if !strings.HasPrefix(options, "admin ") {
		options = "admin off\n\t" + options
	}
	s.text = fmt.Sprintf(`{
	persist_config off
	storage file_system %[1]s/caddy
	skip_install_trust
	auto_https disable_redirects
	default_bind 127.0.0.1
	grace_period 1s
	log {
		output discard
	}
	%[2]s
	kalpana {
		console https://kalpana.localhost:PORT
		data_dir %[1]s/data
		ports %[3]d-%[4]d
		runtime test
	}
}
https://kalpana.localhost:PORT {
	tls internal
	kalpana_auth /internal/*
	respond /internal/* "hello {http.auth.user.id} {http.auth.user.role}{http.request.header.Cookie}"
	kalpana_console
}
%[5]s`, dir, options, first, first+9, sites)
	s.text = strings.ReplaceAll(strings.ReplaceAll(s.text, "PORT", fmt.Sprint(s.port)), "DIR", dir)
	t.Cleanup(func() { _ = caddy.Stop() })
	s.load(s.text)
	pem, err := os.ReadFile(filepath.Join(dir, "caddy", "pki", "authorities", "local", "root.crt"))
	if err != nil {
		t.Fatal(err)
	}
	s.root = x509.NewCertPool()
	s.root.AppendCertsFromPEM(pem)
	s.jar, err = cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DialContext: s.dial, TLSClientConfig: &tls.Config{RootCAs: s.root}}
	s.http = &http.Client{Transport: transport, Jar: s.jar, Timeout: 30 * time.Second}
	t.Cleanup(transport.CloseIdleConnections)
	for _, match := range regexp.MustCompile(`(?m)^https://([a-z.]+):`).FindAllStringSubmatch(s.text, -1) {
		s.await(match[1])
	}
	return s
}

// load puts a Caddyfile in force.
func (s *server) load(text string) {
	s.Helper()
	config, err := adapt(s.T, "Caddyfile", caddyfile.Format([]byte(text)))
	if err != nil {
		s.Fatal(err)
	}
	if err := caddy.Load(config, true); err != nil {
		s.Fatal(err)
	}
	app, err := caddy.ActiveContext().AppIfConfigured("kalpana")
	if err != nil {
		s.Fatal(err)
	}
	s.app = app.(*App)
}

// await waits for the certificate of a site, which Caddy gets in the background.
func (s *server) await(name string) {
	s.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		err := s.shake(name)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.Fatalf("%s: %v", name, err)
		}
	}
}

// shake opens a TLS connection.
func (s *server) shake(name string) error {
	s.Helper()
	conn, err := s.dial(s.Context(), "tcp", "")
	if err != nil {
		s.Fatal(err)
	}
	defer conn.Close()
	return tls.Client(conn, &tls.Config{RootCAs: s.root, ServerName: name}).HandshakeContext(s.Context())
}

func (s *server) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", s.port))
}

func (s *server) origin(host string) string { return fmt.Sprintf("https://%s:%d", host, s.port) }

func (s *server) signIn(role identity.Role) identity.Person {
	s.Helper()
	person, err := s.app.instance.identity.AddPerson(s.Context(), "Asha", role)
	if err != nil {
		s.Fatal(err)
	}
	link, _, err := s.app.instance.identity.SignInLink(s.Context(), person)
	if err != nil {
		s.Fatal(err)
	}
	_, secret, _ := strings.Cut(link, "#")
	body, _ := json.Marshal(map[string]string{"token": secret})
	if status, text := s.do("POST", s.origin("kalpana.localhost")+"/api/login/link", body, "Content-Type", "application/json"); status != http.StatusNoContent {
		s.Fatalf("signing in: %d %s", status, text)
	}
	return person
}

func (s *server) do(method, target string, body []byte, headers ...string) (int, string) {
	s.Helper()
	r, err := http.NewRequestWithContext(s.Context(), method, target, bytes.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := s.http.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// open navigates, following redirects.
func (s *server) open(target string) (int, string) {
	s.Helper()
	return s.do("GET", target, nil, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-Site", "none", "Accept", "text/html")
}

// protectedApp is what runs behind a protected site: it tells what it was told.
func protectedApp(t *testing.T) string {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/echo" {
			upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
			ws, err := upgrader.Upgrade(w, r, nil)
			if err != nil {
				return
			}
			defer ws.Close()
			for {
				kind, message, err := ws.ReadMessage()
				if err != nil || ws.WriteMessage(kind, message) != nil {
					return
				}
			}
		}
		_ = json.NewEncoder(w).Encode(r.Header)
	}))
	t.Cleanup(func() {
		app.CloseClientConnections()
		app.Close()
	})
	return strings.TrimPrefix(app.URL, "http://")
}

func TestAuth_ProtectsAnotherSite(t *testing.T) {
	upstream := protectedApp(t)
	s := run(t, "", `
https://grafana.localhost:PORT {
	tls internal
	kalpana_auth
	reverse_proxy `+upstream+` {
		header_up Remote-User {http.auth.user.id}
		header_up Remote-Name {http.auth.user.name}
		header_up Remote-Email {http.auth.user.email}
		header_up Remote-Groups {http.auth.user.role}
	}
}
https://tools.localhost:PORT {
	tls internal
	kalpana_auth /admin/* {
		role admin
	}
	reverse_proxy `+upstream+`
}
`)
	grafana, tools := s.origin("grafana.localhost"), s.origin("tools.localhost")

	if status, _ := s.do("GET", grafana+"/api", nil); status != http.StatusUnauthorized {
		t.Errorf("a program without a grant: %d", status)
	}
	person := s.signIn(identity.RoleMember)
	status, text := s.open(grafana + "/d/1")
	var told http.Header
	if err := json.Unmarshal([]byte(text), &told); err != nil || status != http.StatusOK {
		t.Fatalf("%d %s", status, text)
	}
	if told.Get("Remote-User") != person.ID || told.Get("Remote-Name") != "Asha" || told.Get("Remote-Email") != "" || told.Get("Remote-Groups") != "member" {
		t.Errorf("the app was told %v", told)
	}
	if strings.Contains(text, "kalpana") && told.Get("Cookie") != "" {
		t.Errorf("the app got %s", told.Get("Cookie"))
	}

	// The open part of a site, where everybody may claim to be anybody.
	_, text = s.do("GET", tools+"/", nil, "Remote-User", "root", "X_Kalpana_Role", "root", "X-Forwarded-User", "root", "Cookie", "a=b")
	if strings.Contains(text, "root") || strings.Contains(text, "kalpana") {
		t.Errorf("the app was told %s", text)
	}
	if status, text := s.open(tools + "/admin/x"); status != http.StatusForbidden || !strings.Contains(text, "administrators") {
		t.Errorf("a member in the administrators' part: %d %s", status, text)
	}

	// A WebSocket through Caddy's own proxy ends with the session.
	dialer := websocket.Dialer{NetDialContext: s.dial, TLSClientConfig: &tls.Config{RootCAs: s.root}, Jar: s.jar}
	connect := func(origin string) (*websocket.Conn, int) {
		ws, resp, err := dialer.DialContext(t.Context(), "wss"+strings.TrimPrefix(grafana, "https")+"/echo", http.Header{"Origin": {origin}})
		if err != nil && resp == nil {
			t.Fatal(err)
		}
		return ws, resp.StatusCode
	}
	if _, status := connect(tools); status != http.StatusForbidden {
		t.Errorf("a WebSocket of another site: %d", status)
	}
	ws, status := connect(grafana)
	if status != http.StatusSwitchingProtocols {
		t.Fatalf("no WebSocket: %d", status)
	}
	defer ws.Close()
	if status, text := s.do("POST", s.origin("kalpana.localhost")+"/api/logout", nil); status != http.StatusNoContent {
		t.Fatalf("signing out: %d %s", status, text)
	}
	_ = ws.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, _, err := ws.ReadMessage(); err == nil || os.IsTimeout(err) {
		t.Errorf("the WebSocket outlives the session: %v", err)
	}
	if status, _ := s.do("GET", grafana+"/api", nil); status != http.StatusUnauthorized {
		t.Errorf("after signing out: %d", status)
	}
}

func TestAuth_ProtectsFurtherPathsOfTheConsole(t *testing.T) {
	s := run(t, "", "")
	internal := s.origin("kalpana.localhost") + "/internal/x"
	if status, _ := s.do("GET", internal, nil); status != http.StatusUnauthorized {
		t.Errorf("a program that is not signed in: %d", status)
	}
	s.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if status, _ := s.open(internal); status != http.StatusSeeOther {
		t.Errorf("a person who is not signed in: %d", status)
	}
	person := s.signIn(identity.RoleMember)
	if status, text := s.do("GET", internal, nil); status != http.StatusOK || text != "hello "+person.ID+" member" {
		t.Errorf("%d %q", status, text)
	}
	for _, method := range []string{"POST", "GET"} {
		if status, _ := s.do(method, internal, nil, "Sec-Fetch-Site", "same-site"); status != http.StatusForbidden {
			t.Errorf("%s from a workspace's page: %d", method, status)
		}
	}
}

// kalpana_test_provider is what JSON calls the handler authentication with the provider kalpana.
func init() {
	httpcaddyfile.RegisterHandlerDirective("kalpana_test_provider", func(httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		return caddyauth.Authentication{ProvidersRaw: caddy.ModuleMap{"kalpana": json.RawMessage("{}")}}, nil
	})
}

func TestAuthenticator_KnowsWhoIsSignedIn(t *testing.T) {
	const route = "\n\troute /who {\n\t\tkalpana_test_provider\n\t\trespond \"{http.auth.user.id} {http.auth.user.name} {http.auth.user.role}\"\n\t}\n"
	s := run(t, "", "https://tools.localhost:PORT {\n\ttls internal\n\tkalpana_auth /in"+route+"}\n")
	s.load(strings.Replace(s.text, "\n\tkalpana_console\n", route+"\tkalpana_console\n", 1))
	site, console := s.origin("tools.localhost")+"/who", s.origin("kalpana.localhost")+"/who"
	asks := func(what string, want int, text string, method string, headers ...string) {
		t.Helper()
		for _, address := range []string{site, console} {
			if status, got := s.do(method, address, nil, headers...); status != want || got != text {
				t.Errorf("%s at %s: %d %q", what, address, status, got)
			}
		}
	}
	asks("nobody", 401, "", "GET")
	person := s.signIn(identity.RoleAdmin)
	s.open(s.origin("tools.localhost") + "/in")
	known := person.ID + " Asha admin"
	asks("who is signed in", 200, known, "GET")
	asks("their own page", 200, known, "POST", "Sec-Fetch-Site", "same-origin")
	asks("another site's page", 401, "", "POST", "Sec-Fetch-Site", "same-site")
	asks("a script on another site's page", 401, "", "GET", "Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "script")
	if status, text := s.do("POST", s.origin("kalpana.localhost")+"/api/logout", nil); status != http.StatusNoContent {
		t.Fatalf("signing out: %d %s", status, text)
	}
	asks("who has signed out", 401, "", "GET")
}

func TestConsole_NoRouteTakesAnUnsafeRequestFromElsewhere(t *testing.T) {
	s := run(t, "", "")
	s.signIn(identity.RoleMember)
	for _, path := range []string{"/", "/login", "/handoff", "/api/logout", "/assets/x"} {
		if status, _ := s.do("POST", s.origin("kalpana.localhost")+path, nil, "Sec-Fetch-Site", "same-site"); status != http.StatusForbidden {
			t.Errorf("%s: %d", path, status)
		}
	}
}

func TestAuth_ASiteWithoutAnExactNameIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ site, want string }{
		"a wildcard":         {"https://*.apps.localhost:PORT {\n\ttls internal\n\tkalpana_auth\n}\n", "without wildcards"},
		"no name":            {"https://:PORT {\n\ttls internal\n\tkalpana_auth\n}\n", "has no host name"},
		"a workspace's":      {"https://abcdefghij.ws.kalpana.localhost:PORT {\n\ttls internal\n\tkalpana_auth\n}\n", "beside the console and the workspaces"},
		"a plain address":    {"https://*.apps.localhost:PORT {\n\ttls internal\n\tkalpana_auth {\n\t\taddress one.apps.localhost\n\t}\n}\n", "write it like https://grafana.example.com"},
		"another scheme":     {"https://*.apps.localhost:PORT {\n\ttls internal\n\tkalpana_auth {\n\t\taddress http://one.apps.localhost\n\t}\n}\n", "its scheme must be the console's"},
		"a wildcard address": {"https://*.apps.localhost:PORT {\n\ttls internal\n\tkalpana_auth {\n\t\taddress https://*.apps.localhost\n\t}\n}\n", "without wildcards"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := runtimetest.Dir(t) // Caddy may still write in it
			text := "{\n\tadmin off\n\tpersist_config off\n\tstorage file_system " + dir + "\n\tskip_install_trust\n\tlog {\n\t\toutput discard\n\t}\n\tkalpana {\n\t\tconsole https://kalpana.localhost:9443\n\t\tdata_dir " + dir + "/data\n\t\truntime test\n\t}\n}\n" + strings.ReplaceAll(c.site, "PORT", "9443")
			config, err := adapt(t, "Caddyfile", []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			if err := caddy.Load(config, true); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			_ = caddy.Stop()
		})
	}
}

func TestPermission_CertificatesAreForHostsThatExist(t *testing.T) {
	s := run(t, "on_demand_tls {\n\t\tpermission kalpana\n\t}", `
https://*.ws.kalpana.localhost:PORT {
	tls internal {
		on_demand
	}
	kalpana_workspace
}
`)
	record, err := s.app.instance.orchestrator.Create(t.Context(), orchestrator.NewWorkspace{Owner: "somebody", Name: "x", Template: "blank"})
	if err != nil {
		t.Fatal(err)
	}
	id, domain := string(record.ID), ".ws.kalpana.localhost"
	for _, name := range []string{id + domain, "3000-" + id + domain, strings.ToUpper(id) + domain, "kalpana.localhost"} {
		if err := s.shake(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{string(workspace.NewID()) + domain, "3000-" + string(workspace.NewID()) + domain, "short" + domain, "8080-" + id + domain, "x." + id + domain, "evil.example"} {
		if err := s.shake(name); err == nil {
			t.Errorf("%s has a certificate", name)
		}
	}
}
