package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/agent"
	"github.com/kalpana-dev/kalpana/agent/budget"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/store/transfer"
	"github.com/kalpana-dev/kalpana/workspace"
)

var transfers = []promise{
	{"WhatIsImportedComesBack", whatIsImportedComesBack},
	{"AnImportedWorkspaceCountsForTheLimit", anImportedWorkspaceCountsForTheLimit},
	{"AStoreWithRecordsTakesNoCopy", aStoreWithRecordsTakesNoCopy},
	{"ACopyThatWasCutOffIsMadeAgain", aCopyThatWasCutOffIsMadeAgain},
}

// everything returns one record of each kind and more, with every field set; n tells them apart from
// others.
func everything(t *testing.T, n int) []transfer.Record {
	t.Helper()
	w, bare := new(workspace.Workspace), &workspace.Workspace{ID: workspace.NewID(), Owner: "bob", Revision: 1}
	fill(t, w, n)
	w.ID = workspace.NewID()
	var person identity.Person
	account := new(identity.Account)
	var session identity.Session
	var token identity.Token
	var ticket identity.Ticket
	var revocation identity.Revocation
	var audited identity.AuditEvent
	chat, message := new(agent.Chat), new(agent.Message)
	var usage budget.Usage
	var key identity.ModelKey
	for _, v := range []any{&person, account, &session, &token, &ticket, &revocation, &audited, chat, message, &usage, &key} {
		fill(t, v, n)
	}
	chat.Workspace, message.Chat = w.ID, chat.ID
	return []transfer.Record{
		w, bare,
		transfer.UsedID{ID: w.ID},
		transfer.UsedID{ID: bare.ID},
		transfer.UsedID{ID: "retiredabc"},
		transfer.Port{Port: 40000 + n, Workspace: w.ID},
		transfer.Port{Port: 45000 + n, Workspace: bare.ID},
		person, account, &identity.Account{Provider: "b", Subject: "bare", Person: "p", Revision: 3},
		session, token, ticket, revocation,
		identity.Revocation{At: moment(0), Label: "same"},
		identity.Revocation{At: moment(0), Label: "same"},
		audited,
		chat, message, &agent.Chat{ID: "bare", Workspace: bare.ID, Revision: 1}, &agent.Message{Chat: "bare", ID: "one"},
		transfer.BudgetCount{Counter: budget.Counter{Key: "person/p/2026-03", Until: moment(n)}, Used: budget.Amount{Cost: int64(n), Tokens: 8}},
		usage, key,
		transfer.Setting{Name: "instance", Value: fmt.Sprint(n)},
	}
}

// transferable returns the store as package transfer has it.
func transferable(t *testing.T, s Store) transfer.Store {
	t.Helper()
	v, ok := s.(transfer.Store)
	if !ok {
		t.Fatalf("%T cannot be copied", s)
	}
	return v
}

// imports fills the store.
func imports(t *testing.T, s Store, records []transfer.Record) {
	t.Helper()
	to := transferable(t, s)
	must(t, to.BeginImport(t.Context()))
	for part := range slices.Chunk(records, 1000) {
		must(t, to.Import(t.Context(), part))
	}
	must(t, to.EndImport(t.Context()))
}

func exported(t *testing.T, s Store) []transfer.Record {
	t.Helper()
	var all []transfer.Record
	must(t, transferable(t, s).Export(t.Context(), func(r transfer.Record) error {
		all = append(all, r)
		return nil
	}))
	return all
}

func wantRecords(t *testing.T, s Store, want []transfer.Record) {
	t.Helper()
	inOrder := func(list []transfer.Record) []string {
		var texts []string
		for _, r := range list {
			if w, ok := r.(*workspace.Workspace); ok {
				r = *w
			}
			if a, ok := r.(*identity.Account); ok {
				r = *a
			}
			if c, ok := r.(*agent.Chat); ok {
				r = *c
			}
			if m, ok := r.(*agent.Message); ok {
				r = *m
			}
			texts = append(texts, fmt.Sprintf("%T %+v", r, r))
		}
		slices.Sort(texts)
		return texts
	}
	if diff := cmp.Diff(inOrder(want), inOrder(exported(t, s))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func whatIsImportedComesBack(t *testing.T, b Backend) {
	want := everything(t, 7)
	imports(t, b.Open(t), want)
	s := b.Open(t)
	wantRecords(t, s, want)
	w := want[0].(*workspace.Workspace)
	got, err := s.Workspace(t.Context(), w.ID)
	must(t, err)
	if diff := cmp.Diff(w, got); diff != "" {
		t.Errorf("Workspace (-want +got):\n%s", diff)
	}
	must(t, s.UpdateWorkspace(t.Context(), w))
	again := newWorkspace("ann")
	again.ID = "retiredabc"
	wantErr(t, s.CreateWorkspace(t.Context(), again, 0), workspace.ErrConflict)
}

func anImportedWorkspaceCountsForTheLimit(t *testing.T, b Backend) {
	s := b.Open(t)
	var records []transfer.Record
	for range 3 {
		w := newWorkspace("ann")
		w.Revision = 1
		records = append(records, w, transfer.UsedID{ID: w.ID})
	}
	imports(t, s, records)
	wantErr(t, s.CreateWorkspace(t.Context(), newWorkspace("ann"), 3), workspace.ErrLimit)
	must(t, s.CreateWorkspace(t.Context(), newWorkspace("ann"), 4))
	must(t, s.DeleteWorkspace(t.Context(), records[0].(*workspace.Workspace).ID, 1))
	must(t, s.CreateWorkspace(t.Context(), newWorkspace("ann"), 4))
	wantErr(t, s.CreateWorkspace(t.Context(), newWorkspace("ann"), 4), workspace.ErrLimit)
}

func aStoreWithRecordsTakesNoCopy(t *testing.T, b Backend) {
	s := b.Open(t)
	must(t, s.CreateTicket(t.Context(), identity.Ticket{Hash: hash(1), Kind: "link", ExpiresAt: moment(1)}))
	wantErr(t, transferable(t, s).BeginImport(t.Context()), transfer.ErrNotEmpty)
	_, err := s.TakeTicket(t.Context(), "link", hash(1), moment(0))
	must(t, err)
	wantSettled(t, s, "name", "value", "value")
	wantErr(t, transferable(t, s).BeginImport(t.Context()), transfer.ErrNotEmpty)
}

// failing is a source that breaks off.
type failing struct {
	records []transfer.Record
	transfer.Store
}

var errCutOff = errors.New("cut off")

func (f failing) Export(_ context.Context, yield func(transfer.Record) error) error {
	for _, r := range f.records {
		if err := yield(r); err != nil {
			return err
		}
	}
	return errCutOff
}

func aCopyThatWasCutOffIsMadeAgain(t *testing.T, b Backend) {
	s := b.Open(t)
	wantTrue(t, "a lease of before")(s.AcquireLease(t.Context(), "a", "g1", moment(0), moment(30)))
	var many []transfer.Record
	for i := range 700 { // more than one batch
		many = append(many, event(i, nil))
	}
	_, err := transfer.Copy(t.Context(), failing{records: many}, transferable(t, s))
	wantErr(t, err, errCutOff)
	if left := exported(t, s); len(left) == 0 {
		t.Fatal("nothing was written before the end: the test did not test")
	}
	source := memory{everything(t, 3)}
	summary, err := transfer.Copy(t.Context(), source, transferable(t, s))
	must(t, err)
	if diff := cmp.Diff([]int{2, 3, 2, 1, 2, 1, 1, 1, 3, 1, 2, 2, 1, 1, 1, 1}, summary.Counts); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	wantRecords(t, b.Open(t), source.records)
	_, err = transfer.Copy(t.Context(), source, transferable(t, s))
	wantErr(t, err, transfer.ErrNotEmpty)
}

// memory is a source.
type memory struct{ records []transfer.Record }

func (m memory) Export(_ context.Context, yield func(transfer.Record) error) error {
	for _, r := range m.records {
		if err := yield(r); err != nil {
			return err
		}
	}
	return nil
}

func (memory) BeginImport(context.Context) error               { return nil }
func (memory) Import(context.Context, []transfer.Record) error { return nil }
func (memory) EndImport(context.Context) error                 { return nil }
