package sqlite

import (
	"context"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

const workspaceColumns = `id, owner, name, template, repository, state, reason, revision, container, image,
	address, ide_port, bridge_port, created_at, updated_at, started_at, last_active_at, last_activity, shares,
	state_since, desired, last_start, keep_awake_until, schedule, disk_used`

func readWorkspace(scan func(...any) error) (*workspace.Workspace, error) {
	w := new(workspace.Workspace)
	err := scan(&w.ID, &w.Owner, &w.Name, &w.Template, &w.Repository, &w.State, &w.Reason, &w.Revision, &w.Container, &w.Image,
		&w.Address, &w.IDEPort, &w.BridgePort, moment{&w.CreatedAt}, moment{&w.UpdatedAt}, moment{&w.StartedAt},
		moment{&w.LastActiveAt}, &w.LastActivity, document{&w.Shares},
		moment{&w.StateSince}, &w.Desired, document{&w.LastStart}, moment{&w.KeepAwakeUntil}, document{&w.Schedule}, &w.DiskUsed)
	if err != nil {
		return nil, err
	}
	return w, nil
}

// CreateWorkspace implements orchestrator.Store. It sets w.Revision.
func (s *Store) CreateWorkspace(ctx context.Context, w *workspace.Workspace, limit int) error {
	const first = 1
	err := s.write(ctx, func(tx *tx) error {
		if limit > 0 {
			var n int
			if _, err := tx.find("SELECT count(*) FROM workspaces WHERE owner = ?", []any{w.Owner}, []any{&n}); err != nil {
				return err
			}
			if n >= limit {
				return workspace.ErrLimit
			}
		}
		n, err := tx.exec("INSERT INTO used_ids (id) VALUES (?) ON CONFLICT DO NOTHING", w.ID)
		if err != nil {
			return err
		}
		if n == 0 {
			return workspace.ErrConflict
		}
		return tx.insertWorkspace(w, first)
	})
	if err == nil {
		w.Revision = first
	}
	return err
}

func (t *tx) insertWorkspace(w *workspace.Workspace, revision int64) error {
	_, err := t.exec("INSERT INTO workspaces ("+workspaceColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		w.ID, w.Owner, w.Name, w.Template, w.Repository, w.State, w.Reason, revision, w.Container, w.Image,
		w.Address, w.IDEPort, w.BridgePort, w.CreatedAt.UnixMicro(), w.UpdatedAt.UnixMicro(), w.StartedAt.UnixMicro(),
		w.LastActiveAt.UnixMicro(), w.LastActivity, document{&w.Shares},
		w.StateSince.UnixMicro(), w.Desired, document{&w.LastStart}, w.KeepAwakeUntil.UnixMicro(), document{&w.Schedule}, w.DiskUsed)
	return err
}

// Workspace implements orchestrator.Store.
func (s *Store) Workspace(ctx context.Context, id workspace.ID) (*workspace.Workspace, error) {
	return one(ctx, s, workspace.ErrNotFound, readWorkspace, "SELECT "+workspaceColumns+" FROM workspaces WHERE id = ?", id)
}

// Workspaces implements orchestrator.Store.
func (s *Store) Workspaces(ctx context.Context, owner string) ([]*workspace.Workspace, error) {
	if owner == "" {
		return list(ctx, s, readWorkspace, "SELECT "+workspaceColumns+" FROM workspaces ORDER BY created_at, id")
	}
	return list(ctx, s, readWorkspace, "SELECT "+workspaceColumns+" FROM workspaces WHERE owner = ? ORDER BY created_at, id", owner)
}

// UpdateWorkspace implements orchestrator.Store. On an error it leaves w as it was.
func (s *Store) UpdateWorkspace(ctx context.Context, w *workspace.Workspace) error {
	now := time.Now().UTC().Truncate(time.Microsecond)
	err := s.write(ctx, func(tx *tx) error {
		n, err := tx.exec(`UPDATE workspaces SET name = ?, template = ?, repository = ?, state = ?, reason = ?,
				revision = revision + 1, container = ?, image = ?, address = ?, ide_port = ?, bridge_port = ?,
				updated_at = ?, started_at = ?, last_active_at = ?, last_activity = ?, shares = ?,
				state_since = ?, desired = ?, last_start = ?, keep_awake_until = ?, schedule = ?, disk_used = ?
			WHERE id = ? AND revision = ?`,
			w.Name, w.Template, w.Repository, w.State, w.Reason,
			w.Container, w.Image, w.Address, w.IDEPort, w.BridgePort,
			now.UnixMicro(), w.StartedAt.UnixMicro(), w.LastActiveAt.UnixMicro(), w.LastActivity, document{&w.Shares},
			w.StateSince.UnixMicro(), w.Desired, document{&w.LastStart}, w.KeepAwakeUntil.UnixMicro(), document{&w.Schedule}, w.DiskUsed,
			w.ID, w.Revision)
		return tx.guarded(w.ID, n, err)
	})
	if err == nil {
		w.Revision++
		w.UpdatedAt = now
	}
	return err
}

// DeleteWorkspace implements orchestrator.Store. The ports go with the record, by their foreign
// key; the id stays in used_ids.
func (s *Store) DeleteWorkspace(ctx context.Context, id workspace.ID, revision int64) error {
	return s.write(ctx, func(tx *tx) error {
		n, err := tx.exec("DELETE FROM workspaces WHERE id = ? AND revision = ?", id, revision)
		return tx.guarded(id, n, err)
	})
}

// guarded tells why a write that names a revision changed no record.
func (t *tx) guarded(id workspace.ID, changed int64, err error) error {
	if err != nil || changed > 0 {
		return err
	}
	var revision int64
	exists, err := t.find("SELECT revision FROM workspaces WHERE id = ?", []any{id}, []any{&revision})
	if err != nil {
		return err
	}
	if exists {
		return workspace.ErrConflict
	}
	return workspace.ErrNotFound
}
