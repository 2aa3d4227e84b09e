package sqlite

import (
	"context"
	"time"

	"github.com/kalpana-dev/kalpana/agent/budget"
)

// Purge implements identity.Store. Leases that ended before the oldest revocation that is kept go
// too: nobody's clock takes them for held, and those of deleted workspaces would stay for ever.
func (s *Store) Purge(ctx context.Context, now time.Time, keep time.Duration) error {
	ended, old := now.UnixMicro(), now.Add(-keep).UnixMicro()
	yesterday := now.Add(-24 * time.Hour).UnixMicro()
	return s.write(ctx, func(tx *tx) error {
		for _, purge := range []struct {
			query  string
			before int64
		}{
			{"DELETE FROM sessions WHERE expires_at < ?", ended},
			{"DELETE FROM tokens WHERE expires_at < ?", ended},
			{"DELETE FROM tickets WHERE expires_at < ?", ended},
			{"DELETE FROM revocations WHERE at < ?", old},
			{"DELETE FROM leases WHERE ends_at < ?", old},
			{"DELETE FROM budget_holds WHERE ends_at < ?", ended},
			{"DELETE FROM budget_counters WHERE ends_at < ?", yesterday},
		} {
			if _, err := tx.exec(purge.query, purge.before); err != nil {
				return err
			}
		}
		_, err := tx.exec("DELETE FROM agent_usage WHERE day < ?", now.Add(-budget.Keep).UTC().Format(time.DateOnly))
		return err
	})
}
