package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kalpana-dev/kalpana/agent/budget"
	"github.com/kalpana-dev/kalpana/agent/model"
	"github.com/kalpana-dev/kalpana/agent/tools"
	"github.com/kalpana-dev/kalpana/agent/uistream"
	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/workspace"
)

// ending is what a run comes to.
type ending struct {
	state State
	last  uistream.Chunk
	// notDone is what is told of calls that have no answer yet: to the model, and in short to the person.
	notDone, short string
}

// end stores what the run came to, and then says it: who reads the last chunk may go on with the chat at once.
func (r *Run) end(reason string, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), endTime)
	defer cancel()
	if cause := context.Cause(r.ctx); cause != nil {
		err = cause
	}
	if errors.Is(err, errTime) {
		r.closeCalls("The time of this turn was over before this had ended.", "The time was over.")
		r.emit(uistream.Chunk{Type: uistream.StartStep})
		r.say(fmt.Sprintf("I stopped here: a turn may take %s, and that is over. Send “go on” to let me continue.", spell(r.cfg.MaxTime)), true)
		r.emit(uistream.Chunk{Type: uistream.FinishStep})
		reason, err = uistream.FinishOther, nil
		r.ended = &Failure{Kind: ErrorTime, Err: errTime}
	}
	if r.cfg.Metrics != nil {
		defer r.counting(r.countedAs(err))
	}
	r.findLeft(ctx)
	e := r.ending(reason, err)
	if e.state != StateWaiting {
		r.closeCalls(e.notDone, e.short)
	}
	r.showUsage()
	if errors.Is(err, errTaken) {
		r.s.release(r)
		r.emit(e.last)
		return
	}
	if c, queue := r.store(ctx, e, err == nil && e.state == StateIdle); len(queue) > 0 {
		r.s.next(ctx, r, c, queue)
	} else {
		r.s.release(r)
	}
	r.mu.Lock()
	r.failed = false // the last chunk is always taken
	r.mu.Unlock()
	r.emit(e.last)
}

func (r *Run) ending(reason string, err error) ending {
	var spent *budget.Spent
	var fault *model.Error
	e := ending{state: StateIdle, last: uistream.Chunk{Type: uistream.ErrorType}, notDone: unanswered, short: "This was not carried out, or not to its end."}
	switch {
	case err == nil && reason == "":
		e.state = StateWaiting
		e.last = uistream.Chunk{Type: uistream.Finish, FinishReason: uistream.FinishToolCalls}
	case err == nil:
		e.last = uistream.Chunk{Type: uistream.Finish, FinishReason: reason}
	case errors.Is(err, errStopped):
		e.last = uistream.Chunk{Type: uistream.Abort, Reason: "Stopped."}
		e.notDone, e.short = "The person stopped the agent before this had ended. It is not known what it did until then.", "Stopped."
	case errors.Is(err, errClosing), errors.Is(err, errTaken):
		e.state = StateInterrupted
		e.last = uistream.Chunk{Type: uistream.Finish, FinishReason: uistream.FinishInterrupted}
		e.short = "The server was restarted before this had ended."
	case errors.As(err, &spent):
		e.last.ErrorText = spent.Error() + r.leftText()
	case errors.As(err, &fault):
		e.last.ErrorText = bridge.Printable(fault.Message, maxFault)
	case errors.Is(err, uistream.ErrTooLong):
		e.last.ErrorText = "This answer has become longer than a message can be, so it ends here. Send “go on” to continue in a new one."
	case errors.Is(err, tools.ErrWorkspace):
		e.last.ErrorText = bridge.Printable(err.Error(), maxFault)
	case errors.As(err, new(*notAllowedError)):
		e.last.ErrorText = bridge.Printable(err.Error(), maxFault)
	case errors.Is(err, ErrTooLarge):
		e.last.ErrorText = "This chat has grown too large to be kept. Begin a new one."
	case errors.Is(err, workspace.ErrStorageFull), errors.Is(err, workspace.ErrStoreDown):
		r.cfg.Log.Error("what a run of the agent does cannot be stored", "chat", r.chat, "error", err)
		e.last.ErrorText = "What the agent does cannot be stored now, so it has stopped: " + storeFault(err) + ". Try again later, or ask an administrator."
	default:
		r.cfg.Log.Error("a run of the agent failed", "chat", r.chat, "error", err)
		e.last.ErrorText = "Something went wrong in the server, and its log tells what. Send a message to try again."
	}
	return e
}

func storeFault(err error) string {
	if errors.Is(err, workspace.ErrStorageFull) {
		return "the server's disk is full"
	}
	return "the server's store does not answer"
}

// countedAs returns why a run ended as the metrics have it.
func (r *Run) countedAs(err error) error {
	var spent *budget.Spent
	var fault *model.Error
	switch {
	case err == nil:
		return r.ended
	case errors.Is(err, errStopped), errors.Is(err, errClosing), errors.Is(err, errTaken), errors.As(err, new(*notAllowedError)):
		return context.Canceled
	case errors.As(err, &spent), errors.As(err, &fault), errors.Is(err, tools.ErrWorkspace):
		return err
	case errors.Is(err, ErrTooLarge), errors.Is(err, workspace.ErrStorageFull), errors.Is(err, workspace.ErrStoreDown):
		return &Failure{Kind: ErrorStore, Err: err}
	}
	return &Failure{Kind: ErrorInternal, Err: err}
}

// maxFault bounds what is said of an error, in bytes.
const maxFault = 2 << 10

// leftText says what is left besides what is spent.
func (r *Run) leftText() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left == nil {
		return ""
	}
	text := ""
	if n, bounded := r.left.Cost(); bounded {
		text = fmt.Sprintf(" Left: $%.2f", dollars(n))
	}
	if n, bounded := r.left.Tokens(); bounded {
		if text == "" {
			text = " Left:"
		} else {
			text += " and"
		}
		text += fmt.Sprintf(" %d tokens", n)
	}
	if text == "" {
		return ""
	}
	return text + "."
}

// closeCalls answers the calls that have no answer yet.
func (r *Run) closeCalls(notDone, short string) {
	for _, c := range r.unanswered() {
		r.tell(model.Message{Role: model.ToolRole, CallID: c.ID, Text: notDone})
	}
	shown := r.log.Message()
	for i := range shown.Parts {
		if p := &shown.Parts[i]; openCall(p) {
			r.emit(uistream.Chunk{Type: uistream.ToolOutputError, ToolCallID: p.ToolCallID, ErrorText: short})
		}
	}
}

// unanswered returns the calls of the newest answer that have no answer.
func (r *Run) unanswered() []model.Call {
	r.mu.Lock()
	defer r.mu.Unlock()
	return unansweredCalls(r.turn.Messages)
}

func unansweredCalls(messages []model.Message) []model.Call {
	answered := map[string]bool{}
	for i := len(messages) - 1; i >= 0; i-- {
		m := &messages[i]
		switch {
		case m.Role == model.ToolRole:
			answered[m.CallID] = true
		case m.Role == model.Assistant && len(m.Calls) > 0:
			var open []model.Call
			for _, c := range m.Calls {
				if !answered[c.ID] {
					open = append(open, c)
				}
			}
			return open
		}
	}
	return nil
}

// store stores the message, and the state of the chat. Where the person has queued something, it becomes the next
// turn, if it may: that is returned, and the chat is still running.
func (r *Run) store(ctx context.Context, e ending, goOn bool) (updated *chat, queue []Queued) {
	err := retry(ctx, func() error {
		if err := r.save(ctx, true); err != nil && !errors.Is(err, ErrTooLarge) {
			return err
		}
		var err error
		updated, err = r.s.update(ctx, r.chat, func(c *chat) error {
			if err := r.mine(c); err != nil {
				return err
			}
			queue = nil
			if goOn && len(c.data.Queue) > 0 && !c.data.Stop && !r.s.closing() {
				queue, c.data.Queue = c.data.Queue, nil
				return nil
			}
			c.State, c.Holder, c.data.Stop = e.state, "", false
			if e.state == StateWaiting {
				c.data.Pending = r.pending
			}
			return nil
		})
		return err
	})
	if err != nil {
		if !errors.Is(err, ErrNotFound) && !errors.Is(err, workspace.ErrNotFound) && !errors.Is(err, errTaken) {
			r.cfg.Log.Error("what a run of the agent came to cannot be stored", "chat", r.chat, "error", err)
		}
		return nil, nil
	}
	return updated, queue
}

// retry tries something that a store refuses again, until ctx ends.
func retry(ctx context.Context, try func() error) error {
	for pause := 100 * time.Millisecond; ; pause *= 2 {
		err := try()
		if err == nil || errors.Is(err, ErrNotFound) || errors.Is(err, workspace.ErrNotFound) || errors.Is(err, errTaken) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(min(pause, 2*time.Second)):
		}
	}
}

// spell writes a duration for people.
func spell(d time.Duration) string {
	switch {
	case d%time.Hour == 0 && d > 0:
		return count(int(d/time.Hour), "hour")
	case d%time.Minute == 0 && d > 0:
		return count(int(d/time.Minute), "minute")
	}
	return count(int(d/time.Second), "second")
}

func count(n int, unit string) string {
	if n == 1 {
		return "1 " + unit
	}
	return fmt.Sprintf("%d %ss", n, unit)
}
