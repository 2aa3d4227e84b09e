package identity

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Sign-in at a provider. What the callback must find again waits in a cookie of the browser, sealed,
// so that an unknown visitor makes the server store nothing, and a callback that another browser
// began does nothing. Each attempt has a cookie of its own: several tabs may sign in at once.

// loginCookie begins the names of the cookies of sign-ins under way; part of the state's hash follows.
const loginCookie = "__Host-kalpana_login_"

const (
	attemptLife = 10 * time.Minute
	maxAttempts = 8    // of one browser; a further one ends the others
	maxNext     = 1024 // bytes
)

// LoginStart is how a sign-in at a provider begins.
type LoginStart struct {
	Provider   string
	Next       string  // path of the console to go on to; what is none means "/"
	Invitation string  // secret, or ""
	Connect    *Caller // the account is connected to who is signed in; nobody is signed in anew
}

// Login is a sign-in at a provider that was completed, or was not.
type Login struct {
	Person     Person
	Connecting bool   // an account was to be connected; the session is the one that it was
	Next       string // path of the console
	// Cookies are to be set in any case: they also end the attempt.
	Cookies []*http.Cookie
}

// attempt is what the cookie holds.
type attempt struct {
	Provider   string    `json:"p"`
	State      string    `json:"s"`
	Nonce      string    `json:"n"`
	Verifier   string    `json:"v"`
	Next       string    `json:"x"`
	Invitation string    `json:"i,omitempty"` // hash
	Connect    string    `json:"c,omitempty"` // person
	ExpiresAt  time.Time `json:"e"`
}

// BeginLogin returns the provider's address for the browser to go to, and the cookies to set.
func (s *Service) BeginLogin(r *http.Request, start LoginStart) (string, []*http.Cookie, error) {
	p, err := s.provider(start.Provider)
	if err != nil {
		return "", nil, err
	}
	a := attempt{
		Provider: p.Name(), State: NewSecret(), Nonce: NewSecret(), Verifier: NewSecret(),
		Next: consolePath(start.Next), ExpiresAt: s.cfg.Now().Add(attemptLife).UTC(),
	}
	if start.Invitation != "" {
		a.Invitation = Hash(start.Invitation)
	}
	if start.Connect != nil {
		a.Connect = start.Connect.Person.ID
	}
	address, err := p.Begin(r.Context(), s.atProvider(a))
	if err != nil {
		return "", nil, err
	}
	value, err := s.sealAttempt(a)
	if err != nil {
		return "", nil, err
	}
	return address, append(staleAttempts(r), hostCookie(attemptName(a.State), value, attemptLife)), nil
}

// atProvider is the part of an attempt that its provider sees. The address comes from the
// configuration alone, whatever the request says of its host.
func (s *Service) atProvider(a attempt) Attempt {
	return Attempt{
		State: a.State, Nonce: a.Nonce, Verifier: a.Verifier,
		Callback: s.cfg.Hosts.Console() + "/login/" + a.Provider + "/callback",
	}
}

// staleAttempts returns cookies that end all attempts of a browser that has too many.
func staleAttempts(r *http.Request) (ends []*http.Cookie) {
	for _, c := range r.Cookies() {
		if strings.HasPrefix(c.Name, loginCookie) {
			ends = append(ends, hostCookie(c.Name, "", 0))
		}
	}
	if len(ends) < maxAttempts {
		return nil
	}
	return ends
}

// CompleteLogin takes the request with which provider sends the browser back. The Login it returns
// is not nil, and its cookies count, even where there is an error.
func (s *Service) CompleteLogin(r *http.Request, provider string) (*Login, error) {
	r = r.WithContext(WithClient(r.Context(), s.ClientOf(r)))
	login := &Login{Next: "/"}
	p, err := s.provider(provider)
	if err != nil {
		return login, err
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return login, ErrAttempt
	}
	for _, values := range query {
		if len(values) != 1 { // two of a kind are read in two ways
			return login, ErrAttempt
		}
	}
	a, err := s.openAttempt(r, query.Get("state"))
	if err != nil {
		s.auditRefusal(r, provider, "", err)
		return login, err
	}
	login.Cookies = []*http.Cookie{hostCookie(attemptName(a.State), "", 0)}
	if a.Provider != provider {
		return login, ErrAttempt
	}
	login.Next, login.Connecting = a.Next, a.Connect != ""
	profile, err := p.Complete(r.Context(), s.atProvider(a), query)
	if err != nil {
		s.auditRefusal(r, provider, "", err)
		return login, err
	}
	if a.Connect != "" {
		caller, err := s.Authenticate(r)
		if errors.Is(err, ErrNoSession) || (err == nil && caller.Person.ID != a.Connect) {
			return login, ErrAttempt
		}
		if err != nil {
			return login, err
		}
		login.Person = caller.Person
		e := caller.Event(ActionConnect, "")
		e.Detail = provider + ":" + profile.Subject + " " + profile.Login
		if err = s.connect(r.Context(), caller.Person, provider, profile); err == nil || errors.Is(err, ErrTaken) {
			if err != nil {
				e.Outcome = OutcomeRefused
			}
			s.Audit(r.Context(), e)
		}
		return login, err
	}
	if login.Person, err = s.enter(r.Context(), provider, profile, a.Invitation); err != nil {
		s.auditRefusal(r, provider, provider+":"+profile.ID+" "+profile.Login+": ", err)
		return login, err
	}
	cookie, err := s.startSession(r.Context(), login.Person, provider, profile.Token.end())
	if err != nil {
		return login, err
	}
	login.Cookies = append(login.Cookies, cookie)
	return login, nil
}

// auditRefusal records why somebody did not come in; who is how the provider calls them.
func (s *Service) auditRefusal(r *http.Request, provider, who string, err error) {
	s.Audit(r.Context(), AuditEvent{Action: ActionSignIn, Outcome: OutcomeRefused, Via: provider, Detail: who + err.Error()})
}

// end returns when a session that began with the token must end, or zero: a token that cannot be
// refreshed takes its session along (GHSA-3rw9-wmc8-8948).
func (t ProviderToken) end() time.Time {
	if t.Refresh != "" {
		return time.Time{}
	}
	return t.ExpiresAt
}

func attemptName(state string) string { return loginCookie + Hash(state)[:16] }

func newCookieAEAD(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err == nil {
		var aead cipher.AEAD
		if aead, err = cipher.NewGCMWithRandomNonce(block); err == nil {
			return aead
		}
	}
	panic(err) // only for lengths of keys that we never derive
}

func (s *Service) sealAttempt(a attempt) (string, error) {
	text, err := json.Marshal(a)
	if err != nil {
		return "", err
	}
	sealed := s.attempts.Seal(nil, nil, text, []byte(attemptName(a.State))) //nolint:gosec // it chooses a random nonce itself
	return b64.EncodeToString(sealed), nil
}

func (s *Service) openAttempt(r *http.Request, state string) (a attempt, err error) {
	if len(state) != secretLength {
		return attempt{}, ErrAttempt
	}
	name := attemptName(state)
	value, ok := cookieValue(r.Header["Cookie"], name)
	if !ok || len(value) > maxSigned {
		return attempt{}, ErrAttempt
	}
	sealed, err := strict.DecodeString(value)
	if err != nil {
		return attempt{}, ErrAttempt
	}
	text, err := s.attempts.Open(nil, nil, sealed, []byte(name))
	if err != nil || json.Unmarshal(text, &a) != nil {
		return attempt{}, ErrAttempt
	}
	if subtle.ConstantTimeCompare([]byte(a.State), []byte(state)) != 1 || !s.cfg.Now().Before(a.ExpiresAt) {
		return attempt{}, ErrAttempt
	}
	return a, nil
}

// consolePath returns a path of the console that a sign-in may go on to, else "/".
func consolePath(next string) string {
	if len(next) > maxNext || strings.HasPrefix(next, "/login") {
		return "/"
	}
	return returnPath(next)
}

// connect makes the provider's user an account of person, unless it is somebody else's.
func (s *Service) connect(ctx context.Context, person Person, provider string, p Profile) error {
	return s.tryAgain(func() error {
		account, err := s.cfg.Store.Account(ctx, provider, p.Subject)
		if errors.Is(err, ErrNotFound) {
			return s.createAccount(ctx, person.ID, provider, p)
		}
		if err != nil {
			return err
		}
		if account.Person != person.ID {
			return ErrTaken
		}
		return s.updateAccount(ctx, account, p)
	})
}
