package sqlite

import (
	"context"
	"time"

	"github.com/kalpana-dev/kalpana/identity"
)

// CreateTicket implements identity.Store. A hash that exists already is identity.ErrExists.
func (s *Store) CreateTicket(ctx context.Context, t identity.Ticket) error {
	payload := t.Payload
	if payload == nil {
		payload = []byte{} // not NULL
	}
	return s.write(ctx, func(tx *tx) error {
		n, err := tx.exec("INSERT INTO tickets (hash, kind, payload, expires_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
			t.Hash, t.Kind, payload, t.ExpiresAt.UnixMicro())
		if err == nil && n == 0 {
			err = identity.ErrExists
		}
		return err
	})
}

// TakeTicket implements identity.Store. One that has ended waits for Purge.
func (s *Store) TakeTicket(ctx context.Context, kind, hash string, now time.Time) (identity.Ticket, error) {
	var t identity.Ticket
	err := s.write(ctx, func(tx *tx) error {
		found, err := tx.find("DELETE FROM tickets WHERE hash = ? AND kind = ? AND expires_at > ? RETURNING hash, kind, payload, expires_at",
			[]any{hash, kind, now.UnixMicro()}, []any{&t.Hash, &t.Kind, &t.Payload, moment{&t.ExpiresAt}})
		if err == nil && !found {
			err = identity.ErrNotFound
		}
		return err
	})
	if err != nil {
		return identity.Ticket{}, err
	}
	return t, nil
}
