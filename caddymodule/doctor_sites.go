package caddymodule

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddytls"

	"github.com/kalpana-dev/kalpana/workspace"
)

// place is where a handler is reached: on a server, at hosts as the configuration writes them, or at every
// host where these are nil.
type place struct {
	server *caddyhttp.Server
	hosts  []string
}

// pattern returns what of the configuration covers a host.
func (s place) pattern(host string) (string, bool) {
	if s.hosts == nil {
		return host, true
	}
	repl := caddy.NewReplacer()
	r := (&http.Request{Host: host}).WithContext(context.WithValue(context.Background(), caddy.ReplacerCtxKey, repl))
	for _, pattern := range s.hosts {
		if ok, err := (caddyhttp.MatchHost{pattern}).MatchWithError(r); err == nil && ok {
			return repl.ReplaceAll(pattern, ""), true
		}
	}
	return "", false
}

// places returns where the configuration has a handler.
func (p *patient) places(handler string) []place {
	var found []place
	for _, server := range p.http.Servers {
		var walk func(routes caddyhttp.RouteList, hosts []string)
		walk = func(routes caddyhttp.RouteList, hosts []string) {
			for _, route := range routes {
				at := hosts
				if own := configuredHosts(route); own != nil {
					at = own
				}
				for _, raw := range route.HandlersRaw {
					var h struct {
						Handler string              `json:"handler"`
						Routes  caddyhttp.RouteList `json:"routes"`
					}
					if json.Unmarshal(raw, &h) != nil {
						continue
					}
					if h.Handler == handler {
						found = append(found, place{server, at})
					}
					walk(h.Routes, at)
				}
			}
		}
		walk(server.Routes, nil)
	}
	return found
}

// configuredHosts returns the hosts that a route is for, nil where it does not say.
func configuredHosts(route caddyhttp.Route) []string {
	var all []string
	for _, set := range route.MatcherSetsRaw {
		raw, ok := set["host"]
		var hosts []string
		if !ok || json.Unmarshal(raw, &hosts) != nil {
			return nil
		}
		all = append(all, hosts...)
	}
	return all
}

// checkSites sees that the sites are where the option kalpana says.
func checkSites(_ context.Context, p *patient) checkResult {
	domain := "*." + p.hosts.WorkspaceDomain()
	for _, s := range []struct{ directive, handler, host, address, option string }{
		{"kalpana_console", "kalpana_api", hostname(p.hosts.ConsoleHost()), hostname(p.hosts.ConsoleHost()), "console"},
		{"kalpana_workspace", "kalpana_workspace", string(workspace.NewID()) + "." + p.hosts.WorkspaceDomain(), domain, "workspaces"},
	} {
		places := p.places(s.handler)
		if slices.ContainsFunc(places, func(at place) bool { _, ok := at.pattern(s.host); return ok }) {
			continue
		}
		var elsewhere []string
		for _, at := range places {
			elsewhere = append(elsewhere, at.hosts...)
		}
		if elsewhere == nil {
			return failed(fmt.Sprintf("Add a site: %s { %s }", s.address, s.directive), "no site has %s", s.directive)
		}
		return failed(fmt.Sprintf("Give the site with %s the address %s, or correct the option %s of kalpana.", s.directive, s.address, s.option),
			"%s is at %s, so nothing answers at %s", s.directive, strings.Join(elsewhere, ", "), s.address)
	}
	return fine("kalpana_console at %s, kalpana_workspace at %s", hostname(p.hosts.ConsoleHost()), domain)
}

// checkCertificates sees that there is a way to a certificate for every workspace: a wildcard takes the DNS
// challenge, and Caddy would try for ever without.
func checkCertificates(_ context.Context, p *patient) checkResult {
	host := string(workspace.NewID()) + "." + p.hosts.WorkspaceDomain()
	secure := false
	for _, at := range p.places("kalpana_workspace") {
		pattern, ok := at.pattern(host)
		if !ok || !p.getsCertificates(at.server, pattern) {
			continue
		}
		secure = true
		if strings.HasPrefix(pattern, "*.") && !p.wildcardsCome(pattern) {
			return failed("Add to that site: tls { dns <provider> … }, which takes a build with the provider's plugin. docs/how-to/deploy.md tells of other ways.",
				"an issuer gives a certificate for %s by the DNS challenge only, and its site has none", pattern)
		}
	}
	if !secure {
		return fine("Caddy needs none for workspaces")
	}
	return fine("there is a way to those of workspaces")
}

// getsCertificates reports whether Caddy looks for a certificate for a host of a server by itself.
func (p *patient) getsCertificates(server *caddyhttp.Server, host string) bool {
	if a := server.AutoHTTPS; a != nil && (a.Disabled || a.DisableCerts || slices.Contains(a.Skip, host) || slices.Contains(a.SkipCerts, host)) {
		return false
	}
	loaded := len(p.tls.CertificatesRaw) > 0 && (len(p.tls.CertificatesRaw) > 1 || p.tls.CertificatesRaw["automate"] == nil)
	return !loaded && slices.ContainsFunc(p.ports(server), func(a listenAddress) bool { return int(a.port) != p.httpPort() })
}

// wildcardsCome reports whether some policy can get a certificate for a wildcard, or need not.
func (p *patient) wildcardsCome(wildcard string) bool {
	if p.tls.Automation == nil {
		return false
	}
	for _, policy := range p.tls.Automation.Policies {
		if len(policy.SubjectsRaw) > 0 && !slices.Contains(policy.SubjectsRaw, wildcard) {
			continue
		}
		if policy.OnDemand || len(policy.ManagersRaw) > 0 {
			return true
		}
		return slices.ContainsFunc(policy.IssuersRaw, func(raw json.RawMessage) bool {
			var issuer struct {
				Module     string                    `json:"module"`
				Challenges caddytls.ChallengesConfig `json:"challenges"`
			}
			return json.Unmarshal(raw, &issuer) == nil && (issuer.Challenges.DNS != nil || issuer.Module != "acme" && issuer.Module != "zerossl")
		})
	}
	return false
}

// socket is a TCP socket of this machine on which a program listens.
type socket struct {
	address netip.AddrPort
	inode   uint64
}

// listenAddress is a TCP address that the gateway listens on, or is to.
type listenAddress struct {
	host string // "" is every address
	port uint16
}

func (p *patient) httpPort() int { return cmp.Or(p.http.HTTPPort, caddyhttp.DefaultHTTPPort) }

func (p *patient) httpsPort() int { return cmp.Or(p.http.HTTPSPort, caddyhttp.DefaultHTTPSPort) }

// ports returns the TCP addresses of a server, with that from which Caddy redirects to HTTPS.
func (p *patient) ports(server *caddyhttp.Server) []listenAddress {
	var list []listenAddress
	repl := caddy.NewReplacer()
	for _, text := range server.Listen {
		address, err := caddy.ParseNetworkAddress(repl.ReplaceAll(text, ""))
		if err != nil || !strings.HasPrefix(address.Network, "tcp") {
			continue
		}
		for port := address.StartPort; port <= address.EndPort; port++ {
			list = append(list, listenAddress{address.Host, uint16(port)}) //nolint:gosec // it was parsed as a port
			if a := server.AutoHTTPS; int(port) == p.httpsPort() && (a == nil || !a.Disabled && !a.DisableRedir) {
				list = append(list, listenAddress{address.Host, uint16(p.httpPort())}) //nolint:gosec // likewise
			}
		}
	}
	return list
}

// checkListeners looks for other programs on the addresses of the sites. Caddy opens its sockets so that a
// second Caddy, or another program that wants to, gets some of the connections, and neither is told.
func checkListeners(ctx context.Context, p *patient) checkResult {
	var addresses []listenAddress
	for _, server := range p.http.Servers {
		addresses = append(addresses, p.ports(server)...)
	}
	slices.SortFunc(addresses, func(a, b listenAddress) int {
		return strings.Compare(fmt.Sprintf("%5d %s", a.port, a.host), fmt.Sprintf("%5d %s", b.port, b.host))
	})
	addresses = slices.Compact(addresses)

	if len(addresses) == 0 {
		return failed("Add the sites of the console and the workspaces.", "no site listens on a TCP port")
	}

	ours := map[uint64]bool{}
	pid := gatewayProcess(p.admin)
	if pid != 0 {
		sockets, err := socketsOf(pid)
		if err != nil {
			return fine("the gateway runs; whether another program shares its addresses is not seen by this user")
		}
		for _, inode := range sockets {
			ours[inode] = true
		}
	}
	all := listeningSockets()
	var texts []string
	for _, a := range addresses {
		text := net.JoinHostPort(a.host, strconv.Itoa(int(a.port)))
		texts = append(texts, text)
		for _, s := range all {
			if a.meets(s.address) && !ours[s.inode] {
				return failed("End that program, or give Kalpana's sites another address. Of two Caddys on one address each gets some of the requests.",
					"%s listens on %s, too", ownerOf(s.inode), s.address)
			}
		}
		if pid != 0 {
			continue
		}
		var config net.ListenConfig
		listener, err := config.Listen(ctx, "tcp", text)
		switch {
		case errors.Is(err, fs.ErrPermission):
			return failed("Run the gateway as root, or let its user listen there (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE).", "this user may not listen on %s", text)
		case errors.Is(err, syscall.EADDRNOTAVAIL):
			return failed("Correct the option bind or default_bind.", "%s is no address of this machine", a.host)
		case err != nil:
			return failed("Give the sites an address that is free.", "%s: %v", text, err)
		}
		_ = listener.Close()
	}
	if pid != 0 {
		return fine("%s: the gateway's alone", strings.Join(texts, ", "))
	}
	return fine("%s: free", strings.Join(texts, ", "))
}

// meets reports whether who listens on an address gets connections for a.
func (a listenAddress) meets(other netip.AddrPort) bool {
	if other.Port() != a.port {
		return false
	}
	own, err := netip.ParseAddr(a.host)
	return err != nil || own.IsUnspecified() || other.Addr().IsUnspecified() || own.Unmap() == other.Addr().Unmap()
}
