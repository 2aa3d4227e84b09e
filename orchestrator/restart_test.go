package orchestrator_test

import (
	"testing"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/workspace"
)

func TestRestart_DuringAWakeServesWhoWaitsForIt(t *testing.T) {
	for name, again := range map[string]func(*orchestrator.Orchestrator, workspace.ID) *orchestrator.Operation{
		"restart": func(o *orchestrator.Orchestrator, id workspace.ID) *orchestrator.Operation {
			return o.Restart(id, "test")
		},
		"rebuild": func(o *orchestrator.Orchestrator, id workspace.ID) *orchestrator.Operation { return o.Rebuild(id) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			o := w.gateway()
			id := w.create(o)
			held := w.gate(runtimetest.Start)
			wake := o.Wake(id)
			<-held.reached
			next := again(o, id)
			routed := make(chan error, 1)
			go func() { routed <- wake.AwaitRoute(t.Context()) }()
			close(held.open)
			w.must(w.end(wake))
			w.must(<-routed)
			w.must(w.end(next))
			if o.Route(id) == nil {
				t.Error("who waited finds no route")
			}
		})
	}
}

func TestRebuild_PreparesTheFirewallItself(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	id := w.awake(o)
	old := w.record(id).Container
	w.runtime.Unfenced = true // the engine was restarted
	w.must(w.end(o.Rebuild(id)))
	if now := w.record(id).Container; now == old {
		t.Error("it is the old container")
	}
}
