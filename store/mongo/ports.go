package mongo

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/kalpana-dev/kalpana/workspace"
)

// portDoc is the claim of a port.
type portDoc struct {
	Port      int          `bson:"_id"`
	Workspace workspace.ID `bson:"workspace"`
}

func (d portDoc) read() (portDoc, error) { return d, nil }

// ClaimPort implements orchestrator.Store. A workspace that does not exist gets none (ErrNotFound), so
// that a wake that loses against a delete leaks no port.
func (s *Store) ClaimPort(ctx context.Context, port int, id workspace.ID) (bool, error) {
	exists, err := s.exists(ctx, workspaces, bson.M{"_id": id})
	if err != nil {
		return false, err
	}
	if !exists {
		return false, workspace.ErrNotFound
	}
	claimed, err := s.claim(ctx, port, id)
	if err != nil || !claimed {
		return false, err
	}
	// A delete that came in between has looked for ports already, or will find this one.
	exists, err = s.exists(ctx, workspaces, bson.M{"_id": id})
	if err != nil {
		return false, err
	}
	if exists {
		return true, nil
	}
	if err := s.ReleasePorts(ctx, id, port); err != nil {
		return false, err
	}
	return false, workspace.ErrNotFound
}

func (s *Store) claim(ctx context.Context, port int, id workspace.ID) (bool, error) {
	for range 3 {
		claimed, err := s.insert(ctx, ports, portDoc{port, id})
		if err != nil || claimed {
			return claimed, err
		}
		holder, err := one[portDoc](ctx, s, ports, bson.M{"_id": port}, workspace.ErrNotFound)
		if err == workspace.ErrNotFound { //nolint:errorlint // released just now
			continue
		}
		if err != nil {
			return false, err
		}
		if holder.Workspace == id {
			return true, nil
		}
		// What a killed gateway left behind is free.
		exists, err := s.exists(ctx, workspaces, bson.M{"_id": holder.Workspace})
		if err != nil || exists {
			return false, err
		}
		taken, err := s.update(ctx, ports, bson.M{"_id": port, "workspace": holder.Workspace}, bson.M{"$set": bson.M{"workspace": id}})
		if err != nil || taken {
			return taken, err
		}
	}
	return false, nil
}

// ReleasePorts implements orchestrator.Store.
func (s *Store) ReleasePorts(ctx context.Context, id workspace.ID, which ...int) error {
	filter := bson.M{"workspace": id}
	if len(which) > 0 {
		filter["_id"] = bson.M{"$in": which}
	}
	_, err := s.delete(ctx, ports, filter)
	return err
}

// Ports implements orchestrator.Store.
func (s *Store) Ports(ctx context.Context) (map[int]workspace.ID, error) {
	claims := map[int]workspace.ID{}
	err := each[portDoc](ctx, s, ports, bson.M{}, options.Find(), func(c portDoc) error {
		claims[c.Port] = c.Workspace
		return nil
	})
	if err != nil {
		return nil, err
	}
	return claims, nil
}
