package identity_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/kalpana-dev/kalpana/identity"
)

// enters reports whether the account comes in by the rule alone. It may have come in by another one
// before, which does not matter.
func (s *loginSite) enters(provider string, p identity.Profile, kind, rule string) bool {
	t := s.t
	t.Helper()
	s.with(identity.Access{Allow: rules(t, kind, rule)})
	at := s.github
	if provider == "corp" {
		at = s.corp
	}
	at.is(p)
	_, err := s.browser().at(provider)
	if err != nil && !errors.Is(err, identity.ErrNotAllowed) && !errors.Is(err, identity.ErrUnverifiedEmail) {
		t.Errorf("%s %s: %v", kind, rule, err)
	}
	return err == nil
}

func TestAccess_RulesMatchWhatTheyMean(t *testing.T) {
	with := func(change func(*identity.Profile)) identity.Profile {
		p := octocat
		change(&p)
		return p
	}
	email := func(address string) identity.Profile {
		return with(func(p *identity.Profile) { p.Email = address })
	}
	groups := func(list ...string) identity.Profile {
		return with(func(p *identity.Profile) { p.Groups = list })
	}
	s := newLoginSite(t, identity.Access{})
	for _, c := range []struct {
		provider   string
		profile    identity.Profile
		kind, rule string
		want       bool
	}{
		{"github", octocat, "user", "github:583231", true},
		{"github", octocat, "user", "github:octocat", true},
		{"github", octocat, "user", "github:OctoCat", true},
		{"github", octocat, "user", "github:octo", false},
		{"github", octocat, "user", "corp:octocat", false},
		{"github", octocat, "user", "corp:583231", false},
		{"github", octocat, "user", "github:58323", false},
		// A login that looks like somebody's id is nobody's id.
		{"github", with(func(p *identity.Profile) { p.Subject, p.ID, p.Login, p.Handle = "7", "7", "583231", "583231" }), "user", "github:583231", false},
		{"github", with(func(p *identity.Profile) { p.Login, p.Handle = "octo\u212aat", "octo\u212aat" }), "user", "github:octokat", false},
		// An OIDC provider's names are no keys: anybody may take one there.
		{"corp", mona, "user", "corp:mona", true},
		{"corp", identity.Profile{Subject: "iss:7", ID: "7", Login: "mona"}, "user", "corp:mona", false},
		{"corp", mona, "user", "corp:MONA", false},
		{"corp", mona, "user", "corp:iss:mona", false},

		{"github", octocat, "email", "mona@corp.com", true},
		{"github", octocat, "email", "MONA@Corp.COM", true},
		{"github", octocat, "email", "github:mona@corp.com", true},
		{"github", octocat, "email", "corp:mona@corp.com", false},
		{"github", email(""), "email", "mona@corp.com", false},
		{"github", email("mona@corp.com.evil.example"), "email", "mona@corp.com", false},
		{"github", email("mona@evil.example@corp.com"), "email", "mona@corp.com", false},

		{"github", octocat, "domain", "corp.com", true},
		{"github", octocat, "domain", "CORP.com", true},
		{"github", octocat, "domain", "corp:corp.com", false},
		{"github", email("mona@exploitcorp.com"), "domain", "corp.com", false},
		{"github", email("mona@sub.corp.com"), "domain", "corp.com", false},
		{"github", email("mona@corp.com.evil.example"), "domain", "corp.com", false},
		{"github", email("mona@evil.example@corp.com"), "domain", "corp.com", false},
		{"github", email("mona@corp.com@evil.example"), "domain", "corp.com", false},
		{"github", email("corp.com"), "domain", "corp.com", false},
		{"github", email("@corp.com"), "domain", "corp.com", false},
		{"github", email("mona@com"), "domain", "corp.com", false},
		{"github", email("mona@.corp.com"), "domain", "corp.com", false},
		{"github", email("mona@corp.com."), "domain", "corp.com", false},
		{"github", email("mona@corp.com\n"), "domain", "corp.com", false},
		{"github", email("mona @corp.com"), "domain", "corp.com", false},
		{"github", email("\"x@evil.example\"@corp.com"), "domain", "corp.com", false},
		{"github", email("mona@corp\u3002com"), "domain", "corp.com", true}, // the ideographic full stop is a dot (UTS 46)
		{"github", email("mona@bücher.example"), "domain", "xn--bcher-kva.example", true},
		{"github", email("mona@xn--bcher-kva.example"), "domain", "BÜCHER.example", true},
		{"github", email("mona@bucher.example"), "domain", "bücher.example", false},

		{"github", groups("org:Acme"), "org", "github:acme", true},
		{"github", groups("org:acme-labs"), "org", "github:acme", false},
		{"github", groups("team:acme/core"), "org", "github:acme", false},
		{"github", groups("group:acme"), "org", "github:acme", false},
		{"github", groups("team:Acme/core"), "team", "github:acme/CORE", true},
		{"github", groups("team:acme/core2"), "team", "github:acme/core", false},
		{"github", groups("team:evil/core"), "team", "github:acme/core", false},
		{"github", groups("org:acme"), "org", "corp:acme", false},

		{"corp", mona, "group", "corp:developers", true},
		{"corp", mona, "group", "corp:Developers", false},
		{"corp", mona, "group", "corp:dev", false},
		{"corp", identity.Profile{Subject: "s", ID: "s", Groups: []string{"group:a:b"}}, "group", "corp:a:b", true},
		{"corp", mona, "group", "github:developers", false},
	} {
		if got := s.enters(c.provider, c.profile, c.kind, c.rule); got != c.want {
			t.Errorf("%s %s with %+v at %s: %t", c.kind, c.rule, c.profile, c.provider, got)
		}
	}
}

func TestAccess_RulesOfNoFormAreRefused(t *testing.T) {
	for _, c := range []struct{ kind, rule string }{
		{"user", ""},
		{"user", "octocat"},
		{"user", ":octocat"},
		{"user", "github:"},
		{"org", "github:a/b"},
		{"org", "acme"},
		{"team", "github:acme"},
		{"team", "github:acme/"},
		{"team", "github:/core"},
		{"team", "github:a/b/c"},
		{"group", "developers"},
		{"email", "mona"},
		{"email", "a@b@c"},
		{"email", "@corp.com"},
		{"email", "mona@"},
		{"email", ":mona@corp.com"},
		{"email", "mona@corp..com"},
		{"domain", ""},
		{"domain", "@corp.com"},
		{"domain", "a@corp.com"},
		{"domain", ".corp.com"},
		{"domain", "corp.com."},
		{"domain", "*.corp.com"},
		{"domain", "corp com"},
		{"domain", "github:"},
		{"everybody", "x"},
		{"", "x"},
	} {
		if r, err := identity.ParseRule(c.kind, c.rule); err == nil {
			t.Errorf("%s %q is taken as %+v", c.kind, c.rule, r)
		}
	}
}

func TestAccess_RulesNameLoginsThatAreThere(t *testing.T) {
	providers := []identity.Provider{newPlayed("github", "github", octocat), newPlayed("corp", "oidc", mona)}
	for _, c := range []struct{ kind, rule, want string }{
		{"user", "github:x", ""},
		{"user", "corp:x", ""},
		{"org", "github:x", ""},
		{"team", "github:x/y", ""},
		{"group", "corp:x", ""},
		{"email", "x@y.example", ""},
		{"domain", "y.example", ""},
		{"user", "gitlab:x", "no login gitlab"},
		{"domain", "gitlab:y.example", "no login gitlab"},
		{"org", "corp:x", "kind oidc has no orgs"},
		{"team", "corp:x/y", "kind oidc has no teams"},
		{"group", "github:x", "kind github has no groups"},
	} {
		for _, access := range []identity.Access{{Allow: rules(t, c.kind, c.rule)}, {Admin: rules(t, c.kind, c.rule)}} {
			err := access.Check(providers)
			if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%s %s: %v, want %q", c.kind, c.rule, err, c.want)
			}
		}
	}
}

func FuzzEmail(f *testing.F) {
	for _, seed := range []string{"mona@corp.com", "a@b@c", "@", "", "Mona@BÜCHER.example", "\"a b\"@c.d", "a@[127.0.0.1]", "a@b.c.", "\u212a@corp.com", "a@corp\u3002com", "0@0\xa6", "\xff@corp.com"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		email, ok := identity.CleanEmail(raw)
		if !ok {
			if email != "" {
				t.Fatalf("%q is refused, and is %q", raw, email)
			}
			return
		}
		local, domain, _ := strings.Cut(email, "@")
		if strings.Count(raw, "@") != 1 || strings.Contains(domain, "@") || local == "" || domain == "" || strings.ContainsAny(email, " \t\r\n\x00,;:<>\"\\") {
			t.Fatalf("%q is taken as %q", raw, email)
		}
		if domain != strings.ToLower(domain) || strings.HasPrefix(domain, ".") || strings.HasSuffix(domain, ".") || strings.Contains(domain, "..") {
			t.Fatalf("%q has the domain %q", raw, domain)
		}
		if again, ok := identity.CleanEmail(email); !ok || again != email {
			t.Fatalf("%q is taken as %q, and that as %q", raw, email, again)
		}
	})
}
