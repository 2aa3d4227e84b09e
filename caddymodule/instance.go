package caddymodule

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kalpana-dev/kalpana/agent"
	"github.com/kalpana-dev/kalpana/agent/budget"
	"github.com/kalpana-dev/kalpana/agent/mcp"
	"github.com/kalpana-dev/kalpana/api"
	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/credential"
	"github.com/kalpana-dev/kalpana/gateway"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/image"
	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/upstream"
	"github.com/kalpana-dev/kalpana/workspace"
)

// instances holds what survives reloads, by configuration.
var instances = caddy.NewUsagePool()

// instance is one open installation. Apps of successive configurations share it.
type instance struct {
	app   App // its configuration only
	parts guests
	id    string // names this gateway in the store
	key   identity.Key

	log    *swapHandler
	logger *slog.Logger

	openOnce sync.Once
	openErr  error

	lock         *dirLock
	store        OpenStore
	runtime      orchestrator.Runtime
	identity     *identity.Service
	budgets      *budget.Budgets
	orchestrator *orchestrator.Orchestrator
	transport    *upstream.Transport
	linkLogin    bool // people can sign in by link
	credentials  *credential.Broker
	links        *links
	bridges      *bridge.Pool // for pages of the console
	limits       limiters

	agents  *agentHost // nil where there are none
	models  *offeredModels
	remotes mcp.Clients  // of other servers, for agents
	runs    atomic.Int64 // of agents, that began with this instance

	gatewayMetrics      *gateway.Metrics
	orchestratorMetrics *orchestrator.Metrics
	storeMetrics        *prometheus.HistogramVec
	agentMetrics        *agent.Metrics

	stop context.CancelFunc
	work sync.WaitGroup
}

func newInstance(app App, parts guests) *instance {
	log := new(swapHandler)
	return &instance{
		app: app, parts: parts, id: rand.Text(), log: log, logger: slog.New(log), limits: app.RateLimits.limiters(),
		gatewayMetrics: gateway.NewMetrics(), orchestratorMetrics: orchestrator.NewMetrics(),
		storeMetrics: newStoreMetrics(), agentMetrics: agent.NewMetrics(),
	}
}

// collectors are what the instance measures.
func (i *instance) collectors() []prometheus.Collector {
	return []prometheus.Collector{i.gatewayMetrics, i.orchestratorMetrics, i.storeMetrics, i.agentMetrics}
}

func (i *instance) open() error {
	i.openOnce.Do(func() { i.openErr = i.doOpen() })
	return i.openErr
}

func (i *instance) doOpen() error {
	a := &i.app
	if err := makeDataDir(a.DataDir); err != nil {
		return err
	}
	var err error
	if i.lock, err = lockDir(a.DataDir); err != nil {
		return err
	}
	if err := refuseRestoring(a.DataDir); err != nil {
		return err
	}
	if i.key, err = a.Secrets.loadKey(a.DataDir); err != nil {
		return err
	}
	sealer, err := a.Secrets.open(a.DataDir)
	if err != nil {
		return err
	}
	hosts, err := workspace.NewHosts(a.Console, a.Workspaces)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	opened, err := i.parts.store.Open(ctx, a.DataDir)
	if err != nil {
		return err
	}
	i.store = meteredStore{opened, i.storeMetrics}
	if err := i.shareKey(ctx, i.key, time.Now()); err != nil {
		return err
	}
	config := identity.Config{
		Store: i.store, Hosts: hosts, Key: i.key, Sealer: sealer, Log: i.logger,
		AuditKeep: time.Duration(a.AuditKeep), ClientAddress: clientAddress,
		Providers: i.parts.providers, Access: i.parts.access, ModelsAt: a.agent.origin(),
	}
	for _, login := range i.parts.logins {
		if link, ok := login.(*LinkLogin); ok {
			i.linkLogin = true
			config.LinkLifetime = time.Duration(link.Lifetime)
		}
	}
	i.identity = identity.New(config)
	if err := i.identity.Load(ctx); err != nil {
		return err
	}
	i.budgets = budget.New(budget.Config{
		Store: i.store, Person: a.agent.PersonBudget, Workspace: a.agent.WorkspaceBudget, Quota: i.identity.Quota,
	})
	i.transport = upstream.New(func(ctx context.Context, network, addr string) (net.Conn, error) {
		return i.orchestrator.Dial(ctx, network, addr)
	}, 90*time.Second)
	name, err := i.name(ctx)
	if err != nil {
		return err
	}
	if i.runtime, err = i.parts.runtime.Open(RuntimeOptions{Instance: name, Image: a.Image, Log: i.logger}); err != nil {
		return err
	}
	i.orchestrator = orchestrator.New(orchestrator.Config{
		Store: i.store, Runtime: i.runtime, Hosts: hosts, Token: i.key.BridgeToken, Image: a.Image, Templates: a.orchestratorTemplates(),
		FirstPort: a.FirstPort, LastPort: a.LastPort, Limits: a.Limits.resolve(), Sleep: a.Sleep.resolve(defaultSleep),
		WorkspaceLimit: a.WorkspaceLimit, RunningLimit: a.RunningLimit, StartsAtOnce: a.StartsAtOnce, Reserve: a.Reserve.resolve(),
		Quota: i.identity.Quota, ShareLimit: a.ShareLimit, Activity: readActivity(i.transport),
		StartTimeout: time.Duration(a.StartTimeout), Transport: i.transport, Log: i.logger, Metrics: i.orchestratorMetrics,
		Drain: drainOf(a.DataDir), Up: func(r *orchestrator.Route) { i.links.up(r) },
	})
	i.credentials = credential.New(credential.Config{
		Workspace: i.store.Workspace, Credential: i.identity.GitCredential, Audit: i.identity.Audit,
	})
	i.bridges = bridge.NewPool(i.running)
	i.links = newLinks(i.endpoint, map[string]bridge.Handler{
		bridge.MethodGitCredential: bridge.HandleGitCredential(i.credentials.Ask),
	}, i.introduce, i.logger)
	i.identity.OnRevocation(func(r identity.Revocation) {
		if r.Workspace != "" {
			i.orchestrator.Invalidate(r.Workspace)
		}
	})
	if err := i.orchestrator.Load(ctx); err != nil {
		return err
	}
	if err := i.endOverLimit(ctx); err != nil {
		return err
	}
	i.orchestrator.Start()
	running, stop := context.WithCancel(context.Background())
	i.stop = stop
	i.work.Go(func() { i.identity.Run(running) })
	i.work.Go(func() { i.keepSharing(running, i.key) })
	return i.joinAgents(ctx)
}

// running returns how the bridge of a workspace is reached that runs.
func (i *instance) running(_ context.Context, id workspace.ID) (bridge.Endpoint, error) {
	r := i.orchestrator.Route(id)
	if r == nil {
		return bridge.Endpoint{}, workspace.ErrNotRunning
	}
	return i.endpoint(r), nil
}

// endpoint is how the bridge at a route is reached.
func (i *instance) endpoint(r *orchestrator.Route) bridge.Endpoint {
	return bridge.Endpoint{Addr: r.Bridge, Token: r.Token, Dial: i.orchestrator.Dial}
}

// clientAddress returns the IP address that Caddy takes a request to come from: with
// trusted_proxies, the one that these vouch for.
func clientAddress(r *http.Request) string {
	address, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	return address
}

// endOverLimit ends what is still open, here or on another gateway, by shares that are wider than the
// limit: the operator has lowered it. New visits see the limit anyway.
func (i *instance) endOverLimit(ctx context.Context) error {
	for _, host := range i.orchestrator.OverLimit() {
		err := i.identity.Revoke(ctx, identity.Revocation{Workspace: host.ID, Label: host.Label()})
		if err != nil {
			return err
		}
	}
	return nil
}

// Destruct closes the installation once no configuration uses it. What is under way is ended in the
// background: operations that people wait for, whose requests are then served, streams, which still need
// what ends them (revocations), and runs of agents, which store what they come to.
func (i *instance) Destruct() error {
	left := i.leaveAgents()
	if i.orchestrator == nil || caddy.Exiting() {
		if i.orchestrator != nil {
			i.orchestrator.Close()
		}
		return errors.Join(left, i.close())
	}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		ctx, cancel := context.WithTimeout(context.Background(), gateway.HoldTime)
		defer cancel()
		i.orchestrator.Finish(ctx)
	}()
	select {
	case <-finished:
		if i.idle() {
			return errors.Join(left, i.close())
		}
	case <-time.After(idleEnd):
	}
	go func() {
		<-finished
		for !i.idle() {
			time.Sleep(100 * time.Millisecond)
		}
		if err := i.close(); err != nil {
			i.logger.Error("closing failed", "error", err)
		}
	}()
	return left
}

// idle reports whether nothing needs the installation any more: no stream, and no run of an agent.
func (i *instance) idle() bool { return i.identity.Open() == 0 && i.runs.Load() == 0 }

// idleEnd is how long a reload waits for an installation to end of which nothing is under way.
const idleEnd = 200 * time.Millisecond

func (i *instance) close() error {
	if i.stop != nil {
		i.stop()
		i.work.Wait()
	}
	if i.bridges != nil {
		i.bridges.Close()
	}
	if i.links != nil {
		i.links.close()
	}
	if i.transport != nil {
		i.transport.CloseIdleConnections()
	}
	if i.models != nil {
		i.models.Close()
	}
	i.remotes.Close()
	if c, ok := i.runtime.(interface{ Close() error }); ok {
		if err := c.Close(); err != nil {
			i.logger.Warn("the runtime could not be closed", "error", err)
		}
	}
	var err error
	if i.store != nil {
		i.endSharing(i.key)
		err = i.store.Close()
	}
	return errors.Join(err, i.lock.release())
}

func templates() []api.Template {
	var list []api.Template
	for _, t := range image.Templates() {
		list = append(list, api.Template{Name: t.Name, Title: t.Title, Description: t.Description, Ports: append([]int{}, t.Ports...)})
	}
	return list
}

// dirLock keeps a second gateway off a data directory. Instances of one process share it.
type dirLock struct {
	path string
	file *os.File
}

var locks = caddy.NewUsagePool()

func lockDir(dir string) (*dirLock, error) {
	path := filepath.Join(dir, "lock")
	v, _, err := locks.LoadOrNew(path, func() (caddy.Destructor, error) {
		f, err := lockFile(dir)
		if err != nil {
			return nil, err
		}
		return &dirLock{path: path, file: f}, nil
	})
	if err != nil {
		return nil, err
	}
	return v.(*dirLock), nil
}

func makeDataDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("the data directory cannot be made: %w; set KALPANA_DATA_DIR to a place that can be written", err)
	}
	return nil
}

// lockFile takes the lock of a data directory until the file is closed or the process ends.
func lockFile(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the data directory %s cannot be written: %w; set KALPANA_DATA_DIR to a place that can", dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("the data directory %s is in use by another gateway: stop that one, or set KALPANA_DATA_DIR to another directory", dir), f.Close())
	}
	return f, nil
}

func (l *dirLock) release() error {
	if l == nil {
		return nil
	}
	_, err := locks.Delete(l.path)
	return err
}

// Destruct unlocks the directory.
func (l *dirLock) Destruct() error { return l.file.Close() }

// swapHandler passes log records on to the logger of the newest configuration: a pooled object
// must not keep an old one.
type swapHandler struct{ current atomic.Pointer[slog.Handler] }

func (s *swapHandler) swap(h slog.Handler) { s.current.Store(&h) }

func (s *swapHandler) get() slog.Handler {
	if h := s.current.Load(); h != nil {
		return *h
	}
	return slog.DiscardHandler
}

// Enabled implements slog.Handler.
func (s *swapHandler) Enabled(ctx context.Context, l slog.Level) bool { return s.get().Enabled(ctx, l) }

// Handle implements slog.Handler.
func (s *swapHandler) Handle(ctx context.Context, r slog.Record) error { return s.get().Handle(ctx, r) }

// WithAttrs implements slog.Handler.
func (s *swapHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &derivedHandler{parent: s, attrs: attrs}
}

// WithGroup implements slog.Handler. Kalpana logs without groups.
func (s *swapHandler) WithGroup(string) slog.Handler { return s }

type derivedHandler struct {
	parent slog.Handler
	attrs  []slog.Attr
}

func (d *derivedHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return d.parent.Enabled(ctx, l)
}

func (d *derivedHandler) Handle(ctx context.Context, r slog.Record) error {
	r = r.Clone()
	r.AddAttrs(d.attrs...)
	return d.parent.Handle(ctx, r)
}

func (d *derivedHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &derivedHandler{parent: d, attrs: attrs}
}

func (d *derivedHandler) WithGroup(string) slog.Handler { return d }

// introduce tells a workspace in whose name its owner commits: with an address that they chose, or that somebody has
// vouched for, or not at all.
func (i *instance) introduce(ctx context.Context, id workspace.ID, c *bridge.Client) {
	w, err := i.store.Workspace(ctx, id)
	if err != nil {
		return // it has just gone
	}
	p, err := i.identity.Person(ctx, w.Owner)
	if err == nil {
		var who bridge.GitIdentity
		if name, email := p.Committer(); email != "" {
			who = bridge.GitIdentity{Name: name, Email: email}
		}
		err = c.SetGitIdentity(ctx, who)
	}
	if err != nil {
		i.logger.Debug("a workspace could not be told whose it is", "workspace", id, "error", err)
	}
}

// reintroduce does that again for those of a person's workspaces that are up, in the background.
func (i *instance) reintroduce(person string) {
	i.links.again(func(ctx context.Context, id workspace.ID) bool {
		w, err := i.store.Workspace(ctx, id)
		return err == nil && w.Owner == person
	})
}
