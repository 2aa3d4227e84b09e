// Package runtimetest is an engine for tests: an orchestrator.Runtime whose containers are small
// HTTP servers in this process, on the ports that were to be published. Each plays the bridge and
// the programs behind it.
//
// Docker itself is tested with orchestrator/docker; here faults and their order are chosen.
package runtimetest

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/workspace"
)

// Verb names a method of the Runtime.
type Verb string

// The verbs.
const (
	Prepare      Verb = "prepare"
	Create       Verb = "create"
	Start        Verb = "start"
	Pause        Verb = "pause"
	Unpause      Verb = "unpause"
	Stop         Verb = "stop"
	Remove       Verb = "remove"
	RemoveVolume Verb = "remove volume"
	List         Verb = "list"
	State        Verb = "state"
	Logs         Verb = "logs"
	Limit        Verb = "limit"
	Measure      Verb = "measure"
	Bound        Verb = "bound"
)

// Boot says how VS Code comes up in a container that was started.
type Boot struct {
	After  time.Duration   // until it is ready
	Until  <-chan struct{} // it is closed; nil means that only time counts
	Never  bool            // it does not come up at all
	Failed string          // the bridge reports this reason …
	Log    string          // … with this log
	Exit   bool            // the container ends instead …
	Code   int             // … with this code
	OOM    bool            // … for want of memory
}

// Runtime is the engine. Its fields are set before it is used; the methods may be called at any
// time.
type Runtime struct {
	// App serves what passes the token check on either port; nil answers "hello".
	App http.Handler
	// Unfenced lets Create and Start fail with ErrFirewall until Prepare has succeeded.
	Unfenced bool
	// Quotas gives a volume that is made for a container with a disk limit a quota. As with Docker, each start
	// sets it to that limit.
	Quotas bool

	mu         sync.Mutex
	boot       func(workspace.ID) Boot
	before     func(context.Context, Verb, workspace.ID) error
	down       bool
	fenced     bool
	busy       map[int]bool
	made       int
	containers map[string]*container
	volumes    map[string]int // container starts with it
	calls      map[Verb]int
	requests   []Request
	log        map[workspace.ID]string
	watchers   map[*watcher]struct{}
	late       bool // events are kept back
	listLate   time.Duration
	host       *orchestrator.Host
	disk       map[workspace.ID]int64
	foreign    map[workspace.ID]int64
	quotas     map[string]quota // of volumes
	kept       []orchestrator.ContainerEvent
}

// New returns an engine without containers. Those that are left at the end of the test end with it.
func New(t testing.TB) *Runtime {
	r := &Runtime{
		busy: map[int]bool{}, containers: map[string]*container{}, volumes: map[string]int{},
		calls: map[Verb]int{}, log: map[workspace.ID]string{}, watchers: map[*watcher]struct{}{},
		disk: map[workspace.ID]int64{}, foreign: map[workspace.ID]int64{}, quotas: map[string]quota{},
	}
	t.Cleanup(func() {
		r.mu.Lock()
		left := r.containers
		r.containers = map[string]*container{}
		r.mu.Unlock()
		for _, c := range left {
			c.shut()
		}
	})
	return r
}

// call counts a verb and lets what SetBefore set have its way.
func (r *Runtime) call(ctx context.Context, v Verb, id workspace.ID) error {
	r.mu.Lock()
	r.calls[v]++
	down, before := r.down, r.before
	r.mu.Unlock()
	if before != nil {
		if err := before(ctx, v, id); err != nil {
			return fmt.Errorf("%s: %w", v, err)
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", v, err)
	}
	if down {
		return fmt.Errorf("%s: %w", v, workspace.ErrEngineDown)
	}
	return nil
}

func (r *Runtime) owner(id string) workspace.ID {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.containers[id]; c != nil {
		return c.spec.Workspace
	}
	return ""
}

// Prepare implements orchestrator.Runtime.
func (r *Runtime) Prepare(ctx context.Context) error {
	if err := r.call(ctx, Prepare, ""); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fenced = true
	return nil
}

// Create implements orchestrator.Runtime.
func (r *Runtime) Create(ctx context.Context, spec orchestrator.Spec) (string, error) {
	if err := r.call(ctx, Create, spec.Workspace); err != nil {
		return "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Unfenced && !r.fenced {
		return "", workspace.ErrFirewall
	}
	r.made++
	c := newContainer(r, fmt.Sprintf("c%d-%s", r.made, spec.Workspace), spec)
	r.containers[c.id] = c
	if _, ok := r.volumes[spec.Volume]; !ok {
		r.volumes[spec.Volume] = 0
		if size := spec.Limits.Disk; r.Quotas && size > 0 {
			r.quotas[spec.Volume] = quota{size, size}
		}
	}
	return c.id, nil
}

// Start implements orchestrator.Runtime.
func (r *Runtime) Start(ctx context.Context, id string) error {
	if err := r.call(ctx, Start, r.owner(id)); err != nil {
		return err
	}
	r.awaitEnd(id)
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.containers[id]
	switch {
	case r.Unfenced && !r.fenced:
		return workspace.ErrFirewall
	case c == nil:
		return orchestrator.ErrNoContainer
	case c.state == orchestrator.ContainerRunning:
		return nil
	case c.state == orchestrator.ContainerPaused:
		r.thaw(c)
		return nil
	}
	for _, port := range c.spec.Ports {
		if r.busy[port] {
			return orchestrator.ErrPortBusy
		}
	}
	var boot Boot
	if r.boot != nil {
		boot = r.boot(c.spec.Workspace)
	}
	if err := c.start(boot); err != nil {
		return fmt.Errorf("%w: %w", orchestrator.ErrPortBusy, err)
	}
	r.volumes[c.spec.Volume]++
	if q, has := r.quotas[c.spec.Volume]; has {
		r.quotas[c.spec.Volume] = quota{q.made, q.made}
	}
	r.emit(orchestrator.ContainerEvent{Container: id, Workspace: c.spec.Workspace})
	return nil
}

// awaitEnd waits until the last run of a container has let go of its ports.
func (r *Runtime) awaitEnd(id string) {
	r.mu.Lock()
	var last *run
	if c := r.containers[id]; c != nil {
		last = c.last
	}
	r.mu.Unlock()
	if last != nil {
		<-last.closed
	}
}

// Stop implements orchestrator.Runtime.
func (r *Runtime) Stop(ctx context.Context, id string, _ time.Duration) error {
	if err := r.call(ctx, Stop, r.owner(id)); err != nil {
		return err
	}
	r.end(id, 143, false)
	return nil
}

// Remove implements orchestrator.Runtime.
func (r *Runtime) Remove(ctx context.Context, id string) error {
	if err := r.call(ctx, Remove, r.owner(id)); err != nil {
		return err
	}
	r.Vanish(id)
	return nil
}

// RemoveVolume implements orchestrator.Runtime.
func (r *Runtime) RemoveVolume(ctx context.Context, name string) error {
	if err := r.call(ctx, RemoveVolume, ""); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.volumes, name)
	delete(r.quotas, name)
	return nil
}

// Containers implements orchestrator.Runtime.
func (r *Runtime) Containers(ctx context.Context) ([]orchestrator.Container, error) {
	if err := r.call(ctx, List, ""); err != nil {
		return nil, err
	}
	list := r.List()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range list {
		if c := r.containers[list[i].ID]; c != nil {
			list[i].State = r.listed(c)
		}
	}
	return list, nil
}

// listed is the state that the engine tells of a container; the caller holds the lock.
func (r *Runtime) listed(c *container) orchestrator.ContainerState {
	if c.before != "" && time.Since(c.since) < r.listLate {
		return c.before
	}
	return c.state
}

// State implements orchestrator.Runtime.
func (r *Runtime) State(ctx context.Context, id string) (orchestrator.ContainerState, error) {
	if err := r.call(ctx, State, r.owner(id)); err != nil {
		return "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.containers[id]; c != nil {
		return r.listed(c), nil
	}
	return orchestrator.ContainerExited, nil
}

// Logs implements orchestrator.Runtime.
func (r *Runtime) Logs(ctx context.Context, id string, _ int) (string, error) {
	owner := r.owner(id)
	if err := r.call(ctx, Logs, owner); err != nil {
		return "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log[owner], nil
}

var _ orchestrator.Runtime = (*Runtime)(nil)
