package server

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/upstream"
)

// tunnels serves bridge.TunnelPath.
type tunnels struct {
	open  atomic.Int64
	stall time.Duration
}

// tunnelBuffer is how much is read from a program at a time.
const tunnelBuffer = 64 << 10

func (t *tunnels) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	port, err := strconv.Atoi(r.URL.Query().Get("port"))
	if err != nil || port < 1 || port > 65535 || port == bridge.IDEPort || port == bridge.BridgePort {
		http.Error(w, "There is no tunnel to this port.", http.StatusBadRequest)
		return
	}
	defer t.open.Add(-1)
	if t.open.Add(1) > bridge.MaxTunnels {
		http.Error(w, "Too many tunnels are open.", http.StatusServiceUnavailable)
		return
	}
	conn, err := upstream.Stalling(dialLoopback, t.stall)(r.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		w.Header().Set(bridge.PreviewHeader, bridge.PreviewRefused)
		http.Error(w, "Nothing listens on this port.", http.StatusBadGateway)
		return
	}
	defer conn.Close()
	ws, err := (&websocket.Upgrader{ReadBufferSize: 16 << 10, WriteBufferSize: 16 << 10}).Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has answered
	}
	defer ws.Close()
	defer context.AfterFunc(r.Context(), func() {
		_ = ws.Close()
		_ = conn.Close()
	})()
	carry(ws, conn.(*net.TCPConn))
}

// carry passes bytes on in both directions until both have ended, or one has broken.
func carry(ws *websocket.Conn, conn *net.TCPConn) {
	ws.SetReadLimit(bridge.MaxStreamMessage)
	var both sync.WaitGroup
	var broken atomic.Bool
	breakOff := func() {
		if !broken.Swap(true) {
			bye(ws, websocket.CloseInternalServerErr, "the connection broke")
			_ = ws.Close()
			_ = conn.Close()
		}
	}
	both.Go(func() {
		if !outward(ws, conn) {
			breakOff()
		}
	})
	both.Go(func() {
		if !inward(ws, conn) {
			breakOff()
		}
	})
	both.Wait()
	if !broken.Load() {
		bye(ws, websocket.CloseNormalClosure, "")
	}
}

func bye(ws *websocket.Conn, code int, reason string) {
	_ = ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(time.Second))
}

// outward passes on what the program sends, and reports whether it came to its end.
func outward(ws *websocket.Conn, conn *net.TCPConn) bool {
	buffer := make([]byte, tunnelBuffer)
	for {
		n, err := conn.Read(buffer)
		if n > 0 && ws.WriteMessage(websocket.BinaryMessage, buffer[:n]) != nil {
			return false
		}
		if errors.Is(err, io.EOF) {
			return ws.WriteMessage(websocket.TextMessage, []byte(bridge.TunnelEnd)) == nil
		}
		if err != nil {
			return false
		}
	}
}

// inward passes on what comes for the program.
func inward(ws *websocket.Conn, conn *net.TCPConn) bool {
	for {
		kind, message, err := ws.NextReader()
		if err != nil {
			return false
		}
		if kind == websocket.TextMessage {
			text, err := io.ReadAll(message)
			return err == nil && string(text) == bridge.TunnelEnd && conn.CloseWrite() == nil
		}
		if _, err := io.Copy(conn, message); err != nil {
			return false
		}
	}
}
