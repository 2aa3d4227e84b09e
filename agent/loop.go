package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/kalpana-dev/kalpana/agent/model"
	"github.com/kalpana-dev/kalpana/agent/uistream"
)

// loop asks the model and carries out what it calls, until it calls nothing more. It returns why the answer is
// finished, "" where it waits for the person.
func (r *Run) loop(ctx context.Context) (reason string, err error) {
	r.emit(uistream.Chunk{Type: uistream.Start, MessageID: r.messageID, MessageMetadata: metadata{Model: r.info.ID, StartedAt: &r.turn.Began}})
	if len(r.pending) > 0 {
		waiting, err := r.answered(ctx)
		if err != nil {
			return "", err
		}
		if waiting {
			return "", nil
		}
	}
	for n := 1; ; n++ {
		if err := r.allowed(ctx); err != nil {
			return "", err
		}
		if err := r.takeQueue(ctx); err != nil {
			return "", err
		}
		if n > r.cfg.MaxSteps {
			r.ended = &Failure{Kind: ErrorSteps, Err: errors.New("too many steps")}
			return r.conclude(fmt.Sprintf("I stopped here: this turn has used its %d steps. Send “go on” to let me continue.", r.cfg.MaxSteps)), nil
		}
		if err := r.compactIfFull(ctx); err != nil {
			return "", err
		}
		finish, calls, err := r.step(ctx)
		if err != nil {
			return "", err
		}
		if len(calls) == 0 {
			r.emit(uistream.Chunk{Type: uistream.FinishStep})
			return finish, nil
		}
		waiting, err := r.act(ctx, calls)
		if err != nil {
			return "", err
		}
		r.emit(uistream.Chunk{Type: uistream.FinishStep})
		r.showUsage()
		if waiting {
			return "", nil
		}
		if err := r.save(ctx, true); err != nil {
			return "", err
		}
		if stuck := r.stuck(); stuck != "" {
			r.ended = &Failure{Kind: ErrorRepeated, Err: errors.New("the same call again and again")}
			return r.conclude(stuck), nil
		}
	}
}

// conclude ends a turn with words of the gateway's own.
func (r *Run) conclude(text string) (reason string) {
	r.emit(uistream.Chunk{Type: uistream.StartStep})
	r.say(text, true)
	r.emit(uistream.Chunk{Type: uistream.FinishStep})
	return uistream.FinishOther
}

// step asks the model once. It returns what the answer calls, or why it is finished.
func (r *Run) step(ctx context.Context) (finish string, calls []*call, err error) {
	offered := r.offered(ctx)
	r.locate(ctx)
	r.emit(uistream.Chunk{Type: uistream.StartStep})
	a, err := r.answer(ctx, offered)
	var fault *model.Error
	if errors.As(err, &fault) && fault.Kind == model.KindContext && ctx.Err() == nil && !a.shown {
		if err := r.compact(ctx); err != nil {
			return "", nil, err
		}
		a, err = r.answer(ctx, offered)
	}
	if err != nil {
		return "", nil, err
	}
	if len(a.calls) > 0 {
		return "", a.calls, r.save(ctx, true) // before anything is done, so that it is known that it may have been
	}
	switch a.finish {
	case model.FinishLength:
		r.say("(The answer ends here since it has reached the longest that the model writes at once. Send “go on” to continue.)", false)
		return uistream.FinishLength, nil, nil
	case model.FinishContentFilter:
		r.say("(The model's provider has withheld the rest of this answer. Put it in other words, or choose another model.)", false)
		return uistream.FinishContentFilter, nil, nil
	case model.FinishStop, model.FinishToolCalls:
	default:
		finish = uistream.FinishOther
	}
	if !a.shown {
		r.say("(The model gave an empty answer. Send a message to try again.)", false)
	}
	if finish == "" {
		finish = uistream.FinishStop
	}
	return finish, nil, nil
}

// notAllowedError says why the person may no longer work in the workspace.
type notAllowedError struct{ err error }

func (e *notAllowedError) Error() string { return e.err.Error() }
func (e *notAllowedError) Unwrap() error { return e.err }

// allowed makes sure that the person may still work in the workspace.
func (r *Run) allowed(ctx context.Context) error {
	if r.cfg.Allowed == nil {
		return nil
	}
	if err := r.cfg.Allowed(ctx, r.person.ID, r.workspace); err != nil {
		return &notAllowedError{err}
	}
	return nil
}
