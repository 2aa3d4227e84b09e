package storetest

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/identity"
)

var audit = []promise{
	{"EveryFieldComesBack", anEventComesBack},
	{"ListsAreNewestFirst", eventsAreNewestFirst},
	{"EachFilterSelects", eachFilterSelects},
	{"PagesFollowOneAnother", pagesFollowOneAnother},
	{"AnEventIsWrittenOnce", anEventIsWrittenOnce},
	{"ManyGatewaysWriteTogether", manyGatewaysWriteTogether},
	{"OldEventsArePurged", oldEventsArePurged},
}

func wantEvents(t *testing.T, s Store, q identity.AuditQuery, want ...identity.AuditEvent) {
	t.Helper()
	got, err := s.Audit(t.Context(), q)
	must(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Audit(%+v) (-want +got):\n%s", q, diff)
	}
}

// event returns the nth event of a day.
func event(n int, change func(*identity.AuditEvent)) identity.AuditEvent {
	e := identity.AuditEvent{ID: fmt.Sprintf("e%04d", n), At: moment(n), Action: "start", Outcome: "ok", Person: "p1", Workspace: "aaaaaaaaaa"}
	if change != nil {
		change(&e)
	}
	return e
}

func anEventComesBack(t *testing.T, b Backend) {
	var want identity.AuditEvent
	fill(t, &want, 0)
	must(t, b.Open(t).AppendAudit(t.Context(), want))
	wantEvents(t, b.Open(t), identity.AuditQuery{}, want)
}

func eventsAreNewestFirst(t *testing.T, b Backend) {
	s := b.Open(t)
	wantEvents(t, s, identity.AuditQuery{})
	must(t, s.AppendAudit(t.Context()))
	must(t, s.AppendAudit(t.Context(), event(2, nil), event(1, nil)))
	must(t, b.Open(t).AppendAudit(t.Context(), event(3, nil)))
	wantEvents(t, s, identity.AuditQuery{}, event(3, nil), event(2, nil), event(1, nil))
}

func eachFilterSelects(t *testing.T, b Backend) {
	s := b.Open(t)
	plain := event(1, nil)
	other := event(2, func(e *identity.AuditEvent) { e.Person = "p2" })
	elsewhere := event(3, func(e *identity.AuditEvent) { e.Workspace = "bbbbbbbbbb" })
	stopped := event(4, func(e *identity.AuditEvent) { e.Action = "stop" })
	must(t, s.AppendAudit(t.Context(), plain, other, elsewhere, stopped))
	for _, test := range []struct {
		q    identity.AuditQuery
		want []identity.AuditEvent
	}{
		{identity.AuditQuery{Person: "p1"}, []identity.AuditEvent{stopped, elsewhere, plain}},
		{identity.AuditQuery{Workspace: "aaaaaaaaaa"}, []identity.AuditEvent{stopped, other, plain}},
		{identity.AuditQuery{Action: "start"}, []identity.AuditEvent{elsewhere, other, plain}},
		{identity.AuditQuery{Before: elsewhere.ID}, []identity.AuditEvent{other, plain}},
		{identity.AuditQuery{Limit: 1}, []identity.AuditEvent{stopped}},
		{identity.AuditQuery{Limit: 100}, []identity.AuditEvent{stopped, elsewhere, other, plain}},
		{identity.AuditQuery{Person: "p1", Workspace: "aaaaaaaaaa", Action: "start", Before: stopped.ID, Limit: 1}, []identity.AuditEvent{plain}},
		{identity.AuditQuery{Person: "p2", Action: "stop"}, nil},
		{identity.AuditQuery{Person: "p"}, nil},
		{identity.AuditQuery{Before: plain.ID}, nil},
	} {
		wantEvents(t, s, test.q, test.want...)
	}
}

func pagesFollowOneAnother(t *testing.T, b Backend) {
	s := b.Open(t)
	const all = 10
	for n := range all {
		must(t, s.AppendAudit(t.Context(), event(n, nil)))
	}
	q := identity.AuditQuery{Person: "p1", Limit: 4}
	for last := all; last > 0; last -= 4 {
		var want []identity.AuditEvent
		for n := last - 1; n >= max(0, last-4); n-- {
			want = append(want, event(n, nil))
		}
		wantEvents(t, s, q, want...)
		q.Before = want[len(want)-1].ID
		must(t, s.AppendAudit(t.Context(), event(1000+last, nil))) // what is new moves no page
	}
	wantEvents(t, s, q)
}

// A writer that was cut off cannot know whether its batch was taken, and sends it again.
func anEventIsWrittenOnce(t *testing.T, b Backend) {
	s := b.Open(t)
	must(t, s.AppendAudit(t.Context(), event(1, nil), event(2, nil)))
	changed := event(2, func(e *identity.AuditEvent) { e.Detail = "forged" })
	must(t, b.Open(t).AppendAudit(t.Context(), event(1, nil), changed, event(3, nil)))
	wantEvents(t, s, identity.AuditQuery{}, event(3, nil), event(2, nil), event(1, nil))
}

func manyGatewaysWriteTogether(t *testing.T, b Backend) {
	clients := []Store{b.Open(t), b.Open(t)}
	const writers, each = 8, 20
	together(writers, func(i int) {
		var list []identity.AuditEvent
		for n := range each {
			list = append(list, event(i*each+n, nil))
		}
		if err := clients[i%2].AppendAudit(t.Context(), list...); err != nil {
			t.Error(err)
		}
	})
	got, err := clients[0].Audit(t.Context(), identity.AuditQuery{})
	must(t, err)
	if len(got) != writers*each {
		t.Errorf("%d of %d events are stored", len(got), writers*each)
	}
}

func oldEventsArePurged(t *testing.T, b Backend) {
	s := b.Open(t)
	must(t, s.AppendAudit(t.Context(), event(1, nil), event(2, nil), event(3, nil)))
	must(t, b.Open(t).PurgeAudit(t.Context(), moment(2)))
	wantEvents(t, s, identity.AuditQuery{}, event(3, nil), event(2, nil))
}
