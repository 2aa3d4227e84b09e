package caddymodule

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/kalpana-dev/kalpana/gateway"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

// AccessHandler signs people in to another site of the same Caddy, with the console's session. On the
// site itself the browser gets a cookie of its own for that host alone, by the same one-time code as
// on workspaces; a request is checked in memory, and signing out ends it within seconds. It sets
// {http.auth.user.id}, .name, .email and .role, and removes Kalpana's cookies, and every header by
// which proxies tell who somebody is, from what goes on to the site.
type AccessHandler struct {
	// Whether people must be signed in. Where it is false they are let through in any case, and the
	// placeholders are set if they are signed in. Default: false.
	Require bool `json:"require,omitempty"`
	// The role that people must have: admin or member. Default: member, which everybody has.
	Role string `json:"role,omitempty"`
	// The addresses of the site, such as https://grafana.example.com, scheme and port included.
	// Default: the hosts that the site's routes match exactly.
	Addresses []string `json:"addresses,omitempty"`

	app *App
}

// CaddyModule returns the Caddy module information.
func (*AccessHandler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.kalpana_access", New: func() caddy.Module { return new(AccessHandler) }}
}

// Provision finds the app, and tells it where the handler is.
func (m *AccessHandler) Provision(ctx caddy.Context) (err error) {
	if m.Role != "" && m.Role != string(identity.RoleAdmin) && m.Role != string(identity.RoleMember) {
		return fmt.Errorf("role %s: there are %s and %s", m.Role, identity.RoleAdmin, identity.RoleMember)
	}
	if m.app, err = appOf(ctx); err != nil {
		return err
	}
	for _, parent := range ctx.Modules() {
		if server, ok := parent.(*caddyhttp.App); ok {
			m.app.protects(server)
		}
	}
	for _, address := range m.Addresses {
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || (u.Path != "" && u.Path != "/") || strings.ContainsAny(address, "?#@") {
			return fmt.Errorf("address %s: write it like https://grafana.example.com", address)
		}
		if (u.Scheme == "https") != m.app.hosts.Secure() {
			return fmt.Errorf("address %s: its scheme must be the console's", address)
		}
		if err := m.app.sites.add(m.app.hosts, u.Host); err != nil {
			return err
		}
	}
	return nil
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (m *AccessHandler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if err := m.app.ready(r); err != nil {
		return caddyhttp.Error(http.StatusServiceUnavailable, err)
	}
	if onConsole(m.app, r) == nil {
		return m.serveConsole(w, r, next)
	}
	site, ok := m.app.site(r.Host)
	if !ok {
		return caddyhttp.Error(http.StatusForbidden, fmt.Errorf("%s is not an address of a site that Kalpana protects: name it in the Caddyfile, as the site's own address or by kalpana_auth { address … }", strconv.Quote(r.Host)))
	}
	rule := gateway.SiteRule{Required: m.Require, Role: identity.Role(m.Role)}
	return m.app.gateway.ServeSite(w, r, site, rule, func(w http.ResponseWriter, r *http.Request, g *identity.Grant) error {
		if g != nil {
			setUser(r, g.Person, g.Claims)
		}
		return next.ServeHTTP(w, r)
	})
}

// serveConsole protects further handlers on the console's own host, by the session itself.
func (m *AccessHandler) serveConsole(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	gateway.StripPersonHeaders(r.Header)
	if !m.Require {
		return next.ServeHTTP(w, r) // the console's own handlers need the cookies
	}
	caller, err := m.app.api.Authenticate(r)
	if err == nil && caller.Token != nil {
		err = identity.ErrNoSession // none of a token's scopes says anything about this
	}
	switch {
	case errors.Is(err, identity.ErrNoSession) && r.Method == http.MethodGet && isNavigation(r):
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Location", "/login?"+url.Values{"next": {"/" + strings.TrimLeft(r.URL.RequestURI(), "/")}}.Encode())
		w.WriteHeader(http.StatusSeeOther)
		return nil
	case errors.Is(err, identity.ErrNoSession):
		return caddyhttp.Error(http.StatusUnauthorized, err)
	case err != nil:
		return caddyhttp.Error(http.StatusServiceUnavailable, err)
	case !gateway.SameOrigin(r, m.app.hosts.Console()):
		return caddyhttp.Error(http.StatusForbidden, errors.New("this request did not come from the console's own pages"))
	case m.Role == string(identity.RoleAdmin) && caller.Person.Role != identity.RoleAdmin:
		return caddyhttp.Error(http.StatusForbidden, errors.New("this page is for administrators"))
	}
	identity.StripCookies(r.Header)
	ctx, release := m.app.instance.identity.HoldCaller(r.Context(), caller)
	defer release()
	setUser(r, caller.Person.ID, claimsOf(caller.Person))
	return next.ServeHTTP(w, r.WithContext(ctx))
}

func isNavigation(r *http.Request) bool {
	mode := r.Header.Get("Sec-Fetch-Mode")
	return mode == "navigate" || (mode == "" && strings.Contains(r.Header.Get("Accept"), "text/html"))
}

func claimsOf(p identity.Person) identity.Claims {
	return identity.Claims{Name: p.Name, Email: p.Email, Role: p.Role}
}

// metadata are the placeholders {http.auth.user.*} beside id.
func metadata(p identity.Claims) map[string]string {
	return map[string]string{"name": p.Name, "email": p.Email, "role": string(p.Role)}
}

func setUser(r *http.Request, person string, p identity.Claims) {
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	repl.Set("http.auth.user.id", person)
	for key, value := range metadata(p) {
		repl.Set("http.auth.user."+key, value)
	}
}

// parseAuth protects a site, or the part of it that the matcher matches, by the console's sign-in:
//
//	kalpana_auth [<matcher>] {
//		role    admin|member
//		address <address>...
//	}
//
// It belongs at the top of the site, not inside handle or route: the way back from the console ends
// at a path of its own.
func parseAuth(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	h.Next()
	matcher, err := h.ExtractMatcherSet()
	if err != nil {
		return nil, err
	}
	m := &AccessHandler{Require: true}
	if err := m.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	routes := h.NewRoute(matcher, m)
	if len(matcher) > 0 { // what is taken out of requests, and the way back, concern the whole site
		routes = append(h.NewRoute(nil, &AccessHandler{Addresses: m.Addresses}), routes...)
	}
	return routes, nil
}

// UnmarshalCaddyfile sets up the handler; see [parseAuth].
func (m *AccessHandler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return block(d, func(name string) (bool, error) {
		switch name {
		case "role":
			if err := oneArg(d, &m.Role); err != nil {
				return true, err
			}
			if m.Role != string(identity.RoleAdmin) && m.Role != string(identity.RoleMember) {
				return true, d.Errf("role %s: there are admin and member", m.Role)
			}
			return true, nil
		case "address":
			addresses := d.RemainingArgs()
			if len(addresses) == 0 {
				return true, d.ArgErr()
			}
			m.Addresses = append(m.Addresses, addresses...)
			return true, nil
		}
		return false, nil
	})
}

// siteList are the sites that people can be signed in to, by Host header. It is complete before the
// app has started, and not written after.
type siteList map[string]workspace.Host

func (l siteList) add(hosts *workspace.Hosts, host string) error {
	site, err := hosts.ParseSite(host)
	if err != nil {
		return fmt.Errorf("kalpana_auth: %s: it must be the name of a site beside the console and the workspaces, without wildcards", host)
	}
	l[site.Site] = site
	return nil
}

// protects remembers that some of a server's sites have the handler.
func (a *App) protects(server *caddyhttp.App) {
	for _, known := range a.servers {
		if known == server {
			return
		}
	}
	a.servers = append(a.servers, server)
}

// site returns the protected site that a Host header names.
func (a *App) site(host string) (workspace.Host, bool) {
	parsed, err := a.hosts.ParseSite(host)
	if err != nil {
		return workspace.Host{}, false
	}
	site, ok := a.sites[parsed.Site]
	return site, ok
}

// findSites fills the list with the hosts that routes with the handler match exactly. All modules are
// provisioned by now.
func (a *App) findSites() error {
	for _, app := range a.servers {
		for _, server := range app.Servers {
			ports, err := portsOf(app, server)
			if err != nil {
				return err
			}
			if err := a.findSitesIn(server.Routes, nil, ports); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *App) findSitesIn(routes caddyhttp.RouteList, hosts, ports []string) error {
	for _, route := range routes {
		inner := hosts
		if own := hostsOf(route.MatcherSets); own != nil {
			inner = own
		}
		for _, handler := range route.Handlers {
			switch handler := handler.(type) {
			case *caddyhttp.Subroute:
				if err := a.findSitesIn(handler.Routes, inner, ports); err != nil {
					return err
				}
			case *AccessHandler:
				if err := a.addSites(handler, inner, ports); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (a *App) addSites(handler *AccessHandler, hosts, ports []string) error {
	if len(handler.Addresses) > 0 {
		return nil // its Provision has added them
	}
	if len(hosts) == 0 {
		return errors.New("kalpana_auth: its site has no host name; give it one, or add: kalpana_auth { address https://… }")
	}
	for _, host := range hosts {
		if parsed, err := a.hosts.Parse(host); err == nil && parsed.Kind == workspace.HostConsole {
			continue
		}
		for _, port := range ports {
			if err := a.sites.add(a.hosts, host+port); err != nil {
				return fmt.Errorf("%w; or add: kalpana_auth { address https://… }", err)
			}
		}
	}
	return nil
}

// hostsOf returns the hosts that matcher sets are limited to; nil where one set matches all.
func hostsOf(sets caddyhttp.MatcherSets) []string {
	var all []string
	for _, set := range sets {
		var own []string
		for _, matcher := range set {
			if hosts, ok := matcher.(*caddyhttp.MatchHost); ok {
				own = *hosts
			}
		}
		if own == nil {
			return nil
		}
		all = append(all, own...)
	}
	return all
}

// portsOf returns the ports that browsers reach a server at, as they write them after the host: ""
// for Caddy's own HTTP and HTTPS ports, wherever these are mapped to.
func portsOf(app *caddyhttp.App, server *caddyhttp.Server) ([]string, error) {
	var ports []string
	for _, listen := range server.Listen {
		address, err := caddy.ParseNetworkAddress(listen)
		if err != nil {
			return nil, err
		}
		if address.IsUnixNetwork() || address.IsFdNetwork() {
			ports = append(ports, "")
			continue
		}
		for port := address.StartPort; port <= address.EndPort; port++ {
			switch int(port) {
			case cmp.Or(app.HTTPPort, caddyhttp.DefaultHTTPPort), cmp.Or(app.HTTPSPort, caddyhttp.DefaultHTTPSPort):
				ports = append(ports, "")
			default:
				ports = append(ports, ":"+strconv.Itoa(int(port)))
			}
			if port == address.EndPort {
				break // 65535 has no successor
			}
		}
	}
	return ports, nil
}

var (
	_ caddyhttp.MiddlewareHandler = (*AccessHandler)(nil)
	_ caddy.Provisioner           = (*AccessHandler)(nil)
	_ caddyfile.Unmarshaler       = (*AccessHandler)(nil)
)
