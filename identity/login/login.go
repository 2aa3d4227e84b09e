// Package login holds what the providers in its subpackages share: the HTTP client that they ask
// with, and how they read what the browser brings back.
package login

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/kalpana-dev/kalpana/identity"
)

const (
	timeout = 15 * time.Second // of one request, with its answer
	maxBody = 1 << 20          // bytes of an answer
)

// Client returns the HTTP client that asks a provider. It trusts the certificates that this machine
// trusts, and follows no redirect: a token must not go elsewhere.
func Client(transport http.RoundTripper) *http.Client {
	if transport == nil {
		transport = http.DefaultTransport
	}
	return &http.Client{
		Transport: bounded{transport}, Timeout: timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// bounded cuts answers off.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxBody), resp.Body}
	}
	return resp, err
}

// Code returns the code that a provider sent the browser back with. Where the provider names itself
// (RFC 9207), ours tells whether that is who was asked: another one's code must not go there.
func Code(query url.Values, ours func(issuer string) bool) (string, error) {
	if query.Has("iss") && !ours(query.Get("iss")) {
		return "", fmt.Errorf("%w: it came from another provider", identity.ErrProvider)
	}
	switch code := query.Get("error"); code {
	case "":
	case "access_denied", "login_required", "consent_required", "interaction_required":
		return "", identity.ErrDenied
	case "server_error", "temporarily_unavailable":
		return "", fmt.Errorf("%w: it says %q", identity.ErrProviderDown, code)
	default:
		return "", fmt.Errorf("%w: it says %.100q: %.300q", identity.ErrProvider, code, query.Get("error_description"))
	}
	if query.Get("code") == "" {
		return "", fmt.Errorf("%w: it brought no code", identity.ErrProvider)
	}
	return query.Get("code"), nil
}

// Fault maps an error of a request to the provider to one of package identity.
func Fault(err error) error {
	var refused *oauth2.RetrieveError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, identity.ErrProvider), errors.Is(err, identity.ErrProviderDown), errors.Is(err, identity.ErrAttempt):
		return err
	case errors.As(err, &refused):
		if refused.Response.StatusCode >= 500 || refused.Response.StatusCode == http.StatusTooManyRequests {
			return fmt.Errorf("%w: it answers %d", identity.ErrProviderDown, refused.Response.StatusCode)
		}
		if refused.ErrorCode == "invalid_grant" || refused.ErrorCode == "bad_verification_code" {
			return identity.ErrAttempt // the code was used already, or is too old
		}
		return fmt.Errorf("%w: it refuses the code or the client: %.100q: %.300q", identity.ErrProvider, refused.ErrorCode, refused.ErrorDescription)
	}
	var network *url.Error
	if errors.As(err, &network) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", identity.ErrProviderDown, err)
	}
	return fmt.Errorf("%w: %w", identity.ErrProvider, err)
}

// Refresh uses up a refresh token at a token endpoint.
func Refresh(ctx context.Context, config *oauth2.Config, refreshToken string) (identity.ProviderToken, error) {
	t, err := config.TokenSource(ctx, &oauth2.Token{RefreshToken: refreshToken}).Token()
	var refused *oauth2.RetrieveError
	// GitHub says bad_refresh_token where RFC 6749 (5.2) has invalid_grant.
	if errors.As(err, &refused) && (refused.ErrorCode == "invalid_grant" || refused.ErrorCode == "bad_refresh_token") {
		return identity.ProviderToken{}, identity.ErrTokenRefused
	}
	if err != nil {
		return identity.ProviderToken{}, Fault(err)
	}
	return Token(t), nil
}

// Token returns what is kept of a token.
func Token(t *oauth2.Token) identity.ProviderToken {
	return identity.ProviderToken{Access: t.AccessToken, Refresh: t.RefreshToken, ExpiresAt: t.Expiry.UTC().Round(0)}
}

// CheckAddress returns an error unless address is https, or http on this machine, without query and
// user.
func CheckAddress(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || strings.ContainsAny(address, "?#") {
		return fmt.Errorf("%q is no address: write it like https://login.example.com", address)
	}
	if !Secure(address) {
		return fmt.Errorf("%q: use https", address)
	}
	return nil
}

// Secure reports whether nobody on the way can read what is sent to address: it is https, or on this
// machine.
func Secure(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return false
	}
	name := u.Hostname()
	local := name == "localhost" || strings.HasSuffix(name, ".localhost") || name == "127.0.0.1" || name == "::1"
	return u.Scheme == "https" || (u.Scheme == "http" && local)
}
