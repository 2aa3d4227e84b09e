package docker

import (
	"context"
	"errors"

	"github.com/kalpana-dev/kalpana/orchestrator"
)

// State returns the state of one container; see [orchestrator.Runtime]. Unlike the list, the engine
// answers it from the container itself, so a change shows from its event on.
func (r *Runtime) State(ctx context.Context, id string) (orchestrator.ContainerState, error) {
	if err := r.own(ctx, id); err != nil {
		if errors.Is(err, orchestrator.ErrNoContainer) {
			return orchestrator.ContainerExited, nil
		}
		return "", err
	}
	ctx, cancel := within(ctx, quickTimeout)
	defer cancel()
	c, err := r.api.ContainerInspect(ctx, id)
	if err = fault("look at container", err); errors.Is(err, orchestrator.ErrNoContainer) {
		r.owned.drop(id)
		return orchestrator.ContainerExited, nil
	}
	if err != nil {
		return "", err
	}
	if c.State == nil {
		return orchestrator.ContainerExited, nil
	}
	return state(c.State.Status), nil
}
