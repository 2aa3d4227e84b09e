package gateway_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/workspace"
)

func TestLine_TheProgressPageShowsThePlace(t *testing.T) {
	w := newWorld(t, options{orch: func(c *orchestrator.Config) { c.StartsAtOnce = 1 }})
	up := make(chan struct{})
	w.boots(runtimetest.Boot{Until: up})
	ids := []workspace.ID{w.create(), w.create(), w.create()}
	for _, id := range ids {
		page := w.do(w.navigation(w.hosts.URL(id), w.grant(ide(id))))
		if page.StatusCode != http.StatusServiceUnavailable || !strings.Contains(page.text, "Waking your workspace") {
			t.Fatalf("%d %s", page.StatusCode, page.text)
		}
	}
	_, second := w.follow(ids[1], w.grant(ide(ids[1])))
	_, third := w.follow(ids[2], w.grant(ide(ids[2])))
	if e := w.next(second); e.text != `{"stage":"queued","place":1,"of":2}` {
		t.Errorf("event %v", e)
	}
	if e := w.next(third); e.text != `{"stage":"queued","place":2,"of":2}` {
		t.Errorf("event %v", e)
	}
	w.must(w.orch.Stop(ids[1], "test").Wait(t.Context()))
	if e := w.next(third); e.text != `{"stage":"queued","place":1,"of":1}` {
		t.Errorf("event %v", e)
	}
	close(up)
	if e := w.next(third, "stage", "log"); e.name != "ready" {
		t.Errorf("event %v", e)
	}
}

func TestLine_ARefusalNamesWhatRunsToItsOwnerAlone(t *testing.T) {
	w := newWorld(t, options{orch: func(c *orchestrator.Config) { c.RunningLimit, c.ShareLimit = 1, workspace.SharePublic }})
	w.running()
	id := w.create()
	page := w.do(w.navigation(w.hosts.URL(id), w.grant(ide(id))))
	if page.StatusCode != http.StatusConflict || !strings.Contains(page.text, "You have as many workspaces running as you may have, 1. Stop one of them, then try again.") || !strings.Contains(page.text, "Awake now: mine") {
		t.Errorf("%d %s", page.StatusCode, page.text)
	}
	w.share(id, workspace.Share{Port: 5000, Level: workspace.SharePublic, Wakes: true})
	page = w.do(w.navigation(w.hosts.Origin(preview(id, 5000))+"/", ""))
	if page.StatusCode != http.StatusConflict || !strings.Contains(page.text, "Its owner has as many workspaces running as they may have") || strings.Contains(page.text, "mine") {
		t.Errorf("%d %s", page.StatusCode, page.text)
	}
}

func TestLine_AFullMachineSaysWhatToDo(t *testing.T) {
	w := newWorld(t, options{orch: func(c *orchestrator.Config) { c.Reserve.Memory = 1 << 30 }})
	w.runtime.SetHost(orchestrator.Host{Memory: 4 << 30, MemoryFree: 1 << 30})
	id := w.create()
	a := w.do(w.program("GET", w.hosts.URL(id), w.grant(ide(id))))
	w.wantProblem(a, http.StatusServiceUnavailable)
	if !strings.Contains(a.text, "The machine has no room for another workspace right now: 1 GiB of its memory are free") || !strings.Contains(a.text, "ask the operator for more room") {
		t.Errorf("%s", a.text)
	}
}
