// Package model asks language models for their next message: OpenRouter, or any server with OpenAI's chat
// completions.
package model

import (
	"encoding/json"
	"time"
)

// Role is whose message it is.
type Role string

// The roles.
const (
	System    Role = "system"
	User      Role = "user"
	Assistant Role = "assistant"
	ToolRole  Role = "tool" // what a tool answered
)

// Message is one message of a conversation, as the model has it.
type Message struct {
	Role Role   `json:"role"`
	Text string `json:"text,omitempty"`
	// Reasoning is an assistant's reasoning_details, merged by index, as the provider wants them back. It goes back
	// to the model named by Model only.
	Reasoning []json.RawMessage `json:"reasoning,omitempty"`
	Model     string            `json:"model,omitempty"`
	Calls     []Call            `json:"calls,omitempty"`
	// CallID is the call that a tool's message answers.
	CallID string `json:"callId,omitempty"`
	// Cache marks the end of a prefix that is worth keeping in the provider's prompt cache.
	Cache bool `json:"-"`
}

// Call is a tool call. Arguments are as the model wrote them: meant to be a JSON object, but not checked.
type Call struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

// Tool is what a model may call.
type Tool struct {
	Name        string
	Description string
	Parameters  json.RawMessage // a JSON Schema of type object
}

// Request asks for the next message.
type Request struct {
	// Models are tried in their order by the provider, where it can; the first is the one that is asked.
	Models   []string
	Messages []Message
	Tools    []Tool
	// Effort of reasoning: "", "low", "medium" or "high".
	Effort string
	// MaxTokens bounds the answer, reasoning included; 0 leaves it to the provider.
	MaxTokens int
	// Key is a person's own key, or "" for the installation's.
	Key string
	// User names the person to the provider without telling who it is, for its abuse rules and caches.
	User string
	// Retrying, if there, is told of each failure after which the request is sent again, and when that will be.
	Retrying func(failure *Error, in time.Duration)
}

// Delta is a piece of an answer that is being streamed. Exactly one of Text, Reasoning, and a piece of a call is
// there.
type Delta struct {
	Text      string
	Reasoning string
	// Call is there for a piece of a tool call: its place among the calls of the answer from 0. The first piece of
	// each has CallID and Name; the others, and perhaps it too, Arguments.
	Call *CallDelta
}

// CallDelta is a piece of a tool call.
type CallDelta struct {
	Index     int
	CallID    string
	Name      string
	Arguments string
}

// Why an answer ended.
const (
	FinishStop          = "stop"
	FinishLength        = "length"
	FinishContentFilter = "content_filter"
	FinishToolCalls     = "tool_calls"
)

// Response is a whole answer.
type Response struct {
	Message Message // of the assistant
	Finish  string  // one of the Finish constants, or another word of the provider's
	Usage   Usage
	Model   string // that answered
	ID      string // the provider's name of the answer
	// FirstChunk is how long the first piece took from the request on, and Chunks how many pieces there were.
	FirstChunk time.Duration
	Chunks     int
}

// Usage is what an answer used. Tokens and Cost are as the provider counts them.
type Usage struct {
	Input     int64 `json:"input"`     // tokens of the request, cached ones included
	Output    int64 `json:"output"`    // tokens of the answer, reasoning included
	Cached    int64 `json:"cached"`    // of Input, those that came from the provider's cache
	Reasoning int64 `json:"reasoning"` // of Output
	// Cost in millionths of a US dollar; Priced says whether it is known.
	Cost   int64 `json:"cost"`
	Priced bool  `json:"priced"`
	// Estimated: at least a part is reckoned from lengths, since the provider did not tell: it does not where an answer is
	// cut short or stopped.
	Estimated bool `json:"estimated,omitempty"`
}

// Add adds what another answer used.
func (u *Usage) Add(v Usage) {
	u.Input += v.Input
	u.Output += v.Output
	u.Cached += v.Cached
	u.Reasoning += v.Reasoning
	u.Cost += v.Cost
	u.Priced = u.Priced || v.Priced
	u.Estimated = u.Estimated || v.Estimated
}

// Info is a model that the provider has.
type Info struct {
	ID      string
	Name    string
	Context int // tokens that fit into request and answer together; 0 where it is not known
	// MaxOutput bounds the tokens of an answer; 0 where it is not known.
	MaxOutput int
	Tools     bool // it can call tools
	Reasoning bool // it can be asked to reason
	// InputPrice and OutputPrice are in millionths of a US dollar for a million tokens; 0 where they are not known.
	InputPrice, OutputPrice int64
}

// Kind is what went wrong, as a metric has it (error.type) and a person is told.
type Kind string

// The kinds.
const (
	KindNoCredit      Kind = "no_credit"      // 402: the key has no money left
	KindUnauthorized  Kind = "unauthorized"   // 401, 403: the key is not accepted
	KindRateLimited   Kind = "rate_limited"   // 429
	KindUnavailable   Kind = "unavailable"    // 408, 5xx, no connection
	KindCut           Kind = "cut"            // the stream ended without a finish reason, or stalled
	KindContext       Kind = "context_length" // the request does not fit into the model's window
	KindRefused       Kind = "refused"        // any other 4xx: the request itself is not accepted
	KindProvider      Kind = "provider_error" // an error in mid-stream
	KindContentFilter Kind = "content_filter" // moderation
	KindBadAnswer     Kind = "bad_answer"     // not what the API promises
	KindUnknownModel  Kind = "unknown_model"  // 404, or 400 that says so
	KindNotConfigured Kind = "not_configured" // there is no key
)

// Error is why there is no whole answer. Its text is for a person: what happened, and what to do. It never has the
// key or the request in it.
type Error struct {
	Kind       Kind
	Status     int // of HTTP, or 0
	Message    string
	RetryAfter time.Duration // as the provider asks, or 0
	// Usage is what was used nevertheless, where it is known.
	Usage *Usage

	passes bool // it may be gone when the request is sent again
}

func (e *Error) Error() string { return e.Message }
