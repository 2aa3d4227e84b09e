package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kalpana-dev/kalpana/test/harness"
)

// browser is a browser whose faults end the test.
type browser struct {
	*harness.Browser
	t  *testing.T
	at *installation
}

func (i *installation) browser() *browser {
	b := i.Browser()
	i.t.Cleanup(b.Close)
	return &browser{b, i.t, i}
}

// signIn returns a browser that is signed in as the first admin.
func (i *installation) signIn() *browser {
	i.t.Helper()
	b, err := i.SignIn()
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(b.Close)
	return &browser{b, i.t, i}
}

// do sends one request with the host's cookies and keeps those that come back.
func (b *browser) do(r *http.Request) *http.Response {
	b.t.Helper()
	resp, err := b.Do(r)
	if err != nil {
		b.t.Fatalf("%s %s: %v\n%s", r.Method, r.URL, err, b.at.Log.Tail())
	}
	return resp
}

func request(method, address string, body io.Reader, header ...string) *http.Request {
	return harness.Request(method, address, body, header...)
}

// api calls the console's API as its own page does.
func (b *browser) api(method, path string, in, out any) (int, string) {
	b.t.Helper()
	a, err := b.API(method, path, in)
	if err == nil && out != nil && a.Status < 300 {
		err = json.Unmarshal([]byte(a.Body), out)
	}
	return b.answered(method+" "+path, a, err)
}

func (b *browser) answered(what string, a harness.Answer, err error) (int, string) {
	b.t.Helper()
	if err != nil {
		b.t.Fatalf("%s: %v\n%v\n%s", what, err, a, b.at.Log.Tail())
	}
	return a.Status, a.Body
}

// navigate opens an address in a tab, following redirects, and returns the last answer.
func (b *browser) navigate(address string) (int, string) {
	b.t.Helper()
	a, err := b.Navigate(address)
	return b.answered(address, a, err)
}

// get fetches as a program does: without Fetch Metadata.
func (b *browser) get(address string) (int, string) {
	b.t.Helper()
	a, err := b.Get(address)
	return b.answered(address, a, err)
}

// socket opens a WebSocket with the host's cookies and the given Origin.
func (b *browser) socket(address, origin string, protocols ...string) (*websocket.Conn, *http.Response, error) {
	return b.Socket(address, origin, protocols...)
}

type workspaceView = harness.View

func (b *browser) workspaces() []workspaceView {
	b.t.Helper()
	var list struct{ Workspaces []workspaceView }
	if code, body := b.api("GET", "/api/workspaces", nil, &list); code != 200 {
		b.t.Fatalf("list: %d %s", code, body)
	}
	return list.Workspaces
}

func (b *browser) create(in map[string]string) workspaceView {
	b.t.Helper()
	var w workspaceView
	if code, body := b.api("POST", "/api/workspaces", in, &w); code != 201 {
		b.t.Fatalf("create: %d %s", code, body)
	}
	return w
}

func (b *browser) state(id string) workspaceView {
	b.t.Helper()
	var w workspaceView
	if code, body := b.api("GET", "/api/workspaces/"+id, nil, &w); code != 200 {
		b.t.Fatalf("get: %d %s", code, body)
	}
	return w
}

// await waits until a workspace is in a state.
func (b *browser) await(id, state string) workspaceView {
	b.t.Helper()
	var w workspaceView
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if w = b.state(id); w.State == state {
			return w
		}
	}
	b.t.Fatalf("workspace %s is %s (%s), not %s\n%s", id, w.State, w.Reason, state, b.at.Log.Tail())
	return w
}

// open brings a workspace up through its own address and returns it running.
func (b *browser) open(name string) workspaceView {
	b.t.Helper()
	w := b.create(map[string]string{"name": name, "template": "blank"})
	if code, body := b.navigate(w.URL); code != 503 && code != 200 {
		b.t.Fatalf("first hit: %d %s", code, body)
	}
	b.await(w.ID, "running")
	if code, body := b.navigate(w.URL); code != 200 || !strings.Contains(body, "workbench") {
		b.t.Fatalf("VS Code: %d %.300s", code, body)
	}
	return w
}
