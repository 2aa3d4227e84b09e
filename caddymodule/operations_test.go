package caddymodule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/workspace"
)

// operator runs commands against a Kalpana in this process.
type operator struct{ *server }

func runWithAdmin(t *testing.T) operator {
	t.Helper()
	o := operator{run(t, "admin unix/DIR/admin.sock|0600", "https://*.ws.kalpana.localhost:PORT {\n\ttls internal\n\tkalpana_workspace\n}\n")}
	t.Cleanup(func() { // Caddy's end leaves the admin endpoint, and with it the connections that commands have left idle
		if err := caddy.Load([]byte(`{"admin": {"disabled": true, "config": {"persist": false}}}`), true); err != nil {
			t.Error(err)
		}
	})
	return o
}

func (o operator) socket() string { return "unix/" + o.dir + "/admin.sock" }

// command runs "kalpana <name> <args>" and returns what it prints on both outputs.
func command(c caddycmd.Command, args ...string) (out, notes string, err error) {
	cmd := &cobra.Command{Use: c.Name, SilenceUsage: true, SilenceErrors: true}
	c.CobraFunc(cmd)
	var stdout, stderr bytes.Buffer
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	cmd.SetArgs(args)
	err = cmd.Execute()
	return stdout.String(), stderr.String(), err
}

// does runs a command on this gateway, which must succeed.
func (o operator) does(c caddycmd.Command, args ...string) (out, notes string) {
	o.Helper()
	out, notes, err := command(c, append(args, "--address", o.socket())...)
	if err != nil {
		o.Fatalf("kalpana %s %v: %v", c.Name, args, err)
	}
	return out, notes
}

// fails runs a command on this gateway, which must fail with a text.
func (o operator) fails(want string, c caddycmd.Command, args ...string) {
	o.Helper()
	_, _, err := command(c, append(args, "--address", o.socket())...)
	if err == nil || !strings.Contains(err.Error(), want) {
		o.Errorf("kalpana %s %v: %v, want %q", c.Name, args, err, want)
	}
}

func (o operator) create(owner, name string) workspace.ID {
	o.Helper()
	w, err := o.app.instance.orchestrator.Create(o.Context(), orchestrator.NewWorkspace{Owner: owner, Name: name, Template: "blank"})
	if err != nil {
		o.Fatal(err)
	}
	return w.ID
}

func (o operator) person(name string) identity.Person {
	o.Helper()
	p, err := o.app.instance.identity.AddPerson(o.Context(), name, identity.RoleMember)
	if err != nil {
		o.Fatal(err)
	}
	return p
}

func TestWorkspaces_AreListedShownStartedStoppedAndDeleted(t *testing.T) {
	o := runWithAdmin(t)
	asha, ravi := o.person("Asha"), o.person("Ravi")
	first, second, third := o.create(asha.ID, "one"), o.create(ravi.ID, "two\u00e9"), o.create(asha.ID, "three")

	out, notes := o.does(workspacesCommand, "list")
	for _, want := range []string{"ID", "OWNER", string(first), "Asha", string(second), "two\u00e9", "Ravi", string(third), "stopped"} {
		if !strings.Contains(out, want) {
			t.Errorf("the list lacks %s:\n%s", want, out)
		}
	}
	if lines := strings.Count(out, "\n"); lines != 4 || notes != "" {
		t.Errorf("%d lines, %q", lines, notes)
	}
	if out, _ := o.does(workspacesCommand, "list", "--owner", "asha"); strings.Contains(out, string(second)) || !strings.Contains(out, string(third)) {
		t.Errorf("of Asha:\n%s", out)
	}
	if out, _ := o.does(workspacesCommand, "list", "--state", "running"); out != "No workspaces.\n" {
		t.Errorf("those that run:\n%s", out)
	}

	// Page by page, as the command itself says.
	var ids []string
	for after := []string{}; ; {
		out, notes := o.does(workspacesCommand, append([]string{"list", "--limit", "2", "--json"}, after...)...)
		var page workspacesAnswer
		if err := json.Unmarshal([]byte(out), &page); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for _, w := range page.Workspaces {
			ids = append(ids, string(w.ID))
		}
		if page.Next == "" {
			break
		}
		if notes != "" {
			t.Errorf("notes beside JSON: %q", notes)
		}
		after = []string{"--after", string(page.Next)}
	}
	if got := strings.Join(ids, " "); got != fmt.Sprint(first, " ", second, " ", third) {
		t.Errorf("page by page: %s", got)
	}
	if _, notes := o.does(workspacesCommand, "list", "--limit", "1", "--owner", "Asha"); notes != "There are more: kalpana workspaces list --owner Asha --limit 1 --after "+string(first)+"\n" {
		t.Errorf("notes: %q", notes)
	}

	if out, _ := o.does(workspacesCommand, "start", string(first), string(second)); out != fmt.Sprintf("%s  running\n%s  running\n", first, second) {
		t.Errorf("start: %q", out)
	}
	if out, _ := o.does(workspacesCommand, "list", "--state", "running", "--owner", asha.ID); strings.Count(out, "\n") != 2 {
		t.Errorf("those of Asha that run:\n%s", out)
	}
	out, _ = o.does(workspacesCommand, "show", string(first))
	for _, want := range []string{"name one", "Asha (" + asha.ID, "state running", "ports 127.0.0.1: VS Code", "awake by started", "will be paused"} {
		if !strings.Contains(strings.Join(strings.Fields(out), " "), want) {
			t.Errorf("it lacks %q:\n%s", want, out)
		}
	}
	engineUnderTest.SetLog(first, "one\ntwo\n")
	if out, _ := o.does(workspacesCommand, "logs", string(first)); out != "one\ntwo\n" {
		t.Errorf("log: %q", out)
	}
	for _, act := range []struct{ name, state string }{{"pause", "paused"}, {"start", "running"}, {"restart", "running"}, {"rebuild", "running"}} {
		if out, _ := o.does(workspacesCommand, act.name, string(first)); out != fmt.Sprintf("%s  %s\n", first, act.state) {
			t.Errorf("%s: %q", act.name, out)
		}
	}
	var shown adminWorkspace
	out, _ = o.does(workspacesCommand, "stop", "--json", string(first))
	if err := json.Unmarshal([]byte(out), &shown); err != nil || shown.State != workspace.StateStopped || shown.Reason != "stopped by the operator" {
		t.Errorf("%v\n%s", err, out)
	}
	o.fails("add --yes", workspacesCommand, "delete", string(first))
	o.does(workspacesCommand, "delete", "--yes", string(first))
	o.fails("no such workspace", workspacesCommand, "show", string(first))

	events, err := o.app.instance.identity.AuditEvents(t.Context(), identity.AuditQuery{Action: identity.ActionAdmin, Workspace: first, Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	var done []string
	for _, e := range events {
		done = append(done, e.Detail)
		if e.Via != "admin socket" {
			t.Errorf("via %q", e.Via)
		}
	}
	if got := strings.Join(done, ", "); got != "delete one, stop, rebuild, restart, start, pause, read the container's log, start" {
		t.Errorf("the audit log says: %s", got)
	}
}

func TestWorkspaces_SayWhatIsWrong(t *testing.T) {
	o := runWithAdmin(t)
	id := string(o.create("somebody", "one"))
	o.fails("give one of stopped, starting", workspacesCommand, "list", "--state", "asleep")
	o.fails("nobody has that id, name or e-mail address", workspacesCommand, "list", "--owner", "nobody")
	o.fails("from 1 to 1000", workspacesCommand, "list", "--limit", "0")
	o.fails("begin with the first page again", workspacesCommand, "list", "--after", "abcdefghij")
	o.fails("no such workspace", workspacesCommand, "show", "../../etc")
	o.fails("no such workspace", workspacesCommand, "start", "abcdefghij")
	o.fails("The workspace does not run", workspacesCommand, "pause", id)
	o.fails("no container yet", workspacesCommand, "logs", id)
	engineUnderTest.SetDown(true)
	o.fails("Ask the operator to see that the container engine runs", workspacesCommand, "start", id)
	engineUnderTest.SetDown(false)

	_, _, err := command(workspacesCommand, "list", "--address", "unix/"+o.dir+"/none.sock")
	if err == nil || !strings.Contains(err.Error(), "none.sock: no such file or directory; is it running, and with the same KALPANA_DATA_DIR?") {
		t.Errorf("no gateway: %v", err)
	}
	denied := &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", syscall.EACCES)}
	err = unreached("unix//run/k.sock", fmt.Errorf("performing request: %v", denied)) //nolint:errorlint // as Caddy does
	if !errors.Is(err, errNotOurs) || err.Error() != "unix//run/k.sock is another user's: run this as the user who runs the gateway, or as root" {
		t.Errorf("another user's: %v", err)
	}
}

func TestTables_HoldNoControlCharacters(t *testing.T) {
	now := time.Now()
	w := adminWorkspace{Name: "a\x1b[2Jb", Reason: "failed\n\x1b]0;x\x07", LastActivity: "x\ry", Owner: adminOwner{ID: "1", Name: "\u202eevil"}}
	var out bytes.Buffer
	workspacesAnswer{Workspaces: []adminWorkspace{w}}.print(&out, now)
	w.print(&out, now)
	if strings.ContainsAny(out.String(), "\x1b\x07\r\u202e") {
		t.Errorf("%q", out.String())
	}
}

func TestDrain_OutlivesReloadsAndIsUndone(t *testing.T) {
	o := runWithAdmin(t)
	running, asleep := string(o.create("somebody", "one")), string(o.create("somebody", "two"))
	o.does(workspacesCommand, "start", running)
	if out, _ := o.does(drainCommand); !strings.HasPrefix(out, "Drained: the gateway can be stopped.") {
		t.Errorf("drain: %q", out)
	}
	o.fails("about to be restarted", workspacesCommand, "start", asleep)

	before := o.app.instance
	o.load(o.text)
	o.fails("about to be restarted", workspacesCommand, "start", asleep)
	o.load(strings.Replace(o.text, "kalpana {", "kalpana {\n\t\tworkspace_limit 7", 1))
	if o.app.instance == before {
		t.Error("another configuration has the same instance")
	}
	o.fails("about to be restarted", workspacesCommand, "start", asleep)
	o.does(workspacesCommand, "start", running) // which runs already

	if out, _ := o.does(drainCommand, "--undo"); out != "The gateway starts workspaces.\n" {
		t.Errorf("undo: %q", out)
	}
	o.does(workspacesCommand, "start", asleep)
}

func TestDrain_WaitsForWhatIsUnderWay(t *testing.T) {
	o := runWithAdmin(t)
	up := make(chan struct{})
	engineUnderTest.SetBoot(func(workspace.ID) runtimetest.Boot { return runtimetest.Boot{Until: up} })
	id := o.create("somebody", "one")
	wake := o.app.instance.orchestrator.Wake(id)
	o.fails("run this again to wait on", drainCommand, "--timeout", "100ms")
	o.fails("a duration of at most", drainCommand, "--timeout", "24h")
	ended := make(chan error, 1)
	go func() {
		_, _, err := command(drainCommand, "--address", o.socket())
		ended <- err
	}()
	close(up)
	if err := wake.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestAdmin_EveryEndpointSaysWhichMethodsItHas(t *testing.T) {
	o := runWithAdmin(t)
	resp, err := caddycmd.AdminAPIRequest(o.socket(), http.MethodPatch, "/kalpana/drain", nil, nil)
	if err == nil {
		_ = resp.Body.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "HTTP 405") || !strings.Contains(err.Error(), "use DELETE, GET, POST") {
		t.Errorf("%v", err)
	}
}
