package docker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/kalpana-dev/kalpana/workspace"
)

func TestPrepare_NothingStartsBeforeIt(t *testing.T) {
	t.Parallel()
	r := newRuntime(t)
	s := spec(t, r, "serve")
	if id, err := r.Create(t.Context(), s); !errors.Is(err, workspace.ErrFirewall) {
		t.Errorf("Create: %s, %v", id, err)
	}
	if err := r.Start(t.Context(), strings.Repeat("a", fullIDLength)); !errors.Is(err, workspace.ErrFirewall) {
		t.Errorf("Start: %v", err)
	}
}

func TestPrepare_SaysThatItsImageIsMissing(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, ownScope(t, "h"), func(c *Config) { c.ProbeImage = "kalpana-test/no-such-image:" + suffix })
	err := r.Prepare(t.Context())
	if !errors.Is(err, workspace.ErrFirewall) || !errors.Is(err, workspace.ErrImageMissing) {
		t.Errorf("Prepare: %v", err)
	}
	if text := err.Error(); !strings.HasPrefix(text, workspace.ErrImageMissing.Error()) || strings.Contains(text, workspace.ErrFirewall.Error()) {
		t.Errorf("Prepare speaks of something else first: %s", text)
	}
	if _, err := r.Create(t.Context(), spec(t, r, "serve")); !errors.Is(err, workspace.ErrImageMissing) {
		t.Errorf("Create does not say why: %v", err)
	}
}

// breach is a workspace that tries this host, a sibling and metadata.
type breach struct {
	id                string
	host, sibling     string
	received          *atomic.Int64 // bytes that containers sent to the host
	listenerOfTheTest net.Listener
}

func newBreach(t *testing.T, r *Runtime) *breach {
	t.Helper()
	l, err := net.Listen("tcp4", ":0")
	if err != nil {
		t.Fatal(err)
	}
	b := &breach{received: new(atomic.Int64), listenerOfTheTest: l}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				defer context.AfterFunc(t.Context(), func() { _ = c.Close() })()
				for buf := make([]byte, 64); ; {
					n, err := c.Read(buf)
					b.received.Add(int64(n))
					if err != nil {
						return
					}
				}
			}()
		}
	}()
	t.Cleanup(func() { _ = l.Close() })
	b.id = run(t, r, spec(t, r, "serve 80"))
	b.sibling = address(t, run(t, r, spec(t, r, "serve 80"))) + ":80"
	for _, n := range inspect(t, b.id).NetworkSettings.Networks {
		b.host = fmt.Sprintf("%s:%d", n.Gateway, l.Addr().(*net.TCPAddr).Port)
	}
	return b
}

func (b *breach) expect(t *testing.T, when, host, sibling string) {
	t.Helper()
	got := verdicts(t, b.id, b.host, b.sibling)
	if got[b.host] != host || got[b.sibling] != sibling {
		t.Errorf("%s: this host %s, want %s; the sibling %s, want %s", when, got[b.host], host, got[b.sibling], sibling)
	}
}

func TestPrepare_RepairsTheFirewall(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, ownScope(t, "i"))
	s := r.cfg.scope
	timed := func(what string) time.Duration {
		start := time.Now()
		if err := r.Prepare(t.Context()); err != nil {
			t.Fatalf("Prepare %s: %v", what, err)
		}
		t.Logf("Prepare %s took %v", what, time.Since(start))
		return time.Since(start)
	}
	timed("cold")
	b := newBreach(t, r)
	b.expect(t, "at first", "silent", "silent")

	// Rules of others that let everything through, in front of ours.
	accepts := [][]string{
		{"INPUT", "-i", s.bridge + "+", "-j", "ACCEPT"},
		{"FORWARD", "-i", s.bridge + "+", "-j", "ACCEPT"},
	}
	for _, accept := range accepts {
		host(t, append([]string{"-I"}, accept...)...)
	}
	eventually(t, "with rules of others in front everything can be reached", func() bool {
		// The engine puts its own jump to DOCKER-USER in front again whenever somebody makes a network.
		host(t, append([]string{"-D"}, accepts[1]...)...)
		host(t, append([]string{"-I"}, accepts[1]...)...)
		got := verdicts(t, b.id, b.host, b.sibling)
		return got[b.host] == "connected" && got[b.sibling] == "connected"
	})
	talk(t, b)
	timed("with rules of others in front")
	b.expect(t, "repaired", "silent", "silent")
	before := b.received.Load()
	time.Sleep(200 * time.Millisecond)
	if after := b.received.Load(); after != before {
		t.Errorf("a connection that was opened through the gap still delivers: %d bytes more", after-before)
	}
	for _, accept := range accepts {
		host(t, append([]string{"-D"}, accept...)...) // fails the test if we had removed it
	}

	// Everything of ours is gone.
	removeRules(t.Context(), s)
	b.expect(t, "without our rules", "connected", "silent") // siblings are the engine's business too
	timed("without our rules")
	b.expect(t, "repaired again", "silent", "silent")

	for _, chain := range []string{"INPUT", "DOCKER-USER"} {
		if n := strings.Count(host(t, "-S", chain), s.chain); n != 1 {
			t.Errorf("%d hooks in %s after the repairs:\n%s", n, chain, host(t, "-S", chain))
		}
	}
}

// talk keeps a connection from the container to the host busy.
func talk(t *testing.T, b *breach) {
	t.Helper()
	e, err := world.api.ContainerExecCreate(t.Context(), b.id, container.ExecOptions{Cmd: []string{"/toolbox", "talk", b.host}})
	if err != nil {
		t.Fatal(err)
	}
	if err := world.api.ContainerExecStart(t.Context(), e.ID, container.ExecStartOptions{Detach: true}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the container talks to the host", func() bool { return b.received.Load() > 0 })
}

func TestPrepare_AgainIsCheap(t *testing.T) {
	// Alone: tests that put rules in front of ours give every Prepare something to do.
	r := newRuntime(t, ownScope(t, "n"))
	for _, when := range []string{"cold", "warm"} {
		start := time.Now()
		if err := r.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		took := time.Since(start)
		t.Logf("Prepare, %s, took %v", when, took)
		if when == "warm" && took > time.Second {
			t.Errorf("a Prepare with nothing to do took %v", took)
		}
	}
}

func TestPrepare_WorksThroughAContainerWhereItCannotRunIptables(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, ownScope(t, "j"), func(c *Config) { c.netfilter = netfilterContainer })
	if err := r.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if rules := host(t, "-S", "INPUT"); !strings.Contains(rules, r.cfg.scope.chain+"-INPUT") {
		t.Errorf("no rule on the host:\n%s", rules)
	}
	host(t, "-F", r.cfg.scope.chain+"-FORWARD")
	repaired, err := r.repair(t.Context(), r.nets.list[0])
	if err != nil || len(repaired) == 0 {
		t.Errorf("after a flush: %v, %v", repaired, err)
	}
}

func TestPrepare_WithoutIptablesAnywhereTheOperatorsRulesCount(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, ownScope(t, "k"), func(c *Config) {
		c.netfilter = netfilterContainer
		c.ProbeImage = bareImage
		c.ProbeCommand = []string{"/toolbox", "probe"}
	})
	err := r.Prepare(t.Context())
	if !errors.Is(err, workspace.ErrFirewall) || !errors.Is(err, errReached) {
		t.Fatalf("the probe found an open host fenced: %v", err)
	}
	for _, command := range r.Rules() {
		if !strings.Contains(err.Error(), command) {
			t.Errorf("the error does not give the command %q", command)
		}
	}
	s := spec(t, r, "serve")
	s.Image = bareImage
	if _, err := r.Create(t.Context(), s); !errors.Is(err, workspace.ErrFirewall) {
		t.Errorf("Create behind an open firewall: %v", err)
	}

	for range 2 { // the second time changes nothing
		for _, command := range r.Rules() {
			if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s", command, err, out)
			}
		}
	}
	if n := strings.Count(host(t, "-S"), "-j "+r.cfg.scope.chain); n != 2 {
		t.Errorf("%d hooks", n)
	}
	if err := r.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Create(t.Context(), s); err != nil {
		t.Errorf("Create behind the operator's rules: %v", err)
	}
}

func TestPrepare_AProbeThatProvesNothingIsNoProof(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, ownScope(t, "l"), func(c *Config) { c.ProbeCommand = []string{"/toolbox", "exit", "0"} })
	if err := r.Prepare(t.Context()); !errors.Is(err, workspace.ErrFirewall) {
		t.Errorf("a probe that says nothing: %v", err)
	}
}
