package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"reflect"
	"strconv"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gorilla/websocket"

	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/workspace"
)

// browserMethods are those of the bridge that a page of the console may call.
var browserMethods = map[string]bool{
	bridge.MethodReadFile: true, bridge.MethodWriteFile: true, bridge.MethodEditFile: true, bridge.MethodListFiles: true,
	bridge.MethodGlob: true, bridge.MethodSearchCode: true,
	bridge.MethodListCommands: true, bridge.MethodCommandOutput: true, bridge.MethodStopCommand: true,
	bridge.MethodCreateTerminal: true, bridge.MethodCloseTerminal: true, bridge.MethodListTerminals: true,
	bridge.MethodListPorts: true, bridge.MethodResources: true,
}

const (
	// browserInFlight bounds the calls of one page that are under way; one more is answered with bridge.ErrBusy.
	browserInFlight = 16
	// browserCalls bounds the calls of one person in a second, browserBurst those that come at once: each reads the
	// store. One more is answered with bridge.ErrBusy.
	browserCalls = 50
	browserBurst = 200
	// browserSilence is how long a page may be silent: it answers pings, which come every keepAlive.
	browserSilence = 2*keepAlive + 10*time.Second
	// browserMessage bounds what a page sends at once to a terminal, in bytes.
	browserMessage = 64 << 10
)

const bridgeText = "A WebSocket of JSON-RPC 2.0, one message a text frame, with the methods of the workspace's bridge that a page may call: " +
	"see the reference of the bridge. It does not wake the workspace."

const terminalText = "A WebSocket to a terminal, as the bridge has it: binary messages are keys and what is shown, a text message is {cols, rows}. " +
	"It does not wake the workspace."

// bridgeRoutes adds the WebSockets to a workspace's bridge, for pages of the console alone.
func (h *Handler) bridgeRoutes() {
	fault := h.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[huma.ErrorModel](), true, "ErrorModel")
	param := func(name, text string) *huma.Param {
		return &huma.Param{Name: name, In: "path", Required: true, Description: text, Schema: &huma.Schema{Type: huma.TypeString}}
	}
	add := func(path, id, summary, text string, serve func(*page), params ...*huma.Param) {
		op := h.operation("GET", path, id, summary, http.StatusSwitchingProtocols, "bridge")
		op.Description = text
		op.Parameters = append([]*huma.Param{param("id", "Workspace id: the first label of its address.")}, params...)
		op.Responses = map[string]*huma.Response{
			"101": {Description: text},
			"default": {
				Description: "Error",
				Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: fault}},
			},
		}
		h.huma.OpenAPI().AddOperation(&op)
		h.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			caller, err := h.authorize(r, &op)
			if err != nil {
				h.refuse(w, err)
				return
			}
			h.servePage(w, r, caller, serve)
		})
	}
	add("/api/workspaces/{id}/bridge", "bridge", "Call the workspace's bridge", bridgeText, (*page).calls)
	add("/api/workspaces/{id}/terminals/{terminal}", "terminal", "Look into a terminal of the workspace and type there", terminalText, (*page).terminal,
		param("terminal", "Terminal id, from createTerminal or listTerminals."))
}

// page is a page's WebSocket to the bridge of a workspace.
type page struct {
	h      *Handler
	ctx    context.Context // ends with the session, with the person's access, and with the connection
	caller identity.Caller
	id     workspace.ID
	name   string // of the terminal
	ws     *websocket.Conn

	writing sync.Mutex
}

// servePage makes a WebSocket of a request, and serves it until one of both sides has gone.
func (h *Handler) servePage(w http.ResponseWriter, r *http.Request, caller identity.Caller, serve func(*page)) {
	id, err := workspace.ParseID(r.PathValue("id"))
	if err == nil {
		_, err = h.theirs(r.Context(), caller, id)
	}
	if err != nil {
		h.refuse(w, err)
		return
	}
	// Before a connection is made: that can take as long as it likes, and access may end meanwhile.
	held, release := h.cfg.Identity.HoldWorkspace(r.Context(), caller, id)
	defer release()
	if _, err = h.bridge(held, id); err != nil {
		h.refuse(w, err)
		return
	}
	if !websocket.IsWebSocketUpgrade(r) {
		writeProblem(w, http.StatusUpgradeRequired, "This address is for WebSockets.")
		return
	}
	end, err := h.streams.begin(caller.Person.ID)
	if err != nil {
		h.refuse(w, err)
		return
	}
	defer end()
	// Guard has compared Origin with the console's.
	up := websocket.Upgrader{
		ReadBufferSize: 4 << 10, WriteBufferSize: 4 << 10, CheckOrigin: func(*http.Request) bool { return true },
		Error: func(w http.ResponseWriter, _ *http.Request, status int, reason error) {
			writeProblem(w, status, "This is no WebSocket that can be served: "+reason.Error()+".")
		},
	}
	ws, err := up.Upgrade(hijacker{w}, r, nil)
	if err != nil {
		return // Error has answered.
	}
	defer ws.Close()
	ctx, cancel := context.WithCancel(held)
	defer cancel()
	p := &page{h: h, ctx: ctx, caller: caller, id: id, name: r.PathValue("terminal"), ws: ws}
	p.heard()
	ws.SetPongHandler(func(string) error { p.heard(); return nil })
	go p.keep()
	serve(p)
}

// hijacker is what the upgrade asks for: a writer that others have wrapped gives its connection away all the same.
type hijacker struct{ http.ResponseWriter }

// Hijack implements http.Hijacker.
func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(h.ResponseWriter).Hijack()
}

// keep pings the page, and ends the connection with its session and when the server stops.
func (p *page) keep() {
	alive := time.NewTicker(keepAlive)
	defer alive.Stop()
	for {
		select {
		case <-alive.C:
			if p.ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeLimit)) != nil {
				p.ws.Close()
				return
			}
			continue
		case <-p.ctx.Done():
			p.end(websocket.ClosePolicyViolation, "you no longer have access")
		case <-p.h.cfg.Stopping:
			p.end(websocket.CloseServiceRestart, "the server reloads or stops; connect again")
		}
		return
	}
}

func (p *page) heard() { _ = p.ws.SetReadDeadline(time.Now().Add(browserSilence)) }

func (p *page) end(code int, reason string) {
	_ = p.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(time.Second))
	p.ws.Close()
}

// write sends a message. It reports whether it was sent.
func (p *page) write(kind int, message []byte) bool {
	p.writing.Lock()
	defer p.writing.Unlock()
	_ = p.ws.SetWriteDeadline(time.Now().Add(writeLimit))
	if p.ws.WriteMessage(kind, message) != nil {
		p.ws.Close()
		return false
	}
	return true
}

// bridge returns the connection to a workspace that runs. That is no use of it: a page asks as long as it is open.
func (h *Handler) bridge(ctx context.Context, id workspace.ID) (*bridge.Client, error) {
	if h.cfg.Bridge == nil || h.cfg.Orchestrator.Route(id) == nil {
		return nil, workspace.ErrNotRunning
	}
	return h.cfg.Bridge(ctx, id)
}

// pageCall is a request of a page's; see https://www.jsonrpc.org/specification.
type pageCall struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
}

type pageAnswer struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *pageFault      `json:"error,omitempty"`
}

type pageFault struct {
	Code    int64  `json:"code"`
	Message string `json:"message"`
}

// calls serves JSON-RPC.
func (p *page) calls() {
	p.ws.SetReadLimit(bridge.MaxFrame)
	slots := make(chan struct{}, browserInFlight)
	var work sync.WaitGroup
	defer work.Wait()
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	for {
		kind, message, err := p.ws.ReadMessage()
		if err != nil {
			return
		}
		p.heard()
		var call pageCall
		if kind != websocket.TextMessage || json.Unmarshal(message, &call) != nil || call.Version != "2.0" {
			p.answer(nil, nil, &bridge.Error{Code: bridge.CodeInvalidRequest, Message: "this is no request of JSON-RPC 2.0"})
			continue
		}
		if len(call.ID) == 0 || len(call.ID) > 100 || bytes.ContainsAny(call.ID[:1], "{[") {
			p.answer(nil, nil, &bridge.Error{Code: bridge.CodeInvalidRequest, Message: "a request needs an id, a number or a short text"})
			continue
		}
		if p.h.calls.Take(p.caller.Person.ID, time.Now()) > 0 {
			p.answer(call.ID, nil, bridge.ErrBusy)
			continue
		}
		select {
		case slots <- struct{}{}:
		default:
			p.answer(call.ID, nil, bridge.ErrBusy)
			continue
		}
		work.Go(func() {
			defer func() { <-slots }()
			result, err := p.call(ctx, call)
			p.answer(call.ID, result, err)
		})
	}
}

// call carries out one call, for who may still have it carried out.
func (p *page) call(ctx context.Context, call pageCall) (json.RawMessage, error) {
	if !browserMethods[call.Method] {
		return nil, bridge.ErrUnknownMethod
	}
	if _, err := p.h.theirs(ctx, p.caller, p.id); err != nil {
		return nil, &bridge.Error{Code: bridge.CodeDenied, Message: orchestrator.Explain(workspace.ErrNotFound)}
	}
	client, err := p.h.bridge(ctx, p.id)
	if err != nil {
		return nil, &bridge.Error{Code: bridge.CodeBusy, Message: orchestrator.Explain(err)}
	}
	params := call.Params
	if len(params) == 0 {
		params = json.RawMessage("{}")
	}
	var result json.RawMessage
	err = client.Call(ctx, call.Method, params, &result)
	return result, err
}

// answer answers a call. A fault that is not the bridge's own is told in words that say nothing of the gateway.
func (p *page) answer(id, result json.RawMessage, err error) {
	if id == nil {
		id = json.RawMessage("null")
	}
	a := pageAnswer{Version: "2.0", ID: id, Result: result}
	var named *bridge.Error
	switch {
	case err == nil:
	case errors.As(err, &named):
		a.Error = &pageFault{named.Code, named.Message}
	case errors.Is(err, bridge.ErrClosed):
		a.Error = &pageFault{bridge.CodeBusy, "the connection to the workspace has just ended; try again"}
	default:
		a.Error = &pageFault{bridge.CodeInternal, "the call could not be carried out; try again"}
	}
	if message, err := json.Marshal(a); err == nil {
		p.write(websocket.TextMessage, message)
	}
}

// terminal joins a page and a terminal, which goes on when the page leaves.
func (p *page) terminal() {
	p.ws.SetReadLimit(browserMessage)
	client, err := p.h.bridge(p.ctx, p.id)
	var t *bridge.Terminal
	if err == nil {
		t, err = client.OpenTerminal(p.ctx, p.name)
	}
	if err != nil {
		p.end(websocket.CloseInternalServerErr, bridge.Printable(orchestrator.Explain(err), 120))
		return
	}
	defer t.Close()
	var work sync.WaitGroup
	defer work.Wait()
	defer t.Close() // so that what is below ends
	work.Go(func() {
		shown := make([]byte, 32<<10)
		for {
			n, err := t.Read(shown)
			if n > 0 && !p.write(websocket.BinaryMessage, shown[:n]) {
				return
			}
			var exited *bridge.ExitError
			switch {
			case err == nil:
				continue
			case errors.As(err, &exited):
				p.end(websocket.CloseNormalClosure, "exited "+strconv.Itoa(exited.Code))
			case errors.Is(err, bridge.ErrLagging):
				p.end(websocket.CloseTryAgainLater, "too slow; connect again")
			default:
				p.end(websocket.CloseGoingAway, "the connection to the workspace has ended; connect again")
			}
			return
		}
	})
	for {
		kind, message, err := p.ws.ReadMessage()
		if err != nil {
			return
		}
		p.heard()
		if kind == websocket.TextMessage {
			var size bridge.TerminalSize
			if json.Unmarshal(message, &size) == nil {
				err = t.Resize(size)
			}
		} else {
			p.h.cfg.Orchestrator.Touch(p.id, orchestrator.ActivityTerminal)
			_, err = io.Copy(t, bytes.NewReader(message))
		}
		if err != nil {
			return
		}
	}
}
