package orchestrator_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/workspace"
)

func preview(id workspace.ID, port int) workspace.Host {
	return workspace.Host{Kind: workspace.HostPreview, ID: id, Port: port}
}

func limit(l workspace.ShareLevel) func(*orchestrator.Config) {
	return func(c *orchestrator.Config) { c.ShareLimit = l }
}

func (w *world) share(o *orchestrator.Orchestrator, id workspace.ID, s workspace.Share) {
	w.Helper()
	_, _, err := o.Share(w.Context(), "ann", id, s)
	w.must(err)
}

func (w *world) access(o *orchestrator.Orchestrator, host workspace.Host) orchestrator.Access {
	w.Helper()
	a, err := o.Access(w.Context(), host)
	w.must(err)
	return a
}

func TestShare_SetsChangesAndRemovesAPort(t *testing.T) {
	w := newWorld(t)
	o := w.gateway(limit(workspace.SharePublic))
	id := w.create(o)
	changes, unsubscribe := o.Subscribe("ann")
	defer unsubscribe()
	for _, step := range []struct {
		share, before workspace.Share
		want          []workspace.Share
	}{
		{workspace.Share{Port: 5000, Level: "members", Wakes: true}, workspace.Share{Port: 5000, Level: "private"}, []workspace.Share{{Port: 5000, Level: "members"}}},
		{workspace.Share{Port: 3000, Level: "public", Wakes: true, CORS: true}, workspace.Share{Port: 3000, Level: "private"}, []workspace.Share{{Port: 3000, Level: "public", Wakes: true, CORS: true}, {Port: 5000, Level: "members"}}},
		{workspace.Share{Port: 3000, Level: "private", CORS: true}, workspace.Share{Port: 3000, Level: "public", Wakes: true, CORS: true}, []workspace.Share{{Port: 3000, Level: "private", CORS: true}, {Port: 5000, Level: "members"}}},
		{workspace.Share{Port: 5000, Level: "private"}, workspace.Share{Port: 5000, Level: "members"}, []workspace.Share{{Port: 3000, Level: "private", CORS: true}}},
		{workspace.Share{Port: 4000, Level: "private"}, workspace.Share{Port: 4000, Level: "private"}, []workspace.Share{{Port: 3000, Level: "private", CORS: true}}},
		{workspace.Share{Port: 3000, Level: "private"}, workspace.Share{Port: 3000, Level: "private", CORS: true}, nil},
	} {
		got, before, err := o.Share(t.Context(), "ann", id, step.share)
		w.must(err)
		if diff := cmp.Diff(step.want, got.Shares); diff != "" || before != step.before {
			t.Errorf("%+v, before %+v:\n%s", step.share, before, diff)
		}
		if diff := cmp.Diff(step.want, w.record(id).Shares); diff != "" {
			t.Errorf("%+v stored:\n%s", step.share, diff)
		}
		if diff := cmp.Diff(step.want, (<-changes).Workspace.Shares); diff != "" {
			t.Errorf("%+v told:\n%s", step.share, diff)
		}
	}
}

func TestShare_RefusesWhatCannotBeShared(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	id := w.create(o)
	try := func(person string, s workspace.Share) error {
		_, _, err := o.Share(t.Context(), person, id, s)
		return err
	}
	for _, port := range []int{-1, 0, 22, 1023, 3001, 8080, 65536, 1 << 40} {
		w.wantErr(try("ann", workspace.Share{Port: port, Level: workspace.ShareMembers}), workspace.ErrInvalidPort)
	}
	for _, level := range []workspace.ShareLevel{"", "everybody", "Public"} {
		w.wantErr(try("ann", workspace.Share{Port: 5000, Level: level}), workspace.ErrInvalidShare)
	}
	w.wantErr(try("ann", workspace.Share{Port: 5000, Level: workspace.SharePublic}), workspace.ErrShareLimit) // members is the default
	w.wantErr(try("bob", workspace.Share{Port: 5000, Level: workspace.ShareMembers}), workspace.ErrNotFound)
	for port := range workspace.MaxShares {
		w.share(o, id, workspace.Share{Port: 5000 + port, Level: workspace.ShareMembers})
	}
	w.wantErr(try("ann", workspace.Share{Port: 4000, Level: workspace.ShareMembers}), workspace.ErrTooManyShares)
	w.must(try("ann", workspace.Share{Port: 5000, Level: workspace.ShareMembers, CORS: true}))
	w.must(try("ann", workspace.Share{Port: 4000, Level: workspace.SharePrivate}))
	record := w.record(id)
	record.State = workspace.StateDeleting
	w.must(w.store.UpdateWorkspace(t.Context(), record))
	w.wantErr(try("ann", workspace.Share{Port: 5000, Level: workspace.SharePrivate}), workspace.ErrBusy)
}

func TestShare_ManyAtOnceLoseNone(t *testing.T) {
	w := newWorld(t)
	one, two := w.gateway(), w.second()
	id := w.create(one)
	var all sync.WaitGroup
	for i := range 10 {
		o := []*orchestrator.Orchestrator{one, two}[i%2]
		all.Go(func() {
			if _, _, err := o.Share(t.Context(), "ann", id, workspace.Share{Port: 5000 + i, Level: workspace.ShareMembers}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := len(w.record(id).Shares); n != 10 {
		t.Errorf("%d shares, want 10", n)
	}
}

// A wake writes the record that it read before the share was narrowed.
func TestShare_AnOperationUnderWayDoesNotUndoIt(t *testing.T) {
	w := newWorld(t)
	o := w.gateway()
	id := w.create(o)
	w.share(o, id, workspace.Share{Port: 5000, Level: workspace.ShareMembers})
	held := w.gate(runtimetest.Create)
	wake := o.Wake(id)
	<-held.reached
	w.share(o, id, workspace.Share{Port: 5000, Level: workspace.SharePrivate})
	w.share(o, id, workspace.Share{Port: 6000, Level: workspace.ShareMembers})
	close(held.open)
	w.must(w.end(wake))
	want := []workspace.Share{{Port: 6000, Level: workspace.ShareMembers}}
	if diff := cmp.Diff(want, w.record(id).Shares); diff != "" {
		t.Error(diff)
	}
	if w.access(o, preview(id, 5000)).Admits("bob") || !w.access(o, preview(id, 6000)).Admits("bob") {
		t.Error("access is not as it was set")
	}
}

func TestAccess_IsTheOwnersAndWhoseTheShareSays(t *testing.T) {
	w := newWorld(t)
	o := w.gateway(limit(workspace.SharePublic))
	id := w.create(o)
	w.share(o, id, workspace.Share{Port: 4000, Level: workspace.ShareMembers})
	w.share(o, id, workspace.Share{Port: 5000, Level: workspace.SharePublic})
	ide := workspace.Host{Kind: workspace.HostIDE, ID: id}
	for host, want := range map[workspace.Host]struct{ member, public bool }{
		ide: {}, preview(id, 3000): {}, preview(id, 4000): {member: true}, preview(id, 5000): {true, true},
	} {
		read, err := o.ReadAccess(t.Context(), host)
		w.must(err)
		for where, a := range map[string]orchestrator.Access{"memory": w.access(o, host), "store": read} {
			if !a.Admits("ann") || a.Admits("bob") != want.member || a.Admits("") || a.Public() != want.public {
				t.Errorf("%s from %s: %+v", host.Label(), where, a)
			}
		}
	}
	w.must(w.end(o.Delete(id)))
	_, err := o.Access(t.Context(), preview(id, 5000))
	w.wantErr(err, workspace.ErrNotFound)
	_, err = o.ReadAccess(t.Context(), preview(id, 5000))
	w.wantErr(err, workspace.ErrNotFound)
}

// readStore counts and holds the reading of single records.
type readStore struct {
	orchestrator.Store
	reads atomic.Int64
	hold  func()
}

func (s *readStore) Workspace(ctx context.Context, id workspace.ID) (*workspace.Workspace, error) {
	s.reads.Add(1)
	w, err := s.Store.Workspace(ctx, id)
	if s.hold != nil {
		s.hold()
	}
	return w, err
}

func TestAccess_IsReadAnewOnceAfterAnothersChange(t *testing.T) {
	w := newWorld(t)
	store := &readStore{Store: w.store}
	one, two := w.gateway(), w.second(func(c *orchestrator.Config) { c.Store = store })
	id := w.create(one)
	host := preview(id, 5000)
	_, err := two.Access(t.Context(), host)
	w.wantErr(err, workspace.ErrNotFound) // a stranger's request reads nothing
	w.must(two.Load(t.Context()))
	w.share(one, id, workspace.Share{Port: 5000, Level: workspace.ShareMembers})
	if w.access(two, host).Admits("bob") || store.reads.Load() != 0 {
		t.Errorf("it was read %d times before it was told", store.reads.Load())
	}
	two.Invalidate(id)
	for range 10 {
		if !w.access(two, host).Admits("bob") {
			t.Fatal("the change did not arrive")
		}
	}
	if n := store.reads.Load(); n != 1 {
		t.Errorf("it was read %d times, want once", n)
	}
	w.must(w.end(one.Delete(id)))
	two.Invalidate(id)
	for range 3 {
		_, err = two.Access(t.Context(), host)
		w.wantErr(err, workspace.ErrNotFound)
	}
	if n := store.reads.Load(); n != 2 {
		t.Errorf("a deleted one was read %d times, want once", n-1)
	}
}

// A reading that began before the news came must not hide the change.
func TestAccess_AReadingOlderThanTheNewsIsNotKept(t *testing.T) {
	w := newWorld(t)
	began, goOn := make(chan struct{}), make(chan struct{})
	store := &readStore{Store: w.store}
	one, two := w.gateway(), w.second(func(c *orchestrator.Config) { c.Store = store })
	id := w.create(one)
	host := preview(id, 5000)
	w.share(one, id, workspace.Share{Port: 5000, Level: workspace.ShareMembers})
	two.Invalidate(id)
	var first atomic.Bool
	store.hold = func() {
		if first.CompareAndSwap(false, true) {
			close(began)
			<-goOn
		}
	}
	var reading sync.WaitGroup
	reading.Go(func() { _, _ = two.Access(t.Context(), host) })
	<-began
	w.share(one, id, workspace.Share{Port: 5000, Level: workspace.SharePrivate})
	two.Invalidate(id)
	close(goOn)
	reading.Wait()
	if w.access(two, host).Admits("bob") {
		t.Error("the share is still there")
	}
}

func TestAccess_InDoubtAndWithoutAStoreIsTheOwnersAlone(t *testing.T) {
	w := newWorld(t)
	broken := workspace.ErrStoreDown
	frail := &frailStore{Store: w.store}
	o := w.gateway(func(c *orchestrator.Config) { c.Store = frail })
	id := w.create(o)
	w.share(o, id, workspace.Share{Port: 5000, Level: workspace.ShareMembers})
	var down atomic.Bool
	frail.fault = func(string, *workspace.Workspace) error {
		if down.Load() {
			return broken
		}
		return nil
	}
	down.Store(true)
	if !w.access(o, preview(id, 5000)).Admits("bob") {
		t.Error("what is known needs the store")
	}
	o.Invalidate(id)
	for _, host := range []workspace.Host{preview(id, 5000), {Kind: workspace.HostIDE, ID: id}} {
		if a := w.access(o, host); a.Admits("bob") || a.Public() || !a.Admits("ann") {
			t.Errorf("%s: %+v", host.Label(), a)
		}
	}
	down.Store(false)
	if !w.access(o, preview(id, 5000)).Admits("bob") {
		t.Error("it did not come back with the store")
	}
}

func TestAccess_TheLimitHoldsForWhatWasSharedBefore(t *testing.T) {
	w := newWorld(t)
	before := w.gateway(limit(workspace.SharePublic))
	id := w.create(before)
	for i, level := range workspace.ShareLevels {
		w.share(before, id, workspace.Share{Port: 5000 + i, Level: level, CORS: true})
	}
	for _, c := range []struct {
		limit workspace.ShareLevel
		want  []workspace.ShareLevel
		over  []int
	}{
		{workspace.SharePublic, []workspace.ShareLevel{"private", "members", "public"}, nil},
		{workspace.ShareMembers, []workspace.ShareLevel{"private", "members", "members"}, []int{5002}},
		{workspace.SharePrivate, []workspace.ShareLevel{"private", "private", "private"}, []int{5001, 5002}},
	} {
		o := w.gateway(limit(c.limit))
		w.must(o.Load(t.Context()))
		for i, want := range c.want {
			if got := w.access(o, preview(id, 5000+i)).Share.Level; got != want {
				t.Errorf("port %d under %s is %s, want %s", 5000+i, c.limit, got, want)
			}
		}
		var over []int
		for _, host := range o.OverLimit() {
			over = append(over, host.Port)
		}
		slices.Sort(over)
		if diff := cmp.Diff(c.over, over); diff != "" {
			t.Errorf("over %s: %s", c.limit, diff)
		}
	}
}
