package sqlite

import (
	"context"

	"github.com/kalpana-dev/kalpana/identity"
)

const personColumns = "id, name, role, created_at"

func readPerson(scan func(...any) error) (p identity.Person, err error) {
	err = scan(&p.ID, &p.Name, &p.Role, moment{&p.CreatedAt})
	return p, err
}

// CreatePerson implements identity.Store.
func (s *Store) CreatePerson(ctx context.Context, p identity.Person) error {
	return s.write(ctx, func(tx *tx) error {
		n, err := tx.exec("INSERT INTO people ("+personColumns+") VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
			p.ID, p.Name, p.Role, p.CreatedAt.UnixMicro())
		if err == nil && n == 0 {
			err = identity.ErrExists
		}
		return err
	})
}

// Person implements identity.Store.
func (s *Store) Person(ctx context.Context, id string) (identity.Person, error) {
	return one(ctx, s, identity.ErrNotFound, readPerson, "SELECT "+personColumns+" FROM people WHERE id = ?", id)
}

// People implements identity.Store.
func (s *Store) People(ctx context.Context) ([]identity.Person, error) {
	return list(ctx, s, readPerson, "SELECT "+personColumns+" FROM people ORDER BY created_at, id")
}
