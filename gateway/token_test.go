package gateway_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/workspace"
)

// bearer makes a token of the world's person and returns the header that carries it.
func (w *world) bearer(scopes ...identity.Scope) []string {
	w.Helper()
	text, _, err := w.identity.CreateToken(w.Context(), w.caller, "ci", scopes, time.Hour)
	w.must(err)
	return []string{"Authorization", "Bearer " + text}
}

func TestToken_OpensVSCodeWithoutACookieAndNeverReachesIt(t *testing.T) {
	w := newWorld(t)
	id := w.running()
	token := w.bearer(identity.ScopeOpen)
	for _, r := range []*http.Request{
		w.program("GET", w.hosts.URL(id), "", token...),
		w.program("POST", w.hosts.URL(id)+"body", "", token...),
		w.program("POST", w.hosts.URL(id)+"body", "", append(token, "Origin", w.hosts.Origin(ide(id)))...),
		w.program("GET", w.hosts.URL(id), "", "Authorization", strings.Replace(token[1], "Bearer", "bearer", 1)),
		w.program("GET", w.hosts.URL(id), w.grant(ide(id)), token...), // beside a grant
	} {
		a := w.do(r)
		if a.StatusCode != http.StatusOK || len(a.Cookies()) != 0 {
			t.Errorf("%s %v: %d %s, cookies %v", r.Method, r.Header, a.StatusCode, a.text, a.Cookies())
		}
	}
	all := w.runtime.Requests()
	if len(all) != 5 {
		t.Errorf("%d requests reached the container", len(all))
	}
	for _, r := range all {
		if len(r.Header["Authorization"]) != 0 || len(r.Header["Cookie"]) != 0 {
			t.Errorf("the container got %v", r.Header)
		}
	}
}

func TestToken_OpensAWebSocketAndEndsIt(t *testing.T) {
	w := newWorld(t)
	id := w.running()
	text, token, err := w.identity.CreateToken(t.Context(), w.caller, "ci", []identity.Scope{identity.ScopeOpen}, time.Hour)
	w.must(err)
	dialer := websocket.Dialer{NetDialContext: w.client.Transport.(*http.Transport).DialContext}
	ws, _, err := dialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(w.hosts.URL(id), "http")+"echo", http.Header{"Authorization": {"Bearer " + text}}) //nolint:bodyclose // it has none
	w.must(err)
	defer ws.Close()
	w.must(ws.WriteMessage(websocket.TextMessage, []byte("a")))
	_, _, err = ws.ReadMessage()
	w.must(err)
	w.must(w.identity.RevokeToken(t.Context(), w.caller, token.ID))
	_ = ws.SetReadDeadline(time.Now().Add(patient))
	if _, _, err := ws.ReadMessage(); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("the WebSocket goes on: %v", err)
	}
	w.wantProblem(w.do(w.program("GET", w.hosts.URL(id), "", "Authorization", "Bearer "+text)), http.StatusUnauthorized)
}

func TestToken_WakesAsAProgramDoes(t *testing.T) {
	w := newWorld(t)
	id := w.create()
	if a := w.do(w.program("GET", w.hosts.URL(id), "", w.bearer(identity.ScopeOpen)...)); a.StatusCode != http.StatusOK || a.text != "hello" {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	other := w.create()
	if a := w.do(w.program("POST", w.hosts.URL(other)+".kalpana/wake", "", w.bearer(identity.ScopeOpen)...)); a.StatusCode != http.StatusAccepted {
		t.Errorf("waking: %d %s", a.StatusCode, a.text)
	}
}

func TestToken_WhoDoesNotBelongIsKeptOut(t *testing.T) {
	w := newWorld(t)
	id := w.running()
	_, him := w.signIn("bob")
	record, err := w.orch.Create(t.Context(), orchestrator.NewWorkspace{Owner: him.Person.ID, Name: "his", Template: "blank"})
	w.must(err)
	good := w.bearer(identity.ScopeOpen)
	mine, his, nobodys := w.hosts.URL(id), w.hosts.URL(record.ID), w.hosts.URL(workspace.NewID())
	get := func(url string, header ...string) *answer { return w.do(w.program("GET", url, "", header...)) }
	w.wantProblem(get(his, good...), http.StatusNotFound)
	w.wantProblem(get(nobodys, good...), http.StatusNotFound)
	if a, b := get(his, good...), get(nobodys, good...); a.text != b.text {
		t.Errorf("his and nobody's differ: %s, %s", a.text, b.text)
	}
	w.wantProblem(get(mine, w.bearer(identity.ScopeRead, identity.ScopeWrite)...), http.StatusForbidden)
	for _, wrong := range []string{"kalpana_", "kalpana_x", good[1][len("Bearer "):] + "x", identity.TokenPrefix + identity.NewSecret()} {
		a := get(mine, "Authorization", "Bearer "+wrong)
		w.wantProblem(a, http.StatusUnauthorized)
		if a.Header.Get("WWW-Authenticate") == "" {
			t.Error("it does not say that a token is wanted")
		}
		// Not even a grant makes up for a wrong token, and nobody is sent to sign in.
		w.wantProblem(w.do(w.navigation(mine, w.grant(ide(id)), "Authorization", "Bearer "+wrong)), http.StatusUnauthorized)
	}
	for _, origin := range []string{"null", console, w.hosts.Origin(preview(id, 3000)), "http://" + string(id), w.hosts.Origin(ide(id)) + ".evil.example"} {
		w.wantProblem(get(mine, append(good, "Origin", origin)...), http.StatusForbidden)
	}
	for _, site := range []string{"same-site", "cross-site", "nonsense"} {
		w.wantProblem(get(mine, append(good, "Sec-Fetch-Site", site)...), http.StatusForbidden)
	}
	if n := len(w.runtime.Requests()); n != 0 {
		t.Errorf("%d requests reached a container", n)
	}
}

func TestToken_OnAPreviewAuthorizationIsTheApps(t *testing.T) {
	w := newWorld(t)
	id := w.running()
	host := preview(id, 3000)
	token := w.bearer(identity.ScopeOpen)
	w.wantProblem(w.do(w.program("GET", w.hosts.Origin(host)+"/", "", token...)), http.StatusUnauthorized)
	if a := w.do(w.program("GET", w.hosts.Origin(host)+"/", w.grant(host), "Authorization", "Bearer theirs")); a.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", a.StatusCode, a.text)
	}
	if got := w.reached().Header.Get("Authorization"); got != "Bearer theirs" {
		t.Errorf("the app got %q", got)
	}
}

func TestToken_OursReachesNoApp(t *testing.T) {
	w := newWorld(t)
	host := preview(w.running(), 3000)
	if a := w.do(w.program("GET", w.hosts.Origin(host)+"/", w.grant(host), w.bearer(identity.ScopeOpen)...)); a.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", a.StatusCode, a.text)
	}
	if got := w.reached().Header["Authorization"]; len(got) != 0 {
		t.Errorf("the app got %q", got)
	}
}

func TestCost_ATokenOnARunningWorkspaceIsCheckedInMemory(t *testing.T) {
	w := newWorld(t)
	id := w.running()
	token := w.bearer(identity.ScopeOpen)
	w.do(w.program("GET", w.hosts.URL(id), "", token...))
	store, engine := int64(-1), -1
	for store != w.store.calls.Load() || engine != w.runtime.AllCalls() { // until the first reconcile is over
		store, engine = w.store.calls.Load(), w.runtime.AllCalls()
		time.Sleep(200 * time.Millisecond)
	}
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			resp, err := w.client.Do(w.program("GET", w.hosts.URL(id), "", token...))
			if err != nil {
				t.Error(err)
				return
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("status %d", resp.StatusCode)
			}
		})
	}
	all.Wait()
	if n := w.store.calls.Load() - store; n != 0 {
		t.Errorf("%d calls of the store", n)
	}
	if n := w.runtime.AllCalls() - engine; n != 0 {
		t.Errorf("%d calls of the engine", n)
	}
}
