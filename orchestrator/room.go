package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// errNoRoom says that a wake needs another workspace of its owner's to stop first.
var errNoRoom = errors.New("no room yet")

// admit lets a wake of w begin, by what begin writes: once its owner has room for another workspace that
// runs, it has its turn among the starts, and the machine has room. It returns ErrRunningLimit,
// ErrHostFull, or errNoSlot, after which the wake waits without its lease and comes again.
func (o *Orchestrator) admit(ctx context.Context, op *Operation, w *workspace.Workspace, begin func(context.Context) error) error {
	quota, err := o.inTurn(ctx, op, w)
	if err != nil {
		return err
	}
	if err := o.hostHasRoom(ctx); err != nil {
		return err
	}
	if quota.Running == 0 {
		return begin(ctx)
	}
	for {
		err := o.deciding.alone(ctx, w.Owner, func() error {
			return o.exclusively(ctx, "running:"+w.Owner, func(ctx context.Context) error {
				if awake, err := o.awake(ctx, w); err != nil {
					return err
				} else if len(awake) >= quota.Running {
					return errNoRoom
				}
				return begin(ctx)
			})
		})
		if !errors.Is(err, errNoRoom) {
			return err
		}
		if err := o.makeRoom(ctx, w, quota.Running); err != nil { // another wake was quicker
			return err
		}
	}
}

// inTurn sees to it that w's owner has room for it and that it has its turn among the starts. What stops a
// workspace to start it again asks first, so that nobody waits in line with less than before.
func (o *Orchestrator) inTurn(ctx context.Context, op *Operation, w *workspace.Workspace) (workspace.Quota, error) {
	quota, err := o.quota(ctx, w.Owner, w.Template)
	if err != nil {
		return quota, err
	}
	if err := o.makeRoom(ctx, w, quota.Running); err != nil {
		return quota, err
	}
	if !o.queue.take(op, w.Owner) {
		return quota, errNoSlot
	}
	return quota, nil
}

// refused records that a wake was not admitted. What had begun before, and was cut short, ends here.
func (o *Orchestrator) refused(ctx, parent context.Context, op *Operation, w *workspace.Workspace, err error) error {
	switch {
	case errors.Is(err, errNoSlot):
		return err
	case parent.Err() != nil:
		return parent.Err()
	case ctx.Err() != nil:
		return fmt.Errorf("%w (%s)", context.Cause(ctx), o.cfg.StartTimeout)
	case !errors.Is(err, workspace.ErrRunningLimit) && !errors.Is(err, workspace.ErrHostFull):
		return err
	}
	w.LastStart = op.trace(err)
	var e error
	if w.State == workspace.StateStopped || w.State == workspace.StateError {
		e = o.save(ctx, w, w.State)
	} else {
		reason, _, _ := strings.Cut(Explain(err), "\n")
		e = o.stop(ctx, w, reason, workspace.StateStopped)
	}
	if e != nil {
		o.log.Warn("a refused start could not be recorded", "workspace", w.ID, "error", e)
	}
	return err
}

// awake returns the other workspaces of w's owner that hold memory, or are about to.
func (o *Orchestrator) awake(ctx context.Context, w *workspace.Workspace) ([]*workspace.Workspace, error) {
	list, err := o.cfg.Store.Workspaces(ctx, w.Owner)
	return slices.DeleteFunc(list, func(other *workspace.Workspace) bool {
		switch other.State {
		case workspace.StateStarting, workspace.StateRunning, workspace.StatePausing, workspace.StatePaused:
			return other.ID == w.ID
		default:
			return true
		}
	}), err
}

// makeRoom stops workspaces of w's owner until fewer than limit are awake: those that are paused, which
// nobody uses, the longest paused first. Where that is not enough it stops none and returns
// ErrRunningLimit with their names on a line of its own.
func (o *Orchestrator) makeRoom(ctx context.Context, w *workspace.Workspace, limit int) error {
	if limit == 0 {
		return nil
	}
	for {
		awake, err := o.awake(ctx, w)
		if err != nil || len(awake) < limit {
			return err
		}
		paused := slices.DeleteFunc(slices.Clone(awake), func(other *workspace.Workspace) bool {
			return other.State != workspace.StatePaused || o.operation(other.ID) != nil
		})
		if len(paused) <= len(awake)-limit {
			names := make([]string, 0, len(awake))
			for _, other := range awake {
				names = append(names, other.Name)
			}
			return fmt.Errorf("%w, %d\nAwake now: %s", workspace.ErrRunningLimit, limit, strings.Join(names, ", "))
		}
		oldest := slices.MinFunc(paused, func(a, b *workspace.Workspace) int { return a.StateSince.Compare(b.StateSince) })
		if err := o.stopPaused(ctx, oldest.ID, fmt.Sprintf("stopped to make room for “%s”: it was paused, and %d of your workspaces may be awake at a time", w.Name, limit)); err != nil {
			return err
		}
	}
}

// stopPaused stops a workspace that is still paused and that nobody does anything to.
func (o *Orchestrator) stopPaused(ctx context.Context, id workspace.ID, reason string) error {
	op := o.begin(opRepair, id, func(ctx context.Context, _ *Operation) error {
		w, err := o.cfg.Store.Workspace(ctx, id)
		if err != nil || w.State != workspace.StatePaused {
			return err
		}
		if err = o.stop(ctx, w, reason, workspace.StateStopped); err == nil {
			o.cfg.Metrics.slept(workspace.StateStopped, sleptRoom)
		}
		return err
	})
	switch err := op.Wait(ctx); {
	case ctx.Err() != nil, o.isRepair(op) && !errors.Is(err, workspace.ErrConflict) && !errors.Is(err, workspace.ErrNotFound):
		return err
	default:
		return nil // somebody else was at it; the records tell how that went
	}
}

// exclusively runs what one gateway alone may do at a time, and quickly, under a lease of that name.
func (o *Orchestrator) exclusively(ctx context.Context, name string, run func(context.Context) error) error {
	now := time.Now()
	for {
		ok, err := o.cfg.Store.AcquireLease(ctx, name, o.holder, now, now.Add(o.timing.lease))
		if err != nil {
			return err
		}
		if ok {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(o.timing.leasePoll):
		}
		now = time.Now()
	}
	held, cancel := context.WithDeadline(ctx, now.Add(o.timing.lease))
	defer cancel()
	err := run(held)
	if err != nil && held.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w in time: %w", workspace.ErrStoreDown, err)
	}
	release, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer stop()
	if e := o.cfg.Store.ReleaseLease(release, name, o.holder); e != nil {
		o.log.Warn("a lease could not be released; it ends by itself", "lease", name, "error", e)
	}
	return err
}

// turnstile lets one at a time through, for each name.
type turnstile struct {
	mu    sync.Mutex
	gates map[string]*gate
}

type gate struct {
	free  chan struct{} // holds one token while nobody is through
	users int
}

// alone runs what nobody else does meanwhile under the same name.
func (t *turnstile) alone(ctx context.Context, name string, run func() error) error {
	t.mu.Lock()
	g := t.gates[name]
	if g == nil {
		if t.gates == nil {
			t.gates = map[string]*gate{}
		}
		g = &gate{free: make(chan struct{}, 1)}
		g.free <- struct{}{}
		t.gates[name] = g
	}
	g.users++
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if g.users--; g.users == 0 {
			delete(t.gates, name)
		}
	}()
	select {
	case <-g.free:
		defer func() { g.free <- struct{}{} }()
		return run()
	case <-ctx.Done():
		return ctx.Err()
	}
}
