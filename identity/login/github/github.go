// Package github signs people in at GitHub, GitHub Enterprise Server, or what speaks as GitHub does,
// such as Gitea: by an OAuth app or a GitHub App.
package github

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/oauth2"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/identity/login"
)

// Config is what a Provider is made of.
type Config struct {
	Name         string
	Title        string // "" means GitHub
	ClientID     string
	ClientSecret string
	BaseURL      string // "" means https://github.com
	// APIURL is "" for GitHub's own, or below BaseURL for a GitHub Enterprise Server.
	APIURL string
	// App says that the client is a GitHub App: its permissions are its own, so it asks for no scopes.
	App bool
	// Scopes of an OAuth app; nil means those to read the profile and e-mail addresses, and
	// organisations where Groups is set.
	Scopes []string
	// Groups says that the rules name organisations or teams.
	Groups    bool
	Transport http.RoundTripper // nil means the default one
}

// Provider signs people in at GitHub.
type Provider struct {
	cfg    Config
	oauth  oauth2.Config
	client *http.Client
}

const (
	pageSize = 100
	maxPages = 10 // of organisations, teams or e-mail addresses
)

// New returns a Provider. It asks GitHub nothing yet.
func New(cfg Config) (*Provider, error) {
	if cfg.ClientID == "" || cfg.ClientSecret == "" {
		return nil, errors.New("client_id and client_secret are needed; GitHub shows both where the app is registered")
	}
	if cfg.BaseURL == "" {
		cfg.BaseURL = "https://github.com"
	}
	cfg.BaseURL = strings.TrimSuffix(cfg.BaseURL, "/")
	if cfg.APIURL == "" {
		cfg.APIURL = cfg.BaseURL + "/api/v3"
		if cfg.BaseURL == "https://github.com" {
			cfg.APIURL = "https://api.github.com"
		}
	}
	cfg.APIURL = strings.TrimSuffix(cfg.APIURL, "/")
	for option, address := range map[string]string{"base_url": cfg.BaseURL, "api_url": cfg.APIURL} {
		if err := login.CheckAddress(address); err != nil {
			return nil, fmt.Errorf("%s %w", option, err)
		}
	}
	if cfg.Title == "" {
		cfg.Title = "GitHub"
	}
	switch {
	case cfg.App && cfg.Scopes != nil:
		return nil, errors.New("scopes are for an OAuth app; what a GitHub App may do is set where it is registered")
	case cfg.App, cfg.Scopes != nil:
	default:
		cfg.Scopes = []string{"read:user", "user:email"}
		if cfg.Groups {
			cfg.Scopes = append(cfg.Scopes, "read:org")
		}
	}
	return &Provider{
		cfg: cfg, client: login.Client(cfg.Transport),
		oauth: oauth2.Config{
			ClientID: cfg.ClientID, ClientSecret: cfg.ClientSecret, Scopes: cfg.Scopes,
			Endpoint: oauth2.Endpoint{
				AuthURL: cfg.BaseURL + "/login/oauth/authorize", TokenURL: cfg.BaseURL + "/login/oauth/access_token",
				AuthStyle: oauth2.AuthStyleInParams,
			},
		},
	}, nil
}

// Name implements identity.Provider.
func (p *Provider) Name() string { return p.cfg.Name }

// Title implements identity.Provider.
func (p *Provider) Title() string { return p.cfg.Title }

// Kind implements identity.Provider.
func (p *Provider) Kind() string { return "github" }

func (p *Provider) config(callback string) *oauth2.Config {
	c := p.oauth
	c.RedirectURL = callback
	return &c
}

// Begin implements identity.Provider.
func (p *Provider) Begin(_ context.Context, a identity.Attempt) (string, error) {
	return p.config(a.Callback).AuthCodeURL(a.State, oauth2.S256ChallengeOption(a.Verifier)), nil
}

// Complete implements identity.Provider.
func (p *Provider) Complete(ctx context.Context, a identity.Attempt, query url.Values) (identity.Profile, error) {
	code, err := login.Code(query, func(issuer string) bool {
		return issuer == p.cfg.BaseURL || strings.HasPrefix(issuer, p.cfg.BaseURL+"/")
	})
	if err != nil {
		return identity.Profile{}, err
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, p.client)
	token, err := p.config(a.Callback).Exchange(ctx, code, oauth2.VerifierOption(a.Verifier))
	if err != nil {
		return identity.Profile{}, login.Fault(err)
	}
	profile, err := p.profile(ctx, token)
	if err != nil {
		return identity.Profile{}, login.Fault(err)
	}
	profile.Token = login.Token(token)
	return profile, nil
}

// Refresh implements identity.Provider.
func (p *Provider) Refresh(ctx context.Context, refreshToken string) (identity.ProviderToken, error) {
	return login.Refresh(context.WithValue(ctx, oauth2.HTTPClient, p.client), p.config(""), refreshToken)
}

func (p *Provider) profile(ctx context.Context, token *oauth2.Token) (identity.Profile, error) {
	var user struct {
		ID       int64  `json:"id"`
		Login    string `json:"login"`
		Name     string `json:"name"`
		FullName string `json:"full_name"` // Gitea's
	}
	if _, err := p.get(ctx, token, "/user", &user); err != nil {
		return identity.Profile{}, err
	}
	if user.ID <= 0 || user.Login == "" {
		return identity.Profile{}, fmt.Errorf("%w: its user has no id or no login", identity.ErrProvider)
	}
	// The id is the key: a login can be given up and taken by somebody else.
	id := strconv.FormatInt(user.ID, 10)
	profile := identity.Profile{Subject: id, ID: id, Login: user.Login, Handle: user.Login, Name: user.Name}
	if profile.Name == "" {
		profile.Name = user.FullName
	}
	var err error
	if profile.Email, err = p.email(ctx, token); err != nil {
		return identity.Profile{}, err
	}
	if p.cfg.Groups {
		if profile.Groups, err = p.groups(ctx, token); refused(err) {
			err = fmt.Errorf("%w: the scope read:org, or a GitHub App's permission to read members, is missing", err)
		}
	}
	return profile, err
}

// email returns the primary address if it is verified. The one of the public profile is not asked
// for: it is not always verified.
func (p *Provider) email(ctx context.Context, token *oauth2.Token) (string, error) {
	type address struct {
		Email    string `json:"email"`
		Primary  bool   `json:"primary"`
		Verified bool   `json:"verified"`
	}
	list, err := pages[address](ctx, p, token, "/user/emails")
	if refused(err) {
		return "", nil // the scope or the app's permission is missing
	}
	if err != nil {
		return "", err
	}
	for _, a := range list {
		if a.Primary && a.Verified {
			if email, ok := identity.CleanEmail(a.Email); ok {
				return email, nil
			}
		}
	}
	return "", nil
}

// organization is one in the words of GitHub or of Gitea.
type organization struct {
	Login    string `json:"login"`
	Username string `json:"username"`
}

func (o organization) name() string {
	if o.Login != "" {
		return o.Login
	}
	return o.Username
}

func (p *Provider) groups(ctx context.Context, token *oauth2.Token) ([]string, error) {
	orgs, err := pages[organization](ctx, p, token, "/user/orgs")
	if err != nil {
		return nil, err
	}
	type team struct {
		Slug         string       `json:"slug"`
		Name         string       `json:"name"` // Gitea's teams have no slug
		Organization organization `json:"organization"`
	}
	teams, err := pages[team](ctx, p, token, "/user/teams")
	if err != nil {
		return nil, err
	}
	var groups []string
	for _, o := range orgs {
		groups = append(groups, "org:"+o.name())
	}
	for _, t := range teams {
		slug := t.Slug
		if slug == "" {
			slug = t.Name
		}
		groups = append(groups, "team:"+t.Organization.name()+"/"+slug)
	}
	return groups, nil
}

// pages reads a list to its end.
func pages[T any](ctx context.Context, p *Provider, token *oauth2.Token, path string) (all []T, err error) {
	for page := 1; page <= maxPages; page++ {
		var list []T
		// limit is Gitea's word for per_page.
		more, err := p.get(ctx, token, fmt.Sprintf("%s?per_page=%d&limit=%d&page=%d", path, pageSize, pageSize, page), &list)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
		if !more {
			break
		}
	}
	return all, nil
}

// statusError is an answer that is not 200.
type statusError struct {
	path   string
	status int
}

func (e *statusError) Error() string { return fmt.Sprintf("it answers %d to %s", e.status, e.path) }

// refused reports whether the token may not read what was asked for.
func refused(err error) bool {
	var answer *statusError
	return errors.As(err, &answer) && (answer.status == http.StatusForbidden || answer.status == http.StatusNotFound)
}

// Unwrap tells a fault of the provider from one of what was asked.
func (e *statusError) Unwrap() error {
	if e.status >= 500 || e.status == http.StatusTooManyRequests {
		return identity.ErrProviderDown
	}
	return identity.ErrProvider
}

// get reads one answer, and reports whether a list goes on after it.
func (p *Provider) get(ctx context.Context, token *oauth2.Token, path string, into any) (more bool, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.cfg.APIURL+path, nil)
	if err != nil {
		return false, err
	}
	r.Header.Set("Accept", "application/vnd.github+json")
	r.Header.Set("Authorization", "Bearer "+token.AccessToken)
	resp, err := p.client.Do(r)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	if resp.StatusCode != http.StatusOK {
		return false, &statusError{path: path, status: resp.StatusCode}
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return false, fmt.Errorf("%w: its answer to %s: %w", identity.ErrProvider, path, err)
	}
	// Only whether there is a next page is of interest: its address is put together here, so that the
	// token stays with the API.
	return strings.Contains(resp.Header.Get("Link"), `rel="next"`), nil
}

var _ identity.Provider = (*Provider)(nil)
