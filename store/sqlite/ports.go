package sqlite

import (
	"context"

	"github.com/kalpana-dev/kalpana/store/transfer"
	"github.com/kalpana-dev/kalpana/workspace"
)

// ClaimPort implements orchestrator.Store. A workspace that does not exist gets none (ErrNotFound),
// so that a wake that loses against a delete leaks no port.
func (s *Store) ClaimPort(ctx context.Context, port int, id workspace.ID) (bool, error) {
	claimed := false
	err := s.write(ctx, func(tx *tx) error {
		var holder workspace.ID
		taken, err := tx.find("SELECT workspace FROM ports WHERE port = ?", []any{port}, []any{&holder})
		if err != nil {
			return err
		}
		if taken {
			claimed = holder == id
			return nil
		}
		n, err := tx.exec("INSERT INTO ports (port, workspace) SELECT ?, id FROM workspaces WHERE id = ?", port, id)
		if err != nil {
			return err
		}
		if n == 0 {
			return workspace.ErrNotFound
		}
		claimed = true
		return nil
	})
	return claimed && err == nil, err
}

// ReleasePorts implements orchestrator.Store.
func (s *Store) ReleasePorts(ctx context.Context, id workspace.ID, ports ...int) error {
	return s.write(ctx, func(tx *tx) error {
		if len(ports) == 0 {
			_, err := tx.exec("DELETE FROM ports WHERE workspace = ?", id)
			return err
		}
		for _, port := range ports {
			if _, err := tx.exec("DELETE FROM ports WHERE port = ? AND workspace = ?", port, id); err != nil {
				return err
			}
		}
		return nil
	})
}

func readPort(scan func(...any) error) (c transfer.Port, err error) {
	err = scan(&c.Port, &c.Workspace)
	return c, err
}

// Ports implements orchestrator.Store.
func (s *Store) Ports(ctx context.Context) (map[int]workspace.ID, error) {
	ports := map[int]workspace.ID{}
	err := each(ctx, s, func(c transfer.Port) error {
		ports[c.Port] = c.Workspace
		return nil
	}, readPort, "SELECT port, workspace FROM ports")
	if err != nil {
		return nil, err
	}
	return ports, nil
}
