package storetest

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

var modelKeys = []promise{
	{"EveryFieldComesBack", aModelKeyComesBack},
	{"ANewOneTakesThePlaceOfTheOld", aNewModelKeyTakesThePlaceOfTheOld},
	{"OnlyWhatWasReadIsSealedAnew", onlyTheModelKeyThatWasReadIsSealedAnew},
}

func wantModelKeys(t *testing.T, s Store, want ...identity.ModelKey) {
	t.Helper()
	got, err := s.ModelKeys(t.Context())
	must(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func aModelKeyComesBack(t *testing.T, b Backend) {
	var want identity.ModelKey
	fill(t, &want, 0)
	s := b.Open(t)
	must(t, s.PutModelKey(t.Context(), want))
	got, err := b.Open(t).ModelKey(t.Context(), want.Person)
	must(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	must(t, s.DeleteModelKey(t.Context(), want.Person))
	must(t, s.DeleteModelKey(t.Context(), want.Person))
	_, err = s.ModelKey(t.Context(), want.Person)
	wantErr(t, err, identity.ErrNotFound)
	wantModelKeys(t, s)
}

func aNewModelKeyTakesThePlaceOfTheOld(t *testing.T, b Backend) {
	s := b.Open(t)
	bobs := identity.ModelKey{Person: "bob", Sealed: []byte{3}, Last: "zzzz", UpdatedAt: moment(0)}
	must(t, s.PutModelKey(t.Context(), bobs))
	must(t, s.PutModelKey(t.Context(), identity.ModelKey{Person: "ann", Sealed: []byte{1}, Last: "abcd", UpdatedAt: moment(0)}))
	second := identity.ModelKey{Person: "ann", Sealed: []byte{2, 0}, Last: "efgh", UpdatedAt: moment(1)}
	must(t, b.Open(t).PutModelKey(t.Context(), second))
	wantModelKeys(t, s, second, bobs)
}

func onlyTheModelKeyThatWasReadIsSealedAnew(t *testing.T, b Backend) {
	s := b.Open(t)
	k := identity.ModelKey{Person: "ann", Sealed: []byte{1}, Last: "abcd", UpdatedAt: moment(0)}
	must(t, s.PutModelKey(t.Context(), k))
	wantErr(t, s.ResealModelKey(t.Context(), "ann", []byte{2}, []byte{3}), workspace.ErrConflict)
	wantErr(t, s.ResealModelKey(t.Context(), "bob", []byte{1}, []byte{3}), workspace.ErrConflict)
	wantModelKeys(t, s, k)
	must(t, b.Open(t).ResealModelKey(t.Context(), "ann", []byte{1}, []byte{3}))
	k.Sealed = []byte{3}
	wantModelKeys(t, s, k)
}
