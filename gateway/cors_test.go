package gateway_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/workspace"
)

// crossHeaders are what an answer says about who may read it.
func crossHeaders(a *answer) map[string][]string {
	got := map[string][]string{}
	for _, name := range []string{
		"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Allow-Methods",
		"Access-Control-Allow-Headers", "Access-Control-Max-Age", "Access-Control-Expose-Headers", "Vary",
	} {
		if v := a.Header.Values(name); len(v) > 0 {
			got[name] = v
		}
	}
	return got
}

func TestCORS_APreflightIsAnsweredForThePreviewsOfTheWorkspaceAlone(t *testing.T) {
	w := newWorld(t)
	id := w.running()
	host := preview(id, 5000)
	from := w.hosts.Origin(preview(id, 3000))
	preflight := func(origin string) *answer {
		return w.do(w.program("OPTIONS", w.hosts.Origin(host)+"/api", "", "Origin", origin, "Sec-Fetch-Mode", "cors", "Sec-Fetch-Site", "same-site",
			"Sec-Fetch-Dest", "empty", "Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "content-type,x-app"))
	}
	if a := preflight(from); a.StatusCode != http.StatusUnauthorized || len(crossHeaders(a)) != 0 {
		t.Errorf("off by default: %d %v", a.StatusCode, crossHeaders(a))
	}
	w.share(id, workspace.Share{Port: 5000, Level: workspace.SharePrivate, CORS: true})
	a := preflight(from)
	want := map[string][]string{
		"Access-Control-Allow-Origin": {from}, "Access-Control-Allow-Credentials": {"true"}, "Access-Control-Allow-Methods": {"PUT"},
		"Access-Control-Allow-Headers": {"content-type,x-app"}, "Access-Control-Max-Age": {"600"},
		"Vary": {"Origin", "Access-Control-Request-Method, Access-Control-Request-Headers"},
	}
	if diff := cmp.Diff(want, crossHeaders(a)); diff != "" || a.StatusCode != http.StatusNoContent {
		t.Errorf("%d\n%s", a.StatusCode, diff)
	}
	for name, origins := range w.foreign(host) {
		if name == "own preview" {
			continue // port 5000's own, which another test asks from
		}
		for _, origin := range origins[:min(1, len(origins))] {
			a := preflight(origin)
			if name == "two" {
				continue // the client sends one
			}
			if a.StatusCode != http.StatusUnauthorized || a.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s: %d %v", name, a.StatusCode, crossHeaders(a))
			}
		}
	}
	for name, origin := range map[string]string{
		"another workspace's preview": w.hosts.Origin(preview(w.create(), 3000)), "VS Code": w.hosts.Origin(ide(id)), "itself": w.hosts.Origin(host),
	} {
		if a := preflight(origin); a.StatusCode != http.StatusUnauthorized || a.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %d %v", name, a.StatusCode, crossHeaders(a))
		}
	}
	if n := len(w.runtime.Requests()); n != 0 {
		t.Errorf("%d preflights reached the app", n)
	}
}

func TestCORS_APreviewMayCallWithTheTargetsOwnGrant(t *testing.T) {
	w := newWorld(t)
	id := w.running()
	host := preview(id, 5000)
	grant, from := w.grant(host), w.hosts.Origin(preview(id, 3000))
	app := "/headers?" + url.Values{
		"Access-Control-Allow-Origin": {"*"}, "Access-Control-Allow-Credentials": {"false"}, "Access-Control-Expose-Headers": {"X-App"}, "Vary": {"Accept"},
	}.Encode()
	call := func(method, origin, cookie string) *answer {
		return w.do(w.program(method, w.hosts.Origin(host)+app, cookie, "Origin", origin, "Sec-Fetch-Mode", "cors", "Sec-Fetch-Site", "same-site", "Sec-Fetch-Dest", "empty"))
	}
	if a := call("POST", from, grant); a.StatusCode != http.StatusForbidden {
		t.Errorf("off by default: %d", a.StatusCode)
	}
	w.share(id, workspace.Share{Port: 5000, Level: workspace.SharePrivate, CORS: true})
	for _, method := range []string{"GET", "POST", "DELETE"} {
		a := call(method, from, grant)
		want := map[string][]string{
			"Access-Control-Allow-Origin": {from}, "Access-Control-Allow-Credentials": {"true"},
			"Access-Control-Expose-Headers": {"X-App"}, "Vary": {"Origin", "Accept"},
		}
		if diff := cmp.Diff(want, crossHeaders(a)); diff != "" || a.StatusCode != http.StatusOK {
			t.Errorf("%s: %d\n%s", method, a.StatusCode, diff)
		}
	}
	hinted := w.do(w.program("GET", w.hosts.Origin(host)+"/early", grant, "Origin", from, "Sec-Fetch-Site", "same-site"))
	if got := hinted.Header["Access-Control-Allow-Origin"]; len(got) != 1 || got[0] != from || hinted.Header.Get("Vary") != "Origin" {
		t.Errorf("after an early hint: %v", crossHeaders(hinted))
	}
	// Without a grant the page learns that much, and nothing else.
	a := call("GET", from, "")
	if w.wantProblem(a, http.StatusUnauthorized); a.Header.Get("Access-Control-Allow-Origin") != from {
		t.Errorf("%v", crossHeaders(a))
	}
	before := len(w.runtime.Requests())
	for name, origin := range map[string]string{
		"a sibling": w.hosts.Origin(preview(workspace.NewID(), 3000)), "its VS Code": w.hosts.Origin(ide(id)), "the console": console, "null": "null",
		"a look-alike": from + ".evil.example", "another port of the host": "http://3000-" + string(id) + "." + workspaces + ":9090",
	} {
		if a := call("POST", origin, grant); a.StatusCode != http.StatusForbidden || a.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %d %v", name, a.StatusCode, crossHeaders(a))
		}
	}
	for name, site := range map[string]string{"cross-site": "cross-site", "none": "none", "made up": "no-cors"} {
		r := w.program("POST", w.hosts.Origin(host)+"/", grant, "Origin", from, "Sec-Fetch-Site", site)
		if got := w.status(r); got != http.StatusForbidden {
			t.Errorf("%s: %d", name, got)
		}
	}
	if n := len(w.runtime.Requests()) - before; n != 0 {
		t.Errorf("%d reached the app", n)
	}
	if got := w.status(w.upgrade(host, grant, from)); got != http.StatusSwitchingProtocols {
		t.Errorf("a WebSocket: %d", got)
	}
	if got := w.status(w.upgrade(host, grant, w.hosts.Origin(preview(workspace.NewID(), 3000)))); got != http.StatusForbidden {
		t.Errorf("a sibling's WebSocket: %d", got)
	}
}

// What a page shows or runs comes without an Origin: its Referer tells where it is from.
func TestCORS_APreviewMayShowWhatTheTargetHas(t *testing.T) {
	w := newWorld(t)
	id := w.running()
	host := preview(id, 5000)
	grant, from := w.grant(host), w.hosts.Origin(preview(id, 3000))
	show := func(method, referer, site string) int {
		return w.do(w.program(method, w.hosts.Origin(host)+"/", grant, "Referer", referer, "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Site", site, "Sec-Fetch-Dest", "image")).StatusCode
	}
	if got := show("GET", from+"/", "same-site"); got != http.StatusForbidden {
		t.Errorf("off by default: %d", got)
	}
	w.share(id, workspace.Share{Port: 5000, Level: workspace.SharePrivate, CORS: true})
	for _, referer := range []string{from + "/", from + "/a/b?c", from} {
		if got := show("GET", referer, "same-site"); got != http.StatusOK {
			t.Errorf("from %s: %d", referer, got)
		}
	}
	for what, referer := range map[string]string{
		"none": "", "a sibling": w.hosts.Origin(preview(workspace.NewID(), 3000)) + "/", "its VS Code": w.hosts.Origin(ide(id)) + "/", "the console": console + "/",
		"a look-alike": from + ".evil.example/", "a user": strings.Replace(from, "http://", "http://"+from[len("http://"):]+"@", 1) + "/", "in the path": "http://evil.example/" + from + "/",
	} {
		if got := show("GET", referer, "same-site"); got != http.StatusForbidden {
			t.Errorf("%s: %d", what, got)
		}
	}
	if got := show("POST", from+"/", "same-site"); got != http.StatusForbidden {
		t.Errorf("what changes something has an Origin: %d", got)
	}
	if got := show("GET", from+"/", "cross-site"); got != http.StatusForbidden {
		t.Errorf("from another site: %d", got)
	}
}

func TestCORS_OfOnePortOpensNoOther(t *testing.T) {
	w := newWorld(t)
	id := w.running()
	w.share(id, workspace.Share{Port: 5000, Level: workspace.SharePrivate, CORS: true})
	from := w.hosts.Origin(preview(id, 5000))
	for _, host := range []workspace.Host{ide(id), preview(id, 3000)} {
		r := w.program("POST", w.hosts.Origin(host)+"/", w.grant(host), "Origin", from, "Sec-Fetch-Site", "same-site")
		if a := w.do(r); a.StatusCode != http.StatusForbidden || a.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %d %v", host.Label(), a.StatusCode, crossHeaders(a))
		}
	}
}

func TestCORS_APublicAppAnswersStrangersItself(t *testing.T) {
	w := newWorld(t, limited(workspace.SharePublic))
	id := w.running()
	w.share(id, workspace.Share{Port: 5000, Level: workspace.SharePublic, CORS: true})
	app := w.hosts.Origin(preview(id, 5000)) + "/headers?Access-Control-Allow-Origin=https://partner.example"
	a := w.do(w.program("OPTIONS", app, "", "Origin", "https://partner.example", "Access-Control-Request-Method", "PUT"))
	if got := a.Header.Values("Access-Control-Allow-Origin"); a.StatusCode != http.StatusOK || len(got) != 1 || got[0] != "https://partner.example" {
		t.Errorf("%d %v", a.StatusCode, crossHeaders(a))
	}
}
