// Package budget bounds what agents may spend: by person and by workspace, by day and by month, in money and in
// tokens. It is hard: a call of a model is refused once one of the bounds that concern it is reached, and calls at
// the same time, also of several gateways, are bounded together. So a bound is passed at most by what remains of
// the one call that was let in last.
package budget

import (
	"fmt"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// Limits of one person or one workspace; 0 is none.
type Limits struct {
	DayCost, MonthCost     int64 // millionths of a US dollar
	DayTokens, MonthTokens int64 // of requests and answers together
}

// Who a call of a model is for.
type Who struct {
	Person    string
	Workspace workspace.ID
	Chat      string
	Model     string
	// OwnKey: the person pays the provider themselves. It is counted, and bounded by tokens alone.
	OwnKey bool
}

// Spent says that a bound is reached. Its text is for a person.
type Spent struct { //nolint:errname // it is what is the matter, and reads so: errors.As(err, &spent)
	What  string // "person" or "workspace"
	Span  string // "day" or "month"
	Unit  string // "cost" or "tokens"
	Limit int64  // in the unit of Limits
	Used  int64  // what is reserved by calls under way included
	// Reserved is the part of Used that calls under way have reserved; it becomes free unless they use it.
	Reserved int64
	Until    time.Time // when the span ends
}

func (e *Spent) Error() string {
	bound := fmt.Sprintf("The agent's budget of this %s for a %s, %s,", e.What, e.Span, amountText(e.Unit, e.Limit))
	if e.Used-e.Reserved < e.Limit {
		return fmt.Sprintf("%s is taken by calls that are under way: %s of it are used. Try again when one of them has ended; an administrator can raise it.",
			bound, amountText(e.Unit, e.Used-e.Reserved))
	}
	return fmt.Sprintf("%s is spent. It begins anew on %s; an administrator can raise it.", bound, e.Until.UTC().Format("2 January 15:04 MST"))
}

func amountText(unit string, n int64) string {
	if unit == "cost" {
		return fmt.Sprintf("$%.2f", float64(n)/1e6)
	}
	return fmt.Sprintf("%d tokens", n)
}

// Left is what may still be spent.
type Left struct {
	Person, Workspace Spans
}

// Spans are those of one person or one workspace.
type Spans struct {
	Day, Month Span
}

// Span is what is used in a span, and its limits; 0 is none.
type Span struct {
	Used  Amount
	Held  Amount // reserved by calls under way, beside Used
	Limit Amount
	Until time.Time // when it ends
}

// Amount is money in millionths of a US dollar, and tokens of requests and answers together.
type Amount struct {
	Cost   int64
	Tokens int64
}

// Cost returns the money that is left by all bounds together, in millionths of a US dollar; false where nothing
// bounds it. It is never below 0.
func (l Left) Cost() (left int64, bounded bool) {
	return l.least(func(a Amount) int64 { return a.Cost })
}

// Tokens is Cost of tokens.
func (l Left) Tokens() (left int64, bounded bool) {
	return l.least(func(a Amount) int64 { return a.Tokens })
}

func (l Left) least(of func(Amount) int64) (left int64, bounded bool) {
	for _, s := range []Span{l.Person.Day, l.Person.Month, l.Workspace.Day, l.Workspace.Month} {
		limit := of(s.Limit)
		if limit <= 0 {
			continue
		}
		if one := max(0, limit-of(s.Used)-of(s.Held)); !bounded || one < left {
			left, bounded = one, true
		}
	}
	return left, bounded
}
