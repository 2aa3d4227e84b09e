package mongo_test

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/store/mongo"
	"github.com/kalpana-dev/kalpana/store/mongo/mongotest"
	"github.com/kalpana-dev/kalpana/workspace"
)

func TestInspect_TellsOfADatabaseAndChangesNothing(t *testing.T) {
	d := fresh(t, mongotest.Start(t))
	collections := func() []string {
		names, err := d.raw(t).ListCollectionNames(t.Context(), bson.M{})
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	if info, err := mongo.Inspect(t.Context(), d.uri, d.name); !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(info.Where, d.name+" at ") {
		t.Errorf("a new one: %+v, %v", info, err)
	}
	if names := collections(); len(names) > 0 {
		t.Errorf("it made %v", names)
	}
	s := d.open(t)
	w := &workspace.Workspace{ID: workspace.NewID(), Owner: "ann", State: workspace.StateStopped}
	if err := s.CreateWorkspace(t.Context(), w, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ClaimPort(t.Context(), 40000, w.ID); err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	if err := s.AppendAudit(t.Context(), identity.AuditEvent{ID: "1", At: at, Action: "start"}); err != nil {
		t.Fatal(err)
	}
	info, err := mongo.Inspect(t.Context(), d.uri, d.name)
	if err != nil || info.Version != info.Known || info.Version == 0 || !info.Newest.Equal(at) || !slices.Equal(info.Ports, []int{40000}) {
		t.Errorf("%+v, %v", info, err)
	}

	other := fresh(t, d.uri)
	if _, err := other.raw(t).Collection("theirs").InsertOne(t.Context(), bson.M{"a": 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := mongo.Inspect(t.Context(), other.uri, other.name); !errors.Is(err, workspace.ErrStoreDown) || !strings.Contains(err.Error(), "another program") {
		t.Errorf("another program's: %v", err)
	}
}
