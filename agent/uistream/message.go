package uistream

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// The roles of messages.
const (
	RoleUser      = "user"
	RoleAssistant = "assistant"
)

// Message is a message as the AI SDK has it (UIMessage): what a browser shows, and what is stored.
type Message struct {
	ID       string          `json:"id"`
	Role     string          `json:"role"`
	Metadata json.RawMessage `json:"metadata,omitempty"` // an object
	Parts    []MessagePart   `json:"parts"`
}

// MessagePart is a part of a message. Its type says which of the fields there are:
//
//	text              Text, State
//	reasoning         ID, Text, State
//	step-start
//	tool-<name>       ToolCallID, State, and Title, Input, RawInput, Output, Preliminary, ErrorText, Approval
//	dynamic-tool      ToolName beside
//	data-<name>       Data, and perhaps ID
//	steering-message  ID, Parts
type MessagePart struct {
	Type string  `json:"type"`
	ID   string  `json:"id,omitempty"`
	Text *string `json:"text,omitempty"`
	// State of text and reasoning is "streaming" or "done"; that of a tool one of the constants below.
	State string `json:"state,omitempty"`

	ToolName   string          `json:"toolName,omitempty"`
	ToolCallID string          `json:"toolCallId,omitempty"`
	Title      string          `json:"title,omitempty"`
	Input      json.RawMessage `json:"input,omitempty"`
	// RawInput is what there is of the input of a call that is being written, in which state there is no Input.
	RawInput         string          `json:"rawInput,omitempty"`
	Output           json.RawMessage `json:"output,omitempty"`
	Preliminary      bool            `json:"preliminary,omitempty"`
	ErrorText        string          `json:"errorText,omitempty"`
	ProviderExecuted bool            `json:"providerExecuted,omitempty"`
	Approval         *Approval       `json:"approval,omitempty"`

	Data  json.RawMessage `json:"data,omitempty"`
	Parts []Part          `json:"parts,omitempty"`
}

// The states of a text, and of a tool call.
const (
	StateStreaming         = "streaming"
	StateDone              = "done"
	StateInputStreaming    = "input-streaming"
	StateInputAvailable    = "input-available"
	StateApprovalRequested = "approval-requested"
	StateApprovalResponded = "approval-responded"
	StateOutputAvailable   = "output-available"
	StateOutputError       = "output-error"
	StateOutputDenied      = "output-denied"
)

// Approval is what a person was asked about a call, and what they said.
type Approval struct {
	ID            string `json:"id"`
	RequestReason string `json:"requestReason,omitempty"`
	Approved      *bool  `json:"approved,omitempty"`
	Reason        string `json:"reason,omitempty"`
	IsAutomatic   bool   `json:"isAutomatic,omitempty"`
}

const (
	toolPrefix    = "tool-"
	dynamicTool   = "dynamic-tool"
	stepStart     = "step-start"
	textPart      = "text"
	reasoningPart = "reasoning"
	steeringPart  = "steering-message"
)

// UserMessage returns the message of a person that says text.
func UserMessage(id, text string) Message {
	return Message{ID: id, Role: RoleUser, Parts: []MessagePart{{Type: textPart, Text: &text}}}
}

// Tool returns the name of the tool that a part is a call of, and whether it is one.
func (p *MessagePart) Tool() (name string, ok bool) {
	if p.Type == dynamicTool {
		return p.ToolName, true
	}
	return strings.CutPrefix(p.Type, toolPrefix)
}

// open reports whether a part is a call that has come to nothing yet.
func (p *MessagePart) open() bool {
	if _, ok := p.Tool(); !ok {
		return false
	}
	switch p.State {
	case StateOutputAvailable:
		return p.Preliminary
	case StateOutputError, StateOutputDenied:
		return false
	}
	return true
}

// clone returns a copy that shares nothing that is written to.
func (m Message) clone() Message {
	m.Parts = slices.Clone(m.Parts)
	for i := range m.Parts {
		if a := m.Parts[i].Approval; a != nil {
			b := *a
			m.Parts[i].Approval = &b
		}
	}
	return m
}

// Chunks returns a stream of which a client makes the message, without its end.
func (m Message) Chunks() []Chunk {
	first := Chunk{Type: Start, MessageID: m.ID}
	if len(m.Metadata) > 0 {
		first.MessageMetadata = m.Metadata
	}
	chunks := []Chunk{first}
	inStep := false
	for i := range m.Parts {
		p := &m.Parts[i]
		switch {
		case p.Type == stepStart:
			if inStep {
				chunks = append(chunks, Chunk{Type: FinishStep})
			}
			inStep = true
			chunks = append(chunks, Chunk{Type: StartStep})
		case p.Type == textPart:
			chunks = p.text(chunks, "kept-"+strconv.Itoa(i), TextStart, TextDelta, TextEnd)
		case p.Type == reasoningPart:
			chunks = p.text(chunks, p.ID, ReasoningStart, ReasoningDelta, ReasoningEnd)
		case p.Type == steeringPart:
			chunks = append(chunks, Chunk{Type: SteeringMessage, ID: p.ID, Parts: p.Parts})
		case Type(p.Type).data():
			chunks = append(chunks, Chunk{Type: Type(p.Type), ID: p.ID, Data: orNull(p.Data)})
		default:
			if name, ok := p.Tool(); ok {
				chunks = p.call(chunks, name)
			}
		}
	}
	return chunks
}

func (p *MessagePart) text(chunks []Chunk, id string, start, delta, end Type) []Chunk {
	chunks = append(chunks, Chunk{Type: start, ID: id})
	if p.Text != nil && *p.Text != "" {
		chunks = append(chunks, Chunk{Type: delta, ID: id, Delta: *p.Text})
	}
	if p.State != StateStreaming {
		chunks = append(chunks, Chunk{Type: end, ID: id})
	}
	return chunks
}

func (p *MessagePart) call(chunks []Chunk, name string) []Chunk {
	c := Chunk{ToolCallID: p.ToolCallID, ToolName: name, Title: p.Title, Dynamic: p.Type == dynamicTool, ProviderExecuted: p.ProviderExecuted}
	of := func(t Type) Chunk { return Chunk{Type: t, ToolCallID: p.ToolCallID} }
	if p.State == StateInputStreaming || p.RawInput != "" {
		c.Type = ToolInputStart
		chunks = append(chunks, c)
		if p.RawInput != "" {
			delta := of(ToolInputDelta)
			delta.InputTextDelta = p.RawInput
			chunks = append(chunks, delta)
		}
	} else {
		c.Type, c.Input = ToolInputAvailable, orNull(p.Input)
		chunks = append(chunks, c)
	}
	if a := p.Approval; a != nil {
		request := of(ToolApprovalRequest)
		request.ApprovalID, request.Reason, request.IsAutomatic = a.ID, a.RequestReason, a.IsAutomatic
		chunks = append(chunks, request)
		if a.Approved != nil {
			chunks = append(chunks, Chunk{Type: ToolApprovalResponse, ApprovalID: a.ID, Approved: a.Approved, Reason: a.Reason})
		}
	}
	switch p.State {
	case StateOutputAvailable:
		output := of(ToolOutputAvailable)
		output.Output, output.Preliminary = orNull(p.Output), p.Preliminary
		chunks = append(chunks, output)
	case StateOutputError:
		fault := of(ToolOutputError)
		fault.ErrorText = p.ErrorText
		chunks = append(chunks, fault)
	case StateOutputDenied:
		chunks = append(chunks, of(ToolOutputDenied))
	}
	return chunks
}

func orNull(text json.RawMessage) json.RawMessage {
	if len(text) == 0 {
		return json.RawMessage("null")
	}
	return text
}

// encode is json.Marshal that leaves <, > and & as they are: code is full of them.
func encode(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// merge merges metadata as the client does: objects deeply, all else replaced.
func merge(into, from json.RawMessage) (json.RawMessage, error) {
	if len(into) == 0 {
		return from, nil
	}
	var a, b any
	if err := decode(into, &a); err != nil {
		return nil, err
	}
	if err := decode(from, &b); err != nil {
		return nil, err
	}
	return encode(mergeValues(a, b))
}

func mergeValues(into, from any) any {
	a, ok := into.(map[string]any)
	if !ok {
		return from
	}
	b, ok := from.(map[string]any)
	if !ok {
		return from
	}
	merged := maps.Clone(a)
	for key, value := range b {
		merged[key] = mergeValues(a[key], value)
	}
	return merged
}

// decode keeps numbers as they are written.
func decode(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d.Decode(v)
}
