package modeltest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// Turn is one answer, as steps that are played one after another. What it lacks at its end (a finish reason, usage, the
// end mark) is added, unless a step ends it otherwise.
type Turn []Step

// Step is a part of an answer.
type Step interface{ play(*player) }

type step func(*player)

func (s step) play(p *player) { s(p) }

// Text says something, each piece in a chunk of its own. A piece may end within a character: its bytes then go out as
// they are.
func Text(pieces ...string) Step {
	return step(func(p *player) {
		for _, piece := range pieces {
			p.text(piece)
		}
	})
}

// Words says something word by word.
func Words(text string) Step { return Text(words(text)...) }

// Split cuts a text into pieces of so many bytes, wherever that falls.
func Split(text string, size int) (pieces []string) {
	for len(text) > size {
		pieces, text = append(pieces, text[:size]), text[size:]
	}
	return append(pieces, text)
}

// Surrogates says something in pieces of one UTF-16 unit, as servers in JavaScript cut it: a character beyond the
// basic plane comes as two escapes in two chunks.
func Surrogates(text string) Step {
	return step(func(p *player) {
		p.answer.text.WriteString(text)
		for _, unit := range utf16.Encode([]rune(text)) {
			p.delta(fmt.Sprintf(`"content":"\u%04x"`, unit))
		}
	})
}

// Paced says n pieces, one each interval, made by a function when they are due.
func Paced(n int, interval time.Duration, piece func(i int) string) Step {
	return step(func(p *player) {
		begin := time.Now()
		for i := range n {
			if !p.sleep(time.Until(begin.Add(time.Duration(i) * interval))) {
				return
			}
			p.text(piece(i))
		}
	})
}

// Reasoning is a text that the model thinks before it answers, word by word, with its signature in a chunk of its own
// ("" for none).
func Reasoning(text, signature string) Step {
	return step(func(p *player) {
		index := p.answer.newBlock(map[string]any{"type": "reasoning.text", "text": text, "format": "anthropic-claude-v1"})
		for _, word := range words(text) {
			p.reasoning(word, map[string]any{"type": "reasoning.text", "text": word, "format": "anthropic-claude-v1", "index": index})
		}
		if signature != "" {
			p.answer.details[len(p.answer.details)-1]["signature"] = signature
			p.reasoning("", map[string]any{"type": "reasoning.text", "signature": signature, "format": "anthropic-claude-v1", "index": index})
		}
	})
}

// Summary is a summary of what the model thinks, word by word, and then its encrypted form with the same index.
func Summary(text, data string) Step {
	return step(func(p *player) {
		index := p.answer.newBlock(map[string]any{"type": "reasoning.summary", "summary": text, "format": "openai-responses-v1"})
		for _, word := range words(text) {
			p.reasoning(word, map[string]any{"type": "reasoning.summary", "summary": word, "format": "openai-responses-v1", "index": index})
		}
		encrypted := map[string]any{"type": "reasoning.encrypted", "data": data, "format": "openai-responses-v1", "id": "rs_1", "index": index}
		p.answer.details = append(p.answer.details, encrypted)
		p.reasoning("", encrypted)
	})
}

// Call is a call of a tool: its id and name come first, then its arguments in pieces.
func Call(id, name string, arguments ...string) Step {
	return Calls(PlayedCall{ID: id, Name: name, Arguments: arguments})
}

// PlayedCall is one of several calls.
type PlayedCall struct {
	ID, Name  string
	Arguments []string // in pieces
}

// Calls are parallel calls of tools, whose pieces come by turns.
func Calls(calls ...PlayedCall) Step {
	return step(func(p *player) {
		first := len(p.answer.Calls)
		longest := 0
		for i, call := range calls {
			p.answer.Calls = append(p.answer.Calls, RequestCall{ID: call.ID, Name: call.Name, Arguments: strings.Join(call.Arguments, "")})
			p.delta(fmt.Sprintf(`"content":null,"tool_calls":[{"index":%d,"id":%s,"type":"function","function":{"name":%s,"arguments":""}}]`,
				first+i, quote(call.ID), quote(call.Name)))
			longest = max(longest, len(call.Arguments))
		}
		for piece := range longest {
			for i, call := range calls {
				if piece < len(call.Arguments) {
					p.delta(fmt.Sprintf(`"content":null,"tool_calls":[{"index":%d,"type":"function","function":{"arguments":%s}}]`,
						first+i, quote(call.Arguments[piece])))
				}
			}
		}
	})
}

// Comment is a line that keeps the connection alive, as OpenRouter sends them. "" is its usual text.
func Comment(text string) Step {
	return step(func(p *player) { p.comment(text) })
}

// Pause waits.
func Pause(d time.Duration) Step { return step(func(p *player) { p.sleep(d) }) }

// Raw writes text into the stream as it is.
func Raw(text string) Step { return step(func(p *player) { p.write(text) }) }

// Finish sets the finish reason.
func Finish(reason string) Step { return step(func(p *player) { p.finish = reason }) }

// Answers sets which model answers: one of those that were asked for.
func Answers(model string) Step { return step(func(p *player) { p.model = model }) }

// Used sets what the answer used.
func Used(u Usage) Step { return step(func(p *player) { p.usage = &u }) }

// NoUsage leaves out what it used.
func NoUsage() Step { return step(func(p *player) { p.noUsage = true }) }

// ErrorNull has an "error": null in every chunk from here on.
func ErrorNull() Step { return step(func(p *player) { p.errorNull = true }) }

// FinishTwice repeats the chunk with the finish reason.
func FinishTwice() Step { return step(func(p *player) { p.finishTwice = true }) }

// Fragmented sends every frame from here on in network writes of so many bytes.
func Fragmented(size int) Step { return step(func(p *player) { p.fragment = size }) }

// Fail is an error in mid-stream with what was used until then; it ends the answer.
func Fail(code int, message string) Step {
	return step(func(p *player) { p.fail(code, message, true) })
}

// FailWithoutUsage is an error in mid-stream that does not tell what was used.
func FailWithoutUsage(code int, message string) Step {
	return step(func(p *player) { p.fail(code, message, false) })
}

// End ends the stream without a finish reason, in an orderly way as for HTTP.
func End() Step { return step(func(p *player) { p.ended = true }) }

// Cut ends the connection.
func Cut() Step { return step(func(*player) { panic(http.ErrAbortHandler) }) }

// Stall says nothing more and leaves the connection open, until the client ends it.
func Stall() Step { return step(func(p *player) { p.sleep(time.Hour) }) }

// StallAlive says nothing more but comments that keep the connection alive, one each interval.
func StallAlive(interval time.Duration) Step {
	return step(func(p *player) {
		for p.sleep(interval) {
			p.comment("")
		}
	})
}

// Refuse answers with a status instead of a stream, and OpenRouter's form of an error.
func Refuse(status int, message string) Step {
	return RefuseWith(status, nil, errorBody(status, message, nil))
}

// RefuseUpstream answers as OpenRouter does for a provider behind it that failed: the message of it is in the metadata.
func RefuseUpstream(status int, provider, message string) Step {
	raw, _ := json.Marshal(map[string]any{"error": map[string]any{"message": message, "code": status}})
	return RefuseWith(status, nil, errorBody(status, "Provider returned error", map[string]any{"provider_name": provider, "raw": string(raw)}))
}

// RateLimit answers 429 with Retry-After, which may be empty.
func RateLimit(retryAfter string) Step {
	header := http.Header{}
	if retryAfter != "" {
		header.Set("Retry-After", retryAfter)
	}
	return RefuseWith(http.StatusTooManyRequests, header, errorBody(http.StatusTooManyRequests, "Rate limit exceeded", nil))
}

// RefuseWith answers with a status, headers and a body as they are. It must be the only step.
func RefuseWith(status int, header http.Header, body string) Step {
	return step(func(p *player) { p.refuse(status, header, body) })
}

// Usage is what an answer used. Cost is the number as it stands in the JSON, "" for none.
type Usage struct {
	Input, Output, Cached, Reasoning int
	Cost                             string
}

func (u Usage) json() string {
	cost := ""
	if u.Cost != "" {
		cost = `,"cost":` + u.Cost + `,"is_byok":false,"cost_details":{"upstream_inference_cost":null}`
	}
	return fmt.Sprintf(`"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,"prompt_tokens_details":{"cached_tokens":%d},"completion_tokens_details":{"reasoning_tokens":%d}%s}`,
		u.Input, u.Output, u.Input+u.Output, u.Cached, u.Reasoning, cost)
}

func errorBody(code int, message string, metadata map[string]any) string {
	failure := map[string]any{"code": code, "message": message}
	if metadata != nil {
		failure["metadata"] = metadata
	}
	body, _ := json.Marshal(map[string]any{"error": failure, "user_id": "user_played"})
	return string(body)
}

func words(text string) []string {
	return strings.SplitAfter(text, " ")
}

// quote is a JSON string in which bytes that are no UTF-8 stay as they are.
func quote(text string) string {
	if utf8.ValidString(text) {
		quoted, _ := json.Marshal(text)
		return string(quoted)
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(text) {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < 0x20:
			b.WriteString(`\u00` + fmt.Sprintf("%02x", c))
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// tokens reckons how many there are in so many bytes.
func tokens(bytes int) int { return max(1, bytes/4) }
