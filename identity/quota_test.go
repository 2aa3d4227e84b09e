package identity_test

import (
	"context"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

// quotaStore counts how often people are read, and may not answer.
type quotaStore struct {
	identity.Store
	reads int
	down  bool
}

func (s *quotaStore) Person(ctx context.Context, id string) (identity.Person, error) {
	s.reads++
	if s.down {
		return identity.Person{}, workspace.ErrStoreDown
	}
	return s.Store.Person(ctx, id)
}

func TestQuota_IsReadOnceInTenSecondsAndOutlivesTheStoresSilence(t *testing.T) {
	s := newSite(t)
	store := &quotaStore{Store: s.store}
	cfg := s.config()
	cfg.Store = store
	people := s.service(cfg)
	asha := s.person("Asha")
	want := func(quota workspace.Quota, reads int) {
		t.Helper()
		got, err := people.Quota(t.Context(), asha.ID)
		if err != nil || got != quota || store.reads != reads {
			t.Fatalf("%+v, %v after %d reads, want %+v after %d", got, err, store.reads, quota, reads)
		}
	}
	want(workspace.Quota{}, 1)
	asha.Quota = workspace.Quota{Memory: 1 << 30, Running: 2, CPUs: -1}
	if err := s.store.UpdatePerson(t.Context(), &asha); err != nil {
		t.Fatal(err)
	}
	want(workspace.Quota{}, 1)
	s.clock.Advance(10 * time.Second)
	want(asha.Quota, 2)
	want(asha.Quota, 2)
	store.down = true
	s.clock.Advance(time.Hour)
	want(asha.Quota, 3)
	_, err := people.Quota(t.Context(), "somebody else")
	mustBe(t, "an unknown one while the store is down", err, workspace.ErrStoreDown)
	store.down = false
	if q, err := people.Quota(t.Context(), "nobody"); err != nil || q != (workspace.Quota{}) {
		t.Errorf("nobody's: %+v, %v", q, err)
	}
}
