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

// sigkill is Linux's, whatever this gateway runs on.
const sigkill = 9

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
		filters.Arg("event", string(events.ActionKill)),
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

	killers := make(killers)
	for {
		select {
		case err := <-errs:
			if err == nil || errors.Is(err, io.EOF) {
				err = errors.New("the engine closed it")
			}
			return true, err
		case m := <-messages:
			if event, ok := killers.hear(m); ok {
				changed(event)
			}
		}
	}
}

// killers are the containers that somebody ended through the engine, which says so before it says that
// they died.
type killers map[string]bool

// hear returns what a message says of a workspace's container, if it says anything.
//
// One that was killed, and by nobody through the engine, was mostly killed by the kernel for want of memory:
// else by the person in it, or by the root of the engine's machine. The engine has an event for want of memory,
// but sends it for each process that is killed, and not at all where it is so busy that the control group is
// gone before it has looked; what it says of the container is from that event, too.
func (k killers) hear(m events.Message) (event orchestrator.ContainerEvent, ok bool) {
	event = orchestrator.ContainerEvent{Container: m.Actor.ID, Workspace: workspace.ID(m.Actor.Attributes[LabelWorkspace])}
	if event.Workspace == "" {
		return event, false // a probe
	}
	switch m.Action {
	case events.ActionKill:
		if signal, _ := strconv.Atoi(m.Actor.Attributes["signal"]); signal == sigkill {
			k[event.Container] = true
		}
		return event, false
	case events.ActionStart:
		delete(k, event.Container)
	case events.ActionPause:
		event.Paused = true
	case events.ActionUnPause:
		event.Resumed = true
	case events.ActionDie:
		event.Died = true
		event.ExitCode, _ = strconv.Atoi(m.Actor.Attributes["exitCode"])
		event.OOMKilled = event.ExitCode == 128+sigkill && !k[event.Container]
		delete(k, event.Container)
	default:
		return event, false
	}
	return event, true
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
