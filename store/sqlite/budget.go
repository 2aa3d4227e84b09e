package sqlite

import (
	"context"
	"time"

	"github.com/kalpana-dev/kalpana/agent/budget"
)

const usageColumns = "day, person, workspace, model, calls, input, output, cached, reasoning, cost, own_cost"

func readUsage(scan func(...any) error) (u budget.Usage, err error) {
	err = scan(&u.Day, &u.Person, &u.Workspace, &u.Model, &u.Calls, &u.Input, &u.Output, &u.Cached, &u.Reasoning, &u.Cost, &u.OwnCost)
	return u, err
}

// countQuery takes a counter's key, the time in microseconds, and the key again.
const countQuery = `SELECT coalesce(sum(cost), 0), coalesce(sum(tokens), 0), coalesce(sum(held_cost), 0), coalesce(sum(held_tokens), 0) FROM (
		SELECT 0 AS cost, 0 AS tokens, cost AS held_cost, tokens AS held_tokens FROM budget_holds WHERE counter = ? AND ends_at > ?
		UNION ALL SELECT cost, tokens, 0, 0 FROM budget_counters WHERE key = ?)`

func countArgs(c budget.Counter, now time.Time) []any { return []any{c.Key, now.UnixMicro(), c.Key} }

func readCount(scan func(...any) error) (c budget.Count, err error) {
	err = scan(&c.Used.Cost, &c.Used.Tokens, &c.Held.Cost, &c.Held.Tokens)
	return c, err
}

// HoldBudget implements budget.Store.
func (s *Store) HoldBudget(ctx context.Context, hold string, bounds []budget.Bound, amount budget.Amount, now, until time.Time) (int, error) {
	reached := -1
	err := s.write(ctx, func(tx *tx) error {
		reached = -1
		for i, b := range bounds {
			var c budget.Count
			if _, err := tx.find(countQuery, countArgs(b.Counter, now), []any{&c.Used.Cost, &c.Used.Tokens, &c.Held.Cost, &c.Held.Tokens}); err != nil {
				return err
			}
			if b.Limit.Cost > 0 && c.Used.Cost+c.Held.Cost >= b.Limit.Cost || b.Limit.Tokens > 0 && c.Used.Tokens+c.Held.Tokens >= b.Limit.Tokens {
				reached = i
				return nil // nothing was written yet
			}
		}
		for _, b := range bounds {
			_, err := tx.exec("INSERT INTO budget_holds (counter, hold, cost, tokens, ends_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
				b.Key, hold, amount.Cost, amount.Tokens, until.UnixMicro())
			if err != nil {
				return err
			}
		}
		return nil
	})
	return reached, err
}

// SettleBudget implements budget.Store.
func (s *Store) SettleBudget(ctx context.Context, b budget.Settlement) error {
	return s.write(ctx, func(tx *tx) error {
		for _, c := range b.Counters {
			if b.Hold != "" {
				if _, err := tx.exec("DELETE FROM budget_holds WHERE counter = ? AND hold = ?", c.Key, b.Hold); err != nil {
					return err
				}
			}
			_, err := tx.exec(`INSERT INTO budget_counters (key, cost, tokens, ends_at) VALUES (?, ?, ?, ?)
				ON CONFLICT DO UPDATE SET cost = cost + excluded.cost, tokens = tokens + excluded.tokens`,
				c.Key, b.Used.Cost, b.Used.Tokens, c.Until.UnixMicro())
			if err != nil {
				return err
			}
		}
		return tx.addUsage(b.Usage)
	})
}

func (t *tx) addUsage(u budget.Usage) error {
	_, err := t.exec("INSERT INTO agent_usage ("+usageColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET calls = calls + excluded.calls, input = input + excluded.input, output = output + excluded.output,
			cached = cached + excluded.cached, reasoning = reasoning + excluded.reasoning, cost = cost + excluded.cost, own_cost = own_cost + excluded.own_cost`,
		u.Day, u.Person, u.Workspace, u.Model, u.Calls, u.Input, u.Output, u.Cached, u.Reasoning, u.Cost, u.OwnCost)
	return err
}

// BudgetCounts implements budget.Store.
func (s *Store) BudgetCounts(ctx context.Context, counters []budget.Counter, now time.Time) ([]budget.Count, error) {
	counts := make([]budget.Count, 0, len(counters))
	for _, c := range counters {
		count, err := one(ctx, s, nil, readCount, countQuery, countArgs(c, now)...)
		if err != nil {
			return nil, err
		}
		counts = append(counts, count)
	}
	return counts, ctx.Err()
}

// Usage implements budget.Store.
func (s *Store) Usage(ctx context.Context, q budget.UsageQuery) ([]budget.Usage, error) {
	where, args := "day >= ?", []any{q.Since}
	if q.Person != "" {
		where, args = where+" AND person = ?", append(args, q.Person)
	}
	if q.Workspace != "" {
		where, args = where+" AND workspace = ?", append(args, q.Workspace)
	}
	return list(ctx, s, readUsage, "SELECT "+usageColumns+" FROM agent_usage WHERE "+where+" ORDER BY day DESC, person, workspace, model", args...)
}
