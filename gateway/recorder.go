package gateway

import (
	"bufio"
	"net"
	"net/http"
	"sync/atomic"
)

// recorder remembers the status for the metrics.
type recorder struct {
	http.ResponseWriter
	status int
	wrote  bool

	streams *atomic.Int64 // counts those that are open; nil where nobody does
	stream  bool          // it became one
}

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	switch {
	case status < 200 && status != http.StatusSwitchingProtocols:
		delete(r.Header(), "Set-Cookie") // of an early answer, which nothing else looks at
	case !r.wrote:
		r.status, r.wrote = status, true
	}
	r.ResponseWriter.WriteHeader(status)
}

// Hijack implements http.Hijacker: the connection becomes a WebSocket.
func (r *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(r.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	r.status, r.wrote = http.StatusSwitchingProtocols, true
	if r.streams != nil && !r.stream {
		r.stream = true
		r.streams.Add(1)
	}
	return wholeConn{conn}, buffered, nil
}

// over says that the request is: a stream that it became has ended.
func (r *recorder) over() {
	if r.stream {
		r.stream = false
		r.streams.Add(-1)
	}
}

// wholeConn hides CloseWrite, so that a WebSocket ends on both sides when its container does: else
// the proxy would wait for a client that may never say a word again.
type wholeConn struct{ net.Conn }

// Unwrap lets http.ResponseController reach the server's own writer (flush, deadlines).
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
