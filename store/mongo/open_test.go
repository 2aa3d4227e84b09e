package mongo_test

import (
	"errors"
	"io/fs"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/store/mongo"
	"github.com/kalpana-dev/kalpana/store/mongo/mongotest"
	"github.com/kalpana-dev/kalpana/workspace"
)

// patience is for what should happen at once, on a machine that is busy.
const patience = 30 * time.Second

// wantRefusal checks that the database cannot be opened, for the reason and with the advice named.
func wantRefusal(t *testing.T, d database, wait time.Duration, want ...string) {
	t.Helper()
	s, err := mongo.Open(t.Context(), d.uri, d.name, mongo.Wait(wait))
	if err == nil {
		_ = s.Close()
		t.Fatalf("%s was opened", d.name)
	}
	if !errors.Is(err, workspace.ErrStoreDown) {
		t.Errorf("%v is no ErrStoreDown", err)
	}
	for _, part := range want {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("it shows the password: %v", err)
	}
	t.Log(err)
}

func TestOpen_SaysWhatIsWrongAndNeverThePassword(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	_ = l.Close()
	for _, c := range []struct{ uri, want string }{
		{"", "is empty"},
		{"postgres://ann:hunter2@db/", "the connection string is not valid"},
		{"mongodb://ann:hunter2@", "the connection string is not valid"},
		{"mongodb://ann:hunter2@x@db/", "the connection string is not valid"},
		{"mongodb://ann:hunter2%zz@db/", "the connection string is not valid"},
		{"mongodb://ann:hunter2@db/?tls=hunter2", "the connection string is not valid"},
		{"mongodb://ann:hunter2@" + closed + "/", closed + " cannot be reached, or has no primary"},
	} {
		wantRefusal(t, database{c.uri, "kalpana"}, 500*time.Millisecond, c.want)
	}
	for _, name := range []string{"", "a/b", "a b", "$x", strings.Repeat("a", 64)} {
		wantRefusal(t, database{"mongodb://ann:hunter2@" + closed + "/", name}, patience, "is no name of a database")
	}
}

func TestOpen_RefusesTheDatabaseOfAnotherProgramAndLeavesItAlone(t *testing.T) {
	d := fresh(t, mongotest.Start(t))
	raw := d.raw(t)
	if _, err := raw.Collection("recipes").InsertOne(t.Context(), bson.M{"name": "dal"}); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, d, patience, d.name, "another program", "name another database")
	if names, err := raw.ListCollectionNames(t.Context(), bson.M{}); err != nil || len(names) != 1 {
		t.Errorf("collections %v, %v", names, err)
	}
}

func TestOpen_RefusesANewerSchema(t *testing.T) {
	d := fresh(t, mongotest.Start(t))
	if err := d.open(t).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.raw(t).Collection("installation").UpdateOne(t.Context(), bson.M{"_id": "schema"}, bson.M{"$set": bson.M{"version": 4711}}); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, d, patience, "newer Kalpana", "schema 4711")
}

func TestInspect_TellsWithoutChangingAnything(t *testing.T) {
	d := fresh(t, mongotest.Start(t))
	if _, err := mongo.Inspect(t.Context(), d.uri, d.name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty database: %v", err)
	}
	if names, err := d.raw(t).ListCollectionNames(t.Context(), bson.M{}); err != nil || len(names) != 0 {
		t.Errorf("it made %v, %v", names, err)
	}
	s := d.open(t)
	w := newWorkspace("ann")
	if err := s.CreateWorkspace(t.Context(), w, 0); err != nil {
		t.Fatal(err)
	}
	if ok, err := s.ClaimPort(t.Context(), 40000, w.ID); err != nil || !ok {
		t.Fatal(ok, err)
	}
	at := time.Now().UTC().Truncate(time.Microsecond)
	if err := s.AppendAudit(t.Context(), identity.AuditEvent{ID: "e1", At: at}); err != nil {
		t.Fatal(err)
	}
	info, err := mongo.Inspect(t.Context(), d.uri, d.name)
	if err != nil || info.Version != info.Known || info.Version == 0 || !slices.Equal(info.Ports, []int{40000}) || !info.Newest.Equal(at) || info.Hosts == "" {
		t.Errorf("%+v, %v", info, err)
	}
	if err := s.BeginImport(t.Context()); err == nil {
		t.Error("a copy into a store that is in use")
	}
}

func TestGatewaysThatOpenANewDatabaseAtOnceAllOpenIt(t *testing.T) {
	d := fresh(t, mongotest.Start(t))
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			s, err := mongo.Open(t.Context(), d.uri, d.name)
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if err := d.open(t).CreateWorkspace(t.Context(), newWorkspace("ann"), 1); err != nil {
		t.Error(err)
	}
}

func TestAServerThatGoesAwayIsAStoreThatIsDown(t *testing.T) {
	d, p := behind(t)
	s := d.open(t, mongo.Wait(4*time.Second))
	w := newWorkspace("ann")
	if err := s.CreateWorkspace(t.Context(), w, 0); err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	p.Fault(func([]byte) bool { return false }, nil)
	var calls sync.WaitGroup
	for _, call := range []func() error{
		func() error { _, err := s.Workspace(t.Context(), w.ID); return err },
		func() error { mine := *w; return s.UpdateWorkspace(t.Context(), &mine) },
		func() error { return s.Ping(t.Context()) },
	} {
		calls.Go(func() {
			if err := call(); !errors.Is(err, workspace.ErrStoreDown) || !strings.Contains(err.Error(), "cannot be reached") {
				t.Errorf("got error %v, want ErrStoreDown that says so", err)
			}
		})
	}
	calls.Wait()
	p.Fault(nil, nil)
	for deadline := time.Now().Add(patience); ; {
		_, err := s.Workspace(t.Context(), w.ID)
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it does not come back: %v", err)
		}
	}
}

func TestAClosedStoreSaysSo(t *testing.T) {
	s := fresh(t, mongotest.Start(t)).open(t)
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Workspace(t.Context(), "abcdefghij"); !errors.Is(err, workspace.ErrStoreDown) {
		t.Errorf("got error %v, want ErrStoreDown", err)
	}
}

func TestTextThatIsNoUTF8IsStored(t *testing.T) {
	s := fresh(t, mongotest.Start(t)).open(t)
	w := newWorkspace("ann")
	w.Reason = "cut \xe2\x82"
	if err := s.CreateWorkspace(t.Context(), w, 0); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Workspace(t.Context(), w.ID); err != nil || got.Reason != "cut \uFFFD\uFFFD" {
		t.Errorf("%q, %v", got.Reason, err)
	}
}
