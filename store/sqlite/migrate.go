package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"path"

	"github.com/kalpana-dev/kalpana/workspace"
)

// applicationID marks the file as Kalpana's in its header ("KALP").
const applicationID = 0x4b414c50

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migrations[i] brings a database from version i to i+1. What has been released never changes.
var migrations = readMigrations()

func readMigrations() []string {
	names, err := migrationFiles.ReadDir("migrations") // sorted
	if err != nil {
		panic(err)
	}
	var list []string
	for _, name := range names {
		text, err := migrationFiles.ReadFile(path.Join("migrations", name.Name()))
		if err != nil {
			panic(err)
		}
		list = append(list, string(text))
	}
	return list
}

type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// version returns the schema's version, 0 for a new file, and refuses a database that is not ours.
func (s *Store) version(ctx context.Context, db querier) (int, error) {
	var version, owner, objects int
	err := db.QueryRowContext(ctx,
		"SELECT (SELECT user_version FROM pragma_user_version), (SELECT application_id FROM pragma_application_id), count(*) FROM sqlite_schema",
	).Scan(&version, &owner, &objects)
	if err != nil {
		return 0, s.fault(ctx, err)
	}
	fresh := version == 0 && owner == 0 && objects == 0
	switch {
	case !fresh && owner != applicationID:
		return 0, fmt.Errorf("%w: %s is the database of another program; name another file", workspace.ErrStoreDown, s.path)
	case version > len(migrations):
		return 0, fmt.Errorf("%w: %s was written by a newer Kalpana (schema %d, this one knows %d); run the newer one, or restore the backup from before the upgrade",
			workspace.ErrStoreDown, s.path, version, len(migrations))
	}
	return version, nil
}

// migrate applies what is missing in one transaction. The version is read again under the lock,
// for another process may have been first. Where nothing is missing nothing is written, so that a
// gateway can restart on a full disk; the lock alone tells whether the file is writable.
func (s *Store) migrate(ctx context.Context) error {
	return s.write(ctx, func(tx *tx) error {
		version, err := s.version(ctx, tx.Tx)
		if err != nil {
			return err
		}
		if version == len(migrations) {
			return nil
		}
		for ; version < len(migrations); version++ {
			if _, err := tx.exec(migrations[version]); err != nil {
				return fmt.Errorf("the schema cannot be brought from version %d to %d: %w", version, version+1, err)
			}
		}
		_, err = tx.exec(fmt.Sprintf("PRAGMA user_version = %d; PRAGMA application_id = %d", version, applicationID))
		return err
	})
}
