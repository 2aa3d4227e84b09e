package identity

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"
)

// A token for a git server that a person gave is kept as an account of theirs at "git:<address>". It lets nobody in here.
const gitPrefix = "git:"

// MaxGitTokens bounds the git servers that one person has tokens for.
const MaxGitTokens = 32

// The faults of tokens for git servers.
var (
	ErrGitServer = errors.New("write the git server's address alone, such as https://git.example.com")
	ErrGitUser   = errors.New("a user name has at most 128 characters, none of them a space or a control character")
	// ErrGitSecret is about the token itself.
	ErrGitSecret     = errors.New("a token has 1 to 1024 characters, none of them a space or a control character")
	ErrTooManyGit    = errors.New("you have tokens for as many git servers as you may have; remove one that you no longer need")
	ErrNoGitToken    = errors.New("there is nothing here to sign in with at this git server for you: add a token for it in the console's settings")
	ErrNoGitKeyset   = errors.New("this installation keeps no secrets: its operator has set no keyset")
	ErrGitTokenScope = errors.New("the account you sign in with does not let Kalpana into repositories: add a token for this git server in the console's settings, or ask your operator for the scope repo")
)

// GitProvider is a [Provider] whose tokens also sign in at a git server.
type GitProvider interface {
	Provider
	// GitServer is the git server's address, as [CleanGitServer] has it.
	GitServer() string
	// GitToken returns what signs in for the repository at path (without a slash in front), by the person's token
	// access, narrowed to that repository where the provider can do it. ErrGitTokenScope where access does not reach
	// repositories, ErrNoGitToken where it does not reach that one.
	GitToken(ctx context.Context, access, path string) (username, password string, err error)
}

// GitToken is a token for a git server, without the token.
type GitToken struct {
	Server    string // as CleanGitServer has it
	Username  string
	CreatedAt time.Time
	UpdatedAt time.Time
}

// CleanGitServer returns the address of a git server in the one form that it is compared in, such as
// https://git.example.com:8443. Without a scheme it is https. ErrGitServer.
func CleanGitServer(address string) (string, error) {
	address = strings.ToLower(strings.TrimSpace(address))
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.Hostname() == "" ||
		(u.Scheme != "https" && u.Scheme != "http") || !graphic(u.Host, 255) || strings.ContainsAny(u.Host, `%\"'<>`) {
		return "", ErrGitServer
	}
	if (u.Scheme == "https" && u.Port() == "443") || (u.Scheme == "http" && u.Port() == "80") {
		u.Host = u.Hostname()
		if strings.Contains(u.Host, ":") {
			u.Host = "[" + u.Host + "]"
		}
	}
	return u.Scheme + "://" + strings.TrimSuffix(u.Host, ":"), nil
}

func graphic(s string, limit int) bool {
	return len(s) <= limit && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// SetGitToken keeps the caller's token for a git server, sealed, in the place of the one that was there.
func (s *Service) SetGitToken(ctx context.Context, caller Caller, server, username, secret string) error {
	server, err := CleanGitServer(server)
	switch {
	case err != nil:
		return err
	case !graphic(username, 128):
		return ErrGitUser
	case secret == "" || !graphic(secret, 1024):
		return ErrGitSecret
	case s.cfg.Sealer == nil:
		return ErrNoGitKeyset
	}
	person := caller.Person.ID
	now := s.cfg.Now().UTC().Truncate(time.Microsecond)
	a := &Account{Provider: gitPrefix + server, Subject: person, Person: person, Login: username, CreatedAt: now, UpdatedAt: now}
	if a.Token, err = s.sealToken(a, ProviderToken{Access: secret}); err != nil {
		return err
	}
	err = s.tryAgain(func() error {
		old, err := s.cfg.Store.Account(ctx, a.Provider, a.Subject)
		if errors.Is(err, ErrNotFound) {
			if list, err := s.GitTokens(ctx, person); err != nil || len(list) >= MaxGitTokens {
				return errors.Join(err, ErrTooManyGit)
			}
			return s.cfg.Store.CreateAccount(ctx, a)
		}
		if err != nil {
			return err
		}
		old.Login, old.Token, old.UpdatedAt = a.Login, a.Token, now
		return s.cfg.Store.UpdateAccount(ctx, old)
	})
	if err != nil {
		return err
	}
	e := caller.Event(ActionConnect, "")
	e.Detail = "token for the git server " + server
	s.Audit(ctx, e)
	return nil
}

// GitTokens returns the git servers that person has tokens for, oldest first.
func (s *Service) GitTokens(ctx context.Context, person string) ([]GitToken, error) {
	accounts, err := s.cfg.Store.Accounts(ctx, person)
	var list []GitToken
	for _, a := range accounts {
		if server, ok := strings.CutPrefix(a.Provider, gitPrefix); ok {
			list = append(list, GitToken{Server: server, Username: a.Login, CreatedAt: a.CreatedAt, UpdatedAt: a.UpdatedAt})
		}
	}
	return list, err
}

// DeleteGitToken forgets the caller's token for a git server. A missing one is no error.
func (s *Service) DeleteGitToken(ctx context.Context, caller Caller, server string) error {
	server, err := CleanGitServer(server)
	if err != nil {
		return err
	}
	if err := s.cfg.Store.DeleteAccount(ctx, gitPrefix+server, caller.Person.ID); err != nil {
		return err
	}
	e := caller.Event(ActionDisconnect, "")
	e.Detail = "token for the git server " + server
	s.Audit(ctx, e)
	return nil
}

// GitCredential returns what signs person in at a git server for the repository at path: their own token for it, else
// that of an account there. Whether the one who asks may have it is not decided here.
//
// ErrNoGitToken, ErrGitTokenScope, ErrNoToken, ErrProviderDown.
func (s *Service) GitCredential(ctx context.Context, person, server, path string) (username, password string, err error) {
	p, err := s.cfg.Store.Person(ctx, person)
	switch {
	case err != nil:
		return "", "", err
	case p.Disabled:
		return "", "", ErrDisabled
	}
	a, token, err := s.tokenOf(ctx, gitPrefix+server, person)
	if err == nil {
		if username = a.Login; username == "" {
			username = "git"
		}
		return username, token.Access, nil
	}
	if !errors.Is(err, ErrNoToken) {
		return "", "", err
	}
	accounts, err := s.Accounts(ctx, person)
	if err != nil {
		return "", "", err
	}
	err = ErrNoGitToken
	for _, a := range accounts {
		known, providerErr := s.provider(a.Provider)
		at, ok := known.(GitProvider)
		if providerErr != nil || !ok || at.GitServer() != server {
			continue
		}
		access, tokenErr := s.AccessToken(ctx, a.Provider, a.Subject)
		if tokenErr == nil {
			username, password, tokenErr = at.GitToken(ctx, access, path)
		}
		if tokenErr == nil {
			return username, password, nil
		}
		err = tokenErr
	}
	return "", "", err
}

// signsIn reports whether an account is a way in: one at a git server is none.
func signsIn(a *Account) bool { return !strings.HasPrefix(a.Provider, gitPrefix) }

func ways(accounts []*Account) []*Account {
	return slices.DeleteFunc(accounts, func(a *Account) bool { return !signsIn(a) })
}
