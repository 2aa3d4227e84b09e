package agent

import (
	"context"
	"errors"
	"strings"

	"github.com/kalpana-dev/kalpana/agent/model"
	"github.com/kalpana-dev/kalpana/agent/uistream"
)

// Queued is a message that the agent has not read yet.
type Queued struct {
	ID   string `json:"id"`
	Text string `json:"text"`
}

// queueData is what data-queue says.
type queueData struct {
	Queued []Queued `json:"queued"`
	// Next: what was queued begins the next turn, which is under way: load the messages, and resume the stream.
	Next bool `json:"next,omitempty"`
}

// Limits of the queue of a chat.
const (
	maxQueued     = 20
	maxQueuedText = 16 << 10 // bytes of one
)

// Queue has a text read by the agent at its next step, or begin its next turn when it has just ended. It is
// ErrNotRunning where the chat is not at work: send it then.
func (s *Service) Queue(ctx context.Context, p Person, chatID, text string) (id string, err error) {
	text = strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "\uFFFD")
	switch {
	case strings.TrimSpace(text) == "":
		return "", invalid("the message is empty; write something")
	case len(text) > maxQueuedText:
		return "", invalid("a message for the queue is at most %d KiB long", maxQueuedText>>10)
	}
	if _, err := s.owned(ctx, p.ID, chatID); err != nil {
		return "", err
	}
	id = newID("msg")
	c, err := s.update(ctx, chatID, func(c *chat) error {
		switch {
		case c.State != StateRunning || s.gone(c.Chat, false):
			return ErrNotRunning
		case len(c.data.Queue) >= maxQueued:
			return invalid("%d messages wait already; let the agent read them first", maxQueued)
		}
		c.data.Queue = append(c.data.Queue, Queued{ID: id, Text: text})
		return nil
	})
	if err != nil {
		return "", err
	}
	if r := s.Run(chatID); r != nil {
		r.queued.Store(true)
		r.show("queue", "queue", queueData{Queued: c.data.Queue})
	}
	return id, nil
}

// takeQueue tells the model what the person has queued.
func (r *Run) takeQueue(ctx context.Context) error {
	if !r.queued.Swap(false) {
		return nil
	}
	var taken []Queued
	_, err := r.s.update(ctx, r.chat, func(c *chat) error {
		if err := r.mine(c); err != nil {
			return err
		}
		if taken = c.data.Queue; len(taken) == 0 {
			return errNothing
		}
		c.data.Queue = nil
		return nil
	})
	if errors.Is(err, errNothing) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, q := range taken {
		r.emit(uistream.Chunk{Type: uistream.SteeringMessage, ID: q.ID, Parts: []uistream.Part{{Type: "text", Text: q.Text}}})
		r.tell(model.Message{Role: model.User, Text: q.Text})
	}
	r.show("queue", "queue", queueData{Queued: []Queued{}})
	return r.save(ctx, true)
}

// errNothing: there is nothing to change.
var errNothing = errors.New("nothing to change")
