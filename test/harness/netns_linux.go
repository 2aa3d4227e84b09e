package harness

import (
	"context"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// DialIn connects to a numeric address in the network namespace of a file. A socket belongs for good
// to the namespace of the thread that made it.
func DialIn(ctx context.Context, namespace, network, addr string) (net.Conn, error) {
	return DialFrom(ctx, namespace, network, nil, addr)
}

// DialFrom is DialIn from a given address.
func DialFrom(ctx context.Context, namespace, network string, from net.Addr, addr string) (conn net.Conn, err error) {
	err = within(namespace, func() error {
		conn, err = (&net.Dialer{LocalAddr: from}).DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}

// ListenIn listens on a numeric address in the network namespace of a file.
func ListenIn(ctx context.Context, namespace, network, addr string) (listener net.Listener, err error) {
	err = within(namespace, func() error {
		listener, err = new(net.ListenConfig).Listen(ctx, network, addr)
		return err
	})
	return listener, err
}

// within calls f on a thread that is in the network namespace.
func within(namespace string, f func() error) error {
	there, err := os.Open(namespace)
	if err != nil {
		return err
	}
	defer there.Close()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		here, err := os.Open("/proc/thread-self/ns/net")
		if err == nil {
			defer here.Close()
			err = unix.Setns(int(there.Fd()), unix.CLONE_NEWNET)
		}
		if err != nil {
			runtime.UnlockOSThread()
			done <- err
			return
		}
		err = f()
		if unix.Setns(int(here.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		} // else the thread ends with this goroutine
		done <- err
	}()
	return <-done
}
