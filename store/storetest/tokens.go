package storetest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/identity"
)

var tokens = []promise{
	{"EveryFieldComesBack", aTokenComesBack},
	{"ATokenThatWasNeverUsedSaysSo", aTokenThatWasNeverUsedSaysSo},
	{"AHashAndAnIDAreOneTokens", aHashAndAnIDAreOneTokens},
	{"ListsAreNewestFirst", tokensAreNewestFirst},
	{"TouchMovesForwardOnly", touchMovesForwardOnly},
	{"TouchBringsNoTokenBack", touchBringsNoTokenBack},
	{"OnlyItsOwnerDeletesAToken", onlyItsOwnerDeletesAToken},
}

func wantToken(t *testing.T, s Store, want identity.Token) {
	t.Helper()
	got, err := s.Token(t.Context(), want.Hash)
	must(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// token stores a token that was made that many seconds into the tests' day.
func token(t *testing.T, s Store, id string, n int, person string, seconds int) identity.Token {
	t.Helper()
	v := identity.Token{
		ID: id, Hash: hash(n), Person: person, Name: "ci", Scopes: "workspaces:read",
		CreatedAt: moment(seconds), ExpiresAt: moment(seconds + 100), UsedAt: moment(seconds),
	}
	must(t, s.CreateToken(t.Context(), v))
	return v
}

func aTokenComesBack(t *testing.T, b Backend) {
	var want identity.Token
	fill(t, &want, 0)
	s := b.Open(t)
	must(t, s.CreateToken(t.Context(), want))
	wantToken(t, s, want)
	wantToken(t, b.Open(t), want)
}

func aTokenThatWasNeverUsedSaysSo(t *testing.T, b Backend) {
	s := b.Open(t)
	must(t, s.CreateToken(t.Context(), identity.Token{ID: "a", Hash: hash(1), Person: "p1", ExpiresAt: moment(1)}))
	got, err := s.Token(t.Context(), hash(1))
	must(t, err)
	if !got.UsedAt.IsZero() {
		t.Errorf("used at %v", got.UsedAt)
	}
}

func aHashAndAnIDAreOneTokens(t *testing.T, b Backend) {
	s := b.Open(t)
	want := token(t, s, "a", 1, "p1", 0)
	for _, again := range []identity.Token{
		{ID: "a", Hash: hash(2), Person: "p2", CreatedAt: moment(1), ExpiresAt: moment(100)},
		{ID: "b", Hash: hash(1), Person: "p2", CreatedAt: moment(1), ExpiresAt: moment(100)},
	} {
		wantErr(t, b.Open(t).CreateToken(t.Context(), again), identity.ErrExists)
	}
	all, err := s.Tokens(t.Context(), "")
	must(t, err)
	if diff := cmp.Diff([]identity.Token{want}, all); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func tokensAreNewestFirst(t *testing.T, b Backend) {
	s := b.Open(t)
	second, first, third := token(t, s, "a", 1, "p1", 2), token(t, s, "b", 2, "p2", 3), token(t, s, "c", 3, "p1", 1)
	for person, want := range map[string][]identity.Token{
		"": {first, second, third}, "p1": {second, third}, "p2": {first}, "nobody": nil,
	} {
		got, err := s.Tokens(t.Context(), person)
		must(t, err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Tokens(%q) (-want +got):\n%s", person, diff)
		}
	}
}

func touchMovesForwardOnly(t *testing.T, b Backend) {
	one, other := b.Open(t), b.Open(t)
	want, untouched := token(t, one, "a", 1, "p1", 0), token(t, one, "b", 2, "p1", 0)
	must(t, one.TouchToken(t.Context(), want.Hash, moment(60)))
	must(t, other.TouchToken(t.Context(), want.Hash, moment(30))) // by a gateway that was slow
	want.UsedAt = moment(60)
	wantToken(t, one, want)
	wantToken(t, one, untouched)
	must(t, other.TouchToken(t.Context(), want.Hash, moment(60).Add(time.Microsecond)))
	want.UsedAt = moment(60).Add(time.Microsecond)
	wantToken(t, one, want)
}

func touchBringsNoTokenBack(t *testing.T, b Backend) {
	s := b.Open(t)
	v := token(t, s, "a", 1, "p1", 0)
	must(t, s.DeleteToken(t.Context(), "p1", v.ID))
	must(t, s.TouchToken(t.Context(), v.Hash, moment(60)))
	_, err := s.Token(t.Context(), v.Hash)
	wantErr(t, err, identity.ErrNotFound)
}

func onlyItsOwnerDeletesAToken(t *testing.T, b Backend) {
	s := b.Open(t)
	_, err := s.Token(t.Context(), hash(1))
	wantErr(t, err, identity.ErrNotFound)
	wantErr(t, s.DeleteToken(t.Context(), "p1", "a"), identity.ErrNotFound)
	v := token(t, s, "a", 1, "p1", 0)
	for _, person := range []string{"p2", ""} {
		wantErr(t, s.DeleteToken(t.Context(), person, "a"), identity.ErrNotFound)
	}
	wantToken(t, s, v)
	must(t, b.Open(t).DeleteToken(t.Context(), "p1", "a"))
	_, err = s.Token(t.Context(), hash(1))
	wantErr(t, err, identity.ErrNotFound)
}
