package gateway

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/upstream"
	"github.com/kalpana-dev/kalpana/workspace"
)

// proxy carries requests to published ports. It is httputil.ReverseProxy rather than Caddy's,
// which closes proxied WebSockets when its configuration is reloaded (caddy#7222, #6420).
type proxy struct {
	ide      *httputil.ReverseProxy
	previews *httputil.ReverseProxy
	scheme   string
	direct   *upstream.Transport // nil where a test has a transport of its own
	hosts    *workspace.Hosts
	ancestry string // the frame-ancestors of VS Code
	renew    func(identity.Grant) *http.Cookie

	addressOf func(*http.Request) string
}

type visitKey struct{}

// outcome is how an attempt to proxy a request ended.
type outcome int

const (
	answered       outcome = iota
	unreachable            // no connection came about; nothing was answered
	broken                 // it ended before an answer; nothing was answered
	over                   // the client left or the grant ended; nothing was answered
	nothingListens         // the bridge says so of the preview's port; nothing was answered
	appFailed              // the bridge says that what listens there gave no answer; nothing was answered
)

func newProxy(cfg Config) *proxy {
	p := &proxy{
		scheme: "http", renew: cfg.Identity.RenewGrant, addressOf: cfg.Identity.AddressOf,
		hosts: cfg.Hosts, ancestry: "frame-ancestors " + ancestors(cfg.Hosts, workspace.Host{Kind: workspace.HostIDE}),
	}
	p.direct, _ = cfg.Transport.(*upstream.Transport)
	if cfg.Hosts.Secure() {
		p.scheme = "https"
	}
	buffers := new(bufferPool)
	reverse := func(flush time.Duration) *httputil.ReverseProxy {
		return &httputil.ReverseProxy{
			Rewrite:        p.rewrite,
			ModifyResponse: p.modifyResponse,
			ErrorHandler:   errorHandler,
			Transport:      cfg.Transport,
			FlushInterval:  flush,
			BufferPool:     buffers,
			ErrorLog:       log.New(io.Discard, "", 0), // broken streams are everyday; the handler sees the rest
		}
	}
	// Streams without a length are flushed at once in any case. Apps under development stream with
	// one, too; VS Code does not, and a flush costs a second write for each answer.
	p.ide, p.previews = reverse(0), reverse(-1)
	return p
}

// serve proxies one request to v.route.
func (p *proxy) serve(v *visit) outcome {
	reverse := p.ide
	if v.host.Kind == workspace.HostPreview {
		reverse = p.previews
	}
	v.outcome = answered
	if p.direct != nil && upstream.Simple(v.r) {
		p.carry(v)
		return v.outcome
	}
	reverse.ServeHTTP(&v.w, v.r.WithContext(context.WithValue(v.ctx, visitKey{}, v)))
	return v.outcome
}

// carry does the same for what most requests are. It changes the request's own header: nobody looks at what it
// takes away any more.
func (p *proxy) carry(v *visit) {
	strip(v.r.Header)
	fields := [...]upstream.Field{
		{Name: bridge.TokenHeader, Value: v.route.Token}, {Name: "X-Forwarded-Host", Value: v.r.Host}, {Name: "X-Forwarded-Proto", Value: p.scheme}, {}, {},
	}
	to := upstream.Target{Addr: v.route.IDE, Header: fields[:3], Answer: func(r *http.Response) error { return p.modify(v, r) }}
	if ip := p.client(v.r); ip != "" {
		to.Header = append(to.Header, upstream.Field{Name: "X-Forwarded-For", Value: ip})
	}
	if v.host.Kind == workspace.HostPreview {
		to.Addr, to.Flush = v.route.Bridge, true
		to.Header = append(to.Header, upstream.Field{Name: bridge.PortHeader, Value: strconv.Itoa(v.host.Port)})
	}
	if err := p.direct.Carry(v.ctx, &v.w, v.r, &to); err != nil {
		v.failed(err)
	}
}

// client returns the IP address that a request comes from, or "" where there is none (a Unix socket).
func (p *proxy) client(r *http.Request) string {
	address := p.addressOf(r)
	if _, err := netip.ParseAddr(address); err != nil {
		return ""
	}
	return address
}

// strip removes from a request's header what is ours, and what only we may say.
func strip(h http.Header) {
	identity.StripCookies(h)
	identity.StripTokens(h)
	stripIdentityHeaders(h)
}

func (p *proxy) rewrite(pr *httputil.ProxyRequest) {
	v := pr.In.Context().Value(visitKey{}).(*visit)
	out := pr.Out
	out.URL.Scheme = "http"
	out.URL.Host = v.route.IDE
	out.URL.RawQuery = pr.In.URL.RawQuery // as it came: we read nothing in it
	out.Host = pr.In.Host
	strip(out.Header)
	stripIdentityHeaders(out.Trailer)

	values := [...]string{v.route.Token, pr.In.Host, p.scheme, "", ""}
	out.Header[bridge.TokenHeader] = values[0:1:1]
	out.Header["X-Forwarded-Host"] = values[1:2:2]
	out.Header["X-Forwarded-Proto"] = values[2:3:3]
	if ip := p.client(pr.In); ip != "" {
		values[3] = ip
		out.Header["X-Forwarded-For"] = values[3:4:4]
	}
	if v.host.Kind == workspace.HostPreview {
		out.URL.Host = v.route.Bridge
		values[4] = strconv.Itoa(v.host.Port)
		out.Header[bridge.PortHeader] = values[4:5:5]
	}
}

// stripIdentityHeaders removes what only we may say, in any spelling that a server on the way
// might fold to ours (CVE-2025-64484, GHSA-f59h-q822-g45g): X-Kalpana-*, X-Forwarded-*, Forwarded,
// X-Real-Ip.
func stripIdentityHeaders(h http.Header) {
	for name := range h {
		if foldedPrefix(name, "x-kalpana") || foldedPrefix(name, "x-forwarded") ||
			len(name) == len("forwarded") && foldedPrefix(name, "forwarded") ||
			len(name) == len("x-real-ip") && foldedPrefix(name, "x-real-ip") {
			delete(h, name)
		}
	}
}

// foldedPrefix reports whether name begins with prefix, which is in lower case, when letters are
// folded and everything that is neither letter nor digit counts as a hyphen.
func foldedPrefix(name, prefix string) bool {
	if len(name) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		c := name[i]
		switch {
		case c >= 'A' && c <= 'Z':
			c |= 0x20
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		default:
			c = '-'
		}
		if c != prefix[i] {
			return false
		}
	}
	return true
}

var errStatus = errors.New("its status is none")

func (p *proxy) modifyResponse(r *http.Response) error {
	return p.modify(r.Request.Context().Value(visitKey{}).(*visit), r)
}

func (p *proxy) modify(v *visit, r *http.Response) error {
	if r.StatusCode < 100 || r.StatusCode > 999 {
		return errStatus // net/http panics when told to write it
	}
	stripSetCookies(r.Header)
	stripClearing(r.Header)
	if p.scheme == "https" {
		delete(r.Header, "Strict-Transport-Security")
		v.w.Header()["Strict-Transport-Security"] = strictTransport // an early answer (103) took it away
	}
	if v.host.Kind == workspace.HostIDE {
		r.Header["Content-Security-Policy"] = append(r.Header["Content-Security-Policy"], p.ancestry)
		delete(r.Header, "X-Frame-Options")
	} else {
		if err := bridgeVerdict(r.Header); err != nil {
			return err
		}
		if !v.grant.IsVisitor() { // a sibling's page must not lay it under its own (clickjacking)
			r.Header["Content-Security-Policy"] = append(r.Header["Content-Security-Policy"], "frame-ancestors "+ancestors(p.hosts, v.host))
		}
	}
	if v.cors != "" {
		withoutCORS(r.Header)
		v.allow() // an early answer (103) took away what was said before
	}
	if v.grant.IsVisitor() {
		return nil
	}
	if c := p.renew(v.grant); c != nil {
		r.Header.Add("Set-Cookie", c.String())
	}
	return nil
}

// What the bridge may say of a preview in the app's place; see [bridge.PreviewHeader].
var (
	errNothingListens = errors.New("nothing listens on that port")
	errAppFailed      = errors.New("what listens on that port gave no answer")
)

func bridgeVerdict(h http.Header) error {
	switch h.Get(bridge.PreviewHeader) {
	case bridge.PreviewRefused:
		return errNothingListens
	case bridge.PreviewFailed:
		return errAppFailed
	}
	return nil
}

// stripSetCookies keeps a workspace from setting cookies of our names. A cookie without a name
// comes back as its value alone, so it may look like one of ours (CVE-2022-2860).
func stripSetCookies(h http.Header) {
	cookies := h["Set-Cookie"]
	kept := cookies[:0]
	for _, c := range cookies {
		if !strings.HasPrefix(strings.TrimLeft(c, " \t\r\n\v\f="), "__Host-kalpana_") {
			kept = append(kept, c)
		}
	}
	if len(kept) < len(cookies) {
		h["Set-Cookie"] = kept
	}
}

// stripClearing keeps a workspace from clearing cookies: a browser clears those of the whole
// registrable domain, where the console and its session may be (Clear Site Data, section 3.1).
func stripClearing(h http.Header) {
	for _, v := range h["Clear-Site-Data"] {
		if strings.Contains(v, "cookies") || strings.Contains(v, "*") {
			delete(h, "Clear-Site-Data")
			return
		}
	}
}

// errorHandler leaves it to the gateway to answer.
func errorHandler(_ http.ResponseWriter, r *http.Request, err error) {
	r.Context().Value(visitKey{}).(*visit).failed(err)
}

// failed notes how an attempt to proxy the request ended that nothing was answered to.
func (v *visit) failed(err error) {
	switch {
	case v.w.wrote: // it became a WebSocket, which has broken
	case v.ctx.Err() != nil:
		v.outcome = over
	case errors.Is(err, errNothingListens):
		v.outcome = nothingListens
	case errors.Is(err, errAppFailed):
		v.outcome = appFailed
	case isUnreachable(err):
		v.outcome = unreachable
	default:
		v.outcome = broken
	}
}

// isUnreachable reports whether nothing is there any more to connect to. A fault of our own, such as
// too many open files, says nothing about a workspace.
func isUnreachable(err error) bool {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "dial" {
		return false
	}
	return op.Timeout() || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH)
}

// bufferPool lends the proxy its copy buffers. Pointers to arrays cost no allocation.
type bufferPool struct{ pool sync.Pool }

const copyBuffer = 32 << 10

// Get implements httputil.BufferPool.
func (b *bufferPool) Get() []byte {
	if p, ok := b.pool.Get().(*[copyBuffer]byte); ok {
		return p[:]
	}
	return make([]byte, copyBuffer)
}

// Put implements httputil.BufferPool.
func (b *bufferPool) Put(p []byte) { b.pool.Put((*[copyBuffer]byte)(p)) }
