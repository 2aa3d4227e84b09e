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
	keyLease      = "installation key"
	keyLeaseLasts = 30 * time.Second
	keyLeaseRenew = 10 * time.Second
)

// shareKey holds a lease in the name of the key, which all gateways with that key hold together.
// With another key than theirs, this gateway would lock them out of the containers that it starts.
func (i *instance) shareKey(ctx context.Context, key identity.Key, now time.Time) error {
	held, err := i.store.AcquireLease(ctx, keyLease, key.Fingerprint(), now, now.Add(keyLeaseLasts))
	if err != nil {
		return err
	}
	if !held {
		return fmt.Errorf("another gateway on this store has another key: give all of them the same, by KALPANA_KEY or key_file; if that gateway has ended, wait %v", keyLeaseLasts)
	}
	return nil
}

// keepSharing renews the lease until ctx ends. It is not released at the end, for others may hold it.
func (i *instance) keepSharing(ctx context.Context, key identity.Key) {
	tick := time.NewTicker(keyLeaseRenew)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if err := i.shareKey(ctx, key, now); err != nil && ctx.Err() == nil {
				i.logger.Warn("the installation's key may differ from another gateway's", "error", err)
			}
		}
	}
}

// name returns what this installation's containers and volumes are labelled with: what the
// store says, so that gateways on one store know one another's. The data directory keeps a copy, so
// that a lost database loses no workspace.
func (i *instance) name(ctx context.Context) (string, error) {
	path := filepath.Join(i.app.DataDir, "instance")
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("the name of the installation cannot be read: %w", err)
	}
	here := strings.TrimSpace(string(text))
	if err == nil && here == "" {
		return "", fmt.Errorf("%s is empty: write into it the label dev.kalpana.instance of this installation's containers, or remove it where there are none", path)
	}
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
