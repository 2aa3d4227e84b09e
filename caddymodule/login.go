package caddymodule

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// Login is a guest module of the namespace kalpana.login: one way to sign in.
type Login interface {
	caddy.Module
	// LoginMethod returns its name, unique among the logins of an installation.
	LoginMethod() string
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
