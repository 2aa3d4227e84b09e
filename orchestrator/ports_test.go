package orchestrator_test

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/workspace"
)

func (w *world) portsOf(id workspace.ID) (n int) {
	w.Helper()
	ports, err := w.store.Ports(w.Context())
	w.must(err)
	for _, owner := range ports {
		if owner == id {
			n++
		}
	}
	return n
}

func TestPorts_ABusyOneIsTriedOnceAndOthersAreTaken(t *testing.T) {
	w := newWorld(t)
	w.last = w.first + 3
	w.runtime.SetBusy(w.first)
	for range 12 { // the choice is random
		o := w.gateway()
		before := w.runtime.Calls(runtimetest.Start)
		id := w.awake(o)
		if n := w.runtime.Calls(runtimetest.Start) - before; n > 2 {
			t.Fatalf("%d starts: the busy port was tried again", n)
		}
		if record := w.record(id); record.IDEPort == w.first || record.BridgePort == w.first {
			t.Fatal("it got the busy port")
		}
		if n := w.portsOf(id); n != 2 {
			t.Fatalf("it holds %d ports, want 2", n)
		}
		w.must(w.end(o.Delete(id)))
		o.Close()
	}
}

func TestPorts_AnyProgramThatListensMakesThemBusy(t *testing.T) {
	w := newWorld(t)
	var others []net.Listener
	for port := w.first; port < w.first+4; port++ {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		w.must(err)
		others = append(others, l)
	}
	defer func() {
		for _, l := range others {
			_ = l.Close()
		}
	}()
	o := w.gateway()
	for range 4 { // random choices meet the busy ones
		id := w.awake(o)
		if n := w.portsOf(id); n != 2 {
			t.Errorf("it holds %d ports, want 2", n)
		}
		w.wantContainer(id, orchestrator.ContainerRunning)
	}
	starts := w.runtime.Calls(runtimetest.Start)
	if starts > 4+4 { // each busy port is tried once at most
		t.Errorf("%d starts: busy ports were tried again", starts)
	}
}

func TestPorts_ExhaustedIsToldAndADeleteHelps(t *testing.T) {
	w := newWorld(t)
	w.last = w.first + 2 // three ports: enough for one workspace
	o := w.gateway()
	first, second := w.awake(o), w.create(o)
	w.wantErr(w.end(o.Wake(second)), workspace.ErrPortsExhausted)
	got := w.wantState(second, workspace.StateError)
	if !strings.HasSuffix(got.Reason, "Ask the operator to delete unused workspaces or to widen the range of ports.") {
		t.Errorf("reason %q", got.Reason)
	}
	w.must(w.end(o.Delete(first)))
	w.wake(o, second)
	if n := w.portsOf(second); n != 2 {
		t.Errorf("it holds %d ports, want 2", n)
	}
}

func TestPorts_StayWithTheWorkspaceWhileItIsStopped(t *testing.T) {
	w := newWorld(t)
	w.last = w.first + 1
	o := w.gateway()
	first := w.awake(o)
	w.must(w.end(o.Stop(first, "test")))
	second := w.create(o)
	w.wantErr(w.end(o.Wake(second)), workspace.ErrPortsExhausted)
	w.wake(o, first)
}

func TestPorts_AnotherRangeIsForNewContainers(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	id := w.awake(o)
	w.must(w.end(o.Stop(id, "test")))
	first := runtimetest.FreePorts(t, 2)
	o = w.gateway(func(c *orchestrator.Config) { c.FirstPort, c.LastPort = first, first+1 })
	w.wake(o, id)
	w.must(w.end(o.Stop(id, "test")))
	w.runtime.Vanish(w.record(id).Container)
	w.wake(o, id)
	got := w.record(id)
	if min(got.IDEPort, got.BridgePort) != first || max(got.IDEPort, got.BridgePort) != first+1 {
		t.Errorf("ports %d and %d, want %d and the next", got.IDEPort, got.BridgePort, first)
	}
	if n := w.portsOf(id); n != 2 {
		t.Errorf("it holds %d ports, want 2", n)
	}
}

func TestPorts_FiveWorkspacesAtOnceShareNone(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	var ops []*orchestrator.Operation
	for range 5 {
		ops = append(ops, o.Wake(w.create(o)))
	}
	for _, op := range ops {
		w.must(w.end(op))
	}
	ports, err := w.store.Ports(t.Context())
	w.must(err)
	if len(ports) != 10 {
		t.Errorf("%d ports are taken, want 10", len(ports))
	}
}
