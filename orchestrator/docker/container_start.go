package docker

import (
	"context"
	"fmt"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"

	"github.com/kalpana-dev/kalpana/orchestrator"
)

// Start starts a container; see [orchestrator.Runtime]. A container that this process knows costs
// one call: somebody is waiting for it.
func (r *Runtime) Start(ctx context.Context, id string) error {
	if err := r.fenced(ctx); err != nil {
		return err
	}
	if err := r.own(ctx, id); err != nil {
		return err
	}
	ctx, cancel := within(ctx, slowTimeout)
	defer cancel()
	err := r.api.ContainerStart(ctx, id, container.StartOptions{})
	if saysPaused(err) {
		return r.unpause(ctx, id)
	}
	if networkGone(err) {
		if err := r.reconnect(ctx, id); err != nil {
			return err
		}
		err = r.api.ContainerStart(ctx, id, container.StartOptions{})
		if networkGone(err) {
			return fmt.Errorf("start container: its network is gone, so it must be made again: %w (%w)",
				orchestrator.ErrNoContainer, err)
		}
	}
	return fault("start container", err)
}

// reconnect puts a container back on its network after somebody removed that network: "docker
// network prune" does, for it takes a network of stopped containers for unused. A container that
// ran before remembers the id of its network and not just the name, so a new network of that name
// is not enough.
func (r *Runtime) reconnect(ctx context.Context, id string) error {
	c, err := r.api.ContainerInspect(ctx, id)
	if err != nil {
		return fault("look at container", err)
	}
	name := c.HostConfig.NetworkMode.NetworkName()
	r.log.Warn("a network of workspaces was removed from the engine; making it again", "network", name)
	if err := r.restoreNetwork(ctx, name); err != nil {
		return err
	}
	if err := r.api.NetworkDisconnect(ctx, name, id, true); err != nil {
		return fault("disconnect container from its network", err)
	}
	return fault("connect container to its network", r.api.NetworkConnect(ctx, name, id, &network.EndpointSettings{}))
}
