package orchestrator

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// Route is how a running workspace is reached. It is immutable.
type Route struct {
	ID     workspace.ID
	IDE    string // host:port of VS Code
	Bridge string // host:port of the bridge and the previews
	Token  string // what both ports demand

	container string
	use       *use
	now       func() time.Time
	gone      atomic.Bool
}

// Route returns the route of a workspace that runs, else nil. It reads memory alone.
func (o *Orchestrator) Route(id workspace.ID) *Route {
	if r, ok := o.routes.Load(id); ok {
		return r.(*Route)
	}
	return nil
}

// State returns the state of a workspace as this process last heard of it, "" where it knows of none. It reads
// memory alone.
func (o *Orchestrator) State(id workspace.ID) workspace.State {
	if v, ok := o.known.Load(id); ok && v.(*known).record != nil {
		return v.(*known).record.State
	}
	return ""
}

// Lost says that nothing answers at a route. It is forgotten, unless a newer one took its place,
// and the workspace is looked at.
func (o *Orchestrator) Lost(r *Route) {
	if o.routes.CompareAndDelete(r.ID, r) {
		r.gone.Store(true)
		o.log.Warn("a running workspace does not answer", "workspace", r.ID)
		o.requestReconcile()
	}
}

// Gone reports whether the workspace no longer runs where the route leads to.
func (r *Route) Gone() bool { return r.gone.Load() }

// putRoute lets requests in to a workspace that runs.
func (o *Orchestrator) putRoute(w *workspace.Workspace) {
	r := o.routeOf(w)
	o.routes.Store(w.ID, r)
	o.up(r)
}

// up tells that the bridge at a route answers from now on, or will soon.
func (o *Orchestrator) up(r *Route) {
	if o.cfg.Up != nil {
		o.cfg.Up(r)
	}
}

// dropRoute lets no further request in, and returns the route that there was, or nil.
func (o *Orchestrator) dropRoute(id workspace.ID) *Route {
	v, ok := o.routes.LoadAndDelete(id)
	if !ok {
		return nil
	}
	r := v.(*Route)
	r.gone.Store(true)
	return r
}

func (o *Orchestrator) routeOf(w *workspace.Workspace) *Route {
	r := &Route{
		ID:     w.ID,
		IDE:    net.JoinHostPort(w.Address, strconv.Itoa(w.IDEPort)),
		Bridge: net.JoinHostPort(w.Address, strconv.Itoa(w.BridgePort)),
		Token:  o.cfg.Token(w.ID),

		container: w.Container, use: o.useOf(w.ID), now: o.now,
	}
	if _, ok := o.cfg.Runtime.(Dialer); ok {
		o.endpoints.Store(r.IDE, endpoint{w.Container, workspace.ContainerIDEPort})
		o.endpoints.Store(r.Bridge, endpoint{w.Container, workspace.ContainerBridgePort})
	}
	return r
}

// endpoint is a port inside a container.
type endpoint struct {
	container string
	port      int
}

// Dial connects to a published port, the address in a [Route], past whatever publishes it where the
// runtime can. It is the DialContext of the transport that carries requests to workspaces.
func (o *Orchestrator) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if v, ok := o.endpoints.Load(addr); ok {
		e := v.(endpoint)
		conn, err := o.cfg.Runtime.(Dialer).Dial(ctx, e.container, e.port)
		if !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, workspace.ErrEngineDown) {
			return conn, err
		}
	}
	return dialer.DialContext(ctx, network, addr)
}

var dialer = &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
