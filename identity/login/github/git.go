package github

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/identity/login"
)

// GitServer implements identity.GitProvider: what GitHub signs in at is the server itself.
func (p *Provider) GitServer() string {
	server, err := identity.CleanGitServer(gitServer(p.cfg.BaseURL))
	if err != nil {
		return "" // no repository's address is that
	}
	return server
}

// gitServer returns scheme and host of the server's address.
func gitServer(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// GitToken implements identity.GitProvider. An OAuth app's token reaches whatever its scope does; a GitHub App's is
// narrowed to the repository (https://docs.github.com/en/rest/apps/apps#create-a-scoped-access-token).
func (p *Provider) GitToken(ctx context.Context, access, path string) (username, password string, err error) {
	const user = "x-access-token"
	if !p.cfg.App {
		// Gitea names its scopes in its own way.
		reaches := func(scope string) bool {
			return scope == "repo" || scope == "public_repo" || strings.HasPrefix(scope, "write:repository") || strings.HasPrefix(scope, "read:repository")
		}
		if !slices.ContainsFunc(p.cfg.Scopes, reaches) {
			return "", "", identity.ErrGitTokenScope
		}
		return user, access, nil
	}
	owner, name, ok := strings.Cut(strings.TrimSuffix(strings.Trim(path, "/"), ".git"), "/")
	if !ok || strings.Contains(name, "/") {
		return "", "", identity.ErrNoGitToken
	}
	body, err := json.Marshal(map[string]any{"access_token": access, "target": owner, "repositories": []string{name}})
	if err != nil {
		return "", "", err
	}
	address := p.cfg.APIURL + "/applications/" + url.PathEscape(p.cfg.ClientID) + "/token/scoped"
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return "", "", err
	}
	r.SetBasicAuth(p.cfg.ClientID, p.cfg.ClientSecret)
	r.Header.Set("Accept", "application/vnd.github+json")
	r.Header.Set("Content-Type", "application/json")
	resp, err := p.client.Do(r)
	if err != nil {
		return "", "", login.Fault(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	switch {
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
		return "", "", fmt.Errorf("%w: it answers %d when asked for a token of one repository", identity.ErrProviderDown, resp.StatusCode)
	case resp.StatusCode != http.StatusOK: // the app is not installed there, or the person may not
		return "", "", identity.ErrNoGitToken
	}
	var narrowed struct {
		Token string `json:"token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&narrowed); err != nil || narrowed.Token == "" {
		return "", "", fmt.Errorf("%w: it gave no token of one repository", identity.ErrProvider)
	}
	return user, narrowed.Token, nil
}

var _ identity.GitProvider = (*Provider)(nil)
