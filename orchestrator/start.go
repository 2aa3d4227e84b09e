package orchestrator

import (
	"slices"
	"strings"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// What is recorded of one wake is bounded, however often it tries again.
const (
	maxStages     = 32
	maxStageLines = 20
	maxStageLine  = 200 // bytes
)

// record notes that the operation has entered a stage; the caller holds the lock.
func (op *Operation) record(s Stage) {
	now := recordTime(time.Now())
	stages := op.start.Stages
	if n := len(stages); n > 0 && stages[n-1].Took == 0 {
		last := &stages[n-1]
		if last.Name == string(s) {
			return
		}
		last.Took = max(now.Sub(last.At), time.Microsecond)
	}
	if s != StageReady && s != StageFailed && len(stages) < maxStages {
		op.start.Stages = append(stages, workspace.Stage{Name: string(s), At: now})
	}
	op.publish()
}

// publish tells how far the wake is; the caller holds the lock.
func (op *Operation) publish() {
	if op.tell != nil && op.start.From != "" { // else its record is not read yet
		op.tell(cloneStart(op.start))
	}
}

// from notes the state that a wake began in.
func (op *Operation) from(s workspace.State) {
	op.mu.Lock()
	defer op.mu.Unlock()
	if op.start.From == "" {
		op.start.From = s
	}
}

// startedFrom returns the state that a wake began in.
func (op *Operation) startedFrom() workspace.State {
	op.mu.Lock()
	defer op.mu.Unlock()
	return op.start.From
}

// stages tells when a wake was asked for, how long it waited for its turn, through how many stages it
// came, and whether it is a restart, which ends the container first.
func (op *Operation) stages() (asked time.Time, waited time.Duration, stages int, restart bool) {
	op.mu.Lock()
	defer op.mu.Unlock()
	for _, s := range op.start.Stages {
		switch s.Name {
		case string(StageQueued):
			waited += s.Took
		case string(StageStop):
			restart = true
		}
	}
	return op.start.At, waited, len(op.start.Stages), restart
}

// Resumes reports whether the operation lets a paused workspace go on, which is a matter of
// milliseconds, and starts nothing.
func (op *Operation) Resumes() bool {
	op.mu.Lock()
	defer op.mu.Unlock()
	return op.resumes
}

func (op *Operation) setResumes(resumes bool) {
	op.mu.Lock()
	defer op.mu.Unlock()
	op.resumes = resumes
}

// Progress returns what is known of a wake so far: a stage that lasts took nothing yet.
func (op *Operation) Progress() workspace.Start {
	op.mu.Lock()
	defer op.mu.Unlock()
	return cloneStart(op.start)
}

// lines notes the end of what was printed in the stage that is under way.
func (op *Operation) lines(text string) {
	op.mu.Lock()
	defer op.mu.Unlock()
	n := len(op.start.Stages)
	if n == 0 || strings.TrimSpace(text) == "" {
		return
	}
	lines := lastLines(text)
	if slices.Equal(lines, op.start.Stages[n-1].Lines) {
		return
	}
	op.start.Stages[n-1].Lines = lines
	op.publish()
}

func lastLines(text string) []string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	lines = lines[max(0, len(lines)-maxStageLines):]
	for i, l := range lines {
		lines[i] = head(strings.TrimRight(l, "\r\t "), maxStageLine)
	}
	return lines
}

// trace returns what is to be recorded of the wake so far; err is how it ended, or nil.
func (op *Operation) trace(err error) workspace.Start {
	op.mu.Lock()
	defer op.mu.Unlock()
	if err != nil {
		text, log, _ := strings.Cut(Explain(err), "\n")
		op.start.Error = text
		if n := len(op.start.Stages); n > 0 && log != "" {
			op.start.Stages[n-1].Lines = lastLines(log)
		}
	}
	s := cloneStart(op.start)
	if n := len(s.Stages); n > 0 && s.Stages[n-1].Took == 0 {
		s.Stages[n-1].Took = max(recordTime(time.Now()).Sub(s.Stages[n-1].At), time.Microsecond)
	}
	return s
}

func cloneStart(s workspace.Start) workspace.Start {
	s.Stages = slices.Clone(s.Stages) // lines are replaced, never changed
	return s
}
