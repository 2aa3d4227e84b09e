package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/workspace"
)

// Wake brings a workspace to running, or joins the wake that is under way; a pause that is under way is
// cut short. It returns at once; [Operation.Wait] tells how it ended: ErrNotFound, ErrBusy,
// ErrEngineDown, ErrImageMissing, ErrPortsExhausted, ErrFirewall, ErrRunningLimit, ErrHostFull,
// ErrStartFailed (with the end of the container's log), ErrStartTimeout, ErrDraining, or the store's.
func (o *Orchestrator) Wake(id workspace.ID) *Operation {
	return o.begin(opWake, id, func(ctx context.Context, op *Operation) error {
		w, err := o.cfg.Store.Workspace(ctx, id)
		if err != nil {
			return err
		}
		return o.wake(ctx, op, w)
	})
}

// wake brings w, which was just read, to running.
func (o *Orchestrator) wake(parent context.Context, op *Operation, w *workspace.Workspace) error {
	started := time.Now()
	err := o.toRunning(parent, op, w)
	if !errors.Is(err, errNoSlot) { // else it comes again
		o.cfg.Metrics.woken(op, started, err)
	}
	return err
}

func (o *Orchestrator) toRunning(parent context.Context, op *Operation, w *workspace.Workspace) error {
	ctx, cancel := context.WithTimeoutCause(parent, o.cfg.StartTimeout, workspace.ErrStartTimeout)
	defer cancel()
	started := time.Now()
	op.from(w.State)
	paused := false
	switch w.State {
	case workspace.StateDeleting:
		return workspace.ErrBusy
	case workspace.StateRunning:
		if o.Route(w.ID) != nil {
			return nil // another wake came just before
		}
		// Perhaps it runs, and only this process does not know it: it has just started, or another
		// gateway woke it.
		o.publish(w)
		state, err := o.containerState(ctx, w.Container)
		if (err != nil || state == ContainerRunning) && o.answers(ctx, w, time.Second) {
			o.putRoute(w)
			close(op.runs)
			return nil
		}
		paused = state == ContainerPaused
	case workspace.StatePaused, workspace.StatePausing:
		paused = true
	case workspace.StateStopping: // a stop that was cut short: the container may be on its way out
		if w.Container != "" {
			if err := o.cfg.Runtime.Stop(ctx, w.Container, o.cfg.StopGrace); err != nil {
				return err
			}
		}
	default:
	}
	if !op.admitted {
		return workspace.ErrDraining
	}
	if paused {
		if resumed, err := o.resume(ctx, op, w); resumed || err != nil {
			if err == nil {
				o.log.Info("workspace runs again", "workspace", w.ID, "duration", time.Since(started))
			}
			return err
		}
	}
	from := w.State
	err := o.admit(ctx, op, w, func(ctx context.Context) error {
		o.become(w, workspace.StateStarting, "")
		w.Desired = workspace.StateRunning
		return o.save(ctx, w, from)
	})
	if err != nil {
		return o.refused(ctx, parent, op, w, err)
	}

	err = o.bringUp(ctx, op, w)
	if err == nil {
		w.LastStart = op.trace(nil)
		err = o.saveRunning(ctx, op, w)
	}
	if err != nil {
		return o.wakeFailed(ctx, parent, op, w, err)
	}
	o.log.Info("workspace runs", "workspace", w.ID, "duration", time.Since(started))
	return nil
}

// saveRunning lets requests in to a workspace that was woken, and records it. Nobody has to wait for the
// record: where it cannot be written, the route is taken back. op is nil where nobody waits.
func (o *Orchestrator) saveRunning(ctx context.Context, op *Operation, w *workspace.Workspace) error {
	o.Touch(w.ID, ActivityStarted)
	o.putRoute(w)
	if op != nil {
		close(op.runs)
	}
	from := w.State
	o.become(w, workspace.StateRunning, "")
	w.Desired = workspace.StateRunning
	w.StartedAt = recordTime(o.now())
	w.LastActiveAt, w.LastActivity = w.StartedAt, ActivityStarted
	if err := o.save(ctx, w, from); err != nil {
		o.dropRoute(w.ID)
		w.State = from // as it is stored
		return err
	}
	return nil
}

// resumeTime is how long a workspace that was just resumed may take to answer, which a healthy one does
// within milliseconds.
const resumeTime = 10 * time.Second

// resume lets a paused workspace go on. It reports false where only a start helps: the container ended
// or vanished meanwhile, or does not come to its senses. An engine that does not answer changes nothing.
func (o *Orchestrator) resume(ctx context.Context, op *Operation, w *workspace.Workspace) (resumed bool, err error) {
	op.setResumes(true)
	defer func() { op.setResumes(resumed || err != nil) }() // whoever looks late must not take it for a start
	op.enter(StageStart, w.Container)
	err = o.timed(op, StageStart, func() error { return o.cfg.Runtime.Unpause(ctx, w.Container) })
	switch {
	case errors.Is(err, ErrNoContainer), errors.Is(err, ErrNotRunning):
		o.log.Warn("a paused workspace is not there any more; starting it", "workspace", w.ID, "error", err)
		return false, nil
	case err != nil:
		return false, err
	}
	op.enter(StageEditor, w.Container)
	short, cancel := context.WithTimeout(ctx, resumeTime)
	defer cancel()
	err = o.timed(op, StageEditor, func() error { return o.awaitReady(short, op, w) })
	if err != nil {
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		o.log.Warn("a resumed workspace does not answer; starting it", "workspace", w.ID, "error", err)
		return false, o.cfg.Runtime.Stop(ctx, w.Container, o.cfg.StopGrace)
	}
	w.LastStart = op.trace(nil)
	return true, o.saveRunning(ctx, op, w)
}

// become sets the state of a record.
func (o *Orchestrator) become(w *workspace.Workspace, s workspace.State, reason string) {
	if w.State != s {
		w.StateSince = recordTime(o.now())
	}
	w.State, w.Reason = s, reason
}

// bringUp makes the container if need be, starts it and waits for VS Code. It leaves what it
// learned in w.
func (o *Orchestrator) bringUp(ctx context.Context, op *Operation, w *workspace.Workspace) error {
	prepared, renewed := false, false
	for attempt := 0; ; attempt++ {
		op.enter(StageContainer, w.Container)
		err := o.timed(op, StageContainer, func() error { return o.ensureContainer(ctx, w) })
		if err == nil {
			op.enter(StageStart, w.Container)
			err = o.timed(op, StageStart, func() error { return o.cfg.Runtime.Start(ctx, w.Container) })
		}
		switch {
		case err == nil:
			o.boundDisk(ctx, w)
		case errors.Is(err, workspace.ErrFirewall) && !prepared:
			// The gateway, or the engine, has just started: the first wake need not wait for the
			// next reconcile.
			prepared = true
			if err := o.cfg.Runtime.Prepare(ctx); err != nil {
				return err
			}
			continue
		case errors.Is(err, ErrNoContainer) && attempt < 3:
			// Removed behind our back, or its network was; the volume has everything.
			if err := o.cfg.Runtime.Remove(ctx, w.Container); err != nil {
				return err
			}
			w.Container = ""
			continue
		case errors.Is(err, ErrPortBusy) && attempt < 5:
			if err := o.changePorts(ctx, w); err != nil {
				return err
			}
			continue
		default:
			return err
		}
		op.enter(StageEditor, w.Container)
		err = o.timed(op, StageEditor, func() error { return o.awaitReady(ctx, op, w) })
		if !errors.Is(err, bridge.ErrUnauthorized) || renewed {
			return err
		}
		renewed = true
		// The installation has another key than when the container was made: it gets a new one, on
		// the same volume.
		if err := o.cfg.Runtime.Remove(ctx, w.Container); err != nil {
			return err
		}
		w.Container = ""
	}
}

func (o *Orchestrator) timed(op *Operation, stage Stage, f func() error) error {
	start := time.Now()
	err := f()
	o.cfg.Metrics.observe(op.startedFrom(), stage, time.Since(start), err)
	return err
}

// ensureContainer makes a container where there is none, or where it is of another image, and
// stores it before it is started.
func (o *Orchestrator) ensureContainer(ctx context.Context, w *workspace.Workspace) error {
	if w.Container != "" && w.Image == o.image(w) {
		limits, err := o.limits(ctx, w)
		if err != nil {
			return err
		}
		return o.cfg.Runtime.Limit(ctx, w.Container, limits)
	}
	if w.Container != "" {
		if err := o.cfg.Runtime.Remove(ctx, w.Container); err != nil {
			return err
		}
		w.Container = ""
	}
	container, err := o.createContainer(ctx, w)
	if err != nil {
		return err
	}
	w.Container, w.Image = container, o.image(w)
	return o.save(ctx, w, workspace.StateStarting)
}

// createContainer makes a container of the current image for w, with ports of its own.
func (o *Orchestrator) createContainer(ctx context.Context, w *workspace.Workspace) (string, error) {
	limits, err := o.limits(ctx, w)
	if err != nil {
		return "", err
	}
	if err := o.claimPorts(ctx, w); err != nil {
		return "", err
	}
	env := []string{
		bridge.EnvWorkspaceID + "=" + string(w.ID),
		bridge.EnvToken + "=" + o.cfg.Token(w.ID),
		bridge.EnvPreviewURI + "=" + o.cfg.Hosts.PreviewTemplate(w.ID),
		bridge.EnvTemplate + "=" + w.Template,
		bridge.EnvViteHosts + "=." + o.cfg.Hosts.WorkspaceDomain(),
	}
	if w.Repository != "" {
		env = append(env, bridge.EnvRepository+"="+w.Repository)
	}
	return o.cfg.Runtime.Create(ctx, Spec{
		Workspace: w.ID, Image: o.image(w), Env: env,
		Volume: w.Volume(), Address: w.Address,
		Ports: map[int]int{
			workspace.ContainerIDEPort:    w.IDEPort,
			workspace.ContainerBridgePort: w.BridgePort,
		},
		Limits: limits,
	})
}

// awaitReady waits until VS Code answers through the published port, or its container ends.
func (o *Orchestrator) awaitReady(ctx context.Context, op *Operation, w *workspace.Workspace) error {
	ctx, cancel := context.WithCancel(ctx)
	route := o.routeOf(w)
	o.up(route) // the first clone may need to sign in
	ready := make(chan error, 1)
	go func() { ready <- bridge.WaitReady(ctx, o.client, "http://"+route.IDE, route.Token) }()
	following := make(chan struct{})
	go func() { defer close(following); o.followLog(ctx, op) }()
	defer func() { cancel(); <-following }()
	why, pause := "its container ended", o.timing.liveness
	look := time.NewTimer(pause)
	defer look.Stop()
	for {
		select {
		case err := <-ready:
			var failed *bridge.NotReadyError
			switch {
			case errors.As(err, &failed):
				return fmt.Errorf("%w: %s\n%s", workspace.ErrStartFailed, failed.Reason, failed.Log)
			case err != nil && ctx.Err() == nil:
				return fmt.Errorf("%w: %w", workspace.ErrStartFailed, err)
			}
			return err
		case event := <-op.died:
			if event.Container != w.Container {
				continue
			}
			why = fmt.Sprintf("its container ended with code %d", event.ExitCode)
			if event.OOMKilled {
				why = "it was killed, as what runs out of memory is"
			}
			pause = 10 * time.Millisecond // an engine reports an end a moment before it lists it
		case <-look.C: // the report may have been missed
			pause = min(2*pause, o.timing.liveness)
		}
		state, err := o.containerState(ctx, w.Container)
		if err == nil && state == ContainerPaused { // by somebody else, and it would never answer
			if err := o.cfg.Runtime.Unpause(ctx, w.Container); err != nil {
				o.log.Warn("a container that was paused while it started could not be resumed", "workspace", w.ID, "error", err)
			}
		}
		if err != nil || state != ContainerExited {
			look.Reset(pause)
			continue // or it was the late report of an end before this start
		}
		cancel()
		<-ready //nolint:errcheck // it has ended, for the reason that is already known
		return fmt.Errorf("%w: %s", workspace.ErrStartFailed, why)
	}
}

// wakeFailed records how a wake failed and leaves no half-started container behind. A wake that
// was cut short by a stop, a delete, another gateway or the end of this process is theirs to clean
// up.
func (o *Orchestrator) wakeFailed(ctx, parent context.Context, op *Operation, w *workspace.Workspace, err error) error {
	if parent.Err() != nil {
		return parent.Err()
	}
	if errors.Is(err, workspace.ErrConflict) || errors.Is(err, workspace.ErrNotFound) {
		return err
	}
	if ctx.Err() != nil && !errors.Is(err, workspace.ErrEngineDown) {
		err = fmt.Errorf("%w (%s)", context.Cause(ctx), o.cfg.StartTimeout)
	}
	ctx, cancel := context.WithTimeout(parent, o.cfg.StopGrace+10*time.Second)
	defer cancel()
	if w.Container != "" && !errors.Is(err, workspace.ErrEngineDown) {
		if errors.Is(err, workspace.ErrStartFailed) || errors.Is(err, workspace.ErrStartTimeout) {
			err = o.withLog(ctx, w, err)
		}
		if e := o.cfg.Runtime.Stop(ctx, w.Container, time.Second); e != nil {
			o.log.Warn("a container that failed to start could not be stopped", "workspace", w.ID, "error", e)
		}
	}
	o.log.Error("workspace did not start", "workspace", w.ID, "error", err)
	o.become(w, workspace.StateError, Explain(err))
	w.LastStart = op.trace(err)
	if e := o.save(ctx, w, workspace.StateStarting); e != nil {
		o.log.Error("a failed start could not be recorded", "workspace", w.ID, "error", e)
	}
	return err
}

func (o *Orchestrator) withLog(ctx context.Context, w *workspace.Workspace, err error) error {
	log, e := o.cfg.Runtime.Logs(ctx, w.Container, 20)
	if e != nil || strings.TrimSpace(log) == "" || strings.Contains(err.Error(), "\n") {
		return err
	}
	return fmt.Errorf("%w\n%s", err, log)
}

// save writes w, whose stored state is from. A concurrent change of what an operation does not own
// (the name, the shares, when it sleeps) is merged; a change of the state is another gateway's, which then has the lease.
func (o *Orchestrator) save(ctx context.Context, w *workspace.Workspace, from workspace.State) error {
	for {
		err := o.cfg.Store.UpdateWorkspace(ctx, w)
		if !errors.Is(err, workspace.ErrConflict) {
			if err == nil {
				o.publish(w)
			}
			return err
		}
		newest, err := o.cfg.Store.Workspace(ctx, w.ID)
		if err != nil {
			return err
		}
		switch newest.State {
		case from:
		case workspace.StateDeleting:
			return workspace.ErrBusy
		default:
			return workspace.ErrConflict
		}
		w.Revision, w.Name, w.Shares = newest.Revision, newest.Name, newest.Shares
		w.KeepAwakeUntil, w.Schedule, w.DiskUsed = newest.KeepAwakeUntil, newest.Schedule, newest.DiskUsed
		if newest.LastActiveAt.After(w.LastActiveAt) {
			w.LastActiveAt, w.LastActivity = newest.LastActiveAt, newest.LastActivity
		}
	}
}
