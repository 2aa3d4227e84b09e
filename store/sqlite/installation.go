package sqlite

import "context"

// Settle keeps value under name unless something is kept there already, and returns what is kept: of
// several gateways that settle the same, all get the same.
func (s *Store) Settle(ctx context.Context, name, value string) (string, error) {
	kept := ""
	err := s.write(ctx, func(tx *tx) error {
		if _, err := tx.exec("INSERT INTO installation (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING", name, value); err != nil {
			return err
		}
		_, err := tx.find("SELECT value FROM installation WHERE name = ?", []any{name}, []any{&kept})
		return err
	})
	if err != nil {
		return "", err
	}
	return kept, nil
}
