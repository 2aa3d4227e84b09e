package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/bridge"
)

// gitIn runs git itself in a folder of the workspace.
func (c *container) gitIn(dir string, args ...string) string {
	c.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = filepath.Join(c.workspace, dir)
	cmd.Env = append(os.Environ(), "HOME="+c.home, "GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.com",
		"GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.com", "GIT_TERMINAL_PROMPT=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// gitter calls git and expects no error of the call.
func gitter(t *testing.T, cl *bridge.Client) func(bridge.GitParams) *bridge.GitResult {
	return func(p bridge.GitParams) *bridge.GitResult {
		t.Helper()
		r, err := cl.Git(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
}

// repo makes the workspace folder a repository with one commit.
func (c *container) repo() {
	c.gitIn("", "init", "-q", "-b", "main")
	c.write("a.txt", "one\ntwo\nthree\n")
	c.write("sub/b.txt", "b\n")
	c.gitIn("", "add", ".")
	c.gitIn("", "commit", "-q", "-m", "first")
}

func TestGit_StatusTellsWhatIsWhere(t *testing.T) {
	c := start(t, "serve")
	c.repo()
	git := gitter(t, c.dial())
	c.gitIn("", "mv", "sub/b.txt", "sub/c d.txt")
	c.write("a.txt", "one\n")
	c.write("sub/new\n\x1b.txt", "")
	c.write("staged", "x")
	c.gitIn("", "add", "staged")
	c.write("staged", "y")
	c.gitIn("", "remote", "add", "origin", "https://user:secret@example.com/o/r.git")
	c.gitIn("", "remote", "add", "work", "git@example.com:o/r.git")
	c.gitIn("", "config", "url.https://mirror.example.com/.pushInsteadOf", "git@example.com:")
	r := git(bridge.GitParams{Path: "sub", Status: &bridge.GitStatusParams{}})
	if r.ExitCode != 0 {
		t.Fatalf("%+v", r)
	}
	want := &bridge.GitStatus{
		Root: ".", Branch: "main", Commit: c.gitIn("", "rev-parse", "HEAD"),
		Files: []bridge.GitFileStatus{
			{Path: "a.txt", Worktree: "M"},
			{Path: "staged", Index: "A", Worktree: "M"},
			{Path: "sub/c d.txt", From: "sub/b.txt", Index: "R"},
			{Path: "sub/new\uFFFD\uFFFD.txt", Index: "?", Worktree: "?"},
		},
		Remotes: []bridge.GitRemote{
			{Name: "origin", Fetch: "https://example.com/o/r.git", Push: []string{"https://example.com/o/r.git"}},
			{Name: "work", Fetch: "git@example.com:o/r.git", Push: []string{"https://mirror.example.com/o/r.git"}},
		},
	}
	if d := cmp.Diff(want, r.Status); d != "" {
		t.Error(d)
	}
}

func TestGit_ARepositoryBelowTheWorkspaceFolderHasPathsOfTheWorkspace(t *testing.T) {
	c := start(t, "serve")
	c.write("deep/er/x", "1\n")
	c.gitIn("deep", "init", "-q", "-b", "main")
	c.gitIn("deep", "add", ".")
	c.gitIn("deep", "commit", "-q", "-m", "first")
	c.write("deep/er/x", "2\n")
	git := gitter(t, c.dial())
	if r := git(bridge.GitParams{Path: "deep/er", Status: &bridge.GitStatusParams{}}); r.Status == nil || r.Status.Root != "deep" || r.Status.Files[0].Path != "deep/er/x" {
		t.Errorf("%+v", r)
	}
	r := git(bridge.GitParams{Path: "deep/er", Diff: &bridge.GitDiffParams{Paths: []string{"x"}}})
	if r.Diff == nil || len(r.Diff.Files) != 1 || r.Diff.Files[0] != (bridge.GitFileDiff{Path: "deep/er/x", Added: 1, Removed: 1}) ||
		!strings.Contains(r.Diff.Diff, "--- a/deep/er/x\n+++ b/deep/er/x\n") {
		t.Errorf("%+v", r.Diff)
	}
	if r := git(bridge.GitParams{Status: &bridge.GitStatusParams{}}); r.Failure != bridge.FailureNoRepository || r.ExitCode == 0 || r.Output == "" {
		t.Errorf("the workspace folder itself: %+v", r)
	}
}

func TestGit_ARepositoryAboveOrElsewhereIsNone(t *testing.T) {
	c := start(t, "serve")
	c.gitIn("..", "init", "-q", "-b", "main") // in the home
	git := gitter(t, c.dial())
	if r := git(bridge.GitParams{Status: &bridge.GitStatusParams{}}); r.Failure != bridge.FailureNoRepository {
		t.Errorf("above: %+v", r)
	}
	c.repo()
	c.gitIn("", "config", "core.worktree", c.home)
	if r := git(bridge.GitParams{Status: &bridge.GitStatusParams{}}); r.Failure != bridge.FailureNoRepository {
		t.Errorf("elsewhere: %+v", r)
	}
}

func TestGit_CommitsWhatIsNamedByWhomIsNamed(t *testing.T) {
	c := start(t, "serve")
	c.repo()
	git := gitter(t, c.dial())
	c.write("a.txt", "changed\n")
	c.write("new.txt", "new\n")
	c.write("other.txt", "other\n")
	c.write("staged.txt", "staged\n")
	c.gitIn("", "add", "staged.txt")
	if err := os.Remove(filepath.Join(c.workspace, "sub/b.txt")); err != nil {
		t.Fatal(err)
	}
	r := git(bridge.GitParams{Commit: &bridge.GitCommitParams{
		Message: "Some\n\nwith a body\n# and a comment", Paths: []string{"new.txt", "sub/b.txt"}, Name: "Ada L", Email: "ada@example.com",
	}})
	if r.ExitCode != 0 || r.Commit == nil || r.Commit.Name != "Ada L" || r.Commit.Email != "ada@example.com" ||
		r.Commit.Subject != "Some" || r.Commit.Body != "with a body\n# and a comment" || len(r.Commit.Parents) != 1 {
		t.Fatalf("%+v %+v", r, r.Commit)
	}
	if got := c.gitIn("", "show", "--name-status", "--format=%an <%ae> %cn <%ce>", "HEAD"); got != "Ada L <ada@example.com> Ada L <ada@example.com>\n\nA\tnew.txt\nD\tsub/b.txt" {
		t.Errorf("%q", got)
	}
	if r := git(bridge.GitParams{Path: "sub", Commit: &bridge.GitCommitParams{Message: "x", All: true, Name: "A", Email: "a@b"}}); r.ExitCode != 0 {
		t.Errorf("%+v", r)
	}
	if got := c.gitIn("", "status", "--porcelain"); got != "" {
		t.Errorf("left: %q", got)
	}
	if r := git(bridge.GitParams{Commit: &bridge.GitCommitParams{Message: "x", Name: "A", Email: "a@b"}}); r.Failure != bridge.FailureNothing {
		t.Errorf("nothing to commit: %+v", r)
	}
	c.write("a.txt", "again\n")
	c.gitIn("", "config", "user.useConfigOnly", "true")
	if r := git(bridge.GitParams{Commit: &bridge.GitCommitParams{Message: "x", All: true}}); r.Failure != bridge.FailureIdentity {
		t.Errorf("by nobody: %+v", r)
	}
}

func TestGit_HooksRunAndWhatTheySayIsTold(t *testing.T) {
	c := start(t, "serve")
	c.repo()
	git := gitter(t, c.dial())
	hook := filepath.Join(c.workspace, ".git/hooks/pre-commit")
	if err := os.WriteFile(hook, []byte("#!/bin/sh\nprintf 'the lint \\033[31mfails\\n'\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	c.write("a.txt", "changed\n")
	r := git(bridge.GitParams{Commit: &bridge.GitCommitParams{Message: "x", All: true, Name: "A", Email: "a@b"}})
	if r.ExitCode == 0 || r.Output != "the lint \uFFFD[31mfails" || r.Commit != nil {
		t.Errorf("%+v", r)
	}
}

func TestGit_LogAndDiff(t *testing.T) {
	c := start(t, "serve")
	c.repo()
	git := gitter(t, c.dial())
	for i := range 5 {
		c.write("a.txt", fmt.Sprintf("%d\n", i))
		c.gitIn("", "commit", "-q", "-a", "-m", fmt.Sprintf("commit %d\n\nbody", i))
	}
	r := git(bridge.GitParams{Log: &bridge.GitLogParams{Limit: 2, Skip: 1, Paths: []string{"a.txt"}}})
	if r.Log == nil || len(r.Log.Commits) != 2 || !r.Log.Truncated || r.Log.Commits[0].Subject != "commit 3" || r.Log.Commits[0].Body != "body" ||
		r.Log.Commits[0].Name != "A" || time.Since(time.UnixMilli(r.Log.Commits[0].Time)) > time.Hour {
		t.Errorf("%+v", r.Log)
	}
	if r := git(bridge.GitParams{Log: &bridge.GitLogParams{Revision: "HEAD~2..HEAD"}}); r.Log == nil || len(r.Log.Commits) != 2 || r.Log.Truncated {
		t.Errorf("%+v", r)
	}
	if r := git(bridge.GitParams{Log: &bridge.GitLogParams{Revision: "nope"}}); r.ExitCode == 0 || r.Output == "" || r.Log != nil {
		t.Errorf("%+v", r)
	}
	c.gitIn("", "mv", "sub/b.txt", "sub/c.txt")
	if err := os.WriteFile(filepath.Join(c.workspace, "bin"), []byte{0, 1}, 0o600); err != nil {
		t.Fatal(err)
	}
	c.gitIn("", "add", "bin")
	r = git(bridge.GitParams{Diff: &bridge.GitDiffParams{From: "HEAD~4"}})
	want := []bridge.GitFileDiff{{Path: "a.txt", Added: 1, Removed: 1}, {Path: "bin", Binary: true}, {Path: "sub/c.txt", From: "sub/b.txt"}}
	if r.Diff == nil || cmp.Diff(want, r.Diff.Files) != "" || !strings.Contains(r.Diff.Diff, "\n-0\n+4\n") {
		t.Errorf("%+v", r.Diff)
	}
	if r := git(bridge.GitParams{Diff: &bridge.GitDiffParams{Staged: true, Stat: true}}); r.Diff == nil || len(r.Diff.Files) != 2 || r.Diff.Diff != "" {
		t.Errorf("staged: %+v", r.Diff)
	}
	if r := git(bridge.GitParams{Diff: &bridge.GitDiffParams{From: "HEAD~2", To: "HEAD~1"}}); r.Diff == nil || !strings.Contains(r.Diff.Diff, "\n-2\n+3\n") {
		t.Errorf("between: %+v", r.Diff)
	}
	c.write("a.txt", strings.Repeat("many lines\n", 100_000))
	if r := git(bridge.GitParams{Diff: &bridge.GitDiffParams{}}); r.Diff == nil || !r.Diff.Truncated || len(r.Diff.Diff) < 100_000 || r.Diff.Files[0].Added != 100_000 {
		t.Errorf("a long one: %d bytes, %v", len(r.Diff.Diff), r.Diff.Truncated)
	}
}

func TestGit_Branches(t *testing.T) {
	c := start(t, "serve")
	c.repo()
	git := gitter(t, c.dial())
	branch := func(p bridge.GitBranchParams) *bridge.GitResult { t.Helper(); return git(bridge.GitParams{Branch: &p}) }
	if r := branch(bridge.GitBranchParams{Create: "side"}); r.Branch == nil || r.Branch.Current != "main" || len(r.Branch.Branches) != 2 {
		t.Errorf("%+v", r)
	}
	if r := branch(bridge.GitBranchParams{Create: "fix/it", Switch: "fix/it", From: "side"}); r.Branch == nil || r.Branch.Current != "fix/it" {
		t.Errorf("%+v", r)
	}
	c.write("a.txt", "on fix\n")
	c.gitIn("", "commit", "-q", "-a", "-m", "fix")
	c.write("a.txt", "not committed\n")
	if r := branch(bridge.GitBranchParams{Switch: "main"}); r.Failure != bridge.FailureConflict || !strings.Contains(r.Output, "a.txt") {
		t.Errorf("with changes in the way: %+v", r)
	}
	c.gitIn("", "checkout", "-q", ".")
	r := branch(bridge.GitBranchParams{Switch: "main"})
	if r.Branch == nil || r.Branch.Current != "main" || !slices.ContainsFunc(r.Branch.Branches, func(b bridge.GitBranch) bool {
		return b.Name == "fix/it" && b.Subject == "fix" && b.Commit != ""
	}) {
		t.Errorf("%+v", r)
	}
}

func TestGit_WhatOnlyLooksRunsNothingOfTheRepository(t *testing.T) {
	c := start(t, "serve")
	c.repo()
	mark := filepath.Join(c.home, "ran")
	evil := filepath.Join(c.home, "evil.sh")
	if err := os.WriteFile(evil, []byte("#!/bin/sh\necho \"$0\" >>"+mark+"\ncat >/dev/null 2>&1\nexit 0\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	c.write("a.txt", "changed\n")
	c.write(".gitattributes", "* diff=evil filter=evil\n*.txt filter=a=b\n")
	c.write(".git/hooks/post-index-change", "#!/bin/sh\nexec "+evil+"\n")
	if err := os.Chmod(filepath.Join(c.workspace, ".git/hooks/post-index-change"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"core.fsmonitor", "diff.external", "diff.evil.textconv", "diff.evil.command", "core.pager", "pager.log", "pager.diff", "pager.status", "gpg.program", "core.editor", "core.sshCommand", "filter.evil.clean", "filter.evil.process", "filter.a=b.clean"} {
		c.gitIn("", "config", key, evil)
	}
	c.gitIn("", "config", "log.showSignature", "true")
	for _, filter := range []string{"evil", "a=b"} {
		c.gitIn("", "config", "filter."+filter+".required", "true")
	}
	git := gitter(t, c.dial())
	for _, p := range []bridge.GitParams{
		{Status: &bridge.GitStatusParams{}},
		{Diff: &bridge.GitDiffParams{}},
		{Diff: &bridge.GitDiffParams{From: "HEAD"}},
		{Log: &bridge.GitLogParams{}},
		{Branch: &bridge.GitBranchParams{}},
	} {
		if r := git(p); r.ExitCode != 0 {
			t.Errorf("%+v: %+v", p, r)
		}
	}
	if ran, err := os.ReadFile(mark); err == nil {
		t.Errorf("it ran %s", ran)
	}
}

// A clone can have a folder in it that git takes for a repository, settings and all.
func TestGit_AFolderThatLooksLikeARepositoryIsNone(t *testing.T) {
	c := start(t, "serve")
	c.repo()
	mark := filepath.Join(c.home, "ran")
	for name, content := range map[string]string{
		"HEAD": "ref: refs/heads/main\n", "objects/x": "", "refs/x": "", "files/a.txt": "hello\n",
		"files/.gitattributes": "* filter=evil\n",
		"config":               "[core]\n\trepositoryformatversion = 0\n\tworktree = files\n",
	} {
		c.write("docs/"+name, content)
	}
	c.gitIn("docs", "--git-dir=.", "add", "-A")
	for key, value := range map[string]string{"core.fsmonitor": "touch " + mark, "filter.evil.clean": "touch " + mark + "; cat"} {
		c.gitIn("docs", "--git-dir=.", "config", key, value)
	}
	c.write("docs/files/a.txt", "hallo\n") // of the same length, so that git has to look
	git := gitter(t, c.dial())
	for _, p := range []bridge.GitParams{
		{Path: "docs", Status: &bridge.GitStatusParams{}},
		{Path: "docs", Diff: &bridge.GitDiffParams{}},
		{Path: "docs", Log: &bridge.GitLogParams{}},
		{Path: "docs", Commit: &bridge.GitCommitParams{Message: "x", All: true}},
	} {
		if r := git(p); r.ExitCode == 0 || !strings.Contains(r.Output, "bare repository") {
			t.Errorf("%+v: %+v", p, r)
		}
		if _, err := os.Stat(mark); err == nil {
			t.Fatalf("%+v ran what the folder's settings name", p)
		}
	}
}

func TestGit_ParametersAreChecked(t *testing.T) {
	c := start(t, "serve")
	c.repo()
	cl := c.dial()
	for name, p := range map[string]bridge.GitParams{
		"nothing":              {},
		"two":                  {Status: &bridge.GitStatusParams{}, Log: &bridge.GitLogParams{}},
		"an option":            {Log: &bridge.GitLogParams{Revision: "--output=/tmp/x"}},
		"an option to diff":    {Diff: &bridge.GitDiffParams{From: "--no-index"}},
		"to without from":      {Diff: &bridge.GitDiffParams{To: "HEAD"}},
		"an option of switch":  {Branch: &bridge.GitBranchParams{Switch: "--orphan"}},
		"from for nothing":     {Branch: &bridge.GitBranchParams{From: "main"}},
		"no message":           {Commit: &bridge.GitCommitParams{Message: " \n"}},
		"half an author":       {Commit: &bridge.GitCommitParams{Message: "x", Name: "A"}},
		"a name of two lines":  {Commit: &bridge.GitCommitParams{Message: "x", Name: "A\nB", Email: "a@b"}},
		"a path with NUL":      {Commit: &bridge.GitCommitParams{Message: "x", Paths: []string{"a\x00"}}},
		"an address as remote": {Push: &bridge.GitPushParams{Remote: "https://example.com/x"}},
		"no such remote":       {Fetch: &bridge.GitFetchParams{Remote: "origin"}},
		"a mode":               {Pull: &bridge.GitPullParams{Mode: "ours"}},
		"no upstream":          {Pull: &bridge.GitPullParams{}},
		"many commits":         {Log: &bridge.GitLogParams{Limit: bridge.MaxCommits + 1}},
	} {
		if r, err := cl.Git(t.Context(), p); !errors.Is(err, bridge.ErrInvalid) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	if _, err := cl.Git(t.Context(), bridge.GitParams{Path: "..", Status: &bridge.GitStatusParams{}}); !errors.Is(err, bridge.ErrOutside) {
		t.Errorf("outside: %v", err)
	}
}

// guarded serves a repository that wants "user" and "token", and counts requests that carry them.
func guarded(t *testing.T) (address string, carried *atomic.Int64) {
	carried = &atomic.Int64{}
	return repository(t, func(w http.ResponseWriter, r *http.Request) bool {
		name, password, _ := r.BasicAuth()
		if name == "user" && password == "token" {
			carried.Add(1)
			return true
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		w.WriteHeader(http.StatusUnauthorized)
		return false
	}), carried
}

func TestGit_PushPullAndFetchWithACredential(t *testing.T) {
	c := start(t, "serve")
	address, carried := guarded(t)
	credential := &bridge.GitCredential{URL: strings.TrimSuffix(address, ".git") + "/", Username: "user", Password: "token"}
	git := gitter(t, c.dial())
	c.gitIn("", "init", "-q", "-b", "main")
	c.gitIn("", "remote", "add", "origin", address)
	if r := git(bridge.GitParams{Fetch: &bridge.GitFetchParams{}}); r.Failure != bridge.FailureCredential {
		t.Fatalf("without: %+v", r)
	}
	if r := git(bridge.GitParams{Fetch: &bridge.GitFetchParams{Credential: &bridge.GitCredential{URL: address, Username: "user", Password: "wrong"}}}); r.Failure != bridge.FailureCredential {
		t.Fatalf("a wrong one: %+v", r)
	}
	if r := git(bridge.GitParams{Pull: &bridge.GitPullParams{Remote: "origin", Branch: "main", Credential: credential}}); r.ExitCode != 0 {
		t.Fatalf("pull: %+v", r)
	}
	c.write("README.md", "mine\n")
	git(bridge.GitParams{Commit: &bridge.GitCommitParams{Message: "mine", All: true, Name: "A", Email: "a@b"}})
	// A hook of the repository runs when git has taken the credential: nothing is left to take.
	hook := filepath.Join(c.workspace, ".git/hooks/pre-push")
	if err := os.WriteFile(hook, []byte("#!/bin/sh\ncat <&3 >"+c.home+"/hook\nenv >>"+c.home+"/hook\necho hooked\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	r := git(bridge.GitParams{Push: &bridge.GitPushParams{SetUpstream: true, Credential: credential}})
	if r.ExitCode != 0 || r.Push == nil || *r.Push != (bridge.GitPush{Remote: "origin", URL: address, Branch: "main"}) || !strings.Contains(r.Output, "hooked") {
		t.Fatalf("push: %+v %+v", r, r.Push)
	}
	if seen, err := os.ReadFile(filepath.Join(c.home, "hook")); err != nil || strings.Contains(string(seen), "token") {
		t.Errorf("the hook saw %s, %v", seen, err)
	}
	if carried.Load() == 0 {
		t.Error("the credential was not used")
	}
	// Somebody else pushes; then we are behind.
	other := t.TempDir()
	theirs := strings.Replace(address, "://", "://user:token@", 1)
	for _, command := range []string{
		"git clone -q " + theirs + " .", "echo theirs >theirs.txt", "git add .", "git -c user.name=B -c user.email=b@c commit -q -m theirs", "git push -q",
	} {
		cmd := exec.Command("sh", "-c", command)
		cmd.Dir = other
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
	}
	c.write("more.txt", "more\n")
	git(bridge.GitParams{Commit: &bridge.GitCommitParams{Message: "more", All: true, Name: "A", Email: "a@b"}})
	if r := git(bridge.GitParams{Push: &bridge.GitPushParams{Credential: credential}}); r.Failure != bridge.FailureRejected {
		t.Errorf("behind: %+v", r)
	}
	if r := git(bridge.GitParams{Pull: &bridge.GitPullParams{Credential: credential}}); r.Failure != bridge.FailureRejected {
		t.Errorf("pull where both have gone on: %+v", r)
	}
	c.gitIn("", "config", "user.name", "A")
	c.gitIn("", "config", "user.email", "a@b")
	if r := git(bridge.GitParams{Pull: &bridge.GitPullParams{Mode: bridge.PullRebase, Credential: credential}}); r.ExitCode != 0 {
		t.Errorf("rebase: %+v", r)
	}
	if r := git(bridge.GitParams{Status: &bridge.GitStatusParams{}}); r.Status.Ahead != 1 || r.Status.Behind != 0 || r.Status.Upstream != "origin/main" {
		t.Errorf("%+v", r.Status)
	}
	if r := git(bridge.GitParams{Push: &bridge.GitPushParams{Credential: credential}}); r.ExitCode != 0 {
		t.Errorf("push: %+v", r)
	}
	// None of it is kept.
	_ = filepath.WalkDir(c.home, func(path string, d os.DirEntry, _ error) error {
		if d.Type().IsRegular() {
			if b, _ := os.ReadFile(path); strings.Contains(string(b), "token") && !strings.Contains(path, "hooks/") {
				t.Errorf("%s holds the password", path)
			}
		}
		return nil
	})
	if strings.Contains(c.log.String(), "token") {
		t.Error("the log holds the password")
	}
}

func TestGit_ACredentialGoesNowhereElse(t *testing.T) {
	c := start(t, "serve")
	c.repo()
	cl := c.dial()
	git := gitter(t, cl)
	thief, carried := guarded(t)
	var moved string
	address := repository(t, func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, moved+strings.TrimPrefix(r.URL.Path, "/repo.git")+"?"+r.URL.RawQuery, http.StatusFound)
		return false
	})
	moved = thief
	credential := &bridge.GitCredential{URL: address, Username: "user", Password: "token"}
	c.gitIn("", "remote", "add", "origin", address)
	if r := git(bridge.GitParams{Push: &bridge.GitPushParams{Credential: credential}}); r.Failure != bridge.FailureRedirected {
		t.Errorf("a redirect: %+v", r)
	}
	c.gitIn("", "config", "http.followRedirects", "true")
	c.gitIn("", "config", "http."+strings.Replace(address, "://", "://x@", 1)+".followRedirects", "true")
	if r := git(bridge.GitParams{Push: &bridge.GitPushParams{Credential: credential}}); r.ExitCode == 0 {
		t.Errorf("a redirect that the repository wants followed: %+v", r)
	}
	c.gitIn("", "config", "credential.helper", "!cat >>"+c.home+"/stolen; true")
	c.gitIn("", "config", "credential."+address+".helper", "!cat >>"+c.home+"/stolen; true")
	real, used := guarded(t)
	c.gitIn("", "remote", "set-url", "origin", real)
	credential.URL = real
	c.gitIn("", "checkout", "-q", "-b", "topic")
	if r := git(bridge.GitParams{Push: &bridge.GitPushParams{Credential: credential}}); r.ExitCode != 0 || used.Load() == 0 {
		t.Errorf("a helper of the repository: %+v", r)
	}
	if stolen, err := os.ReadFile(filepath.Join(c.home, "stolen")); err == nil {
		t.Errorf("it was told %q", stolen)
	}
	// The address becomes another one, which the credential is not for.
	c.gitIn("", "config", "url."+thief+".insteadOf", real)
	if _, err := cl.Git(t.Context(), bridge.GitParams{Push: &bridge.GitPushParams{Credential: credential}}); !errors.Is(err, bridge.ErrInvalid) {
		t.Errorf("another address: %v", err)
	}
	c.gitIn("", "config", "--unset", "url."+thief+".insteadOf")
	c.gitIn("", "config", "--add", "remote.origin.pushurl", real)
	c.gitIn("", "config", "--add", "remote.origin.pushurl", thief)
	if _, err := cl.Git(t.Context(), bridge.GitParams{Push: &bridge.GitPushParams{Credential: credential}}); !errors.Is(err, bridge.ErrInvalid) {
		t.Errorf("a second address: %v", err)
	}
	if carried.Load() != 0 {
		t.Error("the other repository got the credential")
	}
	for _, bad := range []string{"", "ssh://host/path", "https://host", "https://user@host/p", "https://host/a'b", "https://host/a b", "https://host/p?q"} {
		if _, err := cl.Git(t.Context(), bridge.GitParams{Fetch: &bridge.GitFetchParams{Credential: &bridge.GitCredential{URL: bad, Username: "u", Password: "p"}}}); !errors.Is(err, bridge.ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if s := fmt.Sprintf("%v %+v %#v %s", credential, *credential, *credential, bridge.GitParams{Push: &bridge.GitPushParams{Credential: credential}}.Push.Credential); strings.Contains(s, "token") {
		t.Errorf("it shows: %s", s)
	}
}

func TestGit_ACredentialThatNobodyAskedForIsSeenByNoHook(t *testing.T) {
	c := start(t, "serve")
	c.repo()
	git := gitter(t, c.dial())
	public := repository(t, nil)
	c.gitIn("", "remote", "add", "origin", public)
	hook := filepath.Join(c.workspace, ".git/hooks/reference-transaction")
	if err := os.WriteFile(hook, []byte("#!/bin/sh\ncat <&3 >>"+c.home+"/hook\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if r := git(bridge.GitParams{Fetch: &bridge.GitFetchParams{Credential: &bridge.GitCredential{URL: public, Username: "user", Password: "token"}}}); r.ExitCode != 0 {
		t.Fatalf("%+v", r)
	}
	if seen, err := os.ReadFile(filepath.Join(c.home, "hook")); err == nil {
		t.Errorf("the hook saw %q", seen)
	}
}

func TestGit_AnOperationThatHangsIsEndedWithAllThatItStarted(t *testing.T) {
	c := start(t, "serve")
	c.repo()
	cl := c.dial()
	hook := filepath.Join(c.workspace, ".git/hooks/pre-commit")
	if err := os.WriteFile(hook, []byte("#!/bin/sh\nsleep 1000 &\necho $! >"+c.home+"/pid\nwait\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	c.write("a.txt", "changed\n")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := cl.Git(ctx, bridge.GitParams{Commit: &bridge.GitCommitParams{Message: "x", All: true, Name: "A", Email: "a@b"}})
		ended <- err
	}()
	pid := 0
	eventually(t, "the hook runs", func() bool {
		b, _ := os.ReadFile(filepath.Join(c.home, "pid"))
		pid = atoi(strings.TrimSpace(string(b)))
		return pid > 0
	})
	cancel()
	<-ended
	eventually(t, "its child ends", func() bool { return !alive(procDir, pid) })
}
