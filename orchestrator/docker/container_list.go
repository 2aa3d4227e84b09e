package docker

import (
	"context"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/workspace"
)

// Containers lists this instance's containers; see [orchestrator.Runtime].
func (r *Runtime) Containers(ctx context.Context) ([]orchestrator.Container, error) {
	if err := r.settle(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := within(ctx, quickTimeout)
	defer cancel()
	list, err := r.api.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(
		filters.Arg("label", LabelInstance+"="+r.cfg.Instance),
		filters.Arg("label", LabelWorkspace), // not the probes
	)})
	if err != nil {
		return nil, fault("list containers", err)
	}
	containers := make([]orchestrator.Container, 0, len(list))
	ids := make(map[string]bool, len(list))
	for _, c := range list {
		ids[c.ID] = true
		image := c.Labels[LabelImage]
		if image == "" {
			image = c.Image
		}
		containers = append(containers, orchestrator.Container{
			ID:        c.ID,
			Workspace: workspace.ID(c.Labels[LabelWorkspace]),
			State:     state(c.State),
			Image:     image,
		})
	}
	r.found(ids)
	return containers, nil
}

// found takes ids for all that there are. They are the caller's no more.
func (r *Runtime) found(ids map[string]bool) {
	r.limited.keep(ids)
	r.owned.replace(ids) // and changes them from here on
}

func state(engine string) orchestrator.ContainerState {
	switch engine {
	case "created":
		return orchestrator.ContainerCreated
	case "running", "restarting":
		return orchestrator.ContainerRunning
	case "paused":
		return orchestrator.ContainerPaused
	default: // exited, dead, removing
		return orchestrator.ContainerExited
	}
}
