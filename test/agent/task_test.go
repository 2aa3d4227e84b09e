package agent_test

import (
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/agent/model/modeltest"
	"github.com/kalpana-dev/kalpana/store/sqlite"
	"github.com/kalpana-dev/kalpana/test/harness"
)

// The git server's one account, and the person who has it.
const (
	gitUser    = "asha"
	gitSecret  = "glpat-7Qd3mVx0Rk2s"
	asha       = "Asha Rao"
	ashasEmail = "asha@example.com"
)

// gitServer is a git server that lets nobody in without its account.
type gitServer struct {
	t        *testing.T
	url      string
	root     string
	signedIn atomic.Int32 // requests
	refused  atomic.Int32 // requests without the account
}

// startGitServer runs one where workspaces' containers find it: on what is to them an address of the Internet (one of
// TEST-NET-3, RFC 5737), in a network namespace of its own, since they may reach neither this machine nor each other.
func startGitServer(t *testing.T) *gitServer {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil || os.Geteuid() != 0 {
		t.Skip("making a network namespace needs root and ip")
	}
	root, err := exec.CommandContext(t.Context(), "git", "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("ktg%d", os.Getpid())
	first := os.Getpid() % 64 * 4 // of a network of two hosts
	here, there := fmt.Sprintf("203.0.113.%d", first+1), fmt.Sprintf("203.0.113.%d", first+2)
	t.Cleanup(func() {
		_ = exec.Command("ip", "link", "delete", name).Run()
		if out, err := exec.Command("ip", "netns", "delete", name).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	for _, command := range []string{
		"netns add " + name,
		"link add " + name + " type veth peer name eth0 netns " + name,
		"address add " + here + "/30 dev " + name,
		"link set " + name + " up",
		"-n " + name + " address add " + there + "/30 dev eth0",
		"-n " + name + " link set lo up",
		"-n " + name + " link set eth0 up",
		"-n " + name + " route add default via " + here,
	} {
		if out, err := exec.CommandContext(t.Context(), "ip", strings.Fields(command)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", command, err, out)
		}
	}
	l, err := harness.ListenIn(t.Context(), "/run/netns/"+name, "tcp", net.JoinHostPort(there, "3000"))
	if err != nil {
		t.Fatal(err)
	}
	s := &gitServer{t: t, url: "http://" + l.Addr().String(), root: t.TempDir()}
	backend := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(root)), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + s.root, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=" + gitUser},
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if user != gitUser || subtle.ConstantTimeCompare([]byte(password), []byte(gitSecret)) == 0 {
			s.refused.Add(1)
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "Sign in.", http.StatusUnauthorized)
			return
		}
		s.signedIn.Add(1)
		backend.ServeHTTP(w, r)
	})}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	return s
}

// git runs git on this machine, as nobody's configuration has it.
func (s *gitServer) git(args ...string) string {
	s.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=Ravi", "GIT_AUTHOR_EMAIL=ravi@example.com",
		"GIT_COMMITTER_NAME=Ravi", "GIT_COMMITTER_EMAIL=ravi@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// add makes a repository of some files, and returns its address.
func (s *gitServer) add(path string, files map[string]string) string {
	s.t.Helper()
	bare, work := filepath.Join(s.root, path), s.t.TempDir()
	s.git("init", "--quiet", "--bare", "--initial-branch=main", bare)
	s.git("init", "--quiet", "--initial-branch=main", work)
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(work, name), []byte(content), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	s.git("-C", work, "add", ".")
	s.git("-C", work, "commit", "--quiet", "--allow-empty", "--message=As it was")
	s.git("-C", work, "push", "--quiet", bare, "main")
	return s.url + "/" + path
}

// vouched notes an address of the first admin's, as a login provider would.
func (g *gateway) vouched(t *testing.T, name, email string) {
	t.Helper()
	store, err := sqlite.Open(t.Context(), filepath.Join(g.Dir, "kalpana.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	people, err := store.People(t.Context())
	if err != nil || len(people) != 1 {
		t.Fatalf("%v, %v", people, err)
	}
	people[0].Name, people[0].Email = name, email
	if err := store.UpdatePerson(t.Context(), &people[0]); err != nil {
		t.Fatal(err)
	}
}

// question waits until the person is asked whether a program may sign in, and returns that.
func (g *gateway) question(t *testing.T) (q struct{ ID, Workspace, Server, Repository string }) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		var list struct {
			Questions []struct{ ID, Workspace, Server, Repository string }
		}
		if g.api(t, http.StatusOK, "GET", "/api/git-questions", nil, &list); len(list.Questions) == 1 {
			return list.Questions[0]
		}
	}
	t.Fatalf("nobody asks\n%s", g.Log.Tail())
	return q
}

// approve waits for a call that needs a word, and says yes.
func (c *client) approve(call string) {
	c.t.Helper()
	c.shows(call)
	p := callOf(c.t, c.settled().last(), call)
	if p.State != "approval-requested" {
		c.t.Fatalf("%s: %+v", call, p)
	}
	c.begin("addToolApprovalResponse", map[string]any{"id": p.Approval.ID, "approved": true})
}

// A whole task in a private repository: the workspace is cloned with the person's token, the agent mends what a test
// finds, commits and pushes in the person's name, and what it did is taken back in the files alone.
func TestTask_AFailingTestIsMendedAndPushed(t *testing.T) {
	server := startGitServer(t)
	const broken, whole = "exports.sum = (a, b) => a - b;\n", "exports.sum = (a, b) => a + b;\n"
	repository := server.add("acme/sums.git", map[string]string{
		"sum.js": broken,
		"sum.test.js": "const { sum } = require('./sum.js');\n" +
			"require('node:test')('sums', () => require('node:assert').strictEqual(sum(2, 3), 5));\n",
	})
	other := server.add("acme/other.git", nil)

	g := startGateway(t)
	g.vouched(t, asha, ashasEmail)
	g.api(t, http.StatusNoContent, "PUT", "/api/git-tokens", map[string]string{"server": server.url, "username": gitUser, "token": gitSecret}, nil)
	w, err := g.person.Create("sums", repository)
	if err != nil {
		t.Fatal(err)
	}
	g.api(t, http.StatusAccepted, "POST", "/api/workspaces/"+w.ID+"/start", nil, nil)
	for deadline := time.Now().Add(30 * time.Second); w.State != "running"; time.Sleep(50 * time.Millisecond) {
		if w, err = g.person.View(w.ID); err != nil || w.State == "error" || time.Now().After(deadline) {
			t.Fatalf("%+v, %v\n%s", w, err, g.Log.Tail())
		}
	}
	const folder = "cd /home/dev/workspace && "
	if got := g.inContainer(t, w.ID, folder+"cat sum.js && git remote get-url origin && echo mine > notes.txt"); got != broken+repository+"\n" {
		t.Fatalf("cloned: %q; the server let in %d requests and refused %d\n%s", got, server.signedIn.Load(), server.refused.Load(), g.Log.Tail())
	}

	const who = "for i in $(seq 100); do git config user.name && git config user.email && break; sleep 0.1; done"
	if got := g.inContainer(t, w.ID, who); got != asha+"\n"+ashasEmail+"\n" {
		t.Errorf("whoever commits in a terminal is %q", got)
	}
	for _, chosen := range []struct{ email, is string }{{"asha@elsewhere.example", "asha@elsewhere.example"}, {"", ashasEmail}} {
		g.api(t, http.StatusNoContent, "PUT", "/api/git-identity", map[string]string{"name": "", "email": chosen.email}, nil)
		learns := "for i in $(seq 100); do [ $(git config user.email) = " + chosen.is + " ] && break; sleep 0.1; done; git config user.email"
		if got := g.inContainer(t, w.ID, learns); got != chosen.is+"\n" {
			t.Errorf("after %q was chosen, whoever commits is %q", chosen.email, got)
		}
	}

	c := g.newChat(t, w.ID, anything)
	g.provider.Play(
		modeltest.Turn{modeltest.Words("I run the tests."), modeltest.Call("t1", "runCommand", `{"command":"node --test"}`)},
		modeltest.Turn{modeltest.Call("t2", "readFile", `{"path":"sum.js"}`)},
		modeltest.Turn{modeltest.Words("It subtracts."), modeltest.Call("t3", "editFile", `{"path":"sum.js","edits":[{"old":"a - b",`, `"new":"a + b"}]}`)},
		modeltest.Turn{modeltest.Call("t4", "runCommand", `{"command":"node --test"}`)},
		modeltest.Turn{modeltest.Call("t5", "git", `{"operation":"commit","message":"Add, not subtract","paths":["sum.js"]}`)},
		modeltest.Turn{modeltest.Call("t6", "git", `{"operation":"push"}`)},
		modeltest.Turn{modeltest.Words("Mended and pushed.")},
	)
	c.say("A test fails. Mend it, and push that.")
	s := c.settled()
	for id, want := range map[string]string{
		"t1": `"exitCode":1`, "t2": `"path":"sum.js"`, "t3": "a + b", "t4": `"exitCode":0`, "t5": `"exitCode":0`, "t6": `"exitCode":0`,
	} {
		if p := callOf(t, s.last(), id); p.State != "output-available" || !strings.Contains(string(p.Output), want) {
			t.Errorf("%s: %s %s %s, not %s", id, p.State, p.Output, p.ErrorText, want)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	bare := filepath.Join(server.root, "acme", "sums.git")
	pushed := func(when string) {
		t.Helper()
		if got, want := server.git("-C", bare, "log", "--format=%an <%ae> %cn: %s", "--name-only", "main^..main"), asha+" <"+ashasEmail+"> "+asha+": Add, not subtract\n\nsum.js\n"; got != want {
			t.Errorf("%s the server has the commit %q, not %q", when, got, want)
		}
		if got := server.git("-C", bare, "show", "main:sum.js"); got != whole {
			t.Errorf("%s the server has the file %q", when, got)
		}
	}
	pushed("after the push")

	t.Run("another repository is pushed to only with the person's word", func(t *testing.T) {
		g.clients.t = t
		c := g.newChat(t, w.ID, anything)
		g.provider.Play(
			modeltest.Turn{modeltest.Call("other-1", "runCommand", `{"command":"git remote add other `+other+`"}`)},
			modeltest.Turn{modeltest.Call("other-2", "git", `{"operation":"push","remote":"other","branch":"main"}`)},
			modeltest.Turn{modeltest.Words("It was not allowed.")},
		)
		c.say("Push it to the other one.")
		c.approve("other-1")
		c.approve("other-2")
		q := g.question(t)
		if q.Workspace != w.ID || q.Server != server.url || q.Repository != "acme/other" {
			t.Errorf("asked for %+v", q)
		}
		g.api(t, http.StatusNoContent, "POST", "/api/git-questions/"+q.ID, map[string]any{"allow": false}, nil)
		s := c.shows("It was not allowed.")
		p := callOf(t, s.last(), "other-2")
		if p.State != "output-available" || strings.Contains(string(p.Output), `"exitCode":0`) || !strings.Contains(string(p.Output), "the workspace's owner did not allow this repository") {
			t.Errorf("the push: %s %s", p.State, p.Output)
		}
		requests := g.provider.Requests()
		if told := requests[len(requests)-1].Result(); !strings.Contains(told, "did not allow this repository") {
			t.Errorf("the model is told %q", told)
		}
		if got := server.git("-C", filepath.Join(server.root, "acme", "other.git"), "log", "--format=%s", "main"); got != "As it was\n" {
			t.Errorf("the other repository has %q", got)
		}
	})
	g.clients.t = t

	g.api(t, http.StatusOK, "POST", "/api/agent/"+c.chat+"/undo", map[string]string{}, nil)
	if got := g.inContainer(t, w.ID, folder+"cat sum.js notes.txt && git status --short"); got != broken+"mine\n M sum.js\n?? notes.txt\n" {
		t.Errorf("after the undo: %q", got)
	}
	pushed("after the undo")

	// A page of the console sees the same, over the gateway as it is configured.
	ws, resp, err := g.person.Socket(g.Console()+"/api/workspaces/"+w.ID+"/bridge", g.Console())
	if err != nil {
		t.Fatalf("%v: %+v", err, resp)
	}
	defer ws.Close()
	var read struct{ Result struct{ Content string } }
	if err := ws.WriteJSON(map[string]any{"jsonrpc": "2.0", "id": 1, "method": "readFile", "params": map[string]string{"path": "sum.js"}}); err != nil {
		t.Fatal(err)
	}
	_ = ws.SetReadDeadline(time.Now().Add(30 * time.Second))
	if err := ws.ReadJSON(&read); err != nil || read.Result.Content != broken {
		t.Errorf("the page reads %q, %v", read.Result.Content, err)
	}

	// The token is where it is asked for, and nowhere else.
	if got := g.inContainer(t, w.ID, "grep -rlF "+gitSecret+" /home/dev /run /tmp /etc 2>/dev/null || true"); got != "" {
		t.Errorf("the token is in the container's %s", got)
	}
	if strings.Contains(g.Log.String(), gitSecret) {
		t.Error("the token is in the log")
	}
}
