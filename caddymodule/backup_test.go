package caddymodule

import (
	"bytes"
	"context"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/store/archive"
	"github.com/kalpana-dev/kalpana/store/mongo/mongotest"
	"github.com/kalpana-dev/kalpana/store/sqlite"
	"github.com/kalpana-dev/kalpana/workspace"
)

// running returns a gateway on the database of its own data directory.
func running(t *testing.T) *instance {
	t.Helper()
	i := gatewayOn(t, "", &oneEngine{Runtime: runtimetest.New(t)}, nil)
	if err := i.open(); err != nil {
		t.Fatal(err)
	}
	return i
}

func made(t *testing.T, i *instance) *workspace.Workspace {
	t.Helper()
	w := &workspace.Workspace{ID: workspace.NewID(), Owner: "ann", Name: "one", State: workspace.StateStopped, CreatedAt: time.Now().UTC()}
	if err := i.store.CreateWorkspace(t.Context(), w, 0); err != nil {
		t.Fatal(err)
	}
	return w
}

// backedUp returns the path of a backup that the running gateway makes.
func backedUp(t *testing.T, i *instance, query string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "backup.tar.gz")
	_, err := saveBackup(t.Context(), path, func(to io.Writer) error {
		answer := httptest.NewRecorder()
		err := new(Admin).backup(&App{instance: i}, answer, httptest.NewRequestWithContext(t.Context(), "POST", "/kalpana/backup"+query, nil))
		_, _ = answer.Body.WriteTo(to)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, parts ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestBackup_OfARunningGatewayIsWhole(t *testing.T) {
	i := running(t)
	before := made(t, i)
	// It goes on writing meanwhile.
	ctx, stop := context.WithCancel(t.Context())
	var written atomic.Int32
	ended := make(chan error, 1)
	go func() {
		for {
			w := &workspace.Workspace{ID: workspace.NewID(), Owner: "bob", State: workspace.StateStopped}
			if err := i.store.CreateWorkspace(ctx, w, 0); err != nil {
				ended <- ctx.Err()
				return
			}
			written.Add(1)
		}
	}()
	for deadline := time.Now().Add(30 * time.Second); written.Load() < 5 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		continue
	}
	acknowledged := written.Load()
	path := backedUp(t, i, "")
	stop()
	<-ended
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}

	dir := t.TempDir()
	m, aside, err := restore(t.Context(), path, dir, filepath.Join(dir, "kalpana.db"))
	if err != nil {
		t.Fatal(err)
	}
	if aside != "" {
		t.Errorf("something of an empty directory was put aside: %s", aside)
	}
	if int32(m.Workspaces) < acknowledged+1 || m.Workspaces == 0 {
		t.Errorf("%d workspaces are in it, %d were acknowledged", m.Workspaces, acknowledged+1)
	}
	for _, name := range []string{"key", "keyset.json", "instance"} {
		if read(t, dir, name) != read(t, i.app.DataDir, name) {
			t.Errorf("%s differs", name)
		}
	}
	again := gatewayOn(t, "", &oneEngine{Runtime: runtimetest.New(t)}, func(a *App) { a.DataDir = dir })
	if err := again.open(); err != nil {
		t.Fatal(err)
	}
	if _, err := again.store.Workspace(t.Context(), before.ID); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(i.app.DataDir, ".backup-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestBackup_CanLeaveTheKeysOut(t *testing.T) {
	i := running(t)
	f, err := os.Open(backedUp(t, i, "?keys=no"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := archive.Read(f, "")
	if err != nil {
		t.Fatal(err)
	}
	if m.Has(archive.Key) || m.Has(archive.Keyset) || !m.Has(archive.Database) || strings.Join(m.Elsewhere, " ") != "key keyset.json" {
		t.Errorf("%+v", m)
	}
}

func TestBackup_WithoutAGatewayReadsTheFile(t *testing.T) {
	i := running(t)
	made(t, i)
	dir := i.app.DataDir
	fetch := func(to io.Writer) error {
		return fetchBackup(t.Context(), to, "unix/"+filepath.Join(dir, "admin.sock"), backupPlace(dir, ""), true)
	}
	path := filepath.Join(t.TempDir(), "backup")
	if _, err := saveBackup(t.Context(), path, fetch); err == nil || !strings.Contains(err.Error(), "in use by another gateway") {
		t.Errorf("a gateway that does not answer, but runs: %v", err)
	}
	if err := i.Destruct(); err != nil {
		t.Fatal(err)
	}
	i.store = nil
	m, err := saveBackup(t.Context(), path, fetch)
	if err != nil || m.Workspaces != 1 || !m.Has(archive.Key) {
		t.Errorf("%+v, %v", m, err)
	}
	if _, err := saveBackup(t.Context(), path, fetch); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("over another file: %v", err)
	}
	if _, err := saveBackup(t.Context(), path+"2", func(to io.Writer) error {
		_, err := to.Write([]byte(read(t, path)[:2000]))
		return err
	}); err == nil || !strings.Contains(err.Error(), "broke off") {
		t.Errorf("half an answer: %v", err)
	}
	if files, _ := filepath.Glob(path + "*"); len(files) != 1 {
		t.Errorf("files %v", files)
	}
}

// installed returns a data directory with one workspace and no gateway, and a backup of an earlier time
// with another one.
func installed(t *testing.T) (dir, backup string, earlier, later *workspace.Workspace) {
	t.Helper()
	i := running(t)
	earlier = made(t, i)
	backup = backedUp(t, i, "")
	later = made(t, i)
	if err := i.Destruct(); err != nil {
		t.Fatal(err)
	}
	i.store = nil
	return i.app.DataDir, backup, earlier, later
}

func TestRestore_KeepsWhatWasThereBefore(t *testing.T) {
	dir, backup, earlier, later := installed(t)
	_, aside, err := restore(t.Context(), backup, dir, filepath.Join(dir, "kalpana.db"))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][2]error{dir: {nil, workspace.ErrNotFound}, aside: {nil, nil}} {
		s, err := sqlite.Open(t.Context(), filepath.Join(path, "kalpana.db"))
		if err != nil {
			t.Fatal(err)
		}
		for n, w := range []*workspace.Workspace{earlier, later} {
			if _, err := s.Workspace(t.Context(), w.ID); err != want[n] { //nolint:errorlint // as the store returns it
				t.Errorf("%s: workspace %d: %v, want %v", path, n, err, want[n])
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if read(t, aside, "key") != read(t, dir, "key") {
		t.Error("the key of before is not kept")
	}
}

func TestRestore_RefusesWhatIsInUseOrDamagedAndChangesNothing(t *testing.T) {
	dir, backup, _, later := installed(t)
	whole := read(t, backup)
	database := filepath.Join(dir, "kalpana.db")
	before := read(t, database)
	damaged := filepath.Join(t.TempDir(), "damaged")
	for name, text := range map[string]string{
		"empty": "", "text": "no archive", "cut off early": whole[:100], "cut off": whole[:len(whole)/2], "cut off at its end": whole[:len(whole)-4],
		"overwritten": whole[:len(whole)/2] + strings.Repeat("x", 100) + whole[len(whole)/2+100:], // single bits may mean nothing
	} {
		if err := os.WriteFile(damaged, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := restore(t.Context(), damaged, dir, database); err == nil || !strings.Contains(err.Error(), damaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	lock, err := lockFile(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := restore(t.Context(), backup, dir, database); err == nil || !strings.Contains(err.Error(), "in use by another gateway") {
		t.Errorf("with a gateway in the directory: %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if read(t, database) != before {
		t.Error("the database was changed")
	}
	other := gatewayOn(t, database, &oneEngine{Runtime: runtimetest.New(t)}, nil)
	if err := other.open(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := restore(t.Context(), backup, dir, database); err == nil || !strings.Contains(err.Error(), "a gateway uses "+database) {
		t.Errorf("with a gateway of another directory on the file: %v", err)
	}
	if _, err := other.store.Workspace(t.Context(), later.ID); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*restor*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestRestore_CutOffIsRunAgain(t *testing.T) {
	dir, backup, earlier, _ := installed(t)
	database := filepath.Join(dir, "kalpana.db")
	f, err := os.Open(backup)
	if err != nil {
		t.Fatal(err)
	}
	m, err := archive.Read(f, "")
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	// As far as it had come when it was killed: all was put aside.
	if err := os.WriteFile(filepath.Join(dir, restoring), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := putAside(dir, database, m); err != nil {
		t.Fatal(err)
	}
	start := func() error {
		i := gatewayOn(t, database, &oneEngine{Runtime: runtimetest.New(t)}, func(a *App) { a.DataDir = dir })
		err := i.open()
		if err == nil {
			if _, missing := i.store.Workspace(t.Context(), earlier.ID); missing != nil {
				t.Error(missing)
			}
		} else if err := i.Destruct(); err != nil {
			t.Error(err)
		}
		return err
	}
	if err := start(); err == nil || !strings.Contains(err.Error(), "run kalpana restore again") {
		t.Errorf("a gateway starts on half a restore: %v", err)
	}
	if _, err := os.Stat(database); err == nil {
		t.Error("a new database was made in the place of the restored one")
	}
	if _, _, err := restore(t.Context(), backup, dir, database); err != nil {
		t.Fatal(err)
	}
	if err := start(); err != nil {
		t.Error(err)
	}
}

func TestStoreCopy_MovesEverythingToMongoDBAndBack(t *testing.T) {
	uri := mongotest.Start(t)
	dir, _, earlier, later := installed(t)
	name := mongotest.Database(t, uri)
	there := storeCopy{dir: dir, database: filepath.Join(dir, "kalpana.db"), uri: uri, name: name}
	var out bytes.Buffer
	if err := there.run(t.Context(), "sqlite", "mongodb", &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "       2 workspaces\n") || !strings.Contains(out.String(), "are the same") {
		t.Errorf("it says %s", out.String())
	}
	if err := there.run(t.Context(), "sqlite", "mongodb", io.Discard); err == nil || !strings.Contains(err.Error(), "has records already") {
		t.Errorf("onto records: %v", err)
	}

	t.Setenv("KALPANA_MONGODB_URI", uri)
	onMongo := newInstance(App{DataDir: dir, Console: "http://kalpana.localhost:8080", FirstPort: 40000, LastPort: 40100, Limits: new(Limits)},
		guests{store: &MongoDB{Database: name}, runtime: &oneEngine{Runtime: runtimetest.New(t)}})
	if err := onMongo.open(); err != nil {
		t.Fatal(err)
	}
	for _, w := range []*workspace.Workspace{earlier, later} {
		if _, err := onMongo.store.Workspace(t.Context(), w.ID); err != nil {
			t.Error(err)
		}
	}
	third := made(t, onMongo)
	elsewhere := t.TempDir()
	back := storeCopy{dir: elsewhere, database: filepath.Join(elsewhere, "kalpana.db"), uri: uri, name: name}
	if err := back.run(t.Context(), "mongodb", "sqlite", io.Discard); err == nil || !strings.Contains(err.Error(), "a gateway runs") {
		t.Errorf("while a gateway runs: %v", err)
	}
	if err := onMongo.Destruct(); err != nil {
		t.Fatal(err)
	}
	if err := back.run(t.Context(), "mongodb", "sqlite", io.Discard); err != nil {
		t.Fatal(err)
	}
	facts, err := sqlite.Verify(t.Context(), back.database)
	if err != nil || facts.Workspaces != 3 {
		t.Errorf("%+v, %v; want 3 workspaces, %s among them", facts, err, third.ID)
	}
}

func TestStoreCopy_SaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ from, to, want string }{
		{"sqlite", "sqlite", "name two stores"},
		{"sqlite", "mongodb", "there is no database"},
		{"mongodb", "sqlite", "set KALPANA_MONGODB_URI"},
		{"paper", "sqlite", `there is no store "paper"`},
	} {
		err := storeCopy{dir: dir, database: filepath.Join(dir, "kalpana.db"), name: "kalpana"}.run(t.Context(), c.from, c.to, io.Discard)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s to %s: %v, want %q", c.from, c.to, err, c.want)
		}
	}
}
