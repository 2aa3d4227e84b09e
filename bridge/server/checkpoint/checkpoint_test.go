package checkpoint

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/bridge"
)

// bench is a workspace folder with a store beside it.
type bench struct {
	*Store
	t     testing.TB
	dir   string
	calls int
}

func newBench(t testing.TB) *bench {
	t.Helper()
	home := t.TempDir()
	dir := filepath.Join(home, "workspace")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, dir: dir, Store: New(filepath.Join(home, "checkpoints"), dir, os.Environ())}
	t.Cleanup(b.Close)
	return b
}

// again is the store after the bridge was started anew.
func (b *bench) again() {
	b.Close()
	b.Store = New(b.Store.dir, b.dir, os.Environ())
	b.t.Cleanup(b.Close)
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

func (b *bench) write(name, content string) {
	b.t.Helper()
	b.must(os.MkdirAll(filepath.Dir(b.path(name)), 0o755))
	b.must(os.WriteFile(b.path(name), []byte(content), 0o644))
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) git(args ...string) string {
	b.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b",
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// agent is a call of an agent: in all of the folder, or on certain paths.
func (b *bench) agent(message string, do func(), paths ...string) *bridge.EndCheckpointResult {
	b.t.Helper()
	b.calls++
	begun, err := b.Begin(b.t.Context(), bridge.BeginCheckpointParams{
		Chat: "chat", Message: message, Call: fmt.Sprintf("call-%d", b.calls), Paths: paths,
	})
	b.must(err)
	do()
	r, err := b.End(b.t.Context(), bridge.EndCheckpointParams{ID: begun.ID})
	b.must(err)
	return r
}

// undo returns what an undo came to for each file.
func (b *bench) undo(p bridge.UndoCheckpointsParams) (id string, files map[string]string) {
	b.t.Helper()
	p.Chat = "chat"
	r, err := b.Undo(b.t.Context(), p)
	b.must(err)
	files = make(map[string]string)
	for _, f := range r.Files {
		files[f.Path] = f.Result
		if (f.Result == bridge.UndoConflict || f.Result == bridge.UndoFailed) == (f.Reason == "") {
			b.t.Errorf("%s: %s with the reason %q", f.Path, f.Result, f.Reason)
		}
	}
	return r.ID, files
}

// files is all that is in the folder but for .git: contents, modes and where symlinks lead.
func (b *bench) files() map[string]string {
	b.t.Helper()
	return contents(b.t, b.dir, func(p string) bool { return filepath.Base(p) == ".git" })
}

func contents(t testing.TB, dir string, skip func(string) bool) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		if skip(rel) {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			all[rel+"/"] = info.Mode().Perm().String()
		case info.Mode().Type() == os.ModeSymlink:
			to, err := os.Readlink(p)
			all[rel] = "-> " + to
			return err
		default:
			content, err := os.ReadFile(p)
			all[rel] = info.Mode().Perm().String() + " " + string(content)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func same(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestUndo_OfATurnPutsEverythingBack(t *testing.T) {
	b := newBench(t)
	b.write("edited.txt", "one\ntwo\nthree\n")
	b.write("gone.txt", "gone\n")
	b.write("old/a.txt", "a\n")
	b.write("old/deep/b.txt", "b\n")
	b.write("binary", "\x00\xff\xfe")
	b.write("script.sh", "#!/bin/sh\n")
	b.write("becomes-folder", "x")
	b.write("becomes-file/x", "x")
	b.must(os.Symlink("edited.txt", b.path("link")))
	b.must(os.Mkdir(b.path("empty"), 0o700))
	before := b.files()

	got := b.agent("m1", func() {
		b.write("edited.txt", "one\n2\nthree\n")
		b.must(os.Remove(b.path("gone.txt")))
		b.must(os.Rename(b.path("old"), b.path("new")))
		b.write("binary", "\x00\x01")
	})
	if got.Total != 7 {
		t.Errorf("%d changes: %v", got.Total, got.Changes)
	}
	b.agent("m1", func() {
		b.write("edited.txt", "1\n2\nthree\n")
		b.write("made/of/folders.txt", "x\n")
		b.must(os.Chmod(b.path("script.sh"), 0o755))
		b.must(os.Remove(b.path("link")))
		b.must(os.Symlink("new/a.txt", b.path("link")))
		b.must(os.Remove(b.path("empty")))
		b.must(os.Remove(b.path("becomes-folder")))
		b.write("becomes-folder/y", "y")
		b.must(os.RemoveAll(b.path("becomes-file")))
		b.write("becomes-file", "y")
	})
	after := b.files()
	id, results := b.undo(bridge.UndoCheckpointsParams{Message: "m1"})
	same(t, "the folder after the undo", before, b.files())
	for p, r := range results {
		if r != bridge.UndoRestored {
			t.Errorf("%s: %s", p, r)
		}
	}
	b.again()
	b.undo(bridge.UndoCheckpointsParams{Call: id})
	same(t, "the folder after the undo of the undo", after, b.files())
	b.undo(bridge.UndoCheckpointsParams{Message: "m1"})
	same(t, "the folder after one more undo", before, b.files())
}

// manyFiles makes folders of a hundred files each, and waits until their times are past.
func (b *bench) manyFiles(folders int) {
	b.t.Helper()
	for i := range folders {
		dir := b.path(fmt.Sprintf("pkg%d/sub%d", i/10, i))
		b.must(os.MkdirAll(dir, 0o755))
		for j := range 100 {
			b.must(os.WriteFile(filepath.Join(dir, fmt.Sprintf("file%d.go", j)), fmt.Appendf(nil, "package p\n\n%s\n", strings.Repeat(fmt.Sprint(i, j), 300)), 0o644))
		}
	}
	b.write(".gitignore", strings.Repeat("*.log\n/build/\nnode_modules\n**/tmp/*.x\n", 10))
	time.Sleep(2 * coarse)
}

func TestScan_ReadsWhatHasChangedAndNothingElse(t *testing.T) {
	b := newBench(t)
	b.manyFiles(5)
	if b.agent("m", func() {}); b.tree.reads != 501 {
		t.Errorf("%d files were read the first time", b.tree.reads)
	}
	before := b.tree.reads
	got := b.agent("m", func() { b.write("pkg0/sub1/file7.go", "changed") })
	if n := b.tree.reads - before; n != 1 || got.Total != 1 {
		t.Errorf("%d files were read for one that has changed: %+v", n, got)
	}
	// The same size within the same tick of the clock.
	got = b.agent("m", func() { b.write("pkg0/sub1/file7.go", "CHANGED") })
	if got.Total != 1 {
		t.Errorf("%+v", got)
	}
}

func BenchmarkBegin_20000UnchangedFiles(b *testing.B) {
	w := newBench(b)
	w.manyFiles(200)
	p := bridge.BeginCheckpointParams{Chat: "c", Message: "m", Call: "1"}
	began := time.Now()
	_, err := w.Begin(context.Background(), p)
	w.must(err)
	b.ReportMetric(float64(time.Since(began).Milliseconds()), "ms/first")
	for b.Loop() {
		_, err := w.Begin(context.Background(), p)
		w.must(err)
	}
}

func BenchmarkCall_OneOf20000FilesChanged(b *testing.B) {
	w := newBench(b)
	w.manyFiles(200)
	w.agent("m", func() {})
	i := 0
	for b.Loop() {
		i++
		w.agent("m", func() { w.write("pkg0/sub1/file7.go", fmt.Sprint(i)) })
	}
}
