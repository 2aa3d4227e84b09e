package sqlite

import (
	"context"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

const modelKeyColumns = "person, sealed, last, updated_at"

func readModelKey(scan func(...any) error) (k identity.ModelKey, err error) {
	err = scan(&k.Person, &k.Sealed, &k.Last, moment{&k.UpdatedAt})
	return k, err
}

// PutModelKey implements identity.Store.
func (s *Store) PutModelKey(ctx context.Context, k identity.ModelKey) error {
	return s.write(ctx, func(tx *tx) error { return tx.putModelKey(k) })
}

func (t *tx) putModelKey(k identity.ModelKey) error {
	_, err := t.exec("INSERT INTO model_keys ("+modelKeyColumns+`) VALUES (?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET sealed = excluded.sealed, last = excluded.last, updated_at = excluded.updated_at`,
		k.Person, notNull(k.Sealed), k.Last, k.UpdatedAt.UnixMicro())
	return err
}

// ModelKey implements identity.Store.
func (s *Store) ModelKey(ctx context.Context, person string) (identity.ModelKey, error) {
	return one(ctx, s, identity.ErrNotFound, readModelKey, "SELECT "+modelKeyColumns+" FROM model_keys WHERE person = ?", person)
}

// ModelKeys implements identity.Store.
func (s *Store) ModelKeys(ctx context.Context) ([]identity.ModelKey, error) {
	return list(ctx, s, readModelKey, "SELECT "+modelKeyColumns+" FROM model_keys ORDER BY person")
}

// ResealModelKey implements identity.Store.
func (s *Store) ResealModelKey(ctx context.Context, person string, from, to []byte) error {
	return s.write(ctx, func(tx *tx) error {
		n, err := tx.exec("UPDATE model_keys SET sealed = ? WHERE person = ? AND sealed = ?", notNull(to), person, notNull(from))
		if err == nil && n == 0 {
			err = workspace.ErrConflict
		}
		return err
	})
}

// DeleteModelKey implements identity.Store.
func (s *Store) DeleteModelKey(ctx context.Context, person string) error {
	return s.write(ctx, func(tx *tx) error {
		_, err := tx.exec("DELETE FROM model_keys WHERE person = ?", person)
		return err
	})
}
