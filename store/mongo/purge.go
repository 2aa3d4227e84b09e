package mongo

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/kalpana-dev/kalpana/agent/budget"
	"github.com/kalpana-dev/kalpana/workspace"
)

// Purge implements identity.Store. Leases that ended before the oldest revocation that is kept go too:
// nobody's clock takes them for held, and those of deleted workspaces would stay for ever. So does
// what gateways left that were killed: ports, places and chats of workspaces that have no record.
func (s *Store) Purge(ctx context.Context, now time.Time, keep time.Duration) error {
	ended, old := now.UnixMicro(), now.Add(-keep).UnixMicro()
	for _, purge := range []struct {
		collection, field string
		before            int64
	}{
		{sessions, "expires_at", ended},
		{tokens, "expires_at", ended},
		{tickets, "expires_at", ended},
		{revocations, "at", old},
		{leases, "ends_at", old},
		{budgetCounters, "ends_at", now.Add(-24 * time.Hour).UnixMicro()},
	} {
		if _, err := s.delete(ctx, purge.collection, bson.M{purge.field: bson.M{"$lt": purge.before}}); err != nil {
			return err
		}
	}
	if _, err := s.delete(ctx, agentUsage, bson.M{"day": bson.M{"$lt": now.Add(-budget.Keep).UTC().Format(time.DateOnly)}}); err != nil {
		return err
	}
	if err := s.purgeChats(ctx); err != nil {
		return err
	}
	if err := s.purgePorts(ctx); err != nil {
		return err
	}
	return s.purgePlaces(ctx)
}

func (s *Store) purgePorts(ctx context.Context) error {
	claims, err := s.Ports(ctx)
	if err != nil {
		return err
	}
	var ids []string
	seen := map[string]bool{}
	for _, id := range claims {
		if !seen[string(id)] {
			seen[string(id)] = true
			ids = append(ids, string(id))
		}
	}
	recorded, err := s.recorded(ctx, ids)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if recorded[id] {
			continue
		}
		if err := s.ReleasePorts(ctx, workspace.ID(id)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) purgePlaces(ctx context.Context) error {
	return each[ownerDoc](ctx, s, owners, bson.M{}, options.Find(), func(doc ownerDoc) error {
		_, err := s.freePlaces(ctx, doc)
		return err
	})
}
