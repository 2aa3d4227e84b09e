package uistream

import (
	"context"
	"errors"
	"io"
	"slices"
	"sort"
	"strings"
	"sync"
)

// Log keeps the chunks of one run, from which any number of readers read from the start, each at its own pace. It
// keeps no more than the message needs that they make: pieces of one text are kept as one, so a reader that is
// behind gets them as one, and what a later chunk replaces is forgotten. A transient chunk is for readers that are
// there when it comes, and no more than 64 KiB behind. It is for use by several goroutines.
type Log struct {
	mu      sync.Mutex
	before  []Chunk // of which a client makes the message that the run goes on with
	builder *Builder
	next    int     // the place of the next chunk
	kept    []entry // by their places
	passing []entry // transient ones, by their places
	passed  int     // their size in bytes, states not counted
	ended   bool    // nothing comes any more
	closed  bool
	more    chan struct{}
}

// entry is a chunk of a Log, or several that are pieces of one text.
type entry struct {
	at    int    // the place of the first
	frame []byte // a whole event; nil for pieces
	typ   Type
	id    string // of the text, the call, or the data
	state bool   // transient data that newcomers get too
	text  []byte // all pieces
	ends  []int  // where each ends in text
}

// end returns the place after an entry.
func (e *entry) end() int { return e.at + max(1, len(e.ends)) }

// The limits of one message. What ends it is always taken.
const (
	maxMessage = 4 << 20  // bytes
	maxPassing = 64 << 10 // bytes of transient chunks that are kept
)

// ErrTooLong says that a message has become longer than is kept of one.
var ErrTooLong = errors.New("the answer is longer than 4 MiB")

// Places to read from.
const (
	// FromStart is where the run begins.
	FromStart = 0
	// FromMessage is where the message begins, which may have been before the run: for who has nothing of it.
	FromMessage = -1
)

// NewLog returns the empty log of a run that begins a message.
func NewLog() *Log { return &Log{builder: NewBuilder(), more: make(chan struct{})} }

// ContinueLog returns the empty log of a run that goes on with a message.
func ContinueLog(m Message) *Log {
	return &Log{builder: Continue(m), before: m.Chunks(), more: make(chan struct{})}
}

// Message returns the message as clients have it that have read all.
func (l *Log) Message() Message {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.builder.Message()
}

// Append adds a chunk. It never waits for readers. After Finish, Abort or ErrorType there is no more to append
// (io.ErrClosedPipe); before one of them, what is still open is ended. Other errors are or wrap ErrChunk, for what
// the client would not take, and ErrTooLong; the chunk is not added then.
func (l *Log) Append(c Chunk) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return io.ErrClosedPipe
	}
	if err := l.append(c); err != nil {
		return err
	}
	close(l.more)
	l.more = make(chan struct{})
	return nil
}

// What is said of calls that nothing comes of any more.
const (
	notDoneAborted = "This was not carried out, or not to its end: the run was stopped."
	notDoneFailed  = "This was not carried out, or not to its end: the run ended before."
)

func (l *Log) append(c Chunk) error {
	switch c.Type {
	case Finish:
		l.closeParts("")
	case Abort:
		l.closeParts(notDoneAborted)
	case ErrorType:
		l.closeParts(notDoneFailed)
	case TextDelta, ReasoningDelta, ToolInputDelta:
		if c.Delta == "" && c.InputTextDelta == "" {
			return nil
		}
		c.Delta, c.InputTextDelta = strings.ToValidUTF8(c.Delta, "\ufffd"), strings.ToValidUTF8(c.InputTextDelta, "\ufffd")
	}
	c.complete()
	if l.builder.Size() > maxMessage && c.grows() {
		return ErrTooLong
	}
	if err := l.builder.Apply(c); err != nil {
		return err
	}
	if err := l.add(c); err != nil {
		return err
	}
	l.ended = c.Type.last()
	return nil
}

func (l *Log) closeParts(because string) {
	for _, c := range l.builder.close(because) {
		if l.builder.Apply(c) == nil {
			_ = l.add(c)
		}
	}
}

// complete fills in what the client needs to be there.
func (c *Chunk) complete() {
	null := orNull(nil)
	switch c.Type {
	case ToolInputAvailable, ToolInputError:
		c.Input = orNull(c.Input)
	case ToolOutputAvailable:
		if c.Output == nil {
			c.Output = null
		}
	case ErrorType, ToolOutputError:
		if c.ErrorText == "" {
			c.ErrorText = "Something went wrong, and nothing says what."
		}
	default:
		if c.Type.data() && c.Data == nil {
			c.Data = null
		}
	}
}

// grows reports whether a chunk may add much to a message.
func (c *Chunk) grows() bool {
	switch c.Type {
	case TextStart, TextDelta, ReasoningStart, ReasoningDelta, StartStep, SteeringMessage,
		ToolInputStart, ToolInputDelta, ToolInputAvailable, ToolOutputAvailable:
		return true
	}
	return c.Type.data() && !c.Transient
}

func (l *Log) add(c Chunk) error {
	e := entry{at: l.next, typ: c.Type}
	piece := ""
	switch c.Type {
	case TextDelta, ReasoningDelta:
		e.id, piece = c.ID, c.Delta
	case ToolInputDelta:
		e.id, piece = c.ToolCallID, c.InputTextDelta
	case ToolInputStart, ToolInputAvailable, ToolInputError, ToolOutputAvailable, ToolOutputError:
		e.id = c.ToolCallID
	default:
		e.id, e.state = c.ID, c.Transient && c.ID != ""
	}
	if piece != "" {
		l.next++
		l.addPiece(e, piece)
		return nil
	}
	frame, err := event(c)
	if err != nil {
		return err
	}
	l.next++
	e.frame = frame
	switch {
	case c.Transient && c.Type.data():
		l.addPassing(e)
		return nil
	case c.Type == ToolInputAvailable, c.Type == ToolInputError:
		l.forget(ToolInputDelta, e.id, ToolInputStart)
	case c.Type == ToolOutputAvailable, c.Type == ToolOutputError:
		l.forget(ToolOutputAvailable, e.id, ToolInputAvailable) // preliminary ones
	}
	l.kept = append(l.kept, e)
	return nil
}

func (l *Log) addPiece(e entry, piece string) {
	if n := len(l.kept); n > 0 {
		if last := &l.kept[n-1]; last.typ == e.typ && last.id == e.id && last.end() == e.at {
			last.text = append(last.text, piece...)
			last.ends = append(last.ends, len(last.text))
			return
		}
	}
	e.text, e.ends = []byte(piece), []int{len(piece)}
	l.kept = append(l.kept, e)
}

// forget removes the entries of a type and ID back to one of the given type, which later ones have replaced.
func (l *Log) forget(t Type, id string, since Type) {
	for i := len(l.kept) - 1; i >= 0; i-- {
		switch e := &l.kept[i]; {
		case e.id != id:
		case e.typ == t:
			l.kept = slices.Delete(l.kept, i, i+1)
		case e.typ == since:
			return
		}
	}
}

func (l *Log) addPassing(e entry) {
	if e.state {
		l.passing = slices.DeleteFunc(l.passing, func(old entry) bool { return old.state && old.typ == e.typ && old.id == e.id })
	} else {
		l.passed += len(e.frame)
	}
	l.passing = append(l.passing, e)
	drop := 0
	l.passing = slices.DeleteFunc(l.passing, func(old entry) bool {
		if old.state || l.passed-drop <= maxPassing {
			return false
		}
		drop += len(old.frame)
		return true
	})
	l.passed -= drop
}

// Close ends the log: readers come to its end. One that nothing has ended yet ends with an error.
func (l *Log) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	if !l.ended {
		_ = l.append(Chunk{Type: ErrorType, ErrorText: "The run ended without saying why. Send a message to go on."})
	}
	l.ended, l.closed = true, true
	close(l.more)
}

// Read returns the frames from the given place on, each one server-sent event, waiting for one where there is none
// yet, and the place of the next. It is io.EOF at the end of a closed log.
func (l *Log) Read(ctx context.Context, from int) (frames [][]byte, next int, err error) {
	for {
		frames, next, more, err := l.Next(from)
		if err != nil || len(frames) > 0 {
			return frames, next, err
		}
		from = next
		select {
		case <-more:
		case <-ctx.Done():
			return nil, from, ctx.Err()
		}
	}
}

// Next is Read that does not wait: where there is nothing yet, more is closed once it is worth to look again.
func (l *Log) Next(from int) (frames [][]byte, next int, more <-chan struct{}, err error) {
	if from < FromStart {
		for _, c := range l.before { // which nothing writes to
			frame, err := event(c)
			if err != nil {
				return nil, from, nil, err
			}
			frames = append(frames, frame)
		}
		if from = FromStart; len(frames) > 0 {
			return frames, from, nil, nil
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if from < l.next {
		if frames = l.since(from); len(frames) > 0 {
			return frames, l.next, nil, nil
		} // else all of it was for others
	}
	if l.closed {
		return nil, l.next, nil, io.EOF
	}
	return nil, l.next, l.more, nil
}

// since returns the frames from the given place on.
func (l *Log) since(from int) (frames [][]byte) {
	kept := l.kept[sort.Search(len(l.kept), func(i int) bool { return l.kept[i].end() > from }):]
	passing := l.passing
	if from > FromStart {
		passing = passing[sort.Search(len(passing), func(i int) bool { return passing[i].at >= from }):]
	}
	for len(kept)+len(passing) > 0 {
		if len(kept) == 0 || (len(passing) > 0 && passing[0].at < kept[0].at) {
			if passing[0].state || from > FromStart {
				frames = append(frames, passing[0].frame)
			}
			passing = passing[1:]
			continue
		}
		frames = append(frames, kept[0].since(from))
		kept = kept[1:]
	}
	return frames
}

// since returns an entry as an event, without the pieces before the given place.
func (e *entry) since(from int) []byte {
	if e.frame != nil {
		return e.frame
	}
	text := e.text
	if from > e.at {
		text = text[e.ends[from-e.at-1]:]
	}
	c := Chunk{Type: e.typ, ID: e.id, Delta: string(text)}
	if e.typ == ToolInputDelta {
		c = Chunk{Type: e.typ, ToolCallID: e.id, InputTextDelta: string(text)}
	}
	frame, _ := event(c) // texts can always be encoded
	return frame
}

// event returns a chunk as a server-sent event.
func event(c Chunk) ([]byte, error) {
	text, err := encode(c)
	if err != nil {
		return nil, err
	}
	frame := make([]byte, 0, len(text)+8)
	return append(append(append(frame, "data: "...), text...), "\n\n"...), nil
}
