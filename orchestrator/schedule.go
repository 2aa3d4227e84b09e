package orchestrator

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // hosts and images without zone files know them too

	"github.com/kalpana-dev/kalpana/workspace"
)

// scheduleLate is how late a schedule is still followed, where no gateway ran in time.
const scheduleLate = 15 * time.Minute

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} // by time.Weekday

// CleanSchedule returns s in its canonical form, or an error that is workspace.ErrInvalidSchedule and
// says what is wrong.
func CleanSchedule(s workspace.Schedule) (workspace.Schedule, error) {
	wrong := func(format string, args ...any) (workspace.Schedule, error) {
		return s, fmt.Errorf("%w: "+format, append([]any{workspace.ErrInvalidSchedule}, args...)...)
	}
	if len(s.Zone) > 64 || s.Zone == "Local" {
		return wrong("%.64q is no time zone; write a name like Europe/Vienna or UTC", s.Zone)
	}
	if _, err := time.LoadLocation(s.Zone); err != nil {
		return wrong("%q is no time zone; write a name like Europe/Vienna or UTC", s.Zone)
	}
	for _, at := range []string{s.WakeAt, s.StopAt} {
		if _, _, ok := clock(at); at != "" && !ok {
			return wrong("%.20q is no time of day; write it like 08:30 or 19:00", at)
		}
	}
	if s.WakeAt != "" && s.WakeAt == s.StopAt {
		return wrong("it cannot be woken and stopped at the same time")
	}
	var days []string
	for _, d := range s.Days {
		d = strings.ToLower(strings.TrimSpace(d))
		if !slices.Contains(weekdays, d) {
			return wrong("%.20q is no day of the week; write mon, tue, wed, thu, fri, sat or sun", d)
		}
		if !slices.Contains(days, d) {
			days = append(days, d)
		}
	}
	slices.SortFunc(days, func(a, b string) int { // Monday first
		return (slices.Index(weekdays, a)+6)%7 - (slices.Index(weekdays, b)+6)%7
	})
	if len(days) == len(weekdays) {
		days = nil
	}
	s.Days, s.SetAt = days, time.Time{}
	if s.WakeAt == "" && s.StopAt == "" {
		return workspace.Schedule{}, nil
	}
	return s, nil
}

// clock reads "08:30".
func clock(text string) (hour, minute int, ok bool) {
	t, err := time.Parse("15:04", text)
	if err != nil || len(text) != len("08:30") {
		return 0, 0, false
	}
	return t.Hour(), t.Minute(), true
}

// SetSchedule sets when person's workspace is stopped and woken by the clock; the zero schedule is
// never. Errors: ErrNotFound, ErrInvalidSchedule, ErrBusy while it is being deleted, or the store's.
func (o *Orchestrator) SetSchedule(ctx context.Context, person string, id workspace.ID, s workspace.Schedule) (*workspace.Workspace, error) {
	s, err := CleanSchedule(s)
	if err != nil {
		return nil, err
	}
	if _, err := o.Get(ctx, person, id); err != nil {
		return nil, err
	}
	return o.update(ctx, id, func(w *workspace.Workspace) error {
		if w.State == workspace.StateDeleting {
			return workspace.ErrBusy
		}
		w.Schedule = s
		if s.WakeAt != "" || s.StopAt != "" {
			w.Schedule.SetAt = recordTime(o.now())
		}
		return nil
	})
}

// instant returns when the clocks of a place show a time of a day. Where they show it twice, since they
// are set back, it is the first time; where they skip it, it is the moment at which they are set
// forward.
func instant(year int, month time.Month, day, hour, minute int, zone *time.Location) time.Time {
	wall := time.Date(year, month, day, hour, minute, 0, 0, time.UTC)
	_, before := wall.Add(-36 * time.Hour).In(zone).Zone() // clocks are never set twice in three days
	_, after := wall.Add(36 * time.Hour).In(zone).Zone()
	var first time.Time
	for _, offset := range []int{before, after} {
		t := wall.Add(-time.Duration(offset) * time.Second).In(zone)
		if t.Hour() == hour && t.Minute() == minute && t.Day() == wall.Day() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	if !first.IsZero() {
		return first
	}
	start, _ := wall.Add(-time.Duration(before) * time.Second).In(zone).ZoneBounds()
	return start
}

// zones remembers time zones: reading one costs more than everything that is done with it.
var zones sync.Map // name → *time.Location

func zoneOf(name string) (*time.Location, error) {
	if z, ok := zones.Load(name); ok {
		return z.(*time.Location), nil
	}
	z, err := time.LoadLocation(name)
	if err == nil {
		zones.Store(name, z)
	}
	return z, err
}

// occurrences yields when a time of day comes around on the days of a schedule, in order, from some
// days before now to some days after.
func occurrences(s workspace.Schedule, at string, now time.Time, before, after int) iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		hour, minute, ok := clock(at)
		zone, err := zoneOf(s.Zone)
		if !ok || err != nil {
			return
		}
		today := now.In(zone)
		for offset := -before; offset <= after; offset++ {
			day := time.Date(today.Year(), today.Month(), today.Day()+offset, 0, 0, 0, 0, time.UTC)
			if len(s.Days) > 0 && !slices.Contains(s.Days, weekdays[day.Weekday()]) {
				continue
			}
			if !yield(instant(day.Year(), day.Month(), day.Day(), hour, minute, zone)) {
				return
			}
		}
	}
}

// nextStop returns when a schedule stops its workspace next, or zero.
func nextStop(s workspace.Schedule, now time.Time) time.Time {
	for t := range occurrences(s, s.StopAt, now, 1, 8) {
		if t.After(now) {
			return t
		}
	}
	return time.Time{}
}

// lastTime returns when a time of day came around last, if that was yesterday or today, or zero.
func lastTime(s workspace.Schedule, at string, now time.Time) (last time.Time) {
	for t := range occurrences(s, at, now, 1, 0) {
		if !t.After(now) {
			last = t
		}
	}
	return last
}

// overdue returns what w's schedule says it should be told to be by now, or "": the newest of what was to
// be done, unless that is more than [scheduleLate] ago or something was done to the workspace since.
func overdue(w *workspace.Workspace, now time.Time) workspace.State {
	to, at := workspace.StateRunning, lastTime(w.Schedule, w.Schedule.WakeAt, now)
	if stop := lastTime(w.Schedule, w.Schedule.StopAt, now); stop.After(at) {
		to, at = workspace.StateStopped, stop
	}
	late := at.IsZero() || now.Sub(at) > scheduleLate || !w.StateSince.Before(at) || w.Schedule.SetAt.After(at)
	switch {
	case late, w.State == workspace.StateDeleting:
		return ""
	case to == workspace.StateRunning && w.State == workspace.StateRunning:
		return ""
	case to == workspace.StateStopped && (w.State == workspace.StateStopped || w.State == workspace.StateError):
		return ""
	case to == workspace.StateStopped && w.KeepAwakeUntil.After(now):
		return "" // once that is over, if it is over soon
	}
	return to
}

// followSchedule does what w's schedule says, if it is time. A stop is returned, to be done when there is
// a moment. It is tried again until it is done or too late. The lease of the operation, and what the
// record tells then, see to it that it is done once, however many gateways there are.
func (o *Orchestrator) followSchedule(w *workspace.Workspace) (stop func()) {
	if w.Schedule.WakeAt == "" && w.Schedule.StopAt == "" || o.operation(w.ID) != nil {
		return nil
	}
	switch overdue(w, o.now()) {
	case workspace.StateRunning:
		o.scheduled(opWake, w.ID)
	case workspace.StateStopped:
		return func() { _ = o.scheduled(opStop, w.ID).Wait(o.ctx) } // the record tells how it ended
	default:
	}
	return nil
}

func (o *Orchestrator) scheduled(kind operationKind, id workspace.ID) *Operation {
	want := workspace.StateRunning
	if kind == opStop {
		want = workspace.StateStopped
	}
	return o.begin(kind, id, func(ctx context.Context, op *Operation) error {
		w, err := o.cfg.Store.Workspace(ctx, id)
		if err != nil {
			return err
		}
		o.publish(w)
		if overdue(w, o.now()) != want && o.demote(op) {
			return nil // another gateway has done it
		}
		if kind == opWake {
			o.log.Info("waking a workspace by its schedule", "workspace", id)
			return o.wake(ctx, op, w)
		}
		err = o.stop(ctx, w, "stopped by its schedule", workspace.StateStopped)
		if err == nil {
			o.cfg.Metrics.slept(workspace.StateStopped, sleptSchedule)
		}
		return err
	})
}
