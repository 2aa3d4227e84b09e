package storetest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kalpana-dev/kalpana/identity"
)

var revocations = []promise{
	{"EveryFieldComesBack", aRevocationComesBack},
	{"ReadingFromATimeIncludesIt", readingFromATimeIncludesIt},
	{"OneThatArrivesLateIsInTheOverlap", oneThatArrivesLateIsInTheOverlap},
	{"TwoOfOneTimeAreBothKept", twoOfOneTimeAreBothKept},
	{"AnEmptyOneIsRefused", anEmptyOneIsRefused},
}

func wantRevocations(t *testing.T, s Store, since time.Time, want ...identity.Revocation) {
	t.Helper()
	got, err := s.Revocations(t.Context(), since)
	must(t, err)
	byTime := cmpopts.SortSlices(func(a, b identity.Revocation) bool {
		if !a.At.Equal(b.At) {
			return a.At.Before(b.At)
		}
		return a.Session < b.Session
	})
	if diff := cmp.Diff(want, got, byTime, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("Revocations since %v (-want +got):\n%s", since, diff)
	}
}

func aRevocationComesBack(t *testing.T, b Backend) {
	var all identity.Revocation
	fill(t, &all, 0)
	want := []identity.Revocation{
		{At: moment(0), Session: hash(1)},
		{At: moment(0), Person: "p1"},
		{At: moment(0), Workspace: "abcdefghij"},
		{At: moment(0), Person: "p1", Workspace: "abcdefghij"},
		{At: moment(0), Label: "3000-abcdefghij"},
		all,
	}
	s := b.Open(t)
	for i := range want {
		if i < len(want)-1 {
			want[i].At = moment(i - len(want))
		}
		must(t, s.AppendRevocation(t.Context(), want[i]))
	}
	wantRevocations(t, b.Open(t), moment(-100), want...)
}

func readingFromATimeIncludesIt(t *testing.T, b Backend) {
	s := b.Open(t)
	early, late := identity.Revocation{At: moment(0), Person: "p1"}, identity.Revocation{At: moment(10), Person: "p2"}
	must(t, s.AppendRevocation(t.Context(), late))
	must(t, s.AppendRevocation(t.Context(), early))
	wantRevocations(t, s, moment(0), early, late)
	wantRevocations(t, s, moment(0).Add(time.Microsecond), late)
	wantRevocations(t, s, moment(10), late)
	wantRevocations(t, s, moment(11))
}

func oneThatArrivesLateIsInTheOverlap(t *testing.T, b Backend) {
	one, other := b.Open(t), b.Open(t)
	prompt, slow := identity.Revocation{At: moment(10), Person: "p1"}, identity.Revocation{At: moment(8), Person: "p2"}
	must(t, one.AppendRevocation(t.Context(), prompt))
	wantRevocations(t, one, moment(-20), prompt)
	must(t, other.AppendRevocation(t.Context(), slow)) // by a gateway that hung, or whose clock is behind
	wantRevocations(t, one, moment(-20), slow, prompt)
	wantRevocations(t, one, moment(-20), slow, prompt) // reading uses nothing up
}

func twoOfOneTimeAreBothKept(t *testing.T, b Backend) {
	s := b.Open(t)
	one, other := identity.Revocation{At: moment(0), Session: hash(1)}, identity.Revocation{At: moment(0), Session: hash(2)}
	must(t, s.AppendRevocation(t.Context(), one))
	must(t, s.AppendRevocation(t.Context(), other))
	wantRevocations(t, s, moment(0), one, other)
}

func anEmptyOneIsRefused(t *testing.T, b Backend) {
	s := b.Open(t)
	if err := s.AppendRevocation(t.Context(), identity.Revocation{At: moment(0)}); err == nil {
		t.Error("an empty revocation was taken")
	}
	wantRevocations(t, s, moment(-100))
}
