package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kalpana-dev/kalpana/agent/budget"
	"github.com/kalpana-dev/kalpana/agent/model"
	"github.com/kalpana-dev/kalpana/api"
	"github.com/kalpana-dev/kalpana/workspace"
)

// spends makes a call of a model that costs so many dollars.
func (b *browser) spends(id, of string, dollars float64, own bool) {
	b.t.Helper()
	who := budget.Who{Person: b.caller().Person.ID, Workspace: workspace.ID(id), Model: of, OwnKey: own}
	settle, err := b.budgets.Reserve(b.t.Context(), who, model.Usage{})
	if err != nil {
		b.t.Fatal(err)
	}
	used := model.Usage{Input: 100, Output: 20, Cached: 10, Reasoning: 5, Cost: int64(dollars * 1e6)}
	if err := settle(b.t.Context(), used); err != nil {
		b.t.Fatal(err)
	}
}

func (b *browser) workspaceNamed(name string) string {
	b.t.Helper()
	return decode[api.Workspace](b.t, b.must(201, "POST", "/api/workspaces", api.NewWorkspace{Name: name, Template: "blank"})).ID
}

func TestUsage_TellsPeopleWhatTheyUsedAndMay(t *testing.T) {
	s := newSite(t)
	asha, ravi := s.signIn("Asha"), s.signIn("Ravi")
	one, two := asha.workspaceNamed("one"), asha.workspaceNamed("two")
	asha.spends(one, "a/b", 0.5, false)
	asha.spends(one, "a/b", 0.25, false)
	asha.spends(two, "c/d", 1, false)
	ravi.spends(one, "a/b", 2, false) // who shares it

	day := api.UsageSpan{Cost: 1.75, Tokens: 360, LimitCost: 5, Until: time.Date(2026, 3, 5, 0, 0, 0, 0, time.UTC)}
	month := api.UsageSpan{Cost: 1.75, Tokens: 360, Until: time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)}
	row := func(id string, calls int64, cost float64) api.UsageRow {
		return api.UsageRow{ID: id, Calls: calls, Input: 100 * calls, Output: 20 * calls, Cached: 10 * calls, Reasoning: 5 * calls, Cost: cost}
	}
	want := api.AgentUsage{Person: api.UsageSpans{Day: day, Month: month}, Models: []api.UsageRow{row("c/d", 1, 1), row("a/b", 2, 0.75)}}
	if diff := cmp.Diff(want, decode[api.AgentUsage](t, asha.must(200, "GET", "/api/agent/usage", nil))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	inOne := decode[api.AgentUsage](t, asha.must(200, "GET", "/api/agent/usage?workspace="+one, nil))
	want.Models = []api.UsageRow{row("a/b", 2, 0.75)}
	day.Cost, day.LimitCost, month.Cost, month.LimitTokens = 2.75, 0, 2.75, 2_000_000
	want.Workspace = &api.UsageSpans{Day: day, Month: month}
	if diff := cmp.Diff(want, inOne); diff != "" {
		t.Errorf("in a workspace (-want +got):\n%s", diff)
	}

	ravi.must(404, "GET", "/api/agent/usage?workspace="+one, nil)
	asha.must(404, "GET", "/api/agent/usage?workspace=nothing", nil)
}

func TestUsage_WhoPaysThemselvesHasNoBoundOfMoney(t *testing.T) {
	s := newSite(t)
	asha := s.signIn("Asha")
	asha.must(200, "PUT", "/api/agent/key", api.NewAgentKey{Key: ownKey})
	asha.spends("abcdefghij", "a/b", 7, true)
	got := decode[api.AgentUsage](t, asha.must(200, "GET", "/api/agent/usage", nil))
	if !got.OwnKey || got.Person.Day.LimitCost != 0 || got.Person.Day.Cost != 0 || got.Person.Day.Tokens != 120 || len(got.Models) != 1 || got.Models[0].OwnCost != 7 {
		t.Errorf("%+v", got)
	}
}

func TestUsage_AQuotaRaisesWhatSomebodyMaySpend(t *testing.T) {
	s := newSite(t)
	admin, asha := s.admin(), s.signIn("Asha")
	asha.spends("abcdefghij", "a/b", 5, false)
	who := budget.Who{Person: asha.caller().Person.ID}
	if _, err := s.budgets.Reserve(t.Context(), who, model.Usage{}); err == nil || !strings.Contains(err.Error(), "for a day, $5.00, is spent") {
		t.Fatal(err)
	}
	admin.must(200, "PATCH", "/api/people/"+who.Person, map[string]any{"quota": api.Quota{AgentDayCost: 7.5}})
	settle, err := s.budgets.Reserve(t.Context(), who, model.Usage{})
	if err != nil {
		t.Fatal(err)
	}
	if err := settle(t.Context(), model.Usage{}); err != nil {
		t.Fatal(err)
	}
	if got := decode[api.AgentUsage](t, asha.must(200, "GET", "/api/agent/usage", nil)); got.Person.Day.LimitCost != 7.5 {
		t.Errorf("%+v", got)
	}
	if defaults := decode[api.People](t, admin.must(200, "GET", "/api/people", nil)).Defaults; defaults.AgentDayCost != 5 || defaults.AgentMonthCost != -1 {
		t.Errorf("%+v", defaults)
	}
}

func TestUsage_TellsAdminsWhoSpendsWhat(t *testing.T) {
	s := newSite(t)
	admin, asha, ravi := s.admin(), s.signIn("Asha"), s.signIn("Ravi")
	one := asha.workspaceNamed("one")
	asha.spends(one, "a/b", 0.5, false)
	asha.spends("goneabcdef", "c/d", 0.25, false)
	ravi.spends(one, "a/b", 2, false)
	ravi.spends(one, "a/b", 3, true)
	type line struct {
		ID, Name      string
		Calls         int64
		Cost, OwnCost float64
	}
	for by, want := range map[string][]line{
		"person":    {{ravi.caller().Person.ID, "Ravi", 2, 2, 3}, {asha.caller().Person.ID, "Asha", 2, 0.75, 0}},
		"workspace": {{one, "one", 3, 2.5, 3}, {"goneabcdef", "", 1, 0.25, 0}},
		"model":     {{"a/b", "", 3, 2.5, 3}, {"c/d", "", 1, 0.25, 0}},
	} {
		report := decode[api.UsageReport](t, admin.must(200, "GET", "/api/admin/usage?by="+by+"&since=2026-01-01", nil))
		var got []line
		for _, r := range report.Rows {
			got = append(got, line{r.ID, r.Name, r.Calls, r.Cost, r.OwnCost})
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("by %s (-want +got):\n%s", by, diff)
		}
		total := api.UsageRow{Calls: 4, Input: 400, Output: 80, Cached: 40, Reasoning: 20, Cost: 2.75, OwnCost: 3}
		if diff := cmp.Diff(total, report.Total, cmpopts.EquateApprox(0, 1e-9)); diff != "" || report.By != by || report.Since != "2026-01-01" {
			t.Errorf("by %s: %+v", by, report)
		}
	}
	if report := decode[api.UsageReport](t, admin.must(200, "GET", "/api/admin/usage", nil)); report.By != "person" || len(report.Rows) != 2 || report.Since != "2026-03-01" {
		t.Errorf("%+v", report)
	}
	if report := decode[api.UsageReport](t, admin.must(200, "GET", "/api/admin/usage?since=2999-01-01", nil)); len(report.Rows) != 0 {
		t.Errorf("%+v", report)
	}
	admin.must(422, "GET", "/api/admin/usage?by=day", nil)
	admin.must(422, "GET", "/api/admin/usage?since=yesterday", nil)
}
