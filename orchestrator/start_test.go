package orchestrator_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/workspace"
)

func stages(s workspace.Start) (names []string) {
	for _, stage := range s.Stages {
		names = append(names, stage.Name)
	}
	return names
}

func TestLastStart_TellsEachStageAndHowLongItTook(t *testing.T) {
	w := newWorld(t)
	o := w.started()
	id := w.create(o)
	began := time.Now()
	w.boots(runtimetest.Boot{After: 50 * time.Millisecond})
	w.wake(o, id)
	s := w.record(id).LastStart
	if s.From != workspace.StateStopped || s.Error != "" || !slices.Equal(stages(s), []string{"queued", "container", "start", "editor"}) {
		t.Errorf("start %+v", s)
	}
	var at time.Time
	var took time.Duration
	for _, stage := range s.Stages {
		if stage.At.Before(at) || stage.Took <= 0 || stage.At.Before(s.At) {
			t.Errorf("stage %+v", stage)
		}
		at, took = stage.At, took+stage.Took
	}
	if took < 50*time.Millisecond || took > time.Since(began) {
		t.Errorf("the stages took %v of %v", took, time.Since(began))
	}
	w.must(w.end(o.Pause(id, "test")))
	w.wake(o, id)
	if s := w.record(id).LastStart; s.From != workspace.StatePaused || !slices.Equal(stages(s), []string{"queued", "start", "editor"}) {
		t.Errorf("start %+v", s)
	}
	w.must(w.end(o.Restart(id, "test")))
	if s := w.record(id).LastStart; s.From != workspace.StateRunning || !slices.Equal(stages(s), []string{"queued", "stop", "container", "start", "editor"}) {
		t.Errorf("start %+v", s)
	}
}

func TestLastStart_IsToldLiveAndWithWhatIsPrinted(t *testing.T) {
	w := newWorld(t)
	up := make(chan struct{})
	w.boots(runtimetest.Boot{Until: up})
	o := w.gateway()
	o.SetStartLog(5 * time.Millisecond)
	w.start(o)
	id := w.create(o)
	var printed []string
	for i := range 100 {
		printed = append(printed, fmt.Sprintf("Receiving objects: %d%% %s", i, strings.Repeat("é", 200)))
	}
	w.runtime.SetLog(id, strings.Join(printed, "\r\n"))
	changes, unsubscribe := o.Subscribe("ann")
	defer unsubscribe()
	wake := o.Wake(id)
	var seen []string
	for {
		var s workspace.Start
		select {
		case e := <-changes:
			s = e.Workspace.LastStart
		case <-time.After(3 * patient):
			t.Fatalf("stages %v and no more", seen)
		}
		for _, name := range stages(s) {
			if !slices.Contains(seen, name) {
				seen = append(seen, name)
			}
		}
		if n := len(s.Stages); n > 0 && len(s.Stages[n-1].Lines) > 0 {
			lines := s.Stages[n-1].Lines
			if s.Stages[n-1].Name != "editor" || s.Stages[n-1].Took != 0 || len(lines) != 20 || !strings.HasPrefix(lines[19], "Receiving objects: 99%") {
				t.Errorf("stage %+v", s.Stages[n-1])
			}
			for _, l := range lines {
				if len(l) > 200 || strings.Contains(l, "\uFFFD") || strings.Contains(l, "\r") {
					t.Errorf("line of %d bytes: %q", len(l), l)
				}
			}
			break
		}
	}
	if !slices.Equal(seen, []string{"queued", "container", "start", "editor"}) {
		t.Errorf("stages %v", seen)
	}
	close(up)
	w.must(w.end(wake))
	if s := w.record(id).LastStart; len(s.Stages[len(s.Stages)-1].Lines) != 20 {
		t.Errorf("recorded %+v", s)
	}
}

func TestLastStart_TellsHowItFailed(t *testing.T) {
	w := newWorld(t)
	w.boots(runtimetest.Boot{Failed: "VS Code ended with code 1", Log: "one\ntwo"})
	o := w.started()
	id := w.create(o)
	w.wantErr(w.end(o.Wake(id)), workspace.ErrStartFailed)
	s := w.record(id).LastStart
	last := s.Stages[len(s.Stages)-1]
	if s.Error != "The workspace did not start: VS Code ended with code 1. Try again; if it stays so, the log tells why." ||
		last.Name != "editor" || !slices.Equal(last.Lines, []string{"one", "two"}) || last.Took <= 0 {
		t.Errorf("start %+v", s)
	}
	w.boots(runtimetest.Boot{})
	w.wake(o, id)
	if s := w.record(id).LastStart; s.Error != "" || s.From != workspace.StateError {
		t.Errorf("start %+v", s)
	}
}

func TestLastStart_IsBoundedHoweverOftenItTriesAgain(t *testing.T) {
	w := newWorld(t)
	o := w.started()
	id := w.create(o)
	w.runtime.SetBefore(w.fails(runtimetest.Start, orchestrator.ErrPortBusy))
	w.wantErr(w.end(o.Wake(id)), orchestrator.ErrPortBusy)
	if s := w.record(id).LastStart; len(s.Stages) > 32 || s.Error == "" {
		t.Errorf("%d stages: %+v", len(s.Stages), s)
	}
}

func TestResume_WithTheEngineDownChangesNothing(t *testing.T) {
	w := newWorld(t)
	o := w.started()
	id := w.paused(o)
	w.runtime.SetDown(true)
	w.wantErr(w.end(o.Wake(id)), workspace.ErrEngineDown)
	w.wantState(id, workspace.StatePaused)
	w.runtime.SetDown(false)
	w.wake(o, id)
	if n := w.runtime.Calls(runtimetest.Start); n != 1 {
		t.Errorf("%d starts, want the first alone: it kept its memory", n)
	}
}

func TestWake_AContainerThatIsPausedWhileItStartsGoesOn(t *testing.T) {
	w := newWorld(t)
	up := make(chan struct{})
	w.boots(runtimetest.Boot{Until: up})
	o := w.gateway()
	o.SetLiveness(20 * time.Millisecond)
	w.start(o)
	id := w.create(o)
	wake := o.Wake(id)
	w.stage(wake, orchestrator.StageEditor)
	w.must(w.runtime.Freeze(wake.Container()))
	close(up)
	w.must(w.end(wake))
	w.wantContainer(id, orchestrator.ContainerRunning)
}

// What somebody waits for does not wait for the store more than it must: the lease, the record, and for a
// start what tells the others of it.
func TestWake_CostsFewCallsOfTheStoreBeforeRequestsAreLetIn(t *testing.T) {
	w := newWorld(t)
	var calls []string
	var record chan struct{} // the last write waits for it; nil while nothing is counted
	frail := &frailStore{Store: w.store}
	frail.fault = func(method string, r *workspace.Workspace) error {
		if record != nil && r != nil && r.State == workspace.StateRunning {
			<-record
		} else if record != nil {
			calls = append(calls, method)
		}
		return nil
	}
	o := w.gateway(func(c *orchestrator.Config) { c.Store = frail })
	count := func(id workspace.ID) []string {
		calls, record = nil, make(chan struct{})
		op := o.Wake(id)
		<-op.Running()
		got := slices.Clone(calls)
		close(record)
		w.must(w.end(op))
		record = nil
		return got
	}
	id := w.awake(o)
	w.must(w.end(o.Stop(id, "test")))
	if got := count(id); !slices.Equal(got, []string{"AcquireLease", "Workspace", "UpdateWorkspace"}) {
		t.Errorf("a start: %v", got)
	}
	w.must(w.end(o.Pause(id, "test")))
	if got := count(id); !slices.Equal(got, []string{"AcquireLease", "Workspace"}) {
		t.Errorf("a resume: %v", got)
	}
}
