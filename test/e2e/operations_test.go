package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// kalpana runs a command of the gateway's binary and returns what it prints and its exit code.
func (i *installation) kalpana(args ...string) (out, notes string, code int) {
	i.t.Helper()
	cmd := i.Command(args...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		i.t.Fatal(err)
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

// does runs a command that must succeed.
func (i *installation) does(args ...string) string {
	i.t.Helper()
	out, notes, code := i.kalpana(args...)
	if code != 0 {
		i.t.Fatalf("kalpana %s exits with %d\n%s\n%s", strings.Join(args, " "), code, out, notes)
	}
	return out
}

// metrics returns what Prometheus gets.
func (i *installation) metrics() string {
	i.t.Helper()
	port := ""
	for _, v := range i.Env {
		if p, ok := strings.CutPrefix(v, "KALPANA_METRICS_PORT="); ok {
			port = p
		}
	}
	resp, err := http.Get("http://127.0.0.1:" + port + "/metrics")
	if err != nil {
		i.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		i.t.Fatal(err)
	}
	return string(text)
}

// checked is a line of the doctor's.
type checked struct{ Name, Status, Found, Do string }

func (i *installation) doctor() (checks map[string]checked, code int) {
	i.t.Helper()
	out, notes, code := i.kalpana("doctor", "--config", i.Config, "--json")
	var report struct{ Checks []checked }
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		i.t.Fatalf("%v\n%s\n%s", err, out, notes)
	}
	checks = map[string]checked{}
	for _, c := range report.Checks {
		checks[c.Name] = c
	}
	return checks, code
}

func TestDoctor_OnARealMachine(t *testing.T) {
	t.Parallel()
	i := install(t)
	checks, code := i.doctor()
	for _, name := range []string{"configuration", "engine", "storage", "image", "ports", "store", "dns", "keys", "clock", "gateway"} {
		if checks[name].Status != "ok" {
			t.Errorf("%+v", checks[name])
		}
	}
	if r := checks["runtime"]; !strings.HasPrefix(r.Found, "runc ") {
		t.Errorf("%+v", r)
	}
	for name, c := range checks {
		if c.Status == "failed" || c.Status == "" {
			t.Errorf("%s: %+v", name, c)
		}
	}
	if code != 0 {
		t.Errorf("it exits with %d", code)
	}

	i.Env = append(i.Env, "KALPANA_IMAGE=kalpana/none:1", "DOCKER_HOST=unix:///nowhere/docker.sock")
	start := time.Now()
	checks, code = i.doctor()
	if took := time.Since(start); took > 15*time.Second {
		t.Errorf("it took %v", took)
	}
	if c := checks["engine"]; code != 1 || c.Status != "failed" || !strings.Contains(c.Do, "DOCKER_HOST") {
		t.Errorf("without an engine: %d, %+v", code, c)
	}
	i.Env = i.Env[:len(i.Env)-1]
	if checks, code = i.doctor(); code != 1 || checks["image"].Status != "failed" || !strings.Contains(checks["image"].Do, "make image") {
		t.Errorf("without an image: %d, %+v", code, checks["image"])
	}
}

func TestOperator_ActsOnWorkspacesAndDrains(t *testing.T) {
	t.Parallel()
	i := install(t)
	b := i.signIn()
	w, asleep := b.create(map[string]string{"name": "first", "template": "blank"}), b.create(map[string]string{"name": "second", "template": "blank"})

	if out := i.does("workspaces", "start", w.ID); out != w.ID+"  running\n" {
		t.Errorf("start: %q", out)
	}
	if code, body := b.navigate(w.URL); code != http.StatusOK || !strings.Contains(body, "workbench") {
		t.Fatalf("VS Code: %d %.300s", code, body)
	}
	out := i.does("workspaces", "list")
	for _, want := range []string{w.ID, asleep.ID, "first", "second", "running", "stopped"} {
		if !strings.Contains(out, want) {
			t.Errorf("the list lacks %s:\n%s", want, out)
		}
	}
	if out := i.does("workspaces", "show", w.ID); !strings.Contains(strings.Join(strings.Fields(out), " "), "state running since") || !strings.Contains(out, "last start") {
		t.Errorf("show:\n%s", out)
	}
	if out := i.does("workspaces", "logs", w.ID); out == "" {
		t.Error("there is no log")
	}
	if out := i.does("workspaces", "pause", w.ID); out != w.ID+"  paused\n" {
		t.Errorf("pause: %q", out)
	}
	if out := docker(t, "inspect", "-f", "{{.State.Paused}}", containerOf(t, w.ID)); out != "true" {
		t.Errorf("paused: %s", out)
	}
	if code, _ := b.navigate(w.URL); code != http.StatusOK {
		t.Errorf("VS Code after a pause: %d", code)
	}
	before := containerOf(t, w.ID)
	i.does("workspaces", "rebuild", w.ID)
	if after := containerOf(t, w.ID); after == before || after == "" {
		t.Errorf("rebuilt: %s is %s", before, after)
	}
	conn := b.vscodeSocket(w.ID)

	if out := i.does("drain"); !strings.HasPrefix(out, "Drained: ") {
		t.Errorf("drain: %q", out)
	}
	if code, body := b.navigate(asleep.URL); code != http.StatusServiceUnavailable || !strings.Contains(body, "Back in a few minutes") {
		t.Errorf("one that sleeps: %d %.500s", code, body)
	}
	if code, body := b.navigate(w.URL); code != http.StatusOK {
		t.Errorf("one that runs: %d %.300s", code, body)
	}
	if !alive(conn) {
		t.Error("its WebSocket is gone")
	}
	text := i.metrics()
	for _, want := range []string{
		"kalpana_draining 1", "kalpana_gateway_held_requests 0", `kalpana_gateway_open_streams{kind="ide"} 1`,
		`kalpana_wake_duration_seconds_count{from="paused",outcome="ok",stage="total"} 1`,
		`kalpana_wake_duration_seconds_count{from="stopped",outcome="ok",stage="total"} 1`,
		`kalpana_sleeps_total{reason="asked",to="paused"} 1`, `kalpana_reconcile_duration_seconds_count{outcome="ok"}`,
		`kalpana_store_duration_seconds_count{operation="workspace",outcome="ok"}`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	checks, code := i.doctor()
	if c := checks["gateway"]; code != 0 || c.Status != "warning" || !strings.Contains(c.Do, "drain --undo") {
		t.Errorf("the doctor says of a drain: %d, %+v", code, c)
	}
	var events struct {
		Events []struct{ Action, Via, Detail, Workspace string }
	}
	if code, body := b.api("GET", "/api/audit?action=admin&workspace="+w.ID, nil, &events); code != http.StatusOK {
		t.Fatalf("audit: %d %s", code, body)
	}
	var done []string
	for _, e := range events.Events {
		done = append(done, e.Detail)
	}
	if got := strings.Join(done, ", "); got != "rebuild, pause, read the container's log, start" {
		t.Errorf("the audit log says: %s", got)
	}

	// What is stopped now loses nothing, and the next gateway starts workspaces again.
	container := containerOf(t, w.ID)
	i.stop()
	i.start()
	b.await(w.ID, "running")
	if code, body := b.navigate(w.URL); code != http.StatusOK || containerOf(t, w.ID) != container {
		t.Errorf("after the restart: %d %.300s", code, body)
	}
	if out := i.does("workspaces", "start", asleep.ID); out != asleep.ID+"  running\n" {
		t.Errorf("start: %q", out)
	}
	if _, notes, code := i.kalpana("workspaces", "delete", asleep.ID); code != 1 || !strings.Contains(notes, "add --yes") {
		t.Errorf("delete: %d %s", code, notes)
	}
	i.does("workspaces", "delete", "--yes", asleep.ID)
	if left := docker(t, "volume", "ls", "-q", "--filter", fmt.Sprintf("name=kalpana-%s", asleep.ID)); left != "" || containerOf(t, asleep.ID) != "" {
		t.Errorf("left: %s", left)
	}
	i.stop()
	if _, notes, code := i.kalpana("workspaces", "list"); code != 1 || !strings.Contains(notes, "is it running, and with the same KALPANA_DATA_DIR?") {
		t.Errorf("without a gateway: %d %s", code, notes)
	}
	i.start()
}
