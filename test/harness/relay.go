package harness

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"regexp"
	"sync"
	"time"
)

// Relay stands between a gateway and its engine, passes calls on, and plays faults of the engine and
// of the way to it. Its methods are safe for concurrent use.
type Relay struct {
	server *http.Server
	socket string // its own

	mu     sync.Mutex
	fault  Fault
	events map[int]context.CancelFunc // of the event streams that are open
	next   int
}

// Fault is asked about each call to the engine: before it is passed on, and again when the engine has
// done it and the gateway does not know yet (done). What time it takes delays the call; false breaks
// the connection. A call is named by its method and path, with a star for what is named in it:
// "POST /containers/*/start".
type Fault func(call string, done bool) bool

// Slow returns the fault of an engine that takes so much longer for every call.
func Slow(d time.Duration) Fault {
	return func(_ string, done bool) bool {
		if !done {
			time.Sleep(d)
		}
		return true
	}
}

// NewRelay returns a relay to the engine at a socket, which listens on a socket in dir.
func NewRelay(dir, engine string) (*Relay, error) {
	r := &Relay{socket: filepath.Join(dir, "relay.sock"), events: map[int]context.CancelFunc{}}
	listener, err := net.Listen("unix", r.socket)
	if err != nil {
		return nil, err
	}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "engine"})
	proxy.FlushInterval = -1
	proxy.ErrorLog = log.New(io.Discard, "", 0) // broken streams are what it is for
	proxy.Transport = &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", engine)
		},
		DisableKeepAlives: true, // an engine that was restarted is seen as it is
	}
	proxy.ModifyResponse = func(resp *http.Response) error {
		if !r.ask(nameOf(resp.Request), true) {
			return http.ErrAbortHandler
		}
		return nil
	}
	proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	r.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		call := nameOf(req)
		if !r.ask(call, false) {
			panic(http.ErrAbortHandler)
		}
		if call == "GET /events" {
			ctx, end := r.opened(req.Context())
			defer end()
			req = req.WithContext(ctx)
		}
		proxy.ServeHTTP(w, req)
	})}
	go func() { _ = r.server.Serve(listener) }()
	return r, nil
}

var (
	apiVersion = regexp.MustCompile(`^/v[0-9.]+`)
	named      = regexp.MustCompile(`^/(containers|volumes|networks|images|exec)/([^/]+)`)
)

func nameOf(r *http.Request) string {
	path := apiVersion.ReplaceAllString(r.URL.Path, "")
	if m := named.FindStringSubmatch(path); m != nil && m[2] != "create" && m[2] != "json" {
		path = named.ReplaceAllString(path, "/$1/*")
	}
	return r.Method + " " + path
}

func (r *Relay) ask(call string, done bool) bool {
	r.mu.Lock()
	fault := r.fault
	r.mu.Unlock()
	return fault == nil || fault(call, done)
}

func (r *Relay) opened(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next++
	n := r.next
	r.events[n] = cancel
	return ctx, func() {
		cancel()
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.events, n)
	}
}

// Host returns the relay's address, as in DOCKER_HOST.
func (r *Relay) Host() string { return "unix://" + r.socket }

// Play plays a fault from now on; nil ends it.
func (r *Relay) Play(f Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault = f
}

// Cut ends the event streams that are open.
func (r *Relay) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, end := range r.events {
		end()
	}
}

// Close ends the relay and every connection through it.
func (r *Relay) Close() error { return r.server.Close() }
