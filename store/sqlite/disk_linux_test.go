package sqlite_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/store/sqlite"
	"github.com/kalpana-dev/kalpana/workspace"
)

// fillDisk leaves no room beside the files of dir and returns what gives the room back.
func fillDisk(t *testing.T, dir string) func() {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 4096)
	for err == nil {
		_, err = file.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	_ = file.Close()
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOnAFullDiskTheStoreSaysSoAndStillReads(t *testing.T) {
	dir := mountTmpfs(t, "size=1m")
	path := filepath.Join(dir, "kalpana.db")
	s := open(t, path)
	ctx := t.Context()
	kept := create(t, s)
	if err := s.CreatePerson(ctx, identity.Person{ID: "p1"}); err != nil {
		t.Fatal(err)
	}
	makeRoom := fillDisk(t, dir)

	acknowledged := []workspace.ID{kept.ID}
	var err error
	for err == nil { // what the log has room for is taken
		w := &workspace.Workspace{ID: workspace.NewID(), Owner: "ann", Reason: string(make([]byte, 2000))}
		if err = s.CreateWorkspace(ctx, w, 0); err == nil {
			acknowledged = append(acknowledged, w.ID)
		}
		if len(acknowledged) > 2000 {
			t.Fatal("the disk does not fill")
		}
	}
	if !errors.Is(err, workspace.ErrStorageFull) {
		t.Fatalf("got error %v, want ErrStorageFull", err)
	}
	t.Log(err)
	revision := kept.Revision
	kept.Reason = string(make([]byte, 50_000))
	if err := s.UpdateWorkspace(ctx, kept); !errors.Is(err, workspace.ErrStorageFull) || kept.Revision != revision {
		t.Errorf("got error %v and revision %d, want ErrStorageFull and %d", err, kept.Revision, revision)
	}

	readAll := func(s *sqlite.Store) {
		t.Helper()
		all, err := s.Workspaces(ctx, "")
		if err != nil || len(all) != len(acknowledged) {
			t.Errorf("read %d workspaces (%v), want the %d that were acknowledged", len(all), err, len(acknowledged))
		}
		if _, err := s.Person(ctx, "p1"); err != nil {
			t.Error(err)
		}
		if err := s.Ping(ctx); err != nil {
			t.Error(err)
		}
	}
	readAll(s)
	second := open(t, path) // another gateway starts
	readAll(second)

	makeRoom()
	for _, s := range []*sqlite.Store{s, second} {
		acknowledged = append(acknowledged, create(t, s).ID)
		readAll(s)
	}
	if err := s.UpdateWorkspace(ctx, kept); err != nil {
		t.Error(err)
	}
}

func TestOpen_OnAFullDiskSaysSo(t *testing.T) {
	dir := mountTmpfs(t, "size=256k")
	path := filepath.Join(dir, "kalpana.db")
	makeRoom := fillDisk(t, dir)
	s, err := sqlite.Open(t.Context(), path)
	if err == nil {
		_ = s.Close()
	}
	if !errors.Is(err, workspace.ErrStorageFull) {
		t.Fatalf("got error %v, want ErrStorageFull", err)
	}
	t.Log(err)
	makeRoom()
	create(t, open(t, path))
}

func TestOpen_RefusesADirectoryThatIsNotWritable(t *testing.T) {
	var dir string
	if os.Geteuid() == 0 { // permissions do not stop root
		dir = mountTmpfs(t, "ro,size=64k")
	} else {
		dir = t.TempDir()
		if err := os.Chmod(dir, 0o500); err != nil {
			t.Fatal(err)
		}
	}
	wantRefusal(t, filepath.Join(dir, "kalpana.db"), dir, "not writable", "give it to the user")
}

// mountTmpfs returns a directory on a file system of its own.
func mountTmpfs(t *testing.T, options string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount a small tmpfs")
	}
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", options, "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("a tmpfs cannot be mounted here: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error("unmount:", err)
		}
	})
	return dir
}
