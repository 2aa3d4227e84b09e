package bridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// TunnelPath, on BridgePort, is a WebSocket that carries one TCP connection to the port on the container's loopback
// that the parameter port names: any but IDEPort and BridgePort. Binary messages are bytes; the text message TunnelEnd
// says that its sender has no more to send, as FIN does. When both have said it, the connection is closed with 1000; one
// that breaks, with 1011. A side that does not read stops the other one, by TCP's own flow control; a
// program that takes nothing for ten minutes of what waits for it breaks its tunnel.
//
// Where nothing listens, the answer is 502 with PreviewHeader: PreviewRefused.
const TunnelPath = "/tunnel"

// TunnelEnd is half-close.
const TunnelEnd = "end"

// MaxTunnels bounds the tunnels of a container; one more is answered with 503.
const MaxTunnels = 256

// ErrRefused: nothing listens on that port.
var ErrRefused = errors.New("bridge: nothing listens on that port")

// Tunnel is a TCP connection to a port on a container's loopback. After a deadline has passed it is of no more use.
type Tunnel struct {
	ws *websocket.Conn

	reading sync.Mutex
	message io.Reader // what is left of one
	ended   error     // after which nothing can be read

	writing sync.Mutex
	shut    bool // by CloseWrite
}

var _ net.Conn = (*Tunnel)(nil)

// Tunnel connects to a port on the container's loopback. ctx bounds the dialling only. A port that nothing listens on is
// ErrRefused, one that is not for tunnels ErrInvalid, one tunnel too many ErrBusy.
func (c *Client) Tunnel(ctx context.Context, port int) (*Tunnel, error) {
	ws, err := c.at.webSocket(ctx, TunnelPath+"?"+url.Values{"port": {strconv.Itoa(port)}}.Encode())
	var status *statusError
	if errors.As(err, &status) {
		switch status.status {
		case http.StatusBadGateway:
			return nil, ErrRefused
		case http.StatusBadRequest:
			return nil, ErrInvalid.With("there is no tunnel to port %d", port)
		case http.StatusServiceUnavailable:
			return nil, ErrBusy.With("%d tunnels are open", MaxTunnels)
		}
	}
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(MaxStreamMessage)
	return &Tunnel{ws: ws}, nil
}

// Read reads what the program in the container sent; io.EOF is its FIN.
func (t *Tunnel) Read(p []byte) (int, error) {
	t.reading.Lock()
	defer t.reading.Unlock()
	for t.ended == nil {
		if t.message == nil {
			kind, message, err := t.ws.NextReader()
			if err == nil && kind == websocket.TextMessage {
				err = tunnelText(message)
			}
			if err != nil {
				t.ended = tunnelError(err)
				break
			}
			t.message = message
		}
		n, err := t.message.Read(p)
		if errors.Is(err, io.EOF) {
			t.message, err = nil, nil
		}
		if err != nil {
			t.ended = tunnelError(err)
		}
		if n > 0 || len(p) == 0 {
			return n, nil
		}
	}
	return 0, t.ended
}

// tunnelText reads a text message: io.EOF if it is the one that there is.
func tunnelText(message io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(message, 16))
	switch {
	case err != nil:
		return err
	case string(text) != TunnelEnd:
		return fmt.Errorf("%w: a text in a tunnel", ErrBadAnswer)
	}
	return io.EOF
}

func tunnelError(err error) error {
	if errors.Is(err, io.EOF) && !websocket.IsUnexpectedCloseError(err) {
		return io.EOF
	}
	if websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		return io.EOF
	}
	return fmt.Errorf("bridge: the tunnel broke: %w", err)
}

// Write sends bytes to the program in the container.
func (t *Tunnel) Write(p []byte) (int, error) {
	t.writing.Lock()
	defer t.writing.Unlock()
	if t.shut {
		return 0, net.ErrClosed
	}
	for sent := 0; ; {
		n := min(len(p)-sent, tunnelPart)
		if n == 0 {
			return sent, nil
		}
		if err := t.ws.WriteMessage(websocket.BinaryMessage, p[sent:sent+n]); err != nil {
			return sent, err
		}
		sent += n
	}
}

// tunnelPart is the most bytes of one message.
const tunnelPart = 64 << 10

// CloseWrite says that there is no more to send, as FIN does. What the other side sends can still be read.
func (t *Tunnel) CloseWrite() error {
	t.writing.Lock()
	defer t.writing.Unlock()
	if t.shut {
		return nil
	}
	t.shut = true
	return t.ws.WriteMessage(websocket.TextMessage, []byte(TunnelEnd))
}

// Close ends the connection in both directions.
func (t *Tunnel) Close() error { return t.ws.Close() }

// LocalAddr is this side's of the connection to the container.
func (t *Tunnel) LocalAddr() net.Addr { return t.ws.LocalAddr() }

// RemoteAddr is the container's, not the program's.
func (t *Tunnel) RemoteAddr() net.Addr { return t.ws.RemoteAddr() }

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (t *Tunnel) SetDeadline(at time.Time) error {
	return errors.Join(t.SetReadDeadline(at), t.SetWriteDeadline(at))
}

// SetReadDeadline bounds reads.
func (t *Tunnel) SetReadDeadline(at time.Time) error { return t.ws.SetReadDeadline(at) }

// SetWriteDeadline bounds writes.
func (t *Tunnel) SetWriteDeadline(at time.Time) error { return t.ws.SetWriteDeadline(at) }
