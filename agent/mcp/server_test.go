package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/kalpana-dev/kalpana/agent/tools"
	"github.com/kalpana-dev/kalpana/bridge/bridgetest"
)

func TestServer_AClientOfTheProtocolWorksInTheWorkspace(t *testing.T) {
	w := bridgetest.Start(t, "abcdefghij")
	w.Write("a.txt", "hello\n")
	var began, ended atomic.Int32
	session := Session{
		Env: &tools.Env{Workspace: "abcdefghij", Bridge: w.Connect, Seen: new(tools.Seen)},
		Begin: func(*tools.Tool, tools.Call) (func(), error) {
			began.Add(1)
			return func() { ended.Add(1) }, nil
		},
	}
	client := connectTo(t, serve(t, NewServer(tools.All(), "1.2.3", nil), session), nil)

	if got := client.InitializeResult(); got.ServerInfo.Name != "kalpana" || got.ServerInfo.Version != "1.2.3" || !strings.Contains(got.Instructions, "workspace") {
		t.Errorf("the server says that it is %+v", got)
	}
	list, err := client.ListTools(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Tools) != len(tools.All()) {
		t.Errorf("%d tools are listed, of %d", len(list.Tools), len(tools.All()))
	}
	for _, tool := range list.Tools {
		i := slices.IndexFunc(tools.All(), func(t tools.Tool) bool { return t.Name == tool.Name })
		if i < 0 {
			t.Errorf("%s is listed", tool.Name)
			continue
		}
		reads := tools.All()[i].Reads
		if a := tool.Annotations; a == nil || a.ReadOnlyHint != reads || a.DestructiveHint == nil || *a.DestructiveHint == reads || a.OpenWorldHint == nil {
			t.Errorf("%s has the hints %+v", tool.Name, tool.Annotations)
		}
		if tool.Description == "" || tool.InputSchema == nil {
			t.Errorf("%s is not described", tool.Name)
		}
	}
	call := func(name string, args any) *sdk.CallToolResult {
		t.Helper()
		r, err := client.CallTool(t.Context(), &sdk.CallToolParams{Name: name, Arguments: args})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := call("readFile", map[string]any{"path": "a.txt"}); r.IsError || !strings.Contains(text(t, r), "hello") {
		t.Errorf("readFile: %s", text(t, r))
	}
	if r := call("writeFile", map[string]any{"path": "b.txt", "content": "there\n"}); r.IsError {
		t.Errorf("writeFile: %s", text(t, r))
	}
	if r := call("runCommand", map[string]any{"command": "cat b.txt"}); r.IsError || !strings.Contains(text(t, r), "there") {
		t.Errorf("runCommand: %s", text(t, r))
	}
	for _, wrong := range []any{map[string]any{"path": "missing"}, map[string]any{"path": "../x"}, map[string]any{"path": "/etc/passwd"}, map[string]any{"wrong": 1}, nil, []int{1}} {
		if r := call("readFile", wrong); !r.IsError || text(t, r) == "" {
			t.Errorf("readFile of %v: %s", wrong, text(t, r))
		}
	}
	if began.Load() == 0 || began.Load() != ended.Load() {
		t.Errorf("%d calls began and %d ended", began.Load(), ended.Load())
	}
	if _, err := client.CallTool(t.Context(), &sdk.CallToolParams{Name: "nothing"}); err == nil {
		t.Error("a tool that there is not was called")
	}
}

// A Session's Begin is asked before every call, and what it says is told.
func TestServer_ARefusedCallDoesNotRun(t *testing.T) {
	tool := tools.Tool{Name: "x", Parameters: json.RawMessage(`{"type":"object"}`), Run: func(context.Context, *tools.Env, tools.Call) (*tools.Result, error) {
		t.Error("it ran")
		return &tools.Result{}, nil
	}}
	client := connectTo(t, serve(t, NewServer([]tools.Tool{tool}, "1", nil), Session{
		Begin: func(*tools.Tool, tools.Call) (func(), error) { return nil, errors.New("not any more") },
	}), nil)
	r, err := client.CallTool(t.Context(), &sdk.CallToolParams{Name: "x"})
	if err != nil || !r.IsError || text(t, r) != "not any more" {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestServer_ACallEndsWithItsRequest(t *testing.T) {
	started, ended := make(chan struct{}), make(chan struct{})
	tool := tools.Tool{Name: "x", Parameters: json.RawMessage(`{"type":"object"}`), Run: func(ctx context.Context, _ *tools.Env, _ tools.Call) (*tools.Result, error) {
		close(started)
		<-ctx.Done()
		close(ended)
		return nil, ctx.Err()
	}}
	address := serve(t, NewServer([]tools.Tool{tool}, "1", nil), Session{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}`))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "application/json, text/event-stream")
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		if resp, err := transport.RoundTrip(req); err == nil {
			<-ctx.Done()
			resp.Body.Close()
		}
	}()
	<-started
	cancel()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Error("the call goes on")
	}
	<-done
}

func TestServer_AToolThatPanicsIsAnError(t *testing.T) {
	tool := tools.Tool{Name: "x", Parameters: json.RawMessage(`{"type":"object"}`), Run: func(context.Context, *tools.Env, tools.Call) (*tools.Result, error) {
		panic("secret")
	}}
	client := connectTo(t, serve(t, NewServer([]tools.Tool{tool}, "1", nil), Session{}), nil)
	r, err := client.CallTool(t.Context(), &sdk.CallToolParams{Name: "x"})
	if err != nil || !r.IsError || strings.Contains(text(t, r), "secret") {
		t.Errorf("%+v, %v", r, err)
	}
}

// One request can have many calls in it, of which a few run at a time.
func TestServer_TheCallsOfOneRequestAreBounded(t *testing.T) {
	var now, most atomic.Int32
	started, release := make(chan struct{}, 100), make(chan struct{})
	tool := tools.Tool{Name: "x", Parameters: json.RawMessage(`{"type":"object"}`), Run: func(context.Context, *tools.Env, tools.Call) (*tools.Result, error) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		started <- struct{}{}
		<-release
		return &tools.Result{Text: "done"}, nil
	}}
	address := serve(t, NewServer([]tools.Tool{tool}, "1", nil), Session{})
	calls := make([]string, 100)
	for i := range calls {
		calls[i] = fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"x"}}`, i+1)
	}
	go func() {
		for range maxCalls {
			<-started
		}
		close(release)
	}()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader("["+strings.Join(calls, ",")+"]"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || strings.Count(string(body), "done") != len(calls) || most.Load() > maxCalls {
		t.Errorf("%d answers, %d at a time, %v", strings.Count(string(body), "done"), most.Load(), err)
	}
}

// Proxies end an answer that is silent for a minute, and a command may well be.
func TestServer_ASilentAnswerSaysThatItLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := httptest.NewRecorder()
		a := newAnswer(rec)
		time.Sleep(keepAlive + time.Second)
		synctest.Wait()
		if got := rec.Header().Get("Content-Type"); got != "text/event-stream" || rec.Body.String() != ": alive\n\n" {
			t.Errorf("%s: %q", got, rec.Body)
		}
		a.Header().Set("Content-Type", "text/event-stream")
		a.WriteHeader(http.StatusOK)
		_, _ = a.Write([]byte("data: x\n\n"))
		time.Sleep(keepAlive)
		a.close()
		if got := rec.Body.String(); got != ": alive\n\ndata: x\n\n: alive\n\n" {
			t.Errorf("%q", got)
		}
	})
	synctest.Test(t, func(t *testing.T) { // what is no stream stays as it is
		rec := httptest.NewRecorder()
		a := newAnswer(rec)
		a.WriteHeader(http.StatusBadRequest)
		time.Sleep(keepAlive + time.Second)
		a.close()
		if rec.Code != http.StatusBadRequest || rec.Body.Len() > 0 {
			t.Errorf("%d: %q", rec.Code, rec.Body)
		}
	})
}

// A client that asked for it hears that a long call goes on.
func TestServer_AProgressTokenIsAnswered(t *testing.T) {
	var heard atomic.Int32
	got := make(chan struct{}, 1)
	tool := tools.Tool{Name: "x", Parameters: json.RawMessage(`{"type":"object"}`), Run: func(ctx context.Context, _ *tools.Env, _ tools.Call) (*tools.Result, error) {
		select {
		case <-got:
		case <-ctx.Done():
		}
		return &tools.Result{Text: "done"}, nil
	}}
	client := connectTo(t, serve(t, NewServer([]tools.Tool{tool}, "1", nil), Session{}), &sdk.ClientOptions{
		ProgressNotificationHandler: func(context.Context, *sdk.ProgressNotificationClientRequest) {
			if heard.Add(1) == 1 {
				got <- struct{}{}
			}
		},
	})
	params := &sdk.CallToolParams{Name: "x"}
	params.SetProgressToken("p")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if r, err := client.CallTool(ctx, params); err != nil || text(t, r) != "done" || heard.Load() == 0 {
		t.Errorf("%+v, %v, %d", r, err, heard.Load())
	}
}
