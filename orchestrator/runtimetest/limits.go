package runtimetest

import (
	"context"
	"errors"

	"github.com/kalpana-dev/kalpana/orchestrator"
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
