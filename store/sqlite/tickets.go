package sqlite

import (
	"context"
	"time"

	"github.com/kalpana-dev/kalpana/identity"
)

// CreateTicket implements identity.Store. A hash that exists already is identity.ErrExists.
func (s *Store) CreateTicket(ctx context.Context, v identity.Ticket) error {
	return s.write(ctx, func(tx *tx) error { return tx.insertTicket(v) })
}

const ticketColumns = "hash, kind, payload, expires_at"

func (t *tx) insertTicket(v identity.Ticket) error {
	return t.insertNew("INSERT INTO tickets ("+ticketColumns+") VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
		v.Hash, v.Kind, notNull(v.Payload), v.ExpiresAt.UnixMicro())
}

func readTicket(scan func(...any) error) (t identity.Ticket, err error) {
	err = scan(&t.Hash, &t.Kind, &t.Payload, moment{&t.ExpiresAt})
	return t, err
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

// Tickets implements identity.Store.
func (s *Store) Tickets(ctx context.Context, kind string) ([]identity.Ticket, error) {
	return list(ctx, s, readTicket, "SELECT "+ticketColumns+" FROM tickets WHERE kind = ? ORDER BY expires_at DESC, hash", kind)
}

// DeleteTicket implements identity.Store.
func (s *Store) DeleteTicket(ctx context.Context, kind, hash string) error {
	return s.write(ctx, func(tx *tx) error {
		_, err := tx.exec("DELETE FROM tickets WHERE hash = ? AND kind = ?", hash, kind)
		return err
	})
}
