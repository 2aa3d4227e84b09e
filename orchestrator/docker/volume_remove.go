package docker

import (
	"context"

	cerrdefs "github.com/containerd/errdefs"
)

// RemoveVolume removes a volume; see [orchestrator.Runtime].
func (r *Runtime) RemoveVolume(ctx context.Context, name string) error {
	if err := r.settle(ctx); err != nil {
		return err
	}
	ctx, cancel := within(ctx, slowTimeout)
	defer cancel()
	v, err := r.api.VolumeInspect(ctx, name)
	if cerrdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fault("look at volume", err)
	}
	if v.Labels[LabelInstance] != r.cfg.Instance {
		r.log.Warn("a volume is left alone, since it does not belong to this installation", "volume", name)
		return nil
	}
	err = r.api.VolumeRemove(ctx, name, false)
	if cerrdefs.IsNotFound(err) {
		return nil
	}
	return fault("remove volume", err)
}
