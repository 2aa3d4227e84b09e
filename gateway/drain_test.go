package gateway_test

import (
	"net/http"
	"testing"

	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
)

func TestDrain_NothingIsWokenAndEverybodyIsToldWhy(t *testing.T) {
	w := newWorld(t)
	id := w.create()
	grant := w.grant(ide(id))
	w.orch.SetDraining(true)
	a := w.do(w.navigation(w.hosts.URL(id)+"deep/link", grant))
	w.wantPage(a, http.StatusServiceUnavailable, "Back in a few minutes")
	if a.Header.Get("Retry-After") != "30" {
		t.Errorf("Retry-After %q", a.Header.Get("Retry-After"))
	}
	w.wantProblem(w.do(w.program("GET", w.hosts.URL(id), grant)), http.StatusServiceUnavailable)
	w.wantAsleep(id)

	w.orch.SetDraining(false)
	if a := w.do(w.program("GET", w.hosts.URL(id), grant)); a.StatusCode != http.StatusOK {
		t.Errorf("after the drain was undone: %d %s", a.StatusCode, a.text)
	}
}

func TestDrain_WhatRunsAndWhatIsHeldIsServed(t *testing.T) {
	w := newWorld(t)
	running := w.running()
	grant := w.grant(ide(running))
	ws := w.dial(ide(running), grant)
	up := make(chan struct{})
	w.boots(runtimetest.Boot{Until: up})
	starting := w.create()
	held := make(chan *answer)
	request := w.program("GET", w.hosts.URL(starting), w.grant(ide(starting)))
	go func() { held <- w.do(request) }()
	w.eventually("it is held", func() bool { return w.metrics.Held() == 1 })

	w.orch.SetDraining(true)
	if a := w.do(w.navigation(w.hosts.URL(running), grant)); a.StatusCode != http.StatusOK {
		t.Errorf("a workspace that runs: %d", a.StatusCode)
	}
	w.must(ws.WriteMessage(1, []byte("a")))
	if _, _, err := ws.ReadMessage(); err != nil {
		t.Errorf("its WebSocket: %v", err)
	}
	close(up)
	if a := <-held; a.StatusCode != http.StatusOK {
		t.Errorf("the request that was held: %d %s", a.StatusCode, a.text)
	}
	w.must(w.orch.AwaitOperations(t.Context()))
}
