package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/api"
	"github.com/kalpana-dev/kalpana/workspace"
)

func TestWorkspaces_TheirWholeLife(t *testing.T) {
	s := newSite(t)
	asha := s.signIn("Asha")
	if list := decode[api.Workspaces](t, asha.must(200, "GET", "/api/workspaces", nil)); list.Workspaces == nil || len(list.Workspaces) != 0 {
		t.Errorf("at first: %+v", list)
	}
	made := decode[api.Workspace](t, asha.must(201, "POST", "/api/workspaces", map[string]any{
		"name": " my project ", "template": "node", "repository": "https://github.com/kalpana-dev/kalpana",
	}))
	want := api.Workspace{
		ID: made.ID, Name: "my project", Template: "node", Repository: "https://github.com/kalpana-dev/kalpana", State: "stopped",
		URL: "http://" + made.ID + ".ws.kalpana.localhost:8080/", CreatedAt: made.CreatedAt, UpdatedAt: made.UpdatedAt,
		StateSince: &made.CreatedAt, Desired: "stopped",
	}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Error(diff)
	}
	if _, err := workspace.ParseID(made.ID); err != nil || time.Since(made.CreatedAt) > time.Minute {
		t.Errorf("%+v", made)
	}
	got := decode[api.Workspace](t, asha.must(200, "GET", "/api/workspaces/"+made.ID, nil))
	if diff := cmp.Diff(made, got); diff != "" {
		t.Errorf("read back: %s", diff)
	}

	asha.must(202, "POST", "/api/workspaces/"+made.ID+"/start", nil)
	running := asha.await(made.ID, "running")
	if running.LastActiveAt == nil || running.LastActivity == "" {
		t.Errorf("no activity: %+v", running)
	}
	asha.must(202, "POST", "/api/workspaces/"+made.ID+"/start", nil) // already
	renamed := decode[api.Workspace](t, asha.must(200, "PATCH", "/api/workspaces/"+made.ID, map[string]any{"name": "another name"}))
	if renamed.Name != "another name" || renamed.State != "running" {
		t.Errorf("renamed: %+v", renamed)
	}
	asha.must(202, "POST", "/api/workspaces/"+made.ID+"/stop", nil)
	if stopped := asha.await(made.ID, "stopped"); stopped.Reason != "stopped by Asha" {
		t.Errorf("stopped: %+v", stopped)
	}
	if w := asha.must(204, "DELETE", "/api/workspaces/"+made.ID, nil); w.Body.Len() != 0 {
		t.Errorf("body of 204: %q", w.Body)
	}
	asha.must(404, "GET", "/api/workspaces/"+made.ID, nil)
	if list := decode[api.Workspaces](t, asha.must(200, "GET", "/api/workspaces", nil)); len(list.Workspaces) != 0 {
		t.Errorf("at the end: %+v", list)
	}
}

func TestWorkspaces_AreListedOldestFirst(t *testing.T) {
	asha := newSite(t).signIn("Asha")
	var want, got []string
	for i := range 4 {
		want = append(want, asha.create(fmt.Sprint("number ", i)).Name)
	}
	for _, w := range decode[api.Workspaces](t, asha.must(200, "GET", "/api/workspaces", nil)).Workspaces {
		got = append(got, w.Name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWorkspaces_OfOtherPeopleDoNotExist(t *testing.T) {
	s := newSite(t)
	asha, ravi := s.signIn("Asha"), s.signIn("Ravi")
	hers := asha.create("hers").ID
	for _, id := range []string{hers, string(workspace.NewID())} { // one that exists, one that does not: no difference
		for _, try := range []struct {
			method, suffix string
			body           any
		}{
			{"GET", "", nil}, {"DELETE", "", nil}, {"PATCH", "", map[string]any{"name": "his"}}, {"POST", "/start", nil}, {"POST", "/stop", nil},
		} {
			p := problemOf(t, ravi.must(404, try.method, "/api/workspaces/"+id+try.suffix, try.body))
			if p.Detail != "This workspace does not exist, or no longer." {
				t.Errorf("%s %s: %s", try.method, id, p.Detail)
			}
		}
	}
	if list := decode[api.Workspaces](t, ravi.must(200, "GET", "/api/workspaces", nil)); len(list.Workspaces) != 0 {
		t.Errorf("he sees %+v", list)
	}
	if still := decode[api.Workspace](t, asha.must(200, "GET", "/api/workspaces/"+hers, nil)); still.Name != "hers" || still.State != "stopped" {
		t.Errorf("hers afterwards: %+v", still)
	}
}

func TestWorkspaces_MalformedIDsDoNotExist(t *testing.T) {
	asha := newSite(t).signIn("Asha")
	for _, id := range []string{"x", "ABCDEFGHIJ", "2bcdefghij", "abcdefghi%00", "3000-abcdefghij", "%2e%2e", "..%2f..%2fme", "abcdefghij%20", "%F0%9F%98%80", "'%20OR%201=1"} {
		asha.must(404, "GET", "/api/workspaces/"+id, nil)
		asha.must(404, "POST", "/api/workspaces/"+id+"/start", nil)
	}
	p := problemOf(t, asha.must(422, "GET", "/api/workspaces/"+strings.Repeat("x", 10_000), nil))
	if len(p.Errors) != 1 || p.Errors[0].Location != "path.id" {
		t.Errorf("%+v", p.Errors)
	}
}

func TestCreate_TheSixthIsRefusedClearly(t *testing.T) {
	s := newSite(t)
	asha := s.signIn("Asha")
	var last api.Workspace
	for i := range 5 {
		last = asha.create(fmt.Sprint("number ", i))
	}
	p := problemOf(t, asha.must(403, "POST", "/api/workspaces", map[string]any{"name": "one more", "template": "blank"}))
	if !strings.Contains(p.Detail, "as many workspaces as you may have") || !strings.Contains(p.Detail, "Delete one") {
		t.Errorf("detail %q", p.Detail)
	}
	s.signIn("Ravi").create("his first") // hers do not count
	asha.must(204, "DELETE", "/api/workspaces/"+last.ID, nil)
	asha.create("in its place")
}

func TestCreate_NamesTheFieldThatIsWrong(t *testing.T) {
	asha := newSite(t).signIn("Asha")
	type body map[string]any
	for _, test := range []struct {
		name, location string
		body           body
	}{
		{"a name of 10,000 characters", "body.name", body{"name": strings.Repeat("x", 10_000), "template": "blank"}},
		{"a name of 65 characters", "body.name", body{"name": strings.Repeat("x", 65), "template": "blank"}},
		{"an empty name", "body.name", body{"name": "", "template": "blank"}},
		{"a name of spaces", "body.name", body{"name": "   ", "template": "blank"}},
		{"a name with a control character", "body.name", body{"name": "a\x00b", "template": "blank"}},
		{"a name that is a number", "body.name", body{"name": 7, "template": "blank"}},
		{"a name that is null", "body.name", body{"name": nil, "template": "blank"}},
		{"no name", "body", body{"template": "blank"}},
		{"no template", "body", body{"name": "x"}},
		{"an unknown template", "body.template", body{"name": "x", "template": "cobol"}},
		{"an empty template", "body.template", body{"name": "x", "template": ""}},
		{"a path for a template", "body.template", body{"name": "x", "template": "../../etc/passwd"}},
		{"a template of 10,000 characters", "body.template", body{"name": "x", "template": strings.Repeat("x", 10_000)}},
		{"a repository with a password", "body.repository", body{"name": "x", "template": "blank", "repository": "https://u:p@example.com/x"}},
		{"a repository by ssh", "body.repository", body{"name": "x", "template": "blank", "repository": "git@github.com:a/b"}},
		{"a file for a repository", "body.repository", body{"name": "x", "template": "blank", "repository": "file:///etc/passwd"}},
		{"a command for a repository", "body.repository", body{"name": "x", "template": "blank", "repository": "ext::sh -c id"}},
		{"a repository of 10,000 characters", "body.repository", body{"name": "x", "template": "blank", "repository": "https://example.com/" + strings.Repeat("x", 10_000)}},
		{"an unknown field", "body.owner", body{"name": "x", "template": "blank", "owner": "somebody"}},
		{"a field in another case", "body.Name", body{"name": "x", "Name": "y", "template": "blank"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := problemOf(t, asha.must(422, "POST", "/api/workspaces", test.body))
			if len(p.Errors) != 1 || p.Errors[0].Location != test.location || p.Errors[0].Message == "" {
				t.Errorf("errors %+v, want one at %s", p.Errors, test.location)
			}
		})
	}
	id := asha.create("x").ID
	for name, given := range map[string]any{"long": strings.Repeat("x", 10_000), "65": strings.Repeat("x", 65), "empty": "", "number": 7} {
		p := problemOf(t, asha.must(422, "PATCH", "/api/workspaces/"+id, body{"name": given}))
		if len(p.Errors) != 1 || p.Errors[0].Location != "body.name" {
			t.Errorf("rename, %s: %+v", name, p.Errors)
		}
	}
	asha.must(422, "PATCH", "/api/workspaces/"+id, body{"name": "y", "state": "running"})
	if list := decode[api.Workspaces](t, asha.must(200, "GET", "/api/workspaces", nil)); len(list.Workspaces) != 1 || list.Workspaces[0].Name != "x" {
		t.Errorf("afterwards: %+v", list)
	}
}

func TestStart_FaultsSayWhatToDo(t *testing.T) {
	for _, test := range []struct {
		fault  error
		status int
		says   string
	}{
		{workspace.ErrEngineDown, 503, "Ask the operator"},
		{workspace.ErrImageMissing, 503, "make image"},
		{workspace.ErrFirewall, 503, "kalpana firewall"},
		{workspace.ErrPortsExhausted, 503, "range of ports"},
		{workspace.ErrStorageFull, 507, "free some space"},
		{workspace.ErrStoreDown, 503, "The server's log tells why"},
		{fmt.Errorf("secret /var/lib/kalpana"), 500, "The server's log tells what"},
	} {
		inBubble(t, func(t *testing.T, s *online) { // however slow the machine is, it fails within the moment that it is given
			asha := s.signIn("Asha")
			id := asha.create("x").ID
			s.engine.fail(test.fault)
			p := problemOf(t, asha.must(test.status, "POST", "/api/workspaces/"+id+"/start", nil))
			if !strings.Contains(p.Detail, test.says) || strings.Contains(p.Detail, "/var/lib") {
				t.Errorf("%v: %q", test.fault, p.Detail)
			}
			if got := asha.await(id, "error"); got.Reason == "" {
				t.Errorf("%v: no reason in %+v", test.fault, got)
			}
			s.engine.fail(nil)
			asha.must(202, "POST", "/api/workspaces/"+id+"/start", nil)
			asha.await(id, "running")
		})
	}
}

func TestTemplates_AreListed(t *testing.T) {
	asha := newSite(t).signIn("Asha")
	got := decode[api.Templates](t, asha.must(200, "GET", "/api/templates", nil))
	want := []api.Template{{Name: "blank", Title: "Blank", Ports: []int{}}, {Name: "node", Title: "Node", Ports: []int{3000}}}
	if diff := cmp.Diff(want, got.Templates); diff != "" {
		t.Error(diff)
	}
}

func TestDelete_EndsGrantsAndLeavesNoContainer(t *testing.T) {
	s := newSite(t)
	asha := s.signIn("Asha")
	id := asha.create("x").ID
	asha.must(202, "POST", "/api/workspaces/"+id+"/start", nil)
	asha.await(id, "running")
	host, err := s.hosts.ParseLabel(id)
	if err != nil {
		t.Fatal(err)
	}
	grant := asha.grant(host)
	asha.must(204, "DELETE", "/api/workspaces/"+id, nil)
	r := asha.request(http.MethodGet, "/", nil)
	r.Header.Set("Cookie", grant)
	if _, err := s.identity.CheckGrant(r, host); err == nil {
		t.Error("the grant outlives the workspace")
	}
	if list, _ := s.engine.Containers(t.Context()); len(list) != 0 {
		t.Errorf("left: %+v", list)
	}
	asha.must(404, "DELETE", "/api/workspaces/"+id, nil)
}
