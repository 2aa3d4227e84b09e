package docker

import (
	"bytes"
	"context"
	"crypto/rand"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/workspace"
)

// newRuntime returns a runtime of an instance of its own.
func newRuntime(t *testing.T, change ...func(*Config)) *Runtime {
	t.Helper()
	engine(t)
	cfg := Config{
		Instance:   "test-" + suffix + "-" + strings.ToLower(rand.Text()[:8]),
		Subnets:    []netip.Prefix{netip.MustParsePrefix("10.212.0.0/16")},
		ProbeImage: testImage,
		scope:      testScope,
	}
	for _, c := range change {
		c(&cfg)
	}
	r, err := New(cfg, slog.New(slog.NewTextHandler(testLog{t}, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

var (
	prepareOnce sync.Once
	errPrepare  error
)

// prepared returns a runtime behind the shared scope's firewall, which the first caller proves.
func prepared(t *testing.T, change ...func(*Config)) *Runtime {
	t.Helper()
	r := newRuntime(t, change...)
	prepareOnce.Do(func() { errPrepare = newRuntime(t).Prepare(t.Context()) })
	if errPrepare != nil {
		t.Fatal(errPrepare)
	}
	r.fence.state.Store(int32(fenceHolds))
	return r
}

// spec returns a workspace whose container runs that command of the toolbox. What is made of it is
// removed at the end of the test.
func spec(t *testing.T, r *Runtime, command string) orchestrator.Spec {
	t.Helper()
	id := workspace.NewID()
	w := workspace.Workspace{ID: id}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		containers, err := r.Containers(ctx)
		if err != nil {
			t.Error(err)
		}
		for _, c := range containers {
			if c.Workspace == id {
				if err := r.Remove(ctx, c.ID); err != nil {
					t.Error(err)
				}
			}
		}
		if err := r.RemoveVolume(ctx, w.Volume()); err != nil {
			t.Error(err)
		}
	})
	return orchestrator.Spec{
		Workspace: id, Image: testImage, Volume: w.Volume(), Address: "127.0.0.1",
		Env:    []string{"TOOLBOX=" + command},
		Limits: orchestrator.Limits{Memory: 64 << 20, PIDs: 64, LogSize: 1 << 20},
	}
}

// create makes a container of s.
func create(t *testing.T, r *Runtime, s orchestrator.Spec) string {
	t.Helper()
	id, err := r.Create(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// run makes a container of s and starts it.
func run(t *testing.T, r *Runtime, s orchestrator.Spec) string {
	t.Helper()
	id := create(t, r, s)
	if err := r.Start(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	return id
}

// inside runs a command in a container and returns what it printed.
func inside(t *testing.T, id string, command ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	exec, err := world.api.ContainerExecCreate(ctx, id, container.ExecOptions{
		Cmd: append([]string{"/toolbox"}, command...), AttachStdout: true, AttachStderr: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := world.api.ContainerExecAttach(ctx, exec.ID, container.ExecAttachOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var out bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, &out, conn.Reader); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// inspect returns what the engine knows of a container.
func inspect(t *testing.T, id string) container.InspectResponse {
	t.Helper()
	c, err := world.api.ContainerInspect(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// freePort returns a port of the host that nothing listens on.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// answer returns what a toolbox says at address, "" if nothing does.
func answer(address string) string {
	c, err := net.DialTimeout("tcp4", address, time.Second)
	if err != nil {
		return ""
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	b := make([]byte, 64)
	n, _ := c.Read(b)
	return string(b[:n])
}

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for start := time.Now(); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > 20*time.Second {
			t.Fatalf("never: %s", what)
		}
	}
}

type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}
