package orchestrator

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// ErrPortBusy says that a published port is held by a program that Kalpana does not know.
var ErrPortBusy = errors.New("a published port is in use by another program")

// ErrNoContainer says that a container is gone from the engine.
var ErrNoContainer = errors.New("no such container")

// ErrNotRunning says that a container neither runs nor is paused.
var ErrNotRunning = errors.New("the container does not run")

// ErrQuotaLost says that a volume has a quota, and the engine's disk no longer has any.
var ErrQuotaLost = errors.New("its volume was made with a quota, and the engine's disk has none any more")

// Runtime is what runs containers. It sees only containers of its own instance. Every error is, or
// wraps, one of the named errors of package workspace or of this file where one fits:
// ErrEngineDown, ErrImageMissing, ErrFirewall, ErrStorageFull, ErrPortBusy, ErrNoContainer,
// ErrNotRunning, ErrQuotaLost.
type Runtime interface {
	// Prepare makes networks and firewall rules and proves from inside a container that the
	// rules hold. It is idempotent and cheap to repeat. Create and Start refuse with ErrFirewall
	// until it has succeeded.
	Prepare(ctx context.Context) error
	// Create makes a container, its volume if it does not exist, and starts nothing. It returns
	// the engine's id. A container of the same workspace that is left over is not touched.
	Create(ctx context.Context, spec Spec) (string, error)
	// Start starts a container. Starting a running one is no error; a paused one is resumed.
	Start(ctx context.Context, container string) error
	// Pause freezes a running container, which keeps its memory. Pausing a paused one is no error; one
	// that does not run is ErrNotRunning or ErrNoContainer.
	Pause(ctx context.Context, container string) error
	// Unpause lets a paused container go on. Unpausing a running one is no error; one that does not
	// run is ErrNotRunning or ErrNoContainer.
	Unpause(ctx context.Context, container string) error
	// Stop asks the container to end, and ends it after grace; a paused one is resumed for that. A
	// stopped or missing one is no error.
	Stop(ctx context.Context, container string, grace time.Duration) error
	// Remove removes a container, running or not. A missing one is no error.
	Remove(ctx context.Context, container string) error
	// RemoveVolume removes a volume and what is in it. A missing one is no error, nor is one of somebody
	// else's, which is left alone.
	RemoveVolume(ctx context.Context, name string) error
	// Containers lists the containers of this instance in any state. A change may be listed a moment
	// after its event.
	Containers(ctx context.Context) ([]Container, error)
	// State returns the state of one container, at a cost that does not grow with their number. A
	// missing one is ContainerExited.
	State(ctx context.Context, container string) (ContainerState, error)
	// Limit gives a container other limits before it is started. It costs nothing where they are what it
	// has. ErrNoContainer says that it must be made again to have them.
	Limit(ctx context.Context, container string, limits Limits) error
	// Host returns what the engine's machine has, at the cost of a glance, or errors.ErrUnsupported.
	Host(ctx context.Context) (Host, error)
	// DiskUsed returns how many bytes a container's own layer and its volume take on the disk; whole is
	// false where time ran out, and they take more. It gives way to whatever else the machine does.
	// errors.ErrUnsupported where it cannot be told.
	DiskUsed(ctx context.Context, container, volume string) (used int64, whole bool, err error)
	// LimitVolume sets how many bytes a volume may take, where the engine has a quota of it that can be changed
	// from here, and elsewhere does nothing: what limit returns for those that the quota counts now, or 0 for no
	// bound. A start of a container brings back what the volume was made with.
	LimitVolume(ctx context.Context, volume string, limit func(taken int64) int64) error
	// Logs returns the last lines that the container printed, at most 64 KiB, as valid UTF-8
	// without control characters but newline and tab.
	Logs(ctx context.Context, container string, lines int) (string, error)
	// Watch calls changed for every container of this instance that died, started, was paused or
	// resumed, until ctx ends. It reconnects by itself and calls resync after each (re)connect, since events may
	// have been missed.
	Watch(ctx context.Context, changed func(ContainerEvent), resync func())
}

// Dialer is a Runtime that can connect to a port inside a running container without going through
// the published one.
type Dialer interface {
	// Dial returns errors.ErrUnsupported where that cannot be done, and a *net.OpError of the
	// operation "dial" when nothing listens or the container does not run.
	Dial(ctx context.Context, container string, port int) (net.Conn, error)
}

// Spec says what container to make.
type Spec struct {
	Workspace workspace.ID
	Image     string
	Env       []string    // "NAME=value"
	Volume    string      // mounted at the home of the image's user
	Address   string      // host address that ports are bound on, e.g. "127.0.0.1"
	Ports     map[int]int // port in the container → port on Address
	Limits    Limits
}

// Limits bound what one container may use. Zero means no limit of ours.
type Limits struct {
	Memory    int64   // bytes; swap is included in it
	CPUs      float64 // e.g. 1.5
	PIDs      int64   // processes and threads
	OpenFiles int64   // open files a process (nofile)
	LogSize   int64   // bytes of engine log kept
	Disk      int64   // bytes of the container's own layer, and of a volume that is made, where the engine can
}

// ContainerState is what the engine says of a container.
type ContainerState string

// The engine's states that matter here.
const (
	ContainerCreated ContainerState = "created"
	ContainerRunning ContainerState = "running"
	ContainerPaused  ContainerState = "paused"
	ContainerExited  ContainerState = "exited" // also dead and removing
)

// Container is one of this instance's containers.
type Container struct {
	ID        string
	Workspace workspace.ID
	State     ContainerState
	Image     string // the reference it was made from
}

// ContainerEvent is something that happened to a container: at most one of Died, Paused and Resumed
// is true; where none is, it started.
type ContainerEvent struct {
	Container string
	Workspace workspace.ID
	Died      bool
	ExitCode  int  // where it died
	OOMKilled bool // where it died: killed, and not by way of the engine
	Paused    bool
	Resumed   bool
}
