package server

import (
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kalpana-dev/kalpana/bridge"
)

// Whoever sends leaves while the program reads nothing: the bridge does not see that, and lets go of both all the same.
func TestStall_AProgramThatReadsNothingDoesNotKeepItsClientsStreams(t *testing.T) {
	c := start(t, "serve", func(cfg *Config) { cfg.timing.stall = time.Second })
	done := make(chan struct{})
	defer close(done)
	deaf := app(t, "tcp4", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		<-done
		conn.Close()
	}))
	plain := serveTCP(t, func(*net.TCPConn) { <-done })
	for _, at := range []struct {
		carries string
		conn    *websocket.Conn
	}{
		{"(*previews).ServeHTTP", webSocket(t, c.BridgeAddr(), "/", http.Header{bridge.PortHeader: {deaf}})},
		{"(*tunnels).ServeHTTP", webSocket(t, c.BridgeAddr(), bridge.TunnelPath+"?port="+strconv.Itoa(plain), nil)},
	} {
		carried := func() bool {
			stacks := make([]byte, 1<<20)
			return strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), at.carries)
		}
		piece := make([]byte, 256<<10)
		for err := error(nil); err == nil; { // until nothing is taken any more
			_ = at.conn.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
			err = at.conn.WriteMessage(websocket.BinaryMessage, piece)
		}
		if !carried() {
			t.Errorf("%s carries nothing", at.carries)
		}
		_ = at.conn.Close()
		for end := time.Now().Add(20 * time.Second); carried(); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Errorf("%s goes on for as long as the program", at.carries)
				break
			}
		}
	}
}
