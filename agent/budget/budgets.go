package budget

import (
	"context"
	"crypto/rand"
	"strings"
	"time"
	"unicode"

	"github.com/kalpana-dev/kalpana/agent/model"
	"github.com/kalpana-dev/kalpana/workspace"
)

const (
	// holdTime is how long what a call reserved stays so where nothing is heard of it again, because its gateway
	// ended. It outlasts any call.
	holdTime = 30 * time.Minute
	// patience is how long a call waits for others that have reserved all that is left.
	patience = 30 * time.Second
	// askAgain is how long it waits before it asks the store again.
	askAgain = 250 * time.Millisecond
	// settleTime bounds how long the store may take to count what was used.
	settleTime = 10 * time.Second
	// maxModel is how long the name of a model in a record may be, in bytes.
	maxModel = 128
)

// Config is what Budgets are made of.
type Config struct {
	Store Store
	// Person and Workspace are the limits of each.
	Person, Workspace Limits
	// Quota returns what is different for one person: the fields of agents, of which 0 is as for everybody and less
	// than 0 no limit. nil means nothing is.
	Quota func(ctx context.Context, person string) (workspace.Quota, error)
	Now   func() time.Time // nil means time.Now
}

// Budgets keep what agents spend within bounds.
type Budgets struct{ cfg Config }

// New returns Budgets.
func New(cfg Config) *Budgets {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Budgets{cfg}
}

// place is one of the bounds of a call.
type place struct {
	Bound
	what, span string
}

// places returns the bounds that concern who: of the person by day and by month, then of the workspace.
func (b *Budgets) places(ctx context.Context, who Who, now time.Time) ([]place, error) {
	person := b.cfg.Person
	if b.cfg.Quota != nil {
		q, err := b.cfg.Quota(ctx, who.Person)
		if err != nil {
			return nil, err
		}
		person = Limits{
			DayCost: limit(q.AgentDayCost, person.DayCost), MonthCost: limit(q.AgentMonthCost, person.MonthCost),
			DayTokens: limit(q.AgentDayTokens, person.DayTokens), MonthTokens: limit(q.AgentMonthTokens, person.MonthTokens),
		}
	}
	now = now.UTC()
	day := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, time.UTC)
	month := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	var list []place
	add := func(what, id string, l Limits) {
		for _, one := range []place{
			{Bound{Counter{day.Format("2006-01-02"), day.AddDate(0, 0, 1)}, Amount{l.DayCost, l.DayTokens}}, what, "day"},
			{Bound{Counter{month.Format("2006-01"), month.AddDate(0, 1, 0)}, Amount{l.MonthCost, l.MonthTokens}}, what, "month"},
		} {
			one.Key = what + "/" + id + "/" + one.Key
			one.Limit.Cost, one.Limit.Tokens = max(0, one.Limit.Cost), max(0, one.Limit.Tokens)
			list = append(list, one)
		}
	}
	if who.Person != "" {
		add("person", who.Person, person)
	}
	if who.Workspace != "" {
		add("workspace", string(who.Workspace), b.cfg.Workspace)
	}
	return list, nil
}

func limit(own, everybodys int64) int64 {
	if own != 0 {
		return own
	}
	return everybodys
}

// Reserve lets a call of a model begin unless a bound is reached, and sets the estimate aside until settle is told
// what it used: once, also when it failed, with nothing where nothing was used. settle counts even when its ctx has
// ended. Where other calls have reserved all that is left, it waits for them for half a minute.
//
// Errors: *Spent, the store's, the context's.
func (b *Budgets) Reserve(ctx context.Context, who Who, estimate model.Usage) (settle func(context.Context, model.Usage) error, err error) {
	now := b.cfg.Now()
	places, err := b.places(ctx, who, now)
	if err != nil {
		return nil, err
	}
	s := Settlement{Usage: Usage{
		Day: now.UTC().Format("2006-01-02"), Person: who.Person, Workspace: who.Workspace, Model: cleanModel(who.Model),
	}}
	var bounds []Bound
	var bounded []place
	for _, p := range places {
		s.Counters = append(s.Counters, p.Counter)
		if who.OwnKey {
			p.Limit.Cost = 0
		}
		if p.Limit != (Amount{}) {
			bounds, bounded = append(bounds, p.Bound), append(bounded, p)
		}
	}
	if len(bounds) > 0 {
		s.Hold = rand.Text()
		if err := b.hold(ctx, s.Hold, bounds, bounded, counted(who, estimate)); err != nil {
			return nil, err
		}
	}
	return func(ctx context.Context, used model.Usage) error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
		defer cancel()
		return b.cfg.Store.SettleBudget(ctx, settled(s, who, used))
	}, nil
}

// counted returns what of a call counts for budgets.
func counted(who Who, u model.Usage) Amount {
	a := Amount{Cost: max(0, u.Cost), Tokens: max(0, u.Input) + max(0, u.Output)}
	if who.OwnKey {
		a.Cost = 0
	}
	return a
}

func settled(s Settlement, who Who, u model.Usage) Settlement {
	s.Used = counted(who, u)
	s.Usage.Calls = 1
	s.Usage.Input, s.Usage.Output = max(0, u.Input), max(0, u.Output)
	s.Usage.Cached, s.Usage.Reasoning = max(0, u.Cached), max(0, u.Reasoning)
	if who.OwnKey {
		s.Usage.OwnCost = max(0, u.Cost)
	} else {
		s.Usage.Cost = max(0, u.Cost)
	}
	return s
}

func (b *Budgets) hold(ctx context.Context, id string, bounds []Bound, places []place, amount Amount) error {
	timer := time.NewTimer(askAgain)
	defer timer.Stop()
	for began := b.cfg.Now(); ; {
		now := b.cfg.Now()
		reached, err := b.cfg.Store.HoldBudget(ctx, id, bounds, amount, now, now.Add(holdTime))
		if err != nil || reached < 0 {
			return err
		}
		spent, err := b.spent(ctx, places[reached], now)
		if err != nil {
			return err
		}
		if spent.Used-spent.Reserved >= spent.Limit || now.Sub(began) >= patience {
			return spent
		}
		timer.Reset(askAgain)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// spent tells of a bound that was reached, as it is now.
func (b *Budgets) spent(ctx context.Context, p place, now time.Time) (*Spent, error) {
	counts, err := b.cfg.Store.BudgetCounts(ctx, []Counter{p.Counter}, now)
	if err != nil {
		return nil, err
	}
	c := counts[0]
	e := &Spent{What: p.what, Span: p.span, Until: p.Until}
	if p.Limit.Cost > 0 && (c.Used.Cost+c.Held.Cost >= p.Limit.Cost || p.Limit.Tokens == 0) {
		e.Unit, e.Limit, e.Used, e.Reserved = "cost", p.Limit.Cost, c.Used.Cost+c.Held.Cost, c.Held.Cost
	} else {
		e.Unit, e.Limit, e.Used, e.Reserved = "tokens", p.Limit.Tokens, c.Used.Tokens+c.Held.Tokens, c.Held.Tokens
	}
	return e, nil
}

// Left returns what is used and what is left. With an own key, money is not bounded.
func (b *Budgets) Left(ctx context.Context, who Who) (Left, error) {
	var left Left
	now := b.cfg.Now()
	places, err := b.places(ctx, who, now)
	if err != nil {
		return left, err
	}
	counters := make([]Counter, len(places))
	for i, p := range places {
		counters[i] = p.Counter
	}
	counts, err := b.cfg.Store.BudgetCounts(ctx, counters, now)
	if err != nil {
		return left, err
	}
	for i, p := range places {
		if who.OwnKey {
			p.Limit.Cost = 0
		}
		spans := &left.Person
		if p.what == "workspace" {
			spans = &left.Workspace
		}
		span := &spans.Day
		if p.span == "month" {
			span = &spans.Month
		}
		*span = Span{Used: counts[i].Used, Held: counts[i].Held, Limit: p.Limit, Until: p.Until}
	}
	return left, nil
}

// Usage returns records of use by their day, the newest first.
func (b *Budgets) Usage(ctx context.Context, q UsageQuery) ([]Usage, error) {
	return b.cfg.Store.Usage(ctx, q)
}

// Month returns the first day of this month, UTC.
func (b *Budgets) Month() string { return b.cfg.Now().UTC().Format("2006-01") + "-01" }

// Everybody returns the limits of each person for whom nothing else is set.
func (b *Budgets) Everybody() Limits { return b.cfg.Person }

// cleanModel returns the name of a model as records have it: it comes from a provider.
func cleanModel(name string) string {
	name = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, name)
	if len(name) > maxModel {
		name = strings.ToValidUTF8(name[:maxModel], "")
	}
	return name
}
