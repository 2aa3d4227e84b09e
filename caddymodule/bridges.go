package caddymodule

import (
	"context"

	"github.com/kalpana-dev/kalpana/agent/mcp"
	"github.com/kalpana-dev/kalpana/agent/tools"
	"github.com/kalpana-dev/kalpana/api"
	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/workspace"
)

// findBridge returns where a workspace's bridge is, and wakes the workspace if it sleeps.
func (i *instance) findBridge(ctx context.Context, id workspace.ID) (bridge.Endpoint, error) {
	route := i.orchestrator.Route(id)
	if route == nil {
		if err := i.orchestrator.Wake(id).AwaitRoute(ctx); err != nil {
			return bridge.Endpoint{}, err
		}
		if route = i.orchestrator.Route(id); route == nil {
			return bridge.Endpoint{}, workspace.ErrNotRunning
		}
	}
	return bridge.Endpoint{Addr: route.Bridge, Token: route.Token, Dial: i.orchestrator.Dial}, nil
}

// mcp returns what other agents get of the workspaces: the tools that ours has.
func (a *App) mcp() api.MCPConfig {
	if a.agent.Off {
		return api.MCPConfig{}
	}
	return api.MCPConfig{Server: mcp.NewServer(tools.All(), Version, a.instance.logger), Bridge: a.instance.bridges.Client}
}
