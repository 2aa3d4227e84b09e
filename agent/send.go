package agent

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/kalpana-dev/kalpana/agent/approval"
	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/workspace"
)

// Answer is a person's word on a call that waits for it.
type Answer struct {
	ApprovalID string
	Approved   bool
	Reason     string // for the model, of a call that is not approved
	Always     bool   // calls like this one need no word any more, in this chat
}

// Output is a person's answer to a question of the agent's (the tool "ask").
type Output struct {
	CallID string
	Output json.RawMessage
}

// The triggers of a Send, as the AI SDK names them.
const (
	TriggerSubmit     = "submit-message"
	TriggerRegenerate = "regenerate-message"
)

// Send is what a person sends to a chat. It is one of four: a message (Text), answers (Approvals, Outputs), the wish
// for another answer (Trigger), or the wish that it goes on (Continue).
type Send struct {
	Chat      string // 1 to 64 letters, digits, "-" and "_"; a chat that does not exist is made
	Workspace workspace.ID
	Person    Person
	Trigger   string // "" is TriggerSubmit
	// MessageID is, with Text, the id that the client gave to the new message: "" has the service choose one, and that
	// of a message in the history replaces it and what came after it. With TriggerRegenerate it is the answer that is
	// to be given anew, or the message that is to be answered anew; "" is the last answer.
	MessageID string
	Text      string
	Approvals []Answer
	Outputs   []Output
	// Model, Mode and Effort are the chat's from now on; "" leaves them. Plan is of this run alone.
	Model  string
	Mode   approval.Mode
	Effort string
	Plan   bool
	// Continue goes on after an interruption or an error.
	Continue bool
}

// MaxRuns bounds the runs of one person that are under way in a gateway.
const MaxRuns = 20

// Limits of what a person sends, in bytes.
const (
	maxText    = 128 << 10
	maxReason  = 4 << 10
	maxOutput  = 64 << 10
	maxAnswers = 100
	maxTitle   = 80 // characters
)

var validID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

// check refuses what no chat could take.
func (m *Send) check() error {
	if m.Trigger == "" {
		m.Trigger = TriggerSubmit
	}
	m.Text = strings.ToValidUTF8(strings.ReplaceAll(m.Text, "\x00", ""), "\uFFFD")
	things := 0
	for _, is := range []bool{
		strings.TrimSpace(m.Text) != "", len(m.Approvals)+len(m.Outputs) > 0, m.Trigger == TriggerRegenerate, m.Continue,
	} {
		if is {
			things++
		}
	}
	switch {
	case !validID.MatchString(m.Chat):
		return invalid("the id of a chat has 1 to 64 letters, digits, “-” and “_”")
	case m.MessageID != "" && !validID.MatchString(m.MessageID):
		return invalid("the id of a message has 1 to 64 letters, digits, “-” and “_”")
	case m.Person.ID == "":
		return invalid("there is no person")
	case m.Trigger != TriggerSubmit && m.Trigger != TriggerRegenerate:
		return invalid("there is no such trigger")
	case things == 0:
		return invalid("the message is empty; write something")
	case things > 1:
		return invalid("a message, answers, another try and going on are sent one at a time")
	case len(m.Text) > maxText:
		return invalid("the message is longer than %d KiB; put it in a file of the workspace, and name the file", maxText>>10)
	case len(m.Approvals) > maxAnswers || len(m.Outputs) > maxAnswers:
		return invalid("those are too many answers")
	}
	for _, a := range m.Approvals {
		if len(a.Reason) > maxReason {
			return invalid("the reason is longer than %d KiB", maxReason>>10)
		}
	}
	outputs := 0
	for _, o := range m.Outputs {
		if outputs += len(o.Output); outputs > maxOutput || !json.Valid(o.Output) {
			return invalid("answers are JSON of at most %d KiB", maxOutput>>10)
		}
	}
	if err := checkMode(m.Mode); err != nil {
		return err
	}
	switch m.Effort {
	case "", "low", "medium", "high":
	default:
		return invalid("the effort is low, medium or high")
	}
	return nil
}

func checkMode(mode approval.Mode) error {
	switch mode {
	case "", approval.AskAll, approval.AskWrites, approval.AskNone:
		return nil
	}
	return invalid("a mode is %s, %s or %s", approval.AskAll, approval.AskWrites, approval.AskNone)
}

// Send begins a run, or goes on with one that waits. The run goes on when ctx ends. What is wrong with it is ErrInvalid,
// ErrUnknownModel, ErrNotFound (the chat is somebody else's, or of another workspace), ErrRunning, ErrTooManyRuns,
// ErrNothingPending, ErrAnswered or ErrClosed.
func (s *Service) Send(ctx context.Context, send Send) (*Run, error) {
	if err := send.check(); err != nil {
		return nil, err
	}
	if err := s.take(send.Chat); err != nil {
		if errors.Is(err, ErrRunning) { // whose it is comes first
			if c, err := s.chat(ctx, send.Chat); err == nil && c.Person != send.Person.ID {
				return nil, ErrNotFound
			}
		}
		return nil, err
	}
	defer s.giveUp(send.Chat)
	if s.runsOf(send.Person.ID) >= MaxRuns {
		return nil, ErrTooManyRuns
	}
	// What is written must not be left half done since a browser hung up.
	ctx = context.WithoutCancel(ctx)
	for tries := 0; ; tries++ {
		b := &beginning{s: s, cfg: s.config(), send: send}
		b.now = b.cfg.Now().UTC().Truncate(time.Microsecond)
		r, err := b.run(ctx)
		if errors.Is(err, errRaced) {
			if tries < 5 {
				continue
			}
			return nil, ErrRunning
		}
		return r, err
	}
}

// errRaced: the chat was changed by another while a run was about to begin.
var errRaced = errors.New("the chat was changed meanwhile")

// newID returns an id that no other has.
func newID(kind string) string { return kind + "-" + strings.ToLower(rand.Text()[:20]) }

// titleOf makes a chat's title of its first message: the first line that says something.
func titleOf(text string) string {
	for line := range strings.Lines(text) {
		line = strings.Join(strings.Fields(line), " ")
		line = strings.TrimLeft(line, "#*->` ")
		if line == "" {
			continue
		}
		return cleanTitle(line)
	}
	return "Chat"
}

// cleanTitle returns a title as people may see it.
func cleanTitle(title string) string {
	title = strings.TrimSpace(bridge.Printable(title, 4*maxTitle))
	if utf8.RuneCountInString(title) > maxTitle {
		title = strings.TrimSpace(string([]rune(title)[:maxTitle-1])) + "…"
	}
	return title
}
