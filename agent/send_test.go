package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/agent/approval"
	"github.com/kalpana-dev/kalpana/agent/model"
	"github.com/kalpana-dev/kalpana/agent/tools"
	"github.com/kalpana-dev/kalpana/agent/uistream"
	"github.com/kalpana-dev/kalpana/workspace"
)

func TestSend_WhatCannotBeIsRefused(t *testing.T) {
	s := newStage(t)
	for name, send := range map[string]Send{
		"nothing":        {},
		"a bad chat":     {Chat: "../x", Text: "a"},
		"a bad message":  {MessageID: "a b", Text: "a"},
		"a bad mode":     {Text: "a", Mode: "never"},
		"a bad effort":   {Text: "a", Effort: "huge"},
		"a bad trigger":  {Text: "a", Trigger: "x"},
		"two things":     {Text: "a", Continue: true},
		"a long text":    {Text: strings.Repeat("a", maxText+1)},
		"a bad output":   {Outputs: []Output{{CallID: "a", Output: []byte("{")}}},
		"a bad message2": {Text: "a", MessageID: strings.Repeat("a", 65)},
	} {
		if _, err := s.try(send); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.try(Send{Text: "a", Model: "maker/three"}); !errors.Is(err, ErrUnknownModel) {
		t.Error(err)
	}
	if _, err := s.try(Send{Continue: true}); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if len(s.store.chats) > 0 {
		t.Errorf("there are chats: %v", s.store.chats)
	}
}

func TestSend_OneRunAChat(t *testing.T) {
	s := newStage(t)
	s.model.plays(hangs("I think"))
	var all sync.WaitGroup
	var mu sync.Mutex
	began := 0
	for range 10 {
		all.Go(func() {
			_, err := s.try(Send{Text: "go"})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				began++
			} else if !errors.Is(err, ErrRunning) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if began != 1 || s.Run("chat") == nil {
		t.Errorf("%d runs began", began)
	}
	if _, err := s.try(Send{Person: Person{ID: "eve"}, Text: "go"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("somebody else is told %v", err)
	}
	if err := s.Stop(t.Context(), "eve", "chat"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if err := s.Stop(t.Context(), "ada", "chat"); err != nil {
		t.Error(err)
	}
}

func TestSend_APersonHasSoManyRunsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		for i := range MaxRuns {
			s.model.plays(hangs("I think"))
			s.begin(Send{Chat: fmt.Sprintf("chat-%d", i), Text: "go"})
		}
		synctest.Wait()
		one := Send{Chat: "one-more", Text: "go", Workspace: "aaaaaaaaaa", Person: Person{ID: "ada"}}
		if _, err := s.Send(t.Context(), one); !errors.Is(err, ErrTooManyRuns) {
			t.Errorf("one more: %v", err)
		}
		if _, err := s.Chat(t.Context(), "ada", "one-more"); !errors.Is(err, ErrNotFound) {
			t.Errorf("its chat was made: %v", err)
		}
		s.model.plays(says("hello"))
		s.send(Send{Chat: "hers", Text: "go", Person: Person{ID: "eve"}})
		if err := s.Stop(t.Context(), "ada", "chat-0"); err != nil {
			t.Fatal(err)
		}
		s.model.plays(says("hello"))
		s.send(Send{Chat: "one-more", Text: "go"})
		s.Close()
	})
}

// A chat and the list of them are read as a whole, so neither grows without end.
func TestSend_AChatAndTheirNumberAreBounded(t *testing.T) {
	store := newMemStore()
	s := newStageOn(t, store)
	for i := range MaxChats {
		id := fmt.Sprintf("chat-%d", i)
		store.chats[id] = Chat{ID: id, Person: "ada", Workspace: aWorkspace, State: StateIdle, Data: []byte(`{}`)}
	}
	one := Send{Chat: "one-more", Text: "go", Workspace: "aaaaaaaaaa", Person: Person{ID: "ada"}}
	if _, err := s.Send(t.Context(), one); !errors.Is(err, ErrTooManyChats) {
		t.Errorf("one more chat: %v", err)
	}
	long := strings.Repeat("x", 7<<20)
	for i := range MaxChat/(7<<20) + 1 {
		m, err := userMessage("chat-0", fmt.Sprintf("m-%d", i), "x", int64(i+1), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		m.UI = []byte(`{"id":"x","role":"user","parts":[],"metadata":"` + long + `"}`)
		store.messages["chat-0"] = append(store.messages["chat-0"], *m.Message)
	}
	grow := Send{Chat: "chat-0", Text: "go", Person: Person{ID: "ada"}}
	if _, err := s.Send(t.Context(), grow); !errors.Is(err, ErrTooLarge) || len(store.messages["chat-0"]) > MaxChat/(7<<20)+1 {
		t.Errorf("a chat that is full: %v", err)
	}
	s.model.plays(says("hello"))
	grow.MessageID, grow.Text = "m-2", "from here, another way"
	s.send(grow)
}

func TestSend_TheRunGoesOnWhenTheClientLeaves(t *testing.T) {
	s := newStage(t)
	on := make(chan struct{})
	s.model.plays(func(ctx context.Context, req *model.Request, show func(model.Delta)) (*model.Response, error) {
		select {
		case <-on:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		return says("Done.")(ctx, req, show)
	})
	ctx, leave := context.WithCancel(t.Context())
	r, err := s.Send(ctx, Send{Chat: "chat", Workspace: aWorkspace, Person: ada, Text: "go"})
	if err != nil {
		t.Fatal(err)
	}
	leave()
	close(on)
	if got := textOf(s.wait(r)); got != "Done." {
		t.Errorf("it says %q", got)
	}
}

func TestSend_AnotherAnswerCutsTheHistory(t *testing.T) {
	s := newStage(t)
	s.model.plays(says("one"), says("two"), says("three"), says("four"), says("five"))
	s.send(Send{Text: "first"})
	s.send(Send{Text: "second"})
	s.send(Send{Trigger: TriggerRegenerate})
	texts := func() (all []string) {
		for _, m := range s.shown() {
			for _, p := range m.Parts {
				if p.Text != nil {
					all = append(all, *p.Text)
				}
			}
		}
		return all
	}
	if diff := cmp.Diff([]string{"first", "one", "second", "three"}, texts()); diff != "" {
		t.Error(diff)
	}
	s.send(Send{Trigger: TriggerRegenerate, MessageID: s.shown()[0].ID})
	if diff := cmp.Diff([]string{"first", "four"}, texts()); diff != "" {
		t.Error(diff)
	}
	// A message is written anew: its id stays.
	id := s.shown()[0].ID
	s.send(Send{Text: "other", MessageID: id})
	if diff := cmp.Diff([]string{"other", "five"}, texts()); diff != "" || s.shown()[0].ID != id {
		t.Error(diff)
	}
	told := s.model.requests()[4].Messages
	if len(told) != 2 || told[1].Text != "other" {
		t.Errorf("the model is told %+v", told)
	}
	if _, err := s.try(Send{Trigger: TriggerRegenerate, MessageID: "msg-x"}); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
}

func TestSend_ModelModeAndEffortAreTheChatsFromThenOn(t *testing.T) {
	s := newStage(t)
	s.model.plays(says("a"), says("b"))
	s.send(Send{Text: "a", Model: "maker/two", Mode: approval.AskAll, Effort: "high"})
	s.send(Send{Text: "b"})
	if r := s.model.requests()[1]; r.Models[0] != "maker/two" || r.Effort != "high" {
		t.Errorf("%+v", r)
	}
	info, _ := s.Chat(t.Context(), "ada", "chat")
	if info.Mode != approval.AskAll || info.Model != "maker/two" {
		t.Errorf("%+v", info)
	}
}

func TestSend_TheWorkspaceIsBusyWhileItRuns(t *testing.T) {
	var mu sync.Mutex
	busy, most := 0, 0
	s := newStage(t, func(c *Config) {
		c.Busy = func(id workspace.ID) func() {
			mu.Lock()
			defer mu.Unlock()
			busy++
			most = max(most, busy)
			return func() {
				mu.Lock()
				defer mu.Unlock()
				busy--
			}
		}
	})
	s.model.plays(says("a"))
	s.send(Send{Text: "a"})
	mu.Lock()
	defer mu.Unlock()
	if busy != 0 || most != 1 {
		t.Errorf("busy %d times, at most %d", busy, most)
	}
}

func TestStop_EndsModelAndToolsAtOnce(t *testing.T) {
	for name, play := range map[string]play{
		"the model": hangs("I think about it"),
		"a tool":    answers("I wait.", aCall("a", "stubborn", `{}`), aCall("b", "stubborn", `{"n":1}`)),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hold := make(chan struct{})
				s := newStage(t, func(c *Config) {
					c.Tools = []tools.Tool{{Name: "stubborn", Reads: true, Run: func(context.Context, *tools.Env, tools.Call) (*tools.Result, error) {
						<-hold // it does not listen
						return &tools.Result{}, nil
					}}}
				})
				s.model.plays(play)
				r := s.begin(Send{Text: "go"})
				synctest.Wait()
				began := time.Now()
				if err := s.Stop(t.Context(), "ada", "chat"); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took > 3*time.Second {
					t.Errorf("it took %s", took)
				}
				chunks := s.wait(r)
				if last(chunks).Type != uistream.Abort || s.state() != StateIdle || s.Run("chat") != nil {
					t.Errorf("%+v, %s", last(chunks), s.state())
				}
				s.model.plays(says("ok"))
				s.send(Send{Text: "and now"}) // the model checks the conversation
				close(hold)
				s.Close()
			})
		})
	}
}

func TestQueue_IsReadAtTheNextStep(t *testing.T) {
	s := newStage(t)
	s.model.plays(func(ctx context.Context, req *model.Request, show func(model.Delta)) (*model.Response, error) {
		if _, err := s.Queue(ctx, ada, "chat", "and mind the tests"); err != nil {
			t.Error(err)
		}
		return answers("", aCall("a", "readFile", `{}`))(ctx, req, show)
	}, says("ok"))
	chunks := s.send(Send{Text: "go"})
	told := s.model.requests()[1].Messages
	if m := told[len(told)-1]; m.Role != model.User || m.Text != "and mind the tests" {
		t.Errorf("the model is told %+v", m)
	}
	steering := ofType(chunks, uistream.SteeringMessage)
	if len(steering) != 1 || steering[0].Parts[0].Text != "and mind the tests" {
		t.Errorf("%+v", steering)
	}
	if info, _ := s.Chat(t.Context(), "ada", "chat"); len(info.Queued) > 0 {
		t.Errorf("%+v", info)
	}
}

func TestQueue_WhatIsLeftAtTheEndBeginsTheNextTurn(t *testing.T) {
	s := newStage(t)
	next := make(chan *Run, 1)
	s.model.plays(func(ctx context.Context, req *model.Request, show func(model.Delta)) (*model.Response, error) {
		if _, err := s.Queue(ctx, ada, "chat", "then this"); err != nil {
			t.Error(err)
		}
		return says("First.")(ctx, req, show)
	}, func(ctx context.Context, req *model.Request, show func(model.Delta)) (*model.Response, error) {
		next <- s.Run("chat")
		return says("Second.")(ctx, req, show)
	})
	r := s.begin(Send{Text: "go"})
	if got := textOf(s.wait(r)); got != "First." {
		t.Errorf("%q", got)
	}
	second := <-next
	if got := textOf(s.wait(second)); got != "Second." || second == r {
		t.Errorf("%q", got)
	}
	shown := s.shown()
	if len(shown) != 4 || *shown[2].Parts[0].Text != "then this" || s.state() != StateIdle {
		t.Errorf("%+v", shown)
	}
}

func TestQueue_TheNextTurnBeginsWithTheKeyAndTheProviderThatHoldThen(t *testing.T) {
	key, other := "old", &fakeModel{t: t, offered: []model.Info{{ID: "else", Tools: true}}}
	s := newStage(t, func(cfg *Config) {
		cfg.Person = func(_ context.Context, id string) (Person, error) { return Person{ID: id, Key: key}, nil }
	})
	next := make(chan *Run, 1)
	s.model.plays(func(ctx context.Context, req *model.Request, show func(model.Delta)) (*model.Response, error) {
		if _, err := s.Queue(ctx, ada, "chat", "then this"); err != nil {
			t.Error(err)
		}
		key = "new"
		reloaded := s.cfg
		reloaded.Model = other
		s.Configure(reloaded)
		return says("First.")(ctx, req, show)
	})
	other.plays(func(ctx context.Context, req *model.Request, show func(model.Delta)) (*model.Response, error) {
		next <- s.Run("chat")
		return says("Second.")(ctx, req, show)
	})
	s.wait(s.begin(Send{Text: "go", Person: Person{ID: "ada", Key: "old"}}))
	s.wait(<-next)
	if old, now := s.model.asked[0], other.asked[0]; old.Key != "old" || now.Key != "new" || now.Models[0] != "else" {
		t.Errorf("asked with %s, and then %s with %s", old.Key, now.Models, now.Key)
	}
}

func TestQueue_WhatIsLeftAfterAStopComesBeforeTheNextMessage(t *testing.T) {
	s := newStage(t)
	going := make(chan struct{})
	s.model.plays(func(ctx context.Context, req *model.Request, show func(model.Delta)) (*model.Response, error) {
		close(going)
		return hangs("I think")(ctx, req, show)
	}, says("ok"))
	r := s.begin(Send{Text: "go"})
	<-going
	if _, err := s.Queue(t.Context(), ada, "chat", "wait"); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(t.Context(), "ada", "chat"); err != nil {
		t.Fatal(err)
	}
	s.wait(r)
	if s.state() != StateIdle {
		t.Errorf("the chat is %s", s.state())
	}
	s.send(Send{Text: "now"})
	told := s.model.requests()[1].Messages
	var texts []string
	for _, m := range told {
		if m.Role == model.User {
			texts = append(texts, m.Text)
		}
	}
	if diff := cmp.Diff([]string{"go", "wait", "now"}, texts); diff != "" {
		t.Error(diff)
	}
	if _, err := s.Queue(t.Context(), ada, "chat", "x"); !errors.Is(err, ErrNotRunning) {
		t.Error(err)
	}
}

func TestChats_AreAPersonsOwn(t *testing.T) {
	s := newStage(t)
	s.model.plays(says("a"), says("b"), says("c"))
	s.send(Send{Chat: "one", Text: "one"})
	s.send(Send{Chat: "two", Text: "two", Workspace: "bbbbbbbbbb"})
	s.send(Send{Chat: "three", Text: "three", Person: Person{ID: "eve"}})
	all, err := s.Chats(t.Context(), "", "ada")
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, c := range all {
		ids = append(ids, c.ID)
	}
	slices.Sort(ids)
	if diff := cmp.Diff([]string{"one", "two"}, ids); diff != "" {
		t.Error(diff)
	}
	if _, err := s.Messages(t.Context(), "eve", "one"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if err := s.Delete(t.Context(), "eve", "one"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	title := "Another\x1b name"
	info, err := s.Change(t.Context(), "ada", "one", Change{Title: &title})
	if err != nil || strings.ContainsRune(info.Title, 0x1b) || !strings.HasPrefix(info.Title, "Another") {
		t.Errorf("%+v, %v", info, err)
	}
	if err := s.Delete(t.Context(), "ada", "one"); err != nil {
		t.Error(err)
	}
	if _, err := s.Chat(t.Context(), "ada", "one"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

func TestDelete_StopsTheRun(t *testing.T) {
	s := newStage(t)
	s.model.plays(hangs("I think"))
	r := s.begin(Send{Text: "go"})
	if err := s.Delete(t.Context(), "ada", "chat"); err != nil {
		t.Fatal(err)
	}
	s.wait(r)
	if len(s.store.messages["chat"]) > 0 {
		t.Errorf("there are messages left: %v", s.store.messages)
	}
}

func TestTitle_IsTheFirstLineThatSaysSomething(t *testing.T) {
	for text, want := range map[string]string{
		"\n\n  # Fix   the tests\nplease": "Fix the tests",
		"```\ncode":                       "code",
		"---":                             "Chat",
		strings.Repeat("ä", 200):          strings.Repeat("ä", 79) + "…",
	} {
		if got := titleOf(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestRun_EndsWhenThePersonMayNoLongerWorkThere(t *testing.T) {
	var gone error
	s := newStage(t, func(c *Config) {
		c.Allowed = func(context.Context, string, workspace.ID) error { return gone }
	})
	s.model.plays(func(ctx context.Context, req *model.Request, show func(model.Delta)) (*model.Response, error) {
		gone = errors.New("You may no longer open this workspace.")
		return answers("", aCall("a", "readFile", "{}"))(ctx, req, show)
	})
	if got := last(s.send(Send{Text: "go"})); got.Type != uistream.ErrorType || got.ErrorText != gone.Error() {
		t.Errorf("%+v", got)
	}
}

// Who has lost access has no agent at work for longer than five seconds, also where it waits for a command; a store that
// does not answer for a moment ends nothing.
func TestRun_EndsSoonAfterThePersonLostAccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var gone atomic.Pointer[error]
		s := newStage(t, func(c *Config) {
			c.Allowed = func(context.Context, string, workspace.ID) error {
				if err := gone.Load(); err != nil {
					return *err
				}
				return nil
			}
			c.Tools = []tools.Tool{{Name: "slow", Run: func(ctx context.Context, _ *tools.Env, _ tools.Call) (*tools.Result, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}}}
			c.Rules = []approval.Rule{{Tool: "slow", Verdict: approval.Allow}}
		})
		s.model.plays(answers("", aCall("a", "slow", `{}`), aCall("b", "slow", `{"n":1}`)))
		r := s.begin(Send{Text: "go"})
		synctest.Wait() // it is at the first of its calls
		down := fmt.Errorf("%w: it is busy", workspace.ErrStoreDown)
		gone.Store(&down)
		time.Sleep(5 * time.Second)
		if s.Run("chat") == nil {
			t.Fatal("it ended though nobody lost access")
		}
		lost := errors.New("your access was turned off")
		gone.Store(&lost)
		began := time.Now()
		chunks := s.wait(r)
		if took := time.Since(began); took > 5*time.Second || last(chunks).ErrorText != lost.Error() {
			t.Errorf("after %s: %+v", took, last(chunks))
		}
		s.Close()
	})
}

// changing is a store in which somebody changes a chat whenever it was read.
type changing struct {
	*memStore
	times int
}

func (s *changing) Chat(ctx context.Context, id string) (*Chat, error) {
	c, err := s.memStore.Chat(ctx, id)
	if err == nil && s.times > 0 {
		s.times--
		other := *c
		other.Title = "changed"
		_ = s.UpdateChat(ctx, &other)
	}
	return c, err
}

func TestSend_AChangeOfTheChatMeanwhileIsNoRun(t *testing.T) {
	store := &changing{memStore: newMemStore()}
	s := newStageOn(t, store.memStore, func(c *Config) { c.Store = store })
	s.model.plays(says("one"), says("two"))
	s.send(Send{Text: "first"})
	store.times = 1
	if got := textOf(s.send(Send{Text: "second"})); got != "two" {
		t.Errorf("it says %q", got)
	}
	if len(s.shown()) != 4 {
		t.Errorf("there are %d messages", len(s.shown()))
	}
}
