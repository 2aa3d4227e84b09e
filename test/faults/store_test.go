package faults

import (
	"context"
	"database/sql"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/store/mongo"
	"github.com/kalpana-dev/kalpana/store/mongo/mongotest"
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

// onMongoDB starts an installation on a database of MongoDB's protocol, behind a proxy that plays its faults.
func onMongoDB(t *testing.T) (*site, *mongotest.Proxy) {
	t.Helper()
	if mongotest.Real() {
		t.Skip("the faults are those of FerretDB, behind a proxy of the tests'")
	}
	uri := mongotest.Start(t)
	at, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "ktm") // in lower case, as the driver makes it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "mongodb.sock") // the gateway's network is another
	proxy, err := mongotest.NewProxyAt("unix", socket, at.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	s := prepare(t, unfenced, "store mongodb")
	s.Env = append(s.Env, "KALPANA_MONGODB_URI=mongodb://"+url.PathEscape(socket)+"/")
	store, err := mongo.Open(t.Context(), uri, "kalpana")
	s.must(err)
	s.store = store
	s.start()
	return s, proxy
}

// hang keeps every command to the store from being answered until release is called.
func hang(proxy *mongotest.Proxy) (release func()) {
	over := make(chan struct{})
	proxy.Fault(func([]byte) bool {
		<-over
		return true
	}, nil)
	return func() {
		close(over)
		proxy.Fault(nil, nil)
	}
}

func TestStoreSlow_WhoWritesWaits(t *testing.T) {
	t.Parallel()
	s := install(t)
	storeSlow(t, s, s.lock)
}

func TestStoreSlow_OnMongoDBWhoAsksWaits(t *testing.T) {
	t.Parallel()
	s, proxy := onMongoDB(t)
	storeSlow(t, s, func() func() { return hang(proxy) })
}

func storeSlow(t *testing.T, s *site, hold func() (release func())) {
	w, asleep := s.open(""), s.asleep("")
	release := hold()
	time.AfterFunc(5*time.Second, release)
	began := time.Now()
	held := make(chan harness.Answer, 1)
	go func() {
		a, _ := s.Get(s.Workspace(asleep.ID) + "/held")
		held <- a
	}()
	for range 20 {
		if a := s.served("while the store is slow", w); a.Took > 2*time.Second {
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
	storeDown(t, s, s.lock)
}

func TestStoreDown_OnMongoDBIsSaidAndWhatRunsIsServed(t *testing.T) {
	t.Parallel()
	for name, hold := range map[string]func(*mongotest.Proxy) func(){
		"it hangs": hang,
		"it is gone": func(proxy *mongotest.Proxy) func() {
			proxy.Fault(func([]byte) bool { return false }, nil)
			return func() { proxy.Fault(nil, nil) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, proxy := onMongoDB(t)
			storeDown(t, s, func() func() { return hold(proxy) })
		})
	}
}

func storeDown(t *testing.T, s *site, hold func() (release func())) {
	w, asleep, doomed := s.open(""), s.asleep(""), s.create("")
	release := hold()
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
		if a := s.served("while the store is down", w); a.Took > 2*time.Second {
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

// A gateway without its store ends when it is asked to, and one that starts says what it lacks.
func TestStoreDown_AGatewayEndsAndSaysWhyItDoesNotStart(t *testing.T) {
	t.Parallel()
	s, proxy := onMongoDB(t)
	w := s.open("")
	release := hang(proxy)
	began := time.Now()
	s.must(s.Stop())
	t.Logf("it ended after %v", time.Since(began))
	if err := s.Start(); err == nil {
		t.Error("a gateway without its store starts")
	} else {
		s.says("its end", err.Error(), "the store does not answer: MongoDB at", "cannot be reached")
	}
	release()
	s.start()
	s.served("after its start", w)
	s.kept(w)
	s.agree("after its start")
}
