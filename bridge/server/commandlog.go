package server

import (
	"io"
	"os"
	"sync"

	"github.com/kalpana-dev/kalpana/bridge"
)

// logMemory is how much of what a command prints is kept in memory before there is a file for it: most print less.
const logMemory = 64 << 10

// commandLog keeps what a command prints: the first bridge.MaxCommandLog bytes, in a file if they are many, and of what
// comes after them the last part in memory.
type commandLog struct {
	path string // of the file; empty where there can be none

	mu    sync.Mutex
	head  []byte   // what is saved, while there is no file
	file  *os.File // nil before it is needed
	limit int64    // of what is saved
	saved int64    // bytes in head or in the file
	total int64    // bytes printed
	tail  ring     // of what is not saved
	more  chan struct{}
	gone  bool
}

func newCommandLog(path string) *commandLog {
	return &commandLog{path: path, limit: bridge.MaxCommandLog, tail: ring{limit: bridge.MaxOutput}, more: make(chan struct{})}
}

// Write never fails: a command must not end because its output finds no room.
func (l *commandLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(p)
	l.total += int64(n)
	if room := l.limit - l.saved; room > 0 {
		written, err := l.save(p[:min(room, int64(len(p)))])
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

// save appends to what is saved; the caller holds the lock.
func (l *commandLog) save(p []byte) (int, error) {
	if l.file == nil {
		if l.saved+int64(len(p)) <= logMemory {
			l.head = append(l.head, p...)
			return len(p), nil
		}
		file, err := os.OpenFile(l.path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
		if err != nil {
			return 0, err
		}
		if _, err := file.Write(l.head); err != nil {
			_ = file.Close()
			_ = os.Remove(l.path)
			return 0, err
		}
		l.file, l.head = file, nil
	}
	return l.file.WriteAt(p, l.saved)
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
		n := min(int64(limit), l.saved-at)
		if l.file == nil {
			return append([]byte(nil), l.head[at:at+n]...), at, l.total, l.more, nil
		}
		part, err = io.ReadAll(io.NewSectionReader(l.file, at, n))
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

// onDisk is how many bytes the file has.
func (l *commandLog) onDisk() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return 0
	}
	return l.saved
}

// remove removes what was printed. Whoever reads it still gets nothing more.
func (l *commandLog) remove() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil && !l.gone {
		_ = os.Remove(l.path)
		_ = l.file.Close()
	}
	l.gone = true
}
