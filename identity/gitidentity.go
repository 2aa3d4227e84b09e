package identity

import (
	"context"
	"errors"
	"strings"

	"github.com/kalpana-dev/kalpana/workspace"
)

// The faults of a name and an address for git.
var (
	ErrGitName  = errors.New("a name has 1 to 64 characters, none of them a control character")
	ErrGitEmail = errors.New("this is no e-mail address")
)

// Committer returns in whose name a person commits: as they said, else as they are called, with the address that somebody
// has vouched for. The address may be "".
func (p Person) Committer() (name, email string) {
	if name = p.GitName; name == "" {
		name = p.Name
	}
	if email = p.GitEmail; email == "" {
		email = p.Email
	}
	return name, email
}

// SetGitIdentity sets in whose name a person commits. "" takes back what they said before. The address is theirs to
// choose, as in git: it says nothing of who they are here. ErrGitName, ErrGitEmail.
func (s *Service) SetGitIdentity(ctx context.Context, caller Caller, name, email string) error {
	name, email = strings.TrimSpace(name), strings.TrimSpace(email)
	if name != "" {
		clean, err := workspace.CleanName(name)
		if err != nil {
			return ErrGitName
		}
		name = clean
	}
	if email != "" {
		if _, ok := CleanEmail(email); !ok {
			return ErrGitEmail
		}
	}
	return s.tryAgain(func() error {
		p, err := s.Person(ctx, caller.Person.ID)
		if err != nil || p.GitName == name && p.GitEmail == email {
			return err
		}
		p.GitName, p.GitEmail = name, email
		return s.cfg.Store.UpdatePerson(ctx, &p)
	})
}
