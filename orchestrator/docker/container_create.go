package docker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/go-connections/nat"

	"github.com/kalpana-dev/kalpana/orchestrator"
)

// shmSize is the container's /dev/shm. The engine's 64 MiB are too little for a browser under test.
// What is in it counts as the container's memory.
const shmSize = 256 << 20

// oomScore makes the kernel end a workspace before the gateway and the engine when the host, and
// not just the container, runs out of memory.
const oomScore = 500

// Create makes a container and its volume; see [orchestrator.Runtime].
func (r *Runtime) Create(ctx context.Context, spec orchestrator.Spec) (string, error) {
	if err := r.fenced(ctx); err != nil {
		return "", err
	}
	ports, err := portMap(spec)
	if err != nil {
		return "", err
	}
	ctx, cancel := within(ctx, slowTimeout)
	defer cancel()
	_ = r.machine.look(ctx, r) // an engine that does not answer shows below
	bounded, err := r.createVolume(ctx, spec)
	if err != nil {
		return "", err
	}
	network, err := r.pickNetwork(ctx)
	if err != nil {
		return "", err
	}

	config := &container.Config{
		Image:        spec.Image,
		Env:          spec.Env,
		Hostname:     "ws-" + randomName()[:8],
		ExposedPorts: nat.PortSet{},
		StopSignal:   "SIGTERM",
		// A health check of the image would start a program every few seconds; readiness is ours.
		Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
		Labels: map[string]string{
			LabelInstance:  r.cfg.Instance,
			LabelWorkspace: string(spec.Workspace),
			LabelImage:     spec.Image,
		},
	}
	for port := range ports {
		config.ExposedPorts[port] = struct{}{}
	}
	host := r.hardened(network, spec.Limits)
	host.PortBindings = ports
	host.Mounts = []mount.Mount{{Type: mount.TypeVolume, Source: spec.Volume, Target: r.cfg.HomePath}}
	host.StorageOpt = r.storageOpt(spec.Limits)

	id, err := r.createContainer(ctx, config, host)
	if err != nil && host.StorageOpt != nil && strings.Contains(err.Error(), "storage-opt") {
		if !r.noDiskLimit.Swap(true) {
			r.log.Warn("the engine's storage cannot limit the disk of a container; going on without", "engine_says", err)
		}
		host.StorageOpt = nil
		id, err = r.createContainer(ctx, config, host)
	}
	if err != nil {
		return "", fault("create container", err)
	}
	r.owned.add(id)
	r.limited.set(id, spec.Limits)
	if bounded != "" { // and by now the engine has given it a project
		if err := r.quotas.keep(bounded); err != nil {
			r.log.Warn("the quota of a volume cannot be changed later", "volume", spec.Volume, "error", err)
		}
	}
	return id, nil
}

// storageOpt bounds the container's own layer, where the engine's storage can.
func (r *Runtime) storageOpt(limits orchestrator.Limits) map[string]string {
	if limits.Disk <= 0 || r.noDiskLimit.Load() || !r.machine.boundsLayers() {
		return nil
	}
	return map[string]string{"size": strconv.FormatInt(limits.Disk, 10)}
}

// createContainer makes a container under a name that tells nothing: siblings can look names up.
func (r *Runtime) createContainer(ctx context.Context, c *container.Config, h *container.HostConfig) (string, error) {
	created, err := r.api.ContainerCreate(ctx, c, h, nil, nil, "kal-"+randomName())
	return created.ID, err
}

// createVolume makes the volume of spec, and returns its directory where it has a quota. An existing one is taken
// only if it is the workspace's.
func (r *Runtime) createVolume(ctx context.Context, spec orchestrator.Spec) (bounded string, err error) {
	if spec.Volume == "" {
		return "", errors.New("create container: it has no volume")
	}
	err = r.makeVolume(ctx, volume.CreateOptions{
		Name:   spec.Volume,
		Labels: map[string]string{LabelInstance: r.cfg.Instance, LabelWorkspace: string(spec.Workspace)},
	}, spec.Limits.Disk)
	if err != nil {
		return "", err
	}
	// What that answers of a volume that exists has no labels, once the engine was restarted (Docker 20.10).
	v, err := r.api.VolumeInspect(ctx, spec.Volume)
	if err != nil {
		return "", fault("look at volume", err)
	}
	if v.Labels[LabelInstance] != r.cfg.Instance || v.Labels[LabelWorkspace] != string(spec.Workspace) {
		return "", fmt.Errorf("volume %s: %w; ask the operator to remove it, if nobody needs it", spec.Volume, ErrForeign)
	}
	if v.Options["size"] != "" && r.boundsVolumes(ctx) {
		bounded = v.Mountpoint
	}
	return bounded, nil
}

// cpuShares is a workspace's weight when processors are scarce, a quarter of what the engine gives to
// others: what else the machine does comes first.
const cpuShares = 256

// hardened is what every container of hostile code gets. Seccomp and the masked paths of /proc and
// /sys are the engine's defaults: naming anything here would replace them.
func (r *Runtime) hardened(network string, limits orchestrator.Limits) *container.HostConfig {
	h := &container.HostConfig{
		NetworkMode:   container.NetworkMode(network),
		RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled},
		CapDrop:       []string{"ALL"},
		SecurityOpt:   []string{"no-new-privileges:true"},
		IpcMode:       container.IPCModePrivate,
		Init:          ptr(true),
		OomScoreAdj:   oomScore,
		ShmSize:       shmSize,
		LogConfig:     container.LogConfig{Type: "json-file", Config: map[string]string{}},
	}
	if !r.noIPv6.Load() {
		h.Sysctls = map[string]string{"net.ipv6.conf.all.disable_ipv6": "1"}
	}
	for _, resolver := range r.cfg.Resolvers {
		h.DNS = append(h.DNS, resolver.String())
	}
	h.CPUShares, h.CgroupParent = cpuShares, r.cfg.CgroupParent
	h.Memory, h.MemorySwap = limits.Memory, limits.Memory
	h.NanoCPUs = int64(limits.CPUs * 1e9)
	if limits.PIDs > 0 {
		h.PidsLimit = ptr(limits.PIDs)
	}
	if limits.OpenFiles > 0 {
		h.Ulimits = []*container.Ulimit{{Name: "nofile", Soft: limits.OpenFiles, Hard: limits.OpenFiles}}
	}
	if limits.LogSize > 0 {
		// Two files, so that a turn of the log does not lose all of it.
		h.LogConfig.Config["max-file"] = "2"
		h.LogConfig.Config["max-size"] = strconv.FormatInt(max(limits.LogSize/2, 1), 10)
	}
	return h
}

// portMap returns the ports to publish. An empty address would publish them to the world.
func portMap(spec orchestrator.Spec) (nat.PortMap, error) {
	if len(spec.Ports) == 0 {
		return nil, nil
	}
	if _, err := netip.ParseAddr(spec.Address); err != nil {
		return nil, fmt.Errorf("create container: %q is no address to publish ports on", spec.Address)
	}
	ports := nat.PortMap{}
	for inside, outside := range spec.Ports {
		if inside < 1 || inside > 65535 || outside < 1 || outside > 65535 {
			return nil, fmt.Errorf("create container: cannot publish port %d as %d", inside, outside)
		}
		ports[nat.Port(strconv.Itoa(inside)+"/tcp")] = []nat.PortBinding{
			{HostIP: spec.Address, HostPort: strconv.Itoa(outside)},
		}
	}
	return ports, nil
}

// randomName returns 26 lower-case characters with 128 random bits.
func randomName() string { return strings.ToLower(rand.Text()) }

func ptr[T any](v T) *T { return &v }
