package tools

import (
	"context"
	"errors"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
)

// endTime is what the look after a call gets, also when the run was stopped.
const endTime = 90 * time.Second

// withCheckpoints has a look at the folder before and after each call of a tool that changes something. Where that
// cannot be, the call is carried out all the same, and its result says that there is no undo for it.
func withCheckpoints(t Tool) Tool {
	if t.Reads && !t.follows {
		return t
	}
	run := t.Run
	t.Run = func(ctx context.Context, env *Env, call Call) (*Result, error) {
		if env.Chat == "" || env.Message == "" || !t.follows && t.ReadsWith(call.Input) {
			return run(ctx, env, call)
		}
		p := bridge.BeginCheckpointParams{Chat: env.Chat, Message: env.Message, Call: call.ID}
		if t.paths != nil {
			if p.Paths = t.paths(call.Input); len(p.Paths) == 0 {
				return run(ctx, env, call)
			}
		}
		begun, err := ask(ctx, env, func(cl *bridge.Client) (*bridge.BeginCheckpointResult, error) {
			return cl.BeginCheckpoint(ctx, p)
		})
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, ErrWorkspace):
			return nil, err
		}
		if err != nil {
			env.checkpointed(err)
			result, runErr := run(ctx, env, call)
			return noUndo(result, err), runErr
		}
		result, runErr := run(ctx, env, call)
		ended, err := endCheckpoint(ctx, env, bridge.EndCheckpointParams{
			ID: begun.ID, Open: !t.follows && open(result),
			// What was refused changed nothing: what is found is somebody else's.
			Discard: t.paths != nil && runErr != nil && ctx.Err() == nil && !errors.Is(runErr, errCut),
		})
		env.checkpointed(err)
		if err != nil {
			return noUndo(result, err), runErr
		}
		if out, ok := outputOf(result); ok && t.paths == nil {
			out.ChangedTotal = ended.Total
			for _, c := range ended.Changes[:min(len(ended.Changes), maxChangedShown)] {
				out.Changed = append(out.Changed, Changed{c.Path, c.Status})
			}
		}
		return result, runErr
	}
	return t
}

func (env *Env) checkpointed(err error) {
	if env.Checkpoint != nil {
		env.Checkpoint(err)
	}
}

// endCheckpoint has the look after a call, though the run may be over.
func endCheckpoint(ctx context.Context, env *Env, p bridge.EndCheckpointParams) (*bridge.EndCheckpointResult, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancel()
	return ask(ctx, env, func(cl *bridge.Client) (*bridge.EndCheckpointResult, error) {
		return cl.EndCheckpoint(ctx, p)
	})
}

// open reports whether a command goes on.
func open(r *Result) bool {
	out, ok := outputOf(r)
	return ok && out.Background != ""
}

func outputOf(r *Result) (*Output, bool) {
	if r == nil {
		return nil, false
	}
	out, ok := r.Output.(*Output)
	return out, ok
}

// noUndo says in a result that its call cannot be undone.
func noUndo(r *Result, why error) *Result {
	if r == nil {
		return nil
	}
	reason := "What this call changed cannot be undone: "
	var named *bridge.Error
	switch {
	case errors.Is(why, bridge.ErrOldBridge):
		reason += "the workspace's container is older than this server. Rebuild it."
	case errors.Is(why, bridge.ErrDiskFull):
		reason += "the workspace's disk is full."
	case errors.Is(why, bridge.ErrNotFound):
		reason += "the workspace was started anew meanwhile."
	case errors.As(why, &named):
		reason += bridge.Printable(named.Message, 300) + "."
	default:
		reason += "the workspace did not answer."
	}
	if out, ok := outputOf(r); ok {
		out.NoUndo = reason
	}
	r.Text += "\n(" + reason + ")"
	return r
}
