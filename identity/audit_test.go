package identity_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

// logBook is a log as an operator has it, a JSON object a line.
type logBook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBook) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(l, nil)) }

// lines returns those with the given message, or all for "".
func (l *logBook) lines(t *testing.T, message string) (list []map[string]any) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if message == "" || fields["msg"] == message {
			list = append(list, fields)
		}
	}
	return list
}

// events returns the whole audit log, oldest first.
func events(t *testing.T, s *identity.Service, q identity.AuditQuery) []identity.AuditEvent {
	t.Helper()
	list, err := s.AuditEvents(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(list)
	return list
}

// from returns a context as of a request from that address.
func from(s *identity.Service, address, userAgent string, cookies ...*http.Cookie) context.Context {
	r := request("/", cookies...)
	r.RemoteAddr = address
	r.Header.Set("User-Agent", userAgent)
	return identity.WithClient(context.Background(), s.ClientOf(r))
}

func TestAudit_ALineAndARecordSayWhoDidWhatFromWhere(t *testing.T) {
	s, log := newSite(t), new(logBook)
	cfg := s.config()
	cfg.Log = log.logger()
	service := s.service(cfg)
	service.Audit(from(service, "203.0.113.7:4242", "curl/8"), identity.AuditEvent{
		Action: identity.ActionStop, Person: "ann", Via: "session", Workspace: wsA, Detail: "mine",
	})
	got := events(t, service, identity.AuditQuery{})
	if len(got) != 1 || len(got[0].ID) != 26 {
		t.Fatalf("%+v", got)
	}
	want := identity.AuditEvent{
		ID: got[0].ID, At: s.clock.Now(), Action: "stop", Outcome: "ok", Person: "ann", Via: "session", Workspace: wsA,
		Address: "203.0.113.7", UserAgent: "curl/8", Detail: "mine",
	}
	if diff := cmp.Diff(want, got[0]); diff != "" {
		t.Error(diff)
	}
	lines := log.lines(t, "")
	if len(lines) != 1 {
		t.Fatalf("%v", lines)
	}
	delete(lines[0], "time")
	wantLine := map[string]any{
		"level": "INFO", "msg": "audit", "id": got[0].ID, "at": "2026-03-01T12:00:00Z", "action": "stop", "outcome": "ok", "person": "ann",
		"via": "session", "workspace": string(wsA), "address": "203.0.113.7", "user_agent": "curl/8", "detail": "mine",
	}
	if diff := cmp.Diff(wantLine, lines[0]); diff != "" {
		t.Error(diff)
	}
}

func TestAudit_TheAddressIsTheOneThatATrustedProxyVouchesFor(t *testing.T) {
	s := newSite(t)
	cfg := s.config()
	cfg.ClientAddress = func(r *http.Request) string { return r.Header.Get("X-Test-Client") }
	service := s.service(cfg)
	for vouched, want := range map[string]string{"2001:db8::1": "2001:db8::1", "198.51.100.4": "198.51.100.4", "": "192.0.2.1"} {
		r := request("/")
		r.Header.Set("X-Test-Client", vouched)
		if got := service.ClientOf(r).Address; got != want {
			t.Errorf("%q: %q, want %q", vouched, got, want)
		}
	}
}

func TestAudit_TextFromOutsideIsCutAndEscaped(t *testing.T) {
	s := newSite(t)
	for name, text := range map[string]string{
		"a forged line":    "curl\n{\"msg\":\"audit\",\"action\":\"sign-in\"}\r\n",
		"invalid UTF-8":    "a\xff\xfeb\xc3",
		"a terminal":       "\x1b[31mred\x07\x00\x7f",
		"line separators":  "a\u2028b\u2029c\u0085d",
		"other directions": "a\u202eb\u200b\ufeffc",
		"far away":         "\U000e0001\U0010ffff",
		"backslashes":      `\n\\`,
		"much":             strings.Repeat("x", 100_000),
		"much to escape":   strings.Repeat("\x00", 100_000),
		"much of é":        strings.Repeat("é", 100_000),
	} {
		s.Audit(from(s.Service, text, text), identity.AuditEvent{
			Action: "stop", Person: text, Via: text, Workspace: workspace.ID(text), Detail: text,
		})
		all := events(t, s.Service, identity.AuditQuery{})
		e := all[len(all)-1]
		for field, value := range map[string]struct {
			text  string
			limit int
		}{
			"Person": {e.Person, 128}, "Via": {e.Via, 128}, "Workspace": {string(e.Workspace), 128}, "Address": {e.Address, 128},
			"UserAgent": {e.UserAgent, 256}, "Detail": {e.Detail, 1024},
		} {
			if len(value.text) > value.limit || !utf8.ValidString(value.text) ||
				strings.ContainsFunc(value.text, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%s: %s is %d bytes, %.200q", name, field, len(value.text), value.text)
			}
			if strings.HasPrefix(name, "much") && (!strings.HasSuffix(value.text, "…") || len(value.text) < value.limit-12) {
				t.Errorf("%s: %s is %d bytes and ends in %q", name, field, len(value.text), value.text[max(0, len(value.text)-10):])
			}
		}
		if strings.HasPrefix(name, "back") && e.Detail != `\\n\\\\` {
			t.Errorf("%s: %s", name, e.Detail)
		}
	}
	s.Audit(t.Context(), identity.AuditEvent{Action: "stop", Detail: "héllo — 世界 'x' \"y\""})
	if got := events(t, s.Service, identity.AuditQuery{}); got[len(got)-1].Detail != "héllo — 世界 'x' \"y\"" {
		t.Errorf("plain text became %q", got[len(got)-1].Detail)
	}
}

func TestAudit_EventsOfOneMomentKeepTheirOrder(t *testing.T) {
	s := newSite(t)
	for i := range 300 { // more than one write
		if i%100 == 99 {
			s.clock.Advance(-time.Second) // clocks are set
		}
		s.Audit(t.Context(), identity.AuditEvent{Action: "stop", Detail: string(rune('a' + i%26))})
	}
	got := events(t, s.Service, identity.AuditQuery{})
	if len(got) != 300 {
		t.Fatalf("%d events", len(got))
	}
	for i, e := range got {
		if e.Detail != string(rune('a'+i%26)) {
			t.Fatalf("event %d is %q", i, e.Detail)
		}
	}
}

// fullStore is a store that takes no events, or takes its time.
type fullStore struct {
	silentStore
	full  atomic.Bool
	slow  atomic.Bool
	tries atomic.Int64
}

func (s *fullStore) AppendAudit(ctx context.Context, list ...identity.AuditEvent) error {
	s.tries.Add(1)
	if s.full.Load() {
		return workspace.ErrStorageFull
	}
	if s.slow.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return s.Store.AppendAudit(ctx, list...)
}

// keeper runs a service with that store and log in the bubble; stop ends its Run.
func (s *site) keeper(store identity.Store, log *logBook) (service *identity.Service, stop func()) {
	s.t.Helper()
	cfg := s.config()
	cfg.Store, cfg.Now, cfg.Log, cfg.AuditKeep = store, nil, log.logger(), 2*time.Hour
	service = s.service(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { service.Run(ctx) })
	stop = func() {
		cancel()
		running.Wait()
	}
	s.t.Cleanup(stop)
	return service, stop
}

func stored(t *testing.T, s *site) int {
	t.Helper()
	list, err := s.store.Audit(context.Background(), identity.AuditQuery{})
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestAudit_IsInTheStoreWithinASecondAndInFewWrites(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		store := &fullStore{silentStore: silentStore{Store: s.store}}
		service, _ := s.keeper(store, new(logBook))
		for range 200 {
			service.Audit(t.Context(), identity.AuditEvent{Action: "stop"})
		}
		time.Sleep(time.Second)
		if n := stored(t, s); n != 200 || store.tries.Load() != 1 {
			t.Errorf("%d events in %d writes", n, store.tries.Load())
		}
	})
}

func TestAudit_AStoreThatRefusesSlowsNobodyAndGetsEverythingLater(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		store, log := &fullStore{silentStore: silentStore{Store: s.store}}, new(logBook)
		service, _ := s.keeper(store, log)
		for _, trouble := range []*atomic.Bool{&store.full, &store.slow} {
			before := stored(t, s)
			trouble.Store(true)
			start := time.Now()
			for range 1000 {
				service.Audit(t.Context(), identity.AuditEvent{Action: "stop"})
			}
			if took := time.Since(start); took != 0 {
				t.Errorf("it waited for %v", took)
			}
			time.Sleep(time.Minute)
			if n := stored(t, s); n != before {
				t.Fatalf("%d events are stored: the test does not test", n-before)
			}
			trouble.Store(false)
			time.Sleep(15 * time.Second)
			if n := stored(t, s) - before; n != 1000 {
				t.Errorf("%d of 1000 events are stored", n)
			}
		}
		if n := len(log.lines(t, "the audit log cannot be stored; its events wait in memory")); n != 2 {
			t.Errorf("it was said %d times", n)
		}
	})
}

func TestAudit_ADeadStoreCostsTheOldestEventsAndThatIsSaid(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		store, log := &fullStore{silentStore: silentStore{Store: s.store}}, new(logBook)
		store.full.Store(true)
		service, _ := s.keeper(store, log)
		const sent = 20_000
		for range sent {
			service.Audit(t.Context(), identity.AuditEvent{Action: "stop"})
		}
		time.Sleep(time.Minute)
		store.full.Store(false)
		time.Sleep(15 * time.Second)
		lost := 0
		for _, line := range log.lines(t, "") {
			if n, ok := line["events"].(float64); ok && line["level"] == "ERROR" {
				lost += int(n)
			}
		}
		list := events(t, s.Service, identity.AuditQuery{})
		if len(list) < 15_000 || len(list)+lost != sent {
			t.Errorf("%d stored and %d said to be lost of %d", len(list), lost, sent)
		}
		lines := log.lines(t, "audit")
		if len(lines) != sent || lines[sent-1]["id"] != list[len(list)-1].ID {
			t.Errorf("%d lines; the newest event is not the one that was kept", len(lines))
		}
	})
}

func TestAudit_WhatIsQueuedIsWrittenWhenRunEnds(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		service, stop := s.keeper(s.store, new(logBook))
		time.Sleep(time.Minute)
		for range 1000 {
			service.Audit(t.Context(), identity.AuditEvent{Action: "stop"})
		}
		stop()
		if n := stored(t, s); n != 1000 {
			t.Errorf("%d of 1000 events are stored", n)
		}
	})
}

func TestAudit_EventsAreKeptAsLongAsConfigured(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		service, _ := s.keeper(&silentStore{Store: s.store, idle: true}, new(logBook))
		service.Audit(t.Context(), identity.AuditEvent{Action: "stop"})
		time.Sleep(time.Hour + 30*time.Minute)
		service.Audit(t.Context(), identity.AuditEvent{Action: "start"})
		time.Sleep(20 * time.Minute)
		if n := stored(t, s); n != 2 {
			t.Errorf("%d events are left", n)
		}
		time.Sleep(time.Hour + 15*time.Minute) // the third hourly purge is past
		if list := events(t, service, identity.AuditQuery{}); len(list) != 1 || list[0].Action != "start" {
			t.Errorf("left: %+v", list)
		}
	})
}

func TestAudit_WhoeverIsRefusedCannotFillTheDisk(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		log := new(logBook)
		service, _ := s.keeper(s.store, log)
		refused := identity.AuditEvent{Action: identity.ActionRefusal, Outcome: identity.OutcomeRefused, Person: "eve"}
		for range 1000 {
			service.Audit(t.Context(), refused)
		}
		service.Audit(t.Context(), identity.AuditEvent{Action: identity.ActionRefusal, Outcome: identity.OutcomeRefused, Person: "ann"})
		service.Audit(t.Context(), identity.AuditEvent{Action: "stop", Person: "eve"})
		time.Sleep(2 * time.Second)
		if n := stored(t, s); n != 62 || len(log.lines(t, "audit")) != 62 {
			t.Errorf("%d events stored, %d lines", n, len(log.lines(t, "audit")))
		}
		said := log.lines(t, "refusals were too many to record each")
		if len(said) != 1 || said[0]["events"] != 940.0 {
			t.Errorf("said: %v", said)
		}
		time.Sleep(time.Minute)
		service.Audit(t.Context(), refused)
		time.Sleep(2 * time.Second)
		if n := stored(t, s); n != 63 {
			t.Errorf("a minute later: %d", n)
		}
	})
}

func TestAudit_TellsOfSigningInAndOutAndOfGrants(t *testing.T) {
	s := newSite(t)
	asha := s.person("Asha")
	secret := s.link(asha)
	ctx := from(s.Service, "203.0.113.7:4242", "Firefox")
	for range 2 { // the second is refused
		_, _, _ = s.SignInByLink(ctx, secret)
	}
	caller := s.caller(asha)
	s.grant(caller, previewA)
	if _, err := s.SignOut(ctx, caller.Session); err != nil {
		t.Fatal(err)
	}
	type event struct{ Action, Outcome, Person, Via, Address, Detail string }
	var got []event
	for _, e := range events(t, s.Service, identity.AuditQuery{}) {
		got = append(got, event{e.Action, e.Outcome, e.Person, e.Via, e.Address, e.Detail})
	}
	want := []event{
		{"sign-in", "ok", asha.ID, "link", "203.0.113.7", ""},
		{"sign-in", "refused", "", "link", "203.0.113.7", "the link was used already or is too old"},
		{"sign-in", "ok", asha.ID, "link", "", ""},
		{"grant", "ok", asha.ID, "session", "192.0.2.1", previewA.Label()},
		{"sign-out", "ok", asha.ID, "session", "203.0.113.7", ""},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
