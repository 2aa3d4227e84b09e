package orchestrator

import (
	"context"
	"sync"
	"time"
)

// startLogAge is how old a start log may be that is shown once more: the engine is asked once,
// however many watch.
const startLogAge = 300 * time.Millisecond

type startLog struct {
	mu   sync.Mutex
	text string
	at   time.Time
}

// followLog records the end of the log in the stage that is under way, every now and then until ctx ends:
// what a slow start is at, such as a repository that is cloned. One that is quick is not asked.
func (o *Orchestrator) followLog(ctx context.Context, op *Operation) {
	tick := time.NewTicker(o.timing.startLog)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			op.lines(o.StartLog(ctx, op))
		}
	}
}

// StartLog returns the end of the log of the container that a wake is starting, or "".
func (o *Orchestrator) StartLog(ctx context.Context, op *Operation) string {
	container := op.Container()
	if stage, _ := op.Stage(); container == "" || stage != StageEditor {
		return ""
	}
	op.log.mu.Lock()
	defer op.log.mu.Unlock()
	if time.Since(op.log.at) < startLogAge {
		return op.log.text
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if text, err := o.cfg.Runtime.Logs(ctx, container, 40); err == nil {
		op.log.text = text
	}
	op.log.at = time.Now()
	return op.log.text
}
