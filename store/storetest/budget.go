package storetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/agent/budget"
	"github.com/kalpana-dev/kalpana/workspace"
)

var budgets = []promise{
	{"ACallIsLetInBelowEachLimit", aCallIsLetInBelowEachLimit},
	{"ManyAtOnceNeverPassALimit", manyAtOnceNeverPassALimit},
	{"WhatIsRefusedHoldsNothing", whatIsRefusedHoldsNothing},
	{"AHoldEndsByItself", aHoldEndsByItself},
	{"AHoldThatEndedIsCountedWhenItIsSettled", aLateSettlementCounts},
	{"UseIsCountedWithoutAHold", useIsCountedWithoutAHold},
	{"UseIsAddedUpByDayPersonWorkspaceAndModel", useIsAddedUp},
	{"OldRecordsGo", oldRecordsOfUseGo},
}

func counter(key string) budget.Counter { return budget.Counter{Key: key, Until: moment(1000)} }

func bound(key string, cost, tokens int64) budget.Bound {
	return budget.Bound{Counter: counter(key), Limit: budget.Amount{Cost: cost, Tokens: tokens}}
}

func wantHold(t *testing.T, s Store, want int, hold string, cost, tokens int64, bounds ...budget.Bound) {
	t.Helper()
	got, err := s.HoldBudget(t.Context(), hold, bounds, budget.Amount{Cost: cost, Tokens: tokens}, moment(0), moment(60))
	must(t, err)
	if got != want {
		t.Fatalf("HoldBudget(%s) returned %d, want %d", hold, got, want)
	}
}

// settle ends a hold on the counters of the given keys.
func settle(t *testing.T, s Store, hold string, cost, tokens int64, keys ...string) {
	t.Helper()
	var counters []budget.Counter
	for _, key := range keys {
		counters = append(counters, counter(key))
	}
	must(t, s.SettleBudget(t.Context(), budget.Settlement{
		Hold: hold, Counters: counters, Used: budget.Amount{Cost: cost, Tokens: tokens},
		Usage: budget.Usage{Day: "2026-03-04", Person: "ann", Workspace: "w", Model: "m", Calls: 1, Cost: cost},
	}))
}

func wantCount(t *testing.T, s Store, now time.Time, key string, want budget.Count) {
	t.Helper()
	got, err := s.BudgetCounts(t.Context(), []budget.Counter{counter("nobody's"), counter(key)}, now)
	must(t, err)
	if diff := cmp.Diff([]budget.Count{{}, want}, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", key, diff)
	}
}

func aCallIsLetInBelowEachLimit(t *testing.T, b Backend) {
	s := b.Open(t)
	day, month := bound("a/day", 10, 0), bound("a/month", 100, 1000)
	wantHold(t, s, -1, "h1", 4, 400, day, month)
	wantCount(t, b.Open(t), moment(1), "a/day", budget.Count{Held: budget.Amount{Cost: 4, Tokens: 400}})
	wantHold(t, s, -1, "h2", 7, 400, day, month) // it is below its limit still
	wantHold(t, s, 0, "h3", 1, 1, day, month)
	settle(t, s, "h2", 2, 50, "a/day", "a/month")
	wantCount(t, b.Open(t), moment(1), "a/month", budget.Count{Used: budget.Amount{Cost: 2, Tokens: 50}, Held: budget.Amount{Cost: 4, Tokens: 400}})
	wantHold(t, s, -1, "h3", 1, 600, day, month)
	wantHold(t, s, 1, "h4", 1, 1, day, month) // by tokens
	wantHold(t, s, -1, "h4", 1, 1, day, bound("a/month", 100, 0))
	for _, hold := range []string{"h1", "h3", "h4"} {
		settle(t, s, hold, 3, 10, "a/day", "a/month")
	}
	wantCount(t, s, moment(1), "a/day", budget.Count{Used: budget.Amount{Cost: 11, Tokens: 80}})
	wantHold(t, s, 0, "h5", 0, 0, day, month)
}

func manyAtOnceNeverPassALimit(t *testing.T, b Backend) {
	const each, limit = 3, 60 // twenty fit
	bounds := []budget.Bound{bound("ann/day", 0, 1_000_000), bound("shared/day", limit, 0)}
	won := winners(t, b, 100, func(ctx context.Context, s Store, i int) (bool, error) {
		mine := []budget.Bound{bound(fmt.Sprintf("p%d/day", i%3), 1_000_000, 0), bounds[1]}
		if i%3 == 0 {
			mine[0] = bounds[0]
		}
		reached, err := s.HoldBudget(ctx, fmt.Sprint("h", i), mine, budget.Amount{Cost: each, Tokens: 7}, moment(0), moment(60))
		return reached < 0, err
	})
	if won != limit/each {
		t.Errorf("%d calls were let in, want %d", won, limit/each)
	}
	s := b.Open(t)
	wantCount(t, s, moment(1), "shared/day", budget.Count{Held: budget.Amount{Cost: limit, Tokens: 7 * limit / each}})
	counts, err := s.BudgetCounts(t.Context(), []budget.Counter{counter("ann/day"), counter("p1/day"), counter("p2/day")}, moment(1))
	must(t, err)
	if sum := counts[0].Held.Cost + counts[1].Held.Cost + counts[2].Held.Cost; sum != limit {
		t.Errorf("the others hold %d, want %d", sum, limit)
	}
}

func whatIsRefusedHoldsNothing(t *testing.T, b Backend) {
	s := b.Open(t)
	settle(t, s, "", 5, 5, "full")
	wantHold(t, s, 2, "h", 1, 1, bound("a", 10, 0), bound("b", 0, 10), bound("full", 5, 0))
	for _, key := range []string{"a", "b"} {
		wantCount(t, s, moment(1), key, budget.Count{})
	}
	wantCount(t, s, moment(1), "full", budget.Count{Used: budget.Amount{Cost: 5, Tokens: 5}})
}

func aHoldEndsByItself(t *testing.T, b Backend) {
	s := b.Open(t)
	wantHold(t, s, -1, "h1", 10, 1, bound("a", 10, 0)) // until moment(60)
	reached, err := s.HoldBudget(t.Context(), "h2", []budget.Bound{bound("a", 10, 0)}, budget.Amount{Cost: 1}, moment(59), moment(90))
	must(t, err)
	if reached != 0 {
		t.Error("a hold ended before its time")
	}
	wantCount(t, s, moment(61), "a", budget.Count{})
	reached, err = b.Open(t).HoldBudget(t.Context(), "h2", []budget.Bound{bound("a", 10, 0)}, budget.Amount{Cost: 1}, moment(61), moment(90))
	must(t, err)
	if reached >= 0 {
		t.Error("a hold goes on after its end")
	}
	must(t, s.Purge(t.Context(), moment(70), time.Hour))
	wantCount(t, s, moment(71), "a", budget.Count{Held: budget.Amount{Cost: 1}})
}

func aLateSettlementCounts(t *testing.T, b Backend) {
	s := b.Open(t)
	wantHold(t, s, -1, "h1", 10, 1, bound("a", 10, 0))
	must(t, s.Purge(t.Context(), moment(61), time.Hour))
	settle(t, s, "h1", 3, 2, "a")
	wantCount(t, s, moment(62), "a", budget.Count{Used: budget.Amount{Cost: 3, Tokens: 2}})
}

func useIsCountedWithoutAHold(t *testing.T, b Backend) {
	clients := []Store{b.Open(t), b.Open(t)}
	together(20, func(i int) {
		settle(t, clients[i%2], "", 2, 3, "a", "b")
	})
	for _, key := range []string{"a", "b"} {
		wantCount(t, clients[0], moment(1), key, budget.Count{Used: budget.Amount{Cost: 40, Tokens: 60}})
	}
	got, err := clients[0].Usage(t.Context(), budget.UsageQuery{})
	must(t, err)
	if diff := cmp.Diff([]budget.Usage{{Day: "2026-03-04", Person: "ann", Workspace: "w", Model: "m", Calls: 20, Cost: 40}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// use stores a record of use.
func use(t *testing.T, s Store, u budget.Usage) {
	t.Helper()
	must(t, s.SettleBudget(t.Context(), budget.Settlement{Usage: u}))
}

func useIsAddedUp(t *testing.T, b Backend) {
	s := b.Open(t)
	var want budget.Usage
	fill(t, &want, 0)
	want.Day, want.Person, want.Workspace = "2026-03-04", "ann", "w1"
	use(t, s, want)
	model := func(day, person string, w workspace.ID, model string) budget.Usage {
		u := budget.Usage{Day: day, Person: person, Workspace: w, Model: model, Calls: 1, Cost: 1}
		use(t, b.Open(t), u)
		return u
	}
	second := model("2026-03-05", "ann", "w1", "x/y:z")
	third := model("2026-03-05", "bob", "w1", "x/y:z")
	fourth := model("2026-03-03", "ann", "w2", "$.é")
	use(t, s, want)
	want.Calls *= 2
	want.Input *= 2
	want.Output *= 2
	want.Cached *= 2
	want.Reasoning *= 2
	want.Cost *= 2
	want.OwnCost *= 2
	for _, c := range []struct {
		q    budget.UsageQuery
		want []budget.Usage
	}{
		{budget.UsageQuery{}, []budget.Usage{second, third, want, fourth}},
		{budget.UsageQuery{Since: "2026-03-04"}, []budget.Usage{second, third, want}},
		{budget.UsageQuery{Person: "ann"}, []budget.Usage{second, want, fourth}},
		{budget.UsageQuery{Person: "ann", Workspace: "w1", Since: "2026-03-05"}, []budget.Usage{second}},
		{budget.UsageQuery{Workspace: "w2"}, []budget.Usage{fourth}},
		{budget.UsageQuery{Since: "2026-03-06"}, nil},
	} {
		got, err := s.Usage(t.Context(), c.q)
		must(t, err)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c.q, diff)
		}
	}
}

func oldRecordsOfUseGo(t *testing.T, b Backend) {
	s := b.Open(t)
	settle(t, s, "", 5, 5, "a") // until moment(1000), on 2026-03-04
	must(t, s.Purge(t.Context(), moment(1000+23*3600), time.Hour))
	wantCount(t, s, moment(1), "a", budget.Count{Used: budget.Amount{Cost: 5, Tokens: 5}})
	must(t, s.Purge(t.Context(), moment(1000+25*3600), time.Hour))
	wantCount(t, s, moment(1), "a", budget.Count{})
	must(t, s.Purge(t.Context(), moment(0).Add(budget.Keep), time.Hour))
	if got, err := s.Usage(t.Context(), budget.UsageQuery{}); err != nil || len(got) != 1 {
		t.Errorf("%d records, %v", len(got), err)
	}
	must(t, s.Purge(t.Context(), moment(0).Add(budget.Keep+24*time.Hour), time.Hour))
	if got, err := s.Usage(t.Context(), budget.UsageQuery{}); err != nil || len(got) != 0 {
		t.Errorf("%d records, %v", len(got), err)
	}
}
