package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/volume"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/workspace"
)

// The labels on what Kalpana makes on an engine.
const (
	labelInstance  = "dev.kalpana.instance"
	labelWorkspace = "dev.kalpana.workspace"
)

// Left is what there is of an installation: what its store says, and what its engine does.
type Left struct {
	Records    map[string]*workspace.Workspace
	Ports      map[int]workspace.ID
	Leases     []string // of operations
	Containers []Container
	Volumes    map[string]string // workspace → name
}

// Container is one that carries the installation's label.
type Container struct {
	ID, Workspace, State string
	Ports                []int // that it publishes when it runs
}

// Instance returns the label of the installation's containers and volumes, "" before its first start.
func (i *Installation) Instance() string {
	text, _ := os.ReadFile(filepath.Join(i.Dir, "instance"))
	return strings.TrimSpace(string(text))
}

// Look returns what there is of the installation whose store is open here.
func (i *Installation) Look(ctx context.Context, store orchestrator.Store, engine *Engine) (*Left, error) {
	l := &Left{Records: map[string]*workspace.Workspace{}, Volumes: map[string]string{}}
	instance := filters.Arg("label", labelInstance+"="+i.Instance())
	// The engine first: what is made after this has a record before it.
	containers, err := engine.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(instance, filters.Arg("label", labelWorkspace))})
	if err != nil {
		return nil, err
	}
	for _, c := range containers {
		inspected, err := engine.ContainerInspect(ctx, c.ID)
		if err != nil {
			return nil, err
		}
		found := Container{ID: c.ID, Workspace: c.Labels[labelWorkspace], State: inspected.State.Status}
		for _, bindings := range inspected.HostConfig.PortBindings {
			for _, b := range bindings {
				port, _ := strconv.Atoi(b.HostPort)
				found.Ports = append(found.Ports, port)
			}
		}
		l.Containers = append(l.Containers, found)
	}
	volumes, err := engine.VolumeList(ctx, volume.ListOptions{Filters: filters.NewArgs(instance)})
	if err != nil {
		return nil, err
	}
	for _, v := range volumes.Volumes {
		l.Volumes[v.Labels[labelWorkspace]] = v.Name
	}
	records, err := store.Workspaces(ctx, "")
	if err != nil {
		return nil, err
	}
	for _, w := range records {
		l.Records[string(w.ID)] = w
	}
	if l.Ports, err = store.Ports(ctx); err != nil {
		return nil, err
	}
	leases, err := store.Leases(ctx, "operation:", time.Now())
	for _, lease := range leases {
		l.Leases = append(l.Leases, lease.Name)
	}
	return l, err
}

// ended are the states of containers that do not run, "" of none. One that an engine was killed while it
// removed it is dead.
var ended = []string{"", "created", "exited", "dead"}

// settled are the container states that agree with a record's.
var settled = map[workspace.State][]string{
	workspace.StateRunning: {"running"},
	workspace.StatePaused:  {"paused"},
	workspace.StateStopped: ended,
	workspace.StateError:   ended,
}

// Agree returns what of records, containers, volumes and ports does not fit together.
func (l *Left) Agree() error {
	var faults []error
	wrong := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	states := map[string]string{}
	for _, c := range l.Containers {
		w := l.Records[c.Workspace]
		switch {
		case w == nil:
			wrong("container %.12s (%s) is of workspace %s, which has no record", c.ID, c.State, c.Workspace)
		case w.Container != c.ID:
			wrong("container %.12s (%s) is of workspace %s, whose container is %.12s", c.ID, c.State, c.Workspace, w.Container)
		default:
			states[c.Workspace] = c.State
			for _, port := range c.Ports {
				if l.Ports[port] != w.ID {
					wrong("container %.12s publishes port %d, which is claimed for %q", c.ID, port, l.Ports[port])
				}
			}
		}
	}
	for id := range l.Volumes {
		if l.Records[id] == nil {
			wrong("a volume is of workspace %s, which has no record", id)
		}
	}
	taken := map[int]string{}
	for id, w := range l.Records {
		fits := false
		for _, state := range settled[w.State] {
			fits = fits || state == states[id]
		}
		if !fits {
			wrong("workspace %s is %s (%s), its container %q", id, w.State, w.Reason, states[id])
		}
		for _, port := range []int{w.IDEPort, w.BridgePort} {
			if port == 0 {
				continue
			}
			if l.Ports[port] != w.ID {
				wrong("workspace %s has port %d, which is claimed for %q", id, port, l.Ports[port])
			}
			if other, twice := taken[port]; twice {
				wrong("workspaces %s and %s both have port %d", id, other, port)
			}
			taken[port] = id
		}
	}
	for port, id := range l.Ports {
		if w := l.Records[string(id)]; w == nil {
			wrong("port %d is claimed for workspace %s, which has no record", port, id)
		}
	}
	if len(l.Leases) > 0 {
		wrong("leases are held: %v", l.Leases)
	}
	return errors.Join(faults...)
}
