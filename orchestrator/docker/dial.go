package docker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"

	"github.com/containerd/errdefs"

	"github.com/kalpana-dev/kalpana/orchestrator"
)

// Dial connects to a port of a running container from inside the container's own network namespace.
// Nothing is in between: the engine's userland proxy, which carries what is sent to a port that is
// published on loopback, costs more than all the rest of a request. And no other container can come
// to have the address, as it could with one on a bridge.
//
// It needs root on the engine's own machine; elsewhere it returns [errors.ErrUnsupported].
func (r *Runtime) Dial(ctx context.Context, id string, port int) (net.Conn, error) {
	if r.noNamespaces.Load() {
		return nil, errors.ErrUnsupported
	}
	path, remembered := r.namespaces.get(id)
	for {
		if !remembered {
			var err error
			if path, err = r.namespaceOf(ctx, id); err != nil {
				return nil, err
			}
			r.namespaces.set(id, path)
		}
		conn, err := dialIn(ctx, path, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if !errors.Is(err, errNamespace) {
			return conn, err
		}
		r.namespaces.drop(id)
		if remembered { // it may have been started again since
			remembered = false
			continue
		}
		if _, e := os.Stat(filepath.Dir(path)); e == nil && !errors.Is(err, fs.ErrPermission) {
			return nil, refused(fmt.Errorf("container %.12s has just ended", id))
		}
		// The engine is on another machine, or we may not do this.
		r.noNamespaces.Store(true)
		r.log.Info("containers are reached through their published ports", "reason", err)
		return nil, errors.ErrUnsupported
	}
}

// errNamespace says that a network namespace could not be entered. Its file may be gone, or, until the
// engine has tidied up, be an empty one.
var errNamespace = errors.New("the container's network namespace cannot be entered")

// namespaceOf asks the engine for the file of a running container's network namespace.
func (r *Runtime) namespaceOf(ctx context.Context, id string) (string, error) {
	if err := r.own(ctx, id); err != nil {
		if errors.Is(err, orchestrator.ErrNoContainer) {
			return "", refused(err)
		}
		return "", err
	}
	ctx, cancel := within(ctx, quickTimeout)
	defer cancel()
	c, err := r.api.ContainerInspect(ctx, id)
	switch {
	case errdefs.IsNotFound(err):
		return "", refused(err)
	case err != nil:
		return "", fault("look at container", err)
	case c.State == nil || !c.State.Running || c.NetworkSettings == nil || c.NetworkSettings.SandboxKey == "":
		return "", refused(fmt.Errorf("container %.12s does not run", id))
	}
	return c.NetworkSettings.SandboxKey, nil
}

// refused is what a connection to a container that does not run comes to.
func refused(why error) error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: fmt.Errorf("%w: %w", syscall.ECONNREFUSED, why)}
}

// namespaces remembers the files of containers' network namespaces. Each start of a container has
// another, and the old one cannot be entered any more, so one that is out of date shows.
type namespaces struct{ paths sync.Map } // container id → path

func (n *namespaces) get(id string) (string, bool) {
	v, ok := n.paths.Load(id)
	if !ok {
		return "", false
	}
	return v.(string), true
}

func (n *namespaces) set(id, path string) { n.paths.Store(id, path) }

func (n *namespaces) drop(id string) { n.paths.Delete(id) }

var _ orchestrator.Dialer = (*Runtime)(nil)
