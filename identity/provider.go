package identity

import (
	"context"
	"errors"
	"net/url"
	"time"
)

// Provider is a login that vouches for people by a protocol of redirects: OAuth or OpenID Connect.
// Its methods are safe for concurrent use.
type Provider interface {
	Name() string  // as configured; it names accounts, so another name means other accounts
	Title() string // for people to read
	Kind() string  // "github" or "oidc"
	// Begin returns the provider's address that the browser goes to. ErrProviderDown where the
	// provider must answer first and does not.
	Begin(ctx context.Context, a Attempt) (string, error)
	// Complete takes the query that the provider sent the browser back with, whose state has been
	// checked, and returns for whom it vouches: ErrDenied, ErrProviderDown or ErrProvider.
	Complete(ctx context.Context, a Attempt, query url.Values) (Profile, error)
	// Refresh uses up a refresh token. ErrTokenRefused says that the provider no longer takes it;
	// after ErrProviderDown it may be tried again.
	Refresh(ctx context.Context, refreshToken string) (ProviderToken, error)
}

// Attempt is one sign-in under way at a provider. Its secrets wait in the browser's cookie, sealed.
type Attempt struct {
	State    string // 43 characters of URL-safe base64, as are Nonce and Verifier
	Nonce    string
	Verifier string // of PKCE (RFC 7636), for the method S256
	Callback string // address on the console that the provider sends the browser back to
}

// Profile is what a provider says of one of its users.
type Profile struct {
	Subject string // the account's key: it never changes and is never given to another user
	ID      string // the provider's own id of the user, as rules name it
	Login   string // the provider's name of the user, for people to read
	// Handle is Login where the provider lets only one user at a time have it, else "": rules may name
	// it too.
	Handle string
	Name   string // the person's name, or ""
	Email  string // that the provider has verified, or ""
	// Groups are the organisations ("org:acme"), teams ("team:acme/core") and groups
	// ("group:developers") that rules may name.
	Groups []string
	Token  ProviderToken
}

// ProviderToken is the right to act for a user at the provider.
type ProviderToken struct {
	Access    string    `json:"access"`
	Refresh   string    `json:"refresh,omitempty"` // works once, or ""
	ExpiresAt time.Time `json:"expiresAt,omitzero"`
}

// The faults of signing in at a provider.
var (
	ErrUnknownProvider = errors.New("there is no such way to sign in here")
	ErrAttempt         = errors.New("this sign-in began in another browser, is too old, or was completed already")
	ErrDenied          = errors.New("you did not let the provider sign you in")
	ErrProviderDown    = errors.New("the sign-in provider does not answer")
	ErrProvider        = errors.New("the sign-in provider's answer cannot be trusted")
	ErrNotAllowed      = errors.New("this account is not among those that may enter")
	ErrUnverifiedEmail = errors.New("the provider has not verified this account's e-mail address, and who may enter depends on it")
	ErrInvitation      = errors.New("this invitation was used already, was withdrawn, or is too old")
	ErrTaken           = errors.New("this account belongs to somebody else here")
	ErrTokenRefused    = errors.New("the provider no longer takes the token it gave")
)

// Providers returns the logins that vouch for people, in their configured order.
func (s *Service) Providers() []Provider { return s.cfg.Providers }

func (s *Service) provider(name string) (Provider, error) {
	for _, p := range s.cfg.Providers {
		if p.Name() == name {
			return p, nil
		}
	}
	return nil, ErrUnknownProvider
}
