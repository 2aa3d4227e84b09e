package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kalpana-dev/kalpana/agent/approval"
	"github.com/kalpana-dev/kalpana/agent/model"
	"github.com/kalpana-dev/kalpana/agent/tools"
	"github.com/kalpana-dev/kalpana/agent/uistream"
)

// FuzzWellFormed: whatever was stored, a provider takes what is made of it, and what was in order stays as it is.
func FuzzWellFormed(f *testing.F) {
	for seed := range uint64(50) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 1))
		var messages []model.Message
		for range random.IntN(20) {
			m := model.Message{Role: []model.Role{model.User, model.Assistant, model.ToolRole, model.Assistant}[random.IntN(4)]}
			if random.IntN(4) > 0 {
				m.Text = "text"
			}
			switch m.Role {
			case model.Assistant:
				for range random.IntN(4) {
					m.Calls = append(m.Calls, aCall(fmt.Sprint("c", random.IntN(12)), "tool", "{}"))
				}
			case model.ToolRole:
				m.CallID, m.Text = fmt.Sprint("c", random.IntN(12)), "answer"
			}
			messages = append(messages, m)
		}
		before, _ := json.Marshal(messages)
		whole := wellFormed(messages)
		if err := checkConversation(whole); err != nil {
			t.Errorf("%v: %+v", err, whole)
		}
		if after, _ := json.Marshal(messages); string(after) != string(before) {
			t.Error("what it was given is changed")
		}
		once, _ := json.Marshal(whole)
		if twice, _ := json.Marshal(wellFormed(whole)); string(once) != string(twice) {
			t.Errorf("in order is %s, and put in order %s", once, twice)
		}
		for k := range int64(100) {
			start := tailStart(whole, k)
			if err := checkConversation(append([]model.Message{{Role: model.User, Text: "summary"}}, whole[start:]...)); err != nil {
				t.Errorf("parted at %d: %v", start, err)
			}
		}
	})
}

// chaos plays a chat in which everything goes wrong that a seed can think of.
type chaos struct {
	t      *testing.T
	random *rand.Rand
	s      *stage
}

func (c *chaos) pick(of ...string) string { return of[c.random.IntN(len(of))] }

// answer is a play of the model: hostile, broken, or as it should be.
func (c *chaos) answer() play {
	random := rand.New(rand.NewPCG(c.random.Uint64(), 2))
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	return func(ctx context.Context, req *model.Request, show func(model.Delta)) (*model.Response, error) {
		if len(req.Tools) == 0 {
			return says("a summary")(ctx, req, show)
		}
		m := model.Message{Role: model.Assistant}
		pause := func() bool {
			if random.IntN(3) == 0 {
				select {
				case <-time.After(time.Duration(random.IntN(3000)) * time.Millisecond):
				case <-ctx.Done():
				}
			}
			return ctx.Err() == nil
		}
		broken := random.IntN(12) == 0
		for range random.IntN(4) {
			if !pause() {
				return nil, ctx.Err()
			}
			switch random.IntN(3) {
			case 0:
				show(model.Delta{Reasoning: "hm"})
			default:
				text := pick("a", " ", "\xff", "long text "+strings.Repeat("y", 500))
				m.Text += text
				show(model.Delta{Text: text})
			}
		}
		n := random.IntN(5)
		index := 0
		for range n {
			call := aCall(
				pick("a", "b", "", "c"+fmt.Sprint(random.IntN(1000)), "bad id\x00", strings.Repeat("z", 200)),
				pick("readFile", "searchCode", "writeFile", "slow", "task", "todo", "ask", "", "none", "bad name", "reach"),
				pick("{}", "", `{"path":"x"}`, `{"question":"Which?"}`, `{"items":[{"text":"t","status":"done"}]}`, `[1]`, `{"a":`, "null", `"x"`,
					`{"title":"t","prompt":"p"}`, fmt.Sprintf(`{"n":%d}`, random.IntN(1e6))))
			m.Calls = append(m.Calls, call)
			if random.IntN(8) == 0 {
				continue // it was not streamed
			}
			show(model.Delta{Call: &model.CallDelta{Index: index, CallID: call.ID, Name: call.Name}})
			for rest := call.Arguments; rest != ""; rest = rest[min(len(rest), 3):] {
				if !pause() {
					return nil, ctx.Err()
				}
				show(model.Delta{Call: &model.CallDelta{Index: index, Arguments: rest[:min(len(rest), 3)]}})
			}
			index += 1 + random.IntN(2)
		}
		if broken {
			return nil, []error{
				&model.Error{Kind: model.KindCut, Message: "cut"}, &model.Error{Kind: model.KindContext, Message: "too long"}, errors.New("else"),
			}[random.IntN(3)]
		}
		finish := pick(model.FinishStop, model.FinishToolCalls, model.FinishLength, model.FinishContentFilter, "else")
		return &model.Response{Message: m, Finish: finish, Usage: model.Usage{Input: int64(random.IntN(3000)), Output: 10}}, nil
	}
}

func (c *chaos) tools(cfg *Config) {
	slow(5 * time.Second)(cfg)
	cfg.Tools = append(cfg.Tools, tools.Tool{Name: "reach", Reads: true, Run: func(ctx context.Context, env *tools.Env, _ tools.Call) (*tools.Result, error) {
		if len(env.Message)%2 == 0 {
			panic("at the gateway")
		}
		_, err := env.Bridge(ctx)
		return nil, err
	}})
	cfg.MaxSteps, cfg.MaxTime = 8, 2*time.Minute
	cfg.Holder = c.pick("gateway-1", "gateway-2")
}

// stage starts a gateway on a store.
func (c *chaos) stage(store *memStore) {
	c.s = newStageOn(c.t, store, c.tools)
	c.s.model.offered = []model.Info{{ID: "m", Context: 4000}}
	if err := c.s.Start(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
}

func (c *chaos) send() Send {
	send := Send{Mode: approval.Mode(c.pick("ask-all", "ask-writes", "ask-none")), Plan: c.random.IntN(5) == 0}
	info, err := c.s.Chat(c.t.Context(), "ada", "chat")
	if err == nil && len(info.Waiting) > 0 && c.random.IntN(4) > 0 {
		for _, w := range info.Waiting {
			switch {
			case c.random.IntN(4) == 0: // not yet
			case w.ApprovalID == "":
				send.Outputs = append(send.Outputs, Output{CallID: w.CallID, Output: json.RawMessage(`"that one"`)})
			default:
				send.Approvals = append(send.Approvals, Answer{ApprovalID: w.ApprovalID, Approved: c.random.IntN(3) > 0, Always: c.random.IntN(4) == 0})
			}
		}
		if len(send.Approvals)+len(send.Outputs) > 0 {
			return send
		}
	}
	switch c.random.IntN(6) {
	case 0:
		send.Trigger = TriggerRegenerate
	case 1:
		send.Continue = true
	default:
		send.Text = fmt.Sprint("message ", c.random.IntN(1000))
	}
	return send
}

// step does one thing to the chat, and looks whether everything is in order.
func (c *chaos) step() {
	for range 40 {
		c.s.model.plays(c.answer())
	}
	r, err := c.s.try(c.send())
	if err != nil {
		if !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrRunning) {
			c.t.Error(err)
		}
		if errors.Is(err, ErrRunning) { // that of a gateway that was killed
			time.Sleep(lease)
		}
		return
	}
	time.Sleep(time.Duration(c.random.IntN(4000)) * time.Millisecond)
	if c.random.IntN(4) == 0 {
		_, _ = c.s.Queue(c.t.Context(), ada, "chat", "and this")
	}
	time.Sleep(time.Duration(c.random.IntN(4000)) * time.Millisecond)
	switch c.random.IntN(6) {
	case 0:
		_ = c.s.Stop(c.t.Context(), "ada", "chat")
	case 1: // the gateway is killed
		left := c.s.store.clone()
		c.s.Close()
		c.s.wait(r)
		c.stage(left)
		return
	}
	for r != nil {
		<-r.Done()
		c.s.wait(r)
		r = c.s.Run("chat")
	}
	c.check()
}

// check looks at what is kept: when nothing runs, nothing is open but what waits.
func (c *chaos) check() {
	info, err := c.s.Chat(c.t.Context(), "ada", "chat")
	if err != nil {
		c.t.Error(err)
		return
	}
	if info.State == StateRunning {
		c.t.Error("nothing runs, and the chat says that it does")
	}
	if (info.State == StateWaiting) != (len(info.Waiting) > 0) {
		c.t.Errorf("the chat is %s, and %v waits", info.State, info.Waiting)
	}
	shown := c.s.shown()
	for i, m := range shown {
		ids := map[string]bool{}
		for _, p := range m.Parts {
			if p.State == uistream.StateStreaming {
				c.t.Errorf("message %d is open: %+v", i, p)
			}
			if _, ok := p.Tool(); !ok {
				continue
			}
			if openCall(&p) && (info.State != StateWaiting || i < len(shown)-1) {
				c.t.Errorf("message %d of a chat that is %s has a call that is %s", i, info.State, p.State)
			}
			if ids[p.ToolCallID] {
				c.t.Errorf("message %d has two calls %q", i, p.ToolCallID)
			}
			ids[p.ToolCallID] = true
		}
	}
}

// FuzzChat: whatever models, people and the machine do, each provider takes what it is sent, each client what it is
// shown, and no chat hangs.
func FuzzChat(f *testing.F) {
	for seed := range uint64(12) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		synctest.Test(t, func(t *testing.T) {
			c := &chaos{t: t, random: rand.New(rand.NewPCG(seed, 3))}
			c.stage(newMemStore())
			for range 12 {
				c.step()
				if t.Failed() {
					break
				}
			}
			c.s.Close()
		})
	})
}
