package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/workspace"
)

// The gateway's own paths on a workspace host, beside the hand-off's.
const (
	wakePath     = "/.kalpana/wake"     // POST: start a wake
	progressPath = "/.kalpana/progress" // GET: follow it, as server-sent events
)

func (h *Handler) serveOwn(v *visit) {
	get, vscode := v.r.Method == http.MethodGet, v.host.Kind == workspace.HostIDE
	switch path := v.r.URL.Path; {
	case get && path == progressPath:
		h.serveProgress(v)
		return
	case get && vscode && path == statePath:
		h.serveState(v)
		return
	case get && vscode && path == sleepScriptPath:
		serveSleepScript(v)
		return
	}
	h.problem(v, http.StatusNotFound, "There is nothing at this address.")
}

// serveWake starts a wake for the page's button, or for the console, whose Origin may do this and
// nothing else here.
func (h *Handler) serveWake(v *visit) {
	origin := v.r.Header["Origin"]
	console := len(origin) == 1 && origin[0] == h.cfg.Hosts.Console() && !isUpgrade(v.r.Header)
	if !console && v.grant.Token == "" && !SameOrigin(v.r, h.cfg.Hosts.Origin(v.host)) {
		h.problem(v, http.StatusForbidden, "Only the workspace's own page and the console may wake it.")
		return
	}
	if h.cfg.Orchestrator.Route(v.host.ID) == nil {
		op := h.cfg.Orchestrator.Waking(v.host.ID)
		if op == nil {
			if op = h.wake(v); op == nil {
				return
			}
		}
		if err, ended := h.settled(v, op); ended && err != nil {
			h.fault(v, err)
			return
		}
	}
	setOwnHeaders(v.w.Header())
	v.w.WriteHeader(http.StatusAccepted)
}

const (
	// logInterval is how often the start log is read while somebody watches.
	logInterval = 400 * time.Millisecond
	// sendTime is how long one event may take to go out: a reader that stalls is left.
	sendTime = 10 * time.Second
)

// serveProgress follows the wake that is under way. Events, each with a JSON object:
//
//	stage   {stage, place, of} a stage began, "resume" is all of them where the container was frozen; place and of
//	                           while it waits in line for others to start
//	log     {text}             the end of the container's log so far, for the owner alone
//	ready   {}                 reload now
//	failed  {message, detail}  it did not start
func (h *Handler) serveProgress(v *visit) {
	rc := http.NewResponseController(&v.w)
	setOwnHeaders(v.w.Header())
	v.w.Header().Set("Content-Type", "text/event-stream")
	v.w.WriteHeader(http.StatusOK)
	send := func(event string, data any) bool {
		body, err := json.Marshal(data)
		if err != nil {
			return false
		}
		_ = rc.SetWriteDeadline(time.Now().Add(sendTime))
		_, err = fmt.Fprintf(&v.w, "event: %s\ndata: %s\n\n", event, body)
		err = errors.Join(err, rc.Flush())
		_ = rc.SetWriteDeadline(time.Time{}) // HTTP/2 would end a stream that is silent
		return err == nil
	}
	ctx, release := h.hold(v)
	defer release()
	streams := &h.cfg.Metrics.open[progressStream]
	streams.Add(1)
	defer streams.Add(-1)

	op := h.cfg.Orchestrator.Waking(v.host.ID)
	if op == nil {
		if h.cfg.Orchestrator.Route(v.host.ID) != nil {
			send("ready", struct{}{})
			return
		}
		send("failed", h.lastFailure(v))
		return
	}
	tick := time.NewTicker(logInterval)
	defer tick.Stop()
	if !v.owner {
		tick.Stop()
	}
	var last string
	for {
		stage, changed := op.Stage()
		if stage != orchestrator.StageReady && stage != orchestrator.StageFailed && !send("stage", stageOf(op, stage)) {
			return
		}
	wait:
		for {
			select {
			case <-op.Done():
				if next := op.Next(); next != nil {
					op = next
					break wait
				}
				if err := op.Err(); err != nil {
					send("failed", failure(v, explainTo(v, err)))
				} else {
					send("ready", struct{}{})
				}
				return
			case <-changed:
				break wait
			case <-tick.C:
				text := h.cfg.Orchestrator.StartLog(ctx, op)
				if text != last {
					last = text
					if !send("log", map[string]string{"text": text}) {
						return
					}
				}
			case <-ctx.Done():
				return
			case <-h.cfg.Stopping:
				return // the page reconnects, to the new configuration
			}
		}
		if stage, _ := op.Stage(); stage == orchestrator.StageReady || stage == orchestrator.StageFailed {
			<-op.Done()
		}
	}
}

type failureEvent struct {
	Message string `json:"message"`
	Detail  string `json:"detail"`
}

func failure(v *visit, text string) failureEvent {
	message, detail, _ := strings.Cut(text, "\n")
	if !v.owner {
		detail = ""
	}
	return failureEvent{message, detail}
}

// lastFailure tells why a workspace that nobody is waking does not run.
func (h *Handler) lastFailure(v *visit) failureEvent {
	if !v.owner {
		return failureEvent{Message: "It is stopped."}
	}
	w, err := h.cfg.Orchestrator.Get(v.r.Context(), v.grant.Person, v.host.ID)
	switch {
	case err != nil:
		return failure(v, explainTo(v, err))
	case w.State == workspace.StateError && w.Reason != "":
		return failure(v, w.Reason)
	default:
		return failureEvent{Message: "It is stopped."}
	}
}
