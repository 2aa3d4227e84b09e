// Package bridgetest runs the bridge of a workspace in a test's own process, on a folder of the test's. VS Code is
// played by a program that waits.
package bridgetest

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/bridge/server"
)

// Token is what every bridge here asks for.
var Token = strings.Repeat("0123456789abcdef", 4)

// Workspace is one whose bridge runs until the test ends.
type Workspace struct {
	Dir  string // the workspace folder
	Addr string // of the bridge, host:port

	t      testing.TB
	mu     sync.Mutex
	client *bridge.Client
	dials  int
}

// Start starts the bridge of a workspace with an empty folder.
func Start(t testing.TB, id string) *Workspace {
	t.Helper()
	home := t.TempDir()
	run, err := os.MkdirTemp("", "kb") // t.TempDir's names are too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(run) })
	w := &Workspace{t: t, Dir: filepath.Join(home, "workspace")}
	if err := os.Mkdir(w.Dir, 0o755); err != nil { //nolint:gosec // as in an image
		t.Fatal(err)
	}
	s, err := server.New(server.Config{
		WorkspaceID: id, Token: Token, IDEAddr: "127.0.0.1:0", BridgeAddr: "127.0.0.1:0",
		WorkspaceDir: w.Dir, TemplatesDir: filepath.Join(home, "templates"), LocalSocket: filepath.Join(run, "local.sock"), RunDir: run,
		CodeServer: []string{"/bin/sh", "-c", "exec sleep 1000"},
		Env:        append(os.Environ(), "HOME="+home, "GIT_CONFIG_NOSYSTEM=1"), Stdout: io.Discard,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Addr = s.BridgeAddr()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		w.Cut()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return w
}

// Connect is as the gateway's pool: one connection, dialled again when it has ended.
func (w *Workspace) Connect(ctx context.Context) (*bridge.Client, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.client != nil {
		select {
		case <-w.client.Done():
		default:
			return w.client, nil
		}
	}
	client, err := bridge.Dial(ctx, w.Addr, Token)
	w.client = client
	w.dials++
	return client, err
}

// Dials returns how often Connect dialled.
func (w *Workspace) Dials() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dials
}

// Cut ends the connection.
func (w *Workspace) Cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.client != nil {
		_ = w.client.Close()
	}
}

// Write writes a file in the workspace folder, and the folders that it is in.
func (w *Workspace) Write(name, content string) {
	w.t.Helper()
	p := filepath.Join(w.Dir, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil { //nolint:gosec // as in an image
		w.t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(content), 0o644); err != nil { //nolint:gosec // as in an image
		w.t.Fatal(err)
	}
}

// Read reads a file in the workspace folder.
func (w *Workspace) Read(name string) string {
	w.t.Helper()
	content, err := os.ReadFile(filepath.Join(w.Dir, name))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(content)
}
