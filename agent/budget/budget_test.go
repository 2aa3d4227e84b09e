package budget_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/kalpana-dev/kalpana/agent/budget"
	"github.com/kalpana-dev/kalpana/agent/model"
	"github.com/kalpana-dev/kalpana/store/sqlite"
	"github.com/kalpana-dev/kalpana/workspace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// office is where budgets are tried: a store, and a clock that stands still.
type office struct {
	*testing.T
	store budget.Store
	mu    sync.Mutex
	now   time.Time
	step  time.Duration // by which the clock moves whenever it is read
}

func newOffice(t *testing.T) *office {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "kalpana.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &office{T: t, store: s, now: time.Date(2026, 11, 30, 23, 0, 0, 0, time.UTC)}
}

func (o *office) budgets(person, ws budget.Limits) *budget.Budgets {
	return budget.New(budget.Config{Store: o.store, Person: person, Workspace: ws, Now: o.clock})
}

func (o *office) clock() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.now = o.now.Add(o.step)
	return o.now
}

func (o *office) pass(d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.now = o.now.Add(d)
}

var ann = budget.Who{Person: "ann", Workspace: "w1", Chat: "c", Model: "m"}

// spend makes a call that costs so much, or returns why it is refused.
func (o *office) spend(b *budget.Budgets, who budget.Who, cost, tokens int64) error {
	o.Helper()
	settle, err := b.Reserve(o.Context(), who, model.Usage{Input: tokens, Cost: cost})
	if err != nil {
		return err
	}
	if err := settle(o.Context(), model.Usage{Input: tokens - tokens/2, Output: tokens / 2, Cost: cost, Priced: true}); err != nil {
		o.Fatal(err)
	}
	return nil
}

func (o *office) wantSpent(err error, want budget.Spent) {
	o.Helper()
	var spent *budget.Spent
	if !errors.As(err, &spent) {
		o.Fatalf("%v, want %+v", err, want)
	}
	if diff := cmp.Diff(want, *spent); diff != "" {
		o.Errorf("(-want +got):\n%s", diff)
	}
}

func (o *office) wantOK(err error) {
	o.Helper()
	if err != nil {
		o.Fatal(err)
	}
}

func TestBudget_TheNextCallIsRefusedOnceItIsSpentAndADayLaterItBeginsAnew(t *testing.T) {
	o := newOffice(t)
	b := o.budgets(budget.Limits{DayCost: 1_000_000, MonthCost: 2_500_000}, budget.Limits{})
	o.wantOK(o.spend(b, ann, 700_000, 10))
	o.wantOK(o.spend(b, ann, 700_000, 10)) // there was something left
	err := o.spend(b, ann, 1, 1)
	midnight := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	o.wantSpent(err, budget.Spent{What: "person", Span: "day", Unit: "cost", Limit: 1_000_000, Used: 1_400_000, Until: midnight})
	if want := "The agent's budget of this person for a day, $1.00, is spent. It begins anew on 1 December 00:00 UTC; an administrator can raise it."; err.Error() != want {
		t.Errorf("it says %q", err)
	}
	o.wantOK(o.spend(b, budget.Who{Person: "bob", Workspace: "w1"}, 1, 1))
	o.pass(time.Hour) // the month ends with the day
	o.wantOK(o.spend(b, ann, 900_000, 10))
	o.wantOK(o.spend(b, ann, 900_000, 10))
	o.pass(24 * time.Hour)
	o.wantOK(o.spend(b, ann, 900_000, 10))
	o.pass(24 * time.Hour)
	o.wantSpent(o.spend(b, ann, 1, 1), budget.Spent{
		What: "person", Span: "month", Unit: "cost", Limit: 2_500_000, Used: 2_700_000, Until: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC),
	})
}

func TestBudget_OfAWorkspaceBoundsAllWhoWorkInIt(t *testing.T) {
	o := newOffice(t)
	b := o.budgets(budget.Limits{}, budget.Limits{MonthTokens: 100})
	o.wantOK(o.spend(b, ann, 0, 60))
	o.wantOK(o.spend(b, budget.Who{Person: "bob", Workspace: "w1"}, 0, 61))
	err := o.spend(b, budget.Who{Person: "eve", Workspace: "w1"}, 0, 1)
	o.wantSpent(err, budget.Spent{
		What: "workspace", Span: "month", Unit: "tokens", Limit: 100, Used: 121, Until: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC),
	})
	if !strings.Contains(err.Error(), "100 tokens") {
		t.Errorf("it says %q", err)
	}
	o.wantOK(o.spend(b, budget.Who{Person: "ann", Workspace: "w2"}, 0, 1))
}

func TestBudget_WhoPaysThemselvesIsBoundedByTokensAlone(t *testing.T) {
	o := newOffice(t)
	b := o.budgets(budget.Limits{DayCost: 1, DayTokens: 100}, budget.Limits{DayCost: 1})
	own := ann
	own.OwnKey = true
	o.wantOK(o.spend(b, own, 5_000_000, 60))
	o.wantOK(o.spend(b, own, 5_000_000, 60))
	var spent *budget.Spent
	if err := o.spend(b, own, 1, 1); !errors.As(err, &spent) || spent.Unit != "tokens" || spent.Used != 120 {
		t.Errorf("%v", err)
	}
	use, err := o.store.Usage(t.Context(), budget.UsageQuery{})
	want := []budget.Usage{{Day: "2026-11-30", Person: "ann", Workspace: "w1", Model: "m", Calls: 2, Input: 60, Output: 60, OwnCost: 10_000_000}}
	if diff := cmp.Diff(want, use); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	left, err := b.Left(t.Context(), ann)
	if cost, bounded := left.Cost(); err != nil || !bounded || cost != 1 {
		t.Errorf("what they paid counts as the installation's: %+v, %v", left, err)
	}
}

func TestBudget_AQuotaComesBeforeWhatIsForEverybody(t *testing.T) {
	o := newOffice(t)
	quotas := map[string]workspace.Quota{"ann": {AgentDayCost: 50}, "bob": {AgentDayCost: -1, AgentDayTokens: 10}}
	b := budget.New(budget.Config{
		Store: o.store, Now: o.clock, Person: budget.Limits{DayCost: 10, MonthTokens: 1000},
		Quota: func(_ context.Context, person string) (workspace.Quota, error) {
			if person == "lost" {
				return workspace.Quota{}, workspace.ErrStoreDown
			}
			return quotas[person], nil
		},
	})
	for person, want := range map[string]budget.Amount{"ann": {Cost: 50}, "bob": {Tokens: 10}, "eve": {Cost: 10}} {
		left, err := b.Left(t.Context(), budget.Who{Person: person})
		if err != nil || left.Person.Day.Limit != want || left.Person.Month.Limit != (budget.Amount{Tokens: 1000}) {
			t.Errorf("%s: %+v, %v", person, left.Person, err)
		}
	}
	if _, err := b.Reserve(t.Context(), budget.Who{Person: "lost"}, model.Usage{}); !errors.Is(err, workspace.ErrStoreDown) {
		t.Errorf("a quota that cannot be read: %v", err)
	}
	if b.Everybody().DayCost != 10 {
		t.Error(b.Everybody())
	}
}

func TestBudget_LeftIsWhatTheTightestBoundLeaves(t *testing.T) {
	o := newOffice(t)
	b := o.budgets(budget.Limits{DayCost: 100, MonthCost: 1000}, budget.Limits{DayCost: 80, MonthTokens: 10})
	settle, err := b.Reserve(t.Context(), ann, model.Usage{Input: 3, Output: 1, Cost: 30})
	o.wantOK(err)
	o.wantOK(o.spend(b, budget.Who{Person: "bob", Workspace: "w1"}, 20, 2))
	left, err := b.Left(t.Context(), ann)
	o.wantOK(err)
	cost, bounded := left.Cost()
	if tokens, _ := left.Tokens(); !bounded || cost != 30 || tokens != 4 {
		t.Errorf("$%d, %d tokens: %+v", cost, tokens, left)
	}
	day := left.Workspace.Day
	want := budget.Span{Used: budget.Amount{Cost: 20, Tokens: 2}, Held: budget.Amount{Cost: 30, Tokens: 4}, Limit: budget.Amount{Cost: 80}, Until: day.Until}
	if diff := cmp.Diff(want, day); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	o.wantOK(settle(t.Context(), model.Usage{Input: 1, Cost: 500}))
	left, err = b.Left(t.Context(), ann)
	o.wantOK(err)
	if cost, _ := left.Cost(); cost != 0 {
		t.Errorf("$%d are left of what is spent", cost)
	}
	if _, bounded := (budget.Left{}).Cost(); bounded {
		t.Error("nothing bounds it")
	}
}

func TestBudget_WhatWasUsedCountsThoughTheCallWasStopped(t *testing.T) {
	o := newOffice(t)
	b := o.budgets(budget.Limits{DayCost: 10}, budget.Limits{})
	ctx, stop := context.WithCancel(t.Context())
	settle, err := b.Reserve(ctx, ann, model.Usage{Cost: 5})
	o.wantOK(err)
	stop()
	o.wantOK(settle(ctx, model.Usage{Cost: 11}))
	var spent *budget.Spent
	if err := o.spend(b, ann, 1, 1); !errors.As(err, &spent) || spent.Used != 11 {
		t.Errorf("%v", err)
	}
}

func TestBudget_ACallIsCountedOnTheDayThatItBegan(t *testing.T) {
	o := newOffice(t)
	b := o.budgets(budget.Limits{DayCost: 10}, budget.Limits{})
	settle, err := b.Reserve(t.Context(), ann, model.Usage{Cost: 5})
	o.wantOK(err)
	o.pass(2 * time.Hour)
	o.wantOK(settle(t.Context(), model.Usage{Cost: 11}))
	o.wantOK(o.spend(b, ann, 1, 1))
}

func TestBudget_WhoComesWhileOthersHoldTheRestWaitsForThem(t *testing.T) {
	o := newOffice(t)
	b := o.budgets(budget.Limits{DayCost: 10}, budget.Limits{})
	settle, err := b.Reserve(t.Context(), ann, model.Usage{Cost: 50})
	o.wantOK(err)
	second := make(chan error)
	go func() { second <- o.spend(b, ann, 1, 1) }()
	select {
	case err := <-second:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	o.wantOK(settle(t.Context(), model.Usage{Cost: 2}))
	o.wantOK(<-second)

	settle, err = b.Reserve(t.Context(), ann, model.Usage{Cost: 50})
	o.wantOK(err)
	o.step = time.Minute // so that its patience is soon at an end
	err = o.spend(b, ann, 1, 1)
	o.step = 0
	var spent *budget.Spent
	if !errors.As(err, &spent) || spent.Used != 53 || spent.Reserved != 50 {
		t.Fatalf("%v", err)
	}
	if !strings.Contains(err.Error(), "is taken by calls that are under way: $0.00 of it are used. Try again when one of them has ended") {
		t.Errorf("it says %q", err)
	}
	o.wantOK(settle(t.Context(), model.Usage{}))

	settle, err = b.Reserve(t.Context(), ann, model.Usage{Cost: 50})
	o.wantOK(err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Reserve(ctx, ann, model.Usage{Cost: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	o.wantOK(settle(t.Context(), model.Usage{}))
}

// However many call at once, and of however many gateways: the limit is passed by no more than the last of them.
func TestBudget_ManyAtOnceDoNotPassALimitTogether(t *testing.T) {
	o := newOffice(t)
	const limit, each = 1000, 90 // the twelfth passes it
	var spent, used atomic.Int64
	var wg sync.WaitGroup
	gateways := []*budget.Budgets{o.budgets(budget.Limits{DayCost: limit}, budget.Limits{}), o.budgets(budget.Limits{DayCost: limit}, budget.Limits{})}
	for i := range 60 {
		wg.Go(func() {
			settle, err := gateways[i%2].Reserve(t.Context(), ann, model.Usage{Cost: each + 10})
			var full *budget.Spent
			switch {
			case errors.As(err, &full):
				spent.Add(1)
			case err != nil:
				t.Error(err)
			default:
				if err := settle(t.Context(), model.Usage{Cost: each}); err != nil {
					t.Error(err)
				}
				used.Add(each)
			}
		})
	}
	wg.Wait()
	if used.Load() < limit || used.Load() >= limit+each || spent.Load() != 60-used.Load()/each {
		t.Errorf("%d of %d were used; %d calls were refused", used.Load(), limit, spent.Load())
	}
}

func TestBudget_RecordsOfUseHaveWhatAModelIsCalled(t *testing.T) {
	o := newOffice(t)
	b := o.budgets(budget.Limits{}, budget.Limits{})
	who := ann
	who.Model = "a/b\x00\n\x1b[31m" + strings.Repeat("é", 200)
	o.wantOK(o.spend(b, who, 3, 2))
	use, err := o.store.Usage(t.Context(), budget.UsageQuery{})
	o.wantOK(err)
	if len(use) != 1 || len(use[0].Model) > 128 || !strings.HasPrefix(use[0].Model, "a/b[31mé") || strings.ToValidUTF8(use[0].Model, "?") != use[0].Model {
		t.Errorf("%+v", use)
	}
}
