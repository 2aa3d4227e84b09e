package upstream_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kalpana-dev/kalpana/upstream"
)

// A proxy that waits to send does not see that its client is gone.
func TestStalling_EndsWhatWaitsForAProgramThatReadsNothing(t *testing.T) {
	done := make(chan struct{})
	deaf := serve(t, func(net.Conn, *bufio.Reader) { <-done })
	tr := &http.Transport{DialContext: upstream.Stalling(new(net.Dialer).DialContext, 500*time.Millisecond)}
	defer tr.CloseIdleConnections()
	ended := make(chan struct{})
	reverse := &httputil.ReverseProxy{Transport: tr, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: deaf.Addr().String()})
	}}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		reverse.ServeHTTP(w, r)
	}))
	defer front.Close()
	defer close(done)

	conn, err := net.Dial("tcp", front.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
	piece := make([]byte, 1<<20)
	for err == nil { // until nothing is taken any more
		_ = conn.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
		_, err = conn.Write(piece)
	}
	_ = conn.Close()
	select {
	case <-ended:
	case <-time.After(patient):
		t.Error("the request is there for as long as the program")
	}
}

// A program that reads slowly is waited for.
func TestStalling_WaitsForAProgramThatReads(t *testing.T) {
	const size = 16 << 20
	got := make(chan int64, 1)
	slow := serve(t, func(conn net.Conn, in *bufio.Reader) {
		var n int64
		for n < size {
			time.Sleep(100 * time.Millisecond)
			m, err := io.CopyN(io.Discard, in, 1<<20)
			if n += m; err != nil {
				break
			}
		}
		got <- n
	})
	conn, err := upstream.Stalling(new(net.Dialer).DialContext, time.Second)(t.Context(), "tcp", slow.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if n, err := conn.Write(make([]byte, size)); err != nil {
		t.Errorf("%d bytes, then %v", n, err)
	}
	if n := <-got; n != size {
		t.Errorf("%d bytes came", n)
	}
}

func TestTransport_LimitsTheStallOfEveryConnection(t *testing.T) {
	const empty = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	s := answering(t, empty, empty)
	for _, method := range []string{http.MethodGet, http.MethodPost} { // its own connections, and net/http's
		limit := -1
		var conn *net.TCPConn
		tr := upstream.New(func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, addr)
			conn, _ = c.(*net.TCPConn)
			return c, err
		}, patience)
		r, _ := http.NewRequestWithContext(t.Context(), method, "http://"+s.Addr().String(), http.NoBody)
		resp, err := tr.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := conn.SyscallConn()
		if err == nil {
			err = raw.Control(func(fd uintptr) { limit, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT) })
		}
		if got := time.Duration(limit) * time.Millisecond; err != nil || got != upstream.StallLimit {
			t.Errorf("%s: %v, %v", method, got, err)
		}
		_ = resp.Body.Close()
		tr.CloseIdleConnections()
	}
}
