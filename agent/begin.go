package agent

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/kalpana-dev/kalpana/agent/model"
	"github.com/kalpana-dev/kalpana/agent/uistream"
	"github.com/kalpana-dev/kalpana/workspace"
)

// beginning is how a run begins.
type beginning struct {
	s    *Service
	cfg  Config
	send Send
	now  time.Time

	chat     *chat
	messages []*message
	cut      int64      // the place from which on messages are removed, or 0
	added    []*message // new ones of the person
	changed  *message   // the last one, where it was changed
	goOn     *message   // the assistant's message that the run goes on with, or nil for a new one
	info     model.Info
	pending  []pendingCall // with the answers to them, with which the run begins
}

func (b *beginning) run(ctx context.Context) (*Run, error) {
	fresh := false
	var err error
	b.chat, b.messages, err = b.s.load(ctx, b.send.Chat)
	switch {
	case errors.Is(err, ErrNotFound):
		if strings.TrimSpace(b.send.Text) == "" {
			return nil, ErrNotFound
		}
		fresh = true
		all, err := b.cfg.Store.Chats(ctx, "", b.send.Person.ID)
		if err != nil {
			return nil, err
		}
		if len(all) >= MaxChats {
			return nil, ErrTooManyChats
		}
		b.chat = &chat{Chat: &Chat{
			ID: b.send.Chat, Workspace: b.send.Workspace, Person: b.send.Person.ID, Title: titleOf(b.send.Text), CreatedAt: b.now,
		}}
	case err != nil:
		return nil, err
	case b.chat.Person != b.send.Person.ID || b.send.Workspace != "" && b.chat.Workspace != b.send.Workspace:
		return nil, ErrNotFound
	case b.chat.State != StateRunning || b.s.gone(b.chat.Chat, true):
		if b.chat.State == StateRunning {
			if b.chat, err = b.s.interrupt(ctx, b.send.Chat, true); err != nil {
				return nil, err
			}
			if b.chat, b.messages, err = b.s.load(ctx, b.send.Chat); err != nil {
				return nil, err
			}
			if b.chat.State == StateRunning {
				return nil, ErrRunning
			}
		}
	default:
		return nil, ErrRunning
	}
	if b.chat.Workspace == "" {
		return nil, invalid("there is no workspace")
	}
	if err := b.settings(ctx, fresh); err != nil {
		return nil, err
	}
	if err := b.apply(); err != nil {
		return nil, err
	}
	size := 0
	for _, m := range b.messages {
		size += len(m.UI) + len(m.Model)
	}
	if size > MaxChat {
		return nil, ErrTooLarge
	}
	if err := b.store(ctx, fresh); err != nil {
		return nil, err
	}
	return b.s.start(b)
}

// settings takes over what the person chose.
func (b *beginning) settings(ctx context.Context, fresh bool) error {
	d := &b.chat.data
	if fresh {
		d.Mode, d.Model = b.cfg.DefaultMode, b.cfg.DefaultModel
	}
	if b.send.Mode != "" {
		d.Mode = b.send.Mode
	}
	if b.send.Effort != "" {
		d.Effort = b.send.Effort
	}
	asked := d.Model
	if b.send.Model != "" {
		asked = b.send.Model
	}
	offered, err := b.cfg.Models(ctx)
	if err != nil {
		var fault *model.Error
		if asked == "" || !errors.As(err, &fault) || fault.Kind == model.KindNotConfigured {
			return err
		}
		b.info = model.Info{ID: asked} // the provider's list fails; perhaps its models do not
		d.Model = asked
		return nil
	}
	if len(offered) == 0 {
		return &model.Error{Kind: model.KindNotConfigured, Message: "No model is offered here. An administrator can choose some in the server's configuration."}
	}
	find := func(id string) bool {
		i := slices.IndexFunc(offered, func(m model.Info) bool { return m.ID == id })
		if i >= 0 {
			b.info = offered[i]
		}
		return i >= 0
	}
	switch {
	case asked != "" && find(asked):
	case b.send.Model != "":
		return ErrUnknownModel
	case b.cfg.DefaultModel != "" && find(b.cfg.DefaultModel): // the chat's own is no longer offered
	default:
		b.info = offered[0]
	}
	d.Model = b.info.ID
	return nil
}

// apply changes chat and messages in memory as they will be when the run begins.
func (b *beginning) apply() error {
	d := &b.chat.data
	switch {
	case b.send.Continue:
		return b.resume()
	case b.send.Trigger == TriggerRegenerate:
		return b.regenerate()
	case len(b.send.Approvals)+len(b.send.Outputs) > 0:
		return b.answer()
	}
	d.Plan = b.send.Plan
	if i := b.find(b.send.MessageID); i >= 0 {
		if b.messages[i].Role != uistream.RoleUser {
			return invalid("only messages of yours can be changed")
		}
		b.cutFrom(i)
	}
	if err := b.letGo("not answered: the person sent a message instead"); err != nil {
		return err
	}
	for _, q := range d.Queue {
		if err := b.add(q.ID, q.Text); err != nil {
			return err
		}
	}
	d.Queue = nil
	return b.add(b.send.MessageID, b.send.Text)
}

// add adds a message of the person.
func (b *beginning) add(id, text string) error {
	if id == "" || b.find(id) >= 0 {
		id = newID("msg")
	}
	m, err := userMessage(b.chat.ID, id, text, b.seq(), b.now)
	if err != nil {
		return err
	}
	b.added = append(b.added, m)
	b.messages = append(b.messages, m)
	return nil
}

// seq returns the place of the next message.
func (b *beginning) seq() int64 {
	if n := len(b.messages); n > 0 {
		return b.messages[n-1].Seq + 1
	}
	return 1
}

// find returns the place of a message among the messages, or -1.
func (b *beginning) find(id string) int {
	if id == "" {
		return -1
	}
	return slices.IndexFunc(b.messages, func(m *message) bool { return m.ID == id })
}

// cutFrom removes the messages from place i on.
func (b *beginning) cutFrom(i int) {
	if i >= len(b.messages) {
		return
	}
	b.cut = b.messages[i].Seq
	b.messages = b.messages[:i]
	b.chat.data.Pending = nil // which were the last message's
}

// regenerate cuts the history so that it ends in the message that is to be answered anew.
func (b *beginning) regenerate() error {
	b.chat.data.Plan = b.send.Plan
	i := len(b.messages) - 1
	if b.send.MessageID != "" {
		if i = b.find(b.send.MessageID); i < 0 {
			return invalid("there is no such message in this chat; load it again")
		}
	}
	for i >= 0 && b.messages[i].Role != uistream.RoleUser {
		i--
	}
	if i < 0 {
		return invalid("there is no message to answer anew")
	}
	b.cutFrom(i + 1)
	return nil
}

// resume goes on with what was interrupted, or ended with an error.
func (b *beginning) resume() error {
	n := len(b.messages)
	if n == 0 {
		return invalid("there is nothing to go on with; send a message")
	}
	if len(b.chat.data.Pending) > 0 {
		return invalid("the agent waits for your answer; give it, or send a message")
	}
	last := b.messages[n-1]
	if last.Role != uistream.RoleAssistant {
		return nil // the answer had not begun
	}
	if _, err := last.letGo(nil, "interrupted"); err != nil {
		return err
	}
	b.goOn = last
	last.turn.Messages = append(wellFormed(last.turn.Messages), model.Message{Role: model.User, Text: goOnText})
	return nil
}

const goOnText = "[You were interrupted here, and now go on. Look at the state of things before you repeat anything.]"

// store makes the chat this gateway's, and then writes the messages. The write of the chat comes first, since of several
// that are sent at once one may win.
func (b *beginning) store(ctx context.Context, fresh bool) error {
	b.chat.State, b.chat.Holder, b.chat.data.Stop = StateRunning, b.s.holder, false
	if err := b.chat.seal(); err != nil {
		return err
	}
	var err error
	if fresh {
		err = b.cfg.Store.CreateChat(ctx, b.chat.Chat)
	} else {
		err = b.cfg.Store.UpdateChat(ctx, b.chat.Chat)
	}
	switch {
	case errors.Is(err, workspace.ErrConflict):
		return errRaced
	case errors.Is(err, workspace.ErrNotFound):
		return ErrNotFound
	case err != nil:
		return err
	}
	err = b.storeMessages(ctx)
	if err != nil {
		_, free := b.s.update(ctx, b.chat.ID, func(c *chat) error {
			c.State, c.Holder = StateIdle, ""
			return nil
		})
		return errors.Join(err, free)
	}
	return nil
}

func (b *beginning) storeMessages(ctx context.Context) error {
	if b.cut > 0 {
		if err := b.cfg.Store.CutMessages(ctx, b.chat.ID, b.cut); err != nil {
			return err
		}
	}
	if b.changed != nil {
		if err := b.cfg.Store.PutMessage(ctx, b.changed.Message); err != nil {
			return err
		}
	}
	for _, m := range b.added {
		if err := b.cfg.Store.PutMessage(ctx, m.Message); err != nil {
			return err
		}
	}
	return nil
}

// start begins the run.
func (s *Service) start(b *beginning) (*Run, error) {
	r := &Run{
		s: s, cfg: b.cfg, chat: b.chat.ID, workspace: b.chat.Workspace, person: b.send.Person,
		plan: b.chat.data.Plan, effort: b.chat.data.Effort, mode: b.chat.data.Mode,
		rules: b.chat.data.Rules, todo: b.chat.data.Todo, info: b.info, pending: b.pending,
		messageID: newID("msg"), seq: b.seq(), created: b.now, began: b.now,
		done: make(chan struct{}), memory: s.remember(b.chat.ID), callIDs: map[string]bool{},
	}
	r.queued.Store(len(b.chat.data.Queue) > 0)
	before := b.messages
	if b.goOn == nil {
		r.log = uistream.NewLog()
		r.turn.Began = b.now
	} else {
		shown, err := b.goOn.ui()
		if err != nil {
			return nil, err
		}
		before = b.messages[:len(b.messages)-1]
		r.log = uistream.ContinueLog(shown)
		for _, p := range shown.Parts {
			r.callIDs[p.ToolCallID] = true // a call that broke off is there, and the model is not told of it
		}
		told, err := b.goOn.told()
		if err != nil {
			return nil, err
		}
		r.messageID, r.seq, r.created, r.turn = b.goOn.ID, b.goOn.Seq, b.goOn.CreatedAt, *told
	}
	if !r.turn.Fresh {
		said, err := conversation(before)
		if err != nil {
			return nil, err
		}
		r.prior = wellFormed(said)
	}
	for _, m := range b.messages {
		if m.Role != uistream.RoleUser {
			continue
		}
		told, err := m.told()
		if err != nil {
			return nil, err
		}
		if len(told.Messages) > 0 {
			r.task = told.Messages[0].Text
			break
		}
	}
	for _, m := range append(slices.Clone(r.prior), r.turn.Messages...) {
		for _, c := range m.Calls {
			r.callIDs[c.ID] = true
		}
	}
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	if !s.install(r) {
		r.cancel(nil)
		return nil, ErrClosed
	}
	r.begin(b.cfg.Busy(r.workspace))
	return r, nil
}

// next begins the turn that what the person queued while r ran begins, with the configuration, the model and the key that
// hold now. The chat is still running.
func (s *Service) next(ctx context.Context, r *Run, c *chat, queue []Queued) {
	b := &beginning{s: s, cfg: s.config(), chat: c, send: Send{Chat: r.chat, Person: r.person}}
	b.now = b.cfg.Now().UTC().Truncate(time.Microsecond)
	err := func() (err error) {
		if b.cfg.Person != nil {
			if b.send.Person, err = b.cfg.Person(ctx, r.person.ID); err != nil {
				return err
			}
		}
		if err := b.settings(ctx, false); err != nil {
			return err
		}
		if _, b.messages, err = s.load(ctx, r.chat); err != nil {
			return err
		}
		for _, q := range queue {
			if err := b.add(q.ID, q.Text); err != nil {
				return err
			}
		}
		if err := b.storeMessages(ctx); err != nil {
			return err
		}
		r.show("queue", "queue", queueData{Queued: []Queued{}, Next: true})
		_, err = s.start(b)
		return err
	}()
	if err == nil {
		return
	}
	s.config().Log.Error("the agent's next turn could not begin", "chat", r.chat, "error", err)
	_, err = s.update(ctx, r.chat, func(c *chat) error {
		if err := r.mine(c); err != nil {
			return err
		}
		c.State, c.Holder, c.data.Queue = StateIdle, "", append(queue, c.data.Queue...)
		return nil
	})
	if err != nil {
		s.config().Log.Error("a chat of the agent could not be stored", "chat", r.chat, "error", err)
	}
	s.release(r)
}
