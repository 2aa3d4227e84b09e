package faults

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/volume"

	"github.com/kalpana-dev/kalpana/orchestrator/docker"
	"github.com/kalpana-dev/kalpana/test/harness"
	"github.com/kalpana-dev/kalpana/workspace"
)

// stranger runs a container that is none of the installation's, and sees at the end that it still does.
func (s *site) stranger(name string, labels map[string]string) string {
	s.t.Helper()
	c, err := world.engine.ContainerCreate(s.t.Context(), &container.Config{Image: image, Cmd: []string{"/bin/sleep", "1000"}, Labels: labels},
		&container.HostConfig{NetworkMode: "none"}, nil, nil, name)
	s.must(err)
	s.t.Cleanup(func() {
		if err := world.engine.WantState(c.ID, "running"); err != nil {
			s.t.Errorf("what is not ours was touched: %v", err)
		}
		_ = world.engine.ContainerRemove(context.Background(), c.ID, container.RemoveOptions{Force: true})
	})
	s.must(world.engine.ContainerStart(s.t.Context(), c.ID, container.StartOptions{}))
	return c.ID
}

func (s *site) reconcile() {
	s.t.Helper()
	resp, err := s.Admin("POST", "/kalpana/reconcile")
	s.must(err)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		s.t.Errorf("reconcile: %s", resp.Status)
	}
}

func TestForeignContainers_AreNotTouched(t *testing.T) {
	t.Parallel()
	s := install(t)
	w := s.open("")
	old, err := world.engine.ContainerInspect(t.Context(), s.record(w).Container)
	s.must(err)
	s.must(world.engine.ContainerRemove(t.Context(), old.ID, container.RemoveOptions{Force: true}))
	s.stranger(old.Name[1:], nil)                                       // our name, and no label
	s.stranger("", map[string]string{docker.LabelWorkspace: w.ID})      // our workspace's label, and no instance
	s.stranger("", map[string]string{docker.LabelInstance: "another's", // another installation's, of the same id
		docker.LabelWorkspace: w.ID})
	s.await(w, workspace.StateStopped)
	s.reconcile()
	s.served("the next hit", w)
	s.kept(w)
	s.stop(w)
	if l := s.agree("beside strangers"); len(l.Containers) != 1 {
		t.Errorf("%d containers", len(l.Containers))
	}
	s.api(http.StatusNoContent, "DELETE", "/api/workspaces/"+w.ID)
	s.gone(w)
}

func TestOrphanContainers_AreRemovedAndTheirFilesStay(t *testing.T) {
	t.Parallel()
	s := install(t)
	w := s.open("")
	id, another := string(workspace.NewID()), s.record(w).Container
	labels := map[string]string{docker.LabelInstance: s.Instance(), docker.LabelWorkspace: id}
	var orphans []string
	for _, labels := range []map[string]string{labels, {docker.LabelInstance: s.Instance(), docker.LabelWorkspace: w.ID}} {
		c, err := world.engine.ContainerCreate(t.Context(), &container.Config{Image: image, Cmd: []string{"/bin/sleep", "1000"}, Labels: labels},
			&container.HostConfig{NetworkMode: "none"}, nil, nil, "")
		s.must(err)
		s.must(world.engine.ContainerStart(t.Context(), c.ID, container.StartOptions{}))
		orphans = append(orphans, c.ID)
	}
	s.reconcile()
	for _, orphan := range orphans {
		if _, err := world.engine.ContainerInspect(t.Context(), orphan); err == nil {
			t.Errorf("an orphan is still there")
		}
	}
	s.served("the one whose double was removed", w)
	s.kept(w)
	if now := s.record(w).Container; now != another {
		t.Errorf("its container was %.12s and is %.12s", another, now)
	}
	s.agree("after the orphans")
}

func TestForeignVolume_IsNeitherUsedNorRemoved(t *testing.T) {
	t.Parallel()
	s := install(t)
	w := s.create("")
	v, err := world.engine.VolumeCreate(t.Context(), volume.CreateOptions{Name: "kalpana-" + w.ID})
	s.must(err)
	t.Cleanup(func() {
		if err := world.engine.VolumeRemove(context.Background(), v.Name, false); err != nil {
			t.Errorf("somebody's volume is gone: %v", err)
		}
	})
	s.navigate(w)
	s.says("the reason", s.await(w, workspace.StateError).Reason, "does not belong to this installation", "ask the operator")
	s.agree("beside somebody's volume")
	s.api(http.StatusNoContent, "DELETE", "/api/workspaces/"+w.ID)
	s.gone(w)
}

func TestPortTaken_OthersAreChosen(t *testing.T) {
	t.Parallel()
	s := install(t)
	w := s.asleep("")
	old := s.record(w)
	l, err := harness.ListenIn(t.Context(), s.Namespace, "tcp", fmt.Sprintf("127.0.0.1:%d", old.IDEPort))
	s.must(err)
	defer l.Close()
	s.served("the next hit", w)
	s.kept(w)
	if now := s.record(w); now.IDEPort == old.IDEPort {
		t.Errorf("it is still on port %d", now.IDEPort)
	}
	if left := s.agree("with other ports"); len(left.Containers) != 1 {
		t.Errorf("%d containers", len(left.Containers))
	}
}
