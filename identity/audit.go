package identity

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/kalpana-dev/kalpana/workspace"
)

// The actions of the audit log.
const (
	ActionSignIn        = "sign-in"
	ActionSignOut       = "sign-out"
	ActionRefusal       = "refusal" // somebody asked for what is not theirs
	ActionGrant         = "grant"   // a browser may open a workspace host from now on
	ActionShareChange   = "share-change"
	ActionTokenUse      = "token-use"
	ActionTokenCreate   = "token-create"
	ActionTokenRevoke   = "token-revoke"
	ActionSessionRevoke = "session-revoke"
	ActionInvitation    = "invitation"
	ActionConnect       = "connect" // an account became a way in for the person
	ActionDisconnect    = "disconnect"
	ActionCreate        = "create" // of a workspace, as the next ones
	ActionRename        = "rename"
	ActionStart         = "start"
	ActionStop          = "stop"
	ActionPause         = "pause"
	ActionRestart       = "restart"
	ActionRebuild       = "rebuild"
	ActionKeepAwake     = "keep-awake"
	ActionSchedule      = "schedule"
	ActionDelete        = "delete"
	ActionAgentRun      = "agent-run"
	ActionGitCredential = "git-credential" //nolint:gosec // a workspace signed in at a git server
	ActionModelKey      = "model-key"      // a person's own key for the agent was set or removed
	ActionAdmin         = "admin"          // an admin changed what concerns others
)

// The outcomes of what somebody tried.
const (
	OutcomeOK      = "ok"
	OutcomeRefused = "refused"
)

// AuditKeep is how long events are kept by default.
const AuditKeep = 90 * 24 * time.Hour

const (
	auditDelay    = 300 * time.Millisecond // an event waits so long for others to be written with
	auditRetry    = 2 * time.Second        // between attempts while the store refuses
	auditFlush    = 5 * time.Second        // what is left when Run ends may take
	auditBatch    = 256                    // events in one write
	auditQueue    = 16 << 10               // events that wait for the store, at most
	refusalBudget = 60                     // refusals of one person, or of all strangers, a minute

	// Lengths in bytes, after escaping.
	maxWord      = 128
	maxUserAgent = 256
	maxDetail    = 1 << 10
)

// audit is the audit log's way into the store.
type audit struct {
	mu       sync.Mutex
	last     int64 // microseconds in the newest id
	queue    []AuditEvent
	lost     int            // events that found no room since it was last said
	minute   int64          // that refusals counts
	refusals map[string]int // by person, "" for strangers
	unsaid   int            // refusals beyond the budget since it was last said

	wake    chan struct{} // has room for one
	writing sync.Mutex    // held while a batch is on its way
}

// Audit records that something was done, or refused: as a line of the log at once, and in the
// store soon after. It waits for nothing. It fills ID, At, and what is empty of Outcome ("ok"),
// Address and UserAgent (see [WithClient]). Text that came from outside is cut and escaped, so that
// it can neither flood the log nor forge a line (CVE-2026-54338 of JupyterHub).
func (s *Service) Audit(ctx context.Context, e AuditEvent) {
	client := clientFrom(ctx)
	if e.Address == "" {
		e.Address = client.Address
	}
	if e.UserAgent == "" {
		e.UserAgent = client.UserAgent
	}
	if e.Outcome == "" {
		e.Outcome = OutcomeOK
	}
	for _, word := range []*string{&e.Action, &e.Outcome, &e.Person, &e.Via, (*string)(&e.Workspace), &e.Address} {
		*word = escape(*word, maxWord)
	}
	e.UserAgent, e.Detail = escape(e.UserAgent, maxUserAgent), escape(e.Detail, maxDetail)
	e.At = s.cfg.Now().UTC().Truncate(time.Microsecond)
	if !s.audit.add(&e) {
		return
	}
	s.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "audit",
		slog.String("id", e.ID), slog.Time("at", e.At), slog.String("action", e.Action), slog.String("outcome", e.Outcome),
		slog.String("person", e.Person), slog.String("via", e.Via), slog.String("workspace", string(e.Workspace)),
		slog.String("address", e.Address), slog.String("user_agent", e.UserAgent), slog.String("detail", e.Detail))
}

// add names the event and queues it. It reports false for a refusal that is one too many: whoever
// is refused could fill the disk otherwise.
func (a *audit) add(e *AuditEvent) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e.Outcome == OutcomeRefused {
		if minute := e.At.Unix() / 60; minute != a.minute || a.refusals == nil {
			a.minute, a.refusals = minute, map[string]int{}
		}
		if a.refusals[e.Person]++; a.refusals[e.Person] > refusalBudget {
			a.unsaid++
			a.knock()
			return false
		}
	}
	a.last = max(e.At.UnixMicro(), a.last+1)
	e.ID = auditID(a.last)
	if len(a.queue) >= auditQueue {
		a.queue = append(a.queue[:0], a.queue[auditBatch:]...) // many at once: each costs a copy
		a.lost += auditBatch
	}
	a.queue = append(a.queue, *e)
	a.knock()
	return true
}

func (a *audit) knock() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

var sortable = base32.HexEncoding.WithPadding(base32.NoPadding)

// auditID returns 26 characters that sort by time: 13 of microseconds, 13 of chance.
func auditID(micros int64) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(micros)) //nolint:gosec // after 1970
	at := sortable.EncodeToString(b[:])
	_, _ = rand.Read(b[:])
	return strings.ToLower(at + sortable.EncodeToString(b[:]))
}

// escape returns text in printable characters and at most limit bytes. What does not print, or is
// no UTF-8, becomes an escape of Go; a backslash is doubled, so that the escapes are unambiguous.
func escape(text string, limit int) string {
	plain := len(text) <= limit
	for i := 0; plain && i < len(text); i++ {
		plain = text[i] >= ' ' && text[i] < 0x7f && text[i] != '\\'
	}
	if plain {
		return text
	}
	const more = "…"
	var out []byte
	room := 0 // length of out up to where the mark of a cut still fits
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size == 1:
			out = fmt.Appendf(out, `\x%02x`, text[0])
		case r == '\\':
			out = append(out, `\\`...)
		case unicode.IsPrint(r):
			out = utf8.AppendRune(out, r)
		case r <= 0xffff:
			out = fmt.Appendf(out, `\u%04x`, r)
		default:
			out = fmt.Appendf(out, `\U%08x`, r)
		}
		if len(out) > limit {
			return string(out[:room]) + more
		}
		if len(out) <= limit-len(more) {
			room = len(out)
		}
		text = text[size:]
	}
	return string(out)
}

// write tells the store of events and of uses of tokens and sessions until ctx ends, and of what is left then.
func (s *Service) write(ctx context.Context) {
	for failing := false; ; {
		wait := auditDelay
		if failing {
			wait = auditRetry
		} else {
			select {
			case <-s.audit.wake:
			case <-ctx.Done():
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditFlush)
			defer cancel()
			_ = s.flushUses(last)
			_ = s.flushSessions(last)
			if err := s.flushAudit(last); err != nil {
				s.cfg.Log.Error("the last events of the audit log could not be stored; they stand in this log alone", "error", err)
			}
			return
		}
		write, cancel := context.WithTimeout(ctx, pollTimeout)
		err := s.flushAudit(write)
		if err == nil {
			_ = s.flushUses(write)
			_ = s.flushSessions(write)
		}
		cancel()
		if ctx.Err() == nil && (err != nil) != failing {
			failing = err != nil
			if failing {
				s.cfg.Log.Error("the audit log cannot be stored; its events wait in memory", "error", err)
			} else {
				s.cfg.Log.Info("the audit log can be stored again")
			}
		}
	}
}

// flushAudit writes what is queued now.
func (s *Service) flushAudit(ctx context.Context) error {
	a := &s.audit
	a.writing.Lock()
	defer a.writing.Unlock()
	defer s.sayLost()
	for {
		a.mu.Lock()
		batch := append([]AuditEvent(nil), a.queue[:min(len(a.queue), auditBatch)]...)
		a.mu.Unlock()
		if len(batch) == 0 {
			return nil
		}
		if err := s.cfg.Store.AppendAudit(ctx, batch...); err != nil {
			return err
		}
		a.mu.Lock()
		written := 0 // some of the batch may have made room for others meanwhile
		for written < len(a.queue) && a.queue[written].ID <= batch[len(batch)-1].ID {
			written++
		}
		a.queue = append(a.queue[:0], a.queue[written:]...)
		a.mu.Unlock()
	}
}

// sayLost tells of events that the store will never have.
func (s *Service) sayLost() {
	a := &s.audit
	a.mu.Lock()
	lost, unsaid := a.lost, a.unsaid
	a.lost, a.unsaid = 0, 0
	a.mu.Unlock()
	if lost > 0 {
		s.cfg.Log.Error("events of the audit log were dropped from the store's queue, since the store did not take them; they stand in this log alone", "events", lost)
	}
	if unsaid > 0 {
		s.cfg.Log.Warn("refusals were too many to record each", "events", unsaid, "a_minute", refusalBudget)
	}
}

// AuditEvents returns what q selects of the audit log, newest first, with everything that this
// gateway recorded before.
func (s *Service) AuditEvents(ctx context.Context, q AuditQuery) ([]AuditEvent, error) {
	if err := s.flushAudit(ctx); err != nil {
		return nil, err
	}
	return s.cfg.Store.Audit(ctx, q)
}

// Event returns what the audit log says of an action of the caller's.
func (c Caller) Event(action string, id workspace.ID) AuditEvent {
	return AuditEvent{Action: action, Person: c.Person.ID, Via: c.Via(), Workspace: id}
}

// Via returns by what right the caller acts.
func (c Caller) Via() string {
	if c.Token != nil {
		return c.Token.via()
	}
	return "session"
}
