package docker

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/client"
	"go.uber.org/goleak"

	"github.com/kalpana-dev/kalpana/test/harness"
)

// The tests run on a real engine, in a scope of their own: other installations on it, and other runs
// of these tests, are not disturbed.
var (
	suffix = strings.ToLower(rand.Text()[:5])
	// testScope is prepared once; tests that take the firewall apart have scopes of their own.
	testScope = newScope("a")
	// testImage has the toolbox, bash and iptables; bareImage the toolbox alone.
	testImage = "kalpana-test/docker:" + suffix
	bareImage = "kalpana-test/docker-bare:" + suffix
)

func newScope(letter string) scope {
	name := "kt" + suffix + letter
	return scope{bridge: name, network: name + "-", chain: strings.ToUpper(name)}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(cleaning{m}) }

type cleaning struct{ *testing.M }

func (c cleaning) Run() int {
	// The tests mostly wait, for the engine and for what does not answer.
	_ = flag.Set("test.parallel", "6")
	code := c.M.Run()
	if world.api != nil {
		world.clean()
		_ = world.api.Close()
	}
	return code
}

// world is what the tests share.
var world struct {
	once    sync.Once
	err     error
	api     *client.Client
	toolbox string // path of the built program
	clean   func()
}

// engine returns a client of the engine, on which the test images are, or fails the test.
func engine(t *testing.T) *client.Client {
	t.Helper()
	world.once.Do(func() { world.err = setUp() })
	if world.err != nil {
		t.Fatal(world.err)
	}
	return world.api
}

func setUp() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	api, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		return err
	}
	if _, err := api.Ping(ctx); err != nil {
		_ = api.Close()
		return fmt.Errorf("these tests need a container engine; run scripts/engine.sh first (%w)", err)
	}
	if os.Geteuid() != 0 {
		_ = api.Close()
		return errors.New("these tests need root: they look at firewall rules")
	}
	dir, err := os.MkdirTemp("", "kalpana-docker-test-")
	if err != nil {
		return err
	}
	world.api, world.toolbox = api, filepath.Join(dir, "toolbox")
	world.clean = func() {
		cleanUp(api)
		_ = os.RemoveAll(dir)
	}
	if built := os.Getenv("KALPANA_TEST_TOOLBOX"); built != "" { // on a machine without Go
		world.toolbox = built
	} else {
		build := exec.CommandContext(ctx, "go", "build", "-ldflags", "-s -w", "-o", world.toolbox, "./testdata/toolbox")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build toolbox: %w\n%s", err, out)
		}
	}
	bare := &harness.Image{Entrypoint: "/toolbox", Files: map[string]string{"/toolbox": world.toolbox}}
	if err := bare.Import(ctx, api, bareImage); err != nil {
		return err
	}
	return importTestImage(ctx, api)
}

// importTestImage makes testImage on an engine.
func importTestImage(ctx context.Context, api *client.Client) error {
	i := &harness.Image{Entrypoint: "/toolbox", Files: map[string]string{"/toolbox": world.toolbox}}
	i.AddShell()
	return i.Import(ctx, api, testImage)
}

// cleanUp removes everything of this run.
func cleanUp(api *client.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	containers, _ := api.ContainerList(ctx, container.ListOptions{All: true})
	for _, c := range containers {
		if strings.HasPrefix(c.Labels[LabelInstance], "test-"+suffix) {
			_ = api.ContainerRemove(ctx, c.ID, container.RemoveOptions{Force: true, RemoveVolumes: true})
		}
	}
	networks, _ := api.NetworkList(ctx, network.ListOptions{})
	for _, n := range networks {
		if strings.HasPrefix(n.Name, "kt"+suffix) {
			_ = api.NetworkRemove(ctx, n.ID)
		}
	}
	for _, ref := range []string{testImage, bareImage} {
		_, _ = api.ImageRemove(ctx, ref, image.RemoveOptions{Force: true})
	}
	removeRules(ctx, testScope)
}

// removeRules takes a scope's chains out of the firewall.
func removeRules(ctx context.Context, s scope) {
	set := (&Runtime{cfg: Config{scope: s}}).ruleset()
	run := func(args ...string) bool {
		return exec.CommandContext(ctx, "iptables", append([]string{"-w"}, args...)...).Run() == nil
	}
	for _, h := range []hook{set.input, set.user, set.forward} {
		for run(append([]string{"-D"}, h.args()...)...) { //nolint:revive // every copy
		}
	}
	for _, chain := range set.chains {
		run("-F", chain)
		run("-X", chain)
	}
}
