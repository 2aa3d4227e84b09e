package caddymodule

import (
	"context"

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
	// Settle keeps value under name unless something is kept there already, and returns what is
	// kept: all gateways on one store get the same.
	Settle(ctx context.Context, name, value string) (string, error)
	Close() error
}
