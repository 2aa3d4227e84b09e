package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"maps"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/gorilla/websocket"
	"github.com/sourcegraph/jsonrpc2"

	"github.com/kalpana-dev/kalpana/bridge"
)

// method decodes the parameters of one method, serves it, and returns its result.
type method func(ctx context.Context, params json.RawMessage) (any, error)

// typed makes a method of a function with typed parameters. Unknown fields are refused: a parameter that is
// ignored would be a promise that is not kept.
func typed[P, R any](serve func(context.Context, P) (*R, error)) method {
	return func(ctx context.Context, params json.RawMessage) (any, error) {
		var p P
		if len(params) > 0 && !bytes.Equal(params, []byte("null")) {
			dec := json.NewDecoder(bytes.NewReader(params))
			dec.DisallowUnknownFields()
			if err := dec.Decode(&p); err != nil {
				return nil, bridge.ErrInvalid.With("%s", bridge.Printable(err.Error(), 200))
			}
		}
		r, err := serve(ctx, p)
		if err != nil {
			return nil, err
		}
		return r, nil
	}
}

// rpc serves bridge.RPCPath.
type rpc struct {
	server   *Server
	jobs     *background
	ptys     *ptys
	tunnels  tunnels
	watches  *watches
	methods  map[string]method
	upgrader websocket.Upgrader
}

func newRPC(s *Server) *rpc {
	files := folder{s.cfg.WorkspaceDir}
	run := commands{folder: files, env: s.cfg.Env, threads: searchThreads(cpuLimit(s.cfg.cgroupDir))}
	jobs := &background{commands: run, runDir: s.cfg.RunDir}
	terminals := &ptys{commands: run}
	machine := &resources{folder: files, cgroup: s.cfg.cgroupDir, cpu: newCPUMeter(s.cfg.cgroupDir)}
	h := &rpc{
		server:  s,
		jobs:    jobs,
		ptys:    terminals,
		watches: &watches{folder: files, most: s.cfg.watchFolders},
		tunnels: tunnels{stall: s.cfg.timing.stall},
		methods: map[string]method{
			bridge.MethodHealth: typed(func(context.Context, bridge.HealthParams) (*bridge.HealthResult, error) {
				h := s.health()
				return &h, nil
			}),
			bridge.MethodReadFile:   typed(files.readFile),
			bridge.MethodWriteFile:  typed(files.writeFile),
			bridge.MethodEditFile:   typed(files.editFile),
			bridge.MethodListFiles:  typed(files.listFiles),
			bridge.MethodGlob:       typed(run.glob),
			bridge.MethodRunCommand: typed(jobs.run),
			bridge.MethodSearchCode: typed(run.searchCode),
			bridge.MethodGit:        typed(run.git),

			bridge.MethodStartCommand:  typed(jobs.start),
			bridge.MethodCommandOutput: typed(jobs.output),
			bridge.MethodStopCommand:   typed(jobs.stop),
			bridge.MethodListCommands:  typed(jobs.list),

			bridge.MethodCreateTerminal: typed(terminals.create),
			bridge.MethodCloseTerminal:  typed(terminals.shut),
			bridge.MethodListTerminals:  typed(terminals.list),

			bridge.MethodListPorts: typed(s.listPorts),
			bridge.MethodResources: typed(machine.use),

			bridge.MethodSetGitIdentity: typed(s.setGitIdentity),
		},
		upgrader: websocket.Upgrader{ReadBufferSize: 16 << 10, WriteBufferSize: 16 << 10},
	}
	maps.Copy(h.methods, checkpointMethods(s.checkpoints))
	h.methods[bridge.MethodHello] = typed(h.hello)
	for name, serve := range s.cfg.Methods {
		if _, ok := h.methods[name]; !ok {
			h.methods[name] = serve
		}
	}
	return h
}

// features are what there is beside the methods.
var features = []string{bridge.FeatureTerminal, bridge.FeatureCommand, bridge.FeatureTunnel, bridge.FeatureWatch}

func (h *rpc) hello(_ context.Context, p bridge.HelloParams) (*bridge.HelloResult, error) {
	if p.Protocol < 1 {
		return nil, bridge.ErrInvalid.With("protocol is from 1 on")
	}
	return &bridge.HelloResult{
		Protocol: bridge.Protocol, Version: h.server.cfg.Version,
		Methods: slices.Sorted(maps.Keys(h.methods)), Features: features,
	}, nil
}

// ServeHTTP serves one connection until it ends. Requests that are being served then are cancelled, and waited
// for.
func (h *rpc) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ws, err := h.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has answered.
	}
	c := &rpcConn{methods: h.methods, log: h.server.log, serving: make(map[jsonrpc2.ID]context.CancelFunc)}
	stream := bridge.NewStream(ws, h.server.cfg.timing.stream)
	conn := jsonrpc2.NewConn(r.Context(), stream, c, jsonrpc2.SetLogger(log.New(io.Discard, "", 0)))
	leave := h.server.gateways.join(conn)
	<-conn.DisconnectNotify()
	leave()
	c.close()
}

// rpcConn is one connection.
type rpcConn struct {
	methods map[string]method
	log     *startLog

	mu      sync.Mutex
	closed  bool
	work    sync.WaitGroup
	serving map[jsonrpc2.ID]context.CancelFunc
}

// Handle is called for one message after the other, and never waits: answers go into the stream's queue.
func (c *rpcConn) Handle(ctx context.Context, conn *jsonrpc2.Conn, req *jsonrpc2.Request) {
	if req.Notif {
		if req.Method == bridge.NotifyCancel {
			c.cancel(req.Params)
		}
		return
	}
	serve, ok := c.methods[req.Method]
	if !ok {
		reply(ctx, conn, req.ID, nil, bridge.ErrUnknownMethod)
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	if err := c.begin(req.ID, cancel); err != nil {
		cancel()
		reply(ctx, conn, req.ID, nil, err)
		return
	}
	go func() {
		defer c.work.Done()
		result, err := c.serve(ctx, serve, req)
		cancel()
		c.end(req.ID) // Before the answer: whoever has it may ask again.
		reply(ctx, conn, req.ID, result, err)
	}()
}

// serve calls a method. A fault in one must not take the whole container down.
func (c *rpcConn) serve(ctx context.Context, serve method, req *jsonrpc2.Request) (result any, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			c.log.printf("panic in %s: %v\n%s", req.Method, fault, debug.Stack())
			err = bridge.ErrInternal
		}
	}()
	var params json.RawMessage
	if req.Params != nil {
		params = *req.Params
	}
	return serve(ctx, params)
}

// close waits for what is being served; the end of the connection has cancelled it.
func (c *rpcConn) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.work.Wait()
}

// begin takes a place for a request, which its answer gives back.
func (c *rpcConn) begin(id jsonrpc2.ID, cancel context.CancelFunc) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.serving[id]; ok {
		return &bridge.Error{Code: bridge.CodeInvalidRequest, Message: "a request with this id is being served"}
	}
	if c.closed || len(c.serving) >= bridge.MaxInFlight {
		return bridge.ErrBusy
	}
	c.work.Add(1)
	c.serving[id] = cancel
	return nil
}

func (c *rpcConn) end(id jsonrpc2.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.serving, id)
}

// cancel serves bridge.NotifyCancel.
func (c *rpcConn) cancel(params *json.RawMessage) {
	var p struct {
		ID *jsonrpc2.ID `json:"id"`
	}
	if params == nil || json.Unmarshal(*params, &p) != nil || p.ID == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if cancel, ok := c.serving[*p.ID]; ok {
		cancel()
	}
}

// reply answers a request. A result that does not fit into a frame becomes an error, so that no call is left
// without an answer.
func reply(ctx context.Context, conn *jsonrpc2.Conn, id jsonrpc2.ID, result any, err error) {
	if err == nil {
		if err = conn.Reply(ctx, id, result); !errors.Is(err, bridge.ErrTooLarge) {
			return // Sent, or there is nobody to send it to.
		}
	}
	var named *bridge.Error
	switch {
	case errors.As(err, &named):
	case errors.Is(err, context.Canceled):
		named = bridge.ErrCancelled
	default:
		named = bridge.ErrInternal
	}
	_ = conn.ReplyWithError(ctx, id, &jsonrpc2.Error{Code: named.Code, Message: named.Message})
}
