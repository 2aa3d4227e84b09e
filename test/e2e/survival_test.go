package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// vscodeSocket opens the WebSocket that the workbench speaks to its server, as far as the first
// message, to which the server answers.
func (b *browser) vscodeSocket(id string) *websocket.Conn {
	b.t.Helper()
	address := b.at.workspaceURL(id)
	conn, resp, err := b.socket(address+"/?reconnectionToken=00000000-0000-4000-8000-000000000001&reconnection=false&skipWebSocketFrames=false", address)
	if err != nil {
		b.t.Fatalf("WebSocket: %v %v", err, resp)
	}
	b.t.Cleanup(func() { conn.Close() })
	return conn
}

// alive reports whether the connection is still open: nothing may end it within a second.
func alive(conn *websocket.Conn) bool {
	if conn.WriteControl(websocket.PingMessage, []byte("x"), time.Now().Add(time.Second)) != nil {
		return false
	}
	pong := make(chan struct{}, 1)
	conn.SetPongHandler(func(string) error {
		select {
		case pong <- struct{}{}:
		default:
		}
		return nil
	})
	_ = conn.SetReadDeadline(time.Now().Add(3 * time.Second))
	go func() {
		for {
			if _, _, err := conn.ReadMessage(); err != nil {
				return
			}
		}
	}()
	select {
	case <-pong:
		return true
	case <-time.After(3 * time.Second):
		return false
	}
}

func TestReload_DropsNoWebSocket(t *testing.T) {
	t.Parallel()
	i := install(t, options+unfenced)
	b := i.signIn()
	w := b.open("reload")
	same, changed := b.vscodeSocket(w.ID), b.vscodeSocket(w.ID)

	reload := func(config string) {
		t.Helper()
		cmd := i.Command("reload", "--force", "--config", config, "--adapter", "caddyfile", "--address", "unix/"+filepath.Join(i.Dir, "admin.sock"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("reload: %v\n%s", err, out)
		}
	}
	reload(i.Config)
	if !alive(same) {
		t.Error("a reload of the same configuration dropped a WebSocket")
	}
	// A changed configuration of our own app makes a new instance; streams of the old one go on.
	text, err := os.ReadFile(i.Config)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(i.Dir, "Caddyfile")
	if err := os.WriteFile(config, []byte(strings.Replace(string(text), "workspace_limit {$KALPANA_WORKSPACE_LIMIT:5}", "workspace_limit 7", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	reload(config)
	if !alive(changed) {
		t.Error("a reload of a changed configuration dropped a WebSocket")
	}
	var me struct{ WorkspaceLimit int }
	if code, body := b.api("GET", "/api/me", nil, &me); code != 200 || me.WorkspaceLimit != 7 {
		t.Errorf("the new configuration is not in force: %d %s", code, body)
	}
	if code, _ := b.navigate(w.URL); code != http.StatusOK {
		t.Errorf("VS Code after the reloads: %d", code)
	}
}

func TestSignOut_EndsOpenWebSockets(t *testing.T) {
	t.Parallel()
	i := install(t, options+unfenced)
	b := i.signIn()
	w := b.open("sign-out")
	conn := b.vscodeSocket(w.ID)
	if code, body := b.api("POST", "/api/logout", nil, nil); code != http.StatusNoContent {
		t.Fatalf("sign-out: %d %s", code, body)
	}
	start := time.Now()
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	for {
		if _, _, err := conn.ReadMessage(); err != nil {
			break
		}
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("the WebSocket lived on for %s", d)
	}
	if code, _ := b.get(w.URL); code != http.StatusUnauthorized {
		t.Errorf("the grant lived on: %d", code)
	}
}

func TestKilledGateway_FindsEverythingAgain(t *testing.T) {
	t.Parallel()
	i := install(t)
	b := i.signIn()
	w := b.open("killed")
	container := containerOf(t, w.ID)
	started := docker(t, "inspect", "-f", "{{.State.StartedAt}}", container)
	docker(t, "exec", container, "sh", "-c", "echo kept > /home/dev/workspace/kept.txt")

	i.Kill()
	i.start()
	b.await(w.ID, "running") // the same session, the same cookies
	if code, body := b.navigate(w.URL); code != http.StatusOK {
		t.Errorf("VS Code after the crash: %d %.300s", code, body)
	}
	if again := docker(t, "inspect", "-f", "{{.State.StartedAt}}", container); again != started {
		t.Errorf("the container was restarted: %s, then %s", started, again)
	}

	// Killed in the middle of a wake.
	if code, body := b.api("POST", "/api/workspaces/"+w.ID+"/stop", nil, nil); code != http.StatusAccepted {
		t.Fatalf("stop: %d %s", code, body)
	}
	b.await(w.ID, "stopped")
	b.navigate(w.URL)
	time.Sleep(400 * time.Millisecond)
	i.Kill()
	i.start()
	if code, body := b.get(w.URL + "?folder=/home/dev/workspace"); code != http.StatusOK {
		t.Errorf("the first hit after a crash in a wake: %d %.300s\n%s", code, body, i.Log.Tail())
	}
	if n := len(strings.Fields(containerOf(t, w.ID))); n != 1 {
		t.Errorf("%d containers", n)
	}
	if out := docker(t, "exec", container, "cat", "/home/dev/workspace/kept.txt"); out != "kept" {
		t.Errorf("the file is gone: %q", out)
	}
}

func TestDyingContainer_IsSeenAndWakesAgain(t *testing.T) {
	t.Parallel()
	i := install(t, options+unfenced)
	b := i.signIn()
	w := b.open("dying")
	docker(t, "kill", containerOf(t, w.ID))
	b.await(w.ID, "stopped")
	if code, body := b.get(w.URL + "?folder=/home/dev/workspace"); code != http.StatusOK {
		t.Errorf("the next hit: %d %.300s", code, body)
	}
}

func TestLostKey_LosesNoWorkspace(t *testing.T) {
	t.Parallel()
	i := install(t, options+unfenced)
	b := i.signIn()
	w := b.open("lost key")
	docker(t, "exec", containerOf(t, w.ID), "sh", "-c", "echo kept > /home/dev/workspace/kept.txt")
	i.stop()
	if err := os.Remove(filepath.Join(i.Dir, "key")); err != nil {
		t.Fatal(err)
	}
	i.start()
	again := i.signIn()
	if code, _ := again.navigate(w.URL); code != http.StatusOK && code != http.StatusServiceUnavailable {
		t.Fatalf("first hit: %d", code)
	}
	again.await(w.ID, "running")
	if code, body := again.get(w.URL + "?folder=/home/dev/workspace"); code != http.StatusOK {
		t.Errorf("VS Code: %d %.300s", code, body)
	}
	if out := docker(t, "exec", containerOf(t, w.ID), "cat", "/home/dev/workspace/kept.txt"); out != "kept" {
		t.Errorf("the file is gone: %q", out)
	}
}
