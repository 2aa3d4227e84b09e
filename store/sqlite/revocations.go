package sqlite

import (
	"context"
	"errors"
	"time"

	"github.com/kalpana-dev/kalpana/identity"
)

var errEmptyRevocation = errors.New("a revocation names a session, a person, a workspace or a label; this one names none")

func readRevocation(scan func(...any) error) (r identity.Revocation, err error) {
	err = scan(moment{&r.At}, &r.Session, &r.Person, &r.Workspace, &r.Label)
	return r, err
}

// AppendRevocation implements identity.Store.
func (s *Store) AppendRevocation(ctx context.Context, r identity.Revocation) error {
	if r.Session == "" && r.Person == "" && r.Workspace == "" && r.Label == "" {
		return errEmptyRevocation
	}
	return s.write(ctx, func(tx *tx) error { return tx.insertRevocation(r) })
}

const revocationColumns = "at, session, person, workspace, label"

func (t *tx) insertRevocation(r identity.Revocation) error {
	_, err := t.exec("INSERT INTO revocations ("+revocationColumns+") VALUES (?, ?, ?, ?, ?)",
		r.At.UnixMicro(), r.Session, r.Person, r.Workspace, r.Label)
	return err
}

// Revocations implements identity.Store: those at since and later, in the order of their times.
func (s *Store) Revocations(ctx context.Context, since time.Time) ([]identity.Revocation, error) {
	return list(ctx, s, readRevocation,
		"SELECT "+revocationColumns+" FROM revocations WHERE at >= ? ORDER BY at, number", since.UnixMicro())
}
