package caddymodule

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/identity/login/oidc"
)

// OIDCLogin lets people sign in at an OpenID Connect provider. Where the client is registered, the
// callback is /login/<name>/callback on the console.
type OIDCLogin struct {
	// Names it in addresses, accounts and rules; changing it disconnects everybody. Required.
	Name string `json:"name,omitempty"`
	// What people read on the button. Default: the name.
	Title string `json:"title,omitempty"`
	// The provider's issuer, exactly as it writes it. What else there is to know it tells there
	// (OpenID Connect Discovery). Required.
	Issuer string `json:"issuer,omitempty"`
	// From the registration. Placeholders are replaced, e.g. {env.OIDC_SECRET} or
	// {file./run/secrets/oidc}. A public client has no secret.
	ClientID     string `json:"client_id,omitempty"`
	ClientSecret string `json:"client_secret,omitempty"`
	// What is asked for beside openid. Default: profile and email. Without a refresh token, for which
	// many providers want offline_access, sessions end when the provider's token does.
	Scopes []string `json:"scopes,omitempty"`
	// The claim that lists groups: a list of strings, or one string. Default: groups.
	GroupsClaim string `json:"groups_claim,omitempty"`
	// Further parameters of the authorization request, e.g. access_type for Google.
	Parameters map[string]string `json:"parameters,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*OIDCLogin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "kalpana.login.oidc", New: func() caddy.Module { return new(OIDCLogin) }}
}

// LoginMethod implements Login.
func (l *OIDCLogin) LoginMethod() string { return l.Name }

// Provider implements ProviderLogin.
func (l *OIDCLogin) Provider(groups bool) (identity.Provider, error) {
	o := *l
	err := resolveAll(map[string]*string{
		"title": &o.Title, "issuer": &o.Issuer, "client_id": &o.ClientID, "client_secret": &o.ClientSecret,
	})
	if err != nil {
		return nil, err
	}
	return oidc.New(oidc.Config{
		Name: o.Name, Title: o.Title, Issuer: o.Issuer, ClientID: o.ClientID, ClientSecret: o.ClientSecret,
		Scopes: o.Scopes, GroupsClaim: o.GroupsClaim, Groups: groups, Parameters: o.Parameters,
	})
}

// UnmarshalCaddyfile sets up the login:
//
//	login oidc <name> {
//		issuer        <address>
//		client_id     <id>
//		client_secret <secret>
//		scopes        <scope>...
//		groups_claim  <name>
//		parameter     <name> <value>
//		title         <text>
//	}
func (l *OIDCLogin) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	err := namedBlock(d, &l.Name, func(name string) (bool, error) {
		switch name {
		case "issuer":
			return true, oneArg(d, &l.Issuer)
		case "client_id":
			return true, oneArg(d, &l.ClientID)
		case "client_secret":
			return true, oneArg(d, &l.ClientSecret)
		case "scopes":
			return true, someArgs(d, &l.Scopes)
		case "groups_claim":
			return true, oneArg(d, &l.GroupsClaim)
		case "parameter":
			var key, value string
			if !d.AllArgs(&key, &value) {
				return true, d.ArgErr()
			}
			if l.Parameters == nil {
				l.Parameters = map[string]string{}
			}
			l.Parameters[key] = value
			return true, nil
		case "title":
			return true, oneArg(d, &l.Title)
		}
		return false, nil
	})
	if err == nil && l.Name == "" {
		err = d.Err("login oidc needs a name: login oidc <name> { … }")
	}
	return err
}

var (
	_ ProviderLogin         = (*OIDCLogin)(nil)
	_ caddyfile.Unmarshaler = (*OIDCLogin)(nil)
)
