package mongo

import (
	"context"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/kalpana-dev/kalpana/orchestrator"
)

type leaseDoc struct {
	Name   string `bson:"_id"`
	Holder string `bson:"holder"`
	EndsAt int64  `bson:"ends_at"`
}

func (d leaseDoc) read() (orchestrator.Lease, error) {
	return orchestrator.Lease{Name: d.Name, Holder: d.Holder, EndsAt: moment(d.EndsAt)}, nil
}

// AcquireLease implements orchestrator.Store.
func (s *Store) AcquireLease(ctx context.Context, name, holder string, now, until time.Time) (bool, error) {
	free := bson.M{"_id": name, "$or": bson.A{bson.M{"holder": holder}, bson.M{"ends_at": bson.M{"$lte": now.UnixMicro()}}}}
	for range 2 { // the holder itself, in another goroutine, may be the one who was first
		acquired, err := s.update(ctx, leases, free, bson.M{"$set": bson.M{"holder": holder, "ends_at": until.UnixMicro()}})
		if err != nil || acquired {
			return acquired, err
		}
		acquired, err = s.insert(ctx, leases, leaseDoc{name, holder, until.UnixMicro()})
		if err != nil || acquired {
			return acquired, err
		}
	}
	return false, nil
}

// ReleaseLease implements orchestrator.Store.
func (s *Store) ReleaseLease(ctx context.Context, name, holder string) error {
	_, err := s.deleteOne(ctx, leases, bson.M{"_id": name, "holder": holder})
	return err
}

// Leases implements orchestrator.Store.
func (s *Store) Leases(ctx context.Context, prefix string, now time.Time) ([]orchestrator.Lease, error) {
	filter := bson.M{"_id": bson.M{"$gte": prefix, "$lt": prefix + "\U0010FFFF"}, "ends_at": bson.M{"$gt": now.UnixMicro()}}
	found, err := list[leaseDoc](ctx, s, leases, filter, bson.D{{Key: "_id", Value: 1}})
	if err != nil {
		return nil, err
	}
	var of []orchestrator.Lease
	for _, l := range found {
		if strings.HasPrefix(l.Name, prefix) {
			of = append(of, l)
		}
	}
	return of, nil
}
