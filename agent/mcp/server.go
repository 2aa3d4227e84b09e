// Package mcp speaks the Model Context Protocol, on both of its sides: it serves the tools of a workspace to other
// agents, and it gives ours the tools of servers that the operator names.
package mcp

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"sync"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/kalpana-dev/kalpana/agent/tools"
)

// Limits of what is served.
const (
	// MaxRequest bounds a request's body, in bytes: a file's content, written as JSON, at worst.
	MaxRequest = 4 << 20
	// maxCalls bounds the calls of one request that run at a time.
	maxCalls = 8
	// keepAlive is how often a silent answer says that it lives: proxies, Caddy among them, end those that do not.
	keepAlive = 20 * time.Second
	// writeLimit is how long one piece of an answer may take to be written.
	writeLimit = 10 * time.Second
)

// progressEvery is how often a client that asked for it is told that a call goes on.
var progressEvery = 5 * time.Second

const instructions = "These tools work in one workspace of Kalpana: its files, its commands, its repository. " +
	"Paths are relative to the workspace folder. The workspace wakes by itself, which may take some seconds."

// Server serves tools to clients of the protocol, over HTTP (its streamable transport). It keeps no sessions: each
// request stands for itself, so that any gateway answers it, and what a token may do is looked up each time.
type Server struct {
	tools   []tools.Tool
	version string
	log     *slog.Logger
}

// NewServer returns a Server of the given tools. version is Kalpana's own.
func NewServer(all []tools.Tool, version string, log *slog.Logger) *Server {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Server{tools: all, version: version, log: log}
}

// Session is what the calls of a request work with.
type Session struct {
	Env *tools.Env
	// Begin is called before each call of a tool, and the function that it returns after it. Its error is why the call
	// is refused, for whoever made it to read.
	Begin func(t *tools.Tool, call tools.Call) (end func(), err error)
}

// Serve answers one request with the tools of a session's workspace. Whoever asks was found to be allowed to.
// The calls end with the request.
func (s *Server) Serve(w http.ResponseWriter, r *http.Request, session Session) {
	server := sdk.NewServer(&sdk.Implementation{Name: "kalpana", Title: "Kalpana", Version: s.version}, &sdk.ServerOptions{
		Instructions: instructions,
		Capabilities: &sdk.ServerCapabilities{Tools: &sdk.ToolCapabilities{}},
		Logger:       slog.New(slog.DiscardHandler), // it would print what clients send
		PageSize:     len(s.tools) + 1,
	})
	running := make(chan struct{}, maxCalls)
	for i := range s.tools {
		t := &s.tools[i]
		server.AddTool(describe(t), func(ctx context.Context, req *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
			select {
			case running <- struct{}{}:
				defer func() { <-running }()
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			return s.call(ctx, r.Context(), t, req, session), nil
		})
	}
	out := newAnswer(w)
	defer out.close()
	sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return server }, &sdk.StreamableHTTPOptions{
		Stateless:                  true,
		MaxRequestBodyBytes:        MaxRequest,
		DisableLocalhostProtection: true, // the console's own guard stands before
		Logger:                     slog.New(slog.DiscardHandler),
	}).ServeHTTP(out, r)
}

// describe tells clients of a tool.
func describe(t *tools.Tool) *sdk.Tool {
	yes, no := true, false
	hints := &sdk.ToolAnnotations{ReadOnlyHint: t.Reads}
	switch t.Name {
	case "runCommand", "git": // whatever they are told, also over the network
		hints.DestructiveHint, hints.OpenWorldHint = &yes, &yes
	default:
		destructive := !t.Reads
		hints.DestructiveHint, hints.OpenWorldHint = &destructive, &no
	}
	return &sdk.Tool{Name: t.Name, Description: t.Description, InputSchema: t.Parameters, Annotations: hints}
}

// call carries a call out. What goes wrong is a result, too: it is for the model that made the call.
func (s *Server) call(ctx, request context.Context, t *tools.Tool, req *sdk.CallToolRequest, session Session) (result *sdk.CallToolResult) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(request, cancel)()
	defer func() {
		if v := recover(); v != nil {
			s.log.Error("a tool panicked", "tool", t.Name, "panic", v)
			result = failed("Something went wrong here. The server's log tells what.")
		}
	}()
	call := tools.Call{ID: req.Params.Name, Input: req.Params.Arguments}
	end, err := session.Begin(t, call)
	if err != nil {
		return failed(err.Error())
	}
	defer end()
	defer progress(ctx, req)()
	env := *session.Env
	env.Show = func(string, any) {}
	r, err := t.Run(ctx, &env, call)
	switch {
	case ctx.Err() != nil:
		return failed("The call was cut short.")
	case err != nil:
		return failed(err.Error())
	}
	return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: r.Text}}}
}

// failed is the result of a call that did not do what it should.
func failed(text string) *sdk.CallToolResult {
	return &sdk.CallToolResult{IsError: true, Content: []sdk.Content{&sdk.TextContent{Text: text}}}
}

// progress tells a client that asked for it, until stop is called, that a call goes on: many give up on what they
// hear nothing of for a minute.
func progress(ctx context.Context, req *sdk.CallToolRequest) (stop func()) {
	token := req.Params.GetProgressToken()
	if token == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		started := time.Now()
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				_ = req.Session.NotifyProgress(ctx, &sdk.ProgressNotificationParams{
					ProgressToken: token, Progress: time.Since(started).Round(time.Second).Seconds(),
				})
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// answer is a response that says that it lives while there is nothing else to say. What it is given to write are whole
// events.
type answer struct {
	http.ResponseWriter
	header http.Header // as the handler sets it, in its own goroutine; it counts where the handler is the first to write
	rc     *http.ResponseController
	stop   chan struct{}
	done   chan struct{}

	mu      sync.Mutex
	started bool
	stream  bool // of events
}

func newAnswer(w http.ResponseWriter) *answer {
	a := &answer{ResponseWriter: w, header: w.Header().Clone(), rc: http.NewResponseController(w), stop: make(chan struct{}), done: make(chan struct{})}
	if a.header == nil {
		a.header = http.Header{}
	}
	a.header.Set("X-Accel-Buffering", "no")
	_ = a.rc.SetReadDeadline(time.Time{}) // the server's idle limits do not fit a command that takes its time
	go a.live()
	return a
}

func (a *answer) close() {
	close(a.stop)
	<-a.done
}

func (a *answer) live() {
	defer close(a.done)
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for {
		select {
		case <-a.stop:
			return
		case <-tick.C:
			a.comment()
		}
	}
}

func (a *answer) comment() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.started { // what fails at once has failed by now: it will be a stream
		header := a.ResponseWriter.Header()
		header.Set("Content-Type", "text/event-stream")
		header.Set("Cache-Control", "no-cache, no-transform")
		header.Set("X-Accel-Buffering", "no")
		a.started, a.stream = true, true
		a.ResponseWriter.WriteHeader(http.StatusOK)
	}
	if a.stream {
		_, _ = a.write([]byte(": alive\n\n"))
		_ = a.rc.Flush()
	}
}

func (a *answer) start(status int) {
	if a.started {
		return
	}
	a.started = true
	a.stream = status == http.StatusOK && a.header.Get("Content-Type") == "text/event-stream"
	maps.Copy(a.ResponseWriter.Header(), a.header)
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) write(p []byte) (int, error) {
	_ = a.rc.SetWriteDeadline(time.Now().Add(writeLimit))
	n, err := a.ResponseWriter.Write(p)
	_ = a.rc.SetWriteDeadline(time.Time{})
	return n, err
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.start(status)
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.start(http.StatusOK)
	return a.write(p)
}

// FlushError lets http.ResponseController flush.
func (a *answer) FlushError() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	_ = a.rc.SetWriteDeadline(time.Now().Add(writeLimit))
	defer func() { _ = a.rc.SetWriteDeadline(time.Time{}) }()
	return a.rc.Flush()
}
