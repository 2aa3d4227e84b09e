package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// journeySteps are what chromium/journey.mjs must report, so that none is lost in silence.
var journeySteps = []string{
	"landing page",
	"sign in by the link",
	"empty dashboard",
	"create from a template",
	"wake page in the pane",
	"VS Code in the pane",
	"VS Code at its own address",
	"terminal",
	"no nagging",
	"both tabs show the new file",
	"edit and save",
	"stop from the list, seen live in both tabs",
	"a forgotten tab does not wake it",
	"wake page at the address",
	"awake again, files kept",
	"console follows the wake live",
	"sign out closes every tab",
	"signing in goes on to the workspace",
	"another browser is signed out from the list of sessions",
	"delete with a confirmation",
	"its address is gone",
	"console logs no error",
	"console is accessible",
	"console fits a phone",
}

// journeyLimit is far above what it takes (80 s on two cores). Each step has a limit of its own.
const journeyLimit = 8 * time.Minute

// TestChromium goes the whole way of a person in a real browser. Its pictures are in
// test/artifacts/chromium.
func TestChromium(t *testing.T) {
	turn(t) // before the others: it takes longest
	t.Parallel()
	installAtOnce(t).browse("journey.mjs", "chromium", journeySteps, journeyLimit)
}

// domainSteps are what chromium/domains.mjs must report.
var domainSteps = []string{
	"sign in by the link",
	"VS Code in the pane, which is of another site",
	"what runs in the pane puts no page in the console's place",
	"its cookies are partitioned",
	"VS Code in a tab of its own",
	"the pane opens tabs and saves files",
	"a preview in VS Code's own browser",
	"a page of another origin gets nothing of a preview, unless its owner lets it",
	"a preview where nothing listens opens by itself",
	"signing out ends the pane",
}

// domainLimit is far above what it takes (20 s on two cores).
const domainLimit = 2 * time.Minute

// TestChromium_TwoDomains opens VS Code in the console's pane where workspaces have a registrable domain
// of their own (browsers take each name below .localhost for one).
func TestChromium_TwoDomains(t *testing.T) {
	t.Parallel()
	i := install(t, "KALPANA_WORKSPACES=ws.spaces.localhost", options+unfenced)
	i.browse("domains.mjs", "domains", domainSteps, domainLimit)
}

// sleepSteps are what chromium/sleep.mjs must report.
var sleepSteps = []string{
	"VS Code with unsaved text",
	"typing keeps it awake",
	"a tab that is left open sleeps, and says so",
	"a key wakes it, with the text as it was",
	"stopped under unsaved text, it says so",
	"a click wakes it, and the unsaved text is there again",
	"VS Code's policy is kept",
	"the notice is accessible",
}

// TestChromium_Sleep leaves a tab of VS Code open, and comes back to it. VS Code tells of typing every ten seconds, so
// less than that would be asleep while somebody types.
func TestChromium_Sleep(t *testing.T) {
	t.Parallel()
	i := installAtOnce(t, options+unfenced+"sleep {\n\tpause_after 15s\n\tstop_after off\n}")
	i.browse("sleep.mjs", "sleep", sleepSteps, journeyLimit, "KALPANA_PAUSE_AFTER=15")
}

// overnightSteps are what chromium/overnight.mjs must report.
var overnightSteps = []string{
	"VS Code with unsaved text",
	"paused, it is not woken by VS Code that gives up",
	"a key brings the editor back, with what was typed",
	"stopped, and woken while nobody looks, it is left alone",
	"it comes back by itself once somebody looks",
	"VS Code's policy is kept",
}

// TestChromium_Overnight leaves a tab open for longer than VS Code waits for a lost connection, which is seconds here.
func TestChromium_Overnight(t *testing.T) {
	t.Parallel()
	image := derive(t, "impatient", "ENV CODE_SERVER_RECONNECTION_GRACE_TIME=3")
	i := install(t, "KALPANA_IMAGE="+image, options+unfenced+"sleep {\n\tpause_after off\n\tstop_after off\n}")
	i.browse("overnight.mjs", "overnight", overnightSteps, journeyLimit)
}

// browse runs a script of chromium/ against the installation. It must reach the steps; its pictures go
// to the named directory of the artifacts. extra are further environment variables of its.
func (i *installation) browse(name, pictures string, steps []string, limit time.Duration, extra ...string) {
	t := i.t
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("Chromium is not installed; scripts/deps.sh installs it")
	}
	if _, err := os.Stat(filepath.Join("..", "..", "web", "node_modules", "playwright-core")); err != nil {
		t.Fatal("Playwright is not installed; run npm ci in web/")
	}
	screenshots := filepath.Join(artifacts, pictures)
	if err := os.RemoveAll(screenshots); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	command := []string{"node", filepath.Join("chromium", name)}
	env := append(extra, "KALPANA_CONSOLE="+i.console(), "KALPANA_CHROMIUM="+chromium, "KALPANA_SCREENSHOTS="+screenshots)
	if canIsolate() {
		command = append([]string{"unshare", "--net"}, command...)
		env = append(env, "KALPANA_SOCKET="+i.socket())
	}
	script := exec.CommandContext(ctx, command[0], command[1:]...)
	script.Env = append(append(os.Environ(), "FORCE_COLOR=0"), env...)
	script.WaitDelay = 5 * time.Second
	var stderr bytes.Buffer
	script.Stderr = &stderr
	answers, err := script.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	lines, err := script.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := script.Start(); err != nil {
		t.Fatal(err)
	}

	var reached []string
	for scanner := bufio.NewScanner(lines); scanner.Scan(); {
		var line struct {
			Step, Error   string
			OK            bool
			MS            int
			Ask, ID, Path string
		}
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			t.Errorf("the script printed %q", scanner.Text())
			continue
		}
		if line.Ask != "" {
			answer, _ := json.Marshal(i.answer(line.Ask, line.ID, line.Path))
			_, _ = fmt.Fprintf(answers, "%s\n", answer)
			continue
		}
		reached = append(reached, line.Step)
		t.Run(line.Step, func(t *testing.T) {
			t.Logf("%d ms", line.MS)
			if !slices.Contains(steps, line.Step) {
				t.Error("this step is not in the list of steps")
			}
			if !line.OK {
				t.Error(line.Error)
			}
		})
	}
	if err := script.Wait(); err != nil && !t.Failed() {
		t.Errorf("the script ended with %v (%v)", err, ctx.Err())
	}
	if t.Failed() {
		t.Logf("%s\n%s", &stderr, i.Log.Tail())
	}
	missing := slices.DeleteFunc(slices.Clone(steps), func(step string) bool { return slices.Contains(reached, step) })
	if len(missing) > 0 {
		t.Errorf("not reached: %q", missing)
	}
}

// answer tells the script what it cannot find out in a browser.
func (i *installation) answer(question, id, path string) string {
	i.t.Helper()
	switch question {
	case "link":
		return i.signInLink()
	case "file":
		out, err := exec.Command("docker", "exec", containerOf(i.t, id), "cat", "/home/dev/workspace/"+path).Output()
		if err != nil {
			return "" // not yet there; the script asks again
		}
		return string(out)
	case "backups": // what VS Code has kept of unsaved text
		const find = "find /home/dev/.local/share/code-server/User/Backups -type f -exec cat {} +"
		out, _ := exec.Command("docker", "exec", containerOf(i.t, id), "sh", "-c", find).Output() // there may be none yet
		return string(out)
	case "serve": // something to preview: the path is the port
		// It lets every page read it, with credentials, as development servers often do.
		server := `require("http").createServer((q, r) => {
			const origin = q.headers.origin
			r.writeHead(200, origin ? {"Access-Control-Allow-Origin": origin, "Access-Control-Allow-Credentials": "true"} : {})
			r.end(q.url === "/script.js" ? "window.theirs = 1" : "<h1>served from " + process.argv[1] + "</h1>")
		}).listen(process.argv[1], "127.0.0.1")`
		return docker(i.t, "exec", "--detach", containerOf(i.t, id), "node", "-e", server, path)
	case "kalpana": // the command inside: the path is its arguments
		args := append([]string{"exec", containerOf(i.t, id), "kalpana"}, strings.Fields(path)...)
		return docker(i.t, args...)
	default:
		i.t.Errorf("the script asks for %q", question)
		return ""
	}
}

// canIsolate reports whether the browser can have a network namespace of its own; network.mjs says
// what for.
func canIsolate() bool {
	return exec.Command("unshare", "--net", "ip", "link").Run() == nil
}

// socket returns the path of a Unix socket that leads to the gateway.
func (i *installation) socket() string {
	i.t.Helper()
	path := filepath.Join(i.Dir, "browser.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			inside, err := listener.Accept()
			if err != nil {
				return
			}
			go i.relay(inside.(*net.UnixConn))
		}
	}()
	return path
}

func (i *installation) relay(inside *net.UnixConn) {
	defer inside.Close()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", i.Port))
	if err != nil {
		return
	}
	defer conn.Close()
	outside := conn.(*net.TCPConn)
	go func() {
		_, _ = io.Copy(outside, inside)
		_ = outside.CloseWrite()
	}()
	_, _ = io.Copy(inside, outside)
	_ = inside.CloseWrite()
}
