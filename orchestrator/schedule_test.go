package orchestrator_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/workspace"
)

func TestSchedule_IsCleaned(t *testing.T) {
	got, err := orchestrator.CleanSchedule(workspace.Schedule{
		Zone: "Europe/Vienna", WakeAt: "08:30", StopAt: "19:00", Days: []string{"Sun", " fri", "mon", "fri"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := workspace.Schedule{Zone: "Europe/Vienna", WakeAt: "08:30", StopAt: "19:00", Days: []string{"mon", "fri", "sun"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, s := range []workspace.Schedule{
		{Zone: "Europe/Vienna", Days: []string{"mon"}},
		{},
	} {
		if got, err := orchestrator.CleanSchedule(s); err != nil || !cmp.Equal(got, workspace.Schedule{}) {
			t.Errorf("%+v: %+v, %v", s, got, err)
		}
	}
	if got, _ := orchestrator.CleanSchedule(workspace.Schedule{StopAt: "19:00", Days: []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}}); got.Days != nil {
		t.Errorf("every day is %v", got.Days)
	}
}

func TestSchedule_NonsenseIsRefusedWithWhatToWrite(t *testing.T) {
	for _, c := range []struct {
		given workspace.Schedule
		says  string
	}{
		{workspace.Schedule{Zone: "Europe/Atlantis", StopAt: "19:00"}, "write a name like Europe/Vienna"},
		{workspace.Schedule{Zone: "Local", StopAt: "19:00"}, "write a name like Europe/Vienna"},
		{workspace.Schedule{Zone: "../../etc/passwd", StopAt: "19:00"}, "write a name like Europe/Vienna"},
		{workspace.Schedule{Zone: strings.Repeat("x", 1000), StopAt: "19:00"}, "write a name like Europe/Vienna"},
		{workspace.Schedule{StopAt: "24:00"}, "write it like 08:30"},
		{workspace.Schedule{StopAt: "7pm"}, "write it like 08:30"},
		{workspace.Schedule{WakeAt: "8:30"}, "write it like 08:30"},
		{workspace.Schedule{WakeAt: "08:30", StopAt: "08:30"}, "at the same time"},
		{workspace.Schedule{StopAt: "19:00", Days: []string{"funday"}}, "write mon, tue"},
	} {
		_, err := orchestrator.CleanSchedule(c.given)
		if err == nil || !strings.Contains(err.Error(), c.says) || len(err.Error()) > 250 {
			t.Errorf("%+v: error %v", c.given, err)
		}
	}
}

// The clocks of Vienna are set forward on 29 March 2026 at 02:00, and back on 25 October at 03:00.
func TestSchedule_WhenClocksAreSet(t *testing.T) {
	for name, c := range map[string]struct {
		zone, at, day string
		want          string // UTC
	}{
		"winter":                             {"Europe/Vienna", "08:30", "2026-01-15", "2026-01-15T07:30:00Z"},
		"summer":                             {"Europe/Vienna", "08:30", "2026-07-15", "2026-07-15T06:30:00Z"},
		"on the day, before":                 {"Europe/Vienna", "01:30", "2026-03-29", "2026-03-29T00:30:00Z"},
		"a time that is skipped":             {"Europe/Vienna", "02:30", "2026-03-29", "2026-03-29T01:00:00Z"},
		"the first that is skipped":          {"Europe/Vienna", "02:00", "2026-03-29", "2026-03-29T01:00:00Z"},
		"the first after":                    {"Europe/Vienna", "03:00", "2026-03-29", "2026-03-29T01:00:00Z"},
		"on the day, after":                  {"Europe/Vienna", "08:30", "2026-03-29", "2026-03-29T06:30:00Z"},
		"the day after":                      {"Europe/Vienna", "08:30", "2026-03-30", "2026-03-30T06:30:00Z"},
		"a time that comes twice":            {"Europe/Vienna", "02:30", "2026-10-25", "2026-10-25T00:30:00Z"},
		"the day after it was set back":      {"Europe/Vienna", "02:30", "2026-10-26", "2026-10-26T01:30:00Z"},
		"no zone is UTC":                     {"", "08:30", "2026-07-15", "2026-07-15T08:30:00Z"},
		"half an hour":                       {"Asia/Kolkata", "08:30", "2026-07-15", "2026-07-15T03:00:00Z"},
		"a shift of half an hour, skipped":   {"Australia/Lord_Howe", "02:15", "2026-10-04", "2026-10-03T15:30:00Z"},
		"midnight is skipped":                {"Africa/Cairo", "00:00", "2026-04-24", "2026-04-23T22:00:00Z"},
		"across the date line":               {"Pacific/Kiritimati", "08:30", "2026-07-15", "2026-07-14T18:30:00Z"},
		"a day that was left out altogether": {"Pacific/Apia", "08:30", "2011-12-30", "2011-12-30T10:00:00Z"},
	} {
		day, err := time.Parse("2006-01-02", c.day)
		if err != nil {
			t.Fatal(err)
		}
		if got := orchestrator.Instant(day, c.at, c.zone); got.UTC().Format(time.RFC3339) != c.want {
			t.Errorf("%s: %s, want %s", name, got.UTC().Format(time.RFC3339), c.want)
		}
	}
}

// scheduled returns a bedroom whose workspace has a schedule, at a time of 10 March 2026, a Tuesday, in
// UTC.
func scheduled(t *testing.T, s workspace.Schedule, hour, minute int) (*bedroom, workspace.ID) {
	t.Helper()
	b := newBedroom(t, orchestrator.Sleep{})
	b.clock.set(time.Date(2026, 3, 10, hour, minute, 0, 0, time.UTC))
	id := b.create(b.o)
	_, err := b.o.SetSchedule(t.Context(), "ann", id, s)
	b.must(err)
	return b, id
}

var office = workspace.Schedule{WakeAt: "08:30", StopAt: "19:00", Days: []string{"tue", "wed"}}

func TestSchedule_WakesAndStops(t *testing.T) {
	b, id := scheduled(t, office, 8, 29)
	b.look(id)
	b.wantState(id, workspace.StateStopped)
	b.clock.later(time.Minute)
	b.look(id)
	b.wantState(id, workspace.StateRunning)
	if a := b.o.Awake(b.record(id)); a.Next != workspace.StateStopped || !a.SleepsAt.Equal(time.Date(2026, 3, 10, 19, 0, 0, 0, time.UTC)) {
		t.Errorf("awake %+v", a)
	}
	b.clock.set(time.Date(2026, 3, 10, 18, 59, 59, 0, time.UTC))
	b.look(id)
	b.wantState(id, workspace.StateRunning)
	b.clock.later(time.Second)
	b.look(id)
	if got := b.wantState(id, workspace.StateStopped); got.Reason != "stopped by its schedule" || got.Desired != workspace.StateStopped {
		t.Errorf("record %+v", got)
	}
	if b.sleeps("stopped", "schedule") != 1 {
		t.Error("the metrics do not tell")
	}
	b.clock.set(time.Date(2026, 3, 12, 8, 31, 0, 0, time.UTC)) // a Thursday
	b.look(id)
	b.wantState(id, workspace.StateStopped)
}

func TestSchedule_WhatWasMissedIsDoneIfItIsNotTooLate(t *testing.T) {
	for _, c := range []struct {
		late time.Duration
		want workspace.State
	}{{15 * time.Minute, workspace.StateRunning}, {15*time.Minute + time.Second, workspace.StateStopped}} {
		t.Run(c.late.String(), func(t *testing.T) {
			b, id := scheduled(t, office, 8, 0)
			b.clock.set(time.Date(2026, 3, 10, 8, 30, 0, 0, time.UTC).Add(c.late))
			b.look(id)
			b.wantState(id, c.want)
		})
	}
}

func TestSchedule_APersonsWillIsNewer(t *testing.T) {
	b, id := scheduled(t, office, 8, 30)
	b.clock.later(5 * time.Minute)
	b.wake(b.o, id)
	b.must(b.end(b.o.Stop(id, "stopped by ann")))
	b.look(id)
	b.wantState(id, workspace.StateStopped) // it is not woken again
	b.clock.set(time.Date(2026, 3, 10, 19, 1, 0, 0, time.UTC))
	b.wake(b.o, id)
	b.look(id)
	b.wantState(id, workspace.StateRunning) // nor stopped
}

func TestSchedule_ThatIsSetLateDoesNothingForTheTimeBefore(t *testing.T) {
	b, id := scheduled(t, workspace.Schedule{}, 8, 0)
	b.clock.later(35 * time.Minute)
	_, err := b.o.SetSchedule(t.Context(), "ann", id, office)
	b.must(err)
	b.look(id)
	b.wantState(id, workspace.StateStopped)
}

func TestSchedule_AKeepAwakePutsTheStopOff(t *testing.T) {
	b, id := scheduled(t, office, 18, 0)
	b.wake(b.o, id)
	_, err := b.o.KeepAwake(t.Context(), "ann", id, time.Date(2026, 3, 10, 19, 10, 0, 0, time.UTC))
	b.must(err)
	b.clock.set(time.Date(2026, 3, 10, 19, 5, 0, 0, time.UTC))
	b.look(id)
	b.wantState(id, workspace.StateRunning)
	b.clock.later(6 * time.Minute)
	b.look(id)
	b.wantState(id, workspace.StateStopped)
}

func TestSchedule_AFailureIsNotTriedOverAndOver(t *testing.T) {
	b, id := scheduled(t, office, 8, 0)
	b.boots(runtimetest.Boot{Failed: "no"})
	b.clock.set(time.Date(2026, 3, 10, 8, 30, 0, 0, time.UTC))
	for range 5 {
		b.look(id)
		b.clock.later(20 * time.Second)
	}
	b.wantState(id, workspace.StateError)
	if n := b.runtime.Calls(runtimetest.Start); n != 1 {
		t.Errorf("%d starts, want 1", n)
	}
}

func TestSchedule_TwoGatewaysDoItOnce(t *testing.T) {
	b, id := scheduled(t, office, 8, 0)
	other := b.second()
	other.SetClock(b.clock.now)
	b.must(other.Load(t.Context()))
	b.clock.set(time.Date(2026, 3, 10, 8, 30, 0, 0, time.UTC))
	b.o.LookAround()
	other.LookAround()
	b.eventually("both are done", func() bool { return b.o.Operation(id) == nil && other.Operation(id) == nil })
	b.wantState(id, workspace.StateRunning)
	if n := b.runtime.Calls(runtimetest.Start); n != 1 {
		t.Errorf("%d starts, want 1", n)
	}
	b.must(b.end(b.o.Stop(id, "stopped by ann"))) // and nobody wakes it again
	for range 3 {
		other.LookAround()
		b.look(id)
	}
	b.eventually("all is done", func() bool { return other.Operation(id) == nil })
	b.wantState(id, workspace.StateStopped)
}

func TestSchedule_OfAnotherIsNotFound(t *testing.T) {
	b, id := scheduled(t, office, 8, 0)
	_, err := b.o.SetSchedule(t.Context(), "eve", id, workspace.Schedule{})
	b.wantErr(err, workspace.ErrNotFound)
	_, err = b.o.SetSchedule(t.Context(), "ann", id, workspace.Schedule{StopAt: "noon"})
	b.wantErr(err, workspace.ErrInvalidSchedule)
	want := office
	want.SetAt = b.clock.now()
	if diff := cmp.Diff(want, b.record(id).Schedule); diff != "" {
		t.Error(diff)
	}
}
