package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/kalpana-dev/kalpana/agent/approval"
	"github.com/kalpana-dev/kalpana/agent/model"
	"github.com/kalpana-dev/kalpana/agent/uistream"
	"github.com/kalpana-dev/kalpana/workspace"
)

// chatData is what Chat.Data holds.
type chatData struct {
	Model  string          `json:"model,omitempty"`
	Mode   approval.Mode   `json:"mode,omitempty"`
	Effort string          `json:"effort,omitempty"`
	Plan   bool            `json:"plan,omitempty"`
	Rules  []approval.Rule `json:"rules,omitempty"` // that the person made by "always"
	Todo   []Todo          `json:"todo,omitempty"`
	Queue  []Queued        `json:"queue,omitempty"`
	// Pending are the calls of the last answer that wait for the person, and those behind them, in their order.
	Pending []pendingCall `json:"pending,omitempty"`
	// Stop asks the gateway that runs the chat, where it is another one, to stop.
	Stop bool `json:"stop,omitempty"`
}

// turn is what Message.Model holds: what a model is told for one message of a chat.
type turn struct {
	// Fresh: the conversation begins here, as far as a model is told: what came before was summarised.
	Fresh    bool            `json:"fresh,omitempty"`
	Messages []model.Message `json:"messages"`
	// Of an assistant's message: what it used and took until now.
	Usage   model.Usage   `json:"usage,omitzero"`
	Began   time.Time     `json:"began,omitzero"`
	Working time.Duration `json:"working,omitempty"`
}

// chat is a record with its data.
type chat struct {
	*Chat
	data chatData
}

func openChat(c *Chat) (*chat, error) {
	open := &chat{Chat: c}
	if len(c.Data) > 0 {
		if err := json.Unmarshal(c.Data, &open.data); err != nil {
			return nil, fmt.Errorf("agent: the record of chat %s: %w", c.ID, err)
		}
	}
	return open, nil
}

// seal puts the data into the record.
func (c *chat) seal() error {
	text, err := json.Marshal(c.data)
	c.Data = text
	return err
}

// message is a record with what it holds.
type message struct {
	*Message
	turn *turn // nil until it is asked for: of a long chat, most is never needed
}

// told returns what a model is told for a message.
func (m *message) told() (*turn, error) {
	if m.turn == nil {
		t := new(turn)
		if len(m.Model) > 0 {
			if err := json.Unmarshal(m.Model, t); err != nil {
				return nil, fmt.Errorf("agent: the record of message %s: %w", m.ID, err)
			}
		}
		m.turn = t
	}
	return m.turn, nil
}

// ui returns the message as people have it.
func (m *message) ui() (uistream.Message, error) { return uistream.ParseMessage(m.UI) }

// userMessage returns the record of what a person wrote.
func userMessage(chat, id, text string, seq int64, at time.Time) (*message, error) {
	m := &message{
		Message: &Message{Chat: chat, ID: id, Seq: seq, Role: uistream.RoleUser, CreatedAt: at},
		turn:    &turn{Messages: []model.Message{{Role: model.User, Text: text}}},
	}
	var err error
	if m.UI, err = json.Marshal(uistream.UserMessage(id, text)); err != nil {
		return nil, err
	}
	m.Model, err = json.Marshal(m.turn)
	return m, err
}

// load returns a chat and its messages.
func (s *Service) load(ctx context.Context, id string) (*chat, []*message, error) {
	c, err := s.chat(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	records, err := s.config().Store.Messages(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	messages := make([]*message, len(records))
	for i, r := range records {
		messages[i] = &message{Message: r}
	}
	return c, messages, nil
}

// chat returns a chat. It is ErrNotFound where there is none.
func (s *Service) chat(ctx context.Context, id string) (*chat, error) {
	c, err := s.config().Store.Chat(ctx, id)
	if errors.Is(err, workspace.ErrNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return openChat(c)
}

// update changes a chat by a guarded write: change is called again with what another wrote, where one did. It is
// given the newest record, and may refuse with an error.
func (s *Service) update(ctx context.Context, id string, change func(*chat) error) (*chat, error) {
	for tries := 0; ; tries++ {
		c, err := s.chat(ctx, id)
		if err != nil {
			return nil, err
		}
		if err := change(c); err != nil {
			return nil, err
		}
		if err := c.seal(); err != nil {
			return nil, err
		}
		err = s.config().Store.UpdateChat(ctx, c.Chat)
		if err == nil {
			return c, nil
		}
		if errors.Is(err, workspace.ErrNotFound) {
			return nil, ErrNotFound
		}
		if !errors.Is(err, workspace.ErrConflict) || tries >= 20 {
			return nil, err
		}
	}
}
