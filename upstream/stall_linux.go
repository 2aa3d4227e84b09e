package upstream

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

func limitStall(conn *net.TCPConn, limit time.Duration) {
	if raw, err := conn.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(limit.Milliseconds()))
		})
	}
}
