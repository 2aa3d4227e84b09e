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
	"time"

	"modernc.org/sqlite"

	"github.com/kalpana-dev/kalpana/workspace"
)

// Info is what a database says of itself.
type Info struct {
	Size    int64     // bytes, without what is in the log only
	Version int       // of its schema
	Known   int       // the newest schema that this program knows
	Newest  time.Time // of all that was written at; zero where that is unknown
	Ports   []int     // that workspaces have
	// Unread says that the file has a log without an index, as a copy may: only [Open] can read it,
	// and all but Size and Known is unknown.
	Unread bool
}

// Inspect looks at the database file at path and changes neither it nor its directory. Errors:
// fs.ErrNotExist where there is none; workspace.ErrStoreDown where [Open] would refuse it.
func Inspect(ctx context.Context, path string) (Info, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return Info{}, fmt.Errorf("%w: the database's path: %w", workspace.ErrStoreDown, err)
	}
	file, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Info{}, err
	}
	if err != nil {
		return Info{}, fmt.Errorf("%w: %w", workspace.ErrStoreDown, err)
	}
	s := &Store{path: path, wait: time.Second, file: file, inspects: true}
	query := url.Values{
		"mode": {"ro"}, "readonly_shm": {"1"}, "_error_rc": {"1"}, "_timeout": {"1000"}, "_pragma": {"query_only(1)"},
	}
	info := Info{Size: file.Size(), Known: len(migrations)}
	if _, err := os.Stat(path + "-shm"); errors.Is(err, fs.ErrNotExist) {
		if log, err := os.Stat(path + "-wal"); err == nil && log.Size() > 0 {
			info.Unread = true
			return info, nil
		}
		query.Set("immutable", "1") // nobody has it open, and nothing may be made beside it
	}
	connector, err := sqlite.NewConnector((&url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: query.Encode()}).String())
	if err != nil {
		return Info{}, fmt.Errorf("%w: %w", workspace.ErrStoreDown, err)
	}
	s.reader = sql.OpenDB(connector)
	defer s.reader.Close() //nolint:errcheck // it only reads
	s.reader.SetMaxOpenConns(1)

	if info.Version, err = s.version(ctx, s.reader); err != nil || info.Version == 0 {
		return info, err
	}
	if err := s.check(ctx); err != nil {
		return info, err
	}
	err = s.reader.QueryRowContext(ctx, `SELECT max(at) FROM (
		SELECT coalesce(max(updated_at), 0) AS at FROM workspaces
		UNION ALL SELECT coalesce((SELECT at FROM audit ORDER BY id DESC LIMIT 1), 0))`).Scan(moment{&info.Newest})
	if err != nil {
		return info, s.fault(ctx, err)
	}
	if info.Newest.Unix() <= 0 {
		info.Newest = time.Time{}
	}
	info.Ports, err = list(ctx, s, func(scan func(...any) error) (port int, err error) {
		err = scan(&port)
		return port, err
	}, "SELECT port FROM ports ORDER BY port")
	return info, err
}
