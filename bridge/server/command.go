package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
)

// commands runs programs in the workspace folder.
type commands struct {
	folder  folder
	env     []string
	threads int // of a search
}

var errTimeLimit = errors.New("the time limit")

// commandOf checks the parameters.
func commandOf(p bridge.RunCommandParams) (argv []string, limit time.Duration, err error) {
	argv = p.Argv
	switch {
	case len(argv) > 0 && p.Command != "", len(argv) == 0 && p.Command == "":
		return nil, 0, bridge.ErrInvalid.With("give either argv or command")
	case p.Command != "":
		argv = []string{"bash", "-lc", p.Command}
	case argv[0] == "":
		return nil, 0, bridge.ErrInvalid.With("argv names no program")
	case len(argv) > bridge.MaxArgs:
		return nil, 0, bridge.ErrTooLarge.With("argv has more than %d words", bridge.MaxArgs)
	}
	if len(p.Env) > bridge.MaxEnv {
		return nil, 0, bridge.ErrTooLarge.With("at most %d variables", bridge.MaxEnv)
	}
	for _, kv := range p.Env {
		if name, _, ok := strings.Cut(kv, "="); !ok || name == "" || len(kv) > bridge.MaxString || strings.IndexByte(kv, 0) >= 0 {
			return nil, 0, bridge.ErrInvalid.With("a variable is NAME=value, without NUL, of at most %d bytes", bridge.MaxString)
		}
	}
	size := 0
	for _, word := range argv {
		size += len(word)
		if strings.IndexByte(word, 0) >= 0 {
			return nil, 0, bridge.ErrInvalid.With("a command with a NUL byte")
		}
	}
	switch {
	case size > bridge.MaxArgBytes+len("bash-lc"):
		return nil, 0, bridge.ErrTooLarge.With("a command of more than %d bytes", bridge.MaxArgBytes)
	case len(p.Stdin) > bridge.MaxContent:
		return nil, 0, bridge.ErrTooLarge.With("stdin of more than %d bytes", bridge.MaxContent)
	case p.TimeoutSeconds < 0 || p.TimeoutSeconds > bridge.MaxTimeoutSeconds:
		return nil, 0, bridge.ErrInvalid.With("timeoutSeconds is from 1 to %d", bridge.MaxTimeoutSeconds)
	case p.TimeoutSeconds == 0:
		p.TimeoutSeconds = bridge.DefaultTimeoutSeconds
	}
	return argv, time.Duration(p.TimeoutSeconds) * time.Second, nil
}

// inside returns a command with the opened folder dir as its working directory. The child enters dir by its
// descriptor, so nothing that happens to the path after the check leads it elsewhere. The command has a
// process group of its own, which is killed when ctx is done.
func (c commands) inside(ctx context.Context, dir *os.File, rel string, argv []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = fmt.Sprintf("/proc/self/fd/%d", dir.Fd())
	cmd.Env = append(c.env[:len(c.env):len(c.env)], "PWD="+filepath.Join(c.folder.dir, rel))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		if errors.Is(err, syscall.ESRCH) {
			return os.ErrProcessDone
		}
		return err
	}
	return cmd
}

// startFailed explains why a program did not start.
func startFailed(program string, err error) error {
	program = bridge.Printable(program, 200)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return bridge.ErrCancelled
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return bridge.ErrNotFound.With("no program %q", program)
	case errors.Is(err, fs.ErrPermission):
		return bridge.ErrDenied.With("%q cannot be executed", program)
	case errors.Is(err, syscall.E2BIG):
		return bridge.ErrTooLarge.With("the command and its environment")
	}
	return bridge.ErrInternal.With("%q did not start", program)
}

// killed reports whether a process was ended by SIGKILL.
func killed(state *os.ProcessState) bool {
	status, ok := state.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// exitCode is the code that a shell would report.
func exitCode(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}
