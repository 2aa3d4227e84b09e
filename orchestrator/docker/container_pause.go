package docker

import (
	"context"
	"fmt"

	"github.com/kalpana-dev/kalpana/orchestrator"
)

// Pause freezes a container; see [orchestrator.Runtime].
func (r *Runtime) Pause(ctx context.Context, id string) error {
	if err := r.own(ctx, id); err != nil {
		return err
	}
	ctx, cancel := within(ctx, quickTimeout)
	defer cancel()
	err := r.api.ContainerPause(ctx, id)
	switch {
	case saysNotRunning(err):
		return fmt.Errorf("pause container: %w (%w)", orchestrator.ErrNotRunning, err)
	case saysPaused(err):
		return nil
	}
	return fault("pause container", err)
}
