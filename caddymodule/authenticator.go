package caddymodule

import (
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/caddyauth"

	"github.com/kalpana-dev/kalpana/gateway"
	"github.com/kalpana-dev/kalpana/identity"
)

// Authenticator lets people on who are signed in: on the console by their session, on a site with
// kalpana_auth by its own cookie. It sets {http.auth.user.id}, .name, .email and .role. By itself it
// answers 401 and sends nobody to sign in; the directive kalpana_auth does. A request that a page of another origin
// makes is nobody's.
type Authenticator struct{ app *App }

// CaddyModule returns the Caddy module information.
func (*Authenticator) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.authentication.providers.kalpana", New: func() caddy.Module { return new(Authenticator) }}
}

// Provision finds the app.
func (m *Authenticator) Provision(ctx caddy.Context) (err error) {
	m.app, err = appOf(ctx)
	return err
}

// Authenticate implements caddyauth.Authenticator.
func (m *Authenticator) Authenticate(_ http.ResponseWriter, r *http.Request) (caddyauth.User, bool, error) {
	if err := m.app.ready(r); err != nil {
		return caddyauth.User{}, false, err
	}
	if onConsole(m.app, r) != nil {
		site, ok := m.app.site(r.Host)
		if !ok {
			return caddyauth.User{}, false, nil
		}
		g, err := m.app.gateway.SiteGrant(r, site)
		if err != nil {
			return caddyauth.User{}, false, unlessMissing(err, identity.ErrNoGrant)
		}
		if !gateway.SameOrigin(r, m.app.hosts.Origin(site)) {
			return caddyauth.User{}, false, nil
		}
		return caddyauth.User{ID: g.Person, Metadata: metadata(g.Claims)}, true, nil
	}
	caller, err := m.app.api.Authenticate(r)
	if err != nil {
		return caddyauth.User{}, false, unlessMissing(err, identity.ErrNoSession)
	}
	if caller.Token != nil || !gateway.SameOrigin(r, m.app.hosts.Console()) {
		return caddyauth.User{}, false, nil
	}
	return caddyauth.User{ID: caller.Person.ID, Metadata: metadata(claimsOf(caller.Person))}, true, nil
}

// unlessMissing returns err, or nil where it says no more than that nobody is signed in.
func unlessMissing(err, missing error) error {
	if errors.Is(err, missing) {
		return nil
	}
	return err
}

var (
	_ caddyauth.Authenticator = (*Authenticator)(nil)
	_ caddy.Provisioner       = (*Authenticator)(nil)
)
