package agent

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/agent/approval"
	"github.com/kalpana-dev/kalpana/agent/model"
	"github.com/kalpana-dev/kalpana/agent/tools"
	"github.com/kalpana-dev/kalpana/agent/uistream"
	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/workspace"
)

// memStore is a Store in memory: a real one may not be in a bubble of synctest, since it waits for the disk.
type memStore struct {
	mu       sync.Mutex
	chats    map[string]Chat
	messages map[string][]Message
	fail     error // what every write returns
	puts     int
}

func newMemStore() *memStore {
	return &memStore{chats: map[string]Chat{}, messages: map[string][]Message{}}
}

func (s *memStore) CreateChat(_ context.Context, c *Chat) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	if _, ok := s.chats[c.ID]; ok {
		return workspace.ErrConflict
	}
	c.Revision, c.UpdatedAt = 1, time.Now()
	s.chats[c.ID] = *c
	return nil
}

func (s *memStore) Chat(_ context.Context, id string) (*Chat, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.chats[id]
	if !ok {
		return nil, workspace.ErrNotFound
	}
	return &c, nil
}

func (s *memStore) Chats(_ context.Context, id workspace.ID, person string) ([]*Chat, error) {
	return s.find(func(c *Chat) bool {
		return (id == "" || c.Workspace == id) && (person == "" || c.Person == person)
	}), nil
}

func (s *memStore) RunningChats(context.Context) ([]*Chat, error) {
	return s.find(func(c *Chat) bool { return c.State == StateRunning }), nil
}

func (s *memStore) find(match func(*Chat) bool) []*Chat {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*Chat
	for _, c := range s.chats {
		if match(&c) {
			found = append(found, &c)
		}
	}
	slices.SortFunc(found, func(a, b *Chat) int { return b.UpdatedAt.Compare(a.UpdatedAt) })
	return found
}

func (s *memStore) UpdateChat(_ context.Context, c *Chat) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	old, ok := s.chats[c.ID]
	switch {
	case !ok:
		return workspace.ErrNotFound
	case old.Revision != c.Revision:
		return workspace.ErrConflict
	}
	c.Revision++
	c.UpdatedAt = time.Now()
	s.chats[c.ID] = *c
	return nil
}

func (s *memStore) DeleteChat(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.chats, id)
	delete(s.messages, id)
	return nil
}

func (s *memStore) PutMessage(_ context.Context, m *Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	if !json.Valid(m.UI) || !json.Valid(m.Model) {
		return errors.New("that is no JSON")
	}
	if len(m.UI)+len(m.Model) > 8<<20 {
		return errors.New("the message is too large")
	}
	s.puts++
	all := s.messages[m.Chat]
	if i := slices.IndexFunc(all, func(o Message) bool { return o.ID == m.ID }); i >= 0 {
		all[i] = *m
		return nil
	}
	if slices.ContainsFunc(all, func(o Message) bool { return o.Seq == m.Seq }) {
		return errors.New("two messages in one place")
	}
	all = append(all, *m)
	slices.SortFunc(all, func(a, b Message) int { return cmp.Compare(a.Seq, b.Seq) })
	s.messages[m.Chat] = all
	return nil
}

func (s *memStore) Messages(_ context.Context, chat string) ([]*Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*Message
	for _, m := range s.messages[chat] {
		all = append(all, &m)
	}
	return all, nil
}

func (s *memStore) CutMessages(_ context.Context, chat string, from int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages[chat] = slices.DeleteFunc(s.messages[chat], func(m Message) bool { return m.Seq >= from })
	return nil
}

// clone returns a store as a gateway finds it that starts now, e.g. after a kill.
func (s *memStore) clone() *memStore {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := newMemStore()
	for id, chat := range s.chats {
		c.chats[id] = chat
		c.messages[id] = slices.Clone(s.messages[id])
	}
	return c
}

// fakeModel plays a script: each answer is a function of the request.
type fakeModel struct {
	t       testing.TB
	mu      sync.Mutex
	script  []func(ctx context.Context, req *model.Request, show func(model.Delta)) (*model.Response, error)
	asked   []*model.Request
	offered []model.Info
}

func (m *fakeModel) Models(context.Context) ([]model.Info, error) { return m.offered, nil }

func (m *fakeModel) Stream(ctx context.Context, req *model.Request, show func(model.Delta)) (*model.Response, error) {
	if err := checkRequest(req.Messages); err != nil {
		m.t.Errorf("the model was sent what a provider refuses: %v", err)
	}
	m.mu.Lock()
	m.asked = append(m.asked, req)
	if len(m.script) == 0 {
		m.mu.Unlock()
		return nil, &model.Error{Kind: model.KindProvider, Message: "The script is at its end."}
	}
	play := m.script[0]
	m.script = m.script[1:]
	m.mu.Unlock()
	return play(ctx, req, show)
}

func (m *fakeModel) requests() []*model.Request {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.asked)
}

type play = func(ctx context.Context, req *model.Request, show func(model.Delta)) (*model.Response, error)

func (m *fakeModel) plays(p ...play) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.script = append(m.script, p...)
}

// says is an answer without calls.
func says(text string) play { return answers(text) }

// answers is an answer with calls, streamed in small pieces.
func answers(text string, calls ...model.Call) play {
	return func(ctx context.Context, req *model.Request, show func(model.Delta)) (*model.Response, error) {
		for piece := range strings.SplitAfterSeq(text, " ") {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			show(model.Delta{Text: piece})
		}
		for i, c := range calls {
			show(model.Delta{Call: &model.CallDelta{Index: i, CallID: c.ID, Name: c.Name}})
			for rest := c.Arguments; rest != ""; {
				n := min(len(rest), 7)
				show(model.Delta{Call: &model.CallDelta{Index: i, Arguments: rest[:n]}})
				rest = rest[n:]
			}
		}
		finish := model.FinishStop
		if len(calls) > 0 {
			finish = model.FinishToolCalls
		}
		return &model.Response{
			Message: model.Message{Role: model.Assistant, Text: text, Calls: slices.Clone(calls)}, Finish: finish, Model: req.Models[0],
			Usage: model.Usage{Input: 100, Output: 10, Cost: 1000, Priced: true},
		}, nil
	}
}

// fails is an answer that breaks off after some text.
func fails(text string, err error) play {
	return func(_ context.Context, _ *model.Request, show func(model.Delta)) (*model.Response, error) {
		if text != "" {
			show(model.Delta{Text: text})
		}
		return nil, err
	}
}

// hangs says something and goes on until it is stopped.
func hangs(text string) play {
	return func(ctx context.Context, _ *model.Request, show func(model.Delta)) (*model.Response, error) {
		show(model.Delta{Text: text})
		<-ctx.Done()
		return nil, ctx.Err()
	}
}

func aCall(id, name, arguments string) model.Call {
	return model.Call{ID: id, Name: name, Arguments: arguments}
}

// checkRequest reports what a provider would refuse of a request.
func checkRequest(messages []model.Message) error {
	if n := len(messages); n == 0 || messages[n-1].Role == model.Assistant {
		return errors.New("there is nothing to answer")
	}
	return checkConversation(messages)
}

// checkConversation reports what a provider would refuse of messages.
func checkConversation(messages []model.Message) error {
	open := map[string]bool{}
	seen := map[string]bool{}
	for i, m := range messages {
		if m.Role != model.ToolRole && len(open) > 0 {
			return fmt.Errorf("message %d comes before the answers of %d calls", i, len(open))
		}
		switch m.Role {
		case model.System, model.User:
			if strings.TrimSpace(m.Text) == "" {
				return fmt.Errorf("message %d is empty", i)
			}
		case model.Assistant:
			if strings.TrimSpace(m.Text) == "" && len(m.Calls) == 0 {
				return fmt.Errorf("message %d is empty", i)
			}
			for _, c := range m.Calls {
				switch {
				case !validCallID.MatchString(c.ID) || !validName.MatchString(c.Name):
					return fmt.Errorf("message %d: a call %q of %q", i, c.ID, c.Name)
				case seen[c.ID]:
					return fmt.Errorf("message %d: two calls have the id %q", i, c.ID)
				case !json.Valid([]byte(c.Arguments)) || c.Arguments[0] != '{':
					return fmt.Errorf("message %d: the arguments are %q", i, c.Arguments)
				}
				seen[c.ID], open[c.ID] = true, true
			}
		case model.ToolRole:
			if !open[m.CallID] {
				return fmt.Errorf("message %d answers %q, which is not open", i, m.CallID)
			}
			if m.Text == "" {
				return fmt.Errorf("message %d is an empty answer", i)
			}
			delete(open, m.CallID)
		default:
			return fmt.Errorf("message %d is of %q", i, m.Role)
		}
	}
	if len(open) > 0 {
		return fmt.Errorf("%d calls at the end have no answer", len(open))
	}
	return nil
}

// stage is a service with all that it needs.
type stage struct {
	*Service
	t     *testing.T
	model *fakeModel
	store *memStore
	cfg   Config
	did   *diary
}

// diary notes what the tools were told to do.
type diary struct {
	mu    sync.Mutex
	notes []string
}

func (d *diary) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.notes = append(d.notes, fmt.Sprintf(format, args...))
}

func (d *diary) all() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.notes)
}

const aWorkspace = workspace.ID("abcdefghij")

var ada = Person{ID: "ada", Name: "Ada", Email: "ada@example.com"}

// tool returns one that notes its calls, and answers with them.
func (d *diary) tool(name string, reads bool) tools.Tool {
	return tools.Tool{
		Name: name, Description: "Does something.", Parameters: json.RawMessage(`{"type":"object"}`), Reads: reads,
		Title: func(json.RawMessage) string { return "Do " + name },
		Run: func(_ context.Context, _ *tools.Env, c tools.Call) (*tools.Result, error) {
			d.note("%s %s", name, c.Input)
			return &tools.Result{Text: name + " did " + string(c.Input), Output: map[string]string{"did": name}}, nil
		},
	}
}

// decide asks for what changes something, unless the mode or a rule on the tool's name says otherwise.
func decide(c approval.Call, mode approval.Mode, rules ...approval.Rule) approval.Decision {
	verdict := approval.Verdict("")
	for _, r := range rules {
		if r.Tool == c.Tool && (verdict == "" || r.Verdict == approval.Deny) {
			verdict = r.Verdict
		}
	}
	switch {
	case verdict != "":
	case c.Tool == "todo" || mode == approval.AskNone || mode == approval.AskWrites && c.Reads:
		verdict = approval.Allow
	default:
		verdict = approval.Ask
	}
	return approval.Decision{
		Verdict: verdict, Reason: "It is " + c.Tool + ".", Suggest: []approval.Rule{{Tool: c.Tool, Verdict: approval.Allow}},
	}
}

func newStage(t *testing.T, change ...func(*Config)) *stage {
	t.Helper()
	return newStageOn(t, newMemStore(), change...)
}

func newStageOn(t *testing.T, store *memStore, change ...func(*Config)) *stage {
	t.Helper()
	s := &stage{t: t, store: store, did: &diary{}}
	s.model = &fakeModel{t: t, offered: []model.Info{{ID: "maker/one", Context: 100_000}, {ID: "maker/two"}}}
	s.cfg = Config{
		Store: store, Model: s.model, Decide: decide, Holder: "gateway-1", Log: slog.New(slog.DiscardHandler),
		Tools: []tools.Tool{s.did.tool("readFile", true), s.did.tool("searchCode", true), s.did.tool("writeFile", false), s.did.tool("runCommand", false)},
		Bridge: func(context.Context, workspace.ID) (*bridge.Client, error) {
			return nil, errors.New("there is no bridge")
		},
		Find: func(_ context.Context, id workspace.ID) (*workspace.Workspace, error) {
			return &workspace.Workspace{ID: id, State: workspace.StateStopped, Repository: "https://git.example.com/a/b"}, nil
		},
	}
	for _, c := range change {
		c(&s.cfg)
	}
	s.Service = New(s.cfg)
	t.Cleanup(s.Close)
	return s
}

// send sends and waits for the end of the run, whose chunks it returns.
func (s *stage) send(send Send) []uistream.Chunk {
	s.t.Helper()
	return s.wait(s.begin(send))
}

func (s *stage) begin(send Send) *Run {
	s.t.Helper()
	r, err := s.try(send)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (s *stage) try(send Send) (*Run, error) {
	if send.Chat == "" {
		send.Chat = "chat"
	}
	if send.Person.ID == "" {
		send.Person = ada
	}
	if send.Workspace == "" {
		send.Workspace = aWorkspace
	}
	return s.Send(context.Background(), send)
}

func (s *stage) wait(r *Run) []uistream.Chunk {
	s.t.Helper()
	select {
	case <-r.Done():
	case <-time.After(time.Minute):
		s.t.Fatal("the run does not end")
	}
	chunks := readAll(s.t, r, uistream.FromStart)
	checkStream(s.t, readAll(s.t, r, uistream.FromMessage))
	return chunks
}

// readAll returns the chunks of a run that has ended.
func readAll(t *testing.T, r *Run, from int) (chunks []uistream.Chunk) {
	t.Helper()
	for {
		frames, next, err := r.Log().Read(t.Context(), from)
		if errors.Is(err, io.EOF) {
			return chunks
		}
		if err != nil {
			t.Fatal(err)
		}
		from = next
		for _, f := range frames {
			var c uistream.Chunk
			if err := json.Unmarshal(bytes.TrimPrefix(f, []byte("data: ")), &c); err != nil {
				t.Fatalf("%v in %s", err, f)
			}
			chunks = append(chunks, c)
		}
	}
}

// checkStream checks the rules of the client: what it would throw at, and what it would show as unfinished for ever.
func checkStream(t *testing.T, chunks []uistream.Chunk) {
	t.Helper()
	open := map[string]bool{}
	calls := map[string]string{} // by id: streaming, input, asked, responded, done
	names := map[string]string{}
	approvals := map[string]string{}
	ended := ""
	for i, c := range chunks {
		bad := func(format string, args ...any) {
			t.Helper()
			t.Errorf("chunk %d, %s: %s", i, c.Type, fmt.Sprintf(format, args...))
		}
		if ended != "" {
			bad("after %s", ended)
		}
		if i == 0 && c.Type != uistream.Start {
			bad("is the first")
		}
		switch c.Type {
		case uistream.TextStart, uistream.ReasoningStart:
			if open[c.ID] {
				bad("%s is open already", c.ID)
			}
			open[c.ID] = true
		case uistream.TextDelta, uistream.ReasoningDelta:
			if !open[c.ID] {
				bad("%s is not open", c.ID)
			}
		case uistream.TextEnd, uistream.ReasoningEnd:
			if !open[c.ID] {
				bad("%s is not open", c.ID)
			}
			delete(open, c.ID)
		case uistream.ToolInputStart:
			if calls[c.ToolCallID] != "" {
				bad("%s was there already", c.ToolCallID)
			}
			if c.ToolName == "" {
				bad("has no name")
			}
			calls[c.ToolCallID], names[c.ToolCallID] = "streaming", c.ToolName
		case uistream.ToolInputDelta:
			if calls[c.ToolCallID] != "streaming" {
				bad("%s is %q", c.ToolCallID, calls[c.ToolCallID])
			}
		case uistream.ToolInputAvailable, uistream.ToolInputError:
			if s := calls[c.ToolCallID]; s != "" && s != "streaming" {
				bad("%s is %q", c.ToolCallID, s)
			}
			if n := names[c.ToolCallID]; n != "" && n != c.ToolName {
				bad("was %s and is %s", n, c.ToolName)
			}
			if !json.Valid(c.Input) {
				bad("the input is %s", c.Input)
			}
			calls[c.ToolCallID] = "input"
			if c.Type == uistream.ToolInputError {
				calls[c.ToolCallID] = "done"
			}
		case uistream.ToolApprovalRequest:
			if calls[c.ToolCallID] != "input" {
				bad("%s is %q", c.ToolCallID, calls[c.ToolCallID])
			}
			approvals[c.ApprovalID], calls[c.ToolCallID] = c.ToolCallID, "asked"
		case uistream.ToolApprovalResponse:
			id := approvals[c.ApprovalID]
			if calls[id] != "asked" {
				bad("%s is %q", id, calls[id])
			}
			calls[id] = "responded"
		case uistream.ToolOutputAvailable, uistream.ToolOutputError, uistream.ToolOutputDenied:
			if s := calls[c.ToolCallID]; s == "" || s == "done" {
				bad("%s is %q", c.ToolCallID, s)
			}
			if !c.Preliminary {
				calls[c.ToolCallID] = "done"
			}
		case uistream.Finish, uistream.Abort, uistream.ErrorType:
			ended = string(c.Type)
			if len(open) > 0 {
				bad("%v are open", open)
			}
			for id, state := range calls {
				waits := c.Type == uistream.Finish && c.FinishReason == uistream.FinishToolCalls
				if state != "done" && (!waits || state == "streaming") {
					bad("call %s is %q", id, state)
				}
			}
		}
	}
	if ended == "" {
		t.Error("the stream has no end")
	}
}

// Looking at chunks.

func last(chunks []uistream.Chunk) uistream.Chunk { return chunks[len(chunks)-1] }

func ofType(chunks []uistream.Chunk, typ uistream.Type) (found []uistream.Chunk) {
	for _, c := range chunks {
		if c.Type == typ {
			found = append(found, c)
		}
	}
	return found
}

func textOf(chunks []uistream.Chunk) string {
	var b strings.Builder
	for _, c := range ofType(chunks, uistream.TextDelta) {
		b.WriteString(c.Delta)
	}
	return b.String()
}

func (s *stage) state() State {
	s.t.Helper()
	c, err := s.Chat(s.t.Context(), "ada", "chat")
	if err != nil {
		s.t.Fatal(err)
	}
	return c.State
}

// shown returns the messages of the chat as people have them.
func (s *stage) shown() (messages []uistream.Message) {
	s.t.Helper()
	all, err := s.Messages(s.t.Context(), "ada", "chat")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, text := range all {
		m, err := uistream.ParseMessage(text)
		if err != nil {
			s.t.Fatal(err)
		}
		messages = append(messages, m)
	}
	return messages
}

// toolAnswers returns what the model was told of calls in its last request, by call.
func (s *stage) toolAnswers() map[string]string {
	s.t.Helper()
	all := s.model.requests()
	if len(all) == 0 {
		s.t.Fatal("the model was not asked")
	}
	answers := map[string]string{}
	for _, m := range all[len(all)-1].Messages {
		if m.Role == model.ToolRole {
			answers[m.CallID] = m.Text
		}
	}
	return answers
}
