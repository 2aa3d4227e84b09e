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
func (s *Store) CreateToken(ctx context.Context, t identity.Token) error {
	return s.write(ctx, func(tx *tx) error {
		n, err := tx.exec("INSERT INTO tokens ("+tokenColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
			t.Hash, t.ID, t.Person, t.Name, t.Scopes, t.CreatedAt.UnixMicro(), t.ExpiresAt.UnixMicro(), t.UsedAt.UnixMicro())
		if err == nil && n == 0 {
			err = identity.ErrExists
		}
		return err
	})
}

// Token implements identity.Store.
func (s *Store) Token(ctx context.Context, hash string) (identity.Token, error) {
	return one(ctx, s, identity.ErrNotFound, readToken, "SELECT "+tokenColumns+" FROM tokens WHERE hash = ?", hash)
}

// Tokens implements identity.Store.
func (s *Store) Tokens(ctx context.Context, person string) ([]identity.Token, error) {
	return list(ctx, s, readToken,
		"SELECT "+tokenColumns+" FROM tokens WHERE person = ?1 OR ?1 = '' ORDER BY created_at DESC, id", person)
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
