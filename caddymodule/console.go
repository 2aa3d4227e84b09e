package caddymodule

import (
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/kalpana-dev/kalpana/api"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/web"
	"github.com/kalpana-dev/kalpana/workspace"
)

// parseConsole expands the directive to the console's handlers in their order:
//
//	kalpana_console
func parseConsole(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	h.Next()
	if h.NextArg() || h.NextBlock(0) {
		return nil, h.Err("kalpana_console takes neither arguments nor a block; what there is to set is in the global option kalpana")
	}
	var values []httpcaddyfile.ConfigValue
	for _, handler := range []caddyhttp.MiddlewareHandler{new(APIHandler), new(MCPHandler), new(UIHandler)} {
		values = append(values, h.NewRoute(nil, handler)...)
	}
	return values, nil
}

// APIHandler serves the console's JSON API under /api/, the hand-off to workspace hosts, and what
// login providers send browsers back to.
type APIHandler struct{ app *App }

// CaddyModule returns the Caddy module information.
func (*APIHandler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.kalpana_api", New: func() caddy.Module { return new(APIHandler) }}
}

// Provision finds the app.
func (m *APIHandler) Provision(ctx caddy.Context) (err error) {
	m.app, err = appOf(ctx)
	return err
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (m *APIHandler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	api.Protect(m.app.hosts, w.Header()) // an error, too
	if err := onConsole(m.app, r); err != nil {
		return err
	}
	handoff := r.URL.Path == identity.HandoffPath
	_, callback := api.LoginCallback(r.URL.Path)
	own := r.URL.Path == "/api" || strings.HasPrefix(r.URL.Path, "/api/") // has the same rule, and says so in its own form
	if err := guardConsole(m.app, r); err != nil && !own {
		return err
	}
	if !handoff && !callback && !own {
		return next.ServeHTTP(w, r)
	}
	if err := m.app.ready(r); err != nil {
		return caddyhttp.Error(http.StatusServiceUnavailable, err)
	}
	if callback {
		m.app.api.CompleteLogin(w, r)
		return nil
	}
	if !handoff {
		m.app.api.ServeHTTP(w, r)
		return nil
	}
	var nextErr error
	m.app.api.Handoff(w, r, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		nextErr = next.ServeHTTP(statusWriter{w, http.StatusNotFound}, r)
	}))
	return nextErr
}

// onConsole refuses requests on hosts that are not the console's: its cookies belong to that one
// host.
func onConsole(app *App, r *http.Request) error {
	host, err := app.hosts.Parse(r.Host)
	if err != nil || host.Kind != workspace.HostConsole {
		return caddyhttp.Error(http.StatusNotFound, workspace.ErrInvalidHost)
	}
	return nil
}

// guardConsole is onConsole with the origin rule of every route there.
func guardConsole(app *App, r *http.Request) error {
	if err := onConsole(app, r); err != nil {
		return err
	}
	if err := api.Guard(r, app.hosts); err != nil {
		return caddyhttp.Error(http.StatusForbidden, err)
	}
	return nil
}

// statusWriter answers with a status of its own.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w statusWriter) WriteHeader(int) { w.ResponseWriter.WriteHeader(w.status) }

func (w statusWriter) Write(p []byte) (int, error) {
	w.WriteHeader(0)
	return w.ResponseWriter.Write(p)
}

// parseAPIHandler sets up the handler:
//
//	kalpana_api
func parseAPIHandler(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	m := new(APIHandler)
	return m, m.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile takes no options.
func (m *APIHandler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error { return noOptions(d) }

// UIHandler serves the console's pages.
type UIHandler struct {
	app   *App
	pages http.Handler
}

// CaddyModule returns the Caddy module information.
func (*UIHandler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.kalpana_ui", New: func() caddy.Module { return new(UIHandler) }}
}

// Provision finds the app.
func (m *UIHandler) Provision(ctx caddy.Context) (err error) {
	m.pages = web.Handler()
	m.app, err = appOf(ctx)
	return err
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (m *UIHandler) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	api.Protect(m.app.hosts, w.Header())
	if err := guardConsole(m.app, r); err != nil {
		return err
	}
	m.pages.ServeHTTP(w, r)
	return nil
}

// parseUIHandler sets up the handler:
//
//	kalpana_ui
func parseUIHandler(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	m := new(UIHandler)
	return m, m.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile takes no options.
func (m *UIHandler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error { return noOptions(d) }

func noOptions(d *caddyfile.Dispenser) error {
	return block(d, func(string) (bool, error) { return false, nil })
}

var (
	_ caddyhttp.MiddlewareHandler = (*APIHandler)(nil)
	_ caddyhttp.MiddlewareHandler = (*UIHandler)(nil)
	_ caddy.Provisioner           = (*APIHandler)(nil)
	_ caddy.Provisioner           = (*UIHandler)(nil)
	_ caddyfile.Unmarshaler       = (*APIHandler)(nil)
	_ caddyfile.Unmarshaler       = (*UIHandler)(nil)
)
