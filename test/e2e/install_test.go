package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/test/harness"
)

// binary is the gateway under test: $KALPANA_TEST_BINARY, or one built with the race detector.
var binary string

// artifacts is where logs and screenshots are kept.
var artifacts = filepath.Join(harness.Root(), "test", "artifacts")

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	_ = flag.Set("test.parallel", "100") // see turn
	dir, err := os.MkdirTemp("", "kalpana-e2e-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = os.MkdirAll(artifacts, 0o755)
	}
	if err == nil {
		binary, err = harness.Build(true)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// installation is one running Kalpana with a data directory of its own.
type installation struct {
	*harness.Installation
	t *testing.T
}

var turns = make(chan struct{}, 2)

// turn waits for the test's turn, which lasts until its end. Tests draw on the processors, and more than two at a
// time wait for each other. One mostly waits for time to pass, and takes none.
func turn(t *testing.T) {
	turns <- struct{}{}
	t.Cleanup(func() { <-turns })
}

// install starts a Kalpana on free ports once it is the test's turn; extra are further environment variables.
func install(t *testing.T, extra ...string) *installation {
	t.Helper()
	turn(t)
	return installAtOnce(t, extra...)
}

// installAtOnce is install for a test that has a turn, or takes none.
func installAtOnce(t *testing.T, extra ...string) *installation {
	t.Helper()
	dir, err := os.MkdirTemp("", "kalpana-data-")
	if err != nil {
		t.Fatal(err)
	}
	return installIn(t, dir, extra...)
}

// The options of an installation, unless the test has others. Everything here comes from one address.
const options = "KALPANA_OPTIONS=rate_limits off\n"

// unfenced, after options, spares an installation the proof of its firewall, which takes seconds of the machine's
// time: tests that look at what people and containers reach, or at the whole way, have it.
const unfenced = "runtime docker {\n\tallow_host_access true\n}\n"

// installIn is install with a data directory of the caller's, which is removed at the end.
func installIn(t *testing.T, dir string, extra ...string) *installation {
	t.Helper()
	at, err := harness.New(binary, dir, append([]string{options}, extra...)...)
	if err != nil {
		t.Fatal(err)
	}
	i := &installation{at, t}
	t.Cleanup(func() {
		i.removeContainers()
		i.stop()
		path := filepath.Join(artifacts, strings.NewReplacer("/", "-", " ", "-").Replace(t.Name())+".log")
		_ = os.WriteFile(path, []byte(i.Log.String()), 0o644)
		if err := i.Faults(); err != nil {
			t.Errorf("%v; see %s", err, path)
		}
		_ = os.RemoveAll(dir)
	})
	i.start()
	return i
}

// derive makes an image kalpana-test/name of the workspace image and further lines of a Dockerfile.
func derive(t *testing.T, name string, lines ...string) string {
	t.Helper()
	image := os.Getenv("KALPANA_IMAGE")
	if image == "" {
		image = "kalpana/workspace:latest"
	}
	build := exec.Command("docker", "build", "-q", "-t", "kalpana-test/"+name, "-")
	build.Stdin = strings.NewReader("FROM " + image + "\n" + strings.Join(lines, "\n") + "\n")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return "kalpana-test/" + name
}

// start runs the gateway and waits until it answers.
func (i *installation) start() {
	i.t.Helper()
	if err := i.Start(); err != nil {
		i.t.Fatal(err)
	}
}

// stop ends the gateway in good order.
func (i *installation) stop() {
	if err := i.Stop(); err != nil {
		i.t.Error(err)
	}
}

// console returns the console's address without a slash at its end.
func (i *installation) console() string { return fmt.Sprintf("http://kalpana.localhost:%d", i.Port) }

func (i *installation) workspaceURL(id string) string {
	return fmt.Sprintf("http://%s.ws.kalpana.localhost:%d", id, i.Port)
}

// signInLink asks the command for a link.
func (i *installation) signInLink() string {
	i.t.Helper()
	return strings.TrimSpace(i.does("sign-in-link"))
}

// removeContainers removes what the tests left on the engine: through the API, so that only this
// installation's own is touched.
func (i *installation) removeContainers() {
	if !i.Running() {
		return
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
	port, err := harness.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}
