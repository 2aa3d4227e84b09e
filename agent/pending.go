package agent

import (
	"encoding/json"
	"strings"

	"github.com/kalpana-dev/kalpana/agent/approval"
	"github.com/kalpana-dev/kalpana/agent/model"
	"github.com/kalpana-dev/kalpana/agent/uistream"
)

// pendingCall is a call that is not carried out yet: it waits for the person, or for one before it that does. What it
// was called with is in the message that has it, which the model wrote and nobody changes.
type pendingCall struct {
	CallID     string          `json:"callId"`
	ApprovalID string          `json:"approvalId,omitempty"`
	Question   bool            `json:"question,omitempty"`  // it is answered by an Output, not by a word
	Automatic  bool            `json:"automatic,omitempty"` // no word is needed: it waits for those before it
	Answered   bool            `json:"answered,omitempty"`
	Approved   bool            `json:"approved,omitempty"`
	Reason     string          `json:"reason,omitempty"` // why not, as the person said
	Output     json.RawMessage `json:"output,omitempty"`
	Suggest    []approval.Rule `json:"suggest,omitempty"`

	news bool // it was answered just now
}

// maxRules bounds the rules that a person makes in one chat.
const maxRules = 200

// answer takes the person's answers, each of which counts once.
func (b *beginning) answer() error {
	d := &b.chat.data
	if len(d.Pending) == 0 || len(b.messages) == 0 {
		return b.stale()
	}
	pending := append([]pendingCall(nil), d.Pending...)
	news := 0
	for _, a := range b.send.Approvals {
		for i := range pending {
			p := &pending[i]
			if a.ApprovalID == "" || p.ApprovalID != a.ApprovalID || p.Question || p.Automatic || p.Answered {
				continue
			}
			p.Answered, p.Approved, p.news = true, a.Approved, true
			p.Reason = strings.ToValidUTF8(a.Reason, "\uFFFD")
			news++
			if a.Approved && a.Always && len(d.Rules)+len(p.Suggest) <= maxRules {
				d.Rules = append(d.Rules, p.Suggest...)
			}
		}
	}
	for _, o := range b.send.Outputs {
		for i := range pending {
			if p := &pending[i]; p.Question && p.CallID == o.CallID && !p.Answered {
				p.Answered, p.Output, p.news = true, o.Output, true
				news++
			}
		}
	}
	if news == 0 {
		return b.stale()
	}
	b.goOn = b.messages[len(b.messages)-1]
	b.pending, d.Pending = pending, nil
	return nil
}

// stale says why answers are none: they come too late, or were never asked for.
func (b *beginning) stale() error {
	asked := func(id string) bool {
		quoted, _ := json.Marshal(id)
		for _, m := range b.messages {
			if id != "" && strings.Contains(string(m.UI), string(quoted)) {
				return true
			}
		}
		return false
	}
	for _, a := range b.send.Approvals {
		if asked(a.ApprovalID) {
			return ErrAnswered
		}
	}
	for _, o := range b.send.Outputs {
		if asked(o.CallID) {
			return ErrAnswered
		}
	}
	return ErrNothingPending
}

// letGo gives up what waits in the last message, which was not answered, for the reason that is given.
func (b *beginning) letGo(reason string) error {
	if len(b.messages) == 0 {
		return nil
	}
	last := b.messages[len(b.messages)-1]
	if last.Role != uistream.RoleAssistant {
		return nil
	}
	changed, err := last.letGo(b.chat.data.Pending, reason)
	if err != nil {
		return err
	}
	b.chat.data.Pending = nil
	if changed {
		b.changed = last
	}
	return nil
}

// letGo gives up the calls of a message that have come to nothing. It reports whether there were some.
func (m *message) letGo(pending []pendingCall, reason string) (changed bool, err error) {
	shown, err := m.ui()
	if err != nil {
		return false, err
	}
	told, err := m.told()
	if err != nil {
		return false, err
	}
	for i := range shown.Parts {
		p := &shown.Parts[i]
		switch {
		case p.State == uistream.StateStreaming:
			p.State = uistream.StateDone
		case openCall(p) && p.Approval != nil:
			if p.Approval.Approved == nil {
				p.Approval.Approved, p.Approval.Reason = new(bool), reason
			}
			p.State, p.Output, p.Preliminary = uistream.StateOutputDenied, nil, false
		case openCall(p):
			p.State, p.ErrorText, p.Output, p.Preliminary = uistream.StateOutputError, "This was "+reason+".", nil, false
		default:
			continue
		}
		changed = true
	}
	waits := map[string]bool{}
	for _, p := range pending {
		waits[p.CallID] = true
	}
	for _, c := range unansweredCalls(told.Messages) {
		text := unanswered
		if waits[c.ID] {
			text = "Not carried out: " + reason + "."
		}
		told.Messages = append(told.Messages, model.Message{Role: model.ToolRole, CallID: c.ID, Text: text})
		changed = true
	}
	if !changed {
		return false, nil
	}
	if m.UI, err = encodeJSON(shown); err != nil {
		return false, err
	}
	m.Model, err = encodeJSON(told)
	return true, err
}
