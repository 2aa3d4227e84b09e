package docker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/docker/docker/api/types/network"
)

// spareAddresses are left on each network beyond its workspaces: network, broadcast and gateway
// address, probes, and what several gateways create past the limit at the same time.
const spareAddresses = 16

// networkBits returns the prefix length of a network for so many workspaces: 23 for 250.
func networkBits(workspaces int) int {
	return 32 - bits.Len(uint(workspaces+spareAddresses-1)) //nolint:gosec // between 1 and 1000
}

// freeSubnet returns the first piece of the configured ranges that overlaps no network of the
// engine, no route of this host and nothing in refused.
func (r *Runtime) freeSubnet(ctx context.Context, refused map[netip.Prefix]bool) (netip.Prefix, error) {
	used, err := r.usedSubnets(ctx)
	if err != nil {
		return netip.Prefix{}, err
	}
	size := networkBits(r.cfg.MaxPerNetwork)
	for _, pool := range r.cfg.Subnets {
		for piece := range pieces(pool, size) {
			if !refused[piece] && !overlaps(piece, used) {
				return piece, nil
			}
		}
	}
	return netip.Prefix{}, fmt.Errorf("create network: every part of %v is in use; give Kalpana another range of subnets",
		r.cfg.Subnets)
}

// pieces yields the prefixes of that length within pool, in order.
func pieces(pool netip.Prefix, length int) func(yield func(netip.Prefix) bool) {
	return func(yield func(netip.Prefix) bool) {
		pool = pool.Masked()
		at := pool.Addr().As4()
		first := binary.BigEndian.Uint32(at[:])
		for i := range uint32(1) << (length - pool.Bits()) {
			binary.BigEndian.PutUint32(at[:], first+i<<(32-length))
			if !yield(netip.PrefixFrom(netip.AddrFrom4(at), length)) {
				return
			}
		}
	}
}

func overlaps(p netip.Prefix, used []netip.Prefix) bool {
	for _, u := range used {
		if p.Overlaps(u) {
			return true
		}
	}
	return false
}

// usedSubnets returns what the engine's networks and this host's routes and addresses occupy. The
// host's count even when the engine is elsewhere: a container should not shadow what we speak to.
func (r *Runtime) usedSubnets(ctx context.Context) ([]netip.Prefix, error) {
	list, err := r.api.NetworkList(ctx, network.ListOptions{})
	if err != nil {
		return nil, fault("list networks", err)
	}
	var used []netip.Prefix
	for i := range list {
		for _, c := range list[i].IPAM.Config {
			if p, err := netip.ParsePrefix(c.Subnet); err == nil {
				used = append(used, p)
			}
		}
	}
	routes, err := os.ReadFile("/proc/net/route")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read the host's routes: %w", err)
	}
	used = append(used, parseRoutes(string(routes))...)
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("read the host's addresses: %w", err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			used = append(used, p)
		}
	}
	return used, nil
}

// parseRoutes reads /proc/net/route, in which addresses are hexadecimal in the machine's byte order.
// Default routes overlap everything and say nothing.
func parseRoutes(table string) []netip.Prefix {
	var routes []netip.Prefix
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 8 {
			continue
		}
		dest, ok1 := hexAddr(f[1])
		mask, ok2 := hexAddr(f[7])
		if !ok1 || !ok2 {
			continue
		}
		m := mask.As4()
		length, total := net.IPMask(m[:]).Size()
		if total == 0 || length == 0 {
			continue
		}
		routes = append(routes, netip.PrefixFrom(dest, length))
	}
	return routes
}

func hexAddr(s string) (netip.Addr, bool) {
	var v uint32
	if n, err := fmt.Sscanf(s, "%08x", &v); n != 1 || err != nil || len(s) != 8 {
		return netip.Addr{}, false
	}
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], v)
	return netip.AddrFrom4(b), true
}
