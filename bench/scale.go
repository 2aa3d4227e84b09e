package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/store/mongo"
	"github.com/kalpana-dev/kalpana/store/mongo/mongotest"
	"github.com/kalpana-dev/kalpana/store/sqlite"
	"github.com/kalpana-dev/kalpana/store/transfer"
	"github.com/kalpana-dev/kalpana/workspace"
)

// benchReconcile measures how long a gateway that starts takes to find every workspace that runs.
func (b *bench) benchReconcile(ctx context.Context) ([]line, error) {
	const limit = 2000
	n := 1000
	if b.short {
		n = 100
	}
	l := line{
		Name: "reconcile", Unit: "ms", Limit: limit,
		What: fmt.Sprintf("a gateway that starts on %d running containers until it can serve each, on an engine that is played\n"+
			"and SQLite on this disk", n),
	}
	b.quiet()
	err := b.played(func(engine *runtimetest.Runtime, first int) error {
		store, err := sqlite.Open(ctx, filepath.Join(b.tempDir(), "kalpana.db"))
		if err != nil {
			return err
		}
		defer store.Close()
		b.say("making %d workspaces that run", n)
		ids, err := runAll(ctx, store, engine, n, first)
		if err != nil {
			return err
		}
		for run := range b.runs {
			took, err := adoptAll(ctx, store, engine, ids)
			if err != nil {
				return err
			}
			b.say("reconcile %d/%d: %.0f ms", run+1, b.runs, took)
			l.Ours = append(l.Ours, took)
		}
		l.What += fmt.Sprintf("\n(each time the engine is asked for the list of its containers %d times)", engine.Calls(runtimetest.List)/b.runs)
		return nil
	}, 2*n)
	return []line{l}, err
}

// played lends an engine for tests, and the first of so many ports, to use.
func (b *bench) played(use func(*runtimetest.Runtime, int) error, ports int) (err error) {
	testing.Init()
	err = errors.Join(flag.Set("test.benchtime", "1x"), errors.New("the played engine did not start"))
	testing.Benchmark(func(t *testing.B) { // which is a testing.TB
		err = use(runtimetest.New(t), runtimetest.FreePorts(t, ports+ports/24+1))
	})
	return err
}

// benchToken is what the played containers demand.
const benchToken = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// runAll makes n workspaces with containers that run. The first port of each block of the played engine's
// is taken: those that cannot be had are passed over.
func runAll(ctx context.Context, store orchestrator.Store, engine *runtimetest.Runtime, n, port int) ([]workspace.ID, error) {
	var ids []workspace.ID
	for len(ids) < n {
		w := newRecord(fmt.Sprintf("person-%d", len(ids)/5), time.Now())
		if err := store.CreateWorkspace(ctx, w, 0); err != nil {
			return nil, err
		}
		for started := false; !started; port += 2 {
			container, err := engine.Create(ctx, orchestrator.Spec{
				Workspace: w.ID, Image: benchImage, Env: []string{bridge.EnvToken + "=" + benchToken}, Volume: w.Volume(), Address: w.Address,
				Ports: map[int]int{workspace.ContainerIDEPort: port, workspace.ContainerBridgePort: port + 1},
			})
			if err != nil {
				return nil, err
			}
			err = engine.Start(ctx, container)
			switch {
			case errors.Is(err, orchestrator.ErrPortBusy):
				err = engine.Remove(ctx, container)
			case err == nil:
				started = true
				w.Container, w.IDEPort, w.BridgePort = container, port, port+1
			}
			if err != nil {
				return nil, err
			}
		}
		w.State, w.StateSince, w.StartedAt = workspace.StateRunning, w.CreatedAt, w.CreatedAt
		if err := store.UpdateWorkspace(ctx, w); err != nil {
			return nil, err
		}
		ids = append(ids, w.ID)
	}
	return ids, nil
}

const benchImage = "kalpana/bench"

func newRecord(owner string, at time.Time) *workspace.Workspace {
	at = at.UTC().Truncate(time.Microsecond)
	return &workspace.Workspace{
		ID: workspace.NewID(), Owner: owner, Name: "A workspace", Template: "blank", State: workspace.StateStopped,
		Image: benchImage, Address: "127.0.0.1", CreatedAt: at, UpdatedAt: at,
	}
}

// adoptAll starts an orchestrator, and returns how long it took to know the way to each workspace, in
// milliseconds.
func adoptAll(ctx context.Context, store orchestrator.Store, engine orchestrator.Runtime, ids []workspace.ID) (float64, error) {
	hosts, err := workspace.NewHosts("http://kalpana.localhost", "ws.kalpana.localhost")
	if err != nil {
		return 0, err
	}
	o := orchestrator.New(orchestrator.Config{
		Store: store, Runtime: engine, Hosts: hosts, Image: benchImage, Templates: []orchestrator.Template{{Name: "blank"}},
		Token: func(workspace.ID) string { return benchToken },
	})
	defer o.Close()
	start := time.Now()
	o.Start()
	for _, id := range ids { // the last to come is the one that counts
		for o.Route(id) == nil {
			if time.Since(start) > time.Minute {
				return 0, fmt.Errorf("workspace %s was not found within a minute", id)
			}
			if err := pause(ctx, time.Millisecond); err != nil {
				return 0, err
			}
		}
	}
	return since(start), nil
}

// benchList measures how long a person's list takes where there are many people.
func (b *bench) benchList(ctx context.Context) ([]line, error) {
	b.quiet()
	store, err := sqlite.Open(ctx, filepath.Join(b.tempDir(), "kalpana.db"))
	if err != nil {
		return nil, err
	}
	defer store.Close()
	l, err := b.listLine(ctx, "SQLite", store)
	if err != nil || !mongotest.Real() {
		return []line{l}, err
	}
	database, drop, err := b.database(ctx, os.Getenv(mongotest.Variable))
	if err != nil {
		return nil, err
	}
	defer drop()
	other, err := b.listLine(ctx, "MongoDB", database)
	return []line{l, other}, err
}

// database makes one on a MongoDB, and the function that removes it.
func (b *bench) database(ctx context.Context, uri string) (*mongo.Store, func(), error) {
	name := fmt.Sprintf("kalpana_bench_%d", os.Getpid())
	client, err := driver.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		return nil, nil, err
	}
	store, err := mongo.Open(ctx, uri, name)
	if err != nil {
		return nil, nil, errors.Join(err, client.Disconnect(ctx))
	}
	return store, func() {
		ctx := context.WithoutCancel(ctx)
		if err := errors.Join(store.Close(), client.Database(name).Drop(ctx), client.Disconnect(ctx)); err != nil {
			b.say("the database %s may still be there: %v", name, err)
		}
	}, nil
}

// perPerson is how many workspaces each person has.
const perPerson = 5

// filled is a store that can be filled quickly.
type filled interface {
	orchestrator.Store
	transfer.Store
}

func (b *bench) listLine(ctx context.Context, name string, store filled) (line, error) {
	records, asked := 100_000, 4000
	if b.short {
		records, asked = 10_000, 500
	}
	l := line{
		Name: "list", Unit: "ms", Limit: 10,
		What: fmt.Sprintf("the %d workspaces of a person among %d records, the 99th percentile of %d lists, four at a time, on %s", perPerson, records, asked, name),
	}
	b.say("making %d records", records)
	if err := fill(ctx, store, records); err != nil {
		return l, err
	}
	hosts, err := workspace.NewHosts("http://kalpana.localhost", "ws.kalpana.localhost")
	if err != nil {
		return l, err
	}
	o := orchestrator.New(orchestrator.Config{Store: store, Hosts: hosts})
	defer o.Close()
	for run := range b.runs {
		took, err := listAll(ctx, o, records/perPerson, asked)
		if err != nil {
			return l, err
		}
		p99 := took[len(took)*99/100]
		b.say("list %d/%d: %.2f ms (the median is %.2f ms)", run+1, b.runs, p99, median(took))
		l.Ours = append(l.Ours, p99)
	}
	return l, nil
}

func personNumber(i int) string { return fmt.Sprintf("person-%06d", i) }

// fill makes records of people who have perPerson each. One person's lie far apart.
func fill(ctx context.Context, store transfer.Store, records int) error {
	const batch = 1000
	if err := store.BeginImport(ctx); err != nil {
		return err
	}
	for i := 0; i < records; i += batch {
		var some []transfer.Record
		for n := i; n < min(i+batch, records); n++ {
			w := newRecord(personNumber(n%(records/perPerson)), time.Unix(int64(1_700_000_000+n), 0))
			w.Revision = 1
			some = append(some, w)
		}
		if err := store.Import(ctx, some); err != nil {
			return err
		}
	}
	return store.EndImport(ctx)
}

// listAll asks for the lists of people here and there, and returns how long each took, in milliseconds,
// the quickest first.
func listAll(ctx context.Context, o *orchestrator.Orchestrator, people, asked int) ([]float64, error) {
	took := make([]float64, asked)
	err := eachOf(asked, func(i int) error {
		start := time.Now()
		list, err := o.List(ctx, personNumber(i*7919%people)) // a prime: no two neighbours
		if err == nil && len(list) != perPerson {
			err = fmt.Errorf("the list has %d workspaces", len(list))
		}
		took[i] = since(start)
		return err
	})
	slices.Sort(took)
	return took, err
}

// eachOf calls f for every number below n, four at a time, and returns the first error of each of the four.
func eachOf(n int, f func(int) error) error {
	const atOnce = 4
	var faults [atOnce]error
	var work sync.WaitGroup
	for first := range atOnce {
		work.Go(func() {
			for i := first; i < n && faults[first] == nil; i += atOnce {
				faults[first] = f(i)
			}
		})
	}
	work.Wait()
	return errors.Join(faults[:]...)
}
