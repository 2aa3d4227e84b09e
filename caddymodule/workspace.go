package caddymodule

import (
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// WorkspaceHandler is the gateway: it serves workspace hosts. It authorises each request, wakes
// the workspace if it sleeps, and proxies VS Code and its WebSockets.
type WorkspaceHandler struct{ app *App }

// CaddyModule returns the Caddy module information.
func (*WorkspaceHandler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.kalpana_workspace", New: func() caddy.Module { return new(WorkspaceHandler) }}
}

// Provision finds the app.
func (m *WorkspaceHandler) Provision(ctx caddy.Context) (err error) {
	m.app, err = appOf(ctx)
	return err
}

// ServeHTTP implements caddyhttp.MiddlewareHandler. It answers every request: its errors are pages
// that say what to do.
func (m *WorkspaceHandler) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	if err := m.app.ready(r); err != nil {
		return caddyhttp.Error(http.StatusServiceUnavailable, err)
	}
	m.app.gateway.ServeHTTP(w, r)
	return nil
}

// parseWorkspaceHandler sets up the handler:
//
//	kalpana_workspace
func parseWorkspaceHandler(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	m := new(WorkspaceHandler)
	return m, m.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile takes no options.
func (m *WorkspaceHandler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error { return noOptions(d) }

var (
	_ caddyhttp.MiddlewareHandler = (*WorkspaceHandler)(nil)
	_ caddy.Provisioner           = (*WorkspaceHandler)(nil)
	_ caddyfile.Unmarshaler       = (*WorkspaceHandler)(nil)
)
