package api

import (
	"context"
	"errors"
	"html/template"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/ratelimit"
)

// Limits bound how often people and programs may ask. A nil one does not.
type Limits struct {
	SignIn        *ratelimit.Limiter // attempts to sign in, by address
	FailedSignIns *ratelimit.Limiter // attempts that fail, of all addresses together
	Handoff       *ratelimit.Limiter // by session; by address where nobody is signed in
	Requests      *ratelimit.Limiter // by session or API token; by address where there is none that is good
}

const (
	tooManySignIns  = "Too many attempts to sign in came from your network. Wait a moment and try again."
	tooManyFailures = "Too many attempts to sign in fail right now. Wait a moment and try again."
	tooManyRequests = "You ask too often. Wait a moment and try again."
	tooManyHandoffs = "Too many workspaces were opened from here in a short time. Wait a moment and reload this page."
)

// everybody is the one key of [Limits.FailedSignIns].
const everybody = ""

// limited serves a request of the API with next, unless it is one too many.
func (h *Handler) limited(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if signsIn(r) {
		h.attempt(w, r, writeTooMany, next)
		return
	}
	requests, address, now := h.cfg.Limits.Requests, h.addressKey(r), time.Now()
	who := &asking{requests: requests, credential: bearer(r)}
	var wait time.Duration
	if who.admitted = requests.Knows(who.credential); who.admitted {
		wait = requests.Take(who.credential, now)
	} else {
		wait = requests.Wait(address, now)
	}
	if wait > 0 {
		writeTooMany(w, wait, tooManyRequests)
		return
	}
	next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), askingKey{}, who)))
	if !who.admitted {
		requests.Take(address, now)
	}
}

// asking is who makes a request of the API. A credential has a budget of its own once it was good:
// made-up ones share that of their address, and take nothing from good ones of the same address.
type asking struct {
	requests   *ratelimit.Limiter
	credential string // its hash, or ""
	admitted   bool
}

type askingKey struct{}

// admit says that the credential of a request is good.
func admit(ctx context.Context) {
	if who, ok := ctx.Value(askingKey{}).(*asking); ok && !who.admitted {
		who.admitted = true
		who.requests.Take(who.credential, time.Now())
	}
}

// signsIn reports whether a request of the API is an attempt to sign in. One at a provider counts
// when the provider sends the browser back.
func signsIn(r *http.Request) bool {
	return r.Method == http.MethodPost && (r.URL.Path == "/api/login/link" || r.URL.Path == "/api/invitations/redeem")
}

// bearer returns the hash of the token or session that r comes with, or "".
func bearer(r *http.Request) string {
	if token, ok := identity.BearerToken(r); ok {
		return identity.Hash(token)
	}
	if cookie, err := r.Cookie(identity.SessionCookie); err == nil {
		return identity.Hash(cookie.Value)
	}
	return ""
}

// attempt serves an attempt to sign in with next, unless it is one too many; tooMany says so.
func (h *Handler) attempt(w http.ResponseWriter, r *http.Request, tooMany func(http.ResponseWriter, time.Duration, string), next http.Handler) {
	limits, now := h.cfg.Limits, time.Now()
	if wait := limits.SignIn.Take(h.addressKey(r), now); wait > 0 {
		tooMany(w, wait, tooManySignIns)
		return
	}
	if wait := limits.FailedSignIns.Wait(everybody, now); wait > 0 {
		tooMany(w, wait, tooManyFailures)
		return
	}
	a := &answer{ResponseWriter: w}
	next.ServeHTTP(a, r)
	failed := a.status == http.StatusUnauthorized || a.status == http.StatusForbidden || a.status == http.StatusNotFound ||
		(a.status == http.StatusSeeOther && strings.HasPrefix(w.Header().Get("Location"), "/login?error="))
	if failed {
		limits.FailedSignIns.Take(everybody, now)
	}
}

// maxStreams bounds what one person has open at once of event streams, streams of agents and WebSockets: none of them
// ends by itself, and each costs memory.
const maxStreams = 200

var errTooManyStreams = errors.New("you have too many pages of the console open, or programs that follow something; close some of them")

// streams counts what is open, by person.
type streams struct {
	mu   sync.Mutex
	open map[string]int
}

// begin counts one more, until end is called; errTooManyStreams.
func (s *streams) begin(person string) (end func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[person] >= maxStreams {
		return nil, errTooManyStreams
	}
	if s.open == nil {
		s.open = map[string]int{}
	}
	s.open[person]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.open[person]--; s.open[person] == 0 {
			delete(s.open, person)
		}
	}, nil
}

// limitHandoff answers a hand-off that is one too many, and reports whether it did. A session has a
// budget of its own once it was good.
func (h *Handler) limitHandoff(w http.ResponseWriter, r *http.Request) bool {
	limit, session := h.cfg.Limits.Handoff, bearer(r)
	var wait time.Duration
	if limit.Knows(session) {
		wait = limit.Take(session, time.Now())
	} else {
		wait = limit.Wait(h.addressKey(r), time.Now())
	}
	if wait > 0 {
		tooManyPage(w, wait, tooManyHandoffs)
	}
	return wait > 0
}

// addressKey returns the key of the address that r comes from.
func (h *Handler) addressKey(r *http.Request) string {
	return ratelimit.AddressKey(h.cfg.Identity.ClientOf(r).Address)
}

func writeTooMany(w http.ResponseWriter, wait time.Duration, text string) {
	ratelimit.SetRetryAfter(w.Header(), wait)
	writeProblem(w, http.StatusTooManyRequests, text)
}

var tooManyTemplate = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Too many requests · Kalpana</title>
<style>
:root { color-scheme: light dark }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 15vh auto; max-width: 30rem; padding: 0 1rem }
</style>
<h1>One moment</h1>
<p>{{.}}</p>
<p><a href="/" target="_top">Go to your workspaces</a></p>
`))

// tooManyPage is writeTooMany for navigations.
func tooManyPage(w http.ResponseWriter, wait time.Duration, text string) {
	ratelimit.SetRetryAfter(w.Header(), wait)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(http.StatusTooManyRequests)
	_ = tooManyTemplate.Execute(w, text)
}

// answer remembers the status of an answer.
type answer struct {
	http.ResponseWriter
	status int
}

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController through.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
