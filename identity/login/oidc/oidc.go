// Package oidc signs people in at an OpenID Connect provider, by the authorization code flow with
// PKCE and nonce.
package oidc

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/identity/login"
)

// Config is what a Provider is made of.
type Config struct {
	Name         string
	Title        string // "" means Name
	Issuer       string // exactly as the provider writes it
	ClientID     string
	ClientSecret string   // "" for a public client
	Scopes       []string // beside openid; nil means profile and email
	GroupsClaim  string   // "" means groups
	// Groups says that the rules name groups.
	Groups bool
	// Parameters are added to the authorization request.
	Parameters map[string]string
	Transport  http.RoundTripper // nil means the default one
}

// Provider signs people in at one issuer. What it must know of the issuer it asks at the first
// sign-in, so that an issuer that is down keeps nobody else out.
type Provider struct {
	cfg    Config
	client *http.Client

	mu       sync.Mutex // held while the issuer is asked
	found    *metadata
	failed   error // of the last time
	failedAt time.Time
}

// metadata is what discovery told.
type metadata struct {
	*oidc.Provider
	oauth    oauth2.Config
	verifier *oidc.IDTokenVerifier
	namesIss bool // answers carry iss (RFC 9207)
}

// retryAfter is how long a failed discovery is not repeated.
const retryAfter = 5 * time.Second

// New returns a Provider. It asks the issuer nothing yet.
func New(cfg Config) (*Provider, error) {
	if cfg.Issuer == "" || cfg.ClientID == "" {
		return nil, errors.New("issuer and client_id are needed; the provider shows both where the client is registered")
	}
	if err := login.CheckAddress(cfg.Issuer); err != nil {
		return nil, fmt.Errorf("issuer %w", err)
	}
	if cfg.Title == "" {
		cfg.Title = cfg.Name
	}
	if cfg.Scopes == nil {
		cfg.Scopes = []string{"profile", "email"}
	}
	if !slices.Contains(cfg.Scopes, oidc.ScopeOpenID) {
		cfg.Scopes = append([]string{oidc.ScopeOpenID}, cfg.Scopes...)
	}
	if cfg.GroupsClaim == "" {
		cfg.GroupsClaim = "groups"
	}
	for _, name := range []string{"client_id", "code_challenge", "code_challenge_method", "nonce", "redirect_uri", "response_mode", "response_type", "scope", "state"} {
		if _, ok := cfg.Parameters[name]; ok {
			return nil, fmt.Errorf("parameter %s cannot be set", name)
		}
	}
	return &Provider{cfg: cfg, client: login.Client(cfg.Transport)}, nil
}

// Name implements identity.Provider.
func (p *Provider) Name() string { return p.cfg.Name }

// Title implements identity.Provider.
func (p *Provider) Title() string { return p.cfg.Title }

// Kind implements identity.Provider.
func (p *Provider) Kind() string { return "oidc" }

// discover returns what the issuer told, and asks it if it did not tell yet.
func (p *Provider) discover(ctx context.Context) (*metadata, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found != nil {
		return p.found, nil
	}
	if p.failed != nil && time.Since(p.failedAt) < retryAfter {
		return nil, p.failed
	}
	// A visitor who leaves must not fail the others that wait.
	found, err := p.ask(oidc.ClientContext(context.WithoutCancel(ctx), p.client))
	if err != nil {
		p.failed, p.failedAt = fmt.Errorf("%w: discovery at %s: %w", identity.ErrProviderDown, p.cfg.Issuer, err), time.Now()
		return nil, p.failed
	}
	p.found, p.failed = found, nil
	return found, nil
}

func (p *Provider) ask(ctx context.Context) (*metadata, error) {
	provider, err := oidc.NewProvider(ctx, p.cfg.Issuer)
	if err != nil {
		return nil, err
	}
	var more struct {
		JWKSURL     string   `json:"jwks_uri"`
		AuthMethods []string `json:"token_endpoint_auth_methods_supported"`
		NamesIss    bool     `json:"authorization_response_iss_parameter_supported"`
	}
	if err := provider.Claims(&more); err != nil {
		return nil, err
	}
	endpoint := provider.Endpoint()
	for _, address := range []string{endpoint.AuthURL, endpoint.TokenURL, more.JWKSURL} {
		if !login.Secure(address) {
			return nil, fmt.Errorf("its endpoint %q is not https", address)
		}
	}
	if info := provider.UserInfoEndpoint(); info != "" && !login.Secure(info) {
		return nil, fmt.Errorf("its endpoint %q is not https", info)
	}
	// Without a choice, oauth2 would try both ways, and a code works once.
	endpoint.AuthStyle = oauth2.AuthStyleInHeader
	if p.cfg.ClientSecret == "" || (len(more.AuthMethods) > 0 && !slices.Contains(more.AuthMethods, "client_secret_basic")) {
		endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	return &metadata{
		Provider: provider, namesIss: more.NamesIss,
		verifier: provider.Verifier(&oidc.Config{ClientID: p.cfg.ClientID}),
		oauth: oauth2.Config{
			ClientID: p.cfg.ClientID, ClientSecret: p.cfg.ClientSecret, Endpoint: endpoint, Scopes: p.cfg.Scopes,
		},
	}, nil
}

func (m *metadata) config(callback string) *oauth2.Config {
	c := m.oauth
	c.RedirectURL = callback
	return &c
}

// Begin implements identity.Provider.
func (p *Provider) Begin(ctx context.Context, a identity.Attempt) (string, error) {
	m, err := p.discover(ctx)
	if err != nil {
		return "", err
	}
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(a.Verifier), oidc.Nonce(a.Nonce)}
	for name, value := range p.cfg.Parameters {
		options = append(options, oauth2.SetAuthURLParam(name, value))
	}
	return m.config(a.Callback).AuthCodeURL(a.State, options...), nil
}

// Complete implements identity.Provider.
func (p *Provider) Complete(ctx context.Context, a identity.Attempt, query url.Values) (identity.Profile, error) {
	m, err := p.discover(ctx)
	if err != nil {
		return identity.Profile{}, err
	}
	if m.namesIss && !query.Has("iss") {
		return identity.Profile{}, fmt.Errorf("%w: it should name its issuer (RFC 9207)", identity.ErrProvider)
	}
	code, err := login.Code(query, func(issuer string) bool { return issuer == p.cfg.Issuer })
	if err != nil {
		return identity.Profile{}, err
	}
	ctx = oidc.ClientContext(ctx, p.client)
	token, err := m.config(a.Callback).Exchange(ctx, code, oauth2.VerifierOption(a.Verifier))
	if err != nil {
		return identity.Profile{}, login.Fault(err)
	}
	profile, err := p.profile(ctx, m, token, a.Nonce)
	if err != nil {
		return identity.Profile{}, login.Fault(err)
	}
	profile.Token = login.Token(token)
	return profile, nil
}

// Refresh implements identity.Provider.
func (p *Provider) Refresh(ctx context.Context, refreshToken string) (identity.ProviderToken, error) {
	m, err := p.discover(ctx)
	if err != nil {
		return identity.ProviderToken{}, err
	}
	return login.Refresh(oidc.ClientContext(ctx, p.client), m.config(""), refreshToken)
}

// claims are those of an ID token or of the userinfo endpoint, as they came.
type claims map[string]json.RawMessage

// profile checks the ID token (OpenID Connect Core, 3.1.3.7) and returns whom it vouches for.
func (p *Provider) profile(ctx context.Context, m *metadata, token *oauth2.Token, nonce string) (identity.Profile, error) {
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return identity.Profile{}, fmt.Errorf("%w: it gave no ID token", identity.ErrProvider)
	}
	id, err := m.verifier.Verify(ctx, raw)
	if err != nil {
		return identity.Profile{}, fmt.Errorf("%w: its ID token: %w", identity.ErrProvider, err)
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(nonce)) != 1 {
		return identity.Profile{}, fmt.Errorf("%w: its ID token is of another sign-in", identity.ErrProvider)
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(token.AccessToken); err != nil {
			return identity.Profile{}, fmt.Errorf("%w: %w", identity.ErrProvider, err)
		}
	}
	var c claims
	if err := id.Claims(&c); err != nil {
		return identity.Profile{}, fmt.Errorf("%w: %w", identity.ErrProvider, err)
	}
	party, named := c["azp"]
	if (named && c.text("azp") != p.cfg.ClientID) || (!named && len(id.Audience) > 1) {
		return identity.Profile{}, fmt.Errorf("%w: its ID token is for %.100s", identity.ErrProvider, party)
	}
	if id.Subject == "" || len(id.Subject) > 255 {
		return identity.Profile{}, fmt.Errorf("%w: its ID token has no subject of at most 255 characters", identity.ErrProvider)
	}
	profile := identity.Profile{
		// A subject is unique at its issuer alone. The issuer is part of the key, so that an operator who
		// names another one in its place gives nobody somebody else's account.
		Subject: identity.Hash(p.cfg.Issuer)[:12] + ":" + id.Subject, ID: id.Subject,
		Email: c.email(), Name: c.text("name"), Login: c.text("preferred_username"), Groups: c.groups(p.cfg.GroupsClaim),
	}
	lacking := profile.Email == "" || profile.Name == "" || (p.cfg.Groups && c[p.cfg.GroupsClaim] == nil)
	if lacking && m.UserInfoEndpoint() != "" {
		info, err := m.UserInfo(ctx, oauth2.StaticTokenSource(token))
		if err != nil {
			return identity.Profile{}, fmt.Errorf("%w: userinfo: %w", identity.ErrProviderDown, err)
		}
		if info.Subject != id.Subject { // OpenID Connect Core, 5.3.2
			return identity.Profile{}, fmt.Errorf("%w: its userinfo is of somebody else", identity.ErrProvider)
		}
		var more claims
		if err := info.Claims(&more); err != nil {
			return identity.Profile{}, fmt.Errorf("%w: %w", identity.ErrProvider, err)
		}
		fill(&profile.Email, more.email())
		fill(&profile.Name, more.text("name"))
		fill(&profile.Login, more.text("preferred_username"))
		if c[p.cfg.GroupsClaim] == nil {
			profile.Groups = more.groups(p.cfg.GroupsClaim)
		}
	}
	fill(&profile.Login, profile.Email)
	fill(&profile.Login, id.Subject)
	return profile, nil
}

func fill(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

// text returns a claim that is a string, else "".
func (c claims) text(name string) (s string) {
	if json.Unmarshal(c[name], &s) != nil {
		return ""
	}
	return s
}

// email returns the address if the same document says that it is verified: by the boolean, not by
// something that looks like it.
func (c claims) email() string {
	if string(c["email_verified"]) != "true" {
		return ""
	}
	email, _ := identity.CleanEmail(c.text("email"))
	return email
}

// groups returns the groups of a claim that is a list of strings, or one string.
func (c claims) groups(name string) []string {
	var list []string
	if one := c.text(name); one != "" {
		list = []string{one}
	} else if json.Unmarshal(c[name], &list) != nil {
		return nil
	}
	var groups []string
	for _, g := range list {
		if g != "" {
			groups = append(groups, "group:"+g)
		}
	}
	return groups
}

var _ identity.Provider = (*Provider)(nil)
