package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/store/sqlite"
	"github.com/kalpana-dev/kalpana/workspace"
)

// playedEngine is an engine that says of itself what a test wants.
type playedEngine struct {
	orchestrator.Runtime

	engine orchestrator.Engine
	image  orchestrator.Image
	fence  orchestrator.Fence
	host   orchestrator.Host
	err    error // of all
}

func (e *playedEngine) Host(context.Context) (orchestrator.Host, error) { return e.host, e.err }

func (e *playedEngine) Inspect(context.Context) (orchestrator.Engine, error) {
	return e.engine, e.err
}

func (e *playedEngine) InspectImage(context.Context, string) (orchestrator.Image, error) {
	return e.image, e.err
}

func (e *playedEngine) InspectFence(context.Context) (orchestrator.Fence, error) {
	return e.fence, e.err
}

// examined is an installation that the doctor looks at.
type examined struct {
	*patient
	t      *testing.T
	engine *playedEngine
	dir    string // the data directory, which is not there yet
	config string // the Caddyfile
}

func newExamined(t *testing.T, options string) *examined {
	t.Helper()
	return newSites(t, options, "http://kalpana.localhost {\n\tbind 127.0.0.77\n\tkalpana_console\n}\nhttp://*.ws.kalpana.localhost {\n\tbind 127.0.0.77\n\tkalpana_workspace\n}\n")
}

// newSites is one with sites of its own.
func newSites(t *testing.T, options, sites string) *examined {
	t.Helper()
	t.Setenv("KALPANA_KEYSET", "")
	t.Setenv("KALPANA_KEY", "")
	now := time.Now()
	e := &examined{t: t, dir: filepath.Join(runtimetest.Dir(t), "data"), engine: &playedEngine{
		engine: orchestrator.Engine{Name: "Docker Engine", Version: "28.5.2", API: "1.51", Address: "unix:///run/docker.sock", Local: true, Cgroups: "v2, systemd", Storage: "overlay2 on extfs", Root: "/", Clock: now, Asked: now},
		image:  orchestrator.Image{Size: 1 << 30, Created: now},
		fence:  orchestrator.Fence{By: "/usr/sbin/iptables"},
		host:   orchestrator.Host{Memory: 8 << 30, MemoryFree: 6 << 30},
	}}
	e.config = filepath.Join(t.TempDir(), "Caddyfile")
	text := fmt.Sprintf("{\n\tadmin unix/%s/admin.sock|0600\n\tkalpana {\n\t\tdata_dir %s\n\t\truntime test\n\t\t%s\n\t}\n}\n%s", filepath.Dir(e.dir), e.dir, options, sites)
	if err := os.WriteFile(e.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := admit(t.Context(), e.config, "caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	p.runtime = e.engine
	e.patient = p
	return e
}

// finds lets one check look, which must come to this.
func (e *examined) finds(name string, status checkStatus, found string) checkResult {
	e.t.Helper()
	for _, c := range checks {
		if c.name != name {
			continue
		}
		r := within(e.t.Context(), e.limit, func(ctx context.Context) checkResult { return c.look(ctx, e.patient) })
		if r.Status != status || !strings.Contains(r.Found, found) {
			e.t.Errorf("%s: %s %q (%q), want %s with %q", name, r.Status, r.Found, r.Do, status, found)
		}
		if r.Status == checkFailed && r.Do == "" {
			e.t.Errorf("%s: it says nothing of what to do about %q", name, r.Found)
		}
		return r
	}
	e.t.Fatalf("there is no check %s", name)
	return checkResult{}
}

func TestDoctor_ARunningInstallationIsFineAndNothingIsChanged(t *testing.T) {
	o := runWithAdmin(t)
	config := filepath.Join(t.TempDir(), "Caddyfile")
	if err := os.WriteFile(config, []byte(o.text), 0o600); err != nil {
		t.Fatal(err)
	}
	before := listing(t, filepath.Join(o.dir, "data"))
	out, _, err := command(doctorCommand, "--config", config, "--json")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if after := listing(t, filepath.Join(o.dir, "data")); after != before {
		t.Errorf("it changed the data directory from\n%s to\n%s", before, after)
	}
	var r report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if !r.OK || len(r.Checks) != len(checks)+1 {
		t.Errorf("%+v", r)
	}
	for _, c := range r.Checks {
		if c.Status != checkOK && c.Name != "files" && c.Name != "disk" && c.Name != "cgroups" && c.Name != "storage" { // this machine's, or the played engine's
			t.Errorf("%+v", c)
		}
	}
	out, _, err = command(doctorCommand, "--config", config)
	if err != nil || !strings.Contains(out, "ok       gateway        it runs; open streams: 0, held requests: 0\n") {
		t.Errorf("%v\n%s", err, out)
	}
	o.does(drainCommand)
	if out, _, _ := command(doctorCommand, "--config", config); !strings.Contains(out, "warning  gateway        it runs, and drains") || !strings.Contains(out, "kalpana drain --undo") {
		t.Errorf("draining:\n%s", out)
	}
}

// listing returns what is in a directory, but for what a running gateway writes by itself.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			info, e := d.Info()
			fmt.Fprintln(&all, path, info.Mode())
			err = e
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

func TestDoctor_ANewInstallationHasNothingToFail(t *testing.T) {
	e := newExamined(t, "")
	r := e.examine(t.Context(), checks)
	if !r.OK {
		t.Errorf("%+v", r)
	}
	for name, found := range map[string]string{
		"engine": "Docker Engine 28.5.2 at unix:///run/docker.sock, API 1.51", "image": "kalpana/workspace:latest, 1.0 GiB",
		"store": "will be made at the first start", "keys": "will be made in", "dns": "are this machine to every browser",
		"firewall": "every rule is in place", "clock": "as the engine's", "ports": "of 40000-50000 are free",
	} {
		e.finds(name, checkOK, found)
	}
	e.finds("gateway", checkWarning, "none answers at unix/")
	if _, err := os.Stat(e.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the data directory: %v", err)
	}
}

func TestDoctor_SaysWhatIsWrongWithTheEngine(t *testing.T) {
	e := newExamined(t, "")
	e.engine.engine.Unlimits, e.engine.engine.Copies = []string{"memory", "processes"}, true
	e.finds("cgroups", checkWarning, "it cannot limit memory, processes")
	e.finds("storage", checkWarning, "every container is a whole copy")
	e.finds("runtime", checkOK, "does not tell")
	e.engine.image.Faults = []string{"it runs as root"}
	e.finds("image", checkFailed, "is no workspace image: it runs as root")
	e.engine.fence = orchestrator.Fence{}
	e.finds("firewall", checkWarning, "in a container of the workspace image")
	e.engine.fence = orchestrator.Fence{Off: true}
	e.finds("firewall", checkWarning, "off, by allow_host_access")

	e = newExamined(t, "")
	e.engine.engine.Runtime = "runc 1.3.3"
	e.finds("runtime", checkOK, "runc 1.3.3")
	e = newExamined(t, "")
	e.engine.engine.Runtime, e.engine.engine.Escapes = "runc 1.3.2", "CVE-2025-31133"
	if r := e.finds("runtime", checkWarning, "runc 1.3.2: containers can get out of it"); !strings.Contains(r.Do, "CVE-2025-31133") {
		t.Errorf("what to do: %s", r.Do)
	}

	e = newExamined(t, "")
	e.engine.err = workspace.ErrImageMissing
	e.finds("image", checkFailed, "is not on the engine")
	e = newExamined(t, "")
	e.engine.err = fmt.Errorf("look: %w", workspace.ErrEngineDown)
	e.finds("engine", checkFailed, "does not answer")
	for _, name := range []string{"runtime", "cgroups", "storage", "image", "firewall"} {
		e.finds(name, checkWarning, "not looked at")
	}
	if r := e.examine(t.Context(), checks); r.OK {
		t.Errorf("it is fine without an engine: %+v", r)
	}
}

func TestDoctor_SaysWhetherVolumesHaveQuotas(t *testing.T) {
	for quotas, want := range map[orchestrator.Quotas]struct {
		status checkStatus
		found  string
	}{
		orchestrator.QuotasOn:      {checkOK, "project quotas bound volumes"},
		orchestrator.QuotasNone:    {checkOK, "no project quotas: disk limits are measured each minute"},
		orchestrator.QuotasUnknown: {checkOK, "disk limits are measured"},
		orchestrator.QuotasDenied:  {checkWarning, "this user may not change them"},
	} {
		e := newExamined(t, "")
		e.engine.engine.Quotas = quotas
		e.finds("storage", want.status, want.found)
	}
}

func TestDoctor_TheReserveIsKept(t *testing.T) {
	e := newExamined(t, "reserve {\n\t\t\tmemory 1GiB\n\t\t}")
	e.finds("memory", checkOK, "6.0 GiB of 8.0 GiB are free")
	e.engine.host.MemoryFree = 1500 << 20
	e.finds("memory", checkWarning, "soon less than the reserve of 1.0 GiB")
	e.engine.host.MemoryFree = 900 << 20
	e.finds("memory", checkFailed, "no workspace is started")
}

func TestDoctor_DisksWithoutRoom(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		low, least int64
		want       checkStatus
	}{
		"room enough": {1, 1, checkOK}, "little": {1 << 62, 1, checkWarning}, "too little": {1 << 62, 1 << 62, checkFailed},
	} {
		if r := room(dir, "data directory", c.low, c.least); r.Status != c.want || !strings.Contains(r.Found, "free in "+dir) {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if r := room(filepath.Join(dir, "none"), "engine", 1, 1); r.Status != checkOK || !strings.Contains(r.Found, "cannot be seen") {
		t.Errorf("one that is elsewhere: %+v", r)
	}
}

func TestDoctor_ClocksThatDiffer(t *testing.T) {
	e := newExamined(t, "")
	e.engine.engine.Clock = e.engine.engine.Asked.Add(-time.Minute)
	e.finds("clock", checkFailed, "off by -1m0s")

	e = newExamined(t, "")
	e.engine.engine.Clock = e.engine.engine.Asked.Add(4 * time.Second)
	e.finds("clock", checkOK, "as the engine's")

	e = newExamined(t, "")
	e.stored(func(s *sqlite.Store) error {
		return s.CreateWorkspace(t.Context(), &workspace.Workspace{ID: workspace.NewID(), Owner: "ann", UpdatedAt: time.Now().Add(5 * time.Minute)}, 0)
	})
	e.finds("clock", checkFailed, "the store has times that are 5m0s ahead")
}

// stored makes the store, with what do does to it.
func (e *examined) stored(do func(*sqlite.Store) error) {
	e.t.Helper()
	if err := makeDataDir(e.dir); err != nil {
		e.t.Fatal(err)
	}
	s, err := sqlite.Open(e.t.Context(), filepath.Join(e.dir, "kalpana.db"))
	if err != nil {
		e.t.Fatal(err)
	}
	if err := errors.Join(do(s), s.Close()); err != nil {
		e.t.Fatal(err)
	}
}

func TestDoctor_StoresThatDoNotOpen(t *testing.T) {
	e := newExamined(t, "")
	e.stored(func(*sqlite.Store) error { return nil })
	e.finds("store", checkOK, ", schema ")
	e = newExamined(t, "")
	if err := makeDataDir(e.dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(e.dir, "kalpana.db"), []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	e.finds("store", checkFailed, "restore a backup")
}

func TestDoctor_PortsThatAreTaken(t *testing.T) {
	first := runtimetest.FreePorts(t, 4)
	e := newExamined(t, fmt.Sprintf("ports %d-%d", first, first+2))
	e.stored(func(s *sqlite.Store) error {
		w := &workspace.Workspace{ID: workspace.NewID(), Owner: "ann"}
		err := s.CreateWorkspace(t.Context(), w, 0)
		_, e := s.ClaimPort(t.Context(), first, w.ID)
		return errors.Join(err, e)
	})
	e.finds("ports", checkOK, fmt.Sprintf("2 of %d-%d are free; workspaces have 1", first, first+2))
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+1))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	e.finds("ports", checkFailed, fmt.Sprintf("1 of %d-%d are free; workspaces have 1, other programs 1 (%d)", first, first+2, first+1))
}

func TestDoctor_NamesThatDoNotResolve(t *testing.T) {
	e := newExamined(t, "console https://kalpana.example.com")
	here := localAddresses()
	if len(here) == 0 {
		t.Fatal("this machine has no address")
	}
	other, another := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	console, workspaces := here[0], here[0]
	e.lookup = func(_ context.Context, host string) ([]netip.Addr, error) {
		switch {
		case host == "kalpana.example.com" && console.IsValid():
			return []netip.Addr{console}, nil
		case strings.HasSuffix(host, ".ws.kalpana.example.com") && workspaces.IsValid():
			return []netip.Addr{workspaces}, nil
		}
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	e.finds("dns", checkOK, "this machine")
	console, workspaces = other, other
	e.finds("dns", checkOK, "the same for both")
	workspaces = another
	e.finds("dns", checkWarning, "they differ")
	workspaces = netip.Addr{}
	if r := e.finds("dns", checkFailed, "does not resolve"); !strings.Contains(r.Do, "*.ws.kalpana.example.com") {
		t.Errorf("do: %s", r.Do)
	}
	console = netip.Addr{}
	e.finds("dns", checkFailed, "kalpana.example.com does not resolve")
}

func TestDoctor_KeysThatOthersCanRead(t *testing.T) {
	e := newExamined(t, "")
	if err := makeDataDir(e.dir); err != nil {
		t.Fatal(err)
	}
	e.finds("keys", checkOK, "will be made at the next start")
	key := filepath.Join(e.dir, "key")
	if err := os.WriteFile(key, []byte(strings.Repeat("0a", 32)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(e.dir, "keyset.json"), []byte(madeKeyset(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	e.finds("keys", checkOK, "for their owner alone")
	if err := os.Chmod(e.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	e.finds("keys", checkWarning, "can be opened by others (mode 0755)")
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	e.finds("keys", checkFailed, "chmod 600 "+key)
}

func TestDoctor_AGatewayThatHangsIsToldInTime(t *testing.T) {
	e := newExamined(t, "")
	l, err := net.Listen("unix", strings.TrimPrefix(e.admin, "unix/"))
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-over })}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { close(over); _ = server.Close() })
	e.limit = 200 * time.Millisecond
	e.finds("gateway", checkFailed, "it does not answer at unix/")
}

func TestDoctor_ACheckThatHangsHoldsNothingUp(t *testing.T) {
	e := newExamined(t, "")
	e.limit = 50 * time.Millisecond
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	r := e.examine(t.Context(), []check{
		{"hangs", func(context.Context, *patient) checkResult { <-over; return fine("") }},
		{"is fine", func(context.Context, *patient) checkResult { return fine("yes") }},
	})
	if r.OK || r.Checks[1].Status != checkFailed || !strings.Contains(r.Checks[1].Found, "longer than 50ms") || r.Checks[2].Found != "yes" {
		t.Errorf("%+v", r)
	}
}

func TestDoctor_ConfigurationsThatDoNotRunKalpana(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct{ text, want string }{
		"unknown words": {"{\n\tkalpana {\n\t\tconsoul https://x\n\t}\n}\n", "unrecognized option of kalpana: consoul"},
		"no kalpana":    {"http://:8080 {\n\trespond ok\n}\n", "lacks the global option kalpana"},
		"a bad address": {"{\n\tkalpana {\n\t\tconsole http://example.com\n\t}\n}\n", "console"},
	} {
		config := filepath.Join(dir, "Caddyfile")
		if err := os.WriteFile(config, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, _, err := command(doctorCommand, "--config", config)
		if err == nil || err.Error() != "failed checks: 1" || !strings.Contains(out, "failed   configuration") || !strings.Contains(out, c.want) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func TestDoctor_AdminEndpointsWhereNoCommandWorks(t *testing.T) {
	e := newExamined(t, "")
	e.admin = ""
	e.finds("gateway", checkWarning, "is off")
	e.admin = "localhost:2019"
	e.finds("gateway", checkWarning, "is localhost:2019, where Kalpana's commands do not work")
}
