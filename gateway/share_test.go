package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kalpana-dev/kalpana/gateway"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/store/sqlite"
	"github.com/kalpana-dev/kalpana/workspace"
)

// limited makes a world whose operator allows so much.
func limited(limit workspace.ShareLevel) options {
	return options{orch: func(c *orchestrator.Config) { c.ShareLimit = limit }}
}

// share changes a port as the API does.
func (w *world) share(id workspace.ID, s workspace.Share) {
	w.Helper()
	record, err := w.store.Workspace(w.Context(), id)
	w.must(err)
	_, before, err := w.orch.Share(w.Context(), record.Owner, id, s)
	w.must(err)
	if before.Level.WiderThan(s.Level) {
		w.must(w.identity.Revoke(w.Context(), identity.Revocation{Workspace: id, Label: preview(id, s.Port).Label()}))
	} else {
		w.must(w.identity.Announce(w.Context(), id))
	}
}

// grantAs returns a grant of somebody else's.
func (w *world) grantAs(caller identity.Caller, host workspace.Host) string {
	w.Helper()
	mine := w.caller
	defer func() { w.caller = mine }()
	w.caller = caller
	return w.grant(host)
}

func (w *world) status(r *http.Request) int {
	w.Helper()
	resp, err := w.client.Do(r)
	w.must(err)
	_ = resp.Body.Close()
	return resp.StatusCode
}

// upgrade is a WebSocket's request from a page of origin.
func (w *world) upgrade(host workspace.Host, cookie, origin string) *http.Request {
	return w.program("GET", w.hosts.Origin(host)+"/echo", cookie, "Upgrade", "websocket", "Connection", "Upgrade",
		"Sec-Websocket-Version", "13", "Sec-Websocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==", "Origin", origin)
}

// The levels by their width; see CVE-2026-55432 for what is below the lower of level and limit.
var widths = map[workspace.ShareLevel]int{workspace.SharePrivate: 0, workspace.ShareMembers: 1, workspace.SharePublic: 2}

func TestShare_WhoGetsInByLevelLimitAndRequest(t *testing.T) {
	for _, limit := range workspace.ShareLevels {
		t.Run("limit "+string(limit), func(t *testing.T) {
			w := newWorld(t, limited(limit))
			id, gone := w.running(), w.running()
			ports := map[workspace.ShareLevel]int{workspace.SharePrivate: 3000, workspace.ShareMembers: 4000, workspace.SharePublic: 5000}
			for _, of := range []workspace.ID{id, gone} { // the operator lowered the limit after they were shared
				record, err := w.store.Workspace(t.Context(), of)
				w.must(err)
				for _, level := range workspace.ShareLevels {
					record.Shares = append(record.Shares, workspace.Share{Port: ports[level], Level: level})
				}
				w.must(w.store.UpdateWorkspace(t.Context(), record))
				_, err = w.orch.ReadAccess(t.Context(), ide(of))
				w.must(err)
			}
			_, member := w.signIn("ravi")
			// A grant is asked of identity alone here: it must not matter that somebody has one.
			grant := func(caller identity.Caller, host workspace.Host) string {
				nonce, target := w.identity.BeginHandoff(host, "/")
				_, challenge, _ := strings.Cut(target, "challenge=")
				challenge, _, _ = strings.Cut(challenge, "&")
				target, err := w.identity.ApproveHandoff(t.Context(), caller, host, challenge)
				w.must(err)
				return cookieOf(w.do(w.navigation(target, nonce.Name+"="+nonce.Value)), identity.GrantCookie)
			}
			hosts := map[string]workspace.Host{"VS Code": ide(id)}
			expired := map[workspace.Host]string{}
			for level, port := range ports {
				hosts[string(level)] = preview(id, port)
			}
			for _, host := range hosts {
				expired[host] = grant(w.caller, host)
			}
			w.later(identity.GrantLifetime + time.Minute)
			w.must(w.identity.Load(t.Context()))
			deleted := map[workspace.Host]string{}
			for _, port := range ports {
				deleted[preview(gone, port)] = grant(w.caller, preview(gone, port))
			}
			w.must(w.orch.Delete(gone).Wait(t.Context()))
			w.must(w.identity.Revoke(t.Context(), identity.Revocation{Workspace: gone}))

			check := func(name string, host workspace.Host, cookie string, want [4]int) {
				t.Helper()
				sibling := w.hosts.Origin(preview(workspace.NewID(), 3000))
				for i, r := range []*http.Request{
					w.navigation(w.hosts.Origin(host)+"/", cookie),
					w.program("GET", w.hosts.Origin(host)+"/", cookie),
					w.program("POST", w.hosts.Origin(host)+"/", cookie, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "empty"),
					w.upgrade(host, cookie, sibling),
				} {
					if got := w.status(r); got != want[i] {
						t.Errorf("%s, request %d: %d, want %d", name, i, got, want[i])
					}
				}
			}
			let, inside, hidden, stranger := [4]int{200, 200, 200, 101}, [4]int{200, 200, 403, 403}, [4]int{404, 404, 404, 404}, [4]int{303, 401, 401, 401}
			for name, host := range hosts {
				width := min(widths[workspace.ShareLevel(name)], widths[limit]) // VS Code's is 0
				owner, other, nobody := inside, hidden, stranger
				switch width {
				case 1:
					other = inside
				case 2:
					owner, other, nobody = let, let, let
				}
				check(name+", anonymous", host, "", nobody)
				check(name+", with a forged grant", host, identity.GrantCookie+"=1.a.b."+host.Label()+".zzzzzzzz.zzzzzzzzz.AAAA", nobody)
				check(name+", expired", host, expired[host], nobody)
				check(name+", the owner", host, grant(w.caller, host), owner)
				check(name+", another member", host, grant(member, host), other)
			}
			for host, cookie := range deleted {
				check("deleted, its owner", host, cookie, stranger)
				check("deleted, anonymous", host, "", stranger)
			}
			check("one that never was", preview(workspace.NewID(), 5000), "", stranger)
		})
	}
}

func TestShare_WithoutASessionWhatIsNotPublicLooksLikeNothing(t *testing.T) {
	w := newWorld(t)
	id := w.running()
	w.share(id, workspace.Share{Port: 4000, Level: workspace.ShareMembers})
	look := func(host workspace.Host, make func(string) *http.Request) string {
		a := w.do(make(w.hosts.Origin(host)))
		location, _, _ := strings.Cut(a.Header.Get("Location"), "challenge=")
		for _, name := range []string{"Date", "Location", "Set-Cookie"} {
			a.Header.Del(name)
		}
		return strings.ReplaceAll(fmt.Sprint(a.StatusCode, a.Header, location, a.text), host.Label(), "LABEL")
	}
	none := preview(workspace.NewID(), 4000)
	for name, request := range map[string]func(string) *http.Request{
		"navigation": func(o string) *http.Request { return w.navigation(o+"/", "") },
		"program":    func(o string) *http.Request { return w.program("POST", o+"/", "") },
		"preflight": func(o string) *http.Request {
			return w.program("OPTIONS", o+"/", "", "Origin", "http://evil.example", "Access-Control-Request-Method", "GET")
		},
	} {
		for _, port := range []int{3000, 4000} {
			if got, want := look(preview(id, port), request), look(none, request); got != want {
				t.Errorf("%s on %d: %s\nnone: %s", name, port, got, want)
			}
		}
	}
}

func TestShare_APublicPreviewSeesTheAppsAuthorizationAndNoneOfOurCookies(t *testing.T) {
	w := newWorld(t, limited(workspace.SharePublic))
	id := w.running()
	host := preview(id, 5000)
	grant := w.grant(host)
	w.share(id, workspace.Share{Port: 5000, Level: workspace.SharePublic})
	w.later(2 * time.Hour)
	w.must(w.identity.Load(t.Context()))
	for _, cookie := range []string{"", "app=1", "app=1; " + grant, identity.GrantCookie + "=nonsense; app=1"} {
		before := len(w.runtime.Requests())
		a := w.do(w.program("POST", w.hosts.Origin(host)+"/hook", cookie, "Authorization", "Basic of the app", "X-Kalpana-User", "admin"))
		if a.StatusCode != http.StatusOK || len(a.Cookies()) != 0 {
			t.Fatalf("%q: %d, cookies %v", cookie, a.StatusCode, a.Cookies())
		}
		got := w.runtime.Requests()[before].Header
		if got.Get("Authorization") != "Basic of the app" || strings.Contains(got.Get("Cookie"), "kalpana") || got.Get("X-Kalpana-User") != "" {
			t.Errorf("%q: it reached the app with %v", cookie, got)
		}
		if want := strings.Contains(cookie, "app=1"); (got.Get("Cookie") == "app=1") != want {
			t.Errorf("%q: the app got cookie %q", cookie, got.Get("Cookie"))
		}
	}
}

func TestShare_NarrowingEndsWhatWasOpenAndLetsTheOwnerInAgain(t *testing.T) {
	w := newWorld(t, limited(workspace.SharePublic))
	id := w.running()
	_, member := w.signIn("ravi")
	host, other := preview(id, 4000), preview(id, 5000)
	w.share(id, workspace.Share{Port: 4000, Level: workspace.ShareMembers})
	w.share(id, workspace.Share{Port: 5000, Level: workspace.SharePublic})
	his, hers := w.grantAs(member, host), w.grant(host)
	ended := []*websocket.Conn{w.dial(host, his), w.dial(host, hers), w.dial(other, "")}
	stays := w.dial(ide(id), w.grant(ide(id)))

	w.share(id, workspace.Share{Port: 4000, Level: workspace.SharePrivate})
	w.share(id, workspace.Share{Port: 5000, Level: workspace.SharePrivate})
	for i, ws := range ended {
		_ = ws.SetReadDeadline(time.Now().Add(patient))
		if _, _, err := ws.ReadMessage(); !websocket.IsUnexpectedCloseError(err) && !strings.Contains(fmt.Sprint(err), "EOF") {
			t.Errorf("stream %d: %v", i, err)
		}
	}
	w.must(stays.WriteMessage(websocket.TextMessage, []byte("still here")))
	if _, _, err := stays.ReadMessage(); err != nil {
		t.Errorf("a stream of VS Code: %v", err)
	}
	for name, r := range map[string]*http.Request{
		"his": w.program("GET", w.hosts.Origin(host)+"/", his), "a visitor's": w.program("GET", w.hosts.Origin(other)+"/", ""),
	} {
		if got := w.status(r); got != http.StatusUnauthorized {
			t.Errorf("%s request: %d", name, got)
		}
	}
	// A hand-off at once dates from before the revocation could be over: it leads back, and in.
	nonce, challenge := w.beginHandoff(host, "/page?x=1")
	target, err := w.identity.ApproveHandoff(t.Context(), w.caller, host, challenge)
	w.must(err)
	a := w.do(w.navigation(target, nonce))
	if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/page?x=1" {
		t.Fatalf("%d to %q: %s", a.StatusCode, a.Header.Get("Location"), a.text)
	}
	if got := w.status(w.navigation(w.hosts.Origin(host)+"/page?x=1", w.grant(host))); got != http.StatusOK {
		t.Errorf("the owner: %d", got)
	}
}

func TestShare_DeletingTheWorkspaceEndsVisitors(t *testing.T) {
	w := newWorld(t, limited(workspace.SharePublic))
	id := w.running()
	w.share(id, workspace.Share{Port: 5000, Level: workspace.SharePublic})
	host := preview(id, 5000)
	ws := w.dial(host, "")
	w.must(w.orch.Delete(id).Wait(t.Context()))
	w.must(w.identity.Revoke(t.Context(), identity.Revocation{Workspace: id}))
	_ = ws.SetReadDeadline(time.Now().Add(patient))
	if _, _, err := ws.ReadMessage(); err == nil {
		t.Error("it goes on")
	}
	if got := w.status(w.program("GET", w.hosts.Origin(host)+"/", "")); got != http.StatusUnauthorized {
		t.Errorf("%d", got)
	}
}

func TestShare_AnotherGatewaysChangeArrivesWithinSeconds(t *testing.T) {
	w := newWorld(t, limited(workspace.SharePublic))
	id := w.running()
	// The other gateway has memory and connections of its own; the file is one.
	file, err := sqlite.Open(t.Context(), w.path)
	w.must(err)
	t.Cleanup(func() { _ = file.Close() })
	people := identity.New(identity.Config{Store: file, Hosts: w.hosts, Key: w.key})
	w.must(people.Load(t.Context()))
	other := orchestrator.New(orchestrator.Config{
		Store: file, Runtime: w.runtime, Hosts: w.hosts, Token: w.key.BridgeToken, Image: "image", ShareLimit: workspace.SharePublic,
	})
	t.Cleanup(other.Close)
	people.OnRevocation(func(r identity.Revocation) { other.Invalidate(r.Workspace) })
	w.must(other.Load(t.Context()))
	running, stop := context.WithCancel(t.Context())
	var polling sync.WaitGroup
	polling.Go(func() { people.Run(running) })
	defer polling.Wait()
	defer stop()

	host := preview(id, 5000)
	public := func() bool {
		access, err := other.Access(t.Context(), host)
		w.must(err)
		return access.Public()
	}
	within := func(what string, is func() bool) {
		t.Helper()
		began := time.Now()
		w.eventually(what, is)
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("%s after %v", what, d)
		}
	}
	w.share(id, workspace.Share{Port: 5000, Level: workspace.SharePublic})
	within("it is public there", public)
	visitor, err := people.Visitor(host)
	w.must(err)
	stream, release := people.Hold(t.Context(), visitor)
	defer release()
	w.share(id, workspace.Share{Port: 5000, Level: workspace.ShareMembers})
	within("a visitor's stream ends there", func() bool { return stream.Err() != nil })
	if public() {
		t.Error("it is still public there, after its streams ended")
	}
}

func TestShare_AVisitorWakesOnlyWhereTheOwnerSaysSo(t *testing.T) {
	w := newWorld(t, limited(workspace.SharePublic))
	id := w.create()
	host := preview(id, 5000)
	origin := w.hosts.Origin(host)
	w.share(id, workspace.Share{Port: 5000, Level: workspace.SharePublic})
	for name, r := range map[string]*http.Request{
		"webhook": w.program("POST", origin+"/hook", ""), "subresource": w.subresource(origin+"/a.png", ""),
		"wake": w.program("POST", origin+"/.kalpana/wake", "", "Origin", origin), "WebSocket": w.upgrade(host, "", origin),
	} {
		if w.wantProblem(w.do(r), http.StatusServiceUnavailable); t.Failed() {
			t.Fatal(name)
		}
	}
	a := w.do(w.navigation(origin+"/", ""))
	w.wantPage(a, http.StatusServiceUnavailable, "<h1 id=\"title\">Asleep</h1>")
	w.wantAsleep(id)

	w.share(id, workspace.Share{Port: 5000, Level: workspace.SharePublic, Wakes: true})
	for name, r := range map[string]*http.Request{
		"subresource": w.subresource(origin+"/a.png", ""), "prefetch": w.navigation(origin+"/", "", "Sec-Purpose", "prefetch"),
		"WebSocket": w.upgrade(host, "", origin),
	} {
		if w.wantProblem(w.do(r), http.StatusServiceUnavailable); t.Failed() {
			t.Fatal(name)
		}
	}
	if a := w.do(w.program("POST", origin+"/.kalpana/wake", "", "Origin", "https://evil.example")); a.StatusCode != http.StatusForbidden {
		t.Errorf("another site's wake: %d", a.StatusCode)
	}
	w.wantAsleep(id)
	if got := w.do(w.program("POST", origin+"/hook", "")); got.StatusCode != http.StatusOK || got.text != "hello" {
		t.Errorf("a webhook: %d %s", got.StatusCode, got.text)
	}
}

func TestShare_AMemberWakesItAndSeesNoLog(t *testing.T) {
	w := newWorld(t)
	up := make(chan struct{})
	w.boots(runtimetest.Boot{Until: up, Failed: "VS Code broke", Log: "a secret in the log"})
	id := w.create()
	host := preview(id, 5000)
	w.share(id, workspace.Share{Port: 5000, Level: workspace.ShareMembers})
	person, member := w.signIn("ravi")
	grant := w.grantAs(member, host)
	w.do(w.subresource(w.hosts.Origin(host)+"/a.png", grant))
	w.wantAsleep(id)
	w.wantPage(w.do(w.navigation(w.hosts.Origin(host)+"/", grant)), http.StatusServiceUnavailable, "Waking your workspace")
	_, events := w.followOn(host, grant)
	close(up)
	for e := w.next(events); e.name != "failed"; e = w.next(events) {
		if e.name == "log" || strings.Contains(fmt.Sprint(e.data), "secret") {
			t.Errorf("event %v", e)
		}
	}
	if a := w.do(w.program("GET", w.hosts.Origin(host)+"/", grant)); a.StatusCode != http.StatusServiceUnavailable || strings.Contains(a.text, "secret") {
		t.Errorf("a member reads %d %s", a.StatusCode, a.text)
	}
	list, err := w.identity.AuditEvents(t.Context(), identity.AuditQuery{Workspace: id, Action: identity.ActionStart})
	w.must(err)
	for _, e := range list {
		if e.Person != person.ID || e.Via != "session" {
			t.Errorf("the audit log says %+v", e)
		}
	}
	if len(list) == 0 {
		t.Error("the audit log says nothing")
	}
}

func TestShare_AVisitorSeesProgressAndNoLog(t *testing.T) {
	w := newWorld(t, limited(workspace.SharePublic))
	up := make(chan struct{})
	w.boots(runtimetest.Boot{Until: up, Failed: "VS Code broke", Log: "a secret in the log"})
	id := w.create()
	host := preview(id, 5000)
	w.share(id, workspace.Share{Port: 5000, Level: workspace.SharePublic, Wakes: true})
	w.wantPage(w.do(w.navigation(w.hosts.Origin(host)+"/", "")), http.StatusServiceUnavailable, "Waking your workspace")
	_, events := w.followOn(host, "")
	close(up)
	for {
		e := w.next(events)
		if e.name == "log" || strings.Contains(fmt.Sprint(e.data), "secret") {
			t.Errorf("event %v", e)
		}
		if e.name == "failed" {
			break
		}
	}
	a := w.do(w.program("GET", w.hosts.Origin(host)+"/", ""))
	if w.wantProblem(a, http.StatusServiceUnavailable); strings.Contains(a.text, "secret") {
		t.Errorf("a visitor reads %s", a.text)
	}
}

func TestShare_VisitorsWakeRarely(t *testing.T) {
	w := newWorld(t, limited(workspace.SharePublic))
	id := w.create()
	origin := w.hosts.Origin(preview(id, 5000))
	w.share(id, workspace.Share{Port: 5000, Level: workspace.SharePublic, Wakes: true})
	for range gateway.WakesPerWorkspace {
		if a := w.do(w.program("GET", origin+"/", "")); a.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", a.StatusCode, a.text)
		}
		w.must(w.orch.Stop(id, "test").Wait(t.Context()))
	}
	a := w.do(w.program("GET", origin+"/", ""))
	w.wantProblem(a, http.StatusServiceUnavailable)
	if seconds, err := strconv.Atoi(a.Header.Get("Retry-After")); err != nil || seconds <= 2 || seconds > 600 {
		t.Errorf("Retry-After %q", a.Header.Get("Retry-After"))
	}
	w.wantPage(w.do(w.navigation(origin+"/", "")), http.StatusServiceUnavailable, "woken it often")
	if n := w.runtime.Calls(runtimetest.Start); n != gateway.WakesPerWorkspace {
		t.Errorf("%d starts", n)
	}
	// The owner is not a visitor.
	if got := w.status(w.program("GET", w.hosts.URL(id), w.grant(ide(id)))); got != http.StatusOK {
		t.Errorf("the owner: %d", got)
	}
	if got := w.status(w.program("GET", origin+"/", "")); got != http.StatusOK {
		t.Errorf("a visitor of the running workspace: %d", got)
	}
}

func TestShare_APublicPreviewEndsWithWhatIsKnownOfRevocations(t *testing.T) {
	w := newWorld(t, limited(workspace.SharePublic))
	id := w.running()
	w.share(id, workspace.Share{Port: 5000, Level: workspace.SharePublic})
	w.later(6 * time.Minute) // in which the store was silent
	w.wantProblem(w.do(w.program("GET", w.hosts.Origin(preview(id, 5000))+"/", "")), http.StatusServiceUnavailable)
}
