package caddymodule

import (
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/caddyauth"

	"github.com/kalpana-dev/kalpana/identity"
)

// Authenticator lets people with a session of the console on, and sets {http.auth.user.id}. The
// session's cookie belongs to the console's host alone, so it protects further handlers there.
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
	caller, err := m.app.api.Authenticate(r)
	if errors.Is(err, identity.ErrNoSession) {
		return caddyauth.User{}, false, nil
	}
	if err != nil {
		return caddyauth.User{}, false, err
	}
	return caddyauth.User{
		ID:       caller.Person.ID,
		Metadata: map[string]string{"name": caller.Person.Name, "role": string(caller.Person.Role)},
	}, true, nil
}

// parseAuth sets up authentication by the console's session, for what follows in the same site:
//
//	kalpana_auth [<matcher>]
func parseAuth(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	h.Next()
	matcher, err := h.ExtractMatcherSet()
	if err != nil {
		return nil, err
	}
	h.Next()
	if h.NextArg() || h.NextBlock(0) {
		return nil, h.ArgErr()
	}
	return h.NewRoute(matcher, caddyauth.Authentication{
		ProvidersRaw: caddy.ModuleMap{"kalpana": caddyconfig.JSON(new(Authenticator), nil)},
	}), nil
}

var (
	_ caddyauth.Authenticator = (*Authenticator)(nil)
	_ caddy.Provisioner       = (*Authenticator)(nil)
)
