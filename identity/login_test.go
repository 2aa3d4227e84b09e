package identity_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

// played is a provider in memory. Its codes and refresh tokens work once, as those of providers do.
type played struct {
	name, kind string
	during     func() // of a refresh, or nil

	mu        sync.Mutex
	profile   identity.Profile
	err       error
	codes     map[string]approval
	refresh   map[string]bool // whether it still works
	refreshed int
	reused    int
}

// approval is that a user let us in.
type approval struct {
	attempt identity.Attempt
	profile identity.Profile
}

func newPlayed(name, kind string, p identity.Profile) *played {
	return &played{name: name, kind: kind, profile: p, codes: map[string]approval{}, refresh: map[string]bool{}}
}

func (p *played) Name() string  { return p.name }
func (p *played) Title() string { return strings.ToUpper(p.name) }
func (p *played) Kind() string  { return p.kind }

// is makes the user at the provider another one.
func (p *played) is(profile identity.Profile) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.profile = profile
}

// gives has the provider give Octocat's sign-ins a token.
func (p *played) gives(token identity.ProviderToken) {
	profile := octocat
	profile.Token = token
	p.is(profile)
}

func (p *played) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

func (p *played) Begin(_ context.Context, a identity.Attempt) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	code := identity.NewSecret()
	p.codes[code] = approval{a, p.profile}
	return a.Callback + "?" + url.Values{"state": {a.State}, "code": {code}}.Encode(), nil
}

func (p *played) Complete(_ context.Context, a identity.Attempt, query url.Values) (identity.Profile, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return identity.Profile{}, p.err
	}
	approved, ok := p.codes[query.Get("code")]
	delete(p.codes, query.Get("code"))
	if !ok || approved.attempt != a {
		return identity.Profile{}, identity.ErrAttempt
	}
	if token := approved.profile.Token.Refresh; token != "" {
		p.refresh[token] = true
	}
	return approved.profile, nil
}

func (p *played) Refresh(_ context.Context, token string) (identity.ProviderToken, error) {
	if p.during != nil {
		p.during()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return identity.ProviderToken{}, p.err
	}
	works, known := p.refresh[token]
	if known && !works {
		p.reused++
	}
	if !works {
		return identity.ProviderToken{}, identity.ErrTokenRefused
	}
	p.refresh[token] = false
	p.refreshed++
	fresh := identity.ProviderToken{
		Access: identity.NewSecret(), Refresh: identity.NewSecret(), ExpiresAt: p.profile.Token.ExpiresAt.Add(time.Duration(p.refreshed) * 8 * time.Hour),
	}
	p.refresh[fresh.Refresh] = true
	return fresh, nil
}

var (
	octocat = identity.Profile{Subject: "583231", ID: "583231", Login: "octocat", Handle: "octocat", Name: "Mona Lisa", Email: "mona@corp.com"}
	hubot   = identity.Profile{Subject: "480938", ID: "480938", Login: "hubot", Handle: "hubot", Name: "Hubot", Email: "hubot@corp.com"}
	mona    = identity.Profile{Subject: "iss:mona", ID: "mona", Login: "mona", Name: "Mona Lisa", Email: "mona@corp.com", Groups: []string{"group:developers"}}
)

func rules(t testing.TB, pairs ...string) (list []identity.Rule) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		r, err := identity.ParseRule(pairs[i], pairs[i+1])
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
	return list
}

// loginSite is an installation with GitHub and a company's provider, both played.
type loginSite struct {
	*site
	github, corp *played
	cfg          identity.Config
}

func newLoginSite(t testing.TB, access identity.Access) *loginSite {
	t.Helper()
	s := &loginSite{site: newSite(t), github: newPlayed("github", "github", octocat), corp: newPlayed("corp", "oidc", mona)}
	s.cfg = s.config()
	s.cfg.Providers, s.cfg.Access, s.cfg.Sealer = []identity.Provider{s.github, s.corp}, access, identity.NewSealer()
	s.Service = s.service(s.cfg)
	return s
}

// with makes it an installation with other rules.
func (s *loginSite) with(access identity.Access) {
	s.t.Helper()
	s.cfg.Access = access
	s.Service = s.service(s.cfg)
}

// browser keeps cookies.
type browser struct {
	s       *loginSite
	cookies map[string]string
}

func (s *loginSite) browser() *browser { return &browser{s: s, cookies: map[string]string{}} }

func (b *browser) keep(cookies ...*http.Cookie) {
	for _, c := range cookies {
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		} else {
			b.cookies[c.Name] = c.Value
		}
	}
}

func (b *browser) request(target string) *http.Request {
	var cookies []*http.Cookie
	for name, value := range b.cookies {
		cookies = append(cookies, &http.Cookie{Name: name, Value: value})
	}
	return request(target, cookies...)
}

// only returns the one cookie that there is.
func (b *browser) only() (name, value string) {
	b.s.t.Helper()
	if len(b.cookies) != 1 {
		b.s.t.Fatalf("cookies %v", b.cookies)
	}
	for name, value = range b.cookies {
		break
	}
	return name, value
}

// begin returns the address that the provider sends the browser back to.
func (b *browser) begin(start identity.LoginStart) string {
	b.s.t.Helper()
	address, cookies, err := b.s.BeginLogin(b.request("/"), start)
	if err != nil {
		b.s.t.Fatal(err)
	}
	b.keep(cookies...)
	return address
}

func (b *browser) complete(provider, address string) (*identity.Login, error) {
	login, err := b.s.CompleteLogin(b.request(address), provider)
	b.keep(login.Cookies...)
	return login, err
}

func (b *browser) signIn(start identity.LoginStart) (*identity.Login, error) {
	b.s.t.Helper()
	return b.complete(start.Provider, b.begin(start))
}

func (b *browser) at(provider string) (*identity.Login, error) {
	b.s.t.Helper()
	return b.signIn(identity.LoginStart{Provider: provider})
}

func (b *browser) mustBe(want identity.Person) {
	b.s.t.Helper()
	caller, err := b.s.Authenticate(b.request("/"))
	if err != nil || caller.Person.ID != want.ID {
		b.s.t.Errorf("signed in as %+v, %v; want %s", caller.Person, err, want.Name)
	}
}

func (b *browser) mustBeNobody() {
	b.s.t.Helper()
	if caller, err := b.s.Authenticate(b.request("/")); !errors.Is(err, identity.ErrNoSession) {
		b.s.t.Errorf("signed in as %+v, %v", caller.Person, err)
	}
}

func (s *loginSite) people() []identity.Person {
	s.t.Helper()
	people, err := s.People(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	return people
}

func (s *loginSite) invite(role identity.Role) string {
	s.t.Helper()
	admin, err := s.FirstAdmin(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	_, address, err := s.Invite(context.Background(), identity.Caller{Person: admin}, role, "for a test", 0)
	if err != nil {
		s.t.Fatal(err)
	}
	_, secret, ok := strings.Cut(address, "/invite#")
	if !ok {
		s.t.Fatalf("invitation at %s", address)
	}
	return secret
}

func TestLogin_WhoARuleLetsInGetsAPersonAndASession(t *testing.T) {
	s := newLoginSite(t, identity.Access{Allow: rules(t, "user", "github:583231")})
	b := s.browser()
	login, err := b.signIn(identity.LoginStart{Provider: "github", Next: "/workspaces?x=y"})
	if err != nil || login.Next != "/workspaces?x=y" {
		t.Fatalf("%+v, %v", login, err)
	}
	want := identity.Person{
		ID: login.Person.ID, Name: "Mona Lisa", Email: "mona@corp.com", Role: identity.RoleMember, ByRule: true, Revision: 1, CreatedAt: s.clock.Now(),
	}
	if diff := cmp.Diff([]identity.Person{want}, s.people()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	b.mustBe(want)
	caller, err := s.Authenticate(b.request("/"))
	if err != nil || caller.Session.Provider != "github" {
		t.Errorf("session %+v, %v", caller.Session, err)
	}
	again := s.browser()
	if _, err := again.at("github"); err != nil {
		t.Fatal(err)
	}
	again.mustBe(want)
	if n := len(s.people()); n != 1 {
		t.Errorf("%d people after the second sign-in", n)
	}
}

func TestLogin_TheSessionThatTheBrowserHadEnds(t *testing.T) {
	s := newLoginSite(t, identity.Access{Allow: rules(t, "user", "github:octocat")})
	b, copied := s.browser(), s.browser()
	if _, err := b.at("github"); err != nil {
		t.Fatal(err)
	}
	copied.cookies[identity.SessionCookie] = b.cookies[identity.SessionCookie]
	copied.mustBe(s.people()[0])
	if _, err := b.at("github"); err != nil {
		t.Fatal(err)
	}
	b.mustBe(s.people()[0])
	copied.mustBeNobody()
}

func TestLogin_WithoutARuleNobodyComesIn(t *testing.T) {
	s := newLoginSite(t, identity.Access{})
	b := s.browser()
	_, err := b.at("github")
	mustBe(t, "a stranger", err, identity.ErrNotAllowed)
	b.mustBeNobody()
	accounts, err := s.store.Accounts(t.Context(), "")
	if err != nil || len(accounts) != 0 || len(s.people()) != 0 {
		t.Errorf("a stranger left %v and %v, %v", accounts, s.people(), err)
	}
}

func TestLogin_TheAccountIsKnownByItsIdNotByItsLogin(t *testing.T) {
	s := newLoginSite(t, identity.Access{Allow: rules(t, "user", "github:583231")})
	if _, err := s.browser().at("github"); err != nil {
		t.Fatal(err)
	}
	renamed := octocat
	renamed.Login, renamed.Handle = "mona", "mona"
	s.github.is(renamed)
	if _, err := s.browser().at("github"); err != nil {
		t.Errorf("renamed: %v", err)
	}
	taker := octocat
	taker.Subject, taker.ID = "999", "999"
	s.github.is(taker)
	b := s.browser()
	_, err := b.at("github")
	mustBe(t, "who took the login", err, identity.ErrNotAllowed)
	b.mustBeNobody()
}

func TestLogin_TheSameAddressAtAnotherProviderIsSomebodyElse(t *testing.T) {
	s := newLoginSite(t, identity.Access{Allow: rules(t, "domain", "corp.com")})
	here, there := s.browser(), s.browser()
	first, err := here.at("github")
	if err != nil {
		t.Fatal(err)
	}
	second, err := there.at("corp")
	if err != nil {
		t.Fatal(err)
	}
	if first.Person.ID == second.Person.ID || first.Person.Email != second.Person.Email {
		t.Errorf("%+v and %+v", first.Person, second.Person)
	}
}

func TestLogin_ARuleThatNoLongerMatchesKeepsOut(t *testing.T) {
	s := newLoginSite(t, identity.Access{Allow: rules(t, "group", "corp:developers")})
	first, err := s.browser().at("corp")
	if err != nil {
		t.Fatal(err)
	}
	left := mona
	left.Groups = []string{"group:alumni"}
	s.corp.is(left)
	b := s.browser()
	_, err = b.at("corp")
	mustBe(t, "who left the group", err, identity.ErrNotAllowed)
	b.mustBeNobody()
	// An invitation lets them in again, and for good.
	login, err := b.signIn(identity.LoginStart{Provider: "corp", Invitation: s.invite(identity.RoleMember)})
	if err != nil || login.Person.ID != first.Person.ID || login.Person.ByRule {
		t.Errorf("invited again: %+v, %v", login.Person, err)
	}
	if _, err := s.browser().at("corp"); err != nil {
		t.Errorf("the next time: %v", err)
	}
}

func TestLogin_WhoWasInvitedNeedsNoRule(t *testing.T) {
	s := newLoginSite(t, identity.Access{})
	secret := s.invite(identity.RoleAdmin)
	login, err := s.browser().signIn(identity.LoginStart{Provider: "github", Invitation: secret})
	if err != nil || login.Person.Role != identity.RoleAdmin || login.Person.ByRule {
		t.Fatalf("%+v, %v", login.Person, err)
	}
	b := s.browser()
	if _, err := b.at("github"); err != nil {
		t.Errorf("the next time: %v", err)
	}
	b.mustBe(login.Person)
	s.github.is(hubot)
	_, err = s.browser().signIn(identity.LoginStart{Provider: "github", Invitation: secret})
	mustBe(t, "the invitation used by another one", err, identity.ErrInvitation)
}

func TestLogin_AnInvitationIsNotUsedUpByWhoNeedsNone(t *testing.T) {
	s := newLoginSite(t, identity.Access{Allow: rules(t, "user", "github:octocat")})
	secret := s.invite(identity.RoleAdmin)
	login, err := s.browser().signIn(identity.LoginStart{Provider: "github", Invitation: secret})
	if err != nil || login.Person.Role != identity.RoleMember {
		t.Fatalf("%+v, %v", login.Person, err)
	}
	s.github.is(hubot)
	login, err = s.browser().signIn(identity.LoginStart{Provider: "github", Invitation: secret})
	if err != nil || login.Person.Role != identity.RoleAdmin {
		t.Errorf("who was invited: %+v, %v", login.Person, err)
	}
}

func TestLogin_OfManyWhoUseAnInvitationAtOnceOneComesIn(t *testing.T) {
	s := newLoginSite(t, identity.Access{})
	secret := s.invite(identity.RoleMember)
	var group sync.WaitGroup
	var came atomic.Int32
	for i := range 8 {
		profile := octocat
		profile.Subject = string(rune('a' + i))
		s.github.is(profile)
		b := s.browser()
		address := b.begin(identity.LoginStart{Provider: "github", Invitation: secret})
		group.Go(func() {
			_, err := b.complete("github", address)
			if err == nil {
				came.Add(1)
			} else if !errors.Is(err, identity.ErrInvitation) {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if came.Load() != 1 || len(s.people()) != 2 { // with whoever invited them
		t.Errorf("%d came in, %d people", came.Load(), len(s.people()))
	}
}

func TestLogin_OfTwoFirstSignInsAtOnceOnePersonComes(t *testing.T) {
	s := newLoginSite(t, identity.Access{Allow: rules(t, "user", "github:octocat")})
	other := s.service(s.cfg)
	var group sync.WaitGroup
	for _, service := range []*identity.Service{s.Service, other, s.Service, other} {
		group.Go(func() {
			b := s.browser()
			address, cookies, err := service.BeginLogin(b.request("/"), identity.LoginStart{Provider: "github"})
			if err != nil {
				t.Error(err)
				return
			}
			b.keep(cookies...)
			if _, err := service.CompleteLogin(b.request(address), "github"); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if people := s.people(); len(people) != 1 {
		t.Errorf("%+v", people)
	}
}

func TestLogin_ARoleFromARuleGoesWithIt(t *testing.T) {
	access := identity.Access{Allow: rules(t, "domain", "corp.com"), Admin: rules(t, "org", "github:acme")}
	s := newLoginSite(t, access)
	admin := octocat
	admin.Groups = []string{"org:Acme"}
	s.github.is(admin)
	login, err := s.browser().at("github")
	if err != nil || login.Person.Role != identity.RoleAdmin || !login.Person.AdminByRule {
		t.Fatalf("%+v, %v", login.Person, err)
	}
	s.github.is(octocat)
	login, err = s.browser().at("github")
	if err != nil || login.Person.Role != identity.RoleMember || login.Person.AdminByRule {
		t.Errorf("after leaving: %+v, %v", login.Person, err)
	}
	role := identity.RoleAdmin
	if _, err := s.ChangePerson(t.Context(), identity.Caller{}, login.Person.ID, identity.PersonChange{Role: &role}); err != nil {
		t.Fatal(err)
	}
	login, err = s.browser().at("github")
	if err != nil || login.Person.Role != identity.RoleAdmin {
		t.Errorf("made admin by an admin: %+v, %v", login.Person, err)
	}
}

func TestLogin_AnAdminRuleLetsInToo(t *testing.T) {
	s := newLoginSite(t, identity.Access{Admin: rules(t, "email", "Mona@CORP.com")})
	login, err := s.browser().at("github")
	if err != nil || login.Person.Role != identity.RoleAdmin {
		t.Errorf("%+v, %v", login.Person, err)
	}
}

func TestLogin_SaysWhenOnlyTheAddressLacksVerification(t *testing.T) {
	s := newLoginSite(t, identity.Access{Allow: rules(t, "domain", "corp.com")})
	unverified := octocat
	unverified.Email = ""
	s.github.is(unverified)
	_, err := s.browser().at("github")
	mustBe(t, "without an address", err, identity.ErrUnverifiedEmail)
}

func TestLogin_WhoIsDisabledStaysOut(t *testing.T) {
	s := newLoginSite(t, identity.Access{Allow: rules(t, "user", "github:octocat")})
	login, err := s.browser().at("github")
	if err != nil {
		t.Fatal(err)
	}
	off := true
	if _, err := s.ChangePerson(t.Context(), identity.Caller{}, login.Person.ID, identity.PersonChange{Disabled: &off}); err != nil {
		t.Fatal(err)
	}
	for _, start := range []identity.LoginStart{{Provider: "github"}, {Provider: "github", Invitation: s.invite(identity.RoleAdmin)}} {
		b := s.browser()
		_, err = b.signIn(start)
		mustBe(t, "disabled", err, identity.ErrDisabled)
		b.mustBeNobody()
	}
	_, _, err = s.SignInByLink(t.Context(), s.link(login.Person))
	mustBe(t, "disabled, by a link", err, identity.ErrDisabled)
}

func TestLogin_IsBoundToTheBrowserThatBegan(t *testing.T) {
	s := newLoginSite(t, identity.Access{Allow: rules(t, "user", "github:octocat")})
	mine, other := s.browser(), s.browser()
	address := mine.begin(identity.LoginStart{Provider: "github"})
	_, err := other.complete("github", address)
	mustBe(t, "a browser that began nothing", err, identity.ErrAttempt)
	other.begin(identity.LoginStart{Provider: "github"})
	_, err = other.complete("github", address)
	mustBe(t, "a browser that began another one", err, identity.ErrAttempt)
	other.mustBeNobody()
	if _, err := mine.complete("github", address); err != nil {
		t.Errorf("the browser that began: %v", err)
	}
	signedIn := s.people()[0]
	mine.mustBe(signedIn)
	_, err = mine.complete("github", address)
	mustBe(t, "the same once more", err, identity.ErrAttempt)
	mine.mustBe(signedIn)
}

func TestLogin_AReplayWithTheOldCookiesDoesNothing(t *testing.T) {
	s := newLoginSite(t, identity.Access{Allow: rules(t, "user", "github:octocat")})
	b := s.browser()
	address := b.begin(identity.LoginStart{Provider: "github"})
	thief := s.browser()
	for name, value := range b.cookies {
		thief.cookies[name] = value
	}
	if _, err := b.complete("github", address); err != nil {
		t.Fatal(err)
	}
	_, err := thief.complete("github", address)
	mustBe(t, "the replay", err, identity.ErrAttempt)
	thief.mustBeNobody()
}

func TestLogin_EndsAfterTenMinutes(t *testing.T) {
	s := newLoginSite(t, identity.Access{Allow: rules(t, "user", "github:octocat")})
	b := s.browser()
	early, late := b.begin(identity.LoginStart{Provider: "github"}), b.begin(identity.LoginStart{Provider: "github"})
	s.advance(10*time.Minute - time.Second)
	if _, err := b.complete("github", early); err != nil {
		t.Errorf("just in time: %v", err)
	}
	s.advance(time.Second)
	_, err := b.complete("github", late)
	mustBe(t, "late", err, identity.ErrAttempt)
}

func TestLogin_SeveralTabsMaySignInAtOnce(t *testing.T) {
	s := newLoginSite(t, identity.Access{Allow: rules(t, "user", "github:octocat", "user", "corp:mona")})
	b := s.browser()
	first := b.begin(identity.LoginStart{Provider: "github", Next: "/one"})
	second := b.begin(identity.LoginStart{Provider: "github", Next: "/two"})
	third := b.begin(identity.LoginStart{Provider: "corp", Next: "/three"})
	for _, c := range []struct{ provider, address, next string }{{"corp", third, "/three"}, {"github", first, "/one"}, {"github", second, "/two"}} {
		login, err := b.complete(c.provider, c.address)
		if err != nil || login.Next != c.next {
			t.Errorf("%s: %+v, %v", c.next, login, err)
		}
	}
}

func TestLogin_AttemptsDoNotPileUpInTheBrowser(t *testing.T) {
	s := newLoginSite(t, identity.Access{Allow: rules(t, "user", "github:octocat")})
	b := s.browser()
	var last string
	for range 50 {
		last = b.begin(identity.LoginStart{Provider: "github", Next: "/" + strings.Repeat("x", 1000)})
		total := 0
		for name, value := range b.cookies {
			total += len(name) + len(value)
			if len(name)+len(value) > 4000 {
				t.Fatalf("a cookie of %d bytes, which browsers drop", len(name)+len(value))
			}
		}
		if len(b.cookies) > 8 {
			t.Fatalf("%d cookies of %d bytes", len(b.cookies), total)
		}
	}
	if _, err := b.complete("github", last); err != nil {
		t.Error(err)
	}
}

func TestLogin_AnotherProvidersCallbackDoesNothing(t *testing.T) {
	s := newLoginSite(t, identity.Access{Allow: rules(t, "user", "github:octocat", "user", "corp:mona")})
	b := s.browser()
	address := b.begin(identity.LoginStart{Provider: "github"})
	_, err := b.complete("corp", address)
	mustBe(t, "a code of github at corp", err, identity.ErrAttempt)
	b.mustBeNobody()
	_, err = b.complete("nowhere", address)
	mustBe(t, "an unknown provider", err, identity.ErrUnknownProvider)
	_, _, err = s.BeginLogin(b.request("/"), identity.LoginStart{Provider: "nowhere"})
	mustBe(t, "beginning at an unknown provider", err, identity.ErrUnknownProvider)
}

func TestLogin_MalformedCallbacksAreRefused(t *testing.T) {
	s := newLoginSite(t, identity.Access{Allow: rules(t, "user", "github:octocat")})
	for name, change := range map[string]func(q url.Values, b *browser){
		"no state":      func(q url.Values, _ *browser) { q.Del("state") },
		"two states":    func(q url.Values, _ *browser) { q.Add("state", q.Get("state")) },
		"two codes":     func(q url.Values, _ *browser) { q.Add("code", "x") },
		"a long state":  func(q url.Values, _ *browser) { q.Set("state", strings.Repeat("x", 100_000)) },
		"another state": func(q url.Values, _ *browser) { q.Set("state", identity.NewSecret()) },
		"a changed cookie": func(_ url.Values, b *browser) {
			for name, value := range b.cookies {
				b.cookies[name] = value[:20] + "AAAA" + value[24:]
			}
		},
		"a cookie under another name": func(q url.Values, b *browser) {
			for name, value := range b.cookies {
				delete(b.cookies, name)
				b.cookies[strings.TrimRight(name, "0123456789abcdef")+identity.Hash(q.Get("state"))[16:32]] = value
			}
		},
		"a cookie of another installation": func(_ url.Values, b *browser) {
			other := newLoginSite(t, identity.Access{}).browser()
			other.begin(identity.LoginStart{Provider: "github"})
			for name := range b.cookies {
				for _, value := range other.cookies {
					b.cookies[name] = value
				}
			}
		},
	} {
		b := s.browser()
		u, err := url.Parse(b.begin(identity.LoginStart{Provider: "github"}))
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		change(q, b)
		u.RawQuery = q.Encode()
		_, err = b.complete("github", u.String())
		mustBe(t, name, err, identity.ErrAttempt)
		b.mustBeNobody()
	}
}

func TestLogin_TheCallbackComesFromTheConfigurationAlone(t *testing.T) {
	s := newLoginSite(t, identity.Access{})
	r := request("/")
	r.Host = "evil.example"
	for _, name := range []string{"X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "X-Original-Host", "Host", "Origin", "Referer"} {
		r.Header.Set(name, "https://evil.example")
	}
	address, _, err := s.BeginLogin(r, identity.LoginStart{Provider: "github"})
	if err != nil || !strings.HasPrefix(address, "http://kalpana.localhost:8080/login/github/callback?") {
		t.Errorf("%s, %v", address, err)
	}
}

func TestLogin_GoesOnToAPathOfTheConsoleOnly(t *testing.T) {
	s := newLoginSite(t, identity.Access{Allow: rules(t, "user", "github:octocat")})
	base, err := url.Parse("http://kalpana.localhost:8080/login/github/callback?code=x")
	if err != nil {
		t.Fatal(err)
	}
	for _, next := range append(slices.Clone(openRedirects), "/login", "/login?next=/x", "/login/github/callback?x=y") {
		login, err := s.browser().signIn(identity.LoginStart{Provider: "github", Next: next})
		if err != nil {
			t.Errorf("%.60q: %v", next, err)
			continue
		}
		target, err := base.Parse(login.Next)
		if err != nil || target.Host != base.Host || target.Scheme != base.Scheme || strings.HasPrefix(login.Next, "/login") {
			t.Errorf("%.60q: goes on to %.60q, %v", next, login.Next, err)
		}
	}
	for _, next := range []string{"/", "/settings", "/handoff?host=abcdefghij&challenge=" + identity.Hash(""), "/workspaces/abcdefghij?a=b"} {
		if login, err := s.browser().signIn(identity.LoginStart{Provider: "github", Next: next}); err != nil || login.Next != next {
			t.Errorf("%q: %q, %v", next, login.Next, err)
		}
	}
}

func TestLogin_FaultsOfTheProviderEndTheAttempt(t *testing.T) {
	s := newLoginSite(t, identity.Access{Allow: rules(t, "user", "github:octocat")})
	for _, want := range []error{identity.ErrDenied, identity.ErrProvider, identity.ErrProviderDown} {
		s.github.fail(want)
		b := s.browser()
		login, err := b.signIn(identity.LoginStart{Provider: "github", Next: "/x"})
		mustBe(t, want.Error(), err, want)
		b.mustBeNobody()
		if len(b.cookies) != 0 || login.Next != "/x" {
			t.Errorf("%v: left %v, goes on to %s", want, b.cookies, login.Next)
		}
	}
}

func TestConnect_AddsAWayInForWhoIsSignedIn(t *testing.T) {
	s := newLoginSite(t, identity.Access{})
	admin, err := s.FirstAdmin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := s.browser()
	b.keep(s.signIn(admin))
	before, err := s.Authenticate(b.request("/"))
	if err != nil {
		t.Fatal(err)
	}
	login, err := b.signIn(identity.LoginStart{Provider: "github", Next: "/settings", Connect: &before})
	if err != nil || !login.Connecting || login.Next != "/settings" || login.Person.ID != admin.ID {
		t.Fatalf("%+v, %v", login, err)
	}
	after, err := s.Authenticate(b.request("/"))
	if err != nil || after.Session.Hash != before.Session.Hash {
		t.Errorf("the session became another one: %v", err)
	}
	other := s.browser()
	if _, err := other.at("github"); err != nil {
		t.Fatal(err)
	}
	other.mustBe(admin)
	if _, err := b.signIn(identity.LoginStart{Provider: "github", Connect: &before}); err != nil {
		t.Errorf("connecting it again: %v", err)
	}
	accounts, err := s.Accounts(t.Context(), admin.ID)
	if err != nil || len(accounts) != 1 || accounts[0].Login != "octocat" {
		t.Errorf("%+v, %v", accounts, err)
	}
}

func TestConnect_RefusesAnAccountOfSomebodyElse(t *testing.T) {
	s := newLoginSite(t, identity.Access{Allow: rules(t, "user", "github:octocat")})
	owner, err := s.browser().at("github")
	if err != nil {
		t.Fatal(err)
	}
	b := s.browser()
	b.keep(s.signIn(s.person("Eve")))
	eve, err := s.Authenticate(b.request("/"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.signIn(identity.LoginStart{Provider: "github", Connect: &eve})
	mustBe(t, "connecting", err, identity.ErrTaken)
	b.mustBe(eve.Person)
	account, err := s.store.Account(t.Context(), "github", "583231")
	if err != nil || account.Person != owner.Person.ID {
		t.Errorf("%+v, %v", account, err)
	}
}

func TestConnect_IsForThePersonWhoBegan(t *testing.T) {
	s := newLoginSite(t, identity.Access{})
	asha, ravi := s.person("Asha"), s.person("Ravi")
	b := s.browser()
	b.keep(s.signIn(asha))
	caller, err := s.Authenticate(b.request("/"))
	if err != nil {
		t.Fatal(err)
	}
	start := identity.LoginStart{Provider: "github", Connect: &caller}
	address := b.begin(start)
	b.keep(s.signIn(ravi))
	_, err = b.complete("github", address)
	mustBe(t, "somebody else came between", err, identity.ErrAttempt)
	b.keep(s.signIn(asha))
	address = b.begin(start)
	b.keep(&http.Cookie{Name: identity.SessionCookie, MaxAge: -1})
	_, err = b.complete("github", address)
	mustBe(t, "signed out meanwhile", err, identity.ErrAttempt)
	accounts, err := s.store.Accounts(t.Context(), "")
	if err != nil || len(accounts) != 0 {
		t.Errorf("%+v, %v", accounts, err)
	}
}

func TestDisconnect_EndsWhatBeganWithTheAccount(t *testing.T) {
	s := newLoginSite(t, identity.Access{Allow: rules(t, "user", "github:octocat")})
	b, elsewhere := s.browser(), s.browser()
	for _, at := range []*browser{b, elsewhere} {
		if _, err := at.at("github"); err != nil {
			t.Fatal(err)
		}
	}
	caller, err := s.Authenticate(b.request("/"))
	if err != nil {
		t.Fatal(err)
	}
	mustBe(t, "the only account", s.Disconnect(t.Context(), caller, "github", "583231"), identity.ErrLastAccount)
	if _, err := b.signIn(identity.LoginStart{Provider: "corp", Connect: &caller}); err != nil {
		t.Fatal(err)
	}
	s.cfg.Providers = s.cfg.Providers[:1]
	mustBe(t, "with the other one at a provider that is gone", s.service(s.cfg).Disconnect(t.Context(), caller, "github", "583231"), identity.ErrLastAccount)
	mustBe(t, "one that is not there", s.Disconnect(t.Context(), caller, "github", "1"), identity.ErrUnknownAccount)
	mustBe(t, "one of two", s.Disconnect(t.Context(), caller, "github", "583231"), nil)
	b.mustBe(caller.Person)
	elsewhere.mustBeNobody()
	mustBe(t, "the last one", s.Disconnect(t.Context(), caller, "corp", mona.Subject), identity.ErrLastAccount)
}

func TestProviderToken_IsSealedForItsPerson(t *testing.T) {
	s := newLoginSite(t, identity.Access{Allow: rules(t, "user", "github:octocat")})
	s.github.gives(identity.ProviderToken{Access: "gho_very-secret"})
	login, err := s.browser().at("github")
	if err != nil {
		t.Fatal(err)
	}
	account, err := s.store.Account(t.Context(), "github", "583231")
	if err != nil || len(account.Token) == 0 || bytes.Contains(account.Token, []byte("secret")) {
		t.Fatalf("%q, %v", account.Token, err)
	}
	token, err := s.AccessToken(t.Context(), "github", "583231")
	if err != nil || token != "gho_very-secret" {
		t.Errorf("%q, %v", token, err)
	}
	// Moved to somebody else, it opens no more.
	account.Person = s.person("Eve").ID
	if err := s.store.UpdateAccount(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	if token, err := s.AccessToken(t.Context(), "github", "583231"); err == nil {
		t.Errorf("%s's token opened for Eve: %q", login.Person.Name, token)
	}
}

func TestProviderToken_ThatCannotBeRefreshedEndsItsSession(t *testing.T) {
	s := newLoginSite(t, identity.Access{Allow: rules(t, "user", "github:octocat")})
	s.github.gives(identity.ProviderToken{Access: "short", ExpiresAt: s.clock.Now().Add(time.Hour)})
	b := s.browser()
	login, err := b.at("github")
	if err != nil {
		t.Fatal(err)
	}
	s.advance(time.Hour - time.Second)
	b.mustBe(login.Person)
	s.advance(time.Second)
	b.mustBeNobody()

	s.github.gives(identity.ProviderToken{Access: "short", Refresh: "works once", ExpiresAt: s.clock.Now().Add(time.Hour)})
	if _, err := b.at("github"); err != nil {
		t.Fatal(err)
	}
	s.advance(2 * time.Hour)
	b.mustBe(login.Person)
}

func TestProviderToken_IsRefreshedOnceForAllThatNeedIt(t *testing.T) {
	s := newLoginSite(t, identity.Access{Allow: rules(t, "user", "github:octocat")})
	s.github.gives(identity.ProviderToken{Access: "first", Refresh: "first refresh", ExpiresAt: s.clock.Now().Add(8 * time.Hour)})
	if _, err := s.browser().at("github"); err != nil {
		t.Fatal(err)
	}
	s.advance(8*time.Hour - 30*time.Second)
	waiting := make(chan struct{})
	s.github.during = func() { <-waiting }
	gateways := []*identity.Service{s.Service, s.service(s.cfg), s.service(s.cfg)}
	tokens := make(chan string, 12)
	var group sync.WaitGroup
	for i := range cap(tokens) {
		group.Go(func() {
			token, err := gateways[i%len(gateways)].AccessToken(context.Background(), "github", "583231")
			if err != nil {
				t.Error(err)
			}
			tokens <- token
		})
	}
	close(waiting)
	group.Wait()
	close(tokens)
	first := <-tokens
	for token := range tokens {
		if token != first || token == "first" {
			t.Errorf("%q and %q", token, first)
		}
	}
	if s.github.refreshed != 1 || s.github.reused != 0 {
		t.Errorf("refreshed %d times, a refresh token reused %d times", s.github.refreshed, s.github.reused)
	}
}

func TestProviderToken_ACallerThatLeavesLosesNoToken(t *testing.T) {
	s := newLoginSite(t, identity.Access{Allow: rules(t, "user", "github:octocat")})
	s.github.gives(identity.ProviderToken{Access: "first", Refresh: "first refresh", ExpiresAt: s.clock.Now().Add(time.Second)})
	if _, err := s.browser().at("github"); err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(context.Background())
	s.github.during = leave
	if _, err := s.AccessToken(ctx, "github", "583231"); err != nil {
		t.Errorf("%v", err)
	}
	if token, err := s.AccessToken(context.Background(), "github", "583231"); err != nil || token == "first" || s.github.reused != 0 {
		t.Errorf("%q, %v", token, err)
	}
}

// restarting is a store that is down for some writes of accounts.
type restarting struct {
	identity.Store
	down atomic.Int32
}

func (r *restarting) UpdateAccount(ctx context.Context, a *identity.Account) error {
	if r.down.Add(-1) >= 0 {
		return workspace.ErrStoreDown
	}
	return r.Store.UpdateAccount(ctx, a)
}

func TestProviderToken_AStoreThatRestartsLosesNoToken(t *testing.T) {
	s := newLoginSite(t, identity.Access{Allow: rules(t, "user", "github:octocat")})
	s.github.gives(identity.ProviderToken{Access: "first", Refresh: "first refresh", ExpiresAt: s.clock.Now().Add(time.Second)})
	if _, err := s.browser().at("github"); err != nil {
		t.Fatal(err)
	}
	store := &restarting{Store: s.store}
	store.down.Store(3)
	s.cfg.Store = store
	fresh, err := s.service(s.cfg).AccessToken(t.Context(), "github", "583231")
	if err != nil || fresh == "first" {
		t.Fatalf("%q, %v", fresh, err)
	}
	if token, err := s.AccessToken(t.Context(), "github", "583231"); err != nil || token != fresh || s.github.refreshed != 1 {
		t.Errorf("%q, want %q, %v, after %d refreshes", token, fresh, err, s.github.refreshed)
	}
}

func TestProviderToken_ARefusedRefreshEndsTheSessions(t *testing.T) {
	s := newLoginSite(t, identity.Access{Allow: rules(t, "user", "github:octocat")})
	s.github.gives(identity.ProviderToken{Access: "first", Refresh: "first refresh", ExpiresAt: s.clock.Now().Add(time.Second)})
	b, byLink := s.browser(), s.browser()
	login, err := b.at("github")
	if err != nil {
		t.Fatal(err)
	}
	byLink.keep(s.signIn(login.Person))
	s.github.fail(identity.ErrProviderDown)
	_, err = s.AccessToken(t.Context(), "github", "583231")
	mustBe(t, "while the provider is down", err, identity.ErrProviderDown)
	b.mustBe(login.Person)
	s.github.fail(identity.ErrTokenRefused)
	_, err = s.AccessToken(t.Context(), "github", "583231")
	mustBe(t, "refused", err, identity.ErrNoToken)
	b.mustBeNobody()
	byLink.mustBe(login.Person)
}

// Some providers give a refresh token at the first consent alone, as Google does. The session that rests on it must not go
// on without the provider's word because another browser came.
func TestProviderToken_ASecondSignInWithoutARefreshTokenKeepsTheFirstOnes(t *testing.T) {
	s := newLoginSite(t, identity.Access{Allow: rules(t, "user", "github:octocat")})
	end := s.clock.Now().Add(time.Hour)
	s.github.gives(identity.ProviderToken{Access: "first", Refresh: "of the first consent", ExpiresAt: end})
	first, second := s.browser(), s.browser()
	login, err := first.at("github")
	if err != nil {
		t.Fatal(err)
	}
	s.github.gives(identity.ProviderToken{Access: "second", ExpiresAt: end})
	if _, err := second.at("github"); err != nil {
		t.Fatal(err)
	}
	s.advance(time.Hour)
	second.mustBeNobody()
	s.github.during = func() { // the refresh token is used up by then
		s.github.during = nil
		s.github.gives(identity.ProviderToken{Access: "third", ExpiresAt: end})
		if _, err := s.browser().at("github"); err != nil {
			t.Error(err)
		}
	}
	if err := s.RefreshTokens(t.Context()); err != nil || s.github.refreshed != 1 {
		t.Errorf("%d refreshes, %v", s.github.refreshed, err)
	}
	first.mustBe(login.Person)
	s.advance(8 * time.Hour)
	if err := s.RefreshTokens(t.Context()); err != nil || s.github.refreshed != 2 || s.github.reused != 0 {
		t.Errorf("%d refreshes, %v; a refresh token was reused %d times", s.github.refreshed, err, s.github.reused)
	}
	first.mustBe(login.Person)
	s.github.fail(identity.ErrTokenRefused)
	s.advance(9 * time.Hour)
	if err := s.RefreshTokens(t.Context()); err != nil {
		t.Error(err)
	}
	first.mustBeNobody()
}

func TestProviderToken_SessionsGoOnWhileTheProviderVouches(t *testing.T) {
	s := newLoginSite(t, identity.Access{Allow: rules(t, "user", "github:octocat", "user", "github:hubot")})
	round := func() error { return s.RefreshTokens(t.Context()) }
	at := func(p identity.Profile) *browser {
		p.Token = identity.ProviderToken{Access: "first", Refresh: "refresh of " + p.Login, ExpiresAt: s.clock.Now().Add(8 * time.Hour)}
		s.github.is(p)
		b := s.browser()
		if _, err := b.at("github"); err != nil {
			t.Fatal(err)
		}
		return b
	}
	mine, left := at(octocat), at(hubot)
	me, err := s.Authenticate(mine.request("/"))
	if err != nil {
		t.Fatal(err)
	}
	gone, err := s.Authenticate(left.request("/"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.SignOut(t.Context(), gone.Session); err != nil {
		t.Fatal(err)
	}
	s.advance(7 * time.Hour)
	if err := round(); err != nil || s.github.refreshed != 0 {
		t.Errorf("an hour early: %d refreshes, %v", s.github.refreshed, err)
	}
	s.advance(time.Hour)
	s.github.fail(identity.ErrProviderDown)
	if err := round(); !errors.Is(err, identity.ErrProviderDown) {
		t.Errorf("while the provider is down: %v", err)
	}
	mine.mustBe(me.Person)
	s.github.fail(nil)
	if err := errors.Join(round(), round()); err != nil || s.github.refreshed != 1 {
		t.Errorf("once it is back: %d refreshes, %v; want one, for who is signed in", s.github.refreshed, err)
	}
	mine.mustBe(me.Person)
	s.github.fail(identity.ErrTokenRefused)
	s.advance(9 * time.Hour)
	if err := round(); err != nil {
		t.Error(err)
	}
	mine.mustBeNobody()
}

func TestLogin_TheAuditLogTellsWhoCameInAndWhoDidNot(t *testing.T) {
	s := newLoginSite(t, identity.Access{Allow: rules(t, "user", "github:octocat")})
	b := s.browser()
	login, err := b.at("github")
	if err != nil {
		t.Fatal(err)
	}
	caller, err := s.Authenticate(b.request("/"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.signIn(identity.LoginStart{Provider: "corp", Connect: &caller}); err != nil {
		t.Fatal(err)
	}
	_, err = s.browser().complete("github", b.begin(identity.LoginStart{Provider: "github"}))
	mustBe(t, "in another browser", err, identity.ErrAttempt)
	evil := hubot
	evil.Login = "hubot\n{\"action\":\"sign-in\"}" + strings.Repeat("x", 10_000)
	s.github.is(evil)
	if _, err := s.browser().at("github"); err == nil {
		t.Fatal("hubot came in")
	}
	if _, err := s.browser().signIn(identity.LoginStart{Provider: "github", Invitation: s.invite(identity.RoleMember)}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range events(t, s.Service, identity.AuditQuery{}) {
		if len(e.Detail) > 1024 || strings.ContainsRune(e.Detail, '\n') {
			t.Errorf("%q", e.Detail)
		}
		got = append(got, e.Action+" "+e.Outcome+" "+e.Via)
	}
	want := []string{
		"sign-in ok github", "connect ok session", "sign-in refused github", "sign-in refused github", "invitation ok session", "invitation ok github", "sign-in ok github",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if e := events(t, s.Service, identity.AuditQuery{})[0]; e.Person != login.Person.ID || e.Address == "" {
		t.Errorf("%+v", e)
	}
}
