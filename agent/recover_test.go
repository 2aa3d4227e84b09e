package agent

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kalpana-dev/kalpana/agent/approval"
	"github.com/kalpana-dev/kalpana/agent/model"
	"github.com/kalpana-dev/kalpana/agent/tools"
	"github.com/kalpana-dev/kalpana/agent/uistream"
)

// killed returns the store as it is at some moment of a run, as a kill of the gateway would leave it.
func killed(t *testing.T, after time.Duration, change func(*Config), script ...play) *memStore {
	t.Helper()
	s := newStage(t, change)
	s.model.plays(script...)
	r := s.begin(Send{Text: "go", Mode: approval.AskNone})
	time.Sleep(after)
	synctest.Wait()
	left := s.store.clone()
	s.Close()
	<-r.Done()
	return left
}

// slow is a tool that takes its time.
func slow(took time.Duration) func(*Config) {
	return func(c *Config) {
		c.Tools = append(c.Tools, tools.Tool{Name: "slow", Run: func(ctx context.Context, _ *tools.Env, _ tools.Call) (*tools.Result, error) {
			select {
			case <-time.After(took):
				return &tools.Result{Text: "slow did it"}, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}})
	}
}

func TestKill_ARunThatWasUnderWayIsInterruptedAndGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := killed(t, 10*time.Second, slow(time.Minute), answers("I do it.", aCall("a", "readFile", "{}"), aCall("b", "slow", "{}")))
		s := newStageOn(t, left, slow(time.Second))
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s.state() != StateInterrupted {
			t.Fatalf("the chat is %s", s.state())
		}
		for _, p := range s.shown()[1].Parts {
			if openCall(&p) || p.State == uistream.StateStreaming {
				t.Errorf("it is still open: %+v", p)
			}
		}
		s.model.plays(says("It goes on."))
		chunks := s.send(Send{Continue: true})
		if got := textOf(chunks); got != "It goes on." {
			t.Errorf("it says %q", got)
		}
		if got := s.toolAnswers()["b"]; !strings.Contains(got, "not known") {
			t.Errorf("the model is told %q", got)
		}
		if shown := s.shown(); len(shown) != 2 || shown[1].ID != chunks[0].MessageID || s.state() != StateIdle {
			t.Errorf("%+v, %s", shown, s.state())
		}
		s.Close()
	})
}

func TestKill_LosesNoMoreThanTheLastSecondsOfAText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := killed(t, 10*time.Second+time.Millisecond, func(*Config) {}, func(ctx context.Context, _ *model.Request, show func(model.Delta)) (*model.Response, error) {
			for range 100 {
				show(model.Delta{Text: "word "})
				select {
				case <-time.After(time.Second):
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}
			return nil, errors.New("too late")
		})
		s := newStageOn(t, left)
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		text := *s.shown()[1].Parts[1].Text
		if n := strings.Count(text, "word"); n < 8 {
			t.Errorf("of 10 words %d are left", n)
		}
		s.model.plays(says("ok"))
		s.send(Send{Text: "go on"})
		if told := s.model.requests()[0].Messages; told[2].Text != text {
			t.Errorf("the model is told %+v", told)
		}
		s.Close()
	})
}

func TestKill_AnotherGatewayWaitsForTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := killed(t, time.Second, func(*Config) {}, hangs("I think"))
		s := newStageOn(t, left, func(c *Config) { c.Holder = "gateway-2" })
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := s.try(Send{Text: "go"}); !errors.Is(err, ErrRunning) || s.state() != StateRunning {
			t.Errorf("%v, %s", err, s.state())
		}
		time.Sleep(lease + beatEvery + time.Second)
		synctest.Wait()
		if c, _ := left.Chat(t.Context(), "chat"); c.State != StateInterrupted {
			t.Errorf("the chat is %s", c.State)
		}
		s.model.plays(says("ok"))
		s.send(Send{Text: "go"})
		s.Close()
	})
}

func TestLease_ALongRunIsNotTakenForGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.model.plays(hangs("I think"))
		r := s.begin(Send{Text: "go"})
		other := newStageOn(t, s.store, func(c *Config) { c.Holder = "gateway-2" })
		if err := other.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		if s.state() != StateRunning || other.state() != StateRunning {
			t.Errorf("the chat is %s", s.state())
		}
		// The other gateway can stop it.
		if err := other.Stop(t.Context(), "ada", "chat"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * saveEvery)
		<-r.Done()
		if got := last(s.wait(r)); got.Type != uistream.Abort || other.state() != StateIdle {
			t.Errorf("%+v, %s", got, other.state())
		}
		other.Close()
		s.Close()
	})
}

func TestQueue_AnotherGatewaysIsReadToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, slow(10*time.Second))
		s.model.plays(answers("", aCall("a", "slow", "{}")), says("ok"))
		r := s.begin(Send{Text: "go", Mode: approval.AskNone})
		other := newStageOn(t, s.store, func(c *Config) { c.Holder = "gateway-2" })
		if _, err := other.Queue(t.Context(), ada, "chat", "and this"); err != nil {
			t.Fatal(err)
		}
		s.wait(r)
		told := s.model.requests()[1].Messages
		if m := told[len(told)-1]; m.Text != "and this" {
			t.Errorf("the model is told %+v", m)
		}
		other.Close()
		s.Close()
	})
}

func TestLease_ARunThatHungLosesItsChat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.model.plays(hangs("I think"))
		r := s.begin(Send{Text: "go"})
		synctest.Wait()
		other := newStageOn(t, s.store, func(c *Config) {
			c.Holder = "gateway-2"
			c.Now = func() time.Time { return time.Now().Add(time.Hour) }
		})
		other.model.plays(says("I have it now."))
		mine := other.send(Send{Text: "go"})
		<-r.Done()
		if got := last(s.wait(r)); got.FinishReason != uistream.FinishInterrupted {
			t.Errorf("%+v", got)
		}
		if other.state() != StateIdle || textOf(mine) != "I have it now." {
			t.Errorf("%s", other.state())
		}
		other.Close()
		s.Close()
	})
}

func TestClose_InterruptsTheRunsAndSaysSo(t *testing.T) {
	s := newStage(t)
	s.model.plays(hangs("I think"))
	r := s.begin(Send{Text: "go"})
	for len(s.model.requests()) == 0 {
		time.Sleep(time.Millisecond)
	}
	s.Close()
	chunks := s.wait(r)
	if got := last(chunks); got.Type != uistream.Finish || got.FinishReason != uistream.FinishInterrupted {
		t.Errorf("%+v", got)
	}
	if s.state() != StateInterrupted {
		t.Errorf("the chat is %s", s.state())
	}
	if _, err := s.try(Send{Text: "go"}); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	later := newStageOn(t, s.store)
	later.model.plays(says("ok"))
	if got := textOf(later.send(Send{Continue: true})); got != "ok" {
		t.Errorf("%q", got)
	}
}

func TestRun_AStoreThatIsDownEndsItAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.model.plays(func(ctx context.Context, _ *model.Request, show func(model.Delta)) (*model.Response, error) {
			for {
				show(model.Delta{Text: "word "})
				select {
				case <-time.After(time.Second):
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}
		})
		r := s.begin(Send{Text: "go"})
		time.Sleep(5 * time.Second)
		s.store.mu.Lock()
		s.store.fail = errors.New("it is down")
		s.store.mu.Unlock()
		<-r.Done()
		if got := last(s.wait(r)); got.Type != uistream.ErrorType {
			t.Errorf("%+v", got)
		}
		s.store.mu.Lock()
		s.store.fail = nil
		s.store.mu.Unlock()
		s.model.plays(says("ok"))
		s.send(Send{Text: "again"})
		s.Close()
	})
}
