package docker

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/orchestrator"
)

func state1(t *testing.T, r *Runtime, id string) orchestrator.ContainerState {
	t.Helper()
	s, err := r.State(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPause_FreezesAndUnpauseLetsGoOn(t *testing.T) {
	t.Parallel()
	r := prepared(t)
	w := watch(t, r)
	s := spec(t, r, "serve")
	id := run(t, r, s)
	for range 2 { // the second time there is nothing to do
		if err := r.Pause(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		// At once, unlike the list.
		if got := state1(t, r, id); got != orchestrator.ContainerPaused {
			t.Errorf("after Pause: %s", got)
		}
	}
	eventually(t, "the pause is told", func() bool {
		return w.last(id) == orchestrator.ContainerEvent{Container: id, Workspace: s.Workspace, Paused: true}
	})
	eventually(t, "the pause is listed", func() bool { return listed1(t, r, id).State == orchestrator.ContainerPaused })
	start := time.Now()
	if err := r.Unpause(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	t.Logf("Unpause took %v", time.Since(start))
	if err := r.Unpause(t.Context(), id); err != nil {
		t.Errorf("Unpause of a running container: %v", err)
	}
	if got := state1(t, r, id); got != orchestrator.ContainerRunning {
		t.Errorf("after Unpause: %s", got)
	}
	eventually(t, "the end of the pause is told", func() bool {
		return w.last(id) == orchestrator.ContainerEvent{Container: id, Workspace: s.Workspace, Resumed: true}
	})
	if err := r.Pause(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context(), id); err != nil {
		t.Errorf("Start of a paused container: %v", err)
	}
	if got := state1(t, r, id); got != orchestrator.ContainerRunning {
		t.Errorf("after Start: %s", got)
	}
}

func TestPause_OfWhatDoesNotRunSaysSo(t *testing.T) {
	t.Parallel()
	r := prepared(t)
	verbs := map[string]func(string) error{
		"Pause":   func(id string) error { return r.Pause(t.Context(), id) },
		"Unpause": func(id string) error { return r.Unpause(t.Context(), id) },
	}
	id := create(t, r, spec(t, r, "serve"))
	for name, verb := range verbs {
		if err := verb(id); !errors.Is(err, orchestrator.ErrNotRunning) {
			t.Errorf("%s of a container that was never started: %v", name, err)
		}
	}
	if got := state1(t, r, id); got != orchestrator.ContainerCreated {
		t.Errorf("it is %s", got)
	}
	if err := r.Start(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := r.Pause(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := r.Stop(t.Context(), id, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	for name, verb := range verbs {
		if err := verb(id); !errors.Is(err, orchestrator.ErrNotRunning) {
			t.Errorf("%s of a stopped container: %v", name, err)
		}
	}
	if err := r.Remove(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	for name, verb := range verbs {
		for _, missing := range []string{id, strings.Repeat("0", 64)} {
			if err := verb(missing); !errors.Is(err, orchestrator.ErrNoContainer) {
				t.Errorf("%s of a missing container: %v", name, err)
			}
		}
	}
	if got := state1(t, r, id); got != orchestrator.ContainerExited {
		t.Errorf("a missing container is %s", got)
	}
}
