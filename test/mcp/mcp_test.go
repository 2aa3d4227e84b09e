// Package mcp_test has the published npm client of the Model Context Protocol work in a workspace with a real bridge.
package mcp_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kalpana-dev/kalpana/agent/mcp"
	"github.com/kalpana-dev/kalpana/agent/tools"
	"github.com/kalpana-dev/kalpana/bridge/bridgetest"
	"github.com/kalpana-dev/kalpana/test/harness"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// workspace serves the tools of a workspace to whoever has the token "good".
func workspace(t *testing.T) (address, folder string) {
	t.Helper()
	w := bridgetest.Start(t, "abcdefghij")
	served := mcp.NewServer(tools.All(), "1", nil)
	session := mcp.Session{
		Env: &tools.Env{
			Workspace: "abcdefghij", Seen: new(tools.Seen), Bridge: w.Connect,
		},
		Begin: func(*tools.Tool, tools.Call) (func(), error) { return func() {}, nil },
	}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer good":
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			http.Error(w, "make a token", http.StatusUnauthorized)
		case r.Method != http.MethodPost:
			http.Error(w, "POST only", http.StatusMethodNotAllowed)
		default:
			served.Serve(w, r, session)
		}
	}))
	t.Cleanup(web.Close)
	return web.URL, w.Dir
}

type answer struct {
	Error bool
	Text  string
}

type report struct {
	Server string
	Tools  []struct {
		Name  string
		Reads bool
	}
	Wrote, Read, Outside, Ran answer
	Slow                      struct {
		Text     string
		Progress int
	}
	Fault string
}

func runClient(t *testing.T, address, token string) (r report) {
	t.Helper()
	dir, err := harness.Packages(t.Context(), "mcp")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("client.mjs")
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(dir, "client.mjs") // beside its packages
	if err := os.WriteFile(script, program, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", script, address, token)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return r
}

func TestMCP_ThePublishedClientWorksInAWorkspace(t *testing.T) {
	address, folder := workspace(t)
	r := runClient(t, address, "good")
	if r.Fault != "" || r.Server != "kalpana" || len(r.Tools) != len(tools.All()) {
		t.Fatalf("%+v", r)
	}
	for _, tool := range r.Tools {
		if tool.Reads != (tool.Name == "readFile" || tool.Name == "listFiles" || tool.Name == "glob" || tool.Name == "searchCode" || tool.Name == "commandOutput") {
			t.Errorf("%s: reads %v", tool.Name, tool.Reads)
		}
	}
	if r.Wrote.Error || r.Read.Error || !strings.Contains(r.Read.Text, "hello") {
		t.Errorf("%+v, %+v", r.Wrote, r.Read)
	}
	if got, err := os.ReadFile(filepath.Join(folder, "a.txt")); err != nil || string(got) != "hello\n" {
		t.Errorf("%q, %v", got, err)
	}
	if !r.Outside.Error || strings.Contains(r.Outside.Text, "root:") {
		t.Errorf("%+v", r.Outside)
	}
	if !strings.Contains(r.Ran.Text, "hello") || !strings.Contains(r.Ran.Text, "3") {
		t.Errorf("%+v", r.Ran)
	}
	// a call that takes longer than the client waits for a sign of life
	if !strings.Contains(r.Slow.Text, "late") || r.Slow.Progress == 0 {
		t.Errorf("%+v", r.Slow)
	}
}

func TestMCP_ThePublishedClientSaysThatItsTokenIsNoGood(t *testing.T) {
	address, _ := workspace(t)
	if r := runClient(t, address, "bad"); !strings.Contains(r.Fault, "make a token") && !strings.Contains(r.Fault, "401") {
		t.Errorf("%+v", r)
	}
}
