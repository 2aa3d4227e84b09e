package gateway_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kalpana-dev/kalpana/gateway"
	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/workspace"
)

func (w *world) state(id workspace.ID) workspace.State {
	w.Helper()
	record, err := w.store.Workspace(w.Context(), id)
	w.must(err)
	return record.State
}

func TestPaused_WhatMayWakeIsServedOnTheSameRequest(t *testing.T) {
	w := newWorld(t)
	id := w.running()
	grant, url := w.grant(ide(id)), w.hosts.URL(id)
	for name, r := range map[string]*http.Request{
		"navigation": w.navigation(url, grant),
		"iframe":     w.navigation(url, grant, "Sec-Fetch-Site", "same-site"),
		"program":    w.program("GET", url, grant),
		"post":       w.program("POST", url+"body", grant, "Origin", w.hosts.Origin(ide(id))),
	} {
		w.must(w.orch.Pause(id, "test").Wait(t.Context()))
		if a := w.do(r); a.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.text)
		}
	}
	if n := w.runtime.Calls(runtimetest.Start); n != 1 {
		t.Errorf("%d starts, want the first alone", n)
	}
}

func TestPaused_ForgottenTabsPrefetchesAndStrangersWakeNothing(t *testing.T) {
	w := newWorld(t, limited(workspace.SharePublic))
	id := w.running()
	w.share(id, workspace.Share{Port: 5000, Level: workspace.SharePublic})
	grant, url := w.grant(ide(id)), w.hosts.URL(id)
	origin := strings.TrimSuffix(url, "/")
	w.must(w.orch.Pause(id, "test").Wait(t.Context()))
	for name, r := range map[string]*http.Request{
		"reconnect":                     w.program("GET", url+"echo", grant, "Upgrade", "websocket", "Connection", "Upgrade", "Origin", origin),
		"subresource":                   w.subresource(url+"a.png", grant),
		"fetch":                         w.program("GET", url, grant, "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Sec-Fetch-Site", "same-origin"),
		"prefetch":                      w.navigation(url, grant, "Sec-Purpose", "prefetch"),
		"a monitor of a public preview": w.program("GET", w.hosts.Origin(preview(id, 5000))+"/", ""),
	} {
		began := time.Now()
		if w.wantProblem(w.do(r), http.StatusServiceUnavailable); t.Failed() {
			t.Fatal(name)
		}
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("%s: it was held for %v", name, d)
		}
	}
	if s := w.state(id); s != workspace.StatePaused || w.runtime.Calls(runtimetest.Unpause) != 0 {
		t.Errorf("it is %s", s)
	}
}

func TestPaused_WhoseContainerIsGoneGetsAPageWithProgress(t *testing.T) {
	w := newWorld(t)
	id := w.running()
	grant := w.grant(ide(id))
	w.runtime.KeepEvents() // nobody has noticed yet
	w.must(w.orch.Pause(id, "test").Wait(t.Context()))
	record, err := w.store.Workspace(t.Context(), id)
	w.must(err)
	w.runtime.Vanish(record.Container)
	up := make(chan struct{})
	w.boots(runtimetest.Boot{Until: up})
	w.wantPage(w.do(w.navigation(w.hosts.URL(id), grant)), http.StatusServiceUnavailable, "Waking your workspace")
	close(up)
	w.eventually("it runs", func() bool { return w.orch.Route(id) != nil })
}

func TestPaused_AHerdIsServedByOneResume(t *testing.T) {
	w := newWorld(t)
	id := w.running()
	grant := w.grant(ide(id))
	w.must(w.orch.Pause(id, "test").Wait(t.Context()))
	var all sync.WaitGroup
	for i := range 500 {
		r := w.program("GET", w.hosts.URL(id), grant)
		if i%2 == 0 {
			r = w.navigation(w.hosts.URL(id), grant)
		}
		all.Go(func() {
			resp, err := w.client.Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("%d", resp.StatusCode)
			}
		})
	}
	all.Wait()
	if n := w.runtime.Calls(runtimetest.Unpause); n != 1 {
		t.Errorf("%d resumes, want 1", n)
	}
}

func TestPaused_AWebSocketThatWasOpenGoesOnAfterwards(t *testing.T) {
	w := newWorld(t)
	id := w.running()
	grant := w.grant(ide(id))
	ws := w.dial(ide(id), grant)
	w.must(w.orch.Pause(id, "test").Wait(t.Context()))
	w.must(ws.WriteMessage(websocket.TextMessage, []byte("typed while it slept")))
	if a := w.do(w.navigation(w.hosts.URL(id), grant)); a.StatusCode != http.StatusOK {
		t.Fatalf("%d", a.StatusCode)
	}
	_, got, err := ws.ReadMessage()
	if err != nil || string(got) != "typed while it slept" {
		t.Errorf("echo %q, %v", got, err)
	}
}

// activity returns what the workspace is awake for.
func (w *world) activity(id workspace.ID) string {
	w.Helper()
	record, err := w.store.Workspace(w.Context(), id)
	w.must(err)
	return w.orch.Awake(record).Reason
}

func TestActivity_IsWhatAPersonOrAProgramDoes(t *testing.T) {
	w := newWorld(t)
	id := w.running()
	vscode, app := w.grant(ide(id)), w.grant(preview(id, 3000))
	for i, step := range []struct {
		r    *http.Request
		want string
	}{
		{w.subresource(w.hosts.URL(id)+"a.png", vscode), orchestrator.ActivityStarted},
		{w.navigation(w.hosts.URL(id), vscode), orchestrator.ActivityOpened},
		{w.navigation(w.hosts.Origin(preview(id, 3000))+"/", app), orchestrator.ActivityPreview},
		{w.program("GET", w.hosts.URL(id), vscode), orchestrator.ActivityOpened},
		{w.subresource(w.hosts.Origin(preview(id, 3000))+"/a.png", app), orchestrator.ActivityPreview},
	} {
		w.do(step.r)
		if got := w.activity(id); got != step.want {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
}

func TestActivity_AnIdleTabIsNone(t *testing.T) {
	w := newWorld(t)
	id := w.running()
	ws := w.dial(ide(id), w.grant(ide(id)))
	for range 10 {
		w.must(ws.WriteMessage(websocket.TextMessage, []byte("a")))
		_, _, err := ws.ReadMessage()
		w.must(err)
	}
	if got := w.activity(id); got != orchestrator.ActivityStarted {
		t.Errorf("%q", got)
	}
}

// A request that is being answered is never frozen half-way, and one that comes while it is decided
// whether the workspace sleeps is held, even if it may wake nothing.
func TestSleep_NoRequestIsCutOffAndNoneHangs(t *testing.T) {
	w := newWorld(t, options{
		orch:    func(c *orchestrator.Config) { c.Sleep = orchestrator.Sleep{PauseAfter: 50 * time.Millisecond} },
		gateway: func(c *gateway.Config) { c.HoldTime = 10 * time.Second },
	})
	id := w.running()
	grant := w.grant(ide(id))
	stop := time.Now().Add(1500 * time.Millisecond)
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			for i := 0; time.Now().Before(stop); i++ {
				resp, err := w.client.Do(w.program("GET", w.hosts.URL(id), grant))
				if err != nil {
					t.Error(err)
					return
				}
				text, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode != http.StatusOK || err != nil {
					t.Errorf("worker %d: %d %s, %v", worker, resp.StatusCode, text, err)
				}
				time.Sleep(time.Duration(40+20*((i+worker)%3)) * time.Millisecond)
			}
		})
	}
	all.Wait()
	w.eventually("it sleeps once nobody comes", func() bool { return w.state(id) == workspace.StatePaused })
	t.Logf("%d pauses", w.runtime.Calls(runtimetest.Pause))
}

// Who pauses a container by hand leaves nobody waiting for an answer that never comes.
func TestPaused_BehindOurBackARequestThatIsUnderWayIsAnswered(t *testing.T) {
	w := newWorld(t)
	id := w.running()
	grant := w.grant(ide(id))
	record, err := w.store.Workspace(t.Context(), id)
	w.must(err)
	w.runtime.KeepEvents()
	w.must(w.runtime.Freeze(record.Container))
	answered := make(chan int)
	request := w.program("GET", w.hosts.URL(id), grant)
	go func() {
		resp, err := w.client.Do(request)
		if err != nil {
			t.Error(err)
			answered <- 0
			return
		}
		_ = resp.Body.Close()
		answered <- resp.StatusCode
	}()
	w.eventually("it is under way", func() bool { return w.identity.Open() > 0 })
	time.Sleep(20 * time.Millisecond) // to reach the container, or not: either must do
	w.runtime.ReleaseEvents()
	if status := <-answered; status != http.StatusOK {
		t.Errorf("%d", status)
	}
}

// The engine's word of a pause may come after the workspace was resumed already.
func TestPaused_ALateReportCostsNobodyTheirAnswer(t *testing.T) {
	w := newWorld(t)
	id := w.running()
	grant := w.grant(ide(id))
	w.runtime.KeepEvents()
	w.must(w.orch.Pause(id, "test").Wait(t.Context()))
	w.must(w.orch.Wake(id).Wait(t.Context()))
	w.runtime.ReleaseEvents()
	for range 50 {
		for name, r := range map[string]*http.Request{
			"program": w.program("GET", w.hosts.URL(id), grant), "navigation": w.navigation(w.hosts.URL(id), grant),
			"background": w.subresource(w.hosts.URL(id)+"a.png", grant),
		} {
			if a := w.do(r); a.StatusCode != http.StatusOK {
				t.Errorf("%s: %d %s", name, a.StatusCode, a.text)
			}
		}
	}
}
