package gateway_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/workspace"
)

// background is a request as the script in VS Code's page makes it.
func (w *world) background(url, cookie string) *http.Request {
	w.Helper()
	return w.program("GET", url, cookie, "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Sec-Fetch-Site", "same-origin")
}

func TestAsleep_TheStateIsToldFromMemoryAndWakesNothing(t *testing.T) {
	w := newWorld(t)
	id := w.create()
	grant := w.grant(ide(id))
	state := func() string {
		t.Helper()
		a := w.do(w.background(w.hosts.Origin(ide(id))+"/.kalpana/state", grant))
		if a.StatusCode != http.StatusOK || a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Content-Type") != "application/json" {
			t.Fatalf("%d %v", a.StatusCode, a.Header)
		}
		return strings.TrimSpace(a.text)
	}
	before, begin := w.store.calls.Load(), time.Now()
	for range alike {
		if got := state(); got != `{"state":"stopped"}` {
			t.Fatalf("asleep: %s", got)
		}
	}
	if n := w.store.calls.Load() - before; n > byItself(begin) {
		t.Errorf("the store was asked %d times", n)
	}
	w.wantAsleep(id)

	up := make(chan struct{})
	w.boots(runtimetest.Boot{Until: up})
	op := w.orch.Wake(id)
	if got := state(); got != `{"state":"starting"}` {
		t.Errorf("during a wake: %s", got)
	}
	close(up)
	w.must(op.Wait(t.Context()))
	if got := state(); got != `{"state":"running"}` {
		t.Errorf("awake: %s", got)
	}
	w.must(w.orch.Stop(id, "").Wait(t.Context()))
	if got := state(); got != `{"state":"stopped"}` {
		t.Errorf("asleep again: %s", got)
	}
}

func TestAsleep_TheScriptIsForVSCodesPageAlone(t *testing.T) {
	w := newWorld(t)
	id := w.create()
	grant := w.grant(ide(id))
	script := w.program("GET", w.hosts.Origin(ide(id))+"/.kalpana/sleep.js", grant,
		"Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "script", "Sec-Fetch-Site", "same-origin")
	a := w.do(script)
	if a.StatusCode != http.StatusOK || a.Header.Get("Content-Type") != "text/javascript; charset=utf-8" ||
		a.Header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(a.text, "Press a key or click to wake it.") {
		t.Errorf("%d %v %.100s", a.StatusCode, a.Header, a.text)
	}
	w.wantAsleep(id)

	app := preview(id, 5173)
	for _, path := range []string{"/.kalpana/sleep.js", "/.kalpana/state"} {
		w.wantProblem(w.do(w.background(w.hosts.Origin(app)+path, w.grant(app))), http.StatusNotFound)
		w.wantProblem(w.do(w.background(w.hosts.Origin(ide(id))+path, "")), http.StatusUnauthorized)
	}
}

// The script is of the page's own origin, so VS Code's policy need not be widened for it.
func TestAsleep_VSCodesPolicyIsNotWidened(t *testing.T) {
	w := newWorld(t)
	id := w.running()
	const own = "default-src 'self'; script-src 'self' 'nonce-x'"
	a := w.do(w.navigation(w.hosts.URL(id)+"headers?"+url.Values{"Content-Security-Policy": {own}}.Encode(), w.grant(ide(id))))
	policies := a.Header.Values("Content-Security-Policy")
	if a.StatusCode != http.StatusOK || len(policies) != 2 || policies[0] != own || !strings.HasPrefix(policies[1], "frame-ancestors ") ||
		strings.ContainsAny(policies[1], ";,") {
		t.Errorf("%d %q", a.StatusCode, policies)
	}
}

func TestAsleep_TheScriptIsToldThatAFrozenWorkspaceGoesOn(t *testing.T) {
	w := newWorld(t)
	id := w.running()
	grant := w.grant(ide(id))
	w.must(w.orch.Pause(id, "").Wait(t.Context()))
	if a := w.do(w.background(w.hosts.Origin(ide(id))+"/.kalpana/state", grant)); !strings.Contains(a.text, `"paused"`) {
		t.Errorf("frozen: %s", a.text)
	}
	hold := make(chan struct{})
	w.runtime.SetBefore(func(ctx context.Context, v runtimetest.Verb, _ workspace.ID) error {
		if v == runtimetest.Unpause {
			<-hold
		}
		return nil
	})
	op := w.orch.Wake(id)
	w.eventually("it resumes", op.Resumes)
	_, events := w.follow(id, grant)
	if e := w.next(events, "log"); e.name != "stage" || e.data["stage"] != "resume" {
		t.Errorf("event %v", e)
	}
	close(hold)
	if e := w.next(events, "log", "stage"); e.name != "ready" {
		t.Errorf("event %v", e)
	}
	w.must(op.Wait(t.Context()))
}

// A frozen container accepts connections and never answers them: the gateway must.
func TestAsleep_AForgottenTabsReconnectsAreAnsweredAndWakeNothing(t *testing.T) {
	w := newWorld(t)
	id := w.running()
	host := ide(id)
	grant := w.grant(host)
	ws := w.dial(host, grant)
	w.must(w.orch.Pause(id, "").Wait(t.Context()))
	for range 3 {
		w.wantProblem(w.do(w.upgrade(host, grant, w.hosts.Origin(host))), http.StatusServiceUnavailable)
		w.wantProblem(w.do(w.background(w.hosts.URL(id)+"a.json", grant)), http.StatusServiceUnavailable)
	}
	if w.orch.Waking(id) != nil || w.runtime.Calls(runtimetest.Unpause) != 0 {
		t.Error("a forgotten tab woke it")
	}
	// A connection that came through the pause goes on.
	w.must(w.orch.Wake(id).Wait(t.Context()))
	w.must(ws.WriteMessage(websocket.TextMessage, []byte("on")))
	if _, got, err := ws.ReadMessage(); err != nil || string(got) != "on" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAsleep_AKeyOrAClickResumesIt(t *testing.T) {
	w := newWorld(t)
	id := w.running()
	host := ide(id)
	grant := w.grant(host)
	w.must(w.orch.Pause(id, "").Wait(t.Context()))
	wake := w.program("POST", w.hosts.Origin(host)+"/.kalpana/wake", grant, "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Sec-Fetch-Site", "same-origin")
	if a := w.do(wake); a.StatusCode != http.StatusAccepted {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	w.eventually("it runs", func() bool { return w.orch.Route(id) != nil })
}
