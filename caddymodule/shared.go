package caddymodule

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kalpana-dev/kalpana/identity"
)

// What gateways on one store must have in common is checked here.

const (
	keyLease      = "installation key/" // + the gateway; the holder is the key's fingerprint
	keyLeaseLasts = 30 * time.Second
	keyLeaseRenew = 10 * time.Second
)

// shareKey tells the other gateways on this store which key this one has, and refuses one that
// differs from theirs: with it, this gateway would lock them out of the containers that it starts.
func (i *instance) shareKey(ctx context.Context, key identity.Key, now time.Time) error {
	mine := key.Fingerprint()
	if _, err := i.store.AcquireLease(ctx, keyLease+i.id, mine, now, now.Add(keyLeaseLasts)); err != nil {
		return err
	}
	running, err := i.store.Leases(ctx, keyLease, now)
	if err != nil {
		return err
	}
	for _, other := range running {
		if other.Holder != mine {
			return fmt.Errorf("another gateway on this store has another key: give all of them the same, by KALPANA_KEY or key_file; if that gateway was killed, wait %v", keyLeaseLasts)
		}
	}
	return nil
}

// keepSharing renews the lease until ctx ends.
func (i *instance) keepSharing(ctx context.Context, key identity.Key) {
	tick := time.NewTicker(keyLeaseRenew)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if err := i.shareKey(ctx, key, now); err != nil && ctx.Err() == nil {
				i.logger.Warn("the gateways on this store may not have the same key", "error", err)
			}
		}
	}
}

// endSharing lets a gateway with another key start at once.
func (i *instance) endSharing(key identity.Key) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := i.store.ReleaseLease(ctx, keyLease+i.id, key.Fingerprint()); err != nil {
		i.logger.Warn("the lease of the installation's key ends by itself", "error", err)
	}
}

// name returns what this installation's containers and volumes are labelled with: what the
// store says, so that gateways on one store know one another's. The data directory keeps a copy, so
// that a lost database loses no workspace; a copy that a power cut left empty is written anew.
func (i *instance) name(ctx context.Context) (string, error) {
	path := filepath.Join(i.app.DataDir, "instance")
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("the name of the installation cannot be read: %w", err)
	}
	here := strings.TrimSpace(string(text))
	proposed := here
	if proposed == "" {
		proposed = strings.ToLower(rand.Text()[:12])
	}
	name, err := i.store.Settle(ctx, "instance", proposed)
	if err != nil {
		return "", err
	}
	if here != "" && name != here {
		i.logger.Warn("the store belongs to another installation than the data directory did; containers of the former one are left alone",
			"instance", name, "former", here)
	}
	if name != here {
		if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
			return "", fmt.Errorf("the name of the installation cannot be kept: %w", err)
		}
	}
	return name, nil
}
