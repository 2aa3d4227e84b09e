package identity

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// The hand-off gives a browser that is signed in on the console a grant on one workspace host, or on
// another site that Kalpana protects:
//
//	workspace host   sets a nonce cookie and sends the navigation to the console's HandoffPath
//	console          checks session and access, and sends it back to CallbackPath with a code
//	workspace host   takes the code, which works once, here, with that nonce; sets the grant
//
// The path that the person wanted waits in the nonce cookie, authenticated; no address carries it,
// so there is no redirect to forge, and an unknown visitor makes the server store nothing.

// In a frame of the console's page all of this happens in the frame. Where console and workspaces are
// different sites the cookies of the workspace host are partitioned then; the console's own session is
// sent in any case, since the frame's ancestors and the console are one site (RFC 6265bis, 5.2.1).

// NonceCookie waits on the workspace host for the code.
const NonceCookie = "__Host-kalpana_handoff"

// The paths of the hand-off.
const (
	HandoffPath  = "/handoff"          // on the console
	CallbackPath = "/.kalpana/handoff" // on a workspace host
)

// maxReturn bounds the path that is kept; browsers limit a cookie to 4 KiB.
const maxReturn = 2048

// ChallengeLength is the length of a challenge, which is the nonce's [Hash].
const ChallengeLength = 64

// ErrHandoff says that a hand-off did not complete; starting again may.
var ErrHandoff = errors.New("this hand-off was used already, is too old, or began in another browser")

// ErrOvertaken is an ErrHandoff: who may open the host was narrowed when the hand-off was under way, or
// just before. One that begins after OvertakenPause is judged by what is so then.
var ErrOvertaken = fmt.Errorf("%w: who may open this host was changed meanwhile", ErrHandoff)

// OvertakenPause is after what time a revocation no longer concerns a new grant.
const OvertakenPause = clockSkew + 10*time.Millisecond

type handoffPayload struct {
	Session   string    `json:"session"`
	Person    string    `json:"person"`
	Label     string    `json:"label"`
	Challenge string    `json:"challenge"`
	Claims    Claims    `json:"claims,omitzero"` // on sites alone
	IssuedAt  time.Time `json:"issuedAt"`        // when access was checked: what is revoked before the code is taken counts
	EndsAt    time.Time `json:"endsAt"`
}

// BeginHandoff returns the nonce cookie and the console's address for a navigation to path (with
// its query) on host. cookies are the Cookie headers that came with it: tabs of one host that are handed
// over at the same time have one nonce, so that none takes the other's away.
func (s *Service) BeginHandoff(host workspace.Host, path string, cookies ...string) (*http.Cookie, string) {
	return s.beginHandoff(host, path, false, cookies)
}

// BeginFramedHandoff is BeginHandoff for a navigation of a frame in a page of another site.
func (s *Service) BeginFramedHandoff(host workspace.Host, path string, cookies ...string) (*http.Cookie, string) {
	return s.beginHandoff(host, path, true, cookies)
}

// The places that a hand-off can begin in, as the nonce's cookie tells them.
const (
	inTop   = "t"
	inFrame = "f"
)

func (s *Service) beginHandoff(host workspace.Host, path string, inside bool, cookies []string) (*http.Cookie, string) {
	nonce, place := randomText(16), inTop
	if inside {
		place = inFrame
	}
	if value, ok := cookieValue(cookies, NonceCookie); ok {
		if begun, _, there, ok := s.openNonce(value, host); ok && there == inside {
			nonce = begun
		}
	}
	expires := s.cfg.Now().Add(nonceLifetime).UnixMilli()
	value := s.nonces.sign(nonce + "." + host.Label() + "." + strconv.FormatInt(expires, 36) + "." + place + b64.EncodeToString([]byte(returnPath(path))))
	query := url.Values{"host": {host.Label()}, "challenge": {Hash(nonce)}}
	return nonceCookie(value, nonceLifetime, inside), s.cfg.Hosts.Console() + HandoffPath + "?" + query.Encode()
}

func nonceCookie(value string, life time.Duration, inside bool) *http.Cookie {
	c := hostCookie(NonceCookie, value, life)
	if inside {
		c = framed(c)
	}
	return c
}

// returnPath returns path where it is sure to stay on its host, else "/". Browsers drop control
// characters and read a backslash as a slash, so these are refused rather than repaired.
func returnPath(path string) string {
	unsafe := func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }
	if len(path) > maxReturn || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") ||
		strings.ContainsFunc(path, unsafe) || strings.HasPrefix(path, CallbackPath) {
		return "/"
	}
	return path
}

// ApproveHandoff returns the address on host that completes the hand-off. The caller must have checked
// that the person may open the workspace, or that the site is one that the operator protects.
func (s *Service) ApproveHandoff(ctx context.Context, caller Caller, host workspace.Host, challenge string) (string, error) {
	if len(challenge) != ChallengeLength {
		return "", ErrHandoff
	}
	p := handoffPayload{
		Session: caller.Session.Hash, Person: caller.Person.ID, Label: host.Label(),
		Challenge: challenge, IssuedAt: s.cfg.Now().UTC(), EndsAt: caller.Session.EndsAt,
	}
	if host.Kind == workspace.HostSite {
		p.Claims = Claims{Name: caller.Person.Name, Email: caller.Person.Email, Role: caller.Person.Role}
	}
	payload, err := json.Marshal(p)
	if err != nil {
		return "", err
	}
	code := NewSecret()
	err = s.cfg.Store.CreateTicket(ctx, Ticket{
		Hash: Hash(code), Kind: "handoff", Payload: payload, ExpiresAt: s.cfg.Now().Add(HandoffLife).UTC(),
	})
	if err != nil {
		return "", err
	}
	return s.cfg.Hosts.Origin(host) + CallbackPath + "?code=" + code, nil
}

// CompleteHandoff takes the code of a request to CallbackPath on host. It returns the grant's
// cookie, the cookie that clears the nonce, and the path to go on to, which comes with ErrOvertaken too.
func (s *Service) CompleteHandoff(r *http.Request, host workspace.Host) (grant, clearNonce *http.Cookie, path string, err error) {
	value, ok := cookieValue(r.Header["Cookie"], NonceCookie)
	if !ok {
		return nil, nil, "", ErrHandoff
	}
	nonce, path, inside, ok := s.openNonce(value, host)
	code := r.URL.Query().Get("code")
	if !ok || len(code) != secretLength {
		return nil, nil, "", ErrHandoff
	}
	ticket, err := s.cfg.Store.TakeTicket(r.Context(), "handoff", Hash(code), s.cfg.Now())
	if errors.Is(err, ErrNotFound) {
		return nil, nil, "", ErrHandoff
	}
	if err != nil {
		return nil, nil, "", err
	}
	var p handoffPayload
	if json.Unmarshal(ticket.Payload, &p) != nil || p.Label != host.Label() ||
		subtle.ConstantTimeCompare([]byte(p.Challenge), []byte(Hash(nonce))) != 1 {
		return nil, nil, "", ErrHandoff
	}
	g := Grant{
		Session: p.Session, Person: p.Person, Label: p.Label, IssuedAt: p.IssuedAt, EndsAt: p.EndsAt,
		Framed: inside, Claims: p.Claims,
	}
	switch fields := s.revoked.Load().endedBy(g); {
	case fields&byLabel != 0:
		return nil, nil, path, ErrOvertaken
	case fields != 0:
		return nil, nil, "", ErrHandoff
	}
	e := g.Event(ActionGrant)
	e.Detail = g.Label
	s.Audit(WithClient(r.Context(), s.ClientOf(r)), e)
	return s.grantCookie(g), nonceCookie("", 0, inside), path, nil
}

func (s *Service) openNonce(value string, host workspace.Host) (nonce, path string, inside, ok bool) {
	text, ok := s.nonces.open(value)
	if !ok {
		return "", "", false, false
	}
	parts := strings.Split(text, ".")
	if len(parts) != 4 || parts[1] != host.Label() || parts[3] == "" {
		return "", "", false, false
	}
	expires, err := strconv.ParseInt(parts[2], 36, 64)
	if err != nil || s.cfg.Now().UnixMilli() > expires {
		return "", "", false, false
	}
	place := parts[3][:1]
	raw, err := b64.DecodeString(parts[3][1:])
	if err != nil || (place != inTop && place != inFrame) {
		return "", "", false, false
	}
	return parts[0], string(raw), place == inFrame, true
}
