package bridge

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"github.com/sourcegraph/jsonrpc2"
	"golang.org/x/time/rate"
)

// Timing is when a Stream gives up on its peer.
type Timing struct {
	// Write bounds the writing of one frame.
	Write time.Duration
	// Ping is the pause between pings.
	Ping time.Duration
	// Pong bounds the answer to a ping: a peer that is silent for Ping + Pong is gone.
	Pong time.Duration
}

// DefaultTiming is both sides' timing.
var DefaultTiming = Timing{Write: 10 * time.Second, Ping: 20 * time.Second, Pong: 10 * time.Second}

const (
	// maxQueue and maxQueued bound what waits for a peer that reads slowly, in frames and in bytes.
	// MaxInFlight answers of MaxFrame fit, so an honest peer never reaches them.
	maxQueue  = 128
	maxQueued = 2 * MaxInFlight * MaxFrame
)

// controlRate bounds the pings and pongs of a peer in a second, controlBurst those that come at once; one more ends the
// stream.
const (
	controlRate  = 10
	controlBurst = 100
)

var errControls = errors.New("bridge: the peer pings without end")

// Stream carries JSON-RPC over a WebSocket, one message a text frame.
//
// A jsonrpc2.Conn writes under one mutex and without a deadline, so that one peer that stops reading would
// block every caller. WriteObject therefore never waits for the network: frames go through a bounded
// queue to one writer, and a write that fails, exceeds its deadline or finds the queue full closes the
// stream. That makes the reader fail, and the jsonrpc2.Conn end its calls.
type Stream struct {
	conn   *websocket.Conn
	bound  *boundedConn // what conn reads from; nil where the peer is trusted
	timing Timing

	queue  chan []byte
	queued atomic.Int64

	once sync.Once
	done chan struct{}
}

var _ jsonrpc2.ObjectStream = (*Stream)(nil)

// NewStream takes over conn. Close ends it.
func NewStream(conn *websocket.Conn, timing Timing) *Stream {
	s := &Stream{
		conn:   conn,
		timing: timing,
		queue:  make(chan []byte, maxQueue),
		done:   make(chan struct{}),
	}
	s.bound, _ = conn.NetConn().(*boundedConn)
	conn.SetReadLimit(MaxFrame)
	s.heard()
	often := rate.NewLimiter(controlRate, controlBurst)
	control := func(handle func(string) error) func(string) error {
		return func(data string) error {
			if !often.Allow() {
				return errControls
			}
			s.heard()
			if s.bound != nil {
				s.bound.left += len(data) + 2 // they are no part of a message, which may be hours away
			}
			return handle(data)
		}
	}
	conn.SetPongHandler(control(func(string) error { return nil }))
	conn.SetPingHandler(control(conn.PingHandler()))
	go s.write()
	return s
}

// heard puts off the moment when the peer counts as gone.
func (s *Stream) heard() {
	_ = s.conn.SetReadDeadline(time.Now().Add(s.timing.Ping + s.timing.Pong))
}

// WriteObject queues obj. It returns ErrTooLarge, and leaves the stream as it is, when obj does not fit
// into a frame.
func (s *Stream) WriteObject(obj any) error {
	frame, err := json.Marshal(obj)
	if err != nil {
		return err
	}
	if len(frame) > MaxFrame {
		return ErrTooLarge.With("a message of %d bytes", len(frame))
	}
	select {
	case <-s.done:
		return ErrClosed
	default:
	}
	if s.queued.Add(int64(len(frame))) > maxQueued {
		s.Close()
		return fmt.Errorf("%w: the peer reads too slowly", ErrClosed)
	}
	select {
	case s.queue <- frame:
		return nil
	default:
		s.Close()
		return fmt.Errorf("%w: the peer reads too slowly", ErrClosed)
	}
}

func (s *Stream) write() {
	defer s.Close()
	ping := time.NewTicker(s.timing.Ping)
	defer ping.Stop()
	for {
		select {
		case <-s.done:
			return
		case frame := <-s.queue:
			_ = s.conn.SetWriteDeadline(time.Now().Add(s.timing.Write))
			if err := s.conn.WriteMessage(websocket.TextMessage, frame); err != nil {
				return
			}
			s.queued.Add(-int64(len(frame)))
		case <-ping.C:
			if err := s.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(s.timing.Write)); err != nil {
				return
			}
		}
	}
}

// ReadObject reads one text frame. Anything else is an error, after which the stream is of no use.
func (s *Stream) ReadObject(v any) error {
	if s.bound != nil {
		s.bound.left = maxMessage
	}
	kind, frame, err := s.conn.ReadMessage()
	if err != nil {
		return err
	}
	if kind != websocket.TextMessage {
		return errors.New("bridge: a frame that is not text")
	}
	s.heard()
	return json.Unmarshal(frame, v)
}

// Close says goodbye if that takes no time, and closes the connection. It may be called more than once.
func (s *Stream) Close() error {
	err := ErrClosed
	s.once.Do(func() {
		close(s.done)
		bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
		_ = s.conn.WriteControl(websocket.CloseMessage, bye, time.Now().Add(50*time.Millisecond))
		err = s.conn.Close()
	})
	return err
}
