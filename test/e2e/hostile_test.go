package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// target is an address that a container tries.
type target struct {
	name, host string
	port       int
}

// open tries TCP connections from inside a container, all at once and with what every workspace
// has, and returns those that came about.
func open(t *testing.T, container string, targets []target) []target {
	t.Helper()
	var script strings.Builder
	for n, at := range targets {
		fmt.Fprintf(&script, "(timeout 3 bash -c 'exec 3<>/dev/tcp/%s/%d' 2>/dev/null && echo %d) &\n", at.host, at.port, n)
	}
	script.WriteString("wait")
	var reached []target
	for _, n := range strings.Fields(docker(t, "exec", container, "bash", "-c", script.String())) {
		i, err := strconv.Atoi(n)
		if err != nil {
			t.Fatal(err)
		}
		reached = append(reached, targets[i])
	}
	return reached
}

// TestHostileContainer_GetsNothing tries, from inside a workspace, what code in it must not reach.
func TestHostileContainer_GetsNothing(t *testing.T) {
	t.Parallel()
	i := install(t)
	b := i.signIn()
	w, sibling := b.open("hostile"), b.open("sibling")
	container, other := containerOf(t, w.ID), containerOf(t, sibling.ID)

	// A service of this host on every address, as a store or an engine would be.
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	service := l.Addr().(*net.TCPAddr).Port

	// The probe can succeed: the bridge of the workspace itself answers.
	if got := open(t, container, []target{{"control", "127.0.0.1", 8080}}); len(got) != 1 {
		t.Fatal("the control failed")
	}
	gatewayAddress := docker(t, "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}", container)
	siblingAddress := docker(t, "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", other)
	siblingPort := docker(t, "inspect", "-f", `{{(index (index .HostConfig.PortBindings "8080/tcp") 0).HostPort}}`, other)
	var published int
	fmt.Sscan(siblingPort, &published)

	hosts := []string{gatewayAddress}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if ip := a.(*net.IPNet).IP.To4(); ip != nil && !ip.IsLoopback() {
			hosts = append(hosts, ip.String())
		}
	}
	var targets []target
	for _, host := range hosts {
		for name, port := range map[string]int{"a service": service, "the gateway": i.Port, "Caddy's admin": 2019, "the engine": 2375, "a sibling's published port": published, "ssh": 22} {
			targets = append(targets, target{name, host, port})
		}
	}
	targets = append(targets, target{"a sibling", siblingAddress, 8080}, target{"a sibling", siblingAddress, 3001}, target{"metadata", "169.254.169.254", 80})
	for _, at := range open(t, container, targets) {
		t.Errorf("%s answers at %s:%d", at.name, at.host, at.port)
	}
	if out := docker(t, "exec", container, "sh", "-c", "ls /var/run/docker.sock /run/docker.sock 2>/dev/null; true"); out != "" {
		t.Errorf("the engine's socket is there: %s", out)
	}

	status := docker(t, "exec", container, "cat", "/proc/self/status")
	for _, want := range []string{"CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(status, want) {
			t.Errorf("%s is not so:\n%s", strings.ReplaceAll(want, "\t", " "), status)
		}
	}
	if id := docker(t, "exec", container, "id", "-u"); id != "1000" {
		t.Errorf("runs as %s", id)
	}
	// No name in the container leads to a sibling.
	if strings.Contains(docker(t, "inspect", "-f", "{{.Name}} {{.Config.Hostname}}", container), w.ID) {
		t.Error("the container's name or host name carries the id")
	}

	// The published ports ask for the token, and the one of a sibling does not do.
	for _, port := range []string{"8080/tcp", "3001/tcp"} {
		hostPort := docker(t, "inspect", "-f", fmt.Sprintf(`{{(index (index .HostConfig.PortBindings "%s") 0).HostPort}}`, port), container)
		binding := docker(t, "inspect", "-f", fmt.Sprintf(`{{(index (index .HostConfig.PortBindings "%s") 0).HostIp}}`, port), container)
		if binding != "127.0.0.1" {
			t.Errorf("port %s is published on %q", port, binding)
		}
		for _, token := range []string{"", strings.Repeat("0", 64), tokenOf(t, other)} {
			r := request("GET", "http://127.0.0.1:"+hostPort+"/", nil)
			if token != "" {
				r.Header.Set("X-Kalpana-Token", token)
			}
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("port %s with token %q: %s", port, token, resp.Status)
			}
		}
	}

	// code-server's own port proxy is off.
	for _, path := range []string{"/proxy/3001/", "/absproxy/3001/", "/proxy/8080", "/%70roxy/3001/"} {
		if code, _ := b.get(i.workspaceURL(w.ID) + path); code != http.StatusNotFound {
			t.Errorf("%s answers %d", path, code)
		}
	}
}

// tokenOf returns the bridge token of a container, as the operator of the engine could read it.
func tokenOf(t *testing.T, container string) string {
	t.Helper()
	for _, line := range strings.Split(docker(t, "inspect", "-f", "{{range .Config.Env}}{{println .}}{{end}}", container), "\n") {
		if token, ok := strings.CutPrefix(line, "KALPANA_TOKEN="); ok {
			return token
		}
	}
	t.Fatal("no token")
	return ""
}

func TestSecrets_StayOnTheHost(t *testing.T) {
	t.Parallel()
	i := install(t, options+unfenced)
	b := i.signIn()
	w := b.open("secrets")
	container := containerOf(t, w.ID)
	// What the terminal of a person sees has nothing of ours.
	out, err := exec.Command("docker", "exec", container, "bash", "-c",
		`for p in $(pgrep -f "[c]ode-server --socket"); do tr '\0' '\n' < /proc/$p/environ; done`).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if strings.Contains(string(out), "KALPANA_TOKEN") {
		t.Error("VS Code has the bridge token in its environment")
	}
	if !strings.Contains(string(out), "VSCODE_PROXY_URI=http://{{port}}-"+w.ID+".ws.kalpana.localhost:") {
		t.Errorf("VSCODE_PROXY_URI is not our preview form:\n%s", out)
	}
}
