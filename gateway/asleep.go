package gateway

import (
	_ "embed"
	"encoding/json"
	"io"

	"github.com/kalpana-dev/kalpana/workspace"
)

// VS Code's page has a script of ours, which says when the workspace sleeps and wakes it when a person presses a key
// or clicks. The workspace image puts a reference to it into the page; it is of the page's own origin, so that VS
// Code's policy stays as it is. A page without it is none the worse: it only does not say.
const (
	sleepScriptPath = "/.kalpana/sleep.js"
	statePath       = "/.kalpana/state" // GET: {"state": …}, from memory alone
)

//go:embed sleep.js
var sleepScript string

func serveSleepScript(v *visit) {
	v.w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
	setOwnHeaders(v.w.Header())
	_, _ = io.WriteString(&v.w, sleepScript)
}

// serveState tells the script what the workspace does. It is no activity, and wakes nothing.
func (h *Handler) serveState(v *visit) {
	state := h.cfg.Orchestrator.State(v.host.ID)
	switch {
	case h.cfg.Orchestrator.Route(v.host.ID) != nil:
		state = workspace.StateRunning
	case h.cfg.Orchestrator.Waking(v.host.ID) != nil:
		state = workspace.StateStarting
	}
	v.w.Header().Set("Content-Type", "application/json")
	setOwnHeaders(v.w.Header())
	_ = json.NewEncoder(&v.w).Encode(struct {
		State workspace.State `json:"state"`
	}{state})
}
