package docker

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/workspace"
)

// ownEngine is an engine of a test's own, which may be restarted: in a network namespace of its own, so
// that the machine's engine and firewall are not touched.
type ownEngine struct {
	*client.Client
	t       *testing.T
	dir     string
	process *exec.Cmd
	log     *os.File
}

func newOwnEngine(t *testing.T) *ownEngine {
	t.Helper()
	engine(t) // the images are made with its help
	if _, err := exec.LookPath("dockerd"); err != nil {
		t.Skip("dockerd is not on this machine; the engine that DOCKER_HOST names must not be restarted")
	}
	dir, err := os.MkdirTemp("", "kdr") // short: a socket's path has 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	e := &ownEngine{t: t, dir: dir}
	if e.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		t.Fatal(err)
	}
	if e.Client, err = client.NewClientWithOpts(client.WithHost("unix://"+dir+"/sock"), client.WithAPIVersionNegotiation()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.stop()
		_ = e.Close()
		_ = e.log.Close()
		_ = os.RemoveAll(dir)
	})
	// The namespace outlives the engine, as the machine does.
	e.run("ip", "netns", "add", e.namespace())
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "delete", e.namespace()).Run() })
	e.run("ip", "netns", "exec", e.namespace(), "ip", "link", "set", "lo", "up")
	e.start()
	return e
}

func (e *ownEngine) namespace() string { return "kdr" + suffix }

func (e *ownEngine) run(name string, args ...string) {
	e.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		e.t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
}

// iptables runs on the engine's machine, so to speak.
func (e *ownEngine) iptables(args ...string) {
	e.t.Helper()
	e.run("ip", append([]string{"netns", "exec", e.namespace(), "iptables", "-w"}, args...)...)
}

func (e *ownEngine) start() {
	e.t.Helper()
	args := []string{
		"--net=/run/netns/" + e.namespace(), "dockerd", "--host", "unix://" + e.dir + "/sock", "--data-root", e.dir + "/data", "--exec-root", e.dir + "/exec",
		"--pidfile", e.dir + "/pid", "--config-file", e.dir + "/none.json",
	}
	if _, err := exec.LookPath("docker-init"); err != nil {
		for _, name := range []string{"tini-static", "tini"} {
			if path, err := exec.LookPath(name); err == nil {
				args = append(args, "--init-path", path)
				break
			}
		}
	}
	if err := os.WriteFile(e.dir+"/none.json", []byte("{}"), 0o600); err != nil {
		e.t.Fatal(err)
	}
	e.process = exec.Command("nsenter", args...)
	e.process.Stdout, e.process.Stderr = e.log, e.log
	if err := e.process.Start(); err != nil {
		e.t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if _, err := e.Ping(e.t.Context()); err == nil {
			return
		} else if time.Now().After(deadline) {
			text, _ := os.ReadFile(e.log.Name())
			e.t.Fatalf("the engine does not answer: %v\n%s", err, text[max(0, len(text)-3000):])
		}
	}
}

// stop ends the engine, and with it every container.
func (e *ownEngine) stop() {
	if e.process == nil {
		return
	}
	_ = e.process.Process.Signal(syscall.SIGTERM) // nsenter has become dockerd
	ended := make(chan struct{})
	go func() { _ = e.process.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		_ = e.process.Process.Kill()
		<-ended
	}
	e.process = nil
}

// inside runs the toolbox in a container.
func (e *ownEngine) inside(id string, command ...string) string {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(e.t.Context(), 20*time.Second)
	defer cancel()
	run, err := e.ContainerExecCreate(ctx, id, container.ExecOptions{Cmd: append([]string{"/toolbox"}, command...), AttachStdout: true, AttachStderr: true})
	if err != nil {
		e.t.Fatal(err)
	}
	conn, err := e.ContainerExecAttach(ctx, run.ID, container.ExecAttachOptions{})
	if err != nil {
		e.t.Fatal(err)
	}
	defer conn.Close()
	var out bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, &out, conn.Reader); err != nil {
		e.t.Fatal(err)
	}
	return out.String()
}

func TestFence_HoldsAfterTheEngineWasRestartedAndTheFirewallReloaded(t *testing.T) {
	t.Parallel()
	e := newOwnEngine(t)
	ctx := t.Context()
	if err := importTestImage(ctx, e.Client); err != nil {
		t.Fatal(err)
	}
	r, err := New(Config{
		Host: "unix://" + e.dir + "/sock", Instance: "test-" + suffix + "-restart", ProbeImage: testImage,
		Subnets: []netip.Prefix{netip.MustParsePrefix("10.211.0.0/16")}, scope: newScope("r"), netfilter: netfilterContainer,
	}, slog.New(slog.NewTextHandler(testLog{t}, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	if err := r.Prepare(ctx); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for range 2 {
		w := workspace.Workspace{ID: workspace.NewID()}
		id, err := r.Create(ctx, orchestrator.Spec{
			Workspace: w.ID, Image: testImage, Env: []string{"TOOLBOX=serve 80"}, Volume: w.Volume(),
			Address: "0.0.0.0", Ports: map[int]int{80: 40000 + len(ids)},
		})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	// What a container reaches: itself, to show that it can; its sibling; and the host, on a port that is
	// published there to the world.
	fenced := func(when string, want string) {
		t.Helper()
		for _, id := range ids {
			if err := r.Start(ctx, id); err != nil {
				t.Fatalf("%s: %v", when, err)
			}
		}
		var gateway, sibling string
		c, err := e.ContainerInspect(ctx, ids[1])
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range c.NetworkSettings.Networks {
			gateway, sibling = n.Gateway, n.IPAddress
		}
		host, itself := fmt.Sprintf("%s:%d", gateway, 40001), "127.0.0.1:80"
		got := map[string]string{}
		eventually(t, when+": the container's program listens", func() bool {
			for line := range strings.Lines(e.inside(ids[0], "dial", itself, sibling+":80", host)) {
				target, verdict, _ := strings.Cut(strings.TrimSpace(line), " ")
				got[target] = verdict
			}
			return got[itself] == "connected"
		})
		if got[host] != want || got[sibling+":80"] != want {
			t.Errorf("%s: the host is %s, the sibling %s; want %s", when, got[host], got[sibling+":80"], want)
		}
	}
	fenced("at first", "silent")

	e.stop()
	if _, err := r.Containers(ctx); err == nil {
		t.Fatal("an engine that was stopped answers")
	}
	e.start()
	fenced("after the engine was restarted", "silent")
	if err := r.Prepare(ctx); err != nil {
		t.Fatal(err)
	}
	fenced("after that and a reconcile", "silent")

	// A reload throws every rule away, and the engine puts its own back when it is restarted.
	for _, table := range []string{"filter", "nat"} {
		e.iptables("-t", table, "-F")
		e.iptables("-t", table, "-X")
	}
	fenced("without any rule", "connected") // so the test can see a breach
	e.stop()
	e.start()
	if err := r.Prepare(ctx); err != nil {
		t.Fatal(err)
	}
	fenced("after the firewall was reloaded and the engine restarted", "silent")
}
