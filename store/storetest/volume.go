package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/store/transfer"
	"github.com/kalpana-dev/kalpana/workspace"
)

// RunVolume checks what must hold of a store with about n records.
func RunVolume(t *testing.T, b Backend, n int) {
	t.Helper()
	// Of each owner: ten workspaces with their ids, and ten of the others.
	const each = 10
	owners := n / (7 * each)
	owner := func(i int) string { return fmt.Sprintf("owner-%05d", i) }
	var records []transfer.Record
	var mine []workspace.ID // of the owner in the middle, oldest first
	for i := range owners {
		name := owner(i)
		records = append(records, identity.Person{ID: name, Revision: 1, CreatedAt: moment(i)})
		for k := range each {
			serial := k*owners + i
			w := newWorkspace(name)
			w.Revision, w.CreatedAt = 1, moment(k)
			if i == owners/2 {
				mine = append(mine, w.ID)
			}
			ends := moment(10)
			if k%2 == 0 {
				ends = moment(1_000_000)
			}
			records = append(records,
				w, transfer.UsedID{ID: w.ID},
				identity.Session{Hash: hash(serial), Person: name, CreatedAt: moment(k), ExpiresAt: ends},
				identity.Token{Hash: hash(serial), ID: fmt.Sprint(serial), Person: name, CreatedAt: moment(k), ExpiresAt: ends},
				identity.Ticket{Hash: hash(serial), Kind: []string{"link", "invitation"}[k%2], ExpiresAt: ends},
				identity.AuditEvent{ID: fmt.Sprintf("e%08d", serial), At: moment(serial), Action: "start", Person: name, Workspace: w.ID},
				&identity.Account{Provider: "github", Subject: fmt.Sprint(serial), Person: name, Revision: 1, CreatedAt: moment(k)},
			)
		}
	}
	s := b.Open(t)
	start := time.Now()
	imports(t, s, records)
	t.Logf("%d records were written in %v", len(records), time.Since(start).Round(time.Millisecond))

	ctx, middle := t.Context(), owner(owners/2)
	list, err := s.Workspaces(ctx, middle)
	must(t, err)
	var got []workspace.ID
	for _, w := range list {
		got = append(got, w.ID)
	}
	if diff := cmp.Diff(mine, got); diff != "" {
		t.Errorf("Workspaces of one owner (-want +got):\n%s", diff)
	}
	all, err := s.Workspaces(ctx, "")
	must(t, err)
	inOrder := slices.IsSortedFunc(all, func(a, b *workspace.Workspace) int {
		if c := a.CreatedAt.Compare(b.CreatedAt); c != 0 {
			return c
		}
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	if len(all) != owners*each || !inOrder {
		t.Errorf("Workspaces returned %d, want %d; oldest first: %v", len(all), owners*each, inOrder)
	}
	wantErr(t, s.CreateWorkspace(ctx, newWorkspace(middle), each), workspace.ErrLimit)
	must(t, s.CreateWorkspace(ctx, newWorkspace(middle), each+1))
	must(t, s.UpdateWorkspace(ctx, list[0]))

	// A reader goes through the whole log by pages, and sees each event once.
	q := identity.AuditQuery{Limit: max(100, n/100)}
	seen, last := 0, ""
	for {
		page, err := s.Audit(ctx, q)
		must(t, err)
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			if last != "" && e.ID >= last {
				t.Fatalf("event %s came after %s", e.ID, last)
			}
			last = e.ID
			seen++
		}
		q.Before = last
	}
	if seen != owners*each {
		t.Errorf("%d events were read by pages, want %d", seen, owners*each)
	}
	events, err := s.Audit(ctx, identity.AuditQuery{Person: middle, Limit: each - 1})
	must(t, err)
	if len(events) != each-1 || events[0].Person != middle {
		t.Errorf("%d events of one person, want %d", len(events), each-1)
	}

	lists := func(want int) {
		t.Helper()
		sessions, err := s.Sessions(ctx, middle)
		must(t, err)
		tokens, err := s.Tokens(ctx, middle)
		must(t, err)
		accounts, err := s.Accounts(ctx, middle)
		must(t, err)
		if len(sessions) != want || len(tokens) != want || len(accounts) != each {
			t.Errorf("%d sessions, %d tokens, %d accounts; want %d, %d, %d", len(sessions), len(tokens), len(accounts), want, want, each)
		}
	}
	lists(each)
	must(t, s.Purge(ctx, moment(11), 0))
	lists(each / 2)
	tickets, err := s.Tickets(ctx, "link")
	must(t, err)
	if len(tickets) != owners*each/2 {
		t.Errorf("%d tickets are left, want %d", len(tickets), owners*each/2)
	}
	must(t, s.PurgeAudit(ctx, moment(owners*each)))
	if events, err = s.Audit(ctx, identity.AuditQuery{}); err != nil || len(events) != 0 {
		t.Errorf("%d events are left, %v", len(events), err)
	}
}
