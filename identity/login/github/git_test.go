package github_test

import (
	"errors"
	"testing"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/identity/login/github"
	"github.com/kalpana-dev/kalpana/identity/login/github/githubtest"
)

func TestGitToken_AnOAuthAppsReachesWhatItsScopeDoes(t *testing.T) {
	for _, c := range []struct {
		scopes []string
		want   error
	}{
		{nil, identity.ErrGitTokenScope},
		{[]string{"read:user", "user:email"}, identity.ErrGitTokenScope},
		{[]string{"read:user", "repo"}, nil},
		{[]string{"write:repository"}, nil},
	} {
		p := provider(t, githubtest.New(octocat), func(cfg *github.Config) { cfg.Scopes = c.scopes })
		user, password, err := p.GitToken(t.Context(), "gho_x", "acme/shop")
		if !errors.Is(err, c.want) || (err == nil && (user != "x-access-token" || password != "gho_x")) {
			t.Errorf("with %q: %q, %q, %v", c.scopes, user, password, err)
		}
	}
}

func TestGitToken_AGitHubAppsIsNarrowedToTheRepository(t *testing.T) {
	user := octocat
	user.Installed = []string{"acme/shop"}
	server := githubtest.New(user)
	server.Expiring = true
	p := provider(t, server, func(cfg *github.Config) { cfg.App = true })
	profile := signIn(t, p, server)
	for path, want := range map[string]string{
		"acme/shop": "ghu_acme-shop", "acme/shop.git": "ghu_acme-shop", "acme/secret": "", "evil/shop": "", "acme": "", "acme/shop/x": "",
	} {
		_, password, err := p.GitToken(t.Context(), profile.Token.Access, path)
		if password != want || (want == "") != errors.Is(err, identity.ErrNoGitToken) {
			t.Errorf("%s: %q, %v; want %q", path, password, err, want)
		}
	}
	if _, password, err := p.GitToken(t.Context(), "gho_stranger", "acme/shop"); password != "" || !errors.Is(err, identity.ErrNoGitToken) {
		t.Errorf("by a token that GitHub does not know: %q, %v", password, err)
	}
	server.SetDown(true)
	if _, _, err := p.GitToken(t.Context(), profile.Token.Access, "acme/shop"); !errors.Is(err, identity.ErrProviderDown) {
		t.Errorf("while GitHub is down: %v", err)
	}
}

func TestGitServer_IsGitHubItself(t *testing.T) {
	for base, want := range map[string]string{
		"": "https://github.com", "https://GHE.example.com/": "https://ghe.example.com", "https://example.com:8443/gitea": "https://example.com:8443",
	} {
		p := provider(t, githubtest.New(octocat), func(cfg *github.Config) { cfg.BaseURL = base })
		if got := p.GitServer(); got != want {
			t.Errorf("%q: %q, want %q", base, got, want)
		}
	}
}
