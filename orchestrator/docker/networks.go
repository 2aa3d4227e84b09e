package docker

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
)

// Options of the engine's bridge driver.
const (
	optionBridgeName = "com.docker.network.bridge.name"
	optionICC        = "com.docker.network.bridge.enable_icc"
)

// countsFresh is how long the numbers of containers on each network are believed without a look at
// the engine. Other gateways create too, but a network has room for some more than the limit.
const countsFresh = 10 * time.Second

// How long addNetwork waits for a network that another gateway is just making, and how often it looks.
const (
	raceTimeout = 15 * time.Second
	raceRetry   = 50 * time.Millisecond
)

// networks knows the shared networks and how many containers are on each.
type networks struct {
	mu     sync.Mutex
	list   []bridge // by index
	counts map[string]int
	read   time.Time // zero: know nothing
}

// bridge is one network of workspaces.
type bridge struct {
	name    string // of the network, e.g. "kalpana-0"
	device  string // of its interface on the engine's host, e.g. "kal0"
	index   int
	gateway netip.Addr // the host's address on it
}

// pickNetwork returns the first network with room, and makes one if there is none.
func (r *Runtime) pickNetwork(ctx context.Context) (string, error) {
	r.nets.mu.Lock()
	defer r.nets.mu.Unlock()
	if time.Since(r.nets.read) > countsFresh {
		if err := r.readNetworks(ctx); err != nil {
			return "", err
		}
	}
	for {
		for _, b := range r.nets.list {
			if r.nets.counts[b.name] < r.cfg.MaxPerNetwork {
				r.nets.counts[b.name]++
				return b.name, nil
			}
		}
		if err := r.addNetwork(ctx, r.freeIndex()); err != nil {
			return "", err
		}
	}
}

// firstNetwork looks at the engine's networks anew and returns the first, made if need be.
func (r *Runtime) firstNetwork(ctx context.Context) (bridge, error) {
	ctx, cancel := within(ctx, slowTimeout)
	defer cancel()
	r.nets.mu.Lock()
	defer r.nets.mu.Unlock()
	if err := r.readNetworks(ctx); err != nil {
		return bridge{}, err
	}
	if len(r.nets.list) == 0 {
		if err := r.addNetwork(ctx, 0); err != nil {
			return bridge{}, err
		}
	}
	return r.nets.list[0], nil
}

// restoreNetwork makes the network called name again if it is gone.
func (r *Runtime) restoreNetwork(ctx context.Context, name string) error {
	index, err := strconv.Atoi(strings.TrimPrefix(name, r.cfg.scope.network))
	if err != nil || name != r.networkName(index) {
		return fmt.Errorf("network %s: %w", name, ErrForeign)
	}
	r.nets.mu.Lock()
	defer r.nets.mu.Unlock()
	if err := r.readNetworks(ctx); err != nil {
		return err
	}
	for _, b := range r.nets.list {
		if b.index == index {
			return nil
		}
	}
	return r.addNetwork(ctx, index)
}

func (r *Runtime) networkName(index int) string {
	return r.cfg.scope.network + strconv.Itoa(index)
}

// freeIndex returns the lowest index that no network has.
func (r *Runtime) freeIndex() int {
	index := 0
	for _, b := range r.nets.list { // by index
		if b.index == index {
			index++
		}
	}
	return index
}

// readNetworks asks the engine for networks and containers. Containers of every instance count, and
// created and stopped ones: they want to be started there.
func (r *Runtime) readNetworks(ctx context.Context) error {
	found, err := r.api.NetworkList(ctx, network.ListOptions{
		Filters: filters.NewArgs(filters.Arg("label", LabelNetwork+"="+r.cfg.scope.bridge)),
	})
	if err != nil {
		return fault("list networks", err)
	}
	containers, err := r.api.ContainerList(ctx, container.ListOptions{
		All: true, Filters: filters.NewArgs(filters.Arg("label", LabelInstance)),
	})
	if err != nil {
		return fault("list containers", err)
	}
	byIndex := make(map[int]bridge)
	last := -1
	for i := range found {
		b, ok := r.readBridge(&found[i])
		if !ok {
			r.log.Warn("a network that carries our label is not as we make it; it is not used",
				"network", found[i].Name)
			continue
		}
		byIndex[b.index] = b
		last = max(last, b.index)
	}
	r.nets.list = r.nets.list[:0]
	for index := 0; index <= last; index++ {
		if b, ok := byIndex[index]; ok {
			r.nets.list = append(r.nets.list, b)
		}
	}
	r.nets.counts = make(map[string]int, len(r.nets.list))
	for i := range containers {
		r.nets.counts[containers[i].HostConfig.NetworkMode]++
	}
	r.nets.read = time.Now()
	return nil
}

// maxIndex keeps a bridge's name within the kernel's 15 characters.
const maxIndex = 9999

// readBridge checks that the fence can rely on a network, and returns what is to know of it.
func (r *Runtime) readBridge(n *network.Summary) (bridge, bool) {
	index, err := strconv.Atoi(strings.TrimPrefix(n.Name, r.cfg.scope.network))
	if err != nil || index < 0 || index > maxIndex || n.Name != r.networkName(index) {
		return bridge{}, false
	}
	b := bridge{name: n.Name, index: index, device: n.Options[optionBridgeName]}
	if b.device != r.cfg.scope.bridge+strconv.Itoa(index) || n.Driver != "bridge" ||
		n.Options[optionICC] != "false" || n.EnableIPv6 || len(n.IPAM.Config) != 1 {
		return bridge{}, false
	}
	b.gateway, err = netip.ParseAddr(n.IPAM.Config[0].Gateway)
	return b, err == nil
}

// addNetwork makes the network of that index, or finds that another gateway just has. It reads the
// networks anew.
func (r *Runtime) addNetwork(ctx context.Context, index int) error {
	if index > maxIndex {
		return fmt.Errorf("create network: there are %d already", index)
	}
	name := r.networkName(index)
	refused := make(map[netip.Prefix]bool)
	begun := time.Now()
	for {
		subnet, err := r.freeSubnet(ctx, refused)
		if err != nil {
			return err
		}
		start := time.Now()
		_, err = r.api.NetworkCreate(ctx, name, network.CreateOptions{
			Driver:     "bridge",
			EnableIPv6: ptr(false),
			IPAM: &network.IPAM{Driver: "default", Config: []network.IPAMConfig{
				{Subnet: subnet.String(), Gateway: subnet.Addr().Next().String()},
			}},
			Options: map[string]string{
				optionBridgeName: r.cfg.scope.bridge + strconv.Itoa(index),
				optionICC:        "false",
			},
			Labels: map[string]string{LabelNetwork: r.cfg.scope.bridge},
		})
		if err == nil {
			r.log.Info("made a network for workspaces", "network", name, "subnet", subnet, "took", time.Since(start))
		} else if !taken(err) {
			return fault("create network", err)
		}
		if err := r.readNetworks(ctx); err != nil {
			return err
		}
		for _, b := range r.nets.list {
			if b.index == index {
				return nil // ours, or one that another gateway made at the same time
			}
		}
		switch {
		case err == nil:
			return fmt.Errorf("create network: %s is not there after it was made", name)
		case strings.Contains(err.Error(), "verlap"):
			refused[subnet] = true // with something that is not to be seen from here
		case strings.Contains(err.Error(), name+" already exists"):
			return fmt.Errorf("create network: %s exists, but it is not as Kalpana makes it: "+
				"remove it from the engine (docker network rm %s): %w", name, name, ErrForeign)
		case time.Since(begun) > raceTimeout:
			return fault("create network", err)
		default: // another gateway has the bridge already, and the engine will list its network soon
			select {
			case <-ctx.Done():
				return fault("create network", ctx.Err())
			case <-time.After(raceRetry):
			}
		}
	}
}

// taken reports whether the engine refused a network because its name, bridge or subnet is in use.
func taken(err error) bool {
	text := err.Error()
	return strings.Contains(text, "already exists") ||
		strings.Contains(text, "same bridge name") ||
		strings.Contains(text, "verlap")
}
