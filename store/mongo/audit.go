package mongo

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

type auditDoc struct {
	ID        string       `bson:"_id"`
	At        int64        `bson:"at"`
	Action    string       `bson:"action"`
	Outcome   string       `bson:"outcome"`
	Person    string       `bson:"person"`
	Via       string       `bson:"via"`
	Workspace workspace.ID `bson:"workspace"`
	Address   string       `bson:"address"`
	UserAgent string       `bson:"user_agent"`
	Detail    string       `bson:"detail"`
}

func auditDocOf(e identity.AuditEvent) auditDoc {
	return auditDoc{
		e.ID, e.At.UnixMicro(), text(e.Action), text(e.Outcome), text(e.Person), text(e.Via),
		e.Workspace, text(e.Address), text(e.UserAgent), text(e.Detail),
	}
}

func (d auditDoc) read() (identity.AuditEvent, error) {
	return identity.AuditEvent{
		ID: d.ID, At: moment(d.At), Action: d.Action, Outcome: d.Outcome, Person: d.Person, Via: d.Via,
		Workspace: d.Workspace, Address: d.Address, UserAgent: d.UserAgent, Detail: d.Detail,
	}, nil
}

// AppendAudit implements identity.Store. An event that is there already is not written again.
func (s *Store) AppendAudit(ctx context.Context, events ...identity.AuditEvent) error {
	docs := make([]any, len(events))
	for i, e := range events {
		docs[i] = auditDocOf(e)
	}
	return s.insertNew(ctx, audit, docs)
}

// insertNew inserts those documents whose ids are new.
func (s *Store) insertNew(ctx context.Context, collection string, docs []any) error {
	if len(docs) == 0 {
		return ctx.Err()
	}
	_, err := s.db.Collection(collection).InsertMany(ctx, docs, options.InsertMany().SetOrdered(false))
	var failed mongo.BulkWriteException
	if errors.As(err, &failed) && failed.WriteConcernError == nil && onlyDuplicates(failed) {
		return nil
	}
	return s.fault(ctx, err)
}

func onlyDuplicates(failed mongo.BulkWriteException) bool {
	for _, one := range failed.WriteErrors {
		if !mongo.IsDuplicateKeyError(one) {
			return false
		}
	}
	return true
}

// Audit implements identity.Store.
func (s *Store) Audit(ctx context.Context, q identity.AuditQuery) ([]identity.AuditEvent, error) {
	filter := bson.M{}
	for field, value := range map[string]string{"person": q.Person, "workspace": string(q.Workspace), "action": q.Action} {
		if value != "" {
			filter[field] = value
		}
	}
	if q.Before != "" {
		filter["_id"] = bson.M{"$lt": q.Before}
	}
	opts := options.Find().SetSort(bson.D{{Key: "_id", Value: -1}})
	if q.Limit > 0 {
		opts.SetLimit(int64(q.Limit))
	}
	return listBy[auditDoc](ctx, s, audit, filter, opts)
}

// PurgeAudit implements identity.Store.
func (s *Store) PurgeAudit(ctx context.Context, before time.Time) error {
	_, err := s.delete(ctx, audit, bson.M{"at": bson.M{"$lt": before.UnixMicro()}})
	return err
}
