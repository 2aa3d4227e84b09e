package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestBadInput_IsRefusedClearly(t *testing.T) {
	t.Parallel()
	i := install(t, options+unfenced)
	link := i.signInLink()
	b := i.signIn()
	w := b.create(map[string]string{"name": "refusals", "template": "blank"})

	_, token, _ := strings.Cut(link, "#")
	if code, body := i.browser().api("POST", "/api/login/link", map[string]string{"token": token}, nil); code != 204 {
		t.Fatalf("a fresh link: %d %s", code, body)
	}
	problem := func(what string, code, want int, body, says string) {
		t.Helper()
		var p struct{ Detail string }
		_ = json.Unmarshal([]byte(body), &p)
		if code != want || !strings.Contains(p.Detail+body, says) {
			t.Errorf("%s: %d %s, want %d and %q", what, code, body, want, says)
		}
	}
	post := func(path string, in any) (int, string) { return b.api("POST", path, in, nil) }
	{
		code, body := i.browser().api("POST", "/api/login/link", map[string]string{"token": token}, nil)
		problem("a used link", code, 401, body, "used already or is too old")
		code, body = post("/api/workspaces", map[string]string{"name": "x", "template": "nope"})
		problem("an unknown template", code, 422, body, "No such template")
		code, body = post("/api/workspaces", map[string]string{"name": strings.Repeat("n", 10000), "template": "blank"})
		problem("a name of 10,000 characters", code, 422, body, "name")
		code, body = post("/api/workspaces", map[string]string{"name": "x", "template": "blank", "repository": "https://user:secret@example.com/x"})
		problem("a repository with a password", code, 422, body, "repository")
		code, body = b.api("GET", "/api/workspaces/zzzzzzzzzz", nil, nil)
		problem("an unknown id", code, 404, body, "does not exist")
		code, body = i.browser().api("GET", "/api/workspaces", nil, nil)
		problem("nobody", code, 401, body, "not signed in")
	}
	raw := func(body io.Reader, header ...string) (int, string) {
		resp := b.do(request("POST", i.console()+"/api/workspaces", body, append([]string{"Content-Type", "application/json", "Sec-Fetch-Site", "same-origin"}, header...)...))
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(text)
	}
	code, body := raw(strings.NewReader(`{"name": `))
	problem("malformed JSON", code, 400, body, "unexpected end")
	code, body = raw(strings.NewReader(`{"name":"` + strings.Repeat("n", 1<<20) + `"}`))
	problem("a huge body", code, 413, body, "")
	start := time.Now()
	endless, stop := io.Pipe()
	code, body = raw(endless)
	stop.Close()
	problem("a body that never ends", code, 408, body, "")
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("a body that never ends took %s", d)
	}
	code, body = raw(strings.NewReader(`{}`), "Sec-Fetch-Site", "same-site", "Origin", strings.TrimSuffix(w.URL, "/"))
	problem("a sibling's page", code, 403, body, "another site")

	for n := 2; n <= 5; n++ {
		b.create(map[string]string{"name": fmt.Sprint("w", n), "template": "blank"})
	}
	code, body = post("/api/workspaces", map[string]string{"name": "sixth", "template": "blank"})
	problem("the sixth workspace", code, 403, body, "as many workspaces as you may have")

	for host, want := range map[string]int{
		"nope.ws.kalpana.localhost": 404, "0-" + w.ID + ".ws.kalpana.localhost": 404, "70000-" + w.ID + ".ws.kalpana.localhost": 404,
		"3001-" + w.ID + ".ws.kalpana.localhost": 404, "8080-" + w.ID + ".ws.kalpana.localhost": 404, w.ID + "x.ws.kalpana.localhost": 404,
		w.ID + ".ws.kalpana.localhost": 401, "zzzzzzzzzz.ws.kalpana.localhost": 401,
	} {
		resp := i.browser().do(request("GET", fmt.Sprintf("http://%s:%d/", host, i.Port), nil))
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("host %s: %s, want %d", host, resp.Status, want)
		}
	}

	// A grant is good on its own host alone.
	b.navigate(w.URL)
	other := i.workspaceURL(b.workspaces()[1].ID)
	stolen := i.browser()
	r := request("GET", other+"/", nil)
	r.Header.Set("Cookie", b.Cookies(w.ID+".ws.kalpana.localhost"))
	resp := stolen.do(r)
	resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a grant of another host: %s", resp.Status)
	}
}

func TestDeadEngine_IsSaidClearlyAndNothingIsLost(t *testing.T) {
	t.Parallel()
	i := install(t, "DOCKER_HOST=unix:///nonexistent/docker.sock")
	b := i.signIn()
	w := b.create(map[string]string{"name": "no engine", "template": "blank"})
	start := time.Now()
	code, page := b.navigate(w.URL)
	if code != http.StatusServiceUnavailable {
		t.Fatalf("first hit: %d", code)
	}
	if s := b.await(w.ID, "error"); !strings.Contains(s.Reason, "engine does not answer") {
		t.Errorf("reason: %q\n%.500s", s.Reason, page)
	}
	if d := time.Since(start); d > 15*time.Second {
		t.Errorf("it took %s to say so", d)
	}
	if code, body := b.api("POST", "/api/workspaces/"+w.ID+"/start", nil, nil); code != http.StatusServiceUnavailable || !strings.Contains(body, "engine does not answer") {
		t.Errorf("start: %d %s", code, body)
	}
	if code, body := b.get(w.URL); code != http.StatusServiceUnavailable || !strings.Contains(body, "engine does not answer") {
		t.Errorf("a program's request: %d %s", code, body)
	}
	// A delete waits for the engine and is finished when it is back; the record is not lost.
	if code, body := b.api("DELETE", "/api/workspaces/"+w.ID, nil, nil); code != http.StatusServiceUnavailable {
		t.Errorf("delete: %d %s", code, body)
	}
	if s := b.state(w.ID); s.State != "deleting" {
		t.Errorf("after the delete: %+v", s)
	}
	i.stop()
	i.Env = append(i.Env, "DOCKER_HOST="+os.Getenv("DOCKER_HOST"))
	i.start()
	for deadline := time.Now().Add(30 * time.Second); len(b.workspaces()) > 0; time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the delete was not finished: %+v", b.workspaces())
		}
	}
}

func TestMissingImage_IsSaidClearly(t *testing.T) {
	t.Parallel()
	i := install(t, "KALPANA_IMAGE=kalpana/nowhere:none")
	b := i.signIn()
	w := b.create(map[string]string{"name": "no image", "template": "blank"})
	b.navigate(w.URL)
	if s := b.await(w.ID, "error"); !strings.Contains(s.Reason, "image") {
		t.Errorf("reason: %q", s.Reason)
	}
}

func TestSecondGateway_IsKeptOffTheDataDirectory(t *testing.T) {
	t.Parallel()
	i := install(t)
	second := i.Command("run", "--config", i.Config, "--adapter", "caddyfile")
	second.Env = append(second.Env, "KALPANA_PORT=1", "KALPANA_METRICS_PORT=1")
	for n, v := range second.Env {
		if strings.HasPrefix(v, "KALPANA_PORT=") {
			second.Env[n] = fmt.Sprintf("KALPANA_PORT=%d", freePort(t))
		}
		if strings.HasPrefix(v, "KALPANA_METRICS_PORT=") {
			second.Env[n] = fmt.Sprintf("KALPANA_METRICS_PORT=%d", freePort(t))
		}
	}
	out, err := second.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "in use by another gateway") {
		t.Errorf("%v\n%s", err, out)
	}
	if i.Command("firewall").Run() != nil {
		t.Error("the first gateway no longer answers")
	}
}

func TestMetrics_TellOfRequestsAndWakes(t *testing.T) {
	t.Parallel()
	i := install(t, options+unfenced)
	b := i.signIn()
	b.open("metrics")
	var port string
	for _, v := range i.Env {
		if p, ok := strings.CutPrefix(v, "KALPANA_METRICS_PORT="); ok {
			port = p
		}
	}
	resp, err := http.Get("http://127.0.0.1:" + port + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	for _, want := range []string{
		`kalpana_workspaces{state="running"} 1`,
		`kalpana_gateway_requests_total{code="2xx",host="ide"}`,
		`kalpana_wake_duration_seconds_count{from="stopped",outcome="ok",stage="total"} 1`,
		`kalpana_wake_duration_seconds_count{from="stopped",outcome="ok",stage="editor"} 1`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
}

func TestDyingContainer_ShowsTheEndOfItsLog(t *testing.T) {
	t.Parallel()
	image := derive(t, "dying", `ENTRYPOINT ["sh", "-c", "echo the disk caught fire; exit 3"]`)
	i := install(t, options+unfenced, "KALPANA_IMAGE="+image)
	b := i.signIn()
	w := b.create(map[string]string{"name": "dying", "template": "blank"})
	b.navigate(w.URL)
	if s := b.await(w.ID, "error"); !strings.Contains(s.Reason, "code 3") || !strings.Contains(s.Reason, "the disk caught fire") {
		t.Errorf("reason: %q", s.Reason)
	}
}

func free(port int) bool {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

func TestPorts_ThatAreExhaustedAreSaidClearly(t *testing.T) {
	t.Parallel()
	port := 20000 + os.Getpid()%10000 // below those that the system hands out
	for ; !free(port) || !free(port+1); port += 2 {
	}
	i := install(t, options+unfenced, fmt.Sprintf("KALPANA_PORTS=%d-%d", port, port+1))
	b := i.signIn()
	b.open("has the ports")
	w := b.create(map[string]string{"name": "has none", "template": "blank"})
	b.navigate(w.URL)
	if s := b.await(w.ID, "error"); !strings.Contains(s.Reason, "port of the configured range is taken") {
		t.Errorf("reason: %q", s.Reason)
	}
}

func TestFullDisk_IsSaidClearlyAndNothingIsLost(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	turn(t)
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", dir).Run() })
	i := installIn(t, dir)
	b := i.signIn()
	w := b.create(map[string]string{"name": "before", "template": "blank"})

	filler := filepath.Join(dir, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	for chunk := make([]byte, 4096); ; {
		if _, err := f.Write(chunk); err != nil {
			break
		}
	}
	f.Close()
	full := false
	for n := 0; n < 200 && !full; n++ { // until what SQLite had set aside is used up
		var made workspaceView
		code, body := b.api("POST", "/api/workspaces", map[string]string{"name": strings.Repeat("x", 60), "template": "blank"}, &made)
		switch code {
		case http.StatusCreated:
			if code, _ := b.api("DELETE", "/api/workspaces/"+made.ID, nil, nil); code == http.StatusInsufficientStorage {
				full = true
			}
		case http.StatusInsufficientStorage:
			if full = true; !strings.Contains(body, "disk is full") {
				t.Errorf("create: %s", body)
			}
		default:
			t.Fatalf("create: %d %s", code, body)
		}
	}
	if !full {
		t.Error("nothing said that the disk is full")
	}
	if s := b.state(w.ID); s.Name != "before" {
		t.Errorf("reading fails on a full disk: %+v", s)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if code, body := b.api("PATCH", "/api/workspaces/"+w.ID, map[string]string{"name": "after"}, nil); code != http.StatusOK {
		t.Errorf("with room again: %d %s", code, body)
	}
}
