package server

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
)

// serveTCP serves each connection to a port of the loopback, which it returns.
func serveTCP(t *testing.T, serve func(*net.TCPConn)) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn.(*net.TCPConn))
			}()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().(*net.TCPAddr).Port
}

func tunnelTo(t *testing.T, cl *bridge.Client, port int) *bridge.Tunnel {
	t.Helper()
	conn, err := cl.Tunnel(t.Context(), port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	return conn
}

func TestTunnel_CarriesBytesAndHalfClose(t *testing.T) {
	c := start(t, "serve")
	// The program answers only when it has read all, so that half-close has to arrive.
	port := serveTCP(t, func(conn *net.TCPConn) {
		hash := sha256.New()
		_, _ = io.Copy(hash, conn)
		_, _ = conn.Write(hash.Sum(nil))
	})
	sent := make([]byte, 5<<20)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(sent)
	conn := tunnelTo(t, c.dial(), port)
	if n, err := conn.Write(sent); n != len(sent) || err != nil {
		t.Fatal(n, err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	want := sha256.Sum256(sent)
	if got, err := io.ReadAll(conn); err != nil || !bytes.Equal(got, want[:]) {
		t.Errorf("%x, %v", got, err)
	}
	if _, err := conn.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
}

func TestTunnel_TheProgramMayEndFirst(t *testing.T) {
	c := start(t, "serve")
	got := make(chan string, 1)
	port := serveTCP(t, func(conn *net.TCPConn) {
		_, _ = conn.Write([]byte("greeting"))
		_ = conn.CloseWrite()
		b, _ := io.ReadAll(conn)
		got <- string(b)
	})
	conn := tunnelTo(t, c.dial(), port)
	if b, err := io.ReadAll(conn); err != nil || string(b) != "greeting" {
		t.Fatalf("%q, %v", b, err)
	}
	_, _ = conn.Write([]byte("late "))
	_, _ = conn.Write([]byte("answer"))
	_ = conn.CloseWrite()
	if s := <-got; s != "late answer" {
		t.Errorf("%q", s)
	}
}

func TestTunnel_WhatBreaksInTheContainerBreaksHere(t *testing.T) {
	c := start(t, "serve")
	port := serveTCP(t, func(conn *net.TCPConn) {
		_, _ = conn.Read(make([]byte, 1))
		_ = conn.SetLinger(0) // RST
	})
	conn := tunnelTo(t, c.dial(), port)
	_, _ = conn.Write([]byte("x"))
	if _, err := io.ReadAll(conn); err == nil {
		t.Error("a reset looks like an end")
	}
}

func TestTunnel_ASideThatDoesNotReadStopsTheOther(t *testing.T) {
	c := start(t, "serve")
	wrote := make(chan int64, 1)
	stop := make(chan struct{})
	port := serveTCP(t, func(conn *net.TCPConn) {
		go func() { <-stop; conn.Close() }()
		n, _ := io.Copy(conn, zeros{})
		wrote <- n
	})
	cl := c.dial()
	tunnelTo(t, cl, port) // and nobody reads it
	if _, err := cl.Health(t.Context()); err != nil {
		t.Error(err)
	}
	echo := serveTCP(t, func(conn *net.TCPConn) { _, _ = io.Copy(conn, conn) })
	other := tunnelTo(t, cl, echo)
	for range 100 {
		if _, err := other.Write([]byte("ping")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(other, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case n := <-wrote:
		t.Errorf("the program was not stopped: %d bytes", n)
	default:
	}
	close(stop)
	if n := <-wrote; n > 64<<20 {
		t.Errorf("%d bytes went into nowhere", n)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestTunnel_CarriesHTTP(t *testing.T) {
	c := start(t, "serve")
	port := app(t, "tcp4", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("hello " + r.URL.Path)) }))
	cl := c.dial()
	transport := &http.Transport{Dial: func(string, string) (net.Conn, error) { return cl.Tunnel(t.Context(), atoi(port)) }} //nolint:staticcheck // The context is the test's.
	defer transport.CloseIdleConnections()
	for range 3 {
		resp, err := (&http.Client{Transport: transport}).Get("http://app/x")
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(b) != "hello /x" {
			t.Errorf("%q", b)
		}
	}
}

func TestTunnel_OnlyWhereSomethingListens(t *testing.T) {
	c := start(t, "serve")
	cl := c.dial()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := l.Addr().(*net.TCPAddr).Port
	l.Close()
	if _, err := cl.Tunnel(t.Context(), free); !errors.Is(err, bridge.ErrRefused) {
		t.Errorf("where nothing listens: %v", err)
	}
	for _, port := range []int{0, -1, 65536, bridge.IDEPort, bridge.BridgePort} {
		if _, err := cl.Tunnel(t.Context(), port); !errors.Is(err, bridge.ErrInvalid) {
			t.Errorf("%d: %v", port, err)
		}
	}
	if resp, _ := get(t, "GET", "http://"+c.BridgeAddr()+bridge.TunnelPath+"?port=x", nil); resp.StatusCode != http.StatusBadRequest {
		t.Error(resp.Status)
	}
}
