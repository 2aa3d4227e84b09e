package identity_test

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/identity"
)

func role(r identity.Role) identity.PersonChange { return identity.PersonChange{Role: &r} }

func disabled(v bool) identity.PersonChange { return identity.PersonChange{Disabled: &v} }

func (s *site) anAdmin(name string) identity.Person {
	s.t.Helper()
	p, err := s.AddPerson(s.t.Context(), name, identity.RoleAdmin)
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

func TestPeople_WhoIsDisabledLosesEverythingAtOnce(t *testing.T) {
	s := newSite(t)
	asha := s.person("Asha")
	session := s.signIn(asha)
	caller, err := s.Authenticate(request("/", session))
	if err != nil {
		t.Fatal(err)
	}
	grant := s.grant(caller, ideA)
	streams, release := s.Hold(t.Context(), identity.Grant{Session: caller.Session.Hash, Person: asha.ID, Label: ideA.Label(), IssuedAt: s.clock.Now()})
	defer release()
	err = s.store.CreateToken(t.Context(), identity.Token{ID: "t", Hash: identity.Hash("t"), Person: asha.ID, ExpiresAt: s.clock.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ChangePerson(t.Context(), identity.Caller{}, asha.ID, disabled(true)); err != nil {
		t.Fatal(err)
	}
	_, err = s.Authenticate(request("/", session))
	mustBe(t, "the session", err, identity.ErrNoSession)
	mustBe(t, "the grant", check(s.Service, grant, ideA), identity.ErrNoGrant)
	select {
	case <-streams.Done():
	default:
		t.Error("the stream goes on")
	}
	_, err = s.store.Token(t.Context(), identity.Hash("t"))
	mustBe(t, "the token", err, identity.ErrNotFound)
	_, _, err = s.SignInByLink(t.Context(), s.link(asha))
	mustBe(t, "a link", err, identity.ErrDisabled)

	s.advance(time.Minute)
	if _, err := s.ChangePerson(t.Context(), identity.Caller{}, asha.ID, disabled(false)); err != nil {
		t.Fatal(err)
	}
	_, err = s.Authenticate(request("/", session))
	mustBe(t, "the old session, once enabled again", err, identity.ErrNoSession)
	_, err = s.Authenticate(request("/", s.signIn(asha)))
	mustBe(t, "a new session", err, nil)
}

func TestPeople_TheLastAdminStays(t *testing.T) {
	s := newSite(t)
	first, second := s.anAdmin("Asha"), s.anAdmin("Ravi")
	for _, change := range []identity.PersonChange{role(identity.RoleMember), disabled(true)} {
		if _, err := s.ChangePerson(t.Context(), identity.Caller{}, second.ID, change); err != nil {
			t.Errorf("one of two: %v", err)
		}
		for _, change := range []identity.PersonChange{role(identity.RoleMember), disabled(true)} {
			_, err := s.ChangePerson(t.Context(), identity.Caller{}, first.ID, change)
			mustBe(t, "the last one", err, identity.ErrLastAdmin)
		}
		no, admin := false, identity.RoleAdmin
		if _, err := s.ChangePerson(t.Context(), identity.Caller{}, second.ID, identity.PersonChange{Role: &admin, Disabled: &no}); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.ChangePerson(t.Context(), identity.Caller{}, "nobody", role(identity.RoleMember)); !errors.Is(err, identity.ErrUnknownPerson) {
		t.Errorf("nobody: %v", err)
	}
	if _, err := s.ChangePerson(t.Context(), identity.Caller{}, first.ID, role("owner")); !errors.Is(err, identity.ErrUnknownRole) {
		t.Errorf("another role: %v", err)
	}
}

func TestPeople_OfAllAdminsWhoStepDownAtOnceOneStays(t *testing.T) {
	s := newSite(t)
	other := s.service(s.config())
	var admins []identity.Person
	for range 6 {
		admins = append(admins, s.anAdmin("Admin"))
	}
	var group sync.WaitGroup
	var refused atomic.Int32
	for i, p := range admins {
		service := []*identity.Service{s.Service, other}[i%2]
		group.Go(func() {
			change := role(identity.RoleMember)
			if i%3 == 0 {
				change = disabled(true)
			}
			_, err := service.ChangePerson(t.Context(), identity.Caller{}, p.ID, change)
			if errors.Is(err, identity.ErrLastAdmin) {
				refused.Add(1)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	people, err := s.People(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	left := 0
	for _, p := range people {
		if p.Role == identity.RoleAdmin && !p.Disabled {
			left++
		}
	}
	if left != 1 || refused.Load() != 1 {
		t.Errorf("%d admins are left, %d were refused", left, refused.Load())
	}
}

func TestFirstAdmin_ComesBackForWhoOwnsTheServer(t *testing.T) {
	s := newSite(t)
	first, err := s.FirstAdmin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second := s.anAdmin("Asha")
	if _, err := s.ChangePerson(t.Context(), identity.Caller{}, first.ID, disabled(true)); err != nil {
		t.Fatal(err)
	}
	if p, err := s.FirstAdmin(t.Context()); err != nil || p.ID != second.ID {
		t.Errorf("with the first one disabled: %+v, %v", p, err)
	}
	// A rule took the other one's role away.
	second.Role = identity.RoleMember
	if err := s.store.UpdatePerson(t.Context(), &second); err != nil {
		t.Fatal(err)
	}
	p, err := s.FirstAdmin(t.Context())
	if err != nil || p.ID != first.ID || p.Disabled || p.Role != identity.RoleAdmin {
		t.Errorf("with no admin left: %+v, %v", p, err)
	}
	if _, _, err := s.SignInByLink(t.Context(), s.link(p)); err != nil {
		t.Error(err)
	}
}

func TestInvitation_IsListedWithdrawnAndEnds(t *testing.T) {
	s := newSite(t)
	admin := s.anAdmin("Asha")
	secrets := map[string]string{}
	for note, life := range map[string]time.Duration{"short": time.Hour, "default": 0, "long": identity.MaxInvitationLifetime} {
		i, address, err := s.Invite(t.Context(), identity.Caller{Person: admin}, identity.RoleMember, note, life)
		if err != nil {
			t.Fatal(err)
		}
		_, secret, ok := strings.Cut(address, "http://kalpana.localhost:8080/invite#")
		if !ok || len(secret) != 43 || i.Note != note {
			t.Errorf("%s: %s, %+v", note, address, i)
		}
		secrets[note] = secret
	}
	notes := func() (list []string) {
		all, err := s.Invitations(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range all {
			if i.By != admin.ID || i.Role != identity.RoleMember || i.ID == "" {
				t.Errorf("%+v", i)
			}
			list = append(list, i.Note)
		}
		return list
	}
	if got := strings.Join(notes(), " "); got != "long default short" {
		t.Errorf("invitations: %s", got)
	}
	s.advance(time.Hour)
	if got := strings.Join(notes(), " "); got != "long default" {
		t.Errorf("an hour later: %s", got)
	}
	_, _, err := s.Redeem(t.Context(), secrets["short"], "Late")
	mustBe(t, "one that ended", err, identity.ErrInvitation)
	all, err := s.Invitations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	mustBe(t, "withdrawing", s.Withdraw(t.Context(), identity.Caller{}, all[0].ID), nil)
	mustBe(t, "withdrawing again", s.Withdraw(t.Context(), identity.Caller{}, all[0].ID), identity.ErrInvitation)
	_, _, err = s.Redeem(t.Context(), secrets["long"], "Eve")
	mustBe(t, "one that was withdrawn", err, identity.ErrInvitation)
	_, _, err = s.Redeem(t.Context(), secrets["default"], "")
	mustBe(t, "without a name", err, identity.ErrPersonName)
	_, p, err := s.Redeem(t.Context(), secrets["default"], " Ravi ")
	if err != nil || p.Name != "Ravi" || p.ByRule {
		t.Errorf("%+v, %v", p, err)
	}
	_, _, err = s.Redeem(t.Context(), secrets["default"], "Eve")
	mustBe(t, "the second use", err, identity.ErrInvitation)
	for _, secret := range []string{"", "x", identity.NewSecret(), s.link(p)} {
		_, _, err = s.Redeem(t.Context(), secret, "Eve")
		mustBe(t, "what is no invitation", err, identity.ErrInvitation)
	}
}

// An admin who is about to be shut out could keep a way back.
func TestAdmin_WhatTheyGaveAwayCountsAsLongAsTheyAreOne(t *testing.T) {
	for what, change := range map[string]identity.PersonChange{"disabled": disabled(true), "a member": role(identity.RoleMember)} {
		s := newSite(t)
		admin, ravi := s.anAdmin("Asha"), s.anAdmin("Ravi")
		by := identity.Caller{Person: admin}
		_, invitation, err := s.Invite(t.Context(), by, identity.RoleAdmin, "", 0)
		if err != nil {
			t.Fatal(err)
		}
		_, other, err := s.Invite(t.Context(), by, identity.RoleAdmin, "", 0)
		if err != nil {
			t.Fatal(err)
		}
		link, _, err := s.SignInLinkBy(t.Context(), by, ravi)
		if err != nil {
			t.Fatal(err)
		}
		operators := s.link(ravi)
		if _, err := s.ChangePerson(t.Context(), identity.Caller{Person: ravi}, admin.ID, change); err != nil {
			t.Fatal(err)
		}
		if list, err := s.Invitations(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("%s: the list has %v, %v", what, list, err)
		}
		secret := func(address string) string { _, secret, _ := strings.Cut(address, "#"); return secret }
		_, _, err = s.Redeem(t.Context(), secret(invitation), "Asha again")
		mustBe(t, what+", by their invitation", err, identity.ErrInvitation)
		_, _, err = s.SignInByLink(t.Context(), secret(link))
		mustBe(t, what+", by their link for another admin", err, identity.ErrLink)
		_, _, err = s.SignInByLink(t.Context(), operators)
		mustBe(t, what+", by the operator's link", err, nil)
		// What was not tried meanwhile counts again.
		back := role(identity.RoleAdmin)
		back.Disabled = new(bool)
		if _, err := s.ChangePerson(t.Context(), identity.Caller{Person: ravi}, admin.ID, back); err != nil {
			t.Fatal(err)
		}
		_, _, err = s.Redeem(t.Context(), secret(other), "Mona")
		mustBe(t, what+" no more", err, nil)
	}
}

func TestInvitation_RefusesWhatItCannotBe(t *testing.T) {
	s := newSite(t)
	admin := s.anAdmin("Asha")
	for _, c := range []struct {
		role identity.Role
		note string
		life time.Duration
		want error
	}{
		{"owner", "", 0, identity.ErrUnknownRole},
		{"", "", 0, identity.ErrUnknownRole},
		{identity.RoleMember, "", time.Minute, identity.ErrLifetime},
		{identity.RoleMember, "", -time.Hour, identity.ErrLifetime},
		{identity.RoleMember, "", identity.MaxInvitationLifetime + 1, identity.ErrLifetime},
		{identity.RoleMember, "a\nb", 0, identity.ErrNote},
		{identity.RoleMember, strings.Repeat("ü", 201), 0, identity.ErrNote},
		{identity.RoleMember, strings.Repeat("ü", 200), 0, nil},
	} {
		_, _, err := s.Invite(t.Context(), identity.Caller{Person: admin}, c.role, c.note, c.life)
		mustBe(t, "invitation", err, c.want)
	}
}
