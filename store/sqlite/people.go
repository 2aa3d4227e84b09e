package sqlite

import (
	"context"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

const personColumns = "id, name, email, git_name, git_email, role, disabled, by_rule, admin_by_rule, quota, revision, created_at"

func readPerson(scan func(...any) error) (p identity.Person, err error) {
	err = scan(&p.ID, &p.Name, &p.Email, &p.GitName, &p.GitEmail, &p.Role, &p.Disabled, &p.ByRule, &p.AdminByRule, document{&p.Quota}, &p.Revision, moment{&p.CreatedAt})
	return p, err
}

// CreatePerson implements identity.Store.
func (s *Store) CreatePerson(ctx context.Context, p identity.Person) error {
	return s.write(ctx, func(tx *tx) error { return tx.insertPerson(p) })
}

func (t *tx) insertPerson(p identity.Person) error {
	return t.insertNew("INSERT INTO people ("+personColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
		p.ID, p.Name, p.Email, p.GitName, p.GitEmail, p.Role, p.Disabled, p.ByRule, p.AdminByRule, document{&p.Quota}, p.Revision, p.CreatedAt.UnixMicro())
}

// insertNew runs an INSERT that does nothing when the record exists, which is identity.ErrExists.
func (t *tx) insertNew(query string, args ...any) error {
	n, err := t.exec(query, args...)
	if err == nil && n == 0 {
		err = identity.ErrExists
	}
	return err
}

// Person implements identity.Store.
func (s *Store) Person(ctx context.Context, id string) (identity.Person, error) {
	return one(ctx, s, identity.ErrNotFound, readPerson, "SELECT "+personColumns+" FROM people WHERE id = ?", id)
}

// People implements identity.Store.
func (s *Store) People(ctx context.Context) ([]identity.Person, error) {
	return list(ctx, s, readPerson, "SELECT "+personColumns+" FROM people ORDER BY created_at, id")
}

// UpdatePerson implements identity.Store. On an error it leaves p as it was.
func (s *Store) UpdatePerson(ctx context.Context, p *identity.Person) error {
	err := s.write(ctx, func(tx *tx) error {
		n, err := tx.exec(`UPDATE people SET name = ?, email = ?, git_name = ?, git_email = ?, role = ?, disabled = ?, by_rule = ?, admin_by_rule = ?, quota = ?,
				revision = revision + 1 WHERE id = ? AND revision = ?`,
			p.Name, p.Email, p.GitName, p.GitEmail, p.Role, p.Disabled, p.ByRule, p.AdminByRule, document{&p.Quota}, p.ID, p.Revision)
		return tx.unchanged(n, err, "SELECT 1 FROM people WHERE id = ?", p.ID)
	})
	if err == nil {
		p.Revision++
	}
	return err
}

// unchanged tells why a write that names a revision changed no record: it is gone, or another one
// came first. exists selects the record whatever its revision.
func (t *tx) unchanged(changed int64, err error, exists string, args ...any) error {
	if err != nil || changed > 0 {
		return err
	}
	var one int
	found, err := t.find(exists, args, []any{&one})
	if err != nil {
		return err
	}
	if found {
		return workspace.ErrConflict
	}
	return identity.ErrNotFound
}
