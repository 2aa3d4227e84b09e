package server

import (
	"context"
	"crypto/rand"
	"errors"
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

// background runs commands that go on when whoever started them is gone: each until it ends, is stopped, or the
// bridge is. What they print is kept, so that a reader who is slow, or comes later, holds up nothing.
type background struct {
	commands commands
	runDir   string

	mu     sync.Mutex
	dir    string // for what they print, private; made with the first command
	all    []*job // oldest first
	closed bool
	work   sync.WaitGroup
}

// job is one command.
type job struct {
	id      string
	text    string // for people to read
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
	if err := b.makeRoom(); err != nil {
		return nil, err
	}
	j := &job{id: strings.ToLower(rand.Text()[:12]), text: commandText(argv), started: time.Now(), done: make(chan struct{})}
	if j.log, err = newCommandLog(filepath.Join(b.dir, j.id)); err != nil {
		return nil, fileError(err)
	}
	ctx, kill := context.WithCancel(context.Background())
	cmd := b.commands.inside(ctx, dir, rel, argv)
	cmd.Env = append(cmd.Env, p.Env...)
	cmd.Stdout, cmd.Stderr = j.log, j.log
	cmd.WaitDelay = 500 * time.Millisecond // as in runCommand
	if p.Stdin != "" {
		cmd.Stdin = strings.NewReader(p.Stdin)
	}
	if err := cmd.Start(); err != nil {
		kill()
		j.log.remove()
		return nil, startFailed(argv[0], err)
	}
	j.pid, j.kill = cmd.Process.Pid, kill
	b.all = append(b.all, j)
	b.work.Go(func() {
		defer kill()
		_ = cmd.Wait()
		j.code = exitCode(cmd.ProcessState)
		close(j.done)
	})
	return &bridge.StartCommandResult{ID: j.id}, nil
}

// makeRoom lets one more command run; the caller holds the lock.
func (b *background) makeRoom() error {
	running := 0
	var oldest *job // of those that have ended
	for _, j := range b.all {
		switch {
		case !j.ended():
			running++
		case oldest == nil:
			oldest = j
		}
	}
	switch {
	case b.closed:
		return bridge.ErrCancelled
	case running >= bridge.MaxCommands:
		return bridge.ErrBusy.With("%d commands run already; stop one", running)
	case oldest != nil && len(b.all)-running >= bridge.MaxCommands:
		b.all = slices.DeleteFunc(b.all, func(j *job) bool { return j == oldest })
		oldest.log.remove()
	}
	if b.dir == "" {
		dir, err := os.MkdirTemp(b.runDir, "kalpana-commands-") // 0700
		if err != nil {
			return fileError(err)
		}
		b.dir = dir
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
	_ = syscall.Kill(-j.pid, syscall.SIGTERM)
	select {
	case <-j.done:
	case <-time.After(stopPatience):
	case <-ctx.Done():
	}
	j.kill()
	<-j.done
	_ = syscall.Kill(-j.pid, syscall.SIGKILL) // whoever has left the command but not its group
	return &bridge.StopCommandResult{ExitCode: j.code}, nil
}

func (b *background) list(context.Context, bridge.ListCommandsParams) (*bridge.ListCommandsResult, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := &bridge.ListCommandsResult{Commands: []bridge.CommandInfo{}}
	for _, j := range b.all {
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
	b.work.Wait()
	if b.dir != "" {
		_ = os.RemoveAll(b.dir)
	}
}
