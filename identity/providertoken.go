package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// The times of a refresh. The lease outlasts the request by far, so that nobody else can begin one
// while the provider may still see ours.
const (
	refreshEarly   = time.Minute // before the token's end
	refreshLease   = time.Minute
	refreshTimeout = 20 * time.Second
	refreshPoll    = 100 * time.Millisecond // while another one refreshes
	tokenRound     = 30 * time.Second       // between two looks for tokens that are about to end
)

// ErrNoToken says that a provider gave no token to act for the person with, or that it ended.
var ErrNoToken = errors.New("sign in at the provider again: there is no token of it that works")

func (s *Service) sealToken(a *Account, t ProviderToken) ([]byte, error) {
	if s.cfg.Sealer == nil || t.Access == "" {
		return nil, nil
	}
	text, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	return s.cfg.Sealer.Seal(text, accountCollection, a.Person, tokenField)
}

func (s *Service) openToken(a *Account) (t ProviderToken, err error) {
	if s.cfg.Sealer == nil || len(a.Token) == 0 {
		return t, ErrNoToken
	}
	text, err := s.cfg.Sealer.Open(a.Token, accountCollection, a.Person, tokenField)
	if err != nil {
		return t, err
	}
	return t, json.Unmarshal(text, &t)
}

// AccessToken returns a token to act with at provider for the owner of the account there, and
// refreshes it first where it is about to end. A refresh token dies on use, so one refresh at a time
// runs for an account, on all gateways together.
//
// ErrNoToken where the person must sign in at the provider again; ErrProviderDown where it does not
// answer.
func (s *Service) AccessToken(ctx context.Context, provider, subject string) (string, error) {
	p, err := s.provider(provider)
	if err != nil {
		return "", err
	}
	name, holder := "refresh "+provider+" "+subject, NewSecret()
	for {
		_, token, err := s.tokenOf(ctx, provider, subject)
		if err != nil {
			return "", err
		}
		if s.good(token) {
			return token.Access, nil
		}
		if token.Refresh == "" {
			return "", ErrNoToken
		}
		now := s.cfg.Now()
		mine, err := s.cfg.Store.AcquireLease(ctx, name, holder, now, now.Add(refreshLease))
		if err != nil {
			return "", err
		}
		if mine {
			return s.refresh(ctx, p, subject, name, holder)
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(refreshPoll):
		}
	}
}

func (s *Service) tokenOf(ctx context.Context, provider, subject string) (*Account, ProviderToken, error) {
	account, err := s.cfg.Store.Account(ctx, provider, subject)
	if errors.Is(err, ErrNotFound) {
		return nil, ProviderToken{}, ErrNoToken
	}
	if err != nil {
		return nil, ProviderToken{}, err
	}
	token, err := s.openToken(account)
	return account, token, err
}

func (s *Service) good(t ProviderToken) bool {
	return t.ExpiresAt.IsZero() || s.cfg.Now().Add(refreshEarly).Before(t.ExpiresAt)
}

// refresh runs under the lease, on a context of its own: a caller that leaves must not lose the new
// token, since the old one is used up.
func (s *Service) refresh(ctx context.Context, p Provider, subject, lease, holder string) (string, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), refreshTimeout)
	defer cancel()
	defer func() {
		if err := s.cfg.Store.ReleaseLease(context.WithoutCancel(ctx), lease, holder); err != nil {
			s.cfg.Log.Warn("a lease could not be released; it ends by itself", "error", err)
		}
	}()
	account, token, err := s.tokenOf(ctx, p.Name(), subject) // another one may have been quicker
	if err != nil {
		return "", err
	}
	if s.good(token) {
		return token.Access, nil
	}
	if token.Refresh == "" {
		return "", ErrNoToken
	}
	fresh, err := p.Refresh(ctx, token.Refresh)
	if errors.Is(err, ErrTokenRefused) {
		return "", errors.Join(ErrNoToken, s.tokenLost(ctx, account))
	}
	if err != nil {
		return "", err
	}
	if fresh.Refresh == "" { // RFC 6749, 6: then the old one stays
		fresh.Refresh = token.Refresh
	}
	err = s.persistently(ctx, func() error {
		sealed, err := s.sealToken(account, fresh)
		if err != nil {
			return err
		}
		account.Token, account.UpdatedAt = sealed, s.cfg.Now().UTC()
		if err = s.cfg.Store.UpdateAccount(ctx, account); err == nil {
			return nil
		}
		newer, current, readErr := s.tokenOf(ctx, p.Name(), subject)
		if readErr != nil {
			return readErr
		}
		if current.Refresh != token.Refresh { // a sign-in brought a token of its own
			fresh = current
			return nil
		}
		account = newer
		return err
	})
	return fresh.Access, err
}

// persistently is tryAgain that waits for a store that does not answer, as long as ctx lasts: what is to be written
// cannot be had a second time.
func (s *Service) persistently(ctx context.Context, write func() error) error {
	for {
		err := s.tryAgain(write)
		if !errors.Is(err, workspace.ErrStoreDown) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(refreshPoll):
		}
	}
}

// tokenLost forgets a token that the provider refuses, and ends the sessions that rest on it.
func (s *Service) tokenLost(ctx context.Context, account *Account) error {
	account.Token = nil
	account.UpdatedAt = s.cfg.Now().UTC()
	if err := s.cfg.Store.UpdateAccount(ctx, account); err != nil {
		return err // who signed in meanwhile has a token that works
	}
	return s.endSessions(ctx, account.Person, func(session Session) bool { return session.Provider == account.Provider })
}

// keepTokens looks for tokens that are about to end, until ctx ends.
func (s *Service) keepTokens(ctx context.Context) {
	if s.cfg.Sealer == nil || len(s.cfg.Providers) == 0 {
		return
	}
	round := time.NewTicker(tokenRound)
	defer round.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-round.C:
			if err := s.refreshTokens(ctx); err != nil && ctx.Err() == nil {
				s.cfg.Log.Warn("tokens of sign-in providers could not be refreshed; it is tried again", "error", err)
			}
		}
	}
}

// refreshTokens refreshes the tokens that are about to end and that a session rests on. So a session
// goes on as long as the provider vouches for the person; while the provider does not answer, too.
func (s *Service) refreshTokens(ctx context.Context) error {
	accounts, err := s.cfg.Store.Accounts(ctx, "")
	if err != nil {
		return err
	}
	var faults []error
	for _, a := range accounts {
		if len(a.Token) == 0 {
			continue
		}
		token, err := s.openToken(a)
		if err == nil && (s.good(token) || token.Refresh == "") {
			continue
		}
		inUse := false
		if err == nil {
			inUse, err = s.inUse(ctx, a)
		}
		if err == nil && inUse {
			_, err = s.AccessToken(ctx, a.Provider, a.Subject)
		}
		if err != nil && !errors.Is(err, ErrNoToken) && !errors.Is(err, ErrUnknownProvider) && !errors.Is(err, ErrSealed) {
			faults = append(faults, fmt.Errorf("%s:%s: %w", a.Provider, a.Subject, err))
		}
	}
	return errors.Join(faults[:min(len(faults), 3)]...) // one outage makes many
}

// inUse reports whether a session rests on the account.
func (s *Service) inUse(ctx context.Context, a *Account) (bool, error) {
	sessions, err := s.cfg.Store.Sessions(ctx, a.Person)
	return slices.ContainsFunc(sessions, func(session Session) bool {
		return session.Provider == a.Provider && s.cfg.Now().Before(session.ExpiresAt)
	}), err
}
