package gateway_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/workspace"
)

type event struct {
	name string
	data map[string]string
	text string
}

// follow opens the progress of a wake, as the page does.
func (w *world) follow(id workspace.ID, grant string) (*http.Response, <-chan event) {
	w.Helper()
	return w.followOn(ide(id), grant)
}

func (w *world) followOn(host workspace.Host, grant string) (*http.Response, <-chan event) {
	w.Helper()
	resp, err := w.client.Do(w.program("GET", w.hosts.Origin(host)+"/.kalpana/progress", grant,
		"Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Sec-Fetch-Site", "same-origin"))
	w.must(err)
	w.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" || resp.Header.Get("Cache-Control") != "no-store" {
		w.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	events := make(chan event, 100)
	go func() {
		defer close(events)
		var e event
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			field, value, _ := strings.Cut(lines.Text(), ": ")
			switch field {
			case "event":
				e.name = value
			case "data":
				e.data, e.text = map[string]string{}, value
				_ = json.Unmarshal([]byte(value), &e.data)
			case "":
				events <- e
			}
		}
	}()
	return resp, events
}

// next returns the next event that is not of the given names.
func (w *world) next(events <-chan event, skip ...string) event {
	w.Helper()
	timeout := time.After(patient)
next:
	for {
		select {
		case e := <-events:
			for _, name := range skip {
				if e.name == name {
					continue next
				}
			}
			return e
		case <-timeout:
			w.Fatal("no event came")
		}
	}
}

func (w *world) wantEnd(events <-chan event) {
	w.Helper()
	select {
	case e, open := <-events:
		if open {
			w.Errorf("event %v after the last", e)
		}
	case <-time.After(patient):
		w.Error("the stream did not end")
	}
}

func TestProgress_TellsStagesLogAndReady(t *testing.T) {
	w := newWorld(t)
	up := make(chan struct{})
	w.boots(runtimetest.Boot{Until: up})
	id := w.create()
	grant := w.grant(ide(id))
	w.runtime.SetLog(id, "cloning\n<script>alert(1)</script>")
	w.do(w.navigation(w.hosts.URL(id), grant))
	_, events := w.follow(id, grant)
	if e := w.next(events, "stage"); e.name != "log" || e.data["text"] != "cloning\n<script>alert(1)</script>" {
		t.Errorf("event %v", e)
	}
	close(up)
	if e := w.next(events, "stage", "log"); e.name != "ready" {
		t.Errorf("event %v", e)
	}
	w.wantEnd(events)
	_, events = w.follow(id, grant) // one that comes late
	if e := w.next(events); e.name != "ready" {
		t.Errorf("event %v", e)
	}
	w.wantEnd(events)
}

func TestProgress_ManyWatchersAskTheEngineOnce(t *testing.T) {
	w := newWorld(t)
	up := make(chan struct{})
	w.boots(runtimetest.Boot{Until: up})
	id := w.create()
	grant := w.grant(ide(id))
	w.runtime.SetLog(id, "starting")
	w.do(w.navigation(w.hosts.URL(id), grant))
	began := time.Now()
	var last <-chan event
	for range 20 {
		_, last = w.follow(id, grant)
	}
	if e := w.next(last, "stage"); e.name != "log" {
		t.Errorf("event %v", e)
	}
	close(up)
	if e := w.next(last, "stage", "log"); e.name != "ready" {
		t.Errorf("event %v", e)
	}
	if n, most := w.runtime.Calls(runtimetest.Logs), int(time.Since(began)/(300*time.Millisecond))+2; n > most {
		t.Errorf("the engine was asked %d times, want %d at most", n, most)
	}
}

func TestProgress_TellsTheFailureAndWhatToDo(t *testing.T) {
	w := newWorld(t)
	w.boots(runtimetest.Boot{After: 200 * time.Millisecond, Failed: "VS Code ended with code 1", Log: "no such option"})
	id := w.create()
	grant := w.grant(ide(id))
	w.do(w.navigation(w.hosts.URL(id), grant))
	_, events := w.follow(id, grant)
	want := map[string]string{
		"message": "The workspace did not start: VS Code ended with code 1. Try again; if it stays so, the log tells why.",
		"detail":  "no such option",
	}
	check := func(events <-chan event) {
		t.Helper()
		if e := w.next(events, "stage", "log"); e.name != "failed" || e.data["message"] != want["message"] || e.data["detail"] != want["detail"] {
			t.Errorf("event %v", e)
		}
		w.wantEnd(events)
	}
	check(events)
	_, events = w.follow(id, grant) // one that comes late
	check(events)
	if n := w.runtime.Calls(runtimetest.Start); n != 1 {
		t.Errorf("%d starts: watching started one", n)
	}
	w.boots(runtimetest.Boot{})
	a := w.do(w.program("POST", w.hosts.URL(id)+".kalpana/wake", grant, "Sec-Fetch-Site", "same-origin"))
	if a.StatusCode != http.StatusAccepted {
		t.Errorf("the button: %d %s", a.StatusCode, a.text)
	}
	w.eventually("it runs", func() bool { return w.orch.Route(id) != nil })
}

func TestProgress_OfAStoppedWorkspaceStartsNothing(t *testing.T) {
	w := newWorld(t)
	id := w.create()
	grant := w.grant(ide(id))
	_, events := w.follow(id, grant)
	if e := w.next(events); e.name != "failed" || e.data["message"] != "It is stopped." {
		t.Errorf("event %v", e)
	}
	w.wantEnd(events)
	w.wantAsleep(id)
}

func TestProgress_EndsWhenTheServerReloads(t *testing.T) {
	w := newWorld(t)
	w.boots(runtimetest.Boot{Never: true})
	id := w.create()
	grant := w.grant(ide(id))
	w.do(w.navigation(w.hosts.URL(id), grant))
	_, events := w.follow(id, grant)
	w.next(events)
	close(w.stopping)
	for range events { // until the stream ends
	}
	if w.orch.Waking(id) == nil {
		t.Error("the wake ended too")
	}
}

func TestProgress_EndsAtSignOut(t *testing.T) {
	w := newWorld(t)
	w.boots(runtimetest.Boot{Never: true})
	id := w.create()
	grant := w.grant(ide(id))
	w.do(w.navigation(w.hosts.URL(id), grant))
	_, events := w.follow(id, grant)
	w.next(events)
	_, err := w.identity.SignOut(t.Context(), w.caller.Session)
	w.must(err)
	for range events { // until the stream ends
	}
	w.eventually("no request is held", func() bool { return w.identity.Open() == 0 })
}

func TestProgress_OutlivesTheServersTimeouts(t *testing.T) {
	w := newWorld(t, options{server: short})
	w.boots(runtimetest.Boot{After: 1400 * time.Millisecond})
	id := w.create()
	grant := w.grant(ide(id))
	w.do(w.navigation(w.hosts.URL(id), grant))
	_, events := w.follow(id, grant)
	if e := w.next(events, "stage", "log"); e.name != "ready" {
		t.Errorf("event %v", e)
	}
}
