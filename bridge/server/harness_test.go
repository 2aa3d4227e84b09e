package server

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kalpana-dev/kalpana/bridge"
)

var testToken = strings.Repeat("0123456789abcdef", 4)

// container is a bridge that runs in this process, with a home of its own.
type container struct {
	*Server
	t         testing.TB
	home      string
	workspace string
	log       *syncBuffer
	stop      func() error // as SIGTERM; returns what Run returned
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// start runs a bridge whose code-server is the fake one in the given mode.
func start(t testing.TB, mode string, change ...func(*Config)) *container {
	t.Helper()
	home := t.TempDir()
	runDir, err := os.MkdirTemp("", "kb") // t.TempDir's names are too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(runDir) })
	c := &container{t: t, home: home, workspace: filepath.Join(home, "workspace"), log: &syncBuffer{}}
	if err := os.MkdirAll(c.workspace, 0o755); err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		WorkspaceID:  "abcdefghij",
		Token:        testToken,
		PreviewURI:   "http://{{port}}-abcdefghij.ws.kalpana.localhost:8080/",
		IDEAddr:      "127.0.0.1:0",
		BridgeAddr:   "127.0.0.1:0",
		WorkspaceDir: c.workspace,
		TemplatesDir: filepath.Join(home, "templates"),
		LocalSocket:  filepath.Join(runDir, "local.sock"),
		CodeServer:   []string{os.Args[0]},
		RunDir:       runDir,
		Env: append(os.Environ(), "HOME="+home, fakeEditorEnv+"="+mode, bridge.EnvToken+"="+testToken,
			"FAKE_EDITOR_MARK="+filepath.Join(home, "mark")),
		Stdout: c.log,
	}
	cfg.timing.backoff = 10 * time.Millisecond
	cfg.timing.stopGrace = 2 * time.Second
	for _, f := range change {
		f(&cfg)
	}
	if c.Server, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	c.stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() {
		if err := c.stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
		if t.Failed() {
			t.Logf("start log:\n%s", c.log)
		}
	})
	return c
}

// client is an HTTP client that leaves nothing behind.
func client(t testing.TB) *http.Client {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		Timeout:       20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// waitReady waits until VS Code answers.
func (c *container) waitReady() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	if err := bridge.WaitReady(ctx, client(c.t), "http://"+c.IDEAddr(), testToken); err != nil {
		c.t.Fatalf("%v\n%s", err, c.log)
	}
}

// get sends a request with the token, and the headers given as name, value, name, value ….
func get(t *testing.T, method, address string, body io.Reader, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, address, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(bridge.TokenHeader, testToken)
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

func decode[T any](t *testing.T, s string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		t.Fatalf("%v in %q", err, s)
	}
	return v
}

// webSocket opens a WebSocket with the token.
func webSocket(t testing.TB, addr, path string, header http.Header) *websocket.Conn {
	t.Helper()
	header = header.Clone()
	if header == nil {
		header = http.Header{}
	}
	header.Set(bridge.TokenHeader, testToken)
	ws, resp, err := websocket.DefaultDialer.Dial("ws://"+addr+path, header)
	if err != nil {
		t.Fatalf("%v (%v)", err, resp)
	}
	resp.Body.Close()
	t.Cleanup(func() { ws.Close() })
	_ = ws.SetReadDeadline(time.Now().Add(30 * time.Second))
	return ws
}

// dial connects a client to the bridge.
func (c *container) dial() *bridge.Client {
	c.t.Helper()
	cl, err := bridge.Dial(context.Background(), c.BridgeAddr(), testToken)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { cl.Close() })
	return cl
}

// write makes a file below the workspace folder.
func (c *container) write(name, content string) {
	c.t.Helper()
	p := filepath.Join(c.workspace, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("it did not happen within 30 s: %s", what)
}

// app serves on a port of the loopback that previews may reach.
func app(t *testing.T, network string, handler http.Handler) (port string) {
	t.Helper()
	addr := "127.0.0.1:0"
	if network == "tcp6" {
		addr = "[::1]:0"
	}
	return appOn(t, network, addr, handler)
}

func appOn(t *testing.T, network, addr string, handler http.Handler) (port string) {
	t.Helper()
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Skipf("no %s loopback here: %v", network, err)
	}
	srv := &http.Server{Handler: handler}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	t.Cleanup(func() { srv.Close(); <-done })
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}
