package orchestrator

import (
	"context"
	"time"
)

// Inspector is a Runtime that can tell of its engine. It changes nothing there. Errors are those of a
// Runtime.
type Inspector interface {
	Inspect(ctx context.Context) (Engine, error)
	InspectImage(ctx context.Context, reference string) (Image, error)
	InspectFence(ctx context.Context) (Fence, error)
}

// Engine is what runs containers.
type Engine struct {
	Name    string // e.g. "Docker Engine"
	Version string
	API     string // the version that is spoken with it
	Address string
	Local   bool      // as far as its address tells, it runs on this machine
	Clock   time.Time // the engine's own, when it answered
	Asked   time.Time // this machine's at that moment

	Runtime string // what runs its containers, e.g. "runc 1.3.3"; "" if that is not known
	Escapes string // faults by which containers get out of it, as its version tells

	Cgroups  string   // e.g. "v2, systemd"
	Unlimits []string // what it cannot limit, e.g. "memory"

	Storage string // of containers and images, e.g. "overlay2 on extfs"
	Copies  bool   // each container and image layer is a copy of its own: slow, and large
	Root    string // directory where it keeps all of it, on its machine
	Quotas  Quotas // of its volumes
}

// Quotas says whether volumes can be bounded at every write.
type Quotas string

// What can be known of it.
const (
	QuotasUnknown Quotas = ""       // its disk cannot be looked at from here
	QuotasNone    Quotas = "none"   // its file system has no project quotas
	QuotasDenied  Quotas = "denied" // it has them, and whoever asks may not change them
	QuotasOn      Quotas = "on"
)

// Image is a workspace image on the engine.
type Image struct {
	ID      string
	Created time.Time
	Size    int64 // bytes
	// Faults tell why no workspace will start from it.
	Faults []string
}

// Fence is what keeps containers off the host.
type Fence struct {
	Off bool // by the operator's wish
	// By names how rules are set: a program's path, or "" where that takes a container of the
	// workspace image.
	By      string
	Missing int // rules that are not in place; the next start of a gateway sets them
}
