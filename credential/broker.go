// Package credential decides which repositories a workspace may sign in at with its owner's credentials. Its own it may,
// another one only after its owner has said so in the console. Any process in the container can ask: what it is
// given is good for whatever the credential reaches, which is why the owner is told what that is.
package credential

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/ratelimit"
	"github.com/kalpana-dev/kalpana/workspace"
)

const (
	// maxPending bounds the questions to the owner of one workspace at a time.
	maxPending = 4
	// again is how long a repository that the owner refused is refused without asking.
	again = time.Minute
	// MaxAllowed bounds how long the owner's word holds.
	MaxAllowed = 24 * time.Hour
	// often is how often a workspace may ask in a minute, and atOnce how often at once: each question may be one to a
	// provider that answers so many an hour to all of an installation.
	often  = 10
	atOnce = 60
)

// The faults, in words for whoever ran git.
var (
	ErrRepository = errors.New("this is no repository's address that Kalpana signs in at")
	ErrRefused    = errors.New("the workspace's owner did not allow this repository")
	ErrTooMany    = errors.New("too many repositories wait for the owner's word in the console; answer there first")
	ErrTooOften   = errors.New("git signs in too often in this workspace; wait a minute and try again")
	// ErrAnswered says that a question was answered before, or nobody waits for it any more.
	ErrAnswered = errors.New("this question was answered already, or nobody waits for the answer any more")
)

// Config is what a Broker is made of.
type Config struct {
	// Workspace returns a workspace's record.
	Workspace func(ctx context.Context, id workspace.ID) (*workspace.Workspace, error)
	// Credential returns what signs a person in at a git server; see identity.Service.GitCredential.
	Credential func(ctx context.Context, person, server, path string) (username, password string, err error)
	// Audit notes what was given and refused.
	Audit func(ctx context.Context, e identity.AuditEvent)
	Now   func() time.Time // nil means time.Now
}

// Broker answers workspaces that ask for credentials. Its memory is one gateway's: another one, and this one after it
// was started anew, asks the owner again.
type Broker struct {
	cfg  Config
	asks *ratelimit.Limiter

	mu       sync.Mutex
	pending  map[string]*question
	said     map[target]word
	watchers map[chan struct{}]struct{}
}

// target is one repository in one workspace.
type target struct {
	workspace  workspace.ID
	server     string // as identity.CleanGitServer has it
	repository string // path, without slashes at its ends and without .git
}

// word is what an owner said.
type word struct {
	allowed bool
	until   time.Time
}

// question waits for the owner's word.
type question struct {
	Question
	target  target
	done    chan struct{}
	word    word
	waiting int
}

// Question is what an owner is asked.
type Question struct {
	ID         string
	Owner      string
	Workspace  workspace.ID
	Server     string
	Repository string
	AskedAt    time.Time
}

// New returns a Broker.
func New(cfg Config) *Broker {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Audit == nil {
		cfg.Audit = func(context.Context, identity.AuditEvent) {}
	}
	return &Broker{
		cfg: cfg, asks: ratelimit.New(often, time.Minute, atOnce), pending: map[string]*question{}, said: map[target]word{}, watchers: map[chan struct{}]struct{}{},
	}
}

// Ask returns what signs in at a repository for the owner of a workspace that asks for it. It waits for the owner's word
// where it needs one, as long as ctx.
func (b *Broker) Ask(ctx context.Context, id workspace.ID, p bridge.GitCredentialParams) (bridge.Credential, error) {
	if b.asks.Take(string(id), b.cfg.Now()) > 0 {
		return bridge.Credential{}, ErrTooOften
	}
	w, err := b.cfg.Workspace(ctx, id)
	if err != nil {
		return bridge.Credential{}, err
	}
	t, err := targetOf(id, p)
	if err != nil {
		return bridge.Credential{}, err
	}
	if !own(w, t) {
		if err := b.allowed(ctx, w, t); err != nil {
			b.audit(ctx, w, t, identity.OutcomeRefused)
			return bridge.Credential{}, err
		}
	}
	c := bridge.Credential{}
	c.Username, c.Password, err = b.cfg.Credential(ctx, w.Owner, t.server, t.repository)
	if err != nil {
		return bridge.Credential{}, err
	}
	b.audit(ctx, w, t, identity.OutcomeOK)
	return c, nil
}

func (b *Broker) audit(ctx context.Context, w *workspace.Workspace, t target, outcome string) {
	b.cfg.Audit(ctx, identity.AuditEvent{
		Action: identity.ActionGitCredential, Outcome: outcome, Person: w.Owner, Workspace: w.ID, Via: "workspace",
		Detail: t.server + "/" + t.repository,
	})
}

// targetOf returns the repository that is asked for, in one form.
func targetOf(id workspace.ID, p bridge.GitCredentialParams) (target, error) {
	server, err := identity.CleanGitServer(p.Protocol + "://" + p.Host)
	if err != nil {
		return target{}, ErrRepository
	}
	repository, ok := cleanPath(p.Path)
	if !ok {
		return target{}, ErrRepository
	}
	return target{id, server, repository}, nil
}

// cleanPath returns a repository's path without what git and its extensions put around it. Letters stay as they are:
// to some servers other case is another repository.
func cleanPath(p string) (string, bool) {
	p = strings.Trim(p, "/")
	p, _, _ = strings.Cut(p, "/info/lfs") // large files of the same repository
	p = strings.TrimSuffix(p, ".git")
	return p, p != "" && path.Clean("/"+p) == "/"+p && !strings.ContainsAny(p, "%\\?#")
}

// own reports whether the repository is the one that the workspace was made from.
func own(w *workspace.Workspace, t target) bool {
	u, err := url.Parse(w.Repository)
	if err != nil || w.Repository == "" {
		return false
	}
	server, err := identity.CleanGitServer(u.Scheme + "://" + u.Host)
	repository, ok := cleanPath(u.EscapedPath())
	return err == nil && ok && server == t.server && repository == t.repository
}

// allowed waits for the owner's word, unless they have said it.
func (b *Broker) allowed(ctx context.Context, w *workspace.Workspace, t target) error {
	q, word, err := b.question(w, t)
	if err != nil {
		return err
	}
	if q != nil {
		select {
		case <-q.done:
		case <-ctx.Done():
		}
		word = b.leave(q)
	}
	switch {
	case word.allowed:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%w: nobody answered in the console", ErrRefused)
	}
	return ErrRefused
}

// question returns what the owner said of t before, or the question that waits for it.
func (b *Broker) question(w *workspace.Workspace, t target) (*question, word, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.cfg.Now()
	for known, word := range b.said {
		if !now.Before(word.until) {
			delete(b.said, known)
		}
	}
	if word, ok := b.said[t]; ok {
		return nil, word, nil
	}
	n := 0
	for _, q := range b.pending {
		if q.target == t {
			q.waiting++
			return q, word{}, nil
		}
		if q.Workspace == w.ID {
			n++
		}
	}
	if n >= maxPending {
		return nil, word{}, ErrTooMany
	}
	q := &question{
		Question: Question{
			ID: rand.Text(), Owner: w.Owner, Workspace: w.ID, Server: t.server, Repository: t.repository, AskedAt: now,
		},
		target: t, done: make(chan struct{}), waiting: 1,
	}
	b.pending[q.ID] = q
	b.changed()
	return q, word{}, nil
}

// leave takes one who waits away from a question, and returns the owner's word.
func (b *Broker) leave(q *question) word {
	b.mu.Lock()
	defer b.mu.Unlock()
	if q.waiting--; q.waiting == 0 && b.pending[q.ID] == q {
		delete(b.pending, q.ID)
		b.changed()
	}
	return q.word
}

// Pending returns the questions that wait for a person, oldest first.
func (b *Broker) Pending(person string) []Question {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []Question
	for _, q := range b.pending {
		if q.Owner == person {
			list = append(list, q.Question)
		}
	}
	slices.SortFunc(list, func(a, b Question) int {
		return cmp.Or(a.AskedAt.Compare(b.AskedAt), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// Answer says a person's word on a question of theirs. An allowance holds for the programs that wait, and for so long from
// now on, at most MaxAllowed. ErrAnswered where the question waits no more.
func (b *Broker) Answer(person, id string, allow bool, lasts time.Duration) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.pending[id]
	if q == nil || q.Owner != person {
		return ErrAnswered
	}
	lasts = min(lasts, MaxAllowed)
	if !allow {
		lasts = again
	}
	q.word = word{allow, b.cfg.Now().Add(lasts)}
	if lasts > 0 {
		b.said[q.target] = q.word
	}
	delete(b.pending, id)
	close(q.done)
	b.changed()
	return nil
}

// Forget takes back what was allowed to a workspace.
func (b *Broker) Forget(id workspace.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for t := range b.said {
		if t.workspace == id {
			delete(b.said, t)
		}
	}
}

// Watch returns a channel that tells of changes of what is pending, for whomever, until stop is called.
func (b *Broker) Watch() (changes <-chan struct{}, stop func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := make(chan struct{}, 1)
	b.watchers[c] = struct{}{}
	return c, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.watchers, c)
	}
}

// changed tells the watchers; the caller holds the lock.
func (b *Broker) changed() {
	for c := range b.watchers {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}
