package storetest

import (
	"context"
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
