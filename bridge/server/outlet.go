package server

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

const (
	// leftOpen is how long a command's output is waited for that it has left to others in the background; they go on
	// without it.
	leftOpen = 500 * time.Millisecond
	// outletPart is how much is read at a time, and outletRest how much at most once nobody waits any more: more than
	// fits into a pipe.
	outletPart = 32 << 10
	outletRest = 2 << 20
)

// outlet takes what a command prints to a pipe. It does what exec.Cmd does for a Writer, but that a command's own output
// is never lost: Cmd closes the pipe so long after the command's end, read or not, and on a busy machine it may not have
// been read.
type outlet struct {
	read *os.File
	to   io.Writer
	done chan struct{}
}

// startWith starts a command whose outputs go to the given writers; the same for both makes them one, in order. end is
// called after the command has ended, and returns when its output is there.
func startWith(cmd *exec.Cmd, stdout, stderr io.Writer) (end func(), err error) {
	var outlets []*outlet
	var ours []*os.File // which the command has then
	defer func() {
		for _, file := range ours {
			_ = file.Close()
		}
		if err != nil {
			for _, o := range outlets {
				_ = o.read.Close()
			}
		}
	}()
	open := func(to io.Writer) (*os.File, error) {
		read, write, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		outlets, ours = append(outlets, &outlet{read: read, to: to, done: make(chan struct{})}), append(ours, write)
		return write, nil
	}
	out, err := open(stdout)
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = out, out
	if stderr != stdout {
		if cmd.Stderr, err = open(stderr); err != nil {
			return nil, err
		}
	}
	cmd.WaitDelay = leftOpen // for stdin
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	for _, o := range outlets {
		go o.run()
	}
	return func() {
		for _, o := range outlets {
			_ = o.read.SetReadDeadline(time.Now().Add(leftOpen))
		}
		for _, o := range outlets {
			<-o.done
		}
	}, nil
}

// run takes what is printed until there is nobody who could, or until the time is over, and then what is there.
func (o *outlet) run() {
	defer close(o.done)
	defer o.read.Close()
	buffer := make([]byte, outletPart)
	for {
		n, err := o.read.Read(buffer)
		if n > 0 {
			_, _ = o.to.Write(buffer[:n])
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			return
		}
	}
	_ = o.read.SetReadDeadline(time.Time{})
	raw, err := o.read.SyscallConn()
	if err != nil {
		return
	}
	for rest := 0; rest < outletRest; {
		n := 0
		err := raw.Read(func(fd uintptr) bool { // it does not block
			n, _ = syscall.Read(int(fd), buffer)
			return true
		})
		if err != nil || n <= 0 {
			return
		}
		_, _ = o.to.Write(buffer[:n])
		rest += n
	}
}
