//go:build !linux

package upstream

import (
	"net"
	"time"
)

func limitStall(*net.TCPConn, time.Duration) {}
