package tools

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestGit_WorksInThePersonsName(t *testing.T) {
	w := newWork(t)
	text, out := w.ok("git", in{"operation": "status"})
	has(t, text, "git status failed", "There is no repository in this folder")
	if *out.ExitCode == 0 {
		t.Errorf("%+v", out)
	}
	remote := filepath.Join(w.Dir, "remote.git")
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"init", "-q", "--bare", "-b", "main", remote}, {"remote", "add", "origin", remote}} {
		cmd := exec.Command("git", args...)
		cmd.Dir = w.Dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	w.Write(".gitignore", "remote.git\n")
	w.Write("a.txt", "one\n")
	text, _ = w.ok("git", in{"operation": "status"})
	has(t, text, "On branch main.", "?? a.txt\n", "Remote origin: ")
	text, _ = w.ok("git", in{"operation": "commit", "message": "First\n\nWith a body.", "all": true})
	has(t, text, "Committed ", "Ada Lovelace <ada@example.com>: First")
	text, _ = w.ok("git", in{"operation": "commit", "message": "Nothing", "all": true})
	has(t, text, "failed", "There is nothing to commit")
	w.env.Email = "" // nobody has vouched for one, and git knows of none
	w.Write("b.txt", "b\n")
	text, _ = w.ok("git", in{"operation": "commit", "message": "Second", "paths": []string{"b.txt"}})
	has(t, text, "Committed ", "Ada Lovelace <abcdefghij@noreply.invalid>: Second")
	w.env.Email = "ada@example.com"
	w.Write("a.txt", "one\ntwo\n")
	text, out = w.ok("git", in{"operation": "diff"})
	has(t, text, "1 file, +1 -0:", "a.txt +1 -0\n", "<diff>", "+two")
	has(t, out.Diff, "+two")
	text, _ = w.ok("git", in{"operation": "branch", "branch": "topic", "create": true})
	has(t, text, "On branch topic now.")
	w.ok("git", in{"operation": "commit", "message": "Second", "paths": []string{"a.txt"}})
	text, _ = w.ok("git", in{"operation": "log"})
	has(t, text, "Ada Lovelace: Second\n", "Ada Lovelace: First\n    With a body.\n")
	text, _ = w.ok("git", in{"operation": "branches"})
	has(t, text, "* topic ", "  main ")
	text, _ = w.ok("git", in{"operation": "push", "setUpstream": true})
	has(t, text, "Pushed topic to origin (")
	text, _ = w.ok("git", in{"operation": "fetch"})
	has(t, text, "Done.")
	w.fails("git", in{"operation": "blame"}, `there is no operation "blame"`, "status, diff")
	w.fails("git", in{"operation": "commit"}, "message is required")
	w.fails("git", in{}, "operation is required")

	git := tool(t, "git")
	for input, reads := range map[string]bool{`{"operation":"status"}`: true, `{"operation":"log"}`: true, `{"operation":"push"}`: false, `{}`: false, `x`: false} {
		if git.ReadsWith(json.RawMessage(input)) != reads {
			t.Errorf("%s", input)
		}
	}
	for input, want := range map[string]string{
		`{"operation":"commit","message":"Fix it\nall"}`:                      "Commit: Fix it …",
		`{"operation":"push","branch":"main","remote":"origin","force":true}`: "Push main to origin, by force",
		`{"operation":"status"}`:                                              "git status",
	} {
		if got := git.Title(json.RawMessage(input)); got != want {
			t.Errorf("%s: %q", input, got)
		}
	}
}

// A push without a remote goes to origin, which is what was approved, wherever the branch's configuration points.
func TestGit_APushGoesWhereItWasApprovedFor(t *testing.T) {
	w := newWork(t)
	script := `git init -q -b main && git init -q --bare good.git && git init -q --bare evil.git &&
git remote add origin "$PWD/good.git" && git remote add evil "$PWD/evil.git" &&
git commit -q --allow-empty -m x && git config branch.main.remote evil && git config branch.main.merge refs/heads/main`
	text, _ := w.ok("runCommand", in{"command": script})
	has(t, text, "Exit code 0")
	text, _ = w.ok("git", in{"operation": "push"})
	has(t, text, "Pushed main to origin")
	if entries, err := os.ReadDir(filepath.Join(w.Dir, "evil.git", "refs", "heads")); err != nil || len(entries) > 0 {
		t.Errorf("%v, %v", entries, err)
	}
}

func TestCheckpoints_EveryToolsChangesCanBeUndone(t *testing.T) {
	w := newWork(t)
	w.Write("edited", "one\ntwo\nthree\n")
	w.Write("written", "old\n")
	w.Write("gone", "x\n")
	before := w.files()
	w.ok("readFile", in{"path": "edited"})
	w.ok("readFile", in{"path": "written"})
	w.ok("editFile", in{"path": "edited", "edits": []in{{"old": "one", "new": "1"}}})
	w.ok("writeFile", in{"path": "written", "content": "new\n"})
	w.ok("writeFile", in{"path": "made/deep", "content": "new\n"})
	text, out := w.ok("runCommand", in{"command": "rm gone; echo three >> edited; mkdir -p dist; echo x > dist/app; chmod +x written"})
	if out.ChangedTotal != 4 || len(out.Changed) != 4 || out.NoUndo != "" {
		t.Errorf("%s\n%+v", text, out)
	}
	_, out = w.ok("runCommand", in{"command": "echo started; while [ ! -e go ]; do sleep 0.05; done; echo late > late", "timeoutSeconds": 1})
	w.Write("go", "")
	w.ok("commandOutput", in{"id": out.Background, "waitSeconds": 60})

	cl, err := w.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, err := cl.CheckpointChanges(t.Context(), changesOf("chat"))
	if err != nil || len(r.Turns) != 1 || r.Turns[0].Message != "m1" {
		t.Fatalf("%+v, %v", r, err)
	}
	paths := map[string]string{}
	for _, f := range r.Turns[0].Files {
		paths[f.Path] = f.Status
	}
	for p, status := range map[string]string{"edited": "modified", "written": "modified", "made/deep": "added", "gone": "deleted", "dist/app": "added", "late": "added"} {
		if paths[p] != status {
			t.Errorf("%s: %q, not %s", p, paths[p], status)
		}
	}
	// The person works on, elsewhere in the file.
	w.Write("edited", "1\ntwo\nthree\nthree\nmine\n")
	u, err := cl.UndoCheckpoints(t.Context(), undoOf("chat", "m1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range u.Files {
		if f.Path == "edited" && f.Result != "merged" && f.Result != "conflict" {
			t.Errorf("%+v", f)
		}
	}
	after := w.files()
	for p, want := range before {
		if p != "edited" && after[p] != want {
			t.Errorf("%s: %q, not %q", p, after[p], want)
		}
	}
	// The agent knows that its view of the files is out of date.
	w.fails("writeFile", in{"path": "written", "content": "x"}, "has changed since it was read")
}

func TestCheckpoints_ACallIsCarriedOutWithoutThem(t *testing.T) {
	w := newWork(t)
	w.env.Message = ""
	w.ok("writeFile", in{"path": "a", "content": "x"})
	_, out := w.ok("runCommand", in{"command": "echo y > b"})
	if len(out.Changed) > 0 || w.Read("b") != "y\n" {
		t.Errorf("%+v", out)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(w.Dir), ".kalpana-checkpoints")); !os.IsNotExist(err) {
		t.Errorf("something is kept: %v", err)
	}
	// Where nothing can be kept, the call says so, and is carried out.
	w.env.Message = "m"
	if err := os.WriteFile(filepath.Join(filepath.Dir(w.Dir), ".kalpana-checkpoints"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	text, out := w.ok("writeFile", in{"path": "c", "content": "x"})
	has(t, text, "What this call changed cannot be undone: ")
	if out.NoUndo == "" || w.Read("c") != "x" {
		t.Errorf("%+v", out)
	}
	text, _ = w.ok("runCommand", in{"command": "echo z > d"})
	has(t, text, "What this call changed cannot be undone: ")
}

func TestCheckpoints_WhatAStoppedCallChangedCanBeUndone(t *testing.T) {
	w := newWork(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := w.call(ctx, "runCommand", in{"command": "echo x > made; sleep 1000"})
		done <- err
	}()
	eventually(t, "it runs", func() bool { _, err := os.Stat(filepath.Join(w.Dir, "made")); return err == nil })
	cancel()
	if err := <-done; err == nil {
		t.Error("it went well")
	}
	cl, err := w.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cl.UndoCheckpoints(t.Context(), undoOf("chat", "m1")); err != nil {
		t.Fatal(err)
	}
	if files := w.files(); len(files) != 0 {
		t.Errorf("%v", files)
	}
}

// files is what the folder's files hold, with their modes.
func (w *work) files() map[string]string {
	w.t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(w.Dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(w.Dir, p)
		info, err := d.Info()
		if err != nil {
			return err
		}
		all[rel] = info.Mode().String() + " " + strings.TrimSpace(w.Read(rel))
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}
