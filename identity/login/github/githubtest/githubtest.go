// Package githubtest plays the part of GitHub that signing in uses, for tests: OAuth apps and GitHub
// Apps, with PKCE, codes and refresh tokens that work once, e-mail addresses, organisations and
// teams.
package githubtest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The client that is registered.
const (
	ClientID     = "Iv1.kalpana"
	ClientSecret = "github-secret"
)

// Email is an address of a user.
type Email struct {
	Email    string `json:"email"`
	Primary  bool   `json:"primary"`
	Verified bool   `json:"verified"`
}

// User is somebody at GitHub.
type User struct {
	ID     int64
	Login  string
	Name   string
	Emails []Email
	Orgs   []string
	Teams  []string // "org/team"
	// Installed are the repositories ("owner/name") that the user may write to and where the GitHub App is installed.
	Installed []string
}

// Server is a GitHub. It is an http.Handler that serves the pages and, below /api/v3, the API, and an
// http.RoundTripper to itself.
type Server struct {
	// Expiring says that the client is a GitHub App: its tokens end after eight hours, and come with a
	// refresh token.
	Expiring bool
	// NoRefresh leaves the refresh token out.
	NoRefresh bool
	// Slow is awaited before a refresh is answered, so that a test can have two at once.
	Slow func()

	mu       sync.Mutex
	lifetime time.Duration // of tokens that expire
	user     User
	denied   bool
	down     bool
	codes    map[string]grant
	tokens   map[string]access
	refresh  map[string]User // those that still work
	spent    map[string]bool // those that were used
	counters Counters
}

// Counters tell what was asked of a Server.
type Counters struct {
	Refreshes int // that succeeded
	Reused    int // refresh tokens that came a second time
	Requests  int
}

type grant struct {
	user      User
	challenge string
	callback  string
	scopes    []string
}

type access struct {
	user   User
	scopes []string // nil for a GitHub App
}

// New returns a Server whose browser is signed in as user.
func New(user User) *Server {
	return &Server{user: user, lifetime: 8 * time.Hour, codes: map[string]grant{}, tokens: map[string]access{}, refresh: map[string]User{}, spent: map[string]bool{}}
}

// SignIn makes user the one who is signed in at GitHub, who lets every app in, or none if denied.
func (s *Server) SignIn(user User, denied bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.user, s.denied = user, denied
}

// SetLifetime changes how long tokens last that are given from now on, where they expire.
func (s *Server) SetLifetime(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lifetime = d
}

// SetDown makes every answer a fault, or ends that.
func (s *Server) SetDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// Counters returns what was asked so far.
func (s *Server) Counters() Counters {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counters
}

// RevokeAll ends every token, as a user does who removes the app.
func (s *Server) RevokeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tokens)
	clear(s.refresh)
}

// Visit opens an address of the server as the browser does, and returns where it sends the browser.
func (s *Server) Visit(address string) string {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, address, nil))
	return w.Header().Get("Location")
}

// RoundTrip implements http.RoundTripper, without a network.
func (s *Server) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	if r.Body == nil {
		r = r.Clone(r.Context())
		r.Body = http.NoBody
	}
	s.ServeHTTP(w, r)
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/login/oauth/access_token" && r.FormValue("grant_type") == "refresh_token" && s.Slow != nil {
		s.Slow()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counters.Requests++
	path := strings.TrimPrefix(r.URL.Path, "/api/v3")
	switch {
	case s.down:
		http.Error(w, "unicorn", http.StatusBadGateway)
	case path == "/login/oauth/authorize":
		s.authorize(w, r)
	case path == "/login/oauth/access_token":
		s.token(w, r)
	case path == "/applications/"+ClientID+"/token/scoped" && r.Method == http.MethodPost:
		s.scoped(w, r)
	default:
		s.api(w, r, path)
	}
}

func (s *Server) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	callback, err := url.Parse(q.Get("redirect_uri"))
	if q.Get("client_id") != ClientID || err != nil || callback.Host == "" || q.Get("response_type") != "code" {
		http.Error(w, "no such app", http.StatusNotFound)
		return
	}
	answer := url.Values{"state": {q.Get("state")}}
	if s.denied {
		answer.Set("error", "access_denied")
		answer.Set("error_description", "The user has denied your application access.")
	} else {
		code := rand.Text()
		s.codes[code] = grant{
			user: s.user, challenge: q.Get("code_challenge"), callback: q.Get("redirect_uri"), scopes: strings.Fields(q.Get("scope")),
		}
		if q.Get("code_challenge_method") != "S256" { // a challenge that could be seen on the way
			http.Error(w, "code_challenge_method", http.StatusBadRequest)
			return
		}
		answer.Set("code", code)
	}
	callback.RawQuery = answer.Encode()
	http.Redirect(w, r, callback.String(), http.StatusFound)
}

// token answers 200 in any case, as GitHub does.
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	if r.FormValue("client_id") != ClientID || r.FormValue("client_secret") != ClientSecret {
		answer(w, map[string]any{"error": "incorrect_client_credentials"})
		return
	}
	if r.FormValue("grant_type") == "refresh_token" {
		old := r.FormValue("refresh_token")
		if s.spent[old] {
			s.counters.Reused++
		}
		user, ok := s.refresh[old]
		if !ok {
			answer(w, map[string]any{"error": "bad_refresh_token", "error_description": "The refresh token passed is incorrect or expired."})
			return
		}
		delete(s.refresh, old)
		s.spent[old] = true
		s.counters.Refreshes++
		s.issue(w, access{user: user})
		return
	}
	code := r.FormValue("code")
	g, ok := s.codes[code]
	delete(s.codes, code)
	sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	if !ok || g.challenge != base64.RawURLEncoding.EncodeToString(sum[:]) || g.callback != r.FormValue("redirect_uri") {
		answer(w, map[string]any{"error": "bad_verification_code", "error_description": "The code passed is incorrect or expired."})
		return
	}
	a := access{user: g.user, scopes: append([]string{}, g.scopes...)}
	if s.Expiring {
		a.scopes = nil
	}
	s.issue(w, a)
}

func (s *Server) issue(w http.ResponseWriter, a access) {
	token := "gho_" + rand.Text()
	s.tokens[token] = a
	body := map[string]any{"access_token": token, "token_type": "bearer", "scope": strings.Join(a.scopes, ",")}
	if s.Expiring {
		body["expires_in"] = int(s.lifetime.Seconds())
		if !s.NoRefresh {
			fresh := "ghr_" + rand.Text()
			s.refresh[fresh] = a.user
			body["refresh_token"], body["refresh_token_expires_in"] = fresh, 15897600
		}
	}
	answer(w, body)
}

// scoped narrows a GitHub App's token to repositories of one owner.
func (s *Server) scoped(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	var in struct {
		Token        string   `json:"access_token"`
		Target       string   `json:"target"`
		Repositories []string `json:"repositories"`
	}
	if id != ClientID || secret != ClientSecret || json.NewDecoder(r.Body).Decode(&in) != nil {
		http.Error(w, `{"message": "Not Found"}`, http.StatusNotFound)
		return
	}
	a, ok := s.tokens[in.Token]
	if !ok || !s.Expiring || len(in.Repositories) != 1 || !slices.Contains(a.user.Installed, in.Target+"/"+in.Repositories[0]) {
		http.Error(w, `{"message": "Validation Failed"}`, http.StatusUnprocessableEntity)
		return
	}
	token := "ghu_" + in.Target + "-" + in.Repositories[0]
	answer(w, map[string]any{"token": token, "expires_at": time.Now().Add(s.lifetime)})
}

func (s *Server) api(w http.ResponseWriter, r *http.Request, path string) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	a, ok := s.tokens[token]
	if !ok {
		http.Error(w, `{"message": "Bad credentials"}`, http.StatusUnauthorized)
		return
	}
	may := func(scope string) bool { return a.scopes == nil || slices.Contains(a.scopes, scope) }
	switch {
	case path == "/user":
		// The address of the public profile is whatever the user likes.
		answer(w, map[string]any{"id": a.user.ID, "login": a.user.Login, "name": a.user.Name, "email": "admin@corp.example"})
	case path == "/user/emails" && may("user:email"):
		page(w, r, a.user.Emails)
	case path == "/user/orgs" && may("read:org"):
		var list []any
		for _, o := range a.user.Orgs {
			list = append(list, map[string]any{"login": o})
		}
		page(w, r, list)
	case path == "/user/teams" && may("read:org"):
		var list []any
		for _, t := range a.user.Teams {
			org, team, _ := strings.Cut(t, "/")
			list = append(list, map[string]any{"slug": team, "name": strings.ToUpper(team), "organization": map[string]any{"login": org}})
		}
		page(w, r, list)
	default:
		http.Error(w, `{"message": "Not Found"}`, http.StatusNotFound)
	}
}

func page[T any](w http.ResponseWriter, r *http.Request, all []T) {
	size, _ := strconv.Atoi(r.FormValue("per_page"))
	number, _ := strconv.Atoi(r.FormValue("page"))
	size, number = max(size, 1), max(number, 1)
	from := min((number-1)*size, len(all))
	to := min(from+size, len(all))
	if to < len(all) {
		w.Header().Set("Link", `<https://elsewhere.example/?page=2>; rel="next"`)
	}
	answer(w, append([]T{}, all[from:to]...))
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}

var _ http.RoundTripper = (*Server)(nil)
