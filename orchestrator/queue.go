package orchestrator

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// queue bounds how many starts go on at once in this process: each takes a processor for a second or
// more, and many at a time would all be late. Who waits holds no lease, and no part of the time that a
// start may take.
//
// People take turns: whoever has the fewest starts ahead comes next, then whoever has waited longest
// for a turn, then who came first.
type queue struct {
	slots int // 0 is any number
	// hold is how long a start keeps its slot at most. What still comes up then hardly needs a processor,
	// and a workspace that never gets ready does not keep the others waiting.
	hold  time.Duration
	gauge func(waiting int)

	mu      sync.Mutex
	waiting []*turn
	going   map[string]int // owner → starts that go on
	served  map[string]int // owner → when they were last served, in half starts of all; of those who are here
	begun   int            // starts of all
}

// turn is one start's place in the queue, or its slot.
type turn struct {
	owner string
	op    *Operation
	ready chan struct{} // closed when it has a slot
	going bool
	timer *time.Timer // ends a slow start's hold on its slot
}

// errNoSlot says that a wake must wait for its turn, without the workspace's lease.
var errNoSlot = errors.New("other workspaces are being started")

func newQueue(slots int, gauge func(int)) *queue {
	return &queue{slots: slots, hold: slotHold, gauge: gauge, going: map[string]int{}, served: map[string]int{}}
}

const slotHold = 15 * time.Second

// take gives the operation a slot, or puts it in line and reports false.
func (q *queue) take(op *Operation, owner string) bool {
	if q.slots <= 0 {
		return true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if op.turn == nil {
		op.turn = &turn{owner: owner, op: op, ready: make(chan struct{})}
		q.waiting = append(q.waiting, op.turn)
		if _, here := q.served[owner]; !here {
			q.served[owner] = 2*q.begun - 1 // before whoever was served just now, after those who wait longer
		}
		q.advance()
	}
	select {
	case <-op.turn.ready:
		return true
	default:
		return false
	}
}

// wait waits for the operation's turn.
func (q *queue) wait(ctx context.Context, op *Operation) error {
	q.mu.Lock()
	t := op.turn
	q.mu.Unlock()
	select {
	case <-t.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// leave gives back what the operation has: its place or its slot.
func (q *queue) leave(op *Operation) {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := op.turn
	switch {
	case t == nil:
		return
	case t.going:
		t.going = false
		if q.going[t.owner]--; q.going[t.owner] == 0 {
			delete(q.going, t.owner)
		}
		t.timer.Stop()
	default:
		i := slices.Index(q.waiting, t)
		if i < 0 {
			return // it has left before
		}
		q.waiting = slices.Delete(q.waiting, i, i+1)
	}
	q.advance()
}

// starts returns how many starts go on.
func (q *queue) starts() (n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, going := range q.going {
		n += going
	}
	return n
}

// advance lets those go whose turn it is, and tells the others their places; the caller holds the lock.
func (q *queue) advance() {
	going := 0
	for _, n := range q.going {
		going += n
	}
	for ; going < q.slots && len(q.waiting) > 0; going++ {
		q.arrange()
		t := q.waiting[0]
		q.waiting = q.waiting[1:]
		q.begun++
		q.going[t.owner]++
		q.served[t.owner] = 2 * q.begun
		t.going, t.timer = true, time.AfterFunc(q.hold, func() { q.leave(t.op) })
		t.op.place(0, 0)
		close(t.ready)
	}
	q.arrange()
	here := map[string]bool{}
	for i, t := range q.waiting {
		here[t.owner] = true
		t.op.place(i+1, len(q.waiting))
	}
	for owner := range q.served {
		if q.going[owner] == 0 && !here[owner] {
			delete(q.served, owner)
		}
	}
	q.gauge(len(q.waiting))
}

// arrange sorts those who wait into the order in which they go, as far as one can tell: in rounds, in each
// of which everybody has one more start than in the one before.
func (q *queue) arrange() {
	ahead := map[string]int{}
	rounds := make(map[*turn]int, len(q.waiting))
	for _, t := range q.waiting { // of one owner they are in the order in which they came
		rounds[t] = q.going[t.owner] + ahead[t.owner]
		ahead[t.owner]++
	}
	slices.SortStableFunc(q.waiting, func(a, b *turn) int {
		if d := rounds[a] - rounds[b]; d != 0 {
			return d
		}
		if d := q.going[b.owner] - q.going[a.owner]; d != 0 {
			return d // who comes into the line only with this round goes before those who have gone in the last
		}
		return q.served[a.owner] - q.served[b.owner]
	})
}

// Place returns where a wake is in the line of those that wait for others to start, 1 being next, and
// how many wait; 0 and 0 when it does not wait there. A change closes the channel of Stage.
func (op *Operation) Place() (place, of int) {
	op.mu.Lock()
	defer op.mu.Unlock()
	return op.inLine[0], op.inLine[1]
}

// place tells the operation its place.
func (op *Operation) place(place, of int) {
	op.mu.Lock()
	defer op.mu.Unlock()
	now := [2]int{place, of}
	if op.inLine == now {
		return
	}
	op.inLine = now
	op.publish()
	close(op.changed)
	op.changed = make(chan struct{})
}

// queued runs an operation under its workspace's lease; one that needs a slot waits for it without.
func (o *Orchestrator) queued(op *Operation, id workspace.ID, run work) error {
	defer o.queue.leave(op)
	for {
		err := o.leased(op, id, run)
		if !errors.Is(err, errNoSlot) {
			return err
		}
		op.enter(StageQueued, "")
		if err := o.queue.wait(op.ctx, op); err != nil {
			return err
		}
	}
}
