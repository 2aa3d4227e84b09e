package identity_test

import (
	"context"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/identity"
)

// Whoever works in a workspace for days, and never looks at the console, stays in their list of sessions, where they
// can be signed out; else the grant would go on to the end of the week and nobody could end it.
func TestSession_SlidesWhileWhatWasOpenedFromItIsInUse(t *testing.T) {
	const days = 3 * 24 * time.Hour
	for what, use := range map[string]func(t *testing.T, service *identity.Service, caller identity.Caller, s *site){
		"requests": func(t *testing.T, service *identity.Service, caller identity.Caller, s *site) {
			cookie := s.grant(caller, ideA)
			for range days / (5 * time.Hour) {
				time.Sleep(5 * time.Hour)
				g, err := service.CheckGrant(request("/", cookie), ideA)
				if err != nil {
					t.Fatal(err)
				}
				if renewed := service.RenewGrant(g); renewed != nil {
					cookie = renewed
				}
			}
			t.Cleanup(func() { mustBe(t, "the grant, once it was revoked", check(service, cookie, ideA), identity.ErrNoGrant) })
		},
		"a WebSocket": func(t *testing.T, service *identity.Service, caller identity.Caller, s *site) {
			tab := held(t, service, s.grant(caller, ideA), ideA)
			time.Sleep(days)
			mustBe(t, "the tab", tab.Err(), nil)
			t.Cleanup(func() {
				if tab.Err() == nil {
					t.Error("the tab is open after its session was revoked")
				}
			})
		},
	} {
		t.Run(what, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *site) {
				service := s.gateway(&silentStore{Store: s.store, idle: true})
				asha := s.person("Asha")
				caller := s.caller(asha)
				start := time.Now()
				use(t, service, caller, s)
				time.Sleep(time.Second)
				sessions, err := service.Sessions(t.Context(), asha.ID)
				if err != nil || len(sessions) != 1 {
					t.Fatalf("after three days of work the list has %v, %v", sessions, err)
				}
				if idle := time.Since(sessions[0].SeenAt); idle > 10*time.Minute+time.Second {
					t.Errorf("seen %v ago", idle)
				}
				if !sessions[0].EndsAt.Equal(start.Add(identity.SessionMax)) || sessions[0].ExpiresAt.After(sessions[0].EndsAt) {
					t.Errorf("it expires at %v and ends at %v", sessions[0].ExpiresAt, sessions[0].EndsAt)
				}
				here := s.caller(asha)
				if err := service.RevokeSession(t.Context(), here, sessions[0].ID()); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// A gateway that was killed between taking access away and revoking leaves grants that no revocation names.
func TestSession_ThatIsOverTakesAlongWhatWasOpenedFromIt(t *testing.T) {
	for what, end := range map[string]func(s *site, caller identity.Caller) error{
		"deleted": func(s *site, caller identity.Caller) error {
			return s.store.DeleteSession(context.Background(), caller.Session.Hash)
		},
		"of somebody disabled": func(s *site, caller identity.Caller) error {
			s.set(caller.Person, func(p *identity.Person) { p.Disabled = true })
			return nil
		},
	} {
		t.Run(what, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *site) {
				one, two := s.gateway(s.store), s.gateway(openStore(t, s.dir))
				caller := s.caller(s.person("Asha"))
				cookie := s.grant(caller, ideA)
				tab, elsewhere := held(t, one, cookie, ideA), held(t, two, s.grant(caller, ideB), ideB)
				if err := end(s, caller); err != nil {
					t.Fatal(err)
				}
				time.Sleep(10*time.Minute + 5*time.Second)
				for where, err := range map[string]error{"the tab": tab.Err(), "another one, on another gateway": elsewhere.Err()} {
					mustBe(t, where, err, context.Canceled)
				}
				mustBe(t, "the grant", check(two, cookie, ideA), identity.ErrNoGrant)
			})
		})
	}
}

// A token has no session that could be over.
func TestSession_TokensHaveNone(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		service := s.gateway(s.store)
		text, _, err := service.CreateToken(t.Context(), s.caller(s.person("Asha")), "ci", []identity.Scope{identity.ScopeRead}, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		caller, err := service.AuthenticateToken(request("/"), text)
		if err != nil {
			t.Fatal(err)
		}
		stream, release := service.HoldCaller(context.Background(), caller)
		defer release()
		time.Sleep(time.Hour - time.Minute)
		mustBe(t, "its stream", stream.Err(), nil)
		_, err = service.AuthenticateToken(request("/"), text)
		mustBe(t, "the token", err, nil)
	})
}
