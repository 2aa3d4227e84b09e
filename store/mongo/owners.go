package mongo

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/kalpana-dev/kalpana/workspace"
)

// ownerDoc counts an owner's workspaces, so that one guarded update can keep to a limit.
type ownerDoc struct {
	ID    string           `bson:"_id"`
	Count int              `bson:"count"` // of Held
	Held  map[string]int64 `bson:"held"`  // by workspace, when its place was reserved
}

func (d ownerDoc) read() (ownerDoc, error) { return d, nil }

// madeWithin is how long after its reservation a workspace's record is there, unless the gateway was
// killed in between. It allows for clocks that differ.
const madeWithin = 2 * time.Minute

// reserve gives the workspace a place among its owner's, unless limit are taken (ErrLimit; limit ≤ 0
// is none) or it has one (ErrConflict).
func (s *Store) reserve(ctx context.Context, owner string, id workspace.ID, limit int) error {
	place := "held." + string(id)
	filter := bson.M{"_id": owner, place: bson.M{"$exists": false}}
	if limit > 0 {
		filter["count"] = bson.M{"$lt": limit}
	}
	for range 3 {
		reserved, err := s.update(ctx, owners, filter, bson.M{
			"$set": bson.M{place: time.Now().UnixMicro()}, "$inc": bson.M{"count": 1},
		})
		if err != nil || reserved {
			return err
		}
		made, err := s.insert(ctx, owners, bson.M{"_id": owner, "count": 0, "held": bson.M{}})
		if err != nil {
			return err
		}
		if made {
			continue
		}
		doc, err := one[ownerDoc](ctx, s, owners, bson.M{"_id": owner}, nil)
		if err != nil {
			return err
		}
		if _, taken := doc.Held[string(id)]; taken {
			return workspace.ErrConflict
		}
		freed, err := s.freePlaces(ctx, doc)
		if err != nil {
			return err
		}
		if limit > 0 && freed == 0 && doc.Count >= limit {
			return workspace.ErrLimit
		}
	}
	if limit <= 0 {
		return workspace.ErrConflict // others are making and giving up this very id
	}
	return workspace.ErrLimit // places are taken as fast as they become free
}

// unreserve takes the workspace's place away, if it has one.
func (s *Store) unreserve(ctx context.Context, owner string, id workspace.ID) error {
	place := "held." + string(id)
	_, err := s.update(ctx, owners, bson.M{"_id": owner, place: bson.M{"$exists": true}}, bson.M{
		"$unset": bson.M{place: ""}, "$inc": bson.M{"count": -1},
	})
	return err
}

// freePlaces takes away the places of workspaces that have no record, because a gateway was killed
// while it made or deleted them. It returns how many there were.
func (s *Store) freePlaces(ctx context.Context, doc ownerDoc) (int, error) {
	settled := time.Now().Add(-madeWithin).UnixMicro()
	var old []string
	for id, since := range doc.Held {
		if since < settled {
			old = append(old, id)
		}
	}
	recorded, err := s.recorded(ctx, old)
	if err != nil {
		return 0, err
	}
	freed := 0
	for _, id := range old {
		if recorded[id] {
			continue
		}
		if err := s.unreserve(ctx, doc.ID, workspace.ID(id)); err != nil {
			return freed, err
		}
		freed++
	}
	return freed, nil
}

// onlyID is a document of which no more than its id is asked for.
type onlyID struct {
	ID string `bson:"_id"`
}

func (d onlyID) read() (string, error) { return d.ID, nil }

// recorded returns which of the workspaces have a record.
func (s *Store) recorded(ctx context.Context, ids []string) (map[string]bool, error) {
	return s.recordedIn(ctx, workspaces, ids)
}

// recordedIn returns which of the ids a collection has.
func (s *Store) recordedIn(ctx context.Context, collection string, ids []string) (map[string]bool, error) {
	const batch = 1000
	found := make(map[string]bool, len(ids))
	for len(ids) > 0 {
		some := ids[:min(batch, len(ids))]
		ids = ids[len(some):]
		err := each[onlyID](ctx, s, collection, bson.M{"_id": bson.M{"$in": some}}, options.Find().SetProjection(bson.M{"_id": 1}), func(id string) error {
			found[id] = true
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}
