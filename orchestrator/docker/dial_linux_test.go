package docker

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ownNamespace is the test's own, into which root may go like into any other.
func ownNamespace(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root may enter network namespaces")
	}
	return "/proc/self/ns/net"
}

// full returns the address of a socket that has as many connections waiting as it takes: the next one
// gets no answer.
func full(t *testing.T, namespace string) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: name.(*unix.SockaddrInet4).Port}).String()
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		conn, err := dialIn(ctx, namespace, addr)
		cancel()
		if err != nil {
			return addr
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	t.Fatal("the backlog does not get full")
	return ""
}

func TestDialIn_WaitsForAnAnswerAsLongAsItsContext(t *testing.T) {
	t.Parallel()
	namespace := ownNamespace(t)
	addr := full(t, namespace)
	var all sync.WaitGroup
	for range 100 { // none of them takes a thread
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			_, err := dialIn(ctx, namespace, addr)
			var op *net.OpError
			if !errors.As(err, &op) || op.Op != "dial" || !op.Timeout() {
				t.Errorf("%v", err)
			}
		})
	}
	all.Wait()
}

func TestDialIn_ConnectsLikeAnyDialer(t *testing.T) {
	t.Parallel()
	namespace := ownNamespace(t)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	conn, err := dialIn(t.Context(), namespace, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, ok := conn.(*net.TCPConn); !ok || conn.RemoteAddr().String() != l.Addr().String() {
		t.Errorf("it is a %T to %s", conn, conn.RemoteAddr())
	}
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	heard := make([]byte, 5)
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, heard); err != nil || string(heard) != "hello" {
		t.Errorf("%q, %v", heard, err)
	}
	_ = l.Close()
	var op *net.OpError
	if _, err := dialIn(t.Context(), namespace, l.Addr().String()); !errors.As(err, &op) || op.Op != "dial" || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("where nothing listens: %v", err)
	}
}
