package e2e

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary is the gateway under test: $KALPANA_TEST_BINARY, or one built with the race detector.
var binary string

// artifacts is where logs and screenshots are kept.
var artifacts string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	// The tests mostly wait, for the engine and for VS Code; more than two at a time wait for each other.
	_ = flag.Set("test.parallel", "2")
	root := filepath.Join("..", "..")
	var err error
	if artifacts, err = filepath.Abs(filepath.Join(root, "test", "artifacts")); err == nil {
		err = os.MkdirAll(artifacts, 0o755)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	dir, err := os.MkdirTemp("", "kalpana-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if binary = os.Getenv("KALPANA_TEST_BINARY"); binary != "" {
		return m.Run()
	}
	binary = filepath.Join(dir, "kalpana")
	build := exec.Command("go", "build", "-race", "-gcflags=modernc.org/sqlite/lib=-race=false", "-tags", "nobadger,nomysql,nopgx", "-o", binary, "./cmd/kalpana")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "the gateway does not build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// installation is one running Kalpana with a data directory of its own.
type installation struct {
	t       *testing.T
	dir     string
	port    int
	env     []string
	config  string
	process *exec.Cmd
	exited  chan struct{}
	log     *syncBuffer
}

// install starts a Kalpana on free ports; extra are further environment variables.
func install(t *testing.T, extra ...string) *installation {
	t.Helper()
	dir, err := os.MkdirTemp("", "kalpana-data-")
	if err != nil {
		t.Fatal(err)
	}
	return installIn(t, dir, extra...)
}

// installIn is install with a data directory of the caller's, which is removed at the end.
func installIn(t *testing.T, dir string, extra ...string) *installation {
	t.Helper()
	var err error
	i := &installation{t: t, dir: dir, port: freePort(t), log: new(syncBuffer)}
	i.config, err = filepath.Abs(filepath.Join("..", "..", "Caddyfile"))
	if err != nil {
		t.Fatal(err)
	}
	first := 40000 + (os.Getpid()*7+i.port)%9000
	i.env = append(os.Environ(),
		"KALPANA_DATA_DIR="+dir, "KALPANA_PORT="+strconv.Itoa(i.port),
		"KALPANA_METRICS_PORT="+strconv.Itoa(freePort(t)),
		fmt.Sprintf("KALPANA_PORTS=%d-%d", first, first+999),
		"KALPANA_OPTIONS=rate_limits off", // everything here comes from one address
	)
	if os.Getenv("KALPANA_IMAGE") == "" {
		i.env = append(i.env, "KALPANA_IMAGE=kalpana/workspace:latest")
	}
	i.env = append(i.env, extra...)
	t.Cleanup(func() {
		i.removeContainers()
		i.stop()
		name := strings.NewReplacer("/", "-", " ", "-").Replace(t.Name()) + ".log"
		_ = os.WriteFile(filepath.Join(artifacts, name), []byte(i.log.String()), 0o644)
		if strings.Contains(i.log.String(), "DATA RACE") {
			t.Errorf("the gateway has a data race; see %s", filepath.Join(artifacts, name))
		}
		if strings.Contains(i.log.String(), "panic") {
			t.Errorf("the gateway panicked; see %s", filepath.Join(artifacts, name))
		}
		_ = os.RemoveAll(dir)
	})
	i.start()
	return i
}

func (i *installation) command(args ...string) *exec.Cmd {
	c := exec.Command(binary, args...)
	c.Env = i.env
	return c
}

// start runs the gateway and waits until it answers on its admin socket.
func (i *installation) start() {
	i.t.Helper()
	i.process = i.command("run", "--config", i.config, "--adapter", "caddyfile")
	i.process.Stdout, i.process.Stderr = i.log, i.log
	if err := i.process.Start(); err != nil {
		i.t.Fatal(err)
	}
	i.exited = make(chan struct{})
	go func() {
		_ = i.process.Wait()
		close(i.exited)
	}()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		select {
		case <-i.exited:
			i.t.Fatalf("the gateway ended:\n%s", i.log.tail())
		default:
		}
		if resp, err := i.admin(http.MethodGet, "/kalpana/firewall"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
	}
	i.t.Fatalf("the gateway does not answer:\n%s", i.log.tail())
}

// stop ends the gateway in good order.
func (i *installation) stop() {
	if i.process == nil {
		return
	}
	_ = i.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-i.exited:
	case <-time.After(20 * time.Second):
		i.t.Errorf("the gateway did not end within 20 s of SIGTERM")
		i.kill()
	}
	i.process = nil
}

// kill ends the gateway at once, as a crash would.
func (i *installation) kill() {
	_ = i.process.Process.Kill()
	<-i.exited
}

// admin asks the gateway's admin socket. A process for each poll would take the machine's time.
func (i *installation) admin(method, path string) (*http.Response, error) {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(i.dir, "admin.sock"))
	}}
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	r, err := http.NewRequestWithContext(context.Background(), method, "http://localhost"+path, nil)
	if err != nil {
		return nil, err
	}
	return client.Do(r)
}

// console returns the console's address without a slash at its end.
func (i *installation) console() string { return fmt.Sprintf("http://kalpana.localhost:%d", i.port) }

func (i *installation) workspaceURL(id string) string {
	return fmt.Sprintf("http://%s.ws.kalpana.localhost:%d", id, i.port)
}

// signInLink asks the command for a link.
func (i *installation) signInLink() string {
	i.t.Helper()
	out, err := i.command("sign-in-link").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		i.t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// removeContainers removes what the tests left on the engine: through the API, so that only this
// installation's own is touched.
func (i *installation) removeContainers() {
	if i.process == nil {
		return
	}
	select {
	case <-i.exited:
		return
	default:
	}
	b := i.signIn()
	for _, w := range b.workspaces() {
		if code, body := b.api("DELETE", "/api/workspaces/"+w.ID, nil, nil); code != 204 {
			i.t.Errorf("cleaning up %s: %d %s", w.ID, code, body)
		}
	}
}

// docker runs the engine's command-line client and returns what it prints.
func docker(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "docker", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// containerOf returns the engine's id of a workspace's container, or "".
func containerOf(t *testing.T, id string) string {
	t.Helper()
	return docker(t, "ps", "-aq", "--no-trunc", "--filter", "label=dev.kalpana.workspace="+id)
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (s *syncBuffer) tail() string {
	text := s.String()
	return text[max(0, len(text)-4000):]
}
