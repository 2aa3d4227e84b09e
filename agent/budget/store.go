package budget

import (
	"context"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// Keep is how long records of use are kept.
const Keep = 400 * 24 * time.Hour // thirteen months

// Counter counts for one person or one workspace in one span.
type Counter struct {
	Key string // of 128 bytes at most, e.g. "person/<id>/2026-11-30"
	// Until is when the span ends; nobody asks for it a day later.
	Until time.Time
}

// Bound is a counter with its limits; 0 is none.
type Bound struct {
	Counter
	Limit Amount
}

// Count is what a counter stands at.
type Count struct {
	Used Amount
	Held Amount // by calls that are under way
}

// Usage is what one person used of one model in one workspace on one day.
type Usage struct {
	Day       string // UTC, e.g. "2026-11-30"
	Person    string
	Workspace workspace.ID
	Model     string
	Calls     int64
	Input     int64 // tokens of requests, cached ones included
	Output    int64 // tokens of answers, reasoning included
	Cached    int64
	Reasoning int64
	Cost      int64 // millionths of a US dollar, paid with the installation's key
	OwnCost   int64 // likewise, paid by people with keys of their own
}

// Add adds the amounts of v.
func (u *Usage) Add(v Usage) {
	u.Calls += v.Calls
	u.Input += v.Input
	u.Output += v.Output
	u.Cached += v.Cached
	u.Reasoning += v.Reasoning
	u.Cost += v.Cost
	u.OwnCost += v.OwnCost
}

// UsageQuery selects records of use. Empty fields select all.
type UsageQuery struct {
	Person    string
	Workspace workspace.ID
	Since     string // the first day
}

// Settlement ends a call of a model.
type Settlement struct {
	Hold     string // its name, or "" where nothing was held
	Counters []Counter
	Used     Amount // is added to each of the counters
	Usage    Usage  // is added to the record of its day, person, workspace and model
}

// Store keeps counters and records of use. All methods are safe for concurrent use, also by several processes on
// one store. Errors wrap workspace.ErrStoreDown or workspace.ErrStorageFull. The store's Purge removes counters
// whose span ended a day ago and what is older than [Keep].
type Store interface {
	// HoldBudget holds the amount on all of the counters until it is settled, or until then, and returns -1. Where
	// one of them stands at one of its limits or above, holds that have not ended included, it holds nothing and
	// returns the place of the first such. However many call at once, of each counter's limit no more is passed
	// than by the one call that was let in last.
	HoldBudget(ctx context.Context, hold string, bounds []Bound, amount Amount, now, until time.Time) (reached int, err error)
	// SettleBudget counts what a call used, whether or not its hold is still there.
	SettleBudget(ctx context.Context, s Settlement) error
	// BudgetCounts returns what the counters stand at, in their order.
	BudgetCounts(ctx context.Context, counters []Counter, now time.Time) ([]Count, error)
	// Usage returns records by their day, the newest first.
	Usage(ctx context.Context, q UsageQuery) ([]Usage, error)
}
