package runtimetest

import (
	"context"
	"errors"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/workspace"
)

// Limit implements orchestrator.Runtime. Like an engine it changes memory, processors and processes of a
// container that exists; for anything else it must be made again.
func (r *Runtime) Limit(ctx context.Context, id string, limits orchestrator.Limits) error {
	r.mu.Lock()
	c := r.containers[id]
	same := c != nil && c.spec.Limits == limits
	r.mu.Unlock()
	if same {
		return nil
	}
	if err := r.call(ctx, Limit, r.owner(id)); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c = r.containers[id]; c == nil {
		return orchestrator.ErrNoContainer
	}
	changed := c.spec.Limits
	changed.Memory, changed.CPUs, changed.PIDs = limits.Memory, limits.CPUs, limits.PIDs
	if changed != limits {
		return orchestrator.ErrNoContainer
	}
	c.spec.Limits = limits
	return nil
}

// Host implements orchestrator.Runtime.
func (r *Runtime) Host(context.Context) (orchestrator.Host, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.host == nil {
		return orchestrator.Host{}, errors.ErrUnsupported
	}
	return *r.host, nil
}

// DiskUsed implements orchestrator.Runtime.
func (r *Runtime) DiskUsed(ctx context.Context, id, _ string) (int64, bool, error) {
	if err := r.call(ctx, Measure, r.owner(id)); err != nil {
		return 0, false, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.containers[id]
	if c == nil {
		return 0, false, orchestrator.ErrNoContainer
	}
	used := r.disk[c.spec.Workspace]
	if used < 0 {
		return 0, false, errors.ErrUnsupported
	}
	return used, true, nil
}

// LimitVolume implements orchestrator.Runtime. The quota counts what SetDiskUsed said, and what SetForeign added.
func (r *Runtime) LimitVolume(ctx context.Context, volume string, limit func(taken int64) int64) error {
	r.mu.Lock()
	var owner workspace.ID
	for _, c := range r.containers {
		if c.spec.Volume == volume {
			owner = c.spec.Workspace
		}
	}
	_, has := r.quotas[volume]
	taken := r.disk[owner] + r.foreign[owner]
	r.mu.Unlock()
	if err := r.call(ctx, Bound, owner); err != nil || !has {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.quotas[volume] = quota{made: r.quotas[volume].made, now: limit(taken)}
	return nil
}

// quota is what a volume may take, in bytes.
type quota struct{ made, now int64 }

// Bound returns what a volume may take, 0 for whatever there is, and whether the engine has a quota of it.
func (r *Runtime) Bound(volume string) (int64, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	q, has := r.quotas[volume]
	return q.now, has
}
