package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	cerrdefs "github.com/containerd/errdefs"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/workspace"
)

func TestEngineDown_EveryVerbSaysSoAtOnce(t *testing.T) {
	t.Parallel()
	refusing := filepath.Join(t.TempDir(), "refusing.sock")
	l, err := net.Listen("unix", refusing)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = l.Close()

	for what, host := range map[string]string{
		"no socket":         "unix://" + filepath.Join(t.TempDir(), "none.sock"),
		"socket of no one":  "unix://" + refusing,
		"closed port":       "tcp://127.0.0.1:" + strconv.Itoa(freePort(t)),
		"hangs up at once":  "unix://" + hangingUp(t),
		"answers something": "unix://" + babbling(t),
	} {
		r, err := New(Config{Host: host, Instance: "test", ProbeImage: testImage}, nil)
		if err != nil {
			t.Fatal(err)
		}
		id := strings.Repeat("a", fullIDLength)
		r.owned.add(id)
		start := time.Now()
		if err := r.Prepare(t.Context()); !errors.Is(err, workspace.ErrEngineDown) {
			t.Errorf("%s: Prepare: %v", what, err)
		}
		r.fence.state.Store(int32(fenceHolds))
		_, createErr := r.Create(t.Context(), orchestrator.Spec{Workspace: workspace.NewID(), Image: testImage, Volume: "v"})
		_, listErr := r.Containers(t.Context())
		_, logsErr := r.Logs(t.Context(), id, 10)
		for verb, err := range map[string]error{
			"Create": createErr, "Containers": listErr, "Logs": logsErr,
			"Start":        r.Start(t.Context(), id),
			"Stop":         r.Stop(t.Context(), id, time.Minute),
			"Remove":       r.Remove(t.Context(), id),
			"RemoveVolume": r.RemoveVolume(t.Context(), "v"),
		} {
			if !errors.Is(err, workspace.ErrEngineDown) {
				t.Errorf("%s: %s: %v", what, verb, err)
			}
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s: it took %v", what, took)
		}
		_ = r.Close()
	}
}

// hangingUp returns a socket that accepts and closes.
func hangingUp(t *testing.T) string {
	return serveSocket(t, func(c net.Conn) {})
}

// babbling returns a socket that speaks something else than HTTP.
func babbling(t *testing.T) string {
	return serveSocket(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1))
		_, _ = io.WriteString(c, "220 mail.example.com ESMTP\r\n")
	})
}

func serveSocket(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "engine.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return path
}

func TestEngineThatHangs_CountsAsDownAfterTheCallersDeadline(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	host := "unix://" + serveSocket(t, func(net.Conn) { <-hang })
	t.Cleanup(func() { close(hang) })
	r, err := New(Config{Host: host, Instance: "test"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := r.Containers(ctx); !errors.Is(err, workspace.ErrEngineDown) {
		t.Errorf("Containers: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := r.Containers(ctx); !errors.Is(err, context.Canceled) || errors.Is(err, workspace.ErrEngineDown) {
		t.Errorf("the caller left, but the engine is blamed: %v", err)
	}
}

func TestCreate_SaysThatTheImageIsMissing(t *testing.T) {
	t.Parallel()
	r := prepared(t)
	s := spec(t, r, "serve")
	s.Image = "kalpana-test/no-such-image:" + suffix
	if id, err := r.Create(t.Context(), s); !errors.Is(err, workspace.ErrImageMissing) {
		t.Errorf("%s, %v", id, err)
	}
}

func TestStart_SaysThatAPortIsTaken(t *testing.T) {
	t.Parallel()
	r := prepared(t)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	byProgram := l.Addr().(*net.TCPAddr).Port
	byContainer := freePort(t)
	holder := spec(t, r, "serve 80")
	holder.Ports = map[int]int{80: byContainer}
	run(t, r, holder)

	for what, port := range map[string]int{"a program": byProgram, "a container": byContainer} {
		s := spec(t, r, "serve 80")
		s.Ports = map[int]int{80: port}
		id := create(t, r, s)
		if err := r.Start(t.Context(), id); !errors.Is(err, orchestrator.ErrPortBusy) {
			t.Errorf("port of %s: %v", what, err)
		}
		if c := listed1(t, r, id); c.State != orchestrator.ContainerCreated && c.State != orchestrator.ContainerExited {
			t.Errorf("port of %s: the container is %s", what, c.State)
		}
	}
}

func TestStart_SaysThatTheContainerIsGone(t *testing.T) {
	t.Parallel()
	r := prepared(t)
	id := create(t, r, spec(t, r, "serve"))
	if err := r.Remove(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	r.owned.add(id) // this gateway has not heard that another one removed it
	if err := r.Start(t.Context(), id); !errors.Is(err, orchestrator.ErrNoContainer) {
		t.Errorf("Start: %v", err)
	}
	if err := r.Stop(t.Context(), id, time.Second); err != nil {
		t.Errorf("Stop: %v", err)
	}
	r.owned.add(id)
	if err := r.Remove(t.Context(), id); err != nil {
		t.Errorf("Remove: %v", err)
	}
	if _, err := r.Logs(t.Context(), id, 5); !errors.Is(err, orchestrator.ErrNoContainer) {
		t.Errorf("Logs: %v", err)
	}
}

func TestFault_NamesWhatTheEngineSays(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]error{
		"write /var/lib/docker/x: no space left on device":      workspace.ErrStorageFull,
		"mkdir /var/lib/docker/overlay2/x: disk quota exceeded": workspace.ErrStorageFull,
		"id already in use": orchestrator.ErrNoContainer,
		"size quota requested for volume but no quota support":                                 orchestrator.ErrQuotaLost,
		"container is marked for removal and cannot be started":                                orchestrator.ErrNoContainer,
		"Bind for 127.0.0.1:40000 failed: port is already allocated":                           orchestrator.ErrPortBusy,
		"Error starting userland proxy: listen tcp4 127.0.0.1:1: bind: address already in use": orchestrator.ErrPortBusy,
		"something nobody has seen":                                                            nil,
	} {
		if got := name(errors.New(text)); !errors.Is(got, want) {
			t.Errorf("%s: %v", text, got)
		}
	}
	for err, want := range map[error]error{
		fmt.Errorf("No such image: x:1: %w", cerrdefs.ErrNotFound):     workspace.ErrImageMissing,
		fmt.Errorf("No such container: abc: %w", cerrdefs.ErrNotFound): orchestrator.ErrNoContainer,
		fmt.Errorf("network abc not found: %w", cerrdefs.ErrNotFound):  nil,
		fmt.Errorf("engine is starting: %w", cerrdefs.ErrUnavailable):  workspace.ErrEngineDown,
		fmt.Errorf("read: %w", io.ErrUnexpectedEOF):                    workspace.ErrEngineDown,
		fmt.Errorf("post: %w", context.DeadlineExceeded):               workspace.ErrEngineDown,
		fmt.Errorf("post: %w", context.Canceled):                       nil,
		&net.OpError{Op: "dial", Err: errors.New("no route to host")}:  workspace.ErrEngineDown,
	} {
		if got := name(err); !errors.Is(got, want) {
			t.Errorf("%v: %v", err, got)
		}
	}
	once := fault("again", fault("first", context.DeadlineExceeded))
	if strings.Count(once.Error(), workspace.ErrEngineDown.Error()) != 1 {
		t.Errorf("named twice: %v", once)
	}
}

func TestNew_RefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	for what, cfg := range map[string]Config{
		"no instance":             {},
		"instance with a space":   {Instance: "a b"},
		"IPv6 subnet":             {Instance: "a", Subnets: prefixes("fd00::/64")},
		"subnet too small":        {Instance: "a", Subnets: prefixes("10.0.0.0/24")},
		"too many a network":      {Instance: "a", MaxPerNetwork: 2000},
		"IPv6 block":              {Instance: "a", BlockRanges: prefixes("fd00::/8")},
		"resolver on loopback":    {Instance: "a", Resolvers: addrs("127.0.0.53")},
		"relative home":           {Instance: "a", HomePath: "home"},
		"unknown engine protocol": {Instance: "a", Host: "nonsense"},
	} {
		if r, err := New(cfg, nil); err == nil {
			t.Errorf("%s: accepted", what)
			_ = r.Close()
		}
	}
}
