package server

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
)

func TestRunCommand_TwoHundredAtOnce(t *testing.T) {
	c := start(t, "serve")
	for name, connections := range map[string]int{"over one connection": 1, "over ten": 10} {
		t.Run(name, func(t *testing.T) {
			clients := make([]*bridge.Client, connections)
			for i := range clients {
				clients[i] = c.dial()
			}
			var all sync.WaitGroup
			for i := range 200 {
				all.Go(func() {
					want := fmt.Sprintf("command %d\n", i)
					r, err := clients[i%connections].RunCommand(t.Context(), bridge.RunCommandParams{Argv: []string{"echo", "command", fmt.Sprint(i)}})
					if err != nil || r.Stdout != want {
						t.Errorf("%+v, %v", r, err)
					}
				})
			}
			all.Wait()
		})
	}
}

func TestRunCommand_OutputWithoutEndTakesLittleMemoryAndHoldsUpNobody(t *testing.T) {
	size := 100 << 20 // more than is kept; a gigabyte is what the commands in the background are tried with
	if os.Getenv(slowTests) != "" {
		size = 1 << 30
	}
	c := start(t, "serve")
	cl := c.dial()
	done := make(chan *bridge.RunCommandResult, 1)
	go func() {
		r, err := cl.RunCommand(t.Context(), bridge.RunCommandParams{Command: fmt.Sprintf("echo begin; head -c %d /dev/zero; echo end", size), TimeoutSeconds: 300})
		if err != nil {
			t.Error(err)
		}
		done <- r
	}()
	var most uint64
	for {
		if _, err := cl.Health(t.Context()); err != nil {
			t.Fatal(err)
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		most = max(most, m.HeapAlloc)
		select {
		case r := <-done:
			if r == nil || !r.Truncated || !strings.HasPrefix(r.Stdout, "begin\n") || !strings.HasSuffix(r.Stdout, "end\n") || len(r.Stdout) > bridge.MaxOutput+128 {
				t.Fatalf("%+v", r)
			}
			out, err := cl.CommandOutput(t.Context(), bridge.CommandOutputParams{ID: r.Log, Offset: -4})
			if err != nil || out.Content != "end\n" || out.Size != int64(size)+10 {
				t.Errorf("%+v, %v", out, err)
			}
			if most > 256<<20 {
				t.Errorf("%d MiB of memory", most>>20)
			}
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// slowTests is the variable that turns on what takes minutes.
const slowTests = "KALPANA_TEST_SLOW"

func TestSearchCode_AMillionFiles(t *testing.T) {
	files := 1_000_000
	if os.Getenv(slowTests) == "" {
		files = 50_000
		t.Logf("with %d files only: a million take half a minute to make; %s=1 makes them", files, slowTests)
	}
	c := start(t, "serve")
	const perFolder = 1000
	began := time.Now()
	var source string
	for i := range files {
		dir := filepath.Join(c.workspace, fmt.Sprintf("d%03d", i/perFolder))
		if i%perFolder == 0 {
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			source = filepath.Join(dir, "f000.txt")
			if err := os.WriteFile(source, []byte("hay\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		// Links are made faster than files; to a search they are files.
		if err := os.Link(source, filepath.Join(dir, fmt.Sprintf("f%03d.txt", i%perFolder))); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d files made in %s", files, time.Since(began))
	c.write("zzz/needle.go", "package needle\n")
	cl := c.dial()
	began = time.Now()
	r, err := cl.SearchCode(t.Context(), bridge.SearchCodeParams{Query: "package needle", TimeoutSeconds: bridge.MaxSearchSeconds})
	took := time.Since(began)
	if err != nil || r.Truncated || len(r.Matches) != 1 || r.Matches[0].Path != "zzz/needle.go" {
		t.Errorf("after %s: %+v, %v", took, r, err)
	}
	t.Logf("searched in %s", took)
	if r, err := cl.SearchCode(t.Context(), bridge.SearchCodeParams{Query: "hay", Limit: 5}); err != nil || !r.Truncated || len(r.Matches) != 5 {
		t.Errorf("some of many: %+v, %v", r, err)
	}
	began = time.Now()
	g, err := cl.Glob(t.Context(), bridge.GlobParams{Pattern: "needle.*"})
	if err != nil || len(g.Entries) != 1 && !g.Truncated {
		t.Errorf("%+v, %v", g, err)
	}
	t.Logf("found by name in %s", time.Since(began))
	began = time.Now()
	l, err := cl.ListFiles(t.Context(), bridge.ListFilesParams{Recursive: true})
	if err != nil || len(l.Entries) != bridge.DefaultEntries || !l.Truncated {
		t.Errorf("%d entries, %v", len(l.Entries), err)
	}
	t.Logf("listed in %s", time.Since(began))
}
