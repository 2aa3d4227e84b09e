package sqlite

import (
	"context"
	"time"

	"github.com/kalpana-dev/kalpana/identity"
)

const sessionColumns = "hash, person, provider, address, user_agent, created_at, seen_at, expires_at, ends_at"

func readSession(scan func(...any) error) (v identity.Session, err error) {
	err = scan(&v.Hash, &v.Person, &v.Provider, &v.Address, &v.UserAgent,
		moment{&v.CreatedAt}, moment{&v.SeenAt}, moment{&v.ExpiresAt}, moment{&v.EndsAt})
	return v, err
}

// CreateSession implements identity.Store. A hash that exists already is identity.ErrExists.
func (s *Store) CreateSession(ctx context.Context, v identity.Session) error {
	return s.write(ctx, func(tx *tx) error { return tx.insertSession(v) })
}

func (t *tx) insertSession(v identity.Session) error {
	return t.insertNew("INSERT INTO sessions ("+sessionColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
		v.Hash, v.Person, v.Provider, v.Address, v.UserAgent,
		v.CreatedAt.UnixMicro(), v.SeenAt.UnixMicro(), v.ExpiresAt.UnixMicro(), v.EndsAt.UnixMicro())
}

// Session implements identity.Store.
func (s *Store) Session(ctx context.Context, hash string) (identity.Session, error) {
	return one(ctx, s, identity.ErrNotFound, readSession,
		"SELECT "+sessionColumns+" FROM sessions WHERE hash = ?", hash)
}

// Sessions implements identity.Store.
func (s *Store) Sessions(ctx context.Context, person string) ([]identity.Session, error) {
	return list(ctx, s, readSession,
		"SELECT "+sessionColumns+" FROM sessions WHERE person = ? ORDER BY created_at DESC, hash", person)
}

// TouchSession implements identity.Store. A session that was deleted stays so: ErrNotFound.
func (s *Store) TouchSession(ctx context.Context, hash string, seen, expires time.Time) error {
	return s.write(ctx, func(tx *tx) error {
		n, err := tx.exec("UPDATE sessions SET seen_at = ?, expires_at = ? WHERE hash = ?", seen.UnixMicro(), expires.UnixMicro(), hash)
		if err == nil && n == 0 {
			err = identity.ErrNotFound
		}
		return err
	})
}

// DeleteSession implements identity.Store.
func (s *Store) DeleteSession(ctx context.Context, hash string) error {
	return s.write(ctx, func(tx *tx) error {
		_, err := tx.exec("DELETE FROM sessions WHERE hash = ?", hash)
		return err
	})
}
