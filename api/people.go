package api

import (
	"context"
	"math"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

// Person is somebody as admins see them.
type Person struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Email     string    `json:"email,omitempty" doc:"Verified by a login provider."`
	Role      string    `json:"role" enum:"admin,member"`
	Disabled  bool      `json:"disabled"`
	ByRule    bool      `json:"byRule" doc:"Came in by a rule of the configuration, and comes in only as long as one matches."`
	Quota     Quota     `json:"quota" doc:"What they may use, where that is not as for everybody."`
	CreatedAt time.Time `json:"createdAt"`
}

// Quota bounds what a person may use. 0, or missing, is as for everybody; -1 is no bound.
type Quota struct {
	Workspaces int     `json:"workspaces,omitempty" minimum:"-1" maximum:"100000" doc:"That exist."`
	Running    int     `json:"running,omitempty" minimum:"-1" maximum:"100000" doc:"That run or are paused at a time."`
	CPUs       float64 `json:"cpus,omitempty" minimum:"-1" maximum:"4096" doc:"Processors of each workspace, such as 1.5."`
	Memory     int64   `json:"memory,omitempty" minimum:"-1" doc:"Bytes, of each workspace."`
	PIDs       int64   `json:"pids,omitempty" minimum:"-1" doc:"Processes and threads of each workspace."`
	Disk       int64   `json:"disk,omitempty" minimum:"-1" doc:"Bytes, of each workspace."`

	AgentDayCost     float64 `json:"agentDayCost,omitempty" minimum:"-1" maximum:"1000000" doc:"US dollars that their agents may spend a day (UTC)."`
	AgentMonthCost   float64 `json:"agentMonthCost,omitempty" minimum:"-1" maximum:"1000000" doc:"US dollars that their agents may spend a month (UTC)."`
	AgentDayTokens   int64   `json:"agentDayTokens,omitempty" minimum:"-1" doc:"Tokens that their agents may use a day (UTC)."`
	AgentMonthTokens int64   `json:"agentMonthTokens,omitempty" minimum:"-1" doc:"Tokens that their agents may use a month (UTC)."`
}

// domain returns the quota as it is kept.
func (q Quota) domain() workspace.Quota {
	return workspace.Quota{
		Workspaces: q.Workspaces, Running: q.Running, CPUs: q.CPUs, Memory: q.Memory, PIDs: q.PIDs, Disk: q.Disk,
		AgentDayCost: micros(q.AgentDayCost), AgentMonthCost: micros(q.AgentMonthCost),
		AgentDayTokens: q.AgentDayTokens, AgentMonthTokens: q.AgentMonthTokens,
	}
}

func quotaView(q workspace.Quota) Quota {
	return Quota{
		Workspaces: q.Workspaces, Running: q.Running, CPUs: q.CPUs, Memory: q.Memory, PIDs: q.PIDs, Disk: q.Disk,
		AgentDayCost: quotaDollars(q.AgentDayCost), AgentMonthCost: quotaDollars(q.AgentMonthCost),
		AgentDayTokens: q.AgentDayTokens, AgentMonthTokens: q.AgentMonthTokens,
	}
}

// micros returns money as it is kept. What is not nothing stays so.
func micros(dollars float64) int64 {
	switch {
	case dollars < 0:
		return -1
	case dollars == 0:
		return 0
	}
	return max(1, int64(math.Round(dollars*1e6)))
}

// dollars returns money as people read it.
func dollars(micros int64) float64 { return float64(micros) / 1e6 }

func quotaDollars(micros int64) float64 {
	if micros < 0 {
		return -1
	}
	return dollars(micros)
}

// People is a list of people.
type People struct {
	People   []Person `json:"people" nullable:"false"`
	Defaults Quota    `json:"defaults" doc:"What everybody may use, unless their quota or their workspace's template says otherwise."`
}

// everybodys returns a quota that is in force, where 0 is no bound, as the API tells it.
func everybodys(q workspace.Quota) Quota {
	if q.Workspaces == 0 {
		q.Workspaces = -1
	}
	if q.Running == 0 {
		q.Running = -1
	}
	if q.CPUs == 0 {
		q.CPUs = -1
	}
	for _, n := range []*int64{&q.Memory, &q.PIDs, &q.Disk, &q.AgentDayCost, &q.AgentMonthCost, &q.AgentDayTokens, &q.AgentMonthTokens} {
		if *n == 0 {
			*n = -1
		}
	}
	return quotaView(q)
}

// PersonChange is what can be changed of a person.
type PersonChange struct {
	Role     string `json:"role,omitempty" enum:"admin,member"`
	Disabled *bool  `json:"disabled,omitempty" doc:"Whoever is disabled cannot sign in, and every session, token and grant of theirs ends."`
	Quota    *Quota `json:"quota,omitempty" doc:"Takes the place of the whole earlier one."`
}

// SignInLink is an address that signs somebody in, once.
type SignInLink struct {
	URL       string    `json:"url"`
	ExpiresAt time.Time `json:"expiresAt"`
}

type personInput struct {
	ID string `path:"id" maxLength:"64"`
}

type personChangeInput struct {
	ID   string `path:"id" maxLength:"64"`
	Body PersonChange
}

func personView(p identity.Person) Person {
	return Person{
		ID: p.ID, Name: p.Name, Email: p.Email, Role: string(p.Role), Disabled: p.Disabled, ByRule: p.ByRule, CreatedAt: p.CreatedAt, Quota: quotaView(p.Quota),
	}
}

func (h *Handler) peopleRoutes() {
	const tag = "people"
	huma.Register(h.huma, forAdmins(h.operation("GET", "/api/people", "listPeople", "List everybody, oldest first", 200, tag)),
		func(ctx context.Context, _ *struct{}) (*struct{ Body People }, error) {
			people, err := h.cfg.Identity.People(ctx)
			if err != nil {
				return nil, h.problem(err)
			}
			list := make([]Person, 0, len(people))
			for _, p := range people {
				list = append(list, personView(p))
			}
			defaults, err := h.cfg.Orchestrator.QuotaOf(ctx, "")
			if err != nil {
				return nil, h.problem(err)
			}
			if h.cfg.Agent.Budgets != nil {
				b := h.cfg.Agent.Budgets.Everybody()
				defaults.AgentDayCost, defaults.AgentMonthCost = b.DayCost, b.MonthCost
				defaults.AgentDayTokens, defaults.AgentMonthTokens = b.DayTokens, b.MonthTokens
			}
			return &struct{ Body People }{People{list, everybodys(defaults)}}, nil
		})
	huma.Register(h.huma, forAdmins(h.operation("PATCH", "/api/people/{id}", "changePerson", "Change somebody's role or quota, or disable them", 200, tag)),
		func(ctx context.Context, in *personChangeInput) (*struct{ Body Person }, error) {
			change := identity.PersonChange{Disabled: in.Body.Disabled}
			if in.Body.Role != "" {
				role := identity.Role(in.Body.Role)
				change.Role = &role
			}
			if in.Body.Quota != nil {
				quota := in.Body.Quota.domain()
				change.Quota = &quota
			}
			p, err := h.cfg.Identity.ChangePerson(ctx, callerOf(ctx), in.ID, change)
			if err != nil {
				return nil, h.problem(err)
			}
			return &struct{ Body Person }{personView(p)}, nil
		})
	// No token makes a session: that would outlive it.
	huma.Register(h.huma, forAdminsInPerson(h.operation("POST", "/api/people/{id}/sign-in-link", "createSignInLink", "Make an address that signs somebody in, once", 200, tag)),
		func(ctx context.Context, in *personInput) (*struct{ Body SignInLink }, error) {
			if !h.cfg.Links {
				return nil, huma.NewError(http.StatusConflict, "Sign-in by link is off here. Ask the operator to add login link to the configuration.")
			}
			p, err := h.cfg.Identity.Person(ctx, in.ID)
			if err != nil {
				return nil, h.problem(err)
			}
			if p.Disabled {
				return nil, huma.NewError(http.StatusConflict, "This person is disabled. Enable them first.")
			}
			address, expires, err := h.cfg.Identity.SignInLinkBy(ctx, callerOf(ctx), p)
			if err != nil {
				return nil, h.problem(err)
			}
			h.done(ctx, identity.ActionAdmin, "", "a sign-in link for "+p.ID+" "+p.Name)
			return &struct{ Body SignInLink }{SignInLink{URL: address, ExpiresAt: expires}}, nil
		})
}
