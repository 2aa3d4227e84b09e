package storetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/identity"
)

var tickets = []promise{
	{"EveryFieldComesBack", aTicketComesBack},
	{"APayloadOfFourKiBComesBack", aPayloadOfFourKiBComesBack},
	{"ATicketIsTakenOnce", aTicketIsTakenOnce},
	{"OfAHundredTakersOneGetsTheTicket", ofAHundredTakersOneGetsTheTicket},
	{"ATicketOfAnotherKindStays", aTicketOfAnotherKindStays},
	{"AnEndedTicketIsNotFound", anEndedTicketIsNotFound},
	{"AKindsListHasThoseThatLastLongestFirst", aKindsTicketsLastLongestFirst},
	{"ADeletedTicketIsNotFound", aDeletedTicketIsNotFound},
}

func aTicketComesBack(t *testing.T, b Backend) {
	var want identity.Ticket
	fill(t, &want, 0)
	must(t, b.Open(t).CreateTicket(t.Context(), want))
	got, err := b.Open(t).TakeTicket(t.Context(), want.Kind, want.Hash, moment(0))
	must(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func aPayloadOfFourKiBComesBack(t *testing.T, b Backend) {
	s := b.Open(t)
	payload := make([]byte, 4<<10)
	for i := range payload {
		payload[i] = byte(i)
	}
	must(t, s.CreateTicket(t.Context(), identity.Ticket{Hash: hash(1), Kind: "link", Payload: payload, ExpiresAt: moment(30)}))
	got, err := s.TakeTicket(t.Context(), "link", hash(1), moment(0))
	must(t, err)
	if diff := cmp.Diff(payload, got.Payload); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func aTicketIsTakenOnce(t *testing.T, b Backend) {
	one, other := b.Open(t), b.Open(t)
	_, err := one.TakeTicket(t.Context(), "link", hash(1), moment(0))
	wantErr(t, err, identity.ErrNotFound)
	must(t, one.CreateTicket(t.Context(), identity.Ticket{Hash: hash(1), Kind: "link", ExpiresAt: moment(30)}))
	_, err = other.TakeTicket(t.Context(), "link", hash(1), moment(0))
	must(t, err)
	for _, s := range []Store{one, other} {
		_, err = s.TakeTicket(t.Context(), "link", hash(1), moment(0))
		wantErr(t, err, identity.ErrNotFound)
	}
}

func ofAHundredTakersOneGetsTheTicket(t *testing.T, b Backend) {
	must(t, b.Open(t).CreateTicket(t.Context(), identity.Ticket{Hash: hash(1), Kind: "handoff", ExpiresAt: moment(30)}))
	n := winners(t, b, 100, func(ctx context.Context, s Store, _ int) (bool, error) {
		_, err := s.TakeTicket(ctx, "handoff", hash(1), moment(0))
		return unless(err, identity.ErrNotFound)
	})
	if n != 1 {
		t.Errorf("%d takers got the ticket, want 1", n)
	}
}

func aTicketOfAnotherKindStays(t *testing.T, b Backend) {
	s := b.Open(t)
	must(t, s.CreateTicket(t.Context(), identity.Ticket{Hash: hash(1), Kind: "link", ExpiresAt: moment(30)}))
	_, err := s.TakeTicket(t.Context(), "handoff", hash(1), moment(0))
	wantErr(t, err, identity.ErrNotFound)
	_, err = s.TakeTicket(t.Context(), "link", hash(1), moment(0))
	must(t, err)
}

func anEndedTicketIsNotFound(t *testing.T, b Backend) {
	s := b.Open(t)
	end := moment(30)
	must(t, s.CreateTicket(t.Context(), identity.Ticket{Hash: hash(1), Kind: "link", ExpiresAt: end}))
	for _, now := range []time.Time{end.Add(time.Hour), end} {
		_, err := s.TakeTicket(t.Context(), "link", hash(1), now)
		wantErr(t, err, identity.ErrNotFound)
	}
	must(t, s.CreateTicket(t.Context(), identity.Ticket{Hash: hash(2), Kind: "link", ExpiresAt: end}))
	_, err := s.TakeTicket(t.Context(), "link", hash(2), end.Add(-time.Microsecond))
	must(t, err)
}

func aKindsTicketsLastLongestFirst(t *testing.T, b Backend) {
	s := b.Open(t)
	made := func(n int, kind string, seconds int) identity.Ticket {
		v := identity.Ticket{Hash: hash(n), Kind: kind, Payload: fmt.Appendf(nil, "%d", n), ExpiresAt: moment(seconds)}
		must(t, s.CreateTicket(t.Context(), v))
		return v
	}
	second, first, other := made(1, "invitation", 10), made(2, "invitation", 20), made(3, "link", 30)
	for kind, want := range map[string][]identity.Ticket{
		"invitation": {first, second}, "link": {other}, "handoff": nil, "": nil,
	} {
		got, err := b.Open(t).Tickets(t.Context(), kind)
		must(t, err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Tickets(%q) (-want +got):\n%s", kind, diff)
		}
	}
	_, err := s.TakeTicket(t.Context(), "invitation", first.Hash, moment(0)) // a list uses nothing up
	must(t, err)
}

func aDeletedTicketIsNotFound(t *testing.T, b Backend) {
	s := b.Open(t)
	must(t, s.DeleteTicket(t.Context(), "invitation", hash(1)))
	must(t, s.CreateTicket(t.Context(), identity.Ticket{Hash: hash(1), Kind: "invitation", ExpiresAt: moment(30)}))
	must(t, s.CreateTicket(t.Context(), identity.Ticket{Hash: hash(2), Kind: "link", ExpiresAt: moment(30)}))
	must(t, b.Open(t).DeleteTicket(t.Context(), "invitation", hash(1)))
	must(t, s.DeleteTicket(t.Context(), "invitation", hash(2))) // another kind's stays
	_, err := s.TakeTicket(t.Context(), "invitation", hash(1), moment(0))
	wantErr(t, err, identity.ErrNotFound)
	_, err = s.TakeTicket(t.Context(), "link", hash(2), moment(0))
	must(t, err)
}
