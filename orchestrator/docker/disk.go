package docker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/docker/docker/api/types"

	"github.com/kalpana-dev/kalpana/orchestrator"
)

// engineDiskAge is how old an engine's own account of its volumes may be: it reads every file for it.
const engineDiskAge = 10 * time.Minute

// DiskUsed returns what a container's layer and its volume take; see [orchestrator.Runtime]. On this
// machine the files are looked at from here, which can be bounded and gives way to others; elsewhere
// the engine is asked.
func (r *Runtime) DiskUsed(ctx context.Context, id, volume string) (used int64, whole bool, err error) {
	if err := r.own(ctx, id); err != nil {
		return 0, false, err
	}
	if err := r.machine.look(ctx, r); err != nil {
		return 0, false, err
	}
	c, err := r.api.ContainerInspect(ctx, id)
	if err != nil {
		return 0, false, fault("look at container", err)
	}
	v, err := r.api.VolumeInspect(ctx, volume)
	if err != nil {
		return 0, false, fault("look at volume", err)
	}
	if r.machine.here && v.Driver == "local" {
		dirs := []string{v.Mountpoint}
		if layer := c.GraphDriver.Data["UpperDir"]; layer != "" {
			dirs = append(dirs, layer)
		}
		used, whole, err = usage(ctx, dirs...)
		if !errors.Is(err, errors.ErrUnsupported) {
			return used, whole, err
		}
	}
	used, err = r.engineDisk(ctx, id, volume)
	return used, err == nil, err
}

// engineDisk is what the engine last said of its volumes.
type engineDisk struct {
	mu   sync.Mutex
	at   time.Time
	size map[string]int64
}

func (r *Runtime) engineDisk(ctx context.Context, id, volume string) (int64, error) {
	r.volumes.mu.Lock()
	defer r.volumes.mu.Unlock()
	if time.Since(r.volumes.at) > engineDiskAge {
		disk, err := r.api.DiskUsage(ctx, types.DiskUsageOptions{Types: []types.DiskUsageObject{types.VolumeObject}})
		if err != nil {
			return 0, fault("ask for the size of volumes", err)
		}
		r.volumes.size = map[string]int64{}
		for _, v := range disk.Volumes {
			if v != nil && v.UsageData != nil {
				r.volumes.size[v.Name] = v.UsageData.Size
			}
		}
		r.volumes.at = time.Now()
	}
	used, ok := r.volumes.size[volume]
	if !ok || used < 0 {
		return 0, errors.ErrUnsupported
	}
	c, _, err := r.api.ContainerInspectWithRaw(ctx, id, true)
	if err != nil {
		return 0, fault("ask for the size of a container", err)
	}
	if c.SizeRw != nil {
		used += *c.SizeRw
	}
	return used, nil
}

var _ orchestrator.Runtime = (*Runtime)(nil)
