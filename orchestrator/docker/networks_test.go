package docker

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
)

func prefixes(texts ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

func addrs(texts ...string) []netip.Addr {
	var list []netip.Addr
	for _, text := range texts {
		list = append(list, netip.MustParseAddr(text))
	}
	return list
}

// ownScope gives a test networks of its own.
func ownScope(t *testing.T, letter string) func(*Config) {
	t.Helper()
	engine(t)
	s := newScope(letter)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		removeNetworks(ctx, s)
		removeRules(ctx, s)
	})
	return func(c *Config) { c.scope = s }
}

func removeNetworks(ctx context.Context, s scope) {
	list, _ := world.api.NetworkList(ctx, network.ListOptions{Filters: filters.NewArgs(filters.Arg("name", s.network))})
	for _, n := range list {
		_ = world.api.NetworkRemove(ctx, n.ID)
	}
}

func networkNames(t *testing.T, s scope) []string {
	t.Helper()
	list, err := world.api.NetworkList(t.Context(), network.ListOptions{Filters: filters.NewArgs(filters.Arg("name", s.network))})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, n := range list {
		names = append(names, strings.TrimPrefix(n.Name, s.network))
	}
	slices.Sort(names)
	return names
}

func TestNetworks_TwoGatewaysAtOnceMakeOne(t *testing.T) {
	t.Parallel()
	own := ownScope(t, "b")
	var runtimes []*Runtime
	for range 4 {
		runtimes = append(runtimes, newRuntime(t, own))
	}
	type answer struct {
		b   bridge
		err error
	}
	answers := make(chan answer)
	for _, r := range runtimes {
		go func() {
			b, err := r.firstNetwork(t.Context())
			answers <- answer{b, err}
		}()
	}
	seen := make(map[bridge]bool)
	for range runtimes {
		a := <-answers
		if a.err != nil {
			t.Error(a.err)
		}
		seen[a.b] = true
	}
	if len(seen) != 1 {
		t.Errorf("they found different networks: %v", seen)
	}
	if names := networkNames(t, runtimes[0].cfg.scope); !slices.Equal(names, []string{"0"}) {
		t.Errorf("networks: %v", names)
	}
}

func TestNetworks_AFullOneIsFollowedByTheNext(t *testing.T) {
	t.Parallel()
	own := ownScope(t, "c")
	few := func(c *Config) { c.MaxPerNetwork = 2; c.AllowHostAccess = true }
	r := newRuntime(t, own, few)
	if err := r.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	modes := func(r *Runtime) (got []string) {
		for range 3 {
			c := inspect(t, create(t, r, spec(t, r, "serve")))
			got = append(got, strings.TrimPrefix(string(c.HostConfig.NetworkMode), r.cfg.scope.network))
		}
		return got
	}
	if got := modes(r); !slices.Equal(got, []string{"0", "0", "1"}) {
		t.Errorf("the first three containers went to %v", got)
	}
	// Another gateway, of another installation, counts the same containers.
	second := newRuntime(t, own, few)
	second.fence.state.Store(int32(fenceHolds))
	if got := modes(second); !slices.Equal(got, []string{"1", "2", "2"}) {
		t.Errorf("the next three went to %v", got)
	}
	for i, want := range []string{"0", "1", "2"} {
		n, err := world.api.NetworkInspect(t.Context(), r.networkName(i), network.InspectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if n.Options[optionBridgeName] != r.cfg.scope.bridge+want || n.Options[optionICC] != "false" || n.EnableIPv6 {
			t.Errorf("network %s: %+v", n.Name, n.Options)
		}
	}
}

func TestStart_BringsBackANetworkThatWasPruned(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, ownScope(t, "d"), func(c *Config) { c.AllowHostAccess = true })
	if err := r.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := spec(t, r, "serve 80")
	port := freePort(t)
	s.Ports = map[int]int{80: port}
	id := run(t, r, s)
	if err := r.Stop(t.Context(), id, time.Second); err != nil {
		t.Fatal(err)
	}
	if err := world.api.NetworkRemove(t.Context(), r.networkName(0)); err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the port answers on the new network", func() bool {
		return answer(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port)).String()) == "port 80\n"
	})
}

func TestNetworks_OneThatOnlyBearsOurNameIsNotUsed(t *testing.T) {
	t.Parallel()
	r := newRuntime(t, ownScope(t, "e"), func(c *Config) { c.AllowHostAccess = true })
	_, err := world.api.NetworkCreate(t.Context(), r.networkName(0), network.CreateOptions{
		Driver: "bridge", Labels: map[string]string{LabelNetwork: r.cfg.scope.bridge},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Prepare(t.Context()); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "docker network rm") {
		t.Errorf("a network whose containers see each other was taken: %v", err)
	}
}

func TestNetworkBits_LeavesRoomForEveryWorkspace(t *testing.T) {
	t.Parallel()
	for workspaces, want := range map[int]int{1: 27, 16: 27, 17: 26, 200: 24, 250: 23, 1000: 22} {
		if got := networkBits(workspaces); got != want {
			t.Errorf("%d workspaces: /%d, want /%d", workspaces, got, want)
		}
	}
}

func TestPieces_AreInOrderAndWithinThePool(t *testing.T) {
	t.Parallel()
	var got []string
	for p := range pieces(netip.MustParsePrefix("10.213.3.7/21"), 23) {
		got = append(got, p.String())
	}
	want := []string{"10.213.0.0/23", "10.213.2.0/23", "10.213.4.0/23", "10.213.6.0/23"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestSubnets_OverlappingOnesAreSkippedAndTheEndIsSaid(t *testing.T) {
	t.Parallel()
	own := ownScope(t, "f")
	_, err := world.api.NetworkCreate(t.Context(), "kt"+suffix+"f-taken", network.CreateOptions{
		Driver: "bridge", IPAM: &network.IPAM{Config: []network.IPAMConfig{{Subnet: "10.211.0.0/23"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = world.api.NetworkRemove(context.Background(), "kt"+suffix+"f-taken") })
	r := newRuntime(t, own, func(c *Config) { c.Subnets = prefixes("10.211.0.0/22") })
	got, err := r.freeSubnet(t.Context(), nil)
	if err != nil || got.String() != "10.211.2.0/23" {
		t.Errorf("free: %v, %v", got, err)
	}
	if _, err = r.freeSubnet(t.Context(), map[netip.Prefix]bool{got: true}); err == nil || !strings.Contains(err.Error(), "another range") {
		t.Errorf("nothing free: %v", err)
	}
}

func TestParseRoutes_ReadsTheKernelsTable(t *testing.T) {
	t.Parallel()
	table := "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n" +
		"eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n" +
		"docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n" +
		"eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n" +
		"broken\tzz\n"
	if got := parseRoutes(table); !slices.Equal(got, prefixes("172.17.0.0/16", "192.0.2.0/24")) {
		t.Errorf("got %v", got)
	}
}

func TestNameservers_AreThoseAContainerCanReach(t *testing.T) {
	t.Parallel()
	text := "# generated\nnameserver 127.0.0.53\nnameserver 10.0.0.2\nnameserver ::1\nnameserver 10.0.0.2\noptions edns0\nnameserver 192.0.2.53\nnameserver\n"
	if got := nameservers(text); !slices.Equal(got, addrs("10.0.0.2", "192.0.2.53")) {
		t.Errorf("got %v", got)
	}
}
