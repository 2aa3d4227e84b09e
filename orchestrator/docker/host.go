package docker

import (
	"bufio"
	"context"
	"errors"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/kalpana-dev/kalpana/orchestrator"
)

// machine is what is known of the engine's machine. It does not change while an engine runs.
type machine struct {
	mu     sync.Mutex
	known  bool
	here   bool   // it is this one
	root   string // the engine's data directory, where that can be reached from here
	driver string // of the containers' layers
	files  string // the file system that they are on, as the engine calls it
}

// look asks the engine once. An engine that is reached through a socket may still run in a virtual
// machine: then it has another size.
func (m *machine) look(ctx context.Context, r *Runtime) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known {
		return nil
	}
	if err := r.settle(ctx); err != nil {
		return err
	}
	ctx, cancel := within(ctx, quickTimeout)
	defer cancel()
	info, err := r.api.Info(ctx)
	if err != nil {
		return fault("look at the engine's machine", err)
	}
	m.driver = info.Driver
	for _, status := range info.DriverStatus {
		if status[0] == "Backing Filesystem" {
			m.files = status[1]
		}
	}
	if strings.HasPrefix(r.api.DaemonHost(), "unix:") && runtime.GOOS == "linux" {
		total, _, err := memory()
		m.here = err == nil && total == info.MemTotal
	}
	if dir, err := os.Stat(info.DockerRootDir); m.here && err == nil && dir.IsDir() {
		m.root = info.DockerRootDir
	}
	m.known = true
	return nil
}

// boundsLayers reports whether the engine may be able to bound a container's layer: with overlay2 that
// takes XFS, and project quotas, which it does not tell of.
func (m *machine) boundsLayers() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch m.driver {
	case "overlay2":
		return m.files == "xfs"
	case "btrfs", "zfs", "windowsfilter":
		return true
	default:
		return false
	}
}

// Host returns what the engine's machine has; see [orchestrator.Runtime].
func (r *Runtime) Host(ctx context.Context) (orchestrator.Host, error) {
	if err := r.machine.look(ctx, r); err != nil {
		return orchestrator.Host{}, err
	}
	if !r.machine.here {
		return orchestrator.Host{}, errors.ErrUnsupported
	}
	var h orchestrator.Host
	var err error
	if h.Memory, h.MemoryFree, err = memory(); err != nil {
		return h, err
	}
	if r.machine.root != "" {
		h.Disk, h.DiskFree, err = disk(r.machine.root)
	}
	return h, err
}

// memory returns the size of this machine's memory and what programs could get of it, in bytes.
func memory() (total, available int64, err error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, 0, err
	}
	defer f.Close() //nolint:errcheck // only read
	for lines := bufio.NewScanner(f); lines.Scan() && (total == 0 || available == 0); {
		name, value, _ := strings.Cut(lines.Text(), ":")
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			continue
		}
		switch name {
		case "MemTotal":
			total = kib << 10
		case "MemAvailable":
			available = kib << 10
		}
	}
	if total == 0 || available == 0 {
		return 0, 0, errors.New("/proc/meminfo does not tell how much memory is free")
	}
	return total, available, nil
}
