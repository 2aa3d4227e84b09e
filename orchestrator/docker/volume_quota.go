package docker

import (
	"context"
	"path/filepath"
	"strconv"

	"github.com/docker/docker/api/types/volume"

	"github.com/kalpana-dev/kalpana/orchestrator"
)

// The engine can make a volume with a size, where its disk has project quotas: XFS mounted with pquota,
// ext4 with prjquota. It has no call to change that size, and sets it again at every start of a container.
// So a volume gets a size only where this process can change the quota itself, on the engine's machine and as
// root: nobody is left with the limit of long ago.
//
// Whoever owns a file may count it to another project, even to another workspace's, unless the engine has
// containers in a user namespace. A quota bounds what is written between two measurements and takes the place of none.

// quotas are the project quotas of this machine's file systems.
type quotas interface {
	// may returns nil where the file system of a directory has project quotas and this process may change
	// them, fs.ErrPermission where only others may, and errors.ErrUnsupported where there are none.
	may(dir string) error
	// keep writes down which project a directory belongs to, if it has one of its own, before any code runs that
	// could change that. What is kept stays.
	keep(dir string) error
	// bound sets how many bytes the kept project of a directory may take: what limit returns for those that it
	// takes now. 0 is no bound. A directory without one is left alone.
	bound(dir string, limit func(taken int64) int64) error
}

// boundsVolumes reports whether volumes can have a quota, and it can be changed from here.
func (r *Runtime) boundsVolumes(ctx context.Context) bool {
	if r.noVolumeQuota.Load() || r.machine.look(ctx, r) != nil || r.machine.root == "" {
		return false
	}
	return r.quotas.may(filepath.Join(r.machine.root, "volumes")) == nil
}

// makeVolume makes a volume with a quota where that can be had.
func (r *Runtime) makeVolume(ctx context.Context, options volume.CreateOptions, size int64) error {
	if size > 0 && r.boundsVolumes(ctx) {
		options.DriverOpts = map[string]string{"size": strconv.FormatInt(size, 10)}
	}
	_, err := r.api.VolumeCreate(ctx, options)
	if options.DriverOpts != nil && answered(err, "no quota support") {
		if !r.noVolumeQuota.Swap(true) {
			r.log.Warn("the engine cannot bound volumes, though its disk has project quotas; they are measured alone", "engine_says", err)
		}
		options.DriverOpts = nil
		_, err = r.api.VolumeCreate(ctx, options)
	}
	return fault("create volume", err)
}

// LimitVolume bounds what a volume may take; see [orchestrator.Runtime]. One that was made without a size has
// no quota.
func (r *Runtime) LimitVolume(ctx context.Context, name string, limit func(taken int64) int64) error {
	if !r.boundsVolumes(ctx) {
		return nil
	}
	ctx, cancel := within(ctx, quickTimeout)
	defer cancel()
	v, err := r.api.VolumeInspect(ctx, name)
	if err != nil {
		return fault("look at volume", err)
	}
	if v.Driver != "local" || v.Options["size"] == "" || v.Labels[LabelInstance] != r.cfg.Instance {
		return nil
	}
	return r.quotas.bound(v.Mountpoint, limit)
}

var _ orchestrator.Runtime = (*Runtime)(nil)
