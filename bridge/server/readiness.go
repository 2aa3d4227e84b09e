package server

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/kalpana-dev/kalpana/bridge"
)

// readiness is whether VS Code can be served: code-server answers, and the workspace folder is there.
type readiness struct {
	// ok is for the hot path, which must not take the lock.
	ok atomic.Bool

	mu      sync.Mutex
	seeded  bool
	editor  string
	reason  string
	changed chan struct{} // closed and replaced at every change
}

func newReadiness() *readiness {
	return &readiness{editor: bridge.EditorStarting, changed: make(chan struct{})}
}

// setEditor records a state of code-server; reason says why it failed.
func (r *readiness) setEditor(state, reason string) {
	r.update(func() { r.editor, r.reason = state, reason })
}

// setSeeded records that ready no longer waits for the workspace folder.
func (r *readiness) setSeeded() { r.update(func() { r.seeded = true }) }

func (r *readiness) update(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
	r.ok.Store(r.seeded && r.editor == bridge.EditorRunning)
	close(r.changed)
	r.changed = make(chan struct{})
}

// editorState is one of the bridge.Editor constants.
func (r *readiness) editorState() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.editor
}

// wait returns nil once ready, a *startError when code-server has failed, and the context's error.
func (r *readiness) wait(ctx context.Context) error {
	for {
		r.mu.Lock()
		editor, reason, changed := r.editor, r.reason, r.changed
		r.mu.Unlock()
		switch {
		case r.ok.Load():
			return nil
		case editor == bridge.EditorFailed:
			return &startError{reason}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// startError says why code-server does not run.
type startError struct{ reason string }

func (e *startError) Error() string { return "VS Code did not start: " + e.reason }

// serveReady answers bridge.ReadyPath.
func (s *Server) serveReady(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.timing.readyHold)
	defer cancel()
	err := s.ready.wait(ctx)
	if err == nil {
		writeJSON(w, http.StatusOK, bridge.ReadyReport{Ready: true})
		return
	}
	writeJSON(w, http.StatusServiceUnavailable, bridge.ReadyReport{
		Error: whyNotReady(err, s.cfg.timing.readyHold), Log: s.log.tail(),
	})
}

// serveHealth answers bridge.HealthPath.
func (s *Server) serveHealth(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, s.health())
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
