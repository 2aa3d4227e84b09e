package caddymodule

import (
	"bufio"
	"fmt"
	"math"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// gatewayProcess returns the id of the process that listens on an admin socket, or 0.
func gatewayProcess(address string) int {
	path, ok := strings.CutPrefix(address, "unix/")
	if !ok {
		return 0
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return 0
	}
	defer conn.Close() //nolint:errcheck // nothing was written
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0
	}
	pid := 0
	_ = raw.Control(func(fd uintptr) {
		if peer, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); err == nil {
			pid = int(peer.Pid)
		}
	})
	return pid
}

// fileLimitOf returns how many files a process may have open.
func fileLimitOf(pid int) (uint64, bool) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/limits", pid))
	if err != nil {
		return 0, false
	}
	defer f.Close() //nolint:errcheck // it was only read
	for lines := bufio.NewScanner(f); lines.Scan(); {
		text, ok := strings.CutPrefix(lines.Text(), "Max open files")
		if !ok {
			continue
		}
		if soft := strings.Fields(text)[0]; soft != "unlimited" {
			limit, err := strconv.ParseUint(soft, 10, 64)
			return limit, err == nil
		}
		return math.MaxUint64, true
	}
	return 0, false
}
