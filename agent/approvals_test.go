package agent

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/agent/approval"
	"github.com/kalpana-dev/kalpana/agent/uistream"
)

// asked returns the approval that was asked for of each call.
func asked(chunks []uistream.Chunk) map[string]string {
	ids := map[string]string{}
	for _, c := range ofType(chunks, uistream.ToolApprovalRequest) {
		ids[c.ToolCallID] = c.ApprovalID
	}
	return ids
}

func TestApproval_ACallWaitsForTheWordAndIsThenDone(t *testing.T) {
	s := newStage(t)
	s.model.plays(answers("", aCall("a", "writeFile", `{"path":"x"}`)), says("Done."))
	chunks := s.send(Send{Text: "go"})
	if got := last(chunks); got.Type != uistream.Finish || got.FinishReason != uistream.FinishToolCalls {
		t.Fatalf("%+v", got)
	}
	if s.state() != StateWaiting || len(s.did.all()) > 0 {
		t.Errorf("the chat is %s, and it did %q", s.state(), s.did.all())
	}
	info, _ := s.Chat(t.Context(), "ada", "chat")
	id := asked(chunks)["a"]
	if len(info.Waiting) != 1 || info.Waiting[0].ApprovalID != id || len(info.Waiting[0].Suggest) != 1 {
		t.Errorf("what waits is %+v", info.Waiting)
	}
	first := s.shown()[1].ID

	chunks = s.send(Send{Approvals: []Answer{{ApprovalID: id, Approved: true}}})
	if diff := cmp.Diff([]string{`writeFile {"path":"x"}`}, s.did.all()); diff != "" {
		t.Error(diff)
	}
	if chunks[0].MessageID != first {
		t.Errorf("it goes on with message %q, not %q", chunks[0].MessageID, first)
	}
	if textOf(chunks) != "Done." || s.state() != StateIdle || len(s.shown()) != 2 {
		t.Errorf("%q, %s", textOf(chunks), s.state())
	}
	if got := s.shown()[1].Parts[1]; got.State != uistream.StateOutputAvailable || got.Approval == nil || got.Approval.Approved == nil || !*got.Approval.Approved {
		t.Errorf("it is kept as %+v", got)
	}
}

func TestApproval_WhatIsDeniedIsNotDoneAndTheModelIsTold(t *testing.T) {
	s := newStage(t)
	s.model.plays(answers("", aCall("a", "writeFile", `{}`)), says("Then not."))
	id := asked(s.send(Send{Text: "go"}))["a"]
	chunks := s.send(Send{Approvals: []Answer{{ApprovalID: id, Reason: "use the other file"}}})
	if len(s.did.all()) > 0 || len(ofType(chunks, uistream.ToolOutputDenied)) != 1 {
		t.Errorf("it did %q", s.did.all())
	}
	if got := s.toolAnswers()["a"]; !strings.Contains(got, "use the other file") {
		t.Errorf("the model is told %q", got)
	}
}

func TestApproval_SeveralCallsOfOneAnswer(t *testing.T) {
	s := newStage(t, func(c *Config) { c.Rules = []approval.Rule{{Tool: "runCommand", Verdict: approval.Allow}} })
	s.model.plays(answers("",
		aCall("a", "readFile", `{"n":1}`), aCall("b", "writeFile", `{"n":2}`), aCall("c", "runCommand", `{"n":3}`),
		aCall("d", "writeFile", `{"n":4}`), aCall("e", "writeFile", `{"n":5}`)), says("ok"))
	chunks := s.send(Send{Text: "go"})
	if diff := cmp.Diff([]string{`readFile {"n":1}`}, s.did.all()); diff != "" {
		t.Error("before the person's word:", diff)
	}
	ids := asked(chunks)
	if len(ids) != 4 || len(ofType(chunks, uistream.ToolApprovalResponse)) != 1 {
		t.Errorf("it asks for %v", ids)
	}
	// Some of the answers: what is behind those that are still missing waits.
	chunks = s.send(Send{Approvals: []Answer{{ApprovalID: ids["b"]}, {ApprovalID: ids["e"], Approved: true}}})
	if last(chunks).FinishReason != uistream.FinishToolCalls || s.state() != StateWaiting {
		t.Errorf("%+v", last(chunks))
	}
	if diff := cmp.Diff([]string{`readFile {"n":1}`, `runCommand {"n":3}`}, s.did.all()); diff != "" {
		t.Error("after some of it:", diff)
	}
	s.send(Send{Approvals: []Answer{{ApprovalID: ids["d"], Approved: true}}})
	if diff := cmp.Diff([]string{`readFile {"n":1}`, `runCommand {"n":3}`, `writeFile {"n":4}`, `writeFile {"n":5}`}, s.did.all()); diff != "" {
		t.Error("after all of it:", diff)
	}
}

func TestApproval_AnAnswerCountsOnce(t *testing.T) {
	s := newStage(t)
	s.model.plays(answers("", aCall("a", "writeFile", `{}`)), says("ok"), says("ok"))
	id := asked(s.send(Send{Text: "go"}))["a"]
	yes := Send{Approvals: []Answer{{ApprovalID: id, Approved: true}}}

	var all sync.WaitGroup
	var mu sync.Mutex
	var runs []*Run
	for range 8 {
		all.Go(func() {
			r, err := s.try(yes)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				runs = append(runs, r)
			} else if !errors.Is(err, ErrRunning) && !errors.Is(err, ErrAnswered) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(runs) != 1 {
		t.Fatalf("%d answers counted", len(runs))
	}
	s.wait(runs[0])
	if got := s.did.all(); len(got) != 1 {
		t.Errorf("it did %q", got)
	}
	if _, err := s.try(yes); !errors.Is(err, ErrAnswered) {
		t.Errorf("a late answer is %v", err)
	}
	if _, err := s.try(Send{Approvals: []Answer{{ApprovalID: "approval-x"}}}); !errors.Is(err, ErrNothingPending) {
		t.Errorf("an answer to nothing is %v", err)
	}
}

func TestApproval_OnlyTheChatsPersonAnswers(t *testing.T) {
	s := newStage(t)
	s.model.plays(answers("", aCall("a", "writeFile", `{}`)))
	id := asked(s.send(Send{Text: "go"}))["a"]
	_, err := s.try(Send{Person: Person{ID: "eve"}, Approvals: []Answer{{ApprovalID: id, Approved: true}}})
	if !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	_, err = s.try(Send{Workspace: "bbbbbbbbbb", Approvals: []Answer{{ApprovalID: id, Approved: true}}})
	if !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if len(s.did.all()) > 0 {
		t.Errorf("it did %q", s.did.all())
	}
}

func TestApproval_AlwaysHoldsForTheChat(t *testing.T) {
	s := newStage(t)
	s.model.plays(answers("", aCall("a", "writeFile", `{"n":1}`)), answers("", aCall("b", "writeFile", `{"n":2}`), aCall("c", "runCommand", `{}`)))
	id := asked(s.send(Send{Text: "go"}))["a"]
	chunks := s.send(Send{Approvals: []Answer{{ApprovalID: id, Approved: true, Always: true}}})
	if diff := cmp.Diff([]string{`writeFile {"n":1}`, `writeFile {"n":2}`}, s.did.all()); diff != "" {
		t.Error(diff)
	}
	if len(asked(chunks)) != 1 || asked(chunks)["c"] == "" {
		t.Errorf("it asks for %v", asked(chunks))
	}
}

func TestApproval_AMessageInsteadOfAnAnswerIsADenial(t *testing.T) {
	s := newStage(t)
	s.model.plays(answers("", aCall("a", "writeFile", `{}`), aCall("b", "ask", `{"question":"Which?"}`)), says("As you like."))
	id := asked(s.send(Send{Text: "go"}))["a"]
	s.send(Send{Text: "never mind"})
	if len(s.did.all()) > 0 {
		t.Errorf("it did %q", s.did.all())
	}
	got := s.toolAnswers()
	if len(got) != 2 || !strings.Contains(got["a"], "not answered") || !strings.Contains(got["b"], "not answered") {
		t.Errorf("the model is told %q", got)
	}
	parts := s.shown()[1].Parts
	if parts[1].State != uistream.StateOutputDenied || parts[2].State != uistream.StateOutputError {
		t.Errorf("%+v", parts)
	}
	if _, err := s.try(Send{Approvals: []Answer{{ApprovalID: id, Approved: true}}}); !errors.Is(err, ErrAnswered) {
		t.Error(err)
	}
}

func TestApproval_WhatWaitsOutlivesTheGateway(t *testing.T) {
	s := newStage(t)
	s.model.plays(answers("", aCall("a", "writeFile", `{"path":"x"}`)))
	id := asked(s.send(Send{Text: "go"}))["a"]

	later := newStageOn(t, s.store.clone())
	if err := later.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	later.model.plays(says("Done."))
	later.send(Send{Approvals: []Answer{{ApprovalID: id, Approved: true}}})
	if diff := cmp.Diff([]string{`writeFile {"path":"x"}`}, later.did.all()); diff != "" {
		t.Error(diff)
	}
}

func TestApproval_ADenyingRuleIsNotAsked(t *testing.T) {
	s := newStage(t, func(c *Config) { c.Rules = []approval.Rule{{Tool: "runCommand", Verdict: approval.Deny}} })
	s.model.plays(answers("", aCall("a", "runCommand", `{}`)), says("ok"))
	chunks := s.send(Send{Text: "go", Mode: approval.AskNone})
	if len(s.did.all()) > 0 || len(asked(chunks)) > 0 || !strings.Contains(s.toolAnswers()["a"], "not allowed") {
		t.Errorf("it did %q", s.did.all())
	}
}

func TestStop_WhatWaitsIsNotDone(t *testing.T) {
	s := newStage(t)
	s.model.plays(answers("", aCall("a", "writeFile", `{}`)))
	id := asked(s.send(Send{Text: "go"}))["a"]
	if err := s.Stop(t.Context(), "ada", "chat"); err != nil {
		t.Fatal(err)
	}
	if s.state() != StateIdle || s.shown()[1].Parts[1].State != uistream.StateOutputDenied {
		t.Errorf("%s, %+v", s.state(), s.shown()[1].Parts[1])
	}
	if _, err := s.try(Send{Approvals: []Answer{{ApprovalID: id, Approved: true}}}); !errors.Is(err, ErrAnswered) {
		t.Error(err)
	}
	if err := s.Stop(t.Context(), "ada", "chat"); !errors.Is(err, ErrNotRunning) {
		t.Error(err)
	}
}

func TestAsk_TheAnswerGoesToTheModel(t *testing.T) {
	s := newStage(t)
	s.model.plays(
		answers("", aCall("a", "ask", `{"question":"Which?","options":["this","that"]}`), aCall("b", "ask", `{"options":[]}`)),
		says("That, then."))
	chunks := s.send(Send{Text: "go"})
	if last(chunks).FinishReason != uistream.FinishToolCalls || s.state() != StateWaiting {
		t.Fatalf("%+v", last(chunks))
	}
	if got := ofType(chunks, uistream.ToolInputAvailable); len(got) != 1 || got[0].ProviderExecuted {
		t.Errorf("the question is %+v", got)
	}
	chunks = s.send(Send{Outputs: []Output{{CallID: "a", Output: json.RawMessage(`"that"`)}}})
	if got := s.toolAnswers()["a"]; got != "The person answers: that" {
		t.Errorf("the model is told %q", got)
	}
	if textOf(chunks) != "That, then." {
		t.Errorf("%q", textOf(chunks))
	}
	if got := s.shown()[1].Parts[1]; got.State != uistream.StateOutputAvailable || string(got.Output) != `"that"` {
		t.Errorf("it is kept as %+v", got)
	}
	if _, err := s.try(Send{Outputs: []Output{{CallID: "a", Output: json.RawMessage(`"this"`)}}}); !errors.Is(err, ErrAnswered) {
		t.Error(err)
	}
}
