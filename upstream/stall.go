package upstream

import (
	"context"
	"net"
	"time"
)

// StallLimit is how long what was sent to a program waits for it to take some.
const StallLimit = 10 * time.Minute

// Stalling returns a dial whose connections of TCP break once what was sent on them has waited for limit and the other
// end took nothing of it. A proxy that waits to send does not see that its client is gone, so this is what ends a stream
// to a program that reads nothing. The kernel keeps the time (TCP_USER_TIMEOUT, RFC 5482): it costs a write nothing.
// Only Linux has it.
func Stalling(dial func(ctx context.Context, network, addr string) (net.Conn, error), limit time.Duration) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if tcp, ok := conn.(*net.TCPConn); ok && err == nil {
			limitStall(tcp, limit)
		}
		return conn, err
	}
}
