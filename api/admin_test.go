package api_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/api"
	"github.com/kalpana-dev/kalpana/workspace"
)

func TestAdmin_SeesEverybodysWorkspacesThoseAtWorkFirst(t *testing.T) {
	inBubble(t, func(t *testing.T, s *online) {
		admin, asha, ravi := s.admin(), s.signIn("Asha"), s.signIn("Ravi")
		asha.create("sleeps")
		asha.running("runs")
		failed := ravi.create("failed").ID
		s.engine.fail(workspace.ErrImageMissing)
		ravi.must(503, "POST", "/api/workspaces/"+failed+"/start", nil)

		names := func(query string) (names []string) {
			list := decode[api.OwnedWorkspaces](t, admin.must(200, "GET", "/api/admin/workspaces"+query, nil))
			for _, w := range list.Workspaces {
				names = append(names, w.Name+" "+w.State)
				if strings.Contains(w.Reason, "\n") || w.StateSince == nil {
					t.Errorf("%+v", w)
				}
			}
			if list.Workspaces == nil || list.Total < len(names) {
				t.Errorf("%s: %+v", query, list)
			}
			return names
		}
		if diff := cmp.Diff([]string{"failed error", "runs running", "sleeps stopped"}, names("")); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"failed error"}, names("?limit=1")); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"runs running", "sleeps stopped"}, names("?owner="+asha.caller().Person.ID)); diff != "" {
			t.Error(diff)
		}
		for query, want := range map[string][]string{
			"?q=RUN": {"runs running"}, "?q=++blank+fail": {"failed error"}, "?q=stopped": {"sleeps stopped"}, "?q=" + failed[2:]: {"failed error"}, "?q=runs+fail": nil,
		} {
			if diff := cmp.Diff(want, names(query)); diff != "" {
				t.Errorf("%s: %s", query, diff)
			}
		}
		if got := names("?owner=nobody"); len(got) != 0 {
			t.Errorf("of nobody: %v", got)
		}
		asha.must(403, "GET", "/api/admin/workspaces", nil)
	})
}

func TestAdmin_StopsAnybodysWorkspace(t *testing.T) {
	s := newSite(t)
	admin, asha := s.admin(), s.signIn("Asha")
	id := asha.running("hers").ID
	asha.must(403, "POST", "/api/admin/workspaces/"+id+"/stop", nil)
	if got := decode[api.OwnedWorkspace](t, admin.must(202, "POST", "/api/admin/workspaces/"+id+"/stop", nil)); got.ID != id || got.Owner != asha.caller().Person.ID {
		t.Errorf("%+v", got)
	}
	if got := asha.await(id, "stopped"); got.Reason != "stopped by admin (admin)" {
		t.Errorf("reason %q", got.Reason)
	}
	events := admin.audit("?action=stop")
	if len(events) != 1 || events[0].Workspace != id || events[0].Person != "admin" {
		t.Errorf("%+v", events)
	}
	for _, id := range []string{"x", string(workspace.NewID())} {
		admin.must(404, "POST", "/api/admin/workspaces/"+id+"/stop", nil)
	}
}
