package model

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

// What an answer may come to: a server that is not what it should be must not exhaust the memory.
const (
	maxLine   = 4 << 20   // bytes of one event
	maxStream = 512 << 20 // bytes of a stream: each token may come with some hundred bytes around it
	maxAnswer = 4 << 20   // bytes of texts, arguments and reasoning
	maxCalls  = 128
	maxBlocks = 1024 // of reasoning
	maxName   = 256  // bytes of ids and names
)

var errTooMuch = errors.New("more than an answer may come to")

// chunk is one event of a stream.
type chunk struct {
	ID      piece `json:"id"`
	Model   piece `json:"model"`
	Choices []struct {
		Delta        delta           `json:"delta"`
		FinishReason piece           `json:"finish_reason"`
		Error        json.RawMessage `json:"error"`
	} `json:"choices"`
	Usage json.RawMessage `json:"usage"`
	Error json.RawMessage `json:"error"`
}

type delta struct {
	Content          piece             `json:"content"`
	Refusal          piece             `json:"refusal"`
	Reasoning        piece             `json:"reasoning"`
	ReasoningContent piece             `json:"reasoning_content"`
	ReasoningDetails []json.RawMessage `json:"reasoning_details"`
	ToolCalls        []callPiece       `json:"tool_calls"`
}

type callPiece struct {
	Index    *int  `json:"index"`
	ID       piece `json:"id"`
	Function struct {
		Name      piece `json:"name"`
		Arguments piece `json:"arguments"`
	} `json:"function"`
}

// events reads server-sent events.
type events struct {
	r    *bufio.Reader
	line []byte
	data []byte
	read int
}

// next returns the data of the next event, until the call after. Comments and other fields are passed over.
func (e *events) next() ([]byte, error) {
	e.data = e.data[:0]
	some := false
	for {
		line, err := e.nextLine()
		if err != nil {
			if some && errors.Is(err, io.EOF) && (json.Valid(e.data) || isDone(e.data)) {
				return e.data, nil // a server that forgot the empty line
			}
			return nil, err
		}
		if len(line) == 0 {
			if some {
				return e.data, nil
			}
			continue
		}
		value, ok := bytes.CutPrefix(line, []byte("data:"))
		if !ok {
			continue
		}
		if some {
			e.data = append(e.data, '\n')
		}
		some = true
		e.data = append(e.data, bytes.TrimPrefix(value, []byte(" "))...)
		if len(e.data) > maxLine {
			return nil, errTooMuch
		}
	}
}

// nextLine returns a line without its end.
func (e *events) nextLine() ([]byte, error) {
	e.line = e.line[:0]
	for {
		part, err := e.r.ReadSlice('\n')
		if e.read += len(part); e.read > maxStream || len(e.line)+len(part) > maxLine {
			return nil, errTooMuch
		}
		if err == nil && len(e.line) == 0 {
			return bytes.TrimRight(part, "\r\n"), nil
		}
		e.line = append(e.line, part...)
		switch {
		case err == nil, errors.Is(err, io.EOF) && len(e.line) > 0:
			return bytes.TrimRight(e.line, "\r\n"), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

func isDone(data []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(data), []byte("[DONE]")) }

// read takes in a stream to its end.
func (c *Client) read(ctx context.Context, tell *teller, body io.Reader, a *answer) error {
	e := &events{r: bufio.NewReaderSize(body, 4<<10)}
	for {
		data, err := e.next()
		switch {
		case ctx.Err() != nil && a.finish == "":
			if errors.Is(context.Cause(ctx), errStalled) {
				return tell.stalled(c.stallOf(a))
			}
			return ctx.Err()
		case errors.Is(err, errTooMuch):
			return tell.failure(KindBadAnswer, 0, errTooMuch.Error())
		case err != nil && a.finish != "":
			return a.done(tell) // only what it used may be missing
		case err != nil:
			return tell.cut()
		case isDone(data):
			if a.finish == "" {
				return tell.cut()
			}
			a.watch.last(drain)
			_, _ = io.CopyN(io.Discard, e.r, 4<<10)
			return a.done(tell)
		}
		if err := a.take(tell, data); err != nil {
			return err
		}
	}
}

// stallOf is how long nothing came.
func (c *Client) stallOf(a *answer) time.Duration {
	if a.watch.begun {
		return c.config.Idle
	}
	return c.config.Wait
}

// answer is an answer as it comes in.
type answer struct {
	emit  func(Delta)
	began time.Time
	watch *watchdog
	plain bool

	id, model string
	finish    string
	usage     *Usage
	first     time.Duration
	chunks    int
	size      int

	text      assembled
	reasoning assembled // of a plain server
	thought   joiner    // of reasoning that is shown
	calls     []*callAssembled
	places    map[int]*callAssembled // by the index of the provider's
	blocks    []*block
}

// assembled is a text that comes in pieces.
type assembled struct {
	strings.Builder
	joiner joiner
}

// add returns what is whole now.
func (t *assembled) add(p piece) string {
	whole := t.joiner.join(p)
	t.WriteString(whole)
	return whole
}

func (t *assembled) end() string {
	rest := t.joiner.end()
	t.WriteString(rest)
	return rest
}

type callAssembled struct {
	place     int
	id, name  string
	arguments assembled
	shown     bool
}

// take takes in an event.
func (a *answer) take(tell *teller, data []byte) error {
	var ch chunk
	if err := json.Unmarshal(data, &ch); err != nil {
		return tell.failure(KindBadAnswer, 0, "an event is no JSON of a chat completion")
	}
	if a.id == "" {
		a.id = plainName(ch.ID)
	}
	if a.model == "" {
		a.model = plainName(ch.Model)
	}
	if u, ok := parseUsage(ch.Usage); ok {
		a.usage = &u // the last one counts: each tells of the whole answer
	}
	if isError(ch.Error) {
		return tell.midStream(ch.Error)
	}
	if len(ch.Choices) == 0 {
		return nil
	}
	choice := &ch.Choices[0] // no other was asked for
	if isError(choice.Error) {
		return tell.midStream(choice.Error)
	}
	if err := a.takeDelta(&choice.Delta); err != nil {
		return tell.failure(KindBadAnswer, 0, err.Error())
	}
	if finish := plainName(choice.FinishReason); finish != "" && a.finish == "" {
		a.finish = finish
		a.watch.last(tail)
	}
	return nil
}

// isError says whether there is an error: some servers have a null in every chunk.
func isError(raw json.RawMessage) bool {
	text := string(raw)
	return text != "" && text != "null" && text != `""` && text != "false" && text != "{}"
}

func (a *answer) takeDelta(d *delta) error {
	reasoning := d.Reasoning
	if len(reasoning) == 0 {
		reasoning = d.ReasoningContent
	}
	a.size += len(d.Content) + len(d.Refusal) + len(reasoning)
	for _, detail := range d.ReasoningDetails {
		a.size += len(detail)
		shown, err := a.takeDetail(detail)
		if err != nil {
			return err
		}
		if len(d.Reasoning) == 0 && len(d.ReasoningContent) == 0 {
			reasoning = append(reasoning, shown...)
		}
	}
	for i := range d.ToolCalls {
		a.size += len(d.ToolCalls[i].Function.Arguments)
	}
	if a.size > maxAnswer {
		return errTooMuch
	}
	if len(reasoning) > 0 {
		if a.plain {
			a.reasoning.add(reasoning)
		}
		if text := a.thought.join(reasoning); text != "" {
			a.show(Delta{Reasoning: text})
		}
	}
	for _, said := range []piece{d.Content, d.Refusal} {
		if len(said) > 0 {
			if text := a.text.add(said); text != "" {
				a.show(Delta{Text: text})
			}
		}
	}
	for i := range d.ToolCalls {
		if err := a.takeCall(&d.ToolCalls[i]); err != nil {
			return err
		}
	}
	return nil
}

func (a *answer) show(d Delta) {
	a.watch.piece()
	if a.chunks++; a.chunks == 1 {
		a.first = time.Since(a.began)
	}
	a.emit(d)
}

// takeCall takes in a piece of a tool call. Pieces belong together by their index; a server without indices gives whole
// calls, or an id that is another.
func (a *answer) takeCall(p *callPiece) error {
	if a.places == nil {
		a.places = map[int]*callAssembled{}
	}
	var call *callAssembled
	if p.Index != nil {
		call = a.places[*p.Index]
	} else if len(a.calls) > 0 {
		call = a.calls[len(a.calls)-1]
	}
	id := plainName(p.ID)
	if call == nil || id != "" && call.id != "" && id != call.id {
		if len(a.calls) == maxCalls {
			return errTooMuch
		}
		call = &callAssembled{place: len(a.calls)}
		a.calls = append(a.calls, call)
		if p.Index != nil {
			a.places[*p.Index] = call
		}
	}
	if call.id == "" {
		call.id = id
	}
	if call.name == "" {
		call.name = toolName(p.Function.Name)
	}
	text := call.arguments.add(p.Function.Arguments)
	switch {
	case call.name == "":
	case !call.shown:
		call.shown = true
		call.id = a.uniqueID(call)
		a.show(Delta{Call: &CallDelta{Index: call.place, CallID: call.id, Name: call.name, Arguments: call.arguments.String()}})
	case text != "":
		a.show(Delta{Call: &CallDelta{Index: call.place, Arguments: text}})
	}
	return nil
}

// uniqueID is a call's id, or one for it where it has none or that of another call.
func (a *answer) uniqueID(call *callAssembled) string {
	taken := call.id == ""
	for _, other := range a.calls {
		taken = taken || other != call && other.id == call.id
	}
	if taken {
		return "call_" + rand.Text()
	}
	return call.id
}

// done ends an answer that has its finish reason.
func (a *answer) done(tell *teller) error {
	if a.finish == "error" {
		return tell.failure(KindProvider, 0, "")
	}
	if rest := a.text.end(); rest != "" {
		a.show(Delta{Text: rest})
	}
	a.reasoning.end()
	for _, call := range a.calls {
		if call.name == "" {
			return tell.failure(KindBadAnswer, 0, "a tool call has no name")
		}
		if rest := call.arguments.end(); rest != "" {
			a.show(Delta{Call: &CallDelta{Index: call.place, Arguments: rest}})
		}
	}
	if len(a.calls) > 0 && a.finish == FinishStop {
		a.finish = FinishToolCalls
	}
	return nil
}

// response is what has come of an answer, with what earlier attempts used.
func (c *Client) response(r *Request, a *answer, sent int, spent Usage) *Response {
	name := c.nameOf(r.Models, a.model)
	res := &Response{
		Message: Message{Role: Assistant, Text: a.text.String(), Model: name},
		Finish:  a.finish, Model: name, ID: a.id, FirstChunk: a.first, Chunks: a.chunks,
	}
	for _, b := range a.blocks {
		res.Message.Reasoning = append(res.Message.Reasoning, b.encode())
	}
	if a.reasoning.Len() > 0 {
		detail, _ := json.Marshal(ownDetail{ownReasoning, a.reasoning.String()})
		res.Message.Reasoning = append(res.Message.Reasoning, detail)
	}
	for _, call := range a.calls {
		if call.shown {
			res.Message.Calls = append(res.Message.Calls, Call{call.id, call.name, call.arguments.String()})
		}
	}
	switch {
	case a.usage != nil:
		res.Usage = *a.usage
	case a.chunks > 0:
		// Somebody pays for what came, although nobody tells how much: about four bytes are a token.
		res.Usage = Usage{Input: int64(sent / 4), Output: int64(a.size/4 + 1), Estimated: true}
	}
	if !res.Usage.Priced {
		c.list.price(name, &res.Usage)
	}
	res.Usage.Add(spent)
	return res
}

// plainName is an id or a name of the provider's, of printable ASCII and not long.
func plainName(p piece) string {
	if len(p) > maxName {
		return ""
	}
	for _, c := range p {
		if c <= ' ' || c >= utf8.RuneSelf-1 {
			return ""
		}
	}
	return string(p)
}

// toolName is the name of a tool as providers accept it back.
func toolName(p piece) string {
	name := []byte(p)
	for i, c := range name {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			name[i] = '_'
		}
	}
	return string(name[:min(len(name), 64)])
}

// notStream is the error for a success that is no stream.
func (c *Client) notStream(tell *teller, res *http.Response) error {
	kind, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
	switch strings.ToLower(strings.TrimSpace(kind)) {
	case "application/json":
		body, _ := io.ReadAll(io.LimitReader(res.Body, maxErrorBody))
		var failed struct {
			Error json.RawMessage `json:"error"`
		}
		if json.Unmarshal(body, &failed) == nil && isError(failed.Error) {
			return tell.midStream(failed.Error)
		}
		return tell.failure(KindBadAnswer, 0, "a whole answer came where a stream was asked for")
	case "text/html":
		return tell.failure(KindBadAnswer, 0, "a web page came where a stream was asked for")
	}
	return nil
}
