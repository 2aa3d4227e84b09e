package gateway

import (
	"errors"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/workspace"
)

// stageEvent is the event "stage" of a wake's progress.
type stageEvent struct {
	Stage orchestrator.Stage `json:"stage"`
	Place int                `json:"place,omitempty"` // in the line of those that wait for others to start
	Of    int                `json:"of,omitempty"`
}

func stageOf(op *orchestrator.Operation, stage orchestrator.Stage) stageEvent {
	e := stageEvent{Stage: stage}
	if op.Resumes() {
		e.Stage = "resume"
	}
	if stage == orchestrator.StageQueued {
		e.Place, e.Of = op.Place()
	}
	return e
}

// explainTo is explain for whoever made a request: what else the owner has is the owner's to know.
func explainTo(v *visit, err error) string {
	if errors.Is(err, workspace.ErrRunningLimit) && !v.owner {
		return "Its owner has as many workspaces running as they may have, so this one cannot start now. Ask its owner to stop another one."
	}
	return explain(err)
}
