package server

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
	"github.com/gorilla/websocket"

	"github.com/kalpana-dev/kalpana/bridge"
)

const (
	// viewerQueue is how far a viewer may lag behind, in bytes, before the terminal waits for it.
	viewerQueue = 1 << 20
	// viewerStall is for how long it does; then the viewer is sent away, and may come again for what is
	// replayed.
	viewerStall = 2 * time.Second
	// viewerWrite bounds the writing of one message to a viewer.
	viewerWrite = 10 * time.Second
	// viewerPing is the pause between pings to a viewer; one that is silent for three of them is gone.
	viewerPing = 20 * time.Second
	// maxInput bounds one message of a viewer, in bytes.
	maxInput = 64 << 10
)

// ptys are the terminals that were made over the bridge. One lives until its program ends.
type ptys struct {
	commands commands

	mu     sync.Mutex
	all    []*terminal // oldest first
	closed bool
	work   sync.WaitGroup
}

// terminal is a pseudo terminal with a program in it, and whoever looks at it.
type terminal struct {
	id      string
	text    string
	started time.Time
	device  *os.File
	cmd     *exec.Cmd

	mu      sync.Mutex
	replay  ring
	viewers map[*viewer]struct{}
	room    chan struct{} // holds one when a viewer may have room again
	ended   bool
	code    int
}

// viewer is one WebSocket.
type viewer struct {
	conn *websocket.Conn

	mu     sync.Mutex
	queue  [][]byte
	queued int
	ready  chan struct{} // holds one when there is something to write
	code   int           // why it ends: a close code; 0 while it does not
	reason string
}

func (p *ptys) create(_ context.Context, params bridge.CreateTerminalParams) (*bridge.CreateTerminalResult, error) {
	argv := params.Argv
	if len(argv) == 0 {
		argv = []string{"bash", "-l"}
	}
	argv, _, err := commandOf(bridge.RunCommandParams{Argv: argv, Env: params.Env})
	if err != nil {
		return nil, err
	}
	size, err := windowSize(params.Cols, params.Rows)
	if err != nil {
		return nil, err
	}
	dir, rel, err := p.commands.folder.openDir(params.Cwd)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return nil, bridge.ErrCancelled
	case len(p.all) >= bridge.MaxTerminals:
		return nil, bridge.ErrBusy.With("%d terminals are open already; close one", len(p.all))
	}
	t := &terminal{
		id: strings.ToLower(rand.Text()[:12]), text: commandText(argv), started: time.Now(),
		replay: ring{limit: bridge.TerminalReplay}, viewers: map[*viewer]struct{}{}, room: make(chan struct{}, 1),
	}
	t.cmd = p.commands.inside(context.Background(), dir, rel, argv)
	t.cmd.Env = append(append(t.cmd.Env, "TERM=xterm-256color", "COLORTERM=truecolor"), params.Env...)
	t.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true} // a session, and so a group, of its own
	if t.device, err = pty.StartWithAttrs(t.cmd, size, t.cmd.SysProcAttr); err != nil {
		return nil, startFailed(argv[0], err)
	}
	p.all = append(p.all, t)
	p.work.Go(func() {
		t.run()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.all = slices.DeleteFunc(p.all, func(other *terminal) bool { return other == t })
	})
	return &bridge.CreateTerminalResult{ID: t.id}, nil
}

func windowSize(cols, rows int) (*pty.Winsize, error) {
	if cols == 0 && rows == 0 {
		cols, rows = 80, 24
	}
	if cols < 1 || cols > bridge.MaxTerminalSide || rows < 1 || rows > bridge.MaxTerminalSide {
		return nil, bridge.ErrInvalid.With("cols and rows are from 1 to %d", bridge.MaxTerminalSide)
	}
	return &pty.Winsize{Cols: uint16(cols), Rows: uint16(rows)}, nil
}

// run passes on what the program prints until it has ended.
func (t *terminal) run() {
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = t.cmd.Wait()
		// What the program left behind may hold the terminal open for ever.
		time.AfterFunc(leftBehind, func() { _ = t.device.Close() })
	}()
	buffer := make([]byte, 32<<10)
	for {
		n, err := t.device.Read(buffer)
		if n > 0 {
			t.printed(slices.Clone(buffer[:n]))
		}
		if err != nil { // EIO: nobody has it open any more
			break
		}
	}
	t.kill()
	<-exited
	_ = t.device.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended, t.code = true, exitCode(t.cmd.ProcessState)
	for v := range t.viewers {
		v.end(websocket.CloseNormalClosure, fmt.Sprintf("exited %d", t.code))
	}
}

// leftBehind is how long what outlives a terminal's program may still print there.
const leftBehind = time.Second

// kill ends the program and its group.
func (t *terminal) kill() { _ = syscall.Kill(-t.cmd.Process.Pid, syscall.SIGKILL) }

// printed passes on what was printed. The program waits for viewers that are behind, as it would for a slow
// screen, but not for longer than viewerStall: whoever is still behind then is sent away.
func (t *terminal) printed(b []byte) {
	stalled := time.NewTimer(viewerStall)
	defer stalled.Stop()
	for patient := true; ; {
		t.mu.Lock()
		if !patient || !t.behind() {
			t.replay.write(b)
			for v := range t.viewers {
				v.send(b, !patient)
			}
			t.mu.Unlock()
			return
		}
		t.mu.Unlock()
		select {
		case <-t.room:
		case <-stalled.C:
			patient = false
		}
	}
}

// behind reports whether the queue of a viewer is full; the caller holds the lock.
func (t *terminal) behind() bool {
	for v := range t.viewers {
		if v.full() {
			return true
		}
	}
	return false
}

func (v *viewer) full() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.code == 0 && v.queued >= viewerQueue
}

// drained says that a viewer has taken what was queued for it, or has gone.
func (t *terminal) drained() {
	select {
	case t.room <- struct{}{}:
	default:
	}
}

// send queues b, or sends a viewer away that is behind.
func (v *viewer) send(b []byte, away bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.code != 0:
		return
	case away && v.queued >= viewerQueue:
		v.queue, v.code, v.reason = nil, websocket.CloseTryAgainLater, "too slow; connect again for the end of it"
	default:
		v.queue, v.queued = append(v.queue, b), v.queued+len(b)
	}
	v.wake()
}

// end lets a viewer go once it has got everything.
func (v *viewer) end(code int, reason string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.code == 0 {
		v.code, v.reason = code, reason
	}
	v.wake()
}

func (v *viewer) wake() {
	select {
	case v.ready <- struct{}{}:
	default:
	}
}

// write sends what is queued until the viewer is to end or cannot be reached.
func (v *viewer) write(t *terminal) {
	ping := time.NewTicker(viewerPing)
	defer ping.Stop()
	defer v.conn.Close()
	for {
		select {
		case <-ping.C:
			if v.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(viewerWrite)) != nil {
				return
			}
		case <-v.ready:
		}
		v.mu.Lock()
		queue, code, reason := v.queue, v.code, v.reason
		v.queue = nil
		v.mu.Unlock()
		if message := slices.Concat(queue...); len(message) > 0 {
			_ = v.conn.SetWriteDeadline(time.Now().Add(viewerWrite))
			if v.conn.WriteMessage(websocket.BinaryMessage, message) != nil {
				return
			}
			v.mu.Lock()
			v.queued -= len(message)
			v.mu.Unlock()
			t.drained()
		}
		if code != 0 {
			_ = v.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(viewerWrite))
			return
		}
	}
}

// read takes keys (binary messages) and sizes (text messages) until the viewer has gone.
func (v *viewer) read(t *terminal) {
	v.conn.SetReadLimit(maxInput)
	alive := func() { _ = v.conn.SetReadDeadline(time.Now().Add(3 * viewerPing)) }
	alive()
	v.conn.SetPongHandler(func(string) error { alive(); return nil })
	for {
		kind, message, err := v.conn.ReadMessage()
		if err != nil {
			return
		}
		alive()
		if kind == websocket.BinaryMessage {
			if _, err := t.device.Write(message); err != nil {
				return
			}
			continue
		}
		var size bridge.TerminalSize
		if json.Unmarshal(message, &size) != nil {
			return
		}
		window, err := windowSize(size.Cols, size.Rows)
		if err != nil {
			return
		}
		_ = pty.Setsize(t.device, window)
	}
}

// ServeHTTP serves bridge.TerminalPath: one viewer, until it or the terminal ends.
func (p *ptys) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t := p.find(r.URL.Query().Get("id"))
	if t == nil {
		http.Error(w, "There is no such terminal, or it has ended.", http.StatusNotFound)
		return
	}
	conn, err := (&websocket.Upgrader{ReadBufferSize: 4 << 10, WriteBufferSize: 16 << 10}).Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has answered
	}
	v := &viewer{conn: conn, ready: make(chan struct{}, 1)}
	t.mu.Lock()
	v.send(t.replay.bytes(), false)
	if t.ended {
		v.end(websocket.CloseNormalClosure, fmt.Sprintf("exited %d", t.code))
	}
	t.viewers[v] = struct{}{}
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		delete(t.viewers, v)
		t.mu.Unlock()
		t.drained()
		v.end(websocket.CloseGoingAway, "")
	}()
	defer context.AfterFunc(r.Context(), func() { _ = conn.Close() })()
	written := make(chan struct{})
	go func() {
		defer close(written)
		v.write(t)
	}()
	v.read(t)
	v.end(websocket.CloseGoingAway, "")
	<-written
}

func (p *ptys) find(id string) *terminal {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.all {
		if t.id == id {
			return t
		}
	}
	return nil
}

// shut ends a terminal: SIGHUP to its program, as when a window is closed, and SIGKILL if that does not help.
func (p *ptys) shut(ctx context.Context, params bridge.CloseTerminalParams) (*bridge.CloseTerminalResult, error) {
	t := p.find(params.ID)
	if t == nil {
		return nil, bridge.ErrNotFound.With("no terminal %q", bridge.Printable(params.ID, 40))
	}
	_ = syscall.Kill(-t.cmd.Process.Pid, syscall.SIGHUP)
	for end := time.Now().Add(stopPatience); p.find(t.id) != nil; {
		if time.Now().After(end) || ctx.Err() != nil {
			t.kill()
		}
		time.Sleep(5 * time.Millisecond)
	}
	return &bridge.CloseTerminalResult{}, nil
}

func (p *ptys) list(context.Context, bridge.ListTerminalsParams) (*bridge.ListTerminalsResult, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := &bridge.ListTerminalsResult{Terminals: []bridge.TerminalInfo{}}
	for _, t := range p.all {
		t.mu.Lock()
		r.Terminals = append(r.Terminals, bridge.TerminalInfo{ID: t.id, Command: t.text, StartedAt: t.started.UnixMilli(), Viewers: len(t.viewers)})
		t.mu.Unlock()
	}
	return r, nil
}

// close ends every terminal.
func (p *ptys) close() {
	p.mu.Lock()
	p.closed = true
	for _, t := range p.all {
		t.kill()
		_ = t.device.Close()
	}
	p.mu.Unlock()
	p.work.Wait()
}
