package gateway

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/identity"
	kalpana "github.com/kalpana-dev/kalpana/workspace"
)

// grantsElsewhere carries grants to where they are not good, and changes them.
func grantsElsewhere(t *testing.T, s *site) {
	b := s.browser(admin)
	labels := map[string]string{
		"mine": s.mine, "sibling": s.sibling, "port 3000 of mine": preview(3000, s.mine), "port 3001+1 of mine": preview(3002, s.mine),
		"port 3000 of sibling": preview(3000, s.sibling),
	}
	grants := map[string]string{}
	for name, label := range labels {
		grants[name] = b.grant(t, label)
	}
	theirs := s.browser(member).grant(t, s.theirs)
	mark := marker()
	for from, grant := range grants {
		for to, label := range labels {
			a := s.send(t, "GET", s.at(label)+"/"+mark+strings.ReplaceAll(from+to, " ", ""), "Cookie: "+grant)
			if want := map[bool]int{true: 200, false: 401}[from == to]; a.status != want {
				t.Errorf("the grant of %s on %s: %v", from, to, a)
			}
		}
		if a := s.send(t, "GET", s.at(s.theirs)+"/"+mark, "Cookie: "+grant); a.status != http.StatusUnauthorized {
			t.Errorf("the grant of %s on somebody else's: %v", from, a)
		}
		if a := s.send(t, "GET", s.at(unknown)+"/"+mark, "Cookie: "+grant); a.status != http.StatusUnauthorized {
			t.Errorf("the grant of %s on an unknown host: %v", from, a)
		}
		if a := s.send(t, "GET", s.console+"/api/me", "Cookie: "+grant); a.status != http.StatusUnauthorized {
			t.Errorf("the grant of %s on the console: %v", from, a)
		}
	}
	for _, label := range labels {
		for what, cookie := range map[string]string{"another person's grant": theirs, "the session": s.sessions[admin], "the session as a grant": identity.GrantCookie + "=" + valueOf(s.sessions[admin])} {
			if a := s.send(t, "GET", s.at(label)+"/"+mark, "Cookie: "+cookie); a.status != http.StatusUnauthorized {
				t.Errorf("%s on %s: %v", what, label, a)
			}
		}
	}

	// Whoever is signed in without access gets 404, whether or not there is something.
	m := s.browser(member)
	for _, label := range []string{s.mine, preview(3000, s.mine), unknown} {
		a := m.open(t, s.at(label)+"/"+mark)
		if a.status != http.StatusNotFound {
			t.Errorf("the member opens %s: %v", label, a)
		}
	}

	// A grant that was changed in any byte is none.
	name, value, _ := strings.Cut(grants["mine"], "=")
	for i := range len(value) {
		for _, c := range []byte("A.-") {
			if value[i] == c {
				continue
			}
			forged := value[:i] + string(c) + value[i+1:]
			if a := s.send(t, "GET", s.at(s.mine)+"/"+mark+"forged", "Cookie: "+name+"="+forged); a.status != http.StatusUnauthorized {
				t.Fatalf("with byte %d changed: %v", i, a)
			}
		}
	}
	for what, forged := range map[string]string{
		"cut": value[:len(value)-1], "longer": value + "A", "twice": value + value, "quoted": `"` + value + `"`, "a version more": "2" + value[1:],
		"no signature": value[:len(value)-44], "10,000 characters": strings.Repeat("1.", 5000), "other case": flip(value),
	} {
		if a := s.send(t, "GET", s.at(s.mine)+"/"+mark+"forged", "Cookie: "+name+"="+forged); a.status != http.StatusUnauthorized {
			t.Errorf("%s: %v", what, a)
		}
	}
	s.unreached(t, mark+"forged", "a forged grant")
}

// grantAfterSignOut signs out, and tries every grant that came from the session.
func grantAfterSignOut(t *testing.T, s *site) {
	stays := s.browser(admin)
	b := s.signIn(t, admin)
	labels := []string{s.mine, s.sibling, preview(3000, s.mine)}
	grants := map[string]string{}
	for _, label := range labels {
		grants[label] = b.grant(t, label)
	}
	h := b.begin(t, preview(3002, s.mine), "/") // a code that is under way
	session := b.cookies(s.console + "/")
	other := stays.grant(t, s.mine)
	if code, body := b.api(t, "POST", "/api/logout", nil, nil); code != http.StatusNoContent {
		t.Fatalf("signing out: %d %s", code, body)
	}
	for label, grant := range grants {
		if a := s.send(t, "GET", s.at(label)+"/", "Cookie: "+grant); a.status != http.StatusUnauthorized {
			t.Errorf("the grant of %s after signing out: %v", label, a)
		}
	}
	refused(t, "a code from before signing out", s.complete(t, h.label, h.code, h.nonce))
	if a := s.send(t, "GET", s.console+"/api/me", session); a.status != http.StatusUnauthorized {
		t.Errorf("the session after signing out: %v", a)
	}
	a := s.send(t, "GET", s.console+identity.HandoffPath+"?host="+s.mine+"&challenge="+strings.Repeat("0", 64), with(navigation, session)...)
	if !strings.HasPrefix(a.location(), "/login?") {
		t.Errorf("the session after signing out still hands over: %v", a)
	}
	if a := s.send(t, "GET", s.at(s.mine)+"/", "Cookie: "+other); a.status != http.StatusOK {
		t.Errorf("another session of the same person: %v", a)
	}
}

// grantAfterDelete deletes a workspace; its id comes back for nobody.
func grantAfterDelete(t *testing.T, s *site) {
	b := s.browser(admin)
	id := b.wake(t, "to be deleted")
	labels := []string{id, preview(3000, id)}
	grants := map[string]string{}
	for _, label := range labels {
		grants[label] = b.grant(t, label)
	}
	h := b.begin(t, preview(3002, id), "/")
	conn, err := b.socket(t, s.at(id)+"/", s.at(id))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	b.delete(t, id)
	for label, grant := range grants {
		a := s.send(t, "GET", s.at(label)+"/", "Cookie: "+grant)
		if a.status != http.StatusUnauthorized {
			t.Errorf("the grant of %s after the delete: %v", label, a)
		}
	}
	refused(t, "a code from before the delete", s.complete(t, h.label, h.code, h.nonce))
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if _, _, err := conn.ReadMessage(); err == nil {
		t.Error("a WebSocket outlives the workspace")
	}
	if a := s.browser(admin).open(t, s.at(id)+"/"); a.status != http.StatusNotFound {
		t.Errorf("opening it afterwards: %v", a)
	}

	t.Run("TheIdNeverBecomesSomebodyElses", func(t *testing.T) {
		if s.own == nil {
			t.Skip("needs the deployment's own store")
		}
		now := time.Now()
		again := &kalpana.Workspace{
			ID: kalpana.ID(id), Owner: s.people[member], Name: "again", Template: "blank", State: kalpana.StateStopped, CreatedAt: now, UpdatedAt: now,
		}
		if err := s.own.store.CreateWorkspace(t.Context(), again, 0); !errors.Is(err, kalpana.ErrConflict) {
			t.Errorf("the id of a deleted workspace was given again: %v", err)
		}
	})
}
