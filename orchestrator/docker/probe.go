package docker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"

	"github.com/kalpana-dev/kalpana/orchestrator"
)

// defaultProbe is [Config.ProbeCommand] in bash. A connection to a closed port is refused at once
// if the packet arrives, and hangs if a firewall drops it, so targets need no listener.
var defaultProbe = []string{"/bin/bash", "-c", `
linger=$1; shift
try() {
	local out status
	out=$(LC_ALL=C timeout 1 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "${1%:*}" "${1##*:}" 2>&1); status=$?
	case $status:$out in
	0:*) echo "$1 connected" ;;
	124:* | 137:* | 143:*) echo "$1 silent" ;;
	*refused*) echo "$1 refused" ;;
	*) echo "$1 unreachable" ;;
	esac
}
for target; do try "$target" & done
wait
while read -r address _ flags _; do
	[ "$flags" = 0x2 ] && echo "$address neighbour"
done </proc/net/arp
sleep "$linger"
`, "probe"}

// Targets of the probe.
const (
	probePort    = 9 // discard; nobody listens
	controlAddr  = "127.0.0.1:9"
	metadataAddr = "169.254.169.254:80"
)

// probeLimits are enough for the probe and for nothing else.
var probeLimits = orchestrator.Limits{Memory: 128 << 20, PIDs: 64}

// errReached says that something answered which should not.
var errReached = errors.New("a container gets through")

// probe shows from inside a container on b that neither the host nor a sibling nor the metadata
// service answers. errReached says that one did; any other error that it could not be tried.
func (r *Runtime) probe(ctx context.Context, b bridge) error {
	ctx, cancel := within(ctx, slowTimeout)
	defer cancel()
	r.removeOldProbes(ctx)

	port := probePort
	if r.isLocal(b) {
		// A firewall of the operator may drop what goes to closed ports alone.
		listener, err := listenEverywhere()
		if err != nil {
			return fmt.Errorf("listen for the probe: %w", err)
		}
		defer listener.Close() //nolint:errcheck // nothing was written
		port = listener.Addr().(*net.TCPAddr).Port
	}
	sibling, err := r.startProbe(ctx, b, strconv.Itoa(int(probeLifetime/time.Second)))
	if err != nil {
		return err
	}
	defer r.discard(ctx, sibling)
	c, err := r.api.ContainerInspect(ctx, sibling)
	if err != nil {
		return fault("look at probe", err)
	}
	var address netip.Addr
	if end := c.NetworkSettings.Networks[b.name]; end != nil {
		address, _ = netip.ParseAddr(end.IPAddress)
	}
	if !address.IsValid() {
		return fmt.Errorf("the probe's container has no address on %s; it printed: %s", b.name, r.printed(ctx, sibling))
	}
	host := netip.AddrPortFrom(b.gateway, uint16(port)).String() //nolint:gosec // a port
	other := netip.AddrPortFrom(address, probePort).String()
	out, code, err := r.runOnce(ctx, r.probeConfig("0", host, other, metadataAddr, controlAddr), r.hardened(b.name, probeLimits))
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("the probe in image %s ended with %d: %s", r.cfg.ProbeImage, code, out)
	}
	return judge(out, host, other, b.gateway, address)
}

// judge reads what the probe printed. Silence counts only if the probe demonstrably could have been
// answered: it saw a refusal when nothing was in between, and the hardware addresses of the host
// and the sibling, which no IP firewall hides.
func judge(out, host, sibling string, gateway, neighbour netip.Addr) error {
	said := make(map[string][]string)
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) == 2 {
			said[f[0]] = append(said[f[0]], f[1])
		}
	}
	for _, t := range []struct{ target, what string }{
		{host, "this host's own ports"}, {sibling, "another workspace"}, {metadataAddr, "link-local metadata"},
	} {
		for _, verdict := range said[t.target] {
			if verdict == "connected" || verdict == "refused" {
				return fmt.Errorf("%w to %s (%s)", errReached, t.what, t.target)
			}
		}
		if len(said[t.target]) != 1 || (said[t.target][0] != "silent" && said[t.target][0] != "unreachable") {
			return fmt.Errorf("the probe says nothing of %s; it printed: %s", t.target, out)
		}
	}
	if !slices.Equal(said[controlAddr], []string{"refused"}) {
		return fmt.Errorf("the probe cannot tell a refusal from silence; it printed: %s", out)
	}
	for _, a := range []netip.Addr{gateway, neighbour} {
		if !slices.Contains(said[a.String()], "neighbour") {
			return fmt.Errorf("the probe's network does not work, so its silence proves nothing; it printed: %s", out)
		}
	}
	return nil
}

func (r *Runtime) probeConfig(args ...string) *container.Config {
	command := slices.Concat(r.cfg.ProbeCommand, args)
	return &container.Config{Image: r.cfg.ProbeImage, Entrypoint: command[:1], Cmd: command[1:]}
}

// startProbe starts a probe that only stays for others to try it.
func (r *Runtime) startProbe(ctx context.Context, b bridge, args ...string) (string, error) {
	start := func() (string, error) {
		id, err := r.createProbe(ctx, r.probeConfig(args...), r.hardened(b.name, probeLimits))
		if err != nil {
			return "", err
		}
		if err := r.api.ContainerStart(ctx, id, container.StartOptions{}); err != nil {
			r.discard(ctx, id)
			return "", fault("start probe", err)
		}
		return id, nil
	}
	id, err := start()
	if err != nil && strings.Contains(err.Error(), "disable_ipv6") && !r.noIPv6.Swap(true) {
		r.log.Info("the engine's kernel has no IPv6, so there is none to turn off")
		return start()
	}
	return id, err
}

// listenEverywhere listens on every IPv4 address of this host and hangs up on whoever comes.
func listenEverywhere() (net.Listener, error) {
	listener, err := net.Listen("tcp4", ":0") //nolint:gosec,noctx // that is the point; it is open for seconds
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	return listener, nil
}

// removeOldProbes removes what a gateway left that was killed while it probed.
func (r *Runtime) removeOldProbes(ctx context.Context) {
	list, err := r.api.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(
		filters.Arg("label", LabelProbe), filters.Arg("label", LabelInstance+"="+r.cfg.Instance),
	)})
	if err != nil {
		return // the next call will say it
	}
	for _, c := range list {
		if time.Since(time.Unix(c.Created, 0)) > probeLifetime {
			r.discard(ctx, c.ID)
		}
	}
}
