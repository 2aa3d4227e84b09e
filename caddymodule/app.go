package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kalpana-dev/kalpana/api"
	"github.com/kalpana-dev/kalpana/gateway"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/workspace"
)

// App is the Caddy app that owns a Kalpana installation: its store, its runtime, and the life of
// its workspaces. It survives reloads: as long as its configuration stays the same, a reload keeps
// everything that is under way.
type App struct {
	// The address of the console, e.g. https://kalpana.example.com. It must be https, or under
	// .localhost. Default: http://kalpana.localhost:8080.
	Console string `json:"console,omitempty"`
	// The parent domain of the workspaces. Default: ws. + the console's host. A registrable domain
	// of their own keeps workspaces from setting cookies that the console gets.
	Workspaces string `json:"workspaces,omitempty"`
	// Where Kalpana keeps its key, and by default its database. Made with mode 0700 if missing.
	// Default: $KALPANA_DATA_DIR, or kalpana in Caddy's data directory. One gateway uses it at a
	// time.
	DataDir string `json:"data_dir,omitempty"`
	// The workspace image on the engine. Default: kalpana/workspace:latest.
	Image string `json:"image,omitempty"`
	// How many workspaces one person may have; -1 is any number. Default: 5.
	WorkspaceLimit int `json:"workspace_limit,omitempty"`
	// How many workspaces of one person may run or be paused at a time; -1 is any number. Default: 3. Who
	// wakes another one has the longest paused one stopped, or is told which ones run.
	RunningLimit int `json:"running_limit,omitempty"`
	// How many workspaces one gateway brings up at once; -1 is any number. The others wait in line, by
	// turns between people. Default: the number of processors, at least 2.
	StartsAtOnce int `json:"starts_at_once,omitempty"`
	// What the containers' machine keeps for itself.
	Reserve *Reserve `json:"reserve,omitempty"`
	// How widely people may share the ports of their workspaces: private (not at all), members (with
	// whoever is signed in) or public (with anybody, without signing in). It also limits what was
	// shared before. Default: members.
	ShareLimit workspace.ShareLevel `json:"share_limit,omitempty"`
	// The range of ports that containers are published on. Default: 40000 to 50000.
	FirstPort int `json:"first_port,omitempty"`
	LastPort  int `json:"last_port,omitempty"`
	// How long one wake may take. Default: 60s.
	StartTimeout caddy.Duration `json:"start_timeout,omitempty"`
	// How long events of the audit log are kept in the store; negative is for ever. Default: 90d.
	AuditKeep caddy.Duration `json:"audit_keep,omitempty"`
	// What one workspace may use. Default: 4 GiB of memory, 2 CPUs, 2048 processes, 16384 open files,
	// 10 MiB of log, 20 GiB of disk.
	Limits *Limits `json:"limits,omitempty"`
	// When idle workspaces sleep.
	Sleep *Sleep `json:"sleep,omitempty"`
	// What differs for workspaces of some templates, and further templates of other images.
	Templates []*Template `json:"templates,omitempty"`
	// Where the installation's key comes from, and the keyset that encrypts providers' tokens in the
	// store. Default: $KALPANA_KEY and $KALPANA_KEYSET where they are set, else the files key and
	// keyset.json in the data directory.
	Secrets *Secrets `json:"secrets,omitempty"`
	// How often people and programs may ask.
	RateLimits *RateLimits `json:"rate_limits,omitempty"`
	// The agent that people have in their workspaces. Default: on, for those who have a key of their own.
	Agent *Agent `json:"agent,omitempty"`

	// Where records are kept. Default: sqlite.
	StoreRaw json.RawMessage `json:"store,omitempty" caddy:"namespace=kalpana.store inline_key=module"`
	// What runs containers. Default: docker.
	RuntimeRaw json.RawMessage `json:"runtime,omitempty" caddy:"namespace=kalpana.runtime inline_key=module"`
	// How people sign in. Default: link.
	LoginsRaw []json.RawMessage `json:"logins,omitempty" caddy:"namespace=kalpana.login inline_key=method"`
	// Who may enter without an invitation. Default: nobody.
	Access *Access `json:"access,omitempty"`

	log      *slog.Logger
	key      string // in the pool of instances; "" while none is held
	instance *instance
	hosts    *workspace.Hosts
	agent    agentConfig // what Agent comes to
	started  chan struct{}
	stopping chan struct{}

	gateway *gateway.Handler
	api     *api.Handler

	sites   siteList
	servers []*caddyhttp.App // those with sites that Kalpana protects
}

// Limits bound one workspace. Zero means the default, -1 no limit.
type Limits struct {
	Memory    int64   `json:"memory,omitempty"` // bytes, swap included
	CPUs      float64 `json:"cpus,omitempty"`
	PIDs      int64   `json:"pids,omitempty"`
	OpenFiles int64   `json:"open_files,omitempty"`
	LogSize   int64   `json:"log_size,omitempty"` // bytes
	Disk      int64   `json:"disk,omitempty"`     // bytes of volume and container
}

// CaddyModule returns the Caddy module information.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "kalpana", New: func() caddy.Module { return new(App) }}
}

// Provision checks the configuration and takes hold of the instance. It opens nothing.
func (a *App) Provision(ctx caddy.Context) error {
	a.log = ctx.Slogger()
	a.started, a.stopping = make(chan struct{}), make(chan struct{})
	a.sites = siteList{}
	if err := a.setDefaults(); err != nil {
		return err
	}
	var err error
	if a.hosts, err = workspace.NewHosts(a.Console, a.Workspaces); err != nil {
		return fmt.Errorf("kalpana: %w", err)
	}
	if a.agent, err = a.Agent.resolve(); err != nil {
		return fmt.Errorf("kalpana: agent: %w", err)
	}
	a.agent.warn(a.log)
	key, err := a.instanceKey()
	if err != nil {
		return err
	}
	parts, err := a.loadGuests(ctx)
	if err != nil {
		return err
	}
	value, _, err := instances.LoadOrNew(key, func() (caddy.Destructor, error) {
		return newInstance(*a, parts), nil
	})
	if err != nil {
		return err
	}
	a.key, a.instance = key, value.(*instance)
	a.instance.log.swap(a.log.Handler())

	for _, c := range a.instance.collectors() {
		var registered prometheus.AlreadyRegisteredError
		if err := ctx.GetMetricsRegistry().Register(c); err != nil && !errors.As(err, &registered) {
			return err
		}
	}
	events, err := ctx.App("events")
	if err != nil {
		return err
	}
	return events.(*caddyevents.App).On("stopping", eventFunc(func() { a.endStreams() }))
}

// instanceKey is what the instance depends on: the configuration, and what its placeholders stand
// for, of which a hash is enough. A reload after a secret's file was changed so takes effect.
func (a *App) instanceKey() (string, error) {
	text, err := json.Marshal(a)
	if err != nil {
		return "", err
	}
	var values any
	if err := json.Unmarshal(text, &values); err != nil {
		return "", err
	}
	replaced, err := json.Marshal(replaceAll(caddy.NewReplacer(), values))
	return string(text) + " " + identity.Hash(string(replaced)), err
}

// replaceAll replaces the placeholders in every text of decoded JSON.
func replaceAll(repl *caddy.Replacer, value any) any {
	switch v := value.(type) {
	case string:
		return repl.ReplaceAll(v, "")
	case []any:
		for i := range v {
			v[i] = replaceAll(repl, v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = replaceAll(repl, v[name])
		}
	}
	return value
}

func (a *App) setDefaults() error {
	repl := caddy.NewReplacer()
	set := func(field *string, fallback string) {
		if *field = repl.ReplaceAll(*field, ""); *field == "" {
			*field = fallback
		}
	}
	set(&a.Console, "http://kalpana.localhost:8080")
	set(&a.Workspaces, "")
	set(&a.DataDir, repl.ReplaceAll("{env.KALPANA_DATA_DIR}", ""))
	set(&a.Image, "kalpana/workspace:latest")
	if a.FirstPort == 0 && a.LastPort == 0 {
		a.FirstPort, a.LastPort = 40000, 50000
	}
	if a.FirstPort < 1024 || a.LastPort > 65535 || a.LastPort <= a.FirstPort {
		return fmt.Errorf("kalpana: ports %d-%d: give a range within 1024 and 65535 with at least two ports", a.FirstPort, a.LastPort)
	}
	if a.WorkspaceLimit == 0 {
		a.WorkspaceLimit = 5
	}
	if a.RunningLimit == 0 {
		a.RunningLimit = defaultRunningLimit
	}
	if a.StartsAtOnce == 0 {
		a.StartsAtOnce = defaultStartsAtOnce()
	}
	for _, t := range a.Templates {
		set(&t.Image, "")
	}
	if err := a.checkTemplates(); err != nil {
		return err
	}
	if a.ShareLimit == "" {
		a.ShareLimit = workspace.ShareMembers
	}
	if !a.ShareLimit.Valid() {
		return fmt.Errorf("kalpana: share_limit %s: write private, members or public", a.ShareLimit)
	}
	if a.StartTimeout == 0 {
		a.StartTimeout = caddy.Duration(time.Minute)
	}
	if a.StartTimeout < 0 {
		return errors.New("kalpana: start_timeout cannot be negative")
	}
	if a.AuditKeep == 0 {
		a.AuditKeep = caddy.Duration(identity.AuditKeep)
	}
	if a.Limits == nil {
		a.Limits = new(Limits)
	}
	if len(a.StoreRaw) == 0 {
		a.StoreRaw = json.RawMessage(`{"module":"sqlite"}`)
	}
	if len(a.RuntimeRaw) == 0 {
		a.RuntimeRaw = json.RawMessage(`{"module":"docker"}`)
	}
	if len(a.LoginsRaw) == 0 {
		a.LoginsRaw = []json.RawMessage{json.RawMessage(`{"method":"link"}`)}
	}
	return nil
}

func (l *Limits) resolve() orchestrator.Limits {
	return orchestrator.Limits{
		Memory: orDefault(l.Memory, 4<<30), CPUs: orDefault(l.CPUs, 2), PIDs: orDefault(l.PIDs, 2048),
		OpenFiles: orDefault(l.OpenFiles, 16384), LogSize: orDefault(l.LogSize, 10<<20), Disk: orDefault(l.Disk, defaultDisk),
	}
}

// guests are the loaded guest modules.
type guests struct {
	store     Store
	runtime   Runtime
	logins    []Login
	providers []identity.Provider
	access    identity.Access
}

func (a *App) loadGuests(ctx caddy.Context) (guests, error) {
	var g guests
	load := func(field string) (any, error) {
		v, err := ctx.LoadModule(a, field)
		if err != nil {
			return nil, fmt.Errorf("kalpana: %s: %w", strings.ToLower(strings.TrimSuffix(field, "Raw")), err)
		}
		return v, nil
	}
	v, err := load("StoreRaw")
	if err != nil {
		return g, err
	}
	g.store = v.(Store)
	if v, err = load("RuntimeRaw"); err != nil {
		return g, err
	}
	g.runtime = v.(Runtime)
	if v, err = load("LoginsRaw"); err != nil {
		return g, err
	}
	for _, login := range v.([]any) {
		g.logins = append(g.logins, login.(Login))
	}
	if g.access, err = a.Access.parse(); err != nil {
		return g, fmt.Errorf("kalpana: %w", err)
	}
	if g.providers, err = provideLogins(g.logins, g.access); err != nil {
		return g, fmt.Errorf("kalpana: %w", err)
	}
	return g, nil
}

// Start opens the installation, unless it is open already, and lets requests in.
func (a *App) Start() error {
	ballast()
	if err := a.findSites(); err != nil {
		return err
	}
	if err := a.instance.open(); err != nil {
		return fmt.Errorf("kalpana: %w", err)
	}
	i := a.instance
	a.gateway = gateway.New(gateway.Config{
		Hosts: a.hosts, Identity: i.identity, Orchestrator: i.orchestrator, Transport: i.transport,
		Metrics: i.gatewayMetrics, Log: i.logger, Stopping: a.stopping,
		Handoffs: i.limits.openings,
	})
	a.api = api.New(api.Config{
		Hosts: a.hosts, Identity: i.identity, Orchestrator: i.orchestrator, Templates: a.templates(),
		Links: i.linkLogin, Credentials: i.credentials, Bridge: i.bridges.Client, Committer: i.reintroduce, Log: i.logger, Stopping: a.stopping, Site: a.site,
		Limits: api.Limits{
			SignIn: i.limits.signIn, FailedSignIns: i.limits.failedSignIns, Handoff: i.limits.handOff, Requests: i.limits.api,
		},
		Agent: i.agentAPI(), MCP: i.mcp(),
	})
	close(a.started)
	return nil
}

// Stop ends our own event streams; proxied streams go on.
func (a *App) Stop() error {
	a.endStreams()
	return nil
}

func (a *App) endStreams() {
	select {
	case <-a.stopping:
	default:
		close(a.stopping)
	}
}

// Cleanup lets go of the instance. It also runs after a Provision that failed half-way.
func (a *App) Cleanup() error {
	if a.key == "" {
		return nil
	}
	_, err := instances.Delete(a.key)
	a.key = ""
	return err
}

// ready waits until the app has started: Caddy starts apps in any order, so HTTP may be first.
func (a *App) ready(r *http.Request) error { return a.readyFor(r.Context()) }

func (a *App) readyFor(ctx context.Context) error {
	select {
	case <-a.started:
		return nil
	default:
	}
	timer := time.NewTimer(10 * time.Second)
	defer timer.Stop()
	select {
	case <-a.started:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return errors.New("kalpana has not started")
	}
}

func appOf(ctx caddy.Context) (*App, error) {
	v, err := ctx.App("kalpana")
	if err != nil {
		return nil, err
	}
	return v.(*App), nil
}

type eventFunc func()

// Handle implements caddyevents.Handler.
func (f eventFunc) Handle(context.Context, caddy.Event) error { f(); return nil }

var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
