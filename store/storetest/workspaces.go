package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/workspace"
)

var workspaces = []promise{
	{"EveryFieldComesBack", everyFieldComesBack},
	{"EveryFieldIsUpdated", everyFieldIsUpdated},
	{"SharesKeepTheirOrderAndCanBeTakenAway", sharesKeepTheirOrderAndCanBeTakenAway},
	{"ZeroTimesStayZero", zeroTimesStayZero},
	{"TimesComeBackInUTC", timesComeBackInUTC},
	{"TextComesBackAsItWas", textComesBackAsItWas},
	{"AReturnedRecordIsTheCallers", aReturnedRecordIsTheCallers},
	{"OneClientSeesWhatAnotherWrote", oneClientSeesWhatAnotherWrote},
	{"AnUnknownIDIsNotFound", anUnknownIDIsNotFound},
	{"AnIDIsNeverUsedAgain", anIDIsNeverUsedAgain},
	{"OfManyCreatorsOfAnIDOneSucceeds", ofManyCreatorsOfAnIDOneSucceeds},
	{"TheLimitCountsOnesOwn", theLimitCountsOnesOwn},
	{"ADeletedWorkspaceMakesRoom", aDeletedWorkspaceMakesRoom},
	{"ARaceNeverExceedsTheLimit", aRaceNeverExceedsTheLimit},
	{"ListsAreOldestFirst", listsAreOldestFirst},
	{"UpdateCountsTheRevisionAndTellsTheTime", updateCountsTheRevisionAndTellsTheTime},
	{"UpdateNeverChangesOwnerOrBirth", updateNeverChangesOwnerOrBirth},
	{"UpdateOfAStaleRevisionIsRefused", updateOfAStaleRevisionIsRefused},
	{"OfManyUpdatesOfOneRevisionOneSucceeds", ofManyUpdatesOfOneRevisionOneSucceeds},
	{"ConcurrentIncrementsLoseNone", concurrentIncrementsLoseNone},
	{"DeleteOfAStaleRevisionIsRefused", deleteOfAStaleRevisionIsRefused},
}

func everyFieldComesBack(t *testing.T, b Backend) {
	s := b.Open(t)
	var w workspace.Workspace
	fill(t, &w, 0)
	want := w
	want.Revision = 1
	must(t, s.CreateWorkspace(t.Context(), &w, 0))
	if diff := cmp.Diff(want, w); diff != "" {
		t.Errorf("CreateWorkspace changed more than the revision:\n%s", diff)
	}
	wantStored(t, s, &want)
}

func everyFieldIsUpdated(t *testing.T, b Backend) {
	s := b.Open(t)
	var w, next workspace.Workspace
	fill(t, &w, 0)
	must(t, s.CreateWorkspace(t.Context(), &w, 0))
	fill(t, &next, 100)
	next.ID, next.Owner, next.CreatedAt, next.Revision = w.ID, w.Owner, w.CreatedAt, w.Revision
	must(t, s.UpdateWorkspace(t.Context(), &next))
	wantStored(t, s, &next)
}

func sharesKeepTheirOrderAndCanBeTakenAway(t *testing.T, b Backend) {
	s := b.Open(t)
	w := created(t, s, "ann")
	for _, shares := range [][]workspace.Share{
		{{Port: 3000, Level: workspace.SharePublic, Wakes: true}, {Port: 2000, Level: workspace.ShareMembers, CORS: true}},
		{{Port: 2000, Level: workspace.SharePrivate, CORS: true}},
		nil,
	} {
		w.Shares = shares
		must(t, s.UpdateWorkspace(t.Context(), w))
		wantStored(t, b.Open(t), w)
	}
}

// wantStored checks that each way of reading a record returns want.
func wantStored(t *testing.T, s Store, want *workspace.Workspace) {
	t.Helper()
	got, err := s.Workspace(t.Context(), want.ID)
	must(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Workspace (-want +got):\n%s", diff)
	}
	for _, owner := range []string{want.Owner, ""} {
		all, err := s.Workspaces(t.Context(), owner)
		must(t, err)
		if diff := cmp.Diff([]*workspace.Workspace{want}, all); diff != "" {
			t.Errorf("Workspaces(%q) (-want +got):\n%s", owner, diff)
		}
	}
}

func zeroTimesStayZero(t *testing.T, b Backend) {
	s := b.Open(t)
	w := created(t, s, "ann")
	got, err := s.Workspace(t.Context(), w.ID)
	must(t, err)
	if !got.StartedAt.IsZero() || !got.LastActiveAt.IsZero() {
		t.Errorf("started %v, last active %v; want zero times", got.StartedAt, got.LastActiveAt)
	}
}

func timesComeBackInUTC(t *testing.T, b Backend) {
	s := b.Open(t)
	w := newWorkspace("ann")
	w.StartedAt = moment(1).In(time.FixedZone("elsewhere", 5*3600))
	must(t, s.CreateWorkspace(t.Context(), w, 0))
	got, err := s.Workspace(t.Context(), w.ID)
	must(t, err)
	if got.StartedAt != moment(1) {
		t.Errorf("got %v, want %v", got.StartedAt, moment(1))
	}
}

func textComesBackAsItWas(t *testing.T, b Backend) {
	s := b.Open(t)
	for _, text := range []string{"", " ", "ends with space ", "it's \"quoted\" \\ $name %s ?", "línea\nनमस्ते 🙂\t", "Ann"} {
		w := newWorkspace(text)
		w.Name, w.Reason = text, text
		must(t, s.CreateWorkspace(t.Context(), w, 0))
		got, err := s.Workspace(t.Context(), w.ID)
		must(t, err)
		if diff := cmp.Diff(w, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
	all, err := s.Workspaces(t.Context(), "ann")
	must(t, err)
	if len(all) != 0 {
		t.Error("ann sees the workspace of Ann")
	}
}

func aReturnedRecordIsTheCallers(t *testing.T, b Backend) {
	s := b.Open(t)
	w := created(t, s, "ann")
	want := *w
	w.Name = "changed by its creator"
	got, err := s.Workspace(t.Context(), w.ID)
	must(t, err)
	got.Name = "changed by its reader"
	wantStored(t, s, &want)
}

func oneClientSeesWhatAnotherWrote(t *testing.T, b Backend) {
	one, other := b.Open(t), b.Open(t)
	w := created(t, one, "ann")
	wantStored(t, other, w)
	w.State = workspace.StateStarting
	must(t, other.UpdateWorkspace(t.Context(), w))
	wantStored(t, one, w)
	must(t, one.DeleteWorkspace(t.Context(), w.ID, w.Revision))
	_, err := other.Workspace(t.Context(), w.ID)
	wantErr(t, err, workspace.ErrNotFound)
}

func anUnknownIDIsNotFound(t *testing.T, b Backend) {
	s := b.Open(t)
	w := newWorkspace("ann")
	w.Revision = 1
	_, err := s.Workspace(t.Context(), w.ID)
	wantErr(t, err, workspace.ErrNotFound)
	wantErr(t, s.UpdateWorkspace(t.Context(), w), workspace.ErrNotFound)
	wantErr(t, s.DeleteWorkspace(t.Context(), w.ID, 1), workspace.ErrNotFound)
	all, err := s.Workspaces(t.Context(), "ann")
	must(t, err)
	if len(all) != 0 {
		t.Errorf("got %d workspaces, want none", len(all))
	}
}

func anIDIsNeverUsedAgain(t *testing.T, b Backend) {
	one, other := b.Open(t), b.Open(t)
	w := created(t, one, "ann")
	again := newWorkspace("bob")
	again.ID = w.ID
	wantErr(t, other.CreateWorkspace(t.Context(), again, 0), workspace.ErrConflict)
	wantStored(t, other, w)

	must(t, one.DeleteWorkspace(t.Context(), w.ID, w.Revision))
	for _, s := range []Store{one, other} {
		wantErr(t, s.CreateWorkspace(t.Context(), again, 0), workspace.ErrConflict)
		wantErr(t, s.CreateWorkspace(t.Context(), w, 0), workspace.ErrConflict)
	}
	if again.Revision != 0 {
		t.Errorf("a refused record has revision %d, want it untouched", again.Revision)
	}
	wantErr(t, one.DeleteWorkspace(t.Context(), w.ID, w.Revision), workspace.ErrNotFound)
}

func ofManyCreatorsOfAnIDOneSucceeds(t *testing.T, b Backend) {
	id := workspace.NewID()
	n := winners(t, b, 10, func(ctx context.Context, s Store, _ int) (bool, error) {
		w := newWorkspace("ann")
		w.ID = id
		return unless(s.CreateWorkspace(ctx, w, 0), workspace.ErrConflict)
	})
	if n != 1 {
		t.Errorf("%d creators succeeded, want 1", n)
	}
}

func theLimitCountsOnesOwn(t *testing.T, b Backend) {
	s := b.Open(t)
	ctx := t.Context()
	must(t, s.CreateWorkspace(ctx, newWorkspace("ann"), 2))
	must(t, s.CreateWorkspace(ctx, newWorkspace("ann"), 2))
	wantErr(t, s.CreateWorkspace(ctx, newWorkspace("ann"), 2), workspace.ErrLimit)
	wantErr(t, s.CreateWorkspace(ctx, newWorkspace("ann"), 1), workspace.ErrLimit)
	must(t, s.CreateWorkspace(ctx, newWorkspace("bob"), 1))
	must(t, s.CreateWorkspace(ctx, newWorkspace("ann"), 0))
	must(t, s.CreateWorkspace(ctx, newWorkspace("ann"), -1))
}

func aDeletedWorkspaceMakesRoom(t *testing.T, b Backend) {
	s := b.Open(t)
	w := newWorkspace("ann")
	must(t, s.CreateWorkspace(t.Context(), w, 1))
	must(t, s.DeleteWorkspace(t.Context(), w.ID, w.Revision))
	must(t, s.CreateWorkspace(t.Context(), newWorkspace("ann"), 1))
}

func aRaceNeverExceedsTheLimit(t *testing.T, b Backend) {
	const limit = 3
	n := winners(t, b, 16, func(ctx context.Context, s Store, _ int) (bool, error) {
		return unless(s.CreateWorkspace(ctx, newWorkspace("ann"), limit), workspace.ErrLimit)
	})
	all, err := b.Open(t).Workspaces(t.Context(), "ann")
	must(t, err)
	if n != limit || len(all) != limit {
		t.Errorf("%d creators succeeded and %d workspaces exist, want %d of both", n, len(all), limit)
	}
}

func listsAreOldestFirst(t *testing.T, b Backend) {
	s := b.Open(t)
	var ids [4]workspace.ID
	for _, age := range []int{2, 0, 3, 1} {
		w := newWorkspace([]string{"ann", "bob"}[age%2])
		w.CreatedAt = moment(age)
		ids[age] = w.ID
		must(t, s.CreateWorkspace(t.Context(), w, 0))
	}
	for owner, want := range map[string][]workspace.ID{
		"": ids[:], "ann": {ids[0], ids[2]}, "bob": {ids[1], ids[3]}, "eve": nil,
	} {
		all, err := s.Workspaces(t.Context(), owner)
		must(t, err)
		var got []workspace.ID
		for _, w := range all {
			got = append(got, w.ID)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Workspaces(%q) (-want +got):\n%s", owner, diff)
		}
	}
}

func updateCountsTheRevisionAndTellsTheTime(t *testing.T, b Backend) {
	s := b.Open(t)
	w := created(t, s, "ann")
	for want := int64(2); want <= 4; want++ {
		before := time.Now()
		must(t, s.UpdateWorkspace(t.Context(), w))
		if w.Revision != want {
			t.Fatalf("revision %d, want %d", w.Revision, want)
		}
		if w.UpdatedAt.Before(before.Add(-time.Second)) || w.UpdatedAt.After(time.Now().Add(time.Second)) {
			t.Fatalf("updated at %v, want about %v", w.UpdatedAt, before)
		}
		wantStored(t, s, w)
	}
}

func updateNeverChangesOwnerOrBirth(t *testing.T, b Backend) {
	s := b.Open(t)
	want := created(t, s, "ann")
	w := *want
	w.Owner, w.CreatedAt, w.Name = "eve", moment(-1000), "renamed"
	must(t, s.UpdateWorkspace(t.Context(), &w))
	want.Name, want.Revision, want.UpdatedAt = "renamed", 2, w.UpdatedAt
	wantStored(t, s, want)
}

func updateOfAStaleRevisionIsRefused(t *testing.T, b Backend) {
	one, other := b.Open(t), b.Open(t)
	w := created(t, one, "ann")
	stale := *w
	stale.Name = "stale"
	must(t, one.UpdateWorkspace(t.Context(), w))

	before := stale
	wantErr(t, other.UpdateWorkspace(t.Context(), &stale), workspace.ErrConflict)
	if diff := cmp.Diff(before, stale); diff != "" {
		t.Errorf("a refused update changed the caller's record:\n%s", diff)
	}
	ahead := *w
	ahead.Revision++
	wantErr(t, other.UpdateWorkspace(t.Context(), &ahead), workspace.ErrConflict)
	wantStored(t, other, w)
}

func ofManyUpdatesOfOneRevisionOneSucceeds(t *testing.T, b Backend) {
	w := created(t, b.Open(t), "ann")
	n := winners(t, b, 20, func(ctx context.Context, s Store, _ int) (bool, error) {
		mine := *w
		return unless(s.UpdateWorkspace(ctx, &mine), workspace.ErrConflict)
	})
	if n != 1 {
		t.Errorf("%d updates succeeded, want 1", n)
	}
}

func concurrentIncrementsLoseNone(t *testing.T, b Backend) {
	const writers, each = 6, 10
	w := created(t, b.Open(t), "ann")
	winners(t, b, writers, func(ctx context.Context, s Store, _ int) (bool, error) {
		for n := 0; n < each; {
			mine, err := s.Workspace(ctx, w.ID)
			if err != nil {
				return false, err
			}
			mine.IDEPort++
			switch err := s.UpdateWorkspace(ctx, mine); {
			case err == nil:
				n++
			case !errors.Is(err, workspace.ErrConflict):
				return false, err
			}
		}
		return true, nil
	})
	got, err := b.Open(t).Workspace(t.Context(), w.ID)
	must(t, err)
	if got.IDEPort != writers*each || got.Revision != writers*each+1 {
		t.Errorf("counted to %d at revision %d, want %d at %d", got.IDEPort, got.Revision, writers*each, writers*each+1)
	}
}

func deleteOfAStaleRevisionIsRefused(t *testing.T, b Backend) {
	s := b.Open(t)
	w := created(t, s, "ann")
	must(t, s.UpdateWorkspace(t.Context(), w))
	wantErr(t, s.DeleteWorkspace(t.Context(), w.ID, w.Revision-1), workspace.ErrConflict)
	wantErr(t, s.DeleteWorkspace(t.Context(), w.ID, w.Revision+1), workspace.ErrConflict)
	wantStored(t, s, w)
	must(t, s.DeleteWorkspace(t.Context(), w.ID, w.Revision))
	_, err := s.Workspace(t.Context(), w.ID)
	wantErr(t, err, workspace.ErrNotFound)
}
