package gateway_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kalpana-dev/kalpana/identity"
)

// short gives a server timeouts that no stream of a workspace fits into.
func short(s *http.Server) {
	s.ReadTimeout, s.WriteTimeout, s.IdleTimeout = time.Second, time.Second, time.Second
}

// noFiles is a transport on a machine with too many open files.
type noFiles struct{}

func (noFiles) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("socket", syscall.EMFILE)}
}

func TestWebSocket_ASilentOneOutlivesTheServersTimeouts(t *testing.T) {
	w := newWorld(t, options{server: short})
	host := ide(w.running())
	ws := w.dial(host, w.grant(host))
	time.Sleep(1400 * time.Millisecond)
	w.must(ws.WriteMessage(websocket.TextMessage, []byte("still here")))
	_, got, err := ws.ReadMessage()
	if err != nil || string(got) != "still here" {
		t.Errorf("echo %q, %v", got, err)
	}
}

func TestSignOut_EndsEveryTab(t *testing.T) {
	w := newWorld(t)
	id := w.running()
	grant := w.grant(ide(id))
	ws := w.dial(ide(id), grant)
	other := w.dial(preview(id, 3000), w.grant(preview(id, 3000)))
	stream, err := w.client.Do(w.program("GET", w.hosts.URL(id)+"stream?endless", grant))
	w.must(err)
	defer stream.Body.Close()
	silent := make(chan int, 1)
	go func() {
		resp, err := w.client.Do(w.program("GET", w.hosts.URL(id)+"silent", grant))
		if err != nil {
			silent <- 0
			return
		}
		_ = resp.Body.Close()
		silent <- resp.StatusCode
	}()
	w.eventually("all are open", func() bool { return w.identity.Open() == 4 })
	_, err = w.identity.SignOut(t.Context(), w.caller.Session)
	w.must(err)
	for _, ws := range []*websocket.Conn{ws, other} {
		_ = ws.SetReadDeadline(time.Now().Add(patient))
		var timeout net.Error
		if _, _, err := ws.ReadMessage(); err == nil || errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("a WebSocket is open: %v", err)
		}
	}
	if _, err := io.ReadAll(stream.Body); err == nil {
		t.Error("a stream ended as if it were whole")
	}
	if status := <-silent; status != http.StatusServiceUnavailable {
		t.Errorf("a request that waited got %d", status)
	}
	w.eventually("no request is held", func() bool { return w.identity.Open() == 0 })
}

func TestDelete_EndsTheStreamsOfThatWorkspaceAlone(t *testing.T) {
	w := newWorld(t)
	id, other := w.running(), w.running()
	gone, stays := w.dial(ide(id), w.grant(ide(id))), w.dial(ide(other), w.grant(ide(other)))
	w.must(w.identity.Revoke(t.Context(), identity.Revocation{Workspace: id}))
	_ = gone.SetReadDeadline(time.Now().Add(patient))
	if _, _, err := gone.ReadMessage(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("its WebSocket is open: %v", err)
	}
	w.must(stays.WriteMessage(websocket.TextMessage, []byte("a")))
	if _, got, err := stays.ReadMessage(); err != nil || string(got) != "a" {
		t.Errorf("another's WebSocket: %q, %v", got, err)
	}
}

func TestStream_IsFlushedAtOnce(t *testing.T) {
	w := newWorld(t)
	id := w.running()
	for name, url := range map[string]string{
		"VS Code":                 w.hosts.URL(id) + "stream?endless",
		"a preview":               w.hosts.Origin(preview(id, 3000)) + "/stream?endless",
		"a preview with a length": w.hosts.Origin(preview(id, 3000)) + "/stream",
	} {
		host := ide(id)
		if name != "VS Code" {
			host = preview(id, 3000)
		}
		ctx, leave := context.WithTimeout(t.Context(), patient)
		resp, err := w.client.Do(w.program("GET", url, w.grant(host)).WithContext(ctx))
		w.must(err)
		first := make([]byte, 6)
		if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "first " {
			t.Errorf("%s: %q, %v", name, first, err)
		}
		leave()
		_ = resp.Body.Close()
	}
}

func TestStream_AClientThatLeavesEndsTheRequestInTheContainer(t *testing.T) {
	w := newWorld(t)
	ended := make(chan struct{})
	w.runtime.App = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		close(ended)
	})
	id := w.running()
	ctx, leave := context.WithCancel(t.Context())
	r := w.program("GET", w.hosts.URL(id), w.grant(ide(id))).WithContext(ctx)
	left := make(chan struct{})
	go func() {
		defer close(left)
		if resp, err := w.client.Do(r); err == nil {
			_ = resp.Body.Close()
		}
	}()
	w.eventually("it is there", func() bool { return len(w.runtime.Requests()) == 1 })
	leave()
	<-left
	select {
	case <-ended:
	case <-time.After(patient):
		t.Error("the request goes on in the container")
	}
}

func TestStream_AContainerThatEndsClosesItsWebSockets(t *testing.T) {
	w := newWorld(t)
	id := w.running()
	ws := w.dial(ide(id), w.grant(ide(id)))
	w.must(w.orch.Stop(id, "test").Wait(t.Context()))
	_ = ws.SetReadDeadline(time.Now().Add(patient))
	if _, _, err := ws.ReadMessage(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it is open: %v", err)
	}
	w.eventually("no request is held", func() bool { return w.identity.Open() == 0 })
}
