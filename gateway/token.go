package gateway

import (
	"context"
	"errors"
	"net/http"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

// openByToken gives a program's request the grant of its API token, or answers it and returns
// false. A token opens the workspaces of its person, on the host of VS Code alone: on a preview,
// Authorization is the app's.
func (h *Handler) openByToken(v *visit, text string) bool {
	// Nothing but our own page can send a token from a browser, so there is no Origin to demand; one
	// that is there tells where a stolen one is used.
	origin := v.r.Header["Origin"]
	if len(origin) > 1 || len(origin) == 1 && origin[0] != h.cfg.Hosts.Origin(v.host) {
		writeProblem(&v.w, http.StatusForbidden, "This request came from another site, so it is refused.")
		return false
	}
	switch v.r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
	default:
		writeProblem(&v.w, http.StatusForbidden, "This request came from another site, so it is refused.")
		return false
	}
	grant, err := h.cfg.Identity.TokenGrant(v.r, text, v.host, func(ctx context.Context, person string) error {
		w, err := h.cfg.Orchestrator.Get(ctx, person, v.host.ID)
		if err == nil && w.State == workspace.StateDeleting {
			err = workspace.ErrNotFound
		}
		return err
	})
	switch {
	case err == nil:
		v.grant = grant
		return true
	case errors.Is(err, identity.ErrToken):
		v.w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		writeProblem(&v.w, http.StatusUnauthorized, "This token is unknown, expired or revoked. Make another at "+h.cfg.Hosts.Console()+".")
	case errors.Is(err, identity.ErrScope):
		writeProblem(&v.w, http.StatusForbidden, "This token may not open workspaces. Make one with the scope "+string(identity.ScopeOpen)+" at "+h.cfg.Hosts.Console()+".")
	case errors.Is(err, workspace.ErrNotFound):
		writeProblem(&v.w, http.StatusNotFound, explain(workspace.ErrNotFound))
	default:
		if !errors.Is(err, workspace.ErrStoreDown) { // which the poll tells of
			h.cfg.Log.Error("a token could not be checked", "error", err)
		}
		writeProblem(&v.w, http.StatusServiceUnavailable, "The token cannot be checked right now, since the store does not answer.")
	}
	return false
}
