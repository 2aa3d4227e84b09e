package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddytls"

	"github.com/kalpana-dev/kalpana/workspace"
)

// shelf is the part of a store that permissions are asked of.
type shelf struct {
	OpenStore
	mu    sync.Mutex
	has   map[workspace.ID]workspace.State
	fault error
	reads int
}

func (s *shelf) Workspace(_ context.Context, id workspace.ID) (*workspace.Workspace, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	state, ok := s.has[id]
	switch {
	case s.fault != nil:
		return nil, s.fault
	case !ok:
		return nil, workspace.ErrNotFound
	}
	return &workspace.Workspace{ID: id, State: state}, nil
}

// permission returns the module in a context of Caddy's, with a shelf and a clock that stands still.
func permission(t *testing.T) (*Permission, *shelf, *time.Time) {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	m := new(Permission)
	if err := m.Provision(ctx); err == nil {
		t.Error("it is provisioned without the app")
	}
	hosts, err := workspace.NewHosts("https://kalpana.example.com", "ws.example.net")
	if err != nil {
		t.Fatal(err)
	}
	store := &shelf{has: map[workspace.ID]workspace.State{"abcdefghij": workspace.StateStopped, "deletedabc": workspace.StateDeleting}}
	m.app = &App{hosts: hosts, started: make(chan struct{}), instance: &instance{store: store}}
	close(m.app.started)
	now := time.Now()
	m.now = func() time.Time { return now }
	return m, store, &now
}

func TestPermission_IsForTheConsoleAndForWorkspacesThatExist(t *testing.T) {
	m, store, _ := permission(t)
	for name, want := range map[string]bool{
		"kalpana.example.com": true, "abcdefghij.ws.example.net": true, "3000-abcdefghij.ws.example.net": true, "ABCDEFGHIJ.ws.example.net": true,
		"bcdefghijk.ws.example.net": false, "3000-bcdefghijk.ws.example.net": false, "deletedabc.ws.example.net": false,
		"8080-abcdefghij.ws.example.net": false, "80-abcdefghij.ws.example.net": false, "x.abcdefghij.ws.example.net": false,
		"abcdefghij.ws.example.net.": false, "abcdefghij.ws.example.net:443": false, "abcdefghij.ws.example.net.evil.com": false, "abcdefghij.kalpana.example.com": false,
		"ws.example.net": false, "*.ws.example.net": false, "evil.com": false, "": false, "127.0.0.1": false, "grafana.example.com": false,
	} {
		err := m.CertificateAllowed(t.Context(), name)
		if (err == nil) != want || (err != nil && !errors.Is(err, caddytls.ErrPermissionDenied)) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if store.reads != 3 {
		t.Errorf("%d reads of the store for three ids", store.reads)
	}
}

func TestPermission_WhatItHasReadItKeepsForAWhile(t *testing.T) {
	m, store, now := permission(t)
	ask := func(id string) error { return m.CertificateAllowed(t.Context(), id+".ws.example.net") }
	for range 50 {
		if err := ask("abcdefghij"); err != nil {
			t.Fatal(err)
		}
	}
	if store.reads != 1 {
		t.Errorf("%d reads", store.reads)
	}
	delete(store.has, "abcdefghij")
	store.has["bcdefghijk"] = workspace.StateRunning
	*now = now.Add(existsFor)
	if err := ask("abcdefghij"); err == nil {
		t.Error("a deleted workspace has certificates")
	}
	store.has["abcdefghij"] = workspace.StateRunning
	*now = now.Add(missingFor)
	if err := ask("abcdefghij"); err != nil {
		t.Error(err)
	}
	for range 3 * knownMax {
		_ = ask(string(workspace.NewID()))
		*now = now.Add(time.Second)
	}
	if len(m.known) > knownMax {
		t.Errorf("%d are remembered", len(m.known))
	}
}

func TestPermission_AStormOfNamesIsBounded(t *testing.T) {
	m, store, now := permission(t)
	refused := 0
	for range 1000 {
		if err := m.CertificateAllowed(t.Context(), string(workspace.NewID())+".ws.example.net"); err == nil {
			t.Fatal("allowed")
		}
		refused++
	}
	if store.reads > 5*readsPerSecond {
		t.Errorf("%d reads of the store for %d names", store.reads, refused)
	}
	*now = now.Add(time.Minute)
	if err := m.CertificateAllowed(t.Context(), "abcdefghij.ws.example.net"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	allowed := 0
	for port := range 1000 {
		if m.CertificateAllowed(t.Context(), fmt.Sprintf("%d-abcdefghij.ws.example.net", 10000+port)) == nil {
			allowed++
		}
	}
	if allowed != previewsPerHour {
		t.Errorf("%d previews of one workspace", allowed)
	}
	if err := m.CertificateAllowed(t.Context(), "abcdefghij.ws.example.net"); err != nil {
		t.Errorf("VS Code's host after them: %v", err)
	}
}

func TestPermission_AStoreThatIsDownIsNoAnswer(t *testing.T) {
	m, store, _ := permission(t)
	store.fault = workspace.ErrStoreDown
	err := m.CertificateAllowed(t.Context(), "abcdefghij.ws.example.net")
	if !errors.Is(err, workspace.ErrStoreDown) || errors.Is(err, caddytls.ErrPermissionDenied) {
		t.Errorf("%v", err)
	}
	store.fault = nil
	if err := m.CertificateAllowed(t.Context(), "abcdefghij.ws.example.net"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
