package api

import (
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kalpana-dev/kalpana/agent"
	"github.com/kalpana-dev/kalpana/agent/approval"
	"github.com/kalpana-dev/kalpana/agent/budget"
	"github.com/kalpana-dev/kalpana/agent/model"
	"github.com/kalpana-dev/kalpana/agent/uistream"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

// AgentConfig is what the agent's routes need.
type AgentConfig struct {
	// Service is nil where the operator has turned the agent off.
	Service *agent.Service
	// Models are those that are offered, the default first.
	Models func(ctx context.Context) ([]model.Info, error)
	// Configured is whether the installation itself can ask a model.
	Configured bool
	// OwnKeys is whether people may bring a key of their own, and Key returns somebody's, "" where they have none. nil
	// is that nobody has.
	OwnKeys bool
	Key     func(ctx context.Context, person string) (string, error)
	// CheckKey asks the provider whether it takes a key; its error is a *model.Error. nil asks nobody.
	CheckKey func(ctx context.Context, key string) error
	// Budgets know what was used, and what may be.
	Budgets *budget.Budgets
}

// key returns the person's own key for the provider, or "".
func (a *AgentConfig) key(ctx context.Context, person string) (string, error) {
	if !a.OwnKeys || a.Key == nil {
		return "", nil
	}
	return a.Key(ctx, person)
}

// The limits of what a client posts to a chat: it sends its whole history, of which the last message counts.
const (
	postLimit   = 16 << 20 // bytes
	postTimeout = time.Minute
)

const (
	alwaysReason = "always" // of an approval: calls like this one need no word any more
	askTool      = "ask"    // the tool whose output comes from the client
	agentTag     = "agent"
)

// Models are the models that a chat can be had with.
type Models struct {
	Models     []Model `json:"models" nullable:"false"`
	Default    string  `json:"default" doc:"Id of the one that is used where none is chosen, or empty."`
	Mode       string  `json:"mode" enum:"ask-all,ask-writes,ask-none" doc:"What the agent asks for before it acts, where a new chat says nothing else."`
	Configured bool    `json:"configured" doc:"Whether the installation has a key, so that nobody needs one of their own."`
	OwnKeys    bool    `json:"ownKeys" doc:"Whether people may bring a key of their own."`
	OwnKey     bool    `json:"ownKey" doc:"Whether you have."`
}

// Model is a model that is offered.
type Model struct {
	ID          string  `json:"id"`
	Name        string  `json:"name"`
	Context     int     `json:"context" doc:"How many tokens fit into request and answer together; 0 where it is not known."`
	InputPrice  float64 `json:"inputPrice" doc:"US dollars for a million tokens; 0 where it is not known."`
	OutputPrice float64 `json:"outputPrice" doc:"US dollars for a million tokens; 0 where it is not known."`
	Reasoning   bool    `json:"reasoning" doc:"Whether it can be asked to reason."`
}

// Chats is a list of chats.
type Chats struct {
	Chats []agent.Info `json:"chats" nullable:"false"`
}

// Chat is a chat with its messages.
type Chat struct {
	Chat     agent.Info        `json:"chat"`
	Messages []json.RawMessage `json:"messages" nullable:"false" doc:"UIMessages of the AI SDK, oldest first."`
}

// ChatChange is what can be changed of a chat. What is missing stays.
type ChatChange struct {
	Title *string `json:"title,omitempty" maxLength:"200"`
	Mode  *string `json:"mode,omitempty" enum:"ask-all,ask-writes,ask-none" doc:"What the agent asks for before it acts."`
}

// QueueText is a message for an agent that is at work.
type QueueText struct {
	Text string `json:"text" minLength:"1" maxLength:"131072"`
}

// QueuedText names a message that waits to be read.
type QueuedText struct {
	ID string `json:"id"`
}

// Turns are what a chat changed in the files.
type Turns struct {
	Turns []agent.Turn `json:"turns" nullable:"false"`
}

// UndoRequest says what is to be undone; all that the chat changed where nothing narrows it.
type UndoRequest struct {
	MessageID string `json:"messageId,omitempty" maxLength:"128" doc:"What this message of the agent's changed."`
	CallID    string `json:"callId,omitempty" maxLength:"256" doc:"What this tool call changed."`
	Path      string `json:"path,omitempty" maxLength:"4096" doc:"What was changed of this file."`
}

type chatInput struct {
	Chat string `path:"chat" maxLength:"64" doc:"Chat id, as its client chose it."`
}

type chatsInput struct {
	Workspace string `query:"workspace" maxLength:"64" doc:"Id of a workspace; all of yours where it is missing."`
}

type chatChangeInput struct {
	Chat string `path:"chat" maxLength:"64" doc:"Chat id, as its client chose it."`
	Body ChatChange
}

type queueInput struct {
	Chat string `path:"chat" maxLength:"64" doc:"Chat id, as its client chose it."`
	Body QueueText
}

type undoInput struct {
	Chat string `path:"chat" maxLength:"64" doc:"Chat id, as its client chose it."`
	Body UndoRequest
}

// agentRoutes adds the agent's routes.
func (h *Handler) agentRoutes() {
	h.agentStreamRoutes()
	route := func(method, path, id, summary string, status int) huma.Operation {
		op := scoped(h.operation(method, path, id, summary, status, agentTag), identity.ScopeAgent)
		op.Middlewares = append(op.Middlewares, h.agentOn)
		return op
	}
	huma.Register(h.huma, route("GET", "/api/agent/models", "listModels", "List the models that a chat can be had with", 200),
		func(ctx context.Context, _ *struct{}) (*struct{ Body Models }, error) {
			models, err := h.models(ctx)
			if err != nil {
				return nil, h.problem(err)
			}
			return &struct{ Body Models }{*models}, nil
		})
	huma.Register(h.huma, route("GET", "/api/agent/chats", "listChats", "List your chats, what was changed last first", 200),
		func(ctx context.Context, in *chatsInput) (*struct{ Body Chats }, error) {
			var id workspace.ID
			if in.Workspace != "" {
				w, err := h.workspace(ctx, in.Workspace)
				if err != nil {
					return nil, h.problem(err)
				}
				id = w.ID
			}
			chats, err := h.agent().Chats(ctx, id, callerOf(ctx).Person.ID)
			if err != nil {
				return nil, h.problem(err)
			}
			return &struct{ Body Chats }{Chats{append([]agent.Info{}, chats...)}}, nil
		})
	huma.Register(h.huma, route("GET", "/api/agent/{chat}", "getChat", "Get a chat and its messages", 200),
		func(ctx context.Context, in *chatInput) (*struct{ Body Chat }, error) {
			chat, err := h.chat(ctx, callerOf(ctx), in.Chat)
			if err != nil {
				return nil, h.problem(err)
			}
			messages, err := h.agent().Messages(ctx, callerOf(ctx).Person.ID, chat.ID)
			if err != nil {
				return nil, h.problem(err)
			}
			return &struct{ Body Chat }{Chat{*chat, append([]json.RawMessage{}, messages...)}}, nil
		})
	huma.Register(h.huma, route("PATCH", "/api/agent/{chat}", "changeChat", "Rename a chat, or change what its agent asks for", 200),
		func(ctx context.Context, in *chatChangeInput) (*struct{ Body agent.Info }, error) {
			chat, err := h.chat(ctx, callerOf(ctx), in.Chat)
			if err != nil {
				return nil, h.problem(err)
			}
			chat, err = h.agent().Change(ctx, callerOf(ctx).Person.ID, chat.ID, agent.Change{Title: in.Body.Title, Mode: (*approval.Mode)(in.Body.Mode)})
			if err != nil {
				return nil, h.problem(err)
			}
			return &struct{ Body agent.Info }{*chat}, nil
		})
	huma.Register(h.huma, route("DELETE", "/api/agent/{chat}", "deleteChat", "Stop a chat and delete it", 204),
		func(ctx context.Context, in *chatInput) (*struct{}, error) {
			return nil, h.problem(h.agent().Delete(ctx, callerOf(ctx).Person.ID, in.Chat))
		})
	huma.Register(h.huma, route("POST", "/api/agent/{chat}/stop", "stopChat", "Stop what the agent does in a chat, and wait until it has stopped", 204),
		func(ctx context.Context, in *chatInput) (*struct{}, error) {
			chat, err := h.chat(ctx, callerOf(ctx), in.Chat)
			if err == nil {
				err = h.agent().Stop(ctx, callerOf(ctx).Person.ID, chat.ID)
			}
			if errors.Is(err, agent.ErrNotRunning) {
				err = nil // it has just ended by itself
			}
			return nil, h.problem(err)
		})
	huma.Register(h.huma, route("POST", "/api/agent/{chat}/queue", "queueMessage", "Send a message to an agent that is at work, which reads it at its next step", 202),
		func(ctx context.Context, in *queueInput) (*struct{ Body QueuedText }, error) {
			chat, err := h.chat(ctx, callerOf(ctx), in.Chat)
			if err != nil {
				return nil, h.problem(err)
			}
			person, err := h.agentPerson(ctx, callerOf(ctx))
			if err != nil {
				return nil, h.problem(err)
			}
			id, err := h.agent().Queue(ctx, person, chat.ID, in.Body.Text)
			if err != nil {
				return nil, h.problem(err)
			}
			return &struct{ Body QueuedText }{QueuedText{id}}, nil
		})
	huma.Register(h.huma, route("GET", "/api/agent/{chat}/changes", "listChanges", "List what the agent changed in the files, turn by turn", 200),
		func(ctx context.Context, in *chatInput) (*struct{ Body Turns }, error) {
			chat, err := h.chat(ctx, callerOf(ctx), in.Chat)
			if err != nil {
				return nil, h.problem(err)
			}
			turns, err := h.agent().Changes(ctx, callerOf(ctx).Person.ID, chat.ID)
			if err != nil {
				return nil, h.problem(err)
			}
			return &struct{ Body Turns }{Turns{append([]agent.Turn{}, turns...)}}, nil
		})
	huma.Register(h.huma, route("POST", "/api/agent/{chat}/undo", "undoChanges", "Take changes of the agent out of the files", 200),
		func(ctx context.Context, in *undoInput) (*struct{ Body agent.Undone }, error) {
			chat, err := h.chat(ctx, callerOf(ctx), in.Chat)
			if err != nil {
				return nil, h.problem(err)
			}
			undone, err := h.agent().Undo(ctx, callerOf(ctx).Person.ID, chat.ID, agent.Undo(in.Body))
			if err != nil {
				return nil, h.problem(err)
			}
			return &struct{ Body agent.Undone }{*undone}, nil
		})
}

func (h *Handler) agent() *agent.Service { return h.cfg.Agent.Service }

const agentOff = "This installation has no agent: its operator has turned it off."

// agentOn lets on where there is an agent.
func (h *Handler) agentOn(ctx huma.Context, next func(huma.Context)) {
	if h.agent() == nil {
		_ = huma.WriteErr(h.huma, ctx, http.StatusNotFound, agentOff)
		return
	}
	next(ctx)
}

// chat returns the caller's chat of that id, in a workspace in which they may have the agent work.
func (h *Handler) chat(ctx context.Context, caller identity.Caller, id string) (*agent.Info, error) {
	chat, err := h.agent().Chat(ctx, caller.Person.ID, id)
	if err != nil {
		return nil, err
	}
	_, err = h.theirs(ctx, caller, chat.Workspace)
	return chat, err
}

// agentPerson returns the caller as the agent needs to know them.
func (h *Handler) agentPerson(ctx context.Context, caller identity.Caller) (agent.Person, error) {
	key, err := h.cfg.Agent.key(ctx, caller.Person.ID)
	return AgentPerson(caller.Person, key), err
}

// AgentPerson returns a person as the agent needs to know them; key is their own for the provider of models, or "".
func AgentPerson(p identity.Person, key string) agent.Person {
	name, email := p.Committer()
	return agent.Person{ID: p.ID, Name: name, Email: email, Key: key}
}

func (h *Handler) models(ctx context.Context) (*Models, error) {
	key, err := h.cfg.Agent.key(ctx, callerOf(ctx).Person.ID)
	if err != nil {
		return nil, err
	}
	answer := &Models{Models: []Model{}, Mode: string(h.agent().DefaultMode()), Configured: h.cfg.Agent.Configured, OwnKeys: h.cfg.Agent.OwnKeys, OwnKey: key != ""}
	if !answer.Configured && !answer.OwnKey || h.cfg.Agent.Models == nil {
		return answer, nil
	}
	models, err := h.cfg.Agent.Models(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range models {
		answer.Models = append(answer.Models, Model{
			ID: m.ID, Name: m.Name, Context: m.Context, Reasoning: m.Reasoning,
			InputPrice: float64(m.InputPrice) / 1e6, OutputPrice: float64(m.OutputPrice) / 1e6,
		})
	}
	if len(models) > 0 {
		answer.Default = models[0].ID
	}
	return answer, nil
}

// ChatPost is what AI SDK's DefaultChatTransport posts, with what Kalpana adds in its body option.
type ChatPost struct {
	ID        string            `json:"id" doc:"Chat id: 1 to 64 letters, digits, - and _, chosen by the client. A new one makes a chat."`
	Messages  []json.RawMessage `json:"messages" doc:"UIMessages. Of the last one the text of a person counts, or a person's answers; all else is the server's to know."`
	Trigger   string            `json:"trigger" enum:"submit-message,regenerate-message"`
	MessageID string            `json:"messageId,omitempty"`
	ChatOptions
}

// ChatOptions is what a person chooses for a chat.
type ChatOptions struct {
	Workspace string `json:"workspace,omitempty" doc:"Workspace id; needed for a new chat."`
	Model     string `json:"model,omitempty" doc:"Id of a model from the list, from now on."`
	Mode      string `json:"mode,omitempty" enum:"ask-all,ask-writes,ask-none" doc:"What the agent asks for before it acts, from now on."`
	Plan      bool   `json:"plan,omitempty" doc:"Read and plan only, this time."`
	Effort    string `json:"effort,omitempty" enum:"low,medium,high" doc:"Of reasoning, from now on."`
	Continue  bool   `json:"continue,omitempty" doc:"Go on after an interruption or an error; messages do not count."`
}

const streamText = "The UI message stream of the AI SDK, version 1. It goes on after the client has gone, and can be read again from its start. " +
	"An error before the stream is plain text, for people."

// agentStreamRoutes adds the routes that answer with a stream.
func (h *Handler) agentStreamRoutes() {
	schemas := h.huma.OpenAPI().Components.Schemas
	fault := schemas.Schema(reflect.TypeFor[huma.ErrorModel](), true, "ErrorModel")
	add := func(method, path, id, summary string, body reflect.Type, serve func(http.ResponseWriter, *http.Request, identity.Caller)) {
		op := scoped(huma.Operation{
			Method: method, Path: path, OperationID: id, Tags: []string{agentTag}, Summary: summary, Description: streamText,
			Responses: map[string]*huma.Response{
				"200": {
					Description: streamText,
					Content:     map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}},
				},
				"default": {
					Description: "Error. A client that accepts application/problem+json gets it so.",
					Content: map[string]*huma.MediaType{
						"text/plain":               {Schema: &huma.Schema{Type: huma.TypeString}},
						"application/problem+json": {Schema: fault},
					},
				},
			},
		}, identity.ScopeAgent)
		if body != nil {
			op.RequestBody = &huma.RequestBody{Required: body == reflect.TypeFor[ChatPost](), Content: map[string]*huma.MediaType{
				"application/json": {Schema: schemas.Schema(body, true, body.Name())},
			}}
		}
		if strings.Contains(path, "{chat}") {
			op.Parameters = []*huma.Param{{
				Name: "chat", In: "path", Required: true, Description: "Chat id, as its client chose it.", Schema: &huma.Schema{Type: huma.TypeString},
			}}
		}
		if method == http.MethodGet {
			op.Responses["204"] = &huma.Response{Description: "The agent is not at work in this chat."}
		}
		h.huma.OpenAPI().AddOperation(&op)
		h.mux.HandleFunc(method+" "+path, func(w http.ResponseWriter, r *http.Request) {
			caller, err := h.authorize(r, &op)
			if err != nil {
				h.refuse(w, err)
				return
			}
			if h.agent() == nil {
				writeProblem(w, http.StatusNotFound, agentOff)
				return
			}
			serve(w, r, caller)
		})
	}
	add("POST", "/api/agent", "sendMessage", "Send a message to a chat, or answers, and follow what the agent does", reflect.TypeFor[ChatPost](), h.sendMessage)
	add("POST", "/api/agent/{chat}/continue", "continueChat", "Have the agent go on after an interruption or an error, and follow what it does", reflect.TypeFor[ChatOptions](), h.continueChat)
	add("GET", "/api/agent/{chat}/stream", "followChat", "Follow from the start of its message what the agent does", nil, h.followChat)
}

// wordsFor reports whether the answer to a request is shown to a person as it is, when it is an error: the AI SDK's
// client does so.
func wordsFor(r *http.Request) bool {
	path, ok := strings.CutPrefix(r.URL.Path, "/api/agent")
	if !ok || strings.Contains(r.Header.Get("Accept"), "application/problem+json") {
		return false
	}
	return path == "" || strings.HasSuffix(path, "/stream") || strings.HasSuffix(path, "/continue")
}

// wordsWriter is for answers whose errors are plain text.
type wordsWriter struct{ http.ResponseWriter }

// Unwrap lets http.ResponseController through.
func (w wordsWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// sendMessage begins a run, or goes on with one, and streams it.
func (h *Handler) sendMessage(w http.ResponseWriter, r *http.Request, caller identity.Caller) {
	post, err := readPost(w, r)
	if err != nil {
		h.refuse(w, err)
		return
	}
	options, err := chatOptions(post.More)
	if err != nil {
		h.refuse(w, err)
		return
	}
	send := agent.Send{Chat: post.ID, Trigger: post.Trigger}
	switch {
	case options.Continue:
		send.Trigger = ""
	case post.Trigger == agent.TriggerRegenerate:
		send.MessageID = post.MessageID
	case post.LastRole == uistream.RoleUser && post.Text != "":
		send.MessageID, send.Text = post.LastID, post.Text
	case post.LastRole == uistream.RoleUser:
		h.refuse(w, errNoText)
		return
	default:
		for _, a := range post.Answers {
			send.Approvals = append(send.Approvals, agent.Answer{
				ApprovalID: a.ApprovalID, Approved: a.Approved, Reason: a.Reason, Always: a.Approved && a.Reason == alwaysReason,
			})
		}
		for _, o := range post.Outputs {
			send.Outputs = append(send.Outputs, agent.Output{CallID: o.CallID, Output: o.Output})
		}
		if len(send.Approvals)+len(send.Outputs) == 0 {
			h.refuse(w, agent.ErrNothingPending)
			return
		}
	}
	h.begin(w, r, caller, send, options)
}

// continueChat is sendMessage for an agent that was interrupted.
func (h *Handler) continueChat(w http.ResponseWriter, r *http.Request, caller identity.Caller) {
	more := map[string]json.RawMessage{}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, bodyLimit)).Decode(&more); err != nil && r.ContentLength != 0 {
		h.refuse(w, errNoJSON)
		return
	}
	options, err := chatOptions(more)
	if err != nil {
		h.refuse(w, err)
		return
	}
	options.Continue = true
	h.begin(w, r, caller, agent.Send{Chat: r.PathValue("chat")}, options)
}

// begin sends, and streams the run from there on.
func (h *Handler) begin(w http.ResponseWriter, r *http.Request, caller identity.Caller, send agent.Send, options ChatOptions) {
	ctx := r.Context()
	id, err := h.workspaceOf(ctx, caller, send.Chat, options)
	if err != nil {
		h.refuse(w, err)
		return
	}
	if send.Person, err = h.agentPerson(ctx, caller); err != nil {
		h.refuse(w, err)
		return
	}
	if !h.cfg.Agent.Configured && send.Person.Key == "" {
		h.refuse(w, h.notConfigured())
		return
	}
	send.Workspace, send.Model, send.Mode = id, options.Model, approval.Mode(options.Mode)
	send.Plan, send.Effort, send.Continue = options.Plan, options.Effort, options.Continue
	run, err := h.agent().Send(ctx, send)
	if err != nil {
		h.refuse(w, err)
		return
	}
	e := caller.Event(identity.ActionAgentRun, id)
	e.Detail = "chat " + send.Chat
	h.cfg.Identity.Audit(ctx, e)
	h.streamRun(w, r, caller, id, run, uistream.FromStart)
}

// notConfigured says what is missing for the agent to have a model, and who can see to it.
func (h *Handler) notConfigured() error {
	text := "This installation's agent has no key for a model. Ask the operator to set one: agent { key … } in the Caddyfile."
	if h.cfg.Agent.OwnKeys {
		text = "This installation's agent has no key for a model. Add one of your own in the settings, or ask the operator to set one: agent { key … } in the Caddyfile."
	}
	return &model.Error{Kind: model.KindNotConfigured, Message: text}
}

// reserved are no ids of chats, since they are addresses of their own.
var reserved = []string{"chats", "models", "key", "usage"}

// workspaceOf returns the workspace of a chat, which is the one that is named where the chat is new.
func (h *Handler) workspaceOf(ctx context.Context, caller identity.Caller, chat string, options ChatOptions) (workspace.ID, error) {
	if slices.Contains(reserved, chat) {
		return "", errChatID
	}
	known, err := h.chat(ctx, caller, chat)
	switch {
	case err == nil && options.Workspace != "" && options.Workspace != string(known.Workspace):
		return "", errOtherWorkspace
	case err == nil:
		return known.Workspace, nil
	case !errors.Is(err, agent.ErrNotFound) || options.Continue:
		return "", err
	case options.Workspace == "":
		return "", errNoWorkspace
	}
	id, err := workspace.ParseID(options.Workspace)
	if err != nil {
		return "", workspace.ErrNotFound
	}
	w, err := h.theirs(ctx, caller, id)
	if err != nil {
		return "", err
	}
	return w.ID, nil
}

// What can be wrong with a post beside what its reader finds. The texts are for people.
var (
	errNoText         = errors.New("there is nothing in your message; write something")
	errNoJSON         = errors.New("the request is no JSON object, or its type is not application/json; reload the page and try again")
	errTooLarge       = errors.New("this chat has become too long to be sent; begin another one")
	errChatID         = errors.New("this cannot be the id of a chat; choose another one")
	errNoWorkspace    = errors.New("a new chat needs a workspace; name one")
	errOtherWorkspace = errors.New("this chat belongs to another workspace; begin another one")
)

// readPost reads what a client posts to a chat.
func readPost(w http.ResponseWriter, r *http.Request) (*uistream.Post, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, errNoJSON
	}
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(postTimeout))
	post, err := uistream.ReadPost(http.MaxBytesReader(w, r.Body, postLimit), askTool)
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, errTooLarge
	}
	return post, err
}

// chatOptions reads Kalpana's own fields of a body.
func chatOptions(more map[string]json.RawMessage) (o ChatOptions, err error) {
	text, err := json.Marshal(more)
	if err == nil {
		err = json.Unmarshal(text, &o)
	}
	if err != nil {
		return o, errNoJSON
	}
	return o, nil
}

// followChat streams the run that is under way.
func (h *Handler) followChat(w http.ResponseWriter, r *http.Request, caller identity.Caller) {
	chat, err := h.chat(r.Context(), caller, r.PathValue("chat"))
	if err != nil {
		h.refuse(w, err)
		return
	}
	run := h.agent().Run(chat.ID)
	if run == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	end, err := h.streams.begin(caller.Person.ID)
	if err != nil {
		h.refuse(w, err)
		return
	}
	defer end()
	h.streamRun(w, r, caller, chat.Workspace, run, uistream.FromMessage)
}

// streamRun streams what a run says, to its end. The run does not notice. A stream that has to end before, since the
// session ended, or the server reloads, is cut off: the client takes an end without a last chunk for a success.
func (h *Handler) streamRun(w http.ResponseWriter, r *http.Request, caller identity.Caller, id workspace.ID, run *agent.Run, from int) {
	ctx, release := h.cfg.Identity.HoldWorkspace(r.Context(), caller, id)
	defer release()
	out := eventWriter{w, http.NewResponseController(w)}
	_ = out.rc.SetReadDeadline(time.Time{}) // the server's idle limits do not fit a stream
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Connection", "keep-alive")
	w.Header().Set("X-Vercel-Ai-Ui-Message-Stream", "v1")
	w.Header().Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	alive := time.NewTicker(keepAlive)
	defer alive.Stop()
	for wrote := true; wrote; {
		frames, next, more, err := run.Log().Next(from)
		from = next
		switch {
		case err != nil:
			out.write("data: [DONE]\n\n")
			return
		case len(frames) > 0:
			wrote = out.write(string(slices.Concat(frames...)))
		}
		if more == nil {
			more = closed
		}
		select {
		case <-ctx.Done():
			wrote = false
		case <-h.cfg.Stopping:
			wrote = false
		case <-alive.C:
			wrote = wrote && out.write(": alive\n\n")
		case <-more:
		}
	}
	if r.Context().Err() == nil {
		panic(http.ErrAbortHandler)
	}
}

// closed is a channel that is always ready.
var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()
