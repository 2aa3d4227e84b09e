package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kalpana-dev/kalpana/agent/approval"
	"github.com/kalpana-dev/kalpana/agent/budget"
	"github.com/kalpana-dev/kalpana/agent/model"
	"github.com/kalpana-dev/kalpana/agent/tools"
	"github.com/kalpana-dev/kalpana/agent/uistream"
	"github.com/kalpana-dev/kalpana/workspace"
)

// How often a run looks after its records.
const (
	// saveEvery is what a kill of the gateway loses at most, beside what was said since the last step.
	saveEvery = 2 * time.Second
	// beatEvery is how often a run says that it goes on; lease is how long it is believed.
	beatEvery = 30 * time.Second
	lease     = 100 * time.Second
	// endTime bounds how long the end of a run tries to store what it came to.
	endTime = 20 * time.Second
)

// Why a run ends before the model has finished; the cause of its context.
var (
	errStopped = errors.New("the person stopped it")
	errClosing = errors.New("the gateway shuts down")
	errTime    = errors.New("it took longer than a turn may")
	// errTaken: the chat is no longer this run's, since it was deleted, or marked as interrupted by another gateway.
	errTaken = errors.New("the chat is not this run's any more")
)

// Run is a run of a chat, which may have ended.
type Run struct {
	s         *Service
	cfg       Config // as it was when the run began
	chat      string
	workspace workspace.ID
	person    Person
	messageID string
	seq       int64
	created   time.Time
	task      string // the first message of the chat
	plan      bool
	effort    string
	info      model.Info    // of the model that is asked
	pending   []pendingCall // with which the run begins, and then those with which it ends

	log    *uistream.Log
	done   chan struct{}
	ctx    context.Context //nolint:containedctx // The run's own, from which those of its calls come.
	cancel context.CancelCauseFunc
	memory *memory
	fetch  sync.Once
	tools  []tools.Tool // those that are not the agent's own
	// counting is told why the run ended.
	counting func(error)
	ended    error // why the run's end is counted as a fault, where it is one in words of the agent's
	began    time.Time

	queued atomic.Bool // there may be something in the queue
	saving sync.Mutex

	mu      sync.Mutex
	mode    approval.Mode
	rules   []approval.Rule
	todo    []Todo
	prior   []model.Message // what the model was told before turn
	turn    turn
	partial strings.Builder // what the model is writing, as far as it came
	callIDs map[string]bool // that were ever used in what the model is told
	counted int64           // the tokens of the last request and its answer, 0 before
	since   int             // len(prior) + len(turn.Messages) when they were counted
	left    *budget.Left
	dirty   bool
	failed  bool // nothing can be shown any more
	parts   int  // counts the texts
	prompt  string
	located bool // the prompt has what is to be known of the workspace
}

// Chat returns the id of its chat.
func (r *Run) Chat() string { return r.chat }

// MessageID returns the id of the assistant's message that it writes.
func (r *Run) MessageID() string { return r.messageID }

// Log returns what the run says. It is closed after the last chunk: finish, abort or error.
func (r *Run) Log() *uistream.Log { return r.log }

// Done is closed when the run has ended and all of it is stored.
func (r *Run) Done() <-chan struct{} { return r.done }

// begin starts the run's work. release is called at its end.
func (r *Run) begin(release func()) {
	go func() {
		defer close(r.done)
		defer r.log.Close()
		defer release()
		if r.cfg.Metrics != nil {
			r.counting = r.cfg.Metrics.Run(r.info.ID)
		}
		kept := make(chan struct{})
		keeping, stop := context.WithCancel(r.ctx)
		go func() {
			defer close(kept)
			r.keep(keeping)
		}()
		timer := time.AfterFunc(r.cfg.MaxTime, func() { r.cancel(errTime) })
		reason, err := r.safely(r.ctx)
		timer.Stop()
		stop()
		<-kept
		r.end(reason, err)
		r.cancel(nil)
	}()
}

// safely is loop, of which a fault ends this run and not the gateway.
func (r *Run) safely(ctx context.Context) (reason string, err error) {
	defer func() {
		if p := recover(); p != nil {
			what := fmt.Sprintf("%T", p) // its text may be a prompt's or a file's
			if fault, ok := p.(runtime.Error); ok {
				what = fault.Error()
			}
			err = fmt.Errorf("agent: panic: %s\n%s", what, debug.Stack())
		}
	}()
	return r.loop(ctx)
}

// keep stores what the run says from time to time, says that it lives, hears what other gateways were asked, and ends
// the run where the person has lost access, whatever it is at.
func (r *Run) keep(ctx context.Context) {
	beat := r.cfg.Now()
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	failures := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		c, err := r.s.chat(ctx, r.chat)
		if err == nil && r.cfg.Now().Sub(beat) >= beatEvery {
			if c, err = r.s.update(ctx, r.chat, r.mine); err == nil {
				beat = r.cfg.Now()
			}
		}
		if err == nil {
			err = r.hear(c)
		}
		if err == nil {
			err = r.allowed(ctx)
		}
		if err == nil {
			err = r.save(ctx, false)
		}
		switch {
		case err == nil:
			failures = 0
		case errors.As(err, new(*notAllowedError)) && !errors.Is(err, workspace.ErrStoreDown) && ctx.Err() == nil:
			r.cancel(err)
			return
		case errors.Is(err, ErrNotFound), errors.Is(err, errTaken):
			r.cancel(errTaken)
			return
		case ctx.Err() != nil:
			return
		default:
			failures++
			r.cfg.Log.Warn("a run of the agent cannot be stored", "chat", r.chat, "error", err)
			if failures*int(saveEvery) >= int(lease/2) {
				r.cancel(err)
				return
			}
		}
	}
}

// mine refuses to change a chat that is no longer this run's.
func (r *Run) mine(c *chat) error {
	if c.State != StateRunning || c.Holder != r.s.holder {
		return errTaken
	}
	return nil
}

// hear takes notice of what a chat's record says.
func (r *Run) hear(c *chat) error {
	if err := r.mine(c); err != nil {
		return err
	}
	if c.data.Stop {
		r.cancel(errStopped)
	}
	if len(c.data.Queue) > 0 {
		r.queued.Store(true)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mode = c.data.Mode
	return nil
}

// emit shows a chunk. What nobody can be shown ends the run.
func (r *Run) emit(c uistream.Chunk) {
	r.mu.Lock()
	failed := r.failed
	r.dirty = r.dirty || !c.Transient
	r.mu.Unlock()
	if failed {
		return
	}
	err := r.log.Append(c)
	if err == nil || errors.Is(err, io.ErrClosedPipe) {
		return
	}
	r.mu.Lock()
	r.failed = true
	r.mu.Unlock()
	if !errors.Is(err, uistream.ErrTooLong) {
		r.cfg.Log.Error("the agent's stream is broken", "chat", r.chat, "chunk", string(c.Type), "error", err)
	}
	r.cancel(err)
}

// show sends data that is not kept. With an id it is a state, of which the newest counts.
func (r *Run) show(name, id string, data any) {
	r.emit(uistream.Chunk{Type: uistream.Data(name), ID: id, Data: data, Transient: true})
}

// status says what the run is doing while nothing else shows it; "" takes it back.
func (r *Run) status(text string) {
	r.show("status", "status", map[string]string{"text": text})
}

// say shows a text of the gateway's own. Where the model should know it, it is told as something that it said.
func (r *Run) say(text string, told bool) {
	r.mu.Lock()
	r.parts++
	id := partID("note", r.parts)
	if told {
		r.turn.Messages = append(r.turn.Messages, model.Message{Role: model.Assistant, Text: text})
	}
	r.mu.Unlock()
	r.emit(uistream.Chunk{Type: uistream.TextStart, ID: id})
	r.emit(uistream.Chunk{Type: uistream.TextDelta, ID: id, Delta: text})
	r.emit(uistream.Chunk{Type: uistream.TextEnd, ID: id})
}

// tell adds messages to what the model is told.
func (r *Run) tell(messages ...model.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn.Messages = append(r.turn.Messages, messages...)
	r.dirty = true
}

// tellWhole adds an answer that was being written until now: whole, or as far as it came.
func (r *Run) tellWhole(m model.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.partial.Reset()
	if strings.TrimSpace(m.Text) != "" || len(m.Calls) > 0 {
		r.turn.Messages = append(r.turn.Messages, m)
	}
	r.dirty = true
}

// told returns what the model is told, the prompt not included.
func (r *Run) told() []model.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append(slices.Clone(r.prior), r.turn.Messages...)
}

// save stores the message as it is now, if there is something new, or always.
func (r *Run) save(ctx context.Context, always bool) error {
	r.saving.Lock()
	defer r.saving.Unlock()
	r.mu.Lock()
	if !r.dirty && !always {
		r.mu.Unlock()
		return nil
	}
	r.dirty = false
	t := r.turn
	t.Messages = slices.Clone(t.Messages)
	if r.partial.Len() > 0 {
		t.Messages = append(t.Messages, model.Message{Role: model.Assistant, Text: r.partial.String()})
	}
	t.Working += r.cfg.Now().Sub(r.began)
	r.mu.Unlock()

	m, err := r.record(t)
	if err == nil {
		err = r.cfg.Store.PutMessage(ctx, m)
	}
	if err != nil {
		r.mu.Lock()
		r.dirty = true
		r.mu.Unlock()
	}
	return err
}

// record returns the record of the run's message.
func (r *Run) record(t turn) (*Message, error) {
	m := &Message{Chat: r.chat, ID: r.messageID, Seq: r.seq, Role: uistream.RoleAssistant, CreatedAt: r.created}
	shown := r.log.Message()
	shown.ID = r.messageID
	var err error
	if m.UI, err = encodeJSON(shown); err != nil {
		return nil, err
	}
	if len(m.UI) > MaxMessage-maxTurn {
		if m.UI, err = encodeJSON(shortenedUI(shown, MaxMessage-maxTurn)); err != nil {
			return nil, err
		}
	}
	if m.Model, err = encodeJSON(t); err != nil {
		return nil, err
	}
	if len(m.Model) > maxTurn {
		t.Messages = shortened(t.Messages, maxTurn/2) // not each time anew
		m.Model, err = encodeJSON(t)
	}
	return m, err
}

// encodeJSON is json.Marshal that leaves <, > and & as they are.
func encodeJSON(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
