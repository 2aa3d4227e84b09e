package storetest

import (
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/identity"
)

var purge = []promise{
	{"WhatEndedGoes", whatEndedGoes},
	{"WhatIsGoodStays", whatIsGoodStays},
	{"RevocationsAreKeptAsLongAsAsked", revocationsAreKeptAsLongAsAsked},
}

func whatEndedGoes(t *testing.T, b Backend) {
	s := b.Open(t)
	must(t, s.CreateSession(t.Context(), identity.Session{Hash: hash(1), Person: "p1", ExpiresAt: moment(10)}))
	must(t, s.CreateTicket(t.Context(), identity.Ticket{Hash: hash(1), Kind: "link", ExpiresAt: moment(10)}))
	must(t, s.CreateToken(t.Context(), identity.Token{ID: "a", Hash: hash(1), Person: "p1", ExpiresAt: moment(10)}))
	must(t, s.Purge(t.Context(), moment(11), time.Hour))
	_, err := s.Session(t.Context(), hash(1))
	wantErr(t, err, identity.ErrNotFound)
	_, err = s.Token(t.Context(), hash(1))
	wantErr(t, err, identity.ErrNotFound)
	_, err = s.TakeTicket(t.Context(), "link", hash(1), moment(0)) // it would still be good then
	wantErr(t, err, identity.ErrNotFound)
}

func whatIsGoodStays(t *testing.T, b Backend) {
	s := b.Open(t)
	session := identity.Session{Hash: hash(1), Person: "p1", ExpiresAt: moment(10)}
	w := created(t, s, "p1")
	must(t, s.CreatePerson(t.Context(), identity.Person{ID: "p1", CreatedAt: moment(-1000)}))
	must(t, s.CreateSession(t.Context(), session))
	must(t, s.CreateTicket(t.Context(), identity.Ticket{Hash: hash(1), Kind: "link", ExpiresAt: moment(10)}))
	keptToken, keptAccount := token(t, s, "a", 1, "p1", 0), account(t, s, "github", "1", "p1", -1000)
	must(t, s.AppendAudit(t.Context(), event(-1000, nil)))
	wantTrue(t, "a free port")(s.ClaimPort(t.Context(), 40000, w.ID))
	wantTrue(t, "a free lease")(s.AcquireLease(t.Context(), "wake/a", "g1", moment(0), moment(10)))

	must(t, s.Purge(t.Context(), moment(9), 0))

	wantSession(t, s, session)
	_, err := s.TakeTicket(t.Context(), "link", hash(1), moment(9))
	must(t, err)
	wantFalse(t, "a held lease")(s.AcquireLease(t.Context(), "wake/a", "g2", moment(9), moment(20)))
	_, err = s.Person(t.Context(), "p1")
	must(t, err)
	wantToken(t, s, keptToken)
	wantAccount(t, s, keptAccount)
	wantEvents(t, s, identity.AuditQuery{}, event(-1000, nil))
	wantStored(t, s, w)
	wantFalse(t, "a claimed port")(s.ClaimPort(t.Context(), 40000, created(t, s, "p2").ID))
}

func revocationsAreKeptAsLongAsAsked(t *testing.T, b Backend) {
	s := b.Open(t)
	old, young := identity.Revocation{At: moment(0), Person: "p1"}, identity.Revocation{At: moment(20), Person: "p2"}
	must(t, s.AppendRevocation(t.Context(), old))
	must(t, s.AppendRevocation(t.Context(), young))
	must(t, s.Purge(t.Context(), moment(100), 90*time.Second))
	wantRevocations(t, s, moment(-100), young)
}
