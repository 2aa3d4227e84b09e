package agent

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/kalpana-dev/kalpana/agent/model"
)

// A model that makes the same call again and again is told so, and then stopped.
const (
	tellAfter = 3 // equal calls in a row
	stopAfter = 5
)

// polls are tools whose call is repeated for a reason: what they tell of goes on meanwhile.
var polls = map[string]bool{"commandOutput": true}

// inRow returns how many of the calls of a turn were the same one, at the end of those before the last skip.
func (r *Run) inRow(skip int) (n int, last model.Call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := len(r.turn.Messages) - 1; i >= 0; i-- {
		m := &r.turn.Messages[i]
		if m.Role == model.User {
			break
		}
		for j := len(m.Calls) - 1; j >= 0; j-- {
			c := m.Calls[j]
			if skip > 0 {
				skip--
				continue
			}
			if n > 0 && !sameCall(c, last) {
				return n, last
			}
			n, last = n+1, c
		}
	}
	return n, last
}

func sameCall(a, b model.Call) bool {
	return a.Name == b.Name && (a.Arguments == b.Arguments || canonical(a.Arguments) == canonical(b.Arguments))
}

// canonical returns JSON in the one form that does not depend on spaces and the order of keys.
func canonical(arguments string) string {
	var v any
	d := json.NewDecoder(bytes.NewReader([]byte(arguments)))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return arguments
	}
	text, _ := json.Marshal(v)
	return string(text)
}

// repeated refuses a call that was made too often. After it come so many calls of the same answer, itself included.
func (r *Run) repeated(place int, c *call) string {
	if n, _ := r.inRow(place - 1); n >= stopAfter && !polls[c.Name] {
		return fmt.Sprintf("This is the same call for the %dth time in a row, so it is not carried out again.", n)
	}
	return ""
}

// nudge is what is added to the answer of a call that was made several times in a row.
func (r *Run) nudge(c *call) string {
	n, last := r.inRow(0)
	if n < tellAfter || last.ID != c.ID && !sameCall(last, c.Call) {
		return ""
	}
	return fmt.Sprintf("\n\n[You have made this same call %d times in a row. Its answer will not change by itself: do something else, or tell the person what you lack.]", n)
}

// stuck says why the turn ends, where the model goes round in circles.
func (r *Run) stuck() string {
	n, last := r.inRow(0)
	if n < stopAfter || polls[last.Name] {
		return ""
	}
	return fmt.Sprintf("I stopped here: I made the same call (%s) %d times in a row and got no further. Tell me what to do differently, or what I lack.", last.Name, n)
}
