package identity

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// quotaAge is how old a quota may be that is given out: a change takes effect everywhere within it.
const quotaAge = 10 * time.Second

// quotas are those that were read lately.
type quotas struct {
	mu sync.Mutex
	of map[string]quotaRead
}

type quotaRead struct {
	quota workspace.Quota
	at    time.Time
}

// maxQuotas bounds what is kept in memory.
const maxQuotas = 10_000

// Quota returns what person may use where that differs from the installation's, from memory if it was
// read within the last ten seconds; also an older one, while the store does not answer. Nobody's quota is
// zero.
func (s *Service) Quota(ctx context.Context, person string) (workspace.Quota, error) {
	s.quotas.mu.Lock()
	known, ok := s.quotas.of[person]
	s.quotas.mu.Unlock()
	if age := s.cfg.Now().Sub(known.at); ok && age >= 0 && age < quotaAge {
		return known.quota, nil
	}
	p, err := s.cfg.Store.Person(ctx, person)
	switch {
	case errors.Is(err, ErrNotFound):
	case err != nil && ok:
		return known.quota, nil
	case err != nil:
		return workspace.Quota{}, err
	}
	s.quotas.set(person, quotaRead{p.Quota, s.cfg.Now()})
	return p.Quota, nil
}

func (q *quotas) set(person string, read quotaRead) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.of == nil || len(q.of) >= maxQuotas {
		q.of = map[string]quotaRead{}
	}
	q.of[person] = read
}
