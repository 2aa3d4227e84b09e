package gateway_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/workspace"
)

// says lets the bridge answer every request with a verdict of its own.
func (w *world) says(verdict string) {
	w.runtime.App = http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set(bridge.PreviewHeader, verdict)
		rw.Header().Set("Set-Cookie", "a=1")
		http.Error(rw, "the bridge's own words", http.StatusBadGateway)
	})
}

func TestPreview_WhereNothingListensAPageSaysSoAndLooksAgain(t *testing.T) {
	w := newWorld(t, limited(workspace.SharePublic))
	w.says(bridge.PreviewRefused)
	id := w.running()
	w.share(id, workspace.Share{Port: 5000, Level: workspace.SharePublic})
	for _, port := range []int{5173, 5000} {
		host, cookie := preview(id, port), ""
		if port != 5000 {
			cookie = w.grant(host)
		}
		origin := w.hosts.Origin(host)
		name := strings.TrimSuffix(host.Label(), "-"+string(id))
		a := w.do(w.navigation(origin+"/", cookie))
		w.wantPage(a, http.StatusBadGateway, "Nothing listens on port "+name)
		if !strings.Contains(a.text, "<main data-live>") || strings.Count(a.text, "<script>") != 1 || len(a.Cookies()) != 0 {
			t.Errorf("port %s: %v\n%s", name, a.Header, a.text)
		}
		for what, r := range map[string]*http.Request{
			"a program": w.program("GET", origin+"/", cookie), "the page's own look": w.program("HEAD", origin+"/", cookie, "Sec-Fetch-Mode", "cors", "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Dest", "empty"),
			"a WebSocket": w.upgrade(host, cookie, origin),
		} {
			a := w.do(r)
			if a.StatusCode != http.StatusBadGateway || a.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s: %d %v", what, a.StatusCode, a.Header)
			}
			if r.Method == http.MethodGet && !strings.Contains(a.text, "listens on port "+name) {
				t.Errorf("%s: %s", what, a.text)
			}
		}
		// A form would be sent twice.
		a = w.do(w.program("POST", origin+"/", cookie, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-Site", "same-origin"))
		w.wantPage(a, http.StatusBadGateway, "Nothing listens on port "+name)
		if strings.Contains(a.text, "<script>") {
			t.Error("the page of a form looks again by itself")
		}
	}
}

func TestPreview_AnAppThatBreaksOffIsNamedToo(t *testing.T) {
	w := newWorld(t)
	w.says(bridge.PreviewFailed)
	host := preview(w.running(), 5173)
	grant := w.grant(host)
	w.wantPage(w.do(w.navigation(w.hosts.Origin(host)+"/", grant)), http.StatusBadGateway, "The program on port 5173 broke off its answer")
	w.wantProblem(w.do(w.program("GET", w.hosts.Origin(host)+"/", grant)), http.StatusBadGateway)
}

func TestPreview_AnAppsOwnFaultPassesAsItIs(t *testing.T) {
	w := newWorld(t)
	w.runtime.App = http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		http.Error(rw, "the app's own words", http.StatusBadGateway)
	})
	host := preview(w.running(), 5173)
	if a := w.do(w.navigation(w.hosts.Origin(host)+"/", w.grant(host))); a.StatusCode != http.StatusBadGateway || a.text != "the app's own words\n" {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
}

func TestPreview_VSCodeDoesNotTakeTheBridgesWordOnPreviews(t *testing.T) {
	w := newWorld(t)
	w.says(bridge.PreviewRefused)
	host := ide(w.running())
	if a := w.do(w.program("GET", w.hosts.Origin(host)+"/", w.grant(host))); a.text != "the bridge's own words\n" {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
}
