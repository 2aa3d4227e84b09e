package docker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/client"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/workspace"
)

// Inspect implements orchestrator.Inspector.
func (r *Runtime) Inspect(ctx context.Context) (orchestrator.Engine, error) {
	if err := r.settle(ctx); err != nil {
		return orchestrator.Engine{}, err
	}
	asked := time.Now()
	info, err := r.api.Info(ctx)
	if err != nil {
		return orchestrator.Engine{}, fault("look at the engine", err)
	}
	half := time.Since(asked) / 2 // of the way there and back
	e := orchestrator.Engine{
		Name: "Docker Engine", Version: info.ServerVersion, API: r.api.ClientVersion(), Address: r.api.DaemonHost(),
		Local:   localAddress(r.api.DaemonHost()),
		Cgroups: "v1, " + info.CgroupDriver, Storage: info.Driver, Copies: info.Driver == "vfs",
		Root: info.DockerRootDir,
	}
	if info.CgroupVersion == "2" {
		e.Cgroups = "v2, " + info.CgroupDriver
	}
	for _, status := range info.DriverStatus {
		if status[0] == "Backing Filesystem" {
			e.Storage += " on " + strings.TrimSpace(status[1])
		}
	}
	for _, limit := range []struct {
		can  bool
		name string
	}{{info.MemoryLimit, "memory"}, {info.CPUCfsQuota, "CPU"}, {info.PidsLimit, "processes"}, {info.SwapLimit, "swap"}} {
		if !limit.can {
			e.Unlimits = append(e.Unlimits, limit.name)
		}
	}
	if r.machine.look(ctx, r) == nil && r.machine.root != "" {
		switch err := r.quotas.may(r.machine.root); {
		case err == nil:
			e.Quotas = orchestrator.QuotasOn
		case errors.Is(err, fs.ErrPermission):
			e.Quotas = orchestrator.QuotasDenied
		default:
			e.Quotas = orchestrator.QuotasNone
		}
	}
	if info.DefaultRuntime == "runc" {
		e.Runtime = strings.TrimSpace("runc " + r.runc)
		if letsOut(r.runc) {
			e.Escapes = runcFaults
		}
	}
	if clock, err := time.Parse(time.RFC3339Nano, info.SystemTime); err == nil {
		e.Clock, e.Asked = clock, asked.Add(half)
	}
	return e, nil
}

// InspectImage implements orchestrator.Inspector.
func (r *Runtime) InspectImage(ctx context.Context, reference string) (orchestrator.Image, error) {
	if err := r.settle(ctx); err != nil {
		return orchestrator.Image{}, err
	}
	found, err := r.api.ImageInspect(ctx, reference)
	if err != nil {
		return orchestrator.Image{}, fault("look at the image", err)
	}
	i := orchestrator.Image{ID: found.ID, Size: found.Size}
	i.Created, _ = time.Parse(time.RFC3339Nano, found.Created)
	config := found.Config
	if config == nil {
		i.Faults = append(i.Faults, "it says nothing of what it runs")
		return i, nil
	}
	if len(config.Entrypoint) == 0 || !strings.HasSuffix(config.Entrypoint[0], "kalpana-bridge") {
		i.Faults = append(i.Faults, fmt.Sprintf("its entry point is %q and not kalpana-bridge", strings.Join(config.Entrypoint, " ")))
	}
	if config.User == "" || config.User == "root" || config.User == "0" || strings.HasPrefix(config.User, "0:") {
		i.Faults = append(i.Faults, "it runs as root")
	}
	for _, port := range []int{workspace.ContainerIDEPort, workspace.ContainerBridgePort} {
		if !slices.ContainsFunc(exposed(config.ExposedPorts), func(p string) bool { return p == fmt.Sprintf("%d/tcp", port) }) {
			i.Faults = append(i.Faults, fmt.Sprintf("it does not expose port %d", port))
		}
	}
	return i, nil
}

func exposed[P ~string](ports map[P]struct{}) (list []string) {
	for p := range ports {
		list = append(list, string(p))
	}
	return list
}

// InspectFence implements orchestrator.Inspector. Where rules are set through a container it cannot look
// at them: that would make one.
func (r *Runtime) InspectFence(ctx context.Context) (orchestrator.Fence, error) {
	if r.cfg.AllowHostAccess {
		return orchestrator.Fence{Off: true}, nil
	}
	if r.cfg.netfilter != netfilterAuto || os.Geteuid() != 0 || !localAddress(r.api.DaemonHost()) {
		return orchestrator.Fence{}, nil
	}
	path, err := findIptables()
	if err != nil {
		return orchestrator.Fence{}, nil
	}
	fence := orchestrator.Fence{By: path}
	if value, err := os.ReadFile(bridgeNetfilter); err == nil && strings.TrimSpace(string(value)) == "0" {
		fence.Missing++
	}
	missing, err := missingRules(ctx, hostIptables{path: path}, r.ruleset())
	fence.Missing += len(missing)
	return fence, err
}

// localAddress reports whether an engine's address is on this machine; see [Runtime.isLocal] for what
// tells for certain.
func localAddress(address string) bool {
	return strings.HasPrefix(address, "unix://") || strings.HasPrefix(address, "tcp://127.0.0.1:") ||
		runtime.GOOS == "windows" && address == client.DefaultDockerHost
}

var _ orchestrator.Inspector = (*Runtime)(nil)
