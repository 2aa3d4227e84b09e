package agent

import (
	"strings"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/agent/approval"
	"github.com/kalpana-dev/kalpana/agent/model"
	"github.com/kalpana-dev/kalpana/agent/model/modeltest"
	"github.com/kalpana-dev/kalpana/agent/uistream"
)

// played returns a service whose model is the real client of a played provider, which checks what it is sent.
func played(t *testing.T, change ...func(*Config)) (*stage, *modeltest.Server) {
	t.Helper()
	provider := modeltest.New(t)
	client, err := model.New(model.Config{BaseURL: provider.URL, Key: modeltest.Key, Backoff: time.Millisecond, Wait: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	s := newStage(t, append([]func(*Config){func(c *Config) { c.Model = client }}, change...)...)
	t.Cleanup(func() { // before the provider is closed
		s.Close()
		client.Close()
	})
	return s, provider
}

func TestProvider_AWholeTask(t *testing.T) {
	c := newContainer(t)
	c.awake = true
	c.Write("greet.sh", "echo helo\n")
	s, provider := played(t, func(cfg *Config) {
		real := c.stage().cfg
		cfg.Bridge, cfg.Find, cfg.Tools, cfg.Decide, cfg.Metrics = real.Bridge, real.Find, real.Tools, nil, NewMetrics()
	})
	provider.Play(
		modeltest.Turn{
			modeltest.Reasoning("Let me look.", "signature"), modeltest.Comment("OPENROUTER PROCESSING"), modeltest.Fragmented(5),
			modeltest.Calls(
				modeltest.PlayedCall{ID: "call_1", Name: "readFile", Arguments: []string{`{"pa`, `th":"greet.sh"}`}},
				modeltest.PlayedCall{ID: "call_2", Name: "listFiles", Arguments: []string{`{}`}},
			), modeltest.FinishTwice(),
		},
		modeltest.Turn{modeltest.Surrogates("A typo 🙂. "), modeltest.Call("call_3", "editFile", `{"path":"greet.sh","edits":[{"old":"helo","new":"hello"}]}`)},
		modeltest.Turn{modeltest.Call("call_1", "runCommand", `{"command":"sh greet.sh"}`)},
		modeltest.Turn{modeltest.Words("It says hello now.")},
	)
	chunks := s.send(Send{Text: "Fix the greeting."})
	for _, of := range []string{"editFile", "runCommand"} {
		ids := asked(chunks)
		if len(ids) != 1 {
			t.Fatalf("for %s it asks %v: %+v", of, ids, last(chunks))
		}
		for _, id := range ids {
			chunks = s.send(Send{Approvals: []Answer{{ApprovalID: id, Approved: true}}})
		}
	}
	if got := textOf(chunks); got != "It says hello now." {
		t.Errorf("it says %q", got)
	}
	if got := c.Read("greet.sh"); got != "echo hello\n" {
		t.Errorf("the file is %q", got)
	}
	shown := s.shown()
	if len(shown) != 2 {
		t.Fatalf("%d messages", len(shown))
	}
	var all strings.Builder
	for _, p := range shown[1].Parts {
		if p.Text != nil {
			all.WriteString(*p.Text)
		}
	}
	if !strings.Contains(all.String(), "A typo 🙂. ") {
		t.Errorf("people read %q", all.String())
	}
	if last := provider.Requests()[3]; last.Steps() != 3 || !strings.Contains(last.Result(), "hello") {
		t.Errorf("the model is told %q", last.Results())
	}
}

func TestProvider_EveryWayToBreakEndsInWords(t *testing.T) {
	for name, test := range map[string]struct {
		turns  []modeltest.Turn
		said   string // of the text
		fault  string // of the error, "" for none
		asked  int
		reason string
	}{
		"an error in mid-stream":      {turns: []modeltest.Turn{{modeltest.Words("I begin "), modeltest.Fail(502, "upstream")}}, said: "I begin ", fault: "x", asked: 1},
		"one without usage":           {turns: []modeltest.Turn{{modeltest.Words("I begin "), modeltest.FailWithoutUsage(502, "upstream")}}, said: "I begin ", fault: "x", asked: 1},
		"a cut":                       {turns: []modeltest.Turn{{modeltest.Words("I begin "), modeltest.Cut()}}, said: "I begin ", fault: "x", asked: 1},
		"a cut in a call":             {turns: []modeltest.Turn{{modeltest.Call("call_1", "readFile", `{"path":`), modeltest.Cut()}}, fault: "x", asked: 1},
		"an end without a reason":     {turns: []modeltest.Turn{{modeltest.Words("I begin "), modeltest.End()}}, said: "I begin ", fault: "x", asked: 1},
		"no credit":                   {turns: []modeltest.Turn{{modeltest.Refuse(402, "Insufficient credits")}}, fault: "credit", asked: 1},
		"rate limits, then an answer": {turns: []modeltest.Turn{{modeltest.RateLimit("0")}, {modeltest.Words("ok")}}, said: "ok", asked: 2, reason: uistream.FinishStop},
		"unavailable, then an answer": {turns: []modeltest.Turn{{modeltest.Refuse(503, "no")}, {modeltest.Words("ok")}}, said: "ok", asked: 2, reason: uistream.FinishStop},
		"error null":                  {turns: []modeltest.Turn{{modeltest.ErrorNull(), modeltest.Words("ok")}}, said: "ok", asked: 1, reason: uistream.FinishStop},
		"no usage":                    {turns: []modeltest.Turn{{modeltest.Words("ok"), modeltest.NoUsage()}}, said: "ok", asked: 1, reason: uistream.FinishStop},
		"the length":                  {turns: []modeltest.Turn{{modeltest.Words("ok "), modeltest.Finish("length")}}, said: "ok ", asked: 1, reason: uistream.FinishLength},
	} {
		t.Run(name, func(t *testing.T) {
			s, provider := played(t)
			provider.Play(test.turns...)
			chunks := s.send(Send{Text: "go", Mode: approval.AskNone})
			if got := textOf(chunks); !strings.HasPrefix(got, test.said) {
				t.Errorf("it says %q", got)
			}
			end := last(chunks)
			switch {
			case test.fault == "" && end.FinishReason != test.reason:
				t.Errorf("it ends with %+v", end)
			case test.fault != "" && (end.Type != uistream.ErrorType || len(end.ErrorText) < 20 || strings.Contains(end.ErrorText, modeltest.Key)):
				t.Errorf("it ends with %+v", end)
			}
			if n := len(provider.Requests()); n != test.asked {
				t.Errorf("the model was asked %d times", n)
			}
			// Whatever it was, the chat goes on, with a conversation that the provider takes.
			provider.Play(modeltest.Turn{modeltest.Words("Here I am.")})
			if got := textOf(s.send(Send{Text: "and now?"})); got != "Here I am." {
				t.Errorf("then it says %q", got)
			}
		})
	}
}

func TestProvider_StopCancelsTheRequestAtOnce(t *testing.T) {
	s, provider := played(t)
	provider.Play(modeltest.Turn{modeltest.Words("I think "), modeltest.Stall()})
	r := s.begin(Send{Text: "go"})
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(textOf(soFar(t, r)), "I think"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it says nothing")
		}
	}
	began := time.Now()
	if err := s.Stop(t.Context(), "ada", "chat"); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if got := last(s.wait(r)); got.Type != uistream.Abort {
		t.Errorf("%+v", got)
	}
}

// soFar returns what a run has said as one chunk a text.
func soFar(t *testing.T, r *Run) (chunks []uistream.Chunk) {
	t.Helper()
	for _, p := range r.Log().Message().Parts {
		if p.Text != nil {
			chunks = append(chunks, uistream.Chunk{Type: uistream.TextDelta, Delta: *p.Text})
		}
	}
	return chunks
}
