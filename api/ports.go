package api

import (
	"context"
	"fmt"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

// Port is how one port of a workspace can be reached.
type Port struct {
	Port      int    `json:"port"`
	URL       string `json:"url" doc:"Where its preview is."`
	Level     string `json:"level" enum:"private,members,public" doc:"Who may open it, as its owner chose: the owner, whoever is signed in, or anybody."`
	Effective string `json:"effective" enum:"private,members,public" doc:"The level that is in force: never wider than cap."`
	Wakes     bool   `json:"wakes" doc:"Whether anybody's visit of a public port wakes the workspace."`
	CORS      bool   `json:"cors" doc:"Whether pages of the workspace's other previews may call it."`
}

// Ports are the ports of a workspace that have settings of their own; every other is private.
type Ports struct {
	Ports []Port `json:"ports" nullable:"false"`
	Cap   string `json:"cap" enum:"private,members,public" doc:"The widest level that the operator allows."`
}

// PortShare is how a port is to be reached.
type PortShare struct {
	Level string `json:"level" enum:"private,members,public"`
	Wakes bool   `json:"wakes,omitempty" doc:"Of a public port only."`
	CORS  bool   `json:"cors,omitempty"`
}

type portInput struct {
	ID   string `path:"id" maxLength:"64" doc:"Workspace id: the first label of its address."`
	Port int    `path:"port" doc:"1024 to 65535, but neither 8080 nor 3001."`
}

type shareInput struct {
	ID   string `path:"id" maxLength:"64" doc:"Workspace id: the first label of its address."`
	Port int    `path:"port" doc:"1024 to 65535, but neither 8080 nor 3001."`
	Body PortShare
}

func (h *Handler) portRoutes() {
	const tag = "ports"
	huma.Register(h.huma, scoped(h.operation("GET", "/api/workspaces/{id}/ports", "listPorts", "List the ports of a workspace that are shared or have other settings", 200, tag), identity.ScopeRead),
		func(ctx context.Context, in *idInput) (*struct{ Body Ports }, error) {
			w, err := h.workspace(ctx, in.ID)
			if err != nil {
				return nil, h.problem(err)
			}
			ports := Ports{Ports: []Port{}, Cap: string(h.cfg.Orchestrator.ShareLimit())}
			for _, s := range w.Shares {
				ports.Ports = append(ports.Ports, h.port(w, s.Port))
			}
			return &struct{ Body Ports }{ports}, nil
		})
	huma.Register(h.huma, scoped(h.operation("PUT", "/api/workspaces/{id}/ports/{port}", "sharePort", "Say who may open a port of a workspace", 200, tag), identity.ScopeWrite),
		func(ctx context.Context, in *shareInput) (*struct{ Body Port }, error) {
			w, err := h.share(ctx, in.ID, workspace.Share{
				Port: in.Port, Level: workspace.ShareLevel(in.Body.Level), Wakes: in.Body.Wakes, CORS: in.Body.CORS,
			})
			if err != nil {
				return nil, h.problem(err)
			}
			return &struct{ Body Port }{h.port(w, in.Port)}, nil
		})
	huma.Register(h.huma, scoped(h.operation("DELETE", "/api/workspaces/{id}/ports/{port}", "unsharePort", "Make a port of a workspace private, without further settings", 204, tag), identity.ScopeWrite),
		func(ctx context.Context, in *portInput) (*struct{}, error) {
			_, err := h.share(ctx, in.ID, workspace.Share{Port: in.Port, Level: workspace.SharePrivate})
			return nil, h.problem(err)
		})
}

func (h *Handler) port(w *workspace.Workspace, port int) Port {
	s, now := w.ShareOf(port), h.cfg.Orchestrator.EffectiveShare(w, port)
	return Port{
		Port: port, URL: h.cfg.Hosts.Origin(workspace.Host{Kind: workspace.HostPreview, ID: w.ID, Port: port}) + "/",
		Level: string(s.Level), Effective: string(now.Level), Wakes: s.Wakes, CORS: s.CORS,
	}
}

// share changes how a port is shared, and tells every gateway. What was open by a share that is wider
// ends; so it does when nothing changes, since an earlier attempt may have come no further.
func (h *Handler) share(ctx context.Context, id string, s workspace.Share) (*workspace.Workspace, error) {
	w, err := h.workspace(ctx, id)
	if err != nil {
		return nil, err
	}
	w, before, err := h.cfg.Orchestrator.Share(ctx, w.Owner, w.ID, s)
	if err != nil {
		return nil, err
	}
	after := w.ShareOf(s.Port)
	if before != after {
		h.done(ctx, identity.ActionShareChange, w.ID, shareChange(before, after))
	}
	ctx = context.WithoutCancel(ctx) // half of it must not stay
	if before.Level.WiderThan(after.Level) || before == after {
		host := workspace.Host{Kind: workspace.HostPreview, ID: w.ID, Port: s.Port}
		return w, h.cfg.Identity.Revoke(ctx, identity.Revocation{Workspace: w.ID, Label: host.Label()})
	}
	return w, h.cfg.Identity.Announce(ctx, w.ID)
}

// shareChange says what became of a port's share, e.g. "port 5000: private → public, wakes".
func shareChange(before, after workspace.Share) string {
	describe := func(s workspace.Share) string {
		text := string(s.Level)
		if s.Wakes {
			text += ", wakes"
		}
		if s.CORS {
			text += ", CORS"
		}
		return text
	}
	return fmt.Sprintf("port %d: %s → %s", after.Port, describe(before), describe(after))
}
