package mongo_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/kalpana-dev/kalpana/agent"
	"github.com/kalpana-dev/kalpana/agent/budget"
	"github.com/kalpana-dev/kalpana/store/mongo/mongotest"
	"github.com/kalpana-dev/kalpana/workspace"
)

// behind returns a database on FerretDB and the proxy before it.
func behind(t *testing.T) (database, *mongotest.Proxy) {
	t.Helper()
	server := mongotest.Start(t)
	address := strings.TrimSuffix(strings.TrimPrefix(server, "mongodb://"), "/")
	if mongotest.Real() {
		t.Skip("breaking connections needs a server without TLS or a replica set of other names: FerretDB")
	}
	p, err := mongotest.NewProxy(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return fresh(t, "mongodb://"+p.Addr()+"/"), p
}

// cutAfter breaks every connection once n commands that contain what were carried out: what a gateway
// that is killed has done by then.
func cutAfter(p *mongotest.Proxy, n int, what ...string) {
	var seen atomic.Int32
	names := func(command []byte) bool {
		return slices.ContainsFunc(what, func(name string) bool { return bytes.Contains(command, []byte("\x02"+name+"\x00")) })
	}
	p.Fault(func(command []byte) bool {
		return !names(command) || seen.Load() < int32(n)
	}, func(command []byte) bool {
		if names(command) {
			seen.Add(1)
		}
		return true
	})
}

var writes = []string{"insert", "update", "delete", "findAndModify"}

func newWorkspace(owner string) *workspace.Workspace {
	return &workspace.Workspace{ID: workspace.NewID(), Owner: owner, Name: "one", State: workspace.StateStopped, CreatedAt: time.Now().UTC()}
}

// age makes every place of an owner look as if it was reserved long ago.
func age(t *testing.T, d database, owner string) {
	t.Helper()
	collection := d.raw(t).Collection("owners")
	var doc struct {
		Held map[string]int64 `bson:"held"`
	}
	err := collection.FindOne(t.Context(), bson.M{"_id": owner}).Decode(&doc)
	if errors.Is(err, driver.ErrNoDocuments) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	old := bson.M{}
	for id := range doc.Held {
		old["held."+id] = time.Now().Add(-time.Hour).UnixMicro()
	}
	if len(old) == 0 {
		return
	}
	if _, err := collection.UpdateOne(t.Context(), bson.M{"_id": owner}, bson.M{"$set": old}); err != nil {
		t.Fatal(err)
	}
}

func TestCreate_CutOffAnywhereTakesNobodysPlace(t *testing.T) {
	d, p := behind(t)
	s := d.open(t)
	for done := range 5 { // a new owner's place takes three writes; then the id, and the record
		owner := "ann" + string(rune('0'+done))
		cutAfter(p, done, writes...)
		w := newWorkspace(owner)
		err := s.CreateWorkspace(t.Context(), w, 1)
		p.Fault(nil, nil)
		if !errors.Is(err, workspace.ErrStoreDown) {
			t.Fatalf("after %d writes: %v, want ErrStoreDown", done, err)
		}
		if w.Revision != 0 {
			t.Errorf("after %d writes: the caller's record has revision %d", done, w.Revision)
		}
		if list, err := s.Workspaces(t.Context(), owner); err != nil || len(list) != 0 {
			t.Errorf("after %d writes: %d workspaces, %v", done, len(list), err)
		}
		age(t, d, owner)
		if err := s.CreateWorkspace(t.Context(), newWorkspace(owner), 1); err != nil {
			t.Errorf("after %d writes: the place is gone: %v", done, err)
		}
		if err := s.CreateWorkspace(t.Context(), newWorkspace(owner), 1); !errors.Is(err, workspace.ErrLimit) {
			t.Errorf("after %d writes: one too many: %v", done, err)
		}
	}
}

func TestCreate_APlaceThatWasJustReservedIsKept(t *testing.T) {
	d, p := behind(t)
	s := d.open(t)
	cutAfter(p, 3, writes...)
	if err := s.CreateWorkspace(t.Context(), newWorkspace("ann"), 1); err == nil {
		t.Fatal("not cut off")
	}
	p.Fault(nil, nil)
	// Another gateway may be about to make the record.
	if err := s.Purge(t.Context(), time.Now(), time.Hour); err != nil {
		t.Error(err)
	}
	if err := s.CreateWorkspace(t.Context(), newWorkspace("ann"), 1); !errors.Is(err, workspace.ErrLimit) {
		t.Error(err)
	}
}

func TestDelete_CutOffAnywhereLeavesNothingThatHurts(t *testing.T) {
	d, p := behind(t)
	s := d.open(t)
	for done := range 3 { // the record, its ports, its place
		owner, port := "ann"+string(rune('0'+done)), 40000+done
		w, other := newWorkspace(owner), newWorkspace("bob")
		for _, one := range []*workspace.Workspace{w, other} {
			if err := s.CreateWorkspace(t.Context(), one, 0); err != nil {
				t.Fatal(err)
			}
		}
		if ok, err := s.ClaimPort(t.Context(), port, w.ID); err != nil || !ok {
			t.Fatal(ok, err)
		}
		cutAfter(p, done, writes...)
		err := s.DeleteWorkspace(t.Context(), w.ID, w.Revision)
		p.Fault(nil, nil)
		if done == 0 {
			if !errors.Is(err, workspace.ErrStoreDown) {
				t.Errorf("nothing was written: %v", err)
			}
			if _, err := s.Workspace(t.Context(), w.ID); err != nil {
				t.Errorf("nothing was written: %v", err)
			}
			if ok, err := s.ClaimPort(t.Context(), port, other.ID); err != nil || ok {
				t.Errorf("the port of a workspace that is there was given away: %v", err)
			}
			continue
		}
		if err != nil {
			t.Errorf("after %d writes: %v", done, err)
		}
		if _, err := s.Workspace(t.Context(), w.ID); !errors.Is(err, workspace.ErrNotFound) {
			t.Errorf("after %d writes: %v", done, err)
		}
		if ok, err := s.ClaimPort(t.Context(), port, other.ID); err != nil || !ok {
			t.Errorf("after %d writes: its port is lost: %v, %v", done, ok, err)
		}
		age(t, d, owner)
		if err := s.CreateWorkspace(t.Context(), newWorkspace(owner), 1); err != nil {
			t.Errorf("after %d writes: its place is lost: %v", done, err)
		}
		w.Revision = 0
		if err := s.CreateWorkspace(t.Context(), w, 0); !errors.Is(err, workspace.ErrConflict) {
			t.Errorf("after %d writes: its id was used again: %v", done, err)
		}
	}
}

func TestPurge_RemovesWhatKilledGatewaysLeft(t *testing.T) {
	d, p := behind(t)
	s := d.open(t)
	kept, gone := newWorkspace("ann"), newWorkspace("ann")
	for i, w := range []*workspace.Workspace{kept, gone} {
		if err := s.CreateWorkspace(t.Context(), w, 0); err != nil {
			t.Fatal(err)
		}
		if ok, err := s.ClaimPort(t.Context(), 40000+i, w.ID); err != nil || !ok {
			t.Fatal(ok, err)
		}
	}
	cutAfter(p, 1, writes...)
	if err := s.DeleteWorkspace(t.Context(), gone.ID, gone.Revision); err != nil {
		t.Fatal(err)
	}
	p.Fault(nil, nil)
	if claims, err := s.Ports(t.Context()); err != nil || len(claims) != 2 {
		t.Fatalf("the delete was not cut off: %v, %v", claims, err)
	}
	age(t, d, "ann")
	if err := s.Purge(t.Context(), time.Now(), time.Hour); err != nil {
		t.Fatal(err)
	}
	if claims, err := s.Ports(t.Context()); err != nil || len(claims) != 1 || claims[40000] != kept.ID {
		t.Errorf("ports %v, %v", claims, err)
	}
	var doc struct {
		Count int              `bson:"count"`
		Held  map[string]int64 `bson:"held"`
	}
	if err := d.raw(t).Collection("owners").FindOne(t.Context(), bson.M{"_id": "ann"}).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	if doc.Count != 1 || len(doc.Held) != 1 || doc.Held[string(kept.ID)] == 0 {
		t.Errorf("places: %+v", doc)
	}
}

func TestDelete_ChatsThatAKilledGatewayLeftAreRemoved(t *testing.T) {
	for done := range 6 { // the record, its ports, its place, a chat, its messages
		d, p := behind(t)
		s := d.open(t)
		w, other := newWorkspace("ann"), newWorkspace("ann")
		for i, one := range []*workspace.Workspace{w, other} {
			if err := s.CreateWorkspace(t.Context(), one, 0); err != nil {
				t.Fatal(err)
			}
			id := fmt.Sprint("c", i)
			if err := s.CreateChat(t.Context(), &agent.Chat{ID: id, Workspace: one.ID}); err != nil {
				t.Fatal(err)
			}
			if err := s.PutMessage(t.Context(), &agent.Message{Chat: id, ID: "a", CreatedAt: time.Now()}); err != nil {
				t.Fatal(err)
			}
		}
		cutAfter(p, done, writes...)
		err := s.DeleteWorkspace(t.Context(), w.ID, w.Revision)
		p.Fault(nil, nil)
		if gone := done > 0; (err == nil) != gone {
			t.Errorf("after %d writes: %v", done, err)
		}
		if err := s.Purge(t.Context(), time.Now(), time.Hour); err != nil {
			t.Fatal(err)
		}
		want := map[string]int{"c0": 0, "c1": 1}
		if done == 0 {
			want["c0"] = 1
		}
		for id, n := range want {
			_, err := s.Chat(t.Context(), id)
			messages, err2 := s.Messages(t.Context(), id)
			if (err == nil) != (n == 1) || err2 != nil || len(messages) != n {
				t.Errorf("after %d writes: %s: %v, %d messages, %v", done, id, err, len(messages), err2)
			}
		}
	}
}

func TestHoldBudget_CutOffAnywhereItEndsByItself(t *testing.T) {
	d, p := behind(t)
	s := d.open(t)
	now := time.Now()
	for done := range 6 { // for each of two counters: try, make it, hold
		bounds := make([]budget.Bound, 2)
		counters := make([]budget.Counter, 2)
		for i := range bounds {
			counters[i] = budget.Counter{Key: fmt.Sprintf("person/%d/%d", done, i), Until: now.Add(time.Hour)}
			bounds[i] = budget.Bound{Counter: counters[i], Limit: budget.Amount{Cost: 10}}
		}
		cutAfter(p, done, writes...)
		_, err := s.HoldBudget(t.Context(), "cut", bounds, budget.Amount{Cost: 10}, now, now.Add(time.Minute))
		p.Fault(nil, nil)
		if !errors.Is(err, workspace.ErrStoreDown) {
			t.Fatalf("after %d writes: %v", done, err)
		}
		later := now.Add(2 * time.Minute)
		reached, err := s.HoldBudget(t.Context(), "next", bounds, budget.Amount{Cost: 3}, later, later.Add(time.Minute))
		if err != nil || reached >= 0 {
			t.Errorf("after %d writes: %d, %v", done, reached, err)
		}
		counts, err := s.BudgetCounts(t.Context(), counters, later)
		if want := (budget.Count{Held: budget.Amount{Cost: 3}}); err != nil || counts[0] != want || counts[1] != want {
			t.Errorf("after %d writes: %+v, %v", done, counts, err)
		}
	}
}
