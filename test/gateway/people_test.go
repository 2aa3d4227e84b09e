package gateway

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// invitations uses invitations as they must not be used.
func invitations(t *testing.T, s *site) {
	b := s.browser(admin)
	if code, body := s.browser(member).api(t, "POST", "/api/invitations", map[string]string{"role": "member"}, nil); code != http.StatusForbidden {
		t.Errorf("a member invites: %d %s", code, body)
	}
	invitation := b.invite(t)
	_, secret, _ := strings.Cut(invitation, "#")
	if len(secret) != 43 || !strings.HasPrefix(invitation, s.console+"/invite#") {
		t.Fatalf("an invitation: %s", invitation)
	}
	if code, body := b.api(t, "GET", "/api/invitations", nil, nil); code != http.StatusOK || strings.Contains(body, secret) {
		t.Errorf("the list tells the secret: %d %s", code, body)
	}
	for what, forged := range map[string]string{
		"a guess": strings.Repeat("A", 43), "cut": secret[:42], "another case": flip(secret), "empty": "", "a sign-in link": strings.SplitN(s.link(t, member), "#", 2)[1],
	} {
		if code, body := s.stranger().accept(t, "#"+forged, "evil"); code < 400 || code >= 500 {
			t.Errorf("%s: %d %s", what, code, body)
		}
	}
	if code, body := s.stranger().follow(t, invitation); code != http.StatusUnauthorized {
		t.Errorf("an invitation as a sign-in link: %d %s", code, body)
	}
	var mu sync.Mutex
	statuses := map[int]int{}
	var takers sync.WaitGroup
	for range 10 {
		takers.Go(func() {
			code, _ := s.stranger().accept(t, invitation, "guest")
			mu.Lock()
			defer mu.Unlock()
			statuses[code]++
		})
	}
	takers.Wait()
	if statuses[http.StatusNoContent] != 1 {
		t.Errorf("ten takers of one invitation got %v", statuses)
	}

	var made struct{ ID, URL string }
	b.api(t, "POST", "/api/invitations", map[string]string{"role": "admin"}, &made)
	if code, body := b.api(t, "DELETE", "/api/invitations/"+made.ID, nil, nil); code != http.StatusNoContent {
		t.Fatalf("withdrawing: %d %s", code, body)
	}
	if code, body := s.stranger().accept(t, made.URL, "late"); code < 400 || code >= 500 {
		t.Errorf("one that was withdrawn: %d %s", code, body)
	}
}

// disabled turns off a person's access while they are at work.
func disabled(t *testing.T, s *site) {
	b := s.browser(admin)
	guest := s.stranger()
	if code, body := guest.accept(t, b.invite(t), "guest"); code != http.StatusNoContent {
		t.Fatalf("accepting an invitation: %d %s", code, body)
	}
	who := guest.me(t)
	s.mu.Lock()
	s.people["guest"] = who
	s.mu.Unlock()
	id := guest.wake(t, "the guest's")
	grant := guest.grant(t, id)
	_, token := guest.token(t, "workspaces:open", "workspaces:read")
	conn, err := guest.socket(t, s.at(id)+"/", s.at(id))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	byToken := s.socketByToken(t, id, token)
	link := s.link(t, "guest")
	h := guest.begin(t, preview(3000, id), "/")
	for _, change := range []map[string]any{{"role": "admin"}, {"disabled": false}} {
		if code, body := guest.api(t, "PATCH", "/api/people/"+who, change, nil); code != http.StatusForbidden {
			t.Errorf("a member makes themself %v: %d %s", change, code, body)
		}
	}

	start := time.Now()
	if code, body := b.api(t, "PATCH", "/api/people/"+who, map[string]any{"disabled": true}, nil); code != http.StatusOK {
		t.Fatalf("disabling: %d %s", code, body)
	}
	for i, c := range []interface {
		SetReadDeadline(time.Time) error
		ReadMessage() (int, []byte, error)
	}{conn, byToken} {
		_ = c.SetReadDeadline(time.Now().Add(patience))
		if _, _, err := c.ReadMessage(); err == nil || time.Since(start) > endTime {
			t.Errorf("WebSocket %d, %s later: %v", i, time.Since(start), err)
		}
	}
	gone := func(when string) {
		t.Helper()
		if a := s.send(t, "GET", s.at(id)+"/", "Cookie: "+grant); a.status != http.StatusUnauthorized {
			t.Errorf("%s, the grant: %v", when, a)
		}
		if a := s.send(t, "GET", s.console+"/api/me", guest.cookies(s.console+"/")); a.status != http.StatusUnauthorized {
			t.Errorf("%s, the session: %v", when, a)
		}
	}
	gone("disabled")
	refused(t, "a code from before", s.complete(t, h.label, h.code, h.nonce))
	for _, address := range []string{s.at(id) + "/", s.console + "/api/me"} {
		if a := s.send(t, "GET", address, "Authorization: Bearer "+token); a.status != http.StatusUnauthorized {
			t.Errorf("the token at %s: %v", address, a)
		}
	}
	if code, body := s.stranger().follow(t, link); code < 400 || code >= 500 {
		t.Errorf("a sign-in link from before: %d %s", code, body)
	}
	if code, body := b.api(t, "POST", "/api/people/"+who+"/sign-in-link", nil, nil); code < 400 || code >= 500 {
		t.Errorf("a sign-in link: %d %s", code, body)
	}

	if code, body := b.api(t, "PATCH", "/api/people/"+who, map[string]any{"disabled": false}, nil); code != http.StatusOK {
		t.Fatalf("enabling: %d %s", code, body)
	}
	gone("enabled again")
	var back *browser
	eventually(t, "the guest signs in again", func() bool { // what was revoked a moment ago ends new sessions, too
		back = s.signIn(t, "guest")
		code, _ := back.api(t, "GET", "/api/me", nil, nil)
		return code == http.StatusOK
	})
	if a := back.open(t, s.at(id)+"/"); a.app() != id {
		t.Errorf("the workspace, signed in again: %v", a)
	}
	back.delete(t, id)
}
