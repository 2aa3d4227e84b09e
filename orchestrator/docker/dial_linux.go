package docker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// dialTimeout bounds one attempt to connect: a program whose backlog is full does not answer at all.
const dialTimeout = 5 * time.Second

// dialIn connects to a TCP address in the network namespace of a file. A socket belongs for good to
// the namespace of the thread that made it, so a thread need only visit to make one; to connect it
// takes no thread of its own, of which many that wait would use up all there may be.
func dialIn(ctx context.Context, path, addr string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	type result struct {
		fd  int
		err error
	}
	made := make(chan result, 1)
	go func() {
		fd, err := socketIn(path)
		made <- result{fd, err}
	}()
	socket := <-made
	if socket.err != nil {
		return nil, socket.err
	}
	file := os.NewFile(uintptr(socket.fd), "tcp") // which waits for it as for any other, since it does not block
	defer file.Close()                            //nolint:errcheck // net.FileConn has one of its own
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if err := connect(ctx, file, socket.fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}); err != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: err}
	}
	return net.FileConn(file)
}

// socketIn makes a socket that does not block in the network namespace of a file. It is a goroutine's
// last call: where the way back is barred, the thread ends with it.
func socketIn(path string) (int, error) {
	there, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, namespaceFault(&os.PathError{Op: "open", Path: path, Err: err})
	}
	defer unix.Close(there) //nolint:errcheck // only read
	runtime.LockOSThread()
	here, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		runtime.UnlockOSThread()
		return -1, namespaceFault(err)
	}
	defer unix.Close(here) //nolint:errcheck // only read
	if err := unix.Setns(there, unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return -1, namespaceFault(err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if unix.Setns(here, unix.CLONE_NEWNET) == nil {
		runtime.UnlockOSThread()
	}
	return fd, os.NewSyscallError("socket", err)
}

func namespaceFault(err error) error { return fmt.Errorf("%w: %w", errNamespace, err) }

// connect connects a socket, which file and fd are.
func connect(ctx context.Context, file *os.File, fd int, to unix.Sockaddr) error {
	if err := unix.Connect(fd, to); !errors.Is(err, unix.EINPROGRESS) {
		return os.NewSyscallError("connect", err)
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = file.SetWriteDeadline(time.Unix(1, 0)) })()
	var refused error
	err = raw.Write(func(fd uintptr) bool { // until it is true, each time something happened
		code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		switch {
		case err != nil:
			refused = os.NewSyscallError("getsockopt", err)
		case code != 0:
			refused = os.NewSyscallError("connect", unix.Errno(code))
		default:
			_, err := unix.Getpeername(int(fd))
			return err == nil
		}
		return true
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case refused != nil:
		return refused
	}
	return err
}
