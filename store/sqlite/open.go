package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"modernc.org/sqlite"

	"github.com/kalpana-dev/kalpana/workspace"
)

const (
	defaultWait    = 10 * time.Second
	writerPatience = 5 * time.Millisecond // of one attempt; see begin
	readers        = 4                    // connections; each keeps at most 2 MB of pages
)

// Option changes how [Open] opens a store.
type Option func(*Store)

// Wait sets how long an operation waits for another process that holds the database's lock before
// it fails with workspace.ErrStoreDown. The default is ten seconds; a write holds it for about a
// millisecond.
func Wait(d time.Duration) Option { return func(s *Store) { s.wait = d } }

// Unfinished also opens a database into which a copy was cut off; see [Store.BeginImport].
func Unfinished() Option { return func(s *Store) { s.unfinished = true } }

// Open opens the database file at path, makes it if there is none, and brings its schema up to
// date. The directory must exist and be writable. A new file is readable by its owner only; the
// mode of an existing file is left as it is.
//
// A file that is damaged, that belongs to another program or that a newer Kalpana wrote is refused
// and not changed.
func Open(ctx context.Context, path string, options ...Option) (*Store, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("%w: the database's path: %w", workspace.ErrStoreDown, err)
	}
	s := &Store{path: path, wait: defaultWait}
	for _, option := range options {
		option(s)
	}
	if err := checkDirectory(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if s.file, err = createFile(path); err != nil {
		return nil, err
	}
	if s.writer, err = s.connect(1, writerPatience, "foreign_keys(1)", "synchronous(FULL)"); err != nil {
		return nil, err
	}
	if s.reader, err = s.connect(readers, s.wait, "query_only(1)"); err != nil {
		return nil, err
	}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// checkDirectory finds the faults of a data directory that SQLite would only call "unable to open
// database file".
func checkDirectory(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: the data directory %s does not exist; make it, owned by the user that runs Kalpana", workspace.ErrStoreDown, dir)
	case err != nil:
		return fmt.Errorf("%w: the data directory cannot be used: %w", workspace.ErrStoreDown, err)
	case !info.IsDir():
		return fmt.Errorf("%w: %s should be the data directory, but it is a file", workspace.ErrStoreDown, dir)
	}
	probe, err := os.CreateTemp(dir, ".kalpana-*") // SQLite makes files beside its own
	if err == nil {
		return errors.Join(probe.Close(), os.Remove(probe.Name()))
	}
	if diskFull(err) {
		return nil // an existing database may still be read
	}
	return fmt.Errorf("%w: the data directory %s is not writable; give it to the user that runs Kalpana, or mount it writable: %w", workspace.ErrStoreDown, dir, err)
}

// creating keeps one Open from closing the new file while another has locks on it, which would
// drop them: POSIX locks end with any descriptor of the process.
var creating sync.Mutex

// createFile makes the file with mode 0600 if there is none; SQLite would take 0644, and gives the
// files beside it the same mode.
func createFile(path string) (os.FileInfo, error) {
	creating.Lock()
	defer creating.Unlock()
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case err == nil:
		err = file.Close()
	case errors.Is(err, fs.ErrExist):
		err = nil
	case diskFull(err):
		return nil, fmt.Errorf("%w: the database %s cannot be made; make room there: %w", workspace.ErrStorageFull, path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the database cannot be made: %w", workspace.ErrStoreDown, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", workspace.ErrStoreDown, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is not a file; name a database file in the data directory", workspace.ErrStoreDown, path)
	}
	return info, nil
}

// connect returns a pool of at most n connections, whose statements wait for a lock as long as
// patience lasts. They are opened when they are needed, and kept.
func (s *Store) connect(n int, patience time.Duration, pragmas ...string) (*sql.DB, error) {
	path := filepath.ToSlash(s.path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/…
	}
	query := url.Values{
		"_txlock":   {"immediate"},
		"_dqs":      {"0"},
		"_error_rc": {"1"},
		"_timeout":  {strconv.FormatInt(patience.Milliseconds(), 10)},
		"_pragma":   pragmas,
	}
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}
	connector, err := sqlite.NewConnector(dsn.String())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", workspace.ErrStoreDown, err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	return db, nil
}

// prepare checks the file, switches it to WAL and migrates it.
func (s *Store) prepare(ctx context.Context) error {
	if _, err := s.version(ctx, s.reader); err != nil {
		return err
	}
	if err := s.check(ctx); err != nil {
		return err
	}
	if err := s.useWAL(ctx); err != nil {
		return err
	}
	if err := s.migrate(ctx); err != nil {
		return err
	}
	return s.refuseUnfinished(ctx)
}

// check reads the whole file, a few milliseconds a megabyte, for damage would otherwise show when
// it is too late for the backup.
func (s *Store) check(ctx context.Context) error {
	var finding string
	if err := s.reader.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&finding); err != nil {
		return s.fault(ctx, err)
	}
	if finding != "ok" {
		return fmt.Errorf("%w: %s", s.damaged(), strings.Join(strings.Fields(finding), " "))
	}
	return nil
}

// useWAL switches the journal mode, which the file remembers. SQLite does not wait for a lock
// here, so two processes that make one file at once would fail.
func (s *Store) useWAL(ctx context.Context) error {
	for deadline := time.Now().Add(s.wait); ; {
		var mode string
		err := s.writer.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode)
		switch {
		case err == nil && mode == "wal":
			return nil
		case err == nil:
			return fmt.Errorf("%w: %s is on a file system without shared memory (a network share?); keep the data directory on a local disk", workspace.ErrStoreDown, s.path)
		case !locked(err) || time.Now().After(deadline):
			return s.fault(ctx, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}
