package gateway_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/workspace"
)

func TestHost_WhatIsNoWorkspaceHostIsNotFound(t *testing.T) {
	w := newWorld(t)
	for _, host := range []string{
		"kalpana.localhost:8080", "localhost", "example.com", "127.0.0.1", "ws.kalpana.localhost", "short.ws.kalpana.localhost",
		"2bcdefghij.ws.kalpana.localhost", "x.abcdefghij.ws.kalpana.localhost", "abcdefghij.ws.kalpana.localhost.", "abcdefghij.ws.kalpana.localhost.evil.com",
		"80-abcdefghij.ws.kalpana.localhost", "8080-abcdefghij.ws.kalpana.localhost", "3001-abcdefghij.ws.kalpana.localhost",
		"70000-abcdefghij.ws.kalpana.localhost", "0-abcdefghij.ws.kalpana.localhost",
	} {
		r := w.navigation(w.hosts.URL("abcdefghij"), "")
		r.Host = strings.ReplaceAll(host, "ws.kalpana.localhost", workspaces)
		if a := w.do(r); a.StatusCode != http.StatusNotFound || !strings.Contains(a.text, "No workspace has this address") || strings.Contains(a.text, "<id>") {
			t.Errorf("%s: %d %s", host, a.StatusCode, a.text)
		}
		r = w.program("GET", w.hosts.URL("abcdefghij"), "")
		r.Host = strings.ReplaceAll(host, "ws.kalpana.localhost", workspaces)
		w.wantProblem(w.do(r), http.StatusNotFound)
	}
}

func TestGrant_WithoutOneANavigationGoesToTheConsole(t *testing.T) {
	w := newWorld(t)
	id := w.running()
	for _, host := range []workspace.Host{ide(id), preview(id, 3000)} {
		a := w.do(w.navigation(w.hosts.Origin(host)+"/folder?file=a#b", ""))
		target, err := url.Parse(a.Header.Get("Location"))
		w.must(err)
		if a.StatusCode != http.StatusSeeOther || target.Scheme+"://"+target.Host != console || target.Path != identity.HandoffPath {
			t.Fatalf("%d to %s", a.StatusCode, target)
		}
		if q := target.Query(); q.Get("host") != host.Label() || len(q.Get("challenge")) != 64 || len(q) != 2 {
			t.Errorf("query %v", q)
		}
		if a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("headers %v", a.Header)
		}
		cookie := a.Header.Get("Set-Cookie")
		for _, part := range []string{identity.NonceCookie + "=", "; Path=/", "; HttpOnly", "; Secure", "; SameSite=Lax"} {
			if !strings.Contains(cookie, part) {
				t.Errorf("cookie %q lacks %q", cookie, part)
			}
		}
		if strings.Contains(cookie, "Domain") {
			t.Errorf("cookie %q is not for this host alone", cookie)
		}
	}
	if n := len(w.runtime.Requests()); n != 0 {
		t.Errorf("%d requests reached a container", n)
	}
}

func TestGrant_WithoutOneNothingElseGetsIn(t *testing.T) {
	w := newWorld(t)
	id := w.running()
	origin := w.hosts.Origin(ide(id))
	for name, r := range map[string]*http.Request{
		"program":            w.program("GET", origin+"/", ""),
		"program that posts": w.program("POST", origin+"/", ""),
		"subresource":        w.subresource(origin+"/", ""),
		"prefetch":           w.navigation(origin+"/", "", "Sec-Purpose", "prefetch"),
		"posted form":        w.program("POST", origin+"/", "", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"),
		"WebSocket":          w.program("GET", origin+"/echo", "", "Upgrade", "websocket", "Connection", "Upgrade", "Origin", origin),
		"preflight":          w.program("OPTIONS", origin+"/", "", "Origin", origin, "Access-Control-Request-Method", "GET"),
		"wake":               w.program("POST", origin+"/.kalpana/wake", "", "Origin", console),
		"progress":           w.program("GET", origin+"/.kalpana/progress", ""),
		"ready":              w.program("GET", origin+"/.kalpana/ready", ""),
		"user agent":         w.program("GET", origin+"/", "", "User-Agent", "kube-probe/1.0", "X-Forwarded-Uri", "/public"),
		"token of ours":      w.program("GET", origin+"/", "", "X-Kalpana-Token", "guess", "Authorization", "Bearer guess"),
		"session":            w.program("GET", origin+"/", identity.SessionCookie+"=x"),
		"made-up grant":      w.program("GET", origin+"/", identity.GrantCookie+"=1.a.b."+string(id)+".zzzzzzzz.zzzzzzzzz.AAAA"),
	} {
		a := w.do(r)
		if w.wantProblem(a, http.StatusUnauthorized); t.Failed() {
			t.Fatal(name)
		}
	}
	if n := len(w.runtime.Requests()); n != 0 {
		t.Errorf("%d requests reached a container", n)
	}
}

func TestGrant_AHostThatExistsLooksLikeOneThatDoesNot(t *testing.T) {
	w := newWorld(t)
	type looks struct {
		status        int
		headers, text string
	}
	look := func(id workspace.ID, make func(string) *http.Request) looks {
		a := w.do(make(w.hosts.Origin(ide(id))))
		var headers strings.Builder
		for _, name := range []string{"Content-Type", "Cache-Control", "Referrer-Policy", "Retry-After", "Content-Length"} {
			headers.WriteString(name + "=" + a.Header.Get(name) + "\n")
		}
		location, _, _ := strings.Cut(a.Header.Get("Location"), "challenge=")
		headers.WriteString(strings.ReplaceAll(location, string(id), "ID"))
		return looks{a.StatusCode, headers.String(), strings.ReplaceAll(a.text, string(id), "ID")}
	}
	running, stopped, none := w.running(), w.create(), workspace.NewID()
	for name, kind := range map[string]func(string) *http.Request{
		"navigation": func(o string) *http.Request { return w.navigation(o+"/", "") },
		"program":    func(o string) *http.Request { return w.program("GET", o+"/", "") },
		"callback": func(o string) *http.Request {
			return w.navigation(o+identity.CallbackPath+"?code="+identity.NewSecret(), "")
		},
		"wake": func(o string) *http.Request { return w.program("POST", o+"/.kalpana/wake", "") },
	} {
		want := look(none, kind)
		for _, id := range []workspace.ID{running, stopped} {
			if got := look(id, kind); got != want {
				t.Errorf("%s: %+v\nnone: %+v", name, got, want)
			}
		}
	}
}

func TestHandoff_OpensTheHostAndThePathThatWasWanted(t *testing.T) {
	w := newWorld(t)
	id := w.running()
	host := ide(id)
	nonce, challenge := w.beginHandoff(host, "/folder/?file=a%20b;c&x=1")
	target, err := w.identity.ApproveHandoff(t.Context(), w.caller, host, challenge)
	w.must(err)
	a := w.do(w.navigation(target, nonce))
	if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/folder/?file=a%20b;c&x=1" || a.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v", a.StatusCode, a.Header)
	}
	if cookie := cookieOf(a, identity.NonceCookie); cookie != identity.NonceCookie+"=" {
		t.Errorf("the nonce is not cleared: %q", cookie)
	}
	grant := cookieOf(a, identity.GrantCookie)
	if a = w.do(w.navigation(w.hosts.Origin(host)+"/", grant)); a.StatusCode != http.StatusOK || a.text != "hello" {
		t.Fatalf("%d %s", a.StatusCode, a.text)
	}
	for name, other := range map[string]workspace.Host{
		"another workspace": ide(w.create()), "a preview": preview(id, 3000), "nobody's": ide(workspace.NewID()),
	} {
		if a := w.do(w.program("GET", w.hosts.Origin(other)+"/", grant)); a.StatusCode != http.StatusUnauthorized {
			t.Errorf("the grant opens %s: %d", name, a.StatusCode)
		}
	}
}

func TestHandoff_ACodeWorksOnceInTimeHereAndWithItsNonce(t *testing.T) {
	w := newWorld(t)
	id, other := w.running(), w.running()
	host := ide(id)
	origin := w.hosts.Origin(host)
	refused := func(name string, r *http.Request) {
		t.Helper()
		a := w.do(r)
		w.wantPage(a, http.StatusBadRequest, "That link is used up")
		if cookieOf(a, identity.GrantCookie) != "" {
			t.Errorf("%s: a grant was given", name)
		}
	}
	approve := func(host workspace.Host, challenge string) string {
		t.Helper()
		target, err := w.identity.ApproveHandoff(t.Context(), w.caller, host, challenge)
		w.must(err)
		return target
	}
	nonce, challenge := w.beginHandoff(host, "/")
	target := approve(host, challenge)
	refused("without its nonce", w.navigation(target, ""))
	refused("after it was tried without its nonce by the same code", w.navigation(origin+identity.CallbackPath, nonce))

	_, challenge = w.beginHandoff(host, "/")
	otherNonce, otherChallenge := w.beginHandoff(host, "/")
	refused("with another browser's nonce", w.navigation(approve(host, challenge), otherNonce))
	target = approve(host, otherChallenge)
	if a := w.do(w.navigation(target, otherNonce)); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("%d", a.StatusCode)
	}
	refused("twice", w.navigation(target, otherNonce))

	nonce, challenge = w.beginHandoff(host, "/")
	elsewhere := strings.Replace(approve(host, challenge), string(id), string(other), 1)
	refused("on another host", w.navigation(elsewhere, nonce))
	_, challenge = w.beginHandoff(ide(other), "/")
	code := strings.TrimPrefix(approve(ide(other), challenge), w.hosts.Origin(ide(other)))
	refused("of another host", w.navigation(origin+code, nonce))

	nonce, challenge = w.beginHandoff(host, "/")
	target = approve(host, challenge)
	w.later(identity.HandoffLife + time.Second)
	refused("late", w.navigation(target, nonce))

	w.wantProblem(w.do(w.program("GET", target, nonce)), http.StatusBadRequest)
	w.wantProblem(w.do(w.subresource(target, nonce)), http.StatusBadRequest)
	w.wantProblem(w.do(w.program("POST", target, nonce)), http.StatusBadRequest)
}

func TestHandoff_TheSlowerOfTwoTabsGetsInToo(t *testing.T) {
	w := newWorld(t)
	host := ide(w.running())
	nonce, challenge := w.beginHandoff(host, "/")
	target, err := w.identity.ApproveHandoff(t.Context(), w.caller, host, challenge)
	w.must(err)
	grant := w.grant(host)
	a := w.do(w.navigation(target, grant)) // the other tab's nonce is gone
	if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/" {
		t.Errorf("%d to %q", a.StatusCode, a.Header.Get("Location"))
	}
	_ = nonce
}

// The corpus of CVE-2026-33709: what a browser might take for another site.
func TestHandoff_ThePathNeverLeavesTheHost(t *testing.T) {
	w := newWorld(t)
	host := ide(w.running())
	for _, path := range []string{
		"//evil.com", "//evil.com/a", "///evil.com", "/\\evil.com", "/%5cevil.com", "/\t/evil.com", "/.kalpana/handoff?code=x",
		"//evil.com/%2e%2e", "/" + strings.Repeat("a", 5000),
	} {
		r := w.navigation(w.hosts.Origin(host)+"/", "")
		r.URL.Opaque = path
		if strings.HasPrefix(path, "//") {
			r.URL.Opaque = ""
			r.URL.Path = path
		}
		resp, err := w.client.Do(r)
		if err != nil {
			continue // it cannot even be sent
		}
		_ = resp.Body.Close()
		a := &answer{Response: resp}
		if resp.StatusCode != http.StatusSeeOther {
			continue
		}
		target, err := url.Parse(resp.Header.Get("Location"))
		w.must(err)
		back, err := w.identity.ApproveHandoff(t.Context(), w.caller, host, target.Query().Get("challenge"))
		w.must(err)
		a = w.do(w.navigation(back, cookieOf(a, identity.NonceCookie)))
		location := a.Header.Get("Location")
		if u, err := url.Parse(location); err != nil || u.Host != "" || !strings.HasPrefix(location, "/") || strings.HasPrefix(location, "//") || strings.Contains(location, "\\") {
			t.Errorf("%q leads to %q", path, location)
		}
	}
}

func TestGrant_EndsWithSignOutDeleteAndTime(t *testing.T) {
	w := newWorld(t)
	id, second := w.running(), w.running()
	origin := w.hosts.Origin(ide(id))
	check := func(name, url, grant string, want int) {
		t.Helper()
		if a := w.do(w.program("GET", url+"/", grant)); a.StatusCode != want {
			t.Errorf("%s: %d, want %d", name, a.StatusCode, want)
		}
	}
	grant, other := w.grant(ide(id)), w.grant(ide(second))
	check("before", origin, grant, http.StatusOK)
	w.must(w.identity.Revoke(t.Context(), identity.Revocation{Workspace: id}))
	check("after its workspace was deleted", origin, grant, http.StatusUnauthorized)
	check("of another workspace", w.hosts.Origin(ide(second)), other, http.StatusOK)
	_, err := w.identity.SignOut(t.Context(), w.caller.Session)
	w.must(err)
	check("after sign-out", w.hosts.Origin(ide(second)), other, http.StatusUnauthorized)

	w.caller = w.signInAgain(w.person)
	grant = w.grant(ide(second))
	w.later(4 * time.Minute)
	check("while the store is silent", w.hosts.Origin(ide(second)), grant, http.StatusOK)
	w.later(2 * time.Minute)
	a := w.do(w.program("GET", w.hosts.Origin(ide(second))+"/", grant))
	w.wantProblem(a, http.StatusServiceUnavailable)
	w.wantPage(w.do(w.navigation(w.hosts.Origin(ide(second))+"//evil.com/x", grant)), http.StatusServiceUnavailable, "Access cannot be checked")
	w.must(w.identity.Load(t.Context()))
	check("once it answers again", w.hosts.Origin(ide(second)), grant, http.StatusOK)
	w.later(identity.SessionMax)
	w.must(w.identity.Load(t.Context()))
	check("after its time", w.hosts.Origin(ide(second)), grant, http.StatusUnauthorized)
}

func TestGrant_ThatEndsWhileARequestIsHeldIsSaid(t *testing.T) {
	w := newWorld(t)
	id := w.create()
	grant := w.grant(ide(id))
	up := make(chan struct{})
	defer close(up)
	w.boots(runtimetest.Boot{Until: up})
	go func() {
		for w.runtime.Calls(runtimetest.Start) == 0 && t.Context().Err() == nil {
			time.Sleep(time.Millisecond)
		}
		if err := w.identity.Revoke(t.Context(), identity.Revocation{Workspace: id}); err != nil {
			t.Error(err)
		}
	}()
	a := w.do(w.program("GET", w.hosts.URL(id), grant))
	w.wantProblem(a, http.StatusServiceUnavailable)
	if !strings.Contains(a.text, "lost access to this workspace") {
		t.Errorf("%s", a.text)
	}
}

func TestGrant_IsRenewedByTheWay(t *testing.T) {
	w := newWorld(t)
	host := ide(w.running())
	grant := w.grant(host)
	if a := w.do(w.program("GET", w.hosts.Origin(host)+"/", grant)); len(a.Cookies()) != 0 {
		t.Error("a fresh grant was renewed")
	}
	w.later(2 * time.Hour)
	w.must(w.identity.Load(t.Context()))
	a := w.do(w.program("GET", w.hosts.Origin(host)+"/", grant))
	renewed := cookieOf(a, identity.GrantCookie)
	if renewed == "" || renewed == grant || len(a.Cookies()) != 1 {
		t.Errorf("cookies %v", a.Cookies())
	}
	if a := w.do(w.program("GET", w.hosts.Origin(host)+"/", renewed)); a.StatusCode != http.StatusOK {
		t.Errorf("the renewed grant: %d", a.StatusCode)
	}
}

func TestPage_NeverLinksToAnotherSite(t *testing.T) {
	w := newWorld(t)
	host := ide(w.running())
	grant := w.grant(host)
	w.later(10 * time.Minute) // access cannot be checked
	r := w.navigation(w.hosts.Origin(host)+"//evil.com/x", grant)
	resp, err := w.client.Do(r.WithContext(context.WithoutCancel(t.Context())))
	w.must(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	w.must(err)
	if strings.Contains(string(text), "evil.com") {
		t.Errorf("page %s", text)
	}
}

// The console lets nothing frame it, and what it frames does not replace it.
func TestPage_InAFrameLeadsNobodyToTheConsole(t *testing.T) {
	w := newWorld(t)
	id := w.running()
	_, member := w.signIn("ravi")
	grant := w.grantAs(member, ide(id)) // who may not open it
	for dest, want := range map[string]int{asWindow: 2, asFrame: 0} {
		a := w.open(dest, w.hosts.URL(id), grant)
		if w.wantPage(a, http.StatusNotFound, "No such workspace"); strings.Count(a.text, `href="`+console+`"`) != want {
			t.Errorf("in a %s: %s", dest, a.text)
		}
	}
}
