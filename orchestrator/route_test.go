package orchestrator_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"

	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/workspace"
)

// dialling is a runtime that reaches into containers by itself.
type dialling struct {
	orchestrator.Runtime
	dial func(ctx context.Context, container string, port int) (net.Conn, error)
}

func (d dialling) Dial(ctx context.Context, container string, port int) (net.Conn, error) {
	return d.dial(ctx, container, port)
}

func TestDial_AsksTheRuntimeForThePortInTheContainer(t *testing.T) {
	w := newWorld(t)
	type asked struct {
		container string
		port      int
	}
	var mu sync.Mutex
	var fault error
	calls := map[asked]int{}
	var o *orchestrator.Orchestrator
	runtime := dialling{w.runtime, func(ctx context.Context, container string, port int) (net.Conn, error) {
		mu.Lock()
		defer mu.Unlock()
		calls[asked{container, port}]++
		if fault != nil {
			return nil, fault
		}
		spec := w.runtime.Spec(container)
		return new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(spec.Address, strconv.Itoa(spec.Ports[port])))
	}}
	o = w.gateway(func(c *orchestrator.Config) { c.Runtime = runtime })
	id := w.awake(o)
	route := o.Route(id)
	transport := &http.Transport{DialContext: o.Dial, DisableKeepAlives: true}
	ready := func() error {
		return bridge.WaitReady(t.Context(), &http.Client{Transport: transport}, "http://"+route.IDE, route.Token)
	}
	record, err := w.store.Workspace(t.Context(), id)
	w.must(err)
	ide := asked{record.Container, workspace.ContainerIDEPort}

	w.must(ready())
	if calls[ide] != 1 {
		t.Fatalf("the runtime was asked %v, want once for %v", calls, ide)
	}
	for _, fault = range []error{errors.ErrUnsupported, workspace.ErrEngineDown} {
		w.must(ready()) // through the published port
	}
	fault = &net.OpError{Op: "dial", Err: errors.New("nothing listens")}
	if conn, err := o.Dial(t.Context(), "tcp", route.IDE); !errors.Is(err, fault) {
		t.Errorf("got %v, %v; want the runtime's own error", conn, err)
	}
}
