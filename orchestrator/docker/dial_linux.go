package docker

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// dialIn connects to a TCP address in the network namespace of a file. A socket belongs for good to
// the namespace of the thread that made it, so the thread need only visit.
func dialIn(ctx context.Context, path, addr string) (net.Conn, error) {
	there, err := os.Open(path) //nolint:gosec // the engine's own file
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNamespace, err)
	}
	defer there.Close() //nolint:errcheck // only read
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread()
		here, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			runtime.UnlockOSThread()
			done <- result{err: fmt.Errorf("%w: %w", errNamespace, err)}
			return
		}
		defer here.Close() //nolint:errcheck // only read
		if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
			runtime.UnlockOSThread()
			done <- result{err: fmt.Errorf("%w: %w", errNamespace, err)}
			return
		}
		// For a numeric address the dialer makes its socket in this very goroutine.
		conn, err := new(net.Dialer).DialContext(ctx, "tcp4", addr)
		if unix.Setns(int(here.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		} // else the thread ends with this goroutine
		done <- result{conn, err}
	}()
	r := <-done
	return r.conn, r.err
}
