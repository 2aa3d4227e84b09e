package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// MethodGitCredential is what a container may ask of its gateway: how to sign in at a git server. It is asked when git
// in the container needs to, and nothing of the answer is kept there.
const MethodGitCredential = "gitCredential" //nolint:gosec // A name.

// GitCredentialTime bounds how long an answer may take: a person may have to give their word.
const GitCredentialTime = 2 * time.Minute

// GitCredentialParams name a repository, as git does (gitcredentials(7), with useHttpPath).
type GitCredentialParams struct {
	Protocol string `json:"protocol"` // "https" or "http"
	Host     string `json:"host"`     // with the port, where there is one
	Path     string `json:"path"`     // without a slash in front
}

// Credential signs in at a git server.
type Credential struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// Handler answers requests of one method that a container makes. Whatever it is asked was written by whoever controls
// the code there; the answer concerns the workspace id and its owner alone. An error of type *Error is passed on;
// any other is ErrInternal to the container.
type Handler func(ctx context.Context, id workspace.ID, params json.RawMessage) (any, error)

// Answer connects to the bridge of a workspace and answers what the container asks there, by method, until the
// connection ends or ctx does. greet, unless nil, is called once it is connected. The error is why, as DialWith's, or
// ErrClosed.
func Answer(ctx context.Context, at Endpoint, id workspace.ID, handlers map[string]Handler, greet func(context.Context, *Client)) error {
	at.handlers, at.workspace = handlers, id
	c, err := DialWith(ctx, at)
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // it is of no more use
	if greet != nil {
		greet(ctx, c)
	}
	select {
	case <-c.Done():
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// HandleGitCredential makes a Handler of MethodGitCredential.
func HandleGitCredential(ask func(ctx context.Context, id workspace.ID, p GitCredentialParams) (Credential, error)) Handler {
	return func(ctx context.Context, id workspace.ID, params json.RawMessage) (any, error) {
		var p GitCredentialParams
		if err := json.Unmarshal(params, &p); err != nil {
			return nil, ErrInvalid
		}
		if err := p.check(); err != nil {
			return nil, ErrInvalid.With("%s", err)
		}
		c, err := ask(ctx, id, p)
		if err != nil {
			return nil, ErrDenied.With("%s", Printable(err.Error(), maxErrorText))
		}
		return c, nil
	}
}

var (
	errGitProtocol = errors.New("the gateway signs in over https and http only")
	errGitHost     = errors.New("this is no host name")
	errGitPath     = errors.New("this is no path of a repository; is credential.useHttpPath off?")
)

func (p *GitCredentialParams) check() error {
	switch {
	case p.Protocol != "https" && p.Protocol != "http":
		return errGitProtocol
	case p.Host == "" || len(p.Host) > 255+6 || Printable(p.Host, len(p.Host)) != p.Host:
		return errGitHost
	case p.Path == "" || len(p.Path) > 1024 || Printable(p.Path, len(p.Path)) != p.Path:
		return errGitPath
	}
	return nil
}
