package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kalpana-dev/kalpana/api"
	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/workspace"
)

// pageSite is a toolSite whose console's pages reach the bridges.
type pageSite struct {
	*toolSite
	web *httptest.Server
}

func newPageSite(t *testing.T) *pageSite {
	t.Helper()
	s := &pageSite{toolSite: newToolSite(t)}
	s.Handler = api.New(api.Config{
		Hosts: s.hosts, Identity: s.identity, Orchestrator: s.orchestrator, Stopping: s.stopping, Bridge: s.bridge,
		Templates: []api.Template{{Name: "blank", Title: "Blank", Ports: []int{}}},
	})
	s.web = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.ServeHTTP(wrapped{w}, r)
	}))
	t.Cleanup(s.web.Close)
	return s
}

// wrapped is a writer as servers wrap it: what else it can do is found by Unwrap alone.
type wrapped struct{ http.ResponseWriter }

func (w wrapped) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// dial opens a WebSocket as a page of an origin does. It is nil where the answer is another status.
func (s *pageSite) dial(b *browser, origin, path string) (*websocket.Conn, int) {
	s.t.Helper()
	header := http.Header{"Host": {"kalpana.localhost:8080"}, "Cookie": {b.cookie}}
	if origin != "" {
		header["Origin"] = []string{origin}
	}
	ws, resp, err := websocket.DefaultDialer.DialContext(s.t.Context(), "ws"+strings.TrimPrefix(s.web.URL, "http")+path, header)
	if err != nil {
		if resp == nil {
			s.t.Fatal(err)
		}
		return nil, resp.StatusCode
	}
	s.t.Cleanup(func() { _ = ws.Close() })
	_ = ws.SetReadDeadline(time.Now().Add(30 * time.Second))
	return ws, resp.StatusCode
}

// awake makes a workspace that runs, with a bridge, and returns its id and its folder.
func (s *pageSite) awake(t *testing.T, b *browser) (id, folder string) {
	t.Helper()
	id = b.create("one").ID
	folder = s.run(t, id)
	b.must(http.StatusAccepted, "POST", "/api/workspaces/"+id+"/start", nil)
	b.await(id, "running")
	return id, folder
}

type rpcAnswer struct {
	ID     any
	Result json.RawMessage
	Error  *struct {
		Code    int64
		Message string
	}
}

func rpc(t *testing.T, ws *websocket.Conn, request string) rpcAnswer {
	t.Helper()
	if err := ws.WriteMessage(websocket.TextMessage, []byte(request)); err != nil {
		t.Fatal(err)
	}
	var a rpcAnswer
	if err := ws.ReadJSON(&a); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestBridge_APageReadsAndWritesFiles(t *testing.T) {
	s := newPageSite(t)
	asha := s.signIn("Asha")
	id, folder := s.awake(t, asha)
	ws, status := s.dial(asha, console, "/api/workspaces/"+id+"/bridge")
	if ws == nil {
		t.Fatal(status)
	}
	a := rpc(t, ws, `{"jsonrpc":"2.0","id":1,"method":"writeFile","params":{"path":"a.txt","content":"hello"}}`)
	if text, err := os.ReadFile(filepath.Join(folder, "a.txt")); a.Error != nil || err != nil || string(text) != "hello" {
		t.Fatalf("%+v, %q, %v", a, text, err)
	}
	if a := rpc(t, ws, `{"jsonrpc":"2.0","id":"two","method":"readFile","params":{"path":"a.txt"}}`); a.ID != "two" || !bytes.Contains(a.Result, []byte(`"hello"`)) {
		t.Errorf("%+v", a)
	}
	for request, code := range map[string]int64{
		`{"jsonrpc":"2.0","id":3,"method":"readFile","params":{"path":"../secret"}}`: bridge.CodeOutside,
		`{"jsonrpc":"2.0","id":3,"method":"readFile","params":{"path":"none"}}`:      bridge.CodeNotFound,
		`{"jsonrpc":"2.0","id":3,"method":"runCommand","params":{"argv":["id"]}}`:    bridge.CodeUnknownMethod,
		`{"jsonrpc":"2.0","id":3,"method":"git","params":{"push":{}}}`:               bridge.CodeUnknownMethod,
		`{"jsonrpc":"2.0","id":3,"method":"beginCheckpoint","params":{}}`:            bridge.CodeUnknownMethod,
		`{"jsonrpc":"2.0","id":{"a":1},"method":"readFile"}`:                         bridge.CodeInvalidRequest,
		`{"jsonrpc":"1.0","id":3,"method":"readFile"}`:                               bridge.CodeInvalidRequest,
		`nothing`: bridge.CodeInvalidRequest,
		`{"jsonrpc":"2.0","id":3,"method":"readFile","params":{"path":"a.txt","unknown":"a thing"}}`: bridge.CodeInvalid,
	} {
		if a := rpc(t, ws, request); a.Error == nil || a.Error.Code != code || a.Error.Message == "" || a.Result != nil {
			t.Errorf("%s: %+v, %+v", request, a, a.Error)
		}
	}
}

func TestBridge_OnlyForPagesOfTheConsoleAndTheOwner(t *testing.T) {
	s := newPageSite(t)
	asha, ravi := s.signIn("Asha"), s.signIn("Ravi")
	id, _ := s.awake(t, asha)
	asleep := asha.create("asleep").ID
	for _, path := range []string{"/api/workspaces/" + id + "/bridge", "/api/workspaces/" + id + "/terminals/x"} {
		for _, c := range []struct {
			who    *browser
			origin string
			want   int
		}{
			{ravi, console, http.StatusNotFound},
			{asha, "http://" + id + ".ws.kalpana.localhost:8080", http.StatusForbidden},
			{asha, "https://kalpana.localhost:8080", http.StatusForbidden},
			{asha, "", http.StatusForbidden},
			{s.stranger(), console, http.StatusUnauthorized},
		} {
			if ws, status := s.dial(c.who, c.origin, path); ws != nil || status != c.want {
				t.Errorf("%s from %q: %d, want %d", path, c.origin, status, c.want)
			}
		}
		if w := asha.do("GET", path, nil); w.Code != http.StatusUpgradeRequired {
			t.Errorf("%s without an upgrade: %d", path, w.Code)
		}
	}
	if ws, status := s.dial(asha, console, "/api/workspaces/"+asleep+"/bridge"); ws != nil || status != http.StatusConflict {
		t.Errorf("one that sleeps: %d", status)
	}
	if state := asha.await(asleep, "stopped").State; state != "stopped" {
		t.Errorf("it was woken: %s", state)
	}
}

func TestBridge_APageThatFloodsIsHeldBack(t *testing.T) {
	s := newPageSite(t)
	asha := s.signIn("Asha")
	id, _ := s.awake(t, asha)
	ws, status := s.dial(asha, console, "/api/workspaces/"+id+"/bridge")
	if ws == nil {
		t.Fatal(status)
	}
	busy := 0
	for range 1000 { // one after the other: never as many at once as would be too many
		if a := rpc(t, ws, `{"jsonrpc":"2.0","id":1,"method":"nothing"}`); a.Error != nil && a.Error.Code == bridge.CodeBusy {
			busy++
		}
	}
	if busy < 100 {
		t.Errorf("%d of 1000 calls were held back", busy)
	}
}

func TestBridge_EndsWithTheSession(t *testing.T) {
	s := newPageSite(t)
	asha := s.signIn("Asha")
	id, _ := s.awake(t, asha)
	ws, _ := s.dial(asha, console, "/api/workspaces/"+id+"/bridge")
	asha.must(http.StatusNoContent, "POST", "/api/logout", nil)
	_, _, err := ws.ReadMessage()
	if !websocket.IsCloseError(err, websocket.ClosePolicyViolation) {
		t.Errorf("after signing out: %v", err)
	}
}

func TestBridge_WhoLosesAccessWhileItConnectsIsNotServed(t *testing.T) {
	s := newPageSite(t)
	asha, admin := s.signIn("Asha"), s.admin()
	id, _ := s.awake(t, asha)
	person := decode[api.Me](t, asha.must(200, "GET", "/api/me", nil)).ID
	var once sync.Once
	s.Handler = api.New(api.Config{
		Hosts: s.hosts, Identity: s.identity, Orchestrator: s.orchestrator, Stopping: s.stopping,
		Bridge: func(ctx context.Context, id workspace.ID) (*bridge.Client, error) {
			client, err := s.bridge(ctx, id)
			once.Do(func() {
				s.ahead.Add(int64(5 * time.Second))
				admin.must(200, "PATCH", "/api/people/"+person, `{"disabled":true}`)
				s.ahead.Add(int64(5 * time.Second)) // as long as it takes to connect
			})
			return client, err
		},
	})
	ws, status := s.dial(asha, console, "/api/workspaces/"+id+"/bridge")
	if ws == nil {
		t.Fatalf("the WebSocket: %d", status)
	}
	_ = ws.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, _, err := ws.ReadMessage(); !websocket.IsCloseError(err, websocket.ClosePolicyViolation) {
		t.Errorf("once it is connected: %v", err)
	}
}

func TestBridge_ATerminalOutlivesThePage(t *testing.T) {
	s := newPageSite(t)
	asha := s.signIn("Asha")
	id, _ := s.awake(t, asha)
	control, _ := s.dial(asha, console, "/api/workspaces/"+id+"/bridge")
	a := rpc(t, control, `{"jsonrpc":"2.0","id":1,"method":"createTerminal","params":{"argv":["/bin/sh","-c","stty -echo; while read x; do echo \"got $x\"; [ \"$x\" = size ] && stty size; [ \"$x\" = end ] && exit 7; done"]}}`)
	var made bridge.CreateTerminalResult
	if err := json.Unmarshal(a.Result, &made); err != nil {
		t.Fatalf("%v: %+v", err, a)
	}
	path := "/api/workspaces/" + id + "/terminals/" + made.ID
	shows := func(ws *websocket.Conn, want string) {
		t.Helper()
		var seen bytes.Buffer
		for !strings.Contains(seen.String(), want) {
			_, message, err := ws.ReadMessage()
			if err != nil {
				t.Fatalf("%v, having seen %q", err, &seen)
			}
			seen.Write(message)
		}
	}
	first, _ := s.dial(asha, console, path)
	_ = first.WriteMessage(websocket.BinaryMessage, []byte("one\n"))
	shows(first, "got one")
	_ = first.Close()
	second, _ := s.dial(asha, console, path)
	shows(second, "got one") // replayed
	_ = second.WriteMessage(websocket.TextMessage, []byte(`{"cols":91,"rows":17}`))
	_ = second.WriteMessage(websocket.BinaryMessage, []byte("size\n"))
	shows(second, "17 91")
	_ = second.WriteMessage(websocket.BinaryMessage, []byte("end\n"))
	shows(second, "got end")
	_, _, err := second.ReadMessage()
	if !websocket.IsCloseError(err, websocket.CloseNormalClosure) || !strings.Contains(err.Error(), "exited 7") {
		t.Errorf("at its end: %v", err)
	}
	if ws, _ := s.dial(asha, console, path); ws != nil {
		if _, _, err := ws.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseInternalServerErr) {
			t.Errorf("one that has ended: %v", err)
		}
	}
}

func TestBridge_TheRoleIsLookedUpAgainAtEachCall(t *testing.T) {
	s := newPageSite(t)
	asha := s.signIn("Asha")
	id, _ := s.awake(t, asha)
	ws, _ := s.dial(asha, console, "/api/workspaces/"+id+"/bridge")
	if a := rpc(t, ws, `{"jsonrpc":"2.0","id":1,"method":"listFiles","params":{"path":""}}`); a.Error != nil {
		t.Fatal(a.Error)
	}
	asha.must(http.StatusNoContent, "DELETE", "/api/workspaces/"+id, nil)
	for { // the answer says no, or the connection is ended: whichever is first
		if ws.WriteMessage(websocket.TextMessage, []byte(`{"jsonrpc":"2.0","id":2,"method":"listFiles","params":{"path":""}}`)) != nil {
			return
		}
		var a rpcAnswer
		if ws.ReadJSON(&a) != nil || a.Error != nil {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}
