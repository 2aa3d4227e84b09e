package api

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

// OwnedWorkspace is anybody's workspace as admins see it: what it costs, not what is in it.
type OwnedWorkspace struct {
	ID           string     `json:"id"`
	Name         string     `json:"name"`
	Owner        string     `json:"owner" doc:"Id of a person."`
	Template     string     `json:"template"`
	State        string     `json:"state" enum:"stopped,starting,running,pausing,paused,stopping,deleting,error"`
	StateSince   *time.Time `json:"stateSince,omitempty"`
	Reason       string     `json:"reason" doc:"Why it is in this state, in a line."`
	LastActiveAt *time.Time `json:"lastActiveAt,omitempty"`
	DiskUsed     int64      `json:"diskUsed" doc:"Bytes when they were last measured; 0 before."`
}

// OwnedWorkspaces is the beginning of a list of everybody's workspaces.
type OwnedWorkspaces struct {
	Workspaces []OwnedWorkspace `json:"workspaces" nullable:"false"`
	Total      int              `json:"total" doc:"How many there are."`
}

type ownedInput struct {
	Owner string `query:"owner" maxLength:"64" doc:"Only those of this person."`
	Q     string `query:"q" maxLength:"100" doc:"Only those that have each of these words in their name, id, template or state."`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"200"`
}

// needs ranks states by what they need of the machine and of an admin.
var needs = []workspace.State{
	workspace.StateError, workspace.StateStarting, workspace.StateRunning, workspace.StatePausing,
	workspace.StateStopping, workspace.StateDeleting, workspace.StatePaused, workspace.StateStopped,
}

func (h *Handler) adminRoutes() {
	const tag = "admin"
	huma.Register(h.huma, forAdmins(h.operation("GET", "/api/admin/workspaces", "listAllWorkspaces", "List everybody's workspaces, those in need and at work first", 200, tag)),
		func(ctx context.Context, in *ownedInput) (*struct{ Body OwnedWorkspaces }, error) {
			list, err := h.cfg.Orchestrator.List(ctx, in.Owner)
			if err != nil {
				return nil, h.problem(err)
			}
			list = slices.DeleteFunc(list, func(w *workspace.Workspace) bool {
				return !hasWords(in.Q, w.Name, string(w.ID), w.Template, string(w.State))
			})
			slices.SortStableFunc(list, func(a, b *workspace.Workspace) int {
				if d := slices.Index(needs, a.State) - slices.Index(needs, b.State); d != 0 {
					return d
				}
				return b.StateSince.Compare(a.StateSince)
			})
			body := OwnedWorkspaces{Workspaces: []OwnedWorkspace{}, Total: len(list)}
			for _, w := range list[:min(len(list), in.Limit)] {
				body.Workspaces = append(body.Workspaces, ownedView(w))
			}
			return &struct{ Body OwnedWorkspaces }{body}, nil
		})
	huma.Register(h.huma, forAdmins(h.operation("POST", "/api/admin/workspaces/{id}/stop", "stopAnyWorkspace", "Stop anybody's workspace", 202, tag)),
		func(ctx context.Context, in *idInput) (*struct{ Body OwnedWorkspace }, error) {
			w, err := h.anybodys(ctx, in.ID)
			if err != nil {
				return nil, h.problem(err)
			}
			h.done(ctx, identity.ActionStop, w.ID, w.Name)
			if w, err = h.firstEffect(ctx, w, h.cfg.Orchestrator.Stop(w.ID, "stopped by "+callerOf(ctx).Person.Name+" (admin)")); err != nil {
				return nil, h.problem(err)
			}
			return &struct{ Body OwnedWorkspace }{ownedView(w)}, nil
		})
}

// hasWords reports whether each of words is in one of texts, in whatever case.
func hasWords(words string, texts ...string) bool {
	all := strings.ToLower(strings.Join(texts, "\n"))
	for word := range strings.FieldsSeq(strings.ToLower(words)) {
		if !strings.Contains(all, word) {
			return false
		}
	}
	return true
}

// anybodys returns the workspace of that id, whoever owns it.
func (h *Handler) anybodys(ctx context.Context, raw string) (*workspace.Workspace, error) {
	id, err := workspace.ParseID(raw)
	if err != nil {
		return nil, workspace.ErrNotFound
	}
	access, err := h.cfg.Orchestrator.ReadAccess(ctx, workspace.Host{Kind: workspace.HostIDE, ID: id})
	if err != nil {
		return nil, err
	}
	return h.cfg.Orchestrator.Get(ctx, access.Owner, id)
}

func ownedView(w *workspace.Workspace) OwnedWorkspace {
	reason, _, _ := strings.Cut(w.Reason, "\n") // what follows is the end of a log, which is its owner's
	return OwnedWorkspace{
		ID: string(w.ID), Name: w.Name, Owner: w.Owner, Template: w.Template, State: string(w.State),
		StateSince: optional(w.StateSince), Reason: reason, LastActiveAt: optional(w.LastActiveAt), DiskUsed: w.DiskUsed,
	}
}
