// Package docker runs workspaces on a Docker Engine.
//
// The code in the containers is hostile, so a container gets no capability, no new privilege, a
// network on which siblings do not answer, and a firewall between it and the host. No container is
// started before a probe has shown, from the inside, that the firewall holds (see [Runtime.Prepare]).
//
// Everything that this package makes carries labels. It never touches what does not carry its own
// instance's label; the networks and the firewall are shared by all instances on one engine.
package docker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/docker/docker/client"

	"github.com/kalpana-dev/kalpana/orchestrator"
)

// The labels on what this package makes.
const (
	LabelInstance  = "dev.kalpana.instance"  // the installation that owns it
	LabelWorkspace = "dev.kalpana.workspace" // the workspace it belongs to
	LabelImage     = "dev.kalpana.image"     // the image reference it was made from; a tag may move later
	LabelNetwork   = "dev.kalpana.network"   // on networks: the prefix of the bridges' names
	LabelProbe     = "dev.kalpana.probe"     // on the short-lived containers of Prepare
)

// Defaults of [Config].
const (
	DefaultMaxPerNetwork = 250
	DefaultProbeImage    = "kalpana/workspace:latest"
	DefaultHomePath      = "/home/dev"
)

// DefaultSubnets is where networks are carved from unless [Config.Subnets] says otherwise.
var DefaultSubnets = []netip.Prefix{netip.MustParsePrefix("10.213.0.0/16")}

// Config says which engine to use and how far containers may reach.
type Config struct {
	// Host is the engine's address, e.g. "unix:///run/docker.sock" or "tcp://10.0.0.7:2376".
	// Default: $DOCKER_HOST, else the socket. $DOCKER_CERT_PATH and $DOCKER_TLS_VERIFY count too.
	Host string
	// Instance names this installation on the engine. Required. Two installations with the same
	// name on one engine would take each other's containers for their own.
	Instance string
	// Subnets are carved into the networks of workspaces. IPv4. Default: [DefaultSubnets].
	// Pieces that overlap a network or route that is already there are skipped.
	Subnets []netip.Prefix
	// MaxPerNetwork is how many workspaces share one bridge. Default: 250, at most 1000 (the
	// kernel ends at 1024 ports a bridge).
	MaxPerNetwork int
	// AllowPrivate lets containers reach private addresses (10.0.0.0/8, 172.16.0.0/12,
	// 192.168.0.0/16, 100.64.0.0/10). Default: they are dropped, but for port 53 of the resolvers.
	// On an engine that several installations share, the strictest counts.
	AllowPrivate bool
	// BlockRanges are further IPv4 ranges that containers must not reach.
	BlockRanges []netip.Prefix
	// AllowHostAccess starts workspaces without the firewall. Whoever has a workspace can then reach
	// every service of the host, and cloud metadata with the machine's credentials.
	AllowHostAccess bool
	// Resolvers are the DNS servers of the containers. Default: the host's own. Their port 53 is
	// excepted from the firewall.
	Resolvers []netip.Addr
	// ProbeImage is run by Prepare. Default: [DefaultProbeImage]. It needs bash and timeout for
	// the default ProbeCommand, and iptables and sh if the gateway cannot run iptables itself.
	ProbeImage string
	// ProbeCommand replaces the built-in probe, for images without bash. It is called with a
	// number of seconds and targets (host:port) as further arguments. It connects to each target
	// for at most a second and prints a line "<target> connected", "<target> refused",
	// "<target> silent" or "<target> unreachable"; then a line "<address> neighbour" for each
	// complete entry of /proc/net/arp; then it stays for that number of seconds.
	ProbeCommand []string
	// CgroupParent is the control group that containers are put in, e.g. "workspaces.slice" with systemd.
	// Default: the engine's. What is set on it bounds all workspaces together.
	CgroupParent string
	// HomePath is where a workspace's volume is mounted. Default: [DefaultHomePath].
	HomePath string

	scope     scope         // names on the engine and host that instances share
	netfilter netfilterMode // how the rules are reached; tests choose
}

// scope is what every instance on one engine shares. Tests have scopes of their own.
type scope struct {
	bridge  string // prefix of the bridges' interface names
	network string // prefix of the networks' names
	chain   string // prefix of the iptables chains
}

var sharedScope = scope{bridge: "kal", network: "kalpana-", chain: "KALPANA"}

// Runtime is an [orchestrator.Runtime] on one Docker Engine.
type Runtime struct {
	cfg Config
	log *slog.Logger
	api *client.Client

	owned      owned
	limited    limited
	machine    machine
	quotas     quotas
	volumes    engineDisk
	namespaces namespaces
	nets       networks
	fence      fence

	settled  atomic.Bool // the version of the API is, and what comes next
	runc     string      // version of the engine's runc, "" if it does not say
	settling sync.Mutex

	noDiskLimit   atomic.Bool // the engine's storage cannot limit a container's layer
	noVolumeQuota atomic.Bool // … nor a volume
	noIPv6        atomic.Bool // the engine's kernel has no IPv6, so there is no switch for it

	noNamespaces atomic.Bool // we cannot enter the network namespaces of containers
}

// How long the engine may take for one call. One that takes longer counts as down.
const (
	quickTimeout  = 20 * time.Second // looks something up
	slowTimeout   = 90 * time.Second // moves files: create, start, remove
	probeLifetime = time.Minute      // no probe container is needed longer
)

// New returns a runtime. It opens nothing: an engine that is down shows at the first call.
func New(cfg Config, log *slog.Logger) (*Runtime, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	opts := []client.Opt{client.FromEnv, client.WithAPIVersionNegotiation()}
	if cfg.Host != "" {
		opts = append(opts, client.WithHost(cfg.Host))
	}
	api, err := client.NewClientWithOpts(opts...)
	if err != nil {
		return nil, fmt.Errorf("container engine address: %w; write it like unix:///var/run/docker.sock", err)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	r := &Runtime{cfg: cfg, log: log, api: api, quotas: kernelQuotas{}}
	r.fence.turn = make(chan struct{}, 1)
	return r, nil
}

// settle agrees with the engine on the version of the API. The client does so by itself at its first
// call, but reads the version without the lock that it writes it under: whatever asks the engine
// comes through here first.
func (r *Runtime) settle(ctx context.Context) error {
	if r.settled.Load() {
		return nil
	}
	r.settling.Lock()
	defer r.settling.Unlock()
	if r.settled.Load() {
		return nil
	}
	ctx, cancel := within(ctx, quickTimeout)
	defer cancel()
	version, err := r.api.ServerVersion(ctx)
	if err != nil {
		return fault("agree on an API version", err)
	}
	if r.runc = runcOf(version); letsOut(r.runc) {
		r.log.Warn("containers can get out of the engine's runc, unless its distribution has mended it: update it", "runc", r.runc, "faults", runcFaults)
	}
	r.settled.Store(true)
	return nil
}

// Close lets go of idle connections. What runs on the engine goes on.
func (r *Runtime) Close() error { return r.api.Close() }

func (c Config) withDefaults() (Config, error) {
	if c.Instance == "" {
		return c, errors.New("the container runtime needs an instance name")
	}
	if strings.ContainsFunc(c.Instance, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return c, fmt.Errorf("instance name %q: no spaces or control characters", c.Instance)
	}
	if len(c.Subnets) == 0 {
		c.Subnets = DefaultSubnets
	}
	if c.MaxPerNetwork == 0 {
		c.MaxPerNetwork = DefaultMaxPerNetwork
	}
	if c.MaxPerNetwork < 1 || c.MaxPerNetwork > 1000 {
		return c, fmt.Errorf("%d workspaces a network: between 1 and 1000 are possible", c.MaxPerNetwork)
	}
	size := networkBits(c.MaxPerNetwork)
	for _, subnet := range c.Subnets {
		if !subnet.IsValid() || !subnet.Addr().Is4() {
			return c, fmt.Errorf("subnet %v: only IPv4 ranges like 10.213.0.0/16 can be used", subnet)
		}
		if subnet.Bits() > size {
			return c, fmt.Errorf("subnet %v: too small for a network of %d workspaces; /%d or larger is needed",
				subnet, c.MaxPerNetwork, size)
		}
	}
	for _, block := range c.BlockRanges {
		if !block.IsValid() || !block.Addr().Is4() {
			return c, fmt.Errorf("blocked range %v: only IPv4 ranges can be blocked; IPv6 is off in containers", block)
		}
	}
	for _, resolver := range c.Resolvers {
		if !resolver.Is4() || resolver.IsLoopback() {
			return c, fmt.Errorf("resolver %v: containers need an IPv4 address that is not the host's loopback", resolver)
		}
	}
	if c.ProbeImage == "" {
		c.ProbeImage = DefaultProbeImage
	}
	if len(c.ProbeCommand) == 0 {
		c.ProbeCommand = defaultProbe
	}
	if c.HomePath == "" {
		c.HomePath = DefaultHomePath
	}
	if !strings.HasPrefix(c.HomePath, "/") {
		return c, fmt.Errorf("home path %q: it is absolute", c.HomePath)
	}
	if c.scope == (scope{}) {
		c.scope = sharedScope
	}
	return c, nil
}

// within bounds one call to the engine.
func within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, d)
}

var _ orchestrator.Runtime = (*Runtime)(nil)
