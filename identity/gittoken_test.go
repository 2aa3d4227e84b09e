package identity_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/kalpana-dev/kalpana/identity"
)

// forge is a played provider whose tokens sign in at https://github.com.
type forge struct{ *played }

func (forge) GitServer() string { return "https://github.com" }

func (forge) GitToken(_ context.Context, access, path string) (string, string, error) {
	if strings.HasPrefix(path, "closed/") {
		return "", "", identity.ErrNoGitToken
	}
	return "x-access-token", access + " for " + path, nil
}

func (s *loginSite) caller(p identity.Person) identity.Caller {
	s.t.Helper()
	caller, err := s.Authenticate(request("/", s.signIn(p)))
	if err != nil {
		s.t.Fatal(err)
	}
	return caller
}

func TestCleanGitServer(t *testing.T) {
	for given, want := range map[string]string{
		"git.example.com": "https://git.example.com", "GIT.Example.com/": "https://git.example.com", "https://git.example.com:443": "https://git.example.com",
		"http://git.example.com:80": "http://git.example.com", "git.example.com:8443": "https://git.example.com:8443", "https://[::1]:443": "https://[::1]",
		"": "", "ssh://git.example.com": "", "https://ann@git.example.com": "", "https://git.example.com/acme": "", "git.example.com?x": "",
		"git example.com": "", "https://": "", "https://git.example.com%2f": "", "git.example.com\n": "https://git.example.com", "git\x00.example": "", "gít.example": "",
	} {
		got, err := identity.CleanGitServer(given)
		if got != want || (want == "") != errors.Is(err, identity.ErrGitServer) {
			t.Errorf("%q: %q, %v; want %q", given, got, err, want)
		}
	}
}

func TestGitToken_SignsInAtItsServerForItsOwner(t *testing.T) {
	s := newLoginSite(t, identity.Access{})
	asha, ravi := s.person("Asha"), s.person("Ravi")
	caller := s.caller(asha)
	mustBe(t, "set", s.SetGitToken(t.Context(), caller, "git.example.com", "asha", "first-secret"), nil)
	mustBe(t, "set again", s.SetGitToken(t.Context(), caller, "https://git.example.com", "", "second-secret"), nil)

	user, password, err := s.GitCredential(t.Context(), asha.ID, "https://git.example.com", "acme/shop")
	if err != nil || user != "git" || password != "second-secret" {
		t.Errorf("got %q, %q, %v", user, password, err)
	}
	for _, c := range [][2]string{{ravi.ID, "https://git.example.com"}, {asha.ID, "http://git.example.com"}, {asha.ID, "https://example.com"}} {
		_, password, err := s.GitCredential(t.Context(), c[0], c[1], "acme/shop")
		if password != "" || !errors.Is(err, identity.ErrNoGitToken) {
			t.Errorf("%s at %s: %q, %v", c[0], c[1], password, err)
		}
	}
	stored, err := s.store.Account(t.Context(), "git:https://git.example.com", asha.ID)
	if err != nil || len(stored.Token) == 0 || bytes.Contains(stored.Token, []byte("secret")) {
		t.Errorf("stored as %q, %v", stored.Token, err)
	}
	list, err := s.GitTokens(t.Context(), asha.ID)
	if err != nil || len(list) != 1 || list[0].Server != "https://git.example.com" {
		t.Errorf("listed as %+v, %v", list, err)
	}

	_, err = s.ChangePerson(t.Context(), identity.Caller{}, asha.ID, disabled(true))
	mustBe(t, "disable", err, nil)
	_, _, err = s.GitCredential(t.Context(), asha.ID, "https://git.example.com", "acme/shop")
	mustBe(t, "who is disabled", err, identity.ErrDisabled)
	_, err = s.ChangePerson(t.Context(), identity.Caller{}, asha.ID, disabled(false))
	mustBe(t, "enable", err, nil)

	mustBe(t, "delete", s.DeleteGitToken(t.Context(), caller, "git.example.com"), nil)
	_, _, err = s.GitCredential(t.Context(), asha.ID, "https://git.example.com", "acme/shop")
	mustBe(t, "after that", err, identity.ErrNoGitToken)
}

func TestGitToken_IsNoWayIn(t *testing.T) {
	s := newLoginSite(t, identity.Access{Allow: rules(t, "user", "github:octocat")})
	b := s.browser()
	login, err := b.at("github")
	mustBe(t, "sign in", err, nil)
	caller := identity.Caller{Person: login.Person}
	mustBe(t, "set", s.SetGitToken(t.Context(), caller, "git.example.com", "", "secret"), nil)
	accounts, err := s.Accounts(t.Context(), login.Person.ID)
	if err != nil || len(accounts) != 1 || accounts[0].Provider != "github" {
		t.Errorf("accounts to sign in with: %+v, %v", accounts, err)
	}
	mustBe(t, "disconnect the only account", s.Disconnect(t.Context(), caller, "github", accounts[0].Subject), identity.ErrLastAccount)
	mustBe(t, "disconnect it as an account", s.Disconnect(t.Context(), caller, "git:https://git.example.com", login.Person.ID), identity.ErrUnknownAccount)
}

func TestGitToken_WhatCannotBeOneIsRefused(t *testing.T) {
	s := newLoginSite(t, identity.Access{})
	caller := s.caller(s.person("Asha"))
	for _, c := range []struct {
		server, user, secret string
		want                 error
	}{
		{"git.example.com/acme", "", "x", identity.ErrGitServer},
		{"git.example.com", "a b", "x", identity.ErrGitUser},
		{"git.example.com", "a\nb", "x", identity.ErrGitUser},
		{"git.example.com", "", "", identity.ErrGitSecret},
		{"git.example.com", "", "x\npassword=y", identity.ErrGitSecret},
		{"git.example.com", "", strings.Repeat("x", 1025), identity.ErrGitSecret},
	} {
		mustBe(t, fmt.Sprintf("%+v", c), s.SetGitToken(t.Context(), caller, c.server, c.user, c.secret), c.want)
	}
	for i := range identity.MaxGitTokens {
		mustBe(t, "one more", s.SetGitToken(t.Context(), caller, fmt.Sprintf("git%d.example.com", i), "", "x"), nil)
	}
	mustBe(t, "one too many", s.SetGitToken(t.Context(), caller, "git.example.com", "", "x"), identity.ErrTooManyGit)
	mustBe(t, "another for one that is there", s.SetGitToken(t.Context(), caller, "git1.example.com", "", "y"), nil)
	plain := s.service(s.config())
	mustBe(t, "without a keyset", plain.SetGitToken(t.Context(), caller, "git1.example.com", "", "y"), identity.ErrNoGitKeyset)
}

func TestGitCredential_ByTheAccountThatOneSignsInWith(t *testing.T) {
	s := newLoginSite(t, identity.Access{Allow: rules(t, "user", "github:octocat")})
	vouched := octocat
	vouched.Token = identity.ProviderToken{Access: "gho_x"}
	s.github.is(vouched)
	s.cfg.Providers = []identity.Provider{forge{s.github}, s.corp}
	s.Service = s.service(s.cfg)
	login, err := s.browser().at("github")
	mustBe(t, "sign in", err, nil)
	user, password, err := s.GitCredential(t.Context(), login.Person.ID, "https://github.com", "acme/shop")
	if err != nil || user != "x-access-token" || !strings.HasSuffix(password, " for acme/shop") {
		t.Errorf("got %q, %q, %v", user, password, err)
	}
	_, _, err = s.GitCredential(t.Context(), login.Person.ID, "https://github.com", "closed/shop")
	mustBe(t, "where the provider gives none", err, identity.ErrNoGitToken)
	_, _, err = s.GitCredential(t.Context(), login.Person.ID, "http://github.com", "acme/shop")
	mustBe(t, "in the clear", err, identity.ErrNoGitToken)
	mustBe(t, "set", s.SetGitToken(t.Context(), identity.Caller{Person: login.Person}, "github.com", "", "own"), nil)
	_, password, err = s.GitCredential(t.Context(), login.Person.ID, "https://github.com", "closed/shop")
	mustBe(t, "with one's own token", err, nil)
	if password != "own" {
		t.Errorf("signs in with %q", password)
	}
}
