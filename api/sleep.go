package api

import (
	"context"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/workspace"
)

// Awake is why a workspace is awake, and when it will sleep.
type Awake struct {
	Reason   string     `json:"reason" doc:"What used it last, or keeps it awake: typing, selection, save, focus, terminal, preview, agent, keep-alive, cpu, opened, started or others."`
	Since    *time.Time `json:"since,omitempty" doc:"When that was, or since when it lasts."`
	SleepsAt *time.Time `json:"sleepsAt,omitempty" doc:"When it will sleep unless it is used; missing while it will not."`
	Next     string     `json:"next,omitempty" enum:"paused,stopped" doc:"What it will be then."`
}

// Schedule is when a workspace is woken and stopped by the clock.
type Schedule struct {
	Zone   string   `json:"zone,omitempty" maxLength:"64" doc:"IANA name, such as Europe/Vienna; missing is UTC."`
	WakeAt string   `json:"wakeAt,omitempty" maxLength:"8" doc:"As 08:30; missing is never."`
	StopAt string   `json:"stopAt,omitempty" maxLength:"8" doc:"As 19:00; missing is never."`
	Days   []string `json:"days,omitempty" nullable:"false" maxItems:"7" uniqueItems:"true" enum:"mon,tue,wed,thu,fri,sat,sun" doc:"Missing is every day."`
}

// Start is the newest wake, as far as it came.
type Start struct {
	At     time.Time `json:"at" doc:"It was asked for."`
	From   string    `json:"from,omitempty" doc:"The state that it began in."`
	Stages []Stage   `json:"stages" nullable:"false" doc:"In the order in which they came."`
	Error  string    `json:"error,omitempty" doc:"How it failed."`
}

// Stage is one step of a start.
type Stage struct {
	Name  string    `json:"name" doc:"queued, stop, container, start, editor or others."`
	At    time.Time `json:"at"`
	Took  *float64  `json:"took,omitempty" doc:"Seconds; missing while it lasts."`
	Lines []string  `json:"lines,omitempty" nullable:"false" doc:"What was reported meanwhile."`
}

// Queue is a place among the starts that wait for their turn.
type Queue struct {
	Place int `json:"place" doc:"1 is the next."`
	Of    int `json:"of"`
}

// ResourceLimits are what a workspace may use; 0 is no bound.
type ResourceLimits struct {
	CPUs   float64 `json:"cpus" doc:"Processors, such as 1.5; 0 is no bound."`
	Memory int64   `json:"memory" doc:"Bytes; 0 is no bound."`
	PIDs   int64   `json:"pids" doc:"Processes and threads; 0 is no bound."`
	Disk   int64   `json:"disk" doc:"Bytes; 0 is no bound."`
}

// KeepAwake is for how long a workspace shall not sleep by itself.
type KeepAwake struct {
	Hours float64 `json:"hours" exclusiveMinimum:"0" maximum:"720" doc:"From now on."`
}

type keepAwakeInput struct {
	ID   string `path:"id" maxLength:"64" doc:"Workspace id: the first label of its address."`
	Body KeepAwake
}

type scheduleInput struct {
	ID   string `path:"id" maxLength:"64" doc:"Workspace id: the first label of its address."`
	Body Schedule
}

// optional returns nil for the zero time.
func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func awakeView(a orchestrator.Awake) *Awake {
	return &Awake{Reason: a.Reason, Since: optional(a.Since), SleepsAt: optional(a.SleepsAt), Next: string(a.Next)}
}

func scheduleView(s workspace.Schedule) *Schedule {
	if s.WakeAt == "" && s.StopAt == "" {
		return nil
	}
	return &Schedule{Zone: s.Zone, WakeAt: s.WakeAt, StopAt: s.StopAt, Days: s.Days}
}

func startView(s workspace.Start) *Start {
	if s.At.IsZero() {
		return nil
	}
	v := &Start{At: s.At, From: string(s.From), Stages: make([]Stage, 0, len(s.Stages)), Error: s.Error}
	for _, stage := range s.Stages {
		view := Stage{Name: stage.Name, At: stage.At, Lines: stage.Lines}
		if stage.Took > 0 {
			took := stage.Took.Seconds()
			view.Took = &took
		}
		v.Stages = append(v.Stages, view)
	}
	return v
}

func limitsView(q workspace.Quota) ResourceLimits {
	return ResourceLimits{CPUs: max(q.CPUs, 0), Memory: max(q.Memory, 0), PIDs: max(q.PIDs, 0), Disk: max(q.Disk, 0)}
}

// place returns where a workspace is among those that wait to be started; zero where it does not wait.
func (h *Handler) place(id workspace.ID) (q Queue) {
	if op := h.cfg.Orchestrator.Waking(id); op != nil {
		q.Place, q.Of = op.Place()
	}
	return q
}

func (h *Handler) sleepRoutes() {
	const tag = "workspaces"
	begin := func(verb, id, summary, action string, begin func(w *workspace.Workspace, by string) *orchestrator.Operation) {
		huma.Register(h.huma, scoped(h.operation("POST", "/api/workspaces/{id}/"+verb, id, summary, 202, tag), identity.ScopeWrite),
			func(ctx context.Context, in *idInput) (*workspaceOutput, error) {
				w, err := h.workspace(ctx, in.ID)
				if err != nil {
					return nil, h.problem(err)
				}
				h.done(ctx, action, w.ID, w.Name)
				return h.begun(ctx, w, begin(w, callerOf(ctx).Person.Name))
			})
	}
	begin("pause", "pauseWorkspace", "Pause a workspace: it keeps its memory", identity.ActionPause,
		func(w *workspace.Workspace, by string) *orchestrator.Operation {
			return h.cfg.Orchestrator.Pause(w.ID, "paused by "+by)
		})
	begin("restart", "restartWorkspace", "Stop a workspace and start it again", identity.ActionRestart,
		func(w *workspace.Workspace, by string) *orchestrator.Operation {
			return h.cfg.Orchestrator.Restart(w.ID, "restarted by "+by)
		})
	begin("rebuild", "rebuildWorkspace", "Make a new container of the current image on a workspace's files, and start it", identity.ActionRebuild,
		func(w *workspace.Workspace, _ string) *orchestrator.Operation {
			return h.cfg.Orchestrator.Rebuild(w.ID)
		})

	keepAwake := func(ctx context.Context, raw string, until time.Time, detail string) (*workspaceOutput, error) {
		w, err := h.workspace(ctx, raw)
		if err != nil {
			return nil, h.problem(err)
		}
		w, err = h.cfg.Orchestrator.KeepAwake(ctx, w.Owner, w.ID, until)
		if err == nil {
			h.done(ctx, identity.ActionKeepAwake, w.ID, detail)
		}
		return h.output(w, err)
	}
	huma.Register(h.huma, scoped(h.operation("PUT", "/api/workspaces/{id}/keep-awake", "keepAwake", "Keep a workspace from sleeping by itself for some hours", 200, tag), identity.ScopeWrite),
		func(ctx context.Context, in *keepAwakeInput) (*workspaceOutput, error) {
			until := time.Now().UTC().Add(time.Duration(in.Body.Hours * float64(time.Hour))).Truncate(time.Second)
			return keepAwake(ctx, in.ID, until, "until "+until.Format(time.RFC3339))
		})
	huma.Register(h.huma, scoped(h.operation("DELETE", "/api/workspaces/{id}/keep-awake", "endKeepAwake", "Let a workspace sleep again", 200, tag), identity.ScopeWrite),
		func(ctx context.Context, in *idInput) (*workspaceOutput, error) {
			return keepAwake(ctx, in.ID, time.Time{}, "ended")
		})

	schedule := func(ctx context.Context, raw string, s workspace.Schedule) (*workspaceOutput, error) {
		w, err := h.workspace(ctx, raw)
		if err != nil {
			return nil, h.problem(err)
		}
		w, err = h.cfg.Orchestrator.SetSchedule(ctx, w.Owner, w.ID, s)
		if err == nil {
			h.done(ctx, identity.ActionSchedule, w.ID, describeSchedule(w.Schedule))
		}
		return h.output(w, err)
	}
	huma.Register(h.huma, scoped(h.operation("PUT", "/api/workspaces/{id}/schedule", "setSchedule", "Say when a workspace is woken and stopped by the clock", 200, tag), identity.ScopeWrite),
		func(ctx context.Context, in *scheduleInput) (*workspaceOutput, error) {
			return schedule(ctx, in.ID, workspace.Schedule{Zone: in.Body.Zone, WakeAt: in.Body.WakeAt, StopAt: in.Body.StopAt, Days: in.Body.Days})
		})
	huma.Register(h.huma, scoped(h.operation("DELETE", "/api/workspaces/{id}/schedule", "clearSchedule", "Clear the schedule of a workspace", 200, tag), identity.ScopeWrite),
		func(ctx context.Context, in *idInput) (*workspaceOutput, error) {
			return schedule(ctx, in.ID, workspace.Schedule{})
		})
}

// describeSchedule says what a schedule is, e.g. "wake 08:30, stop 19:00 on mon tue (Europe/Vienna)".
func describeSchedule(s workspace.Schedule) string {
	var parts []string
	if s.WakeAt != "" {
		parts = append(parts, "wake "+s.WakeAt)
	}
	if s.StopAt != "" {
		parts = append(parts, "stop "+s.StopAt)
	}
	if len(parts) == 0 {
		return "cleared"
	}
	text := strings.Join(parts, ", ")
	if len(s.Days) > 0 {
		text += " on " + strings.Join(s.Days, " ")
	}
	zone := s.Zone
	if zone == "" {
		zone = "UTC"
	}
	return text + " (" + zone + ")"
}
