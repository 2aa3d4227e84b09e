package modeltest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Request is what a client asked.
type Request struct {
	Number    int // of the requests for an answer, from 1
	Model     string
	Models    []string // fallbacks
	Messages  []RequestMessage
	Tools     []string // their names
	Effort    string
	MaxTokens int
	User      string
	Key       string // without "Bearer "
	Header    http.Header
	Body      json.RawMessage
}

// RequestMessage is a message of a request.
type RequestMessage struct {
	Role      string
	Text      string
	Calls     []RequestCall
	CallID    string
	Reasoning []json.RawMessage // reasoning_details
	Cache     bool              // it has a mark for the prompt cache
}

// RequestCall is a call of a tool.
type RequestCall struct{ ID, Name, Arguments string }

// Said is the text of the last message that the person wrote.
func (r Request) Said() string {
	for i := len(r.Messages) - 1; i >= 0; i-- {
		if r.Messages[i].Role == "user" {
			return r.Messages[i].Text
		}
	}
	return ""
}

// Results are what the tools answered since the model's last message, by the calls' ids.
func (r Request) Results() map[string]string {
	results := map[string]string{}
	for i := len(r.Messages) - 1; i >= 0 && r.Messages[i].Role == "tool"; i-- {
		results[r.Messages[i].CallID] = r.Messages[i].Text
	}
	return results
}

// Result is what the tool answered last, and "" when the last message is not a tool's.
func (r Request) Result() string {
	if last := r.Messages[len(r.Messages)-1]; last.Role == "tool" {
		return last.Text
	}
	return ""
}

// Steps is how often the model has answered since the person's last message.
func (r Request) Steps() (n int) {
	for i := len(r.Messages) - 1; i >= 0 && r.Messages[i].Role != "user"; i-- {
		if r.Messages[i].Role == "assistant" {
			n++
		}
	}
	return n
}

// wire is a request as it is sent.
type wire struct {
	Model         string   `json:"model"`
	Models        []string `json:"models"`
	Stream        bool     `json:"stream"`
	StreamOptions *struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	Messages  []wireMessage `json:"messages"`
	Tools     []wireTool    `json:"tools"`
	Reasoning *struct {
		Effort string `json:"effort"`
	} `json:"reasoning"`
	ReasoningEffort     string `json:"reasoning_effort"`
	MaxTokens           int    `json:"max_tokens"`
	MaxCompletionTokens int    `json:"max_completion_tokens"`
	User                string `json:"user"`
}

type wireTool struct {
	Type     string `json:"type"`
	Function struct {
		Name        string          `json:"name"`
		Description string          `json:"description"`
		Parameters  json.RawMessage `json:"parameters"`
	} `json:"function"`
}

type wireMessage struct {
	Role      string          `json:"role"`
	Content   json.RawMessage `json:"content"`
	ToolCalls []struct {
		ID       string `json:"id"`
		Type     string `json:"type"`
		Function struct {
			Name      string `json:"name"`
			Arguments string `json:"arguments"`
		} `json:"function"`
	} `json:"tool_calls"`
	ToolCallID       string            `json:"tool_call_id"`
	ReasoningDetails []json.RawMessage `json:"reasoning_details"`
	ReasoningContent string            `json:"reasoning_content"`
}

// strict are the fields that a plain server knows: OpenAI's refuses any other.
var plainFields = map[string]bool{
	"model": true, "stream": true, "stream_options": true, "messages": true, "tools": true, "reasoning_effort": true,
	"max_tokens": true, "max_completion_tokens": true, "user": true,
}

var toolName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)

// parse reads a request and says what is wrong with it.
func parse(body []byte, plain bool) (w wire, r Request, err error) {
	if !utf8.Valid(body) {
		return w, r, errors.New("the body is not UTF-8")
	}
	if err := json.Unmarshal(body, &w); err != nil {
		return w, r, fmt.Errorf("the body is not JSON: %w", err)
	}
	if plain {
		var fields map[string]json.RawMessage
		_ = json.Unmarshal(body, &fields)
		for name := range fields {
			if !plainFields[name] {
				return w, r, fmt.Errorf("unrecognized request argument supplied: %s", name)
			}
		}
	}
	switch {
	case w.Model == "":
		return w, r, errors.New("no model is named")
	case !w.Stream:
		return w, r, errors.New("it does not ask for a stream")
	case len(w.Messages) == 0:
		return w, r, errors.New("there is no message")
	case w.StreamOptions == nil || !w.StreamOptions.IncludeUsage:
		return w, r, errors.New("it does not ask for usage: stream_options.include_usage")
	case len(w.Models) > 3:
		return w, r, errors.New("the list of models has at most three") // as OpenRouter answers
	}
	r = Request{
		Model: w.Model, Models: w.Models, MaxTokens: max(w.MaxTokens, w.MaxCompletionTokens), User: w.User,
		Effort: w.ReasoningEffort, Body: body,
	}
	if w.Reasoning != nil {
		r.Effort = w.Reasoning.Effort
	}
	for _, tool := range w.Tools {
		var schema struct {
			Type string `json:"type"`
		}
		if err := json.Unmarshal(tool.Function.Parameters, &schema); err != nil || schema.Type != "object" {
			return w, r, fmt.Errorf("the parameters of the tool %q are no schema of an object", tool.Function.Name)
		}
		if tool.Type != "function" || !toolName.MatchString(tool.Function.Name) {
			return w, r, fmt.Errorf("the tool %q is not well formed", tool.Function.Name)
		}
		for _, other := range r.Tools {
			if other == tool.Function.Name {
				return w, r, fmt.Errorf("two tools are called %q", other)
			}
		}
		r.Tools = append(r.Tools, tool.Function.Name)
	}
	for i, m := range w.Messages {
		message, err := m.read()
		if err != nil {
			return w, r, fmt.Errorf("message %d (%s): %w", i, m.Role, err)
		}
		r.Messages = append(r.Messages, message)
	}
	return w, r, r.check(plain)
}

func (m wireMessage) read() (RequestMessage, error) {
	r := RequestMessage{Role: m.Role, CallID: m.ToolCallID, Reasoning: m.ReasoningDetails}
	var parts []struct {
		Type         string `json:"type"`
		Text         string `json:"text"`
		CacheControl *struct {
			Type string `json:"type"`
		} `json:"cache_control"`
	}
	switch {
	case len(m.Content) == 0 || string(m.Content) == "null":
	case json.Unmarshal(m.Content, &r.Text) == nil:
	case json.Unmarshal(m.Content, &parts) == nil:
		for _, part := range parts {
			if part.Type != "text" {
				return r, fmt.Errorf("a part of type %q", part.Type)
			}
			r.Text += part.Text
			if part.CacheControl != nil {
				if part.CacheControl.Type != "ephemeral" {
					return r, fmt.Errorf("a cache mark of type %q", part.CacheControl.Type)
				}
				if part.Text == "" {
					return r, errors.New("a cache mark on an empty text")
				}
				r.Cache = true
			}
		}
	default:
		return r, errors.New("its content is neither a text nor parts")
	}
	for _, call := range m.ToolCalls {
		if call.Type != "function" {
			return r, fmt.Errorf("a call of type %q", call.Type)
		}
		r.Calls = append(r.Calls, RequestCall{ID: call.ID, Name: call.Function.Name, Arguments: call.Function.Arguments})
	}
	return r, nil
}

// check holds a conversation to what providers demand of it.
func (r Request) check(plain bool) error {
	open := map[string]bool{} // calls that are not answered yet
	marks := 0
	for i, m := range r.Messages {
		if m.Role != "tool" && len(open) > 0 {
			return fmt.Errorf("message %d (%s): %d tool calls before it are not answered", i, m.Role, len(open))
		}
		if m.Cache {
			marks++
		}
		switch m.Role {
		case "system":
			if m.Text == "" {
				return fmt.Errorf("message %d: an empty system message", i)
			}
		case "user":
			if strings.TrimSpace(m.Text) == "" {
				return fmt.Errorf("message %d: an empty message of the person", i)
			}
		case "assistant":
			if m.Text == "" && len(m.Calls) == 0 {
				return fmt.Errorf("message %d: an answer without anything in it", i)
			}
			for _, call := range m.Calls {
				var arguments map[string]any
				switch {
				case call.ID == "" || open[call.ID]:
					return fmt.Errorf("message %d: the id %q of a call is not unique", i, call.ID)
				case !toolName.MatchString(call.Name):
					return fmt.Errorf("message %d: a call of the tool %q", i, call.Name)
				case json.Unmarshal([]byte(call.Arguments), &arguments) != nil:
					return fmt.Errorf("message %d: the arguments of %s are no JSON object", i, call.Name)
				}
				open[call.ID] = true
			}
		case "tool":
			if !open[m.CallID] {
				return fmt.Errorf("message %d: it answers the call %q, which there is not", i, m.CallID)
			}
			delete(open, m.CallID)
			if m.Text == "" {
				return fmt.Errorf("message %d: an empty answer of a tool", i)
			}
		default:
			return fmt.Errorf("message %d: the role %q", i, m.Role)
		}
	}
	last := r.Messages[len(r.Messages)-1].Role
	switch {
	case len(open) > 0:
		return fmt.Errorf("%d tool calls are not answered", len(open))
	case last == "assistant" || last == "system":
		return fmt.Errorf("the last message is one of the role %s: there is nothing to answer", last)
	case marks > 0 && plain:
		return errors.New("a plain server knows no cache marks")
	case marks > 0 && !needsMarks(r.Model):
		return fmt.Errorf("cache marks for %s, which needs none", r.Model)
	case marks > 4:
		return fmt.Errorf("%d cache marks: at most 4 are accepted", marks)
	}
	return nil
}

func needsMarks(model string) bool {
	return strings.HasPrefix(model, "anthropic/") || strings.HasPrefix(model, "qwen/") || strings.HasPrefix(model, "alibaba/")
}

// sameDetails compares reasoning details by what they mean.
func sameDetails(sent []json.RawMessage, want []map[string]any) bool {
	if len(sent) != len(want) {
		return false
	}
	for i := range sent {
		var got, expected any
		encoded, _ := json.Marshal(want[i])
		if json.Unmarshal(sent[i], &got) != nil || json.Unmarshal(encoded, &expected) != nil || !reflect.DeepEqual(got, expected) {
			return false
		}
	}
	return true
}
