package storetest

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/workspace"
)

var ports = []promise{
	{"AClaimedPortIsRefusedToOthers", aClaimedPortIsRefusedToOthers},
	{"TwoGatewaysNeverClaimTheSamePort", twoGatewaysNeverClaimTheSamePort},
	{"ReleaseFreesTheNamedPorts", releaseFreesTheNamedPorts},
	{"ReleaseOfNoneNamedFreesAll", releaseOfNoneNamedFreesAll},
	{"ReleaseLeavesOthersTheirPorts", releaseLeavesOthersTheirPorts},
	{"DeleteFreesThePorts", deleteFreesThePorts},
	{"AWorkspaceThatDoesNotExistGetsNone", aWorkspaceThatDoesNotExistGetsNone},
	{"AClaimThatRacesWithADeleteLeaksNone", aClaimThatRacesWithADeleteLeaksNone},
}

func wantPorts(t *testing.T, s Store, want map[int]workspace.ID) {
	t.Helper()
	got, err := s.Ports(t.Context())
	must(t, err)
	if len(got) == 0 && len(want) == 0 {
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("Ports (-want +got):\n%s", diff)
	}
}

func aClaimedPortIsRefusedToOthers(t *testing.T, b Backend) {
	one, other := b.Open(t), b.Open(t)
	ann, bob := created(t, one, "ann").ID, created(t, one, "bob").ID
	wantPorts(t, one, nil)
	wantTrue(t, "a free port")(one.ClaimPort(t.Context(), 40000, ann))
	wantTrue(t, "one's own again")(other.ClaimPort(t.Context(), 40000, ann))
	wantFalse(t, "another's")(other.ClaimPort(t.Context(), 40000, bob))
	wantTrue(t, "another free port")(other.ClaimPort(t.Context(), 40001, bob))
	wantPorts(t, one, map[int]workspace.ID{40000: ann, 40001: bob})
}

func twoGatewaysNeverClaimTheSamePort(t *testing.T, b Backend) {
	const claimants, pool = 8, 6
	s := b.Open(t)
	ids := make([]workspace.ID, claimants)
	for i := range ids {
		ids[i] = created(t, s, "ann").ID
	}
	claimed := make([][]int, claimants)
	winners(t, b, claimants, func(ctx context.Context, s Store, i int) (bool, error) {
		for port := 40000; port < 40000+pool; port++ {
			ok, err := s.ClaimPort(ctx, port, ids[i])
			if err != nil {
				return false, err
			}
			if ok {
				claimed[i] = append(claimed[i], port)
			}
		}
		return true, nil
	})
	want := map[int]workspace.ID{}
	for i, mine := range claimed {
		for _, port := range mine {
			if other, taken := want[port]; taken {
				t.Errorf("port %d was given to %s and to %s", port, other, ids[i])
			}
			want[port] = ids[i]
		}
	}
	if len(want) != pool {
		t.Errorf("%d ports were given, want %d", len(want), pool)
	}
	wantPorts(t, s, want)
}

func releaseFreesTheNamedPorts(t *testing.T, b Backend) {
	s := b.Open(t)
	ann, bob := created(t, s, "ann").ID, created(t, s, "bob").ID
	for _, port := range []int{40000, 40001, 40002} {
		wantTrue(t, "a free port")(s.ClaimPort(t.Context(), port, ann))
	}
	must(t, s.ReleasePorts(t.Context(), ann, 40000, 40002, 49999))
	wantPorts(t, s, map[int]workspace.ID{40001: ann})
	wantTrue(t, "a released port")(s.ClaimPort(t.Context(), 40002, bob))
}

func releaseOfNoneNamedFreesAll(t *testing.T, b Backend) {
	s := b.Open(t)
	ann, bob := created(t, s, "ann").ID, created(t, s, "bob").ID
	wantTrue(t, "ann's")(s.ClaimPort(t.Context(), 40000, ann))
	wantTrue(t, "ann's")(s.ClaimPort(t.Context(), 40001, ann))
	wantTrue(t, "bob's")(s.ClaimPort(t.Context(), 40002, bob))
	must(t, s.ReleasePorts(t.Context(), ann))
	wantPorts(t, s, map[int]workspace.ID{40002: bob})
	must(t, s.ReleasePorts(t.Context(), ann))
}

func releaseLeavesOthersTheirPorts(t *testing.T, b Backend) {
	s := b.Open(t)
	ann, bob := created(t, s, "ann").ID, created(t, s, "bob").ID
	wantTrue(t, "ann's")(s.ClaimPort(t.Context(), 40000, ann))
	must(t, s.ReleasePorts(t.Context(), bob, 40000))
	wantPorts(t, s, map[int]workspace.ID{40000: ann})
}

func deleteFreesThePorts(t *testing.T, b Backend) {
	s := b.Open(t)
	w, bob := created(t, s, "ann"), created(t, s, "bob").ID
	wantTrue(t, "ann's")(s.ClaimPort(t.Context(), 40000, w.ID))
	wantTrue(t, "bob's")(s.ClaimPort(t.Context(), 40001, bob))
	wantErr(t, s.DeleteWorkspace(t.Context(), w.ID, w.Revision+1), workspace.ErrConflict)
	wantPorts(t, s, map[int]workspace.ID{40000: w.ID, 40001: bob})
	must(t, s.DeleteWorkspace(t.Context(), w.ID, w.Revision))
	wantPorts(t, s, map[int]workspace.ID{40001: bob})
	wantTrue(t, "a freed port")(s.ClaimPort(t.Context(), 40000, bob))
}

func aWorkspaceThatDoesNotExistGetsNone(t *testing.T, b Backend) {
	s := b.Open(t)
	_, err := s.ClaimPort(t.Context(), 40000, workspace.NewID())
	wantErr(t, err, workspace.ErrNotFound)
	w := created(t, s, "ann")
	must(t, s.DeleteWorkspace(t.Context(), w.ID, w.Revision))
	_, err = s.ClaimPort(t.Context(), 40000, w.ID)
	wantErr(t, err, workspace.ErrNotFound)
	wantPorts(t, s, nil)
}

func aClaimThatRacesWithADeleteLeaksNone(t *testing.T, b Backend) {
	one, other := b.Open(t), b.Open(t)
	for round := range 10 {
		w := created(t, one, "ann")
		together(2, func(i int) {
			if i == 0 {
				if err := one.DeleteWorkspace(t.Context(), w.ID, w.Revision); err != nil {
					t.Error(err)
				}
			} else if _, err := other.ClaimPort(t.Context(), 40000+round, w.ID); err != nil && !errors.Is(err, workspace.ErrNotFound) {
				t.Error(err)
			}
		})
		wantPorts(t, one, nil)
	}
}
