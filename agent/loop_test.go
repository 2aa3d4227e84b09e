package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/agent/approval"
	"github.com/kalpana-dev/kalpana/agent/model"
	"github.com/kalpana-dev/kalpana/agent/tools"
	"github.com/kalpana-dev/kalpana/agent/uistream"
)

func TestRun_AnAnswerIsStreamedAndKept(t *testing.T) {
	s := newStage(t)
	s.model.plays(says("Hello there, Ada."))
	chunks := s.send(Send{Text: "# Say hello\nplease"})

	var types []string
	for _, c := range chunks {
		if n := len(types); n == 0 || types[n-1] != string(c.Type) {
			types = append(types, string(c.Type))
		}
	}
	want := []string{"start", "start-step", "text-start", "text-delta", "text-end", "finish-step", "message-metadata", "finish"}
	if diff := cmp.Diff(want, types); diff != "" {
		t.Error(diff)
	}
	if got := last(chunks).FinishReason; got != uistream.FinishStop {
		t.Errorf("it is finished by %q", got)
	}
	shown := s.shown()
	if len(shown) != 2 || shown[0].Role != "user" || *shown[0].Parts[0].Text != "# Say hello\nplease" || *shown[1].Parts[1].Text != "Hello there, Ada." {
		t.Errorf("the messages are %+v", shown)
	}
	var meta struct {
		Model      string
		Usage      struct{ Input, Output int64 }
		Cost       float64
		DurationMs int64
	}
	if err := json.Unmarshal(shown[1].Metadata, &meta); err != nil {
		t.Fatal(err)
	}
	if meta.Model != "maker/one" || meta.Usage.Input != 100 || meta.Usage.Output != 10 || meta.Cost != .001 || meta.DurationMs < 1 {
		t.Errorf("the metadata is %s", shown[1].Metadata)
	}
	info, err := s.Chat(t.Context(), "ada", "chat")
	if err != nil || info.Title != "Say hello" || info.State != StateIdle || info.Model != "maker/one" {
		t.Errorf("the chat is %+v, %v", info, err)
	}
	req := s.model.requests()[0]
	if req.User == "" || strings.Contains(req.User, "ada") {
		t.Errorf("the provider is told that the person is %q", req.User)
	}
	if !strings.Contains(req.Messages[0].Text, "Kalpana") || req.Messages[1].Text != "# Say hello\nplease" {
		t.Errorf("the model is told %+v", req.Messages)
	}
}

func TestRun_ToolsAreCarriedOutAndTheirAnswersGoBack(t *testing.T) {
	s := newStage(t)
	s.model.plays(
		answers("I look.", aCall("a", "readFile", `{"path":"x"}`), aCall("b", "searchCode", `{"query":"y"}`)),
		answers("", aCall("c", "writeFile", `{"path":"x","content":"1"}`)),
		says("Done."),
	)
	chunks := s.send(Send{Text: "do it", Mode: approval.AskNone})
	got := s.toolAnswers()
	want := map[string]string{
		"a": `readFile did {"path":"x"}`, "b": `searchCode did {"query":"y"}`, "c": `writeFile did {"path":"x","content":"1"}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, c := range ofType(chunks, uistream.ToolInputAvailable) {
		if c.Title != "Do "+c.ToolName || !c.ProviderExecuted {
			t.Errorf("%+v", c)
		}
	}
	if got := textOf(chunks); got != "I look.Done." {
		t.Errorf("it says %q", got)
	}
}

func TestRun_ReadsGoSideBySideAndWritesInOrder(t *testing.T) {
	var mu sync.Mutex
	var order []string
	together := make(chan struct{}, 2)
	both := make(chan struct{})
	tool := func(name string, reads bool, run func()) tools.Tool {
		return tools.Tool{Name: name, Reads: reads, Run: func(context.Context, *tools.Env, tools.Call) (*tools.Result, error) {
			run()
			mu.Lock()
			defer mu.Unlock()
			order = append(order, name)
			return &tools.Result{Text: name}, nil
		}}
	}
	meet := func() {
		together <- struct{}{}
		if len(together) == 2 {
			close(both)
		}
		select {
		case <-both:
		case <-time.After(30 * time.Second):
			t.Error("the reads do not run side by side")
		}
	}
	s := newStage(t, func(c *Config) {
		c.Tools = []tools.Tool{tool("first", false, func() {}), tool("look", true, meet), tool("last", false, func() {})}
	})
	s.model.plays(answers("", aCall("1", "first", "{}"), aCall("2", "look", "{}"), aCall("3", "look", `{"a":1}`), aCall("4", "last", "{}")), says("ok"))
	s.send(Send{Text: "go", Mode: approval.AskNone})
	if diff := cmp.Diff([]string{"first", "look", "look", "last"}, order); diff != "" {
		t.Error(diff)
	}
}

func TestRun_WhatAModelCallsWrongIsToldToIt(t *testing.T) {
	s := newStage(t)
	s.model.plays(
		answers("", aCall("a", "no such", `{}`), aCall("b", "", `{}`), aCall("c", "readFile", `{"path":`), aCall("d", "readFile", `[1]`),
			aCall("a", "readFile", `{"n":1}`), aCall("", "readFile", `{"n":2}`), aCall("bad id\n", "readFile", ``)),
		answers("", aCall("a", "readFile", `{"n":3}`)),
		says("ok"),
	)
	chunks := s.send(Send{Text: "go"})
	if got := s.did.all(); len(got) != 4 {
		t.Errorf("it did %q", got)
	}
	if got := ofType(chunks, uistream.ToolInputError); len(got) != 4 {
		t.Errorf("%d calls are in error: %+v", len(got), got)
	}
	for _, c := range ofType(chunks, uistream.ToolInputStart) {
		if c.ToolName == "" || strings.ContainsAny(c.ToolCallID, " \n") {
			t.Errorf("%+v", c)
		}
	}
	if got := s.toolAnswers(); len(got) != 8 {
		t.Errorf("the model is told %q", got)
	}
}

func TestRun_AToolThatFailsOrPanicsEndsNothing(t *testing.T) {
	s := newStage(t, func(c *Config) {
		c.Tools = []tools.Tool{
			{Name: "fails", Reads: true, Run: func(context.Context, *tools.Env, tools.Call) (*tools.Result, error) {
				return nil, errors.New("no \x1b[31msuch\x00 file")
			}},
			{Name: "panics", Reads: true, Run: func(context.Context, *tools.Env, tools.Call) (*tools.Result, error) { panic("oh") }},
			{Name: "nothing", Reads: true, Run: func(context.Context, *tools.Env, tools.Call) (*tools.Result, error) { return nil, nil }},
		}
	})
	s.model.plays(answers("", aCall("a", "fails", `{}`), aCall("b", "panics", `{}`), aCall("c", "nothing", `{}`)), says("ok"))
	chunks := s.send(Send{Text: "go"})
	faults := ofType(chunks, uistream.ToolOutputError)
	if len(faults) != 2 {
		t.Fatalf("%+v", faults)
	}
	for _, c := range faults {
		if strings.ContainsAny(c.ErrorText, "\x00\x1b") {
			t.Errorf("a person is shown %q", c.ErrorText)
		}
	}
	if got := last(chunks); got.Type != uistream.Finish {
		t.Errorf("%+v", got)
	}
}

func TestRun_ResultsAreBounded(t *testing.T) {
	s := newStage(t, func(c *Config) {
		c.Tools = []tools.Tool{{Name: "big", Reads: true, Run: func(context.Context, *tools.Env, tools.Call) (*tools.Result, error) {
			return &tools.Result{Text: "HEAD" + strings.Repeat("ä", 1<<20) + "TAIL", Output: strings.Repeat("x", 1<<20)}, nil
		}}}
	})
	s.model.offered = []model.Info{{ID: "small", Context: 30_000}}
	s.model.plays(answers("", aCall("a", "big", `{}`)), says("ok"))
	chunks := s.send(Send{Text: "go"})
	got := s.toolAnswers()["a"]
	if len(got) > 30_000 || !strings.HasPrefix(got, "HEAD") || !strings.HasSuffix(got, "TAIL") {
		t.Errorf("the model is told %d bytes", len(got))
	}
	at := strings.Index(got, "\n\n[…")
	if part := float64(at) / float64(len(got)); part < .6 || part > .7 {
		t.Errorf("the head is %.2f of it", part)
	}
	if out, _ := json.Marshal(ofType(chunks, uistream.ToolOutputAvailable)[0].Output); len(out) > maxShown {
		t.Errorf("a person is shown %d bytes", len(out))
	}
}

func TestRun_TheSameCallAgainAndAgainEndsIt(t *testing.T) {
	s := newStage(t)
	for i := range 10 {
		s.model.plays(answers("", aCall(fmt.Sprint("c", i), "readFile", []string{`{"a":1,"b":2}`, `{"b": 2, "a": 1}`}[i%2])))
	}
	chunks := s.send(Send{Text: "go"})
	if got := s.did.all(); len(got) != stopAfter-1 {
		t.Errorf("it was carried out %d times", len(got))
	}
	if got := last(chunks); got.FinishReason != uistream.FinishOther || !strings.Contains(textOf(chunks), "5 times in a row") {
		t.Errorf("%+v: %s", got, textOf(chunks))
	}
	answers := s.toolAnswers()
	if !strings.Contains(answers["c2"], "3 times in a row") || strings.Contains(answers["c1"], "in a row") {
		t.Errorf("the model is told %q", answers)
	}
}

func TestRun_AnotherCallBetweenIsNoCircle(t *testing.T) {
	s := newStage(t)
	for i := range 12 {
		s.model.plays(answers("", aCall(fmt.Sprint("c", i), "readFile", fmt.Sprintf(`{"n":%d}`, i%2))))
	}
	s.model.plays(says("Done."))
	if got := last(s.send(Send{Text: "go"})); got.FinishReason != uistream.FinishStop {
		t.Errorf("%+v", got)
	}
}

func TestRun_TheLimitOfStepsEndsItInWords(t *testing.T) {
	s := newStage(t, func(c *Config) { c.MaxSteps = 3 })
	for i := range 5 {
		s.model.plays(answers("", aCall(fmt.Sprint("c", i), "readFile", fmt.Sprintf(`{"n":%d}`, i))))
	}
	chunks := s.send(Send{Text: "go"})
	if len(s.did.all()) != 3 || !strings.Contains(textOf(chunks), "3 steps") || last(chunks).FinishReason != uistream.FinishOther {
		t.Errorf("%q: %s, %+v", s.did.all(), textOf(chunks), last(chunks))
	}
	s.model.mu.Lock()
	s.model.script = nil
	s.model.mu.Unlock()
	s.model.plays(says("Now it is done."))
	if got := textOf(s.send(Send{Text: "go on"})); got != "Now it is done." {
		t.Errorf("then it says %q", got)
	}
}

func TestRun_TheLimitOfTimeEndsItInWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, func(c *Config) { c.MaxTime = 10 * time.Minute })
		s.model.plays(hangs("I think"))
		r := s.begin(Send{Text: "go"})
		began := time.Now()
		<-r.Done()
		if took := time.Since(began); took < 10*time.Minute || took > 11*time.Minute {
			t.Errorf("it took %s", took)
		}
		chunks := s.wait(r)
		if !strings.Contains(textOf(chunks), "10 minutes") || last(chunks).FinishReason != uistream.FinishOther || s.state() != StateIdle {
			t.Errorf("%s, %+v", textOf(chunks), last(chunks))
		}
		s.Close()
	})
}

func TestRun_AnErrorOfTheModelIsSaidAndTheTextKept(t *testing.T) {
	s := newStage(t)
	s.model.plays(fails("I begin to", &model.Error{Kind: model.KindCut, Message: "The answer broke off."}))
	chunks := s.send(Send{Text: "go"})
	if got := last(chunks); got.Type != uistream.ErrorType || got.ErrorText != "The answer broke off." {
		t.Errorf("%+v", got)
	}
	s.model.plays(says("It goes on."))
	chunks = s.send(Send{Continue: true})
	if got := textOf(chunks); got != "It goes on." {
		t.Errorf("it says %q", got)
	}
	all := s.model.requests()
	told := all[len(all)-1].Messages
	if n := len(told); n != 4 || told[2].Text != "I begin to" || told[3].Role != model.User {
		t.Errorf("the model is told %+v", told)
	}
	shown := s.shown()
	if len(shown) != 2 || shown[1].ID == "" {
		t.Errorf("the messages are %+v", shown)
	}
}

func TestRun_CutAndWithheldAnswersAreSaidToBe(t *testing.T) {
	for finish, want := range map[string]string{model.FinishLength: uistream.FinishLength, model.FinishContentFilter: uistream.FinishContentFilter, "else": uistream.FinishOther} {
		s := newStage(t)
		s.model.plays(func(_ context.Context, req *model.Request, show func(model.Delta)) (*model.Response, error) {
			show(model.Delta{Text: "a"})
			return &model.Response{Message: model.Message{Text: "a"}, Finish: finish}, nil
		})
		if got := last(s.send(Send{Text: "go"})).FinishReason; got != want {
			t.Errorf("%s: it is finished by %q", finish, got)
		}
	}
}

func TestRun_AWholeAnswerThatWasNotStreamedIsShownToo(t *testing.T) {
	s := newStage(t)
	s.model.plays(
		func(context.Context, *model.Request, func(model.Delta)) (*model.Response, error) {
			return &model.Response{Message: model.Message{Text: "I look.", Calls: []model.Call{aCall("a", "readFile", "{}")}}, Finish: model.FinishToolCalls}, nil
		},
		func(context.Context, *model.Request, func(model.Delta)) (*model.Response, error) {
			return &model.Response{Finish: model.FinishStop}, nil
		})
	chunks := s.send(Send{Text: "go"})
	if got := textOf(chunks); !strings.HasPrefix(got, "I look.") || !strings.Contains(got, "empty answer") {
		t.Errorf("it says %q", got)
	}
}

func TestRun_ReasoningIsShownAndGoesBack(t *testing.T) {
	s := newStage(t)
	s.model.plays(func(_ context.Context, req *model.Request, show func(model.Delta)) (*model.Response, error) {
		show(model.Delta{Reasoning: "Hm."})
		show(model.Delta{Text: "I look."})
		show(model.Delta{Reasoning: "Hm again."})
		show(model.Delta{Call: &model.CallDelta{CallID: "a", Name: "readFile"}})
		return &model.Response{Message: model.Message{
			Text: "I look.", Calls: []model.Call{aCall("a", "readFile", "")}, Reasoning: []json.RawMessage{json.RawMessage(`{"type":"x"}`)},
		}, Finish: model.FinishToolCalls, Model: "maker/one"}, nil
	}, says("ok"))
	chunks := s.send(Send{Text: "go"})
	if got := ofType(chunks, uistream.ReasoningStart); len(got) != 2 {
		t.Errorf("%+v", got)
	}
	m := s.model.requests()[1].Messages[2]
	if len(m.Reasoning) != 1 || m.Model != "maker/one" {
		t.Errorf("the model gets back %+v", m)
	}
}

func TestRun_PlanModeOffersOnlyWhatChangesNothing(t *testing.T) {
	s := newStage(t)
	s.model.plays(answers("", aCall("a", "writeFile", `{}`), aCall("b", "readFile", `{}`)), says("The plan: …"))
	chunks := s.send(Send{Text: "go", Plan: true, Mode: approval.AskNone})
	if diff := cmp.Diff([]string{"readFile {}"}, s.did.all()); diff != "" {
		t.Error(diff)
	}
	req := s.model.requests()[0]
	for _, tool := range req.Tools {
		if tool.Name == "writeFile" || tool.Name == "runCommand" {
			t.Errorf("%s is offered", tool.Name)
		}
	}
	if !strings.Contains(req.Messages[0].Text, "plan mode") || textOf(chunks) != "The plan: …" {
		t.Errorf("%s", textOf(chunks))
	}
	s.model.plays(answers("", aCall("c", "writeFile", `{}`)), says("Done."))
	s.send(Send{Text: "yes, do it"})
	if diff := cmp.Diff([]string{"readFile {}", "writeFile {}"}, s.did.all()); diff != "" {
		t.Error(diff)
	}
}

func TestRun_TheToDoListIsKept(t *testing.T) {
	s := newStage(t)
	s.model.plays(
		answers("", aCall("a", "todo", `{"items":[{"text":"look","status":"done"},{"text":"fix","status":"in_progress"}]}`)),
		answers("", aCall("b", "todo", `{"items":[{"text":"x","status":"maybe"}]}`)),
		says("ok"))
	s.send(Send{Text: "go"})
	info, err := s.Chat(t.Context(), "ada", "chat")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Todo{{"look", TodoDone}, {"fix", TodoInProgress}}, info.Todo); diff != "" {
		t.Error(diff)
	}
}

func TestRun_AnUnreachableWorkspaceEndsIt(t *testing.T) {
	s := newStage(t, func(c *Config) {
		c.Tools = []tools.Tool{{Name: "reach", Reads: true, Run: func(ctx context.Context, env *tools.Env, _ tools.Call) (*tools.Result, error) {
			_, err := env.Bridge(ctx)
			return nil, err
		}}}
	})
	s.model.plays(answers("", aCall("a", "reach", "{}"), aCall("b", "reach", `{"n":1}`)))
	chunks := s.send(Send{Text: "go"})
	if got := last(chunks); got.Type != uistream.ErrorType || !strings.Contains(got.ErrorText, "there is no bridge") {
		t.Errorf("%+v", got)
	}
}

func TestRun_WritesThatAreTooLargeToBeShownEndItInWords(t *testing.T) {
	s := newStage(t)
	big := strings.Repeat("a long line\n", 100_000)
	s.model.plays(func(_ context.Context, req *model.Request, show func(model.Delta)) (*model.Response, error) {
		for range 5 {
			show(model.Delta{Text: big})
		}
		return &model.Response{Message: model.Message{Text: strings.Repeat(big, 5)}, Finish: model.FinishStop}, nil
	})
	chunks := s.send(Send{Text: "go"})
	if got := last(chunks); got.Type != uistream.ErrorType || !strings.Contains(got.ErrorText, "longer than a message can be") {
		t.Errorf("%+v", got)
	}
	s.model.plays(says("ok"))
	if got := textOf(s.send(Send{Text: "go on"})); got != "ok" {
		t.Errorf("then it says %q", got)
	}
}

func TestRun_AFaultOfOursEndsTheRunAlone(t *testing.T) {
	s := newStage(t)
	s.model.plays(func(context.Context, *model.Request, func(model.Delta)) (*model.Response, error) {
		panic("secret text")
	}, says("ok"))
	got := last(s.send(Send{Text: "go"}))
	if got.Type != uistream.ErrorType || strings.Contains(got.ErrorText, "secret") || s.state() != StateIdle {
		t.Errorf("%+v", got)
	}
	if got := textOf(s.send(Send{Text: "again"})); got != "ok" {
		t.Errorf("%q", got)
	}
}

func TestRun_PlanModeRefusesTheCallsOfAToolThatChangeSomething(t *testing.T) {
	s := newStage(t, func(c *Config) {
		git := c.Tools[3]
		git.Name = "git"
		git.ReadsCall = func(input json.RawMessage) bool { return strings.Contains(string(input), "status") }
		c.Tools = append(c.Tools, git)
	})
	s.model.plays(answers("", aCall("a", "git", `{"op":"commit"}`), aCall("b", "git", `{"op":"status"}`)), says("The plan: …"))
	s.send(Send{Text: "go", Plan: true, Mode: approval.AskNone})
	if diff := cmp.Diff([]string{`runCommand {"op":"status"}`}, s.did.all()); diff != "" {
		t.Error(diff)
	}
}
