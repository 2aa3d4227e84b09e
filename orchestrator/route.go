package orchestrator

import (
	"net"
	"strconv"

	"github.com/kalpana-dev/kalpana/workspace"
)

// Route is how a running workspace is reached. It is immutable.
type Route struct {
	ID     workspace.ID
	IDE    string // host:port of VS Code
	Bridge string // host:port of the bridge and the previews
	Token  string // what both ports demand

	container string
}

// Route returns the route of a workspace that runs, else nil. It reads memory alone.
func (o *Orchestrator) Route(id workspace.ID) *Route {
	if r, ok := o.routes.Load(id); ok {
		return r.(*Route)
	}
	return nil
}

// Lost says that nothing answers at a route. It is forgotten, unless a newer one took its place,
// and the workspace is looked at.
func (o *Orchestrator) Lost(r *Route) {
	if o.routes.CompareAndDelete(r.ID, r) {
		o.log.Warn("a running workspace does not answer", "workspace", r.ID)
		o.requestReconcile()
	}
}

func (o *Orchestrator) routeOf(w *workspace.Workspace) *Route {
	return &Route{
		ID:     w.ID,
		IDE:    net.JoinHostPort(w.Address, strconv.Itoa(w.IDEPort)),
		Bridge: net.JoinHostPort(w.Address, strconv.Itoa(w.BridgePort)),
		Token:  o.cfg.Token(w.ID),

		container: w.Container,
	}
}
