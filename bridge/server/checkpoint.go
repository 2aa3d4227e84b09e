package server

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/bridge/server/checkpoint"
)

// checkpointsDir is beside the workspace folder, on the same volume: neither VS Code nor git nor a search shows it.
const checkpointsDir = ".kalpana-checkpoints"

func newCheckpoints(workspace string, env []string) *checkpoint.Store {
	return checkpoint.New(filepath.Join(filepath.Dir(workspace), checkpointsDir), workspace, env)
}

// checkpointMethods are the methods of checkpoints.
func checkpointMethods(s *checkpoint.Store) map[string]method {
	return map[string]method{
		bridge.MethodBeginCheckpoint:   typed(named(s.Begin)),
		bridge.MethodEndCheckpoint:     typed(named(s.End)),
		bridge.MethodCheckpointChanges: typed(named(s.Changes)),
		bridge.MethodUndoCheckpoints:   typed(named(s.Undo)),
		bridge.MethodForgetCheckpoints: typed(named(s.Forget)),
	}
}

// named makes named errors of a function's.
func named[P, R any](serve func(context.Context, P) (*R, error)) func(context.Context, P) (*R, error) {
	return func(ctx context.Context, p P) (*R, error) {
		r, err := serve(ctx, p)
		if err != nil {
			if ctx.Err() != nil && errors.Is(err, context.Canceled) {
				return nil, bridge.ErrCancelled
			}
			return nil, fileError(err)
		}
		return r, nil
	}
}
