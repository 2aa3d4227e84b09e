package api

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

const (
	keepAlive   = 20 * time.Second       // how often a silent event stream says that it lives
	writeLimit  = 10 * time.Second       // how long one event may take to be written
	fellBehind  = 100 * time.Millisecond // pause before a reader that was too slow starts anew
	lookAround  = time.Second            // how often the places of those that wait to be started are looked at
	eventsText  = "A snapshot of your workspaces, then every change of them, as server-sent events."
	eventsNames = `Events, each with a JSON object:

- snapshot {workspaces: [Workspace]}: first, and whenever the reader fell behind
- workspace Workspace: one that changed or is new
- deleted {id}
- git-questions {questions: [GitQuestion]}: those that wait for you, whenever they change
- stopping {}: the server reloads or stops, so reconnect in a second`
)

// eventRoutes adds the event stream, which huma's own handlers do not fit.
func (h *Handler) eventRoutes() {
	fault := h.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[huma.ErrorModel](), true, "ErrorModel")
	op := scoped(huma.Operation{
		Method: http.MethodGet, Path: "/api/events", OperationID: "events", Tags: []string{"workspaces"},
		Summary: "Follow your workspaces", Description: eventsText + "\n\n" + eventsNames,
		Responses: map[string]*huma.Response{
			"200": {
				Description: eventsText,
				Content:     map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}},
			},
			"default": {
				Description: "Error",
				Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: fault}},
			},
		},
	}, identity.ScopeRead)
	h.huma.OpenAPI().AddOperation(&op)
	h.mux.HandleFunc("GET /api/events", func(w http.ResponseWriter, r *http.Request) {
		caller, err := h.authorize(r, &op)
		if err != nil {
			h.refuse(w, err)
			return
		}
		h.events(w, r, caller)
	})
}

// events streams the states of the caller's workspaces; see eventsNames.
func (h *Handler) events(w http.ResponseWriter, r *http.Request, caller identity.Caller) {
	end, err := h.streams.begin(caller.Person.ID)
	if err != nil {
		h.refuse(w, err)
		return
	}
	defer end()
	ctx, release := h.cfg.Identity.HoldCaller(r.Context(), caller)
	defer release()
	out := eventWriter{w, http.NewResponseController(w)}
	_ = out.rc.SetReadDeadline(time.Time{}) // the server's idle limits do not fit a stream
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	alive, look := time.NewTicker(keepAlive), time.NewTicker(lookAround)
	defer alive.Stop()
	defer look.Stop()
	for h.follow(ctx, caller.Person.ID, out, alive.C, look.C) {
	}
}

// follow writes a snapshot and the changes after it. It reports whether to begin again, since the
// reader fell behind.
func (h *Handler) follow(ctx context.Context, person string, out eventWriter, alive, look <-chan time.Time) bool {
	changes, unsubscribe := h.cfg.Orchestrator.Subscribe(person)
	defer unsubscribe()
	asked, stop := h.watchQuestions()
	defer stop()
	list, err := h.cfg.Orchestrator.List(ctx, person)
	if err != nil {
		return false
	}
	snapshot, known := Workspaces{h.views(list)}, map[workspace.ID]told{}
	for i, w := range list {
		known[w.ID] = tell(w, snapshot.Workspaces[i])
	}
	if !out.event("snapshot", snapshot) {
		return false
	}
	questions := h.questions(person)
	if len(questions) > 0 && !out.event("git-questions", GitQuestions{questions}) {
		return false
	}
	var again <-chan time.Time
	for {
		wrote := true
		select {
		case <-asked:
			if now := h.questions(person); !slices.Equal(now, questions) {
				questions = now
				wrote = out.event("git-questions", GitQuestions{questions})
			}
		case e, ok := <-changes:
			switch {
			case !ok:
				changes, again = nil, time.After(fellBehind)
			case e.Deleted:
				delete(known, e.Workspace.ID)
				wrote = out.event("deleted", map[string]string{"id": string(e.Workspace.ID)})
			default:
				view := h.view(e.Workspace)
				known[e.Workspace.ID] = tell(e.Workspace, view)
				wrote = out.event("workspace", view)
			}
		case <-look: // a place in the queue is no part of a record, so no event tells of it
			for id, last := range known {
				if wrote && h.place(id) != last.place {
					view := h.view(last.record)
					known[id] = tell(last.record, view)
					wrote = out.event("workspace", view)
				}
			}
		case <-again:
			return true
		case <-alive:
			wrote = out.write(": alive\n\n")
		case <-ctx.Done():
			return false
		case <-h.cfg.Stopping:
			out.event("stopping", struct{}{})
			return false
		}
		if !wrote {
			return false
		}
	}
}

// told is what the reader of a stream knows of a workspace.
type told struct {
	record *workspace.Workspace
	place  Queue // zero where it waits for nothing
}

func tell(w *workspace.Workspace, v Workspace) told {
	t := told{record: w}
	if v.Queue != nil {
		t.place = *v.Queue
	}
	return t
}

// eventWriter writes server-sent events. Its methods report whether the reader is still there.
type eventWriter struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

func (e eventWriter) event(name string, data any) bool {
	body, err := json.Marshal(data)
	return err == nil && e.write("event: "+name+"\ndata: "+string(body)+"\n\n")
}

// write bounds the time of this one write: a deadline that stayed would end the stream at the next
// one, and with HTTP/2 at once when it passes.
func (e eventWriter) write(text string) bool {
	_ = e.rc.SetWriteDeadline(time.Now().Add(writeLimit))
	_, err := e.w.Write([]byte(text))
	if err == nil {
		err = e.rc.Flush()
	}
	_ = e.rc.SetWriteDeadline(time.Time{})
	return err == nil
}
