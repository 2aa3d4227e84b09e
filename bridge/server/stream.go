package server

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kalpana-dev/kalpana/bridge"
)

// stream is a WebSocket of its own, beside bridge.RPCPath, on which this side speaks.
type stream struct {
	conn *websocket.Conn
	ctx  context.Context //nolint:containedctx // It ends with the connection.
	end  context.CancelFunc
	work sync.WaitGroup
}

// openStream answers a request with a WebSocket, or with an error. What the other side sends is thrown away; a peer
// that is silent ends ctx.
func openStream(w http.ResponseWriter, r *http.Request) (*stream, bool) {
	conn, err := (&websocket.Upgrader{ReadBufferSize: 1 << 10, WriteBufferSize: 16 << 10}).Upgrade(w, r, nil)
	if err != nil {
		return nil, false // Upgrade has answered
	}
	s := &stream{conn: conn}
	s.ctx, s.end = context.WithCancel(r.Context())
	s.work.Go(func() {
		<-s.ctx.Done()
		_ = conn.Close()
	})
	s.work.Go(func() {
		defer s.end()
		conn.SetReadLimit(maxInput)
		alive := func() { _ = conn.SetReadDeadline(time.Now().Add(3 * bridge.StreamPing)) }
		alive()
		conn.SetPongHandler(func(string) error { alive(); return nil })
		for {
			if _, _, err := conn.NextReader(); err != nil {
				return
			}
			alive()
		}
	})
	s.work.Go(func() {
		ping := time.NewTicker(bridge.StreamPing)
		defer ping.Stop()
		for {
			select {
			case <-s.ctx.Done():
				return
			case <-ping.C:
				if conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(viewerWrite)) != nil {
					s.end()
				}
			}
		}
	})
	return s, true
}

// send writes one message.
func (s *stream) send(kind int, message []byte) error {
	_ = s.conn.SetWriteDeadline(time.Now().Add(viewerWrite))
	return s.conn.WriteMessage(kind, message)
}

// bye says why it ends.
func (s *stream) bye(code int, reason string) {
	_ = s.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(viewerWrite))
}

func (s *stream) close() {
	s.end()
	s.work.Wait()
}

// streamPart is how much of a command's output is read for one message.
const streamPart = 64 << 10

// ServeHTTP serves bridge.CommandPath.
func (b *background) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	offset, err := strconv.ParseInt(r.URL.Query().Get("offset"), 10, 64)
	if r.URL.Query().Get("offset") != "" && err != nil {
		http.Error(w, "The offset is a number of bytes.", http.StatusBadRequest)
		return
	}
	j, err := b.findSoon(r.Context(), r.URL.Query().Get("id"))
	if err != nil {
		http.Error(w, "There is no such command, or what it printed is not kept any more.", http.StatusNotFound)
		return
	}
	s, ok := openStream(w, r)
	if !ok {
		return
	}
	defer s.close()
	for next := offset; ; {
		ended := j.ended() // before the look, so that nothing is printed after it
		part, at, _, more, err := j.log.read(next, streamPart)
		if err != nil {
			s.bye(websocket.CloseInternalServerErr, "the output cannot be read")
			return
		}
		if at != next {
			if s.send(websocket.TextMessage, []byte(`{"offset":`+strconv.FormatInt(at, 10)+`}`)) != nil {
				return
			}
		}
		if len(part) > 0 {
			if s.send(websocket.BinaryMessage, part) != nil {
				return
			}
			next = at + int64(len(part))
			continue
		}
		next = at
		if ended {
			s.bye(websocket.CloseNormalClosure, "exited "+itoa(j.code))
			return
		}
		select {
		case <-more:
		case <-j.done:
		case <-s.ctx.Done():
			return
		}
	}
}
