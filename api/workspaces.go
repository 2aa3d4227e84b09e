package api

import (
	"context"
	"errors"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/workspace"
)

// Workspace is a workspace as the console sees it.
type Workspace struct {
	ID           string     `json:"id"`
	Name         string     `json:"name"`
	Template     string     `json:"template"`
	Repository   string     `json:"repository" doc:"Address of a repository that was cloned on first start, or empty."`
	State        string     `json:"state" enum:"stopped,starting,running,pausing,paused,stopping,deleting,error"`
	StateSince   *time.Time `json:"stateSince,omitempty" doc:"Since when it is in this state."`
	Desired      string     `json:"desired,omitempty" enum:"running,paused,stopped,deleting" doc:"What it was last told to be."`
	Reason       string     `json:"reason" doc:"Why it is in this state. The first line is for people; further lines are the end of a log."`
	URL          string     `json:"url" doc:"Where VS Code is. Opening it wakes the workspace."`
	CreatedAt    time.Time  `json:"createdAt"`
	UpdatedAt    time.Time  `json:"updatedAt"`
	LastActiveAt *time.Time `json:"lastActiveAt,omitempty"`
	LastActivity string     `json:"lastActivity"`

	Awake          *Awake         `json:"awake,omitempty" doc:"Of one that runs or is paused."`
	KeepAwakeUntil *time.Time     `json:"keepAwakeUntil,omitempty" doc:"It does not sleep by itself before."`
	Schedule       *Schedule      `json:"schedule,omitempty" doc:"Missing where there is none."`
	Start          *Start         `json:"start,omitempty" doc:"Missing before the first."`
	Queue          *Queue         `json:"queue,omitempty" doc:"Of one that waits to be started."`
	Limits         ResourceLimits `json:"limits"`
	DiskUsed       int64          `json:"diskUsed" doc:"Bytes of its volume and its container, when they were last measured; 0 before."`
}

func (h *Handler) view(w *workspace.Workspace) Workspace {
	v := Workspace{
		ID: string(w.ID), Name: w.Name, Template: w.Template, Repository: w.Repository,
		State: string(w.State), Reason: w.Reason, URL: h.cfg.Hosts.URL(w.ID),
		StateSince: optional(w.StateSince), Desired: string(w.Desired),
		CreatedAt: w.CreatedAt, UpdatedAt: w.UpdatedAt, LastActiveAt: optional(w.LastActiveAt), LastActivity: w.LastActivity,
		KeepAwakeUntil: optional(w.KeepAwakeUntil), Schedule: scheduleView(w.Schedule), Start: startView(w.LastStart),
		Limits: limitsView(h.cfg.Orchestrator.LimitsOf(w)), DiskUsed: w.DiskUsed,
	}
	if w.State == workspace.StateRunning || w.State == workspace.StatePaused {
		v.Awake = awakeView(h.cfg.Orchestrator.Awake(w))
	}
	if op := h.cfg.Orchestrator.Waking(w.ID); op != nil { // what it has come to is not in the record yet
		v.Start = startView(op.Progress())
	}
	if q := h.place(w.ID); q.Place > 0 {
		v.Queue = &q
	}
	return v
}

func (h *Handler) views(list []*workspace.Workspace) []Workspace {
	views := make([]Workspace, 0, len(list))
	for _, w := range list {
		views = append(views, h.view(w))
	}
	return views
}

type workspaceOutput struct{ Body Workspace }

// Workspaces is a list of workspaces.
type Workspaces struct {
	Workspaces []Workspace `json:"workspaces" nullable:"false"`
}

// Templates is a list of templates.
type Templates struct {
	Templates []Template `json:"templates" nullable:"false"`
}

// NewWorkspace is a workspace to be made.
type NewWorkspace struct {
	Name       string `json:"name" maxLength:"256" doc:"1 to 64 characters."`
	Template   string `json:"template" maxLength:"64"`
	Repository string `json:"repository,omitempty" maxLength:"2048" doc:"https:// or http:// address of a repository to clone on first start; a private one needs a token for its git server."`
}

// WorkspaceChange is what can be changed of a workspace.
type WorkspaceChange struct {
	Name string `json:"name" maxLength:"256" doc:"1 to 64 characters."`
}

// huma does not see the fields of an embedded struct whose name is not exported, so each input
// names its id itself.

type idInput struct {
	ID string `path:"id" maxLength:"64" doc:"Workspace id: the first label of its address."`
}

type createInput struct{ Body NewWorkspace }

type renameInput struct {
	ID   string `path:"id" maxLength:"64" doc:"Workspace id: the first label of its address."`
	Body WorkspaceChange
}

func (h *Handler) routes() {
	h.sessionRoutes()
	h.tokenRoutes()
	h.auditRoutes()
	h.loginRoutes()
	h.accountRoutes()
	h.peopleRoutes()
	h.invitationRoutes()
	h.eventRoutes()
	h.portRoutes()
	h.gitRoutes()
	h.bridgeRoutes()
	h.sleepRoutes()
	h.adminRoutes()
	h.agentRoutes()
	h.agentKeyRoutes()
	h.usageRoutes()
	const tag = "workspaces"
	huma.Register(h.huma, scoped(h.operation("GET", "/api/templates", "listTemplates", "List templates", 200, tag), identity.ScopeRead),
		func(context.Context, *struct{}) (*struct{ Body Templates }, error) {
			return &struct{ Body Templates }{Templates{append([]Template{}, h.cfg.Templates...)}}, nil
		})
	huma.Register(h.huma, scoped(h.operation("GET", "/api/workspaces", "listWorkspaces", "List your workspaces, oldest first", 200, tag), identity.ScopeRead),
		func(ctx context.Context, _ *struct{}) (*struct{ Body Workspaces }, error) {
			list, err := h.cfg.Orchestrator.List(ctx, callerOf(ctx).Person.ID)
			if err != nil {
				return nil, h.problem(err)
			}
			return &struct{ Body Workspaces }{Workspaces{h.views(list)}}, nil
		})
	huma.Register(h.huma, scoped(h.operation("POST", "/api/workspaces", "createWorkspace", "Create a workspace", 201, tag), identity.ScopeWrite),
		func(ctx context.Context, in *createInput) (*workspaceOutput, error) {
			w, err := h.cfg.Orchestrator.Create(ctx, orchestrator.NewWorkspace{
				Owner: callerOf(ctx).Person.ID, Name: in.Body.Name, Template: in.Body.Template, Repository: in.Body.Repository,
			})
			if err == nil {
				h.done(ctx, identity.ActionCreate, w.ID, w.Name)
			}
			return h.output(w, err)
		})
	huma.Register(h.huma, scoped(h.operation("GET", "/api/workspaces/{id}", "getWorkspace", "Get a workspace", 200, tag), identity.ScopeRead),
		func(ctx context.Context, in *idInput) (*workspaceOutput, error) {
			w, err := h.workspace(ctx, in.ID)
			return h.output(w, err)
		})
	huma.Register(h.huma, scoped(h.operation("PATCH", "/api/workspaces/{id}", "renameWorkspace", "Rename a workspace", 200, tag), identity.ScopeWrite),
		func(ctx context.Context, in *renameInput) (*workspaceOutput, error) {
			w, err := h.workspace(ctx, in.ID)
			if err != nil {
				return nil, h.problem(err)
			}
			w, err = h.cfg.Orchestrator.Rename(ctx, w.Owner, w.ID, in.Body.Name)
			if err == nil {
				h.done(ctx, identity.ActionRename, w.ID, w.Name)
			}
			return h.output(w, err)
		})
	huma.Register(h.huma, scoped(h.operation("DELETE", "/api/workspaces/{id}", "deleteWorkspace", "Delete a workspace, its container and its files", 204, tag), identity.ScopeWrite),
		func(ctx context.Context, in *idInput) (*struct{}, error) {
			w, err := h.workspace(ctx, in.ID)
			if err != nil {
				return nil, h.problem(err)
			}
			op := h.cfg.Orchestrator.Delete(w.ID)
			h.done(ctx, identity.ActionDelete, w.ID, w.Name)
			if err := h.cfg.Identity.Revoke(ctx, identity.Revocation{Workspace: w.ID}); err != nil {
				return nil, h.problem(err)
			}
			return nil, h.problem(op.Wait(ctx))
		})
	huma.Register(h.huma, scoped(h.operation("POST", "/api/workspaces/{id}/start", "startWorkspace", "Start a workspace", 202, tag), identity.ScopeWrite),
		func(ctx context.Context, in *idInput) (*workspaceOutput, error) {
			w, err := h.workspace(ctx, in.ID)
			if err != nil {
				return nil, h.problem(err)
			}
			h.done(ctx, identity.ActionStart, w.ID, w.Name)
			return h.begun(ctx, w, h.cfg.Orchestrator.Wake(w.ID))
		})
	huma.Register(h.huma, scoped(h.operation("POST", "/api/workspaces/{id}/stop", "stopWorkspace", "Stop a workspace", 202, tag), identity.ScopeWrite),
		func(ctx context.Context, in *idInput) (*workspaceOutput, error) {
			w, err := h.workspace(ctx, in.ID)
			if err != nil {
				return nil, h.problem(err)
			}
			h.done(ctx, identity.ActionStop, w.ID, w.Name)
			return h.begun(ctx, w, h.cfg.Orchestrator.Stop(w.ID, "stopped by "+callerOf(ctx).Person.Name))
		})
}

func (h *Handler) output(w *workspace.Workspace, err error) (*workspaceOutput, error) {
	if err != nil {
		return nil, h.problem(err)
	}
	return &workspaceOutput{h.view(w)}, nil
}

// workspace returns the caller's workspace of that id.
func (h *Handler) workspace(ctx context.Context, raw string) (*workspace.Workspace, error) {
	id, err := workspace.ParseID(raw)
	if err != nil {
		return nil, workspace.ErrNotFound
	}
	return h.theirs(ctx, callerOf(ctx), id)
}

// theirs returns caller's workspace. Asking for somebody else's is recorded.
func (h *Handler) theirs(ctx context.Context, caller identity.Caller, id workspace.ID) (*workspace.Workspace, error) {
	w, err := h.cfg.Orchestrator.Get(ctx, caller.Person.ID, id)
	if errors.Is(err, workspace.ErrForbidden) {
		h.notTheirs(ctx, caller, id)
	}
	return w, err
}

// notTheirs records that caller asked for somebody else's workspace.
func (h *Handler) notTheirs(ctx context.Context, caller identity.Caller, id workspace.ID) {
	e := caller.Event(identity.ActionRefusal, id)
	e.Outcome, e.Detail = identity.OutcomeRefused, "the workspace belongs to somebody else"
	h.cfg.Identity.Audit(ctx, e)
}

// done records that the caller acted on a workspace.
func (h *Handler) done(ctx context.Context, action string, id workspace.ID, detail string) {
	e := callerOf(ctx).Event(action, id)
	e.Detail = detail
	h.cfg.Identity.Audit(ctx, e)
}

// begun answers with the record once the operation has shown its first effect, or its failure.
func (h *Handler) begun(ctx context.Context, w *workspace.Workspace, op *orchestrator.Operation) (*workspaceOutput, error) {
	return h.output(h.firstEffect(ctx, w, op))
}

// firstEffect gives an operation a moment, and returns the record as it is then or how it failed.
func (h *Handler) firstEffect(ctx context.Context, w *workspace.Workspace, op *orchestrator.Operation) (*workspace.Workspace, error) {
	first, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	if err := op.Wait(first); err != nil && first.Err() == nil {
		return nil, err
	}
	return h.cfg.Orchestrator.Get(ctx, w.Owner, w.ID)
}
