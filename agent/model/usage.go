package model

import (
	"encoding/json"
	"math"
	"strings"
)

// maxUsed bounds what one answer may be said to have used (in tokens, and in millionths of a dollar), so that sums stay
// in bounds.
const maxUsed = 1_000_000_000_000

// parseUsage reads what an answer used.
func parseUsage(raw json.RawMessage) (Usage, bool) {
	if len(raw) == 0 || raw[0] != '{' {
		return Usage{}, false
	}
	var w struct {
		Prompt     decimal `json:"prompt_tokens"`
		Completion decimal `json:"completion_tokens"`
		InDetails  struct {
			Cached decimal `json:"cached_tokens"`
		} `json:"prompt_tokens_details"`
		OutDetails struct {
			Reasoning decimal `json:"reasoning_tokens"`
		} `json:"completion_tokens_details"`
		Cost        decimal `json:"cost"`
		OwnKey      bool    `json:"is_byok"`
		CostDetails struct {
			Upstream decimal `json:"upstream_inference_cost"`
		} `json:"cost_details"`
	}
	if json.Unmarshal(raw, &w) != nil {
		return Usage{}, false
	}
	bounded := func(d decimal, places int) int64 { return min(d.scaled(places), maxUsed) }
	u := Usage{
		Input: bounded(w.Prompt, 0), Output: bounded(w.Completion, 0),
		Cached: bounded(w.InDetails.Cached, 0), Reasoning: bounded(w.OutDetails.Reasoning, 0),
	}
	if w.Cost != "" {
		u.Cost, u.Priced = bounded(w.Cost, 6), true
		if w.OwnKey { // a key of a provider's own at OpenRouter: the cost is only what OpenRouter takes
			u.Cost += bounded(w.CostDetails.Upstream, 6)
		}
	}
	return u, true
}

// decimal is a number as it stands in JSON, or as a string there; "" for null and what is none.
type decimal string

// UnmarshalJSON implements json.Unmarshaler.
func (d *decimal) UnmarshalJSON(raw []byte) error {
	*d = ""
	if text := strings.Trim(string(raw), `"`); len(text) <= 64 && strings.Trim(text, "0123456789+-.eE") == "" {
		*d = decimal(text)
	}
	return nil
}

// scaled returns the number times ten to the given power, rounded to the next whole number, half up. It reckons with digits
// and not with floats: $0.000013 are 13 millionths, and three times $0.1 are $0.3. What is negative or no number is 0, what is
// too large the largest that there is.
func (d decimal) scaled(places int) int64 {
	text := strings.TrimPrefix(string(d), "+")
	mantissa, exponent := text, 0
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		mantissa = text[:i]
		negative := strings.HasPrefix(text[i+1:], "-")
		for _, c := range strings.TrimLeft(text[i+1:], "+-") {
			if c < '0' || c > '9' {
				return 0
			}
			exponent = min(exponent*10+int(c-'0'), 1000)
		}
		if negative {
			exponent = -exponent
		}
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := whole + fraction
	point := len(whole) + exponent + places // so many digits are before the point
	if digits == "" || strings.Trim(digits, "0123456789") != "" || point < 0 {
		return 0
	}
	var n int64
	for i := range point {
		next := int64(0)
		if i < len(digits) {
			next = int64(digits[i] - '0')
		} else if n == 0 {
			return 0
		}
		if n > (math.MaxInt64-next)/10 {
			return math.MaxInt64
		}
		n = n*10 + next
	}
	if point < len(digits) && digits[point] >= '5' && n < math.MaxInt64 {
		n++
	}
	return n
}
