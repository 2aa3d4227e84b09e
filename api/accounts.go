package api

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Account is an account at a login provider that one can sign in with.
type Account struct {
	Provider  string    `json:"provider"`
	Subject   string    `json:"subject" doc:"Names it, together with the provider."`
	Login     string    `json:"login"`
	Email     string    `json:"email,omitempty"`
	CreatedAt time.Time `json:"createdAt"`
}

// Accounts is a list of accounts.
type Accounts struct {
	Accounts []Account `json:"accounts" nullable:"false"`
}

type accountInput struct {
	Provider string `path:"provider" maxLength:"64"`
	Subject  string `path:"subject" maxLength:"512"`
}

func (h *Handler) accountRoutes() {
	const tag = "accounts"
	huma.Register(h.huma, h.operation("GET", "/api/accounts", "listAccounts", "List the accounts that you can sign in with", 200, tag),
		func(ctx context.Context, _ *struct{}) (*struct{ Body Accounts }, error) {
			accounts, err := h.cfg.Identity.Accounts(ctx, callerOf(ctx).Person.ID)
			if err != nil {
				return nil, h.problem(err)
			}
			list := make([]Account, 0, len(accounts))
			for _, a := range accounts {
				list = append(list, Account{Provider: a.Provider, Subject: a.Subject, Login: a.Login, Email: a.Email, CreatedAt: a.CreatedAt})
			}
			return &struct{ Body Accounts }{Accounts{list}}, nil
		})
	huma.Register(h.huma, h.operation("DELETE", "/api/accounts/{provider}/{subject}", "disconnectAccount", "Disconnect an account, unless it is the last one", 204, tag),
		func(ctx context.Context, in *accountInput) (*struct{}, error) {
			return nil, h.problem(h.cfg.Identity.Disconnect(ctx, callerOf(ctx), in.Provider, in.Subject))
		})
}
