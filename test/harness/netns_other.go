//go:build !linux

package harness

import (
	"context"
	"errors"
	"net"
)

// DialIn needs Linux.
func DialIn(context.Context, string, string, string) (net.Conn, error) {
	return nil, errors.ErrUnsupported
}

// DialFrom needs Linux.
func DialFrom(context.Context, string, string, net.Addr, string) (net.Conn, error) {
	return nil, errors.ErrUnsupported
}

// ListenIn needs Linux.
func ListenIn(context.Context, string, string, string) (net.Listener, error) {
	return nil, errors.ErrUnsupported
}
