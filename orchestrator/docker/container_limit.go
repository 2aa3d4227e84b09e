package docker

import (
	"context"
	"fmt"
	"maps"
	"sync"

	"github.com/docker/docker/api/types/container"

	"github.com/kalpana-dev/kalpana/orchestrator"
)

// Limit gives a container other limits; see [orchestrator.Runtime]. What the engine can change of a
// container that exists is changed, so that what was installed in it stays.
func (r *Runtime) Limit(ctx context.Context, id string, limits orchestrator.Limits) error {
	if err := r.own(ctx, id); err != nil {
		return err
	}
	if r.limited.are(id, limits) {
		return nil
	}
	ctx, cancel := within(ctx, quickTimeout)
	defer cancel()
	c, err := r.api.ContainerInspect(ctx, id)
	if err != nil {
		return fault("look at container", err)
	}
	want := r.hardened("", limits)
	want.StorageOpt = r.storageOpt(limits)
	has := c.HostConfig
	if !updatable(has, want) {
		return fmt.Errorf("%w with these limits", orchestrator.ErrNoContainer)
	}
	if !sameResources(has, want) {
		_, err := r.api.ContainerUpdate(ctx, id, container.UpdateConfig{
			Resources: container.Resources{
				CPUShares: want.CPUShares, NanoCPUs: want.NanoCPUs,
				Memory: want.Memory, MemorySwap: want.MemorySwap, PidsLimit: want.PidsLimit,
			},
			RestartPolicy: want.RestartPolicy,
		})
		if unanswered(err) {
			return fault("limit container", err)
		}
		if err != nil { // an engine that cannot change this one may still make another
			r.log.Debug("the engine cannot change a container's limits; it is made again", "container", id, "engine_says", err)
			return fmt.Errorf("%w with these limits: %w", orchestrator.ErrNoContainer, err)
		}
	}
	r.limited.set(id, limits)
	return nil
}

// updatable reports whether a container can get from what it has to what it should have.
func updatable(has, want *container.HostConfig) bool {
	if has == nil || !maps.Equal(has.LogConfig.Config, want.LogConfig.Config) || len(has.Ulimits) != len(want.Ulimits) {
		return false
	}
	if len(has.StorageOpt) > 0 && !maps.Equal(has.StorageOpt, want.StorageOpt) { // where it has none, the engine may not be able to
		return false
	}
	for i, u := range want.Ulimits {
		if *has.Ulimits[i] != *u {
			return false
		}
	}
	// To the engine, 0 in an update is "as before".
	return (want.Memory != 0 || has.Memory == 0) && (want.NanoCPUs != 0 || has.NanoCPUs == 0) && (want.PidsLimit != nil || pids(has) <= 0)
}

func sameResources(has, want *container.HostConfig) bool {
	return has.CPUShares == want.CPUShares && has.NanoCPUs == want.NanoCPUs && has.Memory == want.Memory && max(pids(has), 0) == max(pids(want), 0)
}

func pids(h *container.HostConfig) int64 {
	if h.PidsLimit == nil {
		return 0
	}
	return *h.PidsLimit
}

// limited remembers which limits containers have. Whoever changes them on the engine by hand is
// corrected by the next gateway.
type limited struct {
	mu  sync.Mutex
	ids map[string]orchestrator.Limits
}

func (l *limited) are(id string, limits orchestrator.Limits) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	has, ok := l.ids[id]
	return ok && has == limits
}

func (l *limited) set(id string, limits orchestrator.Limits) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ids == nil {
		l.ids = map[string]orchestrator.Limits{}
	}
	l.ids[id] = limits
}

// keep forgets the containers that are not among ids.
func (l *limited) keep(ids map[string]bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.ids, func(id string, _ orchestrator.Limits) bool { return !ids[id] })
}
