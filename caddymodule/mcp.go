package caddymodule

import (
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/kalpana-dev/kalpana/api"
)

// MCPHandler serves the tools of workspaces to clients of the Model Context Protocol (streamable HTTP), at
// /mcp/ and the workspace's id on the console's host. They send an API token with the scope agent.
type MCPHandler struct{ app *App }

// CaddyModule returns the Caddy module information.
func (*MCPHandler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.kalpana_mcp", New: func() caddy.Module { return new(MCPHandler) }}
}

// Provision finds the app.
func (m *MCPHandler) Provision(ctx caddy.Context) (err error) {
	m.app, err = appOf(ctx)
	return err
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (m *MCPHandler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	// Clients that are refused look for OAuth there, and would take the console's page for an answer.
	discovery := strings.HasPrefix(r.URL.Path, "/.well-known/oauth-") || strings.HasPrefix(r.URL.Path, "/.well-known/openid-configuration")
	if !discovery && !strings.HasPrefix(r.URL.Path, api.MCPPrefix) {
		return next.ServeHTTP(w, r)
	}
	api.Protect(m.app.hosts, w.Header())
	if err := onConsole(m.app, r); err != nil {
		return err
	}
	if discovery {
		http.Error(w, "There is no OAuth here: make an API token in the console's settings.", http.StatusNotFound)
		return nil
	}
	if err := m.app.ready(r); err != nil {
		return caddyhttp.Error(http.StatusServiceUnavailable, err)
	}
	m.app.api.MCP(w, r)
	return nil
}

// parseMCPHandler sets up the handler:
//
//	kalpana_mcp
func parseMCPHandler(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	m := new(MCPHandler)
	return m, m.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile takes no options.
func (m *MCPHandler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error { return noOptions(d) }

var (
	_ caddyhttp.MiddlewareHandler = (*MCPHandler)(nil)
	_ caddy.Provisioner           = (*MCPHandler)(nil)
	_ caddyfile.Unmarshaler       = (*MCPHandler)(nil)
)
