package uistream

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Post is what a client posts to go on with a chat, reduced to what only the person can know: the rest of the
// history that it sends along is the server's to know.
type Post struct {
	ID        string // of the chat
	Trigger   string // "submit-message" or "regenerate-message"
	MessageID string // the message that is replaced, answered anew or gone on with, or ""
	// Last is the last message: its role, and its id.
	LastID, LastRole string
	// Text is that of the last message, where a person wrote it.
	Text string
	// Answers are those to approvals in the last message of the assistant; Outputs those to questions in its last
	// step, where it is the last message of all.
	Answers []Answer
	Outputs []Output
	// More are the other fields of the body, each up to 4 KiB.
	More map[string]json.RawMessage
}

// Answer is a person's word on a call.
type Answer struct {
	ApprovalID string
	Approved   bool
	Reason     string
}

// Output is what a client gave as the output of a call.
type Output struct {
	CallID string
	Tool   string
	Output json.RawMessage
}

// The limits of a post, beside that of its whole body.
const (
	maxText    = 128 << 10 // bytes of a message of a person
	maxReason  = 2 << 10
	maxOutput  = 16 << 10
	maxMore    = 4 << 10
	maxAnswers = 64 // in one message
)

// PostError says what is wrong with a post, for people.
type PostError struct{ text string }

func (e *PostError) Error() string { return e.text }

func postError(format string, args ...any) error { return &PostError{fmt.Sprintf(format, args...)} }

// posted is what is read of a message.
type posted struct {
	ID    string `json:"id"`
	Role  string `json:"role"`
	Parts []struct {
		Type       string          `json:"type"`
		Text       string          `json:"text"`
		State      string          `json:"state"`
		ToolName   string          `json:"toolName"`
		ToolCallID string          `json:"toolCallId"`
		Output     json.RawMessage `json:"output"`
		ErrorText  string          `json:"errorText"`
		Approval   *struct {
			ID       string `json:"id"`
			Approved *bool  `json:"approved"`
			Reason   string `json:"reason"`
		} `json:"approval"`
	} `json:"parts"`
}

// ReadPost reads the body that DefaultChatTransport sends, one message of the history at a time. Outputs are read of
// the calls of the given tools alone, which are those that the client carries out. The error is a *PostError, or
// r's.
func ReadPost(r io.Reader, clientTools ...string) (*Post, error) {
	d := json.NewDecoder(r)
	p := &Post{More: map[string]json.RawMessage{}}
	if err := readPost(d, p, clientTools); err != nil {
		var syntax *json.SyntaxError
		var kind *json.UnmarshalTypeError
		if errors.As(err, &syntax) || errors.As(err, &kind) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			return nil, postError("The request is not the JSON that the AI SDK's DefaultChatTransport sends. Reload the page and try again.")
		}
		return nil, err
	}
	return p, nil
}

var errNoObject = &json.SyntaxError{}

func readPost(d *json.Decoder, p *Post, clientTools []string) error {
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.Join(err, errNoObject)
	}
	var last, assistant posted
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		switch name {
		case "id":
			err = d.Decode(&p.ID)
		case "trigger":
			err = d.Decode(&p.Trigger)
		case "messageId":
			err = d.Decode(&p.MessageID)
		case "messages":
			last, assistant, err = readMessages(d)
		default:
			var value json.RawMessage
			if err = d.Decode(&value); err == nil && len(value) <= maxMore {
				p.More[name.(string)] = value
			}
		}
		if err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) { // to the end, so that the server sees whether the client is there
		return errors.Join(err, errNoObject)
	}
	p.LastID, p.LastRole = last.ID, last.Role
	if err := p.text(&last); err != nil {
		return err
	}
	if err := p.answers(&assistant); err != nil {
		return err
	}
	if last.Role == RoleAssistant {
		return p.outputs(&last, clientTools)
	}
	return nil
}

// readMessages reads the history and returns its last message, and the last of the assistant.
func readMessages(d *json.Decoder) (last, assistant posted, err error) {
	t, err := d.Token()
	if t == nil && err == nil { // null
		return last, assistant, nil
	}
	if err != nil || t != json.Delim('[') {
		return last, assistant, errors.Join(err, errNoObject)
	}
	for d.More() {
		last = posted{}
		if err := d.Decode(&last); err != nil {
			return last, assistant, err
		}
		if last.Role == RoleAssistant {
			assistant = last
		}
	}
	_, err = d.Token()
	return last, assistant, err
}

func (p *Post) text(m *posted) error {
	if m.Role != RoleUser {
		return nil
	}
	var texts []string
	for _, part := range m.Parts {
		switch part.Type {
		case textPart:
			texts = append(texts, part.Text)
		case "file":
			return postError("The agent takes no attachments. Put the file into the workspace and say where it is.")
		}
	}
	p.Text = strings.TrimSpace(strings.ToValidUTF8(strings.Join(texts, "\n"), ""))
	if len(p.Text) > maxText {
		return postError("Your message has %d letters or so, more than the %d that the agent takes at once. Put it into a file of the workspace and say where it is.",
			utf8.RuneCountInString(p.Text), maxText)
	}
	return nil
}

func (p *Post) answers(m *posted) error {
	for _, part := range m.Parts {
		a := part.Approval
		if part.State != StateApprovalResponded || a == nil || a.ID == "" || a.Approved == nil {
			continue
		}
		if len(a.Reason) > maxReason {
			return postError("The reason that you give has more than %d letters. Shorten it, or send it as a message.", maxReason)
		}
		if p.Answers = append(p.Answers, Answer{a.ID, *a.Approved, strings.ToValidUTF8(a.Reason, "")}); len(p.Answers) > maxAnswers {
			return postError("There are more than %d answers in one message.", maxAnswers)
		}
	}
	return nil
}

func (p *Post) outputs(m *posted, clientTools []string) error {
	step := 0
	for i, part := range m.Parts {
		if part.Type == stepStart {
			step = i
		}
	}
	for _, part := range m.Parts[step:] {
		name := part.ToolName
		if part.Type != dynamicTool {
			name = strings.TrimPrefix(part.Type, toolPrefix)
		}
		for _, tool := range clientTools {
			if name != tool || (part.Type != dynamicTool && part.Type == name) {
				continue
			}
			output := part.Output
			if part.State == StateOutputError { // which is how an answer can be refused
				output, _ = json.Marshal(part.ErrorText)
			} else if part.State != StateOutputAvailable {
				continue
			}
			if len(output) > maxOutput {
				return postError("Your answer has more than %d letters. Shorten it, or put it into a file of the workspace.", maxOutput)
			}
			if p.Outputs = append(p.Outputs, Output{part.ToolCallID, tool, orNull(output)}); len(p.Outputs) > maxAnswers {
				return postError("There are more than %d answers in one message.", maxAnswers)
			}
		}
	}
	return nil
}
