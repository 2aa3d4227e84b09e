package mcp

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"go.uber.org/goleak"

	"github.com/kalpana-dev/kalpana/agent/tools"
	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/bridge/server"
)

func TestMain(m *testing.M) {
	progressEvery = 50 * time.Millisecond
	goleak.VerifyTestMain(m)
}

var testToken = strings.Repeat("0123456789abcdef", 4)

// startBridge runs a real bridge in this process, and returns how to connect to it and the workspace folder.
func startBridge(t *testing.T) (connect func(context.Context) (*bridge.Client, error), dir string) {
	t.Helper()
	home := t.TempDir()
	run, err := os.MkdirTemp("", "km") // t.TempDir's names are too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(run) })
	dir = filepath.Join(home, "workspace")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s, err := server.New(server.Config{
		WorkspaceID: "abcdefghij", Token: testToken, IDEAddr: "127.0.0.1:0", BridgeAddr: "127.0.0.1:0",
		WorkspaceDir: dir, TemplatesDir: filepath.Join(home, "templates"), LocalSocket: filepath.Join(run, "local.sock"), RunDir: run,
		CodeServer: []string{"/bin/sh", "-c", "exec sleep 1000"},
		Env:        append(os.Environ(), "HOME="+home, "GIT_CONFIG_NOSYSTEM=1"), Stdout: io.Discard,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var mu sync.Mutex
	var client *bridge.Client
	t.Cleanup(func() {
		if client != nil {
			_ = client.Close()
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return func(ctx context.Context) (*bridge.Client, error) {
		mu.Lock()
		defer mu.Unlock()
		if client != nil {
			return client, nil
		}
		var err error
		client, err = bridge.Dial(ctx, s.BridgeAddr(), testToken)
		return client, err
	}, dir
}

// serve serves tools, and returns the address.
func serve(t *testing.T, s *Server, session Session) string {
	t.Helper()
	if session.Begin == nil {
		session.Begin = func(*tools.Tool, tools.Call) (func(), error) { return func() {}, nil }
	}
	if session.Env == nil {
		session.Env = &tools.Env{}
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.Serve(w, r, session) }))
	t.Cleanup(srv.Close)
	return srv.URL
}

// connectTo connects the SDK's client.
func connectTo(t *testing.T, address string, options *sdk.ClientOptions) *sdk.ClientSession {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client := sdk.NewClient(&sdk.Implementation{Name: "test", Version: "1"}, options)
	session, err := client.Connect(t.Context(), &sdk.StreamableClientTransport{Endpoint: address, HTTPClient: &http.Client{Transport: transport}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	return session
}

// text returns the text of a result.
func text(t *testing.T, r *sdk.CallToolResult) string {
	t.Helper()
	var b strings.Builder
	for _, c := range r.Content {
		piece, ok := c.(*sdk.TextContent)
		if !ok {
			t.Fatalf("content %T", c)
		}
		b.WriteString(piece.Text)
	}
	return b.String()
}
