package identity_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

func (s *site) foreign(name string) workspace.Host {
	s.t.Helper()
	host, err := s.hosts.ParseSite(name)
	if err != nil {
		s.t.Fatal(err)
	}
	return host
}

func TestSite_ItsGrantTellsWhoThePersonIs(t *testing.T) {
	s := newSite(t)
	host := s.foreign("grafana.localhost:8080")
	person := s.person("Asha Rao. \"Ω\"; x=y")
	person.Email, person.Role = "asha@example.com", identity.RoleAdmin
	if err := s.store.UpdatePerson(context.Background(), &person); err != nil {
		t.Fatal(err)
	}
	cookie := s.grant(s.caller(person), host)
	if cookie.Name != identity.SiteCookie || cookie.Partitioned || cookie.SameSite != http.SameSiteLaxMode || !cookie.HttpOnly || !cookie.Secure || cookie.Domain != "" {
		t.Errorf("cookie %s", cookie)
	}
	if err := cookie.Valid(); err != nil {
		t.Error(err)
	}
	g, err := s.CheckGrant(request("/", cookie), host)
	if err != nil {
		t.Fatal(err)
	}
	if want := (identity.Claims{Name: person.Name, Email: person.Email, Role: identity.RoleAdmin}); g.Claims != want || g.Person != person.ID {
		t.Errorf("%+v, want %+v", g.Claims, want)
	}
	if id := g.Workspace(); id != "" {
		t.Errorf("it is for workspace %q", id)
	}
	s.advance(2 * time.Hour)
	renewed := s.RenewGrant(g)
	if again, err := s.CheckGrant(request("/", renewed), host); err != nil || again.Claims != g.Claims || renewed.Name != identity.SiteCookie {
		t.Errorf("renewed: %+v, %v", again, err)
	}
}

func TestSite_ItsGrantOpensNothingElseAndNothingElseOpensIt(t *testing.T) {
	s := newSite(t)
	caller := s.caller(s.person("Asha"))
	site := s.foreign("abcdefghij.localhost:8080") // its first label is a workspace's
	hosts := []workspace.Host{ideA, previewA, site, s.foreign("abcdefghij.localhost:9090"), s.foreign("abcdefghij.localhost"), s.foreign("abcdefghij"), s.foreign("x-abcdefghij.localhost:8080")}
	for _, of := range hosts {
		cookie := s.grant(caller, of)
		for _, on := range hosts {
			want := identity.ErrNoGrant
			if on == of {
				want = nil
			}
			for _, name := range []string{identity.GrantCookie, identity.SiteCookie} { // under either name
				renamed := &http.Cookie{Name: name, Value: cookie.Value}
				if name != cookie.Name && on == of {
					continue
				}
				mustBe(t, of.Label()+" as "+name+" on "+on.Label(), check(s.Service, renamed, on), want)
			}
		}
	}
	for _, at := range hosts {
		nonce, challenge := begin(t, s.Service, at, "/")
		for _, other := range hosts {
			if other == at {
				continue
			}
			mustBe(t, "a code of "+at.Label()+" on "+other.Label(), s.complete(s.approve(caller, at, challenge), other, nonce), identity.ErrHandoff)
			theirs, _ := begin(t, s.Service, other, "/")
			mustBe(t, "with its own nonce", s.complete(s.approve(caller, at, challenge), other, theirs), identity.ErrHandoff)
		}
	}
}

func TestSite_SigningOutAndLosingAccessEndItsGrant(t *testing.T) {
	for name, revocation := range map[string]func(identity.Caller) identity.Revocation{
		"session": func(c identity.Caller) identity.Revocation { return identity.Revocation{Session: c.Session.Hash} },
		"person":  func(c identity.Caller) identity.Revocation { return identity.Revocation{Person: c.Person.ID} },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			caller := s.caller(s.person("Asha"))
			host := s.foreign("grafana.localhost:8080")
			cookie := s.grant(caller, host)
			g, err := s.CheckGrant(request("/", cookie), host)
			if err != nil {
				t.Fatal(err)
			}
			elsewhere := s.service(s.config())
			ctx, release := elsewhere.Hold(context.Background(), g)
			defer release()
			if err := s.Revoke(context.Background(), revocation(caller)); err != nil {
				t.Fatal(err)
			}
			mustBe(t, "here", check(s.Service, cookie, host), identity.ErrNoGrant)
			if err := elsewhere.Load(context.Background()); err != nil {
				t.Fatal(err)
			}
			mustBe(t, "elsewhere", check(elsewhere, cookie, host), identity.ErrNoGrant)
			if ctx.Err() == nil {
				t.Error("its stream goes on")
			}
		})
	}
}

func TestSite_AnotherRoleEndsItsGrantAndNothingElse(t *testing.T) {
	s := newSite(t)
	admin := s.person("Ravi")
	admin.Role = identity.RoleAdmin
	if err := s.store.UpdatePerson(context.Background(), &admin); err != nil {
		t.Fatal(err)
	}
	asha, mei := s.caller(s.person("Asha")), s.caller(s.person("Mei"))
	host := s.foreign("grafana.localhost:8080")
	hers, ide, other := s.grant(asha, host), s.grant(asha, ideA), s.grant(mei, host)
	role := identity.RoleAdmin
	if _, err := s.ChangePerson(context.Background(), s.caller(admin), asha.Person.ID, identity.PersonChange{Role: &role}); err != nil {
		t.Fatal(err)
	}
	mustBe(t, "the site's", check(s.Service, hers, host), identity.ErrNoGrant)
	mustBe(t, "a workspace's", check(s.Service, ide, ideA), nil)
	mustBe(t, "another person's", check(s.Service, other, host), nil)
	s.advance(identity.OvertakenPause)
	of, err := s.CheckGrant(request("/", ide), ideA)
	mustBe(t, "a workspace's", err, nil)
	now, err := s.Holder(context.Background(), of)
	mustBe(t, "who holds it", err, nil)
	g, err := s.CheckGrant(request("/", s.grant(now, host)), host)
	if err != nil || g.Claims.Role != identity.RoleAdmin {
		t.Errorf("a new one: %+v, %v", g.Claims, err)
	}
}

func TestSite_AWorkspacesEndLeavesItAlone(t *testing.T) {
	s := newSite(t)
	host := s.foreign("grafana.localhost:8080")
	cookie := s.grant(s.caller(s.person("Asha")), host)
	if err := s.Revoke(context.Background(), identity.Revocation{Workspace: wsA}); err != nil {
		t.Fatal(err)
	}
	mustBe(t, "after a workspace was deleted", check(s.Service, cookie, host), nil)
}

func TestFrame_ItsCookiesArePartitioned(t *testing.T) {
	s := newSite(t)
	caller := s.caller(s.person("Asha"))
	partitioned := func(what string, c *http.Cookie) {
		t.Helper()
		text := c.String()
		for _, part := range []string{"; Secure", "; HttpOnly", "; SameSite=None", "; Partitioned", "; Path=/"} {
			if !strings.Contains(text, part) {
				t.Errorf("%s %q lacks %q", what, text, part)
			}
		}
	}
	nonce, address := s.BeginFramedHandoff(ideA, "/x")
	partitioned("the nonce", nonce)
	_, challenge, _ := strings.Cut(address, "challenge=")
	challenge, _, _ = strings.Cut(challenge, "&")
	grant, cleared, path, err := s.CompleteHandoff(request(s.approve(caller, ideA, challenge), nonce), ideA)
	if err != nil || path != "/x" {
		t.Fatal(path, err)
	}
	partitioned("the grant", grant)
	partitioned("what clears the nonce", cleared)
	g, err := s.CheckGrant(request("/", grant), ideA)
	if err != nil || !g.Framed {
		t.Fatalf("%+v, %v", g, err)
	}
	s.advance(2 * time.Hour)
	renewed := s.RenewGrant(g)
	partitioned("the renewed grant", renewed)
	mustBe(t, "the renewed grant", check(s.Service, renewed, ideA), nil)
	if top := s.grant(caller, ideA); top.Partitioned || top.SameSite != http.SameSiteLaxMode {
		t.Errorf("outside of a frame: %s", top)
	}
}

func TestHolder_IsWhoeverIsSignedInByTheStoresWord(t *testing.T) {
	s := newSite(t)
	caller := s.caller(s.person("Asha"))
	g, err := s.CheckGrant(request("/", s.grant(caller, ideA)), ideA)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Holder(context.Background(), g)
	if err != nil || got.Person.ID != caller.Person.ID || got.Session.Hash != caller.Session.Hash {
		t.Errorf("%+v, %v", got, err)
	}
	_, err = s.Holder(context.Background(), identity.Grant{Session: g.Session, Person: g.Person, Token: "a token"})
	mustBe(t, "a program's", err, identity.ErrNoSession)
	_, err = s.Holder(context.Background(), identity.Grant{Label: g.Label})
	mustBe(t, "a visitor's", err, identity.ErrNoSession)
	if err := s.store.DeleteSession(context.Background(), g.Session); err != nil { // on another gateway, unread here
		t.Fatal(err)
	}
	_, err = s.Holder(context.Background(), g)
	mustBe(t, "after signing out elsewhere", err, identity.ErrNoSession)
}
