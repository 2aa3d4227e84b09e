package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/client"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/workspace"
)

// ErrForeign says that a container, volume or network is not this instance's, so it is left alone.
var ErrForeign = errors.New("that does not belong to this installation, so it is left alone")

// fault says what was being done when the engine answered err, and wraps the named error that fits.
func fault(doing string, err error) error {
	if err == nil {
		return nil
	}
	if named := name(err); named != nil && !errors.Is(err, named) {
		return fmt.Errorf("%w (%s: %w)", named, doing, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// name returns the named error for what the engine or the way to it says, or nil.
func name(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return nil // the caller left
	case unanswered(err):
		return workspace.ErrEngineDown
	}
	text := strings.ToLower(err.Error())
	switch {
	case strings.Contains(text, "no space left on device"), strings.Contains(text, "disk quota exceeded"):
		return workspace.ErrStorageFull
	case strings.Contains(text, "size quota requested for volume but no quota support"):
		return orchestrator.ErrQuotaLost
	case strings.Contains(text, "port is already allocated"), strings.Contains(text, "address already in use"):
		return orchestrator.ErrPortBusy
	case cerrdefs.IsNotFound(err) && strings.Contains(text, "no such image"):
		return workspace.ErrImageMissing
	case cerrdefs.IsNotFound(err) && strings.Contains(text, "no such container"),
		// What an engine that was killed left undone keeps a container from ever being started again.
		strings.Contains(text, "container is marked for removal"), strings.Contains(text, "id already in use"):
		return orchestrator.ErrNoContainer
	}
	return nil
}

// unanswered reports whether err came from the way to the engine and not from the engine.
func unanswered(err error) bool {
	var op *net.OpError
	return errors.Is(err, context.DeadlineExceeded) ||
		client.IsErrConnectionFailed(err) ||
		cerrdefs.IsUnavailable(err) ||
		errors.As(err, &op) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// saysPaused reports whether the engine refused something because the container is paused (already).
func saysPaused(err error) bool { return answered(err, "paused") && !answered(err, "not paused") }

// saysNotPaused reports whether the engine would not resume a container because it is not paused.
func saysNotPaused(err error) bool { return answered(err, "is not paused") }

// saysNotRunning reports whether the engine refused something because the container does not run.
func saysNotRunning(err error) bool { return answered(err, "is not running") }

// answered reports whether the engine answered with an error that says text.
func answered(err error, text string) bool {
	return err != nil && !unanswered(err) && strings.Contains(strings.ToLower(err.Error()), text)
}

// networkGone reports whether the engine says that a network does not exist.
func networkGone(err error) bool {
	if err == nil {
		return false
	}
	text := strings.ToLower(err.Error())
	return cerrdefs.IsNotFound(err) && strings.Contains(text, "network") && strings.Contains(text, "not found")
}
