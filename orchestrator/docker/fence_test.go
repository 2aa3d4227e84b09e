package docker

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
)

// The addresses of a machine beyond the host, as containers see it: one that anybody may reach, one
// in the range of cloud metadata, and one on a private network, which is also the DNS server.
const (
	openPeer     = "198.51.100.2"
	metadataPeer = "169.254.77.2"
	privatePeer  = "10.210.77.2"
)

// peer makes that machine: a container on three networks of the engine. The engine would keep
// networks apart by itself, so a rule lets ours and the peer's speak; only our firewall, which must
// come before that rule, is left between them.
func peer(t *testing.T, s scope) string {
	t.Helper()
	ctx := t.Context()
	device := "kp" + suffix
	for _, rule := range [][]string{
		{"DOCKER-USER", "-i", s.bridge + "+", "-o", device + "+", "-j", "ACCEPT"},
		{"DOCKER-USER", "-i", device + "+", "-o", s.bridge + "+", "-j", "ACCEPT"},
	} {
		host(t, append([]string{"-I"}, rule...)...)
		t.Cleanup(func() { host(t, append([]string{"-D"}, rule...)...) })
	}
	var id string
	for i, address := range []string{openPeer, metadataPeer, privatePeer} {
		name := fmt.Sprintf("kt%s-peer%d", suffix, i)
		subnet, _ := netip.MustParseAddr(address).Prefix(24)
		_, err := world.api.NetworkCreate(ctx, name, network.CreateOptions{
			Driver: "bridge", Options: map[string]string{optionBridgeName: device + strconv.Itoa(i)},
			IPAM: &network.IPAM{Config: []network.IPAMConfig{{Subnet: subnet.String()}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = world.api.NetworkRemove(context.Background(), name) })
		endpoint := &network.EndpointSettings{IPAMConfig: &network.EndpointIPAMConfig{IPv4Address: address}}
		if i > 0 {
			if err := world.api.NetworkConnect(ctx, name, id, endpoint); err != nil {
				t.Fatal(err)
			}
			continue
		}
		c, err := world.api.ContainerCreate(ctx, &container.Config{
			Image: bareImage, Env: []string{"TOOLBOX=serve 80 53 udp:53"},
			Labels: map[string]string{LabelInstance: "test-" + suffix + "-peer"},
		}, &container.HostConfig{NetworkMode: container.NetworkMode(name)},
			&network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{name: endpoint}}, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		id = c.ID
		t.Cleanup(func() {
			_ = world.api.ContainerRemove(context.Background(), id, container.RemoveOptions{Force: true})
		})
	}
	if err := world.api.ContainerStart(ctx, id, container.StartOptions{}); err != nil {
		t.Fatal(err)
	}
	return id
}

// host runs iptables.
func host(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("iptables", append([]string{"-w"}, args...)...).CombinedOutput()
	if err != nil {
		t.Errorf("iptables %v: %v: %s", args, err, out)
	}
	return string(out)
}

// hostAddresses returns every address of this host but loopback.
func hostAddresses(t *testing.T) []string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
			found = append(found, p.Addr().String())
		}
	}
	return found
}

// address returns a container's own address.
func address(t *testing.T, id string) string {
	t.Helper()
	for _, n := range inspect(t, id).NetworkSettings.Networks {
		return n.IPAddress
	}
	t.Fatal("it has no network")
	return ""
}

// verdicts dials every target from inside a container.
func verdicts(t *testing.T, id string, targets ...string) map[string]string {
	t.Helper()
	got := make(map[string]string)
	for line := range strings.Lines(inside(t, id, append([]string{"dial"}, targets...)...)) {
		target, verdict, _ := strings.Cut(strings.TrimSpace(line), " ")
		got[target] = verdict
	}
	return got
}

func TestFence_AHostileContainerReachesNothing(t *testing.T) {
	t.Parallel()
	own := ownScope(t, "g")
	r := newRuntime(t, own, func(c *Config) {
		c.MaxPerNetwork = 2
		c.Resolvers = addrs(privatePeer)
	})
	peerID := peer(t, r.cfg.scope)
	if err := r.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}

	// Two containers on the first network, one on the second, each with a port published on loopback
	// or to the world.
	var ids []string
	var published []int
	for i, on := range []string{"0.0.0.0", "127.0.0.1", "0.0.0.0"} {
		s := spec(t, r, "serve 80")
		published = append(published, freePort(t))
		s.Address, s.Ports = on, map[int]int{80: published[i]}
		ids = append(ids, run(t, r, s))
	}
	hostile := ids[0]
	if inspect(t, ids[0]).HostConfig.NetworkMode == inspect(t, ids[2]).HostConfig.NetworkMode {
		t.Fatal("the third container is not on another network")
	}
	listener, err := listenEverywhere()
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	datagrams, err := net.ListenPacket("udp4", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer datagrams.Close()
	own4 := hostAddresses(t)
	tcp := listener.Addr().(*net.TCPAddr).Port

	// From the host and from elsewhere, all published ports work.
	for i, port := range published {
		eventually(t, fmt.Sprintf("container %d answers on loopback", i), func() bool {
			return answer(fmt.Sprintf("127.0.0.1:%d", port)) == "port 80\n"
		})
	}
	for _, a := range own4 {
		if got := answer(fmt.Sprintf("%s:%d", a, published[0])); got != "port 80\n" {
			t.Errorf("the port published to the world does not answer on %s: %q", a, got)
		}
	}
	fromPeer := fmt.Sprintf("10.210.77.1:%d", published[0])
	if got := verdicts(t, peerID, fromPeer); got[fromPeer] != "connected" {
		t.Errorf("the published port from another machine on a private network: %v", got)
	}

	// From the container: the world and DNS, and nothing else.
	want := map[string]string{
		openPeer + ":80":     "connected",
		openPeer + ":81":     "refused",
		privatePeer + ":53":  "connected",
		privatePeer + ":80":  "silent",
		metadataPeer + ":80": "silent",
		metadataPeer + ":53": "silent",
		metadataAddr:         "silent",
	}
	for _, a := range own4 {
		for _, port := range append([]int{tcp, 2375, 2019, 22, 80}, published...) {
			want[fmt.Sprintf("%s:%d", a, port)] = "silent"
		}
	}
	for _, id := range ids[1:] {
		want[address(t, id)+":80"] = "silent"
		want[address(t, id)+":81"] = "silent"
	}
	var targets []string
	for target := range want {
		targets = append(targets, target)
	}
	slices.Sort(targets)
	got := verdicts(t, hostile, targets...)
	for _, target := range targets {
		// With over a hundred targets at once a busy machine may be late with an answer; what must
		// stay silent gets no second look.
		for range 5 {
			if want[target] == "silent" || got[target] != "silent" {
				break
			}
			got[target] = verdicts(t, hostile, target)[target]
		}
		if got[target] != want[target] {
			t.Errorf("%s: %s, want %s", target, got[target], want[target])
		}
	}
	t.Logf("%d targets tried from a container, %d of them on this host", len(targets), len(own4)*(5+len(published)))
	eventually(t, "DNS by UDP", func() bool { return inside(t, hostile, "send", privatePeer+":53") == "pong\n" })
	for _, a := range own4 {
		inside(t, hostile, "send-only", fmt.Sprintf("%s:%d", a, datagrams.LocalAddr().(*net.UDPAddr).Port))
	}
	_ = datagrams.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if n, from, err := datagrams.ReadFrom(make([]byte, 64)); err == nil {
		t.Errorf("the host got %d bytes by UDP from %s", n, from)
	}
}
