package server

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/kalpana-dev/kalpana/bridge"
)

// listener is a listening TCP socket.
type listener struct {
	addr  netip.AddrPort
	inode string
}

// listPorts serves bridge.MethodListPorts.
func (s *Server) listPorts(context.Context, bridge.ListPortsParams) (*bridge.ListPortsResult, error) {
	var own []int
	for _, l := range []net.Listener{s.ide, s.control} {
		if a, ok := l.Addr().(*net.TCPAddr); ok {
			own = append(own, a.Port)
		}
	}
	return portsOf(procDir, own), nil
}

// portsOf lists the ports of a proc file system but those given.
func portsOf(proc string, without []int) *bridge.ListPortsResult {
	var all []listener
	for _, name := range []string{"tcp", "tcp6"} {
		all = append(all, listeners(filepath.Join(proc, "net", name))...)
	}
	all = slices.DeleteFunc(all, func(l listener) bool { return slices.Contains(without, int(l.addr.Port())) })
	wanted := map[string]int{} // inode to process
	for _, l := range all {
		wanted[l.inode] = 0
	}
	findOwners(proc, wanted)
	r := &bridge.ListPortsResult{Ports: []bridge.ListeningPort{}}
	at := map[uint16]int{}
	for _, l := range all {
		i, ok := at[l.addr.Port()]
		if !ok {
			if len(r.Ports) == bridge.MaxPorts {
				r.Truncated = true
				continue
			}
			i = len(r.Ports)
			at[l.addr.Port()] = i
			r.Ports = append(r.Ports, bridge.ListeningPort{Port: int(l.addr.Port())})
		}
		p := &r.Ports[i]
		if address := reach(l.addr.Addr()); wider(address, p.Address) {
			p.Address = address
		}
		if pid := wanted[l.inode]; pid != 0 && p.PID == 0 {
			p.PID = pid
			dir := filepath.Join(proc, strconv.Itoa(pid))
			p.Process = bridge.Printable(readSmall(dir, "comm"), 64)
			p.Command = bridge.Printable(strings.ReplaceAll(strings.TrimRight(readSmall(dir, "cmdline"), "\x00"), "\x00", " "), bridge.MaxCommandText)
		}
	}
	slices.SortFunc(r.Ports, func(a, b bridge.ListeningPort) int { return cmp.Compare(a.Port, b.Port) })
	return r
}

func reach(a netip.Addr) string {
	switch {
	case a == netip.AddrFrom4([4]byte{127, 0, 0, 1}), a == netip.IPv6Loopback(): // and not 127.0.0.11, the engine's DNS
		return bridge.ListenLoopback
	case a.IsUnspecified():
		return bridge.ListenAny
	}
	return bridge.ListenOther
}

// wider reports whether more reach a than b: previews and tunnels come by the loopback.
func wider(a, b string) bool {
	order := []string{"", bridge.ListenOther, bridge.ListenLoopback, bridge.ListenAny}
	return slices.Index(order, a) > slices.Index(order, b)
}

// listeners reads a table of sockets: proc_pid_net(5).
func listeners(path string) (all []listener) {
	file, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		parts := strings.Fields(lines.Text())
		if len(parts) < 10 || parts[3] != "0A" { // TCP_LISTEN
			continue
		}
		if addr, ok := socketAddr(parts[1]); ok {
			all = append(all, listener{addr: addr, inode: parts[9]})
		}
	}
	return all
}

// socketAddr reads an address: words of 32 bits in the machine's order, and a port, in hexadecimal.
func socketAddr(text string) (netip.AddrPort, bool) {
	host, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(host)
	n, portErr := strconv.ParseUint(port, 16, 16)
	if err != nil || portErr != nil || (len(raw) != 4 && len(raw) != 16) {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.BigEndian.PutUint32(raw[i:], binary.NativeEndian.Uint32(raw[i:]))
	}
	addr, _ := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), true
}

// findOwners looks for the processes that have the wanted sockets open; those of other users cannot be seen.
func findOwners(proc string, wanted map[string]int) {
	dirs, _ := filepath.Glob(filepath.Join(proc, "[0-9]*"))
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		fds, err := os.Open(filepath.Join(dir, "fd"))
		if err != nil {
			continue
		}
		names, _ := fds.Readdirnames(maxDirEntries)
		fds.Close()
		for _, name := range names {
			link, err := os.Readlink(filepath.Join(dir, "fd", name))
			if err != nil || !strings.HasPrefix(link, "socket:[") {
				continue
			}
			inode := strings.TrimSuffix(strings.TrimPrefix(link, "socket:["), "]")
			// Of a program that has forked with the socket open, the first process counts.
			if before, ok := wanted[inode]; ok && (before == 0 || pid < before) {
				wanted[inode] = pid
			}
		}
	}
}

// memoryField returns a number of a file of lines "name number".
func memoryField(text, name string) int64 {
	for line := range bytes.Lines([]byte(text)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(string(line)), name+" "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			return n
		}
	}
	return 0
}
