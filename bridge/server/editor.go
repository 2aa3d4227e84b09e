package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
)

const (
	// probeEvery is the pause between probes of code-server while it starts; a probe of a socket that is
	// not there yet costs some microseconds. After slowStart it is probeSlowly.
	probeEvery  = 3 * time.Millisecond
	probeSlowly = 50 * time.Millisecond
	slowStart   = 20 * time.Second
	// stableAfter is how long code-server must have run for its end not to count as a failed start.
	stableAfter = 30 * time.Second
	// maxCrashes in a row make the state "failed".
	maxCrashes = 3
	// waitForPages is for how long a page of VS Code that lost its connection tries to come back, by the
	// clock, and its session waits for it, while the container runs: longer than a workspace is paused. Else it
	// would be three hours, less than a night.
	waitForPages = 7 * 24 * time.Hour
)

// editor runs code-server and starts it again when it ends.
type editor struct {
	cfg    *Config
	log    *startLog
	ready  *readiness
	socket string
	// grace is how long it may take to end; changed at most once, before run's context is done.
	grace time.Duration
	group atomic.Int64 // the process group of code-server while it runs
}

// options are code-server's, after the command. Its own port proxy is off, since it would pass by the
// gateway's rules.
func (e *editor) options() []string {
	return []string{
		"--socket", e.socket,
		"--socket-mode", "600",
		"--auth", "none",
		"--disable-telemetry",
		"--disable-update-check",
		"--disable-workspace-trust",
		"--disable-getting-started-override",
		"--disable-proxy",
		"--ignore-last-opened",
		"--reconnection-grace-time", strconv.Itoa(int(waitForPages.Seconds())),
		e.cfg.WorkspaceDir,
	}
}

// run returns when ctx is done and code-server has ended.
func (e *editor) run(ctx context.Context) {
	backoff, crashes := e.cfg.timing.backoff, 0
	for {
		started := time.Now()
		err := e.once(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(started) >= stableAfter {
			backoff, crashes = e.cfg.timing.backoff, 0
		}
		crashes++
		if err == nil {
			err = errors.New("it ended by itself")
		}
		e.log.printf("VS Code ended: %v. Starting it again in %s.", err, backoff)
		if crashes >= maxCrashes {
			e.ready.setEditor(bridge.EditorFailed, err.Error())
		} else {
			e.ready.setEditor(bridge.EditorStarting, "")
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// once runs code-server until it ends, or until ctx is done and it has been stopped.
func (e *editor) once(ctx context.Context) error {
	_ = os.Remove(e.socket)
	argv := append(append([]string(nil), e.cfg.CodeServer...), e.options()...)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = e.cfg.Env
	if e.cfg.PreviewURI != "" {
		cmd.Env = append(cmd.Env[:len(cmd.Env):len(cmd.Env)], "VSCODE_PROXY_URI="+e.cfg.PreviewURI)
	}
	stdout, stderr := &lineWriter{emit: e.log.line}, &lineWriter{emit: e.log.line}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second // for what keeps its output open
	if err := cmd.Start(); err != nil {
		return err
	}

	e.group.Store(int64(cmd.Process.Pid))
	defer e.group.Store(0)

	probing, stopProbing := context.WithCancel(ctx)
	probed := make(chan struct{})
	go func() {
		defer close(probed)
		e.probe(probing)
	}()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()

	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		select {
		case err = <-ended:
		case <-time.After(e.grace):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			err = <-ended
		}
	}
	stopProbing()
	<-probed
	// What code-server leaves behind would keep files and memory from the next one.
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	stdout.flush()
	stderr.flush()
	return err
}

// probe announces code-server as running at its first answer.
func (e *editor) probe(ctx context.Context) {
	started := time.Now()
	var dialer net.Dialer
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", e.socket)
		},
		DisableKeepAlives: true,
	}
	client := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	pause := time.NewTimer(probeEvery)
	defer pause.Stop()
	for {
		if err := answers(ctx, client, "/healthz"); err == nil {
			e.log.printf("VS Code is ready after %s", time.Since(started).Round(time.Millisecond))
			e.ready.setEditor(bridge.EditorRunning, "")
			// The first page makes code-server load VS Code: that may begin before a browser asks.
			_ = answers(ctx, client, "/?folder="+url.QueryEscape(e.cfg.WorkspaceDir))
			return
		}
		wait := probeEvery
		if time.Since(started) > slowStart {
			wait = probeSlowly
		}
		pause.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
	}
}

func answers(ctx context.Context, client *http.Client, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://code-server"+path, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)) // one that breaks off is a fault in VS Code's log
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}
