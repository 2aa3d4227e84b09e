package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/kalpana-dev/kalpana/gateway"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

// Admin adds Kalpana's endpoints to Caddy's admin API. They answer on a Unix socket alone: on TCP,
// whoever reaches the port would be admin of every workspace.
//
//	POST   /kalpana/sign-in-link          {url, expiresAt}
//	POST   /kalpana/reconcile             204
//	GET    /kalpana/firewall              {rules: [string]}
//	POST   /kalpana/backup                a compressed tar; ?keys=no leaves the keys out
//	POST   /kalpana/secrets/rotate        {resealed, complete, keyset?, lost?: [string]}; takes half a minute
//	GET    /kalpana/workspaces            {workspaces: [workspace], next?}; see [Admin.listWorkspaces]
//	GET    /kalpana/workspaces/{id}       workspace
//	DELETE /kalpana/workspaces/{id}       204
//	POST   /kalpana/workspaces/{id}/start workspace, once it runs; likewise stop, pause, restart, rebuild
//	GET    /kalpana/workspaces/{id}/logs  {log}
//	GET    /kalpana/drain                 {draining, drained, operations, held, streams}
//	POST   /kalpana/drain?timeout=5m      the same, once nothing is under way or the time is over
//	DELETE /kalpana/drain                 the same
//
// An error is {error: string}, with a status.
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
		{Pattern: "/kalpana/sign-in-link", Handler: m.handle(methods{http.MethodPost: m.signInLink})},
		{Pattern: "/kalpana/reconcile", Handler: m.handle(methods{http.MethodPost: m.reconcile})},
		{Pattern: "/kalpana/firewall", Handler: m.handle(methods{http.MethodGet: m.firewall})},
		{Pattern: "/kalpana/backup", Handler: m.handle(methods{http.MethodPost: m.backup})},
		{Pattern: "/kalpana/secrets/rotate", Handler: m.handle(methods{http.MethodPost: m.rotateSecrets})},
		{Pattern: "/kalpana/workspaces", Handler: m.handle(methods{http.MethodGet: m.listWorkspaces})},
		{Pattern: "/kalpana/workspaces/{id}", Handler: m.handle(methods{http.MethodGet: m.showWorkspace, http.MethodDelete: m.deleteWorkspace})},
		{Pattern: "/kalpana/workspaces/{id}/logs", Handler: m.handle(methods{http.MethodGet: m.workspaceLog})},
		{Pattern: "/kalpana/workspaces/{id}/{act}", Handler: m.handle(methods{http.MethodPost: m.actOnWorkspace})},
		{Pattern: "/kalpana/drain", Handler: m.handle(methods{http.MethodGet: m.showDrain, http.MethodPost: m.drain, http.MethodDelete: m.undoDrain})},
	}
}

// methods serve one endpoint, by HTTP method.
type methods map[string]func(*App, http.ResponseWriter, *http.Request) error

func (m *Admin) handle(by methods) caddy.AdminHandler {
	return caddy.AdminHandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		if !ok || addr.Network() != "unix" {
			return caddy.APIError{HTTPStatus: http.StatusForbidden, Err: errors.New("this endpoint answers on a Unix socket only; set: admin unix//path/to/admin.sock")}
		}
		serve, ok := by[r.Method]
		if !ok {
			allowed := strings.Join(slices.Sorted(maps.Keys(by)), ", ")
			w.Header().Set("Allow", allowed)
			return caddy.APIError{HTTPStatus: http.StatusMethodNotAllowed, Err: fmt.Errorf("use %s", allowed)}
		}
		app, err := m.app()
		if err != nil {
			return caddy.APIError{HTTPStatus: http.StatusServiceUnavailable, Err: err}
		}
		if err := app.ready(r); err != nil {
			return caddy.APIError{HTTPStatus: http.StatusServiceUnavailable, Err: err}
		}
		if err := serve(app, w, r); err != nil {
			return caddy.APIError{HTTPStatus: adminStatus(err), Err: err}
		}
		return nil
	})
}

// adminStatus is the status of what an endpoint fails with.
func adminStatus(err error) int {
	switch {
	case errors.Is(err, errBadRequest):
		return http.StatusBadRequest
	case errors.Is(err, workspace.ErrBusy), errors.Is(err, workspace.ErrConflict):
		return http.StatusConflict
	default:
		return gateway.StatusOf(err)
	}
}

// badRequestError says what is wrong with a request's parameters.
type badRequestError struct{ error }

var errBadRequest = badRequestError{}

func (badRequestError) Is(target error) bool { return target == errBadRequest }

func badRequest(format string, args ...any) error {
	return badRequestError{fmt.Errorf(format, args...)}
}

// audit records what was done by the admin socket.
func (a *App) audit(r *http.Request, id workspace.ID, detail string) {
	a.instance.identity.Audit(r.Context(), identity.AuditEvent{
		Action: identity.ActionAdmin, Via: "admin socket", Workspace: id, Detail: detail,
	})
}

func answerJSON(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(v)
}

func (m *Admin) app() (*App, error) {
	v, err := caddy.ActiveContext().AppIfConfigured("kalpana")
	if err != nil {
		return nil, errors.New("this Caddy does not run Kalpana: its configuration lacks the global option kalpana")
	}
	return v.(*App), nil
}

func (m *Admin) signInLink(app *App, w http.ResponseWriter, r *http.Request) error {
	if !app.instance.linkLogin {
		return errors.New("sign-in by link is off: add login link to the global option kalpana")
	}
	person, err := app.instance.identity.FirstAdmin(r.Context())
	if err != nil {
		return err
	}
	app.audit(r, "", "a sign-in link for "+person.Name)
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
	return answerJSON(w, signInLinkAnswer{url, expires})
}

func (m *Admin) reconcile(app *App, w http.ResponseWriter, r *http.Request) error {
	app.audit(r, "", "reconcile")
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
	return answerJSON(w, firewallAnswer{rules})
}

var (
	_ caddy.AdminRouter = (*Admin)(nil)
	_ caddy.Provisioner = (*Admin)(nil)
)
