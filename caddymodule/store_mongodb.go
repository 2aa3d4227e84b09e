package caddymodule

import (
	"context"
	"errors"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/kalpana-dev/kalpana/store/mongo"
)

// MongoDB keeps records in a MongoDB database, which several gateways may share.
type MongoDB struct {
	// The connection string, as a placeholder, e.g. {env.KALPANA_MONGODB_URI}: keep the password out
	// of the configuration, which Caddy stores and shows. Default: $KALPANA_MONGODB_URI.
	URI string `json:"uri,omitempty"`
	// The database. Default: kalpana. One that the connection string names is not used: it is where
	// the user is known.
	Database string `json:"database,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*MongoDB) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "kalpana.store.mongodb", New: func() caddy.Module { return new(MongoDB) }}
}

// Open implements Store.
func (m *MongoDB) Open(ctx context.Context, _ string) (OpenStore, error) {
	uri, database, err := m.place()
	if err != nil {
		return nil, err
	}
	return mongo.Open(ctx, uri, database)
}

// Inspect implements StoreInspector.
func (m *MongoDB) Inspect(ctx context.Context, _ string) (StoreInfo, error) {
	uri, database, err := m.place()
	if err != nil {
		return StoreInfo{Where: "MongoDB"}, err
	}
	i, err := mongo.Inspect(ctx, uri, database, mongo.Wait(checkTime-time.Second))
	return StoreInfo{Where: "MongoDB, database " + i.Where, Version: i.Version, Known: i.Known, Newest: i.Newest, Ports: i.Ports}, err
}

// place returns the connection string and the name of the database.
func (m *MongoDB) place() (uri, database string, err error) {
	repl := caddy.NewReplacer()
	from := m.URI
	if from == "" {
		from = "{env.KALPANA_MONGODB_URI}"
	}
	uri = repl.ReplaceAll(from, "")
	if uri == "" {
		return "", "", errors.New("store mongodb: the connection string is empty: set KALPANA_MONGODB_URI, or name another variable with uri {env.NAME}")
	}
	database = repl.ReplaceAll(m.Database, "")
	if database == "" {
		database = "kalpana"
	}
	return uri, database, nil
}

// UnmarshalCaddyfile sets up the store:
//
//	store mongodb {
//		uri      <placeholder>
//		database <name>
//	}
func (m *MongoDB) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return block(d, func(name string) (bool, error) {
		switch name {
		case "uri":
			return true, oneArg(d, &m.URI)
		case "database":
			return true, oneArg(d, &m.Database)
		}
		return false, nil
	})
}

var (
	_ Store                 = (*MongoDB)(nil)
	_ StoreInspector        = (*MongoDB)(nil)
	_ caddyfile.Unmarshaler = (*MongoDB)(nil)
)
