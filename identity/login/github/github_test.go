package github_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/identity/login/github"
	"github.com/kalpana-dev/kalpana/identity/login/github/githubtest"
)

var octocat = githubtest.User{
	ID: 583231, Login: "octocat", Name: "Mona Lisa",
	Emails: []githubtest.Email{
		{Email: "first@example.com", Verified: true},
		{Email: "Mona@Example.com", Primary: true, Verified: true},
		{Email: "admin@corp.example", Verified: false},
	},
	Orgs: []string{"Acme"}, Teams: []string{"Acme/core"},
}

func provider(t *testing.T, server *githubtest.Server, change func(*github.Config)) *github.Provider {
	t.Helper()
	cfg := github.Config{Name: "github", ClientID: githubtest.ClientID, ClientSecret: githubtest.ClientSecret, BaseURL: "https://github.test", Transport: server}
	if change != nil {
		change(&cfg)
	}
	p, err := github.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newAttempt() identity.Attempt {
	return identity.Attempt{
		State: identity.NewSecret(), Nonce: identity.NewSecret(), Verifier: identity.NewSecret(),
		Callback: "https://kalpana.example.com/login/github/callback",
	}
}

// visit goes to GitHub and returns the query that comes back.
func visit(t *testing.T, p *github.Provider, server *githubtest.Server, a identity.Attempt) url.Values {
	t.Helper()
	address, err := p.Begin(context.Background(), a)
	if err != nil {
		t.Fatal(err)
	}
	back, err := url.Parse(server.Visit(address))
	if err != nil || !strings.HasPrefix(back.String(), a.Callback+"?") || back.Query().Get("state") != a.State {
		t.Fatalf("%s leads to %s, %v", address, back, err)
	}
	return back.Query()
}

func signIn(t *testing.T, p *github.Provider, server *githubtest.Server) identity.Profile {
	t.Helper()
	a := newAttempt()
	profile, err := p.Complete(context.Background(), a, visit(t, p, server, a))
	if err != nil {
		t.Fatal(err)
	}
	return profile
}

func TestGitHub_VouchesForTheNumericIdAndTheVerifiedPrimaryAddress(t *testing.T) {
	server := githubtest.New(octocat)
	got := signIn(t, provider(t, server, func(c *github.Config) { c.Groups = true }), server)
	if !strings.HasPrefix(got.Token.Access, "gho_") || got.Token.Refresh != "" || !got.Token.ExpiresAt.IsZero() {
		t.Errorf("token %+v", got.Token)
	}
	got.Token = identity.ProviderToken{}
	want := identity.Profile{
		Subject: "583231", ID: "583231", Login: "octocat", Handle: "octocat", Name: "Mona Lisa", Email: "mona@example.com",
		Groups: []string{"org:Acme", "team:Acme/core"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestGitHub_AnAddressThatIsNotPrimaryAndVerifiedIsNone(t *testing.T) {
	for name, emails := range map[string][]githubtest.Email{
		"none":                   nil,
		"an unverified primary":  {{Email: "admin@corp.example", Primary: true}},
		"a verified other":       {{Email: "me@corp.example", Verified: true}},
		"two at signs":           {{Email: "me@evil.example@corp.example", Primary: true, Verified: true}},
		"nothing before the at":  {{Email: "@corp.example", Primary: true, Verified: true}},
		"a quoted local part":    {{Email: `"me@evil.example"@corp.example`, Primary: true, Verified: true}},
		"a line break":           {{Email: "me\n@corp.example", Primary: true, Verified: true}},
		"a domain without label": {{Email: "me@corp..example", Primary: true, Verified: true}},
	} {
		user := octocat
		user.Emails = emails
		server := githubtest.New(user)
		if got := signIn(t, provider(t, server, nil), server); got.Email != "" {
			t.Errorf("%s: %q", name, got.Email)
		}
	}
}

func TestGitHub_AsksForWhatTheRulesNeedAndNoMore(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*github.Config)
		want   string
	}{
		{"by default", func(*github.Config) {}, "read:user user:email"},
		{"with rules by organisation", func(c *github.Config) { c.Groups = true }, "read:user user:email read:org"},
		{"as configured", func(c *github.Config) { c.Scopes = []string{"repo"} }, "repo"},
		{"a GitHub App", func(c *github.Config) { c.App = true }, ""},
	} {
		a := newAttempt()
		address, err := provider(t, githubtest.New(octocat), c.change).Begin(context.Background(), a)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(address)
		if err != nil || u.Query().Get("scope") != c.want {
			t.Errorf("%s: scope %q, want %q, %v", c.name, u.Query().Get("scope"), c.want, err)
		}
		if q := u.Query(); q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43 || strings.Contains(address, a.Verifier) {
			t.Errorf("%s: %s", c.name, address)
		}
	}
}

func TestGitHub_ACodeWorksOnceAndWithItsVerifierOnly(t *testing.T) {
	server := githubtest.New(octocat)
	p := provider(t, server, nil)
	a := newAttempt()
	query := visit(t, p, server, a)
	if _, err := p.Complete(context.Background(), a, query); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Complete(context.Background(), a, query); !errors.Is(err, identity.ErrAttempt) {
		t.Errorf("the second time: %v", err)
	}
	query = visit(t, p, server, a)
	other := newAttempt()
	other.State = a.State
	if _, err := p.Complete(context.Background(), other, query); !errors.Is(err, identity.ErrAttempt) {
		t.Errorf("with another verifier: %v", err)
	}
}

func TestGitHub_FaultsHaveNames(t *testing.T) {
	server := githubtest.New(octocat)
	p := provider(t, server, nil)
	complete := func(change func(url.Values)) error {
		a := newAttempt()
		query := visit(t, p, server, a)
		change(query)
		_, err := p.Complete(context.Background(), a, query)
		return err
	}
	for _, c := range []struct {
		name   string
		change func(url.Values)
		want   error
	}{
		{"no code", func(q url.Values) { q.Del("code") }, identity.ErrProvider},
		{"from another issuer", func(q url.Values) { q.Set("iss", "https://evil.example") }, identity.ErrProvider},
		{"from an issuer that begins alike", func(q url.Values) { q.Set("iss", "https://github.test.evil.example") }, identity.ErrProvider},
		{"from itself", func(q url.Values) { q.Set("iss", "https://github.test/login/oauth") }, nil},
		{"an error", func(q url.Values) { q.Set("error", "redirect_uri_mismatch") }, identity.ErrProvider},
		{"an outage that it tells", func(q url.Values) { q.Set("error", "temporarily_unavailable") }, identity.ErrProviderDown},
		{"an outage", func(url.Values) { server.SetDown(true) }, identity.ErrProviderDown},
	} {
		if err := complete(c.change); !errors.Is(err, c.want) || (c.want == nil && err != nil) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	server.SetDown(false)
	server.SignIn(octocat, true)
	if err := complete(func(url.Values) {}); !errors.Is(err, identity.ErrDenied) {
		t.Errorf("denied: %v", err)
	}
}

func TestGitHub_WhatItMayNotReadIsNotThere(t *testing.T) {
	server := githubtest.New(octocat)
	p := provider(t, server, func(c *github.Config) { c.Scopes = []string{"read:user"} })
	if got := signIn(t, p, server); got.Email != "" || got.Subject != "583231" {
		t.Errorf("without the scope of addresses: %+v", got)
	}
	// A rule that names an organisation matches nobody then, and the log has to say why.
	p = provider(t, server, func(c *github.Config) { c.Scopes, c.Groups = []string{"read:user"}, true })
	a := newAttempt()
	_, err := p.Complete(context.Background(), a, visit(t, p, server, a))
	if !errors.Is(err, identity.ErrProvider) || !strings.Contains(err.Error(), "read:org") {
		t.Errorf("without the scope of organisations: %v", err)
	}
}

func TestGitHub_ReadsLongListsToTheirEnd(t *testing.T) {
	user := octocat
	user.Orgs = nil
	for i := range 250 {
		user.Orgs = append(user.Orgs, fmt.Sprintf("org-%d", i))
	}
	server := githubtest.New(user)
	got := signIn(t, provider(t, server, func(c *github.Config) { c.Groups = true }), server)
	if !slices.Contains(got.Groups, "org:org-0") || !slices.Contains(got.Groups, "org:org-249") || len(got.Groups) != 251 {
		t.Errorf("%d groups", len(got.Groups))
	}
}

// gitea answers as Gitea does what it says in other words than GitHub.
type gitea struct{ *githubtest.Server }

func (g gitea) RoundTrip(r *http.Request) (*http.Response, error) {
	said, ok := map[string]string{
		"/api/v1/user":        `{"id": 7, "login": "mona", "full_name": "Mona Lisa", "email": "admin@corp.example"}`,
		"/api/v1/user/emails": `[{"email": "mona@example.com", "verified": true, "primary": true, "user_id": 7, "username": "mona"}]`,
		"/api/v1/user/orgs":   `[{"id": 3, "username": "acme", "full_name": "Evil"}]`,
		"/api/v1/user/teams":  `[{"id": 9, "name": "core", "organization": {"id": 3, "username": "acme", "full_name": "Evil"}}]`,
	}[r.URL.Path]
	if !ok {
		return g.Server.RoundTrip(r)
	}
	if r.Header.Get("Authorization") == "" || (strings.Contains(r.URL.Path, "user/") && r.URL.Query().Get("limit") == "") {
		return &http.Response{StatusCode: http.StatusForbidden, Body: http.NoBody}, nil
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(said))}, nil
}

func TestGitea_VouchesInItsOwnWords(t *testing.T) {
	server := githubtest.New(octocat)
	p := provider(t, server, func(c *github.Config) {
		c.Name, c.BaseURL, c.APIURL, c.Transport = "gitea", "https://gitea.example.com", "https://gitea.example.com/api/v1", gitea{server}
		c.Scopes, c.Groups = []string{"read:user", "read:organization"}, true
	})
	got := signIn(t, p, server)
	got.Token = identity.ProviderToken{}
	want := identity.Profile{
		Subject: "7", ID: "7", Login: "mona", Handle: "mona", Name: "Mona Lisa", Email: "mona@example.com",
		Groups: []string{"org:acme", "team:acme/core"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestGitHub_ARefreshTokenWorksOnce(t *testing.T) {
	server := githubtest.New(octocat)
	server.Expiring = true
	p := provider(t, server, func(c *github.Config) { c.App = true })
	token := signIn(t, p, server).Token
	if left := time.Until(token.ExpiresAt); token.Refresh == "" || left > 8*time.Hour || left < 7*time.Hour {
		t.Fatalf("token %+v", token)
	}
	fresh, err := p.Refresh(context.Background(), token.Refresh)
	if err != nil || fresh.Access == token.Access || fresh.Refresh == token.Refresh || fresh.Refresh == "" || fresh.ExpiresAt.IsZero() {
		t.Fatalf("%+v, %v", fresh, err)
	}
	if _, err := p.Refresh(context.Background(), token.Refresh); !errors.Is(err, identity.ErrTokenRefused) {
		t.Errorf("the second time: %v", err)
	}
	server.SetDown(true)
	if _, err := p.Refresh(context.Background(), fresh.Refresh); !errors.Is(err, identity.ErrProviderDown) {
		t.Errorf("while GitHub is down: %v", err)
	}
	server.SetDown(false)
	if _, err := p.Refresh(context.Background(), fresh.Refresh); err != nil {
		t.Errorf("after the outage: %v", err)
	}
}

// recorder notes where requests go.
type recorder struct {
	http.RoundTripper
	urls []string
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	r.urls = append(r.urls, req.URL.Scheme+"://"+req.URL.Host+req.URL.Path)
	return r.RoundTripper.RoundTrip(req)
}

func TestGitHub_KnowsItsAddresses(t *testing.T) {
	for _, c := range []struct{ base, api, authorize, user string }{
		{"", "", "https://github.com/login/oauth/authorize", "https://api.github.com/user"},
		{"https://ghe.example.com/", "", "https://ghe.example.com/login/oauth/authorize", "https://ghe.example.com/api/v3/user"},
		{"https://gitea.example.com", "https://gitea.example.com/api/v1/", "https://gitea.example.com/login/oauth/authorize", "https://gitea.example.com/api/v1/user"},
	} {
		server := githubtest.New(octocat)
		seen := &recorder{RoundTripper: server}
		p := provider(t, server, func(cfg *github.Config) { cfg.BaseURL, cfg.APIURL, cfg.Transport = c.base, c.api, seen })
		a := newAttempt()
		address, err := p.Begin(context.Background(), a)
		if err != nil || !strings.HasPrefix(address, c.authorize+"?") {
			t.Errorf("%q: %s, %v", c.base, address, err)
		}
		_, _ = p.Complete(context.Background(), a, visit(t, p, server, a))
		if !slices.Contains(seen.urls, c.user) {
			t.Errorf("%q: asked %v, want %s among them", c.base, seen.urls, c.user)
		}
	}
}

func TestGitHub_RefusesWhatCannotWork(t *testing.T) {
	good := github.Config{Name: "github", ClientID: "id", ClientSecret: "secret"}
	for name, change := range map[string]func(*github.Config){
		"no id":                   func(c *github.Config) { c.ClientID = "" },
		"no secret":               func(c *github.Config) { c.ClientSecret = "" },
		"plain http":              func(c *github.Config) { c.BaseURL = "http://ghe.example.com" },
		"an API over plain http":  func(c *github.Config) { c.APIURL = "http://ghe.example.com/api/v3" },
		"no address":              func(c *github.Config) { c.BaseURL = "ghe.example.com" },
		"an address with a query": func(c *github.Config) { c.BaseURL = "https://ghe.example.com/?x" },
		"scopes of a GitHub App":  func(c *github.Config) { c.App, c.Scopes = true, []string{"repo"} },
	} {
		cfg := good
		change(&cfg)
		if _, err := github.New(cfg); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if _, err := github.New(good); err != nil {
		t.Error(err)
	}
}
