// Package uistream is the UI message stream of the AI SDK (version 1, as ai 7.x reads it): its chunks, a log of them
// that browsers read from its start, and the message that a browser makes of them.
package uistream

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Type is what a chunk is. The client ends a stream in which it finds any other.
type Type string

// The types that Kalpana sends.
const (
	Start           Type = "start"
	StartStep       Type = "start-step"
	FinishStep      Type = "finish-step"
	Finish          Type = "finish"
	Abort           Type = "abort"
	ErrorType       Type = "error"
	MessageMetadata Type = "message-metadata"

	TextStart      Type = "text-start"
	TextDelta      Type = "text-delta"
	TextEnd        Type = "text-end"
	ReasoningStart Type = "reasoning-start"
	ReasoningDelta Type = "reasoning-delta"
	ReasoningEnd   Type = "reasoning-end"

	ToolInputStart       Type = "tool-input-start"
	ToolInputDelta       Type = "tool-input-delta"
	ToolInputAvailable   Type = "tool-input-available"
	ToolInputError       Type = "tool-input-error"
	ToolApprovalRequest  Type = "tool-approval-request"
	ToolApprovalResponse Type = "tool-approval-response"
	ToolOutputAvailable  Type = "tool-output-available"
	ToolOutputError      Type = "tool-output-error"
	ToolOutputDenied     Type = "tool-output-denied"

	SteeringMessage Type = "steering-message"
)

// Why a message is finished. The client's own rules for sending by itself what a person answered look at it: after
// FinishInterrupted it never does.
const (
	FinishStop          = "stop"
	FinishLength        = "length"
	FinishContentFilter = "content-filter"
	FinishToolCalls     = "tool-calls" // it waits for a person: an approval, or an answer
	FinishError         = "error"
	FinishInterrupted   = "interrupted"
	FinishOther         = "other"
)

// Data is the type of a chunk with data of Kalpana's own, e.g. Data("terminal").
func Data(name string) Type { return Type(dataPrefix + name) }

const dataPrefix = "data-"

func (t Type) data() bool { return strings.HasPrefix(string(t), dataPrefix) }

// last reports whether nothing comes after a chunk of this type.
func (t Type) last() bool { return t == Finish || t == Abort || t == ErrorType }

// Chunk is one event of the stream. A field that its type does not have stays empty: the client ends a stream in
// which an optional field is null.
type Chunk struct {
	Type Type `json:"type"`

	MessageID       string `json:"messageId,omitempty"`
	MessageMetadata any    `json:"messageMetadata,omitempty"` // encoded as a JSON object; merged into what is there
	FinishReason    string `json:"finishReason,omitempty"`
	Reason          string `json:"reason,omitempty"`

	// ID names a part of text or reasoning while it is being written, a steering message, or data. Data that is
	// transient and has an ID is a state: who comes later gets the newest of each type and ID.
	ID    string `json:"id,omitempty"`
	Delta string `json:"delta,omitempty"`

	ToolCallID     string          `json:"toolCallId,omitempty"`
	ToolName       string          `json:"toolName,omitempty"`
	Title          string          `json:"title,omitempty"`
	InputTextDelta string          `json:"inputTextDelta,omitempty"`
	Input          json.RawMessage `json:"input,omitempty"`  // as JSON; null where there is none
	Output         any             `json:"output,omitempty"` // encoded as JSON
	Preliminary    bool            `json:"preliminary,omitempty"`
	Dynamic        bool            `json:"dynamic,omitempty"`
	// ProviderExecuted is for the calls that the gateway carries out, which are all but questions to the person:
	// what the client does by itself once every call has an output then looks at the others alone.
	ProviderExecuted bool   `json:"providerExecuted,omitempty"`
	ErrorText        string `json:"errorText,omitempty"`
	ApprovalID       string `json:"approvalId,omitempty"`
	Approved         *bool  `json:"approved,omitempty"`
	// IsAutomatic: nobody needs to say anything of the call.
	IsAutomatic bool `json:"isAutomatic,omitempty"`

	Data      any  `json:"data,omitempty"`
	Transient bool `json:"transient,omitempty"`

	Parts []Part `json:"parts,omitempty"` // of a steering message
}

// Part is a part of a message that a person wrote.
type Part struct {
	Type string `json:"type"` // "text"
	Text string `json:"text"`
}

// ErrChunk says that the client would not take a chunk, and would end the stream.
var ErrChunk = errors.New("no client takes this chunk")

// check reports what the client's schema would refuse.
func (c *Chunk) check() error {
	var missing string
	need := func(name string, there bool) {
		if !there {
			missing = name
		}
	}
	switch c.Type {
	case Start, StartStep, FinishStep, Abort:
	case Finish:
		switch c.FinishReason {
		case "", FinishStop, FinishLength, FinishContentFilter, FinishToolCalls, FinishError, FinishInterrupted, FinishOther:
		default:
			return fmt.Errorf("%w: the finish reason %q is none", ErrChunk, c.FinishReason)
		}
	case ErrorType:
		need("errorText", c.ErrorText != "")
	case MessageMetadata:
		need("messageMetadata", c.MessageMetadata != nil)
	case TextStart, TextEnd, ReasoningStart, ReasoningEnd:
		need("id", c.ID != "")
	case TextDelta, ReasoningDelta:
		need("id", c.ID != "")
		need("delta", c.Delta != "")
	case ToolInputStart:
		need("toolName", c.ToolName != "")
		need("toolCallId", c.ToolCallID != "")
	case ToolInputDelta:
		need("inputTextDelta", c.InputTextDelta != "")
		need("toolCallId", c.ToolCallID != "")
	case ToolInputAvailable, ToolInputError:
		need("input", len(c.Input) > 0)
		need("toolName", c.ToolName != "")
		need("toolCallId", c.ToolCallID != "")
		need("errorText", c.Type != ToolInputError || c.ErrorText != "")
	case ToolApprovalRequest:
		need("approvalId", c.ApprovalID != "")
		need("toolCallId", c.ToolCallID != "")
	case ToolApprovalResponse:
		need("approvalId", c.ApprovalID != "")
		need("approved", c.Approved != nil)
	case ToolOutputAvailable:
		need("output", c.Output != nil)
		need("toolCallId", c.ToolCallID != "")
	case ToolOutputDenied:
		need("toolCallId", c.ToolCallID != "")
	case ToolOutputError:
		need("toolCallId", c.ToolCallID != "")
		need("errorText", c.ErrorText != "")
	case SteeringMessage:
		need("id", c.ID != "")
		need("parts", len(c.Parts) > 0)
	default:
		if !c.Type.data() {
			return fmt.Errorf("%w: the type %q is none", ErrChunk, c.Type)
		}
		need("data", c.Data != nil)
	}
	if missing != "" {
		return fmt.Errorf("%w: %s has no %s", ErrChunk, c.Type, missing)
	}
	return nil
}
