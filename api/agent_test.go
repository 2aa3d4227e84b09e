package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/agent"
	"github.com/kalpana-dev/kalpana/agent/model"
	"github.com/kalpana-dev/kalpana/agent/tools"
	"github.com/kalpana-dev/kalpana/api"
	"github.com/kalpana-dev/kalpana/identity"
)

// speaker is a model that says what it is told to.
type speaker struct{ turns chan turn }

// turn is one answer of a model.
type turn func(ctx context.Context, show func(model.Delta)) (*model.Response, error)

func (s *speaker) Stream(ctx context.Context, _ *model.Request, show func(model.Delta)) (*model.Response, error) {
	select {
	case t := <-s.turns:
		return t(ctx, show)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (*speaker) Models(context.Context) ([]model.Info, error) {
	return []model.Info{
		{ID: "m/one", Name: "One", Context: 100_000, Tools: true, Reasoning: true, InputPrice: 3_000_000, OutputPrice: 15_500_000},
		{ID: "m/two", Name: "Two", Tools: true},
	}, nil
}

// says is a turn that says some words.
func says(words ...string) turn {
	return func(_ context.Context, show func(model.Delta)) (*model.Response, error) {
		for _, w := range words {
			show(model.Delta{Text: w})
		}
		return &model.Response{
			Message: model.Message{Role: model.Assistant, Text: strings.Join(words, "")}, Finish: model.FinishStop, Model: "m/one",
			Usage: model.Usage{Input: 10, Output: 2, Cost: 2_500, Priced: true},
		}, nil
	}
}

// saysSlowly says one word, and the rest when it is let.
func saysSlowly(let <-chan struct{}, words ...string) turn {
	return func(ctx context.Context, show func(model.Delta)) (*model.Response, error) {
		show(model.Delta{Text: words[0]})
		select {
		case <-let:
			r, err := says(words[1:]...)(ctx, show)
			r.Message.Text = strings.Join(words, "")
			return r, err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func callsTool(id, tool, arguments string) turn {
	return func(_ context.Context, show func(model.Delta)) (*model.Response, error) {
		show(model.Delta{Call: &model.CallDelta{CallID: id, Name: tool}})
		show(model.Delta{Call: &model.CallDelta{Arguments: arguments}})
		return &model.Response{
			Message: model.Message{Role: model.Assistant, Calls: []model.Call{{ID: id, Name: tool, Arguments: arguments}}},
			Finish:  model.FinishToolCalls, Model: "m/one",
		}, nil
	}
}

// deployTool is a tool that asks first, since it changes something.
var deployTool = tools.Tool{
	Name: "deploy", Description: "Deploys.", Parameters: json.RawMessage(`{"type":"object"}`),
	Run: func(context.Context, *tools.Env, tools.Call) (*tools.Result, error) {
		return &tools.Result{Text: "It is deployed.", Output: map[string]string{"address": "here"}}, nil
	},
}

// said is a message of a person to a chat, as the AI SDK's client posts it.
func said(chat, workspace, text string) map[string]any {
	return map[string]any{
		"id": chat, "workspace": workspace, "trigger": "submit-message",
		"messages": []any{map[string]any{"id": "u-" + chat, "role": "user", "parts": []any{map[string]string{"type": "text", "text": text}}}},
	}
}

// replies are what the person says to what waits for them, in the message that asks.
func replies(chat string, parts ...any) map[string]any {
	return map[string]any{
		"id": chat, "trigger": "submit-message", "messageId": "m",
		"messages": []any{map[string]any{"id": "m", "role": "assistant", "parts": append([]any{map[string]string{"type": "step-start"}}, parts...)}},
	}
}

// agentStream is an open stream of an agent.
type agentStream struct {
	t     *testing.T
	resp  *http.Response
	lines *bufio.Reader
}

func (s *online) agentStream(client *http.Client, b *browser, method, path string, body any) *agentStream {
	s.t.Helper()
	r := b.request(method, path, body)
	r.RequestURI = ""
	resp, err := client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = resp.Body.Close() })
	return &agentStream{s.t.(*testing.T), resp, bufio.NewReader(resp.Body)}
}

// post sends something to an agent, and follows it.
func (s *online) post(b *browser, body any) *agentStream {
	s.t.Helper()
	a := s.agentStream(s.client, b, "POST", "/api/agent", body)
	a.mustBeStream()
	return a
}

func (a *agentStream) mustBeStream() {
	a.t.Helper()
	if a.resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(a.resp.Body)
		a.t.Fatalf("%d %s", a.resp.StatusCode, text)
	}
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Vercel-Ai-Ui-Message-Stream": "v1", "X-Accel-Buffering": "no",
	} {
		if got := a.resp.Header.Get(name); got != want {
			a.t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// next returns the next chunk, "[DONE]", or "cut" where the stream was cut off, or "end" where it ended. Comments and
// empty lines are skipped.
func (a *agentStream) next() string {
	a.t.Helper()
	for {
		line, err := a.lines.ReadString('\n')
		if err == io.EOF {
			return "end"
		}
		if err != nil {
			return "cut"
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			return strings.TrimSuffix(data, "\n")
		}
	}
}

// until reads chunks up to one of a type, and returns all of them.
func (a *agentStream) until(typ string) (chunks []map[string]any) {
	a.t.Helper()
	for {
		text := a.next()
		var c map[string]any
		if json.Unmarshal([]byte(text), &c) != nil {
			a.t.Fatalf("%s instead of %s, after %v", text, typ, chunks)
		}
		chunks = append(chunks, c)
		if c["type"] == typ {
			return chunks
		}
	}
}

// ends checks that the stream ends as it should.
func (a *agentStream) ends() {
	a.t.Helper()
	if done, end := a.next(), a.next(); done != "[DONE]" || end != "end" {
		a.t.Errorf("the end is %s, %s", done, end)
	}
}

// typesOf returns the types of chunks, and the text that they have, but for what is transient.
func typesOf(chunks []map[string]any) (types, text string) {
	for _, c := range chunks {
		if c["transient"] == true {
			continue
		}
		types += " " + c["type"].(string)
		if d, ok := c["delta"].(string); ok {
			text += d
		}
	}
	return strings.TrimSpace(types), text
}

func TestAgent_AMessageIsAnsweredByAStream(t *testing.T) {
	inBubble(t, func(t *testing.T, s *online) {
		asha := s.signIn("Asha")
		w := asha.create("one")
		s.model.turns <- says("Hello", " there <b>")
		a := s.post(asha, said("c1", w.ID, "Hi"))
		chunks := a.until("finish")
		a.ends()
		types, text := typesOf(chunks)
		if types != "start start-step text-start text-delta text-delta text-end finish-step message-metadata finish" &&
			types != "start start-step text-start text-delta text-end finish-step message-metadata finish" || text != "Hello there <b>" {
			t.Errorf("%s: %q", types, text)
		}
		chat := decode[api.Chat](t, asha.must(200, "GET", "/api/agent/c1", nil))
		if chat.Chat.State != agent.StateIdle || chat.Chat.Title != "Hi" || string(chat.Chat.Workspace) != w.ID || len(chat.Messages) != 2 {
			t.Errorf("%+v", chat)
		}
		var m struct {
			ID, Role string
			Metadata struct{ Cost float64 }
		}
		if err := json.Unmarshal(chat.Messages[1], &m); err != nil || m.Role != "assistant" || m.ID != chunks[0]["messageId"] || m.Metadata.Cost != 0.0025 {
			t.Errorf("%+v, %s", m, chat.Messages[1])
		}
		// The person's message has the id that the client gave to it.
		if err := json.Unmarshal(chat.Messages[0], &m); err != nil || m.Role != "user" || m.ID != "u-c1" {
			t.Errorf("%s", chat.Messages[0])
		}
		events, err := s.identity.AuditEvents(t.Context(), identity.AuditQuery{Action: identity.ActionAgentRun})
		if err == nil && len(events) == 1 && strings.Contains(events[0].Detail, "Hi") {
			t.Errorf("the audit log tells what was said: %+v", events[0])
		}
	})
}

func TestAgent_ARunGoesOnWithoutItsReader(t *testing.T) {
	inBubble(t, func(t *testing.T, s *online) {
		asha := s.signIn("Asha")
		w := asha.create("one")
		asha.must(404, "GET", "/api/agent/c1", nil)
		let := make(chan struct{})
		s.model.turns <- saysSlowly(let, "One", " two")
		a := s.post(asha, said("c1", w.ID, "Hi"))
		a.until("text-delta")
		_ = a.resp.Body.Close()
		mustSettle(t, s)

		for _, client := range []*http.Client{s.client, s.client2} {
			again := s.agentStream(client, asha, "GET", "/api/agent/c1/stream", nil)
			again.mustBeStream()
			if types, text := typesOf(again.until("text-delta")); types != "start start-step text-start text-delta" || text != "One" {
				t.Errorf("again: %s: %q", types, text)
			}
			defer again.ends()
			defer again.until("finish")
		}
		close(let)
		synctest.Wait()
		if got := asha.must(204, "GET", "/api/agent/c1/stream", nil); got.Body.Len() != 0 {
			t.Errorf("nothing runs: %q", got.Body)
		}
	})
}

func TestAgent_ASilentStreamLivesOnAndEndsAtOnceWhenItMust(t *testing.T) {
	for name, test := range map[string]struct {
		client func(*online) *http.Client
		end    func(t *testing.T, s *online, b *browser, id string)
	}{
		"sign-out":                   {func(s *online) *http.Client { return s.client }, func(_ *testing.T, _ *online, b *browser, _ string) { b.must(204, "POST", "/api/logout", nil) }},
		"the server reloads":         {func(s *online) *http.Client { return s.client }, func(_ *testing.T, s *online, _ *browser, _ string) { close(s.stopping) }},
		"the server reloads, HTTP/2": {func(s *online) *http.Client { return s.client2 }, func(_ *testing.T, s *online, _ *browser, _ string) { close(s.stopping) }},
		"the workspace is deleted": {func(s *online) *http.Client { return s.client2 }, func(_ *testing.T, _ *online, b *browser, id string) {
			b.must(204, "DELETE", "/api/workspaces/"+id, nil)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *online) {
				asha := s.signIn("Asha")
				w := asha.create("one")
				s.model.turns <- saysSlowly(nil, "One")
				a := s.agentStream(test.client(s), asha, "POST", "/api/agent", said("c1", w.ID, "Hi"))
				a.until("text-delta")
				ended := make(chan string)
				go func() {
					comments := 0
					for {
						line, err := a.lines.ReadString('\n')
						switch {
						case err == io.EOF:
							ended <- "end"
							return
						case err != nil && comments < 14:
							ended <- "no signs of life"
							return
						case err != nil:
							ended <- "cut"
							return
						case line == ": alive\n":
							comments++
						}
					}
				}()
				time.Sleep(5 * time.Minute)
				start := time.Now()
				test.end(t, s, asha, w.ID)
				if how := <-ended; how != "cut" { // else the client would take it for a success
					t.Errorf("the stream ended by %s", how)
				}
				if took := time.Since(start); took > time.Second {
					t.Errorf("it ended after %v", took)
				}
				mustSettle(t, s)
			})
		})
	}
}

func TestAgent_AnswersGoOnWithTheMessage(t *testing.T) {
	inBubble(t, func(t *testing.T, s *online) {
		asha := s.signIn("Asha")
		w := asha.create("one")
		s.model.turns <- callsTool("call1", "deploy", `{"to":"here"}`)
		a := s.post(asha, said("c1", w.ID, "Deploy"))
		chunks := a.until("finish")
		a.ends()
		asked := chunks[len(chunks)-1]["finishReason"]
		var approval, message string
		for _, c := range chunks {
			if c["type"] == "tool-approval-request" {
				approval = c["approvalId"].(string)
			}
			if c["type"] == "start" {
				message = c["messageId"].(string)
			}
		}
		if asked != "tool-calls" || approval == "" {
			t.Fatalf("%v: no approval is asked for: %v", asked, chunks)
		}
		yes := map[string]any{
			"type": "tool-deploy", "toolCallId": "call1", "state": "approval-responded", "input": map[string]string{"to": "elsewhere"},
			"approval": map[string]any{"id": approval, "approved": true, "reason": "always"},
		}
		let := make(chan struct{})
		s.model.turns <- saysSlowly(let, "Done", ".")
		a = s.post(asha, replies("c1", yes))
		if chunks = a.until("text-delta"); chunks[0]["messageId"] != message {
			t.Errorf("it goes on with %v, not %s", chunks[0], message)
		}
		// Who resumes gets the message from its beginning, with what was done before.
		again := s.agentStream(s.client, asha, "GET", "/api/agent/c1/stream", nil)
		types, _ := typesOf(again.until("text-delta"))
		if !strings.HasPrefix(types, "start start-step tool-input-available tool-approval-request start ") || !strings.Contains(types, "tool-output-available") {
			t.Errorf("resumed: %s", types)
		}
		close(let)
		a.until("finish")
		again.until("finish")

		synctest.Wait()
		for _, test := range []struct {
			body any
			want string
		}{
			{replies("c1", yes), "That was answered already, or the chat has gone on without an answer."},
			{replies("c1"), "Nothing in this chat waits for an answer."},
		} {
			if got := asha.words(409, "POST", "/api/agent", test.body); got != test.want {
				t.Errorf("%q", got)
			}
		}
		// "always" holds for the next call.
		s.model.turns <- callsTool("call2", "deploy", `{"to":"here"}`)
		s.model.turns <- says("Again.")
		a = s.post(asha, map[string]any{"id": "c1", "trigger": "submit-message", "messages": said("c1x", "", "Again")["messages"]})
		if types, _ := typesOf(a.until("finish")); strings.Contains(types, "approval") {
			t.Logf("deploy is asked for again: no rule was offered for it: %s", types)
		}
	})
}

// words makes a request whose error is for a person as it is.
func (b *browser) words(status int, method, target string, body any) string {
	b.t.Helper()
	w := httptest.NewRecorder()
	b.ServeHTTP(w, b.request(method, target, body))
	if w.Code != status || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") || strings.ContainsAny(w.Body.String(), "{}\n") {
		b.t.Errorf("%s %s: %d, want %d, %s: %s", method, target, w.Code, status, w.Header().Get("Content-Type"), w.Body)
	}
	return w.Body.String()
}

// The AI SDK's client shows a person what an error's body is.
func TestAgent_ErrorsBeforeTheStreamAreWords(t *testing.T) {
	s := newSite(t)
	asha, ravi := s.signIn("Asha"), s.signIn("Ravi")
	w := asha.create("one")
	text := func(text string) map[string]any { return said("c", w.ID, text) }
	with := func(name string, value any) map[string]any {
		body := text("Hi")
		body[name] = value
		return body
	}
	for _, test := range []struct {
		who    *browser
		status int
		body   any
		want   string
	}{
		{s.stranger(), 401, text("Hi"), "You are not signed in."},
		{asha.program(identity.ScopeRead), 403, text("Hi"), "This token lacks the scope"},
		{asha.with("Sec-Fetch-Site", "same-site"), 403, text("Hi"), "This request came from another site"},
		{ravi, 404, text("Hi"), "This workspace does not exist, or no longer."},
		{asha, 404, with("workspace", "abcdefghij"), "This workspace does not exist"},
		{asha, 404, with("workspace", "../x"), "This workspace does not exist"},
		{asha, 422, with("workspace", ""), "A new chat needs a workspace; name one."},
		{asha, 422, text(" "), "There is nothing in your message; write something."},
		{asha, 422, with("id", "models"), "This cannot be the id of a chat"},
		{asha, 422, with("id", "../../etc"), "That cannot be done: the id of a chat has"},
		{asha, 422, with("mode", "ask-nobody"), "That cannot be done: a mode is"},
		{asha, 422, with("model", "m/three"), "That model is not offered here; choose another one."},
		{asha, 400, with("plan", "yes"), "The request is no JSON object"},
		{asha, 422, "{", "The request is not the JSON that"},
		{asha, 422, strings.Repeat(" ", 1000), "The request is not the JSON that"},
		{asha, 404, with("continue", true), "This chat does not exist, or no longer."},
		{asha, 404, with("trigger", "regenerate-message"), "This chat does not exist, or no longer."},
		{asha, 413, `{"messages":[{"parts":[{"type":"text","text":"` + strings.Repeat("x", 17<<20), "This chat has become too long to be sent"},
	} {
		if got := test.who.words(test.status, "POST", "/api/agent", test.body); !strings.HasPrefix(got, test.want) {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
	form := asha.request("POST", "/api/agent", text("Hi"))
	form.Header.Set("Content-Type", "text/plain")
	if w := serve(asha, form); w.Code != 400 {
		t.Errorf("what a form can send: %d %s", w.Code, w.Body)
	}
	asha.words(404, "GET", "/api/agent/none/stream", nil)
	asha.words(404, "POST", "/api/agent/none/continue", nil)
	// Other clients get problems.
	asha.with("Accept", "application/problem+json").must(404, "GET", "/api/agent/none/stream", nil)
	asha.must(404, "GET", "/api/agent/none", nil)
}

func TestAgent_NobodyElseHasAChat(t *testing.T) {
	inBubble(t, func(t *testing.T, s *online) {
		asha, ravi := s.signIn("Asha"), s.signIn("Ravi")
		w, his := asha.create("one"), ravi.create("his")
		let := make(chan struct{})
		s.model.turns <- saysSlowly(let, "One", " two")
		a := s.post(asha, said("c1", w.ID, "Hi"))
		a.until("text-delta")
		for _, who := range []*browser{ravi, s.admin()} {
			for _, r := range []struct{ method, path string }{
				{"GET", "/api/agent/c1/stream"}, {"POST", "/api/agent/c1/continue"},
			} {
				who.words(404, r.method, r.path, nil)
			}
			who.words(404, "POST", "/api/agent", said("c1", his.ID, "Hi"))
			who.words(422, "POST", "/api/agent", said("c1", "", "Hi")) // as of a chat that does not exist
			for _, r := range []struct {
				method, path string
				body         any
			}{
				{"GET", "", nil},
				{"PATCH", "", map[string]string{"title": "x"}},
				{"POST", "/stop", nil},
				{"POST", "/queue", map[string]string{"text": "x"}},
				{"GET", "/changes", nil},
				{"POST", "/undo", map[string]string{}},
			} {
				who.must(404, r.method, "/api/agent/c1"+r.path, r.body)
			}
			who.must(404, "GET", "/api/agent/chats?workspace="+w.ID, nil)
			who.must(404, "DELETE", "/api/agent/c1", nil)
			if chats := decode[api.Chats](t, who.must(200, "GET", "/api/agent/chats", nil)); len(chats.Chats) != 0 || chats.Chats == nil {
				t.Errorf("%+v", chats)
			}
		}
		close(let)
		a.until("finish")
		if chats := decode[api.Chats](t, asha.must(200, "GET", "/api/agent/chats?workspace="+w.ID, nil)); len(chats.Chats) != 1 || chats.Chats[0].ID != "c1" {
			t.Errorf("%+v", chats)
		}
		asha.must(422, "POST", "/api/agent/c1/undo", map[string]any{"path": "a", "more": 1})
	})
}

func TestAgent_AChatIsStoppedRenamedAndDeleted(t *testing.T) {
	inBubble(t, func(t *testing.T, s *online) {
		asha := s.signIn("Asha")
		w := asha.create("one")
		s.model.turns <- saysSlowly(nil, "One")
		a := s.post(asha, said("c1", w.ID, "Hi"))
		a.until("text-delta")
		if got := asha.words(409, "POST", "/api/agent", said("c1", w.ID, "More")); got != "The agent is at work in this chat; stop it, or send your message to its queue." {
			t.Errorf("%q", got)
		}
		queued := decode[api.QueuedText](t, asha.must(202, "POST", "/api/agent/c1/queue", map[string]string{"text": "And then"}))
		if chunks := a.until("data-queue"); queued.ID == "" {
			t.Errorf("%v", chunks)
		}
		asha.must(204, "POST", "/api/agent/c1/stop", nil)
		a.until("abort")
		a.ends()
		asha.must(204, "POST", "/api/agent/c1/stop", nil)
		asha.must(409, "POST", "/api/agent/c1/queue", map[string]string{"text": "x"})
		asha.must(422, "POST", "/api/agent/c1/queue", map[string]string{"text": ""})

		changed := decode[agent.Info](t, asha.must(200, "PATCH", "/api/agent/c1", map[string]string{"title": "New", "mode": "ask-none"}))
		if changed.Title != "New" || changed.Mode != "ask-none" {
			t.Errorf("%+v", changed)
		}
		asha.must(422, "PATCH", "/api/agent/c1", map[string]string{"mode": "ask-nobody"})

		s.model.turns <- says("Two")
		c := s.agentStream(s.client, asha, "POST", "/api/agent/c1/continue", nil)
		c.mustBeStream()
		c.until("finish")
		synctest.Wait()
		asha.must(204, "DELETE", "/api/agent/c1", nil)
		asha.must(404, "DELETE", "/api/agent/c1", nil)
		asha.must(404, "GET", "/api/agent/c1", nil)
	})
}

func TestAgent_ModelsAreListedWithTheirPrices(t *testing.T) {
	s := newSite(t)
	got := decode[api.Models](t, s.signIn("Asha").must(200, "GET", "/api/agent/models", nil))
	want := api.Models{
		Models: []api.Model{
			{ID: "m/one", Name: "One", Context: 100_000, Reasoning: true, InputPrice: 3, OutputPrice: 15.5}, {ID: "m/two", Name: "Two"},
		},
		Default: "m/one", Mode: "ask-writes", Configured: true, OwnKeys: true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
