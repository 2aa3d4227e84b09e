package agent

import (
	"context"
	"errors"

	"github.com/kalpana-dev/kalpana/agent/uistream"
	"github.com/kalpana-dev/kalpana/workspace"
)

// gone reports whether a chat is said to be running, and is not: by this gateway's earlier life, or by one that has
// not said for the time of a lease that it still does. taken: the caller has taken it, so no run of it is here.
func (s *Service) gone(c *Chat, taken bool) bool {
	if c.State != StateRunning {
		return false
	}
	if c.Holder == s.holder {
		return taken || !s.here(c.ID)
	}
	return s.config().Now().Sub(c.UpdatedAt) > lease
}

// recover marks the chats whose gateway is gone as interrupted.
func (s *Service) recover(ctx context.Context) error {
	running, err := s.config().Store.RunningChats(ctx)
	if err != nil {
		return err
	}
	for _, c := range running {
		if !s.gone(c, false) {
			continue
		}
		if _, err := s.interrupt(ctx, c.ID, false); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return nil
}

// errNotGone: a chat's run goes on after all.
var errNotGone = errors.New("the chat is at work")

// interrupt marks a chat whose gateway is gone as interrupted, and puts its last message in order. Where it is not so
// any more, it does nothing; the chat is as it is then.
func (s *Service) interrupt(ctx context.Context, id string, taken bool) (*chat, error) {
	c, messages, err := s.load(ctx, id)
	if err != nil {
		return nil, err
	}
	if !s.gone(c.Chat, taken) {
		return c, nil
	}
	if n := len(messages); n > 0 {
		if err := s.mend(ctx, messages[n-1], "The server was restarted before this had ended."); err != nil {
			return nil, err
		}
	}
	c, err = s.update(ctx, id, func(c *chat) error {
		if !s.gone(c.Chat, taken) {
			return errNotGone
		}
		c.State, c.Holder, c.data.Stop = StateInterrupted, "", false
		return nil
	})
	if errors.Is(err, errNotGone) {
		return s.chat(ctx, id)
	}
	if err == nil {
		s.config().Log.Info("a run of the agent was interrupted", "chat", id, "workspace", string(c.Workspace))
	}
	return c, err
}

// mend ends what is open in a message, for people. What the model is told is put in order when it is told.
func (s *Service) mend(ctx context.Context, m *message, short string) error {
	if m.Role != uistream.RoleAssistant {
		return nil
	}
	shown, err := m.ui()
	if err != nil {
		return err
	}
	changed := false
	for i := range shown.Parts {
		p := &shown.Parts[i]
		switch {
		case p.State == uistream.StateStreaming:
			p.State, changed = uistream.StateDone, true
		case openCall(p):
			p.State, p.ErrorText, p.Output, p.Preliminary = uistream.StateOutputError, short, nil, false
			changed = true
		}
	}
	if !changed {
		return nil
	}
	return s.put(ctx, m, shown)
}

// put stores a message that was changed.
func (s *Service) put(ctx context.Context, m *message, shown uistream.Message) (err error) {
	if m.UI, err = encodeJSON(shown); err != nil {
		return err
	}
	err = s.config().Store.PutMessage(ctx, m.Message)
	if errors.Is(err, workspace.ErrNotFound) {
		return ErrNotFound
	}
	return err
}

// openCall reports whether a part is a call that has come to nothing yet.
func openCall(p *uistream.MessagePart) bool {
	if _, ok := p.Tool(); !ok {
		return false
	}
	switch p.State {
	case uistream.StateOutputAvailable:
		return p.Preliminary
	case uistream.StateOutputError, uistream.StateOutputDenied:
		return false
	}
	return true
}
