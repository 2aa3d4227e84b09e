package orchestrator_test

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/store/mongo"
	"github.com/kalpana-dev/kalpana/store/mongo/mongotest"
	"github.com/kalpana-dev/kalpana/store/sqlite"
	"github.com/kalpana-dev/kalpana/workspace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	image   = "kalpana/workspace:1"
	patient = 10 * time.Second // for what should be there at once
)

// store is what the tests ask beside the gateways.
type store interface {
	orchestrator.Store
	Close() error
}

// world is an engine and a store, for one or more gateways.
type world struct {
	*testing.T
	runtime *runtimetest.Runtime
	store   store
	// Where the store is: a file, or in the tests on MongoDB a database.
	path, database string
	hosts          *workspace.Hosts
	first          int // of the ports
	last           int
}

// newWorld makes a world for a test that runs beside others: most of them wait for the disk.
func newWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	return newLoneWorld(t)
}

func newLoneWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, runtime: runtimetest.New(t), path: filepath.Join(runtimetest.Dir(t), "kalpana.db")}
	w.first = runtimetest.FreePorts(t, 20)
	w.last = w.first + 19
	var err error
	if w.hosts, err = workspace.NewHosts("http://kalpana.localhost:8080", ""); err != nil {
		t.Fatal(err)
	}
	if w.onMongoDB() {
		w.database = mongotest.Database(t, mongoURI)
	}
	w.store = w.open()
	return w
}

func (w *world) onMongoDB() bool { return strings.HasPrefix(w.Name(), onMongoDB+"/") }

// open opens the store once more, as another process would.
func (w *world) open() store {
	w.Helper()
	var s store
	var err error
	if w.onMongoDB() {
		s, err = mongo.Open(w.Context(), mongoURI, w.database)
	} else {
		s, err = sqlite.Open(w.Context(), w.path)
	}
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = s.Close() })
	return s
}

func token(id workspace.ID) string { return "token of " + string(id) }

// gateway returns an orchestrator that is not started yet.
func (w *world) gateway(change ...func(*orchestrator.Config)) *orchestrator.Orchestrator {
	transport := &http.Transport{}
	cfg := orchestrator.Config{
		Store: w.store, Runtime: w.runtime, Hosts: w.hosts, Token: token, Image: image, Templates: []orchestrator.Template{{Name: "blank"}},
		FirstPort: w.first, LastPort: w.last, StartTimeout: 20 * time.Second, StopGrace: time.Second, Transport: transport,
	}
	for _, f := range change {
		f(&cfg)
	}
	o := orchestrator.New(cfg)
	w.Cleanup(func() {
		o.Close()
		transport.CloseIdleConnections()
	})
	return o
}

func (w *world) started(change ...func(*orchestrator.Config)) *orchestrator.Orchestrator {
	o := w.gateway(change...)
	w.start(o)
	return o
}

// start starts a gateway, and waits until it hears of what happens to containers.
func (w *world) start(o *orchestrator.Orchestrator) {
	w.Helper()
	before := w.runtime.Watchers()
	o.Start()
	w.eventually("it watches the engine", func() bool { return w.runtime.Watchers() > before })
}

func (w *world) create(o *orchestrator.Orchestrator) workspace.ID {
	w.Helper()
	record, err := o.Create(w.Context(), orchestrator.NewWorkspace{Owner: "ann", Name: "mine", Template: "blank"})
	w.must(err)
	return record.ID
}

// awake returns a workspace that runs.
func (w *world) awake(o *orchestrator.Orchestrator) workspace.ID {
	w.Helper()
	id := w.create(o)
	w.wake(o, id)
	return id
}

func (w *world) wake(o *orchestrator.Orchestrator, id workspace.ID) {
	w.Helper()
	w.must(w.end(o.Wake(id)))
	if o.Route(id) == nil {
		w.Fatal("a workspace was woken and has no route")
	}
}

// end waits for an operation and returns how it ended.
func (w *world) end(op *orchestrator.Operation) error {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 2*patient)
	defer cancel()
	err := op.Wait(ctx)
	if ctx.Err() != nil {
		w.Fatal("an operation did not end")
	}
	return err
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) wantErr(err, want error) {
	w.Helper()
	if !errors.Is(err, want) {
		w.Fatalf("got error %v, want %v", err, want)
	}
}

func (w *world) record(id workspace.ID) *workspace.Workspace {
	w.Helper()
	record, err := w.store.Workspace(w.Context(), id)
	w.must(err)
	return record
}

func (w *world) wantState(id workspace.ID, want workspace.State) *workspace.Workspace {
	w.Helper()
	record := w.record(id)
	if record.State != want {
		w.Fatalf("state %s (%s), want %s", record.State, record.Reason, want)
	}
	return record
}

// wantContainer checks that the workspace has exactly one container, which its record knows.
func (w *world) wantContainer(id workspace.ID, state orchestrator.ContainerState) {
	w.Helper()
	list := w.runtime.Of(id)
	if len(list) != 1 || list[0].State != state || list[0].ID != w.record(id).Container {
		w.Fatalf("containers %v, want one that is %s and known as %q", list, state, w.record(id).Container)
	}
}

// eventually waits until what is true.
func (w *world) eventually(what string, is func() bool) {
	w.Helper()
	for deadline := time.Now().Add(patient); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.Fatalf("it never came true that %s", what)
		}
	}
}

// stage waits until an operation has come to a stage.
func (w *world) stage(op *orchestrator.Operation, want orchestrator.Stage) {
	w.Helper()
	for timeout := time.After(patient); ; {
		stage, changed := op.Stage()
		if stage == want {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			w.Fatalf("stage %s was never reached", want)
		}
	}
}

// gate holds a verb of the runtime back until it is opened.
type gate struct {
	reached chan struct{} // gets one value for each call that waits
	open    chan struct{}
}

func (w *world) gate(verb runtimetest.Verb) *gate {
	g := &gate{reached: make(chan struct{}, 100), open: make(chan struct{})}
	w.runtime.SetBefore(func(ctx context.Context, v runtimetest.Verb, _ workspace.ID) error {
		if v != verb {
			return nil
		}
		g.reached <- struct{}{}
		select {
		case <-g.open:
		case <-ctx.Done():
		}
		return nil
	})
	return g
}

// fails returns what lets a verb of the runtime fail; see runtimetest.SetBefore.
func (w *world) fails(verb runtimetest.Verb, err error) func(context.Context, runtimetest.Verb, workspace.ID) error {
	return func(_ context.Context, v runtimetest.Verb, _ workspace.ID) error {
		if v == verb {
			return err
		}
		return nil
	}
}
