package api_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/kalpana-dev/kalpana/agent/mcp"
	"github.com/kalpana-dev/kalpana/agent/tools"
	"github.com/kalpana-dev/kalpana/api"
	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/bridge/bridgetest"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/workspace"
)

// toolSite is a site that serves the tools of its workspaces, each of which has a real bridge in this process.
type toolSite struct {
	*site
	web *httptest.Server

	mu      sync.Mutex
	asked   []workspace.ID // who was connected to
	folders map[workspace.ID]string
	clients map[workspace.ID]*bridge.Client
}

func newToolSite(t *testing.T) *toolSite {
	t.Helper()
	s := &toolSite{site: newSite(t), folders: map[workspace.ID]string{}, clients: map[workspace.ID]*bridge.Client{}}
	s.Handler = api.New(api.Config{
		Hosts: s.hosts, Identity: s.identity, Orchestrator: s.orchestrator, Stopping: s.stopping,
		Templates: []api.Template{{Name: "blank", Title: "Blank", Ports: []int{}}},
		MCP:       api.MCPConfig{Server: mcp.NewServer(tools.All(), "1", nil), Bridge: s.bridge},
	})
	s.web = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Host = "kalpana.localhost:8080"
		s.MCP(w, r)
	}))
	t.Cleanup(s.web.Close)
	return s
}

// bridge is what connects to a workspace in the gateway: it wakes it, and dials.
func (s *toolSite) bridge(ctx context.Context, id workspace.ID) (*bridge.Client, error) {
	if s.orchestrator.Route(id) == nil {
		if err := s.orchestrator.Wake(id).AwaitRoute(ctx); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, id)
	if c := s.clients[id]; c != nil {
		return c, nil
	}
	return nil, errors.New("no bridge")
}

// run starts the bridge of a workspace.
func (s *toolSite) run(t *testing.T, id string) (folder string) {
	t.Helper()
	w := bridgetest.Start(t, id)
	client, err := w.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[workspace.ID(id)], s.folders[workspace.ID(id)] = client, w.Dir
	return w.Dir
}

// token makes a token of a person's.
func (b *browser) token(scopes ...string) api.CreatedToken {
	b.t.Helper()
	return decode[api.CreatedToken](b.t, b.must(201, "POST", "/api/tokens", map[string]any{"name": "mcp", "scopes": scopes}))
}

// withToken is an HTTP client that sends a token.
type withToken struct {
	*http.Transport
	token string
}

func (c *withToken) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+c.token)
	return c.Transport.RoundTrip(r)
}

func (s *toolSite) client(t *testing.T, id, token string) (*sdk.ClientSession, error) {
	t.Helper()
	transport := &withToken{&http.Transport{}, token}
	t.Cleanup(transport.CloseIdleConnections)
	session, err := sdk.NewClient(&sdk.Implementation{Name: "test", Version: "1"}, nil).
		Connect(t.Context(), &sdk.StreamableClientTransport{Endpoint: s.web.URL + "/mcp/" + id, HTTPClient: &http.Client{Transport: transport}, MaxRetries: -1}, nil)
	if err == nil {
		t.Cleanup(func() { _ = session.Close() })
	}
	return session, err
}

func toolText(r *sdk.CallToolResult) string {
	var b strings.Builder
	for _, c := range r.Content {
		if c, ok := c.(*sdk.TextContent); ok {
			b.WriteString(c.Text)
		}
	}
	return b.String()
}

func TestMCP_AProgramWithATokenWorksInAWorkspace(t *testing.T) {
	s := newToolSite(t)
	asha := s.signIn("Asha")
	id := asha.create("one").ID
	folder := s.run(t, id)
	other := asha.create("two").ID
	s.run(t, other)
	client, err := s.client(t, id, asha.token("agent").Secret)
	if err != nil {
		t.Fatal(err)
	}
	if list, err := client.ListTools(t.Context(), nil); err != nil || len(list.Tools) != len(tools.All()) {
		t.Fatalf("%v, %v", list, err)
	}
	if s.orchestrator.State(workspace.ID(id)) == workspace.StateRunning {
		t.Error("listing the tools woke the workspace")
	}
	call := func(name string, args map[string]any) *sdk.CallToolResult {
		t.Helper()
		r, err := client.CallTool(t.Context(), &sdk.CallToolParams{Name: name, Arguments: args})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := call("writeFile", map[string]any{"path": "a.txt", "content": "hello\n"}); r.IsError {
		t.Fatal(toolText(r))
	}
	if got, err := os.ReadFile(filepath.Join(folder, "a.txt")); err != nil || string(got) != "hello\n" {
		t.Fatalf("%q, %v", got, err)
	}
	asha.await(id, "running")
	asha.must(204, "PUT", "/api/git-identity", api.GitIdentity{Email: "asha@example.com"})
	if r := call("runCommand", map[string]any{"command": "cat a.txt; echo by $GIT_AUTHOR_EMAIL"}); r.IsError || !strings.Contains(toolText(r), "hello\nby asha@example.com") {
		t.Error(toolText(r))
	}
	// what was read is remembered between requests
	if r := call("editFile", map[string]any{"path": "a.txt", "edits": []any{map[string]any{"old": "hello", "new": "there"}}}); r.IsError {
		t.Error(toolText(r))
	}
	if r := call("readFile", map[string]any{"path": "../../etc/passwd"}); !r.IsError {
		t.Error(toolText(r))
	}
	for _, asked := range s.asked {
		if asked != workspace.ID(id) {
			t.Errorf("%s was connected to", asked)
		}
	}
	var told []string
	for _, e := range s.admin().audit("?workspace=" + id) {
		if e.Address == "" || e.Person != asha.caller().Person.ID {
			t.Errorf("the audit log says %+v", e)
		}
		told = append(told, e.Action+" "+e.Detail)
	}
	if diff := cmp.Diff([]string{"create one", "agent-run mcp: writeFile", "start mcp", "agent-run mcp: runCommand", "agent-run mcp: editFile"}, told); diff != "" {
		t.Error(diff)
	}
}

func TestMCP_IsForATokenOfItsScopeAndTheirOwnWorkspace(t *testing.T) {
	s := newToolSite(t)
	asha, ravi := s.signIn("Asha"), s.signIn("Ravi")
	mine, his := asha.create("mine").ID, ravi.create("his").ID
	token := asha.token("agent").Secret
	const call = `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
	ask := func(change func(r *http.Request)) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, console+"/mcp/"+mine, strings.NewReader(call))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept", "application/json, text/event-stream")
		r.Header.Set("Authorization", "Bearer "+token)
		change(r)
		w := httptest.NewRecorder()
		s.MCP(w, r)
		return w
	}
	if w := ask(func(*http.Request) {}); w.Code != 200 || !strings.Contains(w.Body.String(), "readFile") {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	for name, test := range map[string]struct {
		change func(r *http.Request)
		status int
	}{
		"no token":        {func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		"a session":       {func(r *http.Request) { r.Header.Del("Authorization"); r.Header.Set("Cookie", asha.cookie) }, 401},
		"a made-up token": {func(r *http.Request) { r.Header.Set("Authorization", "Bearer kalpana_"+strings.Repeat("x", 43)) }, 401},
		"another scope": {func(r *http.Request) {
			r.Header.Set("Authorization", "Bearer "+asha.token("workspaces:read", "workspaces:write", "workspaces:open").Secret)
		}, 403},
		"somebody else's": {func(r *http.Request) { r.URL.Path = "/mcp/" + his }, 404},
		"no workspace":    {func(r *http.Request) { r.URL.Path = "/mcp/aaaaaaaaaa" }, 404},
		"no id":           {func(r *http.Request) { r.URL.Path = "/mcp/" }, 404},
		"a longer path":   {func(r *http.Request) { r.URL.Path = "/mcp/" + mine + "/x" }, 404},
		"following":       {func(r *http.Request) { r.Method = "GET" }, 405},
		"another site":    {func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, 403},
		"a workspace's page": {func(r *http.Request) {
			r.Header.Set("Origin", "http://"+mine+".ws.kalpana.localhost:8080")
			r.Header.Set("Sec-Fetch-Site", "same-site")
		}, 403},
		"a browser's other tab": {func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
		"a long body":           {func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(strings.Repeat(" ", mcp.MaxRequest+1))) }, 413},
	} {
		w := ask(test.change)
		if w.Code != test.status {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
			continue
		}
		problemOf(t, w)
		if challenge := w.Header().Get("WWW-Authenticate"); (w.Code == 401) != strings.Contains(challenge, "scope agent") || strings.Contains(challenge, "resource_metadata") {
			t.Errorf("%s: WWW-Authenticate %q", name, challenge)
		}
	}
}

// A token's right is looked up at each call, and one that is revoked ends the calls under way.
func TestMCP_ATokenThatIsRevokedDoesNothingMore(t *testing.T) {
	s := newToolSite(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { s.identity.Run(ctx); close(done) }()
	defer func() { cancel(); <-done }()
	asha := s.signIn("Asha")
	id := asha.create("one").ID
	folder := s.run(t, id)
	token := asha.token("agent")
	client, err := s.client(t, id, token.Secret)
	if err != nil {
		t.Fatal(err)
	}
	result := make(chan *sdk.CallToolResult, 1)
	go func() {
		r, _ := client.CallTool(ctx, &sdk.CallToolParams{Name: "runCommand", Arguments: map[string]any{"command": "touch started; sleep 100; touch ended"}})
		result <- r
	}()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(folder, "started")); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the command does not start")
		}
	}
	asha.await(id, "running") // the bridge answers before
	if a := s.orchestrator.Awake(must(s.store.Workspace(ctx, workspace.ID(id)))); a.Reason != orchestrator.ActivityAgent || !a.SleepsAt.IsZero() {
		t.Errorf("while it works the workspace is %+v", a)
	}
	asha.must(204, "DELETE", "/api/tokens/"+token.ID, nil)
	select {
	case r := <-result:
		if r != nil && !r.IsError {
			t.Errorf("%s", toolText(r))
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the call goes on")
	}
	if r, err := client.CallTool(ctx, &sdk.CallToolParams{Name: "readFile", Arguments: map[string]any{"path": "started"}}); err == nil {
		t.Errorf("a revoked token reads: %s", toolText(r))
	}
	if _, err := os.Stat(filepath.Join(folder, "ended")); err == nil {
		t.Error("the command went on")
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestMCP_WithoutAnAgentThereIsNone(t *testing.T) {
	s := newSite(t)
	asha := s.signIn("Asha")
	id := asha.create("one").ID
	r := httptest.NewRequest(http.MethodPost, console+"/mcp/"+id, strings.NewReader(`{}`))
	r.Header.Set("Authorization", "Bearer "+asha.token(string(identity.ScopeAgent)).Secret)
	w := httptest.NewRecorder()
	s.MCP(w, r)
	if w.Code != 404 {
		t.Errorf("%d", w.Code)
	}
	problemOf(t, w)
}
