package orchestrator_test

import (
	"context"
	"time"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/workspace"
)

// frailStore lets a test choose a fault before, and a deed after, each write of the store.
type frailStore struct {
	orchestrator.Store
	// fault is called before a call takes effect; its error is returned instead. The record is nil
	// where there is none.
	fault func(method string, w *workspace.Workspace) error
	// after is called when it has taken effect; its error is returned.
	after func(method string, w *workspace.Workspace) error
}

func (s *frailStore) around(method string, w *workspace.Workspace, call func() error) error {
	if s.fault != nil {
		if err := s.fault(method, w); err != nil {
			return err
		}
	}
	err := call()
	if err == nil && s.after != nil {
		err = s.after(method, w)
	}
	return err
}

func (s *frailStore) Workspace(ctx context.Context, id workspace.ID) (w *workspace.Workspace, err error) {
	err = s.around("Workspace", nil, func() (err error) { w, err = s.Store.Workspace(ctx, id); return err })
	return w, err
}

func (s *frailStore) UpdateWorkspace(ctx context.Context, w *workspace.Workspace) error {
	return s.around("UpdateWorkspace", w, func() error { return s.Store.UpdateWorkspace(ctx, w) })
}

func (s *frailStore) DeleteWorkspace(ctx context.Context, id workspace.ID, revision int64) error {
	return s.around("DeleteWorkspace", nil, func() error { return s.Store.DeleteWorkspace(ctx, id, revision) })
}

func (s *frailStore) ClaimPort(ctx context.Context, port int, id workspace.ID) (ok bool, err error) {
	err = s.around("ClaimPort", nil, func() (err error) { ok, err = s.Store.ClaimPort(ctx, port, id); return err })
	return ok, err
}

func (s *frailStore) ReleasePorts(ctx context.Context, id workspace.ID, ports ...int) error {
	return s.around("ReleasePorts", nil, func() error { return s.Store.ReleasePorts(ctx, id, ports...) })
}

func (s *frailStore) Ports(ctx context.Context) (ports map[int]workspace.ID, err error) {
	err = s.around("Ports", nil, func() (err error) { ports, err = s.Store.Ports(ctx); return err })
	return ports, err
}

func (s *frailStore) AcquireLease(ctx context.Context, name, holder string, now, until time.Time) (ok bool, err error) {
	err = s.around("AcquireLease", nil, func() (err error) { ok, err = s.Store.AcquireLease(ctx, name, holder, now, until); return err })
	return ok, err
}

func (s *frailStore) ReleaseLease(ctx context.Context, name, holder string) error {
	return s.around("ReleaseLease", nil, func() error { return s.Store.ReleaseLease(ctx, name, holder) })
}

func (s *frailStore) Leases(ctx context.Context, prefix string, now time.Time) (leases []orchestrator.Lease, err error) {
	err = s.around("Leases", nil, func() (err error) { leases, err = s.Store.Leases(ctx, prefix, now); return err })
	return leases, err
}
