package api_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

// Who may call an operation, beside the scopes of tokens, which let a session in too.
const (
	everybody = "public"
	inBrowser = "session"   // a person, and no token
	byToken   = "any token" // and a person
	byAdmin   = "admin"     // a person with that role, or a token of theirs with that scope
	inPerson  = "admin's session"
)

// accesses lists every operation. One that is missing fails the tests.
var accesses = map[string]string{
	"GET /api/me":                                   byToken,
	"GET /api/templates":                            string(identity.ScopeRead),
	"POST /api/login/link":                          everybody,
	"POST /api/logout":                              inBrowser,
	"GET /api/login":                                everybody,
	"POST /api/login/{provider}":                    everybody,
	"GET /api/accounts":                             inBrowser,
	"DELETE /api/accounts/{provider}/{subject}":     inBrowser,
	"GET /api/people":                               byAdmin,
	"PATCH /api/people/{id}":                        byAdmin,
	"POST /api/people/{id}/sign-in-link":            inPerson,
	"GET /api/invitations":                          byAdmin,
	"POST /api/invitations":                         byAdmin,
	"DELETE /api/invitations/{id}":                  byAdmin,
	"POST /api/invitations/redeem":                  everybody,
	"GET /api/workspaces/{id}/bridge":               inBrowser,
	"GET /api/workspaces/{id}/terminals/{terminal}": inBrowser,
	"GET /api/git-tokens":                           inBrowser,
	"PUT /api/git-tokens":                           inBrowser,
	"DELETE /api/git-tokens":                        inBrowser,
	"GET /api/git-identity":                         inBrowser,
	"PUT /api/git-identity":                         inBrowser,
	"GET /api/git-questions":                        inBrowser,
	"POST /api/git-questions/{id}":                  inBrowser,
	"GET /api/events":                               string(identity.ScopeRead),
	"GET /api/audit":                                byAdmin,
	"GET /api/admin/workspaces":                     byAdmin,
	"POST /api/admin/workspaces/{id}/stop":          byAdmin,
	"GET /api/sessions":                             inBrowser,
	"DELETE /api/sessions":                          inBrowser,
	"GET /api/tokens":                               inBrowser,
	"POST /api/tokens":                              inBrowser,
	"GET /api/workspaces":                           string(identity.ScopeRead),
	"POST /api/workspaces":                          string(identity.ScopeWrite),
	"DELETE /api/tokens/{id}":                       inBrowser,
	"DELETE /api/sessions/{id}":                     inBrowser,
	"GET /api/workspaces/{id}":                      string(identity.ScopeRead),
	"PATCH /api/workspaces/{id}":                    string(identity.ScopeWrite),
	"DELETE /api/workspaces/{id}":                   string(identity.ScopeWrite),
	"POST /api/workspaces/{id}/start":               string(identity.ScopeWrite),
	"POST /api/workspaces/{id}/stop":                string(identity.ScopeWrite),
	"POST /api/workspaces/{id}/pause":               string(identity.ScopeWrite),
	"POST /api/workspaces/{id}/restart":             string(identity.ScopeWrite),
	"POST /api/workspaces/{id}/rebuild":             string(identity.ScopeWrite),
	"PUT /api/workspaces/{id}/keep-awake":           string(identity.ScopeWrite),
	"DELETE /api/workspaces/{id}/keep-awake":        string(identity.ScopeWrite),
	"PUT /api/workspaces/{id}/schedule":             string(identity.ScopeWrite),
	"DELETE /api/workspaces/{id}/schedule":          string(identity.ScopeWrite),

	"GET /api/workspaces/{id}/ports":           string(identity.ScopeRead),
	"PUT /api/workspaces/{id}/ports/{port}":    string(identity.ScopeWrite),
	"DELETE /api/workspaces/{id}/ports/{port}": string(identity.ScopeWrite),

	"POST /api/agent":                 string(identity.ScopeAgent),
	"GET /api/agent/models":           string(identity.ScopeAgent),
	"GET /api/agent/usage":            string(identity.ScopeAgent),
	"GET /api/agent/key":              inBrowser,
	"PUT /api/agent/key":              inBrowser,
	"DELETE /api/agent/key":           inBrowser,
	"GET /api/admin/usage":            byAdmin,
	"GET /api/agent/chats":            string(identity.ScopeAgent),
	"GET /api/agent/{chat}":           string(identity.ScopeAgent),
	"PATCH /api/agent/{chat}":         string(identity.ScopeAgent),
	"DELETE /api/agent/{chat}":        string(identity.ScopeAgent),
	"GET /api/agent/{chat}/stream":    string(identity.ScopeAgent),
	"POST /api/agent/{chat}/continue": string(identity.ScopeAgent),
	"POST /api/agent/{chat}/stop":     string(identity.ScopeAgent),
	"POST /api/agent/{chat}/queue":    string(identity.ScopeAgent),
	"GET /api/agent/{chat}/changes":   string(identity.ScopeAgent),
	"POST /api/agent/{chat}/undo":     string(identity.ScopeAgent),
}

// admin returns a browser that the first admin is signed in with.
func (s *site) admin() *browser {
	s.t.Helper()
	p, err := s.identity.FirstAdmin(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	return s.as(p)
}

// as returns a browser that p is signed in with.
func (s *site) as(p identity.Person) *browser {
	s.t.Helper()
	cookie, _, err := s.identity.SignInByLink(context.Background(), s.link(p))
	if err != nil {
		s.t.Fatal(err)
	}
	return &browser{site: s, cookie: cookie.Name + "=" + cookie.Value, header: http.Header{}}
}

// caller returns who is signed in.
func (b *browser) caller() identity.Caller {
	b.t.Helper()
	caller, err := b.identity.Authenticate(b.request("GET", "/", nil))
	if err != nil {
		b.t.Fatal(err)
	}
	return caller
}

// program returns a program with a new token of the person that is signed in.
func (b *browser) program(scopes ...identity.Scope) *browser {
	b.t.Helper()
	text, _, err := b.identity.CreateToken(context.Background(), b.caller(), "ci", scopes, time.Hour)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.stranger().with("Authorization", "Bearer "+text)
}

// status asks for a route as its caller would, with a body that nobody accepts and an id that
// nothing has: 401 and 403 come before either is looked at.
func (b *browser) status(t *testing.T, route string, op operation) int {
	t.Helper()
	method, path, _ := strings.Cut(route, " ")
	var body any
	if op.RequestBody != nil {
		body = "{"
	}
	if method == http.MethodGet && op.Responses["200"].Content["text/event-stream"].Schema != nil {
		method = http.MethodHead // would go on for ever
	}
	w := httptest.NewRecorder()
	b.ServeHTTP(w, b.request(method, strings.NewReplacer("{id}", string(workspace.NewID()), "{port}", "5000", "{chat}", "none").Replace(path), body))
	return w.Code
}

func TestAccess_EveryOperationLetsInExactlyWhoBelongs(t *testing.T) {
	s := newSite(t)
	ravi := s.person("Ravi")
	first, err := s.identity.FirstAdmin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	admin, member := s.as(first), s.as(ravi)
	tokens := map[identity.Scope]*browser{}
	for _, scope := range identity.Scopes[:4] {
		tokens[scope] = member.program(scope)
	}
	adminsToken, adminsOther := admin.program(identity.ScopeAdmin), admin.program(identity.Scopes[:4]...)
	text := identity.TokenPrefix + identity.NewSecret()
	unknown, malformed := s.stranger().with("Authorization", "Bearer "+text), s.stranger().with("Authorization", "Bearer kalpana_x")
	forged := &browser{site: s, cookie: "__Host-kalpana_session=" + strings.Repeat("A", 43), header: http.Header{}}
	both := *s.as(ravi)
	both.header = http.Header{"Authorization": {"Bearer " + text}} // a bad token is not made good by a session

	for path, operations := range openAPI(t, s).Paths {
		for method, op := range operations {
			route := strings.ToUpper(method) + " " + path
			access, ok := accesses[route]
			if !ok {
				t.Errorf("%s is missing in the table of accesses", route)
				continue
			}
			check := func(who string, b *browser, want int) {
				t.Helper()
				got := b.status(t, route, op)
				if want != 0 && got != want || want == 0 && (got == 401 || got == 403) {
					t.Errorf("%s: %s gets %d, want %d (0 is any but 401 and 403)", route, who, got, want)
				}
			}
			unless := func(status int, allowed bool) int {
				if allowed {
					return 0
				}
				return status
			}
			public := access == everybody
			check("a stranger", s.stranger(), unless(401, public))
			check("a forged session", forged, unless(401, public))
			check("an unknown token", unknown, unless(401, public))
			check("a malformed token", malformed, unless(401, public))
			check("an unknown token with a session", &both, unless(401, public))
			check("a member", s.as(ravi), unless(403, access != byAdmin && access != inPerson)) // signed in anew: some routes sign out
			check("an admin", s.as(first), 0)
			for scope, program := range tokens {
				check("a token for "+string(scope), program, unless(403, public || access == byToken || access == string(scope)))
			}
			check("an admin's token for admin", adminsToken, unless(403, public || access == byToken || access == byAdmin))
			check("an admin's token for all else", adminsOther, unless(403, access != inBrowser && access != inPerson && access != byAdmin))
		}
	}
}

func TestAccess_TheTableHasNoRouteThatIsGone(t *testing.T) {
	var got, want []string
	for path, operations := range openAPI(t, newSite(t)).Paths {
		for method := range operations {
			got = append(got, strings.ToUpper(method)+" "+path)
		}
	}
	for route := range accesses {
		want = append(want, route)
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAccess_ADescriptionNamesTheScope(t *testing.T) {
	d := openAPI(t, newSite(t))
	for route, access := range accesses {
		method, path, _ := strings.Cut(route, " ")
		var want []map[string][]string
		switch access {
		case everybody:
			want = []map[string][]string{{}}
		case inBrowser:
			want = []map[string][]string{{"session": {}}}
		case byToken:
			want = []map[string][]string{{"session": {}}, {"token": {}}}
		case byAdmin:
			want = []map[string][]string{{"session": {"admin"}}, {"token": {"admin"}}}
		case inPerson:
			want = []map[string][]string{{"session": {"admin"}}}
		default:
			want = []map[string][]string{{"session": {}}, {"token": {access}}}
		}
		if diff := cmp.Diff(want, d.Paths[path][strings.ToLower(method)].Security); diff != "" {
			t.Errorf("%s: %s", route, diff)
		}
	}
}

func TestAccess_RefusalsSayWhatToDo(t *testing.T) {
	s := newSite(t)
	admin, asha := s.admin(), s.signIn("Asha")
	bad := s.stranger().with("Authorization", "Bearer kalpana_x")
	for _, path := range []string{"/api/me", "/api/events"} {
		if got := bad.must(401, "GET", path, nil).Header().Get("WWW-Authenticate"); got != `Bearer error="invalid_token"` {
			t.Errorf("%s: %q", path, got)
		}
	}
	for _, test := range []struct {
		who          *browser
		method, path string
		status       int
		detail       string
	}{
		{s.stranger(), "GET", "/api/me", 401, "You are not signed in."},
		{bad, "GET", "/api/me", 401, "This token is unknown, expired or revoked; make another in the console's settings."},
		{asha.program(identity.ScopeRead), "POST", "/api/workspaces", 403, "This token lacks the scope that this needs; make one that has it in the console's settings."},
		{admin.program(identity.ScopeAdmin), "POST", "/api/tokens", 403, "This is for people in a browser; no token may do it."},
		{asha, "GET", "/api/audit", 403, "This is for admins alone; ask one of them."},
	} {
		if p := problemOf(t, test.who.must(test.status, test.method, test.path, nil)); p.Detail != test.detail {
			t.Errorf("%s %s: %q", test.method, test.path, p.Detail)
		}
	}
}
