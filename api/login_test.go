package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kalpana-dev/kalpana/api"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/identity/login/github"
	"github.com/kalpana-dev/kalpana/identity/login/github/githubtest"
	"github.com/kalpana-dev/kalpana/ratelimit"
)

var octocat = githubtest.User{
	ID: 583231, Login: "octocat", Name: "Mona Lisa", Orgs: []string{"acme"},
	Emails: []githubtest.Email{{Email: "mona@example.com", Primary: true, Verified: true}},
}

// withGitHub makes s an installation where people sign in at a played GitHub.
func (s *site) withGitHub(links bool, rules ...string) *githubtest.Server {
	s.t.Helper()
	server := githubtest.New(octocat)
	p, err := github.New(github.Config{
		Name: "github", ClientID: githubtest.ClientID, ClientSecret: githubtest.ClientSecret, BaseURL: "https://github.test",
		Groups: true, Transport: server,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	var access identity.Access
	for i := 0; i < len(rules); i += 2 {
		rule, err := identity.ParseRule(rules[i], rules[i+1])
		if err != nil {
			s.t.Fatal(err)
		}
		access.Allow = append(access.Allow, rule)
	}
	s.identity = identity.New(identity.Config{Store: s.store, Hosts: s.hosts, Key: identity.NewKey(), Providers: []identity.Provider{p}, Access: access})
	if err := s.identity.Load(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.Handler = api.New(api.Config{
		Hosts: s.hosts, Identity: s.identity, Orchestrator: s.orchestrator, Links: links, Stopping: s.stopping,
	})
	return server
}

// keep takes the cookies of an answer over.
func (b *browser) keep(w *httptest.ResponseRecorder) {
	b.t.Helper()
	jar := map[string]string{}
	for pair := range strings.SplitSeq(b.cookie, "; ") {
		if name, value, ok := strings.Cut(pair, "="); ok {
			jar[name] = value
		}
	}
	for _, c := range w.Result().Cookies() {
		if !c.Secure || !c.HttpOnly || c.Path != "/" || !strings.HasPrefix(c.Name, "__Host-kalpana_") {
			b.t.Errorf("cookie %s", c)
		}
		if c.MaxAge < 0 {
			delete(jar, c.Name)
		} else {
			jar[c.Name] = c.Value
		}
	}
	var pairs []string
	for name, value := range jar {
		pairs = append(pairs, name+"="+value)
	}
	b.cookie = strings.Join(pairs, "; ")
}

// begin starts a sign-in at GitHub and returns the path that GitHub sends the browser back to.
func (b *browser) begin(server *githubtest.Server, start api.LoginStart) string {
	b.t.Helper()
	w := b.must(http.StatusOK, "POST", "/api/login/github", start)
	b.keep(w)
	back := server.Visit(decode[api.LoginAddress](b.t, w).URL)
	path, ok := strings.CutPrefix(back, console)
	if !ok {
		b.t.Fatalf("GitHub sends the browser to %s", back)
	}
	return path
}

// complete comes back from GitHub and returns where it goes on.
func (b *browser) complete(path string) string {
	b.t.Helper()
	r := b.with("Sec-Fetch-Dest", "document").with("Sec-Fetch-Site", "cross-site").request("GET", path, nil)
	w := httptest.NewRecorder()
	b.CompleteLogin(w, r)
	if w.Code != http.StatusSeeOther || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Referrer-Policy") != "no-referrer" {
		b.t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	b.keep(w)
	return w.Header().Get("Location")
}

func TestLogin_ListsTheWays(t *testing.T) {
	s := newSite(t)
	s.withGitHub(true)
	want := `{"methods":[{"name":"github","title":"GitHub","kind":"github"},{"name":"link","title":"Sign-in link","kind":"link"}]}`
	if got := strings.TrimSpace(s.stranger().must(200, "GET", "/api/login", nil).Body.String()); got != want {
		t.Errorf("%s", got)
	}
	s.withGitHub(false)
	if got := decode[api.Methods](t, s.stranger().must(200, "GET", "/api/login", nil)); len(got.Methods) != 1 {
		t.Errorf("%+v", got)
	}
}

func TestLogin_AtGitHubSignsInAndGoesOn(t *testing.T) {
	s := newSite(t)
	server := s.withGitHub(true, "org", "github:acme")
	b := s.stranger()
	if got := b.complete(b.begin(server, api.LoginStart{Next: "/workspaces"})); got != "/workspaces" {
		t.Fatalf("goes on to %s", got)
	}
	me := decode[api.Me](t, b.must(200, "GET", "/api/me", nil))
	if me.Name != "Mona Lisa" || me.Role != "member" {
		t.Errorf("%+v", me)
	}
	accounts := decode[api.Accounts](t, b.must(200, "GET", "/api/accounts", nil)).Accounts
	if len(accounts) != 1 || accounts[0].Subject != "583231" || accounts[0].Login != "octocat" || accounts[0].Email != "mona@example.com" {
		t.Errorf("%+v", accounts)
	}
	if p := problemOf(t, b.must(409, "DELETE", "/api/accounts/github/583231", nil)); !strings.Contains(p.Detail, "connect another one first") {
		t.Errorf("%s", p.Detail)
	}
	b.must(404, "DELETE", "/api/accounts/github/1", nil)
}

func TestLogin_TellsThePageWhyItFailed(t *testing.T) {
	s := newSite(t)
	server := s.withGitHub(true, "org", "github:acme", "domain", "corp.example")
	stranger := octocat
	stranger.Orgs = nil
	unverified := stranger
	unverified.Emails = nil
	for _, c := range []struct {
		name   string
		user   githubtest.User
		denied bool
		down   bool
		change func(url.Values)
		want   string
	}{
		{name: "no rule", user: stranger, want: "not-allowed"},
		{name: "no address", user: unverified, want: "unverified-email"},
		{name: "denied", user: octocat, denied: true, want: "denied"},
		{name: "down", user: octocat, down: true, want: "unavailable"},
		{name: "another state", user: octocat, change: func(q url.Values) { q.Set("state", identity.NewSecret()) }, want: "expired"},
		{name: "a made-up code", user: octocat, change: func(q url.Values) { q.Set("code", "x") }, want: "expired"},
		{name: "another issuer", user: octocat, change: func(q url.Values) { q.Set("iss", "https://evil.example") }, want: "provider"},
	} {
		server.SignIn(c.user, c.denied)
		b := s.stranger()
		path := b.begin(server, api.LoginStart{})
		if c.change != nil {
			at, query, _ := strings.Cut(path, "?")
			q, err := url.ParseQuery(query)
			if err != nil {
				t.Fatal(err)
			}
			c.change(q)
			path = at + "?" + q.Encode()
		}
		server.SetDown(c.down)
		if got := b.complete(path); got != "/login?error="+c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		server.SetDown(false)
		b.must(401, "GET", "/api/me", nil)
	}
	b := s.stranger()
	server.SignIn(stranger, false)
	if got := b.complete(b.begin(server, api.LoginStart{Next: "/settings"})); got != "/login?error=not-allowed&next=%2Fsettings" {
		t.Errorf("with a path to go on to: %s", got)
	}
	if got := b.complete("/login/nowhere/callback?code=x&state=y"); got != "/login?error=unknown" {
		t.Errorf("an unknown provider: %s", got)
	}
	b.must(404, "POST", "/api/login/nowhere", api.LoginStart{})
}

func TestLogin_TheCallbackIsForNavigationsOnly(t *testing.T) {
	s := newSite(t)
	server := s.withGitHub(true, "org", "github:acme")
	b := s.stranger()
	path := b.begin(server, api.LoginStart{})
	for _, dest := range []string{"empty", "image", "script", "iframe", "frame", "embed", "object", "document, document"} {
		w := httptest.NewRecorder()
		s.CompleteLogin(w, b.with("Sec-Fetch-Dest", dest).request("GET", path, nil))
		if problemOf(t, w); w.Code != http.StatusForbidden || len(w.Result().Cookies()) != 0 {
			t.Errorf("as %s: %d", dest, w.Code)
		}
	}
	for _, method := range []string{"POST", "HEAD", "PUT", "DELETE"} {
		w := httptest.NewRecorder()
		s.CompleteLogin(w, b.request(method, path, nil))
		if w.Code != http.StatusForbidden {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
	if got := b.complete(path); got != "/" {
		t.Errorf("goes on to %s", got)
	}
}

func TestLogin_OnlyTheConsoleBegins(t *testing.T) {
	s := newSite(t)
	s.withGitHub(true)
	for _, site := range []string{"cross-site", "same-site"} {
		w := s.stranger().with("Sec-Fetch-Site", site).must(403, "POST", "/api/login/github", api.LoginStart{})
		if len(w.Result().Cookies()) != 0 {
			t.Errorf("%s: %v", site, w.Result().Cookies())
		}
	}
	s.stranger().must(405, "GET", "/api/login/github", nil)
	s.stranger().must(401, "POST", "/api/login/github", api.LoginStart{Connect: true})
}

func TestConnect_TellsThePageOfTheSettings(t *testing.T) {
	s := newSite(t)
	server := s.withGitHub(true, "org", "github:acme")
	owner := s.stranger()
	owner.complete(owner.begin(server, api.LoginStart{}))
	b := s.signIn("Eve")
	if got := b.complete(b.begin(server, api.LoginStart{Next: "/settings?tab=accounts", Connect: true})); got != "/settings?tab=accounts&error=taken" {
		t.Errorf("%s", got)
	}
	other := octocat
	other.ID, other.Login = 7, "eve"
	server.SignIn(other, false)
	if got := b.complete(b.begin(server, api.LoginStart{Next: "/settings", Connect: true})); got != "/settings" {
		t.Errorf("%s", got)
	}
	if me := decode[api.Me](t, b.must(200, "GET", "/api/me", nil)); me.Name != "Eve" {
		t.Errorf("%+v", me)
	}
}

func TestInvitation_BringsOnePersonInThroughAProvider(t *testing.T) {
	s := newSite(t)
	server := s.withGitHub(true)
	admin := s.admin()
	made := decode[api.NewInvitation](t, admin.must(201, "POST", "/api/invitations", api.InvitationRequest{Role: "member", Note: "Mona", LifetimeHours: 2}))
	secret, ok := strings.CutPrefix(made.URL, console+"/invite#")
	if !ok || made.Note != "Mona" || made.By != "admin" || made.ExpiresAt.Sub(made.CreatedAt).Hours() != 2 {
		t.Fatalf("%+v", made)
	}
	list := decode[api.Invitations](t, admin.must(200, "GET", "/api/invitations", nil)).Invitations
	if len(list) != 1 || list[0] != made.Invitation {
		t.Errorf("%+v", list)
	}
	guest := s.stranger()
	if got := guest.complete(guest.begin(server, api.LoginStart{Invitation: secret})); got != "/" {
		t.Fatalf("%s", got)
	}
	late := s.stranger()
	another := octocat
	another.ID = 8
	server.SignIn(another, false)
	if got := late.complete(late.begin(server, api.LoginStart{Invitation: secret})); got != "/login?error=invitation" {
		t.Errorf("the second use: %s", got)
	}
	if list := decode[api.Invitations](t, admin.must(200, "GET", "/api/invitations", nil)).Invitations; len(list) != 0 {
		t.Errorf("%+v", list)
	}
	guest.must(403, "POST", "/api/invitations", api.InvitationRequest{Role: "member"})
}

func TestInvitation_IsRedeemedDirectlyWhereLinksAreTheOnlyWay(t *testing.T) {
	s := newSite(t)
	admin := s.admin()
	made := decode[api.NewInvitation](t, admin.must(201, "POST", "/api/invitations", api.InvitationRequest{Role: "admin"}))
	_, secret, _ := strings.Cut(made.URL, "#")
	b := s.stranger()
	b.must(422, "POST", "/api/invitations/redeem", api.Redemption{Token: secret, Name: " "})
	w := b.must(204, "POST", "/api/invitations/redeem", api.Redemption{Token: secret, Name: "Ravi"})
	b.keep(w)
	if me := decode[api.Me](t, b.must(200, "GET", "/api/me", nil)); me.Name != "Ravi" || me.Role != "admin" {
		t.Errorf("%+v", me)
	}
	s.stranger().must(404, "POST", "/api/invitations/redeem", api.Redemption{Token: secret, Name: "Eve"})

	for _, links := range []bool{false, true} {
		s.withGitHub(links)
		s.stranger().must(405, "POST", "/api/invitations/redeem", api.Redemption{Token: secret, Name: "Eve"})
	}
}

func TestInvitation_CanBeWithdrawn(t *testing.T) {
	s := newSite(t)
	admin := s.admin()
	made := decode[api.NewInvitation](t, admin.must(201, "POST", "/api/invitations", api.InvitationRequest{Role: "member"}))
	admin.must(204, "DELETE", "/api/invitations/"+made.ID, nil)
	admin.must(404, "DELETE", "/api/invitations/"+made.ID, nil)
	_, secret, _ := strings.Cut(made.URL, "#")
	s.stranger().must(404, "POST", "/api/invitations/redeem", api.Redemption{Token: secret, Name: "Eve"})
	for name, body := range map[string]string{
		"no role": `{}`, "another role": `{"role":"owner"}`, "too long": `{"role":"member","lifetimeHours":721}`, "no time": `{"role":"member","lifetimeHours":0.5}`,
		"a long note": `{"role":"member","note":"` + strings.Repeat("x", 201) + `"}`, "a note of two lines": `{"role":"member","note":"a\nb"}`,
	} {
		if w := admin.do("POST", "/api/invitations", body); w.Code != 422 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

func TestPeople_AdminsChangeThem(t *testing.T) {
	s := newSite(t)
	admin, asha := s.admin(), s.signIn("Asha")
	people := decode[api.People](t, admin.must(200, "GET", "/api/people", nil)).People
	if len(people) != 2 || people[0].ID != "admin" || people[1].Name != "Asha" || people[1].Role != "member" {
		t.Fatalf("%+v", people)
	}
	id := people[1].ID
	for _, body := range []string{`{"role":"member"}`, `{"disabled":true}`} {
		if p := problemOf(t, admin.must(409, "PATCH", "/api/people/admin", body)); !strings.Contains(p.Detail, "make somebody else admin first") {
			t.Errorf("%s: %s", body, p.Detail)
		}
	}
	if got := decode[api.Person](t, admin.must(200, "PATCH", "/api/people/"+id, `{"disabled":true}`)); !got.Disabled {
		t.Errorf("%+v", got)
	}
	asha.must(401, "GET", "/api/me", nil)
	if p := problemOf(t, admin.must(409, "POST", "/api/people/"+id+"/sign-in-link", nil)); !strings.Contains(p.Detail, "Enable them first") {
		t.Errorf("%s", p.Detail)
	}
	admin.must(200, "PATCH", "/api/people/"+id, `{"disabled":false,"role":"admin"}`)
	link := decode[api.SignInLink](t, admin.must(200, "POST", "/api/people/"+id+"/sign-in-link", nil))
	_, secret, ok := strings.Cut(link.URL, "/login/link#")
	if !ok {
		t.Fatalf("%+v", link)
	}
	asha.keep(asha.must(204, "POST", "/api/login/link", api.LinkToken{Token: secret}))
	ravi := s.signIn("Ravi")
	person := "/api/people/" + decode[api.Me](t, ravi.must(200, "GET", "/api/me", nil)).ID
	admin.must(200, "PATCH", person, `{"role":"admin"}`)
	link = decode[api.SignInLink](t, ravi.must(200, "POST", "/api/people/admin/sign-in-link", nil))
	admin.must(200, "PATCH", person, `{"role":"member"}`)
	_, secret, _ = strings.Cut(link.URL, "#")
	s.stranger().must(401, "POST", "/api/login/link", api.LinkToken{Token: secret}) // from who is no admin any more
	admin.must(404, "PATCH", "/api/people/nobody", `{"role":"admin"}`)
	admin.must(404, "POST", "/api/people/nobody/sign-in-link", nil)
	admin.must(422, "PATCH", "/api/people/"+id, `{"role":"owner"}`)
}

func TestPeople_AreForAdminsOnly(t *testing.T) {
	s := newSite(t)
	for _, c := range []struct{ method, target string }{
		{"GET", "/api/people"},
		{"PATCH", "/api/people/admin"},
		{"POST", "/api/people/admin/sign-in-link"},
		{"GET", "/api/invitations"},
		{"POST", "/api/invitations"},
		{"DELETE", "/api/invitations/x"},
	} {
		var body any
		if c.method == "PATCH" || c.target == "/api/invitations" && c.method == "POST" {
			body = json.RawMessage(`{"role":"admin"}`)
		}
		s.stranger().must(401, c.method, c.target, body)
		s.signIn("Asha").must(403, c.method, c.target, body)
	}
}

func TestLogin_CallbacksAreLimitedAndCanBeReloaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		server := s.withGitHub(true, "org", "github:acme")
		s.Handler = api.New(api.Config{
			Hosts: s.hosts, Identity: s.identity, Orchestrator: s.orchestrator, Links: true, Stopping: s.stopping,
			Limits: api.Limits{SignIn: ratelimit.New(1, time.Minute, 1)},
		})
		first, second := s.stranger(), s.stranger()
		firstPath, secondPath := first.begin(server, api.LoginStart{}), second.begin(server, api.LoginStart{})
		if got := first.complete(firstPath); got != "/" {
			t.Errorf("the first: %s", got)
		}
		w := httptest.NewRecorder()
		s.CompleteLogin(w, second.request("GET", secondPath, nil))
		if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" || len(w.Result().Cookies()) != 0 {
			t.Errorf("the second: %d %v", w.Code, w.Header())
		}
		time.Sleep(time.Minute)
		if got := second.complete(secondPath); got != "/" {
			t.Errorf("the second, reloaded: %s", got)
		}
	})
}

func TestAccounts_AnyIdCanBeNamed(t *testing.T) {
	s := newSite(t)
	server := s.withGitHub(true, "org", "github:acme")
	b := s.stranger()
	b.complete(b.begin(server, api.LoginStart{}))
	me := decode[api.Me](t, b.must(200, "GET", "/api/me", nil))
	for _, subject := range []string{"0123456789ab:auth0|583231", "a/b", "a%2Fb", "ü ?#", strings.Repeat("x", 268)} {
		account := &identity.Account{Provider: "github", Subject: subject, Person: me.ID}
		if err := s.store.CreateAccount(t.Context(), account); err != nil {
			t.Fatal(err)
		}
		b.must(204, "DELETE", "/api/accounts/github/"+url.PathEscape(subject), nil)
		if accounts := decode[api.Accounts](t, b.must(200, "GET", "/api/accounts", nil)).Accounts; len(accounts) != 1 {
			t.Errorf("%q is still there: %+v", subject, accounts)
		}
	}
}
