// Package budget bounds what agents may spend: by person and by workspace, by day and by month, in money and in
// tokens. It is hard: a call of a model is refused once one of the bounds that concern it is reached.
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
type Spent struct {
	What  string    // "person" or "workspace"
	Span  string    // "day" or "month"
	Unit  string    // "cost" or "tokens"
	Limit int64     // in the unit of Limits
	Used  int64     // what is reserved by calls under way included
	Until time.Time // when the span ends
}

func (e *Spent) Error() string {
	amount := fmt.Sprintf("%d tokens", e.Limit)
	if e.Unit == "cost" {
		amount = fmt.Sprintf("$%.2f", float64(e.Limit)/1e6)
	}
	return fmt.Sprintf("The agent's budget of this %s for a %s, %s, is spent. It begins anew on %s; an administrator can raise it.",
		e.What, e.Span, amount, e.Until.Format("2 January 15:04 MST"))
}
