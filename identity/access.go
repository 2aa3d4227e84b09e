package identity

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Access is who may enter without an invitation, and who of them is an admin. An admin rule lets in
// as well.
type Access struct {
	Allow []Rule
	Admin []Rule
}

// Rule matches accounts of login providers.
type Rule struct {
	Kind     string // "user", "email", "domain", "org", "team" or "group"
	Provider string // name of the login, or "" for any: of an e-mail address and a domain alone
	Value    string // in the form that it is compared in
}

// ParseRule reads a rule of kind as it is configured: "<provider>:<value>", or an e-mail address or
// a domain as it is.
func ParseRule(kind, text string) (Rule, error) {
	r := Rule{Kind: kind}
	provider, value, qualified := strings.Cut(text, ":")
	if !qualified {
		provider, value = "", text
	}
	r.Provider, r.Value = provider, value
	var form string
	ok := true
	switch kind {
	case "user":
		form = "github:octocat, or better by its id: github:583231"
	case "email":
		form = "asha@example.com"
		r.Value, ok = CleanEmail(value)
	case "domain":
		form = "example.com"
		r.Value, ok = CleanDomain(value)
	case "org":
		form = "github:acme"
		r.Value, ok = lowerASCII(value), !strings.Contains(value, "/")
	case "team":
		form = "github:acme/core"
		org, team, _ := strings.Cut(value, "/")
		r.Value, ok = lowerASCII(value), org != "" && team != "" && !strings.Contains(team, "/")
	case "group":
		form = "corp:developers"
	default:
		return Rule{}, fmt.Errorf("%q is no kind of rule: it is user, email, domain, org, team or group", kind)
	}
	anywhere := kind == "email" || kind == "domain"
	if !ok || value == "" || (provider == "" && (qualified || !anywhere)) {
		return Rule{}, fmt.Errorf("%s %q: write it like %s", kind, text, form)
	}
	return r, nil
}

// matches reports whether the provider of that name vouches for who the rule means.
func (r Rule) matches(provider string, p Profile) bool {
	if r.Provider != "" && r.Provider != provider {
		return false
	}
	switch r.Kind {
	case "user":
		// A number is always an id: otherwise somebody could take another one's id as login.
		return r.Value == p.ID || (p.Handle != "" && !isNumber(r.Value) && lowerASCII(r.Value) == lowerASCII(p.Handle))
	case "email":
		email, ok := CleanEmail(p.Email)
		return ok && email == r.Value
	case "domain":
		email, ok := CleanEmail(p.Email)
		_, domain, _ := strings.Cut(email, "@")
		return ok && domain == r.Value
	case "org", "team":
		return slices.ContainsFunc(p.Groups, func(g string) bool { return lowerASCII(g) == r.Kind+":"+r.Value })
	case "group":
		return slices.Contains(p.Groups, "group:"+r.Value)
	}
	return false
}

func isNumber(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}

// verdict is what the rules say of an account.
type verdict struct {
	allowed bool
	admin   bool
	reason  error // why not allowed
}

func (a Access) judge(provider string, p Profile) verdict {
	matches := func(r Rule) bool { return r.matches(provider, p) }
	v := verdict{admin: slices.ContainsFunc(a.Admin, matches)}
	v.allowed = v.admin || slices.ContainsFunc(a.Allow, matches)
	if v.allowed {
		return v
	}
	v.reason = ErrNotAllowed
	byEmail := func(r Rule) bool {
		return (r.Kind == "email" || r.Kind == "domain") && (r.Provider == "" || r.Provider == provider)
	}
	if p.Email == "" && slices.ContainsFunc(slices.Concat(a.Allow, a.Admin), byEmail) {
		v.reason = ErrUnverifiedEmail
	}
	return v
}

// NamesGroups reports whether rules name organisations, teams or groups of the provider.
func (a Access) NamesGroups(provider string) bool {
	return slices.ContainsFunc(slices.Concat(a.Allow, a.Admin), func(r Rule) bool {
		return r.Provider == provider && (r.Kind == "org" || r.Kind == "team" || r.Kind == "group")
	})
}

// Check returns an error for a rule whose login is not among providers, or has no such thing.
func (a Access) Check(providers []Provider) error {
	var faults []error
	for _, r := range slices.Concat(a.Allow, a.Admin) {
		if r.Provider == "" {
			continue
		}
		i := slices.IndexFunc(providers, func(p Provider) bool { return p.Name() == r.Provider })
		switch {
		case i < 0:
			faults = append(faults, fmt.Errorf("rule %s %s:%s: there is no login %s", r.Kind, r.Provider, r.Value, r.Provider))
		case (r.Kind == "group") != (providers[i].Kind() == "oidc") && (r.Kind == "group" || r.Kind == "org" || r.Kind == "team"):
			faults = append(faults, fmt.Errorf("rule %s %s:%s: a login of kind %s has no %ss", r.Kind, r.Provider, r.Value, providers[i].Kind(), r.Kind))
		}
	}
	return errors.Join(faults...)
}
