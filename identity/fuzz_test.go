package identity_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

// asCookie returns a request with the cookie's bytes as they are.
func asCookie(name, value string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header["Cookie"] = []string{name + "=" + value}
	return r
}

func FuzzGrantCookie(f *testing.F) {
	s := newSite(f)
	caller := s.caller(s.person("Asha"))
	issued := map[string]workspace.Host{}
	site := workspace.Host{Kind: workspace.HostSite, Site: "abcdefghij"}
	for _, host := range []workspace.Host{ideA, ideB, previewA, site} {
		value := s.grant(caller, host).Value
		issued[value] = host
		f.Add(value)
		f.Add(value[1:])
		f.Add("2" + value[1:])
		f.Add(strings.ReplaceAll(value, ".", ".."))
	}
	f.Add("")
	f.Add("......")
	f.Fuzz(func(t *testing.T, value string) {
		for _, host := range []workspace.Host{ideA, ideB, previewA, site, {Kind: workspace.HostConsole}, {}} {
			name := identity.GrantCookie
			if host == site {
				name = identity.SiteCookie
			}
			g, err := s.CheckGrant(asCookie(name, value), host)
			if err != nil {
				if err != identity.ErrNoGrant || g != (identity.Grant{}) {
					t.Fatalf("%q: %+v, %v", value, g, err)
				}
				continue
			}
			first, _, _ := strings.Cut(value, ";") // the rest is other cookies
			if of, ok := issued[strings.Trim(first, " \t")]; !ok || of != host || g.Label != host.Label() {
				t.Fatalf("%q was never issued for %s, and is taken as %+v", value, host.Label(), g)
			}
		}
	})
}

func FuzzHandoffCookie(f *testing.F) {
	s := newSite(f)
	caller := s.caller(s.person("Asha"))
	nonce, challenge := begin(f, s.Service, ideA, "/path")
	_, code, _ := strings.Cut(s.approve(caller, ideA, challenge), "?code=")
	_, elsewhere := begin(f, s.Service, ideB, "/")
	_, other, _ := strings.Cut(s.approve(caller, ideB, elsewhere), "?code=")
	f.Add(nonce.Value, other)
	f.Add(nonce.Value, "")
	f.Add(nonce.Value[1:], code)
	f.Add(nonce.Value+".", code)
	f.Add("", code)
	f.Add("...", strings.Repeat("x", 43))
	f.Fuzz(func(t *testing.T, value, given string) {
		r := asCookie(identity.NonceCookie, value)
		r.URL.RawQuery = "code=" + given
		grant, clear, path, err := s.CompleteHandoff(r, ideA)
		if err == nil {
			first, _, _ := strings.Cut(value, ";")
			if strings.Trim(first, " \t") != nonce.Value || path != "/path" || r.URL.Query().Get("code") != code {
				t.Fatalf("cookie %q with code %q: grant %v, path %q", value, given, grant, path)
			}
			return
		}
		if err != identity.ErrHandoff || grant != nil || clear != nil || path != "" {
			t.Fatalf("%v, %v, %q, %v", grant, clear, path, err)
		}
	})
}

func FuzzLoginCallback(f *testing.F) {
	s := newLoginSite(f, identity.Access{Allow: rules(f, "user", "github:octocat")})
	b := s.browser()
	u, err := url.Parse(b.begin(identity.LoginStart{Provider: "github", Next: "/next"}))
	if err != nil {
		f.Fatal(err)
	}
	state := u.Query().Get("state")
	name, value := b.only()
	f.Add(name, value, u.RawQuery+"&x=y", "github")
	f.Add(name, value, "state="+state, "github")
	f.Add(name, value[1:], u.RawQuery, "github")
	f.Add(name, value, u.RawQuery+"&state="+state, "github")
	f.Add(name, value, u.RawQuery, "corp")
	f.Add(name+"0", value, "code=x;state="+state, "github")
	f.Add("", "", "%", "")
	f.Fuzz(func(t *testing.T, cookie, content, query, provider string) {
		r := asCookie(cookie, content)
		r.URL.RawQuery = query
		login, err := s.CompleteLogin(r, provider)
		if err == nil {
			// The code works once, so this is the one good call, or what is equal to it.
			if q := r.URL.Query(); provider != "github" || q.Get("state") != state || q.Get("code") != u.Query().Get("code") || login.Next != "/next" {
				t.Fatalf("%q=%q with %q at %q signs in: %+v", cookie, content, query, provider, login)
			}
			return
		}
		if !errors.Is(err, identity.ErrAttempt) && !errors.Is(err, identity.ErrUnknownProvider) {
			t.Fatalf("%v", err)
		}
		if login.Person.ID != "" || (login.Next != "/" && login.Next != "/next") {
			t.Fatalf("%+v", login)
		}
		for _, c := range login.Cookies {
			if c.MaxAge >= 0 {
				t.Fatalf("a refused sign-in sets %s", c)
			}
		}
	})
}

func FuzzNextPath(f *testing.F) {
	s := newLoginSite(f, identity.Access{Allow: rules(f, "user", "github:octocat")})
	base, err := url.Parse(s.hosts.Console() + "/login/github/callback?code=x")
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range openRedirects {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, next string) {
		got := identity.ConsolePath(next)
		if !strings.HasPrefix(got, "/") || strings.HasPrefix(got, "//") || strings.HasPrefix(got, "/login") ||
			strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r == '\\' || r == 0x7f }) {
			t.Fatalf("%q goes on to %q", next, got)
		}
		if target, err := base.Parse(got); err == nil && (target.Host != base.Host || target.Scheme != base.Scheme) {
			t.Fatalf("%q leads to %s", next, target)
		}
	})
}
