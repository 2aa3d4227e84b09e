package storetest

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

var people = []promise{
	{"EveryFieldComesBack", aPersonComesBack},
	{"AnIDIsOnePersons", anIDIsOnePersons},
	{"OfManyCreatorsOfAnIDOneSucceeds", ofManyPeopleOfAnIDOneIsCreated},
	{"AnUnknownPersonIsNotFound", anUnknownPersonIsNotFound},
	{"ListsAreOldestFirst", peopleAreOldestFirst},
	{"EveryFieldIsUpdated", everyFieldOfAPersonIsUpdated},
	{"UpdateOfAStaleRevisionIsRefused", updateOfAStalePersonIsRefused},
	{"OfManyUpdatesOfOneRevisionOneSucceeds", ofManyUpdatesOfAPersonOneSucceeds},
}

func aPersonComesBack(t *testing.T, b Backend) {
	s := b.Open(t)
	var want identity.Person
	fill(t, &want, 0)
	must(t, s.CreatePerson(t.Context(), want))
	got, err := b.Open(t).Person(t.Context(), want.ID)
	must(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func anIDIsOnePersons(t *testing.T, b Backend) {
	s := b.Open(t)
	want := identity.Person{ID: "p1", Name: "Ann", Role: identity.RoleAdmin, CreatedAt: moment(0)}
	must(t, s.CreatePerson(t.Context(), want))
	wantErr(t, s.CreatePerson(t.Context(), identity.Person{ID: "p1", Name: "Eve", Role: identity.RoleMember}), identity.ErrExists)
	got, err := s.Person(t.Context(), "p1")
	must(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func ofManyPeopleOfAnIDOneIsCreated(t *testing.T, b Backend) {
	n := winners(t, b, 10, func(ctx context.Context, s Store, _ int) (bool, error) {
		return unless(s.CreatePerson(ctx, identity.Person{ID: "p1", Role: identity.RoleMember, CreatedAt: moment(0)}), identity.ErrExists)
	})
	if n != 1 {
		t.Errorf("%d creators succeeded, want 1", n)
	}
}

func anUnknownPersonIsNotFound(t *testing.T, b Backend) {
	s := b.Open(t)
	_, err := s.Person(t.Context(), "nobody")
	wantErr(t, err, identity.ErrNotFound)
	all, err := s.People(t.Context())
	must(t, err)
	if len(all) != 0 {
		t.Errorf("got %d people, want none", len(all))
	}
}

func peopleAreOldestFirst(t *testing.T, b Backend) {
	s := b.Open(t)
	want := []identity.Person{
		{ID: "c", Name: "Ann", Role: identity.RoleAdmin, CreatedAt: moment(0)},
		{ID: "a", Name: "Bob", Role: identity.RoleMember, CreatedAt: moment(1)},
		{ID: "b", Name: "Ann", Role: identity.RoleMember, CreatedAt: moment(2)},
	}
	for _, i := range []int{1, 2, 0} {
		must(t, s.CreatePerson(t.Context(), want[i]))
	}
	got, err := s.People(t.Context())
	must(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func wantPerson(t *testing.T, s Store, want identity.Person) {
	t.Helper()
	got, err := s.Person(t.Context(), want.ID)
	must(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func everyFieldOfAPersonIsUpdated(t *testing.T, b Backend) {
	s := b.Open(t)
	born := identity.Person{ID: "p1", Name: "Ann", Role: identity.RoleMember, Revision: 1, CreatedAt: moment(0)}
	must(t, s.CreatePerson(t.Context(), born))
	var next identity.Person
	fill(t, &next, 100)
	next.ID, next.Revision = born.ID, born.Revision
	must(t, s.UpdatePerson(t.Context(), &next))
	if next.Revision != 2 {
		t.Errorf("revision %d, want 2", next.Revision)
	}
	next.CreatedAt = born.CreatedAt // never changes
	wantPerson(t, b.Open(t), next)
	next.Disabled = false
	must(t, s.UpdatePerson(t.Context(), &next))
	wantPerson(t, b.Open(t), next)
}

func updateOfAStalePersonIsRefused(t *testing.T, b Backend) {
	one, other := b.Open(t), b.Open(t)
	p := identity.Person{ID: "p1", Name: "Ann", Role: identity.RoleAdmin, Revision: 1, CreatedAt: moment(0)}
	missing := p
	wantErr(t, one.UpdatePerson(t.Context(), &missing), identity.ErrNotFound)
	must(t, one.CreatePerson(t.Context(), p))
	stale := p
	stale.Disabled = true
	must(t, one.UpdatePerson(t.Context(), &p))
	before := stale
	wantErr(t, other.UpdatePerson(t.Context(), &stale), workspace.ErrConflict)
	if diff := cmp.Diff(before, stale); diff != "" {
		t.Errorf("a refused update changed the caller's record:\n%s", diff)
	}
	wantPerson(t, other, p)
}

func ofManyUpdatesOfAPersonOneSucceeds(t *testing.T, b Backend) {
	p := identity.Person{ID: "p1", Role: identity.RoleMember, Revision: 1, CreatedAt: moment(0)}
	must(t, b.Open(t).CreatePerson(t.Context(), p))
	n := winners(t, b, 20, func(ctx context.Context, s Store, _ int) (bool, error) {
		mine := p
		return unless(s.UpdatePerson(ctx, &mine), workspace.ErrConflict)
	})
	if n != 1 {
		t.Errorf("%d updates succeeded, want 1", n)
	}
}
