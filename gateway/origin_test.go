package gateway_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/kalpana-dev/kalpana/workspace"
)

// origins returns what must not pass for the origin of host.
func (w *world) foreign(host workspace.Host) map[string][]string {
	exact := w.hosts.Origin(host)
	return map[string][]string{
		"none":           nil,
		"null":           {"null"},
		"empty":          {""},
		"console":        {console},
		"sibling":        {w.hosts.Origin(ide(workspace.NewID()))},
		"other port":     {strings.Replace(exact, ":8080", ":9090", 1)},
		"no port":        {strings.Replace(exact, ":8080", "", 1)},
		"other scheme":   {strings.Replace(exact, "http:", "https:", 1)},
		"prefix":         {exact + ".evil.com"},
		"prefix of port": {exact + "0"},
		"suffix":         {"http://evil-" + strings.TrimPrefix(exact, "http://")},
		"with a slash":   {exact + "/"},
		"with a user":    {strings.Replace(exact, "http://", "http://a@", 1)},
		"upper case":     {strings.ToUpper(exact)},
		"two":            {exact, exact},
		"two in one":     {exact + ", " + exact},
		"own preview":    {w.hosts.Origin(preview(host.ID, 5000))},
	}
}

func TestOrigin_AWebSocketComesFromExactlyItsHost(t *testing.T) {
	w := newWorld(t)
	id := w.running()
	for _, host := range []workspace.Host{ide(id), preview(id, 3000)} {
		grant, exact := w.grant(host), w.hosts.Origin(host)
		before := len(w.runtime.Requests())
		for name, origin := range w.foreign(host) {
			r := w.program("GET", exact+"/echo", grant, "Upgrade", "websocket", "Connection", "Upgrade",
				"Sec-Websocket-Version", "13", "Sec-Websocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-Fetch-Site", "same-origin")
			if origin != nil {
				r.Header["Origin"] = origin
			}
			if w.wantProblem(w.do(r), http.StatusForbidden); t.Failed() {
				t.Fatal(name)
			}
		}
		if n := len(w.runtime.Requests()) - before; n != 0 {
			t.Errorf("%d reached the container", n)
		}
		ws := w.dial(host, grant)
		for _, message := range []string{"hello", strings.Repeat("x", 100_000)} {
			w.must(ws.WriteMessage(websocket.TextMessage, []byte(message)))
			_, got, err := ws.ReadMessage()
			if err != nil || string(got) != message {
				t.Fatalf("echo of %d bytes: %v", len(got), err)
			}
		}
		_ = ws.Close()
	}
}

// dial opens a WebSocket on /echo as the host's own page does.
func (w *world) dial(host workspace.Host, grant string) *websocket.Conn {
	w.Helper()
	dialer := websocket.Dialer{NetDialContext: w.client.Transport.(*http.Transport).DialContext}
	ws, resp, err := dialer.DialContext(w.Context(), "ws"+strings.TrimPrefix(w.hosts.Origin(host), "http")+"/echo",
		http.Header{"Origin": {w.hosts.Origin(host)}, "Cookie": {grant}})
	if err != nil {
		status := 0
		if resp != nil {
			status = resp.StatusCode
		}
		w.Fatalf("no WebSocket: %v, status %d", err, status)
	}
	w.Cleanup(func() { _ = ws.Close() })
	return ws
}

func TestOrigin_AnUnsafeMethodSaysThatItIsFromHere(t *testing.T) {
	w := newWorld(t)
	host := ide(w.running())
	grant, exact := w.grant(host), w.hosts.Origin(host)
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "PROPFIND"} {
		for name, headers := range map[string][]string{
			"same-site":              {"Sec-Fetch-Site", "same-site", "Origin", exact},
			"cross-site":             {"Sec-Fetch-Site", "cross-site"},
			"none":                   {"Sec-Fetch-Site", "none", "Origin", exact},
			"no-cors":                {"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "no-cors"},
			"no-cors for a site":     {"Sec-Fetch-Site", "no-cors", "Sec-Fetch-Mode", "no-cors"},
			"two origins":            {"Sec-Fetch-Site", "same-origin", "Origin", exact, "Origin", "http://evil.com"},
			"another way to spell":   {"Sec-Fetch-Site", "Same-Origin"},
			"neither":                {},
			"a navigation elsewhere": {"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"},
		} {
			if a := w.do(w.program(method, exact+"/", grant, headers...)); a.StatusCode != http.StatusForbidden {
				t.Errorf("%s %s: %d", method, name, a.StatusCode)
			}
		}
		for name, origin := range w.foreign(host) {
			r := w.program(method, exact+"/", grant)
			if origin != nil {
				r.Header["Origin"] = origin
			}
			if a := w.do(r); a.StatusCode != http.StatusForbidden {
				t.Errorf("%s with origin %s: %d", method, name, a.StatusCode)
			}
		}
	}
	if n := len(w.runtime.Requests()); n != 0 {
		t.Fatalf("%d reached the container", n)
	}
	for name, headers := range map[string][]string{
		"by Fetch Metadata":                    {"Sec-Fetch-Site", "same-origin"},
		"by Fetch Metadata, without referrer":  {"Sec-Fetch-Site", "same-origin", "Origin", "null"},
		"by Origin, from an older browser":     {"Origin", exact},
		"by both":                              {"Sec-Fetch-Site", "same-origin", "Origin", exact},
		"by Fetch Metadata, of a beacon":       {"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "no-cors"},
		"by a program that knows what to send": {"Origin", exact, "User-Agent", "curl"},
	} {
		if a := w.do(w.program("POST", exact+"/", grant, headers...)); a.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.text)
		}
	}
}

// An app that lets every page read (CORS), or answers with scripts and images, is private all the same.
func TestOrigin_AnotherPageGetsNothingForItself(t *testing.T) {
	w := newWorld(t)
	id := w.running()
	w.share(id, workspace.Share{Port: 4000, Level: workspace.ShareMembers})
	_, member := w.signIn("ravi")
	from := w.hosts.Origin(ide(workspace.NewID()))
	for _, visit := range []struct {
		host  workspace.Host
		grant string
	}{{ide(id), w.grant(ide(id))}, {preview(id, 3000), w.grant(preview(id, 3000))}, {preview(id, 4000), w.grantAs(member, preview(id, 4000))}} {
		address := w.hosts.Origin(visit.host) + "/headers?" + url.Values{"Access-Control-Allow-Origin": {from}, "Access-Control-Allow-Credentials": {"true"}}.Encode()
		asks := func(method string, headers ...string) int {
			t.Helper()
			return w.do(w.program(method, address, visit.grant, headers...)).StatusCode
		}
		before := len(w.runtime.Requests())
		for _, site := range []string{"same-site", "cross-site", "Same-Origin", "no-cors"} {
			for what, headers := range map[string][]string{
				"a fetch":          {"Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Origin", from},
				"a script":         {"Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "script", "Referer", from + "/"},
				"an image":         {"Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"},
				"an object":        {"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "object"},
				"another preview":  {"Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image", "Referer", w.hosts.Origin(preview(id, 5000)) + "/"},
				"no mode":          {},
				"what is ours too": {"Origin", w.hosts.Origin(visit.host)},
			} {
				for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
					if got := asks(method, append([]string{"Sec-Fetch-Site", site}, headers...)...); got != http.StatusForbidden {
						t.Errorf("%s of %s, %s %s: %d", visit.host.Label(), site, method, what, got)
					}
				}
			}
		}
		if got := asks("GET", "Origin", from); got != http.StatusForbidden { // an older browser's
			t.Errorf("%s, a fetch without Fetch Metadata: %d", visit.host.Label(), got)
		}
		if n := len(w.runtime.Requests()) - before; n != 0 {
			t.Errorf("%d reached the container", n)
		}
		for what, headers := range map[string][]string{
			"a link on another site":  {"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"},
			"a frame of the console":  {"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"},
			"its own page":            {"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"},
			"an extension":            {"Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"},
			"a program":               {},
			"a program with its name": {"Origin", w.hosts.Origin(visit.host)},
		} {
			if got := asks("GET", headers...); got != http.StatusOK {
				t.Errorf("%s, %s: %d", visit.host.Label(), what, got)
			}
		}
	}
}

func TestOrigin_TheConsoleMayWakeAndNothingElse(t *testing.T) {
	w := newWorld(t)
	id := w.create()
	host := ide(id)
	grant, exact := w.grant(host), w.hosts.Origin(host)
	from := []string{"Origin", console, "Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "empty"}
	for _, path := range []string{"/", "/.kalpana/other", "/.kalpana/wake/", "/.kalpana/progress", "/.kalpana/ready", "/.kalpana/Wake"} {
		if a := w.do(w.program("POST", exact+path, grant, from...)); a.StatusCode != http.StatusForbidden {
			t.Errorf("POST %s: %d", path, a.StatusCode)
		}
	}
	for _, method := range []string{"PUT", "DELETE"} {
		if a := w.do(w.program(method, exact+"/.kalpana/wake", grant, from...)); a.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %d", method, a.StatusCode)
		}
	}
	for name, origin := range w.foreign(host) {
		if name == "console" {
			continue
		}
		r := w.program("POST", exact+"/.kalpana/wake", grant)
		if origin != nil {
			r.Header["Origin"] = origin
		}
		if a := w.do(r); a.StatusCode != http.StatusForbidden {
			t.Errorf("origin %s: %d", name, a.StatusCode)
		}
	}
	if a := w.do(w.program("GET", exact+"/.kalpana/wake", grant)); a.StatusCode != http.StatusNotFound {
		t.Errorf("GET: %d", a.StatusCode)
	}
	w.wantAsleep(id)
	a := w.do(w.program("POST", exact+"/.kalpana/wake", grant, from...))
	if a.StatusCode != http.StatusAccepted {
		t.Fatalf("%d %s", a.StatusCode, a.text)
	}
	w.eventually("it runs", func() bool { return w.orch.Route(id) != nil })
}

func TestOwnPaths_NeverReachTheContainer(t *testing.T) {
	w := newWorld(t)
	host := ide(w.running())
	grant := w.grant(host)
	for _, path := range []string{"/.kalpana/ready", "/.kalpana/", "/.kalpana/x", "/%2ekalpana/ready", "/.kalpana%2fready", "/.kalpana/../.kalpana/ready"} {
		w.wantProblem(w.do(w.program("GET", w.hosts.Origin(host)+path, grant)), http.StatusNotFound)
	}
	if n := len(w.runtime.Requests()); n != 0 {
		t.Errorf("%d reached the container", n)
	}
}
