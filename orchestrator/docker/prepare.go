package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// fence is what is known of the firewall.
type fence struct {
	turn   chan struct{}         // holds one token while Prepare runs
	state  atomic.Int32          // fenceState
	reason atomic.Pointer[error] // of fenceUnknown, nil before the first Prepare

	// Under turn:
	probed  time.Time // of the last probe that found the fence whole
	warned  bool      // of AllowHostAccess
	managed bool      // the last Prepare could look at the rules
}

type fenceState int32

const (
	fenceUnknown fenceState = iota // Prepare has not run, or found that it does not hold
	fenceDoubted                   // the engine is or was away: Prepare must look again
	fenceHolds
)

// unmanagedFresh is how long a probe is believed where the rules themselves cannot be looked at.
const unmanagedFresh = time.Minute

// bridgeNetfilter is "1" when packets between two ports of one bridge go through iptables. Without
// it siblings answer each other. The engine sets it; tuning guides unset it.
const bridgeNetfilter = "/proc/sys/net/bridge/bridge-nf-call-iptables"

// doubt makes the next Create or Start prepare again first.
func (f *fence) doubt() {
	f.state.CompareAndSwap(int32(fenceHolds), int32(fenceDoubted))
}

// fenced returns nil if containers may be started.
func (r *Runtime) fenced(ctx context.Context) error {
	if err := r.settle(ctx); err != nil {
		return err
	}
	switch fenceState(r.fence.state.Load()) {
	case fenceHolds:
		return nil
	case fenceDoubted:
		return r.prepareUnless(ctx, fenceHolds)
	default:
		if reason := r.fence.reason.Load(); reason != nil {
			return *reason
		}
		return fmt.Errorf("%w: it has not been looked at yet", workspace.ErrFirewall)
	}
}

// Prepare makes networks and firewall and proves the firewall; see [orchestrator.Runtime]. The first
// call takes some seconds, since it runs two containers. Later ones only look at the rules, and
// prove them again if some were missing.
func (r *Runtime) Prepare(ctx context.Context) error {
	if err := r.settle(ctx); err != nil {
		return err
	}
	if err := r.prepareUnless(ctx, -1); err != nil {
		return err
	}
	_ = r.machine.look(ctx, r) // so that no wake has to; it says itself what is wrong
	return nil
}

// prepareUnless prepares unless somebody else's Prepare, for which it waited, has reached state done.
func (r *Runtime) prepareUnless(ctx context.Context, done fenceState) error {
	select {
	case r.fence.turn <- struct{}{}:
		defer func() { <-r.fence.turn }()
	case <-ctx.Done():
		return fault("prepare", ctx.Err())
	}
	if fenceState(r.fence.state.Load()) == done {
		return nil
	}
	err := r.prepare(ctx)
	switch {
	case err == nil:
		r.fence.state.Store(int32(fenceHolds))
	case errors.Is(err, workspace.ErrFirewall):
		r.fence.reason.Store(&err)
		r.fence.state.Store(int32(fenceUnknown))
		r.fence.probed = time.Time{}
	default: // the engine does not answer, or the caller left: nothing is known, so ask again
		r.fence.state.Store(int32(fenceDoubted))
	}
	return err
}

func (r *Runtime) prepare(ctx context.Context) error {
	b, err := r.firstNetwork(ctx)
	if err != nil {
		return err
	}
	if r.cfg.AllowHostAccess {
		if !r.fence.warned {
			r.log.Warn("allow_host_access is on: whoever has a workspace can reach every service of this host")
			r.fence.warned = true
		}
		return nil
	}
	if !r.fence.managed && time.Since(r.fence.probed) < unmanagedFresh {
		return nil
	}
	start := time.Now()
	repaired, err := r.repair(ctx, b)
	unmanaged := errors.Is(err, errNoIptables)
	if err != nil && !unmanaged {
		return r.unfenced(err)
	}
	if len(repaired) > 0 || unmanaged != !r.fence.managed {
		r.fence.probed = time.Time{}
	}
	r.fence.managed = !unmanaged
	if !r.fence.probed.IsZero() && !unmanaged {
		return nil
	}
	r.fence.doubt() // who wants to start a container waits for the proof
	for _, command := range repaired {
		r.log.Debug("a firewall rule was missing", "set_by", command)
	}
	if err := r.probe(ctx, b); err != nil {
		return r.unfenced(err)
	}
	r.fence.probed = time.Now()
	r.log.Info("containers are fenced off from this host", "rules_set", len(repaired),
		"rules_by_operator", unmanaged, "took", time.Since(start))
	return nil
}

// repair brings the rules in order and returns what it did.
func (r *Runtime) repair(ctx context.Context, b bridge) ([]string, error) {
	tool := r.iptablesFor(b)
	repaired, err := ensureRules(ctx, tool, r.ruleset())
	if err != nil {
		return nil, err
	}
	if _, direct := tool.(hostIptables); direct {
		if value, err := os.ReadFile(bridgeNetfilter); err == nil && strings.TrimSpace(string(value)) == "0" {
			if err := os.WriteFile(bridgeNetfilter, []byte("1\n"), 0o644); err != nil { //nolint:gosec // its mode is the kernel's
				return nil, fmt.Errorf("turn on bridge-nf-call-iptables: %w", err)
			}
			repaired = append(repaired, "sysctl -w net.bridge.bridge-nf-call-iptables=1")
		}
	}
	return repaired, nil
}

// unprovedError is ErrFirewall where the image that the proof runs in is missing: that is all there is to say of it.
type unprovedError struct{ error }

func (e unprovedError) Unwrap() []error { return []error{e.error, workspace.ErrFirewall} }

// unfenced wraps ErrFirewall with what to do. That the engine does not answer, or that the caller
// left, is no statement about the firewall.
func (r *Runtime) unfenced(err error) error {
	if errors.Is(err, workspace.ErrEngineDown) || errors.Is(err, context.Canceled) {
		return err
	}
	if errors.Is(err, workspace.ErrImageMissing) {
		return unprovedError{err}
	}
	return fmt.Errorf("%w: %w\nRun the gateway as root on the engine's host with iptables installed, or use a workspace image "+
		"with iptables in it. allow_host_access starts workspaces without this protection. "+
		"Or run these commands there as root (kalpana firewall prints them too):\n%s",
		workspace.ErrFirewall, err, strings.Join(r.Rules(), "\n"))
}
