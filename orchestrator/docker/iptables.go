package docker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
)

// iptables runs iptables commands on the engine's host, in order, each on its own.
type iptables interface {
	run(ctx context.Context, commands [][]string) ([]result, error)
}

// result is what one command said.
type result struct {
	ok  bool
	out string
}

// errNoIptables says that there is no iptables where it was looked for.
var errNoIptables = errors.New("there is no iptables")

// netfilterMode says how the rules are reached.
type netfilterMode int

const (
	netfilterAuto      netfilterMode = iota
	netfilterContainer               // through a container even where iptables could be run directly
)

// iptablesFor returns the way to the rules of the engine's host: directly if that is this host and
// we are root, else through a container on its network.
func (r *Runtime) iptablesFor(b bridge) iptables {
	if r.cfg.netfilter == netfilterAuto && os.Geteuid() == 0 && r.isLocal(b) {
		if path, err := findIptables(); err == nil {
			return hostIptables{path: path}
		}
	}
	return containerIptables{r}
}

// isLocal reports whether this process shares its network with the engine. That the engine's address
// is on this machine does not tell: it may run in another namespace, or be forwarded from elsewhere.
func (r *Runtime) isLocal(b bridge) bool {
	if !strings.HasPrefix(r.api.DaemonHost(), "unix://") && !strings.HasPrefix(r.api.DaemonHost(), "tcp://127.0.0.1:") {
		return false
	}
	device, err := net.InterfaceByName(b.device)
	if err != nil {
		return false
	}
	addrs, err := device.Addrs()
	if err != nil {
		return false
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr() == b.gateway {
			return true
		}
	}
	return false
}

// findIptables also looks where a service's PATH often does not.
func findIptables() (string, error) {
	for _, name := range []string{"iptables", "/usr/sbin/iptables", "/sbin/iptables"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errNoIptables
}

// hostIptables runs the program on this host.
type hostIptables struct{ path string }

func (h hostIptables) run(ctx context.Context, commands [][]string) ([]result, error) {
	ctx, cancel := within(ctx, quickTimeout)
	defer cancel()
	results := make([]result, len(commands))
	for i, args := range commands {
		// -w: wait for other programs that change rules.
		cmd := exec.CommandContext(ctx, h.path, append([]string{"-w"}, args...)...) //nolint:gosec // words of ours
		cmd.Env = []string{"LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
		out, err := cmd.CombinedOutput()
		var failed *exec.ExitError
		if err != nil && (!errors.As(err, &failed) || ctx.Err() != nil) {
			return nil, fmt.Errorf("run iptables: %w", err)
		}
		results[i] = result{ok: err == nil, out: strings.TrimSpace(string(out))}
	}
	return results, nil
}

// containerIptables runs the program in a short-lived container of the probe image that shares the
// network of the engine's host. Only operators choose that image, and no hostile code runs in it.
type containerIptables struct{ r *Runtime }

// mark ends what one command printed; its exit code follows.
const mark = "#kalpana "

func (c containerIptables) run(ctx context.Context, commands [][]string) ([]result, error) {
	var script strings.Builder
	script.WriteString("export LC_ALL=C PATH=/usr/sbin:/sbin:/usr/bin:/bin\ncommand -v iptables >/dev/null || exit 127\n")
	for _, args := range commands {
		script.WriteString("iptables -w")
		for _, arg := range args {
			script.WriteString(" '" + arg + "'") // words of ours, without quotes in them
		}
		script.WriteString(" 2>&1; echo '" + mark + "'$?\n")
	}
	out, code, err := c.r.runOnce(ctx,
		&container.Config{
			Image: c.r.cfg.ProbeImage, User: "0:0",
			Entrypoint: []string{"/bin/sh", "-c", script.String()},
		},
		&container.HostConfig{
			NetworkMode: "host",
			UsernsMode:  "host", // where the engine remaps users, or it would not be root there
			CapDrop:     []string{"ALL"},
			CapAdd:      []string{"NET_ADMIN", "NET_RAW"}, // NET_RAW: the older iptables opens such a socket
			SecurityOpt: []string{"no-new-privileges:true"},
			LogConfig:   container.LogConfig{Type: "json-file"},
		})
	if err != nil && strings.Contains(err.Error(), "/bin/sh") || code == 127 {
		return nil, fmt.Errorf("image %s: %w", c.r.cfg.ProbeImage, errNoIptables)
	}
	if err != nil {
		return nil, err
	}
	results := parseResults(out)
	if len(results) != len(commands) {
		return nil, fmt.Errorf("iptables in a container answered %d of %d commands: %s", len(results), len(commands), out)
	}
	return results, nil
}

func parseResults(out string) []result {
	var results []result
	var text strings.Builder
	for line := range strings.Lines(out) {
		code, ended := strings.CutPrefix(line, mark)
		if !ended {
			text.WriteString(line)
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(code))
		results = append(results, result{ok: err == nil && n == 0, out: strings.TrimSpace(text.String())})
		text.Reset()
	}
	return results
}
