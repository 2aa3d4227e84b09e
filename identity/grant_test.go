package identity_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

func TestGrant_NamesSessionPersonAndHost(t *testing.T) {
	s := newSite(t)
	caller := s.caller(s.person("Asha"))
	got, err := s.CheckGrant(request("/", s.grant(caller, previewA)), previewA)
	if err != nil {
		t.Fatal(err)
	}
	want := identity.Grant{
		Session: caller.Session.Hash, Person: caller.Person.ID, Label: "3000-abcdefghij",
		IssuedAt: s.clock.Now(), EndsAt: s.clock.Now().Add(identity.SessionMax),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got.Workspace() != wsA {
		t.Errorf("Workspace() = %s", got.Workspace())
	}
}

func TestGrant_OpensItsOwnHostOnly(t *testing.T) {
	s := newSite(t)
	caller := s.caller(s.person("Asha"))
	hosts := []workspace.Host{ideA, previewA, otherA, ideB, previewB}
	for _, of := range hosts {
		cookie := s.grant(caller, of)
		for _, on := range append(hosts, workspace.Host{Kind: workspace.HostConsole}) {
			want := identity.ErrNoGrant
			if on == of {
				want = nil
			}
			mustBe(t, "the grant of "+of.Label()+" on "+on.Label(), check(s.Service, cookie, on), want)
		}
	}
}

func TestGrant_OfAnotherInstallationIsNone(t *testing.T) {
	here, there := newSite(t), newSite(t)
	cookie := there.grant(there.caller(there.person("Asha")), ideA)
	mustBe(t, "here", check(here.Service, cookie, ideA), identity.ErrNoGrant)
	mustBe(t, "there", check(there.Service, cookie, ideA), nil)
}

func TestGrant_HoldsOnEveryGatewayOfTheInstallation(t *testing.T) {
	s := newSite(t)
	cookie := s.grant(s.caller(s.person("Asha")), ideA)
	mustBe(t, "on another gateway", check(s.service(s.config()), cookie, ideA), nil)
}

func TestGrant_ATamperedByteAnywhereEndsIt(t *testing.T) {
	s := newSite(t)
	value := s.grant(s.caller(s.person("Asha")), ideA).Value
	refused := func(name, tampered string) {
		t.Helper()
		r := request("/")
		r.Header["Cookie"] = []string{identity.GrantCookie + "=" + tampered}
		if g, err := s.CheckGrant(r, ideA); err != identity.ErrNoGrant {
			t.Errorf("%s: taken as %+v, %v", name, g, err)
		}
	}
	for i := range len(value) {
		for _, flip := range []byte{1, 2, 4, 8, 16, 32, 64, 128} {
			b := []byte(value)
			b[i] ^= flip
			refused("a bit", string(b))
		}
		for _, c := range "A0.-_ \n\r\t\"=" {
			if value[i] != byte(c) {
				refused("another character", value[:i]+string(c)+value[i+1:])
			}
			refused("one more character", value[:i]+string(c)+value[i:])
		}
		refused("one character less", value[:i]+value[i+1:])
		refused("the end cut off", value[:i])
		if i > 0 {
			refused("the start cut off", value[i:])
		}
	}
	refused("a line break at the end, which the decoder would skip", value+"\n")
	refused("quoted", `"`+value+`"`)
	refused("twice", value+value)
	refused("another version", "2"+value[1:])
	refused("10,000 characters more", value+strings.Repeat("x", 10_000))
	mustBe(t, "the true one", check(s.Service, &http.Cookie{Name: identity.GrantCookie, Value: value}, ideA), nil)
}

// Fields must not move: the MAC of one grant never fits a text that splits otherwise.
func TestGrant_PartsOfTwoDoNotMakeOne(t *testing.T) {
	s := newSite(t)
	asha, ravi := s.caller(s.person("Asha")), s.caller(s.person("Ravi"))
	mine := strings.Split(s.grant(asha, ideA).Value, ".")
	for name, other := range map[string]*http.Cookie{
		"another person's": s.grant(ravi, ideA), "another host's": s.grant(asha, ideB), "a port's": s.grant(asha, previewA),
	} {
		theirs := strings.Split(other.Value, ".")
		for mask := 1; mask < 1<<len(mine)-1; mask++ {
			mixed := make([]string, len(mine))
			for i := range mixed {
				mixed[i] = mine[i]
				if mask>>i&1 == 1 {
					mixed[i] = theirs[i]
				}
			}
			value := strings.Join(mixed, ".")
			if value == other.Value || value == strings.Join(mine, ".") {
				continue
			}
			mustBe(t, name, check(s.Service, &http.Cookie{Name: identity.GrantCookie, Value: value}, ideA), identity.ErrNoGrant)
		}
	}
}

func TestGrant_OtherCookiesOfOursAreNone(t *testing.T) {
	s := newSite(t)
	asha := s.person("Asha")
	caller := s.caller(asha)
	nonce, _ := begin(t, s.Service, ideA, "/")
	for name, value := range map[string]string{
		"a nonce": nonce.Value, "a session": s.signIn(asha).Value, "nothing": "", "dots": "......", "a session's hash": caller.Session.Hash,
	} {
		mustBe(t, name, check(s.Service, &http.Cookie{Name: identity.GrantCookie, Value: value}, ideA), identity.ErrNoGrant)
	}
	grant := s.grant(caller, ideA)
	for _, name := range []string{"kalpana_grant", "__host-kalpana_grant", "__Secure-kalpana_grant", identity.GrantCookie + "_"} {
		mustBe(t, "under the name "+name, check(s.Service, &http.Cookie{Name: name, Value: grant.Value}, ideA), identity.ErrNoGrant)
	}
	mustBe(t, "none at all", check(s.Service, &http.Cookie{Name: "a", Value: "b"}, ideA), identity.ErrNoGrant)
}

func TestGrant_IsFoundAmongAnythingAnAppMaySet(t *testing.T) {
	s := newSite(t)
	grant := s.grant(s.caller(s.person("Asha")), ideA)
	ours := grant.Name + "=" + grant.Value
	for _, headers := range [][]string{
		{ours},
		{"a=b; " + ours},
		{ours + "; a=b"},
		{"a=b;" + ours + ";c=d"},
		{"a=b", ours},
		{`a="x y"; b={"k":1}; ` + ours},
		{"=; ;;; a; =b; " + ours},
		{strings.Repeat("x=y; ", 500) + ours},
	} {
		r := request("/")
		r.Header["Cookie"] = headers
		if _, err := s.CheckGrant(r, ideA); err != nil {
			t.Errorf("%.60q: %v", headers, err)
		}
	}
}

func TestGrant_EndsAfterADayUnlessRenewed(t *testing.T) {
	s := newSite(t)
	cookie := s.grant(s.caller(s.person("Asha")), ideA)
	s.advance(identity.GrantLifetime)
	mustBe(t, "after a day", check(s.Service, cookie, ideA), nil)
	s.advance(time.Millisecond)
	mustBe(t, "just after", check(s.Service, cookie, ideA), identity.ErrNoGrant)
}

// A tab that stays open renews its grant, as the gateway does with every answer.
func TestRenewGrant_KeepsATabForTheSessionsWeekAndNoLonger(t *testing.T) {
	s := newSite(t)
	caller := s.caller(s.person("Asha"))
	end := caller.Session.CreatedAt.Add(identity.SessionMax)
	cookie := s.grant(caller, ideA)
	renewals := 0
	for s.clock.Now().Before(end) {
		g, err := s.CheckGrant(request("/", cookie), ideA)
		if err != nil {
			t.Fatalf("%v before the end: %v", end.Sub(s.clock.Now()), err)
		}
		if !g.EndsAt.Equal(end) {
			t.Fatalf("ends at %v, want %v", g.EndsAt, end)
		}
		if renewed := s.RenewGrant(g); renewed != nil {
			cookie = renewed
			renewals++
		}
		s.advance(20 * time.Minute)
	}
	mustBe(t, "after the week", check(s.Service, cookie, ideA), identity.ErrNoGrant)
	if renewals < 120 || renewals > 168 {
		t.Errorf("%d renewals in a week, want about one an hour", renewals)
	}
}

func TestRenewGrant_LeavesAYoungGrantAlone(t *testing.T) {
	s := newSite(t)
	cookie := s.grant(s.caller(s.person("Asha")), ideA)
	for _, age := range []time.Duration{0, 30 * time.Minute, 30 * time.Minute} {
		s.advance(age)
		g, err := s.CheckGrant(request("/", cookie), ideA)
		if err != nil {
			t.Fatal(err)
		}
		if renewed := s.RenewGrant(g); renewed != nil {
			t.Errorf("renewed after %v", s.clock.Now().Sub(g.IssuedAt))
		}
	}
}

func TestCheckGrant_NeedsTheRevocationsReadOnce(t *testing.T) {
	s := newSite(t)
	cookie := s.grant(s.caller(s.person("Asha")), ideA)
	fresh := identity.New(s.config())
	mustBe(t, "before Load", check(fresh, cookie, ideA), workspace.ErrStoreDown)
	if err := fresh.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	mustBe(t, "after Load", check(fresh, cookie, ideA), nil)
}

func TestCheckGrant_IsCheckedInMemoryOnly(t *testing.T) {
	s := newSite(t)
	cookie := s.grant(s.caller(s.person("Asha")), ideA)
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	mustBe(t, "without a store", check(s.Service, cookie, ideA), nil)
}
