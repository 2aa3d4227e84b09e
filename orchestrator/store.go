package orchestrator

import (
	"context"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// Store keeps workspaces, ports and leases. All methods are safe for concurrent use, also by
// several processes on one store. Errors are, or wrap, ErrNotFound, ErrConflict, ErrLimit,
// ErrStorageFull or ErrStoreDown of package workspace.
type Store interface {
	// CreateWorkspace inserts w with revision 1, unless its owner has limit workspaces already
	// (ErrLimit; limit ≤ 0 is none) or the id is in use or was ever used (ErrConflict).
	CreateWorkspace(ctx context.Context, w *workspace.Workspace, limit int) error
	// Workspace returns one record or ErrNotFound.
	Workspace(ctx context.Context, id workspace.ID) (*workspace.Workspace, error)
	// Workspaces returns the records of owner, or all for "", oldest first.
	Workspaces(ctx context.Context, owner string) ([]*workspace.Workspace, error)
	// UpdateWorkspace writes w where the stored revision is still w.Revision, and increments
	// w.Revision and sets w.UpdatedAt; else ErrConflict, or ErrNotFound when there is no such
	// record. ID, Owner and CreatedAt never change.
	UpdateWorkspace(ctx context.Context, w *workspace.Workspace) error
	// DeleteWorkspace removes the record, frees its ports and retires its id for ever.
	// ErrConflict when the stored revision is not revision; ErrNotFound when it is gone.
	DeleteWorkspace(ctx context.Context, id workspace.ID, revision int64) error

	// ClaimPort gives a port to a workspace. It reports false when another has it; claiming one's
	// own again is true.
	ClaimPort(ctx context.Context, port int, id workspace.ID) (bool, error)
	// ReleasePorts frees the named ports of a workspace; none named means all of them.
	ReleasePorts(ctx context.Context, id workspace.ID, ports ...int) error
	// Ports returns every claimed port.
	Ports(ctx context.Context) (map[int]workspace.ID, error)

	// AcquireLease gives the named lease to holder until the given time, unless another holds one
	// that has not ended at now. The holder itself may extend it.
	AcquireLease(ctx context.Context, name, holder string, now, until time.Time) (bool, error)
	// ReleaseLease ends a lease of holder's. Not holding it is no error.
	ReleaseLease(ctx context.Context, name, holder string) error
	// Leases returns the leases whose names begin with prefix and that have not ended at now, by name.
	Leases(ctx context.Context, prefix string, now time.Time) ([]Lease, error)
}

// Lease is a right that one holder has until it ends.
type Lease struct {
	Name, Holder string
	EndsAt       time.Time
}
