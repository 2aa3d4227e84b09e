package uistream

import (
	"context"
	"encoding/json"
	"io"
	"sync"
)

// Log keeps the chunks of one run, from which any number of readers read from the start, each at its own pace. A
// transient chunk is for readers that are there when it comes. It is for use by several goroutines.
type Log struct {
	mu     sync.Mutex
	frames [][]byte // encoded as server-sent events; a transient one is emptied once newer ones came
	more   chan struct{}
	closed bool
}

// NewLog returns an empty log.
func NewLog() *Log { return &Log{more: make(chan struct{})} }

// Append adds a chunk. It never waits for readers.
func (l *Log) Append(c Chunk) error {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	frame := make([]byte, 0, len(text)+8)
	frame = append(append(append(frame, "data: "...), text...), "\n\n"...)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return io.ErrClosedPipe
	}
	l.frames = append(l.frames, frame)
	close(l.more)
	l.more = make(chan struct{})
	return nil
}

// Close ends the log: readers come to its end.
func (l *Log) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		close(l.more)
	}
}

// Read returns the frames from the given place on, each one server-sent event, waiting for one where there is none
// yet, and the place of the next. It is io.EOF at the end of a closed log.
func (l *Log) Read(ctx context.Context, from int) (frames [][]byte, next int, err error) {
	for {
		l.mu.Lock()
		if from < len(l.frames) {
			frames = l.frames[from:len(l.frames):len(l.frames)]
			l.mu.Unlock()
			return frames, from + len(frames), nil
		}
		closed, more := l.closed, l.more
		l.mu.Unlock()
		if closed {
			return nil, from, io.EOF
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil, from, ctx.Err()
		}
	}
}
