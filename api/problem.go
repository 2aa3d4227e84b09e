package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kalpana-dev/kalpana/agent"
	"github.com/kalpana-dev/kalpana/agent/budget"
	"github.com/kalpana-dev/kalpana/agent/model"
	"github.com/kalpana-dev/kalpana/agent/uistream"
	"github.com/kalpana-dev/kalpana/credential"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/workspace"
)

var errNotForTokens = errors.New("this is for people in a browser; no token may do it")

// problem maps a fault to a problem (RFC 9457), or nil to nil. It is the one place that decides on
// statuses. What only the operator can mend is told in the log: its text may name files of ours,
// and not everybody who asks is signed in.
func (h *Handler) problem(err error) error {
	if err == nil {
		return nil
	}
	return h.fault(err)
}

func (h *Handler) fault(err error) huma.StatusError {
	var said huma.StatusError
	if errors.As(err, &said) {
		return said
	}
	field := func(name string) huma.StatusError {
		text := orchestrator.Explain(err)
		return huma.NewError(http.StatusUnprocessableEntity, text, &huma.ErrorDetail{Message: text, Location: "body." + name})
	}
	unavailable := func(named error) huma.StatusError {
		h.cfg.Log.Error("a request of the API failed", "error", err)
		return huma.NewError(http.StatusServiceUnavailable, orchestrator.Explain(named)+" The server's log tells why; try again in a moment.")
	}
	switch {
	case errors.Is(err, identity.ErrNoSession), errors.Is(err, identity.ErrLink), errors.Is(err, identity.ErrToken):
		return huma.NewError(http.StatusUnauthorized, orchestrator.Explain(err))
	case errors.Is(err, errNotForTokens), errors.Is(err, identity.ErrScope), errors.Is(err, identity.ErrNotAdmin),
		errors.Is(err, identity.ErrDisabled), errors.Is(err, identity.ErrTokenLimit), errors.Is(err, agent.ErrTooManyChats):
		return huma.NewError(http.StatusForbidden, orchestrator.Explain(err))
	case errors.Is(err, identity.ErrTokenRequest):
		return huma.NewError(http.StatusUnprocessableEntity, orchestrator.Explain(err))
	case errors.Is(err, identity.ErrNotFound):
		return huma.NewError(http.StatusNotFound, "It does not exist, or no longer. Reload the page.")
	case errors.Is(err, identity.ErrHandoff):
		return huma.NewError(http.StatusBadRequest, "This step of signing in is malformed. Open the workspace's address again.")
	case errors.Is(err, identity.ErrUnknownProvider), errors.Is(err, identity.ErrUnknownPerson), errors.Is(err, identity.ErrUnknownAccount):
		return huma.NewError(http.StatusNotFound, orchestrator.Explain(err))
	case errors.Is(err, identity.ErrInvitation):
		return huma.NewError(http.StatusNotFound, orchestrator.Explain(err)+" Ask who invited you for another one.")
	case errors.Is(err, identity.ErrGitServer):
		return field("server")
	case errors.Is(err, identity.ErrGitUser):
		return field("username")
	case errors.Is(err, identity.ErrGitSecret):
		return field("token")
	case errors.Is(err, identity.ErrTooManyGit), errors.Is(err, identity.ErrNoGitKeyset):
		return huma.NewError(http.StatusForbidden, orchestrator.Explain(err))
	case errors.Is(err, credential.ErrAnswered):
		return huma.NewError(http.StatusNotFound, orchestrator.Explain(err))
	case errors.Is(err, identity.ErrLastAdmin), errors.Is(err, identity.ErrLastAccount), errors.Is(err, identity.ErrOccupied):
		return huma.NewError(http.StatusConflict, orchestrator.Explain(err))
	case errors.Is(err, errOwnKeysOff), errors.Is(err, identity.ErrModelKeyLost), errors.Is(err, identity.ErrModelKeyElsewhere):
		return huma.NewError(http.StatusConflict, orchestrator.Explain(err))
	case errors.Is(err, identity.ErrGitName):
		return field("name")
	case errors.Is(err, identity.ErrGitEmail):
		return field("email")
	case errors.Is(err, identity.ErrModelKey):
		return field("key")
	case errors.Is(err, identity.ErrUnknownRole):
		return field("role")
	case errors.Is(err, identity.ErrNote):
		return field("note")
	case errors.Is(err, identity.ErrLifetime):
		return field("lifetimeHours")
	case errors.Is(err, identity.ErrProviderDown):
		h.cfg.Log.Error("a sign-in provider does not answer", "error", err)
		return huma.NewError(http.StatusServiceUnavailable, "The sign-in provider does not answer. Try again in a moment, or sign in another way.")
	case errors.Is(err, workspace.ErrNotFound), errors.Is(err, workspace.ErrInvalidID), errors.Is(err, workspace.ErrForbidden):
		return huma.NewError(http.StatusNotFound, "This workspace does not exist, or no longer.")
	case errors.Is(err, workspace.ErrInvalidName), errors.Is(err, identity.ErrPersonName):
		return field("name")
	case errors.Is(err, workspace.ErrInvalidRepo):
		return field("repository")
	case errors.Is(err, workspace.ErrUnknownTemplate):
		return field("template")
	case errors.Is(err, workspace.ErrLimit):
		return huma.NewError(http.StatusForbidden, "You have as many workspaces as you may have. Delete one that you no longer need, or ask the operator for more.")
	case errors.Is(err, workspace.ErrInvalidPort):
		text := orchestrator.Explain(err)
		return huma.NewError(http.StatusUnprocessableEntity, text, &huma.ErrorDetail{Message: text, Location: "path.port"})
	case errors.Is(err, workspace.ErrInvalidShare):
		return field("level")
	case errors.Is(err, workspace.ErrShareLimit):
		return huma.NewError(http.StatusForbidden, "The operator does not let ports be shared more widely than: "+string(h.cfg.Orchestrator.ShareLimit())+". Choose that, or ask the operator for more.")
	case errors.Is(err, workspace.ErrTooManyShares):
		return huma.NewError(http.StatusForbidden, "This workspace has settings for as many ports as it may have. Remove those of a port that you no longer need.")
	case errors.Is(err, workspace.ErrInvalidSchedule):
		return field("schedule")
	case errors.Is(err, workspace.ErrInvalidAwake):
		return field("hours")
	case errors.Is(err, workspace.ErrRunningLimit), errors.Is(err, workspace.ErrBusy), errors.Is(err, workspace.ErrConflict),
		errors.Is(err, workspace.ErrInUse), errors.Is(err, workspace.ErrNotRunning):
		return huma.NewError(http.StatusConflict, orchestrator.Explain(err))
	case errors.Is(err, workspace.ErrStorageFull):
		h.cfg.Log.Error("a request of the API failed", "error", err)
		return huma.NewError(http.StatusInsufficientStorage, orchestrator.Explain(workspace.ErrStorageFull))
	case errors.Is(err, workspace.ErrStoreDown):
		return unavailable(workspace.ErrStoreDown)
	case errors.Is(err, agent.ErrNotFound):
		return huma.NewError(http.StatusNotFound, "This chat does not exist, or no longer.")
	case errors.Is(err, agent.ErrRunning), errors.Is(err, agent.ErrNotRunning), errors.Is(err, agent.ErrNothingPending), errors.Is(err, agent.ErrAnswered):
		return huma.NewError(http.StatusConflict, orchestrator.Explain(err))
	case errors.Is(err, agent.ErrInvalid), errors.Is(err, agent.ErrUnknownModel), errors.Is(err, errNoText), errors.Is(err, errChatID),
		errors.Is(err, errNoWorkspace), errors.Is(err, errOtherWorkspace), errors.As(err, new(*uistream.PostError)):
		return huma.NewError(http.StatusUnprocessableEntity, orchestrator.Explain(err))
	case errors.Is(err, errNoJSON):
		return huma.NewError(http.StatusBadRequest, orchestrator.Explain(err))
	case errors.Is(err, agent.ErrTooManyRuns), errors.Is(err, errTooManyStreams):
		return huma.NewError(http.StatusTooManyRequests, orchestrator.Explain(err))
	case errors.Is(err, errTooLarge), errors.Is(err, agent.ErrTooLarge):
		return huma.NewError(http.StatusRequestEntityTooLarge, orchestrator.Explain(err))
	case errors.As(err, new(*budget.Spent)):
		return huma.NewError(http.StatusPaymentRequired, orchestrator.Explain(err))
	case errors.As(err, new(*model.Error)), errors.Is(err, agent.ErrClosed):
		return huma.NewError(http.StatusServiceUnavailable, orchestrator.Explain(err))
	case errors.Is(err, context.Canceled):
		return huma.NewError(http.StatusServiceUnavailable, "The request was cut short. Try again.")
	case errors.Is(err, workspace.ErrEngineDown), errors.Is(err, workspace.ErrImageMissing),
		errors.Is(err, workspace.ErrPortsExhausted), errors.Is(err, workspace.ErrFirewall),
		errors.Is(err, workspace.ErrStartFailed), errors.Is(err, workspace.ErrStartTimeout),
		errors.Is(err, workspace.ErrShuttingDown), errors.Is(err, workspace.ErrHostFull),
		errors.Is(err, workspace.ErrDraining):
		return huma.NewError(http.StatusServiceUnavailable, orchestrator.Explain(err))
	default:
		h.cfg.Log.Error("a request of the API failed", "error", err)
		return huma.NewError(http.StatusInternalServerError, "Something went wrong here. The server's log tells what; try again in a moment.")
	}
}

// tokenChallenge tells programs that it is their token (RFC 6750).
const tokenChallenge = `Bearer error="invalid_token"` //nolint:gosec // no credential

// refuse answers with the problem that err is, outside of huma.
func (h *Handler) refuse(w http.ResponseWriter, err error) {
	fault := h.fault(err)
	if errors.Is(err, identity.ErrToken) {
		w.Header().Set("WWW-Authenticate", tokenChallenge)
	}
	writeProblem(w, fault.GetStatus(), fault.Error())
}

func writeProblem(w http.ResponseWriter, status int, text string) {
	if _, ok := w.(wordsWriter); ok {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text) //nolint:gosec // it is plain text, and nosniff
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(huma.NewError(status, text))
}
