package caddymodule

import (
	"context"
	"time"

	"github.com/kalpana-dev/kalpana/agent"
	"github.com/kalpana-dev/kalpana/agent/budget"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/orchestrator"
)

// Store is a guest module of the namespace kalpana.store. Open runs migrations.
type Store interface {
	Open(ctx context.Context, dataDir string) (OpenStore, error)
}

// OpenStore keeps everything that Kalpana remembers.
type OpenStore interface {
	orchestrator.Store
	identity.Store
	agent.Store
	budget.Store
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
