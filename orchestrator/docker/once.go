package docker

import (
	"context"
	"fmt"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
)

// createProbe makes a short-lived container of our own. The engine removes it when it ends, so one
// whose gateway was killed does not stay.
func (r *Runtime) createProbe(ctx context.Context, c *container.Config, h *container.HostConfig) (string, error) {
	c.Labels = map[string]string{LabelInstance: r.cfg.Instance, LabelProbe: "1"}
	c.Healthcheck = &container.HealthConfig{Test: []string{"NONE"}}
	h.AutoRemove = true
	id, err := r.createContainer(ctx, c, h)
	return id, fault("create probe", err)
}

// runOnce runs a container to its end and returns what it printed and its exit code.
func (r *Runtime) runOnce(ctx context.Context, c *container.Config, h *container.HostConfig) (string, int, error) {
	ctx, cancel := within(ctx, slowTimeout)
	defer cancel()
	c.AttachStdout, c.AttachStderr = true, true
	id, err := r.createProbe(ctx, c, h)
	if err != nil {
		return "", 0, err
	}
	defer r.discard(ctx, id)
	conn, err := r.api.ContainerAttach(ctx, id, container.AttachOptions{Stream: true, Stdout: true, Stderr: true})
	if err != nil {
		return "", 0, fault("attach to probe", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, conn.Close)() // or it would be read on when nobody waits any more
	ended, failed := r.api.ContainerWait(ctx, id, container.WaitConditionNextExit)
	if err := r.api.ContainerStart(ctx, id, container.StartOptions{}); err != nil {
		// The client's goroutine would wait forever for somebody to take its answer.
		cancel()
		select {
		case <-ended:
		case <-failed: //nolint:errcheck // the start says more
		}
		return "", 0, fault("start probe", err)
	}
	var out tail
	_, readErr := stdcopy.StdCopy(&out, &out, conn.Reader)
	select {
	case end := <-ended:
		switch {
		case end.Error != nil:
			return "", 0, fmt.Errorf("wait for probe: %s", end.Error.Message)
		case readErr != nil:
			return "", 0, fault("read from probe", readErr)
		}
		return clean(out.buf), int(end.StatusCode), nil
	case err := <-failed:
		return "", 0, fault("wait for probe", err)
	}
}

// printed returns what a probe that runs has printed, "" if that is not to be had.
func (r *Runtime) printed(ctx context.Context, id string) string {
	out, err := r.api.ContainerLogs(ctx, id, container.LogsOptions{ShowStdout: true, ShowStderr: true})
	if err != nil {
		return ""
	}
	defer out.Close() //nolint:errcheck // read to its end
	var end tail
	_, _ = stdcopy.StdCopy(&end, &end, out)
	return clean(end.buf)
}

// discard removes a probe even when ctx has ended.
func (r *Runtime) discard(ctx context.Context, id string) {
	ctx, cancel := within(context.WithoutCancel(ctx), quickTimeout)
	defer cancel()
	if err := r.removeContainer(ctx, id); err != nil {
		r.log.Debug("a probe's container stayed", "container", id, "error", err)
	}
}
