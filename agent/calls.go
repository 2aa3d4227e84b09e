package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/kalpana-dev/kalpana/agent/approval"
	"github.com/kalpana-dev/kalpana/agent/model"
	"github.com/kalpana-dev/kalpana/agent/tools"
	"github.com/kalpana-dev/kalpana/agent/uistream"
)

// call is a call of a tool.
type call struct {
	model.Call
	wrote string // the name as the model wrote it
	tool  *tools.Tool
	input json.RawMessage
	fault string // why it cannot be carried out, for the model

	verdict    approval.Verdict // "" before it is judged; Ask while it waits
	reason     string
	approvalID string
	suggest    []approval.Rule
	automatic  bool
	output     json.RawMessage // of a question that was answered
}

func (c *call) question() bool { return c.tool != nil && c.tool.Name == askTool }

// settled: nobody is to say anything about it any more.
func (c *call) settled() bool {
	if c.question() {
		return c.fault != "" || c.output != nil
	}
	return c.fault != "" || c.verdict == approval.Allow
}

func (c *call) reads() bool { return c.fault != "" || c.tool.ReadsWith(c.input) }

// Limits of calls.
const (
	maxParallel = 8         // reads at once
	maxCalls    = 64        // of one answer
	maxSuggest  = 2 << 10   // bytes of the rules that are suggested for one call
	maxResult   = 256 << 10 // bytes of what a model is told of one call
	maxShown    = 256 << 10 // bytes of what a person is shown of one call
	// afterStop is how long a tool that was told to stop may take to do so before nobody waits for it.
	afterStop = 2 * time.Second
)

// act carries out the calls of an answer, in their order but for reads that follow on one another, which go side by
// side. Where one needs the person's word, those behind it wait too: they may rely on what it does. It reports whether
// there are some that wait.
func (r *Run) act(ctx context.Context, calls []*call) (waiting bool, err error) {
	// Those that cannot be carried out are out of the way first.
	var open []*call
	for i, c := range calls {
		if i >= maxCalls && c.fault == "" {
			c.fault = fmt.Sprintf("These are too many calls at once, so this one is not carried out: there may be %d.", maxCalls)
		}
		if c.fault == "" {
			r.judge(ctx, c)
		}
		if c.fault == "" {
			c.fault = r.repeated(len(calls)-i, c)
		}
		if c.fault != "" {
			r.emit(uistream.Chunk{
				Type: uistream.ToolInputError, ToolCallID: c.ID, ToolName: c.Name, Input: c.input, ErrorText: c.fault,
				ProviderExecuted: !c.question(),
			})
			r.tell(model.Message{Role: model.ToolRole, CallID: c.ID, Text: "Error: " + c.fault})
			continue
		}
		r.emit(uistream.Chunk{
			Type: uistream.ToolInputAvailable, ToolCallID: c.ID, ToolName: c.Name, Input: c.input, Title: c.title(),
			ProviderExecuted: !c.question(),
		})
		open = append(open, c)
	}
	for i, c := range open {
		if !c.settled() {
			r.request(open[i:])
			break
		}
	}
	return r.carryOut(ctx, open)
}

// judge decides whether a call may be carried out.
func (r *Run) judge(ctx context.Context, c *call) {
	if c.question() {
		if err := checkQuestion(c.input); err != nil {
			c.fault = err.Error()
		}
		return
	}
	reads := c.tool.ReadsWith(c.input)
	if r.plan && !reads && c.tool.ReadsCall != nil {
		c.fault = "This changes something, and you are in plan mode: look only, and end with the plan."
		return
	}
	r.mu.Lock()
	mode := r.mode
	rules := append(append([]approval.Rule(nil), r.cfg.Rules...), r.rules...)
	r.mu.Unlock()
	d := r.cfg.Decide(approval.Call{Tool: c.Name, Reads: reads, Input: c.input, Remotes: r.remotes(ctx)}, mode, rules...)
	c.verdict, c.reason = d.Verdict, word(d.Reason, 500)
	if text, err := json.Marshal(d.Suggest); err == nil && len(text) <= maxSuggest {
		c.suggest = d.Suggest
	}
	if r.cfg.Metrics != nil {
		r.cfg.Metrics.Decided(d.Verdict)
	}
	switch d.Verdict {
	case approval.Allow, approval.Ask:
	default:
		c.fault = "This is not allowed here. " + c.reason
	}
}

// remotes returns the addresses of the workspace's own repository, from its record: what is in the container was
// perhaps changed by a command.
func (r *Run) remotes(ctx context.Context) []string {
	w, err := r.cfg.Find(ctx, r.workspace)
	if err != nil || w.Repository == "" {
		return nil
	}
	return []string{w.Repository}
}

// request asks the person about the first call, which needs their word, and those behind it.
func (r *Run) request(calls []*call) {
	for _, c := range calls {
		if c.question() {
			continue
		}
		c.approvalID = newID("approval")
		if c.automatic = c.settled(); c.automatic {
			r.emit(uistream.Chunk{Type: uistream.ToolApprovalRequest, ApprovalID: c.approvalID, ToolCallID: c.ID, IsAutomatic: true})
			yes := true
			r.emit(uistream.Chunk{Type: uistream.ToolApprovalResponse, ApprovalID: c.approvalID, Approved: &yes})
			continue
		}
		r.emit(uistream.Chunk{Type: uistream.ToolApprovalRequest, ApprovalID: c.approvalID, ToolCallID: c.ID, Reason: c.reason})
		if len(c.suggest) > 0 {
			r.show("approval", c.approvalID, map[string]any{"approvalId": c.approvalID, "callId": c.ID, "suggest": c.suggest})
		}
	}
}

// carryOut carries calls out up to the first that waits for the person. What is left is kept.
func (r *Run) carryOut(ctx context.Context, calls []*call) (waiting bool, err error) {
	for len(calls) > 0 && calls[0].settled() {
		n := 1
		for calls[0].reads() && n < len(calls) && calls[n].settled() && calls[n].reads() {
			n++
		}
		if err := r.together(ctx, calls[:n]); err != nil {
			return false, err
		}
		calls = calls[n:]
	}
	r.pending = nil
	for _, c := range calls {
		r.pending = append(r.pending, pendingCall{
			CallID: c.ID, ApprovalID: c.approvalID, Question: c.question(), Automatic: c.automatic,
			Answered: c.output != nil || !c.automatic && c.verdict == approval.Allow, Approved: c.verdict == approval.Allow,
			Output: c.output, Suggest: c.suggest,
		})
	}
	return len(calls) > 0, nil
}

// answered goes on with the calls that waited for the person.
func (r *Run) answered(ctx context.Context) (waiting bool, err error) {
	offered := r.offered(ctx)
	r.mu.Lock()
	written := map[string]model.Call{}
	for _, m := range r.turn.Messages {
		for _, c := range m.Calls {
			written[c.ID] = c
		}
	}
	r.mu.Unlock()
	var calls []*call
	for _, p := range r.pending {
		w, ok := written[p.CallID]
		if !ok {
			continue // which cannot be
		}
		c := &call{
			Call: w, wrote: w.Name, tool: offered.tools[w.Name], input: json.RawMessage(w.Arguments), verdict: approval.Ask,
			approvalID: p.ApprovalID, suggest: p.Suggest, automatic: p.Automatic,
		}
		if p.news && !p.Question {
			r.emit(uistream.Chunk{Type: uistream.ToolApprovalResponse, ApprovalID: p.ApprovalID, Approved: &p.Approved, Reason: word(p.Reason, maxReason)})
		}
		switch {
		case p.Question && p.Answered:
			c.output = p.Output
		case p.Question:
		case p.Answered && !p.Approved:
			r.emit(uistream.Chunk{Type: uistream.ToolOutputDenied, ToolCallID: c.ID})
			text := "The person does not want this to be done."
			if p.Reason != "" {
				text += " They say: " + p.Reason
			}
			r.tell(model.Message{Role: model.ToolRole, CallID: c.ID, Text: text})
			continue
		case p.Answered, p.Automatic:
			c.verdict = approval.Allow
		}
		switch {
		case c.tool == nil:
			c.fault = "This tool is not there any more."
		case w.Arguments == leftOut:
			c.fault = "What this was to be done with was too long to be kept until now."
		}
		if c.fault != "" {
			r.emit(uistream.Chunk{Type: uistream.ToolOutputError, ToolCallID: c.ID, ErrorText: c.fault})
			r.tell(model.Message{Role: model.ToolRole, CallID: c.ID, Text: c.fault})
			continue
		}
		calls = append(calls, c)
	}
	waiting, err = r.carryOut(ctx, calls)
	if err == nil && !waiting {
		err = r.save(ctx, true)
	}
	return waiting, err
}

// together carries calls out side by side, and tells the model what they came to in their order.
func (r *Run) together(ctx context.Context, calls []*call) error {
	results := make([]model.Message, len(calls))
	faults := make([]error, len(calls))
	places := make(chan struct{}, maxParallel)
	var all sync.WaitGroup
	for i, c := range calls {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			results[i], faults[i] = r.one(ctx, c)
		})
	}
	all.Wait()
	for _, m := range results {
		if m.Role != "" {
			r.tell(m)
		}
	}
	return errors.Join(faults...)
}

// one carries out one call, shows what it came to, and returns what the model is told. An error ends the run.
func (r *Run) one(ctx context.Context, c *call) (model.Message, error) {
	told := model.Message{Role: model.ToolRole, CallID: c.ID}
	if ctx.Err() != nil {
		return model.Message{}, context.Cause(ctx)
	}
	if c.question() {
		r.emit(uistream.Chunk{Type: uistream.ToolOutputAvailable, ToolCallID: c.ID, Output: c.output})
		told.Text = answerText(c.output)
		return told, nil
	}
	result, err := r.use(ctx, c)
	switch {
	case ctx.Err() != nil:
		return model.Message{}, context.Cause(ctx)
	case errors.Is(err, tools.ErrWorkspace):
		r.emit(uistream.Chunk{Type: uistream.ToolOutputError, ToolCallID: c.ID, ErrorText: faultText(err)})
		told.Text = "Error: " + faultText(err)
		return told, err
	case err != nil:
		r.emit(uistream.Chunk{Type: uistream.ToolOutputError, ToolCallID: c.ID, ErrorText: faultText(err)})
		told.Text = headTail("Error: "+plain(err.Error()), r.resultLimit())
	default:
		r.emit(uistream.Chunk{Type: uistream.ToolOutputAvailable, ToolCallID: c.ID, Output: shownOutput(result)})
		told.Text = headTail(plain(result.Text), r.resultLimit())
		told.Text += r.nearby(ctx, c)
	}
	if strings.TrimSpace(told.Text) == "" {
		told.Text = "(nothing)"
	}
	told.Text += r.nudge(c)
	return told, nil
}
