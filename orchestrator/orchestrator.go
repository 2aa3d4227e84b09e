// Package orchestrator moves workspaces through their states: it creates, wakes, stops and deletes
// them, gives them ports, and keeps records and containers in agreement.
//
// One operation at a time concerns a workspace. Within a process an operation is joined or waited
// for (see operation.go); across gateways it holds a lease in the store, renewed while it runs, so
// that a gateway that was killed blocks a workspace for seconds only. Every change of a record is
// a guarded write.
package orchestrator

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// Config is what an Orchestrator is made of. Store, Runtime, Hosts, Token and Image are needed.
type Config struct {
	Store   Store
	Runtime Runtime
	Hosts   *workspace.Hosts
	// Token returns the token that a workspace's published ports demand.
	Token func(workspace.ID) string
	// Image is the reference of the workspace image. A workspace made from another one gets a new
	// container, on its old volume, at its next wake.
	Image string
	// Templates are what a new workspace may be made from.
	Templates []Template
	// Address is the host address that ports are published on; "" means 127.0.0.1.
	Address string
	// FirstPort and LastPort bound the published ports; 0 means 40000 and 50000.
	FirstPort, LastPort int
	// Limits of each container.
	Limits Limits
	// Sleep is when workspaces sleep, unless their template says otherwise.
	Sleep Sleep
	// Activity asks a container what was done in it; nil means that none is asked.
	Activity func(context.Context, *Route) (Activity, error)
	// Up is told of each workspace that runs from now on, and of one that is being started: its bridge answers
	// before VS Code does. It must not wait. nil means that nobody is told.
	Up func(*Route)
	// WorkspaceLimit is how many workspaces one person may have; 0 means 5, less than 0 any number.
	WorkspaceLimit int
	// RunningLimit is how many workspaces of one person may run or be paused at a time; less than 1 is any
	// number.
	RunningLimit int
	// Quota returns what is different for one person, quickly: a wake waits for it. nil means nothing is.
	Quota func(ctx context.Context, person string) (workspace.Quota, error)
	// StartsAtOnce is how many workspaces this process brings up at a time; less than 1 is any number.
	StartsAtOnce int
	// Reserve is what the containers' machine keeps for itself: nothing is started that would take of it.
	Reserve Reserve
	// ShareLimit is how widely ports may be shared; "" means ShareMembers.
	ShareLimit workspace.ShareLevel
	// StartTimeout bounds one wake; 0 means 60 s.
	StartTimeout time.Duration
	// StopGrace is how long a container may take to end by itself; 0 means 10 s.
	StopGrace time.Duration
	// Transport carries the readiness request; nil means http.DefaultTransport.
	Transport http.RoundTripper
	Log       *slog.Logger
	Metrics   *Metrics
	// Drain outlives the orchestrator where the process keeps it; nil means one of its own.
	Drain *Drain
}

// Template is what a workspace may be made from.
type Template struct {
	Name  string
	Image string          // "" means [Config.Image]
	Sleep *Sleep          // when its workspaces sleep; nil means [Config.Sleep]
	Quota workspace.Quota // of each of its workspaces; zero fields are the installation's
}

// timing is what tests shorten.
type timing struct {
	lease        time.Duration // how long a gateway that was killed blocks a workspace
	leaseRenewal time.Duration
	leasePoll    time.Duration // between two attempts to get one that another gateway holds
	reconcile    time.Duration
	liveness     time.Duration // between two looks at a container that is starting
	startLog     time.Duration // between two looks at the log of a container that is starting
	idle         time.Duration // between two looks at what is awake
	questions    time.Duration // between two looks for questions of other gateways, while there are others
	answer       time.Duration // how long a question and its answers hold at most
}

var defaultTiming = timing{
	lease: 10 * time.Second, leaseRenewal: 3 * time.Second, leasePoll: 100 * time.Millisecond,
	reconcile: 30 * time.Second, liveness: 5 * time.Second,
	startLog: time.Second, idle: 5 * time.Second, questions: 500 * time.Millisecond, answer: 30 * time.Second,
}

// Orchestrator owns the life of every workspace. Its methods are safe for concurrent use.
type Orchestrator struct {
	cfg    Config
	log    *slog.Logger
	holder string // names this process in leases
	client *http.Client
	timing timing
	now    func() time.Time // by which workspaces sleep

	ctx    context.Context // of the operations; ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup

	queue    *queue
	disks    diskWatch
	deciding turnstile // person → one at a time decides on what of theirs may run

	routes sync.Map // workspace.ID → *Route, of those that run
	known  sync.Map // workspace.ID → *known
	uses   uses
	hub    hub

	endpoints sync.Map // published address → endpoint, where the runtime is a Dialer

	mu        sync.Mutex
	closed    bool
	ops       map[workspace.ID]*Operation
	busyPorts map[int]time.Time              // found to be taken by programs that are not ours
	settling  map[workspace.ID]chan struct{} // that another gateway is about to let sleep
	adoptions map[workspace.ID]*bool         // under way; whether something newer happened to the workspace
	reconcile chan struct{}

	peers      atomic.Int32 // other gateways that live
	attending  batch        // asks containers and writes down activity
	resting    batch        // lets workspaces sleep
	unfinished atomic.Bool  // the newest reconcile left something to be looked at again soon
}

// New returns an Orchestrator that can serve; Start lets it watch and repair as well.
func New(cfg Config) *Orchestrator {
	if cfg.Address == "" {
		cfg.Address = "127.0.0.1"
	}
	if cfg.FirstPort == 0 {
		cfg.FirstPort = 40000
	}
	if cfg.LastPort == 0 {
		cfg.LastPort = 50000
	}
	if cfg.WorkspaceLimit == 0 {
		cfg.WorkspaceLimit = 5
	}
	if cfg.ShareLimit == "" {
		cfg.ShareLimit = workspace.ShareMembers
	}
	if cfg.StartTimeout == 0 {
		cfg.StartTimeout = 60 * time.Second
	}
	if cfg.StopGrace == 0 {
		cfg.StopGrace = 10 * time.Second
	}
	if cfg.Transport == nil {
		cfg.Transport = http.DefaultTransport
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics()
	}
	if cfg.Drain == nil {
		cfg.Drain = new(Drain)
	}
	cfg.Runtime = metered(cfg.Runtime, cfg.Metrics)
	ctx, cancel := context.WithCancel(context.Background())
	o := &Orchestrator{
		cfg: cfg, log: cfg.Log, holder: rand.Text(),
		client: &http.Client{Transport: cfg.Transport},
		timing: defaultTiming, now: time.Now,
		hub: hub{
			watchers: map[*watcher]struct{}{}, last: map[workspace.ID]*workspace.Workspace{},
			watched: map[workspace.ID]*workspace.Workspace{},
		},
		ctx: ctx, cancel: cancel,
		disks: diskWatch{every: diskInterval},
		queue: newQueue(cfg.StartsAtOnce, func(n int) { cfg.Metrics.queued.Set(float64(n)) }),
		ops:   map[workspace.ID]*Operation{}, busyPorts: map[int]time.Time{}, adoptions: map[workspace.ID]*bool{},
		settling: map[workspace.ID]chan struct{}{}, attending: newBatch(), resting: newBatch(),
		reconcile: make(chan struct{}, 1),
	}
	o.showDraining()
	return o
}

// Start watches the engine and reconciles: at once, whenever the engine's event stream was
// interrupted or another gateway is gone, and every 30 seconds. An engine that is down is tried again by
// itself. From then on idle workspaces sleep, and schedules are followed.
func (o *Orchestrator) Start() {
	o.work.Go(func() { o.cfg.Runtime.Watch(o.ctx, o.containerChanged, o.requestReconcile) })
	o.work.Go(o.reconcileLoop)
	o.work.Go(o.gatewayLoop)
	o.work.Go(o.sleepLoop)
	o.work.Go(o.watchDisks)
	o.requestReconcile()
}

// Finish begins nothing any more, waits for the operations under way, or for ctx, and then closes: another
// Orchestrator, with another configuration, has taken over, and what people wait for is not cut short.
func (o *Orchestrator) Finish(ctx context.Context) {
	o.mu.Lock()
	o.closed = true
	under := slices.Collect(maps.Values(o.ops))
	o.mu.Unlock()
	for _, op := range under {
		_ = op.Wait(ctx)
	}
	o.Close()
}

// Close ends every operation under way and waits for it; later ones fail with ErrShuttingDown.
// Containers run on; the next Start finds them.
func (o *Orchestrator) Close() {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	o.cancel()
	o.work.Wait()
	o.hub.close()
}

// Metrics returns the collectors of this orchestrator.
func (o *Orchestrator) Metrics() *Metrics { return o.cfg.Metrics }

// NewWorkspace is what a person says of a workspace to be made.
type NewWorkspace struct {
	Owner, Name, Template, Repository string
}

// Create makes the record of a workspace. Its container comes with the first wake. Errors:
// ErrInvalidName, ErrInvalidRepo, ErrUnknownTemplate, ErrLimit, or the store's.
func (o *Orchestrator) Create(ctx context.Context, n NewWorkspace) (*workspace.Workspace, error) {
	name, err := workspace.CleanName(n.Name)
	if err != nil {
		return nil, err
	}
	repository, err := workspace.CleanRepository(n.Repository)
	if err != nil {
		return nil, err
	}
	if _, ok := o.template(n.Template); !ok {
		return nil, workspace.ErrUnknownTemplate
	}
	quota, err := o.QuotaOf(ctx, n.Owner)
	if err != nil {
		return nil, err
	}
	for {
		now := recordTime(o.now())
		w := &workspace.Workspace{
			ID: workspace.NewID(), Owner: n.Owner, Name: name, Template: n.Template, Repository: repository,
			State: workspace.StateStopped, StateSince: now, Desired: workspace.StateStopped,
			Revision: 1, CreatedAt: now, UpdatedAt: now,
		}
		err := o.cfg.Store.CreateWorkspace(ctx, w, quota.Workspaces)
		if errors.Is(err, workspace.ErrConflict) {
			continue // the id was used before
		}
		if err != nil {
			return nil, err
		}
		o.publish(w)
		return w, nil
	}
}

// notTheirsError reads as workspace.ErrNotFound, so that ids cannot be probed; it is
// workspace.ErrForbidden as well, for the audit log.
type notTheirsError struct{}

func (notTheirsError) Error() string { return workspace.ErrNotFound.Error() }

func (notTheirsError) Is(target error) bool {
	return target == workspace.ErrNotFound || target == workspace.ErrForbidden
}

// Get returns the record of a workspace that person may see; one that is somebody else's is
// ErrNotFound as well (and ErrForbidden, which nobody is told).
func (o *Orchestrator) Get(ctx context.Context, person string, id workspace.ID) (*workspace.Workspace, error) {
	w, err := o.cfg.Store.Workspace(ctx, id)
	if err != nil {
		return nil, err
	}
	if w.Owner != person {
		return nil, notTheirsError{}
	}
	return w, nil
}

// List returns the records of a person's workspaces, oldest first.
func (o *Orchestrator) List(ctx context.Context, person string) ([]*workspace.Workspace, error) {
	return o.cfg.Store.Workspaces(ctx, person)
}

// Rename gives a workspace another name.
func (o *Orchestrator) Rename(ctx context.Context, person string, id workspace.ID, name string) (*workspace.Workspace, error) {
	name, err := workspace.CleanName(name)
	if err != nil {
		return nil, err
	}
	if _, err := o.Get(ctx, person, id); err != nil {
		return nil, err
	}
	return o.update(ctx, id, func(w *workspace.Workspace) error {
		w.Name = name
		return nil
	})
}

// update applies change to the newest record until the guarded write succeeds. An error of change
// ends it and is returned.
func (o *Orchestrator) update(ctx context.Context, id workspace.ID, change func(*workspace.Workspace) error) (*workspace.Workspace, error) {
	for {
		w, err := o.cfg.Store.Workspace(ctx, id)
		if err != nil {
			return nil, err
		}
		if err := change(w); err != nil {
			return nil, err
		}
		err = o.cfg.Store.UpdateWorkspace(ctx, w)
		if errors.Is(err, workspace.ErrConflict) {
			continue
		}
		if err != nil {
			return nil, err
		}
		o.publish(w)
		return w, nil
	}
}
