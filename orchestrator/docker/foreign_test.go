package docker

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/volume"

	"github.com/kalpana-dev/kalpana/workspace"
)

func TestForeign_ContainersAreNeitherSeenNorTouched(t *testing.T) {
	t.Parallel()
	r, other := prepared(t), prepared(t)
	plain, err := world.api.ContainerCreate(t.Context(), &container.Config{
		Image: bareImage, Env: []string{"TOOLBOX=sleep"},
		Labels: map[string]string{LabelWorkspace: string(workspace.NewID())},
	}, &container.HostConfig{NetworkMode: "none"}, nil, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = world.api.ContainerRemove(context.Background(), plain.ID, container.RemoveOptions{Force: true})
	})
	if err := world.api.ContainerStart(t.Context(), plain.ID, container.StartOptions{}); err != nil {
		t.Fatal(err)
	}
	siblings := run(t, other, spec(t, other, "serve"))

	for what, id := range map[string]string{"somebody's": plain.ID, "another instance's": siblings, "by a short id": siblings[:12]} {
		_, logs := r.Logs(t.Context(), id, 10)
		for verb, err := range map[string]error{
			"Start":  r.Start(t.Context(), id),
			"Stop":   r.Stop(t.Context(), id, time.Second),
			"Remove": r.Remove(t.Context(), id),
			"Logs":   logs,
		} {
			if !errors.Is(err, ErrForeign) {
				t.Errorf("%s of %s container: %v", verb, what, err)
			}
		}
	}
	for what, id := range map[string]string{"somebody's": plain.ID, "another instance's": siblings} {
		if c := inspect(t, id); !c.State.Running {
			t.Errorf("%s container does not run any more", what)
		}
	}
	mine, err := r.Containers(t.Context())
	if err != nil || len(mine) != 0 {
		t.Errorf("an instance with no container sees %v, %v", mine, err)
	}
}

func TestForeign_VolumesAreNeitherMountedNorRemoved(t *testing.T) {
	t.Parallel()
	r, other := prepared(t), prepared(t)
	s := spec(t, r, "serve")
	for what, labels := range map[string]map[string]string{
		"without labels":           nil,
		"of another instance":      {LabelInstance: other.cfg.Instance, LabelWorkspace: string(s.Workspace)},
		"of a different workspace": {LabelInstance: r.cfg.Instance, LabelWorkspace: string(workspace.NewID())},
	} {
		v, err := world.api.VolumeCreate(t.Context(), volume.CreateOptions{Name: s.Volume, Labels: labels})
		if err != nil {
			t.Fatal(err)
		}
		if id, err := r.Create(t.Context(), s); !errors.Is(err, ErrForeign) {
			t.Errorf("a volume %s was mounted: %s, %v", what, id, err)
		}
		if labels[LabelInstance] != r.cfg.Instance {
			if err := r.RemoveVolume(t.Context(), s.Volume); err != nil {
				t.Errorf("RemoveVolume of one %s: %v", what, err)
			}
		}
		if err := world.api.VolumeRemove(t.Context(), v.Name, false); err != nil {
			t.Errorf("the volume %s is gone: %v", what, err)
		}
	}
}
