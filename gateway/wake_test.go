package gateway_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kalpana-dev/kalpana/gateway"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/workspace"
)

func TestWake_ANavigationGetsAPageWithProgressAndStartsOne(t *testing.T) {
	w := newWorld(t)
	up := make(chan struct{})
	w.boots(runtimetest.Boot{Until: up})
	id := w.create()
	grant := w.grant(ide(id))
	for range 3 {
		a := w.do(w.navigation(w.hosts.URL(id), grant))
		w.wantPage(a, http.StatusServiceUnavailable, "Waking your workspace")
		if a.Header.Get("Retry-After") == "" || !strings.Contains(a.text, `<main data-live>`) {
			t.Errorf("headers %v\n%s", a.Header, a.text)
		}
	}
	close(up)
	w.eventually("it runs", func() bool { return w.orch.Route(id) != nil })
	if a := w.do(w.navigation(w.hosts.URL(id), grant)); a.StatusCode != http.StatusOK {
		t.Errorf("%d", a.StatusCode)
	}
	if n := w.runtime.Calls(runtimetest.Start); n != 1 {
		t.Errorf("%d starts, want 1", n)
	}
}

func TestWake_AnIframeAndAnOlderBrowserNavigateToo(t *testing.T) {
	w := newWorld(t)
	for name, headers := range map[string][]string{
		"iframe":        {"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe", "Sec-Fetch-Site", "same-site"},
		"older browser": {"Accept", "text/html,application/xhtml+xml"},
	} {
		id := w.create()
		r := w.program("GET", w.hosts.URL(id), w.grant(ide(id)))
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		w.wantPage(w.do(r), http.StatusServiceUnavailable, "Waking your workspace")
		w.eventually(name+" woke it", func() bool { return w.orch.Route(id) != nil })
	}
}

func TestWake_ForgottenTabsAndPrefetchesStartNothing(t *testing.T) {
	w := newWorld(t)
	id := w.create()
	grant, url := w.grant(ide(id)), w.hosts.URL(id)
	origin := strings.TrimSuffix(url, "/")
	for name, r := range map[string]*http.Request{
		"prefetch":         w.navigation(url, grant, "Sec-Purpose", "prefetch"),
		"prerender":        w.navigation(url, grant, "Sec-Purpose", "prefetch;prerender"),
		"older prefetch":   w.navigation(url, grant, "Purpose", "prefetch"),
		"Safari's preview": w.navigation(url, grant, "X-Purpose", "preview"),
		"Firefox prefetch": w.navigation(url, grant, "X-Moz", "prefetch"),
		"subresource":      w.subresource(url+"a.png", grant),
		"embed":            w.navigation(url, grant, "Sec-Fetch-Dest", "embed"),
		"fetch":            w.program("GET", url, grant, "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Sec-Fetch-Site", "same-origin"),
		"posted by a page": w.program("POST", url, grant, "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Sec-Fetch-Site", "same-origin"),
		"service worker":   w.program("GET", url, grant, "Sec-Fetch-Dest", "serviceworker"),
		"WebSocket":        w.program("GET", url+"echo", grant, "Upgrade", "websocket", "Connection", "Upgrade", "Origin", origin),
		"older WebSocket":  w.program("GET", url+"echo", grant, "Upgrade", "websocket", "Origin", origin),
	} {
		if name == "embed" {
			r.Header["Sec-Fetch-Dest"] = []string{"embed"}
		}
		if w.wantProblem(w.do(r), http.StatusServiceUnavailable); t.Failed() {
			t.Fatal(name)
		}
	}
	w.wantAsleep(id)
}

func TestWake_AProgramIsHeldAndServedOnTheSameRequest(t *testing.T) {
	w := newWorld(t)
	w.boots(runtimetest.Boot{After: 200 * time.Millisecond})
	id := w.create()
	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
	for _, chunked := range []bool{false, true} {
		r := w.program("POST", w.hosts.URL(id)+"body", w.grant(ide(id)), "Origin", w.hosts.Origin(ide(id)), "Expect", "100-continue")
		r.Body = io.NopCloser(bytes.NewReader(body))
		if !chunked {
			r.ContentLength = int64(len(body))
		}
		want := fmt.Sprintf("%d %x <nil>", len(body), sha256.Sum256(body))
		if a := w.do(r); a.StatusCode != http.StatusOK || a.text != want {
			t.Errorf("%d %q, want %q", a.StatusCode, a.text, want)
		}
		w.must(w.orch.Stop(id, "test").Wait(t.Context()))
	}
	if n := len(w.runtime.Requests()); n != 2 {
		t.Errorf("%d requests reached the container, want 2", n)
	}
}

func TestWake_WhateverArrivesMeanwhileIsHeld(t *testing.T) {
	w := newWorld(t)
	up := make(chan struct{})
	w.boots(runtimetest.Boot{Until: up})
	id := w.create()
	host := ide(id)
	grant := w.grant(host)
	w.do(w.navigation(w.hosts.URL(id), grant))
	var all sync.WaitGroup
	for range 10 {
		for _, r := range []*http.Request{
			w.program("GET", w.hosts.URL(id), grant), w.subresource(w.hosts.URL(id)+"a.png", grant),
			w.program("PUT", w.hosts.URL(id), grant, "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors"),
		} {
			all.Go(func() {
				resp, err := w.client.Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					t.Errorf("%s: %d", r.Method, resp.StatusCode)
				}
			})
		}
	}
	all.Go(func() {
		w.eventually("all but the WebSocket are held", func() bool { return w.identity.Open() >= 30 })
		close(up)
	})
	ws := w.dial(host, grant)
	all.Wait()
	w.must(ws.WriteMessage(websocket.TextMessage, []byte("a")))
	_, got, err := ws.ReadMessage()
	if err != nil || string(got) != "a" {
		t.Errorf("echo %q, %v", got, err)
	}
	if n := w.runtime.Calls(runtimetest.Start); n != 1 {
		t.Errorf("%d starts, want 1", n)
	}
}

func TestWake_AHeldRequestIsAnsweredInTime(t *testing.T) {
	w := newWorld(t, options{gateway: func(c *gateway.Config) { c.HoldTime = 100 * time.Millisecond }})
	w.boots(runtimetest.Boot{Never: true})
	id := w.create()
	began := time.Now()
	w.wantProblem(w.do(w.program("GET", w.hosts.URL(id), w.grant(ide(id)))), http.StatusServiceUnavailable)
	if d := time.Since(began); d < 100*time.Millisecond || d > 3*time.Second {
		t.Errorf("it was held for %v", d)
	}
	if w.orch.Waking(id) == nil {
		t.Error("the wake ended with the request")
	}
}

func TestWake_AHeldRequestOutlivesTheServersTimeouts(t *testing.T) {
	w := newWorld(t, options{server: short})
	w.boots(runtimetest.Boot{After: 1400 * time.Millisecond})
	id := w.create()
	r := w.program("POST", w.hosts.URL(id)+"body", w.grant(ide(id)), "Origin", w.hosts.Origin(ide(id)))
	r.Body = io.NopCloser(strings.NewReader("late"))
	if a := w.do(r); a.StatusCode != http.StatusOK || !strings.HasPrefix(a.text, "4 ") {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
}

func TestWake_WhoLeavesOrSignsOutIsHeldNoLonger(t *testing.T) {
	w := newWorld(t)
	w.boots(runtimetest.Boot{Never: true})
	id := w.create()
	grant := w.grant(ide(id))
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan struct{})
	go func() {
		defer close(left)
		resp, err := w.client.Do(w.program("GET", w.hosts.URL(id), grant).WithContext(ctx))
		if err == nil {
			_ = resp.Body.Close()
		}
	}()
	w.eventually("it is held", func() bool { return w.identity.Open() == 1 })
	leave()
	<-left
	w.eventually("it is let go", func() bool { return w.identity.Open() == 0 })
	if w.orch.Waking(id) == nil {
		t.Error("the wake ended with the request")
	}
	out := make(chan int, 1)
	go func() {
		resp, err := w.client.Do(w.program("GET", w.hosts.URL(id), grant))
		if err == nil {
			_ = resp.Body.Close()
			out <- resp.StatusCode
		}
		close(out)
	}()
	w.eventually("it is held", func() bool { return w.identity.Open() == 1 })
	_, err := w.identity.SignOut(t.Context(), w.caller.Session)
	w.must(err)
	if status := <-out; status != http.StatusServiceUnavailable {
		t.Errorf("status %d", status)
	}
}

func TestWake_AFailureSaysWhatHappenedAndWhatToDo(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		status int
		text   string
	}{
		"engine down":     {workspace.ErrEngineDown, 503, "The container engine does not answer. Ask the operator"},
		"image missing":   {workspace.ErrImageMissing, 503, "make image"},
		"disk full":       {workspace.ErrStorageFull, 507, "The disk is full. Ask the operator to free some space"},
		"no firewall":     {workspace.ErrFirewall, 503, "kalpana firewall"},
		"ports exhausted": {workspace.ErrPortsExhausted, 503, "widen the range"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.runtime.SetBefore(func(_ context.Context, v runtimetest.Verb, _ workspace.ID) error {
				if v == runtimetest.Create || v == runtimetest.Prepare {
					return orderly{c.err}
				}
				return nil
			})
			id := w.create()
			grant := w.grant(ide(id))
			a := w.do(w.program("GET", w.hosts.URL(id), grant))
			w.wantProblem(a, c.status)
			if !strings.Contains(a.text, strings.TrimPrefix(c.text, "The ")) && !strings.Contains(a.text, c.text) {
				t.Errorf("problem %s", a.text)
			}
			a = w.do(w.navigation(w.hosts.URL(id), grant))
			if strings.Contains(a.text, "<main data-live>") { // it took a moment: the page follows it
				_, events := w.follow(id, grant)
				if e := w.next(events, "stage"); e.name != "failed" || !strings.Contains(e.data["message"], "Ask the operator") {
					t.Errorf("event %v", e)
				}
				return
			}
			w.wantPage(a, c.status, "The workspace did not start")
			if !strings.Contains(a.text, "Ask the operator") || !strings.Contains(a.text, `href="/">Try again</a>`) {
				t.Errorf("page %s", a.text)
			}
		})
	}
}

// orderly is a fault without the name of the verb, as the text is compared.
type orderly struct{ error }

func (o orderly) Unwrap() error { return o.error }

func TestWake_AWorkspaceThatIsGoneIsNotFound(t *testing.T) {
	w := newWorld(t)
	id := w.create()
	grant := w.grant(ide(id))
	w.must(w.orch.Delete(id).Wait(t.Context()))
	if a := w.do(w.navigation(w.hosts.URL(id), grant)); strings.Contains(a.text, "<main data-live>") {
		_, events := w.follow(id, grant) // on a slow disk
		if e := w.next(events, "stage"); e.name != "failed" || !strings.Contains(e.data["message"], "does not exist") {
			t.Errorf("event %v", e)
		}
	} else {
		w.wantPage(a, http.StatusNotFound, "No such workspace")
	}
	w.wantProblem(w.do(w.program("GET", w.hosts.URL(id), grant)), http.StatusNotFound)
	w.must(w.identity.Revoke(t.Context(), identity.Revocation{Workspace: id})) // as the API does
	w.wantProblem(w.do(w.program("GET", w.hosts.URL(id), grant)), http.StatusUnauthorized)
}

func TestLost_AProgramIsServedOnTheSameRequestAfterANewWake(t *testing.T) {
	body := bytes.Repeat([]byte("x"), 1<<20)
	for name, c := range map[string]struct {
		kept bool // a connection to the container that has ended is in the pool
		body []byte
	}{
		"with a body":                       {false, body},
		"on a connection that is left over": {true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			id := w.running()
			host := ide(id)
			grant := w.grant(host)
			if c.kept {
				w.do(w.program("GET", w.hosts.URL(id), grant))
			}
			w.runtime.KeepEvents() // the engine says nothing
			record, err := w.store.Workspace(t.Context(), id)
			w.must(err)
			w.runtime.Kill(record.Container, 137, false)
			if !c.kept {
				w.transport.CloseIdleConnections() // a body is not sent twice, so it gets 502 on such a connection
			}
			r := w.program("GET", w.hosts.URL(id)+"body", grant)
			if c.body != nil {
				r = w.program("POST", w.hosts.URL(id)+"body", grant, "Origin", w.hosts.Origin(host))
				r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(c.body)), int64(len(c.body))
			}
			want := fmt.Sprintf("%d %x <nil>", len(c.body), sha256.Sum256(c.body))
			if a := w.do(r); a.StatusCode != http.StatusOK || a.text != want {
				t.Fatalf("%d %s", a.StatusCode, a.text)
			}
			if n := w.runtime.Calls(runtimetest.Start); n != 2 {
				t.Errorf("%d starts, want 2", n)
			}
		})
	}
}

func TestLost_AForgottenTabWakesNothing(t *testing.T) {
	w := newWorld(t)
	id := w.running()
	grant := w.grant(ide(id))
	w.runtime.KeepEvents()
	record, err := w.store.Workspace(t.Context(), id)
	w.must(err)
	w.runtime.Kill(record.Container, 137, false)
	w.wantProblem(w.do(w.subresource(w.hosts.URL(id), grant)), http.StatusServiceUnavailable)
	w.eventually("it is known to be stopped", func() bool {
		record, err := w.store.Workspace(t.Context(), id)
		w.must(err)
		return record.State == workspace.StateStopped
	})
	if n := w.runtime.Calls(runtimetest.Start); n != 1 {
		t.Errorf("%d starts, want 1", n)
	}
}

func TestLost_AFaultOfTheGatewayEndsNoWorkspace(t *testing.T) {
	w := newWorld(t, options{gateway: func(c *gateway.Config) { c.Transport = noFiles{} }})
	id := w.running()
	route := w.orch.Route(id)
	w.wantProblem(w.do(w.program("GET", w.hosts.URL(id), w.grant(ide(id)))), http.StatusBadGateway)
	if w.orch.Route(id) != route {
		t.Error("the route of a workspace that runs was forgotten")
	}
}

func TestBroken_AnAnswerThatBreaksOffIsNoPanicAndWakesNothing(t *testing.T) {
	w := newWorld(t)
	id := w.running()
	grant := w.grant(ide(id))
	w.wantProblem(w.do(w.program("GET", w.hosts.URL(id)+"reset", grant)), http.StatusBadGateway)
	w.wantPage(w.do(w.navigation(w.hosts.URL(id)+"reset", grant)), http.StatusBadGateway, "broke off its answer")
	resp, err := w.client.Do(w.program("GET", w.hosts.URL(id)+"cut", grant))
	if err == nil { // the headers came through
		_, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
	}
	if err == nil {
		t.Error("half an answer looks like a whole one")
	}
	if a := w.do(w.program("GET", w.hosts.URL(id), grant)); a.StatusCode != http.StatusOK {
		t.Errorf("%d", a.StatusCode)
	}
	if n := w.runtime.Calls(runtimetest.Start); n != 1 {
		t.Errorf("%d starts, want 1", n)
	}
	w.eventually("no request is held", func() bool { return w.identity.Open() == 0 })
}
