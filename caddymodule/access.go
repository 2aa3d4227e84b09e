package caddymodule

import (
	"fmt"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/kalpana-dev/kalpana/identity"
)

// Access is who may enter without an invitation, and who of them is an admin. Without rules only
// invited people and the first admin get in. The rules are looked at at each sign-in.
type Access struct {
	Allow []AccessRule `json:"allow,omitempty"`
	// Whoever matches one of these is an admin as long as they do.
	Admin []AccessRule `json:"admin,omitempty"`
}

// AccessRule matches accounts of login providers.
type AccessRule struct {
	// "user", "email", "domain", "org", "team" or "group".
	Kind string `json:"kind"`
	// "<login>:<value>", e.g. github:583231, github:acme, github:acme/core or corp:developers. E-mail
	// addresses and domains need no login: any that verified the address will do.
	Values []string `json:"values"`
}

// parse returns the rules in the form that they are compared in.
func (a *Access) parse() (identity.Access, error) {
	if a == nil {
		return identity.Access{}, nil
	}
	allow, err := parseRules(a.Allow)
	if err != nil {
		return identity.Access{}, err
	}
	admin, err := parseRules(a.Admin)
	return identity.Access{Allow: allow, Admin: admin}, err
}

func parseRules(rules []AccessRule) (list []identity.Rule, err error) {
	for _, r := range rules {
		for _, value := range r.Values {
			value, err := resolve(r.Kind, value)
			if err != nil {
				return nil, fmt.Errorf("access: %w", err)
			}
			rule, err := identity.ParseRule(r.Kind, value)
			if err != nil {
				return nil, fmt.Errorf("access: %w", err)
			}
			list = append(list, rule)
		}
	}
	return list, nil
}

// UnmarshalCaddyfile sets up the rules:
//
//	access {
//		allow user|email|domain|org|team|group <value>...
//		admin user|email|domain|org|team|group <value>...
//	}
//
// Both may appear several times.
func (a *Access) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		var into *[]AccessRule
		switch name := d.Val(); name {
		case "allow":
			into = &a.Allow
		case "admin":
			into = &a.Admin
		default:
			return d.Errf("unrecognized option of access: %s", name)
		}
		args := d.RemainingArgs()
		if len(args) < 2 {
			return d.ArgErr()
		}
		rule := AccessRule{Kind: args[0], Values: args[1:]}
		if _, err := parseRules([]AccessRule{rule}); err != nil {
			return d.WrapErr(err)
		}
		*into = append(*into, rule)
	}
	return nil
}

var _ caddyfile.Unmarshaler = (*Access)(nil)
