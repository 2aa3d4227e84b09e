package agent

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// State is what a chat is doing.
type State string

// The states of a chat.
const (
	StateIdle        State = "idle"
	StateRunning     State = "running"
	StateWaiting     State = "waiting"     // for a person: an approval, or an answer to a question
	StateInterrupted State = "interrupted" // the gateway that ran it ended; it can be continued
)

// Chat is the record of a chat.
type Chat struct {
	ID        string // chosen by the client: 1 to 64 letters, digits, "-" and "_"
	Workspace workspace.ID
	Person    string
	Title     string
	State     State
	Holder    string // the gateway that runs it, while it is running
	// Data is what the agent keeps of it beyond that, as JSON of its own: mode, model, pending calls, rules, to-do
	// list … The store does not look into it; at most 1 MiB.
	Data      json.RawMessage
	Revision  int64 // counts the writes; 1 in a new record
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Message is the record of a message.
type Message struct {
	Chat string
	ID   string // unique in the chat
	Seq  int64  // its place in the chat, from 1
	Role string // "user" or "assistant"
	// UI is the message as the AI SDK has it (UIMessage); Model the messages that a model gets for it. At most 8 MiB
	// together.
	UI        json.RawMessage
	Model     json.RawMessage
	CreatedAt time.Time
}

// What records may hold, in bytes.
const (
	MaxChatData = 1 << 20 // of Chat.Data
	MaxMessage  = 8 << 20 // of Message.UI and Message.Model together
)

// A person has so many chats, and a chat goes on until its messages have so many bytes together: both are read at once.
const (
	MaxChats = 1000
	MaxChat  = 64 << 20
)

// ErrTooLarge says that a record is larger than a store takes.
var ErrTooLarge = errors.New("this chat has grown too large to be kept; begin a new one")

// Check returns ErrTooLarge for a record that no store takes.
func (c *Chat) Check() error {
	if len(c.Data) > MaxChatData {
		return ErrTooLarge
	}
	return nil
}

// Check returns ErrTooLarge for a record that no store takes.
func (m *Message) Check() error {
	if len(m.UI)+len(m.Model) > MaxMessage {
		return ErrTooLarge
	}
	return nil
}

// Store keeps chats and their messages. All methods are safe for concurrent use, also by several processes on one
// store. Errors are, or wrap, ErrTooLarge, or ErrNotFound, ErrConflict, ErrStorageFull or ErrStoreDown of package
// workspace. The chats of a workspace are deleted with it.
type Store interface {
	// CreateChat inserts c with revision 1; ErrConflict when the id is in use, ErrNotFound when there is no such
	// workspace.
	CreateChat(ctx context.Context, c *Chat) error
	Chat(ctx context.Context, id string) (*Chat, error)
	// Chats returns those of a workspace ("" for all) and of a person ("" for all), what was changed last first.
	Chats(ctx context.Context, id workspace.ID, person string) ([]*Chat, error)
	// RunningChats returns those whose state is StateRunning.
	RunningChats(ctx context.Context) ([]*Chat, error)
	// UpdateChat writes c where the stored revision is still c.Revision, and increments it and sets c.UpdatedAt; else
	// ErrConflict, or ErrNotFound. ID, Workspace, Person and CreatedAt never change.
	UpdateChat(ctx context.Context, c *Chat) error
	// DeleteChat removes a chat and its messages. A missing one is no error.
	DeleteChat(ctx context.Context, id string) error

	// PutMessage inserts a message, or replaces the one of its id; ErrNotFound when there is no such chat.
	PutMessage(ctx context.Context, m *Message) error
	// Messages returns a chat's messages by their place.
	Messages(ctx context.Context, chat string) ([]*Message, error)
	// CutMessages removes the messages of a chat from the given place on.
	CutMessages(ctx context.Context, chat string, from int64) error
}
