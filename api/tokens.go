package api

import (
	"context"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kalpana-dev/kalpana/identity"
)

// Token is an API token as its owner sees it.
type Token struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Scopes    []string   `json:"scopes" nullable:"false"`
	CreatedAt time.Time  `json:"createdAt"`
	ExpiresAt time.Time  `json:"expiresAt"`
	UsedAt    *time.Time `json:"usedAt,omitempty" doc:"To the minute; missing if it was never used."`
}

// Tokens is a list of tokens.
type Tokens struct {
	Tokens []Token `json:"tokens" nullable:"false"`
}

// NewToken is a token to be made.
type NewToken struct {
	Name          string   `json:"name" minLength:"1" maxLength:"64" doc:"What it is for."`
	Scopes        []string `json:"scopes" nullable:"false" minItems:"1" uniqueItems:"true" enum:"workspaces:read,workspaces:write,workspaces:open,agent,admin"`
	LifetimeHours int      `json:"lifetimeHours,omitempty" minimum:"1" maximum:"8760" default:"720"`
}

// CreatedToken is a token that was just made.
type CreatedToken struct {
	Token
	Secret string `json:"token" doc:"The token itself, which is shown this once."`
}

type newTokenInput struct{ Body NewToken }

type tokenInput struct {
	ID string `path:"id" maxLength:"64" doc:"Token id, from the list."`
}

func tokenView(t identity.Token) Token {
	v := Token{ID: t.ID, Name: t.Name, Scopes: strings.Fields(t.Scopes), CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt}
	if !t.UsedAt.IsZero() {
		v.UsedAt = &t.UsedAt
	}
	return v
}

func (h *Handler) tokenRoutes() {
	const tag = "tokens"
	huma.Register(h.huma, h.operation("GET", "/api/tokens", "listTokens", "List your API tokens, the newest first", 200, tag),
		func(ctx context.Context, _ *struct{}) (*struct{ Body Tokens }, error) {
			list, err := h.cfg.Identity.Tokens(ctx, callerOf(ctx).Person.ID)
			if err != nil {
				return nil, h.problem(err)
			}
			views := make([]Token, 0, len(list))
			for _, t := range list {
				views = append(views, tokenView(t))
			}
			return &struct{ Body Tokens }{Tokens{views}}, nil
		})
	huma.Register(h.huma, h.operation("POST", "/api/tokens", "createToken", "Create an API token", 201, tag),
		func(ctx context.Context, in *newTokenInput) (*struct{ Body CreatedToken }, error) {
			scopes := make([]identity.Scope, 0, len(in.Body.Scopes))
			for _, s := range in.Body.Scopes {
				scopes = append(scopes, identity.Scope(s))
			}
			text, t, err := h.cfg.Identity.CreateToken(ctx, callerOf(ctx), in.Body.Name, scopes, time.Duration(in.Body.LifetimeHours)*time.Hour)
			if err != nil {
				return nil, h.problem(err)
			}
			return &struct{ Body CreatedToken }{CreatedToken{tokenView(t), text}}, nil
		})
	huma.Register(h.huma, h.operation("DELETE", "/api/tokens/{id}", "revokeToken", "Revoke an API token, and end what it has open", 204, tag),
		func(ctx context.Context, in *tokenInput) (*struct{}, error) {
			return nil, h.problem(h.cfg.Identity.RevokeToken(ctx, callerOf(ctx), in.ID))
		})
}
