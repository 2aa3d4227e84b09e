package identity

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// The faults of changing people and accounts.
var (
	ErrUnknownPerson  = errors.New("there is no such person")
	ErrUnknownAccount = errors.New("you have no such account")
	ErrPersonName     = errors.New("a name has 1 to 64 characters, none of them a control character")
	ErrLastAdmin      = errors.New("this is the last admin who can sign in; make somebody else admin first")
	ErrLastAccount    = errors.New("this is the only account you can sign in with; connect another one first")
	ErrUnknownRole    = errors.New("a role is admin or member")
	ErrOccupied       = errors.New("somebody else is changing people just now; try again")
)

// FirstAdmin returns the first admin who is not disabled. Where there is none it makes one, or makes
// the one it made before admin again: who can ask for this owns the installation.
func (s *Service) FirstAdmin(ctx context.Context) (Person, error) {
	people, err := s.cfg.Store.People(ctx)
	if err != nil {
		return Person{}, err
	}
	for _, p := range people {
		if p.Role == RoleAdmin && !p.Disabled {
			return p, nil
		}
	}
	// A fixed id lets two gateways that start at once agree on one admin.
	p := Person{ID: "admin", Name: "admin", Role: RoleAdmin, Revision: 1, CreatedAt: s.cfg.Now().UTC()}
	if err := s.cfg.Store.CreatePerson(ctx, p); !errors.Is(err, ErrExists) {
		return p, err
	}
	err = s.tryAgain(func() (err error) {
		if p, err = s.cfg.Store.Person(ctx, p.ID); err != nil || (p.Role == RoleAdmin && !p.Disabled) {
			return err
		}
		p.Role, p.Disabled, p.ByRule, p.AdminByRule = RoleAdmin, false, false, false
		return s.cfg.Store.UpdatePerson(ctx, &p)
	})
	return p, err
}

// AddPerson makes a person of the given name and role.
func (s *Service) AddPerson(ctx context.Context, name string, role Role) (Person, error) {
	name, err := workspace.CleanName(name)
	if err != nil {
		return Person{}, ErrPersonName
	}
	p := Person{ID: newID(), Name: name, Role: role, Revision: 1, CreatedAt: s.cfg.Now().UTC()}
	return p, s.cfg.Store.CreatePerson(ctx, p)
}

// People returns everybody, oldest first.
func (s *Service) People(ctx context.Context) ([]Person, error) { return s.cfg.Store.People(ctx) }

// Person returns one person, or ErrUnknownPerson.
func (s *Service) Person(ctx context.Context, id string) (Person, error) {
	p, err := s.cfg.Store.Person(ctx, id)
	if errors.Is(err, ErrNotFound) {
		err = ErrUnknownPerson
	}
	return p, err
}

// PersonChange is what an admin may change of a person; nil leaves a field as it is.
type PersonChange struct {
	Role     *Role
	Disabled *bool
	Quota    *workspace.Quota
}

// ChangePerson changes role, access or quota. Who is disabled loses every session, grant and token within
// seconds. Some admin who can sign in always remains: ErrLastAdmin.
func (s *Service) ChangePerson(ctx context.Context, by Caller, id string, c PersonChange) (Person, error) {
	if c.Role != nil && *c.Role != RoleAdmin && *c.Role != RoleMember {
		return Person{}, ErrUnknownRole
	}
	var person, before Person
	err := s.exclusively(ctx, "people", func() error {
		return s.tryAgain(func() (err error) {
			if person, err = s.Person(ctx, id); err != nil {
				return err
			}
			before = person
			if c.Role != nil && *c.Role != person.Role {
				person.Role, person.AdminByRule = *c.Role, false
			}
			if c.Disabled != nil {
				person.Disabled = *c.Disabled
			}
			if c.Quota != nil {
				person.Quota = *c.Quota
			}
			if person == before {
				return nil
			}
			if err := s.keepsAdmin(ctx, before, person); err != nil {
				return err
			}
			return s.cfg.Store.UpdatePerson(ctx, &person)
		})
	})
	if err != nil {
		return person, err
	}
	if before.Role != person.Role || before.Disabled != person.Disabled {
		e := by.Event(ActionAdmin, "")
		e.Detail = person.ID + " " + person.Name + ": " + describePerson(before) + " is now " + describePerson(person)
		s.Audit(ctx, e)
	}
	if before.Quota != person.Quota {
		s.quotas.set(person.ID, quotaRead{person.Quota, s.cfg.Now()})
		e := by.Event(ActionAdmin, "")
		e.Detail = person.ID + " " + person.Name + ": quota is now " + describeQuota(person.Quota)
		s.Audit(ctx, e)
	}
	switch {
	case person.Disabled:
		err = s.shutOut(ctx, person.ID)
	case before.Role != person.Role:
		err = s.endSiteGrants(ctx, person.ID)
	}
	return person, err
}

func describePerson(p Person) string {
	if p.Disabled {
		return "disabled " + string(p.Role)
	}
	return string(p.Role)
}

// describeQuota names what is not as for everybody, e.g. "running 2, memory 4294967296, disk unlimited".
func describeQuota(q workspace.Quota) string {
	var parts []string
	add := func(name string, value float64) {
		switch {
		case value < 0:
			parts = append(parts, name+" unlimited")
		case value > 0:
			parts = append(parts, name+" "+strconv.FormatFloat(value, 'f', -1, 64))
		}
	}
	add("workspaces", float64(q.Workspaces))
	add("running", float64(q.Running))
	add("cpus", q.CPUs)
	add("memory", float64(q.Memory))
	add("pids", float64(q.PIDs))
	add("disk", float64(q.Disk))
	add("agent dollars a day", float64(q.AgentDayCost)/1e6)
	add("agent dollars a month", float64(q.AgentMonthCost)/1e6)
	add("agent tokens a day", float64(q.AgentDayTokens))
	add("agent tokens a month", float64(q.AgentMonthTokens))
	if len(parts) == 0 {
		return "as for everybody"
	}
	return strings.Join(parts, ", ")
}

// keepsAdmin returns ErrLastAdmin where the change would leave no admin who can sign in.
func (s *Service) keepsAdmin(ctx context.Context, before, after Person) error {
	works := func(p Person) bool { return p.Role == RoleAdmin && !p.Disabled }
	if !works(before) || works(after) {
		return nil
	}
	people, err := s.cfg.Store.People(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(people, func(p Person) bool { return p.ID != before.ID && works(p) }) {
		return ErrLastAdmin
	}
	return nil
}

// shutOut ends whatever still acts for a person.
func (s *Service) shutOut(ctx context.Context, person string) error {
	if err := s.Revoke(ctx, Revocation{Person: person}); err != nil {
		return err
	}
	tokens, err := s.cfg.Store.Tokens(ctx, person)
	if err != nil {
		return err
	}
	for _, t := range tokens {
		if err := s.Revoke(ctx, Revocation{Session: t.Hash}); err != nil { // a hash never comes back
			return err
		}
		if err := s.cfg.Store.DeleteToken(ctx, person, t.ID); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	sessions, err := s.cfg.Store.Sessions(ctx, person)
	for _, session := range sessions {
		err = errors.Join(err, s.cfg.Store.DeleteSession(ctx, session.Hash))
	}
	return err
}

// endSessions ends those of a person's sessions that match.
func (s *Service) endSessions(ctx context.Context, person string, matches func(Session) bool) error {
	sessions, err := s.cfg.Store.Sessions(ctx, person)
	if err != nil {
		return err
	}
	for _, session := range sessions {
		if !matches(session) {
			continue
		}
		if err := s.endSession(ctx, session.Hash); err != nil {
			return err
		}
	}
	return nil
}

// exclusively runs what only one gateway may do at a time, and quickly.
func (s *Service) exclusively(ctx context.Context, what string, run func() error) error {
	const lease, patience = 10 * time.Second, 5 * time.Second
	holder := NewSecret()
	for wait := time.Duration(0); ; wait += 50 * time.Millisecond {
		now := s.cfg.Now()
		mine, err := s.cfg.Store.AcquireLease(ctx, what, holder, now, now.Add(lease))
		if err != nil {
			return err
		}
		if mine {
			break
		}
		if wait >= patience {
			return ErrOccupied
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	defer func() {
		if err := s.cfg.Store.ReleaseLease(context.WithoutCancel(ctx), what, holder); err != nil {
			s.cfg.Log.Warn("a lease could not be released; it ends by itself", "lease", what, "error", err)
		}
	}()
	return run()
}

// Accounts returns the accounts that person can sign in with, oldest first.
func (s *Service) Accounts(ctx context.Context, person string) ([]*Account, error) {
	accounts, err := s.cfg.Store.Accounts(ctx, person)
	return ways(accounts), err
}

// Disconnect removes one of the caller's accounts, and ends their other sessions that began with it.
// The last one stays: ErrLastAccount.
func (s *Service) Disconnect(ctx context.Context, caller Caller, provider, subject string) error {
	err := s.exclusively(ctx, "accounts "+caller.Person.ID, func() error {
		accounts, err := s.Accounts(ctx, caller.Person.ID)
		if err != nil {
			return err
		}
		others := slices.DeleteFunc(slices.Clone(accounts), func(a *Account) bool { return a.Provider == provider && a.Subject == subject })
		if len(others) == len(accounts) {
			return ErrUnknownAccount
		}
		// One at a provider that the operator has removed lets nobody in.
		works := func(a *Account) bool { _, err := s.provider(a.Provider); return err == nil }
		if !slices.ContainsFunc(others, works) {
			return ErrLastAccount
		}
		return s.cfg.Store.DeleteAccount(ctx, provider, subject)
	})
	if err != nil {
		return err
	}
	e := caller.Event(ActionDisconnect, "")
	e.Detail = provider + ":" + subject
	s.Audit(ctx, e)
	return s.endSessions(ctx, caller.Person.ID, func(session Session) bool {
		return session.Provider == provider && session.Hash != caller.Session.Hash
	})
}
