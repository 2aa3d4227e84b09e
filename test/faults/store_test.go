package faults

import (
	"context"
	"database/sql"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/test/harness"
	"github.com/kalpana-dev/kalpana/workspace"
)

// lock keeps everybody from writing to the store until release is called.
func (s *site) lock() (release func()) {
	s.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(s.Dir, "kalpana.db"))
	s.must(err)
	conn, err := db.Conn(s.t.Context())
	s.must(err)
	for deadline := time.Now().Add(patience); ; {
		if _, err = conn.ExecContext(s.t.Context(), "BEGIN IMMEDIATE"); err == nil || time.Now().After(deadline) {
			break
		}
	}
	s.must(err)
	return func() {
		_, _ = conn.ExecContext(context.Background(), "ROLLBACK")
		_ = conn.Close()
		_ = db.Close()
	}
}

func TestStoreSlow_WhoWritesWaits(t *testing.T) {
	t.Parallel()
	s := install(t)
	w, asleep := s.open(""), s.asleep("")
	release := s.lock()
	time.AfterFunc(5*time.Second, release)
	began := time.Now()
	held := make(chan harness.Answer, 1)
	go func() {
		a, _ := s.Get(s.Workspace(asleep.ID) + "/held")
		held <- a
	}()
	for range 20 {
		if a := s.served("while the store is slow", w); a.Took > time.Second {
			t.Errorf("one that runs is served after %v", a.Took)
		}
	}
	s.create("")
	if d := time.Since(began); d < 4*time.Second {
		t.Errorf("the store was not slow: %v", d)
	}
	if a := <-held; a.Status != http.StatusOK || a.Header.Get("X-App") != asleep.ID {
		t.Errorf("a hit on one that sleeps: %v", a)
	}
	s.agree("after the store was slow")
	s.kept(asleep)
}

func TestStoreDown_IsSaidAndWhatRunsIsServed(t *testing.T) {
	t.Parallel()
	s := install(t)
	w, asleep, doomed := s.open(""), s.asleep(""), s.create("")
	release := s.lock()
	answers := map[string]chan harness.Answer{}
	ask := func(what string, f func() (harness.Answer, error)) {
		answer := make(chan harness.Answer, 1)
		answers[what] = answer
		go func() {
			a, err := f()
			if err != nil {
				a.Body = err.Error()
			}
			answer <- a
		}()
	}
	ask("a hit on one that sleeps", func() (harness.Answer, error) { return s.Get(s.Workspace(asleep.ID) + "/held") })
	ask("a new workspace", func() (harness.Answer, error) {
		return s.API("POST", "/api/workspaces", map[string]string{"name": "new", "template": "blank"})
	})
	ask("a stop", func() (harness.Answer, error) { return s.API("POST", "/api/workspaces/"+w.ID+"/stop", nil) })
	ask("a delete", func() (harness.Answer, error) { return s.API("DELETE", "/api/workspaces/"+doomed.ID, nil) })
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(500 * time.Millisecond) {
		if a := s.served("while the store is down", w); a.Took > time.Second {
			t.Errorf("one that runs is served after %v", a.Took)
		}
	}
	for what, answer := range answers {
		a := <-answer
		if a.Status != http.StatusServiceUnavailable && a.Status != http.StatusAccepted {
			t.Errorf("%s: %v", what, a)
		}
		if a.Status == http.StatusServiceUnavailable {
			s.says(what, a.Body, "store does not answer", "ry again")
		}
	}
	release()
	s.agree("after the store came back")
	s.served("one that slept", asleep)
	s.kept(asleep)
	s.await(asleep, workspace.StateRunning)
	s.create("")
	s.agree("after all")
}
