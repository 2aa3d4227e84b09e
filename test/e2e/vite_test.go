package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const viteVersion = "8.3.8"

// vite returns a folder with Vite in its node_modules, which is kept in the cache.
func vite(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(cache, "kalpana", "test-vite-"+viteVersion)
	if _, err := os.Stat(folder); err == nil {
		return folder
	}
	if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil {
		t.Fatal(err)
	}
	fresh, err := os.MkdirTemp(filepath.Dir(folder), "test-vite-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(fresh)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	npm := exec.CommandContext(ctx, "npm", "install", "--prefix", fresh, "--no-audit", "--no-fund", "--prefer-offline", "vite@"+viteVersion)
	npm.Dir = fresh
	if out, err := npm.CombinedOutput(); err != nil {
		t.Fatalf("Vite could not be installed: %v\n%s", err, out)
	}
	if err := os.Rename(fresh, folder); err != nil && !os.IsExist(err) {
		if _, there := os.Stat(folder); there != nil { // else another run was quicker
			t.Fatal(err)
		}
	}
	return folder
}

// write puts a file into the container, as its user.
func write(t *testing.T, container, path, text string) {
	t.Helper()
	put := exec.Command("docker", "exec", "-i", container, "sh", "-c", "cat > "+path)
	put.Stdin = strings.NewReader(text)
	if out, err := put.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", path, err, out)
	}
}

func TestVite_ServesAndReloadsThroughItsPreview(t *testing.T) {
	t.Parallel()
	folder := vite(t)
	i := install(t, options+unfenced)
	b := i.signIn()
	w := b.open("vite")
	container := containerOf(t, w.ID)
	origin := i.workspaceURL("5173-" + w.ID)

	code, page := b.navigate(origin + "/")
	if code != http.StatusBadGateway || !strings.Contains(page, "Nothing listens on port 5173") {
		t.Fatalf("before it runs: %d %.400s", code, page)
	}
	const app = "/home/dev/app"
	docker(t, "exec", container, "mkdir", app)
	pack := exec.Command("sh", "-c", `tar -C "$1" -cf - node_modules | docker exec -i "$2" tar -C "$3" -xf -`, "sh", folder, container, app)
	if out, err := pack.CombinedOutput(); err != nil {
		t.Fatalf("copying Vite: %v\n%s", err, out)
	}
	write(t, container, app+"/index.html", `<!doctype html><title>mine</title><script type="module" src="/main.js"></script>`)
	write(t, container, app+"/main.js", `document.title = "first"; import.meta.hot.accept();`)
	// As "npm run dev" does it: on localhost alone.
	docker(t, "exec", "-d", "-w", app, container, "sh", "-c", "exec node node_modules/vite/bin/vite.js --port 5173 --strictPort > vite.log 2>&1")
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		if code, page = b.get(origin + "/"); code == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("Vite did not come up: %d %.400s\n%s", code, page, docker(t, "exec", container, "cat", app+"/vite.log"))
		}
	}
	if !strings.Contains(page, "/@vite/client") {
		t.Fatalf("the page is not Vite's: %.400s", page)
	}
	if code, script := b.get(origin + "/main.js"); code != http.StatusOK || !strings.Contains(script, "first") {
		t.Fatalf("main.js: %d %.400s", code, script)
	}
	_, client := b.get(origin + "/@vite/client")
	token := regexp.MustCompile(`wsToken = "([^"]+)"`).FindStringSubmatch(client)
	if token == nil {
		t.Fatalf("Vite's client has no token: %.2000s", client)
	}

	address := origin + "/?token=" + token[1]
	if ws, resp, err := b.socket(address, i.workspaceURL(w.ID), "vite-hmr"); err == nil || resp == nil || resp.StatusCode != http.StatusForbidden {
		if err == nil {
			ws.Close()
		}
		t.Errorf("a WebSocket from VS Code's origin: %v, %v", resp, err)
	}
	ws, _, err := b.socket(address, origin, "vite-hmr")
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	_ = ws.SetReadDeadline(time.Now().Add(30 * time.Second))
	next := func() string {
		_, raw, err := ws.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		var message struct{ Type string }
		if err := json.Unmarshal(raw, &message); err != nil {
			t.Fatalf("%v: %s", err, raw)
		}
		return message.Type
	}
	if got := next(); got != "connected" {
		t.Fatalf("the first message is %q", got)
	}
	write(t, container, app+"/main.js", `document.title = "second"; import.meta.hot.accept();`)
	for got := next(); got != "update"; got = next() {
		if got == "error" {
			t.Fatal("Vite says that there is an error")
		}
	}
	if _, script := b.get(origin + "/main.js?t=2"); !strings.Contains(script, "second") {
		t.Errorf("main.js afterwards: %.400s", script)
	}
}
