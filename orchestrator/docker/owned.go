package docker

import (
	"context"
	"fmt"
	"sync"

	"github.com/kalpana-dev/kalpana/orchestrator"
)

// owned remembers which containers carry our label. A container's labels never change and its id is
// never used again, so an answer holds for good, and the common calls need no look at the engine.
type owned struct {
	mu  sync.Mutex
	ids map[string]bool
}

// fullIDLength is the length of an engine's container id. Names and short ids are not remembered:
// they may mean another container later.
const fullIDLength = 64

func (o *owned) add(id string) {
	if len(id) != fullIDLength {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ids == nil {
		o.ids = make(map[string]bool)
	}
	o.ids[id] = true
}

func (o *owned) has(id string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ids[id]
}

func (o *owned) drop(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.ids, id)
}

// replace forgets everything but ids, which it keeps. One that was made meanwhile costs a look at the engine.
func (o *owned) replace(ids map[string]bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ids = ids
}

// own returns nil if the container is this instance's, ErrNoContainer if there is none, and
// ErrForeign otherwise.
func (r *Runtime) own(ctx context.Context, id string) error {
	if err := r.settle(ctx); err != nil {
		return err
	}
	if id == "" {
		return fmt.Errorf("%w: it has no id", orchestrator.ErrNoContainer)
	}
	if r.owned.has(id) {
		return nil
	}
	ctx, cancel := within(ctx, quickTimeout)
	defer cancel()
	c, err := r.api.ContainerInspect(ctx, id)
	if err != nil {
		return fault("look at container", err)
	}
	if c.Config == nil || c.Config.Labels[LabelInstance] != r.cfg.Instance {
		return fmt.Errorf("container %.12s: %w", id, ErrForeign)
	}
	r.owned.add(c.ID)
	return nil
}
