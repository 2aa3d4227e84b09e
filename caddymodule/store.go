package caddymodule

import (
	"context"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/store/sqlite"
)

// Store is a guest module of the namespace kalpana.store. Open runs migrations.
type Store interface {
	Open(ctx context.Context, dataDir string) (OpenStore, error)
}

// OpenStore keeps everything that Kalpana remembers.
type OpenStore interface {
	orchestrator.Store
	identity.Store
	// Settle keeps value under name unless something is kept there already, and returns what is
	// kept: all gateways on one store get the same.
	Settle(ctx context.Context, name, value string) (string, error)
	Close() error
}

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
