package orchestrator_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/workspace"
)

// doom is the end of a process before its nth call of store or engine, as by kill -9: that call and
// all later ones have no effect, and no lease is given back.
type doom struct {
	mu   sync.Mutex
	left int
}

func (d *doom) strike() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.left <= 0 {
		return workspace.ErrStoreDown
	}
	d.left--
	return nil
}

// kill strikes at once.
func (d *doom) kill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left = 0
}

func (d *doom) struck() bool { return d.strike() != nil }

// doomedRuntime is the engine as the process that ends sees it.
type doomedRuntime struct {
	*runtimetest.Runtime
	doom *doom
}

func (r *doomedRuntime) Create(ctx context.Context, spec orchestrator.Spec) (string, error) {
	if err := r.doom.strike(); err != nil {
		return "", err
	}
	return r.Runtime.Create(ctx, spec)
}

func (r *doomedRuntime) Start(ctx context.Context, id string) error {
	if err := r.doom.strike(); err != nil {
		return err
	}
	return r.Runtime.Start(ctx, id)
}

func (r *doomedRuntime) Pause(ctx context.Context, id string) error {
	if err := r.doom.strike(); err != nil {
		return err
	}
	return r.Runtime.Pause(ctx, id)
}

func (r *doomedRuntime) Unpause(ctx context.Context, id string) error {
	if err := r.doom.strike(); err != nil {
		return err
	}
	return r.Runtime.Unpause(ctx, id)
}

func (r *doomedRuntime) Stop(ctx context.Context, id string, grace time.Duration) error {
	if err := r.doom.strike(); err != nil {
		return err
	}
	return r.Runtime.Stop(ctx, id, grace)
}

func (r *doomedRuntime) Remove(ctx context.Context, id string) error {
	if err := r.doom.strike(); err != nil {
		return err
	}
	return r.Runtime.Remove(ctx, id)
}

func (r *doomedRuntime) RemoveVolume(ctx context.Context, name string) error {
	if err := r.doom.strike(); err != nil {
		return err
	}
	return r.Runtime.RemoveVolume(ctx, name)
}

// killed runs an operation on a gateway that ends before its nth call, and reports whether it did
// end.
func (w *world) killed(n int, run func(*orchestrator.Orchestrator) *orchestrator.Operation) bool {
	w.Helper()
	d := &doom{left: n}
	frail := &frailStore{Store: w.store, fault: func(string, *workspace.Workspace) error { return d.strike() }}
	o := w.gateway(func(c *orchestrator.Config) {
		c.Store, c.Runtime = frail, &doomedRuntime{w.runtime, d}
	})
	o.SetLease(crashLease)
	err := w.end(run(o))
	o.Close()
	if struck := d.struck(); struck != (err != nil) {
		// A lease that could not be given back is no error of the operation.
		if err != nil {
			w.Fatalf("killed %v, error %v", struck, err)
		}
		return true
	} else if !struck {
		return false
	}
	return true
}

const crashLease = 600 * time.Millisecond

func TestCrash_AtAnyInstantLosesNoWorkspaceNoFileNoPort(t *testing.T) {
	w := newWorld(t)
	w.first = runtimetest.FreePorts(t, 600)
	w.last = w.first + 599
	many := func(c *orchestrator.Config) { c.WorkspaceLimit = -1 }
	whole := w.gateway(many)
	scenarios := map[string]struct {
		before func(workspace.ID)
		run    func(workspace.ID) func(*orchestrator.Orchestrator) *orchestrator.Operation
	}{
		"first wake": {
			func(workspace.ID) {},
			func(id workspace.ID) func(*orchestrator.Orchestrator) *orchestrator.Operation {
				return func(o *orchestrator.Orchestrator) *orchestrator.Operation { return o.Wake(id) }
			},
		},
		"later wake": {
			func(id workspace.ID) { w.wake(whole, id); w.must(w.end(whole.Stop(id, "test"))) },
			func(id workspace.ID) func(*orchestrator.Orchestrator) *orchestrator.Operation {
				return func(o *orchestrator.Orchestrator) *orchestrator.Operation { return o.Wake(id) }
			},
		},
		"stop": {
			func(id workspace.ID) { w.wake(whole, id) },
			func(id workspace.ID) func(*orchestrator.Orchestrator) *orchestrator.Operation {
				return func(o *orchestrator.Orchestrator) *orchestrator.Operation { return o.Stop(id, "test") }
			},
		},
		"pause": {
			func(id workspace.ID) { w.wake(whole, id) },
			func(id workspace.ID) func(*orchestrator.Orchestrator) *orchestrator.Operation {
				return func(o *orchestrator.Orchestrator) *orchestrator.Operation { return o.Pause(id, "test") }
			},
		},
		"resume": {
			func(id workspace.ID) { w.wake(whole, id); w.must(w.end(whole.Pause(id, "test"))) },
			func(id workspace.ID) func(*orchestrator.Orchestrator) *orchestrator.Operation {
				return func(o *orchestrator.Orchestrator) *orchestrator.Operation { return o.Wake(id) }
			},
		},
		"stop of a paused one": {
			func(id workspace.ID) { w.wake(whole, id); w.must(w.end(whole.Pause(id, "test"))) },
			func(id workspace.ID) func(*orchestrator.Orchestrator) *orchestrator.Operation {
				return func(o *orchestrator.Orchestrator) *orchestrator.Operation { return o.Stop(id, "test") }
			},
		},
		"restart": {
			func(id workspace.ID) { w.wake(whole, id) },
			func(id workspace.ID) func(*orchestrator.Orchestrator) *orchestrator.Operation {
				return func(o *orchestrator.Orchestrator) *orchestrator.Operation { return o.Restart(id, "test") }
			},
		},
		"rebuild": {
			func(id workspace.ID) { w.wake(whole, id) },
			func(id workspace.ID) func(*orchestrator.Orchestrator) *orchestrator.Operation {
				return func(o *orchestrator.Orchestrator) *orchestrator.Operation { return o.Rebuild(id) }
			},
		},
		"delete": {
			func(id workspace.ID) { w.wake(whole, id) },
			func(id workspace.ID) func(*orchestrator.Orchestrator) *orchestrator.Operation {
				return func(o *orchestrator.Orchestrator) *orchestrator.Operation { return o.Delete(id) }
			},
		},
	}
	wrecks := map[workspace.ID]string{}
	volumes := map[workspace.ID]bool{}
	for name, s := range scenarios {
		for n := 0; ; n++ {
			id := w.create(whole)
			s.before(id)
			if !w.killed(n, s.run(id)) {
				break
			}
			wrecks[id] = fmt.Sprintf("%s, killed before call %d", name, n)
			volumes[id] = slices.Contains(w.runtime.Volumes(), "kalpana-"+string(id))
		}
	}
	if len(wrecks) < 70 {
		t.Fatalf("only %d instants were tried", len(wrecks))
	}
	whole.Close()

	began := time.Now()
	o := w.gateway(many)
	o.SetLease(crashLease)
	o.Start()
	w.eventually("nothing is half done", func() bool {
		records, err := w.store.Workspaces(t.Context(), "")
		w.must(err)
		for _, r := range records {
			settled := r.State == workspace.StateStopped || r.State == workspace.StatePaused ||
				r.State == workspace.StateRunning && o.Route(r.ID) != nil
			if !settled || r.Desired != r.State || o.Operation(r.ID) != nil {
				return false
			}
		}
		return true
	})
	t.Logf("%d wrecks were put in order in %v", len(wrecks), time.Since(began))
	w.must(o.Reconcile(t.Context()))
	for id, wreck := range wrecks {
		w.checkWreck(o, id, wreck, volumes[id])
	}
}

// checkWreck looks at what a crash has left, once it was put in order.
func (w *world) checkWreck(o *orchestrator.Orchestrator, id workspace.ID, wreck string, volume bool) {
	w.Helper()
	list := w.runtime.Of(id)
	record, err := w.store.Workspace(w.Context(), id)
	if err != nil { // the delete had begun
		w.wantGone(o, id)
		return
	}
	switch {
	case record.State == workspace.StateRunning && (len(list) != 1 || list[0].State != orchestrator.ContainerRunning):
		w.Errorf("%s: it is said to run; containers %v", wreck, list)
	case record.State == workspace.StatePaused && (len(list) != 1 || list[0].State != orchestrator.ContainerPaused):
		w.Errorf("%s: it is said to be paused; containers %v", wreck, list)
	case record.State == workspace.StateStopped && len(list) > 0 && list[0].State == orchestrator.ContainerRunning:
		w.Errorf("%s: it is said to be stopped; containers %v", wreck, list)
	case len(list) > 1, len(list) == 1 && list[0].ID != record.Container:
		w.Errorf("%s: containers %v, known as %q", wreck, list, record.Container)
	}
	if volume && !slices.Contains(w.runtime.Volumes(), "kalpana-"+string(id)) {
		w.Errorf("%s: its volume is gone", wreck)
	}
	w.wake(o, id)
	w.wantContainer(id, orchestrator.ContainerRunning)
	if n := w.portsOf(id); n != 2 {
		w.Errorf("%s: it holds %d ports, want 2", wreck, n)
	}
}
