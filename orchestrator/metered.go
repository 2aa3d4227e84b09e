package orchestrator

import (
	"context"
	"errors"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// metered counts the faults of a runtime. What else it can do stays.
func metered(r Runtime, m *Metrics) Runtime {
	counted := meteredRuntime{r, m}
	if d, ok := r.(Dialer); ok { // what a container refuses is no fault of the engine's
		return struct {
			meteredRuntime
			Dialer
		}{counted, d}
	}
	return counted
}

type meteredRuntime struct {
	Runtime
	metrics *Metrics
}

// count counts what a verb ended with, unless the caller gave it up, or it is not for this engine.
func (r meteredRuntime) count(ctx context.Context, verb string, err error) {
	if err == nil || errors.Is(ctx.Err(), context.Canceled) || errors.Is(err, errors.ErrUnsupported) {
		return
	}
	r.metrics.engine.WithLabelValues(verb, faultKind(err)).Inc()
}

// faultKind names a fault of the engine for the metrics.
func faultKind(err error) string {
	for _, kind := range []struct {
		err  error
		name string
	}{
		{workspace.ErrImageMissing, "image_missing"},
		{workspace.ErrFirewall, "firewall"},
		{workspace.ErrEngineDown, "down"},
		{workspace.ErrStorageFull, "storage_full"},
		{ErrNoContainer, "no_container"},
		{ErrNotRunning, "not_running"},
		{ErrPortBusy, "port_busy"},
		{context.DeadlineExceeded, "timeout"},
	} {
		if errors.Is(err, kind.err) {
			return kind.name
		}
	}
	return "other"
}

func (r meteredRuntime) Prepare(ctx context.Context) error {
	err := r.Runtime.Prepare(ctx)
	r.count(ctx, "prepare", err)
	return err
}

func (r meteredRuntime) Create(ctx context.Context, spec Spec) (string, error) {
	container, err := r.Runtime.Create(ctx, spec)
	r.count(ctx, "create", err)
	return container, err
}

func (r meteredRuntime) Start(ctx context.Context, container string) error {
	err := r.Runtime.Start(ctx, container)
	r.count(ctx, "start", err)
	return err
}

func (r meteredRuntime) Pause(ctx context.Context, container string) error {
	err := r.Runtime.Pause(ctx, container)
	r.count(ctx, "pause", err)
	return err
}

func (r meteredRuntime) Unpause(ctx context.Context, container string) error {
	err := r.Runtime.Unpause(ctx, container)
	r.count(ctx, "unpause", err)
	return err
}

func (r meteredRuntime) Stop(ctx context.Context, container string, grace time.Duration) error {
	err := r.Runtime.Stop(ctx, container, grace)
	r.count(ctx, "stop", err)
	return err
}

func (r meteredRuntime) Remove(ctx context.Context, container string) error {
	err := r.Runtime.Remove(ctx, container)
	r.count(ctx, "remove", err)
	return err
}

func (r meteredRuntime) RemoveVolume(ctx context.Context, name string) error {
	err := r.Runtime.RemoveVolume(ctx, name)
	r.count(ctx, "remove_volume", err)
	return err
}

func (r meteredRuntime) Containers(ctx context.Context) ([]Container, error) {
	list, err := r.Runtime.Containers(ctx)
	r.count(ctx, "list", err)
	return list, err
}

func (r meteredRuntime) State(ctx context.Context, container string) (ContainerState, error) {
	state, err := r.Runtime.State(ctx, container)
	r.count(ctx, "state", err)
	return state, err
}

func (r meteredRuntime) Logs(ctx context.Context, container string, lines int) (string, error) {
	text, err := r.Runtime.Logs(ctx, container, lines)
	r.count(ctx, "logs", err)
	return text, err
}

func (r meteredRuntime) Limit(ctx context.Context, container string, limits Limits) error {
	err := r.Runtime.Limit(ctx, container, limits)
	if !errors.Is(err, ErrNoContainer) { // another container is made for these limits
		r.count(ctx, "limit", err)
	}
	return err
}

func (r meteredRuntime) Host(ctx context.Context) (Host, error) {
	host, err := r.Runtime.Host(ctx)
	r.count(ctx, "host", err)
	return host, err
}

func (r meteredRuntime) DiskUsed(ctx context.Context, container, volume string) (used int64, whole bool, err error) {
	used, whole, err = r.Runtime.DiskUsed(ctx, container, volume)
	r.count(ctx, "disk_used", err)
	return used, whole, err
}

func (r meteredRuntime) LimitVolume(ctx context.Context, volume string, limit func(taken int64) int64) error {
	err := r.Runtime.LimitVolume(ctx, volume, limit)
	r.count(ctx, "limit_volume", err)
	return err
}
