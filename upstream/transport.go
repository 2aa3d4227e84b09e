// Package upstream carries requests to what a proxy stands in front of.
//
// net/http's own transport hands each request to two goroutines of its connection and back, and
// httputil.ReverseProxy copies it several times, which costs more than the request itself where both ends are
// on one machine. Here a GET or HEAD without a body, which most requests are, is written and its answer is read
// in the goroutine that asks: [Transport.Carry] for a server's requests, RoundTrip for others. Everything else
// net/http carries as ever.
package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Limits of what a Transport keeps and accepts.
const (
	maxIdle        = 4096 // connections, of all addresses
	maxIdlePerAddr = 256
	bufferSize     = 16 << 10
	// maxHead bounds the head of an answer, in bytes: a container chooses what it answers.
	maxHead = 256 << 10
	// maxInterim bounds how many answers of 1xx may come before the one that counts.
	maxInterim = 5
)

// Transport carries plain HTTP/1.1. It is safe for concurrent use.
type Transport struct {
	dialContext func(ctx context.Context, network, addr string) (net.Conn, error)
	idleTimeout time.Duration

	others http.Transport // carries what is not simple

	mu    sync.Mutex
	lines map[string]*line
	idle  map[string][]*conn // the one used last is the last
	count int
	sweep *time.Timer // runs while there are idle connections
}

// New returns a Transport. A connection that was idle for idleTimeout is closed: less than what the other
// end waits, so that a request is never sent on one that is about to go. One of TCP whose other end takes nothing for
// [StallLimit] breaks; see [Stalling].
func New(dial func(ctx context.Context, network, addr string) (net.Conn, error), idleTimeout time.Duration) *Transport {
	dial = Stalling(dial, StallLimit)
	t := &Transport{dialContext: dial, idleTimeout: idleTimeout, lines: map[string]*line{}, idle: map[string][]*conn{}}
	t.others = http.Transport{
		DialContext:            dial,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdlePerAddr,
		IdleConnTimeout:        idleTimeout,
		DisableCompression:     true, // bodies pass as they are
		WriteBufferSize:        bufferSize,
		ReadBufferSize:         bufferSize,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: maxHead,
	}
	return t
}

// conn is a connection that carries one request at a time.
type conn struct {
	net.Conn
	addr  string
	in    *bufio.Reader
	out   *bufio.Writer
	left  int64 // bytes that may still be read
	read  bool  // something was, since the request began
	since time.Time

	abort func()          // ends reading and writing at once
	raw   syscall.RawConn // nil where there is none

	last  bool               // what is written now ends a request
	step  func(uintptr) bool // writes rest, and is called again when there is something to read
	rest  []byte             // nil once it was tried
	sent  int
	wrong error
}

// afterFunc is context.AfterFunc, which would have a context that has one of its own make a channel first.
func afterFunc(ctx context.Context, f func()) (stop func() bool) {
	if a, ok := ctx.(interface {
		AfterFunc(f func()) (stop func() bool)
	}); ok {
		return a.AfterFunc(f)
	}
	return context.AfterFunc(ctx, f)
}

// errUnasked says that a connection that was idle has ended, or that something came which would be taken for the
// next request's answer.
var errUnasked = errors.New("the connection was not silent before it was asked")

// Write implements io.Writer under conn.out. It writes the end of a request once it waits for the answer already: a
// reader that comes after that tries before there can be anything, and each try costs a system call.
func (c *conn) Write(p []byte) (int, error) {
	if !c.last || c.raw == nil {
		return c.Conn.Write(p)
	}
	c.rest, c.sent, c.wrong = p, 0, nil
	err := c.raw.Read(c.step)
	switch sent := c.sent; {
	case c.wrong != nil:
		return sent, c.wrong
	case err != nil || sent == len(p):
		return sent, err
	default:
		n, err := c.Conn.Write(p[sent:])
		return sent + n, err
	}
}

func (c *conn) stepAt(fd uintptr) bool {
	rest := c.rest
	if rest == nil {
		return true // there is something to read
	}
	c.rest = nil
	var b [1]byte
	if _, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT); err != unix.EAGAIN { //nolint:errorlint // a bare number
		c.wrong = errUnasked
		return true
	}
	var err error
	if c.sent, err = unix.Write(int(fd), rest); err != nil {
		c.sent = 0
		if err != unix.EAGAIN && err != unix.EINTR { //nolint:errorlint // the same
			c.wrong = os.NewSyscallError("write", err)
		}
	}
	return c.sent < len(rest)
}

// Read implements io.Reader under conn.in.
func (c *conn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errLongHead
	}
	if int64(len(p)) > c.left {
		p = p[:c.left]
	}
	n, err := c.Conn.Read(p)
	c.left -= int64(n)
	c.read = c.read || n > 0
	return n, err
}

var errLongHead = fmt.Errorf("the answer's head is longer than %d KiB", maxHead>>10)

// simple reports whether a request is one that this package carries by itself, if it has no body.
func simple(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && !r.Close &&
		len(r.TransferEncoding) == 0 && len(r.Trailer) == 0 &&
		len(r.Header["Upgrade"]) == 0 && len(r.Header["Expect"]) == 0 && len(r.Header["Connection"]) == 0 && len(r.Header["Te"]) == 0
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "http" || (r.Body != nil && r.Body != http.NoBody) || !simple(r) {
		return t.others.RoundTrip(r)
	}
	return t.ask(r.Context(), r.URL.Host, r, r.Write, traced(r.Context()))
}

// ask sends a simple request, on a connection that is there or on a new one.
func (t *Transport) ask(ctx context.Context, addr string, r *http.Request, write func(io.Writer) error, interim func(int, http.Header) error) (*http.Response, error) {
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		c, fresh, err := t.take(ctx, addr)
		if err != nil {
			return nil, err
		}
		resp, err := t.exchange(ctx, c, r, write, interim)
		if err == nil {
			return resp, nil
		}
		_ = c.Close()
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		if fresh || c.read {
			return nil, err
		}
		// The other end had closed a connection that was idle, or had said what nobody asked for. Nothing came
		// back, and a GET may be asked again (RFC 9110 section 9.2.2).
	}
}

func (t *Transport) dial(ctx context.Context, addr string) (*conn, error) {
	raw, err := t.dialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: raw, addr: addr}
	c.in, c.out = bufio.NewReaderSize(c, bufferSize), bufio.NewWriterSize(c, bufferSize)
	c.abort = func() { _ = raw.SetDeadline(time.Unix(1, 0)) }
	if s, ok := raw.(syscall.Conn); ok {
		c.raw, _ = s.SyscallConn()
		c.step = c.stepAt
	}
	return c, nil
}

// exchange sends what write writes and reads the head of the answer to it, which r says the method of. The
// connection is the answer's body's from then on. interim is told of what comes before the answer.
func (t *Transport) exchange(ctx context.Context, c *conn, r *http.Request, write func(io.Writer) error, interim func(int, http.Header) error) (*http.Response, error) {
	c.left, c.read, c.last = maxHead, false, false
	stop := afterFunc(ctx, c.abort)
	resp, err := func() (*http.Response, error) {
		if err := write(c.out); err != nil {
			return nil, err
		}
		c.last = true
		if err := c.out.Flush(); err != nil {
			return nil, err
		}
		return readFinal(c, r, interim)
	}()
	if err != nil {
		stop()
		return nil, err
	}
	c.left = math.MaxInt64
	resp.Body = &body{from: resp.Body, t: t, c: c, stop: stop, ctx: ctx, keep: !resp.Close}
	if resp.ContentLength == 0 || r.Method == http.MethodHead || resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusNotModified {
		resp.Body.(*body).end(true) // nobody may ever read it
	}
	return resp, nil
}

// traced passes answers of 1xx on to whoever traces the request, as net/http does: 103 Early Hints.
func traced(ctx context.Context) func(int, http.Header) error {
	trace := httptrace.ContextClientTrace(ctx)
	if trace == nil || trace.Got1xxResponse == nil {
		return nil
	}
	return func(code int, h http.Header) error { return trace.Got1xxResponse(code, textproto.MIMEHeader(h)) }
}

// readFinal reads the head of the answer that counts.
func readFinal(c *conn, r *http.Request, interim func(int, http.Header) error) (*http.Response, error) {
	for range maxInterim + 1 {
		resp, err := http.ReadResponse(c.in, r)
		if err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) && !c.read {
				err = io.EOF
			}
			return nil, err
		}
		switch {
		case resp.StatusCode < 100:
			return nil, fmt.Errorf("the answer has the status %d", resp.StatusCode)
		case resp.StatusCode == http.StatusSwitchingProtocols:
			return nil, errors.New("the answer switches to a protocol that nobody asked for")
		case resp.StatusCode >= 200:
			return resp, nil
		}
		if interim != nil {
			if err := interim(resp.StatusCode, resp.Header); err != nil {
				return nil, err
			}
		}
	}
	return nil, errors.New("too many answers of 1xx")
}

// body is the body of an answer. Its connection is used again once the body was read to its end.
type body struct {
	from io.ReadCloser
	t    *Transport
	c    *conn
	ctx  context.Context //nolint:containedctx // it bounds the reading of the body, which is the request's last part
	stop func() bool
	keep bool
	done bool
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.done {
		return 0, io.EOF
	}
	n, err := b.from.Read(p)
	if err != nil {
		b.end(errors.Is(err, io.EOF))
		if errors.Is(err, os.ErrDeadlineExceeded) && b.ctx.Err() != nil {
			err = context.Cause(b.ctx)
		}
	}
	return n, err
}

// Close implements io.Closer. A body that was not read to its end takes its connection along.
func (b *body) Close() error {
	b.end(false)
	return nil
}

func (b *body) end(whole bool) {
	if b.done {
		return
	}
	b.done = true
	// A context that has ended may still be about to set a deadline.
	if !b.stop() || !whole || !b.keep || b.c.in.Buffered() > 0 {
		_ = b.c.Close()
		return
	}
	b.t.put(b.c)
}

// take returns the connection to addr that was idle for the shortest time, or a new one.
func (t *Transport) take(ctx context.Context, addr string) (c *conn, fresh bool, err error) {
	c, turn := t.pop(addr)
	if turn != nil {
		c, err = t.wait(ctx, addr, turn)
	}
	if c != nil || err != nil {
		return c, false, err
	}
	c, err = t.dial(ctx, addr)
	if ctx.Err() != nil {
		t.dialled(addr, nil) // that we leave concerns nobody else
	} else {
		t.dialled(addr, err)
	}
	return c, true, err
}

// maxDials is how many connections are made to one address at a time, and how many at once where there is none. Where
// many ask, a connection whose answer has come is sooner to be had than a new one: twice as many are there after each
// lull in which none came back.
const (
	maxDials = 8
	lull     = 2 * time.Millisecond
)

// line is who waits for a connection to an address, until nobody does.
type line struct {
	dials   int // that are under way
	leave   int // for so many more
	made    int
	waiting []chan handed
	moves   bool        // a connection came back since the last look
	look    *time.Timer // runs while somebody waits and there is no leave; else nil, or about to end
}

// handed is what somebody in a line gets: a connection, a failure to make one, or else leave to make one.
type handed struct {
	conn *conn
	err  error
}

// next takes the first out of the line, or returns nil. The caller holds t.mu.
func (l *line) next() chan handed {
	if l == nil || len(l.waiting) == 0 {
		return nil
	}
	first := l.waiting[0]
	l.waiting = l.waiting[1:]
	return first
}

// wait returns a connection, or nil when it is the caller's turn to dial.
func (t *Transport) wait(ctx context.Context, addr string, turn chan handed) (*conn, error) {
	select {
	case got := <-turn:
		return got.conn, got.err
	case <-ctx.Done():
	}
	t.mu.Lock()
	l := t.lines[addr]
	if l != nil {
		l.waiting = slices.DeleteFunc(l.waiting, func(other chan handed) bool { return other == turn })
	}
	t.mu.Unlock()
	select {
	case got := <-turn: // it came at the same time
		switch {
		case got.conn != nil:
			t.put(got.conn)
		case got.err == nil:
			t.dialled(addr, nil)
		}
	default:
	}
	return nil, context.Cause(ctx)
}

// dialled ends a dial. Who waits would meet the same failure.
func (t *Transport) dialled(addr string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.lines[addr]
	if err != nil {
		for turn := l.next(); turn != nil; turn = l.next() {
			turn <- handed{err: err}
		}
	}
	l.dials--
	l.made++
	t.advance(addr, l)
}

// advance gives those who wait leave to dial, as far as there is any. While somebody waits, either a dial is
// under way or l.look runs. The caller holds t.mu.
func (t *Transport) advance(addr string, l *line) {
	for l.leave > 0 && l.dials < maxDials && len(l.waiting) > 0 {
		l.leave--
		l.dials++
		l.next() <- handed{}
	}
	switch {
	case l.look != nil:
	case l.leave == 0 && len(l.waiting) > 0:
		l.look = time.AfterFunc(lull, func() { t.lookAt(addr, l) })
	case l.dials == 0 && len(l.waiting) == 0 && t.lines[addr] == l:
		delete(t.lines, addr)
	}
}

// lookAt gives leave for more dials, unless connections come back.
func (t *Transport) lookAt(addr string, l *line) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l.look = nil
	if !l.moves {
		l.leave = max(l.made, maxDials)
	}
	l.moves = false
	t.advance(addr, l)
}

// pop returns an idle connection; or nil, and leave to dial; or a place in the line of those who wait.
func (t *Transport) pop(addr string) (*conn, chan handed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if list := t.idle[addr]; len(list) > 0 {
		c := list[len(list)-1]
		list[len(list)-1] = nil
		t.keep(addr, list[:len(list)-1])
		return c, nil
	}
	l := t.lines[addr]
	if l == nil {
		l = &line{leave: maxDials}
		t.lines[addr] = l
	}
	if l.leave > 0 && l.dials < maxDials {
		l.leave--
		l.dials++
		return nil, nil
	}
	turn := make(chan handed, 1)
	l.waiting = append(l.waiting, turn)
	t.advance(addr, l)
	return nil, turn
}

func (t *Transport) put(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.lines[c.addr]
	if turn := l.next(); turn != nil {
		l.moves = true
		turn <- handed{conn: c}
		return
	}
	list := t.idle[c.addr]
	if t.count >= maxIdle || len(list) >= maxIdlePerAddr {
		_ = c.Close()
		return
	}
	c.since = time.Now()
	t.keep(c.addr, append(list, c))
	if t.sweep == nil {
		t.sweep = time.AfterFunc(t.idleTimeout, t.closeOld)
	}
}

// keep sets the idle connections to an address. The caller holds t.mu.
func (t *Transport) keep(addr string, list []*conn) {
	t.count += len(list) - len(t.idle[addr])
	if len(list) == 0 {
		delete(t.idle, addr)
	} else {
		t.idle[addr] = list
	}
}

// closeOld closes what was idle for too long, and comes back while there are others.
func (t *Transport) closeOld() {
	t.closeBefore(time.Now().Add(-t.idleTimeout))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep = nil
	if t.count > 0 {
		t.sweep = time.AfterFunc(t.idleTimeout/4, t.closeOld)
	}
}

// CloseIdleConnections closes the connections that carry no request now.
func (t *Transport) CloseIdleConnections() {
	t.closeBefore(time.Now().Add(t.idleTimeout))
	t.mu.Lock()
	if t.sweep != nil && t.count == 0 {
		t.sweep.Stop()
		t.sweep = nil
	}
	t.mu.Unlock()
	t.others.CloseIdleConnections()
}

func (t *Transport) closeBefore(limit time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for addr, list := range t.idle {
		old := 0
		for old < len(list) && list[old].since.Before(limit) {
			_ = list[old].Close()
			old++
		}
		t.keep(addr, slices.Delete(list, 0, old))
	}
}

var _ http.RoundTripper = (*Transport)(nil)
