// Package uistream is the UI message stream of the AI SDK (version 1, as ai 7.x reads it): its chunks, a log of them
// that browsers read from its start, and the message that a browser makes of them.
package uistream

import "encoding/json"

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

// Data is the type of a chunk with data of Kalpana's own, e.g. Data("terminal").
func Data(name string) Type { return Type("data-" + name) }

// Chunk is one event of the stream. A field that its type does not have stays empty: the client ends a stream in
// which an optional field is null.
type Chunk struct {
	Type Type `json:"type"`

	MessageID       string `json:"messageId,omitempty"`
	MessageMetadata any    `json:"messageMetadata,omitempty"`
	FinishReason    string `json:"finishReason,omitempty"`
	Reason          string `json:"reason,omitempty"`

	ID    string `json:"id,omitempty"`
	Delta string `json:"delta,omitempty"`

	ToolCallID     string          `json:"toolCallId,omitempty"`
	ToolName       string          `json:"toolName,omitempty"`
	Title          string          `json:"title,omitempty"`
	InputTextDelta string          `json:"inputTextDelta,omitempty"`
	Input          json.RawMessage `json:"input,omitempty"`
	Output         any             `json:"output,omitempty"`
	Preliminary    bool            `json:"preliminary,omitempty"`
	Dynamic        bool            `json:"dynamic,omitempty"`
	ErrorText      string          `json:"errorText,omitempty"`
	ApprovalID     string          `json:"approvalId,omitempty"`
	Approved       *bool           `json:"approved,omitempty"`

	Data      any  `json:"data,omitempty"`
	Transient bool `json:"transient,omitempty"`

	Parts []Part `json:"parts,omitempty"` // of a steering message
}

// Part is a part of a message that a person wrote.
type Part struct {
	Type string `json:"type"` // "text"
	Text string `json:"text"`
}
