package faults

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/kalpana-dev/kalpana/test/harness"
	"github.com/kalpana-dev/kalpana/workspace"
)

func (s *site) sleep(w harness.View) {
	s.t.Helper()
	s.api(http.StatusAccepted, "POST", "/api/workspaces/"+w.ID+"/pause")
	s.await(w, workspace.StatePaused)
}

func TestContainerPausedBehindOurBack_TheNextHitIsServed(t *testing.T) {
	t.Parallel()
	s := install(t)
	w, other := s.open(""), s.open("")
	started := s.started(w)
	for _, w := range []harness.View{w, other} {
		s.must(world.engine.ContainerPause(t.Context(), s.record(w).Container))
	}
	if a := s.served("the next hit, at once", w); a.Took > 5*time.Second {
		t.Errorf("the next hit is served after %v", a.Took)
	}
	s.await(w, workspace.StateRunning)
	if again := s.started(w); again != started {
		t.Errorf("the container was started again: %s, then %s", started, again)
	}
	s.await(other, workspace.StatePaused)
	s.agree("after both were paused")
	s.served("the other", other)
	s.kept(other)
	s.agree("when both run")
}

func TestPausedContainer_WhateverHappensToItTheNextHitIsServed(t *testing.T) {
	t.Parallel()
	s := install(t)
	engine := world.engine
	for what, do := range map[string]func(id string) error{
		"resumed": func(id string) error { return engine.ContainerUnpause(t.Context(), id) },
		"killed":  func(id string) error { return engine.ContainerKill(t.Context(), id, "KILL") },
		"removed": func(id string) error {
			return engine.ContainerRemove(t.Context(), id, container.RemoveOptions{Force: true})
		},
		"restarted": func(id string) error {
			return errors.Join(engine.ContainerUnpause(t.Context(), id), engine.ContainerRestart(t.Context(), id, container.StopOptions{}))
		},
	} {
		w := s.open("")
		s.sleep(w)
		s.must(do(s.record(w).Container))
		if a := s.fetch(w, "/__app/file/kept"); a.Status != http.StatusOK || a.Body != "kept" {
			t.Errorf("one that was %s: the next hit: %v", what, a)
		}
		s.agree("after one was " + what)
	}
}

func TestGatewayKilledInAPause_TheNextHitIsServed(t *testing.T) {
	t.Parallel()
	for _, i := range []instant{
		{"POST /containers/*/pause", false},
		{"POST /containers/*/pause", true},
		{"POST /containers/*/unpause", false},
		{"POST /containers/*/unpause", true},
	} {
		t.Run(i.String(), func(t *testing.T) {
			t.Parallel()
			s := install(t)
			w := s.open("")
			started := s.started(w)
			verb := "pause"
			if i.call == "POST /containers/*/unpause" {
				s.sleep(w)
				verb = "start"
			}
			s.killAt(i, s.quietly("POST", "/api/workspaces/"+w.ID+"/"+verb))
			s.start()
			s.served("the next hit", w)
			s.kept(w)
			if again := s.started(w); again != started {
				t.Errorf("the container was started again: %s, then %s", started, again)
			}
			s.agree("after the next hit")
		})
	}
}

// A preview that is open at one gateway is use, which the other, where nothing happens, must ask for.
func TestTwoGateways_OneNeverPausesWhatTheOtherUses(t *testing.T) {
	t.Parallel()
	one := install(t, "sleep {\n pause_after 3s\n stop_after 1h\n}")
	two := one.second()
	w, idle := one.open(""), one.open("")
	two.enter(w)
	preview := "http://3000-" + w.ID + ".ws.kalpana.localhost"
	address := preview + two.Console()[len("http://kalpana.localhost"):]
	if a, err := two.Navigate(address + "/hello"); err != nil || a.Status != http.StatusOK {
		t.Fatalf("the preview: %v %v", a, err)
	}
	resp, err := two.Do(harness.Request("GET", address+"/__app/stream", nil))
	one.must(err)
	defer resp.Body.Close()
	began := time.Now()
	one.await(idle, workspace.StatePaused)
	for time.Since(began) < 12*time.Second {
		if err := world.engine.WantState(one.record(w).Container, "running"); err != nil {
			t.Fatalf("what the other uses, after %v: %v", time.Since(began), err)
		}
		b := make([]byte, 64)
		if _, err := resp.Body.Read(b); err != nil {
			t.Fatalf("the stream ended after %v: %v", time.Since(began), err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	_ = resp.Body.Close()
	one.await(w, workspace.StatePaused)
	one.agree("when both sleep")
	two.served("at the other", w)
	one.served("at the first", w)
	one.kept(w)
}
