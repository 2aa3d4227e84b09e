// Package harness builds the gateway and runs installations of it, for tests of the whole system.
package harness

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// patience is for what should happen at once, on a machine that is busy.
const patience = 30 * time.Second

// Root returns the root of the checkout that the process was started in.
var Root = sync.OnceValue(func() string {
	mod, err := exec.Command("go", "env", "GOMOD").Output() // the compiler's paths may be trimmed
	if err != nil {
		panic(fmt.Sprintf("go env GOMOD: %v", err))
	}
	return filepath.Dir(strings.TrimSpace(string(mod)))
})

// Build returns the path of the gateway's binary: $KALPANA_TEST_BINARY, or one below build/, which all suites
// share. Go makes it anew only if something of it changed.
func Build(race bool) (string, error) {
	if binary := os.Getenv("KALPANA_TEST_BINARY"); binary != "" {
		return filepath.Abs(binary)
	}
	binary := filepath.Join(Root(), "build", "test", "kalpana")
	args := []string{"build", "-tags", "nobadger,nomysql,nopgx", "-ldflags=-w"} // symbols are needed, see MoveClock
	if race {
		binary += "-race"
		args = append(args, "-race", "-gcflags=modernc.org/sqlite/lib=-race=false") // C that was made Go: slow, and not ours
	}
	if err := os.MkdirAll(filepath.Dir(binary), 0o755); err != nil {
		return "", err
	}
	// Suites may run beside each other.
	lock, err := os.OpenFile(binary+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	build := exec.Command("go", append(args, "-o", binary, "./cmd/kalpana")...)
	build.Dir = Root()
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("the gateway does not build: %w\n%s", err, out)
	}
	return binary, nil
}

// Installation is one Kalpana with a data directory of its own. Its methods are for one goroutine,
// but for Command and what asks the admin socket.
type Installation struct {
	Binary string
	Dir    string   // data directory
	Config string   // Caddyfile
	Port   int      // of console and workspaces
	Env    []string // of the gateway; a later variable wins
	Log    *Log
	// Address is what it listens on, "" is 127.0.0.1.
	Address string
	// Namespace is the file of the network namespace that the gateway runs in, "" for this process's.
	Namespace string

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

// Beside returns another gateway of the same installation, which does not run yet: on the same store and
// with the same keys, with a data directory of its own. Both have the console's address, as behind one
// load balancer, and each has its own to listen on.
func (i *Installation) Beside(dir string, extra ...string) (*Installation, error) {
	other, err := New(i.Binary, dir)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"key", "keyset.json", "instance"} {
		content, err := os.ReadFile(filepath.Join(i.Dir, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), content, 0o600)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	options, metrics := "", ""
	for _, v := range i.Env {
		if text, ok := strings.CutPrefix(v, "KALPANA_OPTIONS="); ok {
			options = text
		}
	}
	for _, v := range other.Env {
		if strings.HasPrefix(v, "KALPANA_METRICS_PORT=") {
			metrics = v
		}
	}
	other.Port, other.Address, other.Namespace = i.Port, "127.0.0.2", i.Namespace
	other.Env = append(slices.Clone(i.Env), metrics, "KALPANA_DATA_DIR="+dir, "KALPANA_BIND="+other.Address,
		fmt.Sprintf("KALPANA_OPTIONS=%s\nstore sqlite {\n path %q\n}", options, filepath.Join(i.Dir, "kalpana.db")))
	other.Env = append(other.Env, extra...)
	return other, nil
}

// Command returns a command of the gateway's binary in the installation's environment.
func (i *Installation) Command(args ...string) *exec.Cmd {
	name := i.Binary
	if i.Namespace != "" {
		name, args = "nsenter", append([]string{"--net=" + i.Namespace, "--", i.Binary}, args...) // becomes the gateway
	}
	c := exec.Command(name, args...)
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
	return i.AdminBody(method, path, nil)
}

// AdminBody is Admin with a body, and headers in pairs.
func (i *Installation) AdminBody(method, path string, body []byte, header ...string) (*http.Response, error) {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(i.Dir, "admin.sock"))
	}}
	client := &http.Client{Transport: transport, Timeout: patience}
	return client.Do(Request(method, "http://localhost"+path, bytes.NewReader(body), header...))
}

// Dial connects to a host of the installation: whatever its name is, it is on the loopback.
func (i *Installation) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	addr = net.JoinHostPort(cmp.Or(i.Address, "127.0.0.1"), port)
	if i.Namespace != "" {
		return DialIn(ctx, i.Namespace, network, addr)
	}
	return new(net.Dialer).DialContext(ctx, network, addr)
}

// Process returns the id of the gateway's process.
func (i *Installation) Process() int { return i.process.Process.Pid }

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

// Reload makes the gateway read its configuration anew, even where it did not change.
func (i *Installation) Reload() error {
	out, err := i.Command("reload", "--force", "--config", i.Config, "--adapter", "caddyfile", "--address", "unix/"+filepath.Join(i.Dir, "admin.sock")).CombinedOutput()
	if err != nil {
		return fmt.Errorf("reload: %w\n%s", err, out)
	}
	return nil
}

// Console returns the console's origin.
func (i *Installation) Console() string { return fmt.Sprintf("http://kalpana.localhost:%d", i.Port) }

// Workspace returns the origin of a workspace.
func (i *Installation) Workspace(id string) string {
	return fmt.Sprintf("http://%s.ws.kalpana.localhost:%d", id, i.Port)
}

// SignInLink asks for a link of the first admin, as "kalpana sign-in-link" does.
func (i *Installation) SignInLink() (string, error) {
	resp, err := i.Admin(http.MethodPost, "/kalpana/sign-in-link")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var link struct{ URL string }
	if err := json.NewDecoder(resp.Body).Decode(&link); err != nil || link.URL == "" {
		return "", fmt.Errorf("a sign-in link: %s, %w", resp.Status, err)
	}
	return link.URL, nil
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

// handedOut are the ports that FreePort has returned.
var handedOut sync.Map

// FreePort returns a TCP port of the loopback that nothing used a moment ago, and none twice: who uses it may do so in
// another network namespace, and two gateways would share it in silence.
func FreePort() (int, error) {
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, err
		}
		port := l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
		if _, before := handedOut.LoadOrStore(port, true); !before {
			return port, nil
		}
	}
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
