package api_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/api"
	"github.com/kalpana-dev/kalpana/identity"
)

// audit returns what admins read, oldest first.
func (b *browser) audit(query string) []api.AuditEvent {
	b.t.Helper()
	page := decode[api.AuditEvents](b.t, b.must(200, "GET", "/api/audit"+query, nil))
	slices.Reverse(page.Events)
	return page.Events
}

func TestAudit_HasWhatPeopleDoWithWorkspaces(t *testing.T) {
	s := newSite(t)
	admin, asha, ravi := s.admin(), s.signIn("Asha"), s.signIn("Ravi")
	program := asha.program(identity.ScopeWrite)
	id := asha.create("mine").ID
	target := "/api/workspaces/" + id
	asha.must(200, "PATCH", target, map[string]any{"name": "yours\\truly"})
	asha.must(202, "POST", target+"/start", nil)
	asha.await(id, "running")
	program.must(202, "POST", target+"/stop", nil)
	ravi.must(404, "GET", target, nil)
	ravi.must(404, "GET", "/api/workspaces/abcdefghij", nil) // of nobody: no refusal
	if w := ravi.handoff("GET", handoffPath(id, identity.Hash("x"))); w.Code != 404 {
		t.Errorf("his hand-off: %d", w.Code)
	}
	program.must(403, "POST", "/api/logout", nil)
	asha.must(204, "DELETE", target, nil)

	type event struct{ Action, Outcome, Person, Via, Workspace, Detail string }
	var got []event
	hers, his, token := asha.caller().Person.ID, ravi.caller().Person.ID, ""
	for _, e := range admin.audit("?limit=500") {
		if e.Address != "192.0.2.1" && e.Action != "sign-in" && e.Action != "token-create" {
			t.Errorf("%s is from %q", e.Action, e.Address)
		}
		switch e.Action {
		case "sign-in", "token-create":
			continue
		case "token-use":
			token = e.Via
		}
		got = append(got, event{e.Action, e.Outcome, e.Person, e.Via, e.Workspace, e.Detail})
	}
	want := []event{
		{"create", "ok", hers, "session", id, "mine"},
		{"rename", "ok", hers, "session", id, `yours\\truly`},
		{"start", "ok", hers, "session", id, `yours\\truly`},
		{"token-use", "ok", hers, token, "", ""},
		{"stop", "ok", hers, token, id, `yours\\truly`},
		{"refusal", "refused", his, "session", id, "the workspace belongs to somebody else"},
		{"refusal", "refused", his, "session", id, "the workspace belongs to somebody else"},
		{"refusal", "refused", hers, token, "", "logout: this is for people in a browser; no token may do it"},
		{"delete", "ok", hers, "session", id, `yours\\truly`},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for query, n := range map[string]int{
		"?workspace=" + id: 7, "?action=refusal": 3, "?person=" + his + "&action=refusal": 2, "?action=nothing": 0, "?limit=2": 2,
	} {
		if list := admin.audit(query); len(list) != n {
			t.Errorf("%s: %d events, want %d", query, len(list), n)
		}
	}
}

func TestAudit_HasWhatPeopleDoWithTheirWaysIn(t *testing.T) {
	s := newSite(t)
	admin, p := s.admin(), s.person("Asha")
	asha, other := s.as(p), s.as(p)
	s.as(p)
	for _, session := range decode[api.Sessions](t, other.must(200, "GET", "/api/sessions", nil)).Sessions {
		if session.Current {
			asha.must(204, "DELETE", "/api/sessions/"+session.ID, nil)
		}
	}
	asha.must(204, "DELETE", "/api/sessions", nil)
	asha.must(204, "PUT", "/api/git-tokens", api.NewGitToken{Server: "git.example.com", Token: "glpat-secret"})
	asha.must(204, "DELETE", "/api/git-tokens?server=https://git.example.com", nil)
	asha.must(204, "POST", "/api/logout", nil)
	var got []string
	for _, e := range admin.audit("?person=" + p.ID) {
		if e.Action != identity.ActionSignIn {
			got = append(got, e.Action+" "+e.Outcome+" "+e.Via)
		}
		if strings.Contains(e.Detail, "secret") {
			t.Errorf("%s tells a token: %s", e.Action, e.Detail)
		}
	}
	want := []string{"session-revoke ok session", "session-revoke ok session", "connect ok session", "disconnect ok session", "sign-out ok session"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAudit_PagesFollowOneAnother(t *testing.T) {
	s := newSite(t)
	admin := s.admin()
	for n := range 7 {
		s.identity.Audit(context.Background(), identity.AuditEvent{Action: "stop", Detail: fmt.Sprint(n)})
	}
	var got []string
	query := "/api/audit?action=stop&limit=3"
	for page, next := 0, ""; page < 3; page++ {
		target := query
		if next != "" {
			target += "&before=" + next
		}
		p := decode[api.AuditEvents](t, admin.must(200, "GET", target, nil))
		for _, e := range p.Events {
			got = append(got, e.Detail)
		}
		if next = p.Next; (next != "") != (page < 2) {
			t.Errorf("page %d: next %q", page, next)
		}
	}
	if diff := cmp.Diff([]string{"6", "5", "4", "3", "2", "1", "0"}, got); diff != "" {
		t.Error(diff)
	}
	for _, wrong := range []string{"limit=0", "limit=501", "limit=x", "limit=-1"} {
		admin.must(422, "GET", "/api/audit?"+wrong, nil)
	}
}
