package faults

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/store/sqlite"
	"github.com/kalpana-dev/kalpana/test/harness"
	"github.com/kalpana-dev/kalpana/workspace"
)

// patience is for what should happen at once, on a machine that is busy.
const patience = 30 * time.Second

// image is what workspaces are made from here.
const image = "kalpana-test/app:latest"

// world is what the tests share. A test that is not parallel may do anything to the engine: the
// parallel ones run after it.
var world struct {
	engine *harness.Engine
	binary string
	none   error // why there is no engine
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	// The tests mostly wait.
	_ = flag.Set("test.parallel", "8")
	dir, err := os.MkdirTemp("", "kalpana-faults-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	err = setUp(dir)
	if errors.Is(err, harness.ErrNoEngine) {
		world.none, err = err, nil
	}
	if world.engine != nil {
		defer func() {
			if err := world.engine.Close(); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func setUp(dir string) (err error) {
	if world.binary, err = harness.Build(false); err != nil {
		return err
	}
	if world.engine, err = harness.NewEngine(1 << 30); err != nil {
		return err
	}
	app, err := harness.App(dir)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return app.Import(ctx, world.engine.Client, image)
}

// site is one installation on the engine, with a relay between the two, and a browser that is signed
// in.
type site struct {
	*harness.Installation
	*harness.Browser
	t     *testing.T
	relay *harness.Relay
	store behind
}

// behind is the store, from behind.
type behind interface {
	orchestrator.Store
	Close() error
}

// sites counts the installations of this run: each has ports of its own for its containers.
var sites atomic.Int32

// always are lines of the global option kalpana that every installation here has. What is kept for the
// machine is not at stake, but for the disk that is full.
var always = []string{"rate_limits off", "reserve {\n memory off\n disk off\n}"}

// unfenced spares an installation the proof of its firewall, which takes seconds of the machine's time:
// the fence has its own tests, and stays where the engine is restarted.
const unfenced = "runtime docker {\n allow_host_access true\n}"

// install starts an installation; lines are further lines of the global option kalpana.
func install(t *testing.T, lines ...string) *site {
	t.Helper()
	s := prepare(t, append(lines, unfenced)...)
	s.start()
	return s
}

// prepare is install without the start, and with the fence.
func prepare(t *testing.T, lines ...string) *site {
	t.Helper()
	if world.none != nil {
		t.Skip(world.none)
	}
	dir, err := os.MkdirTemp("", "ktf") // short: a socket's path has 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t}
	if s.relay, err = harness.NewRelay(dir, world.engine.Socket()); err != nil {
		t.Fatal(err)
	}
	first := 20000 + 100*int(sites.Add(1))
	if s.Installation, err = harness.New(world.binary, dir, "KALPANA_IMAGE="+image, "KALPANA_WORKSPACE_LIMIT=100", "KALPANA_RUNNING_LIMIT=unlimited",
		"DOCKER_HOST="+s.relay.Host(), fmt.Sprintf("KALPANA_PORTS=%d-%d", first, first+99), "KALPANA_OPTIONS="+strings.Join(append(lines, always...), "\n")); err != nil {
		t.Fatal(err)
	}
	s.Namespace = world.engine.Namespace()
	t.Cleanup(func() {
		s.relay.Play(nil)
		s.clean()
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
		artifacts := filepath.Join(harness.Root(), "test", "artifacts")
		_ = os.MkdirAll(artifacts, 0o755)
		path := filepath.Join(artifacts, "TestFaults-"+strings.ReplaceAll(t.Name(), "/", "-")+".log")
		_ = os.WriteFile(path, []byte(s.Log.String()), 0o644)
		if err := s.Faults(); err != nil {
			t.Errorf("%v; see %s", err, path)
		}
		if s.Browser != nil {
			s.Close()
		}
		if s.store != nil {
			_ = s.store.Close()
		}
		_ = s.relay.Close()
		_ = os.RemoveAll(dir)
	})
	return s
}

// start runs the gateway, and at first opens its store and signs in.
func (s *site) start() {
	s.t.Helper()
	s.must(s.Start())
	if s.store == nil {
		store, err := sqlite.Open(s.t.Context(), filepath.Join(s.Dir, "kalpana.db"))
		s.must(err)
		s.store = store
	}
	var err error
	if s.Browser == nil {
		s.Browser, err = s.SignIn()
		s.must(err)
	}
}

// clean deletes the workspaces through the API, which is a test as well: nothing may be left of them.
func (s *site) clean() {
	if s.Browser == nil {
		return
	}
	if !s.Running() && s.Start() != nil {
		return
	}
	list, err := s.Workspaces()
	if err != nil {
		s.t.Errorf("cleaning up: %v", err)
	}
	for _, w := range list {
		if a, err := s.API("DELETE", "/api/workspaces/"+w.ID, nil); err != nil || a.Status != http.StatusNoContent {
			s.t.Errorf("cleaning up %s: %v %v", w.ID, a, err)
		}
	}
	if l, err := s.Look(context.Background(), s.store, world.engine); err != nil || len(l.Records)+len(l.Containers)+len(l.Volumes)+len(l.Ports) > 0 {
		s.t.Errorf("left behind: %+v %v", l, err)
	}
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("%v\n%s", err, s.Log.Tail())
	}
}

// api calls the API, which must answer with the status.
func (s *site) api(want int, method, path string) harness.Answer {
	s.t.Helper()
	a, err := s.API(method, path, nil)
	s.must(err)
	if a.Status != want {
		s.t.Errorf("%s %s: %v, want %d", method, path, a, want)
	}
	return a
}

// create makes a workspace that plays an act of test/gateway/app, or none.
func (s *site) create(act string) harness.View {
	s.t.Helper()
	repository := ""
	if act != "" {
		repository = "https://app.test/" + act
	}
	w, err := s.Create("a workspace", repository)
	s.must(err)
	return w
}

// navigate opens a workspace in a tab.
func (s *site) navigate(w harness.View) harness.Answer {
	s.t.Helper()
	a, err := s.Navigate(w.URL)
	s.must(err)
	return a
}

// enter brings the grant of a workspace and wakes nothing: there is no page at that address.
func (s *site) enter(w harness.View) {
	s.t.Helper()
	a, err := s.Navigate(s.Workspace(w.ID) + "/.kalpana/none")
	s.must(err)
	if a.Status != http.StatusNotFound {
		s.t.Fatalf("entering: %v", a)
	}
}

// asleep makes a workspace that ran and is stopped.
func (s *site) asleep(act string) harness.View {
	s.t.Helper()
	w := s.open(act)
	s.stop(w)
	return w
}

func (s *site) stop(w harness.View) {
	s.t.Helper()
	s.api(http.StatusAccepted, "POST", "/api/workspaces/"+w.ID+"/stop")
	s.await(w, workspace.StateStopped)
}

// fetch asks the app of a workspace as a program does, which wakes it and is held meanwhile.
func (s *site) fetch(w harness.View, path string) harness.Answer {
	s.t.Helper()
	a, err := s.Get(s.Workspace(w.ID) + path)
	s.must(err)
	return a
}

// served fetches something that the app of the workspace must answer.
func (s *site) served(when string, w harness.View) harness.Answer {
	s.t.Helper()
	a := s.fetch(w, "/hello")
	if a.Status != http.StatusOK || a.Header.Get("X-App") != w.ID {
		s.t.Fatalf("%s: %v\n%s", when, a, s.Log.Tail())
	}
	return a
}

// open makes a workspace that runs and has a file.
func (s *site) open(act string) harness.View {
	s.t.Helper()
	w := s.create(act)
	s.navigate(w) // brings the grant
	s.await(w, workspace.StateRunning)
	s.served("at first", w)
	s.write(w, "kept", "kept")
	return w
}

// write stores a file in the workspace's volume.
func (s *site) write(w harness.View, name, content string) {
	s.t.Helper()
	a, err := s.post(w, name, content)
	s.must(err)
	if a.Status != http.StatusOK {
		s.t.Fatalf("writing: %v", a)
	}
}

func (s *site) post(w harness.View, name, content string) (harness.Answer, error) {
	origin := s.Workspace(w.ID)
	return s.Send(harness.Request("POST", origin+"/__app/file/"+name, strings.NewReader(content), "Origin", origin))
}

// kept checks that the file that open wrote is there.
func (s *site) kept(w harness.View) {
	s.t.Helper()
	if a := s.fetch(w, "/__app/file/kept"); a.Status != http.StatusOK || a.Body != "kept" {
		s.t.Errorf("the file is gone: %v", a)
	}
}

// await waits until a workspace is in a state.
func (s *site) await(w harness.View, state workspace.State) harness.View {
	s.t.Helper()
	now := w
	s.eventually(fmt.Sprintf("workspace %s is %s", w.ID, state), func() error {
		var err error
		if now, err = s.View(w.ID); err == nil && now.State != string(state) {
			err = fmt.Errorf("it is %s (%s)", now.State, now.Reason)
		}
		return err
	})
	return now
}

// eventually waits until ok returns nil.
func (s *site) eventually(what string, ok func() error) {
	s.t.Helper()
	var err error
	for deadline := time.Now().Add(2 * patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err = ok(); err == nil {
			return
		}
	}
	s.t.Fatalf("it does not come about that %s: %v\n%s", what, err, s.Log.Tail())
}

// agree waits until records, containers, volumes, ports and leases fit together, and returns what there
// is.
func (s *site) agree(when string) *harness.Left {
	s.t.Helper()
	var left *harness.Left
	s.eventually(when+", everything agrees", func() (err error) {
		if left, err = s.Look(s.t.Context(), s.store, world.engine); err == nil {
			err = left.Agree()
		}
		return err
	})
	return left
}

// record returns the stored record.
func (s *site) record(w harness.View) *workspace.Workspace {
	s.t.Helper()
	r, err := s.store.Workspace(s.t.Context(), workspace.ID(w.ID))
	s.must(err)
	return r
}

// says checks what somebody is told.
func (s *site) says(what, text string, wants ...string) {
	s.t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			s.t.Errorf("%s: %.600q lacks %q", what, text, want)
		}
	}
}

// started returns when the workspace's container was started last, and its id.
func (s *site) started(w harness.View) string {
	s.t.Helper()
	c, err := world.engine.ContainerInspect(s.t.Context(), s.record(w).Container)
	s.must(err)
	return c.ID + " " + c.State.StartedAt
}

// discard reads an answer that nobody looks at.
func discard(resp *http.Response, err error) error {
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return errors.Join(err, resp.Body.Close())
}
