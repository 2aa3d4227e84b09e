package identity_test

import (
	"context"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

// grants are the cases of who a revocation may concern: two people, two browsers of one, two
// workspaces, a preview.
type grants map[string]identity.Grant

func (s *site) allGrants() (asha, ravi identity.Person, session string, all grants) {
	s.t.Helper()
	asha, ravi = s.person("Asha"), s.person("Ravi")
	first, second, his := s.caller(asha), s.caller(asha), s.caller(ravi)
	all = grants{}
	for name, of := range map[string]struct {
		caller identity.Caller
		host   workspace.Host
	}{
		"hers on A": {first, ideA}, "hers on A's preview": {first, previewA}, "hers on B": {first, ideB},
		"her other browser's on A": {second, ideA}, "his on A": {his, ideA}, "his on B": {his, ideB},
	} {
		g, err := s.CheckGrant(request("/", s.grant(of.caller, of.host)), of.host)
		if err != nil {
			s.t.Fatal(err)
		}
		all[name] = g
	}
	return asha, ravi, first.Session.Hash, all
}

func TestRevoke_EndsWhatMatchesEveryNamedFieldAtOnce(t *testing.T) {
	for _, test := range []struct {
		name string
		what func(person identity.Person, session string) identity.Revocation
		ends []string
	}{
		{"a session", func(_ identity.Person, h string) identity.Revocation { return identity.Revocation{Session: h} }, []string{"hers on A", "hers on A's preview", "hers on B"}},
		{"a person", func(p identity.Person, _ string) identity.Revocation { return identity.Revocation{Person: p.ID} }, []string{"hers on A", "hers on A's preview", "hers on B", "her other browser's on A"}},
		{"a workspace", func(identity.Person, string) identity.Revocation { return identity.Revocation{Workspace: wsA} }, []string{"hers on A", "hers on A's preview", "her other browser's on A", "his on A"}},
		{"a person's access", func(p identity.Person, _ string) identity.Revocation {
			return identity.Revocation{Person: p.ID, Workspace: wsA}
		}, []string{"hers on A", "hers on A's preview", "her other browser's on A"}},
		{"a session's access", func(_ identity.Person, h string) identity.Revocation {
			return identity.Revocation{Session: h, Workspace: wsA}
		}, []string{"hers on A", "hers on A's preview"}},
		{"everything at once", func(p identity.Person, h string) identity.Revocation {
			return identity.Revocation{Session: h, Person: p.ID, Workspace: wsB}
		}, []string{"hers on B"}},
		{"somebody else", func(identity.Person, string) identity.Revocation { return identity.Revocation{Person: "nobody"} }, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t)
			asha, _, session, all := s.allGrants()
			streams := map[string]context.Context{}
			for name, g := range all {
				stream, release := s.Hold(context.Background(), g)
				defer release()
				streams[name] = stream
			}
			if err := s.Revoke(context.Background(), test.what(asha, session)); err != nil {
				t.Fatal(err)
			}
			restarted := s.service(s.config())
			ends := map[string]bool{}
			for _, name := range test.ends {
				ends[name] = true
			}
			for name, g := range all {
				if got := streams[name].Err() != nil; got != ends[name] {
					t.Errorf("the stream of %s ended: %v", name, got)
				}
				for where, service := range map[string]*identity.Service{"here": s.Service, "after a restart": restarted} {
					late, release := service.Hold(context.Background(), g)
					if got := late.Err() != nil; got != ends[name] {
						t.Errorf("%s ended %s: %v", name, where, got)
					}
					release()
				}
			}
		})
	}
}

func TestRevoke_OfNothingIsRefused(t *testing.T) {
	s := newSite(t)
	_, _, _, all := s.allGrants()
	if err := s.Revoke(context.Background(), identity.Revocation{}); err == nil {
		t.Error("taken")
	}
	for name, g := range all {
		stream, release := s.Hold(context.Background(), g)
		mustBe(t, name, stream.Err(), nil)
		release()
	}
}

func TestRevoke_LeavesGrantsThatCameLater(t *testing.T) {
	s := newSite(t)
	asha := s.person("Asha")
	caller := s.caller(asha)
	old := s.grant(caller, ideA)
	s.advance(time.Minute)
	if err := s.Revoke(context.Background(), identity.Revocation{Person: asha.ID, Workspace: wsA}); err != nil {
		t.Fatal(err)
	}
	s.advance(time.Minute)
	again := s.grant(caller, ideA) // access was given back
	mustBe(t, "the old grant", check(s.Service, old, ideA), identity.ErrNoGrant)
	mustBe(t, "the new grant", check(s.Service, again, ideA), nil)
}

// The clock of the gateway that revokes may be two seconds behind ours.
func TestRevoke_HoldsAcrossClocksThatDiffer(t *testing.T) {
	s := newSite(t)
	behind := s.config()
	behind.Now = func() time.Time { return s.clock.Now().Add(-2 * time.Second) }
	other := s.service(behind)
	asha := s.person("Asha")
	cookie := s.grant(s.caller(asha), ideA)
	if err := other.Revoke(context.Background(), identity.Revocation{Person: asha.ID, Workspace: wsA}); err != nil {
		t.Fatal(err)
	}
	s.advance(2 * time.Second)
	mustBe(t, "the grant", check(s.Service, cookie, ideA), identity.ErrNoGrant)
}

// A renewal must not carry a grant over a revocation that this gateway has not read yet.
func TestRenewGrant_DoesNotOutliveARevocationThatIsNotReadYet(t *testing.T) {
	s := newSite(t)
	other := s.service(s.config())
	asha := s.person("Asha")
	cookie := s.grant(s.caller(asha), ideA)
	s.advance(2 * time.Hour)
	if err := other.Revoke(context.Background(), identity.Revocation{Person: asha.ID, Workspace: wsA}); err != nil {
		t.Fatal(err)
	}
	for range 4 { // minutes in which this gateway cannot read
		s.clock.Advance(time.Minute)
		g, err := s.CheckGrant(request("/", cookie), ideA)
		if err != nil {
			t.Fatal(err)
		}
		if renewed := s.RenewGrant(g); renewed != nil {
			cookie = renewed
		}
	}
	s.advance(2 * time.Second)
	mustBe(t, "the renewed grant", check(s.Service, cookie, ideA), identity.ErrNoGrant)
}

func TestRevocations_ThatConcernNoGrantAnyMoreAreForgotten(t *testing.T) {
	s := newSite(t)
	for range 20 {
		if err := s.Revoke(context.Background(), identity.Revocation{Session: identity.Hash(identity.NewSecret())}); err != nil {
			t.Fatal(err)
		}
	}
	s.advance(identity.SessionMax + 2*time.Hour)
	if err := s.Revoke(context.Background(), identity.Revocation{Person: "p"}); err != nil {
		t.Fatal(err)
	}
	if n := s.Remembered(); n != 1 {
		t.Errorf("%d revocations in memory, want 1", n)
	}
}
