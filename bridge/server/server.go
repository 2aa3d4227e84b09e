package server

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/bridge/server/checkpoint"
)

// headerTimeout bounds how long a connection may take over a request's header, for a stranger's sake. There
// is no idle timeout: a container that was frozen for hours wakes with the gateway's connections intact.
const headerTimeout = 30 * time.Second

// runDirPrefix begins the name of the private folder for code-server's socket.
const runDirPrefix = "kalpana-bridge-"

// maxSocketPath is what fits into a sockaddr_un, in bytes: unix(7).
const maxSocketPath = 107

// Server is the bridge of one container.
type Server struct {
	cfg     Config
	started time.Time
	log     *startLog
	ready   *readiness

	activities  *activities
	gateways    *gateways
	checkpoints *checkpoint.Store
	filling     *filling
	identifying sync.Mutex

	ide, control net.Listener
	local        net.Listener // nil where it cannot be: VS Code is worth more than what is known of its use
}

// New opens both ports. Requests wait in their backlog until Run.
func New(cfg Config) (*Server, error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("kalpana-bridge: %w", err)
	}
	s := &Server{cfg: cfg, started: time.Now(), log: newStartLog(cfg.Stdout), ready: newReadiness(), gateways: newGateways(cfg.timing.gatewayWait), filling: newFilling()}
	s.activities = newActivities(&s.cfg)
	s.checkpoints = newCheckpoints(s.cfg.WorkspaceDir, s.cfg.Env)
	var err error
	if s.ide, err = net.Listen("tcp", cfg.IDEAddr); err != nil {
		return nil, fmt.Errorf("kalpana-bridge: %w", err)
	}
	if s.control, err = net.Listen("tcp", cfg.BridgeAddr); err != nil {
		s.ide.Close()
		return nil, fmt.Errorf("kalpana-bridge: %w", err)
	}
	_ = os.Remove(cfg.LocalSocket) // of a bridge that was killed; there is one in a container: it has the ports
	if s.local, err = net.Listen("unix", cfg.LocalSocket); err != nil {
		s.local = nil
		s.log.printf("activity in VS Code will not be seen: %v", err)
	}
	return s, nil
}

// close closes what New opened.
func (s *Server) close() {
	s.ide.Close()
	s.control.Close()
	if s.local != nil {
		s.local.Close()
	}
}

// IDEAddr is the address that stands for bridge.IDEPort.
func (s *Server) IDEAddr() string { return s.ide.Addr().String() }

// BridgeAddr is the address that stands for bridge.BridgePort.
func (s *Server) BridgeAddr() string { return s.control.Addr().String() }

// Run serves until parent is done; then it says goodbye to the container (see farewell), asks VS Code to end, waits up
// to eight seconds in all, kills what is left, and returns nil. It must be called once.
func (s *Server) Run(parent context.Context) error {
	// A bridge that was killed has left its folder behind. There is one bridge in a container: it has the ports.
	left, _ := filepath.Glob(filepath.Join(s.cfg.RunDir, runDirPrefix+"*"))
	for _, dir := range left {
		_ = os.RemoveAll(dir)
	}
	runDir, err := os.MkdirTemp(s.cfg.RunDir, runDirPrefix) // 0700
	if err != nil {
		s.close()
		return fmt.Errorf("kalpana-bridge: %w", err)
	}
	defer os.RemoveAll(runDir)
	socket := filepath.Join(runDir, "code-server.sock")
	if len(socket) > maxSocketPath {
		s.close()
		return fmt.Errorf("kalpana-bridge: %s is too long for a socket", socket)
	}

	ctx, stop := context.WithCancelCause(parent)
	defer stop(nil)
	serving, end := context.WithCancel(context.WithoutCancel(ctx)) // ends after the farewell
	defer end()
	editor := &editor{cfg: &s.cfg, log: s.log, ready: s.ready, socket: socket, grace: s.cfg.timing.stopGrace}
	ideHandler := newIDE(s, socket)
	defer ideHandler.close()
	previews := newPreviews(s.cfg.timing.stall)
	defer previews.close()
	rpc := newRPC(s)
	defer rpc.jobs.close()
	defer rpc.ptys.close()
	defer s.checkpoints.Close()

	var work sync.WaitGroup
	ports := []*http.Server{
		s.httpServer(serving, ideHandler),
		s.httpServer(serving, s.controlHandler(previews, rpc)),
	}
	listeners := []net.Listener{s.ide, s.control}
	if s.local != nil {
		ports, listeners = append(ports, s.localServer()), append(listeners, s.local)
	}
	for i, l := range listeners {
		work.Go(func() {
			if err := ports[i].Serve(l); !errors.Is(err, http.ErrServerClosed) {
				stop(fmt.Errorf("kalpana-bridge: %w", err))
			}
		})
	}
	s.log.printf("workspace %s starts", s.cfg.WorkspaceID)
	work.Go(func() { s.seed(ctx) })
	work.Go(func() {
		if err := s.checkpoints.Recover(ctx); err != nil && ctx.Err() == nil {
			s.log.printf("what an interrupted call of the agent changed cannot be undone: %v", err)
		}
	})
	work.Go(func() {
		<-ctx.Done()
		if parent.Err() != nil {
			editor.grace = s.farewell(editor)
		}
		end()
	})
	editor.run(serving) // until serving is done and code-server has ended
	for _, p := range ports {
		p.Close()
	}
	work.Wait()
	if parent.Err() != nil {
		return nil
	}
	return context.Cause(ctx)
}

// httpServer serves handler to those who know the token. Its requests, WebSockets included, end with ctx.
func (s *Server) httpServer(ctx context.Context, handler http.Handler) *http.Server {
	faults := &lineWriter{emit: s.log.line}
	return &http.Server{
		Handler:           s.requireToken(handler),
		ReadHeaderTimeout: headerTimeout,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          log.New(faults, "kalpana: ", 0), // The logger writes one line at a time.
	}
}

// requireToken lets requests through that carry the token, and removes it from them.
func (s *Server) requireToken(next http.Handler) http.Handler {
	token := []byte(s.cfg.Token)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given := r.Header[bridge.TokenHeader]
		if len(given) != 1 || subtle.ConstantTimeCompare([]byte(given[0]), token) != 1 {
			// The body is a stranger's: do not read it to keep the connection.
			w.Header().Set("Connection", "close")
			http.Error(w, "This port needs the workspace's token.", http.StatusUnauthorized)
			return
		}
		delete(r.Header, bridge.TokenHeader)
		next.ServeHTTP(w, r)
	})
}

// controlHandler serves bridge.BridgePort. Previews come first: to an app belong all paths.
func (s *Server) controlHandler(previews http.Handler, rpc *rpc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header[bridge.PortHeader] != nil:
			previews.ServeHTTP(w, r)
		case r.URL.Path == bridge.RPCPath && r.Method == http.MethodGet:
			rpc.ServeHTTP(w, r)
		case r.URL.Path == bridge.TerminalPath && r.Method == http.MethodGet:
			rpc.ptys.ServeHTTP(w, r)
		case r.URL.Path == bridge.CommandPath && r.Method == http.MethodGet:
			rpc.jobs.ServeHTTP(w, r)
		case r.URL.Path == bridge.TunnelPath && r.Method == http.MethodGet:
			rpc.tunnels.ServeHTTP(w, r)
		case r.URL.Path == bridge.WatchPath && r.Method == http.MethodGet:
			rpc.watches.ServeHTTP(w, r)
		case r.URL.Path == bridge.HealthPath && r.Method == http.MethodGet:
			s.serveHealth(w, r)
		case r.URL.Path == bridge.ActivityPath && r.Method == http.MethodGet:
			s.serveActivity(w, r)
		default:
			http.NotFound(w, r)
		}
	})
}

func (s *Server) health() bridge.HealthResult {
	return bridge.HealthResult{
		Ready:         s.ready.ok.Load(),
		Version:       s.cfg.Version,
		UptimeSeconds: int64(time.Since(s.started) / time.Second),
		Editor:        s.ready.editorState(),
	}
}

// whyNotReady is a sentence for someone who waited for VS Code.
func whyNotReady(err error, held time.Duration) string {
	var failed *startError
	if errors.As(err, &failed) {
		return failed.Error()
	}
	return strings.TrimSpace(fmt.Sprintf("VS Code has not started within %s.", held))
}
