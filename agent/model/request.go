package model

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// wireRequest is a request as it is sent.
type wireRequest struct {
	Model               string         `json:"model"`
	Models              []string       `json:"models,omitempty"`
	Stream              bool           `json:"stream"`
	StreamOptions       streamOptions  `json:"stream_options"`
	Messages            []wireMessage  `json:"messages"`
	Tools               []wireTool     `json:"tools,omitempty"`
	Reasoning           *wireReasoning `json:"reasoning,omitempty"`
	ReasoningEffort     string         `json:"reasoning_effort,omitempty"`
	MaxTokens           int            `json:"max_tokens,omitempty"`
	MaxCompletionTokens int            `json:"max_completion_tokens,omitempty"`
	User                string         `json:"user,omitempty"`
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

type wireReasoning struct {
	Effort string `json:"effort"`
}

type wireTool struct {
	Type     string       `json:"type"`
	Function wireFunction `json:"function"`
}

type wireFunction struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Parameters  json.RawMessage `json:"parameters,omitempty"`
}

type wireMessage struct {
	Role             string            `json:"role"`
	Content          any               `json:"content"` // a text, parts, or null
	ToolCalls        []wireCall        `json:"tool_calls,omitempty"`
	ToolCallID       string            `json:"tool_call_id,omitempty"`
	ReasoningDetails []json.RawMessage `json:"reasoning_details,omitempty"`
	ReasoningContent string            `json:"reasoning_content,omitempty"`
}

type wirePart struct {
	Type         string     `json:"type"`
	Text         string     `json:"text"`
	CacheControl *wireCache `json:"cache_control,omitempty"`
}

type wireCache struct {
	Type string `json:"type"`
}

type wireCall struct {
	ID       string           `json:"id"`
	Type     string           `json:"type"`
	Function wireCallFunction `json:"function"`
}

type wireCallFunction struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

// cacheMarks is how many marks are accepted in one request (Anthropic's limit).
const cacheMarks = 4

// maxFallbacks bounds the models that may answer in place of the first: OpenRouter refuses a list of more than three.
const maxFallbacks = 3

// encode returns the body of a request.
func (c *Client) encode(r *Request) ([]byte, error) {
	asked := r.Models[0]
	w := wireRequest{
		Model: asked, Stream: true, StreamOptions: streamOptions{IncludeUsage: true}, User: r.User,
		Messages: make([]wireMessage, 0, len(r.Messages)),
	}
	if c.openRouter {
		w.Models = r.Models[1:min(len(r.Models), 1+maxFallbacks)]
		if r.Effort != "" {
			w.Reasoning = &wireReasoning{Effort: r.Effort}
		}
	} else {
		w.ReasoningEffort = r.Effort
	}
	if c.openAI {
		w.MaxCompletionTokens = r.MaxTokens // its newer models refuse the other
	} else {
		w.MaxTokens = r.MaxTokens
	}
	for _, tool := range r.Tools {
		w.Tools = append(w.Tools, wireTool{"function", wireFunction(tool)})
	}
	marked := c.marks(r)
	for i, m := range r.Messages {
		w.Messages = append(w.Messages, c.encodeMessage(m, asked, slices.Contains(marked, i)))
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(w)
	return b.Bytes(), err
}

// marks returns the messages that get a mark for the prompt cache: the first that is marked, which is what changes least, and the
// last ones. Other providers than these cache by themselves.
func (c *Client) marks(r *Request) (marked []int) {
	vendor, _, _ := strings.Cut(r.Models[0], "/")
	if !c.openRouter || vendor != "anthropic" && vendor != "alibaba" && vendor != "qwen" {
		return nil
	}
	for i, m := range r.Messages {
		if m.Cache && m.Text != "" {
			marked = append(marked, i)
		}
	}
	if len(marked) > cacheMarks {
		marked = append(marked[:1], marked[len(marked)-cacheMarks+1:]...)
	}
	return marked
}

func (c *Client) encodeMessage(m Message, asked string, marked bool) wireMessage {
	w := wireMessage{Role: string(m.Role), Content: m.Text, ToolCallID: m.CallID}
	switch {
	case marked:
		w.Content = []wirePart{{Type: "text", Text: m.Text, CacheControl: &wireCache{"ephemeral"}}}
	case m.Text == "" && len(m.Calls) > 0:
		w.Content = nil
	case m.Text == "" && m.Role == ToolRole:
		w.Content = "(nothing)" // some providers accept no empty text
	}
	for _, call := range m.Calls {
		arguments := call.Arguments
		if !isObject(arguments) {
			arguments = "{}" // what the model wrote is refused by some providers, and its result says what was wrong
		}
		w.ToolCalls = append(w.ToolCalls, wireCall{call.ID, "function", wireCallFunction{call.Name, arguments}})
	}
	if m.Role == Assistant && m.Model == asked {
		for _, detail := range m.Reasoning {
			text, own := contentOf(detail)
			switch {
			case own && !c.openRouter:
				w.ReasoningContent = text
			case !own && c.openRouter:
				w.ReasoningDetails = append(w.ReasoningDetails, detail)
			}
		}
	}
	return w
}

// ownReasoning is the type of a reasoning detail that stands for the reasoning_content of a plain server.
const ownReasoning = "kalpana.reasoning_content"

type ownDetail struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

// contentOf returns the text of such a detail.
func contentOf(detail json.RawMessage) (string, bool) {
	var own ownDetail
	if !bytes.Contains(detail, []byte(ownReasoning)) || json.Unmarshal(detail, &own) != nil || own.Type != ownReasoning {
		return "", false
	}
	return own.Text, true
}

func isObject(arguments string) bool {
	return strings.HasPrefix(strings.TrimLeft(arguments, " \t\r\n"), "{") && json.Valid([]byte(arguments))
}
