package mongo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/kalpana-dev/kalpana/workspace"
)

const (
	defaultWait = 10 * time.Second
	listWait    = time.Minute // for a whole list, whose pages are fetched one after the other
)

// Option changes how [Open] opens a store.
type Option func(*Store)

// Wait sets how long one operation may take, a server that does not answer included, before it fails
// with workspace.ErrStoreDown. The default is ten seconds.
func Wait(d time.Duration) Option { return func(s *Store) { s.wait = d } }

// Unfinished also opens a database into which a copy was cut off; see [Store.BeginImport].
func Unfinished() Option { return func(s *Store) { s.unfinished = true } }

// Open connects to the servers that uri names, a connection string of MongoDB, and brings the schema
// of the database of the given name up to date. Neither logs nor errors show uri, which holds a
// password.
//
// A database that belongs to another program or that a newer Kalpana wrote is refused and not changed.
func Open(ctx context.Context, uri, database string, opts ...Option) (*Store, error) {
	s, err := connect(uri, database, opts...)
	if err != nil {
		return nil, err
	}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// connect returns a store that has asked its servers nothing yet.
func connect(uri, database string, opts ...Option) (*Store, error) {
	s := &Store{database: database, wait: defaultWait}
	for _, option := range opts {
		option(s)
	}
	if !validName(database) {
		return nil, fmt.Errorf("%w: %q is no name of a database: use letters, digits, dashes and underscores, 63 at most", workspace.ErrStoreDown, database)
	}
	if uri == "" {
		return nil, fmt.Errorf("%w: the connection string is empty: give one that begins with mongodb:// or mongodb+srv://", workspace.ErrStoreDown)
	}
	yes := true
	config := options.Client().ApplyURI(uri).
		SetAppName("kalpana").
		SetReadPreference(readpref.Primary()).
		SetReadConcern(readconcern.Majority()).
		SetWriteConcern(&writeconcern.WriteConcern{W: writeconcern.WCMajority, Journal: &yes}).
		SetRetryWrites(true).
		SetRetryReads(true).
		SetServerSelectionTimeout(s.wait).
		SetConnectTimeout(min(s.wait, 5*time.Second)).
		SetTimeout(s.wait)
	if err := config.Validate(); err != nil {
		return nil, invalidURI(err)
	}
	if config.Auth != nil {
		s.secret = config.Auth.Password
	}
	s.hosts = strings.Join(config.Hosts, ", ")
	client, err := mongo.Connect(config)
	if err != nil {
		return nil, invalidURI(err)
	}
	s.client = client
	s.db = client.Database(database)
	return s, nil
}

// invalidURI does not show what the driver says, which may quote the password.
func invalidURI(err error) error {
	var lookup *net.DNSError
	if errors.As(err, &lookup) {
		return fmt.Errorf("%w: the host of the connection string cannot be looked up: %w", workspace.ErrStoreDown, lookup)
	}
	return fmt.Errorf("%w: the connection string is not valid: it is like mongodb://user:password@host1,host2/?replicaSet=name, with every special character of user and password written as %%XX", workspace.ErrStoreDown)
}

func validName(database string) bool {
	if database == "" || len(database) > 63 {
		return false
	}
	for _, r := range database {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' {
			return false
		}
	}
	return true
}

// prepare checks the database, migrates it and makes its indexes.
func (s *Store) prepare(ctx context.Context) error {
	if err := s.migrate(ctx); err != nil {
		return err
	}
	return s.makeIndexes(ctx)
}
