package caddymodule

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/kalpana-dev/kalpana/identity"
)

// Login is a guest module of the namespace kalpana.login: one way to sign in.
type Login interface {
	caddy.Module
	// LoginMethod returns its name, unique among the logins of an installation.
	LoginMethod() string
}

// ProviderLogin is a Login at a provider that vouches for people.
type ProviderLogin interface {
	Login
	// Provider returns it, or what is wrong with its options. It asks nothing over the network. groups
	// says that rules name organisations, teams or groups of it.
	Provider(groups bool) (identity.Provider, error)
}

// loginName is how a login may be called: the name is part of addresses and of rules.
var loginName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// provideLogins makes the providers of the logins, and checks the rules against them.
func provideLogins(logins []Login, access identity.Access) ([]identity.Provider, error) {
	var providers []identity.Provider
	seen := map[string]bool{}
	for _, l := range logins {
		name := l.LoginMethod()
		if seen[name] {
			return nil, fmt.Errorf("login %s is given twice; give one of them another name", name)
		}
		seen[name] = true
		at, ok := l.(ProviderLogin)
		if !ok {
			continue
		}
		if name == "link" || !loginName.MatchString(name) {
			return nil, fmt.Errorf("login name %q: it is made of lower-case letters, digits and dashes, begins with a letter, and is not link", name)
		}
		p, err := at.Provider(access.NamesGroups(name))
		if err != nil {
			return nil, fmt.Errorf("login %s: %w", name, err)
		}
		providers = append(providers, p)
	}
	if err := access.Check(providers); err != nil {
		return nil, fmt.Errorf("access: %w", err)
	}
	return providers, nil
}

// resolve replaces placeholders such as {env.NAME} and {file./path}. One that yields nothing is an
// error, since it was meant to be something.
func resolve(option, value string) (string, error) {
	resolved := strings.TrimSpace(caddy.NewReplacer().ReplaceAll(value, ""))
	if value != "" && resolved == "" {
		return "", fmt.Errorf("%s %s is empty", option, value)
	}
	return resolved, nil
}

// resolveAll resolves the values in place, by their options.
func resolveAll(values map[string]*string) error {
	var faults []error
	for option, value := range values {
		var err error
		*value, err = resolve(option, *value)
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// LinkLogin lets people sign in by a link that works once: the first admin, and anybody who is
// locked out. "kalpana sign-in-link" prints one.
type LinkLogin struct {
	// How long a link works. Default: 10m.
	Lifetime caddy.Duration `json:"lifetime,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*LinkLogin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "kalpana.login.link", New: func() caddy.Module { return new(LinkLogin) }}
}

// LoginMethod implements Login.
func (*LinkLogin) LoginMethod() string { return "link" }

// UnmarshalCaddyfile sets up the login:
//
//	login link {
//		lifetime <duration>
//	}
func (l *LinkLogin) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return block(d, func(name string) (bool, error) {
		if name != "lifetime" {
			return false, nil
		}
		return true, numberArg(d, &l.Lifetime, parseDuration)
	})
}

var (
	_ Login                 = (*LinkLogin)(nil)
	_ caddyfile.Unmarshaler = (*LinkLogin)(nil)
)
