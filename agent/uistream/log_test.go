package uistream_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/kalpana-dev/kalpana/agent/uistream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fill appends chunks to a log.
func fill(t testing.TB, l *uistream.Log, chunks ...uistream.Chunk) {
	t.Helper()
	for _, c := range chunks {
		if err := l.Append(c); err != nil {
			t.Fatalf("%s: %v", c.Type, err)
		}
	}
}

// read returns what there is from a place on, as text, and the place after it.
func read(t testing.TB, l *uistream.Log, from int) (events []string, next int) {
	t.Helper()
	frames, next, err := l.Read(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range frames {
		text, ok := strings.CutPrefix(string(f), "data: ")
		text, ok2 := strings.CutSuffix(text, "\n\n")
		if !ok || !ok2 || strings.Contains(text, "\n") || !json.Valid([]byte(text)) {
			t.Fatalf("%q is no event", f)
		}
		events = append(events, text)
	}
	return events, next
}

func text(id, words string) []uistream.Chunk {
	chunks := []uistream.Chunk{{Type: uistream.TextStart, ID: id}}
	for word := range strings.SplitAfterSeq(words, " ") {
		chunks = append(chunks, uistream.Chunk{Type: uistream.TextDelta, ID: id, Delta: word})
	}
	return append(chunks, uistream.Chunk{Type: uistream.TextEnd, ID: id})
}

func TestLog_AReaderThatIsBehindGetsPiecesAsOne(t *testing.T) {
	l := uistream.NewLog()
	fill(t, l, uistream.Chunk{Type: uistream.Start, MessageID: "m"}, uistream.Chunk{Type: uistream.TextStart, ID: "t"})
	first, next := read(t, l, uistream.FromStart)
	fill(t, l, text("u", "one two three")...)
	fill(t, l, uistream.Chunk{Type: uistream.TextDelta, ID: "t", Delta: "<b> & "})
	middle := next + 2 // after the start of u, and its first word
	all, end := read(t, l, uistream.FromStart)
	want := append(first, `{"type":"text-start","id":"u"}`, `{"type":"text-delta","id":"u","delta":"one two three"}`,
		`{"type":"text-end","id":"u"}`, `{"type":"text-delta","id":"t","delta":"<b> & "}`)
	if diff := cmp.Diff(want, all); diff != "" {
		t.Error(diff)
	}
	rest, _ := read(t, l, middle)
	if diff := cmp.Diff([]string{`{"type":"text-delta","id":"u","delta":"two three"}`, want[4], want[5]}, rest); diff != "" {
		t.Error("from the middle of a text:", diff)
	}
	fill(t, l, uistream.Chunk{Type: uistream.TextDelta, ID: "t", Delta: "more"})
	if rest, _ := read(t, l, end); len(rest) != 1 || rest[0] != `{"type":"text-delta","id":"t","delta":"more"}` {
		t.Errorf("who had read all gets what is new alone: %q", rest)
	}
}

func TestLog_TransientChunksAreForThoseWhoAreThere(t *testing.T) {
	l := uistream.NewLog()
	fill(t, l, uistream.Chunk{Type: uistream.Start})
	_, here := read(t, l, uistream.FromStart)
	status := func(text string) uistream.Chunk {
		return uistream.Chunk{Type: uistream.Data("status"), ID: "status", Data: map[string]string{"text": text}, Transient: true}
	}
	fill(t, l, status("waking"),
		uistream.Chunk{Type: uistream.Data("terminal"), Data: "ls", Transient: true}, status("compacting"))
	got, _ := read(t, l, here)
	terminal, now := `{"type":"data-terminal","data":"ls","transient":true}`, `{"type":"data-status","id":"status","data":{"text":"compacting"},"transient":true}`
	if diff := cmp.Diff([]string{terminal, now}, got); diff != "" {
		t.Error(diff)
	}
	late, _ := read(t, l, uistream.FromStart)
	if diff := cmp.Diff([]string{`{"type":"start"}`, now}, late); diff != "" {
		t.Error("who comes later gets the state alone:", diff)
	}
	if parts := l.Message().Parts; len(parts) != 0 {
		t.Errorf("in the message: %+v", parts)
	}
}

func TestLog_ManyTransientChunksPinNoMemory(t *testing.T) {
	l := uistream.NewLog()
	fill(t, l, uistream.Chunk{Type: uistream.Start})
	_, here := read(t, l, uistream.FromStart)
	line := strings.Repeat("x", 1000)
	before := heap()
	for range 20000 {
		fill(t, l, uistream.Chunk{Type: uistream.Data("terminal"), Data: line, Transient: true})
	}
	if grown := heap() - before; grown > 1<<20 {
		t.Errorf("20 MB of terminal output keep %d KiB", grown>>10)
	}
	if got, _ := read(t, l, here); len(got) < 10 || len(got) > 70 {
		t.Errorf("%d are kept for who is behind", len(got))
	}
	runtime.KeepAlive(l)
}

func TestLog_APieceOfTextCostsLittleMoreThanItsLetters(t *testing.T) {
	l := uistream.NewLog()
	fill(t, l, uistream.Chunk{Type: uistream.Start}, uistream.Chunk{Type: uistream.TextStart, ID: "t"})
	before := heap()
	const pieces = 100000
	for range pieces {
		fill(t, l, uistream.Chunk{Type: uistream.TextDelta, ID: "t", Delta: "hello"})
	}
	if each := (heap() - before) / pieces; each > 40 {
		t.Errorf("a piece of 5 letters keeps %d bytes", each)
	}
	runtime.KeepAlive(l)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // is far from the limit
}

func TestLog_WhatALaterChunkReplacesIsForgotten(t *testing.T) {
	l := uistream.NewLog()
	call := func(typ uistream.Type) uistream.Chunk {
		return uistream.Chunk{Type: typ, ToolCallID: "c", ToolName: "runCommand"}
	}
	with := func(c uistream.Chunk, set func(*uistream.Chunk)) uistream.Chunk { set(&c); return c }
	fill(t, l, uistream.Chunk{Type: uistream.Start}, call(uistream.ToolInputStart),
		with(call(uistream.ToolInputDelta), func(c *uistream.Chunk) { c.InputTextDelta = `{"command":` }),
		with(call(uistream.ToolInputDelta), func(c *uistream.Chunk) { c.InputTextDelta = `"ls"}` }))
	if got, _ := read(t, l, uistream.FromStart); len(got) != 3 || got[2] != `{"type":"tool-input-delta","toolCallId":"c","inputTextDelta":"{\"command\":\"ls\"}"}` {
		t.Errorf("%q", got)
	}
	fill(t, l, with(call(uistream.ToolInputAvailable), func(c *uistream.Chunk) { c.Input = json.RawMessage(`{"command":"ls"}`) }))
	for _, out := range []string{"a", "ab", "abc"} {
		fill(t, l, with(call(uistream.ToolOutputAvailable), func(c *uistream.Chunk) { c.Output, c.Preliminary = out, out != "abc" }))
	}
	got, _ := read(t, l, uistream.FromStart)
	if diff := cmp.Diff([]string{
		`{"type":"start"}`, `{"type":"tool-input-start","toolCallId":"c","toolName":"runCommand"}`,
		`{"type":"tool-input-available","toolCallId":"c","toolName":"runCommand","input":{"command":"ls"}}`,
		`{"type":"tool-output-available","toolCallId":"c","toolName":"runCommand","output":"abc"}`,
	}, got); diff != "" {
		t.Error(diff)
	}
}

func TestLog_ItEndsWithOneEndAndNothingOpen(t *testing.T) {
	open := append(text("t", "done"),
		uistream.Chunk{Type: uistream.ReasoningStart, ID: "r"}, uistream.Chunk{Type: uistream.TextStart, ID: "u"},
		uistream.Chunk{Type: uistream.ToolInputAvailable, ToolCallID: "c", ToolName: "ask"},
		uistream.Chunk{Type: uistream.ToolInputStart, ToolCallID: "d", ToolName: "ask"})
	ended := []string{`{"type":"reasoning-end","id":"r"}`, `{"type":"text-end","id":"u"}`}
	called := func(id, why string) string {
		return fmt.Sprintf(`{"type":"tool-output-error","toolCallId":%q,"errorText":%q}`, id, why)
	}
	stopped, failed := "This was not carried out, or not to its end: the run was stopped.", "This was not carried out, or not to its end: the run ended before."
	for _, test := range []struct {
		last uistream.Chunk
		want []string
	}{
		{uistream.Chunk{Type: uistream.Finish, FinishReason: "tool-calls"}, append(ended[:2:2], `{"type":"finish","finishReason":"tool-calls"}`)},
		{uistream.Chunk{Type: uistream.Abort}, append(ended[:2:2], called("c", stopped), called("d", stopped), `{"type":"abort"}`)},
		{uistream.Chunk{Type: uistream.ErrorType, ErrorText: "x"}, append(ended[:2:2], called("c", failed), called("d", failed), `{"type":"error","errorText":"x"}`)},
		{uistream.Chunk{}, append(ended[:2:2], called("c", failed), called("d", failed), `{"type":"error","errorText":"The run ended without saying why. Send a message to go on."}`)},
	} {
		l := uistream.NewLog()
		fill(t, l, open...)
		_, next := read(t, l, uistream.FromStart)
		if test.last.Type != "" {
			fill(t, l, test.last)
			if err := l.Append(uistream.Chunk{Type: uistream.StartStep}); !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("after %s: %v", test.last.Type, err)
			}
		}
		l.Close()
		l.Close()
		got, end := read(t, l, next)
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: %s", test.last.Type, diff)
		}
		if _, _, err := l.Read(t.Context(), end); !errors.Is(err, io.EOF) {
			t.Errorf("after the end: %v", err)
		}
	}
}

func TestLog_WhatTheClientWouldNotTakeIsAnErrorAtOnce(t *testing.T) {
	for _, c := range []uistream.Chunk{
		{Type: "tool-started"},
		{Type: uistream.TextDelta, ID: "t", Delta: "x"},
		{Type: uistream.TextEnd, ID: "t"},
		{Type: uistream.ReasoningDelta, ID: "t", Delta: "x"},
		{Type: uistream.ToolInputDelta, ToolCallID: "c", InputTextDelta: "x"},
		{Type: uistream.ToolOutputAvailable, ToolCallID: "c", Output: 1},
		{Type: uistream.ToolOutputDenied, ToolCallID: "c"},
		{Type: uistream.ToolApprovalRequest, ToolCallID: "c", ApprovalID: "a"},
		{Type: uistream.ToolApprovalResponse, ApprovalID: "a", Approved: new(bool)},
		{Type: uistream.ToolApprovalResponse, ApprovalID: "a"},
		{Type: uistream.ToolInputStart, ToolCallID: "c"},
		{Type: uistream.Finish, FinishReason: "done"},
		{Type: uistream.MessageMetadata},
		{Type: uistream.SteeringMessage, ID: "s"},
	} {
		l := uistream.NewLog()
		if err := l.Append(c); !errors.Is(err, uistream.ErrChunk) {
			t.Errorf("%+v: %v", c, err)
		}
		if diff := cmp.Diff(uistream.NewLog().Message(), l.Message()); diff != "" {
			t.Errorf("%+v has changed the message: %s", c, diff)
		}
		l.Close()
	}
}

func TestLog_AMessageIsBounded(t *testing.T) {
	l := uistream.NewLog()
	fill(t, l, uistream.Chunk{Type: uistream.TextStart, ID: "t"})
	mebibyte := strings.Repeat("x", 1<<20)
	var err error
	for range 10 {
		if err = l.Append(uistream.Chunk{Type: uistream.TextDelta, ID: "t", Delta: mebibyte}); err != nil {
			break
		}
	}
	if !errors.Is(err, uistream.ErrTooLong) {
		t.Fatalf("10 MiB: %v", err)
	}
	fill(t, l, uistream.Chunk{Type: uistream.ErrorType, ErrorText: err.Error()})
	if m := l.Message(); m.Parts[0].State != "done" {
		t.Errorf("its text is %s", m.Parts[0].State)
	}
}

func TestLog_WhoResumesGetsTheMessageFromItsBeginning(t *testing.T) {
	l := uistream.NewLog()
	yes := true
	fill(t, l, uistream.Chunk{Type: uistream.Start, MessageID: "m", MessageMetadata: map[string]any{"model": "x", "usage": map[string]int{"input": 1}}},
		uistream.Chunk{Type: uistream.StartStep})
	fill(t, l, text("t", "I run it.")...)
	fill(t, l,
		uistream.Chunk{Type: uistream.ReasoningStart, ID: "r"}, uistream.Chunk{Type: uistream.ReasoningEnd, ID: "r"},
		uistream.Chunk{Type: uistream.ToolInputAvailable, ToolCallID: "c", ToolName: "runCommand", Title: "Run it", Input: json.RawMessage(`{"command":"make"}`), ProviderExecuted: true},
		uistream.Chunk{Type: uistream.ToolInputError, ToolCallID: "e", ToolName: "glob", Input: json.RawMessage(`"{"`), ErrorText: "no JSON", ProviderExecuted: true},
		uistream.Chunk{Type: uistream.ToolInputAvailable, ToolCallID: "d", ToolName: "docs", Dynamic: true, Input: json.RawMessage(`{}`)},
		uistream.Chunk{Type: uistream.Data("plan"), ID: "p", Data: []int{1}},
		uistream.Chunk{Type: uistream.ToolApprovalRequest, ToolCallID: "c", ApprovalID: "a", Reason: "It runs a command."},
		uistream.Chunk{Type: uistream.FinishStep}, uistream.Chunk{Type: uistream.Finish, FinishReason: "tool-calls"})
	before := l.Message()

	l = uistream.ContinueLog(before)
	fill(t, l, uistream.Chunk{Type: uistream.Start, MessageID: "m"},
		uistream.Chunk{Type: uistream.ToolApprovalResponse, ApprovalID: "a", Approved: &yes, Reason: "always"},
		uistream.Chunk{Type: uistream.ToolOutputAvailable, ToolCallID: "c", Output: map[string]int{"exitCode": 0}},
		uistream.Chunk{Type: uistream.ToolOutputError, ToolCallID: "d", ErrorText: "gone"},
		uistream.Chunk{Type: uistream.StartStep},
		uistream.Chunk{Type: uistream.SteeringMessage, ID: "s", Parts: []uistream.Part{{Type: "text", Text: "and test it"}}},
		uistream.Chunk{Type: uistream.Finish, FinishReason: "stop", MessageMetadata: map[string]any{"usage": map[string]int{"output": 2}}})
	l.Close()

	fresh := uistream.NewLog()
	from := uistream.FromMessage
	for {
		events, next, err := l.Read(t.Context(), from)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			var c uistream.Chunk
			if err := json.Unmarshal(bytes.TrimPrefix(e, []byte("data: ")), &c); err != nil {
				t.Fatal(err)
			}
			fill(t, fresh, c)
		}
		from = next
	}
	if diff := cmp.Diff(encoded(t, l.Message()), encoded(t, fresh.Message())); diff != "" {
		t.Error(diff)
	}
	want := `{"id":"m","role":"assistant","metadata":{"model":"x","usage":{"input":1,"output":2}},"parts":[
		{"type":"step-start"},{"type":"text","text":"I run it.","state":"done"},{"type":"reasoning","id":"r","text":"","state":"done"},
		{"type":"tool-runCommand","state":"output-available","toolCallId":"c","title":"Run it","input":{"command":"make"},"output":{"exitCode":0},
			"providerExecuted":true,"approval":{"id":"a","requestReason":"It runs a command.","approved":true,"reason":"always"}},
		{"type":"tool-glob","state":"output-error","toolCallId":"e","input":"{","errorText":"no JSON","providerExecuted":true},
		{"type":"dynamic-tool","state":"output-error","toolName":"docs","toolCallId":"d","input":{},"errorText":"gone"},
		{"type":"data-plan","id":"p","data":[1]},{"type":"step-start"},
		{"type":"steering-message","id":"s","parts":[{"type":"text","text":"and test it"}]}]}`
	var a, b any
	_, _ = json.Unmarshal([]byte(want), &a), json.Unmarshal([]byte(encoded(t, l.Message())), &b)
	if diff := cmp.Diff(a, b); diff != "" {
		t.Error(diff)
	}
	kept, err := uistream.ParseMessage(json.RawMessage(encoded(t, l.Message())))
	if err != nil || encoded(t, kept) != encoded(t, l.Message()) {
		t.Errorf("stored and read it is another: %v", err)
	}
}

func encoded(t testing.TB, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestLog_ReadersOfAnyPaceReadTheSame(t *testing.T) {
	l := uistream.NewLog()
	var readers sync.WaitGroup
	results := make([]uistream.Message, 4)
	for i := range results {
		readers.Go(func() {
			b, from := uistream.NewBuilder(), uistream.FromStart
			for {
				frames, next, err := l.Read(context.Background(), from)
				if errors.Is(err, io.EOF) {
					break
				}
				for _, f := range frames {
					var c uistream.Chunk
					if json.Unmarshal(bytes.TrimPrefix(f, []byte("data: ")), &c) != nil || b.Apply(c) != nil {
						return
					}
				}
				for range i * 100 {
					runtime.Gosched()
				}
				from = next
			}
			results[i] = b.Message()
		})
	}
	fill(t, l, uistream.Chunk{Type: uistream.Start, MessageID: "m"}, uistream.Chunk{Type: uistream.TextStart, ID: "long"})
	for i := range 500 {
		fill(t, l, uistream.Chunk{Type: uistream.TextDelta, ID: "long", Delta: fmt.Sprint(i, " ")})
		fill(t, l, uistream.Chunk{Type: uistream.Data("terminal"), Data: i, Transient: true})
		if i%7 == 0 {
			fill(t, l, text(fmt.Sprint(i), "a few words more")...)
		}
	}
	fill(t, l, uistream.Chunk{Type: uistream.Finish})
	l.Close()
	readers.Wait()
	for i, m := range results {
		if diff := cmp.Diff(encoded(t, l.Message()), encoded(t, m)); diff != "" {
			t.Errorf("reader %d: %s", i, diff)
		}
	}
}

func TestLog_AReaderThatIsGoneIsLetGo(t *testing.T) {
	l := uistream.NewLog()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := l.Read(ctx, uistream.FromStart); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
