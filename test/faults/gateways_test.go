package faults

import (
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/test/harness"
	"github.com/kalpana-dev/kalpana/workspace"
)

// leaseTime is within what time a gateway takes over what one that was killed had begun.
const leaseTime = 15 * time.Second

// second returns another gateway of the same installation, which runs, with a way to the engine of its
// own.
func (s *site) second() *site {
	s.t.Helper()
	other := &site{t: s.t, store: s.store}
	var err error
	other.relay, err = harness.NewRelay(s.t.TempDir(), world.engine.Socket())
	s.must(err)
	other.Installation, err = s.Beside(s.t.TempDir(), "DOCKER_HOST="+other.relay.Host())
	s.must(err)
	s.must(other.Start())
	other.Browser = s.On(other.Installation)
	s.t.Cleanup(func() {
		if err := errors.Join(other.Stop(), other.Faults()); err != nil {
			s.t.Errorf("the second gateway: %v", err)
		}
		other.Close()
		_ = other.relay.Close()
	})
	return other
}

func TestTwoGateways_ARaceMakesOneContainer(t *testing.T) {
	t.Parallel()
	one := install(t)
	two := one.second()
	for _, w := range []harness.View{one.create(""), one.asleep("ready-after-1s")} {
		one.enter(w)
		two.enter(w)
		var mu sync.Mutex
		starts, answers := 0, map[string]int{}
		count := func(call string, done bool) bool {
			mu.Lock()
			defer mu.Unlock()
			if call == "POST /containers/*/start" && !done {
				starts++
			}
			return true
		}
		one.relay.Play(count)
		two.relay.Play(count)
		var all sync.WaitGroup
		for n := range 100 {
			s := []*site{one, two}[n%2]
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
		if answers["200 /hello"] != 100 || starts != 1 {
			t.Errorf("%d starts; of 100: %v", starts, answers)
		}
		if l := one.agree("after the race"); len(l.Containers) != len(l.Records) && w.State == "running" {
			t.Errorf("%d containers of %d workspaces", len(l.Containers), len(l.Records))
		}
	}
}

func TestTwoGateways_OneThatIsKilledInAStartIsTakenOverWithinItsLease(t *testing.T) {
	t.Parallel()
	for _, i := range []instant{
		{"POST /containers/create", true},
		{"POST /containers/*/start", false},
		{"POST /containers/*/start", true},
	} {
		t.Run(i.String(), func(t *testing.T) {
			t.Parallel()
			one := install(t)
			two := one.second()
			w := one.create("")
			two.enter(w)
			one.killAt(i, one.quietly("POST", "/api/workspaces/"+w.ID+"/start"))
			killed := time.Now()
			two.served("at the other gateway", w)
			if d := time.Since(killed); d > leaseTime {
				t.Errorf("it is taken over after %v", d)
			}
			if l := two.agree("after it was taken over"); len(l.Containers) != 1 {
				t.Errorf("%d containers", len(l.Containers))
			}
			one.start()
			one.enter(w)
			one.served("at the one that is back", w)
			one.agree("after it is back")
		})
	}
}

func TestTwoGateways_WhatOneDoesTheOtherSees(t *testing.T) {
	t.Parallel()
	one := install(t)
	two := one.second()
	w := one.open("")
	two.enter(w)
	two.served("at the other", w)
	conn := two.socket(w)
	one.api(http.StatusAccepted, "POST", "/api/workspaces/"+w.ID+"/stop")
	one.await(w, workspace.StateStopped)
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if _, _, err := conn.ReadMessage(); err == nil {
		t.Error("a WebSocket of a workspace that was stopped carries messages")
	}
	two.served("after a stop at the other", w)
	one.served("after a wake at the other", w)
	one.kept(w)

	tab := two.socket(w)
	two.api(http.StatusOK, "GET", "/api/me")
	one.api(http.StatusNoContent, "POST", "/api/logout")
	left := time.Now()
	_ = tab.SetReadDeadline(left.Add(patience))
	_, _, err := tab.ReadMessage()
	if d := time.Since(left); err == nil || d > 5*time.Second {
		t.Errorf("a WebSocket at the other, %v after the sign-out: %v", d, err)
	}
	two.api(http.StatusUnauthorized, "GET", "/api/me")
	if a := two.fetch(w, "/hello"); a.Status != http.StatusUnauthorized {
		t.Errorf("the workspace at the other after the sign-out: %v", a)
	}
	again, err := one.SignIn()
	one.must(err)
	one.Close()
	two.Close()
	one.Browser, two.Browser = again, again.On(two.Installation)

	one.api(http.StatusNoContent, "DELETE", "/api/workspaces/"+w.ID)
	two.gone(w)
	two.agree("after a delete at the other")
}
