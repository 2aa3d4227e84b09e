package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/kalpana-dev/kalpana/agent/mcp"
	"github.com/kalpana-dev/kalpana/agent/tools"
	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/workspace"
)

// MCPPrefix begins the addresses at which clients of the Model Context Protocol find the tools of workspaces: the id
// of the workspace follows.
const MCPPrefix = "/mcp/"

// MCPConfig is what those addresses need.
type MCPConfig struct {
	Server *mcp.Server // nil: there are none
	// Bridge connects to a workspace, and wakes it if it sleeps.
	Bridge func(ctx context.Context, id workspace.ID) (*bridge.Client, error)
}

// mcpChallenge tells clients, and whoever reads what they say, how to come by a token (RFC 6750). There is no OAuth
// here, so nothing is said of where to find it.
const mcpChallenge = `Bearer realm="Kalpana", error="invalid_token", error_description="Make an API token with the scope agent in the console's settings, and send it as Authorization: Bearer <token>."` //nolint:gosec // no credential

var (
	errNoToken = errors.New("this needs an API token with the scope agent; make one in the console's settings, and send it as Authorization: Bearer <token>")
	errNoMCP   = errors.New("this installation has no agent, so it serves no tools")
)

// MCP serves the tools of a workspace to programs with a token of the scope agent: a session does not count, and a
// browser's request from another site is refused. Each request is authorised anew, and its calls end with the token.
func (h *Handler) MCP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if !h.own(r) {
		writeProblem(w, http.StatusForbidden, "This request came from another site, so it is refused.")
		return
	}
	r = h.named(r)
	r.Body = io.NopCloser(r.Body) // as in ServeHTTP
	h.limited(w, r, http.HandlerFunc(h.mcp))
}

func (h *Handler) mcp(w http.ResponseWriter, r *http.Request) {
	caller, err := h.mcpCaller(r)
	if err != nil {
		fault := h.fault(err)
		if errors.Is(err, errNoToken) || fault.GetStatus() == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", mcpChallenge)
			writeProblem(w, http.StatusUnauthorized, orchestrator.Explain(err))
			return
		}
		writeProblem(w, fault.GetStatus(), fault.Error())
		return
	}
	if h.cfg.MCP.Server == nil {
		writeProblem(w, http.StatusNotFound, orchestrator.Explain(errNoMCP))
		return
	}
	id, err := workspace.ParseID(strings.TrimPrefix(r.URL.Path, MCPPrefix))
	if err == nil {
		_, err = h.theirs(r.Context(), caller, id)
	}
	if err != nil {
		h.refuse(w, err)
		return
	}
	if r.Method != http.MethodPost { // no sessions, so there is nothing to follow or to end
		w.Header().Set("Allow", http.MethodPost)
		writeProblem(w, http.StatusMethodNotAllowed, "This address answers to POST only: a client of the Model Context Protocol sends its calls there.")
		return
	}
	known, end := h.seen.begin(caller.Token.Hash, id)
	if end == nil {
		writeTooMany(w, time.Second, "This token makes too many requests at a time. Wait until some of them are answered.")
		return
	}
	defer end()
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(postTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mcp.MaxRequest))
	if err != nil {
		writeProblem(w, http.StatusRequestEntityTooLarge, "This request is too long, or took too long to arrive.")
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	ctx, release := h.cfg.Identity.HoldWorkspace(r.Context(), caller, id)
	defer release()
	name, email := caller.Person.Committer()
	h.cfg.MCP.Server.Serve(w, r.WithContext(ctx), mcp.Session{
		Env: &tools.Env{
			Workspace: id, Name: name, Email: email,
			Bridge: func(ctx context.Context) (*bridge.Client, error) {
				if h.cfg.Orchestrator.Route(id) == nil && h.cfg.Orchestrator.Waking(id) == nil { // it will be woken
					e := caller.Event(identity.ActionStart, id)
					e.Detail = "mcp"
					h.cfg.Identity.Audit(ctx, e)
				}
				return h.cfg.MCP.Bridge(ctx, id)
			},
			Seen: known,
		},
		Begin: func(t *tools.Tool, call tools.Call) (func(), error) {
			if err := ctx.Err(); err != nil {
				return nil, identity.ErrToken
			}
			if !t.ReadsWith(call.Input) {
				e := caller.Event(identity.ActionAgentRun, id)
				e.Detail = "mcp: " + t.Name
				h.cfg.Identity.Audit(ctx, e)
			}
			return h.cfg.Orchestrator.Busy(id, orchestrator.ActivityAgent), nil
		},
	})
}

// mcpCaller returns who a request with a token is made for.
func (h *Handler) mcpCaller(r *http.Request) (identity.Caller, error) {
	text, ok := identity.BearerToken(r)
	if !ok {
		return identity.Caller{}, errNoToken
	}
	caller, err := h.cfg.Identity.AuthenticateToken(r, text)
	if err != nil {
		return identity.Caller{}, err
	}
	admit(r.Context())
	if !caller.May(identity.ScopeAgent) {
		e := caller.Event(identity.ActionRefusal, "")
		e.Outcome, e.Detail = identity.OutcomeRefused, "mcp: "+identity.ErrScope.Error()
		h.cfg.Identity.Audit(r.Context(), e)
		return identity.Caller{}, identity.ErrScope
	}
	return caller, nil
}

// seen remembers what files the holders of tokens have read, so that nobody writes over what they have not: requests
// have no other memory. What is lost, by a reload or since there is too much, is read again.
type seen struct {
	mu  sync.Mutex
	all map[seenKey]*seenOf
}

type seenKey struct {
	token string // its hash
	id    workspace.ID
}

type seenOf struct {
	seen *tools.Seen
	used time.Time
	open int // requests under way
}

const (
	maxSeen = 256 // pairs of a token and a workspace of which something is remembered, at most
	maxOpen = 32  // requests of such a pair under way, at most
)

// begin returns what is remembered, and a function that is called when the request has ended; nil where there are too
// many under way.
func (s *seen) begin(token string, id workspace.ID) (*tools.Seen, func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := seenKey{token, id}
	known := s.all[key]
	if known == nil {
		if s.all == nil {
			s.all = map[seenKey]*seenOf{}
		}
		if len(s.all) >= maxSeen {
			s.forget()
		}
		known = &seenOf{seen: new(tools.Seen)}
		s.all[key] = known
	}
	if known.open >= maxOpen {
		return nil, nil
	}
	known.used = time.Now()
	known.open++
	return known.seen, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		known.open--
	}
}

// forget drops what was used longest ago; the caller holds the lock.
func (s *seen) forget() {
	var oldest seenKey
	var at time.Time
	for key, known := range s.all {
		if known.open == 0 && (at.IsZero() || known.used.Before(at)) {
			oldest, at = key, known.used
		}
	}
	delete(s.all, oldest)
}
