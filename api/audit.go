package api

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

// AuditEvent is one line of the audit log.
type AuditEvent struct {
	ID        string    `json:"id" doc:"Sorts by time."`
	At        time.Time `json:"at"`
	Action    string    `json:"action"`
	Outcome   string    `json:"outcome" enum:"ok,refused"`
	Person    string    `json:"person" doc:"Id of who acted, or empty."`
	Via       string    `json:"via" doc:"session, token and its id, name of the login, or empty."`
	Workspace string    `json:"workspace" doc:"Id of the workspace that it concerns, or empty."`
	Address   string    `json:"address" doc:"IP address, or empty."`
	UserAgent string    `json:"userAgent" doc:"What the client called itself, or empty."`
	Detail    string    `json:"detail" doc:"For people to read."`
}

// AuditEvents is a page of the audit log.
type AuditEvents struct {
	Events []AuditEvent `json:"events" nullable:"false"`
	Next   string       `json:"next,omitempty" doc:"What to ask for with before to get the next page; missing on the last."`
}

type auditInput struct {
	Person    string `query:"person" maxLength:"64" doc:"Only what this person did."`
	Workspace string `query:"workspace" maxLength:"64" doc:"Only what concerns this workspace."`
	Action    string `query:"action" maxLength:"64" doc:"Only this action."`
	Before    string `query:"before" maxLength:"64" doc:"Only what is older than the event of this id."`
	Limit     int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
}

func (h *Handler) auditRoutes() {
	huma.Register(h.huma, forAdmins(h.operation("GET", "/api/audit", "listAuditEvents", "Read the audit log, the newest first", 200, "admin")),
		func(ctx context.Context, in *auditInput) (*struct{ Body AuditEvents }, error) {
			list, err := h.cfg.Identity.AuditEvents(ctx, identity.AuditQuery{
				Person: in.Person, Workspace: workspace.ID(in.Workspace), Action: in.Action, Before: in.Before, Limit: in.Limit + 1,
			})
			if err != nil {
				return nil, h.problem(err)
			}
			page := AuditEvents{Events: make([]AuditEvent, 0, len(list))}
			for _, e := range list[:min(len(list), in.Limit)] {
				page.Events = append(page.Events, AuditEvent{
					ID: e.ID, At: e.At, Action: e.Action, Outcome: e.Outcome, Person: e.Person, Via: e.Via, Workspace: string(e.Workspace),
					Address: e.Address, UserAgent: e.UserAgent, Detail: e.Detail,
				})
			}
			if len(list) > in.Limit {
				page.Next = page.Events[in.Limit-1].ID
			}
			return &struct{ Body AuditEvents }{page}, nil
		})
}
