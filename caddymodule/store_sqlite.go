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
	path := caddy.NewReplacer().ReplaceAll(s.Path, "")
	if path == "" {
		path = filepath.Join(dataDir, "kalpana.db")
	}
	return sqlite.Open(ctx, path)
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
	_ caddyfile.Unmarshaler = (*SQLite)(nil)
)
