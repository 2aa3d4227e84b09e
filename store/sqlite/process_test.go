package sqlite_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/store/sqlite"
	"github.com/kalpana-dev/kalpana/workspace"
)

// The roles of other processes. Their first argument is the path of the database.
const (
	roleOpener = "opener" // opens and closes
	roleLoader = "loader" // increments the name'd workspace n times and takes ports and tickets
	roleWriter = "writer" // writes until it is killed and prints what was acknowledged
)

func play(role string, args []string) int {
	ctx := context.Background()
	s, err := sqlite.Open(ctx, args[0])
	if err == nil {
		switch role {
		case roleLoader:
			err = load(ctx, s, workspace.ID(args[1]), args[2])
		case roleWriter:
			err = writeForEver(ctx, s, workspace.ID(args[1]))
		}
		err = errors.Join(err, s.Close())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, role+":", err)
		return 1
	}
	return 0
}

func process(t *testing.T, role string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	return cmd
}

const (
	increments   = 80
	sharedPorts  = 25
	sharedTicket = 25
)

// load is one gateway of two. It prints "port N", "ticket N" and "slowest <duration>".
func load(ctx context.Context, s *sqlite.Store, counter workspace.ID, mine string) error {
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
	var errs [3]error
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
	wg.Wait()
	fmt.Println("slowest", slowest)
	return errors.Join(errs[:]...)
}

func TestTwoProcessesShareOneFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kalpana.db")
	s := open(t, path)
	var ids [3]workspace.ID // of the counter, and of each process
	for i := range ids {
		ids[i] = create(t, s).ID
	}
	for n := range sharedTicket {
		err := s.CreateTicket(t.Context(), identity.Ticket{Hash: strconv.Itoa(n), Kind: "link", ExpiresAt: time.Now().Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
	}

	var outputs [2][]byte
	var wg sync.WaitGroup
	for i := range outputs {
		wg.Go(func() {
			var err error
			if outputs[i], err = process(t, roleLoader, path, string(ids[0]), string(ids[1+i])).Output(); err != nil {
				t.Errorf("process %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}

	w, err := s.Workspace(t.Context(), ids[0])
	if err != nil {
		t.Fatal(err)
	}
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
	if len(won) != sharedPorts+sharedTicket {
		t.Errorf("%d ports and tickets were given, want %d", len(won), sharedPorts+sharedTicket)
	}
}

func TestProcessesThatMakeOneFileAtOnceAllOpenIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kalpana.db")
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			if err := process(t, roleOpener, path).Run(); err != nil {
				t.Errorf("process %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	create(t, open(t, path))
}

// writeForEver creates workspaces and updates one, and prints each only when the store has
// acknowledged it.
func writeForEver(ctx context.Context, s *sqlite.Store, counter workspace.ID) error {
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

func TestAKilledWriterLosesNothingThatWasAcknowledged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kalpana.db")
	counter := create(t, open(t, path)).ID
	for round := range 3 {
		writer := process(t, roleWriter, path, string(counter))
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

		s := open(t, path)
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
		create(t, s)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func create(t testing.TB, s *sqlite.Store) *workspace.Workspace {
	t.Helper()
	w := &workspace.Workspace{ID: workspace.NewID(), Owner: "ann", CreatedAt: time.Now()}
	if err := s.CreateWorkspace(t.Context(), w, 0); err != nil {
		t.Fatal(err)
	}
	return w
}
