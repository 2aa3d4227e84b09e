package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/docker/docker/api/types/volume"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/workspace"
)

// playedQuotas are a disk's, where err is nil. 100 bytes are taken in each directory.
type playedQuotas struct {
	err   error
	bytes map[string]int64
}

func (q playedQuotas) may(string) error { return q.err }

func (q playedQuotas) keep(string) error { return nil }

func (q playedQuotas) bound(dir string, limit func(int64) int64) error {
	q.bytes[dir] = limit(100)
	return nil
}

// playedEngine knows volumes alone. It answers as Docker 20.10 and 28.5 do.
type playedEngine struct {
	quotas bool

	mu      sync.Mutex
	volumes map[string]volume.Volume
	asked   []string // for which sizes
}

func (e *playedEngine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case r.URL.Path == "/_ping":
	case path == "version":
		_, _ = w.Write([]byte(`{"ApiVersion": "1.51"}`))
	case path == "volumes/create":
		var options volume.CreateOptions
		if err := json.NewDecoder(r.Body).Decode(&options); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		size := options.DriverOpts["size"]
		e.asked = append(e.asked, size)
		if size != "" && !e.quotas {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprintf(w, `{"message": "create %s: quota size requested but no quota support"}`, options.Name)
			return
		}
		if _, exists := e.volumes[options.Name]; !exists {
			e.volumes[options.Name] = volume.Volume{
				Name: options.Name, Driver: "local", Labels: options.Labels, Options: options.DriverOpts,
				Mountpoint: "/volumes/" + options.Name + "/_data",
			}
		}
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(e.volumes[options.Name])
	case strings.HasPrefix(path, "volumes/"):
		_ = json.NewEncoder(w).Encode(e.volumes[strings.TrimPrefix(path, "volumes/")])
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// played returns a runtime on a played engine, which is on this machine.
func played(t *testing.T, e *playedEngine, q quotas) *Runtime {
	t.Helper()
	path := filepath.Join(t.TempDir(), "engine.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	e.volumes = map[string]volume.Volume{}
	server := &http.Server{Handler: e}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	r, err := New(Config{Host: "unix://" + path, Instance: "test"}, slog.New(slog.NewTextHandler(testLog{t}, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.Close()
		_ = server.Close()
		<-done
	})
	r.quotas = q
	r.machine.known, r.machine.here, r.machine.root = true, true, "/"
	return r
}

func TestCreateVolume_AsksForAQuotaWhereItCanBeHadAndChanged(t *testing.T) {
	t.Parallel()
	const limit = 20 << 30
	for what, c := range map[string]struct {
		engine bool  // has quotas
		disk   error // why quotas cannot be set from here
		limit  int64
		asked  []string // for two volumes
	}{
		"quotas":                               {true, nil, limit, []string{"21474836480", "21474836480"}},
		"no limit":                             {true, nil, 0, []string{"", ""}},
		"the engine has none, and is believed": {false, nil, limit, []string{"21474836480", "", ""}},
		"the disk has none":                    {false, errors.ErrUnsupported, limit, []string{"", ""}},
		"a gateway that is not root":           {true, fs.ErrPermission, limit, []string{"", ""}},
	} {
		e := &playedEngine{quotas: c.engine}
		r := played(t, e, playedQuotas{err: c.disk})
		for range 2 {
			s := orchestrator.Spec{Workspace: workspace.NewID(), Limits: orchestrator.Limits{Disk: c.limit}}
			s.Volume = "kalpana-" + string(s.Workspace)
			dir, err := r.createVolume(t.Context(), s)
			if err != nil || (dir != "") != (c.asked[len(c.asked)-1] != "") {
				t.Errorf("%s: %q, %v", what, dir, err)
			}
			if _, made := e.volumes[s.Volume]; !made {
				t.Errorf("%s: there is no volume", what)
			}
		}
		if got := strings.Join(e.asked, ","); got != strings.Join(c.asked, ",") {
			t.Errorf("%s: asked for %q, want %q", what, e.asked, c.asked)
		}
	}
}

func TestLimitVolume_SetsTheQuotaOfOursThatHasOne(t *testing.T) {
	t.Parallel()
	q := playedQuotas{bytes: map[string]int64{}}
	e := &playedEngine{quotas: true}
	r := played(t, e, q)
	ours := map[string]string{LabelInstance: "test"}
	size := map[string]string{"size": "1000"}
	for name, v := range map[string]volume.Volume{
		"ours":          {Driver: "local", Labels: ours, Options: size},
		"without one":   {Driver: "local", Labels: ours},
		"of another":    {Driver: "local", Labels: map[string]string{LabelInstance: "another"}, Options: size},
		"by other ways": {Driver: "cloud", Labels: ours, Options: size},
	} {
		v.Mountpoint = name
		e.volumes[name] = v
		if err := r.LimitVolume(t.Context(), name, func(taken int64) int64 { return 2000 + taken }); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(q.bytes) != 1 || q.bytes["ours"] != 2100 {
		t.Errorf("%v", q.bytes)
	}
	r.noVolumeQuota.Store(true)
	if err := r.LimitVolume(t.Context(), "ours", func(int64) int64 { return 1 }); err != nil || q.bytes["ours"] != 2100 {
		t.Errorf("an engine that has none: %v, %v", err, q.bytes)
	}
}

func TestWatch_AnEngineThatIsBackIsAskedAgainForQuotas(t *testing.T) {
	t.Parallel()
	r := newRuntime(t)
	r.noDiskLimit.Store(true)
	r.noVolumeQuota.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	r.Watch(ctx, func(orchestrator.ContainerEvent) {}, func() {
		if r.noDiskLimit.Load() || r.noVolumeQuota.Load() {
			t.Error("what it could not do is remembered")
		}
		cancel()
	})
}

// TestVolumeQuota_OnADiskThatHasThem runs where the engine's data are on XFS mounted with pquota, or ext4 with
// prjquota. For a machine without, a virtual one will do (qemu-system-x86_64, with -accel tcg where there is no
// KVM): Debian with linux-image-cloud-amd64, docker.io, a second disk mounted at /var/lib/docker, and
// in it, as root, what these make:
//
//	CGO_ENABLED=0 go build ./orchestrator/docker/testdata/toolbox
//	CGO_ENABLED=0 go test -c ./orchestrator/docker
//	KALPANA_TEST_TOOLBOX=$PWD/toolbox ./docker.test -test.v -test.run VolumeQuota
func TestVolumeQuota_OnADiskThatHasThem(t *testing.T) {
	engine(t)
	probe := volume.CreateOptions{Name: "kalpana-probe-" + suffix, DriverOpts: map[string]string{"size": "1m"}}
	if _, err := world.api.VolumeCreate(t.Context(), probe); answered(err, "no quota support") {
		t.Skip("the engine's disk has no project quotas: ", err)
	} else if err != nil {
		t.Fatal(err)
	}
	if err := world.api.VolumeRemove(t.Context(), probe.Name, true); err != nil {
		t.Fatal(err)
	}
	r := newRuntime(t, ownScope(t, "q"), func(c *Config) { c.AllowHostAccess = true }) // an emulated machine is slow
	if err := r.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e, err := r.Inspect(t.Context()); err != nil || e.Quotas != orchestrator.QuotasOn {
		t.Fatalf("%+v, %v", e, err)
	}

	const mib = 1 << 20
	s := spec(t, r, "serve")
	s.Limits.Disk = 32 * mib
	id := run(t, r, s)
	bound := func(limit func(taken int64) int64) {
		t.Helper()
		if err := r.LimitVolume(t.Context(), s.Volume, limit); err != nil {
			t.Fatal(err)
		}
	}
	to := func(n int64) func(int64) int64 { return func(int64) int64 { return n } }
	// fills writes up to 100 MiB into a file of the container, until that is refused.
	fills := func(file string, least, most int64) {
		t.Helper()
		out := inside(t, id, "fill", file, strconv.Itoa(100*mib))
		n, refusal, _ := strings.Cut(strings.TrimSpace(out), " ")
		size, _ := strconv.ParseInt(n, 10, 64)
		refused := strings.Contains(refusal, "no space left") || strings.Contains(refusal, "quota exceeded")
		if size < least || size > most || refused != (size < 100*mib) {
			t.Errorf("%s: %s", file, out)
		}
	}
	fills("/home/dev/a", 30*mib, 32*mib)
	bound(to(64 * mib))
	fills("/home/dev/b", 30*mib, 32*mib)

	// It is full, and starts; the engine has brought back what the volume was made with.
	if err := r.Stop(t.Context(), id, 0); err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	fills("/home/dev/c", 0, 0)
	bound(func(taken int64) int64 { return max(s.Limits.Disk, taken+16*mib) })
	fills("/home/dev/c", 14*mib, 16*mib)
	inside(t, id, "remove", "/home/dev/a", "/home/dev/b", "/home/dev/c")
	bound(to(8 * mib)) // lower than at first
	fills("/home/dev/a", 6*mib, 8*mib)
	bound(to(0))
	fills("/home/dev/b", 100*mib, 100*mib)

	// Whoever owns a file may have it counted elsewhere: the measuring sees it all the same.
	// Not even the whole home, so that a quota of somebody else's would be set.
	if out := inside(t, id, "count", "/home/dev", "0"); out != "" {
		t.Error(out)
	}
	before, after := int64(0), int64(0)
	bound(func(taken int64) int64 { before = taken; return 0 })
	if out := inside(t, id, "count", "/home/dev/b", "0"); out != "" {
		t.Error(out)
	}
	bound(func(taken int64) int64 { after = taken; return 0 })
	if moved := before - after; moved < 99*mib {
		t.Errorf("%d MiB were moved away", moved/mib)
	}
	if used, whole, err := r.DiskUsed(t.Context(), id, s.Volume); err != nil || !whole || used < 106*mib {
		t.Errorf("measured %d MiB, %v, %v", used/mib, whole, err)
	}

	if r.machine.boundsLayers() { // XFS
		fills("/in the layer", 30*mib, 32*mib)
	} else {
		fills("/in the layer", 100*mib, 100*mib)
	}

	// One that was made without a quota stays as it is.
	s = spec(t, r, "serve")
	id = run(t, r, s)
	bound(func(int64) int64 { t.Error("it has a quota"); return 0 })
	s.Limits.Disk = 32 * mib
	if dir, err := r.createVolume(t.Context(), s); err != nil || dir != "" { // as for another container
		t.Fatal(dir, err)
	}
	fills("/home/dev/a", 100*mib, 100*mib)
}
