package docker

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/orchestrator"
)

func TestLifecycle_FilesOutliveTheContainerAndPortsAnswer(t *testing.T) {
	t.Parallel()
	r := prepared(t)
	s := spec(t, r, "serve 80")
	port := freePort(t)
	s.Ports = map[int]int{80: port}
	address := "127.0.0.1:" + strconv.Itoa(port)

	start := time.Now()
	id := create(t, r, s)
	t.Logf("Create took %v", time.Since(start))
	if got := listed1(t, r, id); got.State != orchestrator.ContainerCreated || got.Workspace != s.Workspace || got.Image != testImage {
		t.Errorf("after Create: %+v", got)
	}
	start = time.Now()
	if err := r.Start(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	t.Logf("Start took %v", time.Since(start))
	if err := r.Start(t.Context(), id); err != nil {
		t.Errorf("Start of a running container: %v", err)
	}
	eventually(t, "the published port answers", func() bool { return answer(address) == "port 80\n" })
	if got := inside(t, id, "cat", DefaultHomePath+"/skeleton"); got != "from the image" {
		t.Errorf("the new home has %q instead of the image's files", got)
	}
	inside(t, id, "write", DefaultHomePath+"/file", "kept")

	if err := r.Stop(t.Context(), id, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if err := r.Stop(t.Context(), id, 5*time.Second); err != nil {
		t.Errorf("Stop of a stopped container: %v", err)
	}
	if got := listed1(t, r, id); got.State != orchestrator.ContainerExited {
		t.Errorf("after Stop: %+v", got)
	}
	if log, err := r.Logs(t.Context(), id, 10); err != nil || log != "stopped politely\n" {
		t.Errorf("log after Stop: %q, %v", log, err)
	}
	if err := r.Remove(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"Remove": r.Remove(t.Context(), id),
		"Stop":   r.Stop(t.Context(), id, time.Second),
	} {
		if err != nil {
			t.Errorf("%s of a missing container: %v", name, err)
		}
	}
	if err := r.Start(t.Context(), id); !errors.Is(err, orchestrator.ErrNoContainer) {
		t.Errorf("Start of a missing container: %v", err)
	}

	again := run(t, r, s)
	if got := inside(t, again, "cat", DefaultHomePath+"/file"); got != "kept" {
		t.Errorf("the file holds %q after the container was made again", got)
	}
	if err := r.Remove(t.Context(), again); err != nil {
		t.Errorf("Remove of a running container: %v", err)
	}
	if err := r.RemoveVolume(t.Context(), s.Volume); err != nil {
		t.Error(err)
	}
	if err := r.RemoveVolume(t.Context(), s.Volume); err != nil {
		t.Errorf("RemoveVolume of a missing volume: %v", err)
	}
}

func listed1(t *testing.T, r *Runtime, id string) orchestrator.Container {
	t.Helper()
	all, err := r.Containers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if c.ID == id {
			return c
		}
	}
	t.Fatalf("container %s is not listed", id)
	return orchestrator.Container{}
}

func TestStop_EndsWhoIgnoresTheSignalAfterGrace(t *testing.T) {
	t.Parallel()
	r := prepared(t)
	id := run(t, r, spec(t, r, "stubborn"))
	eventually(t, "the container ignores signals", func() bool {
		log, _ := r.Logs(t.Context(), id, 1)
		return log != ""
	})
	start := time.Now()
	if err := r.Stop(t.Context(), id, time.Second); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < time.Second || took > 5*time.Second {
		t.Errorf("Stop with a second of grace took %v", took)
	}
}

func TestStop_OfAPausedContainerIsPolite(t *testing.T) {
	t.Parallel()
	r := prepared(t)
	id := run(t, r, spec(t, r, "serve"))
	time.Sleep(200 * time.Millisecond) // until it handles signals
	if err := world.api.ContainerPause(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if got := listed1(t, r, id); got.State != orchestrator.ContainerPaused {
		t.Errorf("paused container is %s", got.State)
	}
	if err := r.Stop(t.Context(), id, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if log, _ := r.Logs(t.Context(), id, 10); log != "stopped politely\n" {
		t.Errorf("log: %q", log)
	}
}

func TestCreate_NamesTellNothing(t *testing.T) {
	t.Parallel()
	r := prepared(t)
	s := spec(t, r, "serve")
	c := inspect(t, create(t, r, s))
	for _, name := range []string{c.Name, c.Config.Hostname} {
		if strings.Contains(name, string(s.Workspace)) || strings.Contains(name, r.cfg.Instance) {
			t.Errorf("name %q", name)
		}
	}
	if len(strings.TrimPrefix(c.Name, "/kal-")) < 20 {
		t.Errorf("name %q can be guessed", c.Name)
	}
	if strings.Contains(c.Name, strings.TrimPrefix(c.Config.Hostname, "ws-")) {
		t.Errorf("host name %q tells the name %q", c.Config.Hostname, c.Name)
	}
}

func TestCreate_LeavesAnotherContainerOfTheWorkspaceAlone(t *testing.T) {
	t.Parallel()
	r := prepared(t)
	s := spec(t, r, "serve")
	first, second := run(t, r, s), create(t, r, s)
	if first == second {
		t.Fatal("one container twice")
	}
	if got := listed1(t, r, first); got.State != orchestrator.ContainerRunning {
		t.Errorf("the first is %s", got.State)
	}
}

func TestCreate_RefusesBadPorts(t *testing.T) {
	t.Parallel()
	r := prepared(t)
	for name, change := range map[string]func(*orchestrator.Spec){
		"no address":    func(s *orchestrator.Spec) { s.Address = "" },
		"a name":        func(s *orchestrator.Spec) { s.Address = "localhost" },
		"port 0":        func(s *orchestrator.Spec) { s.Ports = map[int]int{80: 0} },
		"port too high": func(s *orchestrator.Spec) { s.Ports = map[int]int{70000: 40000} },
	} {
		s := spec(t, r, "serve 80")
		s.Ports = map[int]int{80: 40000}
		change(&s)
		if id, err := r.Create(t.Context(), s); err == nil {
			t.Errorf("%s: made %s", name, id)
		}
	}
}

func TestRemove_TwiceAtOnceIsNoError(t *testing.T) {
	t.Parallel()
	r := prepared(t)
	id := run(t, r, spec(t, r, "serve"))
	errs := make(chan error)
	for range 2 {
		go func() { errs <- r.Remove(t.Context(), id) }()
	}
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if _, err := world.api.ContainerInspect(t.Context(), id); err == nil {
		t.Error("it is still there")
	}
}
