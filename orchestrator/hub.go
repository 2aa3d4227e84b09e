package orchestrator

import (
	"maps"
	"slices"
	"sync"

	"github.com/kalpana-dev/kalpana/workspace"
)

// Event is a change of a workspace.
type Event struct {
	Workspace *workspace.Workspace // not to be changed; the last record where Deleted
	Deleted   bool
}

// hub passes events on to those who watch.
type hub struct {
	mu       sync.Mutex
	closed   bool
	watchers map[*watcher]struct{}
	last     map[workspace.ID]*workspace.Workspace // as last told; nil for one that is gone
	watched  map[workspace.ID]*workspace.Workspace // of last, those that are awake or have a schedule
}

type watcher struct {
	owner  string
	events chan Event
}

// eventBuffer is how many events one watcher may lag behind before it is cut off.
const eventBuffer = 64

// Subscribe returns the changes of a person's workspaces from now on. The channel is closed when
// the orchestrator is, or when the reader falls too far behind: read the list again then. The
// function ends the subscription.
func (o *Orchestrator) Subscribe(person string) (<-chan Event, func()) {
	w := &watcher{owner: person, events: make(chan Event, eventBuffer)}
	o.hub.mu.Lock()
	defer o.hub.mu.Unlock()
	if o.hub.closed {
		close(w.events)
		return w.events, func() {}
	}
	o.hub.watchers[w] = struct{}{}
	return w.events, func() { o.hub.remove(w) }
}

func (h *hub) remove(w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.watchers[w]; ok {
		delete(h.watchers, w)
		close(w.events)
	}
}

func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for w := range h.watchers {
		delete(h.watchers, w)
		close(w.events)
	}
}

// publish tells watchers and metrics of a record, unless they know a newer one: two writers may come
// here in another order than they wrote.
func (o *Orchestrator) publish(w *workspace.Workspace) {
	o.hub.mu.Lock()
	defer o.hub.mu.Unlock()
	if last, ok := o.hub.last[w.ID]; ok && (last == nil || last.Revision >= w.Revision) {
		return
	}
	record := *w
	o.hub.last[w.ID] = &record
	o.hub.watch(&record)
	if v, ok := o.known.Load(w.ID); !ok || !v.(*known).doubt { // a doubt is ended by know alone
		o.known.Store(w.ID, &known{record: &record})
	}
	o.hub.send(Event{Workspace: &record})
	o.cfg.Metrics.setState(w.ID, w.State)
}

// publishStart tells watchers how far a wake is, which is recorded at its end.
func (o *Orchestrator) publishStart(id workspace.ID, s workspace.Start) {
	o.hub.mu.Lock()
	defer o.hub.mu.Unlock()
	last := o.hub.last[id]
	if last == nil {
		return
	}
	record := *last
	record.LastStart = s
	o.hub.last[id] = &record
	o.hub.send(Event{Workspace: &record})
}

func (o *Orchestrator) publishDeleted(w *workspace.Workspace) {
	o.hub.mu.Lock()
	defer o.hub.mu.Unlock()
	record := *w
	o.hub.last[w.ID] = nil
	delete(o.hub.watched, w.ID)
	o.uses.forget(w.ID)
	o.known.Delete(w.ID)
	o.hub.send(Event{Workspace: &record, Deleted: true})
	o.cfg.Metrics.setState(w.ID, "")
}

// catchUp tells of what other gateways did. before are the ids that were known before the records
// were read.
func (o *Orchestrator) catchUp(before []workspace.ID, records []*workspace.Workspace) {
	exists := make(map[workspace.ID]bool, len(records))
	for _, w := range records {
		exists[w.ID] = true
		o.publish(w)
	}
	for _, id := range before {
		if !exists[id] {
			if w := o.hub.lastOf(id); w != nil {
				o.publishDeleted(w)
			}
			o.hub.forget(id)
			o.dropRoute(id)
		}
	}
}

// watch notes whether the sleep of w is to be looked at; the caller holds the lock.
func (h *hub) watch(w *workspace.Workspace) {
	awake := w.State == workspace.StateRunning || w.State == workspace.StatePaused
	if awake || w.Schedule.WakeAt != "" || w.Schedule.StopAt != "" {
		h.watched[w.ID] = w
	} else {
		delete(h.watched, w.ID)
	}
}

// toWatch returns the records of those that are awake or have a schedule. They are not to be changed.
func (h *hub) toWatch() []*workspace.Workspace {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Values(h.watched))
}

func (h *hub) lastOf(id workspace.ID) *workspace.Workspace {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last[id]
}

func (h *hub) forget(id workspace.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.last, id)
}

func (h *hub) ids() []workspace.ID {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Keys(h.last))
}

// send passes e on to its owner's watchers; the caller holds the lock.
func (h *hub) send(e Event) {
	for w := range h.watchers {
		if w.owner != e.Workspace.Owner {
			continue
		}
		select {
		case w.events <- e:
		default:
			delete(h.watchers, w)
			close(w.events)
		}
	}
}
