package sqlite

import (
	"context"

	"github.com/kalpana-dev/kalpana/identity"
)

const accountColumns = "provider, subject, person, login, email, groups, token, revision, created_at, updated_at"

func readAccount(scan func(...any) error) (*identity.Account, error) {
	a := new(identity.Account)
	err := scan(&a.Provider, &a.Subject, &a.Person, &a.Login, &a.Email, &a.Groups, &a.Token, &a.Revision,
		moment{&a.CreatedAt}, moment{&a.UpdatedAt})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// CreateAccount implements identity.Store. It sets a.Revision.
func (s *Store) CreateAccount(ctx context.Context, a *identity.Account) error {
	const first = 1
	err := s.write(ctx, func(tx *tx) error { return tx.insertAccount(a, first) })
	if err == nil {
		a.Revision = first
	}
	return err
}

func (t *tx) insertAccount(a *identity.Account, revision int64) error {
	return t.insertNew("INSERT INTO accounts ("+accountColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
		a.Provider, a.Subject, a.Person, a.Login, a.Email, a.Groups, notNull(a.Token), revision,
		a.CreatedAt.UnixMicro(), a.UpdatedAt.UnixMicro())
}

// Account implements identity.Store.
func (s *Store) Account(ctx context.Context, provider, subject string) (*identity.Account, error) {
	return one(ctx, s, identity.ErrNotFound, readAccount,
		"SELECT "+accountColumns+" FROM accounts WHERE provider = ? AND subject = ?", provider, subject)
}

// Accounts implements identity.Store.
func (s *Store) Accounts(ctx context.Context, person string) ([]*identity.Account, error) {
	const order = " ORDER BY created_at, provider, subject"
	if person == "" {
		return list(ctx, s, readAccount, "SELECT "+accountColumns+" FROM accounts"+order)
	}
	return list(ctx, s, readAccount, "SELECT "+accountColumns+" FROM accounts WHERE person = ?"+order, person)
}

// UpdateAccount implements identity.Store. On an error it leaves a as it was.
func (s *Store) UpdateAccount(ctx context.Context, a *identity.Account) error {
	err := s.write(ctx, func(tx *tx) error {
		n, err := tx.exec(`UPDATE accounts SET person = ?, login = ?, email = ?, groups = ?, token = ?, updated_at = ?,
				revision = revision + 1 WHERE provider = ? AND subject = ? AND revision = ?`,
			a.Person, a.Login, a.Email, a.Groups, notNull(a.Token), a.UpdatedAt.UnixMicro(), a.Provider, a.Subject, a.Revision)
		return tx.unchanged(n, err, "SELECT 1 FROM accounts WHERE provider = ? AND subject = ?", a.Provider, a.Subject)
	})
	if err == nil {
		a.Revision++
	}
	return err
}

// DeleteAccount implements identity.Store.
func (s *Store) DeleteAccount(ctx context.Context, provider, subject string) error {
	return s.write(ctx, func(tx *tx) error {
		_, err := tx.exec("DELETE FROM accounts WHERE provider = ? AND subject = ?", provider, subject)
		return err
	})
}

// notNull returns a value that a column of bytes takes.
func notNull(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
