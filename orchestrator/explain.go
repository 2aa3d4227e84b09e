package orchestrator

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/kalpana-dev/kalpana/workspace"
)

// maxReason bounds what is stored of an error, in bytes.
const maxReason = 4 << 10

// Explain returns what a person should read about err: what happened, and what to do next.
func Explain(err error) string {
	advice := ""
	switch {
	case errors.Is(err, workspace.ErrEngineDown):
		advice = "Ask the operator to see that the container engine runs, then try again."
	case errors.Is(err, workspace.ErrStoreDown):
		advice = "Try again in a moment; if it stays so, ask the operator to see to the store."
	case errors.Is(err, workspace.ErrImageMissing):
		advice = "Ask the operator to build it: make image."
	case errors.Is(err, ErrPortBusy):
		advice = "Ask the operator to end that program, or to choose another range of ports."
	case errors.Is(err, workspace.ErrPortsExhausted):
		advice = "Ask the operator to delete unused workspaces or to widen the range of ports."
	case errors.Is(err, workspace.ErrFirewall):
		advice = "Ask the operator to look at: kalpana firewall."
	case errors.Is(err, workspace.ErrRunningLimit):
		advice = "Stop one of them, then try again."
	case errors.Is(err, workspace.ErrHostFull):
		advice = "Stop a workspace that you do not need and try again, or ask the operator for more room."
	case errors.Is(err, workspace.ErrStorageFull):
		advice = "Ask the operator to free some space, then try again."
	case errors.Is(err, ErrQuotaLost):
		advice = "Ask the operator to mount that disk with project quotas again, and to restart the engine."
	case (errors.Is(err, workspace.ErrStartTimeout) || errors.Is(err, workspace.ErrStartFailed)) && saysFull(err):
		advice = "Its disk is full. Rebuild it: its home stays, what it wrote elsewhere goes. If that is not enough, ask the operator for more room."
	case errors.Is(err, workspace.ErrStartTimeout), errors.Is(err, workspace.ErrStartFailed):
		advice = "Try again; if it stays so, the log tells why."
	case errors.Is(err, workspace.ErrDraining):
		advice = "Workspaces that run go on. Try again in a few minutes."
	case errors.Is(err, workspace.ErrShuttingDown):
		advice = "It comes back in a moment; try again."
	}
	text, log, _ := strings.Cut(err.Error(), "\n")
	if errors.Is(err, workspace.ErrEngineDown) {
		// What follows is the engine's address and the client's words; they are the gateway's log's.
		before, _, _ := strings.Cut(text, workspace.ErrEngineDown.Error())
		text = before + workspace.ErrEngineDown.Error()
	}
	if text != "" {
		text = strings.ToUpper(text[:1]) + text[1:]
	}
	if !strings.HasSuffix(text, ".") {
		text += "."
	}
	if advice != "" {
		text += " " + advice
	}
	if log = strings.TrimSpace(log); log != "" {
		text += "\n" + tail(log, maxReason-len(text)-1)
	}
	return tail(text, maxReason)
}

// saysFull reports whether a start failed with words, of the container's log too, that a full disk has.
func saysFull(err error) bool {
	text := strings.ToLower(err.Error())
	return strings.Contains(text, "no space left on device") || strings.Contains(text, "disk quota exceeded")
}

// tail returns the last n bytes of s at most, whole characters only.
func tail(s string, n int) string {
	if n <= 0 {
		return ""
	}
	if len(s) <= n {
		return s
	}
	s = s[len(s)-n:]
	for len(s) > 0 && !utf8.RuneStart(s[0]) {
		s = s[1:]
	}
	return s
}

// head returns the first n bytes of s at most, whole characters only.
func head(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
