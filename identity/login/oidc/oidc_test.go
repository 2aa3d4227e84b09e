package oidc_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/identity/login/oidc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func config(i *issuer) oidc.Config {
	return oidc.Config{Name: "corp", Issuer: issuerURL, ClientID: clientID, ClientSecret: "secret", Groups: true, Transport: i}
}

func provider(t *testing.T, cfg oidc.Config) *oidc.Provider {
	t.Helper()
	p, err := oidc.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newAttempt() identity.Attempt {
	return identity.Attempt{
		State: identity.NewSecret(), Nonce: identity.NewSecret(), Verifier: identity.NewSecret(),
		Callback: "https://kalpana.example.com/login/corp/callback",
	}
}

// signIn goes through a whole sign-in; the issuer sends the browser back with query.
func signIn(t *testing.T, p *oidc.Provider, i *issuer, query url.Values) (identity.Profile, error) {
	t.Helper()
	a := newAttempt()
	address, err := p.Begin(context.Background(), a)
	if err != nil {
		return identity.Profile{}, err
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	i.nonce = u.Query().Get("nonce")
	q := url.Values{"code": {"code"}, "state": {a.State}}
	maps.Copy(q, query)
	return p.Complete(context.Background(), a, q)
}

var mona = identity.Profile{
	Subject: identity.Hash(issuerURL)[:12] + ":mona", ID: "mona", Login: "mona", Name: "Mona Lisa", Email: "mona@corp.com", Groups: []string{"group:developers"},
}

func TestOIDC_VouchesByIssuerAndSubject(t *testing.T) {
	i := &issuer{}
	got, err := signIn(t, provider(t, config(i)), i, nil)
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(got.Token.ExpiresAt); got.Token.Access != "access" || left > 5*time.Minute || left < 4*time.Minute {
		t.Errorf("token %+v", got.Token)
	}
	got.Token = identity.ProviderToken{}
	if diff := cmp.Diff(mona, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if slices.Contains(i.asked, "/realms/corp/me") {
		t.Error("userinfo was asked though the ID token says it all")
	}
}

func TestOIDC_AsksWithStateNonceAndPKCE(t *testing.T) {
	i := &issuer{}
	cfg := config(i)
	cfg.Scopes, cfg.Parameters = []string{"email", "offline_access"}, map[string]string{"access_type": "offline"}
	a := newAttempt()
	address, err := provider(t, cfg).Begin(context.Background(), a)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	got := u.Query()
	sum := sha256.Sum256([]byte(a.Verifier))
	want := url.Values{
		"response_type": {"code"}, "client_id": {clientID}, "redirect_uri": {a.Callback}, "scope": {"openid email offline_access"}, "state": {a.State},
		"nonce": {a.Nonce}, "code_challenge": {b64.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}, "access_type": {"offline"},
	}
	if diff := cmp.Diff(want, got); diff != "" || !strings.HasPrefix(address, issuerURL+"/auth?") {
		t.Errorf("%s (-want +got)\n%s", address, diff)
	}
}

func TestOIDC_RefusesWhatItCannotTrust(t *testing.T) {
	now := time.Now()
	public, err := x509.MarshalPKIXPublicKey(&key().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	hs256 := func(text string) string {
		mac := hmac.New(sha256.New, public)
		mac.Write([]byte(text))
		return b64.EncodeToString(mac.Sum(nil))
	}
	for name, c := range map[string]struct {
		issuer issuer
		query  url.Values
		want   error
	}{
		"another nonce":                {issuer: issuer{claims: object{"nonce": identity.NewSecret()}}},
		"no nonce":                     {issuer: issuer{claims: object{"nonce": nil}}},
		"another audience":             {issuer: issuer{claims: object{"aud": "somebody"}}},
		"no audience":                  {issuer: issuer{claims: object{"aud": nil}}},
		"two audiences":                {issuer: issuer{claims: object{"aud": []string{clientID, "somebody"}}}},
		"another authorized party":     {issuer: issuer{claims: object{"aud": []string{clientID, "somebody"}, "azp": "somebody"}}},
		"expired":                      {issuer: issuer{claims: object{"exp": now.Add(-time.Minute).Unix()}}},
		"not yet":                      {issuer: issuer{claims: object{"nbf": now.Add(time.Hour).Unix()}}},
		"another issuer's token":       {issuer: issuer{claims: object{"iss": "https://evil.example"}}},
		"an issuer with a slash":       {issuer: issuer{claims: object{"iss": issuerURL + "/"}}},
		"no subject":                   {issuer: issuer{claims: object{"sub": nil}}},
		"a subject without end":        {issuer: issuer{claims: object{"sub": strings.Repeat("x", 256)}}},
		"a subject that is a number":   {issuer: issuer{claims: object{"sub": 7}}},
		"not signed":                   {issuer: issuer{header: object{"alg": "none", "kid": nil}, sign: func(string) string { return "" }}},
		"alg none with a signature":    {issuer: issuer{header: object{"alg": "none"}}},
		"HS256 by the public key":      {issuer: issuer{header: object{"alg": "HS256"}, sign: hs256}},
		"another key":                  {issuer: issuer{sign: signedBy(stray())}},
		"an unknown key":               {issuer: issuer{header: object{"kid": "2"}, sign: signedBy(stray())}},
		"another access token's hash":  {issuer: issuer{claims: object{"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}}},
		"no ID token":                  {issuer: issuer{token: object{"id_token": nil}}},
		"an ID token that is a number": {issuer: issuer{token: object{"id_token": 7}}},
		"userinfo of somebody else": {issuer: issuer{
			claims: object{"email": nil}, userinfo: object{"sub": "other", "email": "admin@corp.com", "email_verified": true},
		}},
		"an answer of another issuer":    {query: url.Values{"iss": {"https://evil.example"}}},
		"an answer of an empty issuer":   {query: url.Values{"iss": {""}}},
		"an answer that names no issuer": {issuer: issuer{discovery: object{"authorization_response_iss_parameter_supported": true}}},
		"a code that was used": {
			issuer: issuer{token: object{"error": "invalid_grant", "access_token": nil}}, want: identity.ErrAttempt,
		},
		"another error of the token endpoint": {issuer: issuer{token: object{"error": "invalid_client", "access_token": nil}}},
		"an error":                            {query: url.Values{"error": {"invalid_scope"}}},
		"denied":                              {query: url.Values{"error": {"access_denied"}}, want: identity.ErrDenied},
		"metadata of another issuer": {
			issuer: issuer{discovery: object{"issuer": "https://evil.example"}}, want: identity.ErrProviderDown,
		},
		"a token endpoint over plain http": {
			issuer: issuer{discovery: object{"token_endpoint": "http://login.test/token"}}, want: identity.ErrProviderDown,
		},
		"keys over plain http": {issuer: issuer{discovery: object{"jwks_uri": "http://login.test/keys"}}, want: identity.ErrProviderDown},
		"no endpoints":         {issuer: issuer{discovery: object{"authorization_endpoint": nil}}, want: identity.ErrProviderDown},
	} {
		t.Run(name, func(t *testing.T) {
			want := c.want
			if want == nil {
				want = identity.ErrProvider
			}
			profile, err := signIn(t, provider(t, config(&c.issuer)), &c.issuer, c.query)
			if !errors.Is(err, want) || profile.Subject != "" {
				t.Errorf("%+v, %v, want %v", profile, err, want)
			}
		})
	}
}

func TestOIDC_TakesWhatTheStandardAllows(t *testing.T) {
	for name, c := range map[string]struct {
		issuer issuer
		query  url.Values
	}{
		"two audiences and our authorized party": {issuer: issuer{claims: object{"aud": []string{clientID, "somebody"}, "azp": clientID}}},
		"an audience in a list":                  {issuer: issuer{claims: object{"aud": []string{clientID}}}},
		"an answer that names its issuer": {
			issuer: issuer{discovery: object{"authorization_response_iss_parameter_supported": true}}, query: url.Values{"iss": {issuerURL}},
		},
		"one group that is no list": {issuer: issuer{claims: object{"groups": "developers"}}},
		"claims at the userinfo endpoint": {issuer: issuer{
			claims: object{"email": nil, "email_verified": nil, "name": nil, "preferred_username": nil, "groups": nil},
			userinfo: object{
				"sub": "mona", "email": "mona@corp.com", "email_verified": true, "name": "Mona Lisa", "preferred_username": "mona", "groups": []string{"developers"},
			},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := signIn(t, provider(t, config(&c.issuer)), &c.issuer, c.query)
			got.Token = identity.ProviderToken{}
			if diff := cmp.Diff(mona, got); diff != "" || err != nil {
				t.Errorf("%v (-want +got)\n%s", err, diff)
			}
		})
	}
}

func TestOIDC_AnAddressCountsOnlyIfTheBooleanSaysSo(t *testing.T) {
	for name, c := range map[string]struct {
		claims, userinfo object
	}{
		"absent":                    {claims: object{"email_verified": nil}},
		"false":                     {claims: object{"email_verified": false}},
		`the text "true"`:           {claims: object{"email_verified": "true"}},
		"1":                         {claims: object{"email_verified": 1}},
		"a list":                    {claims: object{"email_verified": []bool{true}}},
		"two at signs":              {claims: object{"email": "mona@evil.example@corp.com"}},
		"an address in a list":      {claims: object{"email": []string{"mona@corp.com"}}},
		"verified elsewhere":        {claims: object{"email_verified": nil}, userinfo: object{"sub": "mona", "email_verified": true}},
		"another one is verified":   {claims: object{"email": nil}, userinfo: object{"sub": "mona", "email": "mona@corp.com"}},
		"as text at the userinfo":   {claims: object{"email": nil}, userinfo: object{"sub": "mona", "email": "mona@corp.com", "email_verified": "true"}},
		"nothing of it but a group": {claims: object{"email": nil, "email_verified": nil}},
	} {
		i := &issuer{claims: c.claims, userinfo: c.userinfo}
		if c.userinfo == nil {
			i.discovery = object{"userinfo_endpoint": nil}
		}
		got, err := signIn(t, provider(t, config(i)), i, nil)
		if err != nil || got.Email != "" {
			t.Errorf("%s: %q, %v", name, got.Email, err)
		}
	}
}

func TestOIDC_GroupsOfAnotherFormAreNone(t *testing.T) {
	for name, groups := range map[string]any{"numbers": []int{1}, "an object": object{"admins": true}, "mixed": []any{"admins", 1}, "nothing": nil, "an empty text": ""} {
		i := &issuer{claims: object{"groups": groups}, discovery: object{"userinfo_endpoint": nil}}
		got, err := signIn(t, provider(t, config(i)), i, nil)
		if err != nil || len(got.Groups) != 0 {
			t.Errorf("%s: %q, %v", name, got.Groups, err)
		}
	}
	i := &issuer{claims: object{"roles": []string{"operators"}}}
	cfg := config(i)
	cfg.GroupsClaim = "roles"
	got, err := signIn(t, provider(t, cfg), i, nil)
	if err != nil || !slices.Equal(got.Groups, []string{"group:operators"}) {
		t.Errorf("another claim: %q, %v", got.Groups, err)
	}
}

func TestOIDC_AuthenticatesAsTheProviderWants(t *testing.T) {
	for name, c := range map[string]struct {
		methods []string
		secret  string
		inForm  string
		header  bool
	}{
		"by default":            {secret: "secret", header: true},
		"basic":                 {methods: []string{"client_secret_post", "client_secret_basic"}, secret: "secret", header: true},
		"post":                  {methods: []string{"client_secret_post"}, secret: "secret", inForm: "secret"},
		"a client of no secret": {},
	} {
		i := &issuer{}
		if c.methods != nil {
			i.discovery = object{"token_endpoint_auth_methods_supported": c.methods}
		}
		cfg := config(i)
		cfg.ClientSecret = c.secret
		if _, err := signIn(t, provider(t, cfg), i, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if i.lastForm.Get("client_secret") != c.inForm || (i.lastAuth != "") != c.header || i.lastForm.Get("code_verifier") == "" {
			t.Errorf("%s: %v, %q", name, i.lastForm, i.lastAuth)
		}
	}
}

func TestOIDC_AnIssuerThatIsDownIsAskedAgainLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{down: true}
		p := provider(t, config(i))
		if len(i.asked) != 0 {
			t.Error("the issuer was asked before anybody signed in")
		}
		for range 3 {
			if _, err := signIn(t, p, i, nil); !errors.Is(err, identity.ErrProviderDown) {
				t.Errorf("while it is down: %v", err)
			}
		}
		if len(i.asked) != 1 {
			t.Errorf("it was asked %d times within a moment", len(i.asked))
		}
		i.down = false
		time.Sleep(6 * time.Second)
		for range 3 {
			if _, err := signIn(t, p, i, nil); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		}
		if n := len(slices.DeleteFunc(i.asked, func(path string) bool { return !strings.HasSuffix(path, "openid-configuration") })); n != 2 {
			t.Errorf("discovery was asked %d times", n)
		}
	})
}

func TestOIDC_ARefusedRefreshIsToldFromAnOutage(t *testing.T) {
	i := &issuer{token: object{"refresh_token": "next"}}
	p := provider(t, config(i))
	token, err := p.Refresh(context.Background(), "first")
	if err != nil || token.Refresh != "next" || i.lastForm.Get("refresh_token") != "first" {
		t.Errorf("%+v, %v", token, err)
	}
	i.token = object{"error": "invalid_grant"}
	if _, err := p.Refresh(context.Background(), "next"); !errors.Is(err, identity.ErrTokenRefused) {
		t.Errorf("refused: %v", err)
	}
	i.down = true
	if _, err := p.Refresh(context.Background(), "next"); !errors.Is(err, identity.ErrProviderDown) {
		t.Errorf("down: %v", err)
	}
}

func TestOIDC_RefusesWhatCannotWork(t *testing.T) {
	for name, change := range map[string]func(*oidc.Config){
		"no issuer":              func(c *oidc.Config) { c.Issuer = "" },
		"no client":              func(c *oidc.Config) { c.ClientID = "" },
		"plain http":             func(c *oidc.Config) { c.Issuer = "http://login.example.com" },
		"an issuer with a query": func(c *oidc.Config) { c.Issuer += "?x" },
		"a state of its own":     func(c *oidc.Config) { c.Parameters = map[string]string{"state": "x"} },
	} {
		cfg := config(&issuer{})
		change(&cfg)
		if _, err := oidc.New(cfg); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	cfg := config(&issuer{})
	cfg.Issuer = "http://localhost:9000"
	if _, err := oidc.New(cfg); err != nil {
		t.Errorf("plain http on this machine: %v", err)
	}
}
