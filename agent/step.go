package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/kalpana-dev/kalpana/agent/model"
	"github.com/kalpana-dev/kalpana/agent/uistream"
)

// answer is one answer of the model, while it is written and after.
type answer struct {
	r         *Run
	offered   *offer
	text      string // the id of the text that is being written, or ""
	reasoning string // likewise
	wrote     bool   // a text was shown
	shown     bool   // anything was
	writing   map[int]*call
	order     []int // of writing, as they began

	finish string
	calls  []*call
}

// partID names a part of a message.
func partID(kind string, n int) string { return fmt.Sprintf("%s-%d", kind, n) }

// newPart returns the id of a part that begins.
func (r *Run) newPart(kind string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.parts++
	return partID(kind, r.parts)
}

// answer asks the model for its next message, shows it as it comes, and adds it to what the model is told.
func (r *Run) answer(ctx context.Context, offered *offer) (*answer, error) {
	a := &answer{r: r, offered: offered, writing: map[int]*call{}}
	r.mu.Lock()
	prompt := r.prompt
	r.mu.Unlock()
	told := wellFormed(r.told())
	markCache(told)
	req := &model.Request{
		Models: []string{r.info.ID}, Tools: offered.forModel, Effort: r.effort,
		Messages: append([]model.Message{{Role: model.System, Text: prompt, Cache: true}}, told...),
	}
	res, err := r.call(ctx, req, a.delta)
	a.close()
	if err != nil {
		a.giveUp()
		r.mu.Lock()
		partial := r.partial.String()
		r.mu.Unlock()
		r.tellWhole(model.Message{Role: model.Assistant, Text: partial})
		return a, err
	}
	a.complete(res)
	r.mu.Lock()
	r.counted = res.Usage.Input + res.Usage.Output
	r.since = len(r.prior) + len(r.turn.Messages)
	r.mu.Unlock()
	return a, nil
}

// markCache marks the two last messages that others follow on, so that the provider finds in its cache what it had in
// the request before.
func markCache(messages []model.Message) {
	marks := 0
	for i := len(messages) - 1; i >= 0 && marks < 2; i-- {
		if messages[i].Role == model.User || messages[i].Role == model.ToolRole && (i+1 == len(messages) || messages[i+1].Role != model.ToolRole) {
			messages[i].Cache = true
			marks++
		}
	}
}

// delta shows a piece of the answer.
func (a *answer) delta(d model.Delta) {
	if d.Text == "" && d.Reasoning == "" && d.Call == nil {
		return
	}
	a.shown = true
	switch {
	case d.Text != "":
		a.endReasoning()
		if a.text == "" {
			a.text = a.r.newPart("text")
			a.r.emit(uistream.Chunk{Type: uistream.TextStart, ID: a.text})
		}
		a.wrote = true
		a.r.mu.Lock()
		a.r.partial.WriteString(d.Text)
		a.r.mu.Unlock()
		a.r.emit(uistream.Chunk{Type: uistream.TextDelta, ID: a.text, Delta: d.Text})
	case d.Reasoning != "":
		a.endText()
		if a.reasoning == "" {
			a.reasoning = a.r.newPart("reasoning")
			a.r.emit(uistream.Chunk{Type: uistream.ReasoningStart, ID: a.reasoning})
		}
		a.r.emit(uistream.Chunk{Type: uistream.ReasoningDelta, ID: a.reasoning, Delta: d.Reasoning})
	}
	if d.Call != nil {
		a.piece(d.Call)
	}
}

// piece shows a piece of a call.
func (a *answer) piece(d *model.CallDelta) {
	a.endText()
	a.endReasoning()
	c := a.writing[d.Index]
	if c == nil {
		c = a.begin(d.CallID, d.Name)
		a.writing[d.Index] = c
		a.order = append(a.order, d.Index)
		a.r.emit(uistream.Chunk{Type: uistream.ToolInputStart, ToolCallID: c.ID, ToolName: c.Name, ProviderExecuted: !c.question()})
	}
	if d.Arguments != "" {
		a.r.emit(uistream.Chunk{Type: uistream.ToolInputDelta, ToolCallID: c.ID, InputTextDelta: d.Arguments})
	}
}

func (a *answer) endText() {
	if a.text != "" {
		a.r.emit(uistream.Chunk{Type: uistream.TextEnd, ID: a.text})
		a.text = ""
	}
}

func (a *answer) endReasoning() {
	if a.reasoning != "" {
		a.r.emit(uistream.Chunk{Type: uistream.ReasoningEnd, ID: a.reasoning})
		a.reasoning = ""
	}
}

func (a *answer) close() {
	a.endText()
	a.endReasoning()
}

// giveUp ends the calls of an answer that broke off.
func (a *answer) giveUp() {
	for _, i := range a.order {
		a.r.emit(uistream.Chunk{Type: uistream.ToolOutputError, ToolCallID: a.writing[i].ID, ErrorText: "The answer broke off before this call was complete, so it was not carried out."})
	}
}

// What providers take as a name and as an id. Others would have every later request refused.
var (
	validName   = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	validCallID = regexp.MustCompile(`^[A-Za-z0-9_.:|=+/-]{1,128}$`)
)

// unknownTool stands for a name that is none.
const unknownTool = "unknown"

// begin returns the call that a model begins: with an id that no other has had in the conversation.
func (a *answer) begin(id, name string) *call {
	c := &call{wrote: name}
	if c.Name = name; !validName.MatchString(name) {
		c.Name = unknownTool
	}
	c.tool = a.offered.tools[name]
	a.r.mu.Lock()
	defer a.r.mu.Unlock()
	if c.ID = id; !validCallID.MatchString(id) || a.r.callIDs[id] {
		c.ID = newID("call")
	}
	a.r.callIDs[c.ID] = true
	return c
}

// complete shows what is left of a whole answer, and adds it to what the model is told.
func (a *answer) complete(res *model.Response) {
	m := res.Message
	m.Role, m.Model = model.Assistant, res.Model
	if m.Model == "" {
		m.Model = a.r.info.ID
	}
	if !a.wrote && m.Text != "" {
		a.delta(model.Delta{Text: m.Text})
		a.close()
	}
	a.finish = res.Finish
	written := m.Calls
	m.Calls = nil
	for i, w := range written {
		var c *call
		if i < len(a.order) {
			c = a.writing[a.order[i]]
		} else {
			c = a.begin(w.ID, w.Name)
		}
		c.Arguments = w.Arguments
		a.calls = append(a.calls, c)
	}
	for i := len(written); i < len(a.order); i++ { // which came to nothing
		a.r.emit(uistream.Chunk{Type: uistream.ToolOutputError, ToolCallID: a.writing[a.order[i]].ID, ErrorText: "This call was not completed."})
	}
	for _, c := range a.calls {
		c.check(res.Finish)
		m.Calls = append(m.Calls, c.Call)
	}
	a.r.tellWhole(m)
}

// check finds what is wrong with a call, and makes it one that every provider takes in later requests.
func (c *call) check(finish string) {
	arguments := strings.TrimSpace(c.Arguments)
	if arguments == "" {
		arguments = "{}"
	}
	var object map[string]json.RawMessage
	err := json.Unmarshal([]byte(arguments), &object)
	switch {
	case err == nil && object != nil:
		c.Arguments, c.input = arguments, json.RawMessage(arguments)
	default:
		c.input, _ = json.Marshal(headTail(strings.ToValidUTF8(arguments, "\uFFFD"), 2<<10))
		c.Arguments = "{}"
		switch {
		case finish == model.FinishLength:
			c.fault = "The call was cut off, since the answer had reached the longest that you write at once. Do it in smaller pieces."
		case err != nil:
			c.fault = "The arguments are not valid JSON: " + word(err.Error(), 200) + ". Call it again with a JSON object."
		default:
			c.fault = "The arguments are not a JSON object. Call it again with one."
		}
	}
	if c.tool == nil {
		c.fault = fmt.Sprintf("There is no tool %q. Call only the tools that you were given.", word(c.wrote, 64))
	}
}
