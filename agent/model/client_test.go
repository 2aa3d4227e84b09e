package model_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/agent/model"
	"github.com/kalpana-dev/kalpana/agent/model/modeltest"
)

const (
	claude = "anthropic/claude-played-4.5"
	gpt    = "openai/gpt-played"
)

// client returns a client of a provider with short waits.
func client(t *testing.T, config model.Config) *model.Client {
	t.Helper()
	if config.Key == "" {
		config.Key = modeltest.Key
	}
	if config.Backoff == 0 {
		config.Backoff = time.Microsecond
	}
	c, err := model.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func ask(text string) *model.Request {
	return &model.Request{Models: []string{claude}, Messages: []model.Message{
		{Role: model.System, Text: "You are an engineer."}, {Role: model.User, Text: text},
	}}
}

// collect gathers what is shown of an answer.
type collect struct {
	text, reasoning strings.Builder
	calls           []model.Call
	deltas          int
}

func (c *collect) emit(d model.Delta) {
	c.deltas++
	c.text.WriteString(d.Text)
	c.reasoning.WriteString(d.Reasoning)
	if d.Call != nil {
		if d.Call.Index == len(c.calls) {
			c.calls = append(c.calls, model.Call{ID: d.Call.CallID, Name: d.Call.Name})
		}
		c.calls[d.Call.Index].Arguments += d.Call.Arguments
	}
}

func stream(t *testing.T, c *model.Client, r *model.Request) (*model.Response, *collect) {
	t.Helper()
	shown := new(collect)
	res, err := c.Stream(t.Context(), r, shown.emit)
	if err != nil {
		t.Fatalf("%v", err)
	}
	if got := shown.text.String(); got != res.Message.Text {
		t.Errorf("shown is %q, and the answer %q", got, res.Message.Text)
	}
	if diff := cmp.Diff(res.Message.Calls, shown.calls); diff != "" {
		t.Errorf("calls that are shown are others than those of the answer: %s", diff)
	}
	return res, shown
}

// fails is the error of a call that must have one.
func fails(t *testing.T, c *model.Client, r *model.Request) (*model.Error, *model.Response, *collect) {
	t.Helper()
	shown := new(collect)
	res, err := c.Stream(t.Context(), r, shown.emit)
	failed, ok := errors.AsType[*model.Error](err)
	if !ok {
		t.Fatalf("the error is %v", err)
	}
	if res == nil {
		t.Fatal("there is no response beside the error")
	}
	return failed, res, shown
}

func TestStream_AnAnswerComesPieceByPieceWithItsUsageAndCost(t *testing.T) {
	p := modeltest.New(t)
	p.Play(modeltest.Turn{
		modeltest.Comment(""), modeltest.Text("Hel", "lo"), modeltest.Comment(""), modeltest.Text(", world"), modeltest.FinishTwice(),
		modeltest.Used(modeltest.Usage{Input: 1200, Output: 34, Cached: 1000, Reasoning: 7, Cost: "0.00142500"}),
	})
	res, shown := stream(t, client(t, model.Config{BaseURL: p.URL}), ask("Hello?"))
	if shown.deltas != 3 || res.Chunks != 3 || res.FirstChunk <= 0 {
		t.Errorf("it came in %d pieces (said are %d, the first after %s), want 3", shown.deltas, res.Chunks, res.FirstChunk)
	}
	res.FirstChunk = 0
	if diff := cmp.Diff(&model.Response{
		Message: model.Message{Role: model.Assistant, Text: "Hello, world", Model: claude},
		Finish:  model.FinishStop, Model: claude, ID: "gen-1-played", Chunks: 3,
		Usage: model.Usage{Input: 1200, Output: 34, Cached: 1000, Reasoning: 7, Cost: 1425, Priced: true},
	}, res); diff != "" {
		t.Error(diff)
	}
}

func TestStream_CharactersThatAreCutApartAreWholeAgain(t *testing.T) {
	const text = "Grüße, 世界 👩‍💻 — naïve “quotes”\n\ttab \\ \"q\" 🏳️‍🌈 ≤ ½"
	for name, steps := range map[string]modeltest.Turn{
		"bytes":        {modeltest.Text(modeltest.Split(text, 1)...)},
		"three bytes":  {modeltest.Text(modeltest.Split(text, 3)...)},
		"UTF-16 units": {modeltest.Surrogates(text)},
		"writes":       {modeltest.Fragmented(1), modeltest.Words(text)},
		"arguments":    {modeltest.Call("call_1", "say", modeltest.Split(`{"text":"`+strings.ReplaceAll(text, "\"", "")+`"}`, 2)...)},
		"reasoning":    {modeltest.Reasoning(text, "s"), modeltest.Text(text)},
	} {
		t.Run(name, func(t *testing.T) {
			p := modeltest.New(t)
			p.Play(steps)
			res, shown := stream(t, client(t, model.Config{BaseURL: p.URL}), ask("Hello?"))
			got := res.Message.Text
			switch name {
			case "arguments":
				if res.Message.Calls[0].Arguments != `{"text":"`+strings.ReplaceAll(text, "\"", "")+`"}` {
					t.Errorf("the arguments are %q", res.Message.Calls[0].Arguments)
				}
				return
			case "reasoning":
				if shown.reasoning.String() != text {
					t.Errorf("the reasoning is %q", shown.reasoning.String())
				}
			}
			if got != text {
				t.Errorf("the text is %q", got)
			}
		})
	}
}

func TestStream_ParallelCallsOfToolsKeepTheirPieces(t *testing.T) {
	p := modeltest.New(t)
	first, second := `{"path":"a.go","from":1}`, `{"pattern":"f(oo)","where":"世"}`
	p.Play(modeltest.Turn{
		modeltest.Text("I look."),
		modeltest.Calls(
			modeltest.PlayedCall{ID: "call_a", Name: "readFile", Arguments: modeltest.Split(first, 1)},
			modeltest.PlayedCall{ID: "call_b", Name: "searchCode", Arguments: modeltest.Split(second, 5)},
			modeltest.PlayedCall{ID: "call_c", Name: "todo"},
		),
	})
	res, _ := stream(t, client(t, model.Config{BaseURL: p.URL}), ask("Look!"))
	if diff := cmp.Diff([]model.Call{{"call_a", "readFile", first}, {"call_b", "searchCode", second}, {"call_c", "todo", ""}}, res.Message.Calls); diff != "" {
		t.Error(diff)
	}
	if res.Finish != model.FinishToolCalls {
		t.Errorf("the finish reason is %q", res.Finish)
	}

	// What it called goes back with what it got: a call without arguments as an empty object.
	p.Play(modeltest.Turn{modeltest.Words("Done.")})
	r := ask("Look!")
	r.Messages = append(r.Messages, res.Message,
		model.Message{Role: model.ToolRole, CallID: "call_a", Text: "package a"},
		model.Message{Role: model.ToolRole, CallID: "call_b", Text: ""},
		model.Message{Role: model.ToolRole, CallID: "call_c", Text: "[]"})
	stream(t, client(t, model.Config{BaseURL: p.URL}), r)
	sent := p.Requests()[1]
	if diff := cmp.Diff([]modeltest.RequestCall{
		{ID: "call_a", Name: "readFile", Arguments: first}, {ID: "call_b", Name: "searchCode", Arguments: second}, {ID: "call_c", Name: "todo", Arguments: "{}"},
	}, sent.Messages[2].Calls); diff != "" {
		t.Error(diff)
	}
}

// chunkOf is a chunk with a delta, as text of a stream.
func chunkOf(delta string) modeltest.Step {
	return modeltest.Raw(`data: {"id":"gen-x","choices":[{"index":0,"delta":` + delta + `}]}` + "\n\n")
}

func TestStream_CallsOfServersThatDoNotDoAsTheOthersAreUnderstood(t *testing.T) {
	for name, test := range map[string]struct {
		steps modeltest.Turn
		want  []model.Call // an id "*" is any
	}{
		"no index": {modeltest.Turn{
			chunkOf(`{"tool_calls":[{"id":"a","function":{"name":"one","arguments":"{}"}}]}`),
			chunkOf(`{"tool_calls":[{"id":"b","function":{"name":"two","arguments":"{"}}]}`),
			chunkOf(`{"tool_calls":[{"function":{"arguments":"}"}}]}`),
		}, []model.Call{{"a", "one", "{}"}, {"b", "two", "{}"}}},
		"one index for all": {modeltest.Turn{
			chunkOf(`{"tool_calls":[{"index":0,"id":"a","function":{"name":"one","arguments":"{}"}},{"index":0,"id":"b","function":{"name":"two","arguments":"{}"}}]}`),
		}, []model.Call{{"a", "one", "{}"}, {"b", "two", "{}"}}},
		"no ids": {modeltest.Turn{
			chunkOf(`{"tool_calls":[{"index":0,"function":{"name":"one","arguments":"{}"}},{"index":1,"id":"","function":{"name":"two","arguments":"{}"}}]}`),
		}, []model.Call{{"*", "one", "{}"}, {"*", "two", "{}"}}},
		"an id twice": {modeltest.Turn{
			chunkOf(`{"tool_calls":[{"index":0,"id":"a","function":{"name":"one","arguments":"{}"}},{"index":1,"id":"a","function":{"name":"two","arguments":"{}"}}]}`),
		}, []model.Call{{"a", "one", "{}"}, {"*", "two", "{}"}}},
		"the id and name again in each piece": {modeltest.Turn{
			chunkOf(`{"tool_calls":[{"index":0,"id":"a","function":{"name":"one","arguments":"{"}}]}`),
			chunkOf(`{"tool_calls":[{"index":0,"id":"a","function":{"name":"one","arguments":"}"}}]}`),
		}, []model.Call{{"a", "one", "{}"}}},
		"arguments before the name": {modeltest.Turn{
			chunkOf(`{"tool_calls":[{"index":0,"id":"a","function":{"arguments":"{"}}]}`),
			chunkOf(`{"tool_calls":[{"index":0,"function":{"name":"one","arguments":"}"}}]}`),
		}, []model.Call{{"a", "one", "{}"}}},
		"a name that no provider would take back": {modeltest.Turn{
			chunkOf(`{"tool_calls":[{"index":0,"id":"a\u202e\n","function":{"name":"rm -rf /\u0000","arguments":"{}"}}]}`),
		}, []model.Call{{"*", "rm_-rf___", "{}"}}},
		"indices from anywhere": {modeltest.Turn{
			chunkOf(`{"tool_calls":[{"index":-7,"id":"a","function":{"name":"one","arguments":"{}"}},{"index":900000000,"id":"b","function":{"name":"two","arguments":"{}"}}]}`),
		}, []model.Call{{"a", "one", "{}"}, {"b", "two", "{}"}}},
	} {
		t.Run(name, func(t *testing.T) {
			p := modeltest.New(t)
			p.Play(append(test.steps, modeltest.Finish("stop")))
			res, _ := stream(t, client(t, model.Config{BaseURL: p.URL}), ask("Look!"))
			got := slices.Clone(res.Message.Calls)
			ids := map[string]bool{}
			for i := range got {
				if ids[got[i].ID] || got[i].ID == "" {
					t.Errorf("the id %q is not unique", got[i].ID)
				}
				ids[got[i].ID] = true
				if i < len(test.want) && test.want[i].ID == "*" {
					got[i].ID = "*"
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if res.Finish != model.FinishToolCalls {
				t.Errorf("the finish reason is %q", res.Finish)
			}
		})
	}
}

// TestStream_ReasoningGoesBackToItsModel: the played provider refuses details that are not as it sent them, or come to
// another model.
func TestStream_ReasoningGoesBackToTheModelThatWroteItAndToNoOther(t *testing.T) {
	for name, steps := range map[string]modeltest.Turn{
		"a signature in a chunk of its own": {modeltest.Reasoning("Let me look at it. Ü", "EqMBsignature=="), modeltest.Call("call_1", "readFile", `{}`)},
		"several blocks":                    {modeltest.Reasoning("First this.", "one"), modeltest.Reasoning("Then that.", "two"), modeltest.Call("call_1", "readFile", `{}`)},
		"a summary and its encrypted form":  {modeltest.Summary("It was considered.", "gAAAA=="), modeltest.Call("call_1", "readFile", `{}`)},
		"none":                              {modeltest.Call("call_1", "readFile", `{}`)},
	} {
		t.Run(name, func(t *testing.T) {
			p := modeltest.New(t)
			p.Play(steps, modeltest.Turn{modeltest.Words("To the same.")}, modeltest.Turn{modeltest.Words("To another.")})
			c := client(t, model.Config{BaseURL: p.URL})
			r := ask("Look!")
			res, shown := stream(t, c, r)
			if (shown.reasoning.Len() > 0) != (name != "none") {
				t.Errorf("the reasoning that is shown is %q", shown.reasoning.String())
			}
			kept, err := json.Marshal(res.Message) // as a store keeps it
			if err != nil {
				t.Fatal(err)
			}
			var again model.Message
			if err := json.Unmarshal(kept, &again); err != nil {
				t.Fatal(err)
			}
			r.Messages = append(r.Messages, again, model.Message{Role: model.ToolRole, CallID: "call_1", Text: "package a"})
			stream(t, c, r)
			r.Models = []string{gpt}
			stream(t, c, r)
			same, other := p.Requests()[1].Messages[2].Reasoning, p.Requests()[2].Messages[2].Reasoning
			if (len(same) > 0) != (name != "none") || len(other) > 0 {
				t.Errorf("to the same model go %s, to another %s", same, other)
			}
		})
	}
}

func TestStream_AnErrorThatIsNullIsNone(t *testing.T) {
	p := modeltest.New(t)
	p.Play(modeltest.Turn{modeltest.ErrorNull(), modeltest.Reasoning("So.", "s"), modeltest.Words("All is well."), modeltest.Call("c", "todo", "{}")})
	res, _ := stream(t, client(t, model.Config{BaseURL: p.URL}), ask("Hello?"))
	if res.Message.Text != "All is well." || len(p.Requests()) != 1 {
		t.Errorf("the answer is %q after %d requests", res.Message.Text, len(p.Requests()))
	}
}

func TestStream_WhatBreaksBeforeAnythingIsShownIsTriedAgain(t *testing.T) {
	for name, steps := range map[string]modeltest.Turn{
		"an error in mid-stream":       {modeltest.FailWithoutUsage(502, "overloaded")},
		"one that is a text":           {modeltest.Raw("data: {\"error\":\"overloaded\"}\n\n"), modeltest.End()},
		"one of a choice":              {modeltest.Raw("data: {\"choices\":[{\"error\":{\"code\":\"server_error\",\"message\":\"overloaded\"},\"delta\":{}}]}\n\n"), modeltest.End()},
		"a finish reason that says so": {modeltest.Finish("error")},
		"an end without a reason":      {modeltest.Comment(""), modeltest.End()},
		"an end mark without a reason": {modeltest.Raw("data: [DONE]\n\n"), modeltest.End()},
		"a cut":                        {modeltest.Comment(""), modeltest.Cut()},
		"a cut before the headers":     {modeltest.Cut()},
		"a cut in the middle":          {modeltest.Raw(`data: {"choices":[{"del`), modeltest.Cut()},
		"a limit in mid-stream":        {modeltest.FailWithoutUsage(429, "too many")},
		"429":                          {modeltest.RateLimit("")},
		"429 with a time":              {modeltest.RateLimit("0.001")},
		"408":                          {modeltest.Refuse(408, "timeout")},
		"500":                          {modeltest.Refuse(500, "oops")},
		"502":                          {modeltest.RefuseWith(502, http.Header{"Content-Type": {"text/html"}}, "<html>Bad gateway</html>")},
		"503":                          {modeltest.RefuseUpstream(503, "Played", "no capacity")},
		"524":                          {modeltest.Refuse(524, "")},
		"an error as JSON with 200":    {modeltest.RefuseWith(200, http.Header{"Content-Type": {"application/json; charset=utf-8"}}, `{"error":{"code":502,"message":"overloaded"}}`)},
	} {
		t.Run(name, func(t *testing.T) {
			p := modeltest.New(t)
			p.Play(steps, steps, modeltest.Turn{modeltest.Words("At last.")})
			r := ask("Hello?")
			told := 0
			r.Retrying = func(failure *model.Error, in time.Duration) {
				told++
				if failure.Message == "" || in < 0 {
					t.Errorf("told is %+v in %s", failure, in)
				}
			}
			res, _ := stream(t, client(t, model.Config{BaseURL: p.URL}), r)
			if res.Message.Text != "At last." || len(p.Requests()) != 3 || told != 2 {
				t.Errorf("the answer is %q after %d requests, told %d times", res.Message.Text, len(p.Requests()), told)
			}
		})
	}
}

func TestStream_WhatBreaksAfterSomethingIsShownIsAnErrorWithWhatCame(t *testing.T) {
	for name, test := range map[string]struct {
		end  modeltest.Step
		kind model.Kind
	}{
		"an error with usage":       {modeltest.Fail(502, "overloaded"), model.KindProvider},
		"an error without usage":    {modeltest.FailWithoutUsage(502, "overloaded"), model.KindProvider},
		"no more credit":            {modeltest.Fail(402, "credit"), model.KindNoCredit},
		"a limit":                   {modeltest.Fail(429, "slow down"), model.KindRateLimited},
		"moderation":                {modeltest.Raw(`data: {"error":{"code":403,"message":"flagged","metadata":{"reasons":["x"]}}}` + "\n\n"), model.KindContentFilter},
		"a window that is full":     {modeltest.Fail(400, "maximum context length is 8192 tokens"), model.KindContext},
		"an end":                    {modeltest.End(), model.KindCut},
		"a cut":                     {modeltest.Cut(), model.KindCut},
		"what is no JSON":           {modeltest.Raw("data: {oops\n\n"), model.KindBadAnswer},
		"what is no chunk":          {modeltest.Raw("data: [1]\n\n"), model.KindBadAnswer},
		"an end mark and no reason": {modeltest.Raw("data: [DONE]\n\n"), model.KindCut},
	} {
		t.Run(name, func(t *testing.T) {
			p := modeltest.New(t)
			p.Play(modeltest.Turn{modeltest.Used(modeltest.Usage{Input: 50, Output: 2, Cost: "0.0000125"}), modeltest.Text("Half "), modeltest.Call("call_1", "todo", `{"a":`), test.end, modeltest.End()})
			failed, res, shown := fails(t, client(t, model.Config{BaseURL: p.URL}), ask("Hello?"))
			if failed.Kind != test.kind {
				t.Errorf("its kind is %s: %s", failed.Kind, failed)
			}
			if len(p.Requests()) != 1 {
				t.Errorf("it was sent %d times", len(p.Requests()))
			}
			if res.Message.Text != "Half " || shown.text.String() != "Half " || len(res.Message.Calls) != 1 || res.Message.Calls[0].Arguments != `{"a":` {
				t.Errorf("what came is %+v", res.Message)
			}
			if failed.Usage == nil || failed.Usage.Output == 0 {
				t.Fatalf("what it used is %+v", failed.Usage)
			}
			if told := strings.HasPrefix(name, "an error with") && name != "an error without usage" || failed.Usage.Input == 50; told == failed.Usage.Estimated {
				t.Errorf("what it used is %+v", failed.Usage)
			}
			if name == "an error with usage" {
				if diff := cmp.Diff(&model.Usage{Input: 50, Output: 2, Cost: 13, Priced: true}, failed.Usage); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func TestStream_WhatAttemptsUsedThatFailedIsCountedToo(t *testing.T) {
	p := modeltest.New(t)
	used := modeltest.Used(modeltest.Usage{Input: 100, Output: 1, Cost: "0.1"})
	p.Play(modeltest.Turn{used, modeltest.Fail(502, "x")}, modeltest.Turn{used, modeltest.Fail(502, "x")}, modeltest.Turn{used, modeltest.Words("Well.")})
	res, _ := stream(t, client(t, model.Config{BaseURL: p.URL}), ask("Hello?"))
	if diff := cmp.Diff(model.Usage{Input: 300, Output: 3, Cost: 300_000, Priced: true}, res.Usage); diff != "" {
		t.Error(diff)
	}
}

func TestStream_ItGivesUpAfterSoManyAttempts(t *testing.T) {
	p := modeltest.New(t)
	p.Answer(func(modeltest.Request) modeltest.Turn { return modeltest.Turn{modeltest.Refuse(503, "no capacity")} })
	failed, _, _ := fails(t, client(t, model.Config{BaseURL: p.URL, Attempts: 3}), ask("Hello?"))
	if failed.Kind != model.KindUnavailable || failed.Status != 503 || len(p.Requests()) != 3 || !strings.Contains(failed.Message, "tried 3 times") {
		t.Errorf("%+v after %d requests", failed, len(p.Requests()))
	}
}

func TestStream_WhatWillNotPassIsNotTriedAgain(t *testing.T) {
	for name, test := range map[string]struct {
		step modeltest.Step
		kind model.Kind
		own  bool
		says string
	}{
		"no credit":          {modeltest.Refuse(402, "Insufficient credits"), model.KindNoCredit, false, "An administrator has to add"},
		"no credit of one's": {modeltest.Refuse(402, "Insufficient credits"), model.KindNoCredit, true, "Your own key"},
		"a key's limit":      {modeltest.Refuse(403, "Key limit exceeded"), model.KindNoCredit, false, "no credit left"},
		"a quota":            {modeltest.Refuse(429, "You exceeded your current quota, please check your plan and billing details."), model.KindNoCredit, false, "no credit left"},
		"a key":              {modeltest.Refuse(401, "User not found."), model.KindUnauthorized, false, "set another one"},
		"a key of one's own": {modeltest.Refuse(401, "User not found."), model.KindUnauthorized, true, "your own key"},
		"moderation": {
			modeltest.RefuseWith(403, nil, `{"error":{"code":403,"message":"flagged","metadata":{"reasons":["violence"],"flagged_input":"Hello?"}}}`),
			model.KindContentFilter, false, "moderation",
		},
		"the window":        {modeltest.Refuse(400, "This endpoint's maximum context length is 8192 tokens."), model.KindContext, false, "longer than this model takes"},
		"the window behind": {modeltest.RefuseUpstream(400, "Played", "prompt is too long: 210000 tokens > 200000 maximum"), model.KindContext, false, "longer than this model takes"},
		"the window as 413": {modeltest.RefuseWith(413, nil, "Payload Too Large"), model.KindContext, false, "longer than this model takes"},
		"no such model":     {modeltest.Refuse(400, claude+" is not a valid model ID"), model.KindUnknownModel, false, claude},
		"no endpoint":       {modeltest.Refuse(404, "No endpoints found that support tool use."), model.KindUnknownModel, false, "support tool use"},
		"anything else":     {modeltest.RefuseUpstream(400, "Played", "tools.0.name: too long"), model.KindRefused, false, "Played: tools.0.name: too long"},
		"text, not JSON":    {modeltest.RefuseWith(422, http.Header{"Content-Type": {"text/plain"}}, "nope"), model.KindRefused, false, "status 422"},
		"a redirect":        {modeltest.RefuseWith(302, http.Header{"Location": {"https://example.com/"}}, ""), model.KindBadAnswer, false, "base URL"},
		"a web page":        {modeltest.RefuseWith(200, http.Header{"Content-Type": {"text/html"}}, "<html>Welcome"), model.KindBadAnswer, false, "web page"},
		"a whole answer":    {modeltest.RefuseWith(200, nil, `{"choices":[{"message":{"content":"Hi"}}]}`), model.KindBadAnswer, false, "stream"},
	} {
		t.Run(name, func(t *testing.T) {
			p := modeltest.New(t)
			p.Keys(modeltest.Key, "sk-or-v1-of-a-person-herself")
			p.Play(modeltest.Turn{test.step})
			r := ask("Hello?")
			if test.own {
				r.Key = "sk-or-v1-of-a-person-herself"
			}
			failed, _, shown := fails(t, client(t, model.Config{BaseURL: p.URL}), r)
			if failed.Kind != test.kind || !strings.Contains(failed.Message, test.says) {
				t.Errorf("%s: %s", failed.Kind, failed)
			}
			if len(p.Requests()) != 1 || shown.deltas != 0 || failed.Usage != nil {
				t.Errorf("%d requests, %d pieces, used %+v", len(p.Requests()), shown.deltas, failed.Usage)
			}
		})
	}
}

func TestStream_ATimeThatTheProviderAsksForIsKept(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for after, want := range map[string]time.Duration{
		"3600":                          time.Hour,
		"45.5":                          45500 * time.Millisecond,
		"Fri, 01 May 2026 12:02:00 GMT": 2 * time.Minute,
		"99999999999999999999":          24 * time.Hour,
		"1e308":                         24 * time.Hour,
	} {
		p := modeltest.New(t)
		p.Play(modeltest.Turn{modeltest.RateLimit(after)})
		failed, _, _ := fails(t, client(t, model.Config{BaseURL: p.URL, Now: func() time.Time { return now }}), ask("Hello?"))
		if failed.Kind != model.KindRateLimited || failed.RetryAfter != want || len(p.Requests()) != 1 {
			t.Errorf("%s: %+v, and %d requests: nobody waits so long", after, failed, len(p.Requests()))
		}
	}
	for _, after := range []string{"0", "-5", "NaN", "soon", "Fri, 01 May 2020 12:00:00 GMT"} {
		p := modeltest.New(t)
		p.Play(modeltest.Turn{modeltest.RateLimit(after)}, modeltest.Turn{modeltest.Words("Now.")})
		stream(t, client(t, model.Config{BaseURL: p.URL, Now: func() time.Time { return now }}), ask("Hello?"))
	}

	p := modeltest.New(t)
	p.Play(modeltest.Turn{modeltest.RateLimit("0.2")}, modeltest.Turn{modeltest.Words("Now.")})
	began := time.Now()
	stream(t, client(t, model.Config{BaseURL: p.URL}), ask("Hello?"))
	if waited := time.Since(began); waited < 200*time.Millisecond {
		t.Errorf("it was sent again after %s", waited)
	}
}

func TestStream_AStallIsNoticed(t *testing.T) {
	for name, test := range map[string]struct {
		config model.Config
		turn   modeltest.Turn
	}{
		"before anything":      {model.Config{Wait: 100 * time.Millisecond, Idle: time.Minute}, modeltest.Turn{modeltest.Stall()}},
		"with comments only":   {model.Config{Wait: 100 * time.Millisecond, Idle: time.Minute}, modeltest.Turn{modeltest.StallAlive(5 * time.Millisecond)}},
		"in the middle":        {model.Config{Wait: time.Minute, Idle: 100 * time.Millisecond}, modeltest.Turn{modeltest.Text("Half"), modeltest.Stall()}},
		"comments after a bit": {model.Config{Wait: 100 * time.Millisecond, Idle: 90 * time.Millisecond}, modeltest.Turn{modeltest.Text("Half"), modeltest.StallAlive(5 * time.Millisecond)}},
	} {
		t.Run(name, func(t *testing.T) {
			p := modeltest.New(t)
			p.Play(test.turn)
			test.config.BaseURL, test.config.Attempts = p.URL, 1
			failed, _, _ := fails(t, client(t, test.config), ask("Hello?"))
			if failed.Kind != model.KindCut || !strings.Contains(failed.Message, "said nothing for") {
				t.Errorf("%s: %s", failed.Kind, failed)
			}
		})
	}
}

func TestStream_CommentsKeepAnAnswerAlive(t *testing.T) {
	p := modeltest.New(t)
	turn := modeltest.Turn{modeltest.Text("Half ")}
	for range 110 {
		turn = append(turn, modeltest.Pause(15*time.Millisecond), modeltest.Comment(""))
	}
	p.Play(append(turn, modeltest.Text("and half.")))
	res, _ := stream(t, client(t, model.Config{BaseURL: p.URL, Wait: 30 * time.Second, Idle: 1500 * time.Millisecond, Attempts: 1}), ask("Hello?"))
	if res.Message.Text != "Half and half." {
		t.Errorf("it is %q", res.Message.Text)
	}
}

func TestStream_AnAnswerIsWholeWithItsFinishReason(t *testing.T) {
	const finish = `data: {"choices":[{"delta":{"content":""},"finish_reason":"stop"}]}` + "\n\n"
	for name, turn := range map[string]modeltest.Turn{
		"no end mark":           {modeltest.Text("Whole."), modeltest.Raw(finish), modeltest.End()},
		"a cut instead of it":   {modeltest.Text("Whole."), modeltest.Raw(finish), modeltest.Cut()},
		"no usage":              {modeltest.Text("Whole."), modeltest.NoUsage()},
		"no empty line at last": {modeltest.Text("Whole."), modeltest.Raw(strings.TrimSpace(finish)), modeltest.End()},
		"CRLF, and odd fields":  {modeltest.Text("Whole."), modeltest.Raw("event: x\r\nretry: 5\r\n" + strings.ReplaceAll(finish, "\n", "\r\n") + "data: [DONE]\r\n\r\n"), modeltest.End()},
		"data in several lines": {modeltest.Text("Whole."), modeltest.Raw("data: {\"choices\":[{\"delta\":{},\ndata:\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"), modeltest.End()},
	} {
		t.Run(name, func(t *testing.T) {
			p := modeltest.New(t)
			p.Play(turn)
			res, _ := stream(t, client(t, model.Config{BaseURL: p.URL}), ask("Hello?"))
			if res.Message.Text != "Whole." || res.Finish != model.FinishStop || !res.Usage.Estimated || res.Usage.Input == 0 || res.Usage.Output == 0 {
				t.Errorf("%+v", res)
			}
		})
	}
}

func TestStream_AStopEndsItAtOnceWithWhatCame(t *testing.T) {
	for name, turn := range map[string]modeltest.Turn{
		"in the middle":      {modeltest.Text("Half"), modeltest.Stall()},
		"before the headers": {modeltest.RefuseWith(503, nil, "{}")},
	} {
		t.Run(name, func(t *testing.T) {
			p := modeltest.New(t)
			p.Play(turn)
			c := client(t, model.Config{BaseURL: p.URL, Backoff: 20 * time.Second})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r := ask("Hello?")
			r.Retrying = func(*model.Error, time.Duration) { cancel() }
			var stopped time.Time
			res, err := c.Stream(ctx, r, func(model.Delta) { stopped = time.Now(); cancel() })
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("the error is %v", err)
			}
			if name == "in the middle" && (res.Message.Text != "Half" || !res.Usage.Estimated) {
				t.Errorf("what came is %+v", res)
			}
			if took := time.Since(stopped); !stopped.IsZero() && took > 5*time.Second {
				t.Errorf("it ended after %s", took)
			}
		})
	}
}

func TestStream_NoKeyAndNothingOfTheConversationIsInAnError(t *testing.T) {
	const prompt = "The password of the production database is hunter2hunter2, find where it is used."
	const result = "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"
	for name, said := range map[string]string{
		"the key":            "Incorrect API key provided: " + modeltest.Key,
		"a part of the key":  "Incorrect API key provided: sk-…" + modeltest.Key[12:24],
		"what a person said": "Invalid input: '" + prompt + "'",
		"a part of it":       "Invalid input near 'production database is hunter2hunter2, fi'",
		"what a tool said":   "Invalid tool output: " + result,
		"control characters": "a\x1b[31mred\x00\u202eevil\u2066",
		"a long story":       strings.Repeat("lorem ipsum ", 1000),
	} {
		for _, status := range []int{400, 401, 429, 502} {
			for where, steps := range map[string]modeltest.Turn{
				"status":     {modeltest.Refuse(status, said)},
				"upstream":   {modeltest.RefuseUpstream(status, said, said)},
				"mid-stream": {modeltest.Text("Half"), modeltest.Fail(status, said)},
			} {
				p := modeltest.New(t)
				p.Play(steps)
				r := ask(prompt)
				r.Messages = append(r.Messages,
					model.Message{Role: model.Assistant, Calls: []model.Call{{ID: "call_1", Name: "todo", Arguments: "{}"}}},
					model.Message{Role: model.ToolRole, CallID: "call_1", Text: result})
				failed, _, _ := fails(t, client(t, model.Config{BaseURL: p.URL, Attempts: 1}), r)
				for _, secret := range []string{modeltest.Key[12:24], "hunter2hunter2", "wJalrXUtnFEMI", "\x1b", "\u202e", "\x00"} {
					if strings.Contains(failed.Error(), secret) || strings.Contains(fmt.Sprintf("%+v", *failed), secret) {
						t.Errorf("%s, %s, %d: %q has %q in it", name, where, status, failed.Error(), secret)
					}
				}
				if len([]rune(failed.Error())) > 700 {
					t.Errorf("%s: an error of %d characters", name, len(failed.Error()))
				}
			}
		}
	}
}

func TestStream_AServerThatCannotBeReachedIsSaidSo(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	failed, _, _ := fails(t, client(t, model.Config{BaseURL: server.URL + "/openrouter", Attempts: 2}), ask("Hello?"))
	if failed.Kind != model.KindUnavailable || !strings.Contains(failed.Message, "refuses connections") {
		t.Errorf("%s: %s", failed.Kind, failed)
	}
}

func TestStream_AServerThatHasNoEndIsCutOff(t *testing.T) {
	endless := func(head, piece string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			if _, err := io.WriteString(w, head); err != nil {
				return
			}
			for {
				if _, err := io.WriteString(w, piece); err != nil {
					return
				}
			}
		}
	}
	text := strings.Repeat("x", 1<<20)
	for name, handler := range map[string]http.HandlerFunc{
		"one line":        endless(`data: {"choices":[{"delta":{"content":"`, text),
		"one event":       endless("", "data: "+text+"\n"),
		"texts":           endless("", `data: {"choices":[{"delta":{"content":"`+text+`"}}]}`+"\n\n"),
		"arguments":       endless("", `data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"a","arguments":"`+text+`"}}]}}]}`+"\n\n"),
		"reasoning":       endless("", `data: {"choices":[{"delta":{"reasoning_details":[{"type":"reasoning.text","text":"`+text+`","index":0}]}}]}`+"\n\n"),
		"reasoning parts": endless("", `data: {"choices":[{"delta":{"reasoning_details":[`+strings.Repeat(`{"type":"reasoning.encrypted","data":"x"},`, 99)+`{}]}}]}`+"\n\n"),
		"calls":           endless("", `data: {"choices":[{"delta":{"tool_calls":[`+strings.Repeat(`{"id":"a","index":0,"function":{"name":"a"}},{"id":"b","index":0,"function":{"name":"a"}},`, 99)+`{}]}}]}`+"\n\n"),
		"an error": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			endless(`{"error":{"message":"`, text)(w, r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(handler)
			defer server.Close()
			failed, _, _ := fails(t, client(t, model.Config{BaseURL: server.URL, Attempts: 1}), ask("Hello?"))
			if want := map[bool]model.Kind{true: model.KindRefused, false: model.KindBadAnswer}[name == "an error"]; failed.Kind != want {
				t.Errorf("%s: %s", failed.Kind, failed)
			}
		})
	}
}

func TestStream_OpenRouterIsToldWhoAsksAndWhatElseWillDo(t *testing.T) {
	t.Setenv("OPENAI_API_KEY", "sk-of-the-environment")
	t.Setenv("OPENAI_BASE_URL", "http://127.0.0.1:1")
	t.Setenv("OPENAI_ORG_ID", "org-of-the-environment")
	p := modeltest.New(t)
	p.Keys(modeltest.Key, "sk-or-v1-of-a-person-herself")
	p.Play(modeltest.Turn{modeltest.Answers(gpt), modeltest.Words("From another.")}, modeltest.Turn{modeltest.Words("Again.")})
	c := client(t, model.Config{BaseURL: p.URL, Referer: "https://kalpana.example.com", Title: "Kalpana at Example"})
	r := ask("Hello?")
	r.Models = []string{claude, gpt, "mistralai/played-small", "a/three", "a/four", "a/five"}
	r.Effort, r.MaxTokens, r.User = "high", 1000, "user_1"
	r.Tools = []model.Tool{{Name: "readFile", Description: "Reads.", Parameters: json.RawMessage(`{"type":"object","properties":{}}`)}}
	res, _ := stream(t, c, r)
	if res.Model != gpt || res.Message.Model != gpt {
		t.Errorf("%s answered (%s)", res.Model, res.Message.Model)
	}
	r.Key = "sk-or-v1-of-a-person-herself"
	stream(t, c, r)

	sent, own := p.Requests()[0], p.Requests()[1]
	if sent.Model != claude || !slices.Equal(sent.Models, []string{gpt, "mistralai/played-small", "a/three"}) || sent.Effort != "high" ||
		sent.MaxTokens != 1000 || sent.User != "user_1" || !slices.Equal(sent.Tools, []string{"readFile"}) {
		t.Errorf("it asks for %+v", sent)
	}
	if sent.Key != modeltest.Key || own.Key != r.Key {
		t.Errorf("the keys are %q and %q", sent.Key, own.Key)
	}
	if h := sent.Header; h.Get("HTTP-Referer") != "https://kalpana.example.com" || h.Get("X-OpenRouter-Title") != "Kalpana at Example" || h.Get("User-Agent") != "Kalpana" {
		t.Errorf("the headers are %v", h)
	}
	for name := range sent.Header {
		if strings.HasPrefix(name, "X-Stainless") || strings.HasPrefix(name, "Openai") {
			t.Errorf("there is a header %s", name)
		}
	}
}

func TestStream_PrefixesAreMarkedForCachesThatNeedIt(t *testing.T) {
	marked := func(name string, count int) []int {
		p := modeltest.New(t)
		p.Play(modeltest.Turn{modeltest.Words("Well.")})
		r := &model.Request{Models: []string{name}, Messages: []model.Message{{Role: model.System, Text: "You are an engineer.", Cache: true}}}
		for i := range count {
			r.Messages = append(r.Messages, model.Message{Role: model.User, Text: fmt.Sprint("Question ", i), Cache: true})
		}
		stream(t, client(t, model.Config{BaseURL: p.URL}), r)
		var marks []int
		for i, m := range p.Requests()[0].Messages {
			if m.Cache {
				marks = append(marks, i)
			}
		}
		return marks
	}
	for name, want := range map[string][]int{claude: {0, 1, 2}, "qwen/qwen-played": {0, 1, 2}, gpt: nil} {
		if got := marked(name, 2); !slices.Equal(got, want) {
			t.Errorf("%s: marked are %v, want %v", name, got, want)
		}
	}
	if got := marked(claude, 9); !slices.Equal(got, []int{0, 7, 8, 9}) {
		t.Errorf("of ten, marked are %v: at most four are accepted", got)
	}
}

func TestStream_APlainServerGetsOpenAIsFieldsOnly(t *testing.T) {
	p := modeltest.New(t)
	p.Play(modeltest.Turn{modeltest.Reasoning("Let me look.", ""), modeltest.Call("call_1", "readFile", `{}`)}, modeltest.Turn{modeltest.Words("Done.")})
	c := client(t, model.Config{BaseURL: p.Plain})
	r := ask("Hello?")
	r.Models, r.Effort, r.MaxTokens = []string{claude, gpt}, "low", 100
	r.Messages[0].Cache = true
	res, shown := stream(t, c, r)
	if shown.reasoning.String() != "Let me look." || res.Usage.Input == 0 || res.Usage.Estimated || res.Usage.Priced {
		t.Errorf("reasoning %q, used %+v", shown.reasoning.String(), res.Usage)
	}
	r.Messages = append(r.Messages, res.Message, model.Message{Role: model.ToolRole, CallID: "call_1", Text: "package a"})
	stream(t, c, r)
	if sent := p.Requests()[1]; !strings.Contains(string(sent.Body), `"reasoning_content":"Let me look."`) || sent.Effort != "low" {
		t.Errorf("sent is %s", sent.Body)
	}
	if c.Provider() != "other" {
		t.Errorf("the provider is called %s", c.Provider())
	}
}

func TestStream_AServerOfOnesOwnNeedsNoKeyAndOpenRouterDoes(t *testing.T) {
	p := modeltest.New(t)
	p.Keys("")
	p.Play(modeltest.Turn{modeltest.Words("Hello.")})
	plain, err := model.New(model.Config{BaseURL: p.Plain})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(plain.Close)
	stream(t, plain, ask("Hello?"))
	router, err := model.New(model.Config{BaseURL: p.URL})
	if err != nil {
		t.Fatal(err)
	}
	if failed, _, _ := fails(t, router, ask("Hello?")); failed.Kind != model.KindNotConfigured || len(p.Requests()) != 1 {
		t.Errorf("%s: %s", failed.Kind, failed)
	}
	if !plain.Configured() || router.Configured() {
		t.Error("which of them can be asked is not what is said")
	}
}

func TestNew_RefusesWhatIsNoBaseURL(t *testing.T) {
	for _, url := range []string{"openrouter.ai/api/v1", "ftp://openrouter.ai", "https://user:pass@openrouter.ai/", "https://openrouter.ai/?a=b", "http://", "::"} {
		if _, err := model.New(model.Config{BaseURL: url}); err == nil {
			t.Errorf("%s is taken", url)
		}
	}
	if _, err := model.New(model.Config{}); err != nil {
		t.Error(err)
	}
}

func TestStream_OneConnectionServesOneAnswerAfterAnother(t *testing.T) {
	provider := modeltest.NewProvider()
	provider.Answer(func(modeltest.Request) modeltest.Turn { return modeltest.Turn{modeltest.Words("Hello there.")} })
	var connections atomic.Int32
	server := httptest.NewUnstartedServer(provider)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	c := client(t, model.Config{BaseURL: server.URL + "/openrouter"})
	for range 20 {
		stream(t, c, ask("Hello?"))
	}
	c.Close()
	if got := connections.Load(); got > 3 { // a busy machine may miss the end of a body
		t.Errorf("20 answers took %d connections", got)
	}
}
