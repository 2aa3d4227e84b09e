package mongo

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/kalpana-dev/kalpana/identity"
)

type tokenDoc struct {
	Hash      string `bson:"_id"`
	ID        string `bson:"id"` // unique
	Person    string `bson:"person"`
	Name      string `bson:"name"`
	Scopes    string `bson:"scopes"`
	CreatedAt int64  `bson:"created_at"`
	ExpiresAt int64  `bson:"expires_at"`
	UsedAt    int64  `bson:"used_at"`
}

func tokenDocOf(t identity.Token) tokenDoc {
	return tokenDoc{t.Hash, t.ID, t.Person, text(t.Name), text(t.Scopes), t.CreatedAt.UnixMicro(), t.ExpiresAt.UnixMicro(), t.UsedAt.UnixMicro()}
}

func (d tokenDoc) read() (identity.Token, error) {
	return identity.Token{
		Hash: d.Hash, ID: d.ID, Person: d.Person, Name: d.Name, Scopes: d.Scopes,
		CreatedAt: moment(d.CreatedAt), ExpiresAt: moment(d.ExpiresAt), UsedAt: moment(d.UsedAt),
	}, nil
}

// CreateToken implements identity.Store. A hash or an id that exists already is identity.ErrExists.
func (s *Store) CreateToken(ctx context.Context, t identity.Token) error {
	return s.create(ctx, tokens, tokenDocOf(t))
}

// Token implements identity.Store.
func (s *Store) Token(ctx context.Context, hash string) (identity.Token, error) {
	return one[tokenDoc](ctx, s, tokens, bson.M{"_id": hash}, identity.ErrNotFound)
}

// Tokens implements identity.Store.
func (s *Store) Tokens(ctx context.Context, person string) ([]identity.Token, error) {
	filter := bson.M{}
	if person != "" {
		filter["person"] = person
	}
	return list[tokenDoc](ctx, s, tokens, filter, bson.D{{Key: "created_at", Value: -1}, {Key: "id", Value: 1}})
}

// TouchToken implements identity.Store. The time of use moves forward only.
func (s *Store) TouchToken(ctx context.Context, hash string, used time.Time) error {
	_, err := s.update(ctx, tokens, bson.M{"_id": hash, "used_at": bson.M{"$lt": used.UnixMicro()}},
		bson.M{"$set": bson.M{"used_at": used.UnixMicro()}})
	return err
}

// DeleteToken implements identity.Store.
func (s *Store) DeleteToken(ctx context.Context, person, id string) error {
	deleted, err := s.deleteOne(ctx, tokens, bson.M{"id": id, "person": person})
	if err == nil && !deleted {
		err = identity.ErrNotFound
	}
	return err
}
