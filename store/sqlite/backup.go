package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// Facts are what a database holds, for people to read.
type Facts struct {
	Schema, Workspaces, People int
}

// Backup writes the database at path, as it is at one moment, into a new file of mode 0600. Others may
// read and write meanwhile. Nothing is migrated, and leases are left out.
func Backup(ctx context.Context, path, into string) error {
	s, err := existing(ctx, path)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	fresh, err := os.OpenFile(into, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("the backup cannot be made: %w", err)
	}
	if err := fresh.Close(); err != nil {
		return err
	}
	if _, err := s.writer.ExecContext(ctx, "VACUUM INTO ?", into); err != nil { // takes an empty file
		return errors.Join(s.fault(ctx, err), os.Remove(into))
	}
	if err := endLeases(ctx, into); err != nil {
		return errors.Join(err, os.Remove(into))
	}
	return nil
}

// endLeases removes the leases of gateways that will not be there when the backup is used.
func endLeases(ctx context.Context, path string) error {
	s, err := existing(ctx, path)
	if err != nil {
		return err
	}
	_, err = s.writer.ExecContext(ctx, "DELETE FROM leases")
	return errors.Join(s.fault(ctx, err), s.Close())
}

// Verify checks a whole database and changes nothing. It refuses what [Open] would refuse.
func Verify(ctx context.Context, path string) (Facts, error) {
	s, err := existing(ctx, path)
	if err != nil {
		return Facts{}, err
	}
	defer func() { _ = s.Close() }()
	if err := s.check(ctx); err != nil {
		return Facts{}, err
	}
	var facts Facts
	if facts.Schema, err = s.version(ctx, s.reader); err != nil {
		return Facts{}, err
	}
	if facts.Schema == 0 {
		return Facts{}, fmt.Errorf("%w: %s is empty", workspace.ErrStoreDown, path)
	}
	err = s.reader.QueryRowContext(ctx, "SELECT (SELECT count(*) FROM workspaces), (SELECT count(*) FROM people)").Scan(&facts.Workspaces, &facts.People)
	return facts, s.fault(ctx, err)
}

// InUse reports whether a lease whose name begins with prefix has not ended at now.
func InUse(ctx context.Context, path, prefix string, now time.Time) (bool, error) {
	s, err := existing(ctx, path)
	if err != nil {
		return false, err
	}
	defer func() { _ = s.Close() }()
	held, err := s.Leases(ctx, prefix, now)
	return len(held) > 0, err
}

// existing opens a database that is there, whatever its version, and refuses another program's.
func existing(ctx context.Context, path string) (*Store, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	file, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: there is no database %s", workspace.ErrStoreDown, path)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", workspace.ErrStoreDown, err)
	}
	s := &Store{path: path, wait: defaultWait, file: file}
	if s.writer, err = s.connect(1, s.wait); err != nil {
		return nil, err
	}
	if s.reader, err = s.connect(1, s.wait, "query_only(1)"); err != nil {
		return nil, err
	}
	if _, err := s.version(ctx, s.reader); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}
