package faults

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/gorilla/websocket"

	"github.com/kalpana-dev/kalpana/test/harness"
	"github.com/kalpana-dev/kalpana/workspace"
)

// The tests that are not parallel come first: they concern the engine as a whole.

func TestEngineRestarted_WorkspacesStopAndWakeAgain(t *testing.T) {
	s := prepare(t) // with its fence, which a restart may take away
	s.start()
	w, other := s.open(""), s.open("")
	s.must(world.engine.Stop())
	if a := s.fetch(w, "/"); a.Status != http.StatusServiceUnavailable {
		t.Errorf("while the engine is down: %v", a)
	} else {
		s.says("while the engine is down", a.Body, "container engine does not answer", "try again")
	}
	s.must(world.engine.Start())
	s.eventually("somebody is served again", func() error {
		a := s.fetch(w, "/hello")
		if a.Status != http.StatusOK {
			return errors.New(a.String())
		}
		return nil
	})
	s.kept(w)
	s.await(other, workspace.StateStopped)
	s.agree("after the engine was restarted")
	s.must(world.engine.ContainerRemove(t.Context(), s.record(other).Container, container.RemoveOptions{}))
	s.served("the other, in a new container", other)
	s.kept(other)
	s.agree("when both run again")
}

func TestEngineRestartedWithLiveRestore_NothingIsInterrupted(t *testing.T) {
	s := install(t)
	s.must(world.engine.Stop())
	world.engine.Config = `{"live-restore": true}`
	s.must(world.engine.Start())
	t.Cleanup(func() {
		err := world.engine.Stop()
		world.engine.Config = "{}"
		s.must(errors.Join(err, world.engine.Start()))
	})
	w := s.open("")
	started := s.started(w)
	conn := s.socket(w)
	s.must(world.engine.Stop())
	s.served("while the engine is down", w)
	echo(t, "while the engine is down", conn)
	s.must(world.engine.Start())
	s.agree("after the engine was restarted")
	s.served("after the engine was restarted", w)
	echo(t, "after the engine was restarted", conn)
	if again := s.started(w); again != started {
		t.Errorf("the container was started again: %s, then %s", started, again)
	}
	s.await(w, workspace.StateRunning)
}

func TestEngineKilled_WhatRunsIsServedAndWhatDoesNotSaysWhy(t *testing.T) {
	s := install(t)
	w, asleep := s.open(""), s.create("")
	s.navigate(asleep)
	s.await(asleep, workspace.StateRunning)
	s.stop(asleep)

	world.engine.Kill()
	s.served("without an engine", w)
	a := s.fetch(asleep, "/")
	if a.Status != http.StatusServiceUnavailable || a.Took > 15*time.Second {
		t.Errorf("a workspace that sleeps: %v after %v", a, a.Took)
	}
	s.says("a workspace that sleeps", a.Body, "container engine does not answer", "try again")
	if a := s.api(http.StatusServiceUnavailable, "POST", "/api/workspaces/"+asleep.ID+"/start"); a.Body == "" {
		t.Error("the console is told nothing")
	}
	s.must(world.engine.Start()) // which ends what ran under the one that was killed
	s.agree("after the engine came back")
	for _, w := range []harness.View{w, asleep} {
		s.served("after the engine came back", w)
	}
	s.kept(w)
	s.agree("when both run")
}

func TestEngineDiskFull_IsSaidAndNothingIsLost(t *testing.T) {
	s := install(t)
	w, stopped := s.open(""), s.open("")
	s.stop(stopped)
	empty := fill(t, world.engine.Disk())
	fresh := s.create("")
	if a := s.navigate(fresh); a.Status != http.StatusInsufficientStorage && a.Status != http.StatusServiceUnavailable {
		t.Errorf("a new workspace: %v", a)
	}
	s.says("the reason", s.await(fresh, workspace.StateError).Reason, "disk is full", "free some space")
	if a := s.fetch(fresh, "/"); a.Status != http.StatusInsufficientStorage {
		t.Errorf("a program: %v", a)
	}
	s.served("one that runs, on a full disk", w)
	if a, err := s.post(w, "more", string(make([]byte, 1<<20))); err != nil || a.Status != http.StatusInsufficientStorage {
		t.Errorf("a file on a full disk: %v %v", a, err)
	}
	empty()
	for what, w := range map[string]harness.View{"one that ran": w, "one that was stopped": stopped, "a new one": fresh} {
		s.served("with room again, "+what, w)
	}
	s.kept(w)
	s.kept(stopped)
	s.agree("with room again")
}

// fill fills the file system that dir is on, and returns what makes room again.
func fill(t *testing.T, dir string) (empty func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	empty = sync.OnceFunc(func() { _ = os.Remove(path) })
	t.Cleanup(empty)
	for size := 1 << 20; size >= 1<<10; {
		if _, err = f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	_ = f.Close()
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk cannot be filled: %v", err)
	}
	return empty
}

// socket opens a WebSocket to the app of a workspace.
func (s *site) socket(w harness.View) *websocket.Conn {
	s.t.Helper()
	conn, resp, err := s.Socket(s.Workspace(w.ID)+"/socket", s.Workspace(w.ID))
	if err != nil {
		s.t.Fatalf("WebSocket: %v %v", err, resp)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// echo checks that a WebSocket still carries messages both ways.
func echo(t *testing.T, when string, conns ...*websocket.Conn) {
	t.Helper()
	dropped := 0
	var last error
	for n, conn := range conns {
		text := fmt.Sprintf("message %d %d", n, time.Now().UnixNano())
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		err := conn.WriteMessage(websocket.TextMessage, []byte(text))
		if err == nil {
			var got []byte
			if _, got, err = conn.ReadMessage(); err == nil && string(got) != text {
				err = fmt.Errorf("%q came back as %q", text, got)
			}
		}
		if err != nil {
			dropped, last = dropped+1, err
		}
	}
	if dropped > 0 {
		t.Errorf("%s, %d of %d WebSockets are gone: %v", when, dropped, len(conns), last)
	}
}
