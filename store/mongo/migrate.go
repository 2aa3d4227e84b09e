package mongo

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// migrations[i] brings a database from version i to i+1. Each may run several times, or by several
// gateways at once, with the same outcome as once. What has been released never changes.
var migrations = []func(context.Context, *mongo.Database) error{
	func(context.Context, *mongo.Database) error { return nil }, // the first version; its indexes are below
}

// schemaID names the document that tells the schema's version and marks the database as Kalpana's.
const schemaID = "schema"

type schema struct {
	ID      string `bson:"_id"`
	Version int    `bson:"version"`
	Copying bool   `bson:"copying"` // a copy into this database has not ended
}

func (d schema) read() (schema, error) { return d, nil }

var errNoSchema = errors.New("no schema")

func (s *Store) schema(ctx context.Context) (schema, error) {
	return one[schema](ctx, s, installation, bson.M{"_id": schemaID}, errNoSchema)
}

// migrate applies what is missing, and refuses a database that is not ours.
func (s *Store) migrate(ctx context.Context) error {
	found, err := s.schema(ctx)
	if errors.Is(err, errNoSchema) {
		found, err = s.adopt(ctx)
	}
	if err == nil {
		err = s.refused(found)
	}
	if err != nil {
		return err
	}
	for version := found.Version; version < len(migrations); version++ {
		if err := migrations[version](ctx, s.db); err != nil {
			return fmt.Errorf("the schema cannot be brought from version %d to %d: %w", version, version+1, s.fault(ctx, err))
		}
		// Another gateway may have been first.
		if _, err := s.update(ctx, installation, bson.M{"_id": schemaID, "version": version}, bson.M{"$set": bson.M{"version": version + 1}}); err != nil {
			return err
		}
	}
	return nil
}

// adopt marks an empty database as Kalpana's.
func (s *Store) adopt(ctx context.Context) (schema, error) {
	names, err := s.db.ListCollectionNames(ctx, bson.M{})
	if err != nil {
		return schema{}, s.fault(ctx, err)
	}
	if len(names) == 0 {
		if _, err := s.insert(ctx, installation, schema{ID: schemaID}); err != nil {
			return schema{}, err
		}
	}
	found, err := s.schema(ctx) // perhaps another gateway's, which was first
	if errors.Is(err, errNoSchema) {
		err = s.foreign()
	}
	return found, err
}

// indexes are made whenever the store is opened; those that are there cost nothing. The driver writes
// into what it is given, so each caller gets its own.
func indexes() map[string][]mongo.IndexModel {
	return map[string][]mongo.IndexModel{
		workspaces:  {index("owner", "created_at", "_id"), index("created_at", "_id")},
		ports:       {index("workspace")},
		leases:      {index("ends_at")},
		people:      {index("created_at", "_id")},
		accounts:    {index("person"), index("created_at", "_id")},
		sessions:    {index("person"), index("expires_at")},
		tokens:      {uniqueIndex("id"), index("person"), index("expires_at")},
		tickets:     {index("kind", "expires_at"), index("expires_at")},
		revocations: {index("at")},
		audit:       {index("person", "_id"), index("workspace", "_id"), index("at")},

		chats:          {index("workspace", "updated_at"), index("person", "updated_at"), index("updated_at"), index("state", "updated_at")},
		messages:       {index("chat", "seq")},
		budgetCounters: {index("ends_at")},
		agentUsage:     {index("day"), index("person", "day"), index("workspace", "day")},
	}
}

func index(fields ...string) mongo.IndexModel {
	var keys bson.D
	for _, field := range fields {
		keys = append(keys, bson.E{Key: field, Value: 1})
	}
	return mongo.IndexModel{Keys: keys}
}

func uniqueIndex(fields ...string) mongo.IndexModel {
	model := index(fields...)
	model.Options = options.Index().SetUnique(true)
	return model
}

func (s *Store) makeIndexes(ctx context.Context) error {
	for collection, models := range indexes() {
		for _, model := range models { // one by one: FerretDB v1 fails on several of which some are there
			if _, err := s.db.Collection(collection).Indexes().CreateOne(ctx, model); err != nil {
				return s.fault(ctx, err)
			}
		}
	}
	return nil
}
