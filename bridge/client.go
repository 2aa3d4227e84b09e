package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"github.com/sourcegraph/jsonrpc2"
	"golang.org/x/time/rate"

	"github.com/kalpana-dev/kalpana/workspace"
)

const (
	dialTimeout = 10 * time.Second
	// requestRate bounds what the container asks of us, in requests a second; above, the connection
	// ends.
	requestRate = 20
	// maxErrorText bounds Error.Message, in bytes.
	maxErrorText = 1024
)

// cancelGrace is how long the container may take to answer a request that was cancelled. A call's place
// among the MaxInFlight is free again only then, and a container that does not answer loses the
// connection: else it could have us remember any number of calls.
var cancelGrace = 10 * time.Second

// Client is one connection to the bridge of a container. Its methods may be called from several
// goroutines. More than MaxInFlight calls wait for each other; commands and searches wait for one another, and hold up no
// other call. All calls end when the connection does, with ErrClosed.
//
// A container that is frozen answers no ping, so its Client ends about Ping + Pong later.
type Client struct {
	at     Endpoint
	hello  HelloResult
	conn   *jsonrpc2.Conn
	stream *Stream
	slots  chan struct{} // MaxInFlight
	slow   chan struct{} // those of slots that calls may have which take long
	lastID atomic.Uint64
	limit  *rate.Limiter
}

// quickSlots of MaxInFlight are left to calls that are answered soon, however many commands and searches run.
const quickSlots = 8

// Dial connects to the bridge at addr, the host:port of a published BridgePort: see DialWith.
func Dial(ctx context.Context, addr, token string) (*Client, error) {
	return DialWith(ctx, Endpoint{Addr: addr, Token: token})
}

// DialWith connects to the bridge at an endpoint, and says hello. ctx bounds the dialling only. The error is
// ErrUnauthorized if the bridge does not know the token, and ErrOldBridge if it is older than Protocol.
func DialWith(ctx context.Context, at Endpoint) (*Client, error) {
	c, err := dial(ctx, at, DefaultTiming)
	if err != nil {
		return nil, err
	}
	hello, err := ask(ctx, c, MethodHello, 0, &HelloParams{Protocol: Protocol, Version: version()}, (*HelloResult).check)
	if err == nil && hello.Protocol < Protocol {
		err = fmt.Errorf("%w: it speaks version %d of the protocol, not %d", ErrOldBridge, hello.Protocol, Protocol)
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	c.hello = *hello
	return c, nil
}

// version is this program's.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return Printable(info.Main.Version, 64)
	}
	return ""
}

// Hello returns what the bridge said of itself when it was dialled.
func (c *Client) Hello() HelloResult { return c.hello }

// webSocket opens a WebSocket on one of the paths of BridgePort.
func (e Endpoint) webSocket(ctx context.Context, path string) (*websocket.Conn, error) {
	if _, _, err := net.SplitHostPort(e.Addr); err != nil {
		return nil, fmt.Errorf("bridge: %w", err)
	}
	var conn *boundedConn
	// No proxy and no compression: a container's message is as long as its frame.
	dialer := websocket.Dialer{
		NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			dial := e.Dial
			if dial == nil {
				dial = new(net.Dialer).DialContext
			}
			c, err := dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			conn = &boundedConn{Conn: c, left: maxHead}
			return conn, nil
		},
		HandshakeTimeout: dialTimeout,
		ReadBufferSize:   16 << 10,
		WriteBufferSize:  16 << 10,
	}
	ws, resp, err := dialer.DialContext(ctx, "ws://"+e.Addr+path, http.Header{TokenHeader: {e.Token}})
	if resp != nil {
		defer resp.Body.Close()
	}
	switch {
	case err == nil:
		conn.left = math.MaxInt
		return ws, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case pastDeadline(ctx, err):
		return nil, context.DeadlineExceeded
	case resp == nil:
		return nil, fmt.Errorf("bridge: %w", err)
	case resp.StatusCode == http.StatusUnauthorized:
		return nil, ErrUnauthorized
	}
	path, _, _ = strings.Cut(path, "?")
	return nil, &statusError{status: resp.StatusCode, path: path}
}

const (
	// maxHead bounds what is read of a container until it is a WebSocket, in bytes: the library reads a head to its end.
	maxHead = 64 << 10
	// maxMessage bounds what a Stream reads for one message, in bytes: the library reads as many empty frames as come.
	maxMessage = MaxFrame + 64<<10
)

// boundedConn is a connection of which only so much more may be read. Who reads sets that.
type boundedConn struct {
	net.Conn
	left int
}

// Read implements net.Conn.
func (c *boundedConn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, ErrTooLarge
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// pastDeadline reports whether err is the end of ctx's time, which the connection may see before ctx does.
func pastDeadline(ctx context.Context, err error) bool {
	end, ok := ctx.Deadline()
	return ok && errors.Is(err, os.ErrDeadlineExceeded) && !time.Now().Before(end)
}

// statusError is an answer that is no WebSocket.
type statusError struct {
	status int
	path   string
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%v: status %d on %s", ErrBadAnswer, e.status, e.path)
}
func (e *statusError) Unwrap() error { return ErrBadAnswer }

func dial(ctx context.Context, at Endpoint, timing Timing) (*Client, error) {
	ws, err := at.webSocket(ctx, RPCPath)
	if err != nil {
		return nil, err
	}
	c := &Client{
		at:     at,
		stream: NewStream(ws, timing),
		slots:  make(chan struct{}, MaxInFlight),
		slow:   make(chan struct{}, MaxInFlight-quickSlots),
		limit:  rate.NewLimiter(requestRate, requestRate),
	}
	// The connection outlives ctx. The library's log would print what the container sends.
	c.conn = jsonrpc2.NewConn(context.WithoutCancel(ctx), c.stream,
		&answerer{c, at.handlers, at.workspace, make(chan struct{}, MaxInFlight)},
		jsonrpc2.SetLogger(log.New(io.Discard, "", 0)),
		jsonrpc2.OnRecv(c.received))
	return c, nil
}

// Close ends the connection and with it every call.
func (c *Client) Close() error {
	if err := c.conn.Close(); err != nil && !errors.Is(err, jsonrpc2.ErrClosed) {
		return err
	}
	return nil
}

// Done is closed when the connection has ended, whoever ended it.
func (c *Client) Done() <-chan struct{} { return c.conn.DisconnectNotify() }

// received ends the connection when an answer comes that belongs to no call. Every call is remembered
// until it is answered, so an honest bridge never sends one.
func (c *Client) received(req *jsonrpc2.Request, resp *jsonrpc2.Response) {
	if req == nil && resp != nil {
		c.stream.Close()
	}
}

// answerer answers requests of the container: there is no method that it may call but those of handlers.
type answerer struct {
	*Client
	handlers map[string]Handler
	id       workspace.ID
	slots    chan struct{}
}

func (c *answerer) Handle(ctx context.Context, conn *jsonrpc2.Conn, req *jsonrpc2.Request) {
	if !c.limit.Allow() {
		c.stream.Close()
		return
	}
	if req.Notif {
		return
	}
	handle, ok := c.handlers[req.Method]
	if !ok {
		c.refuse(ctx, conn, req.ID, ErrUnknownMethod)
		return
	}
	select {
	case c.slots <- struct{}{}:
	default:
		c.refuse(ctx, conn, req.ID, ErrBusy)
		return
	}
	var params json.RawMessage
	if req.Params != nil {
		params = *req.Params
	}
	go func() {
		defer func() { <-c.slots }()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			select {
			case <-conn.DisconnectNotify():
				cancel()
			case <-ctx.Done():
			}
		}()
		result, err := handle(ctx, c.id, params)
		if err == nil {
			_ = conn.Reply(ctx, req.ID, result)
			return
		}
		var named *Error
		if !errors.As(err, &named) {
			named = ErrInternal
		}
		c.refuse(ctx, conn, req.ID, named)
	}()
}

func (c *answerer) refuse(ctx context.Context, conn *jsonrpc2.Conn, id jsonrpc2.ID, why *Error) {
	_ = conn.ReplyWithError(ctx, id, &jsonrpc2.Error{Code: why.Code, Message: why.Message})
}

// Call calls a method by its name, and decodes its result, which is not checked. The methods of this package have
// functions of their own: this one is for those that server.Config.Methods adds.
func (c *Client) Call(ctx context.Context, method string, params, result any) error {
	give, err := c.take(ctx, false)
	if err != nil {
		return err
	}
	return c.call(ctx, give, method, params, result)
}

// take waits for a place for a call, and returns what gives it back. A slow one is of a method that may take its
// time.
func (c *Client) take(ctx context.Context, slow bool) (give func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	places := []chan struct{}{c.slots}
	if slow {
		places = []chan struct{}{c.slow, c.slots}
	}
	for i, place := range places {
		err := ErrNotSent
		select {
		case place <- struct{}{}:
			continue
		case <-ctx.Done():
			err = ctx.Err()
		case <-c.Done():
		}
		for _, taken := range places[:i] {
			<-taken
		}
		return nil, err
	}
	return func() {
		for _, taken := range places {
			<-taken
		}
	}, nil
}

// call sends one request and waits for its answer, which it stores in result. It gives back the call's place.
func (c *Client) call(ctx context.Context, give func(), method string, params, result any) error {
	id := jsonrpc2.ID{Num: c.lastID.Add(1)} // From 1: the library takes 0 for "choose one".
	pending, err := c.conn.DispatchCall(ctx, method, params, jsonrpc2.PickID(id))
	if err != nil {
		give()
		if err = clientError(err); errors.Is(err, ErrClosed) {
			return ErrNotSent
		}
		return err
	}

	var raw json.RawMessage
	err = pending.Wait(ctx, &raw)
	if ctxErr := ctx.Err(); ctxErr != nil && errors.Is(err, ctxErr) {
		go c.abandon(id, pending, give) //nolint:gosec // It must outlive ctx, which is done.
		return ctxErr
	}
	give()
	if err != nil {
		return clientError(err)
	}
	if err := json.Unmarshal(raw, result); err != nil {
		return fmt.Errorf("%w: result of %s", ErrBadAnswer, method)
	}
	return nil
}

// abandon cancels a call whose caller has left, and sees to it that it gets answered or the connection
// ends.
func (c *Client) abandon(id jsonrpc2.ID, pending jsonrpc2.Waiter, give func()) {
	defer give()
	ctx, cancel := context.WithTimeout(context.Background(), cancelGrace)
	defer cancel()
	_ = c.conn.Notify(ctx, NotifyCancel, CancelParams{ID: id})
	if err := pending.Wait(ctx, nil); errors.Is(err, context.DeadlineExceeded) {
		_ = c.conn.Close()
	}
}

// clientError makes our error of the library's.
func clientError(err error) error {
	var answer *jsonrpc2.Error
	switch {
	case errors.As(err, &answer):
		e := &Error{Code: answer.Code, Message: Printable(answer.Message, maxErrorText)}
		if e.Message == "" {
			e.Message = fmt.Sprintf("error %d", e.Code)
		}
		return e
	case errors.Is(err, jsonrpc2.ErrClosed), errors.Is(err, ErrClosed):
		return ErrClosed
	case errors.Is(err, ErrTooLarge):
		return err
	}
	return fmt.Errorf("bridge: %w", err)
}
