package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddytls"

	"github.com/kalpana-dev/kalpana/ratelimit"
	"github.com/kalpana-dev/kalpana/workspace"
)

// Permission lets Caddy get certificates on demand for the console's host and for the hosts of
// workspaces that exist, and for nothing else. A wildcard certificate by the DNS challenge is the
// better way: names of single hosts, and so the workspaces' ids, show in public certificate logs, and
// issuers limit how many certificates a domain gets in a week.
type Permission struct {
	app *App

	mu    sync.Mutex
	known map[workspace.ID]knownWorkspace
	now   func() time.Time

	reads    *ratelimit.Limiter // of the store
	previews *ratelimit.Limiter // that certificates are asked for, by workspace
}

// knownWorkspace is what the store said last.
type knownWorkspace struct {
	exists bool
	until  time.Time
}

// Whoever opens TLS connections chooses the names that are asked for.
const (
	existsFor       = time.Minute      // how long a workspace is believed to exist
	missingFor      = 10 * time.Second // and how long not to
	knownMax        = 4096             // so many are remembered
	readsPerSecond  = 20               // of the store, for names that are not remembered
	previewsPerHour = 30               // of one workspace, since each costs a certificate
)

// CaddyModule returns the Caddy module information.
func (*Permission) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "tls.permission.kalpana", New: func() caddy.Module { return new(Permission) }}
}

// Provision finds the app.
func (m *Permission) Provision(ctx caddy.Context) error {
	m.known, m.now = map[workspace.ID]knownWorkspace{}, time.Now
	m.reads = ratelimit.New(readsPerSecond, time.Second, 5*readsPerSecond)
	m.previews = ratelimit.New(previewsPerHour, time.Hour, previewsPerHour)
	v, err := ctx.AppIfConfigured("kalpana")
	if err != nil {
		return fmt.Errorf("permission kalpana: the configuration lacks the global option kalpana: %w", err)
	}
	m.app = v.(*App)
	return nil
}

// CertificateAllowed implements caddytls.OnDemandPermission.
func (m *Permission) CertificateAllowed(ctx context.Context, name string) error {
	host, err := m.app.hosts.Parse(name)
	if err != nil || strings.ContainsRune(name, ':') {
		return denied(name, "it is no host of this installation")
	}
	if host.Kind == workspace.HostConsole {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := m.app.readyFor(ctx); err != nil {
		return err
	}
	exists, err := m.look(ctx, host.ID)
	if err != nil {
		return err
	}
	if !exists {
		return denied(name, "there is no such workspace")
	}
	if host.Kind == workspace.HostPreview && m.previews.Take(string(host.ID), m.now()) > 0 {
		return denied(name, "too many previews of this workspace were asked for")
	}
	return nil
}

func denied(name, why string) error {
	return fmt.Errorf("%s: %w: %s", name, caddytls.ErrPermissionDenied, why)
}

// look returns whether a workspace exists, from memory or by one read of the store.
func (m *Permission) look(ctx context.Context, id workspace.ID) (bool, error) {
	now := m.now()
	m.mu.Lock()
	known, ok := m.known[id]
	m.mu.Unlock()
	if ok && now.Before(known.until) {
		return known.exists, nil
	}
	if m.reads.Take("", now) > 0 {
		return false, errors.New("too many unknown names were asked for; try again in a moment")
	}
	w, err := m.app.instance.store.Workspace(ctx, id)
	if err != nil && !errors.Is(err, workspace.ErrNotFound) {
		return false, err
	}
	known = knownWorkspace{exists: err == nil && w.State != workspace.StateDeleting, until: now.Add(missingFor)}
	if known.exists {
		known.until = now.Add(existsFor)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.known) >= knownMax {
		m.forget(now)
	}
	m.known[id] = known
	return known.exists, nil
}

// forget makes room: what is out of date goes first, then what does not exist, then anything.
func (m *Permission) forget(now time.Time) {
	for id, k := range m.known {
		if !now.Before(k.until) || !k.exists {
			delete(m.known, id)
		}
	}
	for id := range m.known {
		if len(m.known) < knownMax {
			return
		}
		delete(m.known, id)
	}
}

// UnmarshalCaddyfile sets up the module:
//
//	on_demand_tls {
//		permission kalpana
//	}
func (m *Permission) UnmarshalCaddyfile(d *caddyfile.Dispenser) error { return noOptions(d) }

var (
	_ caddytls.OnDemandPermission = (*Permission)(nil)
	_ caddy.Provisioner           = (*Permission)(nil)
	_ caddyfile.Unmarshaler       = (*Permission)(nil)
)
