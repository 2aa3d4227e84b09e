package server

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/kalpana-dev/kalpana/bridge"
)

const (
	// logLines and logBytes bound what the start log remembers for a report of a failed start. Escaped
	// as JSON, it stays below the 64 KiB that bridge.WaitReady reads.
	logLines = 100
	logBytes = 8 << 10
	// maxLine bounds one line, in bytes; the rest of a longer one is left out.
	maxLine = 2048
)

// startLog writes whole lines to the container's output and remembers the last ones.
type startLog struct {
	mu   sync.Mutex
	out  io.Writer
	last []string
	size int
}

func newStartLog(out io.Writer) *startLog { return &startLog{out: out} }

// printf writes a line of our own.
func (l *startLog) printf(format string, args ...any) {
	l.line("kalpana: " + fmt.Sprintf(format, args...))
}

// line writes one line as it is and remembers it free of control characters.
func (l *startLog) line(s string) {
	clean := bridge.Printable(strings.ReplaceAll(s, "\t", "    "), maxLine)
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = io.WriteString(l.out, s+"\n")
	l.last = append(l.last, clean)
	l.size += len(clean) + 1
	for len(l.last) > logLines || l.size > logBytes {
		l.size -= len(l.last[0]) + 1
		l.last = l.last[1:]
	}
}

// tail returns the last lines, separated by \n.
func (l *startLog) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.last, "\n")
}

// lineWriter turns what is written to it into calls of emit, one a line. Both \n and \r end a line, since
// progress is drawn with \r. It is for one writer.
type lineWriter struct {
	emit func(string)
	part []byte
}

func (w *lineWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		end := bytes.IndexAny(p, "\r\n")
		if end < 0 {
			w.keep(p)
			break
		}
		w.keep(p[:end])
		w.flush()
		p = p[end+1:]
	}
	return n, nil
}

func (w *lineWriter) keep(p []byte) {
	w.part = append(w.part, p[:min(len(p), maxLine-len(w.part))]...)
}

// flush emits a line that has no end yet.
func (w *lineWriter) flush() {
	if len(w.part) > 0 {
		w.emit(string(w.part))
		w.part = w.part[:0]
	}
}
