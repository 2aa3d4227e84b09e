package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/kalpana-dev/kalpana/identity"
)

// Every operation says who may call it, in its security requirement, which is part of the OpenAPI
// description and what lets callers on:
//
//	{}                        anybody
//	{session: []}             a person in a browser, and no program
//	{token: [scope]}, beside  also a program with a token of that scope
//
// The scope admin asks for an admin's session or token.

// The names of the security schemes.
const (
	bySession = "session"
	byToken   = "token"
)

func securitySchemes() map[string]*huma.SecurityScheme {
	return map[string]*huma.SecurityScheme{
		bySession: {Type: "apiKey", In: "cookie", Name: identity.SessionCookie, Description: "A person who is signed in, in a browser."},
		byToken:   {Type: "http", Scheme: "bearer", Description: "An API token, which begins with " + identity.TokenPrefix + ". Its scopes are listed with each operation."},
	}
}

// operation describes a route for people in a browser; see public, scoped and forAdmins.
func (h *Handler) operation(method, path, id, summary string, status int, tags ...string) huma.Operation {
	return huma.Operation{
		Method: method, Path: path, OperationID: id, Summary: summary, DefaultStatus: status, Tags: tags,
		MaxBodyBytes: bodyLimit, BodyReadTimeout: bodyTimeout,
		Middlewares: huma.Middlewares{h.signedIn},
		Security:    []map[string][]string{{bySession: {}}},
	}
}

// public opens a route to anybody.
func public(op huma.Operation) huma.Operation {
	op.Middlewares, op.Security = nil, []map[string][]string{{}}
	return op
}

// scoped opens a route to tokens of the given scope; with none, to every token.
func scoped(op huma.Operation, scope ...identity.Scope) huma.Operation {
	words := make([]string, 0, len(scope))
	for _, s := range scope {
		words = append(words, string(s))
	}
	op.Security = []map[string][]string{{bySession: {}}, {byToken: words}}
	return op
}

// forAdmins closes a route to everybody but admins and their tokens of that scope.
func forAdmins(op huma.Operation) huma.Operation {
	op = forAdminsInPerson(op)
	op.Security = append(op.Security, map[string][]string{byToken: {string(identity.ScopeAdmin)}})
	return op
}

// forAdminsInPerson closes a route to everybody but admins in a browser.
func forAdminsInPerson(op huma.Operation) huma.Operation {
	op.Security = []map[string][]string{{bySession: {string(identity.ScopeAdmin)}}}
	return op
}

type callerKey struct{}

// signedIn lets on who may call the operation.
func (h *Handler) signedIn(ctx huma.Context, next func(huma.Context)) {
	r, _ := humago.Unwrap(ctx)
	caller, err := h.authorize(r, ctx.Operation())
	if err != nil {
		fault := h.fault(err)
		if errors.Is(err, identity.ErrToken) {
			ctx.SetHeader("WWW-Authenticate", tokenChallenge)
		}
		_ = huma.WriteErr(h.huma, ctx, fault.GetStatus(), fault.Error())
		return
	}
	next(huma.WithValue(ctx, callerKey{}, caller))
}

// lateBody is a body that has it looked again at who calls where it takes its time: an admin who is about to be
// shut out could keep a request open that takes it back.
type lateBody struct {
	io.ReadCloser
	looked time.Time
	look   func() error
}

// bodyPause is how old the look at who calls may be when an operation begins.
const bodyPause = time.Second

// Read implements io.Reader. Who may not call any more is told that they were too slow.
func (b *lateBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if time.Since(b.looked) > bodyPause {
		b.looked = time.Now()
		if b.look() != nil {
			return 0, os.ErrDeadlineExceeded
		}
	}
	return n, err
}

func callerOf(ctx context.Context) identity.Caller { return ctx.Value(callerKey{}).(identity.Caller) }

// authorize returns who calls op, or why they may not. Of the body of r nothing is read any more once they may not.
func (h *Handler) authorize(r *http.Request, op *huma.Operation) (identity.Caller, error) {
	caller, err := h.caller(r, op)
	if err == nil {
		r.Body = &lateBody{ReadCloser: r.Body, looked: time.Now(), look: func() error {
			_, err := h.caller(r, op)
			return err
		}}
	}
	return caller, err
}

// caller is authorize as of now. A request with a token is the token's, even from a browser that has a session.
func (h *Handler) caller(r *http.Request, op *huma.Operation) (identity.Caller, error) {
	scheme := bySession
	var caller identity.Caller
	var err error
	if text, ok := identity.BearerToken(r); ok {
		scheme = byToken
		caller, err = h.cfg.Identity.AuthenticateToken(r, text)
	} else {
		caller, err = h.cfg.Identity.Authenticate(r)
	}
	if err != nil {
		return identity.Caller{}, err
	}
	admit(r.Context())
	err = errNotForTokens
	for _, requirement := range op.Security {
		if scopes, ok := requirement[scheme]; ok {
			err = may(caller, scopes)
		}
	}
	if err != nil {
		e := caller.Event(identity.ActionRefusal, "")
		e.Outcome, e.Detail = identity.OutcomeRefused, op.OperationID+": "+err.Error()
		h.cfg.Identity.Audit(r.Context(), e)
		return identity.Caller{}, err
	}
	return caller, nil
}

func may(caller identity.Caller, scopes []string) error {
	for _, scope := range scopes {
		if caller.May(identity.Scope(scope)) {
			continue
		}
		if scope == string(identity.ScopeAdmin) && caller.Person.Role != identity.RoleAdmin {
			return identity.ErrNotAdmin
		}
		return identity.ErrScope
	}
	return nil
}
