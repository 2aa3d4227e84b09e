package server

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/upstream"
)

// upstreamIdle is shorter than the five seconds after which a Node server closes an idle connection, so that
// we never send a request on one that is about to go.
const upstreamIdle = 4 * time.Second

// ide serves bridge.IDEPort: everything goes to code-server, but what the bridge keeps for itself.
type ide struct {
	server    *Server
	assets    *assets
	proxy     *httputil.ReverseProxy
	transport *upstream.Transport
}

func newIDE(s *Server, socket string) *ide {
	var dialer net.Dialer
	transport := upstream.New(func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "unix", socket)
	}, upstreamIdle)
	return &ide{server: s, assets: newAssets(s.cfg.EditorDir), transport: transport, proxy: &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			passOn(r)
			r.Out.URL.Host = "code-server"
		},
		Transport:    transport,
		BufferPool:   &buffers,
		ErrorLog:     log.New(io.Discard, "", 0), // Clients that leave are no fault.
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { editorGone(w) },
	}}
}

func (h *ide) close() { h.transport.CloseIdleConnections() }

func (h *ide) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch route(r.URL.Path) {
	case routeReady:
		if r.Method == http.MethodGet {
			h.server.serveReady(w, r)
			return
		}
		fallthrough
	case routeNone:
		http.NotFound(w, r)
		return
	}
	if r.Method == http.MethodConnect {
		http.Error(w, "This is not a proxy.", http.StatusMethodNotAllowed)
		return
	}
	if h.assets.serve(w, r) {
		return
	}
	if !h.server.ready.ok.Load() && !h.hold(w, r) {
		return
	}
	h.proxy.ServeHTTP(w, r)
}

// hold keeps a request until VS Code is ready. If that does not come, it answers it and returns false.
func (h *ide) hold(w http.ResponseWriter, r *http.Request) bool {
	held := h.server.cfg.timing.requestHold
	ctx, cancel := context.WithTimeout(r.Context(), held)
	defer cancel()
	err := h.server.ready.wait(ctx)
	if err == nil {
		return true
	}
	w.Header().Set("Retry-After", "5")
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, whyNotReady(err, held), http.StatusServiceUnavailable)
	return false
}

func editorGone(w http.ResponseWriter) {
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, "VS Code did not answer. It is started again if it has ended: try again in a moment.", http.StatusBadGateway)
}

// Where a path on bridge.IDEPort leads.
const (
	routeEditor = iota
	routeReady
	routeNone
)

// route sends everything to code-server but the bridge's own paths and code-server's port proxy, which would
// pass by the gateway's rules for previews. p is decoded once, as in url.URL.Path. code-server's router folds
// case and may see a path that is encoded more than once, so the first segment is looked at in its
// plainest form.
func route(p string) int {
	if p == bridge.ReadyPath {
		return routeReady
	}
	switch strings.ToLower(firstSegment(p)) {
	case ".kalpana", "proxy", "absproxy":
		return routeNone
	}
	return routeEditor
}

// firstSegment returns the first segment of a path, fully decoded and cleaned.
func firstSegment(p string) string {
	for i := 0; i < 4 && strings.IndexByte(p, '%') >= 0; i++ {
		plain, err := url.PathUnescape(p)
		if err != nil {
			break
		}
		p = plain
	}
	if strings.IndexByte(p, '\\') >= 0 {
		p = strings.ReplaceAll(p, `\`, "/")
	}
	p = path.Clean("/" + strings.TrimLeft(p, "/"))[1:]
	if i := strings.IndexByte(p, '/'); i >= 0 {
		p = p[:i]
	}
	return p
}

// passOn undoes what ReverseProxy changes in a request that comes from our own gateway: the bridge is not the
// edge, and forwards what it gets.
func passOn(r *httputil.ProxyRequest) {
	r.Out.URL.Scheme = "http"
	r.Out.Host = r.In.Host
	r.Out.URL.RawQuery = r.In.URL.RawQuery
	for _, name := range [...]string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if v, ok := r.In.Header[name]; ok {
			r.Out.Header[name] = v
		}
	}
}

// bufferPool keeps the buffers through which bodies are copied.
type bufferPool struct{ pool sync.Pool }

const copyBuffer = 32 << 10

var buffers bufferPool

// Get and Put pass pointers to arrays through the pool, which costs no allocation.
func (b *bufferPool) Get() []byte {
	if p, ok := b.pool.Get().(*[copyBuffer]byte); ok {
		return p[:]
	}
	return make([]byte, copyBuffer)
}

func (b *bufferPool) Put(p []byte) { b.pool.Put((*[copyBuffer]byte)(p)) }
