package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/upstream"
)

// previews proxies to ports on the container's loopback. All paths, methods and headers are the app's, but
// ours.
type previews struct {
	proxy     *httputil.ReverseProxy
	transport *http.Transport
}

type portKey struct{}

func newPreviews(stall time.Duration) *previews {
	transport := &http.Transport{
		DialContext:         upstream.Stalling(dialLoopback, stall),
		DisableCompression:  true,
		MaxIdleConns:        256,
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     upstreamIdle,
	}
	return &previews{transport: transport, proxy: &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			passOn(r)
			port, _ := r.In.Context().Value(portKey{}).(int)
			r.Out.URL.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		},
		ModifyResponse: func(r *http.Response) error {
			r.Header.Del(bridge.PreviewHeader) // Only we say that.
			return nil
		},
		Transport:     transport,
		FlushInterval: -1, // Apps under development stream with a length, too.
		BufferPool:    &buffers,
		ErrorLog:      log.New(io.Discard, "", 0),
		ErrorHandler:  previewFailed,
	}}
}

func (p *previews) close() { p.transport.CloseIdleConnections() }

func (p *previews) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	given := r.Header[bridge.PortHeader]
	delete(r.Header, bridge.PortHeader)
	port, ok := previewPort(given)
	if !ok || r.Method == http.MethodConnect {
		http.Error(w, "There is no preview of this port.", http.StatusNotFound)
		return
	}
	p.proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), portKey{}, port)))
}

// previewPort reads the value of bridge.PortHeader.
func previewPort(given []string) (int, bool) {
	if len(given) != 1 {
		return 0, false
	}
	port, err := strconv.Atoi(given[0])
	if err != nil || strconv.Itoa(port) != given[0] {
		return 0, false
	}
	if port < bridge.MinPreviewPort || port > 65535 || port == bridge.IDEPort || port == bridge.BridgePort {
		return 0, false
	}
	return port, true
}

func previewFailed(w http.ResponseWriter, r *http.Request, err error) {
	port, _ := r.Context().Value(portKey{}).(int)
	text := fmt.Sprintf("The program on port %d did not answer.", port)
	verdict := bridge.PreviewFailed
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		text = fmt.Sprintf("Nothing listens on port %d. Start your program, then reload.", port)
		verdict = bridge.PreviewRefused
	}
	w.Header().Set(bridge.PreviewHeader, verdict)
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, text, http.StatusBadGateway)
}

// dialLoopback connects to a port of the loopback: of IPv4, or where only IPv6 listens, as a server does that
// was told "localhost", of IPv6.
func dialLoopback(ctx context.Context, network, addr string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	conn, err := dialer.DialContext(ctx, network, addr)
	if err == nil {
		return conn, nil
	}
	_, port, splitErr := net.SplitHostPort(addr)
	if splitErr != nil {
		return nil, err
	}
	if conn, err6 := dialer.DialContext(ctx, network, net.JoinHostPort("::1", port)); err6 == nil {
		return conn, nil
	}
	return nil, err
}
