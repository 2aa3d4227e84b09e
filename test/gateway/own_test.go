package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/kalpana-dev/kalpana/store/sqlite"
	"github.com/kalpana-dev/kalpana/test/harness"
)

// own is a deployment of the suite's own: the gateway's process, and its store from behind.
type own struct {
	*harness.Installation
	store *sqlite.Store
	tools *tools
}

// parts are what all deployments of a run share.
type parts struct{ dir, binary, image string }

// build builds the gateway and the image of the containers.
func build(dir string) (parts, error) {
	p := parts{dir: dir, image: "kalpana/test-app:" + strconv.Itoa(os.Getpid())}
	built := make(chan error, 1)
	go func() { built <- buildImage(dir, p.image) }()
	var err error
	p.binary, err = harness.Build(false)
	return p, errors.Join(err, <-built)
}

// buildImage puts test/gateway/app in the place of the bridge. The image is the workspace image
// otherwise, since Kalpana proves its firewall from a container of it.
func buildImage(dir, tag string) error {
	arch, err := exec.Command("docker", "version", "--format", "{{.Server.Arch}}").CombinedOutput()
	if err != nil {
		return fmt.Errorf("no Docker Engine answers; scripts/engine.sh starts one: %s", arch)
	}
	base := os.Getenv("KALPANA_IMAGE")
	if base == "" {
		base = "kalpana/workspace:latest"
	}
	if err := os.MkdirAll(filepath.Join(dir, "image"), 0o755); err != nil {
		return err
	}
	build := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, "image", "app"), "./test/gateway/app")
	build.Dir = harness.Root()
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+strings.TrimSpace(string(arch)))
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("test/gateway/app does not build: %w\n%s", err, out)
	}
	file := "FROM " + base + "\nCOPY app /usr/local/bin/test-app\nENTRYPOINT [\"/usr/local/bin/test-app\"]\n"
	if err := os.WriteFile(filepath.Join(dir, "image", "Dockerfile"), []byte(file), 0o644); err != nil {
		return err
	}
	cmd := exec.Command("docker", "build", "--quiet", "--tag", tag, filepath.Join(dir, "image"))
	cmd.Env = append(os.Environ(), "DOCKER_BUILDKIT=0") // is in every engine
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("docker build: %w\n%s", err, out)
	}
	return nil
}

func (p parts) remove() { _ = exec.Command("docker", "image", "rm", "--force", p.image).Run() }

// startTimeout is how long one wake may take in a deployment of the suite's own: some never end.
const startTimeout = "30s"

// start starts a deployment of a form.
func (p parts) start(ctx context.Context, f form) (*site, error) {
	dir, err := os.MkdirTemp(p.dir, f.name+"-")
	if err != nil {
		return nil, err
	}
	i, err := harness.New(p.binary, dir, "KALPANA_IMAGE="+p.image, "KALPANA_WORKSPACE_LIMIT=100", "KALPANA_HOST="+f.console,
		"KALPANA_WORKSPACES="+f.parent, "KALPANA_SCHEME="+f.scheme, "KALPANA_OPTIONS=", "KALPANA_SERVER_OPTIONS=",
		// Certificates of an authority of its own, which nobody trusts.
		"KALPANA_BIND=127.0.0.1", "KALPANA_AUTO_HTTPS=disable_redirects", "KALPANA_GLOBAL_OPTIONS=local_certs\nskip_install_trust", "XDG_DATA_HOME="+dir)
	if err != nil {
		return nil, err
	}
	o := &own{Installation: i, tools: newTools()}
	if i.Config, err = config(dir, f.options, o.tools.site(f)); err != nil {
		return nil, err
	}
	port := ":" + strconv.Itoa(i.Port)
	s, err := newSite(f.name, f.scheme+"://"+f.console+port, f.parent)
	if err != nil {
		return nil, err
	}
	s.dialTo = "127.0.0.1" + port
	s.own = o
	if err := i.Start(); err != nil {
		return nil, errors.Join(err, i.Stop())
	}
	if f.scheme == "https" {
		if err := certified(ctx, s.dialTo, f.console, "any."+f.parent, "tools."+f.console); err != nil {
			return nil, errors.Join(err, i.Stop())
		}
	}
	if s.own.store, err = sqlite.Open(ctx, filepath.Join(dir, "kalpana.db")); err != nil {
		return nil, errors.Join(err, i.Stop())
	}
	if s.first[admin], err = i.SignInLink(); err != nil {
		return nil, errors.Join(err, s.own.close())
	}
	return s, nil
}

// certified waits until a gateway has certificates for hosts: Caddy gets them after it has begun to listen.
func certified(ctx context.Context, address string, hosts ...string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, host := range hosts {
		dialer := tls.Dialer{Config: &tls.Config{ServerName: host, InsecureSkipVerify: true}}
		for {
			conn, err := dialer.DialContext(ctx, "tcp", address)
			if err == nil {
				_ = conn.Close()
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("no certificate for %s: %w", host, err)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	return nil
}

// config writes the root Caddyfile with a shorter start timeout, further options and further sites.
func config(dir, further, sites string) (string, error) {
	text, err := os.ReadFile(filepath.Join(harness.Root(), "Caddyfile"))
	if err != nil {
		return "", err
	}
	const option = "\tkalpana {\n"
	if !strings.Contains(string(text), option) {
		return "", errors.New("the root Caddyfile has no global option kalpana")
	}
	path := filepath.Join(dir, "Caddyfile")
	return path, os.WriteFile(path, []byte(strings.Replace(string(text), option, option+"\t\tstart_timeout "+startTimeout+"\n\t\t"+further+"\n", 1)+sites), 0o600)
}

func (o *own) close() error {
	err := errors.Join(o.store.Close(), o.Stop(), o.Faults())
	o.tools.Close()
	return err
}
