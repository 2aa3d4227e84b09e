package mongo

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/kalpana-dev/kalpana/identity"
)

type ticketDoc struct {
	Hash      string `bson:"_id"`
	Kind      string `bson:"kind"`
	Payload   []byte `bson:"payload"`
	ExpiresAt int64  `bson:"expires_at"`
}

func ticketDocOf(t identity.Ticket) ticketDoc {
	return ticketDoc{t.Hash, t.Kind, notNull(t.Payload), t.ExpiresAt.UnixMicro()}
}

func (d ticketDoc) read() (identity.Ticket, error) {
	return identity.Ticket{Hash: d.Hash, Kind: d.Kind, Payload: d.Payload, ExpiresAt: moment(d.ExpiresAt)}, nil
}

// CreateTicket implements identity.Store. A hash that exists already is identity.ErrExists.
func (s *Store) CreateTicket(ctx context.Context, t identity.Ticket) error {
	return s.create(ctx, tickets, ticketDocOf(t))
}

// TakeTicket implements identity.Store. One that has ended waits for Purge.
func (s *Store) TakeTicket(ctx context.Context, kind, hash string, now time.Time) (identity.Ticket, error) {
	taken := s.db.Collection(tickets).FindOneAndDelete(ctx,
		bson.M{"_id": hash, "kind": kind, "expires_at": bson.M{"$gt": now.UnixMicro()}})
	return decode[ticketDoc](ctx, s, taken, identity.ErrNotFound)
}

// Tickets implements identity.Store.
func (s *Store) Tickets(ctx context.Context, kind string) ([]identity.Ticket, error) {
	return list[ticketDoc](ctx, s, tickets, bson.M{"kind": kind}, bson.D{{Key: "expires_at", Value: -1}, {Key: "_id", Value: 1}})
}

// DeleteTicket implements identity.Store.
func (s *Store) DeleteTicket(ctx context.Context, kind, hash string) error {
	_, err := s.deleteOne(ctx, tickets, bson.M{"_id": hash, "kind": kind})
	return err
}
