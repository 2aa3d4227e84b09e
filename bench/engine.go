package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/volume"
	docker "github.com/docker/docker/client"

	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/workspace"
)

// labelWorkspace is on what Kalpana makes on the engine for a workspace.
const labelWorkspace = "dev.kalpana.workspace"

// engine is the container engine, and what the benchmark must remove from it in the end.
type engine struct {
	*docker.Client
	containers, images, workspaces []string
}

func openEngine() (*engine, error) {
	api, err := docker.NewClientWithOpts(docker.FromEnv, docker.WithAPIVersionNegotiation())
	return &engine{Client: api}, err
}

// box is a workspace's container as the engine knows it.
type box struct {
	container.InspectResponse
	addr  string // of the published IDE port
	own   string // of the IDE port on the container's own address
	token string
}

// find looks up the container of a workspace.
func (e *engine) find(ctx context.Context, id string) (*box, error) {
	list, err := e.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("label", labelWorkspace+"="+id))})
	if err != nil {
		return nil, err
	}
	if len(list) != 1 {
		return nil, fmt.Errorf("workspace %s has %d containers", id, len(list))
	}
	b := new(box)
	if b.InspectResponse, err = e.ContainerInspect(ctx, list[0].ID); err != nil {
		return nil, err
	}
	for port, bindings := range b.HostConfig.PortBindings {
		if port.Int() == workspace.ContainerIDEPort {
			b.addr = bindings[0].HostIP + ":" + bindings[0].HostPort
		}
	}
	b.own = ownAddress(b.InspectResponse)
	for _, variable := range b.Config.Env {
		if token, ok := strings.CutPrefix(variable, bridge.EnvToken+"="); ok {
			b.token = token
		}
	}
	if b.addr == "" || b.token == "" {
		return nil, errors.New("the workspace's container has no published port or no token")
	}
	return b, nil
}

// twin makes a container that is the same as b down to volume and ports (so only one of the two
// can run at a time), but for the labels: Kalpana does not know it.
func (e *engine) twin(ctx context.Context, b *box) (string, error) {
	config, host := *b.Config, *b.HostConfig
	config.Labels = nil
	created, err := e.ContainerCreate(ctx, &config, &host, nil, nil, fmt.Sprintf("kalpana-bench-%d-%d", os.Getpid(), len(e.containers)))
	if err != nil {
		return "", err
	}
	e.containers = append(e.containers, created.ID)
	return created.ID, nil
}

// runningTwin starts a container that is the same as b, but for labels and published ports, and returns the
// address of its IDE port.
func (e *engine) runningTwin(ctx context.Context, b *box) (id, addr string, err error) {
	portless, host := *b, *b.HostConfig
	host.PortBindings = nil
	portless.HostConfig = &host
	if id, err = e.twin(ctx, &portless); err != nil {
		return "", "", err
	}
	if err := e.ContainerStart(ctx, id, container.StartOptions{}); err != nil {
		return "", "", err
	}
	c, err := e.ContainerInspect(ctx, id)
	return id, ownAddress(c), err
}

// ownAddress is that of the IDE port on the container's own network.
func ownAddress(c container.InspectResponse) (addr string) {
	for _, network := range c.NetworkSettings.Networks {
		addr = fmt.Sprintf("%s:%d", network.IPAddress, workspace.ContainerIDEPort)
	}
	return addr
}

// stop ends a container with the grace that Kalpana gives.
func (e *engine) stop(ctx context.Context, id string) error {
	grace := 10
	return e.ContainerStop(ctx, id, container.StopOptions{Timeout: &grace})
}

// buildBackend makes an image of the workspace image with bench/backend in the place of the bridge.
// It is not made from scratch since Kalpana proves its firewall from a container of the same image,
// with the shell in it.
func (e *engine) buildBackend(ctx context.Context, dir, base string) (string, error) {
	server, err := e.ServerVersion(ctx)
	if err != nil {
		return "", err
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(dir, "backend"), "./bench/backend")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+server.Arch)
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("bench/backend does not build: %w\n%s", err, out)
	}
	file := "FROM " + base + "\nCOPY backend /usr/local/bin/bench-backend\nENTRYPOINT [\"/usr/local/bin/bench-backend\"]\n"
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(file), 0o600); err != nil {
		return "", err
	}
	if err := os.Chmod(filepath.Join(dir, "backend"), 0o755); err != nil {
		return "", err
	}
	tag := "kalpana/bench:" + strconv.Itoa(os.Getpid())
	e.images = append(e.images, tag)
	cmd := exec.CommandContext(ctx, "docker", "build", "--quiet", "--tag", tag, dir)
	cmd.Env = append(os.Environ(), "DOCKER_BUILDKIT=0") // is in every engine
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("docker build: %w\n%s", err, out)
	}
	return tag, nil
}

// clean removes what the benchmark made. Kalpana must have ended.
func (e *engine) clean() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var faults []error
	for _, id := range e.containers {
		faults = append(faults, e.ContainerRemove(ctx, id, container.RemoveOptions{Force: true}))
	}
	for _, id := range e.workspaces {
		its := filters.NewArgs(filters.Arg("label", labelWorkspace+"="+id))
		containers, err := e.ContainerList(ctx, container.ListOptions{All: true, Filters: its})
		faults = append(faults, err)
		for _, c := range containers {
			faults = append(faults, e.ContainerRemove(ctx, c.ID, container.RemoveOptions{Force: true}))
		}
		volumes, err := e.VolumeList(ctx, volume.ListOptions{Filters: its})
		faults = append(faults, err)
		for _, v := range volumes.Volumes {
			faults = append(faults, e.VolumeRemove(ctx, v.Name, true))
		}
	}
	for _, tag := range e.images {
		_, err := e.ImageRemove(ctx, tag, image.RemoveOptions{PruneChildren: true})
		faults = append(faults, err)
	}
	for i, err := range faults {
		if errdefs.IsNotFound(err) {
			faults[i] = nil
		}
	}
	return errors.Join(append(faults, e.Close())...)
}
