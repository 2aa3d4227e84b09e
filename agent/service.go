package agent

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/kalpana-dev/kalpana/agent/approval"
	"github.com/kalpana-dev/kalpana/agent/budget"
	"github.com/kalpana-dev/kalpana/agent/model"
	"github.com/kalpana-dev/kalpana/agent/tools"
	"github.com/kalpana-dev/kalpana/agent/uistream"
	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/workspace"
)

// Model is where answers come from; package model has the one of OpenRouter.
type Model interface {
	// Stream asks for the next message, and calls show with the pieces as they come. The error is a *model.Error,
	// or ctx's.
	Stream(ctx context.Context, req *model.Request, show func(model.Delta)) (*model.Response, error)
	// Models returns those that are offered, the default first.
	Models(ctx context.Context) ([]model.Info, error)
}

// Budget bounds what is spent; package budget has the real one.
type Budget interface {
	// Reserve asks for a call of a model that uses about as much as the estimate. The error is a *budget.Spent where
	// a bound is reached. settle says what it came to, and has to be called once.
	Reserve(ctx context.Context, who budget.Who, estimate model.Usage) (settle func(ctx context.Context, used model.Usage) error, err error)
	Left(ctx context.Context, who budget.Who) (budget.Left, error)
}

// Person is who a run is for.
type Person struct {
	ID    string
	Name  string // for commits
	Email string // likewise
	Key   string // the person's own key for the model's provider, or "" for the installation's
}

// Config of a Service. Store, Model, Bridge and Find are needed.
type Config struct {
	Store  Store
	Model  Model
	Budget Budget // nil bounds nothing
	Tools  []tools.Tool
	// Extra returns further tools for a person (those of MCP servers), or nil.
	Extra func(ctx context.Context, p Person) []tools.Tool
	// Bridge connects to a workspace, and wakes it if it sleeps.
	Bridge func(ctx context.Context, id workspace.ID) (*bridge.Client, error)
	// Busy says that a workspace is in use until release is called; nil says it to nobody.
	Busy func(id workspace.ID) (release func())
	Find func(ctx context.Context, id workspace.ID) (*workspace.Workspace, error)
	// Decide is approval.Decide where it is nil.
	Decide func(call approval.Call, mode approval.Mode, rules ...approval.Rule) approval.Decision
	// Rules are the operator's.
	Rules []approval.Rule
	// Models is Model.Models where it is nil.
	Models       func(ctx context.Context) ([]model.Info, error)
	DefaultModel string        // "" is the first that is offered
	DefaultMode  approval.Mode // "" is ask-writes
	MaxSteps     int           // calls of the model in one run; 0 is DefaultMaxSteps
	MaxTime      time.Duration // of one run; 0 is DefaultMaxTime
	Log          *slog.Logger
	Now          func() time.Time // nil is time.Now
	// Holder names this gateway in the store. A gateway that is started anew may have the same name as before.
	Holder string
}

// Limits of a run, where the operator sets none.
const (
	DefaultMaxSteps = 100
	DefaultMaxTime  = time.Hour
)

// Service runs the chats of an installation. There is one in a gateway, and it outlives the configuration.
type Service struct {
	cfg Config
}

// New returns a Service that has to be started, and closed.
func New(cfg Config) *Service { return &Service{cfg: cfg} }

// Configure replaces the configuration. Runs that are under way keep the one that they began with.
func (s *Service) Configure(cfg Config) { s.cfg = cfg }

// Start marks what a gateway that is gone left behind as interrupted, now and from time to time.
func (s *Service) Start(ctx context.Context) error { return nil }

// Close interrupts the runs, so that they can be continued, and waits for their end.
func (s *Service) Close() {}

// Answer is a person's word on a call that waits for it.
type Answer struct {
	ApprovalID string
	Approved   bool
	Reason     string // for the model, of a call that is not approved
	Always     bool   // calls like this one need no word any more, in this chat
}

// Output is a person's answer to a question of the agent's (the tool "ask").
type Output struct {
	CallID string
	Output json.RawMessage
}

// The triggers of a Send, as the AI SDK names them.
const (
	TriggerSubmit     = "submit-message"
	TriggerRegenerate = "regenerate-message"
)

// Send is what a person sends to a chat. It is one of four: a message (Text), answers (Approvals, Outputs), the wish
// for another answer (Trigger), or the wish that it goes on (Continue).
type Send struct {
	Chat      string // 1 to 64 letters, digits, "-" and "_"; a chat that does not exist is made
	Workspace workspace.ID
	Person    Person
	Trigger   string // "" is TriggerSubmit
	// MessageID is, with Text, the id that the client gave to the new message: "" has the service choose one, and that
	// of a message in the history replaces it and what came after it. With TriggerRegenerate it is the answer that is
	// to be given anew, or the message that is to be answered anew; "" is the last answer.
	MessageID string
	Text      string
	Approvals []Answer
	Outputs   []Output
	// Model, Mode and Effort are the chat's from now on; "" leaves them. Plan is of this run alone.
	Model  string
	Mode   approval.Mode
	Effort string
	Plan   bool
	// Continue goes on after an interruption or an error.
	Continue bool
}

// Send begins a run, or goes on with one that waits. The run goes on when ctx ends.
func (s *Service) Send(ctx context.Context, send Send) (*Run, error) { return nil, ErrInvalid }

// Run is a run of a chat, which may have ended.
type Run struct {
	chat      string
	messageID string
	base      json.RawMessage
	log       *uistream.Log
	done      chan struct{}
}

// Chat returns the id of its chat.
func (r *Run) Chat() string { return r.chat }

// MessageID returns the id of the assistant's message that it writes.
func (r *Run) MessageID() string { return r.messageID }

// Base returns that message (a UIMessage) as it was before this run, or nil where the run began it. Who sent
// something has it and reads on in Log; a client that resumes a stream forgets it at the first "start", and needs it
// replayed before what Log has.
func (r *Run) Base() json.RawMessage { return r.base }

// Log returns what the run says. It is closed after the last chunk: finish, abort or error.
func (r *Run) Log() *uistream.Log { return r.log }

// Done is closed when the run has ended and all of it is stored.
func (r *Run) Done() <-chan struct{} { return r.done }

// Run returns the run of a chat that is under way in this gateway, or nil.
func (s *Service) Run(chat string) *Run { return nil }

// Stop ends the run of a chat and waits for its end; what waits for the person's word is not done. It is
// ErrNotRunning where neither is there.
func (s *Service) Stop(ctx context.Context, person, chat string) error { return ErrNotRunning }

// Queue has a text read by the agent at its next step, or begin its next turn when it has just ended. It is
// ErrNotRunning where the chat is not at work: send it then.
func (s *Service) Queue(ctx context.Context, p Person, chat, text string) (id string, err error) {
	return "", ErrNotRunning
}

// Info is what people see of a chat beside its messages.
type Info struct {
	ID        string        `json:"id"`
	Workspace workspace.ID  `json:"workspace"`
	Title     string        `json:"title"`
	State     State         `json:"state"`
	Model     string        `json:"model"`
	Mode      approval.Mode `json:"mode"`
	Effort    string        `json:"effort,omitempty"`
	Plan      bool          `json:"plan,omitempty"` // of the last run
	Todo      []Todo        `json:"todo,omitempty"`
	Queued    []Queued      `json:"queued,omitempty"`
	CreatedAt time.Time     `json:"createdAt"`
	UpdatedAt time.Time     `json:"updatedAt"`
}

// Todo is a point of the agent's to-do list.
type Todo struct {
	Text   string `json:"text"`
	Status string `json:"status"` // "pending", "in_progress" or "done"
}

// Queued is a message that the agent has not read yet.
type Queued struct {
	ID   string `json:"id"`
	Text string `json:"text"`
}

// Chats returns a person's chats in a workspace ("" for all), what was changed last first.
func (s *Service) Chats(ctx context.Context, id workspace.ID, person string) ([]Info, error) {
	return nil, nil
}

// Chat returns one. It is ErrNotFound where it is somebody else's.
func (s *Service) Chat(ctx context.Context, person, chat string) (*Info, error) {
	return nil, ErrNotFound
}

// Messages returns the messages of a chat, each a UIMessage.
func (s *Service) Messages(ctx context.Context, person, chat string) ([]json.RawMessage, error) {
	return nil, ErrNotFound
}

// Change is what a person changes of a chat; nil leaves it.
type Change struct {
	Title *string
	Mode  *approval.Mode
}

// Change changes a chat.
func (s *Service) Change(ctx context.Context, person, chat string, c Change) (*Info, error) {
	return nil, ErrNotFound
}

// Delete stops a chat and removes it. A missing one is no error.
func (s *Service) Delete(ctx context.Context, person, chat string) error { return nil }

// Turn is what one message of the assistant changed in the workspace.
type Turn struct {
	MessageID string `json:"messageId"`
	Files     []File `json:"files"`
}

// File is a file that was changed.
type File struct {
	Path    string `json:"path"`
	Status  string `json:"status"`         // "added", "modified" or "deleted"
	Diff    string `json:"diff,omitempty"` // unified; "" where there is none to show
	Binary  bool   `json:"binary,omitempty"`
	NotKept bool   `json:"notKept,omitempty"` // it cannot be undone
	Undone  bool   `json:"undone,omitempty"`
}

// Changes returns what a chat changed in its workspace, oldest first. It wakes the workspace if it sleeps.
func (s *Service) Changes(ctx context.Context, person, chat string) ([]Turn, error) {
	return nil, ErrNotFound
}

// Undo says what is to be undone: a chat's changes, narrowed to a message, a call and a path where they are not "".
type Undo struct {
	MessageID string
	CallID    string
	Path      string
}

// Undone is what an undo came to.
type Undone struct {
	// ID names this undo, which can be undone as a call.
	ID    string       `json:"id,omitempty"`
	Files []UndoneFile `json:"files"`
}

// UndoneFile is what an undo came to for one file.
type UndoneFile struct {
	Path   string `json:"path"`
	Result string `json:"result"`           // "restored", "merged", "unchanged", "conflict" or "failed"
	Reason string `json:"reason,omitempty"` // a sentence for people
}

// Undo takes changes of the agent out of the files, and leaves what others changed. It is ErrRunning while the agent
// is at work.
func (s *Service) Undo(ctx context.Context, person, chat string, u Undo) (*Undone, error) {
	return nil, ErrNotFound
}
