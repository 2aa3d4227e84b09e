package storetest

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/orchestrator"
)

var leases = []promise{
	{"AHeldLeaseIsRefusedToOthers", aHeldLeaseIsRefusedToOthers},
	{"ALeaseEndsAtItsTime", aLeaseEndsAtItsTime},
	{"TheHolderExtendsIt", theHolderExtendsIt},
	{"OnlyTheHolderReleasesIt", onlyTheHolderReleasesIt},
	{"LeasesOfOtherNamesDoNotMeet", leasesOfOtherNamesDoNotMeet},
	{"LeasesAreListedByPrefixUntilTheyEnd", leasesAreListedByPrefixUntilTheyEnd},
	{"OfManyGatewaysOneAcquires", ofManyGatewaysOneAcquires},
	{"AnEndedLeaseGoesToOne", anEndedLeaseGoesToOne},
	{"AClockThatIsSetBackTakesNoLeaseAway", aClockThatIsSetBackTakesNoLeaseAway},
	{"TheHolderItselfAcquiresAtOnceInManyPlaces", theHolderItselfAcquiresAtOnceInManyPlaces},
}

func aHeldLeaseIsRefusedToOthers(t *testing.T, b Backend) {
	one, other := b.Open(t), b.Open(t)
	wantTrue(t, "a free lease")(one.AcquireLease(t.Context(), "wake/a", "g1", moment(0), moment(30)))
	wantFalse(t, "a held lease")(other.AcquireLease(t.Context(), "wake/a", "g2", moment(1), moment(31)))
	wantFalse(t, "a held lease, on the holder's client")(one.AcquireLease(t.Context(), "wake/a", "g2", moment(1), moment(31)))
}

func aLeaseEndsAtItsTime(t *testing.T, b Backend) {
	s := b.Open(t)
	end := moment(30)
	wantTrue(t, "a free lease")(s.AcquireLease(t.Context(), "wake/a", "g1", moment(0), end))
	wantFalse(t, "a microsecond before its end")(s.AcquireLease(t.Context(), "wake/a", "g2", end.Add(-time.Microsecond), moment(60)))
	wantTrue(t, "at its end")(s.AcquireLease(t.Context(), "wake/a", "g2", end, moment(60)))
	wantFalse(t, "the former holder")(s.AcquireLease(t.Context(), "wake/a", "g1", moment(31), moment(61)))
}

func theHolderExtendsIt(t *testing.T, b Backend) {
	one, other := b.Open(t), b.Open(t)
	wantTrue(t, "a free lease")(one.AcquireLease(t.Context(), "wake/a", "g1", moment(0), moment(30)))
	wantTrue(t, "extended")(one.AcquireLease(t.Context(), "wake/a", "g1", moment(20), moment(50)))
	wantFalse(t, "after its first end")(other.AcquireLease(t.Context(), "wake/a", "g2", moment(40), moment(70)))
	wantTrue(t, "after its second end")(other.AcquireLease(t.Context(), "wake/a", "g2", moment(50), moment(80)))
}

func onlyTheHolderReleasesIt(t *testing.T, b Backend) {
	one, other := b.Open(t), b.Open(t)
	must(t, one.ReleaseLease(t.Context(), "wake/a", "g1"))
	wantTrue(t, "a free lease")(one.AcquireLease(t.Context(), "wake/a", "g1", moment(0), moment(30)))
	must(t, other.ReleaseLease(t.Context(), "wake/a", "g2"))
	wantFalse(t, "released by somebody else")(other.AcquireLease(t.Context(), "wake/a", "g2", moment(1), moment(31)))
	must(t, one.ReleaseLease(t.Context(), "wake/a", "g1"))
	must(t, one.ReleaseLease(t.Context(), "wake/a", "g1"))
	wantTrue(t, "released")(other.AcquireLease(t.Context(), "wake/a", "g2", moment(2), moment(32)))
}

func leasesOfOtherNamesDoNotMeet(t *testing.T, b Backend) {
	s := b.Open(t)
	wantTrue(t, "a")(s.AcquireLease(t.Context(), "wake/a", "g1", moment(0), moment(30)))
	wantTrue(t, "b")(s.AcquireLease(t.Context(), "wake/b", "g2", moment(0), moment(30)))
	must(t, s.ReleaseLease(t.Context(), "wake/a", "g1"))
	wantFalse(t, "b again")(s.AcquireLease(t.Context(), "wake/b", "g1", moment(1), moment(31)))
}

func leasesAreListedByPrefixUntilTheyEnd(t *testing.T, b Backend) {
	s := b.Open(t)
	for _, name := range []string{"use:b", "use:a", "user", "us", "USE:c", "use_d", "use:"} {
		wantTrue(t, name)(s.AcquireLease(t.Context(), name, "holder of "+name, moment(0), moment(30)))
	}
	wantTrue(t, "a short one")(s.AcquireLease(t.Context(), "use:short", "g1", moment(0), moment(10)))
	got, err := b.Open(t).Leases(t.Context(), "use:", moment(10))
	must(t, err)
	want := []orchestrator.Lease{
		{Name: "use:", Holder: "holder of use:", EndsAt: moment(30)},
		{Name: "use:a", Holder: "holder of use:a", EndsAt: moment(30)},
		{Name: "use:b", Holder: "holder of use:b", EndsAt: moment(30)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	got, err = s.Leases(t.Context(), "use:", moment(30))
	must(t, err)
	if len(got) != 0 {
		t.Errorf("at their end %v are listed", got)
	}
}

func ofManyGatewaysOneAcquires(t *testing.T, b Backend) {
	n := winners(t, b, 20, func(ctx context.Context, s Store, i int) (bool, error) {
		return s.AcquireLease(ctx, "wake/a", "g"+strconv.Itoa(i), moment(0), moment(30))
	})
	if n != 1 {
		t.Errorf("%d gateways hold the lease, want 1", n)
	}
}

func anEndedLeaseGoesToOne(t *testing.T, b Backend) {
	wantTrue(t, "a free lease")(b.Open(t).AcquireLease(t.Context(), "wake/a", "crashed", moment(0), moment(30)))
	n := winners(t, b, 20, func(ctx context.Context, s Store, i int) (bool, error) {
		return s.AcquireLease(ctx, "wake/a", "g"+strconv.Itoa(i), moment(31), moment(61))
	})
	if n != 1 {
		t.Errorf("%d gateways hold the lease, want 1", n)
	}
}

func aClockThatIsSetBackTakesNoLeaseAway(t *testing.T, b Backend) {
	one, other := b.Open(t), b.Open(t)
	wantTrue(t, "a free lease")(one.AcquireLease(t.Context(), "wake/a", "g1", moment(300), moment(315)))
	// Five minutes back, on both.
	wantFalse(t, "a held lease")(other.AcquireLease(t.Context(), "wake/a", "g2", moment(1), moment(16)))
	wantTrue(t, "extended to an earlier end")(one.AcquireLease(t.Context(), "wake/a", "g1", moment(2), moment(17)))
	wantFalse(t, "before that end")(other.AcquireLease(t.Context(), "wake/a", "g2", moment(16), moment(31)))
	wantTrue(t, "at that end")(other.AcquireLease(t.Context(), "wake/a", "g2", moment(17), moment(32)))
}

func theHolderItselfAcquiresAtOnceInManyPlaces(t *testing.T, b Backend) {
	n := winners(t, b, 10, func(ctx context.Context, s Store, _ int) (bool, error) {
		return s.AcquireLease(ctx, "one", "same", moment(0), moment(30))
	})
	if n != 10 {
		t.Errorf("%d of 10 acquired the lease of their common name", n)
	}
}
