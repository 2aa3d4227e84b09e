package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/kalpana-dev/kalpana/identity"
)

// Admin adds Kalpana's endpoints to Caddy's admin API. They answer on a Unix socket alone: on TCP,
// whoever reaches the port would be admin of every workspace.
//
//	POST /kalpana/sign-in-link   {url, expiresAt}
//	POST /kalpana/reconcile      204
//	GET  /kalpana/firewall       {rules: [string]}
//	POST /kalpana/backup         a compressed tar; ?keys=no leaves the keys out
//	POST /kalpana/secrets/rotate {resealed, complete, keyset?, lost?: [string]}; takes half a minute
type Admin struct{ ctx caddy.Context }

// CaddyModule returns the Caddy module information.
func (*Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.kalpana", New: func() caddy.Module { return new(Admin) }}
}

// Provision keeps the context to find the app: the admin API is provisioned before the apps are.
func (m *Admin) Provision(ctx caddy.Context) error {
	m.ctx = ctx
	return nil
}

// Routes implements caddy.AdminRouter.
func (m *Admin) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{
		{Pattern: "/kalpana/sign-in-link", Handler: m.handle(http.MethodPost, m.signInLink)},
		{Pattern: "/kalpana/reconcile", Handler: m.handle(http.MethodPost, m.reconcile)},
		{Pattern: "/kalpana/firewall", Handler: m.handle(http.MethodGet, m.firewall)},
		{Pattern: "/kalpana/backup", Handler: m.handle(http.MethodPost, m.backup)},
		{Pattern: "/kalpana/secrets/rotate", Handler: m.handle(http.MethodPost, m.rotateSecrets)},
	}
}

func (m *Admin) handle(method string, serve func(*App, http.ResponseWriter, *http.Request) error) caddy.AdminHandler {
	return caddy.AdminHandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		if !ok || addr.Network() != "unix" {
			return caddy.APIError{HTTPStatus: http.StatusForbidden, Err: errors.New("this endpoint answers on a Unix socket only; set: admin unix//path/to/admin.sock")}
		}
		if r.Method != method {
			return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: fmt.Errorf("use %s", method)}
		}
		app, err := m.app()
		if err != nil {
			return caddy.APIError{HTTPStatus: http.StatusServiceUnavailable, Err: err}
		}
		if err := app.ready(r); err != nil {
			return caddy.APIError{HTTPStatus: http.StatusServiceUnavailable, Err: err}
		}
		if err := serve(app, w, r); err != nil {
			return caddy.APIError{HTTPStatus: http.StatusServiceUnavailable, Err: err}
		}
		return nil
	})
}

func (m *Admin) app() (*App, error) {
	v, err := caddy.ActiveContext().AppIfConfigured("kalpana")
	if err != nil {
		return nil, errors.New("this Caddy does not run Kalpana: its configuration lacks the global option kalpana")
	}
	return v.(*App), nil
}

func (m *Admin) signInLink(app *App, w http.ResponseWriter, r *http.Request) error {
	if !app.instance.links {
		return errors.New("sign-in by link is off: add login link to the global option kalpana")
	}
	person, err := app.instance.identity.FirstAdmin(r.Context())
	if err != nil {
		return err
	}
	app.instance.identity.Audit(r.Context(), identity.AuditEvent{
		Action: identity.ActionAdmin, Via: "admin socket", Detail: "a sign-in link for " + person.Name,
	})
	return writeLink(app.instance.identity, person, w, r)
}

// signInLinkAnswer is what the endpoint answers.
type signInLinkAnswer struct {
	URL       string    `json:"url"`
	ExpiresAt time.Time `json:"expiresAt"`
}

func writeLink(service *identity.Service, person identity.Person, w http.ResponseWriter, r *http.Request) error {
	url, expires, err := service.SignInLink(r.Context(), person)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(signInLinkAnswer{url, expires})
}

func (m *Admin) reconcile(app *App, w http.ResponseWriter, r *http.Request) error {
	if err := app.instance.orchestrator.Reconcile(r.Context()); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

type firewallAnswer struct {
	Rules []string `json:"rules"`
}

func (m *Admin) firewall(app *App, w http.ResponseWriter, _ *http.Request) error {
	rules := []string{}
	if fenced, ok := app.instance.runtime.(interface{ Rules() []string }); ok {
		rules = fenced.Rules()
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(firewallAnswer{rules})
}

var (
	_ caddy.AdminRouter = (*Admin)(nil)
	_ caddy.Provisioner = (*Admin)(nil)
)
