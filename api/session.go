package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kalpana-dev/kalpana/identity"
)

// Me is the person who is signed in.
type Me struct {
	ID             string `json:"id"`
	Name           string `json:"name"`
	Role           string `json:"role" enum:"admin,member"`
	WorkspaceLimit int    `json:"workspaceLimit" doc:"How many workspaces you may have; -1 is any number."`
	RunningLimit   int    `json:"runningLimit" doc:"How many of them may run or be paused at a time; -1 is any number."`
}

type cookieOutput struct {
	SetCookie string `header:"Set-Cookie"`
}

// LinkToken is the secret of a sign-in link.
type LinkToken struct {
	Token string `json:"token" maxLength:"128" doc:"What follows # in the link."`
}

// Session is one browser that is signed in.
type Session struct {
	ID        string    `json:"id"`
	Current   bool      `json:"current" doc:"It is the one that asks."`
	Provider  string    `json:"provider" doc:"Name of the login, or link."`
	Address   string    `json:"address" doc:"IP address that signed in, or empty."`
	UserAgent string    `json:"userAgent" doc:"What the browser called itself, or empty."`
	CreatedAt time.Time `json:"createdAt"`
	SeenAt    time.Time `json:"seenAt" doc:"To the minute on the console, to an hour in workspaces."`
	EndsAt    time.Time `json:"endsAt" doc:"When it ends at the latest."`
}

// Sessions is a list of sessions.
type Sessions struct {
	Sessions []Session `json:"sessions" nullable:"false"`
}

type sessionInput struct {
	ID string `path:"id" maxLength:"64" doc:"Session id, from the list."`
}

func (h *Handler) sessionRoutes() {
	const tag = "session"
	huma.Register(h.huma, scoped(h.operation("GET", "/api/me", "me", "Who is signed in", 200, tag)),
		func(ctx context.Context, _ *struct{}) (*struct{ Body Me }, error) {
			p := callerOf(ctx).Person
			quota, err := h.cfg.Orchestrator.QuotaOf(ctx, p.ID)
			if err != nil {
				return nil, h.problem(err)
			}
			q := everybodys(quota)
			return &struct{ Body Me }{Me{ID: p.ID, Name: p.Name, Role: string(p.Role), WorkspaceLimit: q.Workspaces, RunningLimit: q.Running}}, nil
		})
	huma.Register(h.huma, h.operation("POST", "/api/logout", "logout", "Sign out, here and on every workspace opened from here", 204, tag),
		func(ctx context.Context, _ *struct{}) (*cookieOutput, error) {
			cookie, err := h.cfg.Identity.SignOut(ctx, callerOf(ctx).Session)
			if err != nil {
				return nil, h.problem(err)
			}
			return &cookieOutput{cookie.String()}, nil
		})
	huma.Register(h.huma, h.operation("GET", "/api/sessions", "listSessions", "Where you are signed in, the newest first", 200, tag),
		func(ctx context.Context, _ *struct{}) (*struct{ Body Sessions }, error) {
			caller := callerOf(ctx)
			list, err := h.cfg.Identity.Sessions(ctx, caller.Person.ID)
			if err != nil {
				return nil, h.problem(err)
			}
			views := make([]Session, 0, len(list))
			for _, v := range list {
				views = append(views, Session{
					ID: v.ID(), Current: v.Hash == caller.Session.Hash, Provider: v.Provider, Address: v.Address, UserAgent: v.UserAgent,
					CreatedAt: v.CreatedAt, SeenAt: v.SeenAt, EndsAt: v.EndsAt,
				})
			}
			return &struct{ Body Sessions }{Sessions{views}}, nil
		})
	huma.Register(h.huma, h.operation("DELETE", "/api/sessions/{id}", "revokeSession", "Sign out one browser, and every workspace opened from it", 204, tag),
		func(ctx context.Context, in *sessionInput) (*struct{}, error) {
			return nil, h.problem(h.cfg.Identity.RevokeSession(ctx, callerOf(ctx), in.ID))
		})
	huma.Register(h.huma, h.operation("DELETE", "/api/sessions", "revokeOtherSessions", "Sign out everywhere but here", 204, tag),
		func(ctx context.Context, _ *struct{}) (*struct{}, error) {
			return nil, h.problem(h.cfg.Identity.RevokeOtherSessions(ctx, callerOf(ctx)))
		})
	if !h.cfg.Links {
		return
	}
	huma.Register(h.huma, public(h.operation("POST", "/api/login/link", "loginByLink", "Sign in by a link", 204, tag)), func(ctx context.Context, in *struct{ Body LinkToken }) (*cookieOutput, error) {
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
