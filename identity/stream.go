package identity

import (
	"context"
	"math/rand/v2"
	"sync"
)

// streams are the requests under way, so that a revocation can end them. It is sharded since every
// request passes through.
type streams struct {
	shards [16]struct {
		sync.Mutex
		open map[*stream]struct{}
	}
}

type stream struct {
	grant  Grant
	cancel context.CancelFunc
}

// Hold returns a context that ends when the grant does, within seconds, and a function that must be
// called when the request is over.
func (s *Service) Hold(ctx context.Context, g Grant) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	st := &stream{grant: g, cancel: cancel}
	shard := &s.streams.shards[rand.IntN(len(s.streams.shards))] //nolint:gosec // spreads locking, no more
	shard.Lock()
	if shard.open == nil {
		shard.open = map[*stream]struct{}{}
	}
	shard.open[st] = struct{}{}
	shard.Unlock()
	if s.revoked.Load().ends(g) { // a revocation that came between the check and here
		cancel()
	}
	return ctx, func() {
		shard.Lock()
		delete(shard.open, st)
		shard.Unlock()
		cancel()
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
	for i := range s.shards {
		shard := &s.shards[i]
		shard.Lock()
		for st := range shard.open {
			if ends(st.grant) {
				st.cancel()
			}
		}
		shard.Unlock()
	}
}

// HoldSession is Hold for a stream of the console, which has a session and no grant. It ends when
// the session would end by itself now; who is still signed in then connects again.
func (s *Service) HoldSession(ctx context.Context, session Session) (context.Context, func()) {
	return s.Hold(ctx, Grant{
		Session: session.Hash, Person: session.Person, IssuedAt: session.CreatedAt, EndsAt: session.ExpiresAt,
	})
}
