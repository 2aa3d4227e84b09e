package server

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const (
	// cloneLimit bounds a clone; git itself gives up when less than 1 kB/s came for a minute.
	cloneLimit = 30 * time.Minute
	// progressEvery is the least pause between two lines of the same phase.
	progressEvery = 250 * time.Millisecond
)

// clone makes dir a clone of the repository, its progress going to the start log. git is told to use no
// protocol but http and https, whatever a server redirects to or a submodule asks for, no stored
// credentials, and to ask nobody but the gateway anything.
func (s *Server) clone(ctx context.Context, dir string) error {
	address := s.cfg.Repository
	if err := checkRepository(address); err != nil {
		return err
	}
	if err := makeDir(dir); err != nil {
		return err
	}
	s.log.printf("cloning %s", address)

	ctx, cancel := context.WithTimeout(ctx, cloneLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "git",
		"-c", "credential.helper=", "-c", "credential.helper="+s.cfg.credentialHelper, "-c", "credential.useHttpPath=true", "-c", "core.askPass=",
		"-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=60",
		"clone", "--progress", "--", address, ".")
	cmd.Dir = dir
	cmd.Env = append(s.cfg.Env[:len(s.cfg.Env):len(s.cfg.Env)],
		"GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "SSH_ASKPASS=", "GIT_ALLOW_PROTOCOL=http:https", "LC_ALL=C", "PWD="+dir)
	progress := &cloneProgress{log: s.log}
	out := &lineWriter{emit: progress.line}
	cmd.Stdout, cmd.Stderr = out, out // One writer for both: exec then serialises the writes.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second

	err := cmd.Run()
	out.flush()
	progress.flush()
	switch {
	case err == nil:
		s.log.printf("cloned %s", address)
		return nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("it took longer than %s", cloneLimit)
	case progress.refusal != "": // what git says of it is that nobody typed a name
		return errors.New(progress.refusal)
	case progress.fault != "":
		return errors.New(progress.fault)
	}
	return err
}

// cloneProgress thins out git's progress, and remembers git's reason for a failure.
type cloneProgress struct {
	log     *startLog
	phase   string
	last    time.Time
	skipped string
	fault   string // git's words
	refusal string // the credential helper's
}

func (p *cloneProgress) line(s string) {
	s = strings.TrimRight(s, " ")
	if s == "" {
		return
	}
	if reason, ok := strings.CutPrefix(s, "fatal: "); ok {
		p.fault = reason
	}
	if reason, ok := strings.CutPrefix(s, "kalpana: "); ok { // a server's own lines begin with "remote: "
		p.refusal = reason
	}
	phase, _, counts := strings.Cut(s, "%")
	if counts {
		phase = strings.TrimRight(phase, " 0123456789")
	}
	if counts && phase == p.phase && time.Since(p.last) < progressEvery && !strings.HasSuffix(s, "done.") {
		p.skipped = s
		return
	}
	if phase != p.phase {
		p.flush()
	}
	p.phase, p.last, p.skipped = phase, time.Now(), ""
	p.log.line(s)
}

// flush writes the last line of a phase if it was left out.
func (p *cloneProgress) flush() {
	if p.skipped != "" {
		p.log.line(p.skipped)
		p.skipped = ""
	}
}
