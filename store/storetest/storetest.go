// Package storetest is the behaviour that every store of Kalpana promises, as tests that any store
// can run against itself.
package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/agent"
	"github.com/kalpana-dev/kalpana/agent/budget"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/workspace"
)

// Store is what a store implements.
type Store interface {
	orchestrator.Store
	identity.Store
	agent.Store
	budget.Store
	// Settle keeps value under name unless something is kept there already, and returns what is kept.
	Settle(ctx context.Context, name, value string) (string, error)
}

// Backend is one place where records are kept, empty at first.
type Backend interface {
	// Open returns another client of that place, as another gateway would have it. It is closed
	// when t ends.
	Open(t *testing.T) Store
}

// Run checks every promise, each on a backend of its own.
func Run(t *testing.T, fresh func(t *testing.T) Backend) {
	t.Helper()
	for _, room := range []struct {
		name     string
		promises []promise
	}{
		{"Workspaces", workspaces},
		{"Ports", ports},
		{"Leases", leases},
		{"People", people},
		{"Accounts", accounts},
		{"Sessions", sessions},
		{"Tokens", tokens},
		{"Tickets", tickets},
		{"Revocations", revocations},
		{"Audit", audit},
		{"Chats", chats},
		{"Budget", budgets},
		{"ModelKeys", modelKeys},
		{"Installation", installation},
		{"Transfer", transfers},
		{"Purge", purge},
		{"Contexts", contexts},
	} {
		t.Run(room.name, func(t *testing.T) {
			for _, p := range room.promises {
				t.Run(p.name, func(t *testing.T) { p.holds(t, fresh(t)) })
			}
		})
	}
}

type promise struct {
	name  string
	holds func(t *testing.T, b Backend)
}

// moment returns a time that many seconds into the tests' day, with all the precision that a
// store keeps: microseconds.
func moment(seconds int) time.Time {
	return time.Date(2026, 3, 4, 5, 6, 7, 891_234_000, time.UTC).Add(time.Duration(seconds) * time.Second)
}

// newWorkspace returns a record of owner's that nobody has stored yet.
func newWorkspace(owner string) *workspace.Workspace {
	return &workspace.Workspace{
		ID: workspace.NewID(), Owner: owner, Name: "one", Template: "base", State: workspace.StateStopped,
		CreatedAt: moment(0), UpdatedAt: moment(0),
	}
}

// created stores a new record of owner's.
func created(t *testing.T, s Store, owner string) *workspace.Workspace {
	t.Helper()
	w := newWorkspace(owner)
	must(t, s.CreateWorkspace(t.Context(), w, 0))
	return w
}

// hash returns a text in the form of a SHA-256.
func hash(n int) string { return fmt.Sprintf("%064x", n) }

// fill gives every field of the struct that v points to a value of its own, so that a field which
// is added later is tested too.
func fill(t *testing.T, v any, seed int) {
	t.Helper()
	s := reflect.ValueOf(v).Elem()
	for i := range s.NumField() {
		field, n := s.Field(i), seed+i+1
		switch field.Interface().(type) {
		case time.Time:
			field.Set(reflect.ValueOf(moment(n)))
			continue
		case []byte:
			field.SetBytes(fmt.Appendf(nil, `{"value":%d}`, n))
			continue
		case json.RawMessage:
			field.SetBytes(fmt.Appendf(nil, `{"b": "\u0000 <%d>", "a":null}`, n))
			continue
		case []workspace.Share:
			field.Set(reflect.ValueOf([]workspace.Share{{Port: n, Level: workspace.SharePublic, Wakes: true, CORS: true}, {Port: n + 1}}))
			continue
		case workspace.Start:
			field.Set(reflect.ValueOf(workspace.Start{At: moment(n), From: workspace.StatePaused, Error: "none", Stages: []workspace.Stage{
				{Name: "container", At: moment(n), Took: 1234567, Lines: []string{"one", "<two> & \u2028"}}, {Name: "start", At: moment(n + 1)},
			}}))
			continue
		case workspace.Schedule:
			field.Set(reflect.ValueOf(workspace.Schedule{Zone: "Europe/Vienna", WakeAt: "08:30", StopAt: fmt.Sprintf("19:%02d", n%60), Days: []string{"mon", "fri"}}))
			continue
		case workspace.Quota:
			field.Set(reflect.ValueOf(workspace.Quota{Workspaces: n, Running: -1, CPUs: 1.5, Memory: 1 << 40, PIDs: 7, Disk: int64(n), AgentDayCost: 5, AgentMonthCost: -1, AgentDayTokens: 6, AgentMonthTokens: 7}))
			continue
		}
		switch field.Kind() {
		case reflect.String:
			field.SetString(fmt.Sprintf("%s %d", s.Type().Field(i).Name, n))
		case reflect.Int, reflect.Int64:
			field.SetInt(int64(n))
		case reflect.Bool:
			field.SetBool(true)
		default:
			t.Fatalf("storetest cannot fill %s of kind %v", s.Type().Field(i).Name, field.Kind())
		}
	}
}

// together runs f(0) … f(n-1) at the same time.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	wg.Wait()
}

// winners runs f n times at once and counts the calls that report true. It may run f on either of
// two clients.
func winners(t *testing.T, b Backend, n int, f func(ctx context.Context, s Store, i int) (bool, error)) int {
	t.Helper()
	clients := []Store{b.Open(t), b.Open(t)}
	won := make([]bool, n)
	together(n, func(i int) {
		ok, err := f(t.Context(), clients[i%len(clients)], i)
		if err != nil {
			t.Errorf("call %d: %v", i, err)
		}
		won[i] = ok
	})
	count := 0
	for _, ok := range won {
		if ok {
			count++
		}
	}
	return count
}

// unless turns an error that is expected of the losers into false.
func unless(err, expected error) (bool, error) {
	if errors.Is(err, expected) {
		return false, nil
	}
	return err == nil, err
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

func wantTrue(t *testing.T, what string) func(bool, error) {
	return wantBool(t, what, true)
}

func wantFalse(t *testing.T, what string) func(bool, error) {
	return wantBool(t, what, false)
}

func wantBool(t *testing.T, what string, want bool) func(bool, error) {
	return func(got bool, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if got != want {
			t.Fatalf("%s: got %v, want %v", what, got, want)
		}
	}
}
