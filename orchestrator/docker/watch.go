package docker

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/workspace"
)

// How long Watch waits before it connects again; it doubles from the first to the last.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// killed is the exit code of a program that got SIGKILL: 128 + 9.
const killed = 137

// Watch follows the engine's events until ctx ends; see [orchestrator.Runtime]. Both functions are
// called from this goroutine, one at a time.
func (r *Runtime) Watch(ctx context.Context, changed func(orchestrator.ContainerEvent), resync func()) {
	retry, quiet := firstRetry, false
	for {
		connected, err := r.follow(ctx, changed, resync)
		// The engine, or its whole machine, may come back without our rules.
		r.fence.doubt()
		if ctx.Err() != nil {
			return
		}
		if connected {
			retry, quiet = firstRetry, false
		}
		if !quiet {
			r.log.Warn("the event stream of the container engine ended; connecting again", "error", err)
			quiet = true
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(retry/2 + rand.N(retry)): //nolint:gosec // spreads load, guards nothing
		}
		retry = min(2*retry, lastRetry)
	}
}

// follow reads one event stream to its end.
func (r *Runtime) follow(ctx context.Context, changed func(orchestrator.ContainerEvent), resync func()) (connected bool, err error) {
	// The client reports a failed connection only through the stream, and later than the stream
	// looks open. So ask first.
	if err := r.ping(ctx); err != nil {
		return false, err
	}
	ctx, cancel := context.WithCancel(ctx)
	messages, errs := r.api.Events(ctx, events.ListOptions{Filters: filters.NewArgs(
		filters.Arg("type", string(events.ContainerEventType)),
		filters.Arg("label", LabelInstance+"="+r.cfg.Instance),
		filters.Arg("event", string(events.ActionStart)),
		filters.Arg("event", string(events.ActionDie)),
		filters.Arg("event", string(events.ActionOOM)),
		filters.Arg("event", string(events.ActionPause)),
		filters.Arg("event", string(events.ActionUnPause)),
	)})
	defer func() {
		cancel()
		for range errs { //nolint:revive // until the client's goroutine has ended
		}
	}()
	select {
	case err := <-errs:
		return false, err
	default:
	}
	r.noDiskLimit.Store(false) // it may have been restarted on another disk
	r.noVolumeQuota.Store(false)
	resync()

	outOfMemory := make(map[string]bool)
	for {
		select {
		case err := <-errs:
			if err == nil || errors.Is(err, io.EOF) {
				err = errors.New("the engine closed it")
			}
			return true, err
		case m := <-messages:
			id := m.Actor.ID
			ws := workspace.ID(m.Actor.Attributes[LabelWorkspace])
			if ws == "" {
				continue // a probe
			}
			switch m.Action {
			case events.ActionOOM:
				// Some process was killed, not necessarily the first: the container may live on. A busy
				// engine sometimes misses it, so the lack of this event says nothing.
				outOfMemory[id] = true
			case events.ActionStart:
				delete(outOfMemory, id)
				changed(orchestrator.ContainerEvent{Container: id, Workspace: ws})
			case events.ActionPause:
				changed(orchestrator.ContainerEvent{Container: id, Workspace: ws, Paused: true})
			case events.ActionUnPause:
				changed(orchestrator.ContainerEvent{Container: id, Workspace: ws, Resumed: true})
			case events.ActionDie:
				code, _ := strconv.Atoi(m.Actor.Attributes["exitCode"])
				oom := outOfMemory[id] && code == killed
				delete(outOfMemory, id)
				changed(orchestrator.ContainerEvent{
					Container: id, Workspace: ws, Died: true, ExitCode: code, OOMKilled: oom,
				})
			}
		}
	}
}

// ping asks the engine for a sign of life.
func (r *Runtime) ping(ctx context.Context) error {
	if err := r.settle(ctx); err != nil {
		return err
	}
	ctx, cancel := within(ctx, quickTimeout)
	defer cancel()
	_, err := r.api.Ping(ctx)
	return fault("ping engine", err)
}
