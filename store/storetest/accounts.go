package storetest

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

var accounts = []promise{
	{"EveryFieldComesBack", anAccountComesBack},
	{"EveryFieldIsUpdated", everyFieldOfAnAccountIsUpdated},
	{"AProvidersUserHasOneAccount", aProvidersUserHasOneAccount},
	{"OfManyFirstSignInsOneMakesTheAccount", ofManyFirstSignInsOneMakesTheAccount},
	{"SubjectsOfTwoProvidersAreTwoUsers", subjectsOfTwoProvidersAreTwoUsers},
	{"ListsAreOldestFirst", accountsAreOldestFirst},
	{"UpdateOfAStaleRevisionIsRefused", updateOfAStaleAccountIsRefused},
	{"OfManyRefreshesOfOneRevisionOneSucceeds", ofManyRefreshesOneSucceeds},
	{"ADeletedAccountIsNotFound", aDeletedAccountIsNotFound},
}

func wantAccount(t *testing.T, s Store, want *identity.Account) {
	t.Helper()
	got, err := s.Account(t.Context(), want.Provider, want.Subject)
	must(t, err)
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("Account (-want +got):\n%s", diff)
	}
	all, err := s.Accounts(t.Context(), want.Person)
	must(t, err)
	for _, a := range all {
		if a.Provider == want.Provider && a.Subject == want.Subject {
			if diff := cmp.Diff(want, a, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("Accounts (-want +got):\n%s", diff)
			}
			return
		}
	}
	t.Errorf("Accounts(%q) lacks it", want.Person)
}

// account stores an account that was made that many seconds into the tests' day.
func account(t *testing.T, s Store, provider, subject, person string, seconds int) *identity.Account {
	t.Helper()
	a := &identity.Account{
		Provider: provider, Subject: subject, Person: person, CreatedAt: moment(seconds), UpdatedAt: moment(seconds),
	}
	must(t, s.CreateAccount(t.Context(), a))
	return a
}

func anAccountComesBack(t *testing.T, b Backend) {
	s := b.Open(t)
	var a identity.Account
	fill(t, &a, 0)
	want := a
	want.Revision = 1
	must(t, s.CreateAccount(t.Context(), &a))
	if diff := cmp.Diff(want, a); diff != "" {
		t.Errorf("CreateAccount changed more than the revision:\n%s", diff)
	}
	wantAccount(t, b.Open(t), &want)
	bare := account(t, s, "github", "1", "p1", 0)
	wantAccount(t, b.Open(t), bare)
}

func everyFieldOfAnAccountIsUpdated(t *testing.T, b Backend) {
	s := b.Open(t)
	var a, next identity.Account
	fill(t, &a, 0)
	must(t, s.CreateAccount(t.Context(), &a))
	fill(t, &next, 100)
	next.Provider, next.Subject, next.Revision = a.Provider, a.Subject, a.Revision
	must(t, s.UpdateAccount(t.Context(), &next))
	if next.Revision != 2 {
		t.Errorf("revision %d, want 2", next.Revision)
	}
	next.CreatedAt = a.CreatedAt // never changes
	wantAccount(t, b.Open(t), &next)
}

func aProvidersUserHasOneAccount(t *testing.T, b Backend) {
	s := b.Open(t)
	want := account(t, s, "github", "1", "p1", 0)
	other := &identity.Account{Provider: "github", Subject: "1", Person: "p2", CreatedAt: moment(1), UpdatedAt: moment(1)}
	wantErr(t, b.Open(t).CreateAccount(t.Context(), other), identity.ErrExists)
	if other.Revision != 0 {
		t.Errorf("a refused account has revision %d, want it untouched", other.Revision)
	}
	wantAccount(t, s, want)
}

func ofManyFirstSignInsOneMakesTheAccount(t *testing.T, b Backend) {
	n := winners(t, b, 10, func(ctx context.Context, s Store, _ int) (bool, error) {
		a := &identity.Account{Provider: "github", Subject: "1", Person: "p1", CreatedAt: moment(0), UpdatedAt: moment(0)}
		return unless(s.CreateAccount(ctx, a), identity.ErrExists)
	})
	if n != 1 {
		t.Errorf("%d accounts were made, want 1", n)
	}
}

func subjectsOfTwoProvidersAreTwoUsers(t *testing.T, b Backend) {
	s := b.Open(t)
	one, other := account(t, s, "github", "1", "p1", 0), account(t, s, "gitea", "1", "p2", 0)
	wantAccount(t, s, one)
	wantAccount(t, s, other)
	_, err := s.Account(t.Context(), "GitHub", "1")
	wantErr(t, err, identity.ErrNotFound)
}

func accountsAreOldestFirst(t *testing.T, b Backend) {
	s := b.Open(t)
	third, first := account(t, s, "a", "1", "p1", 3), account(t, s, "b", "2", "p1", 1)
	second := account(t, s, "c", "3", "p2", 2)
	for person, want := range map[string][]*identity.Account{
		"": {first, second, third}, "p1": {first, third}, "p2": {second}, "nobody": nil,
	} {
		got, err := s.Accounts(t.Context(), person)
		must(t, err)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("Accounts(%q) (-want +got):\n%s", person, diff)
		}
	}
}

func updateOfAStaleAccountIsRefused(t *testing.T, b Backend) {
	one, other := b.Open(t), b.Open(t)
	a := account(t, one, "github", "1", "p1", 0)
	stale := *a
	stale.Token = []byte("stale")
	must(t, one.UpdateAccount(t.Context(), a))
	before := stale
	wantErr(t, other.UpdateAccount(t.Context(), &stale), workspace.ErrConflict)
	if diff := cmp.Diff(before, stale); diff != "" {
		t.Errorf("a refused update changed the caller's record:\n%s", diff)
	}
	wantAccount(t, other, a)
	missing := *a
	missing.Subject = "2"
	wantErr(t, other.UpdateAccount(t.Context(), &missing), identity.ErrNotFound)
}

func ofManyRefreshesOneSucceeds(t *testing.T, b Backend) {
	a := account(t, b.Open(t), "github", "1", "p1", 0)
	n := winners(t, b, 20, func(ctx context.Context, s Store, i int) (bool, error) {
		mine := *a
		mine.Token = []byte{byte(i)}
		return unless(s.UpdateAccount(ctx, &mine), workspace.ErrConflict)
	})
	if n != 1 {
		t.Errorf("%d updates succeeded, want 1", n)
	}
}

func aDeletedAccountIsNotFound(t *testing.T, b Backend) {
	s := b.Open(t)
	_, err := s.Account(t.Context(), "github", "1")
	wantErr(t, err, identity.ErrNotFound)
	must(t, s.DeleteAccount(t.Context(), "github", "1"))
	a, kept := account(t, s, "github", "1", "p1", 0), account(t, s, "gitea", "1", "p1", 0)
	must(t, b.Open(t).DeleteAccount(t.Context(), "github", "1"))
	_, err = s.Account(t.Context(), "github", "1")
	wantErr(t, err, identity.ErrNotFound)
	wantErr(t, s.UpdateAccount(t.Context(), a), identity.ErrNotFound)
	wantAccount(t, s, kept)
}
