package modeltest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// player plays one turn to one client.
type player struct {
	w     http.ResponseWriter
	flush func() error
	gone  <-chan struct{} // the client left, or the server closes
	plain bool            // no OpenRouter

	id, model string
	created   int64
	input     int // tokens

	began       bool
	ended       bool // without what would be added
	refused     bool
	finish      string
	finishTwice bool
	errorNull   bool
	fragment    int
	usage       *Usage
	noUsage     bool
	wantsUsage  bool

	answer answered
	sent   int    // bytes of text
	wrote  func() // is told when the answer is whole, before the client can know
}

// answered is what an answer was, as it must come back.
type answered struct {
	text    strings.Builder
	Calls   []RequestCall
	details []map[string]any
	blocks  int
}

func (a *answered) Text() string {
	return strings.ToValidUTF8(a.text.String(), "\uFFFD")
}

// newBlock adds a reasoning detail with an index of its own.
func (a *answered) newBlock(detail map[string]any) (index int) {
	index = a.blocks
	a.blocks++
	detail["index"] = index
	a.details = append(a.details, detail)
	return index
}

func (p *player) play(turn Turn) {
	for _, s := range turn {
		if p.ended || p.refused {
			return
		}
		s.play(p)
	}
	if p.ended || p.refused || p.left() {
		return
	}
	p.end()
}

func (p *player) left() bool {
	select {
	case <-p.gone:
		return true
	default:
		return false
	}
}

// sleep says whether the client is still there afterwards.
func (p *player) sleep(d time.Duration) bool {
	if d <= 0 {
		return !p.left()
	}
	p.begin()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.gone:
		p.ended = true
		return false
	}
}

// begin sends headers, and the comment that OpenRouter begins with.
func (p *player) begin() {
	if p.began {
		return
	}
	p.began = true
	header := p.w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-cache")
	if !p.plain {
		header.Set("X-Generation-Id", p.id)
	}
	p.w.WriteHeader(http.StatusOK)
	if !p.plain {
		p.comment("")
		return
	}
	_ = p.flush()
}

func (p *player) write(text string) {
	p.begin()
	for p.fragment > 0 && len(text) > p.fragment {
		_, _ = io.WriteString(p.w, text[:p.fragment])
		_ = p.flush()
		text = text[p.fragment:]
	}
	_, _ = io.WriteString(p.w, text)
	_ = p.flush()
}

func (p *player) comment(text string) {
	if text == "" {
		text = "OPENROUTER PROCESSING"
	}
	p.write(": " + text + "\n\n")
}

// chunk sends a chunk with a delta. The finish reason is JSON, as are further fields.
func (p *player) chunk(delta, finish, more string) {
	var b strings.Builder
	fmt.Fprintf(&b, `data: {"id":%s,`, quote(p.id))
	if !p.plain {
		b.WriteString(`"provider":"Played",`)
	}
	fmt.Fprintf(&b, `"model":%s,"object":"chat.completion.chunk","created":%d,"choices":[{"index":0,"delta":{"role":"assistant"`, quote(p.model), p.created)
	if delta != "" {
		b.WriteString("," + delta)
	}
	fmt.Fprintf(&b, `},"finish_reason":%s,"native_finish_reason":%s,"logprobs":null}]`, finish, finish)
	if p.errorNull {
		b.WriteString(`,"error":null`)
	}
	if more != "" {
		b.WriteString("," + more)
	}
	b.WriteString("}\n\n")
	p.write(b.String())
}

func (p *player) delta(fields string) {
	p.sent += len(fields)
	p.chunk(fields, "null", "")
}

func (p *player) text(piece string) {
	p.answer.text.WriteString(piece)
	p.delta(`"content":` + quote(piece))
}

func (p *player) reasoning(text string, detail map[string]any) {
	if p.plain {
		if text != "" {
			p.delta(`"content":null,"reasoning_content":` + quote(text))
		}
		return
	}
	encoded, _ := json.Marshal(detail)
	shown := "null"
	if text != "" {
		shown = quote(text)
	}
	p.delta(`"content":"","reasoning":` + shown + `,"reasoning_details":[` + string(encoded) + `]`)
}

func (p *player) used() string {
	u := Usage{Input: p.input, Output: tokens(p.sent), Cost: fmt.Sprintf("%.6f", float64(p.input+5*tokens(p.sent))/1e6)}
	if p.usage != nil {
		u = *p.usage
	}
	if p.plain {
		u.Cost = ""
	}
	return u.json()
}

func (p *player) end() {
	finish := p.finish
	if finish == "" {
		finish = "stop"
		if len(p.answer.Calls) > 0 {
			finish = "tool_calls"
		}
	}
	p.ended = true
	p.wrote()
	quoted := quote(finish)
	p.chunk(`"content":""`, quoted, "")
	if p.finishTwice {
		p.chunk(`"content":""`, quoted, "")
	}
	switch {
	case p.noUsage:
	case p.plain:
		if p.wantsUsage {
			p.write(fmt.Sprintf("data: {\"id\":%s,\"model\":%s,\"object\":\"chat.completion.chunk\",\"created\":%d,\"choices\":[],%s}\n\n",
				quote(p.id), quote(p.model), p.created, p.used()))
		}
	default:
		p.chunk(`"content":""`, quoted, p.used())
	}
	p.write("data: [DONE]\n\n")
}

func (p *player) fail(code int, message string, usage bool) {
	failure, _ := json.Marshal(map[string]any{"code": code, "message": message})
	more := `"error":` + string(failure)
	if usage {
		more += "," + p.used()
	}
	p.errorNull = false
	p.chunk(`"content":""`, "null", more)
	p.ended = true
}

func (p *player) refuse(status int, header http.Header, body string) {
	if p.began {
		panic("modeltest: a status after a stream began")
	}
	p.refused = true
	for name, values := range header {
		p.w.Header()[name] = values
	}
	if p.w.Header().Get("Content-Type") == "" {
		p.w.Header().Set("Content-Type", "application/json")
	}
	p.w.WriteHeader(status)
	_, _ = io.WriteString(p.w, body)
}
