package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/api"
	"github.com/kalpana-dev/kalpana/workspace"
)

// running makes a workspace that runs.
func (b *browser) running(name string) api.Workspace {
	b.t.Helper()
	id := b.create(name).ID
	b.must(202, "POST", "/api/workspaces/"+id+"/start", nil)
	return b.await(id, "running")
}

func TestSleep_AWorkspaceIsPausedWokenRestartedAndRebuilt(t *testing.T) {
	s := newSite(t)
	asha := s.signIn("Asha")
	w := asha.running("x")
	path := "/api/workspaces/" + w.ID
	if w.Awake == nil || w.Awake.Reason != "started" || w.Awake.Since == nil || w.Desired != "running" {
		t.Errorf("running: %+v", w)
	}
	if a := w.Awake; a.SleepsAt == nil || a.SleepsAt.Sub(*a.Since) != 10*time.Minute || a.Next != "paused" {
		t.Errorf("awake: %+v", a)
	}
	asha.must(202, "POST", path+"/pause", nil)
	paused := asha.await(w.ID, "paused")
	if paused.Reason != "paused by Asha" || paused.Desired != "paused" || paused.Awake == nil || paused.StateSince == nil || !paused.StateSince.After(*w.StateSince) {
		t.Errorf("paused: %+v", paused)
	}
	if a := paused.Awake; a.SleepsAt == nil || a.SleepsAt.Sub(*paused.StateSince).Round(time.Minute) != time.Hour || a.Next != "stopped" {
		t.Errorf("asleep: %+v", a)
	}
	asha.must(202, "POST", path+"/pause", nil) // already
	asha.must(202, "POST", path+"/start", nil)
	asha.await(w.ID, "running")

	before := s.containerOf(t, w.ID)
	restarted := asha.again("restart", w)
	if names := stageNames(restarted.Start); !strings.HasPrefix(names, "queued stop ") || !strings.HasSuffix(names, " editor") {
		t.Errorf("stages of a restart: %s", names)
	}
	if got := s.containerOf(t, w.ID); got != before {
		t.Errorf("a restart changed the container: %s, was %s", got, before)
	}
	asha.again("rebuild", restarted)
	if got := s.containerOf(t, w.ID); got == before {
		t.Error("a rebuild kept the container")
	}
	asha.must(202, "POST", path+"/stop", nil)
	if stopped := asha.await(w.ID, "stopped"); stopped.Awake != nil || stopped.Start == nil {
		t.Errorf("stopped: %+v", stopped)
	}
}

// On a bubble's clock, the moment that a start or a pause is given lasts until it has failed.
func TestPause_OfAStoppedOneIsRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, s *online) {
		asha := s.signIn("Asha")
		p := problemOf(t, asha.must(409, "POST", "/api/workspaces/"+asha.create("x").ID+"/pause", nil))
		if !strings.Contains(p.Detail, "does not run") {
			t.Errorf("%q", p.Detail)
		}
	})
}

// again asks for a restart or a rebuild of a workspace that runs, and waits until it runs again.
func (b *browser) again(verb string, before api.Workspace) api.Workspace {
	b.t.Helper()
	path := "/api/workspaces/" + before.ID
	b.must(202, "POST", path+"/"+verb, nil)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		w := decode[api.Workspace](b.t, b.must(200, "GET", path, nil))
		if n := len(w.Start.Stages); w.State == "running" && w.Start.At.After(before.Start.At) && w.Start.Stages[n-1].Took != nil {
			return w
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("after %s: %+v", verb, w)
		}
	}
}

// containerOf returns the container of a workspace, of which there must be one.
func (s *site) containerOf(t *testing.T, id string) string {
	t.Helper()
	list, err := s.engine.Containers(t.Context())
	if err != nil || len(list) != 1 || list[0].Workspace != workspace.ID(id) {
		t.Fatalf("containers %+v, %v", list, err)
	}
	return list[0].ID
}

func stageNames(s *api.Start) string {
	if s == nil {
		return ""
	}
	var names []string
	for _, stage := range s.Stages {
		names = append(names, stage.Name)
	}
	return strings.Join(names, " ")
}

func TestStart_TellsItsStagesAndTheirTimes(t *testing.T) {
	asha := newSite(t).signIn("Asha")
	made := asha.create("x")
	if made.Start != nil {
		t.Errorf("before the first: %+v", made.Start)
	}
	asha.must(202, "POST", "/api/workspaces/"+made.ID+"/start", nil)
	got := asha.await(made.ID, "running").Start
	if names := stageNames(got); names != "queued container start editor" {
		t.Fatalf("stages %q", names)
	}
	if got.From != "stopped" || got.Error != "" || got.At.Before(made.CreatedAt) {
		t.Errorf("%+v", got)
	}
	at := got.At
	for _, stage := range got.Stages {
		if stage.Took == nil || *stage.Took <= 0 || *stage.Took > 60 || stage.At.Before(at) {
			t.Errorf("%s at %v took %v", stage.Name, stage.At, stage.Took)
		}
		at = stage.At
	}
}

func TestStart_OneThatFailedSaysHow(t *testing.T) {
	inBubble(t, func(t *testing.T, s *online) {
		asha := s.signIn("Asha")
		id := asha.create("x").ID
		s.engine.fail(workspace.ErrImageMissing)
		asha.must(503, "POST", "/api/workspaces/"+id+"/start", nil)
		got := asha.await(id, "error").Start
		if got == nil || !strings.Contains(got.Error, "image") || stageNames(got) != "queued container" {
			t.Errorf("%+v", got)
		}
	})
}

func TestEvents_CarryTheStagesOfAStart(t *testing.T) {
	inBubble(t, func(t *testing.T, s *online) {
		asha := s.signIn("Asha")
		id := asha.create("x").ID
		events := s.events(asha)
		events.must("snapshot", nil)
		asha.must(202, "POST", "/api/workspaces/"+id+"/start", nil)
		var seen []string
		for {
			var w api.Workspace
			events.must("workspace", &w)
			if w.Start != nil {
				last := w.Start.Stages[len(w.Start.Stages)-1]
				if lasts := last.Took == nil; lasts && (len(seen) == 0 || seen[len(seen)-1] != last.Name) {
					seen = append(seen, last.Name)
				}
			}
			if w.State == "running" {
				break
			}
		}
		if got := strings.Join(seen, " "); !strings.HasSuffix(got, "container start editor") {
			t.Errorf("stages that were under way: %q", got)
		}
	})
}

func TestEvents_TellThePlaceOfAStartThatWaits(t *testing.T) {
	inBubble(t, func(t *testing.T, s *online) {
		asha := s.signIn("Asha")
		one, two := asha.create("one").ID, asha.create("two").ID
		release := s.engine.block()
		defer release()
		asha.must(202, "POST", "/api/workspaces/"+one+"/start", nil)
		events := s.events(asha)
		events.must("snapshot", nil)
		waits := decode[api.Workspace](t, asha.must(202, "POST", "/api/workspaces/"+two+"/start", nil))
		if waits.Queue == nil || *waits.Queue != (api.Queue{Place: 1, Of: 1}) || waits.State != "stopped" || stageNames(waits.Start) != "queued" {
			t.Errorf("%+v", waits)
		}
		until := func(ok func(api.Workspace) bool) {
			t.Helper()
			for {
				var w api.Workspace
				if events.must("workspace", &w); w.ID == two && ok(w) {
					return
				}
			}
		}
		until(func(w api.Workspace) bool { return w.Queue != nil && *w.Queue == api.Queue{Place: 1, Of: 1} })
		asha.must(202, "POST", "/api/workspaces/"+two+"/stop", nil) // it need not start after all
		until(func(w api.Workspace) bool { return w.Queue == nil && w.State == "stopped" })
		asha.must(202, "POST", "/api/workspaces/"+two+"/start", nil)
		until(func(w api.Workspace) bool { return w.Queue != nil })
		release()
		until(func(w api.Workspace) bool { return w.Queue == nil && w.State == "running" })
	})
}

func TestQuota_HoldsAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, s *online) {
		admin, asha := s.admin(), s.signIn("Asha")
		first, second := asha.running("first"), asha.create("second")
		path := "/api/people/" + asha.caller().Person.ID
		admin.must(200, "PATCH", path, map[string]any{"quota": api.Quota{Workspaces: 2, Running: 1, Memory: 1 << 30}})
		if me := decode[api.Me](t, asha.must(200, "GET", "/api/me", nil)); me.WorkspaceLimit != 2 || me.RunningLimit != 1 {
			t.Errorf("%+v", me)
		}
		if got := decode[api.Workspace](t, asha.must(200, "GET", "/api/workspaces/"+second.ID, nil)).Limits; got != (api.ResourceLimits{Memory: 1 << 30}) {
			t.Errorf("limits %+v", got)
		}
		asha.must(403, "POST", "/api/workspaces", map[string]any{"name": "third", "template": "blank"})
		p := problemOf(t, asha.must(409, "POST", "/api/workspaces/"+second.ID+"/start", nil))
		if !strings.Contains(p.Detail, "running") || !strings.Contains(p.Detail, "first") {
			t.Errorf("the refusal does not say what runs: %q", p.Detail)
		}
		asha.must(202, "POST", "/api/workspaces/"+first.ID+"/stop", nil)
		asha.await(first.ID, "stopped")
		asha.must(202, "POST", "/api/workspaces/"+second.ID+"/start", nil)
		asha.await(second.ID, "running")
	})
}

func TestKeepAwake_BeginsAndEnds(t *testing.T) {
	asha := newSite(t).signIn("Asha")
	path := "/api/workspaces/" + asha.running("x").ID + "/keep-awake"
	kept := decode[api.Workspace](t, asha.must(200, "PUT", path, map[string]any{"hours": 2.5}))
	if kept.KeepAwakeUntil == nil || time.Until(*kept.KeepAwakeUntil).Round(time.Minute) != 150*time.Minute {
		t.Errorf("until %v", kept.KeepAwakeUntil)
	}
	if a := kept.Awake; a.Reason != "keep-alive" || a.SleepsAt == nil || a.SleepsAt.Before(*kept.KeepAwakeUntil) {
		t.Errorf("kept awake: %+v", a)
	}
	for range 2 { // once more is no error
		if w := decode[api.Workspace](t, asha.must(200, "DELETE", path, nil)); w.KeepAwakeUntil != nil {
			t.Errorf("ended: %v", w.KeepAwakeUntil)
		}
	}
	// 24 h at most, unless the operator says otherwise.
	p := problemOf(t, asha.must(422, "PUT", path, map[string]any{"hours": 48}))
	if len(p.Errors) != 1 || p.Errors[0].Location != "body.hours" || !strings.Contains(p.Detail, "the longest is") {
		t.Errorf("%+v", p)
	}
	for _, hours := range []any{0, -1, 721, "2", nil} {
		p := problemOf(t, asha.must(422, "PUT", path, map[string]any{"hours": hours}))
		if len(p.Errors) != 1 || p.Errors[0].Location != "body.hours" {
			t.Errorf("%v hours: %+v", hours, p)
		}
	}
}

func TestSchedule_IsSetReadAndCleared(t *testing.T) {
	asha := newSite(t).signIn("Asha")
	path := "/api/workspaces/" + asha.create("x").ID
	want := &api.Schedule{Zone: "Europe/Vienna", WakeAt: "08:30", StopAt: "19:00", Days: []string{"mon", "fri"}}
	asha.must(200, "PUT", path+"/schedule", want)
	if diff := cmp.Diff(want, decode[api.Workspace](t, asha.must(200, "GET", path, nil)).Schedule); diff != "" {
		t.Error(diff)
	}
	only := &api.Schedule{StopAt: "19:00"}
	if diff := cmp.Diff(only, decode[api.Workspace](t, asha.must(200, "PUT", path+"/schedule", only)).Schedule); diff != "" {
		t.Errorf("the whole is replaced: %s", diff)
	}
	if w := decode[api.Workspace](t, asha.must(200, "DELETE", path+"/schedule", nil)); w.Schedule != nil {
		t.Errorf("cleared: %+v", w.Schedule)
	}
	for _, body := range []map[string]any{{"wakeAt": "25:00"}, {"stopAt": "8"}, {"stopAt": "19:00", "zone": "Mars/Base"}} {
		p := problemOf(t, asha.must(422, "PUT", path+"/schedule", body))
		if len(p.Errors) != 1 || p.Errors[0].Location != "body.schedule" || strings.Count(p.Detail, " ") < 3 {
			t.Errorf("%v: %+v", body, p)
		}
	}
	for _, body := range []map[string]any{{"days": []string{"monday"}}, {"days": []string{"mon", "mon"}}, {"wakeAt": "08:30 in the morning"}, {"wakeAt": 8}, {"every": "day"}} {
		asha.must(422, "PUT", path+"/schedule", body)
	}
}

func TestSleep_OfOtherPeopleDoesNotExist(t *testing.T) {
	s := newSite(t)
	asha, ravi := s.signIn("Asha"), s.signIn("Ravi")
	hers := asha.running("hers").ID
	for _, id := range []string{hers, string(workspace.NewID())} {
		path := "/api/workspaces/" + id
		for _, verb := range []string{"/pause", "/restart", "/rebuild"} {
			ravi.must(404, "POST", path+verb, nil)
		}
		ravi.must(404, "PUT", path+"/keep-awake", map[string]any{"hours": 1})
		ravi.must(404, "DELETE", path+"/keep-awake", nil)
		ravi.must(404, "PUT", path+"/schedule", map[string]any{"stopAt": "19:00"})
		ravi.must(404, "DELETE", path+"/schedule", nil)
	}
	w := decode[api.Workspace](t, asha.must(200, "GET", "/api/workspaces/"+hers, nil))
	if w.State != "running" || w.KeepAwakeUntil != nil || w.Schedule != nil {
		t.Errorf("hers afterwards: %+v", w)
	}
}

func TestAudit_HasWhatPeopleSayOfSleep(t *testing.T) {
	s := newSite(t)
	admin, asha := s.admin(), s.signIn("Asha")
	w := asha.running("mine")
	id, path := w.ID, "/api/workspaces/"+w.ID
	asha.must(202, "POST", path+"/pause", nil)
	asha.await(id, "paused")
	asha.again("rebuild", asha.again("restart", w))
	asha.must(200, "DELETE", path+"/keep-awake", nil)
	asha.must(200, "PUT", path+"/schedule", map[string]any{"stopAt": "19:00", "wakeAt": "08:30", "days": []string{"mon", "tue"}})
	asha.must(200, "PUT", path+"/schedule", map[string]any{"stopAt": "19:00", "zone": "Asia/Kolkata"})
	asha.must(200, "DELETE", path+"/schedule", nil)
	var got []string
	for _, e := range admin.audit("?limit=500&workspace=" + id) {
		got = append(got, e.Action+": "+e.Detail)
	}
	want := []string{
		"create: mine", "start: mine", "pause: mine", "restart: mine", "rebuild: mine", "keep-awake: ended",
		"schedule: wake 08:30, stop 19:00 on mon tue (UTC)", "schedule: stop 19:00 (Asia/Kolkata)", "schedule: cleared",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPeople_AQuotaIsSetAndRecorded(t *testing.T) {
	s := newSite(t)
	admin, asha := s.admin(), s.signIn("Asha")
	path := "/api/people/" + asha.caller().Person.ID
	want := api.Quota{Workspaces: 12, Running: 2, CPUs: 1.5, Memory: 4 << 30, Disk: -1, AgentDayCost: 2.5, AgentMonthTokens: -1}
	if got := decode[api.Person](t, admin.must(200, "PATCH", path, map[string]any{"quota": want})); got.Quota != want || got.Role != "member" {
		t.Errorf("%+v", got)
	}
	if got := decode[api.Person](t, admin.must(200, "PATCH", path, map[string]any{"role": "admin"})); got.Quota != want {
		t.Errorf("another change lost it: %+v", got)
	}
	list := decode[api.People](t, admin.must(200, "GET", "/api/people", nil))
	if want := (api.Quota{
		Workspaces: 5, Running: 3, CPUs: -1, Memory: -1, PIDs: -1, Disk: -1,
		AgentDayCost: 5, AgentMonthCost: -1, AgentDayTokens: -1, AgentMonthTokens: -1,
	}); list.Defaults != want {
		t.Errorf("defaults %+v", list.Defaults)
	}
	people := list.People
	if len(people) != 2 || people[1].Quota != want || people[0].Quota != (api.Quota{}) {
		t.Errorf("%+v", people)
	}
	if got := decode[api.Person](t, admin.must(200, "PATCH", path, map[string]any{"quota": api.Quota{Running: 3}})); got.Quota != (api.Quota{Running: 3}) {
		t.Errorf("the whole is replaced: %+v", got)
	}
	admin.must(200, "PATCH", path, map[string]any{"quota": api.Quota{}})
	for field, value := range map[string]any{"workspaces": -2, "running": 1.5, "cpus": "2", "memory": -2, "gpus": 1, "agentDayCost": "5", "agentMonthTokens": 0.5} {
		p := problemOf(t, admin.must(422, "PATCH", path, map[string]any{"quota": map[string]any{field: value}}))
		if len(p.Errors) != 1 || p.Errors[0].Location != "body.quota."+field {
			t.Errorf("%s %v: %+v", field, value, p)
		}
	}
	var got []string
	for _, e := range admin.audit("?limit=500&action=admin") {
		if strings.Contains(e.Detail, "quota") {
			_, detail, _ := strings.Cut(e.Detail, " ")
			got = append(got, detail)
		}
	}
	wantEvents := []string{
		"Asha: quota is now workspaces 12, running 2, cpus 1.5, memory 4294967296, disk unlimited, agent dollars a day 2.5, agent tokens a month unlimited",
		"Asha: quota is now running 3",
		"Asha: quota is now as for everybody",
	}
	if diff := cmp.Diff(wantEvents, got); diff != "" {
		t.Error(diff)
	}
}
