package server

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/bridge"
)

func TestListPorts_FindsWhoListensAndWhere(t *testing.T) {
	c := start(t, "serve")
	cl := c.dial()
	// Another process has the sockets; the test itself may not listen on them as well.
	var files []*os.File
	ports := map[string]int{}
	for name, addr := range map[string]string{"loopback": "127.0.0.1:0", "any": "0.0.0.0:0", "other": "127.0.0.11:0"} {
		l, err := net.Listen("tcp4", addr)
		if err != nil {
			t.Fatal(err)
		}
		file, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		ports[name] = l.Addr().(*net.TCPAddr).Port
		files = append(files, file)
		l.Close()
	}
	program := exec.Command("sleep", "1000")
	program.ExtraFiles = files
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		file.Close()
	}
	stop := func() { _ = program.Process.Kill(); _ = program.Wait() }
	defer stop()
	r, err := cl.ListPorts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found := map[int]bridge.ListeningPort{}
	for _, p := range r.Ports {
		found[p.Port] = p
	}
	for name, port := range ports {
		want := bridge.ListeningPort{Port: port, Address: name, Process: "sleep", PID: program.Process.Pid, Command: "sleep 1000"}
		if d := cmp.Diff(want, found[port]); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	for _, addr := range []string{c.BridgeAddr(), c.IDEAddr()} {
		if _, port, _ := net.SplitHostPort(addr); found[atoi(port)].Port != 0 {
			t.Errorf("the bridge's own port %s is listed", port)
		}
	}
	stop()
	if r, err = cl.ListPorts(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Ports {
		if p.Port == ports["any"] {
			t.Errorf("it still listens: %+v", p)
		}
	}
}

func TestSocketAddr_IsOfTheMachinesOrder(t *testing.T) {
	for text, want := range map[string]string{
		"0100007F:1F90":                         "127.0.0.1:8080",
		"00000000:0050":                         "0.0.0.0:80",
		"00000000000000000000000001000000:0BB8": "[::1]:3000",
		"00000000000000000000000000000000:0BB8": "[::]:3000",
		"0000000000000000FFFF00000100007F:0BB8": "127.0.0.1:3000",
		"B80D01200000000067452301EFCDAB89:FFFF": "[2001:db8::123:4567:89ab:cdef]:65535",
	} {
		if got, ok := socketAddr(text); !ok || got != netip.MustParseAddrPort(want) {
			t.Errorf("%s: %v, want %s", text, got, want)
		}
	}
	for _, bad := range []string{"", "0100007F", "0100007F:", "01:1F90", "xx00007F:1F90", "0100007F:1F901"} {
		if got, ok := socketAddr(bad); ok {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

func TestListPorts_TheWidestAddressOfAPortCounts(t *testing.T) {
	proc := t.TempDir()
	table := "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	row := func(addr, state, inode string) string {
		return "   0: " + addr + " 00000000:0000 " + state + " 00000000:00000000 00:00000000 00000000  1000        0 " + inode + " 1 0 100 0 0 10 0\n"
	}
	files := map[string]string{
		"net/tcp": table + row("0100007F:0BB8", "0A", "11") + row("0100007F:0BB9", "01", "12") + row("0500A8C0:0BBA", "0A", "13") + "nonsense\n",
		"net/tcp6": table + row("00000000000000000000000000000000:0BB8", "0A", "14") +
			row("00000000000000000000000001000000:0BBA", "0A", "15") + row("00000000000000000000000001000000:0BBB", "0A", "16"),
		"42/comm":    "node\n",
		"42/cmdline": "node\x00server.js\x00--port\x003000\x00",
		"7/comm":     "other\n",
	}
	for name, content := range files {
		p := filepath.Join(proc, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"42/fd", "7/fd"} {
		if err := os.MkdirAll(filepath.Join(proc, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for fd, inode := range map[string]string{"42/fd/3": "14", "42/fd/4": "99", "7/fd/5": "15"} {
		if err := os.Symlink("socket:["+inode+"]", filepath.Join(proc, fd)); err != nil {
			t.Fatal(err)
		}
	}
	want := &bridge.ListPortsResult{Ports: []bridge.ListeningPort{
		{Port: 3000, Address: bridge.ListenAny, Process: "node", PID: 42, Command: "node server.js --port 3000"},
		{Port: 3002, Address: bridge.ListenLoopback, Process: "other", PID: 7},
	}}
	if d := cmp.Diff(want, portsOf(proc, []int{3003})); d != "" {
		t.Error(d)
	}
}

func TestResources_AreReadFromEitherVersionOfControlGroups(t *testing.T) {
	for name, tc := range map[string]struct {
		files map[string]string
		want  bridge.ResourcesResult
	}{
		"version 2": {map[string]string{
			"memory.current": "5000", "memory.max": "8000", "memory.stat": "anon 1\ninactive_file 1000\nactive_file 5", "pids.current": "12", "pids.max": "512",
			"cpu.stat": "usage_usec 3000000\nuser_usec 1", "cpu.max": "50000 100000",
		}, bridge.ResourcesResult{
			CPU: bridge.CPUUse{Limit: 0.5, UsedMs: 3000}, Memory: bridge.MemoryUse{Used: 4000, Limit: 8000}, PIDs: bridge.PIDUse{Current: 12, Limit: 512},
		}},
		"version 1": {map[string]string{
			"memory/memory.usage_in_bytes": "5000", "memory/memory.limit_in_bytes": "9223372036854771712",
			"memory/memory.stat": "inactive_file 7\ntotal_inactive_file 2000", "pids/pids.current": "3", "pids/pids.max": "max",
			"cpuacct/cpuacct.usage": "2000000000", "cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000",
		}, bridge.ResourcesResult{CPU: bridge.CPUUse{Limit: 1, UsedMs: 2000}, Memory: bridge.MemoryUse{Used: 3000}, PIDs: bridge.PIDUse{Current: 3}}},
	} {
		cgroup := t.TempDir()
		for file, content := range tc.files {
			p := filepath.Join(cgroup, file)
			if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(p, []byte(content+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c := start(t, "serve", func(cfg *Config) { cfg.cgroupDir = cgroup })
		c.write("a/b.txt", strings.Repeat("x", 10000))
		c.write("c.txt", "")
		cl := c.dial()
		got, err := cl.Resources(t.Context(), bridge.ResourcesParams{})
		if err != nil || got.Disk.Size <= 0 || got.Disk.Free <= 0 || got.Disk.Free > got.Disk.Size || got.Files != nil {
			t.Fatalf("%s: %+v, %v", name, got, err)
		}
		got.Disk, got.CPU.Share = bridge.DiskUse{}, 0
		if d := cmp.Diff(&tc.want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		got, err = cl.Resources(t.Context(), bridge.ResourcesParams{Files: true})
		if err != nil || got.Files == nil || got.Files.Count != 3 || got.Files.Bytes < 10000 || got.Files.Bytes > 1<<20 || got.Files.Truncated {
			t.Errorf("%s: %+v, %v", name, got.Files, err)
		}
	}
}

func TestResources_OfThisMachine(t *testing.T) {
	c := start(t, "serve")
	if r, err := c.dial().Resources(t.Context(), bridge.ResourcesParams{}); err != nil || r.CPU.Limit <= 0 || r.Disk.Size <= 0 {
		t.Errorf("%+v, %v (%s)", r, err, strconv.Itoa(os.Getpid()))
	}
}
