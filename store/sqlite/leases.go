package sqlite

import (
	"context"
	"time"
)

// AcquireLease implements orchestrator.Store.
func (s *Store) AcquireLease(ctx context.Context, name, holder string, now, until time.Time) (bool, error) {
	acquired := false
	err := s.write(ctx, func(tx *tx) error {
		n, err := tx.exec(`INSERT INTO leases (name, holder, ends_at) VALUES (?, ?, ?)
			ON CONFLICT DO UPDATE SET holder = excluded.holder, ends_at = excluded.ends_at
			WHERE leases.holder = excluded.holder OR leases.ends_at <= ?`,
			name, holder, until.UnixMicro(), now.UnixMicro())
		acquired = n > 0
		return err
	})
	return acquired && err == nil, err
}

// ReleaseLease implements orchestrator.Store.
func (s *Store) ReleaseLease(ctx context.Context, name, holder string) error {
	return s.write(ctx, func(tx *tx) error {
		_, err := tx.exec("DELETE FROM leases WHERE name = ? AND holder = ?", name, holder)
		return err
	})
}
