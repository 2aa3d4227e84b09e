package model_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/agent/model"
	"github.com/kalpana-dev/kalpana/agent/model/modeltest"
)

func TestModels_TheyHaveTheirPricesAndWhatTheyCan(t *testing.T) {
	p := modeltest.New(t)
	p.Models(
		modeltest.Info{ID: "b/two", Name: "Two", Context: 200_000, MaxOutput: 64_000, InputPrice: "0.000003", OutputPrice: "0.000015", Parameters: []string{"tools", "reasoning"}},
		modeltest.Info{ID: "a/one", Name: "One\x1b[31m", Context: 8000, InputPrice: "0.00000125", OutputPrice: "0", Parameters: []string{"temperature"}},
		modeltest.Info{ID: "openrouter/auto", Name: "Auto", Context: 2_000_000, InputPrice: "-1", OutputPrice: "-1", Parameters: []string{}},
	)
	got, err := client(t, model.Config{BaseURL: p.URL}).Models(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]model.Info{
		{ID: "openrouter/auto", Name: "Auto", Context: 2_000_000},
		{ID: "a/one", Name: "One [31m", Context: 8000, InputPrice: 1_250_000},
		{ID: "b/two", Name: "Two", Context: 200_000, MaxOutput: 64_000, Tools: true, Reasoning: true, InputPrice: 3_000_000, OutputPrice: 15_000_000},
	}, got); diff != "" {
		t.Error(diff)
	}
}

func TestModels_OtherServersSayLess(t *testing.T) {
	p := modeltest.New(t)
	c := client(t, model.Config{BaseURL: p.Plain})
	got, err := c.Models(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 4 || got[0].Name != claude || got[0].Context != 0 || !got[0].Tools {
		t.Errorf("they are %+v", got)
	}

	p.AnswerModels(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, `{"data":[null,5,{"id":""},{"id":"a b"},{"id":"vllm","max_model_len":4096,"name":null},{"id":"groq","context_window":"131072","supported_parameters":null},{"id":"odd","pricing":{"prompt":0.000001,"completion":null},"context_length":-5,"top_provider":null},{"id":7}]}`)
	})
	got, err = client(t, model.Config{BaseURL: p.Plain}).Models(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]model.Info{
		{ID: "groq", Name: "groq", Context: 131072, Tools: true},
		{ID: "odd", Name: "odd", Tools: true, InputPrice: 1_000_000},
		{ID: "vllm", Name: "vllm", Context: 4096, Tools: true},
	}, got); diff != "" {
		t.Error(diff)
	}
}

// clock is a time that a test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func TestModels_TheyAreAskedForNowAndThenAndKeptWhileNobodyAnswers(t *testing.T) {
	p := modeltest.New(t)
	at := &clock{now: time.Unix(1_000_000, 0)}
	c := client(t, model.Config{BaseURL: p.URL, Now: at.Now})
	list := func() int {
		infos, err := c.Models(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return len(infos)
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if got, err := c.Models(t.Context()); err != nil || len(got) != 4 {
				t.Errorf("%d models, %v", len(got), err)
			}
		})
	}
	all.Wait()
	at.pass(9 * time.Minute)
	list()
	if p.Lists() != 1 {
		t.Errorf("it was asked for %d times by 21 callers within 9 minutes, want once", p.Lists())
	}
	at.pass(2 * time.Minute)
	p.Models(modeltest.Info{ID: "new/one"})
	if got := list(); got != 1 || p.Lists() != 2 {
		t.Errorf("after 11 minutes there are %d models, asked for %d times", got, p.Lists())
	}
	at.pass(11 * time.Minute)
	p.AnswerModels(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	if got := list(); got != 1 {
		t.Errorf("while the provider is down there are %d models", got)
	}
	list()
	if p.Lists() != 3 {
		t.Errorf("a provider that is down is asked %d times at once", p.Lists()-2)
	}
	at.pass(time.Minute)
	p.AnswerModels(nil)
	p.Models(modeltest.Info{ID: "new/one"}, modeltest.Info{ID: "new/two"})
	if got := list(); got != 2 {
		t.Errorf("once it is up again there are %d models", got)
	}
}

func TestModels_AListThatCannotBeIsAnError(t *testing.T) {
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		kind   model.Kind
	}{
		"no list":    {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"error":"x"}`) }, model.KindBadAnswer},
		"a web page": {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `<html>`) }, model.KindBadAnswer},
		"no key":     {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }, model.KindUnauthorized},
		"no end": {func(w http.ResponseWriter, _ *http.Request) {
			_, err := io.WriteString(w, `{"data":[`)
			for err == nil {
				_, err = io.WriteString(w, strings.Repeat(`{"id":"x"},`, 10_000))
			}
		}, model.KindBadAnswer},
	} {
		t.Run(name, func(t *testing.T) {
			p := modeltest.New(t)
			p.AnswerModels(test.answer)
			_, err := client(t, model.Config{BaseURL: p.URL}).Models(t.Context())
			if failed, ok := errors.AsType[*model.Error](err); !ok || failed.Kind != test.kind || failed.Message == "" {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

func TestModels_WhoeverLeavesDoesNotSpoilItForOthers(t *testing.T) {
	p := modeltest.New(t)
	asked, release := make(chan struct{}), make(chan struct{})
	p.AnswerModels(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		select {
		case <-r.Context().Done():
		case <-release:
		}
	})
	defer close(release)
	c := client(t, model.Config{BaseURL: p.URL})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	if _, err := c.Models(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	p.AnswerModels(nil)
	if got, err := c.Models(t.Context()); err != nil || len(got) != 4 {
		t.Errorf("%d models, %v", len(got), err)
	}
}

// TestStream_AnswersHaveTheNamesThatWereAskedFor: OpenRouter calls models by longer names in its answers.
func TestStream_AModelHasTheNameByWhichItWasAskedForAndItsPrice(t *testing.T) {
	p := modeltest.New(t)
	c := client(t, model.Config{BaseURL: p.URL})
	if _, err := c.Models(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		asked    []string
		answered string
		want     string
	}{
		{[]string{claude}, "", claude},
		{[]string{gpt, claude}, "anthropic/claude-4.5-played-20260101", claude},
		{[]string{gpt, claude}, gpt, gpt},
		{[]string{gpt + ":free", claude}, gpt, gpt + ":free"},
		{[]string{gpt, claude}, gpt + "-2026-01-01", gpt},
		{[]string{gpt, claude}, "anthropic/unheard-of", claude},
		{[]string{gpt, claude}, "mistralai/unheard-of", "mistralai/unheard-of"},
		{[]string{"anthropic/a", "anthropic/b"}, "anthropic/c", "anthropic/c"},
		{[]string{"local"}, "/models/local.gguf", "local"},
		{[]string{"openrouter/auto"}, gpt, gpt},
	} {
		turn := modeltest.Turn{modeltest.Words("Well."), modeltest.Used(modeltest.Usage{Input: 1_000_000, Output: 100})}
		if test.answered != "" {
			turn = append(modeltest.Turn{modeltest.Answers(test.answered)}, turn...)
		}
		p.Play(turn)
		r := ask("Hello?")
		r.Models = test.asked
		res, _ := stream(t, c, r)
		if res.Model != test.want || res.Message.Model != test.want {
			t.Errorf("%s answers to %v: it is called %s", test.answered, test.asked, res.Model)
		}
		if test.want == claude {
			if want := int64(3_000_000 + 1500); res.Usage.Cost != want || !res.Usage.Priced || !res.Usage.Estimated {
				t.Errorf("without a cost from the provider it is %+v, want %d by its prices", res.Usage, want)
			}
		}
	}
}

func TestCheck_AKeyIsAcceptedOrNot(t *testing.T) {
	p := modeltest.New(t)
	for _, url := range []string{p.URL, p.Plain} {
		c := client(t, model.Config{BaseURL: url})
		if err := c.Check(t.Context(), modeltest.Key); err != nil {
			t.Errorf("a good one: %v", err)
		}
		err := c.Check(t.Context(), "sk-or-v1-made-up-by-somebody")
		if failed, ok := errors.AsType[*model.Error](err); !ok || failed.Kind != model.KindUnauthorized || strings.Contains(err.Error(), "made-up") {
			t.Errorf("a bad one: %v", err)
		}
	}
}
