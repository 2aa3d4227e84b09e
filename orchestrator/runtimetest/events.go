package runtimetest

import (
	"context"

	"github.com/kalpana-dev/kalpana/orchestrator"
)

type watcher struct {
	events chan orchestrator.ContainerEvent
	cut    chan struct{}
}

// Watch implements orchestrator.Runtime.
func (r *Runtime) Watch(ctx context.Context, changed func(orchestrator.ContainerEvent), resync func()) {
	for ctx.Err() == nil {
		w := &watcher{events: make(chan orchestrator.ContainerEvent, 1024), cut: make(chan struct{})}
		r.mu.Lock()
		r.watchers[w] = struct{}{}
		r.mu.Unlock()
		resync()
		for open := true; open; {
			select {
			case e := <-w.events:
				changed(e)
			case <-w.cut:
				open = false
			case <-ctx.Done():
				open = false
			}
		}
		r.mu.Lock()
		delete(r.watchers, w)
		r.mu.Unlock()
	}
}

// Watchers returns how many follow the events.
func (r *Runtime) Watchers() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.watchers)
}

// emit tells the watchers of e; the caller holds the lock.
func (r *Runtime) emit(e orchestrator.ContainerEvent) {
	if r.late {
		r.kept = append(r.kept, e)
		return
	}
	for w := range r.watchers {
		w.events <- e
	}
}

// KeepEvents keeps events back; ReleaseEvents sends them and those to come.
func (r *Runtime) KeepEvents() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.late = true
}

// ReleaseEvents ends what KeepEvents began.
func (r *Runtime) ReleaseEvents() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.late = false
	for _, e := range r.kept {
		r.emit(e)
	}
	r.kept = nil
}

// DropEvents loses the events that are kept, and interrupts every stream of events: they connect
// again, as Docker's do.
func (r *Runtime) DropEvents() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.late, r.kept = false, nil
	for w := range r.watchers {
		close(w.cut)
		delete(r.watchers, w)
	}
}
