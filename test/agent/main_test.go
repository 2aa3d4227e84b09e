// Package agent_test has the published client of the AI SDK, headless in Node, talk to a running gateway with the
// agent in it, a played provider of models, and a real container: what a browser does, without a browser.
package agent_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kalpana-dev/kalpana/test/harness"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// install returns a directory that holds the packages of the lock file, and the Node.js to run them with: the machine's
// own, where it is new enough for them, else one of the packages.
func install(t testing.TB) (dir, node string) {
	t.Helper()
	var flags []string
	own := newEnough(t.Context())
	if own {
		flags = []string{"--omit=optional"}
	}
	dir, err := harness.Packages(t.Context(), "agent", flags...)
	if err != nil {
		t.Fatal(err)
	}
	if own {
		return dir, "node"
	}
	arch := map[string]string{"amd64": "x64"}[runtime.GOARCH]
	if arch == "" {
		arch = runtime.GOARCH
	}
	return dir, filepath.Join(dir, "node_modules", "node-"+runtime.GOOS+"-"+arch, "bin", "node")
}

// newEnough reports whether the machine's Node.js is of a version that the packages are for.
func newEnough(ctx context.Context) bool {
	out, _ := exec.CommandContext(ctx, "node", "--version").Output() // without one there are no packages either
	text, _, _ := strings.Cut(strings.TrimPrefix(string(out), "v"), ".")
	version, _ := strconv.Atoi(text)
	return version >= 22
}

// clients is a Node.js process with any number of clients of chats, by name.
type clients struct {
	t     testing.TB
	mu    sync.Mutex
	in    io.Writer
	next  int
	calls map[int]chan json.RawMessage
}

// startClients starts client.mjs until the test ends.
func startClients(t testing.TB) *clients {
	t.Helper()
	dir, node := install(t)
	program, err := os.ReadFile("client.mjs")
	if err != nil {
		t.Fatal(err)
	}
	// It finds its packages from where it is.
	file, err := os.CreateTemp(dir, "client-*.mjs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(file.Name()) })
	if _, err := file.Write(program); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	process := exec.Command(node, file.Name()) //nolint:gosec // files of ours
	var fault strings.Builder
	process.Stderr = &fault
	stdin, err := process.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	c := &clients{t: t, in: stdin, calls: map[int]chan json.RawMessage{}}
	read := make(chan struct{})
	go func() {
		defer close(read)
		c.read(stdout)
	}()
	t.Cleanup(func() {
		_ = stdin.Close() // which ends it
		<-read
		if err := process.Wait(); err != nil || t.Failed() {
			t.Logf("node: %v\n%s", err, fault.String())
		}
	})
	return c
}

func (c *clients) read(from io.Reader) {
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			break
		}
		var answer struct {
			N      int
			Answer json.RawMessage
		}
		if json.Unmarshal(line, &answer) != nil {
			continue
		}
		c.mu.Lock()
		call := c.calls[answer.N]
		delete(c.calls, answer.N)
		c.mu.Unlock()
		if call != nil {
			call <- answer.Answer
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, call := range c.calls {
		close(call)
	}
	c.calls = nil
}

// call has something done and decodes the answer into v.
func (c *clients) call(do string, args map[string]any, v any) {
	c.t.Helper()
	answer := make(chan json.RawMessage, 1)
	c.mu.Lock()
	if c.calls == nil {
		c.mu.Unlock()
		c.t.Fatal("the clients have ended")
	}
	c.next++
	n := c.next
	c.calls[n] = answer
	message := map[string]any{"n": n, "do": do}
	for name, value := range args {
		message[name] = value
	}
	text, err := json.Marshal(message)
	if err == nil {
		_, err = fmt.Fprintf(c.in, "%s\n", text)
	}
	c.mu.Unlock()
	if err != nil {
		c.t.Fatal(err)
	}
	select {
	case text, ok := <-answer:
		var fault struct{ Fault string }
		if !ok || json.Unmarshal(text, &fault) == nil && fault.Fault != "" {
			c.t.Fatalf("%s %v: %s", do, args, fault.Fault)
		}
		if err := json.Unmarshal(text, v); err != nil {
			c.t.Fatalf("%s: %v: %s", do, err, text)
		}
	case <-time.After(60 * time.Second):
		c.t.Fatalf("%s %v: no answer", do, args)
	}
}

// docker runs the engine's command-line client, and returns what it prints.
func docker(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "docker", args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("docker %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}
