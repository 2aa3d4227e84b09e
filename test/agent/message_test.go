package agent_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/agent/uistream"
)

// shown is what a client shows.
type shown struct {
	Status   string
	Error    string
	Messages []json.RawMessage
	Data     []struct {
		Type string
		ID   string
		Data json.RawMessage
	}
	Finishes []struct {
		IsAbort, IsDisconnect, IsError bool
		FinishReason                   string
	}
	Posts int
}

// last returns the newest message.
func (s shown) last() json.RawMessage { return s.Messages[len(s.Messages)-1] }

func chunk(t uistream.Type, set ...func(*uistream.Chunk)) uistream.Chunk {
	c := uistream.Chunk{Type: t}
	for _, f := range set {
		f(&c)
	}
	return c
}

func id(id string) func(*uistream.Chunk)  { return func(c *uistream.Chunk) { c.ID = id } }
func word(w string) func(*uistream.Chunk) { return func(c *uistream.Chunk) { c.Delta = w } }
func input(w string) func(*uistream.Chunk) {
	return func(c *uistream.Chunk) { c.Input = json.RawMessage(w) }
}
func output(v any) func(*uistream.Chunk)   { return func(c *uistream.Chunk) { c.Output = v } }
func why(w string) func(*uistream.Chunk)   { return func(c *uistream.Chunk) { c.Reason = w } }
func fault(w string) func(*uistream.Chunk) { return func(c *uistream.Chunk) { c.ErrorText = w } }
func asks(id string) func(*uistream.Chunk) { return func(c *uistream.Chunk) { c.ApprovalID = id } }
func dynamic(c *uistream.Chunk)            { c.Dynamic = true }
func executed(c *uistream.Chunk)           { c.ProviderExecuted = true }
func preliminary(c *uistream.Chunk)        { c.Preliminary = true }
func transient(c *uistream.Chunk)          { c.Transient = true }
func piece(w string) func(*uistream.Chunk) { return func(c *uistream.Chunk) { c.InputTextDelta = w } }
func data(v any) func(*uistream.Chunk)     { return func(c *uistream.Chunk) { c.Data = v } }
func meta(v any) func(*uistream.Chunk)     { return func(c *uistream.Chunk) { c.MessageMetadata = v } }

func reason(w string) func(*uistream.Chunk) {
	return func(c *uistream.Chunk) { c.FinishReason = w }
}

func call(id, tool string) func(*uistream.Chunk) {
	return func(c *uistream.Chunk) { c.ToolCallID, c.ToolName = id, tool }
}

func approved(yes bool) func(*uistream.Chunk) { return func(c *uistream.Chunk) { c.Approved = &yes } }

// answers are streams of all kinds of chunks; each ends the run before the next goes on with its message.
var answers = map[string][][]uistream.Chunk{
	"text and reasoning": {{
		chunk(uistream.Start, func(c *uistream.Chunk) { c.MessageID = "m" }, meta(map[string]any{"model": "x", "usage": map[string]any{"input": 1, "cached": []int{1}}})),
		chunk(uistream.StartStep),
		chunk(uistream.ReasoningStart, id("0")), chunk(uistream.ReasoningDelta, id("0"), word("Hm, ")), chunk(uistream.ReasoningDelta, id("0"), word("🙂 <b>&")),
		chunk(uistream.ReasoningEnd, id("0")),
		chunk(uistream.TextStart, id("0")), chunk(uistream.TextDelta, id("0"), word("Yes")), chunk(uistream.TextDelta, id("0"), word(", it\u2028is")), chunk(uistream.TextEnd, id("0")),
		chunk(uistream.TextStart, id("0")), chunk(uistream.TextEnd, id("0")),
		chunk(uistream.FinishStep),
		chunk(uistream.MessageMetadata, meta(map[string]any{"usage": map[string]any{"input": 2, "output": 1.5, "cached": []int{}}, "cost": 0.01})),
		chunk(uistream.Finish, reason("stop"), meta(map[string]any{"usage": nil})),
	}},
	"calls of all ends": {{
		chunk(uistream.Start), chunk(uistream.StartStep),
		chunk(uistream.ToolInputStart, call("a", "readFile"), executed), chunk(uistream.ToolInputDelta, call("a", ""), piece(`{"path":`)),
		chunk(uistream.ToolInputStart, call("b", "mcp"), dynamic), chunk(uistream.ToolInputDelta, call("b", ""), piece(`{"x`)),
		chunk(uistream.ToolInputDelta, call("a", ""), piece(`"a.go"}`)),
		chunk(uistream.ToolInputAvailable, call("a", "readFile"), input(`{"path":"a.go"}`), executed, func(c *uistream.Chunk) { c.Title = "Read a.go" }),
		chunk(uistream.ToolInputError, call("b", "mcp"), input(`"{\"x"`), fault("no JSON"), dynamic),
		chunk(uistream.ToolInputStart, call("c", "glob")),
		chunk(uistream.ToolInputError, call("c", "glob"), input(`null`), fault("no JSON either"), executed),
		chunk(uistream.ToolInputError, call("d", "unknown"), input(`{}`), fault("no such tool")),
		chunk(uistream.ToolInputAvailable, call("e", "runCommand"), input(`{}`), executed),
		chunk(uistream.ToolOutputAvailable, call("e", ""), output("one"), preliminary), chunk(uistream.ToolOutputAvailable, call("e", ""), output("one two"), preliminary),
		chunk(uistream.Data("terminal"), data(map[string]string{"text": "one"}), transient),
		chunk(uistream.ToolOutputAvailable, call("e", ""), output(map[string]any{"exitCode": 0, "text": "<one two three>"})),
		chunk(uistream.ToolOutputError, call("a", ""), fault("no such file")),
		chunk(uistream.ToolInputAvailable, call("f", "mcp"), input(`[1]`), dynamic, executed), chunk(uistream.ToolOutputAvailable, call("f", ""), output(nil)),
		chunk(uistream.FinishStep),
		chunk(uistream.StartStep), // the same ids again
		chunk(uistream.ToolInputStart, call("a", "writeFile")), chunk(uistream.ToolInputDelta, call("a", ""), piece(`{}`)),
		chunk(uistream.ToolInputAvailable, call("a", "writeFile"), input(`{}`)), chunk(uistream.ToolOutputAvailable, call("a", ""), output(7)),
		chunk(uistream.SteeringMessage, id("s"), func(c *uistream.Chunk) { c.Parts = []uistream.Part{{Type: "text", Text: "faster"}} }),
		chunk(uistream.Data("todo"), id("1"), data([]string{"a"})), chunk(uistream.Data("note"), data("kept")), chunk(uistream.Data("todo"), id("1"), data([]string{"a", "b"})),
		chunk(uistream.FinishStep), chunk(uistream.Finish, reason("stop")),
	}},
	"approvals and a question": {
		{
			chunk(uistream.Start, func(c *uistream.Chunk) { c.MessageID = "m" }), chunk(uistream.StartStep),
			chunk(uistream.TextStart, id("t1")), chunk(uistream.TextDelta, id("t1"), word("May I?")),
			chunk(uistream.ToolInputAvailable, call("a", "runCommand"), input(`{"command":"make"}`), executed),
			chunk(uistream.ToolInputAvailable, call("b", "runCommand"), input(`{"command":"rm"}`), executed),
			chunk(uistream.ToolInputAvailable, call("q", "ask"), input(`{"question":"Which?"}`)),
			chunk(uistream.ToolApprovalRequest, call("a", ""), asks("1"), why("It runs a command.")),
			chunk(uistream.ToolApprovalRequest, call("b", ""), asks("2")),
			chunk(uistream.FinishStep), chunk(uistream.Finish, reason("tool-calls")),
		},
		{
			chunk(uistream.Start, func(c *uistream.Chunk) { c.MessageID = "m" }, meta(map[string]any{"model": "y"})),
			chunk(uistream.ToolApprovalResponse, asks("1"), approved(true), why("always")),
			chunk(uistream.ToolApprovalResponse, asks("2"), approved(false)),
			chunk(uistream.ToolOutputAvailable, call("q", ""), output("That one.")),
			chunk(uistream.ToolOutputAvailable, call("a", ""), output("…"), preliminary),
			chunk(uistream.ToolOutputAvailable, call("a", ""), output(map[string]int{"exitCode": 1}), executed),
			chunk(uistream.ToolOutputDenied, call("b", "")),
			chunk(uistream.StartStep),
			chunk(uistream.TextStart, id("t1")), chunk(uistream.TextDelta, id("t1"), word("Done.")),
			chunk(uistream.ToolInputAvailable, call("c", "runCommand"), input(`{}`), executed),
			chunk(uistream.ToolApprovalRequest, call("c", ""), asks("3")),
			chunk(uistream.Finish, reason("tool-calls")),
		},
		{
			chunk(uistream.Start, func(c *uistream.Chunk) { c.MessageID = "m" }),
			chunk(uistream.ToolApprovalResponse, asks("3"), approved(true)),
			chunk(uistream.Abort),
		},
	},
	"cut short": {{
		chunk(uistream.Start), chunk(uistream.StartStep),
		chunk(uistream.ReasoningStart, id("r")), chunk(uistream.ReasoningDelta, id("r"), word("Hm")),
		chunk(uistream.TextStart, id("t")), chunk(uistream.TextDelta, id("t"), word("So")),
		chunk(uistream.ToolInputStart, call("a", "readFile")), chunk(uistream.ToolInputDelta, call("a", ""), piece(`{"pa`)),
		chunk(uistream.ToolInputAvailable, call("b", "readFile"), input(`{}`)),
		chunk(uistream.Abort),
	}},
}

// Whoever reads the same chunks has the same message: the server, which stores it and believes it; the client that
// sent the message; and one that resumes.
func TestMessage_TheClientHasWhatTheServerBelieves(t *testing.T) {
	c := startClients(t)
	clients := 0
	ask := `{"id":"u","role":"user","parts":[{"type":"text","text":"Go"}]}`
	see := func(what string, before []string, method string, frames [][]byte, want uistream.Message, hasID bool) {
		t.Helper()
		clients++
		name := fmt.Sprint(clients)
		messages := make([]json.RawMessage, len(before))
		for i, m := range before {
			messages[i] = json.RawMessage(m)
		}
		var stream strings.Builder
		for _, f := range frames {
			stream.Write(f)
		}
		var nothing, s shown
		c.call("create", map[string]any{"name": name, "id": "chat", "messages": messages, "api": "http://unused/", "stream": stream.String()}, &nothing)
		c.call("begin", map[string]any{"name": name, "method": method}, &nothing)
		c.call("settled", map[string]any{"name": name}, &s)
		if s.Error != "" {
			t.Fatalf("%s: the client has an error: %s", what, s.Error)
		}
		got := unguessed(t, s.last(), hasID)
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(unguessed(t, text, hasID), got); diff != "" {
			t.Errorf("%s: the server believes (-), the client has (+):\n%s", what, diff)
		}
	}
	for name, runs := range answers {
		log, before, hasID := uistream.NewLog(), []string{ask}, false
		for n, chunks := range runs {
			if n > 0 {
				log = uistream.ContinueLog(log.Message())
			}
			for i, chunk := range chunks {
				if err := log.Append(chunk); err != nil {
					t.Fatalf("%s: %s: %v", name, chunk.Type, err)
				}
				hasID = hasID || chunk.MessageID != ""
				if i < 2 && n == 0 || chunk.Type == uistream.StartStep {
					continue // the client shows a step with what is in it
				}
				what := fmt.Sprintf("%s, run %d up to %d (%s)", name, n, i, chunk.Type)
				for from, method := range map[int]string{uistream.FromStart: "sendMessage", uistream.FromMessage: "resumeStream"} {
					frames := all(t, log, from)
					see(what+", "+method, before, method, frames, log.Message(), hasID)
				}
			}
			text, err := json.Marshal(log.Message())
			if err != nil {
				t.Fatal(err)
			}
			before = []string{ask, string(text)}
		}
	}
}

// all returns what there is of a log.
func all(t *testing.T, l *uistream.Log, from int) (frames [][]byte) {
	t.Helper()
	for {
		more, next, _, err := l.Next(from)
		if err != nil || len(more) == 0 {
			return frames
		}
		frames, from = append(frames, more...), next
	}
}

// unguessed returns a message without what the client guesses of the input of calls that are being written, and
// without the id where the client chose it.
func unguessed(t *testing.T, text json.RawMessage, hasID bool) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	if !hasID {
		delete(m, "id")
	}
	for _, p := range m["parts"].([]any) {
		part := p.(map[string]any)
		if part["state"] == "input-streaming" || part["rawInput"] != nil {
			delete(part, "input")
		}
	}
	return m
}
