package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/test/harness"
	"github.com/kalpana-dev/kalpana/workspace"
)

// ownEngine is an engine of a test's own, which may be restarted.
type ownEngine struct {
	*harness.Engine
	t *testing.T
}

func newOwnEngine(t *testing.T) *ownEngine {
	t.Helper()
	engine(t) // the toolbox is built with its help
	e, err := harness.NewEngine(512 << 20)
	if errors.Is(err, harness.ErrNoEngine) {
		t.Skip(err, "; the engine that DOCKER_HOST names must not be restarted")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return &ownEngine{e, t}
}

// iptables runs on the engine's machine, so to speak.
func (e *ownEngine) iptables(args ...string) {
	e.t.Helper()
	if out, err := e.Command("iptables", append([]string{"-w"}, args...)...).CombinedOutput(); err != nil {
		e.t.Fatalf("iptables %v: %v: %s", args, err, out)
	}
}

func (e *ownEngine) start() {
	e.t.Helper()
	if err := e.Start(); err != nil {
		e.t.Fatal(err)
	}
}

// stop ends the engine, and with it every container.
func (e *ownEngine) stop() {
	e.t.Helper()
	if err := e.Stop(); err != nil {
		e.t.Fatal(err)
	}
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
		Host: e.Host(), Instance: "test-" + suffix + "-restart", ProbeImage: testImage,
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
	var made orchestrator.Spec
	for range 2 {
		w := workspace.Workspace{ID: workspace.NewID()}
		made = orchestrator.Spec{
			Workspace: w.ID, Image: testImage, Env: []string{"TOOLBOX=serve 80"}, Volume: w.Volume(),
			Address: "0.0.0.0", Ports: map[int]int{80: 40000 + len(ids)},
		}
		id, err := r.Create(ctx, made)
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
	if id, err := r.Create(ctx, made); err != nil { // the engine has to be asked for the volume's labels
		t.Errorf("a second container on a volume, after the engine was restarted: %v", err)
	} else if err := r.Remove(ctx, id); err != nil {
		t.Error(err)
	}
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
