package faults

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/test/harness"
	"github.com/kalpana-dev/kalpana/workspace"
)

// moveClock sets the gateway's clock, as its machine's would be.
func (s *site) moveClock(by time.Duration) {
	s.t.Helper()
	err := s.MoveClock(by)
	if errors.Is(err, errors.ErrUnsupported) {
		s.t.Skip("the clock of this binary cannot be moved: it needs linux on amd64, and its symbols")
	}
	s.must(err)
}

func TestClockMoved_NothingIsInterrupted(t *testing.T) {
	t.Parallel()
	s := install(t)
	w, asleep := s.open(""), s.asleep("ready-after-3s")
	conn := s.socket(w)
	for _, by := range []time.Duration{5 * time.Minute, -5 * time.Minute, 0} {
		held := make(chan harness.Answer, 1)
		go func() {
			a, _ := s.Get(s.Workspace(asleep.ID) + "/hello")
			held <- a
		}()
		s.await(asleep, workspace.StateStarting)
		s.moveClock(by)
		s.served("as soon as the clock was moved", w)
		if a := <-held; a.Status != http.StatusOK || a.Took > 20*time.Second {
			t.Errorf("clock moved by %v: a held request after %v: %v", by, a.Took, a)
		}
		echo(t, "after the clock was moved", conn)
		s.served("after the clock was moved", w)
		s.await(asleep, workspace.StateRunning)
		s.eventually("it began to run by the clock that was moved", func() error {
			if d := time.Until(s.record(asleep).StartedAt); d < by-time.Minute || d > by+time.Minute {
				return fmt.Errorf("the clock was not moved by %v, but by %v", by, d)
			}
			return nil
		})
		s.stop(asleep)
		s.agree("after the clock was moved")
	}
	s.kept(w)
}

// A lease that a killed gateway left seems to last for minutes, once the clock is set back.
func TestClockMovedBack_AKilledGatewayBlocksNothingForLonger(t *testing.T) {
	t.Parallel()
	s := install(t)
	w := s.asleep("")
	s.moveClock(5 * time.Minute)
	s.killAt(instant{"POST /containers/*/start", false}, s.quietly("POST", "/api/workspaces/"+w.ID+"/start"))
	s.start() // with the machine's clock again
	start := time.Now()
	s.served("the next hit", w)
	if d := time.Since(start); d > leaseTime {
		t.Errorf("the next hit is served after %v", d)
	}
	s.kept(w)
	s.agree("after the next hit")
}

// An idle workspace sleeps after the time that has passed, and not by what the clock was moved by.
func TestClockMoved_SleepComesInItsTime(t *testing.T) {
	t.Parallel()
	const after = 12 * time.Second
	s := install(t, "sleep {\n pause_after 12s\n stop_after off\n}")
	w := s.open("")
	for _, by := range []time.Duration{5 * time.Minute, -5 * time.Minute, 0} {
		began := time.Now()
		s.served("before the clock is moved", w)
		s.moveClock(by)
		s.await(w, workspace.StatePaused)
		if d := time.Since(began); d < after-time.Second || d > after+patience {
			t.Errorf("clock moved by %v: it sleeps after %v, not %v", by, d, after)
		}
		s.agree("after it was paused")
	}
	s.kept(w)
}
