package agent

import (
	"context"
	"crypto/rand"
	"log/slog"
	"sync"
	"time"

	"github.com/kalpana-dev/kalpana/agent/approval"
	"github.com/kalpana-dev/kalpana/agent/budget"
	"github.com/kalpana-dev/kalpana/agent/model"
	"github.com/kalpana-dev/kalpana/agent/tools"
	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/workspace"
)

// Model is where answers come from; package model has the one of OpenRouter.
type Model interface {
	// Stream asks for the next message, and calls show with the pieces as they come. The error is a *model.Error,
	// or ctx's.
	Stream(ctx context.Context, req *model.Request, show func(model.Delta)) (*model.Response, error)
	// Models returns those that are offered, the default first.
	Models(ctx context.Context) ([]model.Info, error)
}

// Budget bounds what is spent; package budget has the real one.
type Budget interface {
	// Reserve asks for a call of a model that uses about as much as the estimate. The error is a *budget.Spent where
	// a bound is reached. settle says what it came to, and has to be called once.
	Reserve(ctx context.Context, who budget.Who, estimate model.Usage) (settle func(ctx context.Context, used model.Usage) error, err error)
	Left(ctx context.Context, who budget.Who) (budget.Left, error)
}

// Person is who a run is for.
type Person struct {
	ID    string
	Name  string // for commits
	Email string // likewise
	Key   string // the person's own key for the model's provider, or "" for the installation's
}

// Config of a Service. Store, Model, Bridge and Find are needed.
type Config struct {
	Store  Store
	Model  Model
	Budget Budget // nil bounds nothing
	Tools  []tools.Tool
	// Extra returns further tools for a person (those of MCP servers), or nil.
	Extra func(ctx context.Context, p Person) []tools.Tool
	// Bridge connects to a workspace, and wakes it if it sleeps.
	Bridge func(ctx context.Context, id workspace.ID) (*bridge.Client, error)
	// Busy says that a workspace is in use until release is called; nil says it to nobody.
	Busy func(id workspace.ID) (release func())
	Find func(ctx context.Context, id workspace.ID) (*workspace.Workspace, error)
	// Allowed tells, before each call of a model and every two seconds, whether a person may still work in a workspace;
	// its error ends the run, and its text is for the person. workspace.ErrStoreDown is no answer. nil allows.
	Allowed func(ctx context.Context, person string, id workspace.ID) error
	// Person tells of a person as of now: a turn that was queued begins with that, and not with what was sent before it.
	// nil knows no better.
	Person func(ctx context.Context, id string) (Person, error)
	// Decide is approval.Decide where it is nil.
	Decide func(call approval.Call, mode approval.Mode, rules ...approval.Rule) approval.Decision
	// Rules are the operator's.
	Rules []approval.Rule
	// Models is Model.Models where it is nil.
	Models       func(ctx context.Context) ([]model.Info, error)
	DefaultModel string        // "" is the first that is offered
	DefaultMode  approval.Mode // "" is ask-writes
	MaxSteps     int           // calls of the model in one run; 0 is DefaultMaxSteps
	MaxTime      time.Duration // of one run; 0 is DefaultMaxTime
	Metrics      *Metrics      // nil counts nothing
	Log          *slog.Logger
	Now          func() time.Time // nil is time.Now
	// Holder names this gateway in the store. A gateway that is started anew may have the same name as before.
	Holder string
}

// Limits of a run, where the operator sets none.
const (
	DefaultMaxSteps = 100
	DefaultMaxTime  = time.Hour
)

// Service runs the chats of an installation. There is one in a gateway, and it outlives the configuration.
type Service struct {
	holder string
	ctx    context.Context //nolint:containedctx // That of everything that goes on in the background.
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu       sync.Mutex
	cfg      Config
	runs     map[string]*Run // by chat; nil where one is about to begin
	memories map[string]*memory
	closed   bool
}

// memory is what is remembered of a chat between its runs, while the gateway lives.
type memory struct {
	seen *tools.Seen
	used time.Time

	mu     sync.Mutex
	nearby map[string]bool // folders whose AGENTS.md the model was told, or that have none
}

// maxMemories bounds the chats of which something is remembered.
const maxMemories = 1000

// New returns a Service that has to be started, and closed.
func New(cfg Config) *Service {
	s := &Service{runs: map[string]*Run{}, memories: map[string]*memory{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if s.holder = cfg.Holder; s.holder == "" {
		s.holder = rand.Text()
	}
	s.Configure(cfg)
	return s
}

// Configure replaces the configuration, but for Holder. Runs that are under way keep the one that they began with.
func (s *Service) Configure(cfg Config) {
	if cfg.Decide == nil {
		cfg.Decide = approval.Decide
	}
	if cfg.Models == nil && cfg.Model != nil {
		cfg.Models = cfg.Model.Models
	}
	if cfg.DefaultMode == "" {
		cfg.DefaultMode = approval.AskWrites
	}
	if cfg.MaxSteps <= 0 {
		cfg.MaxSteps = DefaultMaxSteps
	}
	if cfg.MaxTime <= 0 {
		cfg.MaxTime = DefaultMaxTime
	}
	if cfg.Budget == nil {
		cfg.Budget = unbounded{}
	}
	if cfg.Busy == nil {
		cfg.Busy = func(workspace.ID) func() { return func() {} }
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg = cfg
}

func (s *Service) config() Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg
}

// unbounded is no budget.
type unbounded struct{}

func (unbounded) Reserve(context.Context, budget.Who, model.Usage) (func(context.Context, model.Usage) error, error) {
	return func(context.Context, model.Usage) error { return nil }, nil
}

func (unbounded) Left(context.Context, budget.Who) (budget.Left, error) { return budget.Left{}, nil }

// DefaultMode is what new chats ask for where nobody chose.
func (s *Service) DefaultMode() approval.Mode { return s.config().DefaultMode }

// Start marks what a gateway that is gone left behind as interrupted, now and from time to time.
func (s *Service) Start(ctx context.Context) error {
	if err := s.recover(ctx); err != nil {
		return err
	}
	s.work.Go(func() {
		tick := time.NewTicker(beatEvery)
		defer tick.Stop()
		for {
			select {
			case <-s.ctx.Done():
				return
			case <-tick.C:
			}
			if err := s.recover(s.ctx); err != nil && s.ctx.Err() == nil {
				s.config().Log.Warn("chats whose gateway is gone cannot be looked for", "error", err)
			}
		}
	})
	return nil
}

// Close interrupts the runs, so that they can be continued, and waits for their end.
func (s *Service) Close() {
	s.mu.Lock()
	s.closed = true
	var ending []*Run
	for _, r := range s.runs {
		if r != nil {
			ending = append(ending, r)
		}
	}
	s.mu.Unlock()
	s.cancel()
	for _, r := range ending {
		r.cancel(errClosing)
	}
	for _, r := range ending {
		<-r.done
	}
	s.work.Wait()
}

func (s *Service) closing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Run returns the run of a chat that is under way in this gateway, or nil.
func (s *Service) Run(chat string) *Run {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runs[chat]
}

// runsOf returns how many runs of a person are under way in this gateway.
func (s *Service) runsOf(person string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.runs {
		if r != nil && r.person.ID == person {
			n++
		}
	}
	return n
}

// take keeps a chat for one run.
func (s *Service) take(chat string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if _, taken := s.runs[chat]; taken {
		return ErrRunning
	}
	s.runs[chat] = nil
	return nil
}

// giveUp ends what take began, where there comes no run.
func (s *Service) giveUp(chat string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.runs[chat] == nil {
		delete(s.runs, chat)
	}
}

// install makes r the run of its chat. It is false where the gateway shuts down.
func (s *Service) install(r *Run) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.runs[r.chat] = r
	return true
}

// release lets another run of the chat begin.
func (s *Service) release(r *Run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.runs[r.chat] == r {
		delete(s.runs, r.chat)
	}
}

// here reports whether a chat is at work, or about to be, in this gateway.
func (s *Service) here(chat string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, here := s.runs[chat]
	return here
}

// remember returns the memory of a chat.
func (s *Service) remember(chat string) *memory {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.memories[chat]
	if m == nil {
		if len(s.memories) >= maxMemories {
			oldest := ""
			for id, other := range s.memories {
				if oldest == "" || other.used.Before(s.memories[oldest].used) {
					oldest = id
				}
			}
			delete(s.memories, oldest)
		}
		m = &memory{seen: new(tools.Seen), nearby: map[string]bool{}}
		s.memories[chat] = m
	}
	m.used = s.cfg.Now()
	return m
}
