package mongo

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/kalpana-dev/kalpana/agent/budget"
	"github.com/kalpana-dev/kalpana/workspace"
)

// counterDoc is what is used of a budget, and held. What is taken is both, in one field, so that one guarded
// update can keep to a limit.
type counterDoc struct {
	Key         string             `bson:"_id"`
	TakenCost   int64              `bson:"taken_cost"`
	TakenTokens int64              `bson:"taken_tokens"`
	Holds       map[string]holdDoc `bson:"holds"`
	EndsAt      int64              `bson:"ends_at"`
}

type holdDoc struct {
	Cost   int64 `bson:"cost"`
	Tokens int64 `bson:"tokens"`
	EndsAt int64 `bson:"ends_at"`
}

func (d counterDoc) read() (counterDoc, error) { return d, nil }

func newCounter(c budget.Counter) counterDoc {
	return counterDoc{Key: c.Key, Holds: map[string]holdDoc{}, EndsAt: c.Until.UnixMicro()}
}

// count returns what the counter stands at: a hold that has ended holds nothing.
func (d counterDoc) count(now time.Time) budget.Count {
	c := budget.Count{Used: budget.Amount{Cost: d.TakenCost, Tokens: d.TakenTokens}}
	for _, h := range d.Holds {
		c.Used.Cost -= h.Cost
		c.Used.Tokens -= h.Tokens
		if h.EndsAt > now.UnixMicro() {
			c.Held.Cost += h.Cost
			c.Held.Tokens += h.Tokens
		}
	}
	return c
}

// HoldBudget implements budget.Store. The counters are written one after the other; what a gateway holds that is
// killed in between ends by itself.
func (s *Store) HoldBudget(ctx context.Context, hold string, bounds []budget.Bound, amount budget.Amount, now, until time.Time) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	for i, b := range bounds {
		held, err := s.hold(ctx, hold, b, amount, now, until)
		if err == nil && held {
			continue
		}
		s.afterwards(ctx, func(ctx context.Context) error {
			var faults error
			for _, b := range bounds[:i+1] { // of the last one it is not known, after an error
				_, err := s.endHold(ctx, b.Key, hold, nil)
				faults = errors.Join(faults, err)
			}
			return faults
		})
		return i, err
	}
	return -1, nil
}

func (s *Store) hold(ctx context.Context, hold string, b budget.Bound, amount budget.Amount, now, until time.Time) (bool, error) {
	place := "holds." + hold
	filter := bson.M{"_id": b.Key, place: bson.M{"$exists": false}}
	if b.Limit.Cost > 0 {
		filter["taken_cost"] = bson.M{"$lt": b.Limit.Cost}
	}
	if b.Limit.Tokens > 0 {
		filter["taken_tokens"] = bson.M{"$lt": b.Limit.Tokens}
	}
	for range 3 {
		held, err := s.update(ctx, budgetCounters, filter, bson.M{
			"$set": bson.M{place: holdDoc{amount.Cost, amount.Tokens, until.UnixMicro()}},
			"$inc": bson.M{"taken_cost": amount.Cost, "taken_tokens": amount.Tokens},
		})
		if err != nil || held {
			return held, err
		}
		made, err := s.insert(ctx, budgetCounters, newCounter(b.Counter))
		if err != nil {
			return false, err
		}
		if made {
			continue
		}
		doc, err := one[counterDoc](ctx, s, budgetCounters, bson.M{"_id": b.Key}, nil)
		if err != nil {
			return false, err
		}
		if _, there := doc.Holds[hold]; there { // the answer to the first attempt was lost
			return true, nil
		}
		freed := false
		for id, h := range doc.Holds {
			if h.EndsAt > now.UnixMicro() {
				continue
			}
			ended, err := s.endHold(ctx, b.Key, id, &h)
			if err != nil {
				return false, err
			}
			freed = freed || ended
		}
		full := b.Limit.Cost > 0 && doc.TakenCost >= b.Limit.Cost || b.Limit.Tokens > 0 && doc.TakenTokens >= b.Limit.Tokens
		if !freed && full {
			return false, nil
		}
	}
	return false, nil // what becomes free is taken at once
}

// endHold takes a hold away, if it is there; h is what it holds, where that is known.
func (s *Store) endHold(ctx context.Context, key, hold string, h *holdDoc) (bool, error) {
	return s.settleHold(ctx, key, hold, h, budget.Amount{})
}

// settleHold puts what was used in the place of a hold and reports whether the hold was there.
func (s *Store) settleHold(ctx context.Context, key, hold string, h *holdDoc, used budget.Amount) (bool, error) {
	if h == nil {
		doc, err := one[counterDoc](ctx, s, budgetCounters, bson.M{"_id": key}, workspace.ErrNotFound)
		if errors.Is(err, workspace.ErrNotFound) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		found, there := doc.Holds[hold]
		if !there {
			return false, nil
		}
		h = &found
	}
	place := "holds." + hold
	return s.update(ctx, budgetCounters, bson.M{"_id": key, place: bson.M{"$exists": true}}, bson.M{
		"$unset": bson.M{place: ""},
		"$inc":   bson.M{"taken_cost": used.Cost - h.Cost, "taken_tokens": used.Tokens - h.Tokens},
	})
}

// SettleBudget implements budget.Store.
func (s *Store) SettleBudget(ctx context.Context, b budget.Settlement) error {
	for _, c := range b.Counters {
		settled := false
		if b.Hold != "" {
			var err error
			if settled, err = s.settleHold(ctx, c.Key, b.Hold, nil, b.Used); err != nil {
				return err
			}
		}
		if !settled {
			if err := s.count(ctx, c, b.Used); err != nil {
				return err
			}
		}
	}
	return s.addUsage(ctx, b.Usage)
}

// count adds to a counter, which it makes if there is none.
func (s *Store) count(ctx context.Context, c budget.Counter, used budget.Amount) error {
	for range 2 {
		counted, err := s.update(ctx, budgetCounters, bson.M{"_id": c.Key},
			bson.M{"$inc": bson.M{"taken_cost": used.Cost, "taken_tokens": used.Tokens}})
		if err != nil || counted {
			return err
		}
		if _, err := s.insert(ctx, budgetCounters, newCounter(c)); err != nil {
			return err
		}
	}
	return nil
}

// BudgetCounts implements budget.Store.
func (s *Store) BudgetCounts(ctx context.Context, counters []budget.Counter, now time.Time) ([]budget.Count, error) {
	keys := make(bson.A, len(counters))
	for i, c := range counters {
		keys[i] = c.Key
	}
	docs, err := listBy[counterDoc](ctx, s, budgetCounters, bson.M{"_id": bson.M{"$in": keys}}, options.Find())
	if err != nil {
		return nil, err
	}
	counts := make([]budget.Count, len(counters))
	for i, c := range counters {
		for _, d := range docs {
			if d.Key == c.Key {
				counts[i] = d.count(now)
			}
		}
	}
	return counts, nil
}

type usageDoc struct {
	ID        string       `bson:"_id"`
	Day       string       `bson:"day"`
	Person    string       `bson:"person"`
	Workspace workspace.ID `bson:"workspace"`
	Model     string       `bson:"model"`
	Calls     int64        `bson:"calls"`
	Input     int64        `bson:"input"`
	Output    int64        `bson:"output"`
	Cached    int64        `bson:"cached"`
	Reasoning int64        `bson:"reasoning"`
	Cost      int64        `bson:"cost"`
	OwnCost   int64        `bson:"own_cost"`
}

// usageDocOf names the document by what it is of: of these, only the model may have a slash, and it comes last.
func usageDocOf(u budget.Usage) usageDoc {
	id := u.Day + "/" + u.Person + "/" + string(u.Workspace) + "/" + text(u.Model)
	return usageDoc{id, u.Day, u.Person, u.Workspace, text(u.Model), u.Calls, u.Input, u.Output, u.Cached, u.Reasoning, u.Cost, u.OwnCost}
}

func (d usageDoc) read() (budget.Usage, error) {
	return budget.Usage{
		Day: d.Day, Person: d.Person, Workspace: d.Workspace, Model: d.Model,
		Calls: d.Calls, Input: d.Input, Output: d.Output, Cached: d.Cached, Reasoning: d.Reasoning, Cost: d.Cost, OwnCost: d.OwnCost,
	}, nil
}

func (s *Store) addUsage(ctx context.Context, u budget.Usage) error {
	doc := usageDocOf(u)
	made, err := s.insert(ctx, agentUsage, doc)
	if err != nil || made {
		return err
	}
	_, err = s.update(ctx, agentUsage, bson.M{"_id": doc.ID}, bson.M{"$inc": bson.M{
		"calls": u.Calls, "input": u.Input, "output": u.Output, "cached": u.Cached, "reasoning": u.Reasoning, "cost": u.Cost, "own_cost": u.OwnCost,
	}})
	return err
}

// Usage implements budget.Store.
func (s *Store) Usage(ctx context.Context, q budget.UsageQuery) ([]budget.Usage, error) {
	filter := bson.M{"day": bson.M{"$gte": q.Since}}
	if q.Person != "" {
		filter["person"] = q.Person
	}
	if q.Workspace != "" {
		filter["workspace"] = q.Workspace
	}
	return list[usageDoc](ctx, s, agentUsage, filter, bson.D{
		{Key: "day", Value: -1}, {Key: "person", Value: 1}, {Key: "workspace", Value: 1}, {Key: "model", Value: 1},
	})
}
