package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/bridge/server"
)

// bridgeToken is that of the bridges that run here.
var bridgeToken = strings.Repeat("b", 64)

// bridgeOf runs a bridge in this process whose workspace folder is dir, and connects to it. VS Code is played by a
// program that waits.
func (b *bench) bridgeOf(ctx context.Context, dir string, methods map[string]func(context.Context, json.RawMessage) (any, error)) (*bridge.Client, error) {
	runDir := b.tempDir()
	s, err := server.New(server.Config{
		Token: bridgeToken, IDEAddr: "127.0.0.1:0", BridgeAddr: "127.0.0.1:0", WorkspaceDir: dir, TemplatesDir: runDir, RunDir: runDir,
		LocalSocket: filepath.Join(runDir, "local.sock"), CodeServer: []string{"sh", "-c", "exec sleep 1000000"}, Stdout: io.Discard, Methods: methods,
	})
	if err != nil {
		return nil, err
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- s.Run(serving) }()
	b.atEnd(func() {
		stop()
		<-done
	})
	client, err := bridge.DialWith(ctx, bridge.Endpoint{Addr: s.BridgeAddr(), Token: bridgeToken, Dial: (&net.Dialer{}).DialContext})
	if err == nil {
		b.atEnd(func() { _ = client.Close() })
	}
	return client, err
}

// benchSearch compares a search by the bridge with ripgrep's own.
func (b *bench) benchSearch(ctx context.Context) ([]line, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMODCACHE").Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	dir := strings.TrimSpace(string(out))
	client, err := b.bridgeOf(ctx, dir, nil)
	if err != nil {
		return nil, err
	}
	// It is in some hundred lines: fewer than the limit, so that all files are searched.
	const query = "httputil."
	l := line{
		Name: "search", Unit: "ms", Peer: "rg", Bar: 1.2,
		What: fmt.Sprintf("searchCode for %q over the module cache %s, against rg with the same options and its JSON thrown away;\n"+
			"the bridge and rg run on this machine, outside of a container", query, dir),
	}
	ours := func(ctx context.Context) (time.Duration, int, error) {
		began := time.Now()
		r, err := client.SearchCode(ctx, bridge.SearchCodeParams{Query: query, CaseSensitive: true, Limit: bridge.MaxMatches})
		if err != nil {
			return 0, 0, err
		}
		if r.Truncated {
			return 0, 0, errors.New("the search came to its limit; the machine is too slow or too busy for this line")
		}
		return time.Since(began), len(r.Matches), nil
	}
	theirs := func(ctx context.Context) (time.Duration, int, error) {
		began := time.Now()
		cmd := exec.CommandContext(ctx, "rg", "--json", "--no-config", "--no-messages", "--hidden", "--no-require-git",
			fmt.Sprintf("--threads=%d", min(max(runtime.NumCPU(), 2), 8)), "--fixed-strings", "--case-sensitive", "--glob=!.git", "--", query, ".")
		cmd.Dir = dir
		out, err := cmd.Output()
		return time.Since(began), strings.Count(string(out), `{"type":"match"`), err
	}
	// Once for the page cache, which then serves both.
	if _, _, err := theirs(ctx); err != nil {
		return nil, err
	}
	matches := map[string]int{}
	side := func(name string, search func(context.Context) (time.Duration, int, error), figures *[]float64) end {
		return end{name, func(ctx context.Context) (string, error) {
			took, found, err := search(ctx)
			if err != nil {
				return "", err
			}
			matches[name] = found
			*figures = append(*figures, float64(took.Microseconds())/1000)
			return fmt.Sprintf("%s, %d lines", took.Round(time.Millisecond), found), nil
		}}
	}
	if err := b.alternate(ctx, "search", side("the bridge", ours, &l.Ours), side("rg", theirs, &l.Theirs)); err != nil {
		return nil, err
	}
	if matches["the bridge"] != matches["rg"] {
		return nil, fmt.Errorf("they found different lines: %v", matches)
	}
	return []line{l}, nil
}

// benchRead compares reading a file with calls that carry as much and do nothing.
func (b *bench) benchRead(ctx context.Context) ([]line, error) {
	const size = 4 << 10
	dir := filepath.Join(b.tempDir(), "workspace")
	if err := os.MkdirAll(filepath.Join(dir, "src"), 0o755); err != nil {
		return nil, err
	}
	content := strings.Repeat("0123456789abcde\n", size/16)
	if err := os.WriteFile(filepath.Join(dir, "src", "file.go"), []byte(content), 0o600); err != nil {
		return nil, err
	}
	client, err := b.bridgeOf(ctx, dir, map[string]func(context.Context, json.RawMessage) (any, error){
		"echo": func(_ context.Context, params json.RawMessage) (any, error) { return params, nil },
	})
	if err != nil {
		return nil, err
	}
	read := func(ctx context.Context) error {
		r, err := client.ReadFile(ctx, bridge.ReadFileParams{Path: "src/file.go"})
		if err == nil && len(r.Content) != size {
			err = fmt.Errorf("%d bytes", len(r.Content))
		}
		return err
	}
	type text struct {
		Content string `json:"content"`
	}
	echo := func(ctx context.Context) error {
		var r text
		err := client.Call(ctx, "echo", text{content}, &r)
		if err == nil && len(r.Content) != size {
			err = fmt.Errorf("%d bytes", len(r.Content))
		}
		return err
	}
	duration := 3 * time.Second
	if b.short {
		duration = 500 * time.Millisecond
	}
	var lines []line
	for _, flight := range []int{1, bridge.MaxInFlight} {
		l := line{
			Name: fmt.Sprintf("read-%d", flight), Unit: "calls/s", Peer: "echo", Bar: 0.7, AtLeast: true,
			What: fmt.Sprintf("readFile of 4 KiB on one connection, %d in flight, against calls on the same connection that carry 4 KiB there and\n"+
				"back and do nothing; both ends are in one process", flight),
		}
		side := func(name string, call func(context.Context) error, figures *[]float64) end {
			return end{name, func(ctx context.Context) (string, error) {
				rate, err := callsPerSecond(ctx, duration, flight, call)
				if err == nil {
					*figures = append(*figures, rate)
				}
				return fmt.Sprintf("%.0f calls/s", rate), err
			}}
		}
		if err := b.alternate(ctx, l.Name, side("readFile", read, &l.Ours), side("echo", echo, &l.Theirs)); err != nil {
			return nil, err
		}
		lines = append(lines, l)
	}
	return lines, nil
}

// callsPerSecond makes calls for a while, so many at a time.
func callsPerSecond(ctx context.Context, d time.Duration, flight int, call func(context.Context) error) (float64, error) {
	var all sync.WaitGroup
	counts, errs := make([]int, flight), make([]error, flight)
	began := time.Now()
	for i := range flight {
		all.Go(func() {
			for time.Since(began) < d && errs[i] == nil {
				if errs[i] = call(ctx); errs[i] == nil {
					counts[i]++
				}
			}
		})
	}
	all.Wait()
	took, n := time.Since(began), 0
	for _, count := range counts {
		n += count
	}
	return float64(n) / took.Seconds(), errors.Join(errs...)
}
