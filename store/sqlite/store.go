package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// Store is one process's access to the file. Its methods are safe for concurrent use.
//
// Once the file is open, an error that is no other named error wraps workspace.ErrStoreDown or
// workspace.ErrStorageFull, except that a context's error stays what it is. After any error
// nothing was written, unless the disk itself fails in the middle of a commit.
type Store struct {
	path string
	wait time.Duration
	file os.FileInfo // as it was opened

	unfinished bool // also opens what a copy left
	inspects   bool // writes nothing, not even a probe of the disk

	writer *sql.DB // one connection: writers of this process queue here, first come first served
	reader *sql.DB // cannot write
}

// Ping reports whether the store can be read and its file is still the one that was opened.
func (s *Store) Ping(ctx context.Context) error {
	var version int
	if err := s.reader.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return s.fault(ctx, err)
	}
	if now, err := os.Stat(s.path); err != nil || !os.SameFile(now, s.file) {
		return fmt.Errorf("%w: %s was removed or replaced while it was open; restart Kalpana", workspace.ErrStoreDown, s.path)
	}
	return nil
}

// Close ends the store. Methods that are called later return workspace.ErrStoreDown.
func (s *Store) Close() error {
	return errors.Join(s.reader.Close(), s.writer.Close()) // the writer last: it empties the log
}
