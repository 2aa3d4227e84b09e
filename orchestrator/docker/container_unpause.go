package docker

import (
	"context"
	"fmt"

	"github.com/kalpana-dev/kalpana/orchestrator"
)

// Unpause lets a paused container go on; see [orchestrator.Runtime]. A container that this process
// knows costs one call: somebody is waiting for it.
func (r *Runtime) Unpause(ctx context.Context, id string) error {
	if err := r.own(ctx, id); err != nil {
		return err
	}
	ctx, cancel := within(ctx, quickTimeout)
	defer cancel()
	return r.unpause(ctx, id)
}

func (r *Runtime) unpause(ctx context.Context, id string) error {
	err := r.api.ContainerUnpause(ctx, id)
	if !saysNotPaused(err) && !saysNotRunning(err) {
		return fault("unpause container", err)
	}
	// The engine gives this answer for a running container and for one that ended.
	c, e := r.api.ContainerInspect(ctx, id)
	switch {
	case e != nil:
		return fault("look at container", e)
	case c.State != nil && c.State.Running && !c.State.Paused:
		return nil
	}
	return fmt.Errorf("unpause container: %w (%w)", orchestrator.ErrNotRunning, err)
}
