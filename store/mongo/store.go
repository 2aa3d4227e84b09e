package mongo

import (
	"context"
	"errors"
	"time"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Store is one gateway's access to the database. Its methods are safe for concurrent use.
//
// Once it is open, an error that is no other named error wraps workspace.ErrStoreDown or
// workspace.ErrStorageFull, except that a context's error stays what it is. After an error, what was
// asked for may have been done: the answer can be lost on the network.
type Store struct {
	client     *mongo.Client
	db         *mongo.Database
	database   string
	hosts      string // for people to read
	secret     string // the password, which no error shows
	wait       time.Duration
	unfinished bool // also opens what a copy left
}

// Ping reports whether the primary answers.
func (s *Store) Ping(ctx context.Context) error {
	return s.fault(ctx, s.client.Ping(ctx, nil))
}

// Close ends the store. Methods that are called later return workspace.ErrStoreDown.
func (s *Store) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), s.wait)
	defer cancel()
	if err := s.client.Disconnect(ctx); err != nil && !errors.Is(err, mongo.ErrClientDisconnected) {
		return s.fault(ctx, err)
	}
	return nil
}

// The collections.
const (
	workspaces   = "workspaces"
	usedIDs      = "used_ids"
	owners       = "owners"
	ports        = "ports"
	leases       = "leases"
	people       = "people"
	accounts     = "accounts"
	sessions     = "sessions"
	tokens       = "tokens"
	tickets      = "tickets"
	revocations  = "revocations"
	audit        = "audit"
	installation = "installation"

	chats          = "chats"
	messages       = "messages"
	budgetCounters = "budget_counters"
	agentUsage     = "agent_usage"
	modelKeys      = "model_keys"
)

// insert adds a document and reports false when its id, or what a unique index is on, is there already.
func (s *Store) insert(ctx context.Context, collection string, doc any) (bool, error) {
	_, err := s.db.Collection(collection).InsertOne(ctx, doc)
	if mongo.IsDuplicateKeyError(err) {
		return false, nil
	}
	return err == nil, s.fault(ctx, err)
}

// update changes the document that filter names and reports whether there was one.
func (s *Store) update(ctx context.Context, collection string, filter, change bson.M) (bool, error) {
	result, err := s.db.Collection(collection).UpdateOne(ctx, filter, change)
	if err != nil {
		return false, s.fault(ctx, err)
	}
	return result.MatchedCount > 0, nil
}

// delete removes the documents that filter names and returns how many there were.
func (s *Store) delete(ctx context.Context, collection string, filter bson.M) (int64, error) {
	result, err := s.db.Collection(collection).DeleteMany(ctx, filter)
	if err != nil {
		return 0, s.fault(ctx, err)
	}
	return result.DeletedCount, nil
}

// deleteOne removes the document that filter names and reports whether there was one. Unlike delete it
// is retried when the network fails.
func (s *Store) deleteOne(ctx context.Context, collection string, filter bson.M) (bool, error) {
	result, err := s.db.Collection(collection).DeleteOne(ctx, filter)
	if err != nil {
		return false, s.fault(ctx, err)
	}
	return result.DeletedCount > 0, nil
}

// exists reports whether filter names a document.
func (s *Store) exists(ctx context.Context, collection string, filter bson.M) (bool, error) {
	err := s.db.Collection(collection).FindOne(ctx, filter, options.FindOne().SetProjection(bson.M{"_id": 1})).Err()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return false, nil
	}
	return err == nil, s.fault(ctx, err)
}

// guarded tells why a write that names a revision changed no document: it is gone, or another one came
// first.
func (s *Store) guarded(ctx context.Context, collection string, id any, missing, conflict error) error {
	found, err := s.exists(ctx, collection, bson.M{"_id": id})
	switch {
	case err != nil:
		return err
	case found:
		return conflict
	}
	return missing
}

// reader is a document that can be made a T.
type reader[T any] interface{ read() (T, error) }

// one returns the document that filter names, or missing.
func one[D reader[T], T any](ctx context.Context, s *Store, collection string, filter bson.M, missing error) (T, error) {
	return decode[D](ctx, s, s.db.Collection(collection).FindOne(ctx, filter), missing)
}

func decode[D reader[T], T any](ctx context.Context, s *Store, result *mongo.SingleResult, missing error) (T, error) {
	var doc D
	var none T
	err := result.Decode(&doc)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return none, missing
	}
	if err != nil {
		return none, s.fault(ctx, err)
	}
	found, err := doc.read()
	if err != nil {
		return none, s.fault(ctx, err)
	}
	return found, nil
}

// each calls yield with every document that filter names, until yield fails. Without a deadline of
// ctx it takes listWait at most.
func each[D reader[T], T any](ctx context.Context, s *Store, collection string, filter bson.M, opts *options.FindOptionsBuilder, yield func(T) error) error {
	inTime := ctx
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		inTime, cancel = context.WithTimeout(ctx, max(s.wait, listWait))
		defer cancel()
	}
	cursor, err := s.db.Collection(collection).Find(inTime, filter, opts)
	if err != nil {
		return s.fault(ctx, err)
	}
	defer func() { _ = cursor.Close(context.WithoutCancel(ctx)) }()
	for cursor.Next(inTime) {
		var doc D
		if err := cursor.Decode(&doc); err != nil {
			return s.fault(ctx, err)
		}
		found, err := doc.read()
		if err != nil {
			return s.fault(ctx, err)
		}
		if err := yield(found); err != nil {
			return err
		}
	}
	return s.fault(ctx, cursor.Err())
}

// list returns every document that filter names, in the order of the fields of sort.
func list[D reader[T], T any](ctx context.Context, s *Store, collection string, filter bson.M, sort bson.D) ([]T, error) {
	return listBy[D](ctx, s, collection, filter, options.Find().SetSort(sort))
}

func listBy[D reader[T], T any](ctx context.Context, s *Store, collection string, filter bson.M, opts *options.FindOptionsBuilder) ([]T, error) {
	var all []T
	err := each[D](ctx, s, collection, filter, opts, func(one T) error {
		all = append(all, one)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

func moment(micros int64) time.Time { return time.UnixMicro(micros).UTC() }

// text returns s as BSON takes it: each byte that is no UTF-8, as in a user agent that was cut, becomes
// U+FFFD, as in JSON.
func text(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string([]rune(s))
}

// notNull returns a value that is stored as bytes even when there are none.
func notNull(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
