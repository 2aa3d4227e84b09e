package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kalpana-dev/kalpana/agent/approval"
	"github.com/kalpana-dev/kalpana/agent/budget"
	"github.com/kalpana-dev/kalpana/agent/model"
	"github.com/kalpana-dev/kalpana/agent/tools"
	"github.com/kalpana-dev/kalpana/agent/uistream"
)

// bigReads is a tool whose answers fill a window.
func bigReads(size int) func(*Config) {
	return func(c *Config) {
		c.Tools = []tools.Tool{{Name: "readFile", Reads: true, Run: func(_ context.Context, _ *tools.Env, call tools.Call) (*tools.Result, error) {
			return &tools.Result{Text: string(call.Input) + strings.Repeat("x", size)}, nil
		}}}
	}
}

func TestCompaction_TheConversationIsSummedUpBeforeTheWindowIsFull(t *testing.T) {
	s := newStage(t, bigReads(9000))
	s.model.offered = []model.Info{{ID: "small", Context: 30_000}}
	s.model.plays(answers("", aCall("t", "todo", `{"items":[{"text":"mind the gap","status":"pending"}]}`)))
	summaries := 0
	for i := range 20 {
		s.model.plays(func(ctx context.Context, req *model.Request, show func(model.Delta)) (*model.Response, error) {
			if len(req.Tools) == 0 {
				summaries++
				if !strings.Contains(req.Messages[0].Text, "sum up") {
					t.Errorf("it is asked %q", req.Messages[0].Text)
				}
				return says("THE SUMMARY")(ctx, req, show)
			}
			if n := tokens(req.Messages); n > 30_000 {
				t.Errorf("request %d has %d tokens", i, n)
			}
			res, err := answers("", aCall(fmt.Sprint("c", i), "readFile", fmt.Sprintf(`{"n":%d}`, i)))(ctx, req, show)
			res.Usage.Input = tokens(req.Messages) + toolTokens(req.Tools)
			return res, err
		})
	}
	s.model.plays(says("Done."))
	chunks := s.send(Send{Text: "the task is TASK"})
	if summaries == 0 {
		t.Fatal("nothing was summed up")
	}
	all := s.model.requests()
	told := all[len(all)-1].Messages
	if !strings.Contains(told[0].Text, "Kalpana") {
		t.Error("the prompt is gone")
	}
	for _, want := range []string{"the task is TASK", "mind the gap", "THE SUMMARY"} {
		if !strings.Contains(told[1].Text, want) {
			t.Errorf("after it the model is not told %q: %s", want, told[1].Text)
		}
	}
	if textOf(chunks) != "Done." || !slices.ContainsFunc(told, func(m model.Message) bool { return m.CallID == "c19" || m.CallID == "c18" }) {
		t.Errorf("%q; the newest messages are gone", textOf(chunks))
	}
	// The next turn goes on from the summary, and people still see all of it.
	s.model.plays(says("ok"))
	s.send(Send{Text: "more"})
	all = s.model.requests()
	if told := all[len(all)-1].Messages; !strings.Contains(told[1].Text, "THE SUMMARY") || told[len(told)-1].Text != "more" {
		t.Errorf("the next turn is told %q", told[1].Text)
	}
	if n := len(s.shown()[1].Parts); n < 30 {
		t.Errorf("people see %d parts", n)
	}
}

func TestCompaction_AWindowThatWasTooSmallAfterAllIsTriedOnceMore(t *testing.T) {
	s := newStage(t)
	tooLong := &model.Error{Kind: model.KindContext, Message: "The request is too long."}
	s.model.plays(says("one"), fails("", tooLong), says("THE SUMMARY"), says("two"))
	s.send(Send{Text: "first"})
	if got := textOf(s.send(Send{Text: "second"})); got != "two" {
		t.Errorf("%q", got)
	}
	told := s.model.requests()[3].Messages
	if !strings.Contains(told[1].Text, "[This conversation had become too long") {
		t.Errorf("%+v", told)
	}
	s.model.plays(fails("", tooLong), says("SUMMARY 2"), fails("", tooLong))
	if got := last(s.send(Send{Text: "third"})); got.Type != uistream.ErrorType || got.ErrorText != tooLong.Message {
		t.Errorf("%+v", got)
	}
}

func TestCompaction_OneHugeAnswerFits(t *testing.T) {
	s := newStage(t, bigReads(1<<20))
	s.model.offered = []model.Info{{ID: "small", Context: 20_000}}
	s.model.plays(answers("", aCall("a", "readFile", `{"n":1}`), aCall("b", "readFile", `{"n":2}`), aCall("c", "readFile", `{"n":3}`), aCall("d", "readFile", `{"n":4}`)))
	s.model.plays(says("THE SUMMARY"), says("Done."))
	if got := textOf(s.send(Send{Text: "go"})); got != "Done." {
		t.Errorf("%q", got)
	}
	all := s.model.requests()
	if n := tokens(all[len(all)-1].Messages); n > 20_000 {
		t.Errorf("the request has %d tokens", n)
	}
}

// fakeBudget has so many calls.
type fakeBudget struct {
	calls    int
	reserved []model.Usage
	settled  []model.Usage
	who      []budget.Who
}

func (b *fakeBudget) Reserve(_ context.Context, who budget.Who, estimate model.Usage) (func(context.Context, model.Usage) error, error) {
	if len(b.reserved) >= b.calls {
		return nil, &budget.Spent{What: "person", Span: "day", Unit: "cost", Limit: 5e6, Used: 5e6}
	}
	b.reserved = append(b.reserved, estimate)
	b.who = append(b.who, who)
	return func(ctx context.Context, used model.Usage) error {
		b.settled = append(b.settled, used)
		return ctx.Err()
	}, nil
}

func (b *fakeBudget) Left(context.Context, budget.Who) (budget.Left, error) {
	return budget.Left{Person: budget.Spans{Day: budget.Span{Limit: budget.Amount{Cost: 5e6}, Used: budget.Amount{Cost: 4.5e6}}}}, nil
}

func TestBudget_EveryCallIsReservedAndSettled(t *testing.T) {
	b := &fakeBudget{calls: 100}
	s := newStage(t, func(c *Config) { c.Budget = b })
	s.model.offered = []model.Info{{ID: "m", Context: 100_000, InputPrice: 1e6, OutputPrice: 10e6}}
	s.model.plays(
		answers("", aCall("a", "readFile", "{}")),
		fails(strings.Repeat("word ", 60), &model.Error{Kind: model.KindProvider, Message: "no", Usage: &model.Usage{Input: 7, Output: 8, Cost: 9, Priced: true}}),
	)
	s.send(Send{Text: "go"})
	s.model.plays(fails(strings.Repeat("word ", 60), &model.Error{Kind: model.KindCut, Message: "cut"}), fails("", &model.Error{Kind: model.KindRateLimited, Message: "wait"}))
	s.send(Send{Text: "go", Person: Person{ID: "ada", Key: "own"}})
	s.send(Send{Text: "go"})
	if len(b.settled) != 4 || len(b.reserved) != 4 {
		t.Fatalf("%d reserved, %d settled", len(b.reserved), len(b.settled))
	}
	if b.reserved[0].Input < 500 || b.reserved[0].Cost < 500 || b.who[0] != (budget.Who{Person: "ada", Workspace: aWorkspace, Chat: "chat", Model: "m"}) {
		t.Errorf("it reserves %+v for %+v", b.reserved[0], b.who[0])
	}
	if b.settled[0].Input != 100 || b.settled[1].Output != 8 {
		t.Errorf("it settles %+v", b.settled)
	}
	if u := b.settled[2]; u.Input < 500 || u.Output < 90 || u.Cost == 0 || !u.Estimated || !b.who[2].OwnKey {
		t.Errorf("what is not known is taken for %+v", u)
	}
	if u := b.settled[3]; u.Input != 0 || u.Output != 0 {
		t.Errorf("a refused request is taken for %+v", u)
	}
}

func TestBudget_AStoppedCallCounts(t *testing.T) {
	b := &fakeBudget{calls: 100}
	s := newStage(t, func(c *Config) { c.Budget = b })
	going := make(chan struct{})
	s.model.plays(func(ctx context.Context, req *model.Request, show func(model.Delta)) (*model.Response, error) {
		show(model.Delta{Text: "I think"})
		close(going)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	r := s.begin(Send{Text: "go"})
	<-going
	if err := s.Stop(t.Context(), "ada", "chat"); err != nil {
		t.Fatal(err)
	}
	s.wait(r)
	if len(b.settled) != 1 || b.settled[0].Input < 500 {
		t.Errorf("%+v", b.settled)
	}
}

func TestBudget_SpentEndsTheRunAndTellsWhatIsLeft(t *testing.T) {
	s := newStage(t, func(c *Config) { c.Budget = &fakeBudget{calls: 1} })
	s.model.plays(answers("", aCall("a", "readFile", "{}")))
	chunks := s.send(Send{Text: "go"})
	got := last(chunks)
	if got.Type != uistream.ErrorType || !strings.Contains(got.ErrorText, "$5.00") || !strings.Contains(got.ErrorText, "Left: $0.50") {
		t.Errorf("%+v", got)
	}
	if !strings.Contains(string(s.shown()[1].Metadata), `"left":{"cost":0.5}`) {
		t.Errorf("the metadata is %s", s.shown()[1].Metadata)
	}
}

func TestSubtask_ReadsAndAnswers(t *testing.T) {
	b := &fakeBudget{calls: 100}
	s := newStage(t, func(c *Config) { c.Budget = b })
	s.model.plays(
		answers("", aCall("a", "task", `{"title":"Look around","prompt":"Where is it?"}`)),
		answers("", aCall("a", "readFile", `{"n":1}`), aCall("x", "writeFile", `{}`), aCall("y", "task", `{}`)),
		says("It is there."),
		says("Done."))
	chunks := s.send(Send{Text: "go", Mode: approval.AskNone})
	if got := s.toolAnswers()["a"]; got != "It is there." {
		t.Errorf("the model is told %q", got)
	}
	if got := s.did.all(); len(got) != 1 {
		t.Errorf("it did %q", got)
	}
	inner := s.model.requests()[1]
	for _, tool := range inner.Tools {
		if tool.Name != "readFile" && tool.Name != "searchCode" {
			t.Errorf("a sub-task is offered %s", tool.Name)
		}
	}
	if inner.Messages[1].Text != "Where is it?" {
		t.Errorf("it is told %+v", inner.Messages)
	}
	outputs := ofType(chunks, uistream.ToolOutputAvailable)
	if text, _ := encodeJSON(outputs[len(outputs)-1].Output); !strings.Contains(string(text), `"text":"It is there."`) || !strings.Contains(string(text), `"tool":"readFile"`) {
		t.Errorf("people are shown %s", text)
	}
	if len(b.settled) != 4 {
		t.Errorf("%d calls are counted", len(b.settled))
	}
	if !strings.Contains(string(s.shown()[1].Metadata), `"input":400`) {
		t.Errorf("the metadata is %s", s.shown()[1].Metadata)
	}
}

func TestSubtask_EndsAtItsLimit(t *testing.T) {
	s := newStage(t)
	s.model.plays(answers("", aCall("a", "task", `{"title":"t","prompt":"p"}`)))
	for i := range maxTaskSteps - 1 {
		s.model.plays(answers("", aCall(fmt.Sprint("c", i), "readFile", fmt.Sprintf(`{"n":%d}`, i))))
	}
	s.model.plays(func(ctx context.Context, req *model.Request, show func(model.Delta)) (*model.Response, error) {
		if m := req.Messages[len(req.Messages)-1]; !strings.Contains(m.Text, "time is over") {
			t.Errorf("it is told %+v", m)
		}
		return says("That is all.")(ctx, req, show)
	}, says("Done."))
	s.send(Send{Text: "go"})
	if got := s.toolAnswers()["a"]; got != "That is all." {
		t.Errorf("%q", got)
	}
}

func TestSubtask_AnErrorOfTheModelIsATools(t *testing.T) {
	s := newStage(t)
	s.model.plays(answers("", aCall("a", "task", `{"title":"t","prompt":"p"}`)), fails("", errors.New("no")), says("Then not."))
	if got := textOf(s.send(Send{Text: "go"})); got != "Then not." {
		t.Errorf("%q", got)
	}
}
