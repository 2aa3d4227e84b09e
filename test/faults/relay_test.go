package faults

import (
	"net/http"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/kalpana-dev/kalpana/test/harness"
	"github.com/kalpana-dev/kalpana/workspace"
)

func TestEngineSlow_HoldsUpOnlyWhoNeedsIt(t *testing.T) {
	t.Parallel()
	s := install(t)
	w, asleep := s.open(""), s.create("")
	s.navigate(asleep)
	s.await(asleep, workspace.StateRunning)
	s.stop(asleep)

	over := make(chan struct{})
	time.AfterFunc(30*time.Second, func() { close(over) })
	s.relay.Play(func(_ string, done bool) bool {
		if !done {
			<-over
		}
		return true
	})
	if a := s.navigate(asleep); a.Status != http.StatusServiceUnavailable || a.Took > 5*time.Second {
		t.Errorf("a navigation: %v after %v", a, a.Took)
	} else {
		s.says("a navigation", a.Body, "Waking your workspace")
	}
	held := make(chan harness.Answer, 1)
	go func() {
		a, _ := s.Get(s.Workspace(asleep.ID) + "/held")
		held <- a
	}()
	for range 20 {
		if a := s.served("while the engine is slow", w); a.Took > 2*time.Second {
			t.Errorf("one that runs is served after %v", a.Took)
		}
		if a := s.api(http.StatusOK, "GET", "/api/workspaces"); a.Took > 2*time.Second {
			t.Errorf("the console's list took %v", a.Took)
		}
	}
	if a := <-held; a.Status != http.StatusOK || a.Header.Get("X-App") != asleep.ID || a.Took < 25*time.Second {
		t.Errorf("a program's request, after %v: %v", a.Took, a)
	}
	s.await(asleep, workspace.StateRunning)
	s.kept(w)
	s.agree("after the engine was slow")
}

func TestEngineSlow_ThatNeverAnswersIsSaidInTime(t *testing.T) {
	t.Parallel()
	s := install(t, "start_timeout 5s")
	w := s.asleep("")
	s.relay.Play(harness.Slow(time.Hour))
	a := s.fetch(w, "/")
	if a.Status != http.StatusServiceUnavailable || a.Took > 15*time.Second {
		t.Errorf("a program: %v after %v", a, a.Took)
	}
	s.says("a program", a.Body, "container engine does not answer", "try again")
	s.says("the reason", s.await(w, workspace.StateError).Reason, "container engine does not answer")
	s.relay.Play(nil)
	s.served("afterwards", w)
	s.kept(w)
	s.agree("after the engine answered nothing")
}

func TestEventStreamCut_WhatWasMissedIsFound(t *testing.T) {
	t.Parallel()
	s := install(t)
	ended, removed, unharmed := s.open(""), s.open(""), s.open("")
	started := s.started(unharmed)
	// No event stream comes about, while all else does.
	s.relay.Play(func(call string, _ bool) bool { return call != "GET /events" })
	s.relay.Cut()
	s.must(world.engine.ContainerKill(t.Context(), s.record(ended).Container, "KILL"))
	s.must(world.engine.ContainerRemove(t.Context(), s.record(removed).Container, container.RemoveOptions{Force: true}))
	s.served("a program, at once", ended) // which finds out by itself
	s.relay.Play(nil)
	s.await(removed, workspace.StateStopped)
	s.agree("after the event stream is back")
	s.served("the one that was removed", removed)
	s.kept(ended)
	s.kept(removed)
	if again := s.started(unharmed); again != started {
		t.Errorf("one that was left alone was started again: %s, then %s", started, again)
	}
}
