package checkpoint

import (
	"errors"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
)

const tenLines = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n"

func TestUndo_KeepsWhatThePersonChangedSince(t *testing.T) {
	line := func(content, from, to string) string { return strings.Replace(content, from+"\n", to+"\n", 1) }
	for _, tc := range []struct {
		name   string
		agent  func(b *bench)
		person func(b *bench)
		result string
		want   func(b *bench) // makes of the folder as it was before what it is to be after the undo
	}{
		{
			"edited, and not touched since",
			func(b *bench) { b.write("f", line(tenLines, "2", "two")) }, nil, bridge.UndoRestored, nil,
		},
		{
			"edited, and edited elsewhere since",
			func(b *bench) { b.write("f", line(tenLines, "2", "two")) },
			func(b *bench) { b.write("f", line(line(tenLines, "2", "two"), "9", "nine")) },
			bridge.UndoMerged, func(b *bench) { b.write("f", line(tenLines, "9", "nine")) },
		},
		{
			"edited, and edited in the same place since",
			func(b *bench) { b.write("f", line(tenLines, "2", "two")) },
			func(b *bench) { b.write("f", line(tenLines, "2", "zwei")) },
			bridge.UndoConflict, func(b *bench) { b.write("f", line(tenLines, "2", "zwei")) },
		},
		{
			"edited, and undone by the person",
			func(b *bench) { b.write("f", line(tenLines, "2", "two")) },
			func(b *bench) { b.write("f", tenLines) }, bridge.UndoUnchanged, nil,
		},
		{
			"edited, and deleted since",
			func(b *bench) { b.write("f", line(tenLines, "2", "two")) },
			func(b *bench) { b.must(os.Remove(b.path("f"))) },
			bridge.UndoUnchanged, func(b *bench) { b.must(os.Remove(b.path("f"))) },
		},
		{
			"edited, and made executable since",
			func(b *bench) { b.write("f", line(tenLines, "2", "two")) },
			func(b *bench) { b.must(os.Chmod(b.path("f"), 0o755)) },
			bridge.UndoRestored, func(b *bench) { b.must(os.Chmod(b.path("f"), 0o755)) },
		},
		{
			"edited, and a symlink since",
			func(b *bench) { b.write("f", line(tenLines, "2", "two")) },
			func(b *bench) { b.must(os.Remove(b.path("f"))); b.must(os.Symlink("link", b.path("f"))) },
			bridge.UndoConflict, func(b *bench) { b.must(os.Remove(b.path("f"))); b.must(os.Symlink("link", b.path("f"))) },
		},
		{
			"made executable",
			func(b *bench) { b.must(os.Chmod(b.path("f"), 0o755)) }, nil, bridge.UndoRestored, nil,
		},
		{
			"made executable, and edited since",
			func(b *bench) { b.must(os.Chmod(b.path("f"), 0o755)) },
			func(b *bench) { b.write("f", line(tenLines, "9", "nine")) },
			bridge.UndoMerged, func(b *bench) { b.write("f", line(tenLines, "9", "nine")) },
		},
		{
			"made",
			func(b *bench) { b.write("new", "x\n") }, nil, bridge.UndoRestored, nil,
		},
		{
			"made, and edited since",
			func(b *bench) { b.write("new", "x\n") }, func(b *bench) { b.write("new", "x\ny\n") },
			bridge.UndoConflict, func(b *bench) { b.write("new", "x\ny\n") },
		},
		{
			"made, and deleted since",
			func(b *bench) { b.write("new", "x\n") }, func(b *bench) { b.must(os.Remove(b.path("new"))) },
			bridge.UndoUnchanged, nil,
		},
		{
			"made in a new folder, in which the person made another",
			func(b *bench) { b.write("dir/new", "x\n") }, func(b *bench) { b.write("dir/mine", "y\n") },
			bridge.UndoRestored, func(b *bench) { b.write("dir/mine", "y\n") },
		},
		{
			"deleted",
			func(b *bench) { b.must(os.Remove(b.path("f"))) }, nil, bridge.UndoRestored, nil,
		},
		{
			"deleted, and made anew since",
			func(b *bench) { b.must(os.Remove(b.path("f"))) }, func(b *bench) { b.write("f", "mine\n") },
			bridge.UndoConflict, func(b *bench) { b.write("f", "mine\n") },
		},
		{
			"deleted with its folder, which is a symlink out of the workspace since",
			func(b *bench) { b.must(os.RemoveAll(b.path("sub"))) },
			func(b *bench) { b.must(os.Symlink(b.t.TempDir(), b.path("sub"))) },
			bridge.UndoConflict, func(b *bench) {
				to, err := os.Readlink(b.path("sub"))
				b.must(err)
				_ = to
			},
		},
		{
			"a symlink, led elsewhere",
			func(b *bench) { b.must(os.Remove(b.path("link"))); b.must(os.Symlink("bin", b.path("link"))) },
			nil, bridge.UndoRestored, nil,
		},
		{
			"a symlink, led elsewhere, and again since",
			func(b *bench) { b.must(os.Remove(b.path("link"))); b.must(os.Symlink("bin", b.path("link"))) },
			func(b *bench) { b.must(os.Remove(b.path("link"))); b.must(os.Symlink("mine", b.path("link"))) },
			bridge.UndoConflict, func(b *bench) { b.must(os.Remove(b.path("link"))); b.must(os.Symlink("mine", b.path("link"))) },
		},
		{
			"a symlink, made a file",
			func(b *bench) { b.must(os.Remove(b.path("link"))); b.write("link", "x\n") }, nil, bridge.UndoRestored, nil,
		},
		{
			"no text, edited",
			func(b *bench) { b.write("bin", "\x00new") }, nil, bridge.UndoRestored, nil,
		},
		{
			"no text, edited, and edited since",
			func(b *bench) { b.write("bin", "\x00new") }, func(b *bench) { b.write("bin", "\x00newer") },
			bridge.UndoConflict, func(b *bench) { b.write("bin", "\x00newer") },
		},
		{
			"a file, made a folder",
			func(b *bench) { b.must(os.Remove(b.path("f"))); b.write("f/x", "x\n") }, nil, bridge.UndoRestored, nil,
		},
		{
			"a file, made a folder, in which the person made another file",
			func(b *bench) { b.must(os.Remove(b.path("f"))); b.write("f/x", "x\n") },
			func(b *bench) { b.write("f/mine", "y\n") }, bridge.UndoConflict,
			func(b *bench) { b.must(os.Remove(b.path("f"))); b.write("f/mine", "y\n") },
		},
		{
			"a folder, moved",
			func(b *bench) { b.must(os.Rename(b.path("sub"), b.path("moved"))) }, nil, bridge.UndoRestored, nil,
		},
		{
			"a file, moved, and edited since",
			func(b *bench) { b.must(os.Rename(b.path("f"), b.path("moved"))) },
			func(b *bench) { b.write("moved", line(tenLines, "9", "nine")) }, bridge.UndoMerged,
			func(b *bench) { b.write("f", line(tenLines, "9", "nine")) },
		},
	} {
		for _, byFile := range []bool{false, true} {
			if byFile && strings.Contains(tc.name, "moved, and edited") {
				continue // by its file, it is not known where it came from
			}
			t.Run(fmt.Sprintf("%s, undone by file: %v", tc.name, byFile), func(t *testing.T) {
				t.Parallel()
				b := newBench(t)
				b.write("f", tenLines)
				b.write("bin", "\x00old")
				b.write("sub/g", "g\n")
				b.must(os.Symlink("f", b.path("link")))
				ref := newBench(t)
				ref.write("f", tenLines)
				ref.write("bin", "\x00old")
				ref.write("sub/g", "g\n")
				ref.must(os.Symlink("f", ref.path("link")))

				b.agent("m", func() { tc.agent(b) })
				if tc.person != nil {
					tc.person(b)
				}
				intend := tc.want
				if strings.Contains(tc.name, "out of the workspace") {
					intend = func(ref *bench) {
						to, err := os.Readlink(b.path("sub"))
						ref.must(err)
						ref.must(os.RemoveAll(ref.path("sub")))
						ref.must(os.Symlink(to, ref.path("sub")))
					}
				}
				if intend != nil {
					intend(ref)
				}
				found, err := b.Changes(t.Context(), bridge.CheckpointChangesParams{Chat: "chat"})
				if err != nil || len(found.Turns) != 1 || len(found.Turns[0].Files) == 0 {
					t.Fatalf("%+v, %v", found, err)
				}
				var worst []string
				if byFile {
					for _, f := range slices.Backward(found.Turns[0].Files) {
						_, results := b.undo(bridge.UndoCheckpointsParams{Message: "m", Path: f.Path})
						worst = append(worst, results[f.Path])
					}
				} else {
					_, results := b.undo(bridge.UndoCheckpointsParams{Message: "m"})
					for _, r := range results {
						worst = append(worst, r)
					}
				}
				if !slices.Contains(worst, tc.result) || tc.result != bridge.UndoConflict && slices.Contains(worst, bridge.UndoConflict) {
					t.Errorf("the undo came to %v, not %s", worst, tc.result)
				}
				got, want := b.files(), ref.files()
				if byFile { // folders are undone with the turn
					for p := range got {
						if _, ok := want[p]; !ok && strings.HasSuffix(p, "/") {
							delete(got, p)
						}
					}
				}
				same(t, "the folder", want, got)
			})
		}
	}
}

func TestUndo_OneCallOfATurnLeavesTheOthers(t *testing.T) {
	b := newBench(t)
	b.write("f", tenLines)
	b.agent("m", func() { b.write("f", strings.Replace(tenLines, "2", "two", 1)) })
	b.agent("m", func() { b.write("f", strings.Replace(strings.Replace(tenLines, "2", "two", 1), "9", "nine", 1)) })
	if _, results := b.undo(bridge.UndoCheckpointsParams{Call: "call-1"}); results["f"] != bridge.UndoMerged {
		t.Errorf("%v", results)
	}
	if got := b.files()["f"]; got != "-rw-r--r-- "+strings.Replace(tenLines, "9", "nine", 1) {
		t.Errorf("%q", got)
	}
	r, err := b.Changes(t.Context(), bridge.CheckpointChangesParams{Chat: "chat", Diffs: true})
	b.must(err)
	if f := r.Turns[0].Files[0]; f.Undone || !strings.Contains(f.Diff, "+nine") || strings.Contains(f.Diff, "+two") && strings.Contains(f.Diff, "-2\n") {
		t.Errorf("%+v", f)
	}
	if _, results := b.undo(bridge.UndoCheckpointsParams{}); results["f"] != bridge.UndoMerged {
		t.Errorf("%v", results)
	}
	if got := b.files()["f"]; got != "-rw-r--r-- "+tenLines {
		t.Errorf("%q", got)
	}
	if _, err := b.Undo(t.Context(), bridge.UndoCheckpointsParams{Chat: "chat"}); !errors.Is(err, bridge.ErrNotFound) {
		t.Errorf("there is something to undo still: %v", err)
	}
	r, err = b.Changes(t.Context(), bridge.CheckpointChangesParams{Chat: "chat"})
	b.must(err)
	if f := r.Turns[0].Files[0]; !f.Undone {
		t.Errorf("%+v", f)
	}
}

func TestUndo_AnEarlierTurnLeavesALaterOne(t *testing.T) {
	b := newBench(t)
	b.write("f", tenLines)
	b.write("g", "g\n")
	b.agent("m1", func() { b.write("f", strings.Replace(tenLines, "2", "two", 1)); b.write("g", "G\n") })
	b.write("h", "mine\n")
	b.agent("m2", func() {
		b.write("f", strings.Replace(strings.Replace(tenLines, "2", "two", 1), "9", "nine", 1))
		b.write("h", "yours\n")
	})
	_, results := b.undo(bridge.UndoCheckpointsParams{Message: "m1"})
	same(t, "the results", map[string]string{"f": bridge.UndoMerged, "g": bridge.UndoRestored}, results)
	_, results = b.undo(bridge.UndoCheckpointsParams{Message: "m2", Path: "f"})
	same(t, "the results", map[string]string{"f": bridge.UndoMerged}, results)
	same(t, "the folder", map[string]string{
		"./": "-rwxr-xr-x", "f": "-rw-r--r-- " + tenLines, "g": "-rw-r--r-- g\n", "h": "-rw-r--r-- yours\n",
	}, b.files())
	_, results = b.undo(bridge.UndoCheckpointsParams{Message: "m2"})
	same(t, "the results", map[string]string{"h": bridge.UndoRestored}, results)
	if got := b.files()["h"]; got != "-rw-r--r-- mine\n" {
		t.Errorf("%q", got)
	}
}

// Agent and person change files by turns, each in places of its own; the agent's part is undone.
func TestUndo_OfEverythingLeavesThePersonsEdits(t *testing.T) {
	for seed := range int64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewSource(seed))
			b, alone := newBench(t), newBench(t) // alone is what there is without the agent
			both := []*bench{b, alone}
			const files, lines = 6, 40
			// The agent works in the first lines of a file, the person in the last.
			for i := range files {
				var text strings.Builder
				for j := range lines {
					fmt.Fprintf(&text, "line %d of %d\n", j, i)
				}
				for _, w := range both {
					w.write(fmt.Sprintf("dir%d/f%d", i%2, i), text.String())
				}
			}
			edit := func(w *bench, name string, from, to int, with string) {
				content, err := os.ReadFile(w.path(name))
				if err != nil {
					return // somebody deleted it
				}
				all := strings.SplitAfter(string(content), "\n")
				at := from + int(with[len(with)-1])%(to-from)
				if from < 0 {
					at = len(all) - 2 - int(with[len(with)-1])%10
				}
				all[at] = with + "\n"
				w.write(name, strings.Join(all, ""))
			}
			agents := make(map[string]bool) // files that only the agent has
			for step := range 30 {
				name := fmt.Sprintf("dir%d/f%d", step%2, r.Intn(files/2)*2+step%2)
				value := fmt.Sprintf("edit %d of seed %d: %d", step, seed, r.Intn(100))
				if r.Intn(2) == 0 { // the person
					kind := r.Intn(4)
					for _, w := range both {
						switch kind {
						case 0:
							w.write(fmt.Sprintf("person/%d", step), value)
						case 1:
							if err := os.Chmod(w.path("dir0/f0"), os.FileMode(0o600+step%2*0o111)); err != nil {
								w.must(err)
							}
						default:
							edit(w, name, -1, 0, value)
						}
					}
					continue
				}
				message := fmt.Sprintf("m%d", step/6)
				var paths []string
				var do func()
				switch r.Intn(5) {
				case 0:
					made := fmt.Sprintf("agent/%d/x", step)
					agents[made] = true
					do = func() { b.write(made, value) }
				case 1:
					do = func() {
						for made := range agents {
							b.must(os.RemoveAll(filepath.Dir(b.path(made))))
							delete(agents, made)
							break
						}
					}
				case 2:
					paths = []string{name}
					do = func() { edit(b, name, 0, 10, value) }
				default:
					do = func() { edit(b, name, 0, 10, value) }
				}
				b.agent(message, do, paths...)
				if r.Intn(8) == 0 {
					b.again()
				}
			}
			if seed%2 == 0 {
				b.undo(bridge.UndoCheckpointsParams{})
			} else {
				for m := 4; m >= 0; m-- {
					_, err := b.Undo(t.Context(), bridge.UndoCheckpointsParams{Chat: "chat", Message: fmt.Sprintf("m%d", m)})
					if err != nil && !errors.Is(err, bridge.ErrNotFound) {
						t.Fatal(err)
					}
				}
			}
			same(t, "what is left", alone.files(), b.files())
		})
	}
}

func TestUndo_TouchesNothingOfGit(t *testing.T) {
	b := newBench(t)
	b.git("init", "-q", "-b", "main")
	// What would make a snapshot by git go wrong.
	b.git("config", "core.autocrlf", "true")
	b.git("config", "filter.bad.clean", "false")
	b.git("config", "filter.bad.smudge", "false")
	b.git("config", "core.hooksPath", "hooks")
	b.write("hooks/post-checkout", "#!/bin/sh\ntouch $GIT_DIR/../hook-ran\n")
	b.must(os.Chmod(b.path("hooks/post-checkout"), 0o755))
	b.write("crlf.txt", "one\r\ntwo\n")
	b.write(".gitattributes", "*.dat filter=bad\n*.txt eol=lf\n")
	b.write("staged.txt", "committed\n")
	b.write("unstaged.txt", "committed\n")
	b.git("add", "staged.txt", "unstaged.txt")
	b.git("commit", "-q", "-m", "first")
	b.git("branch", "other")
	b.write("stashed.txt", "x\n")
	b.git("stash", "-q", "-u")
	b.write("crlf.txt", "one\r\ntwo\n")
	b.write("staged.txt", "staged\n")
	b.git("add", "staged.txt")
	b.write("staged.txt", "staged, and changed since\n")
	b.write("unstaged.txt", "mine\n")
	b.write("a.dat", "data\n")
	all := func() map[string]string { return contents(t, b.dir, func(string) bool { return false }) }
	before := all()

	b.agent("m", func() {
		b.write("unstaged.txt", "the agent's\n")
		b.write("crlf.txt", "one\ntwo\n")
		b.write("a.dat", "other\n")
		b.write("made.txt", "made\n")
		b.must(os.Remove(b.path("staged.txt")))
	})
	b.undo(bridge.UndoCheckpointsParams{Message: "m"})
	same(t, "the folder with its .git", before, all())

	// What the agent does with git itself stays in the repository; the files come back.
	files := b.files()
	b.agent("m2", func() { b.git("stash", "-q", "-u"); b.git("checkout", "-q", "other"); b.write("x", "x\n") })
	repository := contents(t, b.path(".git"), func(string) bool { return false })
	b.undo(bridge.UndoCheckpointsParams{Message: "m2"})
	got := b.files()
	delete(got, "hook-ran")
	delete(files, "hook-ran")
	same(t, "the files", files, got)
	same(t, "the repository", repository, contents(t, b.path(".git"), func(string) bool { return false }))
}

func TestUndo_ReachesIntoNestedRepositories(t *testing.T) {
	b := newBench(t)
	for _, dir := range []string{"a", "a/nested", "b"} {
		b.write(dir+"/f", tenLines)
		b.write(dir+"/.gitignore", "ignored\n")
		b.git("-C", dir, "init", "-q")
		b.git("-C", dir, "add", "f")
		b.git("-C", dir, "commit", "-q", "-m", "x")
	}
	b.git("-C", "b", "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../a", "module")
	before := b.files()
	b.agent("m", func() {
		for _, dir := range []string{"a", "a/nested", "b", "b/module"} {
			b.write(dir+"/f", "changed\n")
			b.write(dir+"/new", "new\n")
		}
	})
	r, err := b.Changes(t.Context(), bridge.CheckpointChangesParams{Chat: "chat"})
	b.must(err)
	if n := len(r.Turns[0].Files); n != 8 {
		t.Errorf("%d files: %+v", n, r.Turns[0].Files)
	}
	b.undo(bridge.UndoCheckpointsParams{Message: "m"})
	same(t, "the files", before, b.files())
}

func TestCheckpoint_IgnoredFilesAreLeftOutButForThoseTheAgentWrote(t *testing.T) {
	b := newBench(t)
	b.write(".gitignore", "*.log\n/build/\nsecret\n")
	b.write("build/out", "1\n")
	b.write("a.log", "1\n")
	b.write("node_modules/x/index.js", "1\n")
	b.write("venv/pyvenv.cfg", "")
	b.write("venv/bin/python", "1\n")
	b.write("secret", "1\n")
	b.write("f", "1\n")
	got := b.agent("m", func() {
		for _, p := range []string{"build/out", "a.log", "node_modules/x/index.js", "venv/bin/python", "f"} {
			b.write(p, "2\n")
		}
	})
	if got.Total != 1 || got.Changes[0].Path != "f" {
		t.Errorf("%+v", got)
	}
	got = b.agent("m", func() { b.write("secret", "2\n") }, "secret")
	if got.Total != 1 || got.Changes[0].Status != bridge.StatusModified {
		t.Errorf("%+v", got)
	}
	b.agent("m", func() { b.write("secret", "3\n") }) // by a command, now that the agent has written it
	b.agent("m", func() { b.write("build/deep/new", "1\n") }, "build/deep/new")
	b.undo(bridge.UndoCheckpointsParams{Message: "m"})
	files := b.files()
	for p, want := range map[string]string{"secret": "1\n", "f": "1\n", "a.log": "2\n", "build/out": "2\n"} {
		if files[p] != "-rw-r--r-- "+want {
			t.Errorf("%s: %q", p, files[p])
		}
	}
	if _, ok := files["build/deep/"]; ok {
		t.Error("a folder that the agent made in an ignored one is still there")
	}
}

func TestCheckpoint_FilesThatGitTracksAreNeverIgnored(t *testing.T) {
	b := newBench(t)
	b.write("repo/.gitignore", "dist/\n*.gen\n")
	b.write("repo/dist/app.js", "1\n")
	b.write("repo/dist/other.js", "1\n")
	b.write("repo/a.gen", "1\n")
	b.write("repo/b.gen", "1\n")
	b.git("-C", "repo", "init", "-q")
	b.git("-C", "repo", "add", "-f", "dist/app.js", "a.gen")
	before := b.files()
	got := b.agent("m", func() {
		b.write("repo/dist/app.js", "2\n")
		b.must(os.Remove(b.path("repo/a.gen")))
		b.write("repo/b.gen", "2\n")
	})
	if got.Total != 2 {
		t.Errorf("%+v", got)
	}
	b.agent("m", func() { b.write("repo/a.gen", "3\n") })
	b.undo(bridge.UndoCheckpointsParams{})
	before["repo/b.gen"] = "-rw-r--r-- 2\n"
	same(t, "the folder", before, b.files())
}

func TestCheckpoint_WhatIsNoLongerIgnoredWasNotMadeByTheAgent(t *testing.T) {
	b := newBench(t)
	b.write(".gitignore", "secret\nprivate/\n")
	b.write("secret", "mine\n")
	b.write("private/deep/file", "mine\n")
	b.write("f", "x\n")
	b.agent("m", func() { b.write(".gitignore", "") })
	b.agent("m", func() { b.write(".gitignore", "f\n"); b.write("f", "y\n") })
	b.undo(bridge.UndoCheckpointsParams{Message: "m"})
	files := b.files()
	for _, p := range []string{"secret", "private/deep/file"} {
		if files[p] != "-rw-r--r-- mine\n" {
			t.Errorf("%s: %q", p, files[p])
		}
	}
	if files["f"] != "-rw-r--r-- x\n" {
		t.Errorf("f: %q", files["f"])
	}
}

func TestCheckpoint_OfPathsNeedsNoLookAtTheWholeFolder(t *testing.T) {
	b := newBench(t)
	b.write("dir/f", "1\n")
	b.write("other", "1\n")
	before := b.files()
	b.agent("m", func() { b.write("dir/f", "2\n") }, "dir/f")
	b.agent("m", func() { b.write("dir/new/deep/g", "1\n") }, "dir/new/deep/g")
	b.agent("m", func() { b.write("dir/new/deep/g", "2\n") }, "dir/new/deep/g")
	if b.tree.scanned || b.tree.reads > 6 {
		t.Errorf("scanned: %v, %d files were read", b.tree.scanned, b.tree.reads)
	}
	b.undo(bridge.UndoCheckpointsParams{})
	same(t, "the folder", before, b.files())
	// The first look at the rest finds no change in it.
	if got := b.agent("m", func() { b.write("other", "2\n") }); got.Total != 1 {
		t.Errorf("%+v", got)
	}
}

func TestCheckpoint_EachChatHasItsOwn(t *testing.T) {
	b := newBench(t)
	b.write("f", tenLines)
	begin := func(chat string, paths ...string) string {
		r, err := b.Begin(t.Context(), bridge.BeginCheckpointParams{Chat: chat, Message: "m", Call: "c", Paths: paths})
		b.must(err)
		return r.ID
	}
	end := func(id string) *bridge.EndCheckpointResult {
		r, err := b.End(t.Context(), bridge.EndCheckpointParams{ID: id})
		b.must(err)
		return r
	}
	one := begin("one") // a long command
	two := begin("two", "g")
	b.write("g", "two's\n")
	if r := end(two); r.Total != 1 {
		t.Errorf("%+v", r)
	}
	b.write("h", "one's\n")
	if r := end(one); r.Total != 1 || r.Changes[0].Path != "h" {
		t.Errorf("a change of another chat's editor is taken for the command's: %+v", r)
	}
	if _, err := b.Undo(t.Context(), bridge.UndoCheckpointsParams{Chat: "three"}); !errors.Is(err, bridge.ErrNotFound) {
		t.Errorf("%v", err)
	}
	_, err := b.Undo(t.Context(), bridge.UndoCheckpointsParams{Chat: "one"})
	b.must(err)
	same(t, "the folder", map[string]string{"./": "-rwxr-xr-x", "f": "-rw-r--r-- " + tenLines, "g": "-rw-r--r-- two's\n"}, b.files())
	if _, err := b.Forget(t.Context(), bridge.ForgetCheckpointsParams{Chat: "two"}); err != nil {
		t.Error(err)
	}
	if r, err := b.Changes(t.Context(), bridge.CheckpointChangesParams{Chat: "two"}); err != nil || len(r.Turns) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestCheckpoint_WhatWasRefusedChangedNothing(t *testing.T) {
	b := newBench(t)
	b.write("f", "1\n")
	begun, err := b.Begin(t.Context(), bridge.BeginCheckpointParams{Chat: "chat", Message: "m", Call: "c", Paths: []string{"f"}})
	b.must(err)
	b.write("f", "mine\n") // which is why the agent's edit is refused
	r, err := b.End(t.Context(), bridge.EndCheckpointParams{ID: begun.ID, Discard: true})
	if err != nil || r.Total != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := b.Undo(t.Context(), bridge.UndoCheckpointsParams{Chat: "chat"}); !errors.Is(err, bridge.ErrNotFound) {
		t.Errorf("%v", err)
	}
	// Whoever did not get the answer gets it again.
	again, err := b.End(t.Context(), bridge.EndCheckpointParams{ID: begun.ID})
	if err != nil || again.Total != 0 {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestCheckpoint_WhatThePersonSavesDuringACommandIsTheirs(t *testing.T) {
	b := newBench(t)
	b.write("f", tenLines)
	b.write("g", tenLines)
	b.write("h", tenLines)
	clock := time.Now()
	b.now = func() time.Time { return clock }
	got := b.agent("m", func() {
		b.write("f", "the agent's\n")
		b.write("g", "mine\n")
		b.write("new/mine", "mine\n")
		b.Person([]string{b.path("g"), b.path("new/mine"), "../outside", "/etc/passwd", ".git/config"}) // saved
		b.Person([]string{b.path("h")})                                                                 // about to be
		b.write("h", "mine\n")
	})
	if got.Total != 1 || got.Changes[0].Path != "f" {
		t.Errorf("%+v", got)
	}
	b.undo(bridge.UndoCheckpointsParams{})
	same(t, "the folder", map[string]string{
		"./": "-rwxr-xr-x", "f": "-rw-r--r-- " + tenLines, "g": "-rw-r--r-- mine\n", "h": "-rw-r--r-- mine\n",
		"new/": "-rwxr-xr-x", "new/mine": "-rw-r--r-- mine\n",
	}, b.files())
	// A moment later the file is the agent's again.
	clock = clock.Add(personTime)
	if got := b.agent("m2", func() { b.write("h", "the agent's\n") }); got.Total != 1 {
		t.Errorf("%+v", got)
	}
}

func TestCheckpoint_ACommandThatGoesOnIsPartOfItsTurn(t *testing.T) {
	b := newBench(t)
	b.write("f", "1\n")
	begin := func(message, call string) string {
		r, err := b.Begin(t.Context(), bridge.BeginCheckpointParams{Chat: "chat", Message: message, Call: call})
		b.must(err)
		return r.ID
	}
	id := begin("m1", "long")
	_, err := b.End(t.Context(), bridge.EndCheckpointParams{ID: id, Open: true})
	b.must(err)
	b.write("late", "x\n") // by the command
	id = begin("m1", "next")
	_, err = b.End(t.Context(), bridge.EndCheckpointParams{ID: id})
	b.must(err)
	b.write("mine", "x\n") // by the person, after the turn
	b.agent("m2", func() { b.write("f", "2\n") })
	b.undo(bridge.UndoCheckpointsParams{})
	same(t, "the folder", map[string]string{"./": "-rwxr-xr-x", "f": "-rw-r--r-- 1\n", "mine": "-rw-r--r-- x\n"}, b.files())
}

func TestCheckpoint_LargeFilesAreKnownAndNotKept(t *testing.T) {
	b := newBench(t)
	big := strings.Repeat("x", bridge.MaxCheckpointFile+1)
	b.write("big", big)
	got := b.agent("m", func() { b.write("big", big+"y"); b.write("small", "x") })
	if got.Total != 2 || !got.Changes[0].NotKept || got.Changes[1].NotKept {
		t.Errorf("%+v", got)
	}
	_, results := b.undo(bridge.UndoCheckpointsParams{Message: "m"})
	same(t, "the results", map[string]string{"big": bridge.UndoFailed, "small": bridge.UndoRestored}, results)
	// One that the agent made can go.
	b.agent("m2", func() { b.write("made", big) })
	_, results = b.undo(bridge.UndoCheckpointsParams{Message: "m2"})
	same(t, "the results", map[string]string{"made": bridge.UndoRestored}, results)
}

func TestCheckpoint_AFullDiskIsSaid(t *testing.T) {
	b := newBench(t)
	b.write("f", "1\n")
	b.free = func(string) (int64, int64, error) { return minFree - 1, 1 << 40, nil }
	if _, err := b.Begin(t.Context(), bridge.BeginCheckpointParams{Chat: "c", Message: "m", Call: "1"}); !errors.Is(err, bridge.ErrDiskFull) {
		t.Errorf("%v", err)
	}
	b.free = free
	// What could not be written is read again.
	b.agent("m", func() { b.write("f", "2\n") })
	b.must(b.blobs.put(digest{1}, []byte("x")))
	b.blobs.closeFile()
	file, err := os.Open("/dev/null") // cannot be written
	b.must(err)
	b.blobs.file = file
	if err := b.blobs.flush(); err == nil {
		t.Fatal("it was written")
	}
	b.blobs.closeFile()
	b.agent("m", func() { b.write("f", "3\n") })
	b.undo(bridge.UndoCheckpointsParams{})
	if got := b.files()["f"]; got != "-rw-r--r-- 1\n" {
		t.Errorf("%q", got)
	}
}

func TestStore_StaysWithinItsLimit(t *testing.T) {
	b := newBench(t)
	b.limit = 1 << 20
	r := rand.New(rand.NewSource(1))
	noise := func() string {
		p := make([]byte, 75<<10)
		r.Read(p)
		return string(p)
	}
	b.write("f", noise())
	for range 40 {
		b.agent("m", func() { b.write("f", noise()) })
	}
	if n := b.blobs.size(); n > b.limit+b.limit/4 {
		t.Errorf("%d bytes are kept, of %d", n, b.limit)
	}
	if len(b.records) == 0 || len(b.records) == 40 {
		t.Errorf("%d records", len(b.records))
	}
	last := b.files()["f"]
	b.agent("m2", func() { b.write("f", "x") })
	b.again()
	b.undo(bridge.UndoCheckpointsParams{Message: "m2"})
	if b.files()["f"] != last {
		t.Error("the last change cannot be undone any more")
	}
	b.now = func() time.Time { return time.Now().Add(maxAge + time.Hour) }
	b.agent("m3", func() { b.write("f", "y") })
	if len(b.records) != 1 {
		t.Errorf("%d records after a month", len(b.records))
	}
}

func TestStore_WhatAKillLeftHalfWrittenIsCutOff(t *testing.T) {
	b := newBench(t)
	b.write("f", "1\n")
	b.agent("m", func() { b.write("f", "2\n") })
	segments, err := filepath.Glob(filepath.Join(b.Store.dir, "contents", "*"))
	if err != nil || len(segments) == 0 {
		t.Fatal(segments, err)
	}
	for _, name := range segments {
		file, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
		b.must(err)
		_, err = file.WriteString("k\x01half a record")
		b.must(err)
		file.Close()
	}
	b.must(os.WriteFile(filepath.Join(b.Store.dir, recordsDir, "000000000099-x"), []byte("garbage"), 0o600))
	b.again()
	b.agent("m", func() { b.write("f", "3\n") })
	b.undo(bridge.UndoCheckpointsParams{})
	if got := b.files()["f"]; got != "-rw-r--r-- 1\n" {
		t.Errorf("%q", got)
	}
}

func TestRecover_ACallThatTheEndOfTheContainerCutShortCanBeUndone(t *testing.T) {
	b := newBench(t)
	b.write(".gitignore", "secret\n")
	b.write("secret", "mine\n")
	b.write("f", "1\n")
	b.write("g", "1\n")
	b.agent("m1", func() { b.write("f", "2\n") })
	_, err := b.Begin(t.Context(), bridge.BeginCheckpointParams{Chat: "chat", Message: "m2", Call: "cut"})
	b.must(err)
	b.write("f", "3\n")
	b.write("new/x", "x\n")
	b.write(".gitignore", "") // which makes the secret a file like others, and not one that the agent made
	b.write("g", "mine\n")
	b.Person([]string{b.path("g")})

	b.again()
	if err := b.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.write("later", "mine\n") // after the start
	r, err := b.Changes(t.Context(), bridge.CheckpointChangesParams{Chat: "chat", Message: "m2"})
	b.must(err)
	var paths []string
	for _, f := range r.Turns[0].Files {
		paths = append(paths, f.Path)
	}
	same(t, "what the call changed", []string{".gitignore", "f", "new/x"}, paths)
	b.undo(bridge.UndoCheckpointsParams{})
	same(t, "the folder", map[string]string{
		"./": "-rwxr-xr-x", ".gitignore": "-rw-r--r-- secret\n", "secret": "-rw-r--r-- mine\n", "f": "-rw-r--r-- 1\n", "g": "-rw-r--r-- mine\n",
		"later": "-rw-r--r-- mine\n",
	}, b.files())
	if entries, err := os.ReadDir(filepath.Join(b.Store.dir, pendingDir)); err == nil && len(entries) > 0 {
		t.Errorf("%v is pending", entries)
	}
}

func TestRecover_NothingThatEndedIsPending(t *testing.T) {
	b := newBench(t)
	if err := b.Recover(t.Context()); err != nil || b.opened {
		t.Errorf("%v, opened: %v", err, b.opened)
	}
	b.write("f", "1\n")
	b.agent("m", func() { b.write("f", "2\n") })
	begun, err := b.Begin(t.Context(), bridge.BeginCheckpointParams{Chat: "chat", Message: "m", Call: "long"})
	b.must(err)
	_, err = b.End(t.Context(), bridge.EndCheckpointParams{ID: begun.ID, Open: true})
	b.must(err)
	b.write("f", "mine\n")
	reads := 0
	for range 2 { // what was seen before is not read again
		b.again()
		if err := b.Recover(t.Context()); err != nil || b.opened {
			t.Errorf("%v, opened: %v", err, b.opened)
		}
		b.agent("m2", func() {})
		reads = b.tree.reads
		time.Sleep(2 * coarse)
	}
	if reads > 1 {
		t.Errorf("%d files were read", reads)
	}
	b.undo(bridge.UndoCheckpointsParams{Message: "m"})
	if got := b.files()["f"]; got != "-rw-r--r-- mine\n" {
		t.Errorf("%q", got)
	}
	// What is on disk may be anything.
	for _, name := range []string{treeFile, pendingDir + "/x", pendingDir + "/person"} {
		b.must(os.MkdirAll(filepath.Dir(filepath.Join(b.Store.dir, name)), 0o700))
		b.must(os.WriteFile(filepath.Join(b.Store.dir, name), []byte("garbage"), 0o600))
	}
	b.again()
	if err := b.Recover(t.Context()); err != nil {
		t.Error(err)
	}
	b.agent("m3", func() { b.write("f", "3\n") })
}

func TestStore_CanBeRemovedAtAnyTime(t *testing.T) {
	b := newBench(t)
	b.write("f", "1\n")
	b.agent("m", func() { b.write("f", "2\n") })
	begun, err := b.Begin(t.Context(), bridge.BeginCheckpointParams{Chat: "chat", Message: "m", Call: "c"})
	b.must(err)
	b.must(os.RemoveAll(b.Store.dir))
	if _, err := b.End(t.Context(), bridge.EndCheckpointParams{ID: begun.ID}); !errors.Is(err, bridge.ErrNotFound) {
		t.Errorf("%v", err)
	}
	if _, err := b.Undo(t.Context(), bridge.UndoCheckpointsParams{Chat: "chat"}); !errors.Is(err, bridge.ErrNotFound) {
		t.Errorf("%v", err)
	}
	b.agent("m", func() { b.write("f", "3\n") })
	b.undo(bridge.UndoCheckpointsParams{})
	if got := b.files()["f"]; got != "-rw-r--r-- 2\n" {
		t.Errorf("%q", got)
	}
}

func TestBegin_TakesNoPathOutsideOrOfGit(t *testing.T) {
	b := newBench(t)
	outside := filepath.Join(filepath.Dir(b.dir), "outside")
	b.must(os.WriteFile(outside, []byte("secret"), 0o600))
	b.must(os.Symlink(outside, b.path("link")))
	b.must(os.Symlink("..", b.path("up")))
	b.must(os.Symlink("real", b.path("inner")))
	b.write("real/f", "1\n")
	b.write(".git/config", "x")
	for _, p := range []string{"../outside", outside, "link", "up/outside", ".git/config", "real/../.git/config", "/etc/passwd", ".", ""} {
		if real, ok := New(b.dir, b.dir, nil).treeFor(t).realPath(p); ok {
			t.Errorf("%q is %q", p, real)
		}
	}
	got := b.agent("m", func() { b.write("real/f", "2\n") }, "inner/f", b.path("inner/f"))
	if got.Total != 1 || got.Changes[0].Path != "real/f" {
		t.Errorf("%+v", got)
	}
	for _, p := range []bridge.UndoCheckpointsParams{{Chat: "chat", Path: "../x"}, {Chat: "chat", Path: "/etc/passwd"}} {
		if _, err := b.Undo(t.Context(), p); !errors.Is(err, bridge.ErrOutside) {
			t.Errorf("%+v: %v", p, err)
		}
	}
	for _, p := range []bridge.BeginCheckpointParams{
		{},
		{Chat: "a", Message: "m\n", Call: "c"},
		{Chat: strings.Repeat("x", 200), Message: "m", Call: "c"},
		{Chat: "a", Message: "m", Call: "c", Paths: make([]string, 200)},
	} {
		if _, err := b.Begin(t.Context(), p); err == nil {
			t.Errorf("%.60v was taken", p)
		}
	}
	if _, err := b.End(t.Context(), bridge.EndCheckpointParams{ID: "x"}); !errors.Is(err, bridge.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

func (s *Store) treeFor(t *testing.T) *tree {
	t.Helper()
	b, err := openBlobs(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return newTree(s.workspace, nil, b, 1<<20)
}

func TestCheckpoint_OddNames(t *testing.T) {
	b := newBench(t)
	names := []string{"new\nline", "quo\"te", "umlaut-ä", "bad-\xff-utf8", " space ", "-dash", "tab\t"}
	for _, name := range names {
		b.write(name, "1\n")
	}
	before := b.files()
	b.agent("m", func() {
		for _, name := range names {
			b.write(name, "2\n")
		}
	})
	r, err := b.Changes(t.Context(), bridge.CheckpointChangesParams{Chat: "chat", Diffs: true})
	b.must(err)
	for _, f := range r.Turns[0].Files {
		if bridge.Printable(f.Path, 1000) != f.Path {
			t.Errorf("%q", f.Path)
		}
		b.undo(bridge.UndoCheckpointsParams{Message: "m", Path: f.Path})
	}
	same(t, "the folder", before, b.files())
}
