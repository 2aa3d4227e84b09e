package docker

import (
	"context"
	"errors"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/kalpana-dev/kalpana/orchestrator"
)

// Stop ends a container; see [orchestrator.Runtime]. A paused one gets its grace too: the engine
// resumes it after it has sent the signal.
func (r *Runtime) Stop(ctx context.Context, id string, grace time.Duration) error {
	err := r.own(ctx, id)
	if err == nil {
		ctx, cancel := within(ctx, grace+slowTimeout)
		defer cancel()
		seconds := int((grace + time.Second - 1) / time.Second)
		err = fault("stop container", r.api.ContainerStop(ctx, id, container.StopOptions{Timeout: &seconds}))
	}
	if errors.Is(err, orchestrator.ErrNoContainer) {
		r.owned.drop(id)
		return nil
	}
	return err
}
