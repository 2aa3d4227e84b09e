package faults

import (
	"net/http"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/kalpana-dev/kalpana/test/harness"
	"github.com/kalpana-dev/kalpana/workspace"
)

func TestNeverReady_IsSaidAndNothingRunsOn(t *testing.T) {
	t.Parallel()
	s := install(t, "start_timeout 5s")
	w := s.create("silent")
	if a := s.navigate(w); a.Status != http.StatusServiceUnavailable {
		t.Errorf("the first hit: %v", a)
	}
	s.says("the reason", s.await(w, workspace.StateError).Reason, "did not become ready in time (5s)", "Try again")
	if a := s.fetch(w, "/"); a.Status != http.StatusServiceUnavailable || a.Took > 15*time.Second {
		t.Errorf("a program: %v after %v", a, a.Took)
	} else {
		s.says("a program", a.Body, "did not become ready in time")
	}
	s.agree("after a start that failed")
}

func TestOutOfMemory_IsSaidAndTheNextStartIsGood(t *testing.T) {
	t.Parallel()
	s := install(t, "limits {\n memory 64MiB\n}")
	w := s.open("")
	origin := s.Workspace(w.ID)
	a, err := s.Send(harness.Request("POST", origin+"/__app/eat", nil, "Origin", origin))
	s.must(err)
	if a.Status != http.StatusBadGateway {
		t.Errorf("the request that did it: %v", a)
	}
	s.says("the reason", s.await(w, workspace.StateError).Reason, "out of memory", "Start it again")
	s.agree("after it ran out of memory")
	s.served("the next hit", w)
	s.kept(w)
}

func TestContainerRemoved_ANewOneHasTheSameFiles(t *testing.T) {
	t.Parallel()
	s := install(t)
	w := s.open("")
	old := s.record(w)
	s.must(world.engine.ContainerRemove(t.Context(), old.Container, container.RemoveOptions{Force: true}))
	s.await(w, workspace.StateStopped)
	s.agree("after the container was removed")
	s.served("the next hit", w)
	s.kept(w)
	if now := s.record(w); now.Container == old.Container || now.IDEPort != old.IDEPort {
		t.Errorf("container %.12s on port %d, then %.12s on %d", old.Container, old.IDEPort, now.Container, now.IDEPort)
	}
	s.agree("after the next hit")
}
