package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/agent"
	"github.com/kalpana-dev/kalpana/agent/budget"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

var contexts = []promise{
	{"ACancelledCallSaysSoAndWritesNothing", aCancelledCallSaysSoAndWritesNothing},
	{"ACallPastItsDeadlineSaysSo", aCallPastItsDeadlineSaysSo},
}

func aCancelledCallSaysSoAndWritesNothing(t *testing.T, b Backend) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	checkEnded(t, b, ctx, context.Canceled)
}

func aCallPastItsDeadlineSaysSo(t *testing.T, b Backend) {
	ctx, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	checkEnded(t, b, ctx, context.DeadlineExceeded)
}

// checkEnded calls every method with a context that has ended.
func checkEnded(t *testing.T, b Backend, ctx context.Context, want error) { //nolint:revive // ctx is an operand here
	s := b.Open(t)
	w := created(t, s, "ann")
	wantTrue(t, "a free port")(s.ClaimPort(t.Context(), 40000, w.ID))
	wantTrue(t, "a free lease")(s.AcquireLease(t.Context(), "wake/a", "g1", moment(0), moment(30)))
	person := identity.Person{ID: "p1", CreatedAt: moment(0)}
	must(t, s.CreatePerson(t.Context(), person))
	session := identity.Session{Hash: hash(1), Person: "p1", ExpiresAt: moment(30)}
	must(t, s.CreateSession(t.Context(), session))
	must(t, s.CreateTicket(t.Context(), identity.Ticket{Hash: hash(1), Kind: "link", ExpiresAt: moment(30)}))
	member := identity.Person{ID: "p1", Name: "changed"}
	kept, linked := token(t, s, "a", 1, "p1", 0), account(t, s, "github", "1", "p1", 0)
	must(t, s.AppendAudit(t.Context(), event(1, nil)))
	revocation := identity.Revocation{At: moment(0), Person: "p1"}
	must(t, s.AppendRevocation(t.Context(), revocation))

	c := chat(t, s, "one", w.ID, "ann", 0)
	said := message(t, s, "one", "a", 1)
	settle(t, s, "", 1, 1, "a")
	modelKey := identity.ModelKey{Person: "p1", Sealed: []byte{1}, UpdatedAt: moment(0)}
	must(t, s.PutModelKey(t.Context(), modelKey))
	counters := []budget.Counter{counter("a")}

	changed := *w
	changed.Name = "changed"
	before := changed
	for name, call := range map[string]func() error{
		"CreateWorkspace": func() error { return s.CreateWorkspace(ctx, newWorkspace("ann"), 0) },
		"Workspace":       func() error { _, err := s.Workspace(ctx, w.ID); return err },
		"Workspaces":      func() error { _, err := s.Workspaces(ctx, ""); return err },
		"UpdateWorkspace": func() error { return s.UpdateWorkspace(ctx, &changed) },
		"DeleteWorkspace": func() error { return s.DeleteWorkspace(ctx, w.ID, w.Revision) },
		"ClaimPort":       func() error { _, err := s.ClaimPort(ctx, 40001, w.ID); return err },
		"ReleasePorts":    func() error { return s.ReleasePorts(ctx, w.ID) },
		"Ports":           func() error { _, err := s.Ports(ctx); return err },
		"AcquireLease":    func() error { _, err := s.AcquireLease(ctx, "wake/a", "g1", moment(0), moment(0)); return err },
		"Leases":          func() error { _, err := s.Leases(ctx, "wake/", moment(0)); return err },
		"ReleaseLease":    func() error { return s.ReleaseLease(ctx, "wake/a", "g1") },
		"CreatePerson":    func() error { return s.CreatePerson(ctx, identity.Person{ID: "p2"}) },
		"Person":          func() error { _, err := s.Person(ctx, "p1"); return err },
		"People":          func() error { _, err := s.People(ctx); return err },
		"CreateSession":   func() error { return s.CreateSession(ctx, identity.Session{Hash: hash(2)}) },
		"Session":         func() error { _, err := s.Session(ctx, hash(1)); return err },
		"TouchSession":    func() error { return s.TouchSession(ctx, hash(1), moment(1), moment(31)) },
		"DeleteSession":   func() error { return s.DeleteSession(ctx, hash(1)) },
		"CreateTicket": func() error {
			return s.CreateTicket(ctx, identity.Ticket{Hash: hash(2), Kind: "link", ExpiresAt: moment(30)})
		},
		"TakeTicket":    func() error { _, err := s.TakeTicket(ctx, "link", hash(1), moment(0)); return err },
		"UpdatePerson":  func() error { return s.UpdatePerson(ctx, &member) },
		"CreateAccount": func() error { return s.CreateAccount(ctx, &identity.Account{Provider: "github", Subject: "2"}) },
		"Account":       func() error { _, err := s.Account(ctx, "github", "1"); return err },
		"Accounts":      func() error { _, err := s.Accounts(ctx, ""); return err },
		"UpdateAccount": func() error { mine := *linked; return s.UpdateAccount(ctx, &mine) },
		"DeleteAccount": func() error { return s.DeleteAccount(ctx, "github", "1") },
		"Sessions":      func() error { _, err := s.Sessions(ctx, "p1"); return err },
		"CreateToken":   func() error { return s.CreateToken(ctx, identity.Token{ID: "b", Hash: hash(2), Person: "p1"}) },
		"Token":         func() error { _, err := s.Token(ctx, hash(1)); return err },
		"Tokens":        func() error { _, err := s.Tokens(ctx, ""); return err },
		"TouchToken":    func() error { return s.TouchToken(ctx, hash(1), moment(1000)) },
		"DeleteToken":   func() error { return s.DeleteToken(ctx, "p1", "a") },
		"Tickets":       func() error { _, err := s.Tickets(ctx, "link"); return err },
		"DeleteTicket":  func() error { return s.DeleteTicket(ctx, "link", hash(1)) },
		"AppendAudit":   func() error { return s.AppendAudit(ctx, event(2, nil)) },
		"Audit":         func() error { _, err := s.Audit(ctx, identity.AuditQuery{}); return err },
		"PurgeAudit":    func() error { return s.PurgeAudit(ctx, moment(1000)) },

		"AppendRevocation": func() error { return s.AppendRevocation(ctx, identity.Revocation{At: moment(0), Person: "p2"}) },
		"Revocations":      func() error { _, err := s.Revocations(ctx, moment(0)); return err },
		"CreateChat":       func() error { return s.CreateChat(ctx, &agent.Chat{ID: "two", Workspace: w.ID}) },
		"Chat":             func() error { _, err := s.Chat(ctx, "one"); return err },
		"Chats":            func() error { _, err := s.Chats(ctx, "", ""); return err },
		"RunningChats":     func() error { _, err := s.RunningChats(ctx); return err },
		"UpdateChat":       func() error { mine := *c; return s.UpdateChat(ctx, &mine) },
		"DeleteChat":       func() error { return s.DeleteChat(ctx, "one") },
		"PutMessage":       func() error { return s.PutMessage(ctx, &agent.Message{Chat: "one", ID: "b"}) },
		"Messages":         func() error { _, err := s.Messages(ctx, "one"); return err },
		"CutMessages":      func() error { return s.CutMessages(ctx, "one", 0) },
		"HoldBudget": func() error {
			_, err := s.HoldBudget(ctx, "h", []budget.Bound{bound("a", 10, 0)}, budget.Amount{Cost: 1}, moment(0), moment(60))
			return err
		},
		"SettleBudget": func() error {
			return s.SettleBudget(ctx, budget.Settlement{Counters: counters, Used: budget.Amount{Cost: 1}, Usage: budget.Usage{Day: "2026-03-04"}})
		},
		"BudgetCounts":   func() error { _, err := s.BudgetCounts(ctx, counters, moment(0)); return err },
		"Usage":          func() error { _, err := s.Usage(ctx, budget.UsageQuery{}); return err },
		"PutModelKey":    func() error { return s.PutModelKey(ctx, identity.ModelKey{Person: "p2"}) },
		"ModelKey":       func() error { _, err := s.ModelKey(ctx, "p1"); return err },
		"ModelKeys":      func() error { _, err := s.ModelKeys(ctx); return err },
		"ResealModelKey": func() error { return s.ResealModelKey(ctx, "p1", []byte{1}, []byte{2}) },
		"DeleteModelKey": func() error { return s.DeleteModelKey(ctx, "p1") },
		"Settle":         func() error { _, err := s.Settle(ctx, "name", "late"); return err },
		"Purge":          func() error { return s.Purge(ctx, moment(1000), 0) },
	} {
		if err := call(); !errors.Is(err, want) || errors.Is(err, workspace.ErrStoreDown) {
			t.Errorf("%s: got error %v, want %v", name, err, want)
		}
	}

	if diff := cmp.Diff(before, changed); diff != "" {
		t.Errorf("a cancelled update changed the caller's record:\n%s", diff)
	}
	wantStored(t, s, w)
	wantPorts(t, s, map[int]workspace.ID{40000: w.ID})
	wantFalse(t, "a held lease")(s.AcquireLease(t.Context(), "wake/a", "g2", moment(29), moment(60)))
	all, err := s.People(t.Context())
	must(t, err)
	if diff := cmp.Diff([]identity.Person{person}, all); diff != "" {
		t.Errorf("People (-want +got):\n%s", diff)
	}
	wantSession(t, s, session)
	wantToken(t, s, kept)
	_, err = s.Token(t.Context(), hash(2))
	wantErr(t, err, identity.ErrNotFound)
	wantAccount(t, s, linked)
	wantEvents(t, s, identity.AuditQuery{}, event(1, nil))
	_, err = s.Session(t.Context(), hash(2))
	wantErr(t, err, identity.ErrNotFound)
	_, err = s.TakeTicket(t.Context(), "link", hash(1), moment(0))
	must(t, err)
	_, err = s.TakeTicket(t.Context(), "link", hash(2), moment(0))
	wantErr(t, err, identity.ErrNotFound)
	wantRevocations(t, s, moment(-100), revocation)
	wantSettled(t, s, "name", "in time", "in time")
	wantChat(t, s, c)
	wantMessages(t, s, "one", said)
	wantCount(t, s, moment(1), "a", budget.Count{Used: budget.Amount{Cost: 1, Tokens: 1}})
	wantModelKeys(t, s, modelKey)
}
