package caddymodule

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/identity/login/github"
)

// GitHubLogin lets people sign in at GitHub, GitHub Enterprise Server, or what speaks as GitHub
// does, such as Gitea. Where it is registered, the callback is /login/<name>/callback on the
// console.
type GitHubLogin struct {
	// Names it in addresses, accounts and rules; changing it disconnects everybody. Default: github.
	Name string `json:"name,omitempty"`
	// What people read on the button. Default: GitHub.
	Title string `json:"title,omitempty"`
	// Which registration it is: "oauth" for an OAuth app, "app" for a GitHub App. Default: oauth.
	Client string `json:"client,omitempty"`
	// From the registration. Placeholders are replaced, e.g. {env.GITHUB_SECRET} or
	// {file./run/secrets/github}.
	ClientID     string `json:"client_id,omitempty"`
	ClientSecret string `json:"client_secret,omitempty"`
	// The server. Default: https://github.com.
	BaseURL string `json:"base_url,omitempty"`
	// Its API. Default: https://api.github.com, or /api/v3 of base_url. Gitea's is at /api/v1.
	APIURL string `json:"api_url,omitempty"`
	// What an OAuth app asks for. Default: read:user and user:email, and read:org where a rule names
	// an organisation or a team. A GitHub App has its permissions by registration.
	Scopes []string `json:"scopes,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*GitHubLogin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "kalpana.login.github", New: func() caddy.Module { return new(GitHubLogin) }}
}

// LoginMethod implements Login.
func (l *GitHubLogin) LoginMethod() string {
	if l.Name == "" {
		return "github"
	}
	return l.Name
}

// Provider implements ProviderLogin.
func (l *GitHubLogin) Provider(groups bool) (identity.Provider, error) {
	o := *l
	err := resolveAll(map[string]*string{
		"title": &o.Title, "client_id": &o.ClientID, "client_secret": &o.ClientSecret, "base_url": &o.BaseURL, "api_url": &o.APIURL,
	})
	if err != nil {
		return nil, err
	}
	return github.New(github.Config{
		Name: l.LoginMethod(), Title: o.Title, ClientID: o.ClientID, ClientSecret: o.ClientSecret,
		BaseURL: o.BaseURL, APIURL: o.APIURL, App: o.Client == "app", Scopes: o.Scopes, Groups: groups,
	})
}

// UnmarshalCaddyfile sets up the login:
//
//	login github [<name>] {
//		client_id     <id>
//		client_secret <secret>
//		client        oauth|app
//		base_url      <address>
//		api_url       <address>
//		scopes        <scope>...
//		title         <text>
//	}
func (l *GitHubLogin) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return namedBlock(d, &l.Name, func(name string) (bool, error) {
		switch name {
		case "client_id":
			return true, oneArg(d, &l.ClientID)
		case "client_secret":
			return true, oneArg(d, &l.ClientSecret)
		case "client":
			if err := oneArg(d, &l.Client); err != nil {
				return true, err
			}
			if l.Client != "oauth" && l.Client != "app" {
				return true, d.Errf("client %s: write oauth or app", l.Client)
			}
			return true, nil
		case "base_url":
			return true, oneArg(d, &l.BaseURL)
		case "api_url":
			return true, oneArg(d, &l.APIURL)
		case "scopes":
			return true, someArgs(d, &l.Scopes)
		case "title":
			return true, oneArg(d, &l.Title)
		}
		return false, nil
	})
}

var (
	_ ProviderLogin         = (*GitHubLogin)(nil)
	_ caddyfile.Unmarshaler = (*GitHubLogin)(nil)
)
