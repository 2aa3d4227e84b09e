package api

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kalpana-dev/kalpana/agent/budget"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

// AgentUsage is what somebody's agents used, and what they may.
type AgentUsage struct {
	Person    UsageSpans  `json:"person" doc:"Of yours, in all of your workspaces."`
	Workspace *UsageSpans `json:"workspace,omitempty" doc:"Of all who work in the workspace, where one is named."`
	OwnKey    bool        `json:"ownKey" doc:"You pay the provider yourself: budgets bound tokens alone, and count no money."`
	Models    []UsageRow  `json:"models" nullable:"false" doc:"What you used this month, by model, in the workspace if one is named."`
}

// UsageSpans are a day and a month, UTC.
type UsageSpans struct {
	Day   UsageSpan `json:"day"`
	Month UsageSpan `json:"month"`
}

// UsageSpan is what was used of a budget.
type UsageSpan struct {
	Cost        float64   `json:"cost" doc:"US dollars."`
	Tokens      int64     `json:"tokens" doc:"Of requests and answers together."`
	LimitCost   float64   `json:"limitCost,omitempty" doc:"US dollars; missing where nothing bounds it."`
	LimitTokens int64     `json:"limitTokens,omitempty" doc:"Missing where nothing bounds it."`
	Until       time.Time `json:"until" doc:"When it begins anew."`
}

// UsageRow is what was used by one person, in one workspace or of one model.
type UsageRow struct {
	ID        string  `json:"id" doc:"Of the person, workspace or model."`
	Name      string  `json:"name,omitempty" doc:"Of the person or workspace, while there is one."`
	Calls     int64   `json:"calls" doc:"Of models."`
	Input     int64   `json:"input" doc:"Tokens of requests, cached ones included."`
	Output    int64   `json:"output" doc:"Tokens of answers, reasoning included."`
	Cached    int64   `json:"cached"`
	Reasoning int64   `json:"reasoning"`
	Cost      float64 `json:"cost" doc:"US dollars, paid with the installation's key."`
	OwnCost   float64 `json:"ownCost" doc:"US dollars, paid by people with keys of their own."`
}

// UsageReport is what all agents used since a day.
type UsageReport struct {
	By    string     `json:"by" enum:"person,workspace,model"`
	Since string     `json:"since" doc:"The first day, UTC."`
	Rows  []UsageRow `json:"rows" nullable:"false" doc:"What costs most first."`
	Total UsageRow   `json:"total"`
}

type usageInput struct {
	Workspace string `query:"workspace" maxLength:"64" doc:"Id of a workspace of yours."`
}

type usageReportInput struct {
	By    string `query:"by" enum:"person,workspace,model" default:"person"`
	Since string `query:"since" format:"date" doc:"The first day, UTC, such as 2026-11-30; by default the first of this month. Records are kept for thirteen months."`
}

func (h *Handler) usageRoutes() {
	huma.Register(h.huma, scoped(h.operation("GET", "/api/agent/usage", "getAgentUsage", "Tell what your agents used and may use", 200, agentTag), identity.ScopeAgent),
		func(ctx context.Context, in *usageInput) (*struct{ Body AgentUsage }, error) {
			usage, err := h.agentUsage(ctx, callerOf(ctx).Person.ID, in.Workspace)
			if err != nil {
				return nil, h.problem(err)
			}
			return &struct{ Body AgentUsage }{*usage}, nil
		})
	huma.Register(h.huma, forAdmins(h.operation("GET", "/api/admin/usage", "getUsage", "Tell what all agents used", 200, "admin")),
		func(ctx context.Context, in *usageReportInput) (*struct{ Body UsageReport }, error) {
			report, err := h.usageReport(ctx, in.By, in.Since)
			if err != nil {
				return nil, h.problem(err)
			}
			return &struct{ Body UsageReport }{*report}, nil
		})
}

func (h *Handler) agentUsage(ctx context.Context, person, inWorkspace string) (*AgentUsage, error) {
	who, answer := budget.Who{Person: person}, &AgentUsage{}
	if inWorkspace != "" {
		w, err := h.workspace(ctx, inWorkspace)
		if err != nil {
			return nil, err
		}
		who.Workspace = w.ID
	}
	if h.cfg.Agent.OwnKeys {
		_, has, err := h.cfg.Identity.OwnModelKey(ctx, person)
		if err != nil {
			return nil, err
		}
		who.OwnKey, answer.OwnKey = has, has
	}
	left, err := h.cfg.Agent.Budgets.Left(ctx, who)
	if err != nil {
		return nil, err
	}
	answer.Person = spansView(left.Person)
	if who.Workspace != "" {
		spans := spansView(left.Workspace)
		answer.Workspace = &spans
	}
	records, err := h.cfg.Agent.Budgets.Usage(ctx, budget.UsageQuery{Person: person, Workspace: who.Workspace, Since: h.cfg.Agent.Budgets.Month()})
	if err != nil {
		return nil, err
	}
	answer.Models, _ = usageRows(records, func(u budget.Usage) string { return u.Model }, nil)
	return answer, nil
}

func spansView(s budget.Spans) UsageSpans {
	view := func(s budget.Span) UsageSpan {
		return UsageSpan{
			Cost: dollars(s.Used.Cost), Tokens: s.Used.Tokens, LimitCost: dollars(s.Limit.Cost), LimitTokens: s.Limit.Tokens, Until: s.Until,
		}
	}
	return UsageSpans{view(s.Day), view(s.Month)}
}

func (h *Handler) usageReport(ctx context.Context, by, since string) (*UsageReport, error) {
	since = cmp.Or(since, h.cfg.Agent.Budgets.Month())
	records, err := h.cfg.Agent.Budgets.Usage(ctx, budget.UsageQuery{Since: since})
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	key := func(u budget.Usage) string { return u.Model }
	switch by {
	case "person":
		key = func(u budget.Usage) string { return u.Person }
		people, err := h.cfg.Identity.People(ctx)
		if err != nil {
			return nil, err
		}
		for _, p := range people {
			names[p.ID] = p.Name
		}
	case "workspace":
		key = func(u budget.Usage) string { return string(u.Workspace) }
		var workspaces []*workspace.Workspace
		if workspaces, err = h.cfg.Orchestrator.List(ctx, ""); err != nil {
			return nil, err
		}
		for _, w := range workspaces {
			names[string(w.ID)] = w.Name
		}
	}
	report := &UsageReport{By: by, Since: since}
	report.Rows, report.Total = usageRows(records, key, names)
	return report, nil
}

// usageRows adds up records by what key makes of them, and returns what costs most first.
func usageRows(records []budget.Usage, key func(budget.Usage) string, names map[string]string) (rows []UsageRow, total UsageRow) {
	sums := map[string]*budget.Usage{}
	var all budget.Usage
	for _, u := range records {
		k := key(u)
		if sums[k] == nil {
			sums[k] = new(budget.Usage)
		}
		sums[k].Add(u)
		all.Add(u)
	}
	rows = make([]UsageRow, 0, len(sums))
	for id, sum := range sums {
		row := usageView(*sum)
		row.ID, row.Name = id, names[id]
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b UsageRow) int {
		return cmp.Or(cmp.Compare(b.Cost, a.Cost), cmp.Compare(b.OwnCost, a.OwnCost), cmp.Compare(b.Input+b.Output, a.Input+a.Output), cmp.Compare(a.ID, b.ID))
	})
	return rows, usageView(all)
}

func usageView(u budget.Usage) UsageRow {
	return UsageRow{
		Calls: u.Calls, Input: u.Input, Output: u.Output, Cached: u.Cached, Reasoning: u.Reasoning,
		Cost: dollars(u.Cost), OwnCost: dollars(u.OwnCost),
	}
}
