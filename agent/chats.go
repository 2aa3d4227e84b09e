package agent

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/kalpana-dev/kalpana/agent/approval"
	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/workspace"
)

// Info is what people see of a chat beside its messages.
type Info struct {
	ID        string        `json:"id"`
	Workspace workspace.ID  `json:"workspace"`
	Title     string        `json:"title"`
	State     State         `json:"state"`
	Model     string        `json:"model"`
	Mode      approval.Mode `json:"mode"`
	Effort    string        `json:"effort,omitempty"`
	Plan      bool          `json:"plan,omitempty"` // of the last run
	Todo      []Todo        `json:"todo,omitempty"`
	Queued    []Queued      `json:"queued,omitempty"`
	Waiting   []Waiting     `json:"waiting,omitempty"`
	CreatedAt time.Time     `json:"createdAt"`
	UpdatedAt time.Time     `json:"updatedAt"`
}

// Waiting is a call that waits for the person's word.
type Waiting struct {
	CallID     string `json:"callId"`
	ApprovalID string `json:"approvalId,omitempty"` // "" of a question
	// Suggest are the rules that "always" would add to the chat; without any, it adds none.
	Suggest []approval.Rule `json:"suggest,omitempty"`
}

func (s *Service) info(c *chat) Info {
	i := Info{
		ID: c.ID, Workspace: c.Workspace, Title: c.Title, State: c.State, Model: c.data.Model, Mode: c.data.Mode,
		Effort: c.data.Effort, Plan: c.data.Plan, Todo: c.data.Todo, Queued: c.data.Queue,
		CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt,
	}
	if s.gone(c.Chat, false) {
		i.State = StateInterrupted
	}
	for _, p := range c.data.Pending {
		if !p.Automatic && !p.Answered {
			i.Waiting = append(i.Waiting, Waiting{CallID: p.CallID, ApprovalID: p.ApprovalID, Suggest: p.Suggest})
		}
	}
	return i
}

// owned returns a chat of a person. It is ErrNotFound where it is somebody else's.
func (s *Service) owned(ctx context.Context, person, id string) (*chat, error) {
	if !validID.MatchString(id) {
		return nil, ErrNotFound
	}
	c, err := s.chat(ctx, id)
	if err == nil && c.Person != person {
		return nil, ErrNotFound
	}
	return c, err
}

// Chats returns a person's chats in a workspace ("" for all), what was changed last first.
func (s *Service) Chats(ctx context.Context, id workspace.ID, person string) ([]Info, error) {
	if person == "" {
		return nil, invalid("there is no person")
	}
	records, err := s.config().Store.Chats(ctx, id, person)
	if err != nil {
		return nil, err
	}
	infos := make([]Info, len(records))
	for i, record := range records {
		c, err := openChat(record)
		if err != nil {
			return nil, err
		}
		infos[i] = s.info(c)
	}
	return infos, nil
}

// Chat returns one. It is ErrNotFound where it is somebody else's.
func (s *Service) Chat(ctx context.Context, person, id string) (*Info, error) {
	c, err := s.owned(ctx, person, id)
	if err != nil {
		return nil, err
	}
	i := s.info(c)
	return &i, nil
}

// Messages returns the messages of a chat, each a UIMessage. That of a run that is under way is there as it was stored
// last; its stream has all of it.
func (s *Service) Messages(ctx context.Context, person, id string) ([]json.RawMessage, error) {
	c, err := s.owned(ctx, person, id)
	if err != nil {
		return nil, err
	}
	if s.gone(c.Chat, false) {
		if _, err := s.interrupt(ctx, id, false); err != nil {
			return nil, err
		}
	}
	records, err := s.config().Store.Messages(ctx, id)
	if err != nil {
		return nil, err
	}
	messages := make([]json.RawMessage, len(records))
	for i, r := range records {
		messages[i] = r.UI
	}
	return messages, nil
}

// Change is what a person changes of a chat; nil leaves it.
type Change struct {
	Title *string
	Mode  *approval.Mode
}

// Change changes a chat. A run that is under way asks by the new mode from its next call on.
func (s *Service) Change(ctx context.Context, person, id string, change Change) (*Info, error) {
	if change.Title != nil && (strings.TrimSpace(*change.Title) == "" || len(*change.Title) > 4*maxTitle) {
		return nil, invalid("a title has 1 to %d characters", maxTitle)
	}
	if change.Mode != nil {
		if err := checkMode(*change.Mode); err != nil {
			return nil, err
		}
	}
	if _, err := s.owned(ctx, person, id); err != nil {
		return nil, err
	}
	c, err := s.update(ctx, id, func(c *chat) error {
		if change.Title != nil {
			c.Title = cleanTitle(*change.Title)
		}
		if change.Mode != nil && *change.Mode != "" {
			c.data.Mode = *change.Mode
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if r := s.Run(id); r != nil {
		r.mu.Lock()
		r.mode = c.data.Mode
		r.mu.Unlock()
	}
	i := s.info(c)
	return &i, nil
}

// Stop ends the run of a chat and waits for its end, where it runs in this gateway; another one ends it within
// seconds. What waits for the person's word is not done. It is ErrNotRunning where there is neither.
func (s *Service) Stop(ctx context.Context, person, id string) error {
	c, err := s.owned(ctx, person, id)
	if err != nil {
		return err
	}
	if r := s.Run(id); r != nil {
		r.cancel(errStopped)
		select {
		case <-r.done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if c.State == StateWaiting {
		return s.stopWaiting(ctx, id)
	}
	_, err = s.update(ctx, id, func(c *chat) error {
		if c.State != StateRunning || s.gone(c.Chat, false) {
			return ErrNotRunning
		}
		c.data.Stop = true
		return nil
	})
	return err
}

// stopWaiting gives up what waits for the person's word.
func (s *Service) stopWaiting(ctx context.Context, id string) error {
	if err := s.take(id); err != nil {
		return err
	}
	defer s.giveUp(id)
	_, messages, err := s.load(ctx, id)
	if err != nil {
		return err
	}
	var pending []pendingCall
	_, err = s.update(ctx, id, func(c *chat) error {
		if c.State != StateWaiting {
			return ErrNotRunning
		}
		pending = c.data.Pending
		c.State, c.data.Pending = StateIdle, nil
		return nil
	})
	if err != nil || len(messages) == 0 {
		return err
	}
	last := messages[len(messages)-1]
	if changed, err := last.letGo(pending, "stopped by the person"); err != nil || !changed {
		return err
	}
	return s.config().Store.PutMessage(ctx, last.Message)
}

// Delete stops a chat and removes it, and with it what undoes its changes.
func (s *Service) Delete(ctx context.Context, person, id string) error {
	c, err := s.owned(ctx, person, id)
	if err != nil {
		return err
	}
	if r := s.Run(id); r != nil {
		r.cancel(errStopped)
		select {
		case <-r.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.mu.Lock()
	delete(s.memories, id)
	s.mu.Unlock()
	if err := s.config().Store.DeleteChat(ctx, id); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.work.Go(func() { s.forget(c.Workspace, id) })
	}
	return nil
}

// forgetTime bounds how long it is tried to remove what is kept for a chat in its workspace.
const forgetTime = 20 * time.Second

// forget removes what is kept for a chat in its workspace. One that sleeps is not woken for it.
func (s *Service) forget(id workspace.ID, chat string) {
	ctx, cancel := context.WithTimeout(s.ctx, forgetTime)
	defer cancel()
	cfg := s.config()
	w, err := cfg.Find(ctx, id)
	if err != nil || w.State != workspace.StateRunning {
		return
	}
	client, err := cfg.Bridge(ctx, id)
	if err == nil {
		err = client.ForgetCheckpoints(ctx, bridge.ForgetCheckpointsParams{Chat: chat})
	}
	if err != nil {
		cfg.Log.Warn("what is kept for a deleted chat is still in its workspace", "chat", chat, "workspace", string(id), "error", err)
	}
}

// word returns one line of what a container or a model said, for people.
func word(s string, limit int) string { return bridge.Printable(s, limit) }
