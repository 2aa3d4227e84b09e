package tools

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/bridge/bridgetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// work is a workspace with the real bridge in this process, and an agent in it.
type work struct {
	*bridgetest.Workspace
	t     *testing.T
	env   *Env
	calls int

	mu    sync.Mutex
	shown []string // what was shown of commands
}

func newWork(t *testing.T) *work {
	t.Helper()
	w := &work{Workspace: bridgetest.Start(t, "abcdefghij"), t: t}
	w.env = &Env{
		Workspace: "abcdefghij", Chat: "chat", Message: "m1", Bridge: w.Connect, Name: "Ada Lovelace", Email: "ada@example.com", Seen: new(Seen),
		Show: func(name string, data any) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.shown = append(w.shown, data.(map[string]string)["text"])
		},
	}
	return w
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
