package orchestrator

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// busyFor is how long a port that another program holds is left alone.
const busyFor = 10 * time.Minute

// claimPorts gives w the two ports it lacks, from the configured range.
func (o *Orchestrator) claimPorts(ctx context.Context, w *workspace.Workspace) error {
	w.Address = o.cfg.Address
	for _, port := range []*int{&w.IDEPort, &w.BridgePort} {
		if *port != 0 && *port >= o.cfg.FirstPort && *port <= o.cfg.LastPort {
			mine, err := o.cfg.Store.ClaimPort(ctx, *port, w.ID)
			if err != nil {
				return err
			}
			if mine {
				continue
			}
		}
		old := *port
		*port = 0
		var err error
		if *port, err = o.claimPort(ctx, w); err != nil {
			return err
		}
		if old != 0 { // out of the range by now
			if err := o.cfg.Store.ReleasePorts(ctx, w.ID, old); err != nil {
				return err
			}
		}
	}
	return nil
}

// claimPort claims a free port: one that a wake claimed which was killed before it could say so,
// else from a random one upwards, so that gateways seldom meet, skipping what the store lists as
// taken; the claim itself decides.
func (o *Orchestrator) claimPort(ctx context.Context, w *workspace.Workspace) (int, error) {
	taken, err := o.cfg.Store.Ports(ctx)
	if err != nil {
		return 0, err
	}
	for port, owner := range taken {
		inRange := port >= o.cfg.FirstPort && port <= o.cfg.LastPort
		if owner == w.ID && inRange && port != w.IDEPort && port != w.BridgePort && !o.portBusy(port) {
			return port, nil
		}
	}
	n := o.cfg.LastPort - o.cfg.FirstPort + 1
	offset := rand.IntN(n) //nolint:gosec // spreads claims; nothing depends on it being secret
	for i := range n {
		port := o.cfg.FirstPort + (offset+i)%n
		if _, ok := taken[port]; ok || o.portBusy(port) {
			continue
		}
		ok, err := o.cfg.Store.ClaimPort(ctx, port, w.ID)
		if err != nil {
			return 0, err
		}
		if ok {
			return port, nil
		}
	}
	return 0, workspace.ErrPortsExhausted
}

func (o *Orchestrator) portBusy(port int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return time.Since(o.busyPorts[port]) < busyFor
}

// changePorts gives w other ports, and so another container, after the engine found one of its
// ports in use by a program that is not ours.
func (o *Orchestrator) changePorts(ctx context.Context, w *workspace.Workspace) error {
	o.log.Warn("a port is in use by another program; choosing others", "workspace", w.ID, "ports", []int{w.IDEPort, w.BridgePort})
	if err := o.cfg.Runtime.Remove(ctx, w.Container); err != nil {
		return err
	}
	old := []int{w.IDEPort, w.BridgePort}
	o.mu.Lock()
	for _, port := range old {
		o.busyPorts[port] = time.Now()
	}
	o.mu.Unlock()
	w.Container, w.IDEPort, w.BridgePort = "", 0, 0
	if err := o.save(ctx, w, workspace.StateStarting); err != nil {
		return err
	}
	return o.cfg.Store.ReleasePorts(ctx, w.ID, old...)
}
