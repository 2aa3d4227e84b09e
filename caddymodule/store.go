package caddymodule

import (
	"context"
	"path/filepath"
	"time"

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

// StoreInspector is a Store that can tell of itself. It changes nothing.
type StoreInspector interface {
	// Inspect returns fs.ErrNotExist where there is no store yet, and else what Open would refuse with;
	// Where is filled in any case.
	Inspect(ctx context.Context, dataDir string) (StoreInfo, error)
}

// StoreInfo is what a store says of itself.
type StoreInfo struct {
	Where   string    // it is, for people to read
	Size    int64     // bytes; 0 is unknown
	Version int       // of its schema
	Known   int       // the newest schema that this program knows
	Newest  time.Time // of all that was written at; zero is unknown
	Ports   []int     // that workspaces have
	Unread  bool      // only Open can read it, and all that comes after Where is unknown
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
