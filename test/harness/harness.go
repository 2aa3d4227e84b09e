// Package harness builds the gateway and runs installations of it, for tests of the whole system.
package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// patience is for what should happen at once, on a machine that is busy.
const patience = 30 * time.Second

// Root returns the root of the checkout.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// Build returns the path of the gateway's binary: $KALPANA_TEST_BINARY, or one that is built into
// dir.
func Build(dir string, race bool) (string, error) {
	if binary := os.Getenv("KALPANA_TEST_BINARY"); binary != "" {
		return filepath.Abs(binary)
	}
	args := []string{"build", "-tags", "nobadger,nomysql,nopgx", "-o", filepath.Join(dir, "kalpana")}
	if race {
		args = append(args, "-race", "-gcflags=modernc.org/sqlite/lib=-race=false") // C that was made Go: slow, and not ours
	}
	build := exec.Command("go", append(args, "./cmd/kalpana")...)
	build.Dir = Root()
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("the gateway does not build: %w\n%s", err, out)
	}
	return filepath.Join(dir, "kalpana"), nil
}

// Installation is one Kalpana with a data directory of its own. Its methods are for one goroutine,
// but for Command and SignInLink.
type Installation struct {
	Binary string
	Dir    string   // data directory
	Config string   // Caddyfile
	Port   int      // of console and workspaces
	Env    []string // of the gateway; a later variable wins
	Log    *Log

	process *exec.Cmd
	exited  chan struct{}
}

// New returns an installation on free ports, which does not run yet. It reads the root Caddyfile
// unless Config is changed; extra are further environment variables.
func New(binary, dir string, extra ...string) (*Installation, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	metrics, err := FreePort()
	if err != nil {
		return nil, err
	}
	i := &Installation{Binary: binary, Dir: dir, Config: filepath.Join(Root(), "Caddyfile"), Port: port, Log: new(Log)}
	first := 40000 + (os.Getpid()*7+port)%9000
	i.Env = append(os.Environ(),
		"KALPANA_DATA_DIR="+dir, "KALPANA_PORT="+strconv.Itoa(port), "KALPANA_METRICS_PORT="+strconv.Itoa(metrics),
		fmt.Sprintf("KALPANA_PORTS=%d-%d", first, first+999),
		"KALPANA_RUNNING_LIMIT=unlimited", // a test's workspaces are mostly one person's
	)
	if os.Getenv("KALPANA_IMAGE") == "" {
		i.Env = append(i.Env, "KALPANA_IMAGE=kalpana/workspace:latest")
	}
	i.Env = append(i.Env, extra...)
	return i, nil
}

// Command returns a command of the gateway's binary in the installation's environment.
func (i *Installation) Command(args ...string) *exec.Cmd {
	c := exec.Command(i.Binary, args...)
	c.Env = i.Env
	return c
}

// Start runs the gateway and waits until it answers on its admin socket.
func (i *Installation) Start() error {
	i.process = i.Command("run", "--config", i.Config, "--adapter", "caddyfile")
	i.process.Stdout, i.process.Stderr = i.Log, i.Log
	if err := i.process.Start(); err != nil {
		i.process = nil
		return err
	}
	process, exited := i.process, make(chan struct{})
	i.exited = exited
	go func() {
		_ = process.Wait()
		close(exited)
	}()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if !i.Running() {
			return fmt.Errorf("the gateway ended:\n%s", i.Log.Tail())
		}
		if resp, err := i.Admin(http.MethodGet, "/kalpana/firewall"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
	}
	return fmt.Errorf("the gateway does not answer:\n%s", i.Log.Tail())
}

// Admin asks the gateway's admin socket. A process for each poll would take the machine's time.
func (i *Installation) Admin(method, path string) (*http.Response, error) {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(i.Dir, "admin.sock"))
	}}
	client := &http.Client{Transport: transport, Timeout: patience}
	r, err := http.NewRequestWithContext(context.Background(), method, "http://localhost"+path, nil)
	if err != nil {
		return nil, err
	}
	return client.Do(r)
}

// Running reports whether the gateway's process is there.
func (i *Installation) Running() bool {
	if i.process == nil {
		return false
	}
	select {
	case <-i.exited:
		return false
	default:
		return true
	}
}

// Stop ends the gateway in good order. One that takes more than 20 s is killed, and that is an error.
func (i *Installation) Stop() error {
	if i.process == nil {
		return nil
	}
	_ = i.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-i.exited:
		i.process = nil
		return nil
	case <-time.After(20 * time.Second):
		i.Kill()
		i.process = nil
		return errors.New("the gateway did not end within 20 s of SIGTERM")
	}
}

// Kill ends the gateway at once, as a crash would.
func (i *Installation) Kill() {
	_ = i.process.Process.Kill()
	<-i.exited
}

// SignInLink asks the command for a link of the first admin.
func (i *Installation) SignInLink() (string, error) {
	out, err := i.Command("sign-in-link").Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	return strings.TrimSpace(string(out)), err
}

// Faults returns what the log tells of faults that no test may have: data races and panics.
func (i *Installation) Faults() error {
	text := i.Log.String()
	for word, fault := range map[string]string{"DATA RACE": "a data race", "panic": "a panic"} {
		if strings.Contains(text, word) {
			return fmt.Errorf("the gateway has %s", fault)
		}
	}
	return nil
}

// FreePort returns a TCP port of the loopback that nothing used a moment ago.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// Log keeps what a process prints.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Tail returns the last 4,000 bytes.
func (l *Log) Tail() string {
	text := l.String()
	return text[max(0, len(text)-4000):]
}
