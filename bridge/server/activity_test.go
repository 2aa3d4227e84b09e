package server

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
)

// activity asks as the gateway does.
func (c *container) activity() bridge.Activity {
	c.t.Helper()
	a, err := bridge.ReadActivity(c.t.Context(), client(c.t), "http://"+c.BridgeAddr(), testToken)
	if err != nil {
		c.t.Fatal(err)
	}
	return a
}

// local sends a request from inside the container.
func (c *container) local(method, path, body string) (int, string) {
	c.t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", c.cfg.LocalSocket)
	}}
	req, err := http.NewRequestWithContext(c.t.Context(), method, "http://bridge"+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text)
}

func quietTerminals(t *testing.T) func(*Config) {
	dir := t.TempDir()
	return func(cfg *Config) { cfg.terminalsDir = dir }
}

func TestActivity_WhatTheEditorTellsIsReported(t *testing.T) {
	c := start(t, "never", quietTerminals(t), func(cfg *Config) { cfg.timing.stopGrace = 20 * time.Millisecond })
	if a := c.activity(); len(a.Last) != 0 || a.KeepAlive != 0 {
		t.Errorf("before anything happened: %+v", a)
	}
	for _, name := range []string{"typing", "selection", "save", "focus"} {
		if code, text := c.local("POST", "/activity/"+name, ""); code != http.StatusNoContent {
			t.Errorf("%s: %d %s", name, code, text)
		}
	}
	a := c.activity()
	if len(a.Last) != 4 {
		t.Fatalf("%+v", a)
	}
	for _, l := range a.Last {
		if l.Since() > 10*time.Second {
			t.Errorf("%+v", l)
		}
	}
}

func TestActivity_OnlyTheClosedListOfNamesIsTaken(t *testing.T) {
	c := start(t, "never", quietTerminals(t))
	for _, path := range []string{"/activity/agent", "/activity/terminal", "/activity/keep-alive", "/activity/%1b", "/activity/", "/other"} {
		if code, _ := c.local("POST", path, ""); code != http.StatusNotFound {
			t.Errorf("%s: %d", path, code)
		}
	}
	if code, _ := c.local("GET", "/activity/typing", ""); code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", code)
	}
	if a := c.activity(); len(a.Last) != 0 {
		t.Errorf("%+v", a)
	}
}

func TestActivity_NeedsTheTokenAndIsNoPreview(t *testing.T) {
	c := start(t, "never")
	resp, err := http.Get("http://" + c.BridgeAddr() + bridge.ActivityPath)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("without the token: %d", resp.StatusCode)
	}
	for method, want := range map[string]int{"POST": 404, "GET": 200} {
		if resp, _ := get(t, method, "http://"+c.BridgeAddr()+bridge.ActivityPath, nil); resp.StatusCode != want {
			t.Errorf("%s: %d", method, resp.StatusCode)
		}
	}
	if resp, _ := get(t, "GET", "http://"+c.BridgeAddr()+bridge.ActivityPath, nil, bridge.PortHeader, "1"); resp.StatusCode != http.StatusNotFound {
		t.Errorf("as a preview: %d", resp.StatusCode)
	}
}

func TestKeepAlive_IsCappedAndCanBeEnded(t *testing.T) {
	c := start(t, "never", quietTerminals(t))
	for body, want := range map[string]time.Duration{`{"seconds":7200}`: 2 * time.Hour, `{"seconds":1e300}`: bridge.MaxKeepAlive, `{"seconds":0.2}`: 0} {
		code, text := c.local("PUT", bridge.LocalKeepAlivePath, body)
		if got := c.activity().KeptAwake(); code != 200 || got > want || got < want-10*time.Second {
			t.Errorf("%s: %d %s; reported %v", body, code, text, got)
		}
	}
	for _, body := range []string{`{"seconds":-1}`, `{"seconds":0}`, `{}`, ``, `{"seconds":1e999}`, `[` + strings.Repeat(" ", localBody)} {
		if code, _ := c.local("PUT", bridge.LocalKeepAlivePath, body); code != http.StatusBadRequest {
			t.Errorf("%.30s: %d", body, code)
		}
	}
	c.local("PUT", bridge.LocalKeepAlivePath, `{"seconds":60}`)
	if code, text := c.local("GET", bridge.LocalStatusPath, ""); code != 200 || !strings.Contains(text, `"workspace":"abcdefghij"`) || c.activity().KeepAlive < 50 {
		t.Errorf("%d %s", code, text)
	}
	c.local("DELETE", bridge.LocalKeepAlivePath, "")
	if got := c.activity().KeepAlive; got != 0 {
		t.Errorf("it is still kept awake for %v s", got)
	}
}

func TestTerminals_AChangeOfADeviceIsUse(t *testing.T) {
	dir := t.TempDir()
	device := filepath.Join(dir, "0")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	stamp := func(read, written time.Time) {
		t.Helper()
		must(os.Chtimes(device, read, written))
	}
	now := time.Now()
	terms := newTerminals(dir)
	terms.looked = now.Add(-time.Hour)
	look := func() time.Duration {
		t.Helper()
		used := terms.look(now)
		if used.IsZero() {
			return -1
		}
		return now.Sub(used).Round(time.Second)
	}
	if got := look(); got != -1 {
		t.Errorf("without terminals: used %v ago", got)
	}
	terms.looked = now.Add(-time.Hour)
	must(os.WriteFile(device, nil, 0o600))
	must(os.WriteFile(filepath.Join(dir, "ptmx"), nil, 0o600))
	stamp(now.Add(-20*time.Second), now.Add(-50*time.Second))
	if got := look(); got != 20*time.Second {
		t.Errorf("a new one: used %v ago", got)
	}
	now = now.Add(30 * time.Second)
	if got := look(); got != -1 {
		t.Errorf("nothing happened, and it was used %v ago", got)
	}
	now = now.Add(30 * time.Second)
	stamp(now.Add(-80*time.Second), now.Add(-5*time.Second))
	if got := look(); got != 5*time.Second {
		t.Errorf("output: used %v ago", got)
	}
	now = now.Add(30 * time.Second)
	stamp(now.Add(-7*time.Second), now.Add(-35*time.Second))
	if got := look(); got != 7*time.Second {
		t.Errorf("input: used %v ago", got)
	}
	// Whoever sets the times, or the clock, gains what one change is worth.
	now = now.Add(30 * time.Second)
	stamp(now.Add(240*time.Hour), now)
	if got := look(); got != 0 {
		t.Errorf("a time to come: used %v ago", got)
	}
	now = now.Add(30 * time.Second)
	if got := look(); got != -1 {
		t.Errorf("a time to come that does not change: used %v ago", got)
	}
	stamp(now.Add(-240*time.Hour), now.Add(-240*time.Hour))
	now = now.Add(30 * time.Second)
	if got := look(); got != 30*time.Second {
		t.Errorf("a clock that was set back: used %v ago", got)
	}
	must(os.Remove(device))
	if got := look(); got != -1 || len(terms.seen) != 0 {
		t.Errorf("a terminal that was closed: used %v ago, %v", got, terms.seen)
	}
}

// A real one, since nothing else tells whether the kernel moves the times of the device.
func TestTerminals_OutputOfARealTerminalIsSeen(t *testing.T) {
	ptmx, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	defer ptmx.Close()
	number, err := ptsNumber(ptmx)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(ptsDir, fmt.Sprint(number))
	before, ok := deviceTime(name)
	if !ok {
		t.Skipf("%s is of another instance", name)
	}
	old := before.Add(-time.Hour) // as if it had been quiet: the kernel's steps are of eight seconds
	if err := os.Chtimes(name, old, old); err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(name, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	_, _ = tty.WriteString("output\n")
	if after, _ := deviceTime(name); after.Sub(old) < 50*time.Minute {
		t.Errorf("output moved it from %v to %v", old, after)
	}
	if err := os.Chtimes(name, old, old); err != nil {
		t.Fatal(err)
	}
	_, _ = ptmx.WriteString("input\n")
	_, _ = tty.Read(make([]byte, 10))
	if after, _ := deviceTime(name); after.Sub(old) < 50*time.Minute {
		t.Errorf("input moved it from %v to %v", old, after)
	}
}

func TestCPU_IsAShareOfTheLimit(t *testing.T) {
	write := func(dir, name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all := float64(runtime.NumCPU())
	for name, c := range map[string]struct {
		usage string // the file with the usage, and its text with the microseconds left open
		text  string
		files map[string]string
		limit float64
	}{
		"version 2":              {"cpu.stat", "usage_usec %d\nuser_usec 1\n", map[string]string{"cpu.max": "50000 100000\n"}, 0.5},
		"version 2, no limit":    {"cpu.stat", "usage_usec %d\n", map[string]string{"cpu.max": "max 100000\n"}, all},
		"version 1":              {"cpuacct/cpuacct.usage", "%d000\n", map[string]string{"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5},
		"version 1, no limit":    {"cpuacct/cpuacct.usage", "%d000\n", map[string]string{"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, all},
		"a limit above them all": {"cpu.stat", "usage_usec %d\n", map[string]string{"cpu.max": "99900000 100000\n"}, all},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range c.files {
				write(dir, file, text)
			}
			used := func(d time.Duration) { write(dir, c.usage, fmt.Sprintf(c.text, d.Microseconds())) }
			used(time.Second)
			m := newCPUMeter(dir)
			now := m.at.Add(10 * time.Second)
			used(2 * time.Second)
			want := 0.1 / c.limit
			if got := m.share(now); got < want*0.99 || got > want*1.01 {
				t.Errorf("share %v, want %v", got, want)
			}
			if got := m.share(now.Add(time.Millisecond)); got < want*0.99 || got > want*1.01 {
				t.Errorf("at once again: share %v, want %v", got, want)
			}
			used(time.Hour)
			if got := m.share(now.Add(10 * time.Second)); got != 1 {
				t.Errorf("more than there is: share %v", got)
			}
			used(0)
			if got := m.share(now.Add(20 * time.Second)); got != 0 {
				t.Errorf("a counter that went back: share %v", got)
			}
		})
	}
	if got := newCPUMeter(t.TempDir()).share(time.Now().Add(time.Hour)); got != 0 {
		t.Errorf("without a control group: share %v", got)
	}
}

func TestFarewell_WhoHasJustTypedIsGivenTimeToKeepIt(t *testing.T) {
	t.Parallel()
	c := start(t, "serve", func(cfg *Config) { cfg.timing.stopGrace = 2 * time.Second })
	c.waitReady()
	c.local("POST", "/activity/typing", "")
	ws := webSocket(t, c.IDEAddr(), "/ws", nil)
	began := time.Now()
	ended := make(chan error, 1)
	go func() { ended <- c.stop() }()
	_, _, _ = ws.ReadMessage() // its hello
	if err := ws.WriteMessage(1, []byte("kept")); err != nil {
		t.Fatal(err)
	}
	if _, got, err := ws.ReadMessage(); err != nil || string(got) != "kept" {
		t.Errorf("while VS Code keeps what was typed: %q, %v", got, err)
	}
	if err := <-ended; err != nil || time.Since(began) < time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}

func TestFarewell_ProgramsAreAskedToEndAndThoseThatHeedItAreWaitedFor(t *testing.T) {
	// Played processes: the real ones of this machine are none of ours. What is signalled is a child of the test.
	mark := filepath.Join(t.TempDir(), "ended")
	ready := filepath.Join(t.TempDir(), "ready")
	program := exec.Command("sh", "-c", "trap 'sleep 0.2; touch "+mark+"; exit' TERM; touch "+ready+"; while :; do sleep 0.05; done")
	program.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	shell := exec.Command("sh", "-c", "trap '' TERM; sleep 30")
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	proc := t.TempDir()
	for _, cmd := range []*exec.Cmd{program, shell} {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); _ = cmd.Wait() })
		if err := os.Symlink(fmt.Sprintf("/proc/%d", cmd.Process.Pid), filepath.Join(proc, fmt.Sprint(cmd.Process.Pid))); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the signals are handled", func() bool {
		_, err := os.Stat(ready)
		return err == nil && !heedsTerm(filepath.Join(proc, fmt.Sprint(shell.Process.Pid)))
	})
	if got := others(proc, program.Process.Pid); len(got) != 0 {
		t.Errorf("VS Code's own are asked: %v", got)
	}
	began := time.Now()
	endOthers(proc, 0, 10*time.Second)
	if _, err := os.Stat(mark); err != nil || time.Since(began) > 8*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
	if !alive(proc, shell.Process.Pid) {
		t.Error("the shell was ended")
	}
	if got := others(procDir, 0); func() bool {
		for _, pid := range got {
			if pid == os.Getpid() || pid == 1 {
				return true
			}
		}
		return false
	}() {
		t.Errorf("it would end itself or the init: %v", got)
	}
}
