package identity

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A session slides while what was opened from it is in use, on hosts whose requests never ask the store:
// a workspace's, a site's. It so stays in its person's list, where they can end it, and its provider's token is
// kept fresh. A session that is over by the store's word takes along what was opened from it.

// afarRound is how often the sessions of what is open are looked at.
const afarRound = 10 * time.Minute

// afar is which sessions were used on other hosts, until the store is told.
type afar struct {
	mu   sync.Mutex
	used map[string]struct{} // by hash
}

func (a *afar) note(session string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.used == nil {
		a.used = map[string]struct{}{}
	}
	a.used[session] = struct{}{}
}

func (a *afar) take() map[string]struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	used := a.used
	a.used = nil
	return used
}

// noteOpen notes the sessions of the streams that are open.
func (s *Service) noteOpen() {
	s.streams.each(func(st *stream) {
		if g := st.grant; g.Session != "" && g.Token == "" {
			s.afar.note(g.Session)
		}
	})
	s.audit.knock()
}

// flushSessions tells the store which sessions are in use, and ends what was opened from those that are over.
func (s *Service) flushSessions(ctx context.Context) (fault error) {
	for hash := range s.afar.take() {
		caller, err := s.callerOf(ctx, hash)
		if err == nil {
			err = s.slide(ctx, &caller.Session)
		}
		if errors.Is(err, ErrNoSession) {
			err = s.Revoke(ctx, Revocation{Session: hash})
		}
		if err != nil {
			s.afar.note(hash) // for the next round
			fault = err
		}
	}
	return fault
}
