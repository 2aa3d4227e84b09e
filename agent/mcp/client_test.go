package mcp

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/kalpana-dev/kalpana/agent/tools"
)

const secret = "s3cret-of-the-operator"

// other is somebody else's server.
type other struct {
	*httptest.Server
	server  *sdk.Server
	mu      sync.Mutex
	handler http.Handler
	asked   atomic.Int32
	headers atomic.Value // of the last request
}

func newOther(t *testing.T) *other {
	t.Helper()
	o := &other{server: sdk.NewServer(&sdk.Implementation{Name: "other", Version: "1"}, nil)}
	o.restart()
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.asked.Add(1)
		o.headers.Store(r.Header.Clone())
		o.mu.Lock()
		h := o.handler
		o.mu.Unlock()
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		o.Close()
		o.forget()
	})
	return o
}

func (o *other) forget() {
	for session := range o.server.Sessions() {
		_ = session.Close()
	}
}

// restart forgets every session.
func (o *other) restart() {
	o.forget()
	o.serve(sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return o.server }, nil))
}

func (o *other) serve(h http.Handler) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.handler = h
}

func (o *other) add(name, description string, h sdk.ToolHandler) {
	o.server.AddTool(&sdk.Tool{
		Name: name, Description: description, InputSchema: json.RawMessage(`{"type":"object","properties":{"q":{"type":"string"}}}`),
		Annotations: &sdk.ToolAnnotations{ReadOnlyHint: true},
	}, h)
}

func says(text string) sdk.ToolHandler {
	return func(context.Context, *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
		return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: text}}}, nil
	}
}

// client connects to o as the agent does; what it logs goes to the returned buffer.
func (o *other) client(t *testing.T) (*Client, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	c := Connect(Remote{Name: "docs", URL: o.URL + "/mcp", Headers: map[string]string{"Authorization": "Bearer " + secret}}, slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(c.Close)
	return c, &log
}

func run(t *testing.T, list []tools.Tool, name, input string) (*tools.Result, error) {
	t.Helper()
	i := slices.IndexFunc(list, func(tool tools.Tool) bool { return tool.Name == name })
	if i < 0 {
		t.Fatalf("there is no %s among %d tools", name, len(list))
	}
	return list[i].Run(t.Context(), &tools.Env{}, tools.Call{ID: "1", Input: json.RawMessage(input)})
}

func TestClient_AnAgentHasTheToolsOfAnotherServer(t *testing.T) {
	o := newOther(t)
	o.add("search", "Searches the documentation.", func(_ context.Context, req *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
		return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: "found " + string(req.Params.Arguments)}, &sdk.ImageContent{Data: []byte("x"), MIMEType: "image/png"}}}, nil
	})
	o.add("fails", "Fails.", func(context.Context, *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
		return &sdk.CallToolResult{IsError: true, Content: []sdk.Content{&sdk.TextContent{Text: "no such page"}}}, nil
	})
	c, _ := o.client(t)
	list := c.Tools(t.Context())
	if len(list) != 2 {
		t.Fatalf("%d tools", len(list))
	}
	for _, tool := range list {
		if tool.Reads {
			t.Errorf("%s is believed to read only", tool.Name)
		}
		if !strings.HasPrefix(tool.Description, "Of the server docs") || len(tool.Parameters) == 0 {
			t.Errorf("%+v", tool)
		}
	}
	r, err := run(t, list, "docs_search", `{"q":"a"}`)
	if err != nil || !strings.Contains(r.Text, `found {"q":"a"}`) || !strings.Contains(r.Text, "an image") {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := run(t, list, "docs_fails", `{}`); err == nil || err.Error() != "no such page" {
		t.Errorf("%v", err)
	}
	if _, err := run(t, list, "docs_search", `[]`); err == nil {
		t.Error("an array was sent")
	}
	if got := o.headers.Load().(http.Header).Get("Authorization"); got != "Bearer "+secret {
		t.Errorf("the header was %q", got)
	}
	asked := o.asked.Load()
	c.Tools(t.Context())
	if o.asked.Load() != asked {
		t.Error("the tools are asked for each time")
	}
}

// What a server says of itself is bounded, and cannot pass for something else.
func TestClient_WhatAServerSaysIsBounded(t *testing.T) {
	o := newOther(t)
	o.add("long", strings.Repeat("x", 100_000), says(strings.Repeat("y", 1_000_000)))
	o.add("ansi", "a\x1b]52;c;eA==\x07b\u202ec\u200bd", says("a\x1b[2J\x00b\u202ec\nd"))
	o.add("bad.name", "", says(""))
	o.add(strings.Repeat("n", 100), "", says(""))
	o.server.AddTool(&sdk.Tool{Name: "deep", InputSchema: map[string]any{"type": "object", "description": strings.Repeat("x", 50_000)}}, says(""))
	c, _ := o.client(t)
	list := c.Tools(t.Context())
	if len(list) != 2 {
		t.Fatalf("%d tools", len(list))
	}
	for _, tool := range list {
		if len(tool.Description) > maxDescription+200 || strings.ContainsAny(tool.Description, "\x1b\x07\u202e\u200b") {
			t.Errorf("%s is described as %.100q", tool.Name, tool.Description)
		}
	}
	if r, err := run(t, list, "docs_long", `{}`); err != nil || len(r.Text) > maxResult+100 {
		t.Errorf("%d bytes, %v", len(r.Text), err)
	}
	if r, err := run(t, list, "docs_ansi", `{}`); err != nil || r.Text != "a[2Jbc\nd" {
		t.Errorf("%q, %v", r.Text, err)
	}

	many := newOther(t)
	for i := range 200 {
		many.add(fmt.Sprintf("t%d", i), "", says(""))
	}
	c, _ = many.client(t)
	if list := c.Tools(t.Context()); len(list) != maxTools {
		t.Errorf("%d tools", len(list))
	}
}

func TestClient_AnswersAreBounded(t *testing.T) {
	o := newOther(t)
	o.serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		piece := bytes.Repeat([]byte("x"), 1<<16)
		for range 1000 {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	}))
	c, log := o.client(t)
	if list := c.Tools(t.Context()); len(list) > 0 || !strings.Contains(log.String(), "does not answer") {
		t.Errorf("%d tools; %s", len(list), log)
	}
}

// The headers are the operator's secrets: no redirect takes them elsewhere, and no error tells them.
func TestClient_SecretsGoNowhereElse(t *testing.T) {
	thief := newOther(t)
	thief.add("search", "", says(""))
	for _, status := range []int{301, 302, 303, 307, 308} {
		o := newOther(t)
		o.serve(http.RedirectHandler(thief.URL+"/mcp", status))
		c, _ := o.client(t)
		if list := c.Tools(t.Context()); len(list) > 0 {
			t.Errorf("%d: %d tools of another host", status, len(list))
		}
	}
	if thief.asked.Load() > 0 {
		t.Error("another host was asked")
	}
	o := newOther(t)
	o.serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "not good: "+r.Header.Get("Authorization")+" "+secret, http.StatusForbidden)
	}))
	c, log := o.client(t)
	c.Tools(t.Context())
	if strings.Contains(log.String(), secret) || !strings.Contains(log.String(), "docs") {
		t.Errorf("the log says %s", log)
	}
	_, err := c.call(t.Context(), "search", nil)
	if err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("%v", err)
	}
}

func TestClient_AServerThatWasStartedAnewIsConnectedAgain(t *testing.T) {
	o := newOther(t)
	o.add("search", "", says("found"))
	c, _ := o.client(t)
	list := c.Tools(t.Context())
	if _, err := run(t, list, "docs_search", `{}`); err != nil {
		t.Fatal(err)
	}
	o.restart()
	if r, err := run(t, list, "docs_search", `{}`); err != nil || r.Text != "found" {
		t.Errorf("after a restart: %+v, %v", r, err)
	}
	o.restart()
	c.mu.Lock()
	c.listed = time.Time{}
	c.mu.Unlock()
	if list := c.Tools(t.Context()); len(list) != 1 {
		t.Errorf("%d tools after a restart", len(list))
	}
}

// A server that does not answer costs a run its tools, not the run, and not each time.
func TestClient_AServerThatIsDownHoldsNothingUp(t *testing.T) {
	o := newOther(t)
	o.add("search", "", says("found"))
	c, _ := o.client(t)
	c.Tools(t.Context())
	o.serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "down", http.StatusBadGateway) }))
	c.mu.Lock()
	c.listed = time.Time{}
	c.mu.Unlock()
	list := c.Tools(t.Context())
	if len(list) != 1 {
		t.Errorf("%d tools: those of before are known", len(list))
	}
	if _, err := run(t, list, "docs_search", `{}`); err == nil || !strings.Contains(err.Error(), "docs") {
		t.Errorf("%v", err)
	}
	asked := o.asked.Load()
	c.Tools(t.Context())
	if o.asked.Load() != asked {
		t.Error("it is asked again at once")
	}
}

func TestClient_ASilentServerIsNotWaitedForForever(t *testing.T) {
	defer func(connect, call time.Duration) { connectTimeout, callTimeout = connect, call }(connectTimeout, callTimeout)
	connectTimeout, callTimeout = 100*time.Millisecond, 100*time.Millisecond
	o := newOther(t)
	hold := make(chan struct{})
	o.serve(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hold:
		case <-r.Context().Done():
		}
	}))
	defer close(hold)
	c, _ := o.client(t)
	if list := c.Tools(t.Context()); len(list) > 0 {
		t.Errorf("%d tools", len(list))
	}
	if _, err := c.call(t.Context(), "search", nil); err == nil {
		t.Error("a silent server answered")
	}
}

func TestClients_TheToolsOfAllServersAreTogether(t *testing.T) {
	a, b := newOther(t), newOther(t)
	a.add("x", "", says(""))
	b.add("x", "", says(""))
	all := ConnectAll([]Remote{{Name: "a", URL: a.URL}, {Name: "b", URL: b.URL}, {Name: "gone", URL: "http://127.0.0.1:1"}}, nil)
	defer all.Close()
	var names []string
	for _, tool := range all.Tools(t.Context()) {
		names = append(names, tool.Name)
	}
	if !slices.Equal(names, []string{"a_x", "b_x"}) {
		t.Errorf("%v", names)
	}
}
