package identity

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// SessionCookie carries a session's token on the console's host.
const SessionCookie = "__Host-kalpana_session"

// ErrNoSession says that a request carries no session that is still good.
var ErrNoSession = errors.New("you are not signed in")

// ErrLink says that a sign-in link does not work, or no longer.
var ErrLink = errors.New("this sign-in link was used already or is too old; ask for another, or run: kalpana sign-in-link")

// ErrDisabled says that a person may not sign in.
var ErrDisabled = errors.New("an admin has turned off your access; ask them to turn it on again")

// Caller is who makes a request on the console, with a session, or a token.
type Caller struct {
	Person  Person
	Session Session
	Token   *Token // nil for a session
}

// May reports whether the caller may do what needs scope. A person with a session may do whatever
// their role allows.
func (c Caller) May(scope Scope) bool {
	if scope == ScopeAdmin && c.Person.Role != RoleAdmin {
		return false
	}
	return c.Token == nil || c.Token.Has(scope)
}

type linkPayload struct {
	Person string `json:"person"`
	By     string `json:"by,omitempty"` // admin who gave it away, or "": whoever owns the server
}

// SignInLink returns the address that signs person in, once, within the link lifetime. The secret
// is in the fragment, which neither servers' logs nor Referer headers get to see.
func (s *Service) SignInLink(ctx context.Context, person Person) (string, time.Time, error) {
	return s.signInLink(ctx, linkPayload{Person: person.ID})
}

// SignInLinkBy is SignInLink for an admin who gives it away. It works only as long as they are one.
func (s *Service) SignInLinkBy(ctx context.Context, by Caller, person Person) (string, time.Time, error) {
	return s.signInLink(ctx, linkPayload{Person: person.ID, By: by.Person.ID})
}

func (s *Service) signInLink(ctx context.Context, p linkPayload) (string, time.Time, error) {
	payload, err := json.Marshal(p)
	if err != nil {
		return "", time.Time{}, err
	}
	secret := NewSecret()
	expires := s.cfg.Now().Add(s.cfg.LinkLifetime).UTC()
	err = s.cfg.Store.CreateTicket(ctx, Ticket{Hash: Hash(secret), Kind: "link", Payload: payload, ExpiresAt: expires})
	if err != nil {
		return "", time.Time{}, fmt.Errorf("the sign-in link cannot be stored: %w", err)
	}
	return s.cfg.Hosts.Console() + "/login/link#" + secret, expires, nil
}

// SignInByLink uses up a link's secret and returns the cookie of a new session.
func (s *Service) SignInByLink(ctx context.Context, secret string) (*http.Cookie, Person, error) {
	person, err := s.takeLink(ctx, secret)
	if errors.Is(err, ErrLink) {
		s.Audit(ctx, AuditEvent{Action: ActionSignIn, Outcome: OutcomeRefused, Person: person.ID, Via: "link", Detail: "the link was used already or is too old"})
	}
	if err != nil {
		return nil, Person{}, err
	}
	cookie, err := s.startSession(ctx, person, "link", time.Time{})
	return cookie, person, err
}

// takeLink returns whom a link signs in.
func (s *Service) takeLink(ctx context.Context, secret string) (Person, error) {
	if len(secret) != secretLength {
		return Person{}, ErrLink
	}
	ticket, err := s.cfg.Store.TakeTicket(ctx, "link", Hash(secret), s.cfg.Now())
	if errors.Is(err, ErrNotFound) {
		return Person{}, ErrLink
	}
	if err != nil {
		return Person{}, err
	}
	var payload linkPayload
	if err := json.Unmarshal(ticket.Payload, &payload); err != nil {
		return Person{}, ErrLink
	}
	if payload.By != "" {
		if ok, err := s.isAdmin(ctx, payload.By); err != nil || !ok {
			return Person{}, cmp.Or(err, ErrLink)
		}
	}
	person, err := s.cfg.Store.Person(ctx, payload.Person)
	if errors.Is(err, ErrNotFound) {
		return Person{}, ErrLink
	}
	return person, err
}

// startSession signs person in, for whom the login called provider vouches. A session that the
// browser has already ends: it is replaced, so nobody who had the old one goes on with it.
// The new one ends at until at the latest, if that is not zero.
func (s *Service) startSession(ctx context.Context, person Person, provider string, until time.Time) (*http.Cookie, error) {
	if person.Disabled {
		s.Audit(ctx, AuditEvent{Action: ActionSignIn, Outcome: OutcomeRefused, Person: person.ID, Via: provider, Detail: "access is turned off"})
		return nil, ErrDisabled
	}
	token := NewSecret()
	now := s.cfg.Now().UTC()
	expires, ends := now.Add(SessionIdle), now.Add(SessionMax)
	if !until.IsZero() && until.Before(ends) {
		ends = until.UTC()
	}
	if ends.Before(expires) {
		expires = ends
	}
	client := clientFrom(ctx)
	err := s.cfg.Store.CreateSession(ctx, Session{
		Hash: Hash(token), Person: person.ID, Provider: provider,
		Address: escape(client.Address, maxWord), UserAgent: escape(client.UserAgent, maxUserAgent),
		CreatedAt: now, SeenAt: now, ExpiresAt: expires, EndsAt: ends,
	})
	if err != nil {
		return nil, err
	}
	if len(client.session) == secretLength {
		if err := s.endSession(ctx, Hash(client.session)); err != nil {
			return nil, err
		}
	}
	s.Audit(ctx, AuditEvent{Action: ActionSignIn, Person: person.ID, Via: provider})
	return hostCookie(SessionCookie, token, SessionMax), nil
}

// Authenticate returns who makes the request, or ErrNoSession.
func (s *Service) Authenticate(r *http.Request) (Caller, error) {
	cookie, err := r.Cookie(SessionCookie)
	if err != nil || len(cookie.Value) != secretLength {
		return Caller{}, ErrNoSession
	}
	caller, err := s.callerOf(r.Context(), Hash(cookie.Value))
	if err != nil {
		return Caller{}, err
	}
	if err := s.slide(r.Context(), &caller.Session); err != nil {
		s.cfg.Log.Warn("a session's last use could not be stored", "error", err)
	}
	return caller, nil
}

// slide notes that a session is in use now. A write a minute is enough for a sliding day.
func (s *Service) slide(ctx context.Context, session *Session) error {
	now := s.cfg.Now().UTC()
	if now.Sub(session.SeenAt) <= time.Minute {
		return nil
	}
	session.SeenAt, session.ExpiresAt = now, now.Add(SessionIdle)
	if session.ExpiresAt.After(session.EndsAt) {
		session.ExpiresAt = session.EndsAt
	}
	return s.cfg.Store.TouchSession(ctx, session.Hash, session.SeenAt, session.ExpiresAt)
}

// callerOf returns who is signed in by a session, from the store.
func (s *Service) callerOf(ctx context.Context, hash string) (Caller, error) {
	session, err := s.cfg.Store.Session(ctx, hash)
	if errors.Is(err, ErrNotFound) {
		return Caller{}, ErrNoSession
	}
	if err != nil {
		return Caller{}, err
	}
	revoked := s.revoked.Load().ends(Grant{Session: session.Hash, Person: session.Person, IssuedAt: session.CreatedAt})
	if revoked || !s.cfg.Now().Before(session.ExpiresAt) {
		return Caller{}, ErrNoSession
	}
	person, err := s.cfg.Store.Person(ctx, session.Person)
	if errors.Is(err, ErrNotFound) || (err == nil && person.Disabled) {
		return Caller{}, ErrNoSession
	}
	if err != nil {
		return Caller{}, err
	}
	return Caller{Person: person, Session: session}, nil
}

// Holder returns who holds a grant, as [Service.Authenticate] does on the console: from the store, since
// what they are given next dates from now. ErrNoSession when they are signed in no more.
func (s *Service) Holder(ctx context.Context, g Grant) (Caller, error) {
	if g.Session == "" || g.Token != "" {
		return Caller{}, ErrNoSession
	}
	return s.callerOf(ctx, g.Session)
}

// SignOut ends a session and every grant that came from it, and returns the cookie that clears the
// browser's.
func (s *Service) SignOut(ctx context.Context, session Session) (*http.Cookie, error) {
	if err := s.endSession(ctx, session.Hash); err != nil {
		return nil, err
	}
	s.Audit(ctx, AuditEvent{Action: ActionSignOut, Person: session.Person, Via: "session"})
	return hostCookie(SessionCookie, "", 0), nil
}

// sessionIDLength is how much of its hash names a session in lists.
const sessionIDLength = 16

// ID names the session in lists. It is no secret.
func (v Session) ID() string { return v.Hash[:min(len(v.Hash), sessionIDLength)] }

// Sessions returns the sessions of a person that are still good, newest first.
func (s *Service) Sessions(ctx context.Context, person string) ([]Session, error) {
	all, err := s.cfg.Store.Sessions(ctx, person)
	now, revoked := s.cfg.Now(), s.revoked.Load()
	return slices.DeleteFunc(all, func(v Session) bool {
		return !now.Before(v.ExpiresAt) || revoked.ends(Grant{Session: v.Hash, Person: v.Person, IssuedAt: v.CreatedAt})
	}), err
}

// RevokeSession ends the caller's session of that id, with what was opened from it, on every
// gateway within seconds. ErrNotFound where they have none.
func (s *Service) RevokeSession(ctx context.Context, caller Caller, id string) error {
	n, err := s.revokeSessions(ctx, caller, func(v Session) bool { return v.ID() == id })
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	return err
}

// RevokeOtherSessions ends all sessions of the caller's but the one that they ask with.
func (s *Service) RevokeOtherSessions(ctx context.Context, caller Caller) error {
	_, err := s.revokeSessions(ctx, caller, func(v Session) bool { return v.Hash != caller.Session.Hash })
	return err
}

func (s *Service) revokeSessions(ctx context.Context, caller Caller, which func(Session) bool) (n int, err error) {
	all, err := s.cfg.Store.Sessions(ctx, caller.Person.ID)
	if err != nil {
		return 0, err
	}
	for _, v := range all {
		if !which(v) {
			continue
		}
		if err := s.endSession(ctx, v.Hash); err != nil {
			return n, err
		}
		n++
		e := caller.Event(ActionSessionRevoke, "")
		e.Detail = v.ID()
		s.Audit(ctx, e)
	}
	return n, nil
}

// RevokePerson ends everything that a person has open, and their sessions. Take their access away
// first (see [Person]): who still has access may sign in again, and their tokens work again.
func (s *Service) RevokePerson(ctx context.Context, person string) error {
	if err := s.Revoke(ctx, Revocation{Person: person}); err != nil {
		return err
	}
	all, err := s.cfg.Store.Sessions(ctx, person)
	if err != nil {
		return err
	}
	for _, v := range all {
		if err := s.cfg.Store.DeleteSession(ctx, v.Hash); err != nil {
			return err
		}
	}
	return nil
}

// endSession ends a session, every grant that came from it, and the streams under way.
func (s *Service) endSession(ctx context.Context, hash string) error {
	if err := s.Revoke(ctx, Revocation{Session: hash}); err != nil {
		return err
	}
	return s.cfg.Store.DeleteSession(ctx, hash)
}

// hostCookie returns a cookie that only this very host gets back; a life of 0 clears it.
func hostCookie(name, value string, life time.Duration) *http.Cookie {
	c := &http.Cookie{
		Name: name, Value: value, Path: "/",
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		MaxAge: int(life / time.Second),
	}
	if life == 0 {
		c.MaxAge = -1
	}
	return c
}

// framed makes a cookie one that a frame in a page of another site gets back: third-party cookies
// need SameSite=None, and browsers that block them keep a partitioned one (CHIPS), which belongs to
// this host within that site and is neither sent nor overwritten elsewhere.
func framed(c *http.Cookie) *http.Cookie { //nolint:gosec // G124: the origin rule protects, not SameSite
	c.SameSite, c.Partitioned = http.SameSiteNoneMode, true
	return c
}
