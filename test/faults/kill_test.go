package faults

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/test/harness"
	"github.com/kalpana-dev/kalpana/workspace"
)

// instant is a moment in an operation: the engine was asked for a call and has not done it yet, or has
// done it and the gateway does not know.
type instant struct {
	call string
	done bool
}

func (i instant) String() string {
	name := strings.NewReplacer(" ", "-", "/*", "", "/", "-").Replace(i.call)
	if i.done {
		return "after-" + name
	}
	return "before-" + name
}

// killAt kills the gateway at an instant of what begin begins.
func (s *site) killAt(i instant, begin func()) {
	s.t.Helper()
	reached, over := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.relay.Play(func(call string, done bool) bool {
		if call != i.call || done != i.done {
			return true
		}
		first := false
		once.Do(func() { first = true; close(reached) })
		if first {
			<-over // until there is nobody to hear the answer
		}
		return !first
	})
	go begin()
	select {
	case <-reached:
	case <-time.After(patience):
		s.t.Errorf("%s is not reached\n%s", i, s.Log.Tail())
	}
	s.Kill()
	s.relay.Play(nil)
	close(over)
}

// quietly is for requests whose gateway is killed.
func (s *site) quietly(method, path string) func() {
	b := s.On(s.Installation)
	return func() {
		defer b.Close()
		_, _ = b.API(method, path, nil)
	}
}

func TestGatewayKilledInAStart_TheNextHitIsServed(t *testing.T) {
	t.Parallel()
	for _, i := range []instant{
		{"POST /volumes/create", false},
		{"POST /containers/create", false},
		{"POST /containers/create", true},
		{"POST /containers/*/start", false},
		{"POST /containers/*/start", true},
	} {
		t.Run(i.String(), func(t *testing.T) {
			t.Parallel()
			s := install(t)
			fresh := s.create("")
			start := s.quietly("POST", "/api/workspaces/"+fresh.ID+"/start")
			s.killAt(i, start)
			s.start()
			s.navigate(fresh)
			s.await(fresh, workspace.StateRunning)
			s.served("the next hit", fresh)
			if l := s.agree("after the next hit"); len(l.Containers) != 1 {
				t.Errorf("%d containers", len(l.Containers))
			}
		})
	}
}

func TestGatewayKilledInAWake_TheNextHitIsServedAndNoFileIsLost(t *testing.T) {
	t.Parallel()
	s := install(t)
	w := s.open("ready-after-2s")
	for _, i := range []instant{
		{"POST /containers/*/start", false},
		{"POST /containers/*/start", true},
		{"while VS Code starts", false},
	} {
		s.stop(w)
		start := s.quietly("POST", "/api/workspaces/"+w.ID+"/start")
		if strings.HasPrefix(i.call, "POST") {
			s.killAt(i, start)
		} else {
			go start()
			s.eventually("the container runs", func() error {
				return world.engine.WantState(s.record(w).Container, "running")
			})
			s.Kill()
		}
		s.start()
		if a := s.fetch(w, "/__app/file/kept"); a.Status != http.StatusOK || a.Body != "kept" {
			t.Errorf("%s: the next hit: %v", i, a)
		}
		if l := s.agree("after the next hit"); len(l.Containers) != 1 {
			t.Errorf("%s: %d containers", i, len(l.Containers))
		}
	}
}

func TestGatewayKilledInADelete_ItIsFinishedAndNothingIsLeft(t *testing.T) {
	t.Parallel()
	for _, i := range []instant{
		{"DELETE /containers/*", false},
		{"DELETE /containers/*", true},
		{"DELETE /volumes/*", false},
		{"DELETE /volumes/*", true},
	} {
		t.Run(i.String(), func(t *testing.T) {
			t.Parallel()
			s := install(t)
			w, other := s.open(""), s.open("")
			s.killAt(i, s.quietly("DELETE", "/api/workspaces/"+w.ID))
			s.start()
			s.served("the other, at once", other)
			s.gone(w)
			if l := s.agree("after the delete"); len(l.Records) != 1 || len(l.Containers) != 1 || len(l.Volumes) != 1 || len(l.Ports) != 2 {
				t.Errorf("left %+v", l)
			}
			s.kept(other)
		})
	}
}

// gone waits until a workspace does not exist.
func (s *site) gone(w harness.View) {
	s.t.Helper()
	s.eventually("the workspace is gone", func() error {
		a, err := s.API("GET", "/api/workspaces/"+w.ID, nil)
		if err == nil && a.Status != http.StatusNotFound {
			err = errors.New(a.String())
		}
		return err
	})
	s.eventually("its address is nothing any more", func() error { // of a delete at another gateway it hears a moment later
		if a := s.fetch(w, "/"); a.Status != http.StatusUnauthorized && a.Status != http.StatusNotFound {
			return errors.New(a.String())
		}
		return nil
	})
}

func TestGatewayKilledInAStop_ItIsFinished(t *testing.T) {
	t.Parallel()
	s := install(t)
	w := s.open("")
	for _, i := range []instant{{"POST /containers/*/stop", false}, {"POST /containers/*/stop", true}} {
		s.served("before the stop", w)
		s.killAt(i, s.quietly("POST", "/api/workspaces/"+w.ID+"/stop"))
		s.start()
		s.await(w, workspace.StateStopped)
		s.agree(i.String())
	}
	s.served("the next hit", w)
	s.kept(w)
}
