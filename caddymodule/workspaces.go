package caddymodule

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/workspace"
)

// adminWorkspace is a workspace as the admin endpoints show it.
type adminWorkspace struct {
	ID         workspace.ID `json:"id"`
	Name       string       `json:"name"`
	Owner      adminOwner   `json:"owner"`
	Template   string       `json:"template"`
	Repository string       `json:"repository,omitempty"`
	URL        string       `json:"url"`

	State      workspace.State `json:"state"`
	StateSince time.Time       `json:"stateSince,omitzero"`
	Reason     string          `json:"reason,omitempty"`
	Desired    workspace.State `json:"desired,omitempty"`

	Container  string `json:"container,omitempty"`
	Image      string `json:"image,omitempty"`
	Address    string `json:"address,omitempty"`
	IDEPort    int    `json:"idePort,omitempty"`
	BridgePort int    `json:"bridgePort,omitempty"`
	DiskUsed   int64  `json:"diskUsed,omitempty"` // bytes

	CreatedAt      time.Time          `json:"createdAt"`
	StartedAt      time.Time          `json:"startedAt,omitzero"`
	LastActiveAt   time.Time          `json:"lastActiveAt,omitzero"`
	LastActivity   string             `json:"lastActivity,omitempty"`
	KeepAwakeUntil time.Time          `json:"keepAwakeUntil,omitzero"`
	Schedule       workspace.Schedule `json:"schedule,omitzero"`
	LastStart      workspace.Start    `json:"lastStart,omitzero"`
	Awake          adminAwake         `json:"awake,omitzero"`
}

// adminAwake is why a workspace is awake, and when it will sleep; see [orchestrator.Awake].
type adminAwake struct {
	Reason   string          `json:"reason,omitempty"`
	Since    time.Time       `json:"since,omitzero"`
	SleepsAt time.Time       `json:"sleepsAt,omitzero"`
	Next     workspace.State `json:"next,omitempty"`
}

type adminOwner struct {
	ID    string `json:"id"`
	Name  string `json:"name,omitempty"` // "" of a person who is gone
	Email string `json:"email,omitempty"`
}

// workspacesAnswer is one page of the list.
type workspacesAnswer struct {
	Workspaces []adminWorkspace `json:"workspaces"`
	Next       workspace.ID     `json:"next,omitempty"` // the "after" of the next page
}

// people are those whom workspaces belong to, by id.
type people map[string]identity.Person

func (a *App) people(ctx context.Context) (people, error) {
	list, err := a.instance.identity.People(ctx)
	if err != nil {
		return nil, err
	}
	by := people{}
	for _, p := range list {
		by[p.ID] = p
	}
	return by, nil
}

// find returns the ids of those who have that id, name or e-mail address.
func (p people) find(who string) (ids []string) {
	if _, ok := p[who]; ok {
		return []string{who}
	}
	for id, person := range p {
		if strings.EqualFold(person.Name, who) || person.Email != "" && strings.EqualFold(person.Email, who) {
			ids = append(ids, id)
		}
	}
	return ids
}

func (a *App) adminView(w *workspace.Workspace, known people) adminWorkspace {
	owner := known[w.Owner]
	moment := func(t time.Time) time.Time { // the store keeps the zero time as another
		if t.Unix() <= 0 {
			return time.Time{}
		}
		return t
	}
	awake := adminAwake{}
	if w.State == workspace.StateRunning || w.State == workspace.StatePaused {
		a := a.instance.orchestrator.Awake(w)
		awake = adminAwake{Reason: a.Reason, Since: moment(a.Since), SleepsAt: moment(a.SleepsAt), Next: a.Next}
	}
	start := w.LastStart
	start.At = moment(start.At)
	return adminWorkspace{
		ID: w.ID, Name: w.Name, Owner: adminOwner{w.Owner, owner.Name, owner.Email},
		Template: w.Template, Repository: w.Repository, URL: a.hosts.URL(w.ID),
		State: w.State, StateSince: moment(w.StateSince), Reason: w.Reason, Desired: w.Desired,
		Container: w.Container, Image: w.Image, Address: w.Address, IDEPort: w.IDEPort, BridgePort: w.BridgePort, DiskUsed: w.DiskUsed,
		CreatedAt: w.CreatedAt, StartedAt: moment(w.StartedAt), LastActiveAt: moment(w.LastActiveAt), LastActivity: w.LastActivity,
		KeepAwakeUntil: moment(w.KeepAwakeUntil), Schedule: w.Schedule, LastStart: start, Awake: awake,
	}
}

// The length of a page.
const (
	pageLength    = 100
	maxPageLength = 1000
)

// listWorkspaces answers a page of the workspaces of everybody, oldest first. Parameters, all optional:
// owner (id, name or e-mail address), state, limit (1 to 1000), after (the next of the page before).
func (m *Admin) listWorkspaces(app *App, w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	limit := pageLength
	if text := query.Get("limit"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxPageLength {
			return badRequest("limit %q: give a number from 1 to %d", text, maxPageLength)
		}
	}
	state := workspace.State(query.Get("state"))
	if state != "" && !slices.Contains(workspace.States, state) {
		return badRequest("state %q: give one of %s", state, joined(workspace.States))
	}
	known, err := app.people(r.Context())
	if err != nil {
		return err
	}
	owners := []string{""}
	if who := query.Get("owner"); who != "" {
		if owners = known.find(who); len(owners) == 0 {
			return badRequest("owner %q: nobody has that id, name or e-mail address", who)
		}
	}
	var list []*workspace.Workspace
	for _, owner := range owners {
		theirs, err := app.instance.orchestrator.List(r.Context(), owner)
		if err != nil {
			return err
		}
		list = append(list, theirs...)
	}
	if len(owners) > 1 {
		slices.SortFunc(list, oldestFirst)
	}
	if list, err = following(list, query.Get("after")); err != nil {
		return err
	}
	answer := workspacesAnswer{Workspaces: []adminWorkspace{}}
	for _, record := range list {
		if state != "" && record.State != state {
			continue
		}
		if len(answer.Workspaces) == limit {
			answer.Next = answer.Workspaces[limit-1].ID
			break
		}
		answer.Workspaces = append(answer.Workspaces, app.adminView(record, known))
	}
	return answerJSON(w, answer)
}

func oldestFirst(a, b *workspace.Workspace) int {
	return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
}

// following returns what comes after a workspace in a list, oldest first.
func following(list []*workspace.Workspace, after string) ([]*workspace.Workspace, error) {
	if after == "" {
		return list, nil
	}
	i := slices.IndexFunc(list, func(w *workspace.Workspace) bool { return string(w.ID) == after })
	if i < 0 {
		return nil, badRequest("after %q: that workspace is not in this list any more; begin with the first page again", after)
	}
	return list[i+1:], nil
}

func joined[T ~string](list []T) string {
	texts := make([]string, len(list))
	for i, v := range list {
		texts[i] = string(v)
	}
	return strings.Join(texts, ", ")
}

// record returns the workspace that the request's path names.
func (m *Admin) record(app *App, r *http.Request) (*workspace.Workspace, error) {
	id, err := workspace.ParseID(r.PathValue("id"))
	if err != nil {
		return nil, fmt.Errorf("%w: %q", workspace.ErrNotFound, r.PathValue("id"))
	}
	w, err := app.instance.store.Workspace(r.Context(), id)
	if err != nil {
		return nil, fmt.Errorf("%w: %q", err, id)
	}
	return w, nil
}

// answerWorkspace answers with the record as it is now.
func (m *Admin) answerWorkspace(app *App, w http.ResponseWriter, r *http.Request) error {
	record, err := m.record(app, r)
	if err != nil {
		return err
	}
	known, err := app.people(r.Context())
	if err != nil {
		return err
	}
	return answerJSON(w, app.adminView(record, known))
}

func (m *Admin) showWorkspace(app *App, w http.ResponseWriter, r *http.Request) error {
	return m.answerWorkspace(app, w, r)
}

// acts are what can be done to a workspace through the admin socket. The reasons are kept in its record.
var acts = map[string]func(*orchestrator.Orchestrator, workspace.ID) *orchestrator.Operation{
	"start": func(o *orchestrator.Orchestrator, id workspace.ID) *orchestrator.Operation { return o.Wake(id) },
	"stop": func(o *orchestrator.Orchestrator, id workspace.ID) *orchestrator.Operation {
		return o.Stop(id, "stopped by the operator")
	},
	"pause": func(o *orchestrator.Orchestrator, id workspace.ID) *orchestrator.Operation {
		return o.Pause(id, "paused by the operator")
	},
	"restart": func(o *orchestrator.Orchestrator, id workspace.ID) *orchestrator.Operation {
		return o.Restart(id, "restarted by the operator")
	},
	"rebuild": func(o *orchestrator.Orchestrator, id workspace.ID) *orchestrator.Operation { return o.Rebuild(id) },
}

// actOnWorkspace begins an operation, waits for its end and answers with the record. The operation goes on
// when the client leaves.
func (m *Admin) actOnWorkspace(app *App, w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("act")
	act, ok := acts[name]
	if !ok {
		return badRequest("%q: a workspace can be told to %s", name, joined(slices.Sorted(maps.Keys(acts))))
	}
	record, err := m.record(app, r)
	if err != nil {
		return err
	}
	app.audit(r, record.ID, name)
	if err := act(app.instance.orchestrator, record.ID).Wait(r.Context()); err != nil {
		return explained(err)
	}
	return m.answerWorkspace(app, w, r)
}

func (m *Admin) deleteWorkspace(app *App, w http.ResponseWriter, r *http.Request) error {
	record, err := m.record(app, r)
	if err != nil {
		return err
	}
	app.audit(r, record.ID, "delete "+record.Name)
	op := app.instance.orchestrator.Delete(record.ID)
	if err := app.instance.identity.Revoke(r.Context(), identity.Revocation{Workspace: record.ID}); err != nil {
		return err
	}
	if err := op.Wait(r.Context()); err != nil {
		return explained(err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// explainedError is a fault in the words that say what to do next.
type explainedError struct{ error }

func explained(err error) error        { return explainedError{err} }
func (e explainedError) Error() string { return orchestrator.Explain(e.error) }
func (e explainedError) Unwrap() error { return e.error }

// logAnswer is the end of what a container printed.
type logAnswer struct {
	Log string `json:"log"`
}

// The lines of a log.
const (
	logLines    = 100
	maxLogLines = 10_000 // the runtime gives 64 KiB at most
)

func (m *Admin) workspaceLog(app *App, w http.ResponseWriter, r *http.Request) error {
	lines := logLines
	if text := r.URL.Query().Get("lines"); text != "" {
		var err error
		if lines, err = strconv.Atoi(text); err != nil || lines < 1 || lines > maxLogLines {
			return badRequest("lines %q: give a number from 1 to %d", text, maxLogLines)
		}
	}
	record, err := m.record(app, r)
	if err != nil {
		return err
	}
	if record.Container == "" {
		return badRequest("workspace %s has no container yet, and so no log; it gets one when it is started", record.ID)
	}
	app.audit(r, record.ID, "read the container's log")
	text, err := app.instance.runtime.Logs(r.Context(), record.Container, lines)
	if err != nil {
		return explained(err)
	}
	return answerJSON(w, logAnswer{text})
}
