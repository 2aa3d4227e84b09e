package server

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
)

// stopPatience is what a command gets between SIGTERM and SIGKILL.
const stopPatience = 5 * time.Second

// background runs commands, and keeps what they print, so that a reader who is slow, or comes later, holds up
// nothing. Those of startCommand go on when whoever started them is gone: each until it ends, is stopped, or the bridge
// is. Those of runCommand end with the call.
type background struct {
	commands commands
	runDir   string

	mu     sync.Mutex
	dir    string        // for what they print, private; made with the first command
	all    []*job        // oldest first
	came   chan struct{} // closed and replaced when there is one more
	closed bool
	work   sync.WaitGroup
}

// job is one command.
type job struct {
	id      string
	text    string // for people to read
	awaited bool   // by a call of runCommand
	started time.Time
	log     *commandLog
	pid     int
	kill    context.CancelFunc
	done    chan struct{}
	code    int // after done
}

func (j *job) ended() bool {
	select {
	case <-j.done:
		return true
	default:
		return false
	}
}

func (b *background) start(_ context.Context, p bridge.StartCommandParams) (*bridge.StartCommandResult, error) {
	argv, _, err := commandOf(bridge.RunCommandParams{Argv: p.Argv, Command: p.Command, Stdin: p.Stdin, Env: p.Env})
	if err != nil {
		return nil, err
	}
	dir, rel, err := b.commands.folder.openDir(p.Cwd)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.makeRoom(false); err != nil {
		return nil, err
	}
	j := b.newJob("", argv)
	ctx, kill := context.WithCancel(context.Background())
	cmd := b.commands.inside(ctx, dir, rel, argv)
	cmd.Env = append(cmd.Env, p.Env...)
	if p.Stdin != "" {
		cmd.Stdin = strings.NewReader(p.Stdin)
	}
	printed, err := startWith(cmd, j.log, j.log)
	if err != nil {
		kill()
		return nil, startFailed(argv[0], err)
	}
	j.pid, j.kill = cmd.Process.Pid, kill
	b.add(j)
	b.work.Go(func() {
		defer kill()
		_ = cmd.Wait()
		printed()
		j.code = exitCode(cmd.ProcessState)
		close(j.done)
	})
	return &bridge.StartCommandResult{ID: j.id}, nil
}

// run runs a command and waits for its end.
func (b *background) run(ctx context.Context, p bridge.RunCommandParams) (*bridge.RunCommandResult, error) {
	argv, limit, err := commandOf(p)
	if err != nil {
		return nil, err
	}
	dir, rel, err := b.commands.folder.openDir(p.Cwd)
	if err != nil {
		return nil, err
	}
	defer dir.Close()

	ctx, cancel := context.WithTimeoutCause(ctx, limit, errTimeLimit)
	defer cancel()
	cmd := b.commands.inside(ctx, dir, rel, argv)
	cmd.Env = append(cmd.Env, p.Env...)
	if p.Stdin != "" {
		cmd.Stdin = strings.NewReader(p.Stdin)
	}
	j, err := b.await(p.ID, argv)
	if err != nil {
		return nil, err
	}
	var stdout, stderr output
	started := time.Now()
	printed, err := startWith(cmd, io.MultiWriter(&stdout, j.log), io.MultiWriter(&stderr, j.log))
	if err == nil {
		b.begin(j, cmd.Process.Pid, cancel)
		_ = cmd.Wait()
		printed()
	}
	result := &bridge.RunCommandResult{DurationMs: time.Since(started).Milliseconds()}
	if err == nil {
		var cutOut, cutErr bool
		result.Stdout, cutOut = stdout.text()
		result.Stderr, cutErr = stderr.text()
		result.Truncated = cutOut || cutErr
		result.ExitCode = exitCode(cmd.ProcessState)
	}
	if b.end(j, result.ExitCode, p.ID != "" || result.Truncated) {
		result.Log = j.id
	}
	switch {
	case err != nil:
		return nil, startFailed(argv[0], err)
	case ctx.Err() == nil:
	case errors.Is(context.Cause(ctx), errTimeLimit):
		result.TimedOut = killed(cmd.ProcessState)
	case killed(cmd.ProcessState):
		return nil, bridge.ErrCancelled
	}
	return result, nil
}

// await enters a command of runCommand.
func (b *background) await(id string, argv []string) (*job, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.makeRoom(true); err != nil {
		return nil, err
	}
	if id != "" {
		if !bridge.ValidCommandID(id) {
			return nil, bridge.ErrInvalid.With("an id has from 8 to 64 of a-z and 0-9")
		}
		if slices.ContainsFunc(b.all, func(j *job) bool { return j.id == id }) {
			return nil, bridge.ErrInvalid.With("there is a command of this id")
		}
	}
	j := b.newJob(id, argv)
	j.awaited, j.kill = true, func() {}
	b.add(j)
	return j, nil
}

// begin says that a command of runCommand runs.
func (b *background) begin(j *job, pid int, kill context.CancelFunc) {
	b.mu.Lock()
	defer b.mu.Unlock()
	j.pid, j.kill = pid, kill
	if b.closed {
		kill()
	}
}

// end says that a command of runCommand has ended, and reports whether what it printed is kept.
func (b *background) end(j *job, code int, keep bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	j.code = code
	close(j.done)
	if keep && !b.closed {
		return true
	}
	b.all = slices.DeleteFunc(b.all, func(other *job) bool { return j == other })
	j.log.remove()
	return false
}

// newJob returns a command that is not entered yet; the caller holds the lock.
func (b *background) newJob(id string, argv []string) *job {
	if id == "" {
		id = strings.ToLower(rand.Text()[:12])
	}
	path := ""
	if b.dir != "" {
		path = filepath.Join(b.dir, strings.ToLower(rand.Text()))
	}
	return &job{id: id, text: commandText(argv), started: time.Now(), done: make(chan struct{}), log: newCommandLog(path)}
}

// add enters a command; the caller holds the lock.
func (b *background) add(j *job) {
	b.all = append(b.all, j)
	if b.came != nil {
		close(b.came)
		b.came = nil
	}
}

// logsOnDisk bounds what is kept of all commands together, in bytes: those that ended first give way.
const logsOnDisk = 8 * bridge.MaxCommandLog

// makeRoom lets one more command run; the caller holds the lock.
func (b *background) makeRoom(awaited bool) error {
	running, ended := 0, 0
	disk := int64(0)
	for _, j := range b.all {
		disk += j.log.onDisk()
		switch {
		case j.awaited != awaited:
		case j.ended():
			ended++
		default:
			running++
		}
	}
	switch {
	case b.closed:
		return bridge.ErrCancelled
	case running >= bridge.MaxCommands && !awaited: // those are bounded by the requests that are served
		return bridge.ErrBusy.With("%d commands run already; stop one", running)
	}
	b.all = slices.DeleteFunc(b.all, func(j *job) bool {
		many := j.awaited == awaited && ended >= bridge.MaxCommands
		if !j.ended() || !many && disk <= logsOnDisk {
			return false
		}
		disk -= j.log.onDisk()
		ended--
		j.log.remove()
		return true
	})
	if b.dir == "" { // where there can be none, as on a full disk, memory has to do
		b.dir, _ = os.MkdirTemp(b.runDir, "kalpana-commands-") // 0700
	}
	return nil
}

func commandText(argv []string) string {
	if len(argv) == 3 && argv[0] == "bash" && argv[1] == "-lc" {
		return bridge.Printable(argv[2], bridge.MaxCommandText)
	}
	return bridge.Printable(strings.Join(argv, " "), bridge.MaxCommandText)
}

func (b *background) find(id string) (*job, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, j := range b.all {
		if j.id == id {
			return j, nil
		}
	}
	return nil, bridge.ErrNotFound.With("no command %q", bridge.Printable(id, 40))
}

// findSoon is find that waits a moment for a command to be entered: who runs one and who reads it come by different
// connections.
func (b *background) findSoon(ctx context.Context, id string) (*job, error) {
	ctx, cancel := context.WithTimeout(ctx, commandSoon)
	defer cancel()
	for {
		b.mu.Lock()
		if b.came == nil {
			b.came = make(chan struct{})
		}
		came := b.came
		b.mu.Unlock()
		j, err := b.find(id)
		if err == nil {
			return j, nil
		}
		select {
		case <-came:
		case <-ctx.Done():
			return nil, err
		}
	}
}

// commandSoon is how long a reader waits for the command to begin.
const commandSoon = 5 * time.Second

// output returns a part of what a command has printed, and waits for more where there is none yet.
func (b *background) output(ctx context.Context, p bridge.CommandOutputParams) (*bridge.CommandOutputResult, error) {
	limit, err := limitOf(p.Limit, bridge.MaxOutput, bridge.MaxOutput)
	switch {
	case err != nil:
		return nil, err
	case p.WaitSeconds < 0 || p.WaitSeconds > bridge.MaxWaitSeconds:
		return nil, bridge.ErrInvalid.With("waitSeconds is from 0 to %d", bridge.MaxWaitSeconds)
	}
	j, err := b.find(p.ID)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, time.Duration(p.WaitSeconds)*time.Second, errTimeLimit)
	defer cancel()
	for {
		ended := j.ended() // before the look, so that nothing is printed after it
		part, at, size, more, err := j.log.read(p.Offset, limit)
		if err != nil {
			return nil, fileError(err)
		}
		if len(part) > 0 || ended || errors.Is(context.Cause(ctx), errTimeLimit) {
			r := &bridge.CommandOutputResult{Offset: at, Next: at + int64(len(part)), Size: size, Running: !ended}
			if ended {
				r.ExitCode = j.code
			}
			r.Content, r.Encoding = bridge.EncodeContent(part)
			return r, nil
		}
		select {
		case <-more:
		case <-j.done:
		case <-ctx.Done():
			if !errors.Is(context.Cause(ctx), errTimeLimit) {
				return nil, bridge.ErrCancelled
			}
		}
	}
}

// stop ends a command: SIGTERM to its process group, and SIGKILL to what is left of it.
func (b *background) stop(ctx context.Context, p bridge.StopCommandParams) (*bridge.StopCommandResult, error) {
	j, err := b.find(p.ID)
	if err != nil {
		return nil, err
	}
	if j.ended() {
		return &bridge.StopCommandResult{ExitCode: j.code}, nil
	}
	b.mu.Lock()
	pid, kill := j.pid, j.kill
	b.mu.Unlock()
	if pid == 0 {
		return nil, bridge.ErrNotFound.With("the command has not begun")
	}
	_ = syscall.Kill(-pid, syscall.SIGTERM)
	select {
	case <-j.done:
	case <-time.After(stopPatience):
	case <-ctx.Done():
	}
	kill()
	<-j.done
	_ = syscall.Kill(-pid, syscall.SIGKILL) // whoever has left the command but not its group
	return &bridge.StopCommandResult{ExitCode: j.code}, nil
}

func (b *background) list(context.Context, bridge.ListCommandsParams) (*bridge.ListCommandsResult, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := &bridge.ListCommandsResult{Commands: []bridge.CommandInfo{}}
	for _, j := range b.all {
		if j.awaited {
			continue
		}
		c := bridge.CommandInfo{ID: j.id, Command: j.text, StartedAt: j.started.UnixMilli(), Running: !j.ended(), Size: j.log.size()}
		if !c.Running {
			c.ExitCode = j.code
		}
		r.Commands = append(r.Commands, c)
	}
	return r, nil
}

// close kills what runs, and removes what was printed.
func (b *background) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for _, j := range b.all {
		j.kill()
	}
	b.work.Wait() // the calls of runCommand have ended with their connections
	for _, j := range b.all {
		j.log.remove()
	}
	if b.dir != "" {
		_ = os.RemoveAll(b.dir)
	}
}
