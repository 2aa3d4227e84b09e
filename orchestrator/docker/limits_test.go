package docker

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/go-connections/nat"

	"github.com/kalpana-dev/kalpana/orchestrator"
)

func TestCreate_LimitsAreSetOnTheEngine(t *testing.T) {
	t.Parallel()
	r := prepared(t)
	s := spec(t, r, "serve 80")
	port := freePort(t)
	s.Ports = map[int]int{80: port}
	s.Limits = orchestrator.Limits{
		Memory: 96 << 20, CPUs: 1.5, PIDs: 77, OpenFiles: 1234, LogSize: 2 << 20, Disk: 1 << 30,
	}
	c := inspect(t, create(t, r, s))
	h := c.HostConfig

	for name, ok := range map[string]bool{
		"memory":                   h.Memory == 96<<20,
		"swap within memory":       h.MemorySwap == 96<<20,
		"CPUs":                     h.NanoCPUs == 1_500_000_000,
		"weight below others'":     h.CPUShares == cpuShares,
		"processes":                h.PidsLimit != nil && *h.PidsLimit == 77,
		"open files":               len(h.Ulimits) == 1 && h.Ulimits[0].Name == "nofile" && h.Ulimits[0].Hard == 1234 && h.Ulimits[0].Soft == 1234,
		"log":                      h.LogConfig.Type == "json-file" && h.LogConfig.Config["max-size"] == "1048576" && h.LogConfig.Config["max-file"] == "2",
		"capabilities dropped":     slices.Equal(h.CapDrop, []string{"ALL"}) && len(h.CapAdd) == 0,
		"no new privileges":        slices.Contains(h.SecurityOpt, "no-new-privileges:true"),
		"seccomp as the engine's":  !strings.Contains(strings.Join(h.SecurityOpt, " "), "seccomp"),
		"not privileged":           !h.Privileged,
		"an init":                  h.Init != nil && *h.Init,
		"no restart":               h.RestartPolicy.Name == "no",
		"out-of-memory score":      h.OomScoreAdj == oomScore,
		"shared memory":            h.ShmSize == shmSize,
		"own IPC":                  h.IpcMode == container.IPCModePrivate,
		"own PIDs":                 h.PidMode == "",
		"own network":              strings.HasPrefix(string(h.NetworkMode), r.cfg.scope.network),
		"no bind mounts":           len(h.Binds) == 0,
		"one mount, the home":      len(c.Mounts) == 1 && c.Mounts[0].Name == s.Volume && c.Mounts[0].Destination == DefaultHomePath,
		"no devices":               len(h.Devices) == 0,
		"read-only paths kept":     slices.Contains(h.ReadonlyPaths, "/proc/sys"),
		"masked paths kept":        slices.Contains(h.MaskedPaths, "/proc/kcore"),
		"signal":                   c.Config.StopSignal == "SIGTERM",
		"IPv6 off":                 h.Sysctls["net.ipv6.conf.all.disable_ipv6"] == "1",
		"port on loopback only":    len(h.PortBindings) == 1 && h.PortBindings[nat.Port("80/tcp")][0].HostIP == "127.0.0.1",
		"labelled with instance":   c.Config.Labels[LabelInstance] == r.cfg.Instance,
		"labelled with workspace":  c.Config.Labels[LabelWorkspace] == string(s.Workspace),
		"health check of none":     slices.Equal(c.Config.Healthcheck.Test, []string{"NONE"}),
		"environment as specified": slices.Contains(c.Config.Env, "TOOLBOX=serve 80"),
	} {
		if !ok {
			t.Errorf("not so: %s", name)
		}
	}
	v, err := world.api.VolumeInspect(t.Context(), s.Volume)
	if err != nil {
		t.Fatal(err)
	}
	if v.Labels[LabelInstance] != r.cfg.Instance || v.Labels[LabelWorkspace] != string(s.Workspace) {
		t.Errorf("volume's labels: %v", v.Labels)
	}
}

func TestCreate_NoLimitMeansNone(t *testing.T) {
	t.Parallel()
	r := prepared(t)
	s := spec(t, r, "serve")
	s.Limits = orchestrator.Limits{}
	h := inspect(t, create(t, r, s)).HostConfig
	if h.Memory != 0 || h.NanoCPUs != 0 || (h.PidsLimit != nil && *h.PidsLimit > 0) || len(h.Ulimits) != 0 || len(h.LogConfig.Config) != 0 {
		t.Errorf("limits: %+v", h.Resources)
	}
}

func TestCreate_ContainersAreInTheControlGroupThatIsNamed(t *testing.T) {
	t.Parallel()
	r := prepared(t, func(c *Config) { c.CgroupParent = "kalpana-test.slice" })
	if h := inspect(t, create(t, r, spec(t, r, "serve"))).HostConfig; h.CgroupParent != "kalpana-test.slice" {
		t.Errorf("control group %q", h.CgroupParent)
	}
}

func TestContainer_SeesItsLimitsFromWithin(t *testing.T) {
	t.Parallel()
	r := prepared(t)
	s := spec(t, r, "serve")
	s.Limits.OpenFiles = 512
	id := run(t, r, s)
	status := inside(t, id, "cat", "/proc/self/status")
	for _, want := range []string{
		"CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "CapBnd:\t0000000000000000",
		"NoNewPrivs:\t1", "Seccomp:\t2",
	} {
		if !strings.Contains(status, want+"\n") {
			t.Errorf("not so within: %q", want)
		}
	}
	within := inside(t, id, "cat", "/proc/self/limits", "/proc/1/comm", "/proc/sys/net/ipv6/conf/all/disable_ipv6", "/proc/net/if_inet6")
	if !strings.Contains(within, "Max open files            512                  512") {
		t.Errorf("open files:\n%s", within)
	}
	if !strings.HasSuffix(within, "init\n1\n") { // an init is first, IPv6 is off, and nothing has an IPv6 address
		t.Errorf("init, IPv6 switch and IPv6 addresses:\n%s", within)
	}
	if out := inside(t, id, "write", "/sys/kernel/mm/ksm/run", "0"); !strings.Contains(out, "read-only") {
		t.Errorf("write to /sys: %q", out)
	}
	if out := inside(t, id, "cat", "/var/run/docker.sock", "/run/docker.sock"); strings.Count(out, "no such file") != 2 {
		t.Errorf("the engine's socket: %q", out)
	}
	pid := inspect(t, id).State.Pid
	if score, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "oom_score_adj")); err == nil && strings.TrimSpace(string(score)) != strconv.Itoa(oomScore) {
		t.Errorf("out-of-memory score %s", score)
	}
}

func TestCreate_GoesOnWhereTheEngineCannotLimitDisk(t *testing.T) {
	t.Parallel()
	r := prepared(t)
	s := spec(t, r, "serve")
	s.Limits.Disk = 1 << 30
	for range 2 {
		run(t, r, s)
	}
	c := inspect(t, create(t, r, s))
	switch limited := c.HostConfig.StorageOpt["size"]; {
	case !r.machine.boundsLayers() && limited == "": // known without a try
	case r.noDiskLimit.Load() && limited != "":
		t.Errorf("the limit %q was said to be impossible", limited)
	case !r.noDiskLimit.Load() && limited != "1073741824":
		t.Errorf("disk limit %q", limited)
	}
}
