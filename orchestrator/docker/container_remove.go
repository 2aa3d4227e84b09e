package docker

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/kalpana-dev/kalpana/orchestrator"
)

// Remove removes a container; see [orchestrator.Runtime]. Volumes without a name go with it.
func (r *Runtime) Remove(ctx context.Context, id string) error {
	err := r.own(ctx, id)
	if err == nil {
		ctx, cancel := within(ctx, slowTimeout)
		defer cancel()
		err = r.removeContainer(ctx, id)
	}
	if err == nil || errors.Is(err, orchestrator.ErrNoContainer) {
		r.owned.drop(id)
		r.namespaces.drop(id)
		return nil
	}
	return err
}

// removeContainer removes a container, or waits until somebody else's removal is done.
func (r *Runtime) removeContainer(ctx context.Context, id string) error {
	for {
		err := r.api.ContainerRemove(ctx, id, container.RemoveOptions{Force: true, RemoveVolumes: true})
		if err == nil || !strings.Contains(err.Error(), "already in progress") {
			return fault("remove container", err)
		}
		select {
		case <-ctx.Done():
			return fault("remove container", ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}
