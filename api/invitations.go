package api

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kalpana-dev/kalpana/identity"
)

// Invitation lets one person in, once.
type Invitation struct {
	ID        string    `json:"id"`
	Role      string    `json:"role" enum:"admin,member"`
	Note      string    `json:"note,omitempty"`
	By        string    `json:"by" doc:"Id of the admin who made it."`
	CreatedAt time.Time `json:"createdAt"`
	ExpiresAt time.Time `json:"expiresAt"`
}

// NewInvitation is an invitation that was just made.
type NewInvitation struct {
	Invitation
	URL string `json:"url" doc:"Give it to who is invited. It is not shown again."`
}

// Invitations is a list of invitations.
type Invitations struct {
	Invitations []Invitation `json:"invitations" nullable:"false"`
}

// InvitationRequest is an invitation to be made.
type InvitationRequest struct {
	Role          string `json:"role" enum:"admin,member"`
	Note          string `json:"note,omitempty" maxLength:"1024" doc:"For admins to read; at most 200 characters."`
	LifetimeHours int    `json:"lifetimeHours,omitempty" minimum:"1" maximum:"720" doc:"By default seven days."`
}

// Redemption uses up an invitation.
type Redemption struct {
	Token string `json:"token" maxLength:"128" doc:"What follows # in the invitation's address."`
	Name  string `json:"name" maxLength:"256" doc:"What you are called; 1 to 64 characters."`
}

type invitationInput struct {
	ID string `path:"id" maxLength:"64"`
}

func invitationView(i identity.Invitation) Invitation {
	return Invitation{ID: i.ID, Role: string(i.Role), Note: i.Note, By: i.By, CreatedAt: i.At, ExpiresAt: i.ExpiresAt}
}

func (h *Handler) invitationRoutes() {
	const tag = "invitations"
	huma.Register(h.huma, forAdmins(h.operation("GET", "/api/invitations", "listInvitations", "List the invitations that can still be used", 200, tag)),
		func(ctx context.Context, _ *struct{}) (*struct{ Body Invitations }, error) {
			invitations, err := h.cfg.Identity.Invitations(ctx)
			if err != nil {
				return nil, h.problem(err)
			}
			list := make([]Invitation, 0, len(invitations))
			for _, i := range invitations {
				list = append(list, invitationView(i))
			}
			return &struct{ Body Invitations }{Invitations{list}}, nil
		})
	huma.Register(h.huma, forAdmins(h.operation("POST", "/api/invitations", "createInvitation", "Invite somebody", 201, tag)),
		func(ctx context.Context, in *struct{ Body InvitationRequest }) (*struct{ Body NewInvitation }, error) {
			lifetime := time.Duration(in.Body.LifetimeHours) * time.Hour
			i, address, err := h.cfg.Identity.Invite(ctx, callerOf(ctx), identity.Role(in.Body.Role), in.Body.Note, lifetime)
			if err != nil {
				return nil, h.problem(err)
			}
			return &struct{ Body NewInvitation }{NewInvitation{Invitation: invitationView(i), URL: address}}, nil
		})
	huma.Register(h.huma, forAdmins(h.operation("DELETE", "/api/invitations/{id}", "withdrawInvitation", "Withdraw an invitation", 204, tag)),
		func(ctx context.Context, in *invitationInput) (*struct{}, error) {
			return nil, h.problem(h.cfg.Identity.Withdraw(ctx, callerOf(ctx), in.ID))
		})
	if !h.cfg.Links || len(h.cfg.Identity.Providers()) > 0 { // a provider says who somebody is
		return
	}
	op := public(h.operation("POST", "/api/invitations/redeem", "redeemInvitation", "Accept an invitation, and sign in", 204, tag))
	huma.Register(h.huma, op, func(ctx context.Context, in *struct{ Body Redemption }) (*cookieOutput, error) {
		cookie, _, err := h.cfg.Identity.Redeem(ctx, in.Body.Token, in.Body.Name)
		if err != nil {
			return nil, h.problem(err)
		}
		return &cookieOutput{cookie.String()}, nil
	})
}
