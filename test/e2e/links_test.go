package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// Connections that are only open: a page's to the bridge, one to a terminal, and the one over which git may ask how to
// sign in, which every gateway keeps to each workspace that runs.
func TestOpenConnections_KeepNothingAwakeAndAreMadeAgain(t *testing.T) {
	t.Parallel()
	const options = options + unfenced + "sleep {\n\tpause_after 5s\n\tstop_after off\n}\n"
	i := install(t, options)
	b := i.signIn()
	w := b.open("linked")
	page := func(path string) *websocket.Conn {
		t.Helper()
		conn, resp, err := b.socket(i.console()+"/api/workspaces/"+w.ID+path, i.console())
		if err != nil {
			t.Fatalf("%s: %v %v", path, err, resp)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	calls := page("/bridge")
	if err := calls.WriteMessage(websocket.TextMessage, []byte(`{"jsonrpc":"2.0","id":1,"method":"createTerminal","params":{"cols":80,"rows":24}}`)); err != nil {
		t.Fatal(err)
	}
	var made struct {
		Result struct{ ID string }
		Error  any
	}
	if err := calls.ReadJSON(&made); err != nil || made.Result.ID == "" {
		t.Fatalf("a terminal: %+v %v", made, err)
	}
	terminal := page("/terminals/" + made.Result.ID)
	for _, conn := range []*websocket.Conn{calls, terminal} {
		go func() { // which answers pings
			for {
				if _, _, err := conn.ReadMessage(); err != nil {
					return
				}
			}
		}()
	}
	i.asksGateway(w.ID, "at first")
	i.wantLinks(1)

	b.await(w.ID, "paused")
	start := func(when string) {
		t.Helper()
		if code, body := b.api("POST", "/api/workspaces/"+w.ID+"/start", nil, nil); code != http.StatusAccepted {
			t.Fatalf("start: %d %s", code, body)
		}
		b.await(w.ID, "running")
		i.asksGateway(w.ID, when)
		i.wantLinks(1)
	}
	start("after a pause")
	if code, body := b.api("POST", "/api/workspaces/"+w.ID+"/stop", nil, nil); code != http.StatusAccepted {
		t.Fatalf("stop: %d %s", code, body)
	}
	b.await(w.ID, "stopped")
	i.wantLinks(0)
	start("after a stop")
	for n := range 3 {
		i.Env = append(i.Env, fmt.Sprintf("%saudit_keep %dh", options, n+1)) // which makes a new instance of everything
		if err := i.Reload(); err != nil {
			t.Fatal(err)
		}
	}
	i.asksGateway(w.ID, "after reloads")
	i.wantLinks(1)
}

// asksGateway fails unless git in the container gets an answer from a gateway: here, that it asks for nothing.
func (i *installation) asksGateway(id, when string) {
	i.t.Helper()
	ctx, cancel := context.WithTimeout(i.t.Context(), time.Minute)
	defer cancel()
	git := exec.CommandContext(ctx, "docker", "exec", "-i", containerOf(i.t, id), "kalpana", "git-credential", "get")
	git.Stdin = strings.NewReader("protocol=https\nhost=git.example.com\n\n")
	if out, err := git.CombinedOutput(); err == nil || !strings.Contains(string(out), "this is no path of a repository") {
		i.t.Errorf("%s, git's question is answered with %q, %v", when, out, err)
	}
}

var linkGoroutines = regexp.MustCompile(`(?m)^(\d+) @(?:.*\n)(?:#.*\n)*#.*caddymodule\.\(\*links\)\.keep`)

// wantLinks waits until the gateway keeps so many connections for questions of containers.
func (i *installation) wantLinks(want int) {
	i.t.Helper()
	n := 0
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		resp, err := i.Admin(http.MethodGet, "/debug/pprof/goroutine?debug=1")
		if err != nil {
			i.t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			i.t.Fatal(err)
		}
		n = 0
		for _, m := range linkGoroutines.FindAllSubmatch(text, -1) {
			equal, _ := strconv.Atoi(string(m[1]))
			n += equal
		}
		if n == want {
			return
		}
	}
	i.t.Errorf("the gateway keeps %d connections, not %d", n, want)
}
