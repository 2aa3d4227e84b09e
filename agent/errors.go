package agent

import "errors"

// What can be wrong with what a person asks of the agent. Errors of this package are or wrap one of them, one of
// package workspace, a *model.Error or a *budget.Spent; their text is for the person.
var (
	ErrNotFound = errors.New("no such chat")
	// ErrRunning: one run a chat.
	ErrRunning = errors.New("the agent is at work in this chat; stop it, or send your message to its queue")
	// ErrTooManyRuns: MaxRuns of the person are under way.
	ErrTooManyRuns = errors.New("the agent is at work in as many chats of yours as it may be at once; stop one, or wait until it has ended")
	// ErrTooManyChats: the person has MaxChats.
	ErrTooManyChats = errors.New("you have as many chats as you may have; delete some that you no longer need")
	// ErrNotRunning: there is nothing to stop, and nothing that a queue would be for.
	ErrNotRunning = errors.New("the agent is not at work in this chat")
	// ErrNothingPending: an answer, but nothing was asked.
	ErrNothingPending = errors.New("nothing in this chat waits for an answer")
	// ErrAnswered: the answer comes too late.
	ErrAnswered = errors.New("that was answered already, or the chat has gone on without an answer")
	ErrInvalid  = errors.New("that cannot be done")
	// ErrUnknownModel: not one of those that are offered.
	ErrUnknownModel = errors.New("that model is not offered here; choose another one")
	// ErrClosed: the gateway shuts down.
	ErrClosed = errors.New("the server is about to be restarted; try again in a moment")
)
