package identity

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// clockSkew is by how much the clocks of two gateways may differ.
const clockSkew = 2 * time.Second

// target is what a revocation names; the zero value of a field names nothing.
type target struct {
	session   string
	person    string
	workspace workspace.ID
	label     string
}

func (r Revocation) target() target {
	return target{session: r.Session, person: r.Person, workspace: r.Workspace, label: r.Label}
}

func targetOf(g Grant) target {
	return target{session: g.Session, person: g.Person, workspace: g.Workspace(), label: g.Label}
}

// The fields that a target names, as bits.
const (
	bySession = 1 << iota
	byPerson
	byWorkspace
	byLabel
)

func (t target) fields() (fields int) {
	if t.session != "" {
		fields |= bySession
	}
	if t.person != "" {
		fields |= byPerson
	}
	if t.workspace != "" {
		fields |= byWorkspace
	}
	if t.label != "" {
		fields |= byLabel
	}
	return fields
}

// only returns t without the fields that are not named.
func (t target) only(fields int) target {
	if fields&bySession == 0 {
		t.session = ""
	}
	if fields&byPerson == 0 {
		t.person = ""
	}
	if fields&byWorkspace == 0 {
		t.workspace = ""
	}
	if fields&byLabel == 0 {
		t.label = ""
	}
	return t
}

// revocations is an immutable view: when each target was last revoked, by the fields it names. As
// a rule only a few of the maps have entries, so that a check costs a look-up or two.
type revocations [16]map[target]time.Time

func (v *revocations) ends(g Grant) bool { return v.endedBy(g) != 0 }

// endedBy returns the fields of a revocation that ends g, or 0. One that names the host comes last: what
// is ended by that alone lost a share, and nothing else.
func (v *revocations) endedBy(g Grant) (fields int) {
	if g.IsVisitor() {
		return 0 // by what comes to be known alone; see endVisitors
	}
	whole := targetOf(g)
	for fields, m := range v {
		if len(m) == 0 {
			continue
		}
		at, ok := m[whole.only(fields)]
		// A session's hash never comes back, so its time does not matter.
		if ok && (fields == bySession || !g.IssuedAt.After(at.Add(clockSkew))) {
			return fields
		}
	}
	if workspace.SiteOfLabel(g.Label) != "" {
		whole.label = everySite
		at, ok := v[byPerson|byLabel][whole.only(byPerson|byLabel)]
		if ok && !g.IssuedAt.After(at.Add(clockSkew)) {
			return byPerson | byLabel
		}
	}
	return 0
}

// everySite is the label by which a revocation names all sites at once; none has it.
const everySite = "@"

// endSiteGrants ends a person's grants on sites, which tell what the person was: they get new ones by
// the way, as long as they are signed in.
func (s *Service) endSiteGrants(ctx context.Context, person string) error {
	return s.Revoke(ctx, Revocation{Person: person, Label: everySite})
}

// with returns a view that has list too, and nothing from before oldest, and what of list is news; v
// itself if nothing is.
func (v *revocations) with(list []Revocation, oldest time.Time) (next *revocations, news []Revocation) {
	next = v
	for _, r := range list {
		t := r.target()
		fields := t.fields()
		if fields == 0 || !r.At.After(next[fields][t]) {
			continue
		}
		if next == v {
			next = v.since(oldest)
		}
		if next[fields] == nil {
			next[fields] = map[target]time.Time{}
		}
		next[fields][t] = r.At
		news = append(news, r)
	}
	return next, news
}

// since returns a copy of v without what is from before oldest.
func (v *revocations) since(oldest time.Time) *revocations {
	var next revocations
	for fields, m := range v {
		if len(m) == 0 {
			continue
		}
		next[fields] = make(map[target]time.Time, len(m)+1)
		for t, at := range m {
			if !at.Before(oldest) {
				next[fields][t] = at
			}
		}
	}
	return &next
}

// Revoke stores r and ends what it concerns here at once; other gateways follow within seconds.
// Take access away first, then revoke: who still has access may get a new grant at any time.
func (s *Service) Revoke(ctx context.Context, r Revocation) error {
	r.At = s.cfg.Now().UTC()
	if err := s.cfg.Store.AppendRevocation(ctx, r); err != nil {
		return err
	}
	s.apply([]Revocation{r})
	return nil
}

func (s *Service) apply(list []Revocation) {
	s.mu.Lock()
	next, news := s.revoked.Load().with(list, s.cfg.Now().Add(-revocationKeep))
	s.revoked.Store(next)
	s.mu.Unlock()
	if len(news) == 0 {
		return
	}
	if s.onRevocation != nil {
		for _, r := range news {
			s.onRevocation(r)
		}
	}
	s.streams.cancel(next.ends)
	s.endVisitors(news)
}

// Load reads the revocations that can still concern a grant. No grant is good before it succeeded.
func (s *Service) Load(ctx context.Context) error { return s.read(ctx, revocationKeep) }

func (s *Service) read(ctx context.Context, back time.Duration) error {
	now := s.cfg.Now()
	list, err := s.cfg.Store.Revocations(ctx, now.Add(-back))
	if err != nil {
		return err
	}
	s.apply(list)
	s.lastRead.Store(&now)
	return nil
}

// silent reports whether the store has not been read for so long that no grant is good any more: by the time that
// has passed, whatever the machine's clock was set to meanwhile.
func (s *Service) silent(now time.Time) bool {
	last := s.lastRead.Load()
	return last == nil || now.Sub(*last) > storeGrace
}

// readUntil returns when revocations were read last, by the clock.
func (s *Service) readUntil() time.Time {
	if last := s.lastRead.Load(); last != nil {
		return last.Round(0)
	}
	return time.UnixMilli(0)
}

// Run reads revocations every two seconds, writes the audit log, keeps the tokens of providers
// fresh, and purges what has ended every hour, until ctx ends.
func (s *Service) Run(ctx context.Context) {
	var beside sync.WaitGroup
	beside.Go(func() { s.write(ctx) })
	beside.Go(func() { s.keepTokens(ctx) })
	defer beside.Wait()
	poll, look, purge := time.NewTicker(pollInterval), time.NewTicker(afarRound), time.NewTicker(time.Hour)
	defer poll.Stop()
	defer look.Stop()
	defer purge.Stop()
	for failing := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			s.noteOpen()
		case <-purge.C:
			if err := s.purge(ctx); err != nil && ctx.Err() == nil {
				s.cfg.Log.Warn("what has ended could not be purged", "error", err)
			}
		case <-poll.C:
			err := s.poll(ctx)
			if ctx.Err() != nil {
				return
			}
			if (err != nil) != failing {
				failing = err != nil
				if failing {
					s.cfg.Log.Error("revocations cannot be read; grants end in five minutes", "error", err)
				} else {
					s.cfg.Log.Info("revocations can be read again")
				}
			}
		}
	}
}

// poll reads what is new and ends the streams whose time is over.
func (s *Service) poll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	err := s.read(ctx, s.cfg.Now().Sub(s.readUntil())+pollOverlap)
	now := s.cfg.Now()
	silent := s.silent(now)
	s.streams.cancel(func(g Grant) bool {
		return silent || (!g.EndsAt.IsZero() && !now.Before(g.EndsAt))
	})
	return err
}

func (s *Service) purge(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	now := s.cfg.Now()
	err := s.cfg.Store.Purge(ctx, now, revocationKeep)
	if s.cfg.AuditKeep > 0 {
		err = errors.Join(err, s.cfg.Store.PurgeAudit(ctx, now.Add(-s.cfg.AuditKeep)))
	}
	return err
}
