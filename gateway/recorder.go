package gateway

import (
	"bufio"
	"errors"
	"io"
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
// the proxy would wait for a client that may never say a word again. It says how it is copied, for most
// WebSockets are silent most of the time.
type wholeConn struct{ net.Conn }

// ReadFrom implements io.ReaderFrom, which io.Copy prefers to a buffer of its own.
func (c wholeConn) ReadFrom(r io.Reader) (int64, error) { return copyStream(c.Conn, r) }

// WriteTo implements io.WriterTo.
func (c wholeConn) WriteTo(w io.Writer) (int64, error) { return copyStream(w, c.Conn) }

// quietBuffer is what a stream keeps while nothing comes, in bytes: a frame of VS Code's fits mostly.
const quietBuffer = 4 << 10

var streams bufferPool

// copyStream is io.Copy with a small buffer, and a large one while there is more than that.
func copyStream(w io.Writer, r io.Reader) (written int64, err error) {
	quiet := make([]byte, quietBuffer)
	for buffer := quiet; ; {
		n, err := r.Read(buffer)
		if n > 0 {
			m, err := w.Write(buffer[:n])
			written += int64(m)
			if err != nil {
				return written, err
			}
		}
		much := n >= quietBuffer
		switch {
		case much && len(buffer) == quietBuffer:
			buffer = streams.Get()
		case !much && len(buffer) > quietBuffer:
			streams.Put(buffer)
			buffer = quiet
		}
		if err != nil {
			if len(buffer) > quietBuffer {
				streams.Put(buffer)
			}
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return written, err
		}
	}
}

// Unwrap lets http.ResponseController reach the server's own writer (flush, deadlines).
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
