package sqlite

import (
	"context"
	"time"

	"github.com/kalpana-dev/kalpana/orchestrator"
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

// Leases implements orchestrator.Store.
func (s *Store) Leases(ctx context.Context, prefix string, now time.Time) ([]orchestrator.Lease, error) {
	return list(ctx, s, func(scan func(...any) error) (l orchestrator.Lease, err error) {
		err = scan(&l.Name, &l.Holder, moment{&l.EndsAt})
		return l, err
	}, "SELECT name, holder, ends_at FROM leases WHERE name >= ? AND substr(name, 1, length(?)) = ? AND ends_at > ? ORDER BY name",
		prefix, prefix, prefix, now.UnixMicro())
}
