package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/api"
	"github.com/kalpana-dev/kalpana/identity"
)

func TestMe_SaysWhoIsSignedIn(t *testing.T) {
	s := newSite(t)
	got := decode[api.Me](t, s.signIn("Asha").must(200, "GET", "/api/me", nil))
	want := api.Me{ID: got.ID, Name: "Asha", Role: "member", WorkspaceLimit: 5, RunningLimit: 3}
	if diff := cmp.Diff(want, got); diff != "" || len(got.ID) != 26 {
		t.Error(diff, got.ID)
	}
}

func TestLoginByLink_SignsInOnce(t *testing.T) {
	s := newSite(t)
	secret := s.link(s.person("Asha"))
	w := s.stranger().must(204, "POST", "/api/login/link", map[string]any{"token": secret})
	cookies := w.Result().Cookies()
	if len(cookies) != 1 || len(w.Result().Header["Set-Cookie"]) != 1 || w.Body.Len() != 0 {
		t.Fatalf("cookies %v, body %q", w.Result().Header["Set-Cookie"], w.Body)
	}
	c := cookies[0]
	if c.Name != identity.SessionCookie || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteLaxMode || c.MaxAge != 7*24*3600 {
		t.Errorf("cookie %s", c)
	}
	asha := &browser{site: s, cookie: c.Name + "=" + c.Value}
	if me := decode[api.Me](t, asha.must(200, "GET", "/api/me", nil)); me.Name != "Asha" {
		t.Errorf("%+v", me)
	}
	p := problemOf(t, s.stranger().must(401, "POST", "/api/login/link", map[string]any{"token": secret}))
	if p.Detail != "This sign-in link was used already or is too old; ask for another, or run: kalpana sign-in-link." {
		t.Errorf("the second use: %q", p.Detail)
	}
}

func TestLoginByLink_WrongTokens(t *testing.T) {
	stranger := newSite(t).stranger()
	for name, test := range map[string]struct {
		body   any
		status int
	}{
		"a guess":           {map[string]any{"token": identity.NewSecret()}, 401},
		"empty":             {map[string]any{"token": ""}, 401},
		"10,000 characters": {map[string]any{"token": strings.Repeat("x", 10_000)}, 422},
		"a number":          {map[string]any{"token": 7}, 422},
		"none":              {map[string]any{}, 422},
		"a list":            {[]string{"x"}, 422},
		"no body":           {nil, 400},
	} {
		w := stranger.must(test.status, "POST", "/api/login/link", test.body)
		if len(w.Result().Cookies()) != 0 {
			t.Errorf("%s: sets a cookie", name)
		}
	}
}

func TestLogout_EndsTheSessionAndClearsTheCookie(t *testing.T) {
	s := newSite(t)
	asha := s.signIn("Asha")
	w := asha.must(204, "POST", "/api/logout", nil)
	if c := w.Result().Cookies(); len(c) != 1 || c[0].Name != identity.SessionCookie || c[0].Value != "" || c[0].MaxAge >= 0 {
		t.Errorf("cookies %v", c)
	}
	p := problemOf(t, asha.must(401, "GET", "/api/me", nil))
	if p.Detail != "You are not signed in." {
		t.Errorf("detail %q", p.Detail)
	}
	asha.must(401, "POST", "/api/logout", nil)
}

func TestSession_WorksWhereverTheCookieStands(t *testing.T) {
	asha := newSite(t).signIn("Asha")
	for _, header := range [][]string{{"a=b; " + asha.cookie}, {asha.cookie + ";a=b"}, {"a=b", asha.cookie}} {
		r := asha.request("GET", "/api/me", nil)
		r.Header["Cookie"] = header
		if w := serve(asha, r); w.Code != 200 {
			t.Errorf("%.40q: %d", header, w.Code)
		}
	}
}

func TestProblems_DoNotTellAStrangerAboutTheServer(t *testing.T) {
	s := newSite(t)
	asha := s.signIn("Asha")
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	for _, try := range []struct{ method, path string }{
		{"GET", "/api/me"}, {"POST", "/api/login/link"}, {"GET", "/api/events"}, {"POST", "/api/logout"}, {"GET", "/api/workspaces"},
	} {
		var body any
		if strings.HasSuffix(try.path, "link") {
			body = map[string]any{"token": identity.NewSecret()}
		}
		w := asha.must(503, try.method, try.path, body)
		if text := w.Body.String(); strings.Contains(text, ".db") || strings.Contains(text, "sql") || strings.Contains(text, "/tmp") {
			t.Errorf("%s: %s", try.path, text)
		}
	}
}

func TestLinks_TurnedOffHaveNoRoute(t *testing.T) {
	s := newSite(t)
	s.Handler = api.New(api.Config{Hosts: s.hosts, Identity: s.identity, Orchestrator: s.orchestrator})
	s.stranger().must(404, "POST", "/api/login/link", map[string]any{"token": s.link(s.person("Asha"))})
}

func TestSessions_AreListedAndRevoked(t *testing.T) {
	s := newSite(t)
	person := s.person("Asha")
	var browsers []*browser
	for i, agent := range []string{"Firefox", "Chromium", "Safari"} {
		r := s.stranger().with("User-Agent", agent)
		w := r.must(204, "POST", "/api/login/link", map[string]any{"token": s.link(person)})
		c := w.Result().Cookies()[0]
		browsers = append(browsers, &browser{site: s, cookie: c.Name + "=" + c.Value, header: http.Header{}})
		if list := decode[api.Sessions](t, browsers[i].must(200, "GET", "/api/sessions", nil)); len(list.Sessions) != i+1 {
			t.Fatalf("%d sessions", len(list.Sessions))
		}
	}
	here := browsers[1]
	list := decode[api.Sessions](t, here.must(200, "GET", "/api/sessions", nil)).Sessions
	for i, agent := range []string{"Safari", "Chromium", "Firefox"} {
		v := list[i]
		_, secret, _ := strings.Cut(browsers[2-i].cookie, "=")
		if v.UserAgent != agent || v.Address != "192.0.2.1" || v.Provider != "link" || v.Current != (i == 1) || v.ID != identity.Hash(secret)[:16] ||
			v.EndsAt.Sub(v.CreatedAt) != identity.SessionMax {
			t.Errorf("session %d is %+v", i, v)
		}
	}
	s.signIn("Ravi").must(404, "DELETE", "/api/sessions/"+list[0].ID, nil)
	here.must(204, "DELETE", "/api/sessions/"+list[0].ID, nil)
	here.must(404, "DELETE", "/api/sessions/"+list[0].ID, nil)
	browsers[2].must(401, "GET", "/api/me", nil)
	here.must(204, "DELETE", "/api/sessions", nil)
	browsers[0].must(401, "GET", "/api/me", nil)
	if list := decode[api.Sessions](t, here.must(200, "GET", "/api/sessions", nil)).Sessions; len(list) != 1 || !list[0].Current {
		t.Errorf("left: %+v", list)
	}
}

func TestLoginByLink_ReplacesTheSessionThatTheBrowserHad(t *testing.T) {
	s := newSite(t)
	asha := s.signIn("Asha")
	asha.must(204, "POST", "/api/login/link", map[string]any{"token": s.link(s.person("Ravi"))})
	asha.must(401, "GET", "/api/me", nil) // with the old cookie
}

func TestLoginByLink_SaysThatAccessIsTurnedOff(t *testing.T) {
	s := newSite(t)
	person := s.person("Asha")
	person.Disabled = true
	if err := s.store.UpdatePerson(t.Context(), &person); err != nil {
		t.Fatal(err)
	}
	p := problemOf(t, s.stranger().must(403, "POST", "/api/login/link", map[string]any{"token": s.link(person)}))
	if p.Detail != "An admin has turned off your access; ask them to turn it on again." {
		t.Errorf("%q", p.Detail)
	}
}
