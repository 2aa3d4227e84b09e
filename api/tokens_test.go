package api_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/api"
	"github.com/kalpana-dev/kalpana/identity"
)

func TestTokens_AreMadeListedUsedAndRevoked(t *testing.T) {
	s := newSite(t)
	asha, ravi := s.signIn("Asha"), s.signIn("Ravi")
	w := asha.must(201, "POST", "/api/tokens", map[string]any{"name": "ci", "scopes": []string{"workspaces:write", "workspaces:read"}, "lifetimeHours": 48})
	made := decode[api.CreatedToken](t, w)
	want := api.Token{
		ID: made.ID, Name: "ci", Scopes: []string{"workspaces:read", "workspaces:write"},
		CreatedAt: made.CreatedAt, ExpiresAt: made.CreatedAt.Add(48 * time.Hour),
	}
	if diff := cmp.Diff(want, made.Token); diff != "" || !strings.HasPrefix(made.Secret, identity.TokenPrefix) || made.ID == "" {
		t.Fatal(diff, made)
	}
	list := decode[api.Tokens](t, asha.must(200, "GET", "/api/tokens", nil))
	if diff := cmp.Diff([]api.Token{want}, list.Tokens); diff != "" {
		t.Error(diff)
	}
	if list := decode[api.Tokens](t, ravi.must(200, "GET", "/api/tokens", nil)); list.Tokens == nil || len(list.Tokens) != 0 {
		t.Errorf("he has %+v", list)
	}

	program := s.stranger().with("Authorization", "Bearer "+made.Secret)
	if me := decode[api.Me](t, program.must(200, "GET", "/api/me", nil)); me.Name != "Asha" {
		t.Errorf("it acts for %+v", me)
	}
	id := program.create("by token").ID
	if got := decode[api.Workspaces](t, asha.must(200, "GET", "/api/workspaces", nil)); len(got.Workspaces) != 1 || got.Workspaces[0].ID != id {
		t.Errorf("she has %+v", got)
	}
	program.must(404, "GET", "/api/workspaces/"+ravi.create("his").ID, nil)
	program.must(204, "DELETE", "/api/workspaces/"+id, nil)

	ravi.must(404, "DELETE", "/api/tokens/"+made.ID, nil)
	program.must(200, "GET", "/api/me", nil)
	asha.must(204, "DELETE", "/api/tokens/"+made.ID, nil)
	program.must(401, "GET", "/api/me", nil)
	asha.must(404, "DELETE", "/api/tokens/"+made.ID, nil)
	if list := decode[api.Tokens](t, asha.must(200, "GET", "/api/tokens", nil)); len(list.Tokens) != 0 {
		t.Errorf("left: %+v", list)
	}
}

func TestTokens_LastThirtyDaysByDefault(t *testing.T) {
	asha := newSite(t).signIn("Asha")
	made := decode[api.CreatedToken](t, asha.must(201, "POST", "/api/tokens", map[string]any{"name": "ci", "scopes": []string{"workspaces:read"}}))
	if got := made.ExpiresAt.Sub(made.CreatedAt); got != 30*24*time.Hour {
		t.Errorf("%v", got)
	}
}

func TestTokens_WrongRequests(t *testing.T) {
	asha := newSite(t).signIn("Asha")
	good := func(change func(map[string]any)) map[string]any {
		body := map[string]any{"name": "ci", "scopes": []string{"workspaces:read"}, "lifetimeHours": 1}
		change(body)
		return body
	}
	for name, test := range map[string]struct {
		body   any
		status int
	}{
		"no name":           {good(func(b map[string]any) { delete(b, "name") }), 422},
		"an empty name":     {good(func(b map[string]any) { b["name"] = "" }), 422},
		"a blank name":      {good(func(b map[string]any) { b["name"] = " " }), 422},
		"a long name":       {good(func(b map[string]any) { b["name"] = strings.Repeat("x", 65) }), 422},
		"no scopes":         {good(func(b map[string]any) { b["scopes"] = []string{} }), 422},
		"an unknown scope":  {good(func(b map[string]any) { b["scopes"] = []string{"everything"} }), 422},
		"scopes as text":    {good(func(b map[string]any) { b["scopes"] = "workspaces:read" }), 422},
		"a negative life":   {good(func(b map[string]any) { b["lifetimeHours"] = -1 }), 422},
		"more than a year":  {good(func(b map[string]any) { b["lifetimeHours"] = 8761 }), 422},
		"a scope of admins": {good(func(b map[string]any) { b["scopes"] = []string{"admin"} }), 403},
	} {
		t.Run(name, func(t *testing.T) { asha.must(test.status, "POST", "/api/tokens", test.body) })
	}
	if list := decode[api.Tokens](t, asha.must(200, "GET", "/api/tokens", nil)); len(list.Tokens) != 0 {
		t.Errorf("made: %+v", list)
	}
}

func TestTokens_FromABrowserOnAnotherSiteAreRefused(t *testing.T) {
	program := newSite(t).signIn("Asha").program(identity.ScopeRead)
	program.must(200, "GET", "/api/workspaces", nil)
	program.with("Origin", "http://evil.example").must(403, "GET", "/api/workspaces", nil)
	program.with("Sec-Fetch-Site", "same-site").must(403, "GET", "/api/workspaces", nil)
}

func TestTokens_AnotherSchemeLeavesTheSessionAlone(t *testing.T) {
	asha := newSite(t).signIn("Asha")
	for _, header := range []string{"Basic YTpi", "Bearer of.another.proxy"} { // by a proxy in front
		asha.with("Authorization", header).must(200, "GET", "/api/me", nil)
	}
}

func TestTokens_RevokingEndsTheEventStream(t *testing.T) {
	s := newSite(t)
	asha := s.signIn("Asha")
	made := decode[api.CreatedToken](t, asha.must(201, "POST", "/api/tokens", map[string]any{"name": "ci", "scopes": []string{"workspaces:read"}}))
	done := make(chan struct{})
	go func() {
		defer close(done)
		program := s.stranger().with("Authorization", "Bearer "+made.Secret)
		program.ServeHTTP(httptest.NewRecorder(), program.request(http.MethodGet, "/api/events", nil))
	}()
	await(t, func() bool { return s.identity.Open() == 1 })
	asha.must(204, "DELETE", "/api/tokens/"+made.ID, nil)
	await(t, func() bool { return s.identity.Open() == 0 })
	<-done
}

// await waits until something is.
func await(t *testing.T, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it never came true")
		}
	}
}
