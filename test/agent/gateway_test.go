package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/agent/model/modeltest"
	"github.com/kalpana-dev/kalpana/test/harness"
)

// gateway is a running gateway, whose agent asks a played provider, and the clients of a person who is signed in.
type gateway struct {
	t *testing.T
	*harness.Installation
	*clients
	provider *modeltest.Server
	person   *harness.Browser
	token    string // with which clients come, where it is not ""
	chats    int
}

// budget is what the person may spend in a day, in US dollars.
const budget = "5"

func startGateway(t *testing.T, env ...string) *gateway {
	t.Helper()
	dir := t.TempDir()
	binary, err := harness.Build(true)
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{t: t, clients: startClients(t), provider: modeltest.New(t)}
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	env = append([]string{
		"KALPANA_OPTIONS=rate_limits off", "OPENROUTER_API_KEY=" + modeltest.Key, "KALPANA_AGENT_BASE_URL=" + g.provider.URL,
		"KALPANA_AGENT_MODELS=anthropic/claude-played-4.5 openai/gpt-played", "KALPANA_AGENT_BUDGET=$" + budget,
	}, env...)
	g.Installation, err = harness.New(binary, data, env...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.removeWorkspaces()
		if err := errors.Join(g.Stop(), g.Faults()); err != nil || t.Failed() {
			path := filepath.Join(harness.Root(), "test", "artifacts", t.Name()+".log")
			_ = os.MkdirAll(filepath.Dir(path), 0o755)
			_ = os.WriteFile(path, []byte(g.Log.String()), 0o600)
			t.Errorf("the gateway: %v; see %s", err, path)
		}
		if strings.Contains(g.Log.String(), modeltest.Key) {
			t.Error("the provider's key is in the log")
		}
	})
	g.start()
	if g.person, err = g.SignIn(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.person.Close)
	return g
}

func (g *gateway) start() {
	g.t.Helper()
	if err := g.Start(); err != nil {
		g.t.Fatal(err)
	}
}

func (g *gateway) removeWorkspaces() {
	if g.person == nil || !g.Running() {
		return
	}
	all, err := g.person.Workspaces()
	for _, w := range all {
		if a, gone := g.person.API("DELETE", "/api/workspaces/"+w.ID, nil); gone != nil || a.Status != http.StatusNoContent {
			err = errors.Join(err, gone, fmt.Errorf("deleting %s: %v", w.ID, a))
		}
	}
	if err != nil {
		g.t.Error(err)
	}
}

// api asks the console's API, whose answer must have that status.
func (g *gateway) api(t *testing.T, status int, method, path string, in, out any) {
	t.Helper()
	a, err := g.person.API(method, path, in)
	if err != nil || a.Status != status {
		t.Fatalf("%s %s: %v, %v", method, path, a, err)
	}
	if out != nil {
		if err := json.Unmarshal([]byte(a.Body), out); err != nil {
			t.Fatalf("%s %s: %v: %s", method, path, err, a.Body)
		}
	}
}

// client is a client of a chat: what useChat has in a page.
type client struct {
	*gateway
	t    *testing.T
	name string
	chat string
}

// newChat returns a client of a chat that does not exist yet.
func (g *gateway) newChat(t *testing.T, workspace string, options map[string]any) *client {
	t.Helper()
	g.chats++
	return g.client(t, fmt.Sprintf("chat-%d", g.chats), workspace, options, nil)
}

func (g *gateway) client(t *testing.T, chat, workspace string, options map[string]any, messages []json.RawMessage) *client {
	t.Helper()
	g.clients.t = t
	g.chats++
	c := &client{g, t, fmt.Sprintf("%s/%d", chat, g.chats), chat}
	headers := map[string]string{"cookie": g.person.Cookies("kalpana.localhost")}
	if g.token != "" {
		headers = map[string]string{"authorization": "Bearer " + g.token}
	}
	body := map[string]any{"workspace": workspace}
	for name, value := range options {
		body[name] = value
	}
	c.do("create", map[string]any{
		"id": chat, "messages": messages, "api": g.Console() + "/api/agent", "body": body,
		"headers": headers,
	})
	return c
}

// reloaded returns a client as a page has it that is loaded anew: with the messages that the server has.
func (c *client) reloaded() *client {
	c.t.Helper()
	_, messages := c.stored()
	return c.client(c.t, c.chat, "", nil, messages)
}

// stored returns what the server has of the chat.
func (c *client) stored() (state string, messages []json.RawMessage) {
	c.t.Helper()
	var chat struct {
		Chat     struct{ State string }
		Messages []json.RawMessage
	}
	c.api(c.t, http.StatusOK, "GET", "/api/agent/"+c.chat, nil, &chat)
	return chat.Chat.State, chat.Messages
}

func (c *client) do(what string, args map[string]any) (s shown) {
	c.t.Helper()
	all := map[string]any{"name": c.name}
	for name, value := range args {
		all[name] = value
	}
	c.call(what, all, &s)
	return s
}

// begin calls a method of the client, and does not wait.
func (c *client) begin(method string, args ...any) {
	c.t.Helper()
	c.do("begin", map[string]any{"method": method, "args": args})
}

// say sends a message, and does not wait for the answer.
func (c *client) say(text string) {
	c.t.Helper()
	c.begin("sendMessage", map[string]string{"text": text})
}

// settled waits until the client is ready, and fails where it has an error.
func (c *client) settled() shown {
	c.t.Helper()
	s := c.do("settled", nil)
	if s.Error != "" {
		c.t.Fatalf("the client has an error: %s\n%s", s.Error, c.Log.Tail())
	}
	return s
}

// failed waits until the client has an error, and returns it.
func (c *client) failed() string {
	c.t.Helper()
	s := c.do("settled", nil)
	if s.Status != "error" {
		c.t.Fatalf("the client has no error: %s", s.last())
	}
	return s.Error
}

// shows waits until the client shows a text.
func (c *client) shows(text string) shown {
	c.t.Helper()
	s := c.do("shows", map[string]any{"text": text})
	if all, _ := json.Marshal([]any{s.Messages, s.Data}); !strings.Contains(string(all), text) {
		c.t.Fatalf("the client shows no %q, but %s %s", text, all, s.Error)
	}
	return s
}

// agrees checks that the server has the messages that the client shows.
func (c *client) agrees(s shown) {
	c.t.Helper()
	_, messages := c.stored()
	if len(messages) != len(s.Messages) {
		c.t.Errorf("the server has %d messages, the client shows %d", len(messages), len(s.Messages))
		return
	}
	for i := range messages {
		if diff := cmp.Diff(unguessed(c.t, messages[i], true), unguessed(c.t, s.Messages[i], true)); diff != "" {
			c.t.Errorf("the server has (-), the client shows (+):\n%s", diff)
		}
	}
}

// part is a part of a message, as far as the tests look at it.
type part struct {
	Type, Text, State, ToolCallID, ErrorText string
	Output                                   json.RawMessage
	Approval                                 struct{ ID string }
}

func partsOf(t *testing.T, message json.RawMessage) []part {
	t.Helper()
	var m struct{ Parts []part }
	if err := json.Unmarshal(message, &m); err != nil {
		t.Fatal(err)
	}
	return m.Parts
}

// textOf returns what a message says.
func textOf(t *testing.T, message json.RawMessage) (text string) {
	t.Helper()
	for _, p := range partsOf(t, message) {
		if p.Type == "text" {
			text += p.Text
		}
	}
	return text
}

// callOf returns the part of a message that is a call.
func callOf(t *testing.T, message json.RawMessage, id string) part {
	t.Helper()
	parts := partsOf(t, message)
	i := slices.IndexFunc(parts, func(p part) bool { return p.ToolCallID == id })
	if i < 0 {
		t.Fatalf("no call %s in %s", id, message)
	}
	return parts[i]
}

// counted says so many words slowly: for some seconds the agent is at work.
func counted(n int) modeltest.Step {
	return modeltest.Paced(n, 100*time.Millisecond, func(i int) string { return fmt.Sprintf("w%d ", i) })
}

func countedText(n int) string {
	text := ""
	for i := range n {
		text += fmt.Sprintf("w%d ", i)
	}
	return text
}

var anything = map[string]any{"mode": "ask-none"}

// The published client of the AI SDK works with the gateway as it comes. It is one test, since its parts share a
// gateway and a container.
func TestGateway_ThePublishedClientWorksUnmodified(t *testing.T) {
	g := startGateway(t)
	w, err := g.person.Create("agent", "")
	if err != nil {
		t.Fatal(err)
	}
	run := func(name string, test func(t *testing.T)) {
		t.Helper()
		t.Run(name, test)
		g.clients.t = t
		if left := g.provider.Left(); left > 0 {
			t.Fatalf("%s left %d turns unsaid", name, left)
		}
	}

	run("chat", func(t *testing.T) {
		c := g.newChat(t, w.ID, nil)
		g.provider.Play(modeltest.Turn{
			modeltest.Comment(""), modeltest.Reasoning("Let me think 🙂.", "sig"), modeltest.Words("It is <b>so</b> & simple."),
			modeltest.Used(modeltest.Usage{Input: 100, Output: 20, Cached: 40, Reasoning: 5, Cost: "0.0125"}),
		})
		c.say("How?")
		s := c.settled()
		if got := textOf(t, s.last()); got != "It is <b>so</b> & simple." {
			t.Errorf("%q", got)
		}
		var m struct {
			Metadata struct {
				Model string
				Cost  float64
				Usage struct{ Input, Output, Cached, Reasoning int }
				Left  any
			}
		}
		if err := json.Unmarshal(s.last(), &m); err != nil || m.Metadata.Cost != 0.0125 || m.Metadata.Usage.Cached != 40 || m.Metadata.Model == "" || m.Metadata.Left == nil {
			t.Errorf("%v: %s", err, s.last())
		}
		if s.Finishes[0].FinishReason != "stop" {
			t.Errorf("%+v", s.Finishes)
		}
		c.agrees(s)

		g.provider.Play(modeltest.Turn{modeltest.Words("Another one.")})
		c.begin("regenerate")
		if s = c.settled(); textOf(t, s.last()) != "Another one." {
			t.Errorf("regenerated: %s", s.last())
		}
		c.agrees(s)
		g.provider.Play(modeltest.Turn{modeltest.Words("And why not.")})
		c.say("Why?")
		s = c.settled()
		c.agrees(s)
		var first struct{ ID string }
		_ = json.Unmarshal(s.Messages[0], &first)
		g.provider.Play(modeltest.Turn{modeltest.Words("Edited.")})
		c.begin("sendMessage", map[string]string{"text": "What?", "messageId": first.ID})
		if s = c.settled(); len(s.Messages) != 2 || textOf(t, s.last()) != "Edited." {
			t.Errorf("edited: %s", s.Messages)
		}
		c.agrees(s)
	})

	run("a sleeping workspace is woken, and its files change", func(t *testing.T) {
		c := g.newChat(t, w.ID, anything)
		g.provider.Play(
			modeltest.Turn{modeltest.Words("I write it."), modeltest.Call("w1", "writeFile", `{"path":"made.txt",`, `"content":"one\ntwo\n"}`)},
			modeltest.Turn{modeltest.Calls(
				modeltest.PlayedCall{ID: "r1", Name: "readFile", Arguments: []string{`{"path":`, `"made.txt"}`}},
				modeltest.PlayedCall{ID: "r2", Name: "readFile", Arguments: []string{`{"path":"none.txt"}`}},
				modeltest.PlayedCall{ID: "r3", Name: "runCommand", Arguments: []string{`{"command":"cat made.txt; sleep 0.2; echo three | tee -a made.txt; exit 3"}`}},
			)},
			modeltest.Turn{modeltest.Words("Done.")},
		)
		c.say("Write a file.")
		s := c.settled()
		message := s.last()
		for id, state := range map[string]string{"w1": "output-available", "r1": "output-available", "r2": "output-error", "r3": "output-available"} {
			if p := callOf(t, message, id); p.State != state {
				t.Errorf("%s: %+v", id, p)
			}
		}
		if !strings.Contains(string(callOf(t, message, "r3").Output), `"exitCode":3`) {
			t.Errorf("the command: %s", callOf(t, message, "r3").Output)
		}
		var waking, terminal bool
		for _, d := range s.Data {
			waking = waking || d.Type == "data-status" && strings.Contains(string(d.Data), `"text":"`)
			terminal = terminal || d.Type == "data-terminal" && strings.Contains(string(d.Data), "three")
		}
		if !waking || !terminal {
			t.Errorf("told of the wake: %t; what the command printed: %t: %+v", waking, terminal, s.Data)
		}
		c.agrees(s)
		if got := g.inContainer(t, w.ID, "cat /home/dev/workspace/made.txt"); got != "one\ntwo\nthree\n" {
			t.Errorf("the file: %q", got)
		}
		var changes struct {
			Turns []struct {
				MessageID string
				Files     []struct{ Path, Status, Diff string }
			}
		}
		g.api(t, http.StatusOK, "GET", "/api/agent/"+c.chat+"/changes", nil, &changes)
		if len(changes.Turns) != 1 || len(changes.Turns[0].Files) != 1 || changes.Turns[0].Files[0].Path != "made.txt" {
			t.Errorf("changes: %+v", changes)
		}
		g.api(t, http.StatusOK, "POST", "/api/agent/"+c.chat+"/undo", map[string]string{"path": "made.txt"}, nil)
		if got := g.inContainer(t, w.ID, "ls /home/dev/workspace"); strings.Contains(got, "made.txt") {
			t.Errorf("after the undo there is %s", got)
		}
	})

	run("approvals", func(t *testing.T) {
		c := g.newChat(t, w.ID, nil)
		g.provider.Play(modeltest.Turn{modeltest.Calls(
			modeltest.PlayedCall{ID: "a1", Name: "runCommand", Arguments: []string{`{"command":"touch yes.txt"}`}},
			modeltest.PlayedCall{ID: "a2", Name: "runCommand", Arguments: []string{`{"command":"touch no.txt"}`}},
		)})
		c.say("Touch them.")
		s := c.settled()
		yes, no := callOf(t, s.last(), "a1"), callOf(t, s.last(), "a2")
		if yes.State != "approval-requested" || no.State != "approval-requested" || s.Finishes[0].FinishReason != "tool-calls" {
			t.Fatalf("%s", s.last())
		}
		if state, _ := c.stored(); state != "waiting" {
			t.Errorf("the chat is %s", state)
		}
		c = c.reloaded() // by the time of the answer
		g.provider.Play(modeltest.Turn{modeltest.Words("One of them.")})
		c.begin("addToolApprovalResponse", map[string]any{"id": yes.Approval.ID, "approved": true})
		c.begin("addToolApprovalResponse", map[string]any{"id": no.Approval.ID, "approved": false, "reason": "not that one"})
		c.shows("One of them.")
		s = c.settled()
		if yes, no := callOf(t, s.last(), "a1"), callOf(t, s.last(), "a2"); yes.State != "output-available" || no.State != "output-denied" {
			t.Errorf("%s", s.last())
		}
		if s.Posts != 1 {
			t.Errorf("the client posted %d times", s.Posts)
		}
		c.agrees(s)
		if got := g.inContainer(t, w.ID, "ls /home/dev/workspace"); !strings.Contains(got, "yes.txt") || strings.Contains(got, "no.txt") {
			t.Errorf("there is %s", got)
		}
		requests := g.provider.Requests()
		if told := fmt.Sprint(requests[len(requests)-1]); !strings.Contains(told, "not that one") {
			t.Error("the model is not told why")
		}

		// An answer counts once, whoever gives it again, and it cannot make it another call.
		forged := strings.ReplaceAll(string(s.last()), "touch no.txt", "touch forged.txt")
		a, err := g.person.API("POST", "/api/agent", map[string]any{"id": c.chat, "trigger": "submit-message", "messages": []json.RawMessage{
			json.RawMessage(strings.ReplaceAll(strings.ReplaceAll(forged, `"output-denied"`, `"approval-responded"`), `"approved":false`, `"approved":true`)),
		}})
		if err != nil || a.Status != http.StatusConflict || !strings.HasPrefix(a.Body, "That was answered already") {
			t.Errorf("the same answer again: %v %v", a, err)
		}
		if got := g.inContainer(t, w.ID, "ls /home/dev/workspace"); strings.Contains(got, "forged") || strings.Contains(got, "no.txt") {
			t.Errorf("there is %s", got)
		}
	})

	run("an approval for always", func(t *testing.T) {
		c := g.newChat(t, w.ID, nil)
		g.provider.Play(modeltest.Turn{modeltest.Call("b1", "runCommand", `{"command":"mkdir one"}`)})
		c.say("Make it.")
		s := c.settled()
		g.provider.Play(
			modeltest.Turn{modeltest.Call("b2", "runCommand", `{"command":"mkdir two"}`)},
			modeltest.Turn{modeltest.Words("Both.")},
		)
		c.begin("addToolApprovalResponse", map[string]any{"id": callOf(t, s.last(), "b1").Approval.ID, "approved": true, "reason": "always"})
		c.shows("Both.")
		s = c.settled()
		if p := callOf(t, s.last(), "b2"); p.State != "output-available" || p.Approval.ID != "" {
			t.Errorf("%+v", p)
		}
		c.agrees(s)
	})

	run("a question", func(t *testing.T) {
		c := g.newChat(t, w.ID, nil)
		g.provider.Play(modeltest.Turn{modeltest.Call("q1", "ask", `{"question":"Tabs or spaces?","options":["tabs","spaces"]}`)})
		c.say("Format it.")
		s := c.settled()
		if p := callOf(t, s.last(), "q1"); p.State != "input-available" {
			t.Fatalf("%+v", p)
		}
		g.provider.Play(modeltest.Turn{modeltest.Words("Tabs, then.")})
		c.begin("addToolOutput", map[string]any{"tool": "ask", "toolCallId": "q1", "output": map[string]string{"answer": "tabs"}})
		c.shows("Tabs, then.")
		c.agrees(c.settled())
		requests := g.provider.Requests()
		if told := fmt.Sprint(requests[len(requests)-1]); !strings.Contains(told, "tabs") {
			t.Error("the model is not told the answer")
		}
	})

	run("a disconnect stops nothing, and a new client resumes", func(t *testing.T) {
		c := g.newChat(t, w.ID, nil)
		g.provider.Play(modeltest.Turn{counted(25)})
		c.say("Count.")
		c.shows("w2 ")
		c.begin("stop") // in this client, that is to hang up
		if s := c.settled(); !s.Finishes[0].IsAbort {
			t.Errorf("%+v", s.Finishes)
		}
		again := c.reloaded()
		again.begin("resumeStream")
		again.shows("w10 ")
		s := again.settled()
		if got := textOf(t, s.last()); got != countedText(25) {
			t.Errorf("resumed: %q", got)
		}
		again.agrees(s)
		// Nothing runs any more.
		again = c.reloaded()
		again.begin("resumeStream")
		again.agrees(again.settled())
	})

	run("stop", func(t *testing.T) {
		c := g.newChat(t, w.ID, anything)
		g.provider.Play(modeltest.Turn{modeltest.Words("I run it."), modeltest.Call("s1", "runCommand", `{"command":"echo be''gun; sleep 300"}`)})
		c.say("Run it.")
		c.shows("begun")
		start := time.Now()
		g.api(t, http.StatusNoContent, "POST", "/api/agent/"+c.chat+"/stop", nil, nil)
		s := c.settled()
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
		if p := callOf(t, s.last(), "s1"); p.State != "output-error" {
			t.Errorf("%+v", p)
		}
		if s.Posts != 1 {
			t.Errorf("the client posted %d times", s.Posts)
		}
		c.agrees(s)
		if got := g.inContainer(t, w.ID, "pgrep -af 'sleep [3]00' || true"); got != "" {
			t.Errorf("the command still runs: %s", got)
		}
		// In mid-sentence, too.
		g.provider.Play(modeltest.Turn{modeltest.Text("Well"), modeltest.Stall()})
		c.say("Go on.")
		c.shows("Well")
		g.api(t, http.StatusNoContent, "POST", "/api/agent/"+c.chat+"/stop", nil, nil)
		c.agrees(c.settled())
	})

	run("the queue", func(t *testing.T) {
		c := g.newChat(t, w.ID, anything)
		g.provider.Play(
			modeltest.Turn{modeltest.Call("d1", "runCommand", `{"command":"echo rea''dy; until [ -e go.txt ]; do sleep 0.1; done"}`)},
			modeltest.Turn{modeltest.Words("Both are done.")},
		)
		c.say("Wait for it.")
		c.shows("ready")
		g.api(t, http.StatusAccepted, "POST", "/api/agent/"+c.chat+"/queue", map[string]string{"text": "And the other one."}, nil)
		c.shows("And the other one.")
		g.inContainer(t, w.ID, "touch /home/dev/workspace/go.txt")
		c.shows("Both are done.")
		s := c.settled()
		if !strings.Contains(string(s.last()), "steering-message") {
			t.Errorf("%s", s.last())
		}
		c.agrees(s)
	})

	run("errors", func(t *testing.T) {
		for _, test := range []struct {
			name  string
			turns []modeltest.Turn
			want  string
			said  string // before
		}{
			{"no credit", []modeltest.Turn{{modeltest.Refuse(402, "Insufficient credits")}}, "credit", ""},
			{"the key is refused", []modeltest.Turn{{modeltest.Refuse(401, "User not found.")}}, "key", ""},
			{"cut", []modeltest.Turn{{modeltest.Text("Half a"), modeltest.Cut()}}, "", "Half a"},
			{"no finish reason", []modeltest.Turn{{modeltest.Text("Half a"), modeltest.End()}}, "", "Half a"},
			{"in mid-stream", []modeltest.Turn{{modeltest.Text("Half a"), modeltest.Fail(502, "Upstream is gone")}}, "", "Half a"},
		} {
			c := g.newChat(t, w.ID, nil)
			g.provider.Play(test.turns...)
			c.say("Hi")
			text := c.failed()
			if !strings.Contains(text, test.want) || strings.ContainsAny(text, "{}") || strings.Contains(text, modeltest.Key) || !strings.Contains(text, ". ") && !strings.HasSuffix(text, ".") {
				t.Errorf("%s: %q", test.name, text)
			}
			t.Logf("%s: %s", test.name, text)
			state, messages := c.stored()
			if state != "idle" {
				t.Errorf("%s: the chat is %s", test.name, state)
			}
			if got := textOf(t, messages[len(messages)-1]); test.said != "" && got != test.said {
				t.Errorf("%s: kept is %q", test.name, got)
			}
		}
		// What may pass is tried again, while nothing was shown.
		c := g.newChat(t, w.ID, nil)
		g.provider.Play(modeltest.Turn{modeltest.Refuse(503, "Overloaded")}, modeltest.Turn{modeltest.RateLimit("1")}, modeltest.Turn{modeltest.Cut()}, modeltest.Turn{modeltest.Words("At last.")})
		c.say("Hi")
		if s := c.settled(); textOf(t, s.last()) != "At last." {
			t.Errorf("%s", s.last())
		}
		// Before the stream: words, which the client shows as they are.
		c = g.newChat(t, w.ID, map[string]any{"model": "none/such"})
		c.say("Hi")
		if got := c.failed(); got != "That model is not offered here; choose another one." {
			t.Errorf("%q", got)
		}
		c = g.newChat(t, "abcdefghij", nil)
		c.say("Hi")
		if got := c.failed(); got != "This workspace does not exist, or no longer." {
			t.Errorf("%q", got)
		}
	})

	run("a reload drops no run", func(t *testing.T) {
		for _, options := range []string{"KALPANA_WORKSPACE_LIMIT=5", "KALPANA_WORKSPACE_LIMIT=6"} { // the same, and another configuration
			c := g.newChat(t, w.ID, anything)
			g.provider.Play(
				modeltest.Turn{counted(20), modeltest.Call("l1", "runCommand", `{"command":"echo run >> reloads.txt; sleep 1"}`)},
				modeltest.Turn{modeltest.Words(" The end.")},
			)
			c.say("Count.")
			c.shows("w1 ")
			g.Env = append(g.Env, options)
			if err := g.Reload(); err != nil {
				t.Fatal(err)
			}
			if got := c.failed(); strings.ContainsAny(got, "{}") { // the stream is cut: the client knows that it has not all
				t.Errorf("%q", got)
			}
			c.begin("resumeStream")
			c.shows("The end.")
			s := c.settled()
			if got := textOf(t, s.last()); got != countedText(20)+" The end." {
				t.Errorf("%q", got)
			}
			c.agrees(s)
		}
		if got := g.inContainer(t, w.ID, "cat /home/dev/workspace/reloads.txt"); got != "run\nrun\n" {
			t.Errorf("the commands: %q", got)
		}
	})

	run("a killed gateway leaves a chat that goes on", func(t *testing.T) {
		c := g.newChat(t, w.ID, anything)
		g.provider.Play(
			modeltest.Turn{modeltest.Call("k1", "runCommand", `{"command":"echo kept >> kept.txt"}`)},
			modeltest.Turn{modeltest.Words("So far."), modeltest.Stall()},
		)
		c.say("Keep it.")
		c.shows("So far.")
		time.Sleep(2500 * time.Millisecond) // what is said is stored every two seconds
		g.Kill()
		c.failed()
		g.start()
		c = c.reloaded()
		state, messages := c.stored()
		if text := textOf(t, messages[len(messages)-1]); state != "interrupted" || text != "So far." {
			t.Errorf("the chat is %s, with %q", state, text)
		}
		c.begin("resumeStream")
		c.settled()
		g.provider.Play(modeltest.Turn{modeltest.Words(" And on.")})
		c.begin("sendMessage", nil, map[string]any{"body": map[string]bool{"continue": true}})
		c.shows("And on.")
		s := c.settled()
		c.agrees(s)
		if state, _ := c.stored(); state != "idle" {
			t.Errorf("the chat is %s", state)
		}
		if got := g.inContainer(t, w.ID, "cat /home/dev/workspace/kept.txt"); got != "kept\n" {
			t.Errorf("the command ran: %q", got)
		}
	})

	run("a gateway that is stopped leaves one, too", func(t *testing.T) {
		c := g.newChat(t, w.ID, nil)
		g.provider.Play(modeltest.Turn{modeltest.Words("Up to here"), modeltest.Stall()})
		c.say("Hi")
		c.shows("here")
		if err := g.Stop(); err != nil {
			t.Fatal(err)
		}
		c.failed()
		g.start()
		state, messages := c.stored()
		if text := textOf(t, messages[len(messages)-1]); state != "interrupted" || text != "Up to here" {
			t.Errorf("the chat is %s, with %q", state, text)
		}
	})

	run("a budget", func(t *testing.T) {
		c := g.newChat(t, w.ID, nil)
		g.provider.Play(modeltest.Turn{modeltest.Words("That was dear."), modeltest.Used(modeltest.Usage{Input: 1000, Output: 1000, Cost: budget})})
		c.say("Hi")
		c.settled()
		c.say("More")
		got := c.failed()
		if !strings.Contains(got, "$"+budget+".00") || !strings.Contains(got, "spent") {
			t.Errorf("%q", got)
		}
		t.Log(got)
	})
}

// Where the installation has no key, people bring theirs.
func TestGateway_WithoutAKeyPeopleBringTheirOwn(t *testing.T) {
	g := startGateway(t, "OPENROUTER_API_KEY=")
	w, err := g.person.Create("agent", "")
	if err != nil {
		t.Fatal(err)
	}
	models := func() (m struct {
		Models                      []struct{ ID string }
		Default                     string
		Configured, OwnKeys, OwnKey bool
	},
	) {
		g.api(t, http.StatusOK, "GET", "/api/agent/models", nil, &m)
		return m
	}
	if m := models(); m.Configured || !m.OwnKeys || m.OwnKey || len(m.Models) != 0 {
		t.Errorf("%+v", m)
	}
	c := g.newChat(t, w.ID, nil)
	c.say("Hi")
	if got := c.failed(); !strings.HasPrefix(got, "This installation's agent has no key for a model. Add one of your own in the settings") {
		t.Errorf("%q", got)
	}
	g.provider.Keys("sk-or-v1-a-key-of-her-own")
	g.api(t, http.StatusUnprocessableEntity, "PUT", "/api/agent/key", map[string]string{"key": "sk-or-v1-another-wrong-one"}, nil)
	a, err := g.person.API("PUT", "/api/agent/key", map[string]string{"key": "sk-or-v1-a-key-of-her-own"})
	if err != nil || a.Status >= 300 {
		t.Fatalf("%v %v", a, err)
	}
	if m := models(); !m.OwnKey || len(m.Models) != 2 || m.Default != "anthropic/claude-played-4.5" {
		t.Errorf("%+v", m)
	}
	g.provider.Play(modeltest.Turn{modeltest.Words("With yours.")})
	c.say("Hi")
	if s := c.settled(); textOf(t, s.last()) != "With yours." {
		t.Errorf("%s", s.last())
	}
	if r := g.provider.Requests(); r[len(r)-1].Key != "sk-or-v1-a-key-of-her-own" {
		t.Errorf("the key that came: %q", r[len(r)-1].Key)
	}

	// A program with a token of hers does as she would.
	var token struct{ Token string }
	g.api(t, http.StatusCreated, "POST", "/api/tokens", map[string]any{"name": "bot", "scopes": []string{"agent"}}, &token)
	g.token = token.Token
	g.provider.Play(modeltest.Turn{modeltest.Words("Hello, bot.")})
	c = g.newChat(t, w.ID, nil)
	c.say("Hi")
	if s := c.settled(); textOf(t, s.last()) != "Hello, bot." {
		t.Errorf("%s", s.last())
	}
	if strings.Contains(g.Log.String(), "of-her-own") {
		t.Error("the key is in the log")
	}
}

// inContainer runs a shell command in a workspace's container, and returns what it prints.
func (g *gateway) inContainer(t *testing.T, id, command string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	containers, err := docker(ctx, "ps", "-q", "--filter", "label=dev.kalpana.workspace="+id)
	if err == nil {
		var out string
		if out, err = docker(ctx, "exec", strings.TrimSpace(containers), "sh", "-c", command); err == nil {
			return out
		}
	}
	t.Fatal(err)
	return ""
}
