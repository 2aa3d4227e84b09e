package identity

import (
	"context"
	"math/rand/v2"
	"sync"

	"github.com/kalpana-dev/kalpana/workspace"
)

// streams are the requests under way, so that a revocation can end them. It is sharded since every
// request passes through.
type streams struct {
	shards [16]struct {
		sync.Mutex
		open map[*stream]struct{}
	}
}

// stream is a request that holds a grant, and its context, which ends with the request's own or with the
// grant. Every request passes through: it is half of what context.WithCancel costs, and less to whoever asks
// for AfterFunc alone.
type stream struct {
	context.Context
	grant Grant

	mu    sync.Mutex
	err   error
	done  chan struct{}            // made when it is asked for
	after map[*afterwards]struct{} // made when there are several
	first *afterwards
}

// afterwards is a function to be called when a stream ends.
type afterwards struct{ f func() }

// Done implements context.Context.
func (s *stream) Done() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done == nil {
		s.done = make(chan struct{})
		if s.err != nil {
			close(s.done)
		}
	}
	return s.done
}

// Err implements context.Context.
func (s *stream) Err() error {
	if err := s.Context.Err(); err != nil {
		s.end(err) // which is about to be called
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// AfterFunc does what [context.AfterFunc] says, which asks contexts for it.
func (s *stream) AfterFunc(f func()) (stop func() bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		go f()
		return func() bool { return false }
	}
	a := &afterwards{f}
	if s.first == nil {
		s.first = a
	} else {
		if s.after == nil {
			s.after = map[*afterwards]struct{}{}
		}
		s.after[a] = struct{}{}
	}
	return func() bool { return s.forget(a) }
}

func (s *stream) forget(a *afterwards) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first == a {
		s.first = nil
		return true
	}
	_, ok := s.after[a]
	delete(s.after, a)
	return ok
}

func (s *stream) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	s.err = err
	if s.done != nil {
		close(s.done)
	}
	if s.first != nil {
		go s.first.f()
	}
	for a := range s.after {
		go a.f()
	}
	s.first, s.after = nil, nil
}

// Hold returns a context that ends when the grant does, within seconds, and a function that must be
// called when the request is over.
func (s *Service) Hold(ctx context.Context, g Grant) (context.Context, func()) {
	st := &stream{Context: ctx, grant: g}
	shard := &s.streams.shards[rand.IntN(len(s.streams.shards))] //nolint:gosec // spreads locking, no more
	shard.Lock()
	if shard.open == nil {
		shard.open = map[*stream]struct{}{}
	}
	shard.open[st] = struct{}{}
	shard.Unlock()
	detach := context.AfterFunc(ctx, func() { st.end(ctx.Err()) })
	if s.revoked.Load().ends(g) { // by a revocation that came between the check and here
		st.end(context.Canceled)
	}
	return st, func() {
		shard.Lock()
		delete(shard.open, st)
		shard.Unlock()
		detach()
		st.end(context.Canceled)
	}
}

// Open returns how many requests hold a grant now.
func (s *Service) Open() int {
	n := 0
	for i := range s.streams.shards {
		s.streams.shards[i].Lock()
		n += len(s.streams.shards[i].open)
		s.streams.shards[i].Unlock()
	}
	return n
}

func (s *streams) cancel(ends func(Grant) bool) {
	s.each(func(st *stream) {
		if ends(st.grant) {
			st.end(context.Canceled)
		}
	})
}

func (s *streams) each(f func(*stream)) {
	for i := range s.shards {
		shard := &s.shards[i]
		shard.Lock()
		for st := range shard.open {
			f(st)
		}
		shard.Unlock()
	}
}

// HoldWorkspace is HoldCaller for a stream that is about a workspace, which a person who may use it has just been
// found to be allowed to see. It ends with the workspace, too.
func (s *Service) HoldWorkspace(ctx context.Context, caller Caller, id workspace.ID) (context.Context, func()) {
	g := caller.grant()
	g.Label, g.IssuedAt = string(id), s.cfg.Now()
	return s.Hold(ctx, g)
}

// HoldCaller is Hold for a stream of the console, whose caller has no grant. It ends when
// their session would end by itself now; who is still signed in then connects again.
func (s *Service) HoldCaller(ctx context.Context, caller Caller) (context.Context, func()) {
	return s.Hold(ctx, caller.grant())
}

func (c Caller) grant() Grant {
	g := Grant{Session: c.Session.Hash, Person: c.Person.ID, IssuedAt: c.Session.CreatedAt, EndsAt: c.Session.ExpiresAt}
	if c.Token != nil {
		g.Token = c.Token.ID
	}
	return g
}
