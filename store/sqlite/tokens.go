package sqlite

import (
	"context"
	"time"

	"github.com/kalpana-dev/kalpana/identity"
)

const tokenColumns = "hash, id, person, name, scopes, created_at, expires_at, used_at" //nolint:gosec // no credential

func readToken(scan func(...any) error) (t identity.Token, err error) {
	err = scan(&t.Hash, &t.ID, &t.Person, &t.Name, &t.Scopes, moment{&t.CreatedAt}, moment{&t.ExpiresAt}, moment{&t.UsedAt})
	return t, err
}

// CreateToken implements identity.Store. A hash or an id that exists already is identity.ErrExists.
func (s *Store) CreateToken(ctx context.Context, v identity.Token) error {
	return s.write(ctx, func(tx *tx) error { return tx.insertToken(v) })
}

func (t *tx) insertToken(v identity.Token) error {
	return t.insertNew("INSERT INTO tokens ("+tokenColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
		v.Hash, v.ID, v.Person, v.Name, v.Scopes, v.CreatedAt.UnixMicro(), v.ExpiresAt.UnixMicro(), v.UsedAt.UnixMicro())
}

// Token implements identity.Store.
func (s *Store) Token(ctx context.Context, hash string) (identity.Token, error) {
	return one(ctx, s, identity.ErrNotFound, readToken, "SELECT "+tokenColumns+" FROM tokens WHERE hash = ?", hash)
}

// Tokens implements identity.Store.
func (s *Store) Tokens(ctx context.Context, person string) ([]identity.Token, error) {
	const order = " ORDER BY created_at DESC, id"
	if person == "" {
		return list(ctx, s, readToken, "SELECT "+tokenColumns+" FROM tokens"+order)
	}
	return list(ctx, s, readToken, "SELECT "+tokenColumns+" FROM tokens WHERE person = ?"+order, person)
}

// TouchToken implements identity.Store. The time of use moves forward only.
func (s *Store) TouchToken(ctx context.Context, hash string, used time.Time) error {
	return s.write(ctx, func(tx *tx) error {
		_, err := tx.exec("UPDATE tokens SET used_at = ?1 WHERE hash = ?2 AND used_at < ?1", used.UnixMicro(), hash)
		return err
	})
}

// DeleteToken implements identity.Store.
func (s *Store) DeleteToken(ctx context.Context, person, id string) error {
	return s.write(ctx, func(tx *tx) error {
		n, err := tx.exec("DELETE FROM tokens WHERE person = ? AND id = ?", person, id)
		if err == nil && n == 0 {
			err = identity.ErrNotFound
		}
		return err
	})
}
