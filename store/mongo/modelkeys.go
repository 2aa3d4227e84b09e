package mongo

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

type modelKeyDoc struct {
	Person    string `bson:"_id"`
	Sealed    []byte `bson:"sealed"`
	Last      string `bson:"last"`
	UpdatedAt int64  `bson:"updated_at"`
}

func modelKeyDocOf(k identity.ModelKey) modelKeyDoc {
	return modelKeyDoc{k.Person, notNull(k.Sealed), text(k.Last), k.UpdatedAt.UnixMicro()}
}

func (d modelKeyDoc) read() (identity.ModelKey, error) {
	return identity.ModelKey{Person: d.Person, Sealed: d.Sealed, Last: d.Last, UpdatedAt: moment(d.UpdatedAt)}, nil
}

// PutModelKey implements identity.Store.
func (s *Store) PutModelKey(ctx context.Context, k identity.ModelKey) error {
	doc := modelKeyDocOf(k)
	_, err := s.db.Collection(modelKeys).ReplaceOne(ctx, bson.M{"_id": doc.Person}, doc, options.Replace().SetUpsert(true))
	if mongo.IsDuplicateKeyError(err) { // two inserted it at once
		_, err = s.db.Collection(modelKeys).ReplaceOne(ctx, bson.M{"_id": doc.Person}, doc)
	}
	return s.fault(ctx, err)
}

// ModelKey implements identity.Store.
func (s *Store) ModelKey(ctx context.Context, person string) (identity.ModelKey, error) {
	return one[modelKeyDoc](ctx, s, modelKeys, bson.M{"_id": person}, identity.ErrNotFound)
}

// ModelKeys implements identity.Store.
func (s *Store) ModelKeys(ctx context.Context) ([]identity.ModelKey, error) {
	return list[modelKeyDoc](ctx, s, modelKeys, bson.M{}, bson.D{{Key: "_id", Value: 1}})
}

// ResealModelKey implements identity.Store.
func (s *Store) ResealModelKey(ctx context.Context, person string, from, to []byte) error {
	changed, err := s.update(ctx, modelKeys, bson.M{"_id": person, "sealed": notNull(from)}, bson.M{"$set": bson.M{"sealed": notNull(to)}})
	if err == nil && !changed {
		err = workspace.ErrConflict
	}
	return err
}

// DeleteModelKey implements identity.Store.
func (s *Store) DeleteModelKey(ctx context.Context, person string) error {
	_, err := s.deleteOne(ctx, modelKeys, bson.M{"_id": person})
	return err
}
