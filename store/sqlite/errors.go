package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"github.com/kalpana-dev/kalpana/workspace"
)

// fault names what the database reports: the context's error, workspace.ErrStorageFull or
// workspace.ErrStoreDown.
func (s *Store) fault(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ended := ctx.Err(); ended != nil {
		return ended
	}
	switch code(err) {
	case codes.SQLITE_FULL:
		return s.storageFull(err)
	case codes.SQLITE_IOERR, codes.SQLITE_CANTOPEN: // a full disk is not told apart for every file
		if s.noRoom() {
			return s.storageFull(err)
		}
		return fmt.Errorf("%w: %s cannot be opened, read or written; check its disk, and that the user that runs Kalpana owns it: %w", workspace.ErrStoreDown, s.path, err)
	case codes.SQLITE_BUSY:
		return fmt.Errorf("%w: %w", s.lockHeld(), err)
	case codes.SQLITE_CORRUPT, codes.SQLITE_NOTADB:
		return fmt.Errorf("%w: %w", s.damaged(), err)
	case codes.SQLITE_READONLY:
		return fmt.Errorf("%w: %s is not writable; give it to the user that runs Kalpana, or mount its disk writable: %w", workspace.ErrStoreDown, s.path, err)
	}
	return fmt.Errorf("%w: %s: %w", workspace.ErrStoreDown, s.path, err)
}

func (s *Store) storageFull(err error) error {
	return fmt.Errorf("%w: make room on the disk of %s: %w", workspace.ErrStorageFull, filepath.Dir(s.path), err)
}

func (s *Store) lockHeld() error {
	return fmt.Errorf("%w: another process has held the lock of %s for %v; end it, or wait for it", workspace.ErrStoreDown, s.path, s.wait)
}

func (s *Store) damaged() error {
	return fmt.Errorf("%w: %s is damaged or not a database; move it away and restore a backup", workspace.ErrStoreDown, s.path)
}

// noRoom reports whether the disk of the data directory takes no more data.
func (s *Store) noRoom() bool {
	if s.inspects {
		return false
	}
	probe, err := os.CreateTemp(filepath.Dir(s.path), ".kalpana-*")
	if err != nil {
		return diskFull(err)
	}
	_, err = probe.Write(make([]byte, 64<<10)) // more than SQLite asks for at once
	err = errors.Join(err, probe.Sync())
	_, _ = probe.Close(), os.Remove(probe.Name())
	return diskFull(err)
}

func diskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

func locked(err error) bool { return code(err) == codes.SQLITE_BUSY }

// code returns SQLite's primary result code, or 0 for another error.
func code(err error) int {
	var fault *sqlite.Error
	if errors.As(err, &fault) {
		return fault.Code() & 0xff
	}
	return 0
}
