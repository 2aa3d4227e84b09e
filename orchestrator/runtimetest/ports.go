package runtimetest

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// Ports for tests: below those that the kernel gives out (32768 and up), in blocks whose first port
// is held by the test that uses the block, so that tests in other processes keep off.
const (
	firstBlock = 20000
	lastBlock  = 31900
	blockSize  = 25
)

// FreePorts returns the first of n ports in a row that are the test's alone. Each block's own port
// counts as one of them, and is busy.
func FreePorts(t testing.TB, n int) int {
	t.Helper()
	blocks := (n + blockSize) / blockSize
	for range 1000 {
		first := firstBlock + blockSize*rand.IntN((lastBlock-firstBlock)/blockSize-blocks) //nolint:gosec // spreads tests
		if held, ok := hold(first, blocks); ok {
			t.Cleanup(func() { release(held) })
			return first + 1
		}
	}
	t.Fatal("no free ports")
	return 0
}

func hold(first, blocks int) (held []net.Listener, ok bool) {
	for port := first; port < first+blocks*blockSize; port++ {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			release(held)
			return nil, false
		}
		if (port-first)%blockSize != 0 {
			_ = l.Close() // it was free
			continue
		}
		held = append(held, l)
	}
	return held, true
}

func release(held []net.Listener) {
	for _, l := range held {
		_ = l.Close()
	}
}
