package storetest

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/identity"
)

var sessions = []promise{
	{"EveryFieldComesBack", aSessionComesBack},
	{"TouchMovesItsTimes", touchMovesItsTimes},
	{"ADeletedSessionIsNotFound", aDeletedSessionIsNotFound},
	{"TouchBringsNoSessionBack", touchBringsNoSessionBack},
	{"APersonsListIsNewestFirst", aPersonsSessionsAreNewestFirst},
}

func wantSession(t *testing.T, s Store, want identity.Session) {
	t.Helper()
	got, err := s.Session(t.Context(), want.Hash)
	must(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func aSessionComesBack(t *testing.T, b Backend) {
	s := b.Open(t)
	var want identity.Session
	fill(t, &want, 0)
	must(t, s.CreateSession(t.Context(), want))
	wantSession(t, s, want)
	wantSession(t, b.Open(t), want)
}

func touchMovesItsTimes(t *testing.T, b Backend) {
	s := b.Open(t)
	one := identity.Session{Hash: hash(1), Person: "p1", CreatedAt: moment(0), SeenAt: moment(0), ExpiresAt: moment(100)}
	other := identity.Session{Hash: hash(2), Person: "p1", CreatedAt: moment(0), SeenAt: moment(0), ExpiresAt: moment(100)}
	must(t, s.CreateSession(t.Context(), one))
	must(t, s.CreateSession(t.Context(), other))
	must(t, s.TouchSession(t.Context(), one.Hash, moment(10), moment(110)))
	one.SeenAt, one.ExpiresAt = moment(10), moment(110)
	wantSession(t, s, one)
	wantSession(t, s, other)
}

func aDeletedSessionIsNotFound(t *testing.T, b Backend) {
	s := b.Open(t)
	_, err := s.Session(t.Context(), hash(1))
	wantErr(t, err, identity.ErrNotFound)
	must(t, s.DeleteSession(t.Context(), hash(1)))
	must(t, s.CreateSession(t.Context(), identity.Session{Hash: hash(1), Person: "p1", ExpiresAt: moment(100)}))
	must(t, b.Open(t).DeleteSession(t.Context(), hash(1)))
	_, err = s.Session(t.Context(), hash(1))
	wantErr(t, err, identity.ErrNotFound)
}

func touchBringsNoSessionBack(t *testing.T, b Backend) {
	s := b.Open(t)
	must(t, s.CreateSession(t.Context(), identity.Session{Hash: hash(1), Person: "p1", ExpiresAt: moment(100)}))
	must(t, s.DeleteSession(t.Context(), hash(1)))
	wantErr(t, s.TouchSession(t.Context(), hash(1), moment(1), moment(101)), identity.ErrNotFound)
	_, err := s.Session(t.Context(), hash(1))
	wantErr(t, err, identity.ErrNotFound)
}

func aPersonsSessionsAreNewestFirst(t *testing.T, b Backend) {
	s := b.Open(t)
	made := func(n int, person string, seconds int) identity.Session {
		v := identity.Session{
			Hash: hash(n), Person: person, Provider: "link", CreatedAt: moment(seconds), SeenAt: moment(seconds),
			ExpiresAt: moment(100), EndsAt: moment(1000),
		}
		must(t, s.CreateSession(t.Context(), v))
		return v
	}
	third, first, other, second := made(1, "p1", 1), made(2, "p1", 3), made(3, "p2", 4), made(4, "p1", 2)
	for person, want := range map[string][]identity.Session{
		"p1": {first, second, third}, "p2": {other}, "nobody": nil, "": nil,
	} {
		got, err := b.Open(t).Sessions(t.Context(), person)
		must(t, err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Sessions(%q) (-want +got):\n%s", person, diff)
		}
	}
	must(t, s.DeleteSession(t.Context(), second.Hash))
	got, err := s.Sessions(t.Context(), "p1")
	must(t, err)
	if diff := cmp.Diff([]identity.Session{first, third}, got); diff != "" {
		t.Errorf("after one was deleted (-want +got):\n%s", diff)
	}
}
