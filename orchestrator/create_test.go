package orchestrator_test

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/workspace"
)

func TestCreate_MakesARecordAndNoContainer(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	record, err := o.Create(t.Context(), orchestrator.NewWorkspace{
		Owner: "ann", Name: "  my work ", Template: "blank", Repository: "https://example.com/a/b",
	})
	w.must(err)
	stored := w.wantState(record.ID, workspace.StateStopped)
	if stored.Name != "my work" || stored.Owner != "ann" || stored.Repository != "https://example.com/a/b" || stored.Revision != 1 {
		t.Errorf("stored %+v", stored)
	}
	if n := w.runtime.AllCalls(); n != 0 {
		t.Errorf("%d calls of the engine, want none", n)
	}
}

func TestCreate_RefusesWhatIsNotAWorkspace(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	for _, c := range []struct {
		given orchestrator.NewWorkspace
		want  error
	}{
		{orchestrator.NewWorkspace{Owner: "ann", Name: "", Template: "blank"}, workspace.ErrInvalidName},
		{orchestrator.NewWorkspace{Owner: "ann", Name: strings.Repeat("x", 10_000), Template: "blank"}, workspace.ErrInvalidName},
		{orchestrator.NewWorkspace{Owner: "ann", Name: "a", Template: ""}, workspace.ErrUnknownTemplate},
		{orchestrator.NewWorkspace{Owner: "ann", Name: "a", Template: "Blank"}, workspace.ErrUnknownTemplate},
		{orchestrator.NewWorkspace{Owner: "ann", Name: "a", Template: "blank", Repository: "file:///etc"}, workspace.ErrInvalidRepo},
	} {
		_, err := o.Create(t.Context(), c.given)
		w.wantErr(err, c.want)
	}
	list, err := o.List(t.Context(), "ann")
	w.must(err)
	if len(list) != 0 {
		t.Errorf("%d workspaces, want none", len(list))
	}
}

func TestCreate_TheSixthIsRefused(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	var made, refused atomic.Int32
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			_, err := o.Create(t.Context(), orchestrator.NewWorkspace{Owner: "ann", Name: "a", Template: "blank"})
			switch {
			case err == nil:
				made.Add(1)
			case errors.Is(err, workspace.ErrLimit):
				refused.Add(1)
			}
		})
	}
	all.Wait()
	if made.Load() != 5 || refused.Load() != 15 {
		t.Errorf("%d were made and %d refused, want 5 and 15", made.Load(), refused.Load())
	}
	_, err := o.Create(t.Context(), orchestrator.NewWorkspace{Owner: "bob", Name: "a", Template: "blank"})
	w.must(err)
}

func TestCreate_NoLimitBelowZero(t *testing.T) {
	w := newWorld(t)
	o := w.gateway(func(c *orchestrator.Config) { c.WorkspaceLimit = -1 })
	for range 8 {
		w.create(o)
	}
}

func TestGet_SomebodyElsesLooksLikeNone(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	id := w.create(o)
	_, err := o.Get(t.Context(), "eve", id)
	w.wantErr(err, workspace.ErrNotFound)
	_, err = o.Get(t.Context(), "eve", workspace.NewID())
	w.wantErr(err, workspace.ErrNotFound)
	_, err = o.Rename(t.Context(), "eve", id, "hers")
	w.wantErr(err, workspace.ErrNotFound)
	if w.record(id).Name != "mine" {
		t.Error("eve renamed ann's workspace")
	}
}

func TestRename_DuringAWakeKeepsBothChanges(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	id := w.create(o)
	create := w.gate(runtimetest.Create)
	op := o.Wake(id)
	<-create.reached
	_, err := o.Rename(t.Context(), "ann", id, "renamed")
	w.must(err)
	close(create.open)
	w.must(w.end(op))
	if got := w.wantState(id, workspace.StateRunning); got.Name != "renamed" || got.Container == "" {
		t.Errorf("name %q, container %q", got.Name, got.Container)
	}
}

func TestRename_NeverFailsAWake(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	id := w.create(o)
	stop := make(chan struct{})
	var renaming sync.WaitGroup
	renaming.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := o.Rename(t.Context(), "ann", id, "again"); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	for range 3 {
		w.wake(o, id)
		w.must(w.end(o.Stop(id, "test")))
	}
	w.wake(o, id)
	close(stop)
	renaming.Wait()
	w.wantState(id, workspace.StateRunning)
	if n := w.runtime.Calls(runtimetest.Create); n != 1 {
		t.Errorf("%d containers were made, want 1", n)
	}
}
