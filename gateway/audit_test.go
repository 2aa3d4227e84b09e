package gateway_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/orchestrator"
)

func TestAudit_TellsWhoOpensAndWhoWakes(t *testing.T) {
	w := newWorld(t)
	id := w.create()
	grant := w.grant(ide(id))
	w.do(w.subresource(w.hosts.URL(id), grant)) // wakes nothing
	w.do(w.program("GET", w.hosts.URL(id), grant))
	w.do(w.program("GET", w.hosts.URL(id), grant)) // it runs
	w.do(w.program("GET", w.hosts.URL(id), "", w.bearer(identity.ScopeOpen)...))
	type event struct{ Action, Via, Address, Detail string }
	list, err := w.identity.AuditEvents(t.Context(), identity.AuditQuery{Workspace: id})
	w.must(err)
	slices.Reverse(list)
	var got []event
	for _, e := range list {
		if e.Person != w.person.ID || e.Outcome != "ok" || e.UserAgent == "" {
			t.Errorf("%+v", e)
		}
		got = append(got, event{e.Action, e.Via, e.Address, e.Detail})
	}
	tokens, err := w.identity.Tokens(t.Context(), w.person.ID)
	w.must(err)
	want := []event{
		{"grant", "session", "127.0.0.1", string(id)},
		{"start", "session", "127.0.0.1", ""},
		{"token-use", "token " + tokens[0].ID, "127.0.0.1", ""},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A workspace that may not start is asked for in vain as often as a program likes.
func TestAudit_AWakeThatIsRefusedIsNoStartAndFillsNothing(t *testing.T) {
	w := newWorld(t, options{orch: func(c *orchestrator.Config) { c.RunningLimit = 1 }})
	w.running()
	id := w.create()
	grant := w.grant(ide(id))
	for range 200 {
		if got := w.status(w.program("GET", w.hosts.URL(id), grant)); got != http.StatusConflict {
			t.Fatal(got)
		}
	}
	list, err := w.identity.AuditEvents(t.Context(), identity.AuditQuery{Workspace: id, Action: identity.ActionStart})
	w.must(err)
	if len(list) == 0 || len(list) > 2*60 { // a minute may end meanwhile
		t.Errorf("%d events", len(list))
	}
	for _, e := range list {
		if e.Outcome != identity.OutcomeRefused || !strings.Contains(e.Detail, "running") || e.Person != w.person.ID {
			t.Fatalf("%+v", e)
		}
	}
}
