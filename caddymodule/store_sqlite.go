package caddymodule

import (
	"context"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/kalpana-dev/kalpana/store/sqlite"
)

// SQLite keeps records in one SQLite file (WAL).
type SQLite struct {
	// The database file. Default: kalpana.db in the data directory.
	Path string `json:"path,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*SQLite) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "kalpana.store.sqlite", New: func() caddy.Module { return new(SQLite) }}
}

// Open implements Store.
func (s *SQLite) Open(ctx context.Context, dataDir string) (OpenStore, error) {
	return sqlite.Open(ctx, s.file(dataDir))
}

// file returns the path of the database.
func (s *SQLite) file(dataDir string) string {
	if path := caddy.NewReplacer().ReplaceAll(s.Path, ""); path != "" {
		return path
	}
	return filepath.Join(dataDir, "kalpana.db")
}

// Inspect implements StoreInspector.
func (s *SQLite) Inspect(ctx context.Context, dataDir string) (StoreInfo, error) {
	path := s.file(dataDir)
	i, err := sqlite.Inspect(ctx, path)
	return StoreInfo{
		Where: path, Size: i.Size, Version: i.Version, Known: i.Known, Newest: i.Newest, Ports: i.Ports, Unread: i.Unread,
	}, err
}

// UnmarshalCaddyfile sets up the store:
//
//	store sqlite {
//		path <file>
//	}
func (s *SQLite) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return block(d, func(name string) (bool, error) {
		if name != "path" {
			return false, nil
		}
		return true, oneArg(d, &s.Path)
	})
}

var (
	_ Store                 = (*SQLite)(nil)
	_ StoreInspector        = (*SQLite)(nil)
	_ caddyfile.Unmarshaler = (*SQLite)(nil)
)
