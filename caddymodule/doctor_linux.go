package caddymodule

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
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

// listeningSockets returns the TCP sockets of this network namespace on which programs listen; none where
// the system does not say.
func listeningSockets() []socket {
	var found []socket
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(table)
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			fields := strings.Fields(lines.Text())
			if len(fields) < 10 || fields[3] != "0A" { // TCP_LISTEN
				continue
			}
			address, ok := parseSocketAddress(fields[1])
			inode, err := strconv.ParseUint(fields[9], 10, 64)
			if ok && err == nil {
				found = append(found, socket{address, inode})
			}
		}
		_ = f.Close()
	}
	return found
}

// parseSocketAddress reads 0100007F:1F90: words of the address in the machine's byte order, and the port.
func parseSocketAddress(text string) (netip.AddrPort, bool) {
	host, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(host)
	n, portErr := strconv.ParseUint(port, 16, 16)
	if err != nil || portErr != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for word := range slices.Chunk(raw, 4) {
		binary.NativeEndian.PutUint32(word, binary.BigEndian.Uint32(word))
	}
	address, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(address.Unmap(), uint16(n)), ok
}

// socketsOf returns the inodes of a process's sockets.
func socketsOf(pid int) ([]uint64, error) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var inodes []uint64
	for _, f := range files {
		target, err := os.Readlink(filepath.Join(dir, f.Name()))
		if err != nil {
			continue // it was closed meanwhile
		}
		if inode, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(target, "socket:["), "]"), 10, 64); err == nil {
			inodes = append(inodes, inode)
		}
	}
	return inodes, nil
}

// ownerOf names the program that has a socket, as far as this user may see.
func ownerOf(inode uint64) string {
	processes, _ := os.ReadDir("/proc") //nolint:errcheck // then nothing is known of it
	for _, process := range processes {
		pid, err := strconv.Atoi(process.Name())
		if err != nil {
			continue
		}
		if sockets, err := socketsOf(pid); err != nil || !slices.Contains(sockets, inode) {
			continue
		}
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err != nil {
			continue
		}
		return fmt.Sprintf("%s (process %d)", strings.TrimSpace(string(name)), pid)
	}
	return "another program"
}
