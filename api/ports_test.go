package api_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/api"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

func (b *browser) ports(id string) api.Ports {
	b.t.Helper()
	return decode[api.Ports](b.t, b.must(200, "GET", "/api/workspaces/"+id+"/ports", nil))
}

func portPath(id string, port any) string {
	return fmt.Sprintf("/api/workspaces/%s/ports/%v", id, port)
}

func TestPorts_AreSharedListedAndPrivateAgain(t *testing.T) {
	s := newSite(t)
	asha := s.signIn("Asha")
	id := asha.create("x").ID
	if diff := cmp.Diff(api.Ports{Ports: []api.Port{}, Cap: "members"}, asha.ports(id)); diff != "" {
		t.Errorf("at first: %s", diff)
	}
	shared := decode[api.Port](t, asha.must(200, "PUT", portPath(id, 5173), map[string]any{"level": "members", "cors": true}))
	want := api.Port{
		Port: 5173, URL: "http://5173-" + id + ".ws.kalpana.localhost:8080/", Level: "members", Effective: "members", CORS: true,
	}
	if diff := cmp.Diff(want, shared); diff != "" {
		t.Error(diff)
	}
	asha.must(200, "PUT", portPath(id, 3000), map[string]any{"level": "private", "cors": true})
	list := asha.ports(id)
	if len(list.Ports) != 2 || list.Ports[0].Port != 3000 || list.Ports[1] != want {
		t.Errorf("%+v", list)
	}
	for range 2 { // once more is no error
		asha.must(204, "DELETE", portPath(id, 5173), nil)
	}
	asha.must(200, "PUT", portPath(id, 3000), map[string]any{"level": "private"})
	if list := asha.ports(id); len(list.Ports) != 0 {
		t.Errorf("at the end: %+v", list)
	}
}

func TestPorts_OfOtherPeopleDoNotExist(t *testing.T) {
	s := newSite(t)
	asha, ravi := s.signIn("Asha"), s.signIn("Ravi")
	hers := asha.create("hers").ID
	asha.must(200, "PUT", portPath(hers, 5000), map[string]any{"level": "members"})
	for _, id := range []string{hers, string(workspace.NewID())} {
		for _, port := range []int{5000, 5001, 22} {
			ravi.must(404, "PUT", portPath(id, port), map[string]any{"level": "members"})
			ravi.must(404, "DELETE", portPath(id, port), nil)
		}
		ravi.must(404, "GET", "/api/workspaces/"+id+"/ports", nil)
	}
	s.stranger().must(401, "PUT", portPath(hers, 5000), map[string]any{"level": "private"})
	if list := asha.ports(hers); len(list.Ports) != 1 || list.Ports[0].Level != "members" {
		t.Errorf("%+v", list)
	}
}

func TestPorts_TellWhatIsWrong(t *testing.T) {
	asha := newSite(t).signIn("Asha")
	id := asha.create("x").ID
	for _, port := range []any{0, 22, 1023, 3001, 8080, 65536, -3000, "x", "3000.5", "99999999999999999999"} {
		p := problemOf(t, asha.must(422, "PUT", portPath(id, port), map[string]any{"level": "members"}))
		if len(p.Errors) == 0 || p.Errors[0].Location != "path.port" {
			t.Errorf("%v: %+v", port, p)
		}
		asha.must(422, "DELETE", portPath(id, port), nil)
	}
	for name, body := range map[string]any{
		"no level": map[string]any{}, "unknown level": map[string]any{"level": "everybody"}, "capitals": map[string]any{"level": "Members"},
		"unknown field": map[string]any{"level": "members", "port": 22}, "no object": "[]",
	} {
		if w := asha.do("PUT", portPath(id, 5000), body); w.Code != 422 {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
	p := problemOf(t, asha.must(403, "PUT", portPath(id, 5000), map[string]any{"level": "public"}))
	if !strings.Contains(p.Detail, "more widely than: members") {
		t.Errorf("%q", p.Detail)
	}
	if w := asha.do("POST", portPath(id, 5000), nil); w.Code != 405 || w.Header().Get("Allow") != "PUT, DELETE" {
		t.Errorf("POST: %d, %q", w.Code, w.Header().Get("Allow"))
	}
	if list := asha.ports(id); len(list.Ports) != 0 {
		t.Errorf("%+v", list)
	}
}

func TestPorts_WhatIsOverTheOperatorsLimitIsShownAsItIs(t *testing.T) {
	s := newSite(t)
	asha := s.signIn("Asha")
	id := asha.create("x").ID
	s.shareBefore(id, workspace.Share{Port: 5000, Level: workspace.SharePublic, Wakes: true})
	list := asha.ports(id)
	if len(list.Ports) != 1 || list.Ports[0].Level != "public" || list.Ports[0].Effective != "members" || list.Cap != "members" {
		t.Errorf("%+v", list)
	}
}

// shareBefore shares a port behind the API's back, as it was before the operator lowered the limit.
func (s *site) shareBefore(id string, share workspace.Share) {
	s.t.Helper()
	w, err := s.store.Workspace(context.Background(), workspace.ID(id))
	if err != nil {
		s.t.Fatal(err)
	}
	w.Shares = []workspace.Share{share}
	if err := s.store.UpdateWorkspace(context.Background(), w); err != nil {
		s.t.Fatal(err)
	}
}

func TestPorts_NarrowingEndsTheGrantsOfThatPortAlone(t *testing.T) {
	s := newSite(t)
	asha, ravi := s.signIn("Asha"), s.signIn("Ravi")
	id := asha.create("x").ID
	host := func(port int) workspace.Host {
		return workspace.Host{Kind: workspace.HostPreview, ID: workspace.ID(id), Port: port}
	}
	for _, port := range []int{5000, 6000} {
		asha.must(200, "PUT", portPath(id, port), map[string]any{"level": "members"})
	}
	good := func(grant string, host workspace.Host) bool {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Cookie", grant)
		_, err := s.identity.CheckGrant(r, host)
		return err == nil
	}
	his, other := ravi.grant(host(5000)), ravi.grant(host(6000))
	asha.must(200, "PUT", portPath(id, 5000), map[string]any{"level": "members", "cors": true}) // no narrower
	if !good(his, host(5000)) {
		t.Error("a change that narrows nothing ended a grant")
	}
	asha.must(204, "DELETE", portPath(id, 5000), nil)
	if good(his, host(5000)) || !good(other, host(6000)) {
		t.Errorf("of the narrowed port: %v, of another: %v", good(his, host(5000)), good(other, host(6000)))
	}
	if w := ravi.handoff("GET", handoffPath("5000-"+id, identity.Hash("nonce"))); w.Code != 404 {
		t.Errorf("a hand-off afterwards: %d", w.Code)
	}
}

func TestHandoff_OpensAPortToWhomTheEffectiveLevelAdmits(t *testing.T) {
	s := newSite(t)
	asha, ravi := s.signIn("Asha"), s.signIn("Ravi")
	id := asha.create("x").ID
	try := func(b *browser, label string) int {
		return b.handoff("GET", handoffPath(label, identity.Hash("nonce"))).Code
	}
	for _, share := range []struct {
		level  workspace.ShareLevel
		member int
	}{{workspace.SharePrivate, 404}, {workspace.ShareMembers, 303}, {workspace.SharePublic, 303}} { // public is above the limit, members
		s.shareBefore(id, workspace.Share{Port: 5000, Level: share.level})
		if got := try(ravi, "5000-"+id); got != share.member {
			t.Errorf("%s to a member: %d, want %d", share.level, got, share.member)
		}
		for _, label := range []string{id, "6000-" + id} {
			if got := try(ravi, label); got != 404 {
				t.Errorf("%s opens %s: %d", share.level, label, got)
			}
		}
		if got := try(asha, "5000-"+id); got != 303 {
			t.Errorf("%s to the owner: %d", share.level, got)
		}
		s.stranger().handoff("GET", handoffPath("5000-"+id, identity.Hash("nonce")))
	}
	asha.must(204, "DELETE", "/api/workspaces/"+id, nil)
	if got := try(ravi, "5000-"+id); got != 404 {
		t.Errorf("deleted: %d", got)
	}
}

func TestPorts_AChangeIsInTheAuditLog(t *testing.T) {
	s := newSite(t)
	admin, asha, ravi := s.admin(), s.signIn("Asha"), s.signIn("Ravi")
	id := asha.create("x").ID
	program := asha.program(identity.ScopeWrite)
	asha.must(200, "PUT", portPath(id, 5000), map[string]any{"level": "members", "cors": true})
	asha.must(200, "PUT", portPath(id, 5000), map[string]any{"level": "members", "cors": true}) // no change
	program.must(204, "DELETE", portPath(id, 5000), nil)
	ravi.must(404, "PUT", portPath(id, 5000), map[string]any{"level": "members"})
	var got []string
	for _, e := range admin.audit("?limit=500&workspace=" + id) {
		if e.Action == identity.ActionShareChange || e.Action == identity.ActionRefusal {
			via, _, _ := strings.Cut(e.Via, " ")
			got = append(got, e.Action+" "+via+": "+e.Detail)
		}
	}
	want := []string{
		"share-change session: port 5000: private → members, CORS", "share-change token: port 5000: members, CORS → private",
		"refusal session: the workspace belongs to somebody else",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
