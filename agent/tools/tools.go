// Package tools is what an agent can do in its workspace: files, search, commands, git and checkpoints, all of them
// by way of the bridge in the container.
package tools

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/workspace"
)

// Tool is one of the things that an agent can do.
type Tool struct {
	Name        string
	Description string          // for the model
	Parameters  json.RawMessage // a JSON Schema of type object
	// Reads: it changes nothing, may run beside others, and is there in plan mode.
	Reads bool
	// ReadsCall, where there is one, says of a single call that it changes nothing, although Reads is not set: of git
	// with the operation "status". The input may be anything.
	ReadsCall func(input json.RawMessage) bool
	// Title says in a few words what a call does ("Read main.go"), for people. The input may be anything.
	Title func(input json.RawMessage) string
	// Run carries a call out. An error's text goes to the model and is shown to the person; ErrWorkspace ends the run.
	Run func(ctx context.Context, env *Env, call Call) (*Result, error)

	// paths are the only ones that a call may change; nil where it may change any. For checkpoints.
	paths func(input json.RawMessage) []string
	// follows: a command may change files while the call waits for it, though the call itself changes nothing.
	follows bool
}

// ReadsWith reports whether a call with that input changes nothing.
func (t *Tool) ReadsWith(input json.RawMessage) bool {
	return t.Reads || t.ReadsCall != nil && t.ReadsCall(input)
}

// Call is one call of a tool.
type Call struct {
	ID    string
	Input json.RawMessage // checked against nothing yet
}

// Result is what a call came to.
type Result struct {
	// Text is for the model, bounded in its length.
	Text string
	// Output is for the person: a JSON object, small. The tools of this package return *Output.
	Output any
}

// ErrWorkspace wraps why the workspace cannot be reached: no call will do, now.
var ErrWorkspace = errors.New("the workspace cannot be reached")

// Env is what the tools of one run work with.
type Env struct {
	Workspace workspace.ID
	Chat      string
	// Message is the assistant's message that the call belongs to: what it changes can be undone by that name. Without
	// one, or without a chat, nothing is kept for an undo.
	Message string
	// Bridge returns the connection to the workspace's bridge, and wakes the workspace if it sleeps.
	Bridge func(ctx context.Context) (*bridge.Client, error)
	// Name and Email are the person's, for commits.
	Name, Email string
	// Show sends data to whoever watches, e.g. ("terminal", {callId, text}); it is not kept.
	Show func(name string, data any)
	// Checkpoint, where there is one, is told of each look that is to make a call undoable: nil, or why it failed.
	Checkpoint func(err error)
	// Seen are the versions of files as the agent last read or wrote them, by path.
	Seen *Seen
}
