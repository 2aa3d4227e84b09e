package api_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

// handoff opens the console's end of the hand-off, as a document if dest is not set.
func (b *browser) handoff(method, target string) *httptest.ResponseRecorder {
	b.t.Helper()
	r := b.request(method, target, nil)
	if _, ok := r.Header["Sec-Fetch-Dest"]; !ok {
		r.Header.Set("Sec-Fetch-Dest", "document")
	}
	w := httptest.NewRecorder()
	b.Handoff(w, r, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte("the console's page"))
	}))
	if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Referrer-Policy") != "no-referrer" {
		b.t.Errorf("%s: %v", target, w.Header())
	}
	return w
}

func handoffPath(label, challenge string) string {
	return identity.HandoffPath + "?" + url.Values{"host": {label}, "challenge": {challenge}}.Encode()
}

// grant runs a whole hand-off and returns the grant as a Cookie header.
func (b *browser) grant(host workspace.Host) string {
	b.t.Helper()
	nonce, address := b.identity.BeginHandoff(host, "/")
	w := b.handoff("GET", strings.TrimPrefix(address, console))
	if w.Code != http.StatusSeeOther {
		b.t.Fatalf("hand-off: %d %s", w.Code, w.Body)
	}
	r := httptest.NewRequest(http.MethodGet, w.Header().Get("Location"), nil)
	r.Header.Set("Cookie", nonce.Name+"="+nonce.Value)
	grant, _, _, err := b.identity.CompleteHandoff(r, host)
	if err != nil {
		b.t.Fatal(err)
	}
	return grant.Name + "=" + grant.Value
}

func TestHandoff_IsNotForTokens(t *testing.T) {
	asha := newSite(t).signIn("Asha")
	id := asha.create("x").ID
	program := asha.program(identity.Scopes[:4]...)
	if w := program.handoff("GET", handoffPath(id, identity.Hash("x"))); w.Code != http.StatusForbidden {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestHandoff_OfMineGoesBackToItsHostWithACode(t *testing.T) {
	s := newSite(t)
	asha := s.signIn("Asha")
	id := asha.create("x").ID
	for _, label := range []string{id, "3000-" + id} {
		for _, dest := range []string{"document", "iframe"} {
			w := asha.with("Sec-Fetch-Dest", dest).handoff("GET", handoffPath(label, identity.Hash("nonce")))
			code, ok := strings.CutPrefix(w.Header().Get("Location"), "http://"+label+".ws.kalpana.localhost:8080/.kalpana/handoff?code=")
			if w.Code != http.StatusSeeOther || !ok || len(code) != 43 {
				t.Errorf("%s in %s: %d to %q", label, dest, w.Code, w.Header().Get("Location"))
			}
		}
		host, err := s.hosts.ParseLabel(label)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Cookie", asha.grant(host))
		if _, err := s.identity.CheckGrant(r, host); err != nil {
			t.Errorf("%s: the grant: %v", label, err)
		}
	}
}

func TestHandoff_IsForNavigationsOnly(t *testing.T) {
	s := newSite(t)
	asha := s.signIn("Asha")
	target := handoffPath(asha.create("x").ID, identity.Hash("nonce"))
	for _, dest := range []string{"", "empty", "image", "script", "style", "worker", "websocket", "frame", "embed", "object", "Document", "document, iframe"} {
		w := asha.with("Sec-Fetch-Dest", dest).handoff("GET", target)
		if w.Code != http.StatusForbidden || w.Header().Get("Location") != "" {
			t.Errorf("as %q: %d", dest, w.Code)
		}
		problemOf(t, w)
	}
	for _, method := range []string{"POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"} {
		if w := asha.handoff(method, target); w.Code != http.StatusForbidden {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
}

func TestHandoff_WhoIsNotSignedInSignsInFirst(t *testing.T) {
	s := newSite(t)
	asha := s.signIn("Asha")
	mine := asha.create("x").ID
	out := s.signIn("Ravi")
	out.must(204, "POST", "/api/logout", nil)
	for _, b := range []*browser{s.stranger(), out} {
		for _, id := range []string{mine, string(workspace.NewID())} { // whether it exists does not show
			target := handoffPath("3000-"+id, identity.Hash("nonce"))
			w := b.handoff("GET", target+"&next=//evil.com&x=y")
			u, err := url.Parse(w.Header().Get("Location"))
			if err != nil || w.Code != http.StatusSeeOther || u.Host != "" || u.Path != "/login" || len(u.Query()) != 1 {
				t.Fatalf("%d to %q, %v", w.Code, w.Header().Get("Location"), err)
			}
			next, err := url.Parse(u.Query().Get("next"))
			if err != nil || next.Path != identity.HandoffPath || next.Host != "" {
				t.Fatalf("next %q, %v", u.Query().Get("next"), err)
			}
			if got := next.Query(); len(got) != 2 || got.Get("host") != "3000-"+id || got.Get("challenge") != identity.Hash("nonce") {
				t.Errorf("next %v", got)
			}
		}
	}
}

func TestHandoff_WhatIsNotMineDoesNotExist(t *testing.T) {
	s := newSite(t)
	asha, ravi := s.signIn("Asha"), s.signIn("Ravi")
	hers, gone := asha.create("hers").ID, ravi.create("gone").ID
	ravi.must(204, "DELETE", "/api/workspaces/"+gone, nil)
	for name, label := range map[string]string{
		"hers": hers, "a preview of hers": "3000-" + hers, "one that never was": string(workspace.NewID()), "a deleted one": gone,
		"nothing": "", "the console": "kalpana", "a whole host": hers + ".ws.kalpana.localhost", "a stranger": "evil.com", "a path": hers + "/..",
		"the IDE's own port": "8080-" + hers, "the bridge's port": "3001-" + hers, "port 0": "0-" + hers, "port 70000": "70000-" + hers,
		"capitals": strings.ToUpper(hers), "10,000 characters": strings.Repeat("x", 10_000),
	} {
		w := ravi.handoff("GET", handoffPath(label, identity.Hash("nonce")))
		if w.Code != http.StatusNotFound || w.Body.String() != "the console's page" || w.Header().Get("Location") != "" {
			t.Errorf("%s: %d, %q, %q", name, w.Code, w.Body, w.Header().Get("Location"))
		}
	}
}

func TestHandoff_OfAWorkspaceThatIsBeingDeletedIsOver(t *testing.T) {
	s := newSite(t)
	asha := s.signIn("Asha")
	id := workspace.ID(asha.create("x").ID)
	w, err := s.store.Workspace(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	w.State = workspace.StateDeleting
	if err := s.store.UpdateWorkspace(context.Background(), w); err != nil {
		t.Fatal(err)
	}
	if got := asha.handoff("GET", handoffPath(string(id), identity.Hash("nonce"))); got.Code != http.StatusNotFound {
		t.Errorf("%d", got.Code)
	}
}

func TestHandoff_MalformedChallengesAreRefused(t *testing.T) {
	s := newSite(t)
	asha := s.signIn("Asha")
	id := asha.create("x").ID
	for _, challenge := range []string{"", "x", identity.Hash("")[1:], identity.Hash("") + "0", strings.Repeat("%", 10_000)} {
		for _, b := range []*browser{asha, s.stranger()} {
			w := b.handoff("GET", handoffPath(id, challenge))
			if p := problemOf(t, w); w.Code != http.StatusBadRequest || !strings.Contains(p.Detail, "Open the workspace's address again") {
				t.Errorf("%.20q: %d %s", challenge, w.Code, p.Detail)
			}
		}
	}
}

func TestHandoff_StoreFaultsAreNoAnswer(t *testing.T) {
	s := newSite(t)
	asha := s.signIn("Asha")
	id := asha.create("x").ID
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	w := asha.handoff("GET", handoffPath(id, identity.Hash("nonce")))
	if p := problemOf(t, w); w.Code != http.StatusServiceUnavailable || strings.Contains(p.Detail, ".db") {
		t.Errorf("%d %s", w.Code, p.Detail)
	}
}
