package mongo_test

import (
	"context"
	"strings"
	"testing"

	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/goleak"

	"github.com/kalpana-dev/kalpana/store/mongo"
	"github.com/kalpana-dev/kalpana/store/mongo/mongotest"
	"github.com/kalpana-dev/kalpana/store/storetest"
)

// The guard is here so that the package does not need orchestrator's tests.
var _ storetest.Store = (*mongo.Store)(nil)

// opener opens the database that a place names: its name, a space, and its server.
func opener(ctx context.Context, place string) (storetest.Opened, error) {
	name, uri, _ := strings.Cut(place, " ")
	return mongo.Open(ctx, uri, name)
}

func TestProcesses(t *testing.T) {
	uri := mongotest.Start(t)
	storetest.RunProcesses(t, opener, func(t *testing.T) string { return fresh(t, uri).name + " " + uri })
}

func TestMain(m *testing.M) {
	storetest.Play(opener)
	goleak.VerifyTestMain(m)
}

// database is a backend: a database of its own on a server.
type database struct{ uri, name string }

func fresh(t testing.TB, uri string) database {
	t.Helper()
	return database{uri, mongotest.Database(t, uri)}
}

// Slow: FerretDB v1 keeps documents as text, and takes seconds for one of 8 MiB.
func (d database) Slow() bool { return !mongotest.Real() }

// raw returns the database as the driver has it.
func (d database) raw(t testing.TB) *driver.Database {
	t.Helper()
	client, err := driver.Connect(options.Client().ApplyURI(d.uri))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	return client.Database(d.name)
}

func (d database) Open(t *testing.T) storetest.Store { return d.open(t) }

func (d database) open(t testing.TB, opts ...mongo.Option) *mongo.Store {
	t.Helper()
	s, err := mongo.Open(t.Context(), d.uri, d.name, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	uri := mongotest.Start(t)
	storetest.Run(t, func(t *testing.T) storetest.Backend { return fresh(t, uri) })
}

func TestStore_ManyRecords(t *testing.T) {
	n := 1000 // FerretDB v1 reads whole collections
	if mongotest.Real() {
		n = 100_000
	}
	storetest.RunVolume(t, fresh(t, mongotest.Start(t)), n)
}
