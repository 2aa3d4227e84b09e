package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	// readyRetry is the pause after a refused or reset connection.
	readyRetry = 5 * time.Millisecond
	// readyBodyLimit bounds an answer of ReadyPath, in bytes.
	readyBodyLimit = 64 << 10
	// readyLogLimit bounds NotReadyError.Log, in bytes.
	readyLogLimit = 16 << 10
	// readyReasonLimit bounds NotReadyError.Reason, in bytes.
	readyReasonLimit = 512
)

// ReadyReport is the body of an answer on ReadyPath.
type ReadyReport struct {
	Ready bool `json:"ready"`
	// Error says why not; empty when ready.
	Error string `json:"error,omitempty"`
	// Log is the end of the start log, lines separated by \n; empty when ready.
	Log string `json:"log,omitempty"`
}

// NotReadyError says that the container answered, and VS Code does not run in it. Both fields come from
// the container: they are bounded and free of control characters (Log keeps \n and \t), and nothing else
// about them can be trusted.
type NotReadyError struct {
	// Reason is one line, at most 512 bytes.
	Reason string
	// Log is the end of the start log, at most 16 KiB.
	Log string
}

func (e *NotReadyError) Error() string {
	if e.Reason == "" {
		return "bridge: the workspace is not ready"
	}
	return "bridge: the workspace is not ready: " + e.Reason
}

// WaitReady returns nil as soon as VS Code answers behind baseURL (http://host:port of the published
// IDEPort). A port that refuses or resets is asked again every 5 ms, since a published port accepts
// before the container listens; ctx bounds the whole wait.
//
// Errors: *NotReadyError when the bridge says that VS Code failed, or has not come up within ReadyHold;
// ErrUnauthorized when it does not know the token; ErrBadAnswer for anything that is not the protocol;
// else the context's error, joined with what the last attempt met.
//
// Redirects are not followed, whatever client's policy is: the answer comes from a container.
func WaitReady(ctx context.Context, client *http.Client, baseURL, token string) error {
	once := *client
	once.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	once.Jar = nil

	pause := time.NewTimer(readyRetry)
	defer pause.Stop()
	var last error
	for {
		err := askReady(ctx, &once, strings.TrimSuffix(baseURL, "/")+ReadyPath, token)
		var down *unreachableError
		if !errors.As(err, &down) {
			return err
		}
		if ctx.Err() == nil || last == nil { // Else the attempt only met the end of ctx.
			last = down.err
		}
		pause.Reset(readyRetry)
		select {
		case <-ctx.Done():
			return fmt.Errorf("bridge: waiting for the workspace: %w", errors.Join(context.Cause(ctx), last))
		case <-pause.C:
		}
	}
}

// unreachableError is an attempt that got no HTTP answer and is worth another one.
type unreachableError struct{ err error }

func (e *unreachableError) Error() string { return e.err.Error() }
func (e *unreachableError) Unwrap() error { return e.err }

func askReady(ctx context.Context, client *http.Client, url, token string) error {
	// The bridge ends the request itself after ReadyHold; this is for one that does not.
	attempt, cancel := context.WithTimeout(ctx, ReadyHold+5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(attempt, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("bridge: %w", err)
	}
	req.Header.Set(TokenHeader, token)
	resp, err := client.Do(req)
	if err != nil {
		return &unreachableError{err}
	}
	defer resp.Body.Close()

	switch resp.StatusCode {
	case http.StatusUnauthorized:
		return ErrUnauthorized
	case http.StatusOK, http.StatusServiceUnavailable:
	default:
		return fmt.Errorf("%w: status %d on %s", ErrBadAnswer, resp.StatusCode, ReadyPath)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, readyBodyLimit+1))
	if err != nil {
		return &unreachableError{err}
	}
	if len(body) > readyBodyLimit {
		return fmt.Errorf("%w: more than %d bytes on %s", ErrBadAnswer, readyBodyLimit, ReadyPath)
	}
	var report ReadyReport
	if err := json.Unmarshal(body, &report); err != nil {
		return fmt.Errorf("%w: %s is not JSON", ErrBadAnswer, ReadyPath)
	}
	if resp.StatusCode == http.StatusOK {
		if !report.Ready {
			return fmt.Errorf("%w: status 200 without ready", ErrBadAnswer)
		}
		return nil
	}
	return &NotReadyError{
		Reason: Printable(report.Error, readyReasonLimit),
		Log:    printableLines(report.Log, readyLogLimit),
	}
}
