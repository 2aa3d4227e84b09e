package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kalpana-dev/kalpana/identity"
)

// Me is the person who is signed in.
type Me struct {
	ID             string `json:"id"`
	Name           string `json:"name"`
	Role           string `json:"role" enum:"admin,member"`
	WorkspaceLimit int    `json:"workspaceLimit" doc:"How many workspaces you may have; -1 is any number."`
}

type cookieOutput struct {
	SetCookie string `header:"Set-Cookie"`
}

// LinkToken is the secret of a sign-in link.
type LinkToken struct {
	Token string `json:"token" maxLength:"128" doc:"What follows # in the link."`
}

func (h *Handler) sessionRoutes() {
	const tag = "session"
	huma.Register(h.huma, h.operation("GET", "/api/me", "me", "Who is signed in", 200, tag),
		func(ctx context.Context, _ *struct{}) (*struct{ Body Me }, error) {
			p := callerOf(ctx).Person
			limit := max(h.cfg.Orchestrator.WorkspaceLimit(), -1)
			return &struct{ Body Me }{Me{ID: p.ID, Name: p.Name, Role: string(p.Role), WorkspaceLimit: limit}}, nil
		})
	huma.Register(h.huma, h.operation("POST", "/api/logout", "logout", "Sign out, here and on every workspace opened from here", 204, tag),
		func(ctx context.Context, _ *struct{}) (*cookieOutput, error) {
			cookie, err := h.cfg.Identity.SignOut(ctx, callerOf(ctx).Session)
			if err != nil {
				return nil, h.problem(err)
			}
			return &cookieOutput{cookie.String()}, nil
		})
	if !h.cfg.Links {
		return
	}
	op := h.operation("POST", "/api/login/link", "loginByLink", "Sign in by a link", 204, tag)
	op.Middlewares = nil
	huma.Register(h.huma, op, func(ctx context.Context, in *struct{ Body LinkToken }) (*cookieOutput, error) {
		cookie, _, err := h.cfg.Identity.SignInByLink(ctx, in.Body.Token)
		if err != nil {
			return nil, h.problem(err)
		}
		return &cookieOutput{cookie.String()}, nil
	})
}

// Authenticate returns who makes the request; identity.ErrNoSession when nobody is signed in.
func (h *Handler) Authenticate(r *http.Request) (identity.Caller, error) {
	return h.cfg.Identity.Authenticate(r)
}
