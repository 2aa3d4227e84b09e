package tools

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/bridge/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var testToken = strings.Repeat("0123456789abcdef", 4)

// work is a workspace with the real bridge in this process, and an agent in it.
type work struct {
	t     *testing.T
	dir   string
	env   *Env
	addr  string
	calls int

	mu     sync.Mutex
	client *bridge.Client
	shown  []string // what was shown of commands
}

func newWork(t *testing.T) *work {
	t.Helper()
	home := t.TempDir()
	run, err := os.MkdirTemp("", "kt") // t.TempDir's names are too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(run) })
	w := &work{t: t, dir: filepath.Join(home, "workspace")}
	if err := os.Mkdir(w.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s, err := server.New(server.Config{
		WorkspaceID: "abcdefghij", Token: testToken, IDEAddr: "127.0.0.1:0", BridgeAddr: "127.0.0.1:0",
		WorkspaceDir: w.dir, TemplatesDir: filepath.Join(home, "templates"), LocalSocket: filepath.Join(run, "local.sock"), RunDir: run,
		CodeServer: []string{"/bin/sh", "-c", "exec sleep 1000"},
		Env:        append(os.Environ(), "HOME="+home, "GIT_CONFIG_NOSYSTEM=1"), Stdout: io.Discard,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.addr = s.BridgeAddr()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		w.cut()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	w.env = &Env{
		Workspace: "abcdefghij", Chat: "chat", Message: "m1", Bridge: w.connect, Name: "Ada Lovelace", Email: "ada@example.com", Seen: new(Seen),
		Show: func(name string, data any) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.shown = append(w.shown, data.(map[string]string)["text"])
		},
	}
	return w
}

// connect is as the gateway's pool: one connection, dialled again when it has ended.
func (w *work) connect(ctx context.Context) (*bridge.Client, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.client != nil {
		select {
		case <-w.client.Done():
		default:
			return w.client, nil
		}
	}
	cl, err := bridge.Dial(ctx, w.addr, testToken)
	w.client = cl
	return cl, err
}

// cut ends the connection.
func (w *work) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.client != nil {
		w.client.Close()
	}
}

func (w *work) write(name, content string) {
	w.t.Helper()
	p := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func (w *work) read(name string) string {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, name))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

var all = All()

func tool(t *testing.T, name string) *Tool {
	t.Helper()
	for i := range all {
		if all[i].Name == name {
			return &all[i]
		}
	}
	t.Fatalf("no tool %s", name)
	return nil
}

// in is an input of a tool.
type in map[string]any

// call calls a tool.
func (w *work) call(ctx context.Context, name string, input any) (*Result, error) {
	w.t.Helper()
	w.mu.Lock()
	w.calls++
	id := "call" + string(rune('a'+w.calls%26))
	w.mu.Unlock()
	text, err := json.Marshal(input)
	if err != nil {
		w.t.Fatal(err)
	}
	return tool(w.t, name).Run(ctx, w.env, Call{ID: id, Input: text})
}

// ok calls a tool that is to work.
func (w *work) ok(name string, input any) (string, *Output) {
	w.t.Helper()
	r, err := w.call(w.t.Context(), name, input)
	if err != nil {
		w.t.Fatalf("%s %v: %v", name, input, err)
	}
	return r.Text, r.Output.(*Output)
}

// fails calls a tool that is to refuse, with an error that says so.
func (w *work) fails(name string, input any, says ...string) {
	w.t.Helper()
	r, err := w.call(w.t.Context(), name, input)
	if err == nil {
		w.t.Errorf("%s %v: it went well: %s", name, input, r.Text)
		return
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			w.t.Errorf("%s %v: %q does not say %q", name, input, err, s)
		}
	}
}

func has(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is not in %q", p, cutEnd(text, 2000))
		}
	}
}

func hasNot(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if strings.Contains(text, p) {
			t.Errorf("%q is in %q", p, cutEnd(text, 2000))
		}
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("it did not happen within 30 s: %s", what)
}

func changesOf(chat string) bridge.CheckpointChangesParams {
	return bridge.CheckpointChangesParams{Chat: chat, Diffs: true}
}

func undoOf(chat, message string) bridge.UndoCheckpointsParams {
	return bridge.UndoCheckpointsParams{Chat: chat, Message: message}
}
