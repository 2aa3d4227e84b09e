package docker

import (
	"net/netip"
	"os"
	"slices"
	"strings"
)

// The engine reads the second file where the first names only the stub on the host's loopback.
const (
	resolvConf    = "/etc/resolv.conf"
	systemdResolv = "/run/systemd/resolve/resolv.conf"
)

// resolvers returns the DNS servers that containers will ask: the configured, else those that the
// engine takes from its host. They are read from this host, so an engine elsewhere needs them
// configured if they are at private addresses.
func (r *Runtime) resolvers() []netip.Addr {
	if len(r.cfg.Resolvers) > 0 {
		return r.cfg.Resolvers
	}
	for _, file := range []string{resolvConf, systemdResolv} {
		text, err := os.ReadFile(file) //nolint:gosec // one of two constants
		if err != nil {
			continue
		}
		if found := nameservers(string(text)); len(found) > 0 {
			return found
		}
	}
	return nil // the engine then uses public ones
}

// nameservers returns the IPv4 servers in a resolv.conf that a container can reach.
func nameservers(text string) []netip.Addr {
	var found []netip.Addr
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		a, err := netip.ParseAddr(f[1])
		if err == nil && a.Is4() && !a.IsLoopback() && !a.IsUnspecified() && !slices.Contains(found, a) {
			found = append(found, a)
		}
	}
	return found
}
