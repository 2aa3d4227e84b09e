package storetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/agent/budget"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

// Opened is a store that can be closed.
type Opened interface {
	Store
	Close() error
}

// Opener opens the store at a place, such as a file.
type Opener func(ctx context.Context, place string) (Opened, error)

// roleVariable makes the test binary another process of a test.
const roleVariable = "KALPANA_TEST_ROLE"

// The roles of other processes. Their first argument is the place of the store.
const (
	roleOpener = "opener" // opens and closes
	roleLoader = "loader" // increments the named workspace and takes ports and tickets
	roleWriter = "writer" // writes until it is killed and prints what was acknowledged
)

// Play is for TestMain: where the process is another one of a test, it does what that asks for and
// ends.
func Play(open Opener) {
	role := os.Getenv(roleVariable)
	if role == "" {
		return
	}
	if err := play(role, os.Args[1:], open); err != nil {
		fmt.Fprintln(os.Stderr, role+":", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func play(role string, args []string, open Opener) error {
	ctx := context.Background()
	s, err := open(ctx, args[0])
	if err != nil {
		return err
	}
	switch role {
	case roleLoader:
		err = load(ctx, s, workspace.ID(args[1]), args[2])
	case roleWriter:
		err = writeForEver(ctx, s, workspace.ID(args[1]))
	}
	return errors.Join(err, s.Close())
}

func process(t *testing.T, role string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	return cmd
}

// RunProcesses checks what must hold of several processes on one store; fresh returns a new place. The
// caller's TestMain calls [Play].
func RunProcesses(t *testing.T, open Opener, fresh func(t *testing.T) (place string)) {
	t.Helper()
	for _, p := range []struct {
		name  string
		holds func(t *testing.T, place string, open Opener)
	}{
		{"TwoShareOneStore", twoProcessesShareOneStore},
		{"ThoseThatMakeOneStoreAtOnceAllOpenIt", processesThatMakeOneStoreAtOnceAllOpenIt},
		{"AKilledWriterLosesNothingThatWasAcknowledged", aKilledWriterLosesNothingThatWasAcknowledged},
	} {
		t.Run(p.name, func(t *testing.T) { p.holds(t, fresh(t), open) })
	}
}

// here opens the store in this process, until t ends or it is closed.
func here(t *testing.T, place string, open Opener) Opened {
	t.Helper()
	s, err := open(t.Context(), place)
	must(t, err)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

const (
	increments   = 80
	sharedPorts  = 25
	sharedTicket = 25
	sharedBudget = 25 // of which each process asks for as many
)

// load is one gateway of two. It prints "port N", "ticket N", "hold <id> N" and "slowest <duration>".
func load(ctx context.Context, s Store, counter workspace.ID, mine string) error {
	var mu sync.Mutex
	var slowest time.Duration
	timed := func(write func() error) error {
		start := time.Now()
		err := write()
		mu.Lock()
		slowest = max(slowest, time.Since(start))
		mu.Unlock()
		return err
	}
	var wg sync.WaitGroup
	var errs [4]error
	wg.Go(func() {
		for done := 0; done < increments; {
			w, err := s.Workspace(ctx, counter)
			if err != nil {
				errs[0] = err
				return
			}
			w.IDEPort++
			switch err = timed(func() error { return s.UpdateWorkspace(ctx, w) }); {
			case err == nil:
				done++
			case !errors.Is(err, workspace.ErrConflict):
				errs[0] = err
				return
			}
		}
	})
	wg.Go(func() {
		for port := range sharedPorts {
			errs[1] = timed(func() error {
				ok, err := s.ClaimPort(ctx, 40000+port, workspace.ID(mine))
				if ok {
					fmt.Println("port", port)
				}
				return err
			})
			if errs[1] != nil {
				return
			}
		}
	})
	wg.Go(func() {
		for n := range sharedTicket {
			errs[2] = timed(func() error {
				_, err := s.TakeTicket(ctx, "link", strconv.Itoa(n), time.Now())
				switch {
				case err == nil:
					fmt.Println("ticket", n)
				case errors.Is(err, identity.ErrNotFound):
					err = nil
				}
				return err
			})
			if errs[2] != nil {
				return
			}
		}
	})
	wg.Go(func() {
		bounds := []budget.Bound{{Counter: budget.Counter{Key: "shared", Until: time.Now().Add(time.Hour)}, Limit: budget.Amount{Cost: sharedBudget}}}
		for n := range sharedBudget {
			errs[3] = timed(func() error {
				hold := fmt.Sprintf("hold %s %d", mine, n)
				reached, err := s.HoldBudget(ctx, hold, bounds, budget.Amount{Cost: 1}, time.Now(), time.Now().Add(time.Hour))
				if reached < 0 && err == nil {
					fmt.Println(hold)
				}
				return err
			})
			if errs[3] != nil {
				return
			}
		}
	})
	wg.Wait()
	fmt.Println("slowest", slowest)
	return errors.Join(errs[:]...)
}

func twoProcessesShareOneStore(t *testing.T, place string, open Opener) {
	s := here(t, place, open)
	var ids [3]workspace.ID // of the counter, and of each process
	for i := range ids {
		ids[i] = created(t, s, "ann").ID
	}
	for n := range sharedTicket {
		err := s.CreateTicket(t.Context(), identity.Ticket{Hash: strconv.Itoa(n), Kind: "link", ExpiresAt: time.Now().Add(time.Hour)})
		must(t, err)
	}

	var outputs [2][]byte
	var wg sync.WaitGroup
	for i := range outputs {
		wg.Go(func() {
			var err error
			if outputs[i], err = process(t, roleLoader, place, string(ids[0]), string(ids[1+i])).Output(); err != nil {
				t.Errorf("process %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}

	w, err := s.Workspace(t.Context(), ids[0])
	must(t, err)
	if w.IDEPort != 2*increments || w.Revision != 2*increments+1 {
		t.Errorf("counted to %d at revision %d, want %d at %d", w.IDEPort, w.Revision, 2*increments, 2*increments+1)
	}
	won := map[string]int{}
	for i, output := range outputs {
		for line := range strings.Lines(string(output)) {
			line = strings.TrimSpace(line)
			if slowest, ok := strings.CutPrefix(line, "slowest "); ok {
				t.Logf("process %d: its slowest write took %s", i, slowest)
				continue
			}
			won[line]++
		}
	}
	for line, n := range won {
		if n != 1 {
			t.Errorf("%d processes got %s", n, line)
		}
	}
	if want := sharedPorts + sharedTicket + sharedBudget; len(won) != want {
		t.Errorf("%d ports, tickets and parts of a budget were given, want %d", len(won), want)
	}
}

func processesThatMakeOneStoreAtOnceAllOpenIt(t *testing.T, place string, open Opener) {
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			if err := process(t, roleOpener, place).Run(); err != nil {
				t.Errorf("process %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	created(t, here(t, place, open), "ann")
}

// writeForEver creates workspaces and updates one, and prints each only when the store has
// acknowledged it.
func writeForEver(ctx context.Context, s Store, counter workspace.ID) error {
	for {
		w, err := s.Workspace(ctx, counter)
		if err != nil {
			return err
		}
		if err := s.UpdateWorkspace(ctx, w); err != nil {
			return err
		}
		fmt.Println("revision", w.Revision)
		created := &workspace.Workspace{ID: workspace.NewID(), Owner: "ann"}
		if err := s.CreateWorkspace(ctx, created, 0); err != nil {
			return err
		}
		fmt.Println("created", created.ID)
	}
}

func aKilledWriterLosesNothingThatWasAcknowledged(t *testing.T, place string, open Opener) {
	counter := created(t, here(t, place, open), "ann").ID
	for round := range 3 {
		writer := process(t, roleWriter, place, string(counter))
		out, err := writer.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := writer.Start(); err != nil {
			t.Fatal(err)
		}
		var revision int64
		var created []workspace.ID
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			what, value, _ := strings.Cut(lines.Text(), " ")
			if what == "created" {
				created = append(created, workspace.ID(value))
			} else if revision, err = strconv.ParseInt(value, 10, 64); err != nil {
				t.Fatal(err)
			}
			if n == 60+7*round { // it goes on writing, so it dies anywhere
				if err := writer.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = writer.Wait()

		s := here(t, place, open)
		w, err := s.Workspace(t.Context(), counter)
		if err != nil {
			t.Fatal(err)
		}
		if w.Revision < revision || w.Revision > revision+1 {
			t.Errorf("round %d: revision %d, want %d or the one that was under way", round, w.Revision, revision)
		}
		for _, id := range created {
			if _, err := s.Workspace(t.Context(), id); err != nil {
				t.Errorf("round %d: workspace %s was acknowledged: %v", round, id, err)
			}
		}
		if len(created) < 20 {
			t.Errorf("round %d: only %d workspaces were made", round, len(created))
		}
		// What it did not come to say holds nothing back: the ids are known, and the store takes more.
		all, err := s.Workspaces(t.Context(), "ann")
		must(t, err)
		for _, w := range all {
			again := newWorkspace("bob")
			again.ID = w.ID
			wantErr(t, s.CreateWorkspace(t.Context(), again, 0), workspace.ErrConflict)
		}
		wantErr(t, s.CreateWorkspace(t.Context(), newWorkspace("ann"), len(all)), workspace.ErrLimit)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
