package server

import (
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
)

func TestReady_AnswersOnceVSCodeDoes(t *testing.T) {
	c := start(t, "slow")
	resp, body := get(t, http.MethodGet, "http://"+c.IDEAddr()+bridge.ReadyPath, nil)
	if r := decode[bridge.ReadyReport](t, body); resp.StatusCode != http.StatusOK || !r.Ready {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	if resp, _ := get(t, http.MethodGet, "http://"+c.IDEAddr()+"/", nil); resp.StatusCode != http.StatusOK {
		t.Errorf("status %d right after ready", resp.StatusCode)
	}
	_, body = get(t, http.MethodGet, "http://"+c.BridgeAddr()+bridge.HealthPath, nil)
	if h := decode[bridge.HealthResult](t, body); !h.Ready || h.Editor != bridge.EditorRunning || h.Version != "dev" {
		t.Errorf("%+v", h)
	}
}

func TestReady_SaysWhyWhenVSCodeKeepsCrashing(t *testing.T) {
	c := start(t, "crash")
	resp, body := get(t, http.MethodGet, "http://"+c.IDEAddr()+bridge.ReadyPath, nil)
	r := decode[bridge.ReadyReport](t, body)
	if resp.StatusCode != http.StatusServiceUnavailable || r.Ready || r.Error == "" ||
		!strings.Contains(r.Log, "fake: the disk is on fire") {
		t.Fatalf("%d %+v", resp.StatusCode, r)
	}
	resp, body = get(t, http.MethodGet, "http://"+c.IDEAddr()+"/", nil)
	if resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "VS Code did not start") {
		t.Errorf("a page: %d %q", resp.StatusCode, body)
	}
}

func TestReady_SaysWhyWhenThereIsNoVSCode(t *testing.T) {
	c := start(t, "serve", func(cfg *Config) { cfg.CodeServer = []string{"no-such-code-server"} })
	_, body := get(t, http.MethodGet, "http://"+c.IDEAddr()+bridge.ReadyPath, nil)
	if r := decode[bridge.ReadyReport](t, body); !strings.Contains(r.Error, "no-such-code-server") {
		t.Errorf("%+v", r)
	}
}

func TestReady_DoesNotHoldARequestForEver(t *testing.T) {
	c := start(t, "never", func(cfg *Config) { cfg.timing.readyHold = 50 * time.Millisecond })
	resp, body := get(t, http.MethodGet, "http://"+c.IDEAddr()+bridge.ReadyPath, nil)
	if r := decode[bridge.ReadyReport](t, body); resp.StatusCode != http.StatusServiceUnavailable || r.Error == "" {
		t.Errorf("%d %+v", resp.StatusCode, r)
	}
}

func TestEditor_IsStartedAgainWhenItCrashes(t *testing.T) {
	c := start(t, "crash-once")
	c.waitReady()
	if !strings.Contains(c.log.String(), "VS Code ended: exit status 1") {
		t.Errorf("the crash is not in the log:\n%s", c.log)
	}

	_, first := get(t, http.MethodGet, "http://"+c.IDEAddr()+"/pid", nil)
	resp, _ := get(t, http.MethodPost, "http://"+c.IDEAddr()+"/die", nil)
	if resp.StatusCode != http.StatusBadGateway {
		t.Errorf("the request during which it died: status %d, want 502", resp.StatusCode)
	}
	eventually(t, "another process serves", func() bool {
		resp, second := get(t, http.MethodGet, "http://"+c.IDEAddr()+"/pid", nil)
		return resp.StatusCode == http.StatusOK && second != first
	})
}

func TestStop_EndsVSCodeAndReturnsNoError(t *testing.T) {
	c := start(t, "serve")
	c.waitReady()
	_, pid := get(t, http.MethodGet, "http://"+c.IDEAddr()+"/pid", nil)
	ws := webSocket(t, c.IDEAddr(), "/ws", nil)
	began := time.Now()
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %s", took)
	}
	mustBeGone(t, pid)
	for {
		if _, _, err := ws.ReadMessage(); err != nil {
			break
		}
	}
	if left, _ := os.ReadDir(c.cfg.RunDir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestStop_KillsWhatIgnoresSIGTERM(t *testing.T) {
	t.Parallel()
	c := start(t, "stubborn", func(cfg *Config) { cfg.timing.stopGrace = 100 * time.Millisecond })
	c.waitReady()
	_, pid := get(t, http.MethodGet, "http://"+c.IDEAddr()+"/pid", nil)
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	mustBeGone(t, pid)
}

func mustBeGone(t *testing.T, pid string) {
	t.Helper()
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(n, 0); err != syscall.ESRCH {
		t.Errorf("process %d: %v, want no such process", n, err)
	}
}

func TestStartLog_KeepsTheEndWithinItsBounds(t *testing.T) {
	var out syncBuffer
	l := newStartLog(&out)
	w := &lineWriter{emit: l.line}
	for i := range 500 {
		_, _ = w.Write([]byte("line " + strconv.Itoa(i) + " \x1b[31m<&>\r"))
	}
	_, _ = w.Write([]byte(strings.Repeat("x", 100_000) + "\nlast"))
	w.flush()
	tail := l.tail()
	if len(tail) > logBytes || bridge.JSONSize(tail) > 60<<10 || strings.ContainsAny(tail, "\x1b\r") {
		t.Errorf("a tail of %d bytes", len(tail))
	}
	if !strings.HasSuffix(tail, "xxx\nlast") || !strings.Contains(tail, "line 499 ") || strings.Contains(tail, "line 0 ") {
		t.Errorf("a tail of %q … %q", tail[:80], tail[len(tail)-80:])
	}
}
