package identity_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

func TestVisitor_EndsWithWhatNamesItsHostOrWorkspace(t *testing.T) {
	for name, test := range map[string]struct {
		what identity.Revocation
		ends bool
	}{
		"its host":          {identity.Revocation{Workspace: wsA, Label: previewA.Label()}, true},
		"its workspace":     {identity.Revocation{Workspace: wsA}, true},
		"another host":      {identity.Revocation{Workspace: wsA, Label: otherA.Label()}, false},
		"another workspace": {identity.Revocation{Workspace: wsB}, false},
		"a person":          {identity.Revocation{Person: "p"}, false},
		"a session":         {identity.Revocation{Session: identity.Hash("s")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			visitor, err := s.Visitor(previewA)
			if err != nil || !visitor.IsVisitor() {
				t.Fatal(visitor, err)
			}
			stream, release := s.Hold(context.Background(), visitor)
			defer release()
			if err := s.Revoke(context.Background(), test.what); err != nil {
				t.Fatal(err)
			}
			if (stream.Err() != nil) != test.ends {
				t.Errorf("it ended: %v", stream.Err())
			}
			// What comes later is judged by the share as it is then.
			later, release := s.Hold(context.Background(), visitor)
			defer release()
			if err := s.Revoke(context.Background(), identity.Revocation{Person: "somebody"}); err != nil {
				t.Fatal(err)
			}
			mustBe(t, "a later visitor", later.Err(), nil)
		})
	}
}

func TestVisitor_NeedsRevocationsThatAreKnown(t *testing.T) {
	s := newSite(t)
	s.clock.Advance(6 * time.Minute)
	_, err := s.Visitor(previewA)
	mustBe(t, "after six minutes of silence", err, workspace.ErrStoreDown)
}

func TestAnnounce_IsToldEverywhereAndEndsNothing(t *testing.T) {
	s := newSite(t)
	other := s.service(s.config())
	var here, there []workspace.ID
	s.OnRevocation(func(r identity.Revocation) { here = append(here, r.Workspace) })
	other.OnRevocation(func(r identity.Revocation) { there = append(there, r.Workspace) })
	_, _, _, all := s.allGrants()
	visitor, err := s.Visitor(previewA)
	if err != nil {
		t.Fatal(err)
	}
	all["a visitor"] = visitor
	streams := map[string]context.Context{}
	for name, g := range all {
		stream, release := other.Hold(context.Background(), g)
		defer release()
		streams[name] = stream
	}
	for range 2 { // two in the same moment are two
		if err := s.Announce(context.Background(), wsA); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		if err := other.Load(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if len(here) != 2 || len(there) != 2 || here[0] != wsA || there[1] != wsA {
		t.Errorf("told here %v, there %v", here, there)
	}
	for name, stream := range streams {
		mustBe(t, name, stream.Err(), nil)
	}
}

// Who is told looks at the share before streams end: nothing is let in between by what was so before.
func TestOnRevocation_ComesBeforeStreamsEnd(t *testing.T) {
	s := newSite(t)
	visitor, err := s.Visitor(previewA)
	if err != nil {
		t.Fatal(err)
	}
	stream, release := s.Hold(context.Background(), visitor)
	defer release()
	told := false
	s.OnRevocation(func(identity.Revocation) { told = stream.Err() == nil })
	if err := s.Revoke(context.Background(), identity.Revocation{Workspace: wsA}); err != nil {
		t.Fatal(err)
	}
	if !told || stream.Err() == nil {
		t.Errorf("told before: %v, ended: %v", told, stream.Err())
	}
}

func TestHandoff_ThatARevocationOvertookCanBeginAgain(t *testing.T) {
	s := newSite(t)
	caller := s.caller(s.person("Asha"))
	nonce, challenge := begin(t, s.Service, previewA, "/page?x=1")
	address, err := s.ApproveHandoff(context.Background(), caller, previewA, challenge)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Revoke(context.Background(), identity.Revocation{Workspace: wsA, Label: previewA.Label()}); err != nil {
		t.Fatal(err)
	}
	grant, _, path, err := s.CompleteHandoff(request(address, nonce), previewA)
	if !errors.Is(err, identity.ErrOvertaken) || !errors.Is(err, identity.ErrHandoff) || grant != nil || path != "/page?x=1" {
		t.Fatalf("%v, %q, %v", grant, path, err)
	}
	s.advance(identity.OvertakenPause)
	mustBe(t, "one that began after the pause", check(s.Service, s.grant(caller, previewA), previewA), nil)
}
