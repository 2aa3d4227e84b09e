package identity_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/identity"
)

func TestSignInLink_SignsInOnce(t *testing.T) {
	s := newSite(t)
	ctx := context.Background()
	asha := s.person("Asha")
	address, expires, err := s.SignInLink(ctx, asha)
	if err != nil {
		t.Fatal(err)
	}
	secret, ok := strings.CutPrefix(address, "http://kalpana.localhost:8080/login/link#")
	if !ok || len(secret) != 43 {
		t.Fatalf("link %q", address)
	}
	if want := s.clock.Now().Add(identity.LinkLifetime); !expires.Equal(want) {
		t.Errorf("expires %v, want %v", expires, want)
	}
	cookie, person, err := s.SignInByLink(ctx, secret)
	if err != nil || person != asha {
		t.Fatalf("signed in as %+v, %v", person, err)
	}
	caller, err := s.Authenticate(request("/", cookie))
	if err != nil || caller.Person != asha {
		t.Fatalf("authenticated as %+v, %v", caller, err)
	}
	_, _, err = s.SignInByLink(ctx, secret)
	mustBe(t, "the second use", err, identity.ErrLink)
	if _, err := s.Authenticate(request("/", cookie)); err != nil {
		t.Errorf("the first session after the second use: %v", err)
	}
}

func TestSignInLink_EndsAfterItsLifetime(t *testing.T) {
	s := newSite(t)
	short := s.config()
	short.LinkLifetime = time.Minute
	for _, test := range []struct {
		name    string
		service *identity.Service
		life    time.Duration
	}{{"by default", s.Service, identity.LinkLifetime}, {"configured", s.service(short), time.Minute}} {
		asha := s.person("Asha")
		fresh := func() string {
			address, _, err := test.service.SignInLink(context.Background(), asha)
			if err != nil {
				t.Fatal(err)
			}
			_, secret, _ := strings.Cut(address, "#")
			return secret
		}
		early, late := fresh(), fresh()
		s.clock.Advance(test.life - time.Microsecond)
		_, _, err := test.service.SignInByLink(context.Background(), early)
		mustBe(t, test.name+": just in time", err, nil)
		s.clock.Advance(time.Microsecond)
		_, _, err = test.service.SignInByLink(context.Background(), late)
		mustBe(t, test.name+": just late", err, identity.ErrLink)
	}
}

func TestSignInLink_ForgedOnesAreRefused(t *testing.T) {
	s := newSite(t)
	asha := s.person("Asha")
	secret := s.link(asha)
	_, challenge := begin(t, s.Service, ideA, "/")
	address, err := s.ApproveHandoff(context.Background(), s.caller(asha), ideA, challenge)
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(address, "?code=")
	for name, forged := range map[string]string{
		"nothing":                 "",
		"a guess":                 identity.NewSecret(),
		"the hash in the store":   identity.Hash(secret),
		"part of a hash":          identity.Hash(secret)[:43],
		"one character less":      secret[:42],
		"one character more":      secret + "A",
		"another last character":  secret[:42] + map[bool]string{true: "A", false: "Q"}[secret[42] != 'A'],
		"the code of a hand-off":  code,
		"10,000 characters":       strings.Repeat("x", 10_000),
		"SQL":                     strings.Repeat("' OR 1=1 --", 4)[:43],
		"another case":            strings.ToUpper(secret),
		"not text":                strings.Repeat("\xff", 43),
		"space around":            " " + secret,
		"with the fragment's '#'": "#" + secret,
	} {
		if _, _, err := s.SignInByLink(context.Background(), forged); !errors.Is(err, identity.ErrLink) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := s.SignInByLink(context.Background(), secret); err != nil {
		t.Errorf("the true one afterwards: %v", err)
	}
}

func TestSignInLink_OfNobodyIsRefused(t *testing.T) {
	s := newSite(t)
	_, _, err := s.SignInByLink(context.Background(), s.link(identity.Person{ID: "gone"}))
	mustBe(t, "a person that does not exist", err, identity.ErrLink)
}

func TestSignInLink_OfFiftyConcurrentTakersOneWins(t *testing.T) {
	s := newSite(t)
	second := identity.Config{Store: openStore(t, s.dir), Hosts: s.hosts, Key: s.key, Now: s.clock.Now}
	services := []*identity.Service{s.Service, s.service(second)} // two gateways on one file
	secret := s.link(s.person("Asha"))
	var won, lost atomic.Int64
	var takers sync.WaitGroup
	for i := range 50 {
		takers.Go(func() {
			switch _, _, err := services[i%2].SignInByLink(context.Background(), secret); {
			case err == nil:
				won.Add(1)
			case errors.Is(err, identity.ErrLink):
				lost.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	takers.Wait()
	if won.Load() != 1 || lost.Load() != 49 {
		t.Errorf("%d won, %d lost", won.Load(), lost.Load())
	}
}

func TestSecrets_AreStoredHashedOnly(t *testing.T) {
	s := newSite(t)
	asha := s.person("Asha")
	secret := s.link(asha)
	session := s.signIn(asha)
	nonce, challenge := begin(t, s.Service, ideA, "/a/path/that/stays/in/the/browser")
	address, err := s.ApproveHandoff(context.Background(), s.caller(asha), ideA, challenge)
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(address, "?code=")
	grant := s.grant(s.caller(asha), ideA)
	token, _, err := s.CreateToken(context.Background(), s.caller(asha), "ci", []identity.Scope{identity.ScopeRead}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	_, invitation, err := s.Invite(context.Background(), s.caller(asha), identity.RoleMember, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	_, invitation, _ = strings.Cut(invitation, "#")

	var stored strings.Builder
	files, err := filepath.Glob(filepath.Join(s.dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file) //nolint:gosec // our own directory
		if err != nil {
			t.Fatal(err)
		}
		stored.Write(content)
	}
	for name, text := range map[string]string{
		"the link's secret": secret, "the session's token": session.Value, "the code": code, "the grant": grant.Value,
		"the API token": strings.TrimPrefix(token, identity.TokenPrefix), "the invitation": invitation,
		"the nonce": nonce.Value[:22], "the path": "/a/path/that/stays",
	} {
		if strings.Contains(stored.String(), text) {
			t.Errorf("%s is in the store", name)
		}
	}
	for name, secret := range map[string]string{"the link": secret, "the session": session.Value, "the code": code, "the API token": token, "the invitation": invitation} {
		if !strings.Contains(stored.String(), identity.Hash(secret)) {
			t.Errorf("the hash of %s is not in the store: the test looks in the wrong place", name)
		}
	}
}

func TestFirstAdmin_IsMadeOnce(t *testing.T) {
	s := newSite(t)
	second := s.service(identity.Config{Store: openStore(t, s.dir), Hosts: s.hosts, Key: s.key, Now: s.clock.Now})
	var starters sync.WaitGroup
	for _, service := range []*identity.Service{s.Service, second, s.Service, second} {
		starters.Go(func() {
			p, err := service.FirstAdmin(context.Background())
			if err != nil || p.ID != "admin" || p.Role != identity.RoleAdmin {
				t.Errorf("FirstAdmin() = %+v, %v", p, err)
			}
		})
	}
	starters.Wait()
	people, err := s.store.People(context.Background())
	if err != nil || len(people) != 1 {
		t.Errorf("people: %+v, %v", people, err)
	}
}

func TestAddPerson_NeedsAProperName(t *testing.T) {
	s := newSite(t)
	for _, name := range []string{"", strings.Repeat("x", 10_000), "a\nb"} {
		if p, err := s.AddPerson(context.Background(), name, identity.RoleMember); err == nil {
			t.Errorf("%.20q became %+v", name, p)
		}
	}
	if p := s.person("  Asha "); p.Name != "Asha" || len(p.ID) != 26 {
		t.Errorf("%+v", p)
	}
}
