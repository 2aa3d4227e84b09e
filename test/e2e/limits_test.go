package e2e

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLimits_OfTheCaddyfileTakeEffectAtTheNextStart(t *testing.T) {
	t.Parallel()
	i := install(t, "KALPANA_RUNNING_LIMIT=1", options+unfenced+"limits {\n\tmemory 1GiB\n}\ntemplate python {\n\tlimits {\n\t\tcpus 1\n\t}\n}")
	b := i.signIn()
	first := b.open("first")
	b.await(first.ID, "running")
	if got := docker(t, "inspect", "-f", "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.CpuShares}}", containerOf(t, first.ID)); got != "1073741824 2000000000 256" {
		t.Errorf("limits %s", got)
	}

	second := b.create(map[string]string{"name": "second", "template": "python"})
	code, body := b.api("POST", "/api/workspaces/"+second.ID+"/start", nil, nil)
	if code != 409 || !strings.Contains(body, "You have as many workspaces running as you may have, 1. Stop one of them, then try again.") || !strings.Contains(body, "Awake now: first") {
		t.Errorf("a second one: %d %s", code, body)
	}
	if code, page := b.navigate(second.URL); code != 409 || !strings.Contains(page, "Awake now: first") {
		t.Errorf("its page: %d %s", code, page)
	}

	text, err := os.ReadFile(i.Config)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(i.Dir, "Caddyfile")
	changed := strings.Replace(string(text), "{$KALPANA_OPTIONS}", "rate_limits off\n"+unfenced+"limits {\n\tmemory 2GiB\n}\ntemplate python {\n\tlimits {\n\t\tcpus 1\n\t}\n}", 1)
	if err := os.WriteFile(config, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := i.Command("reload", "--config", config, "--adapter", "caddyfile", "--address", "unix/"+filepath.Join(i.Dir, "admin.sock"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("reload: %v\n%s", err, out)
	}
	stop := func(id string) {
		t.Helper()
		if code, body := b.api("POST", "/api/workspaces/"+id+"/stop", nil, nil); code != 202 {
			t.Fatalf("stop: %d %s", code, body)
		}
		b.await(id, "stopped")
	}
	start := func(id string) {
		t.Helper()
		if code, body := b.api("POST", "/api/workspaces/"+id+"/start", nil, nil); code != 202 {
			t.Fatalf("start: %d %s", code, body)
		}
		b.await(id, "running")
	}
	stop(first.ID)
	start(first.ID)
	if got := docker(t, "inspect", "-f", "{{.HostConfig.Memory}}", containerOf(t, first.ID)); got != "2147483648" {
		t.Errorf("memory %s", got)
	}
	stop(first.ID)
	start(second.ID)
	if got := docker(t, "inspect", "-f", "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}", containerOf(t, second.ID)); got != "2147483648 1000000000" {
		t.Errorf("limits of the template: %s", got)
	}
}

// A home in which nothing can be written, and no file be made, stands in for one whose quota is used up.
func TestLimits_AFullHomeStartsAndCanBeTidiedUp(t *testing.T) {
	t.Parallel()
	i := install(t, options+unfenced)
	b := i.signIn()
	w := b.create(map[string]string{"name": "full", "template": "blank"})
	volume := "kalpana-" + w.ID
	docker(t, "volume", "create", "--label", "dev.kalpana.instance="+i.Instance(), "--label", "dev.kalpana.workspace="+w.ID,
		"--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=4m,nr_inodes=64,uid=1000,gid=1000,mode=755", volume)
	filler := docker(t, "run", "--detach", "--workdir", "/", "--volume", volume+":/home/dev", "--entrypoint", "sleep", cmp.Or(os.Getenv("KALPANA_IMAGE"), "kalpana/workspace:latest"), "600")
	gone := func() { docker(t, "rm", "--force", "--volumes", filler) }
	t.Cleanup(func() { gone() })
	docker(t, "exec", filler, "bash", "-c", `mkdir -p ~/workspace ~/.local/share/code-server; n=0; while : > ~/workspace/$((++n)); do :; done 2>/dev/null; dd if=/dev/zero of=$HOME/workspace/1 2>/dev/null; ! echo more >> ~/workspace/1`)

	if code, body := b.navigate(w.URL); code != 503 && code != 200 {
		t.Fatalf("first hit: %d %s", code, body)
	}
	b.await(w.ID, "running")
	if code, page := b.navigate(w.URL); code != 200 || !strings.Contains(page, "code/didStartRenderer") {
		t.Errorf("VS Code: %d %.300s", code, page)
	}
	docker(t, "exec", containerOf(t, w.ID), "bash", "-c", "rm ~/workspace/[0-9]* && echo something > ~/workspace/something")
	gone()
	gone = func() {}
}
