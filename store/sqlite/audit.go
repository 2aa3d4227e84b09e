package sqlite

import (
	"context"
	"time"

	"github.com/kalpana-dev/kalpana/identity"
)

const auditColumns = "id, at, action, outcome, person, via, workspace, address, user_agent, detail"

func readAudit(scan func(...any) error) (e identity.AuditEvent, err error) {
	err = scan(&e.ID, moment{&e.At}, &e.Action, &e.Outcome, &e.Person, &e.Via, &e.Workspace, &e.Address, &e.UserAgent, &e.Detail)
	return e, err
}

// AppendAudit implements identity.Store. An event that is there already is not written again.
func (s *Store) AppendAudit(ctx context.Context, events ...identity.AuditEvent) error {
	return s.write(ctx, func(tx *tx) error {
		for _, e := range events {
			if err := tx.insertEvent(e); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *tx) insertEvent(e identity.AuditEvent) error {
	_, err := t.exec("INSERT INTO audit ("+auditColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
		e.ID, e.At.UnixMicro(), e.Action, e.Outcome, e.Person, e.Via, e.Workspace, e.Address, e.UserAgent, e.Detail)
	return err
}

// Audit implements identity.Store.
func (s *Store) Audit(ctx context.Context, q identity.AuditQuery) ([]identity.AuditEvent, error) {
	query, args := "SELECT "+auditColumns+" FROM audit WHERE 1", []any{}
	for _, where := range []struct{ condition, value string }{
		{" AND person = ?", q.Person},
		{" AND workspace = ?", string(q.Workspace)},
		{" AND action = ?", q.Action},
		{" AND id < ?", q.Before},
	} {
		if where.value != "" {
			query += where.condition
			args = append(args, where.value)
		}
	}
	query += " ORDER BY id DESC"
	if q.Limit > 0 {
		query += " LIMIT ?"
		args = append(args, q.Limit)
	}
	return list(ctx, s, readAudit, query, args...)
}

// PurgeAudit implements identity.Store.
func (s *Store) PurgeAudit(ctx context.Context, before time.Time) error {
	return s.write(ctx, func(tx *tx) error {
		_, err := tx.exec("DELETE FROM audit WHERE at < ?", before.UnixMicro())
		return err
	})
}
