package identity

import (
	"context"
	"errors"
	"slices"
	"strings"
	"unicode"

	"github.com/kalpana-dev/kalpana/workspace"
)

// enter returns the person whose account the provider vouches for, if they may come in: they were
// invited, or a rule lets this account in. Nobody is recognised by an e-mail address: only by an
// account that is theirs already.
//
// The rules are looked at anew each time. Who came in by a rule stays out once none matches any
// longer, and an admin by a rule is then a member again.
func (s *Service) enter(ctx context.Context, provider string, p Profile, invitation string) (Person, error) {
	v := s.cfg.Access.judge(provider, p)
	var (
		person Person
		ticket *Ticket
		by     = Invitation{Role: RoleMember}
		former Role // of somebody who is known
	)
	err := s.tryAgain(func() error {
		account, known, err := s.accountOf(ctx, provider, p.Subject, &person)
		if err != nil {
			return err
		}
		if known && person.Disabled {
			return ErrDisabled
		}
		invited := ticket != nil
		if !invited && !v.allowed && (!known || person.ByRule) {
			if invitation == "" {
				return v.reason
			}
			if ticket, by, err = s.takeInvitation(ctx, invitation); err != nil {
				return err
			}
			invited = true
		}
		before := person
		former = before.Role
		switch {
		case !known:
			person = Person{
				ID: newID(), Name: personName(p), Email: p.Email, Role: by.Role, ByRule: !invited,
				Revision: 1, CreatedAt: s.cfg.Now().UTC(),
			}
			if account != nil { // made by a sign-in that did not come to its end
				person.ID = account.Person
			}
		case invited:
			person.ByRule, person.Role, person.AdminByRule = false, by.Role, false
		}
		switch {
		case v.admin && person.Role != RoleAdmin:
			person.Role, person.AdminByRule = RoleAdmin, true
		case !v.admin && person.AdminByRule:
			person.Role, person.AdminByRule = RoleMember, false
		}
		// The account comes first: it is what only one of two sign-ins at once can make.
		if account == nil {
			if err := s.createAccount(ctx, person.ID, provider, p); err != nil {
				return err
			}
		} else {
			if person.Email == "" || person.Email == account.Email {
				person.Email = p.Email
			}
			if err := s.updateAccount(ctx, account, p); err != nil {
				return err
			}
		}
		switch {
		case !known:
			return s.cfg.Store.CreatePerson(ctx, person)
		case person != before:
			return s.cfg.Store.UpdatePerson(ctx, &person)
		}
		return nil
	})
	if err == nil && former != "" && former != person.Role {
		err = s.endSiteGrants(ctx, person.ID)
	}
	switch {
	case ticket == nil:
	case err != nil:
		s.giveBack(ctx, *ticket)
	default:
		s.auditInvitation(ctx, AuditEvent{Action: ActionInvitation, Person: person.ID, Via: provider}, by, "used")
	}
	return person, err
}

// accountOf reads an account and its person; nil and false where they are missing.
func (s *Service) accountOf(ctx context.Context, provider, subject string, person *Person) (*Account, bool, error) {
	account, err := s.cfg.Store.Account(ctx, provider, subject)
	if errors.Is(err, ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	*person, err = s.cfg.Store.Person(ctx, account.Person)
	if errors.Is(err, ErrNotFound) {
		return account, false, nil
	}
	return account, err == nil, err
}

// tryAgain repeats what another writer came before.
func (s *Service) tryAgain(write func() error) error {
	for tries := 1; ; tries++ {
		err := write()
		if tries == 10 || (!errors.Is(err, ErrExists) && !errors.Is(err, workspace.ErrConflict)) {
			return err
		}
	}
}

func (s *Service) createAccount(ctx context.Context, person, provider string, p Profile) error {
	a := &Account{Provider: provider, Subject: p.Subject, Person: person, CreatedAt: s.cfg.Now().UTC()}
	if err := s.describe(a, p); err != nil {
		return err
	}
	return s.cfg.Store.CreateAccount(ctx, a)
}

func (s *Service) updateAccount(ctx context.Context, a *Account, p Profile) error {
	if err := s.describe(a, p); err != nil {
		return err
	}
	return s.cfg.Store.UpdateAccount(ctx, a)
}

// describe writes into a what the provider says now.
func (s *Service) describe(a *Account, p Profile) (err error) {
	const most, longest = 1000, 256
	groups := slices.DeleteFunc(slices.Clone(p.Groups), func(g string) bool {
		return len(g) > longest || strings.ContainsFunc(g, unicode.IsControl)
	})
	a.Login, a.Email, a.UpdatedAt = p.Login, p.Email, s.cfg.Now().UTC()
	a.Groups = strings.Join(groups[:min(len(groups), most)], "\n")
	token := p.Token
	if token.Refresh == "" { // some give one at the first consent alone, and sessions rest on it
		if old, err := s.openToken(a); err == nil {
			token.Refresh = old.Refresh
		}
	}
	a.Token, err = s.sealToken(a, token)
	return err
}

// personName returns a name that a person may have, from what the provider calls them.
func personName(p Profile) string {
	for _, name := range []string{p.Name, p.Login, p.Email} {
		name = strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) {
				return -1
			}
			return r
		}, strings.ToValidUTF8(name, ""))
		if runes := []rune(strings.TrimSpace(name)); len(runes) > 0 {
			return strings.TrimSpace(string(runes[:min(len(runes), workspace.MaxNameLength)]))
		}
	}
	return "Unnamed"
}
