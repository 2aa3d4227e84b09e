package uistream

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Builder makes of chunks the message that a client makes of them, so that what is stored is what was seen. The one
// difference: the client guesses at the input of a call that is still being written, and the Builder leaves it out.
type Builder struct {
	message Message
	writing []*writing          // the texts and the reasoning that are being written, as they began
	calls   map[string]*writing // the input of calls that is being written
	size    int                 // of all that the message has, in bytes, about
}

// writing is a part that is being written.
type writing struct {
	start Chunk // what began it
	part  int   // its place in the message, of a text
	text  strings.Builder
}

// NewBuilder returns a Builder of a message that has nothing yet.
func NewBuilder() *Builder { return Continue(Message{Role: RoleAssistant, Parts: []MessagePart{}}) }

// Continue returns a Builder that goes on with a message of an assistant, as the client does after an answer of the
// person.
func Continue(m Message) *Builder {
	b := &Builder{message: m.clone(), calls: map[string]*writing{}}
	if b.message.Parts == nil {
		b.message.Parts = []MessagePart{}
	}
	for i := range b.message.Parts {
		p := &b.message.Parts[i]
		b.size += len(p.Input) + len(p.Output) + len(p.RawInput) + len(p.Data) + perPart
		if p.Text != nil {
			b.size += len(*p.Text)
		}
	}
	for i := b.step(); i < len(b.message.Parts); i++ {
		if p := &b.message.Parts[i]; p.State == StateInputStreaming {
			name, _ := p.Tool()
			w := &writing{start: Chunk{ToolName: name, Title: p.Title, Dynamic: p.Type == dynamicTool}}
			w.text.WriteString(p.RawInput)
			b.calls[p.ToolCallID] = w
		}
	}
	return b
}

const perPart = 100 // what a part takes beside its contents, in bytes, about

// Message returns the message as it is now.
func (b *Builder) Message() Message {
	m := b.message.clone()
	for _, w := range b.writing {
		text := w.text.String()
		m.Parts[w.part].Text = &text
	}
	return m
}

// Size returns how large the message is, in bytes, about.
func (b *Builder) Size() int { return b.size }

// Apply adds a chunk. An error, which is or wraps ErrChunk, says that the client would end the stream at it; the
// message is as before then.
func (b *Builder) Apply(c Chunk) error {
	if err := c.check(); err != nil {
		return err
	}
	switch c.Type {
	case Start, Finish, MessageMetadata:
		return b.metadata(c)
	case StartStep:
		b.add(MessagePart{Type: stepStart})
	case TextStart:
		b.begin(c, MessagePart{Type: textPart})
	case ReasoningStart:
		b.begin(c, MessagePart{Type: reasoningPart, ID: c.ID})
	case TextDelta:
		return b.write(c, TextStart)
	case ReasoningDelta:
		return b.write(c, ReasoningStart)
	case TextEnd:
		return b.end(c, TextStart)
	case ReasoningEnd:
		return b.end(c, ReasoningStart)
	case ToolInputStart, ToolInputDelta, ToolInputAvailable, ToolInputError:
		return b.input(c)
	case ToolApprovalRequest, ToolApprovalResponse, ToolOutputAvailable, ToolOutputError, ToolOutputDenied:
		return b.outcome(c)
	case SteeringMessage:
		b.add(MessagePart{Type: steeringPart, ID: c.ID, Parts: c.Parts})
	case FinishStep, Abort, ErrorType:
	default:
		return b.data(c)
	}
	return nil
}

func (b *Builder) add(p MessagePart) {
	b.message.Parts = append(b.message.Parts, p)
	b.size += perPart
}

func (b *Builder) metadata(c Chunk) error {
	if c.MessageMetadata != nil {
		text, err := encode(c.MessageMetadata)
		if err != nil {
			return err
		}
		if b.message.Metadata, err = merge(b.message.Metadata, text); err != nil {
			return err
		}
	}
	if c.Type == Start && c.MessageID != "" {
		b.message.ID = c.MessageID
	}
	return nil
}

func (b *Builder) begin(c Chunk, p MessagePart) {
	if i := b.written(c.ID, c.Type); i >= 0 { // which the client then leaves as it is
		b.stop(i, StateStreaming)
	}
	p.State, p.Text = StateStreaming, new(string)
	b.writing = append(b.writing, &writing{start: c, part: len(b.message.Parts)})
	b.add(p)
}

// written returns the place, among those being written, of the part that began so, or -1.
func (b *Builder) written(id string, start Type) int {
	return slices.IndexFunc(b.writing, func(w *writing) bool { return w.start.ID == id && w.start.Type == start })
}

func (b *Builder) write(c Chunk, start Type) error {
	i := b.written(c.ID, start)
	if i < 0 {
		return fmt.Errorf("%w: %s before its start", ErrChunk, c.Type)
	}
	b.writing[i].text.WriteString(c.Delta)
	b.size += len(c.Delta)
	return nil
}

func (b *Builder) end(c Chunk, start Type) error {
	i := b.written(c.ID, start)
	if i < 0 {
		return fmt.Errorf("%w: %s before its start", ErrChunk, c.Type)
	}
	b.stop(i, StateDone)
	return nil
}

func (b *Builder) stop(i int, state string) {
	w := b.writing[i]
	text := w.text.String()
	b.message.Parts[w.part].Text, b.message.Parts[w.part].State = &text, state
	b.writing = slices.Delete(b.writing, i, i+1)
}

// step returns the place of the first part of the step that is under way.
func (b *Builder) step() int {
	for i := len(b.message.Parts); i > 0; i-- {
		if b.message.Parts[i-1].Type == stepStart {
			return i
		}
	}
	return 0
}

// input is what writes the input of a call. It looks for the call in the step alone, since some models use an ID
// again in the next.
func (b *Builder) input(c Chunk) error {
	with := c
	w := b.calls[c.ToolCallID]
	switch c.Type {
	case ToolInputStart:
		w = &writing{start: c}
		b.calls[c.ToolCallID] = w
	case ToolInputDelta:
		if w == nil {
			return fmt.Errorf("%w: %s before its start", ErrChunk, c.Type)
		}
		w.text.WriteString(c.InputTextDelta)
		with = w.start
	}
	part := b.called(c.ToolCallID, with, c.Type == ToolInputError)
	part.Input, part.RawInput, part.Output, part.ErrorText, part.Preliminary = nil, "", nil, "", false
	switch c.Type {
	case ToolInputStart:
		part.State = StateInputStreaming
	case ToolInputDelta:
		part.State, part.RawInput = StateInputStreaming, w.text.String()
		b.size += len(c.InputTextDelta)
	case ToolInputAvailable:
		part.State, part.Input = StateInputAvailable, c.Input
		b.size += len(c.Input)
	case ToolInputError:
		part.State, part.Input, part.ErrorText = StateOutputError, c.Input, c.ErrorText
		b.size += len(c.Input) + len(c.ErrorText)
	}
	return nil
}

// called returns the part of a call in the step that is under way, and makes it where there is none.
func (b *Builder) called(id string, c Chunk, anyKind bool) *MessagePart {
	kind := toolPrefix + c.ToolName
	if c.Dynamic {
		kind = dynamicTool
	}
	for i := b.step(); i < len(b.message.Parts); i++ {
		p := &b.message.Parts[i]
		_, tool := p.Tool()
		if !tool || p.ToolCallID != id || (!anyKind && (p.Type == dynamicTool) != c.Dynamic) {
			continue
		}
		if p.Type == dynamicTool {
			p.ToolName = c.ToolName
		} else {
			p.Type = toolPrefix + c.ToolName
		}
		if c.Title != "" && c.Type != ToolInputError {
			p.Title = c.Title
		}
		p.ProviderExecuted = p.ProviderExecuted || c.ProviderExecuted
		return p
	}
	part := MessagePart{Type: kind, ToolCallID: id, ProviderExecuted: c.ProviderExecuted}
	if c.Dynamic {
		part.ToolName = c.ToolName
	}
	if c.Type != ToolInputError {
		part.Title = c.Title
	}
	b.add(part)
	return &b.message.Parts[len(b.message.Parts)-1]
}

// outcome is what became of a call.
func (b *Builder) outcome(c Chunk) error {
	part := b.find(c)
	if part == nil {
		return fmt.Errorf("%w: %s without a call", ErrChunk, c.Type)
	}
	switch c.Type {
	case ToolApprovalRequest:
		part.State, part.Approval = StateApprovalRequested, &Approval{ID: c.ApprovalID, RequestReason: c.Reason, IsAutomatic: c.IsAutomatic}
	case ToolApprovalResponse:
		approved := *c.Approved
		part.State, part.Approval.Approved = StateApprovalResponded, &approved
		if c.Reason != "" {
			part.Approval.Reason = c.Reason
		}
	case ToolOutputDenied:
		part.State = StateOutputDenied
	case ToolOutputAvailable:
		output, err := encode(c.Output)
		if err != nil {
			return err
		}
		b.size += len(output) - len(part.Output)
		part.State, part.Output, part.Preliminary, part.ErrorText, part.RawInput = StateOutputAvailable, output, c.Preliminary, "", ""
	case ToolOutputError:
		part.State, part.Output, part.Preliminary, part.ErrorText = StateOutputError, nil, false, c.ErrorText
		b.size += len(c.ErrorText)
	}
	part.ProviderExecuted = part.ProviderExecuted || c.ProviderExecuted
	return nil
}

// find returns the part that c is about: a call of this step, or the newest of all; nil where there is none.
func (b *Builder) find(c Chunk) *MessagePart {
	parts := b.message.Parts
	if c.Type == ToolApprovalResponse {
		for i := range parts {
			if a := parts[i].Approval; a != nil && a.ID == c.ApprovalID {
				return &parts[i]
			}
		}
		return nil
	}
	for i := b.step(); i < len(parts); i++ {
		if parts[i].ToolCallID == c.ToolCallID {
			return &parts[i]
		}
	}
	for i := len(parts) - 1; i >= 0; i-- {
		if parts[i].ToolCallID == c.ToolCallID {
			return &parts[i]
		}
	}
	return nil
}

func (b *Builder) data(c Chunk) error {
	if c.Transient {
		return nil
	}
	data, err := encode(c.Data)
	if err != nil {
		return err
	}
	b.size += len(data)
	if c.ID != "" {
		for i := range b.message.Parts {
			if p := &b.message.Parts[i]; p.Type == string(c.Type) && p.ID == c.ID {
				b.size -= len(p.Data)
				p.Data = data
				return nil
			}
		}
	}
	b.add(MessagePart{Type: string(c.Type), ID: c.ID, Data: data})
	return nil
}

// close returns the chunks that end what is being written, as a stream has to before it ends: the client leaves an
// open part as it is. With because, they end calls too that have come to nothing, waiting for a person or not.
func (b *Builder) close(because string) []Chunk {
	var chunks []Chunk
	for _, w := range b.writing {
		end := TextEnd
		if w.start.Type == ReasoningStart {
			end = ReasoningEnd
		}
		chunks = append(chunks, Chunk{Type: end, ID: w.start.ID})
	}
	if because == "" {
		return chunks
	}
	for i := range b.message.Parts {
		if p := &b.message.Parts[i]; p.open() {
			chunks = append(chunks, Chunk{Type: ToolOutputError, ToolCallID: p.ToolCallID, ErrorText: because})
		}
	}
	return chunks
}

var errNoMessage = errors.New("this is no message of an assistant")

// ParseMessage returns a stored message.
func ParseMessage(text json.RawMessage) (m Message, err error) {
	if err := decode(text, &m); err != nil {
		return m, err
	}
	if m.Role != RoleAssistant && m.Role != RoleUser {
		return m, errNoMessage
	}
	return m, nil
}
