package faults

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/test/harness"
	"github.com/kalpana-dev/kalpana/workspace"
)

// pause lets the gateway come to an instant of what begin begins, and holds it there until resume is
// called.
func (s *site) pause(i instant, begin func()) (resume func()) {
	s.t.Helper()
	reached, over := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.relay.Play(func(call string, done bool) bool {
		if call == i.call && done == i.done {
			once.Do(func() { close(reached); <-over })
		}
		return true
	})
	resume = sync.OnceFunc(func() {
		s.relay.Play(nil)
		close(over)
	})
	s.t.Cleanup(resume)
	go begin()
	select {
	case <-reached:
	case <-time.After(patience):
		s.t.Fatalf("%s is not reached\n%s", i, s.Log.Tail())
	}
	return resume
}

func TestStopDuringAStart_StopsIt(t *testing.T) {
	t.Parallel()
	s := install(t)
	w := s.asleep("ready-after-3s")
	for _, i := range []instant{{"POST /containers/*/start", false}, {"POST /containers/*/start", true}} {
		held := make(chan harness.Answer, 1)
		resume := s.pause(i, func() {
			a, _ := s.Get(s.Workspace(w.ID) + "/held")
			held <- a
		})
		s.api(http.StatusAccepted, "POST", "/api/workspaces/"+w.ID+"/stop")
		resume()
		if a := <-held; a.Status != http.StatusServiceUnavailable {
			t.Errorf("%s: who waited for the start: %v", i, a)
		} else {
			s.says("who waited for the start", a.Body, "stopped")
		}
		s.await(w, workspace.StateStopped)
		s.agree(i.String())
	}
	s.served("the next hit", w)
	s.kept(w)
}

func TestDeleteDuringAStart_LeavesNothing(t *testing.T) {
	t.Parallel()
	s := install(t)
	for _, i := range []instant{
		{"POST /volumes/create", true},
		{"POST /containers/create", false},
		{"POST /containers/create", true},
		{"POST /containers/*/start", true},
	} {
		w := s.create("")
		s.enter(w)
		held := make(chan harness.Answer, 1)
		resume := s.pause(i, func() {
			a, _ := s.Get(s.Workspace(w.ID) + "/held")
			held <- a
		})
		deleted := make(chan harness.Answer, 1)
		go func() {
			a, _ := s.API("DELETE", "/api/workspaces/"+w.ID, nil)
			deleted <- a
		}()
		s.eventually("the delete cuts the start short", func() error {
			select {
			case a := <-held:
				if a.Status != http.StatusNotFound && a.Status != http.StatusServiceUnavailable && a.Status != http.StatusUnauthorized {
					return errors.New(a.String())
				}
				return nil
			default:
				return errors.New("the request is still held")
			}
		})
		resume()
		if a := <-deleted; a.Status != http.StatusNoContent {
			t.Errorf("%s: the delete: %v", i, a)
		}
		s.gone(w)
		if l := s.agree(i.String()); len(l.Records)+len(l.Containers)+len(l.Volumes)+len(l.Ports) > 0 {
			t.Errorf("%s: left %+v", i, l)
		}
	}
}

func TestStartDuringAStop_ComesAfterIt(t *testing.T) {
	t.Parallel()
	s := install(t)
	w := s.open("")
	resume := s.pause(instant{"POST /containers/*/stop", false}, s.quietly("POST", "/api/workspaces/"+w.ID+"/stop"))
	held := make(chan harness.Answer, 1)
	go func() {
		a, _ := s.Get(s.Workspace(w.ID) + "/held")
		held <- a
	}()
	select {
	case a := <-held:
		t.Errorf("a hit during a stop: %v", a)
	case <-time.After(500 * time.Millisecond):
	}
	resume()
	if a := <-held; a.Status != http.StatusOK || a.Header.Get("X-App") != w.ID {
		t.Errorf("a hit during a stop, afterwards: %v", a)
	}
	s.await(w, workspace.StateRunning)
	s.agree("after both")
	s.kept(w)
}

func TestClientLeaves_TheWakeGoesOn(t *testing.T) {
	t.Parallel()
	s := install(t)
	w := s.asleep("ready-after-2s")
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		left <- discard(s.Do(harness.Request("GET", s.Workspace(w.ID)+"/", nil).WithContext(ctx)))
	}()
	s.await(w, workspace.StateStarting)
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the client got an answer: %v", err)
	}
	s.await(w, workspace.StateRunning)
	if a := s.served("who comes next", w); a.Took > time.Second {
		t.Errorf("who comes next waits %v", a.Took)
	}
	s.agree("after the client left")
}

func TestHerd_OfFiveHundredFirstHitsMakesOneStart(t *testing.T) {
	t.Parallel()
	s := install(t)
	w := s.asleep("ready-after-1s")
	var mu sync.Mutex
	starts := 0
	s.relay.Play(func(call string, done bool) bool {
		mu.Lock()
		defer mu.Unlock()
		if call == "POST /containers/*/start" && !done {
			starts++
		}
		return true
	})
	s.Client.Transport.(*http.Transport).MaxIdleConnsPerHost = 500
	var all sync.WaitGroup
	answers := map[string]int{}
	for range 500 {
		all.Go(func() {
			a, err := s.Get(s.Workspace(w.ID) + "/hello")
			text := a.String()
			if err != nil {
				text = err.Error()
			}
			mu.Lock()
			defer mu.Unlock()
			answers[text]++
		})
	}
	all.Wait()
	if answers["200 /hello"] != 500 {
		t.Errorf("of 500: %v", answers)
	}
	if starts != 1 {
		t.Errorf("%d starts", starts)
	}
	if l := s.agree("after the herd"); len(l.Containers) != 1 {
		t.Errorf("%d containers", len(l.Containers))
	}
	s.kept(w)
}
