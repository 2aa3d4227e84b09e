package caddymodule

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"

	"github.com/kalpana-dev/kalpana/agent"
	"github.com/kalpana-dev/kalpana/agent/mcp"
	"github.com/kalpana-dev/kalpana/agent/model"
	"github.com/kalpana-dev/kalpana/agent/tools"
	"github.com/kalpana-dev/kalpana/api"
	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/workspace"
)

// agents are the agents that run, by data directory. They outlive configurations: a run goes on when another
// configuration takes over, and who asks there finds it.
var agents = caddy.NewUsagePool()

// agentHost is what the agents of one data directory run on. Where they reach workspaces it is through the newest
// instance that is open.
type agentHost struct {
	holder  string // names this gateway in the store, over restarts
	service *agent.Service
	pool    *bridge.Pool

	mu   sync.Mutex
	open []*instance // the newest last
	busy map[*agentHold]struct{}
}

// agentHold keeps a workspace awake, on whichever instance is the newest.
type agentHold struct {
	id      workspace.ID
	release func()
}

// joinAgents opens the agents for an instance, unless its configuration turns them off.
func (i *instance) joinAgents(ctx context.Context) error {
	c := i.app.agent
	if c.Off {
		return nil
	}
	client, err := model.New(model.Config{BaseURL: c.BaseURL, Key: c.Key})
	if err != nil {
		return err
	}
	i.models = &offeredModels{client, c}
	remotes := make([]mcp.Remote, 0, len(c.MCP))
	for _, s := range c.MCP {
		remotes = append(remotes, mcp.Remote{Name: s.Name, URL: s.URL, Headers: s.Headers})
	}
	i.remotes = mcp.ConnectAll(remotes, i.logger)
	i.agentMetrics.Offer(client.Provider(), c.Models)
	holder, err := gatewayName(i.app.DataDir)
	if err != nil {
		return err
	}
	v, _, err := agents.LoadOrNew(i.app.DataDir, func() (caddy.Destructor, error) {
		h := &agentHost{holder: holder, busy: map[*agentHold]struct{}{}}
		h.pool = bridge.NewPool(h.endpoint)
		return h, nil
	})
	if err != nil {
		return err
	}
	i.agents = v.(*agentHost)
	return i.agents.join(ctx, i)
}

// leaveAgents leaves the agents to the instance that took over, or ends their runs where there is none.
func (i *instance) leaveAgents() error {
	if i.agents == nil {
		return nil
	}
	_, err := agents.Delete(i.app.DataDir) // before, so that what ends can still reach its workspace
	i.agents.leave(i)
	i.agents = nil
	return err
}

func (h *agentHost) join(ctx context.Context, i *instance) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open = append(h.open, i)
	if h.service != nil {
		h.use()
		return nil
	}
	h.service = agent.New(h.config(i))
	return h.service.Start(ctx)
}

func (h *agentHost) leave(i *instance) {
	h.mu.Lock()
	defer h.mu.Unlock()
	newest := h.open[len(h.open)-1] == i
	h.open = slices.DeleteFunc(h.open, func(o *instance) bool { return o == i })
	if newest && len(h.open) > 0 {
		h.use() // since i did not come up
	}
}

// use has everything go through the newest instance; the caller holds the lock.
func (h *agentHost) use() {
	newest := h.open[len(h.open)-1]
	h.service.Configure(h.config(newest))
	for hold := range h.busy {
		release := hold.release
		hold.release = newest.orchestrator.Busy(hold.id, orchestrator.ActivityAgent)
		release()
	}
}

// Destruct interrupts the runs, which can be continued once there is a gateway again.
func (h *agentHost) Destruct() error {
	h.service.Close()
	h.pool.Close()
	return nil
}

// config returns what the agents are like with an instance. A run keeps it until it ends, and the instance's store is
// not closed before.
func (h *agentHost) config(i *instance) agent.Config {
	c := i.app.agent
	return agent.Config{
		Store: i.store, Model: i.models, Budget: i.budgets, Tools: tools.All(), Bridge: h.pool.Client, Find: i.store.Workspace,
		Busy: func(id workspace.ID) func() {
			i.runs.Add(1)
			release := h.hold(id)
			return func() {
				release()
				i.runs.Add(-1)
			}
		},
		Extra:   func(ctx context.Context, _ agent.Person) []tools.Tool { return i.remotes.Tools(ctx) },
		Allowed: i.mayWork, Person: i.agentPerson,
		Rules: c.Rules, DefaultModel: c.DefaultModel, DefaultMode: c.Mode, MaxSteps: c.MaxSteps, MaxTime: c.MaxTime,
		Metrics: i.agentMetrics, Log: i.logger, Holder: h.holder,
	}
}

// agentPerson tells the agents of a person as of now.
func (i *instance) agentPerson(ctx context.Context, id string) (agent.Person, error) {
	p, err := i.identity.Person(ctx, id)
	if err != nil {
		return agent.Person{}, err
	}
	key := ""
	if i.app.agent.OwnKeys {
		key, err = i.identity.ModelKey(ctx, id)
	}
	return api.AgentPerson(p, key), err
}

// mayWork returns why a person's agent may no longer work in a workspace.
func (i *instance) mayWork(ctx context.Context, person string, id workspace.ID) error {
	p, err := i.identity.Person(ctx, person)
	if err != nil {
		return err
	}
	if p.Disabled {
		return identity.ErrDisabled
	}
	_, err = i.orchestrator.Get(ctx, person, id)
	return err
}

// hold keeps a workspace awake until the function that it returns is called.
func (h *agentHost) hold(id workspace.ID) (release func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.open) == 0 {
		return func() {}
	}
	hold := &agentHold{id: id, release: h.newest().orchestrator.Busy(id, orchestrator.ActivityAgent)}
	h.busy[hold] = struct{}{}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.busy, hold)
		hold.release()
	}
}

// newest returns the instance that workspaces are reached through; the caller holds the lock.
func (h *agentHost) newest() *instance { return h.open[len(h.open)-1] }

// endpoint returns where the bridge of a workspace is, and wakes the workspace if it sleeps.
func (h *agentHost) endpoint(ctx context.Context, id workspace.ID) (bridge.Endpoint, error) {
	h.mu.Lock()
	if len(h.open) == 0 {
		h.mu.Unlock()
		return bridge.Endpoint{}, workspace.ErrShuttingDown
	}
	newest := h.newest()
	h.mu.Unlock()
	o := newest.orchestrator
	route := o.Route(id)
	if route == nil {
		if err := o.Wake(id).AwaitRoute(ctx); err != nil {
			return bridge.Endpoint{}, err
		}
		if route = o.Route(id); route == nil {
			return bridge.Endpoint{}, workspace.ErrNotRunning
		}
	}
	return newest.endpoint(route), nil
}

// agentAPI is what the console's API needs of the agents.
func (i *instance) agentAPI() api.AgentConfig {
	c := api.AgentConfig{OwnKeys: i.app.agent.OwnKeys, Key: i.identity.ModelKey, Budgets: i.budgets}
	if i.agents != nil {
		c.Service, c.Models = i.agents.service, i.models.Models
		c.Configured, c.CheckKey = i.models.Configured(), i.models.Check
	}
	return c
}

// mcp is what other agents get of the workspaces: the tools that ours has.
func (i *instance) mcp() api.MCPConfig {
	if i.agents == nil {
		return api.MCPConfig{}
	}
	return api.MCPConfig{Server: mcp.NewServer(tools.All(), Version, i.logger), Bridge: i.agents.pool.Client}
}

// offeredModels are the models of a provider that the operator offers.
type offeredModels struct {
	*model.Client
	agent agentConfig
}

// Models implements agent.Model: what the operator names in their order, or all that can be used.
func (m *offeredModels) Models(ctx context.Context) ([]model.Info, error) {
	all, err := m.Client.Models(ctx)
	if len(m.agent.Models) == 0 {
		return slices.DeleteFunc(all, func(info model.Info) bool { return !info.Tools }), err
	}
	offered := make([]model.Info, 0, len(m.agent.Models))
	for _, id := range m.agent.Models {
		info := model.Info{ID: id, Name: id, Tools: true} // what the provider does not list it may have nevertheless
		if i := slices.IndexFunc(all, func(info model.Info) bool { return info.ID == id }); i >= 0 {
			info = all[i]
		}
		offered = append(offered, info)
	}
	return offered, ctx.Err()
}

// Stream implements agent.Model. The provider may answer with another of the models, where the operator wants that.
func (m *offeredModels) Stream(ctx context.Context, req *model.Request, show func(model.Delta)) (*model.Response, error) {
	if m.agent.Fallbacks {
		r := *req
		r.Models = slices.Clone(req.Models)
		for _, id := range m.agent.Models {
			if !slices.Contains(r.Models, id) {
				r.Models = append(r.Models, id)
			}
		}
		req = &r
	}
	return m.Client.Stream(ctx, req, show)
}

// gatewayName returns what this data directory's gateway calls itself where several are on one store: what it left
// undone when it was killed is its own to take up.
func gatewayName(dataDir string) (string, error) {
	path := filepath.Join(dataDir, "gateway")
	text, err := os.ReadFile(path)
	if name := strings.TrimSpace(string(text)); err == nil && name != "" {
		return name, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	name := strings.ToLower(rand.Text())
	return name, os.WriteFile(path, []byte(name+"\n"), 0o600)
}
