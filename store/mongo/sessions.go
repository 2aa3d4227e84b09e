package mongo

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/kalpana-dev/kalpana/identity"
)

type sessionDoc struct {
	Hash      string `bson:"_id"`
	Person    string `bson:"person"`
	Provider  string `bson:"provider"`
	Address   string `bson:"address"`
	UserAgent string `bson:"user_agent"`
	CreatedAt int64  `bson:"created_at"`
	SeenAt    int64  `bson:"seen_at"`
	ExpiresAt int64  `bson:"expires_at"`
	EndsAt    int64  `bson:"ends_at"`
}

func sessionDocOf(v identity.Session) sessionDoc {
	return sessionDoc{
		v.Hash, v.Person, v.Provider, text(v.Address), text(v.UserAgent),
		v.CreatedAt.UnixMicro(), v.SeenAt.UnixMicro(), v.ExpiresAt.UnixMicro(), v.EndsAt.UnixMicro(),
	}
}

func (d sessionDoc) read() (identity.Session, error) {
	return identity.Session{
		Hash: d.Hash, Person: d.Person, Provider: d.Provider, Address: d.Address, UserAgent: d.UserAgent,
		CreatedAt: moment(d.CreatedAt), SeenAt: moment(d.SeenAt), ExpiresAt: moment(d.ExpiresAt), EndsAt: moment(d.EndsAt),
	}, nil
}

// CreateSession implements identity.Store. A hash that exists already is identity.ErrExists.
func (s *Store) CreateSession(ctx context.Context, v identity.Session) error {
	return s.create(ctx, sessions, sessionDocOf(v))
}

// Session implements identity.Store.
func (s *Store) Session(ctx context.Context, hash string) (identity.Session, error) {
	return one[sessionDoc](ctx, s, sessions, bson.M{"_id": hash}, identity.ErrNotFound)
}

// Sessions implements identity.Store.
func (s *Store) Sessions(ctx context.Context, person string) ([]identity.Session, error) {
	return list[sessionDoc](ctx, s, sessions, bson.M{"person": person}, bson.D{{Key: "created_at", Value: -1}, {Key: "_id", Value: 1}})
}

// TouchSession implements identity.Store. A session that was deleted stays so: ErrNotFound.
func (s *Store) TouchSession(ctx context.Context, hash string, seen, expires time.Time) error {
	touched, err := s.update(ctx, sessions, bson.M{"_id": hash},
		bson.M{"$set": bson.M{"seen_at": seen.UnixMicro(), "expires_at": expires.UnixMicro()}})
	if err == nil && !touched {
		err = identity.ErrNotFound
	}
	return err
}

// DeleteSession implements identity.Store.
func (s *Store) DeleteSession(ctx context.Context, hash string) error {
	_, err := s.deleteOne(ctx, sessions, bson.M{"_id": hash})
	return err
}
