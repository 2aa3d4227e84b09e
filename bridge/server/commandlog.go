package server

import (
	"io"
	"os"
	"sync"

	"github.com/kalpana-dev/kalpana/bridge"
)

// commandLog keeps what a command prints: the first bridge.MaxCommandLog bytes in a file, and of what comes after
// them the last part in memory.
type commandLog struct {
	mu    sync.Mutex
	file  *os.File
	limit int64         // of the file
	saved int64         // bytes in it
	total int64         // bytes printed
	tail  ring          // of what is not in the file
	more  chan struct{} // closed and replaced when something is printed
}

func newCommandLog(path string) (*commandLog, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	return &commandLog{file: file, limit: bridge.MaxCommandLog, tail: ring{limit: bridge.MaxOutput}, more: make(chan struct{})}, nil
}

// Write never fails: a command must not end because its output finds no room.
func (l *commandLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(p)
	l.total += int64(n)
	if room := l.limit - l.saved; room > 0 {
		take := p[:min(room, int64(len(p)))]
		written, err := l.file.WriteAt(take, l.saved)
		l.saved += int64(written)
		p = p[written:]
		if err != nil { // the disk is full: memory takes the rest
			l.limit = l.saved
		}
	}
	l.tail.write(p)
	close(l.more)
	l.more = make(chan struct{})
	return n, nil
}

// read returns what was printed from offset on, or, where that is not kept any more, from where it is again: at. An
// offset below zero is so many bytes before the end. more is closed when something else is printed.
func (l *commandLog) read(offset int64, limit int) (part []byte, at, size int64, more <-chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at = offset; at < 0 {
		at = max(l.total+offset, 0)
	}
	at = min(at, l.total)
	if at < l.saved {
		part, err = io.ReadAll(io.NewSectionReader(l.file, at, min(int64(limit), l.saved-at)))
		return part, at, l.total, l.more, err
	}
	kept := l.tail.bytes()
	at = max(at, l.total-int64(len(kept)))
	kept = kept[int64(len(kept))-(l.total-at):]
	return kept[:min(len(kept), limit)], at, l.total, l.more, nil
}

func (l *commandLog) size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}

func (l *commandLog) remove() {
	_ = os.Remove(l.file.Name())
	_ = l.file.Close()
}
