package server

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/kalpana-dev/kalpana/bridge"
)

func itoa(n int) string { return strconv.Itoa(n) }

// atoi reads a number of git's; what is none is 0.
func atoi[T string | []byte](s T) int {
	n, _ := strconv.Atoi(string(s))
	return n
}

// gitBytes bounds the files, commits and branches of one answer as JSON, so that they fit into a frame with a diff.
const gitBytes = 400 << 10

// status reads the state of the repository: git-status(1), porcelain format version 2.
func (r *worktree) status(result *bridge.GitResult) (gitRun, error) {
	run, err := r.look("status", "--porcelain=v2", "--branch", "-z", "--untracked-files=all", "--ignore-submodules=dirty")
	if err != nil || run.code != 0 {
		return run, err
	}
	s := &bridge.GitStatus{Root: valid(r.root), Files: []bridge.GitFileStatus{}, Remotes: []bridge.GitRemote{}, Truncated: run.more}
	size := 0
	for lines := fields(run.stdout); len(lines) > 0; lines = lines[1:] {
		line := string(lines[0])
		kind, rest, _ := strings.Cut(line, " ")
		file := bridge.GitFileStatus{}
		switch kind {
		case "#":
			headOf(s, rest)
			continue
		case "1", "2", "u": // XY, then fields that are of no use here, then the path
			before := map[string]int{"1": 7, "2": 8, "u": 9}[kind]
			parts := strings.SplitN(rest, " ", before+1)
			if len(parts) <= before || len(parts[0]) != 2 {
				continue
			}
			file.Path, file.Conflict = parts[before], kind == "u"
			file.Index, file.Worktree = strings.Trim(parts[0][:1], "."), strings.Trim(parts[0][1:], ".")
			if kind == "2" && len(lines) > 1 {
				lines = lines[1:]
				file.From = r.inWorkspace(lines[0])
			}
		case "?":
			file.Path, file.Index, file.Worktree = rest, "?", "?"
		default:
			continue
		}
		file.Path = r.inWorkspace([]byte(file.Path))
		size += bridge.JSONSize(file.Path) + bridge.JSONSize(file.From) + entryBytes
		if len(s.Files) == bridge.MaxGitFiles || size > gitBytes {
			s.Truncated = true
			break
		}
		s.Files = append(s.Files, file)
	}
	s.Operation = r.operation()
	if s.Remotes, err = r.remotes(); err != nil {
		return run, err
	}
	result.Status = s
	return gitRun{}, nil
}

// headOf reads a header line of the status.
func headOf(s *bridge.GitStatus, line string) {
	name, value, _ := strings.Cut(line, " ")
	switch name {
	case "branch.oid":
		if value != "(initial)" {
			s.Commit = value
		}
	case "branch.head":
		if value != "(detached)" {
			s.Branch = valid(value)
		}
	case "branch.upstream":
		s.Upstream = valid(value)
	case "branch.ab":
		ahead, behind, _ := strings.Cut(value, " ")
		s.Ahead, s.Behind = atoi(strings.TrimPrefix(ahead, "+")), atoi(strings.TrimPrefix(behind, "-"))
	}
}

// operation is what is under way.
func (r *worktree) operation() string {
	for _, op := range [...]struct{ file, name string }{
		{"rebase-merge", "rebase"},
		{"rebase-apply", "rebase"},
		{"MERGE_HEAD", "merge"},
		{"CHERRY_PICK_HEAD", "cherry-pick"},
		{"REVERT_HEAD", "revert"},
		{"BISECT_LOG", "bisect"},
	} {
		if _, err := os.Lstat(filepath.Join(r.gitDir, op.file)); err == nil {
			return op.name
		}
	}
	return ""
}

// remotes lists where the repository fetches from and pushes to, with the replacements of url.*.insteadOf made.
func (r *worktree) remotes() ([]bridge.GitRemote, error) {
	run, err := r.look("remote", "--verbose")
	if err != nil {
		return nil, err
	}
	all := []bridge.GitRemote{}
	for line := range strings.Lines(string(run.stdout)) {
		name, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		address, push := strings.CutSuffix(rest, " (push)")
		if !push {
			// A partial clone has its filter behind it, in brackets.
			address, _, _ = strings.Cut(rest, " (fetch)")
		}
		if n := len(all); n == 0 || all[n-1].Name != name {
			if n == bridge.MaxGitRemotes {
				break
			}
			all = append(all, bridge.GitRemote{Name: name, Push: []string{}})
		}
		remote := &all[len(all)-1]
		address = withoutPassword(address)
		switch {
		case !push:
			remote.Fetch = address
		case len(remote.Push) < bridge.MaxGitRemotes:
			remote.Push = append(remote.Push, address)
		}
	}
	return all, nil
}

// withoutPassword removes it from an address, and keeps the user.
func withoutPassword(address string) string {
	address = valid(prefix(address, bridge.MaxPath))
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return address
	}
	host, path, slash := strings.Cut(rest, "/")
	at := strings.LastIndexByte(host, '@')
	if at < 0 {
		return address
	}
	user, _, _ := strings.Cut(host[:at], ":")
	if host = host[at+1:]; user != "" && scheme != "http" && scheme != "https" { // there it may be a token
		host = user + "@" + host
	}
	if slash {
		path = "/" + path
	}
	return scheme + "://" + host + path
}

// diff compares: git-diff(1).
func (r *worktree) diff(p bridge.GitDiffParams, result *bridge.GitResult) (gitRun, error) {
	paths, err := pathspecs(p.Paths)
	switch {
	case err != nil:
		return gitRun{}, err
	case p.Context < 0 || p.Context > bridge.MaxContext:
		return gitRun{}, bridge.ErrInvalid.With("context is from 0 to %d lines", bridge.MaxContext)
	case p.Staged && p.From+p.To != "", p.To != "" && p.From == "":
		return gitRun{}, bridge.ErrInvalid.With("give either staged, or from and to")
	case p.Context == 0:
		p.Context = 3
	}
	args := []string{"diff", "--no-ext-diff", "--no-textconv", "--no-color", "--no-relative", "--submodule=short", "--find-renames"}
	if p.Staged {
		args = append(args, "--cached")
	}
	var what []string
	for _, revision := range []string{p.From, p.To} {
		if err := checkRevision(revision, "a revision"); err != nil {
			return gitRun{}, err
		}
		if revision != "" {
			what = append(what, revision)
		}
	}
	what = append(what, paths...)
	run, err := r.look(append(append(args, "--numstat", "-z"), what...)...)
	if err != nil || run.code != 0 {
		return run, err
	}
	d := &bridge.GitDiff{Files: []bridge.GitFileDiff{}, Truncated: run.more}
	size := 0
	for all := fields(run.stdout); len(all) > 0; all = all[1:] {
		parts := bytes.SplitN(all[0], []byte("\t"), 3)
		if len(parts) != 3 {
			break
		}
		file := bridge.GitFileDiff{Added: atoi(parts[0]), Removed: atoi(parts[1]), Binary: string(parts[0]) == "-"}
		if path := parts[2]; len(path) > 0 {
			file.Path = r.inWorkspace(path)
		} else if len(all) > 2 { // renamed: both names follow
			file.From, file.Path = r.inWorkspace(all[1]), r.inWorkspace(all[2])
			all = all[2:]
		} else {
			break
		}
		size += bridge.JSONSize(file.Path) + bridge.JSONSize(file.From) + entryBytes
		if len(d.Files) == bridge.MaxGitFiles || size > gitBytes {
			d.Truncated = true
			break
		}
		d.Files = append(d.Files, file)
	}
	if !p.Stat {
		under := ""
		if r.root != "." {
			under = valid(r.root) + "/"
		}
		args = append(args, "--patch", "--unified="+itoa(p.Context), "--src-prefix=a/"+under, "--dst-prefix=b/"+under)
		if run, err = r.look(append(args, what...)...); err != nil || run.code != 0 {
			return run, err
		}
		text := valid(string(run.stdout))
		for limit := bridge.MaxDiff; ; limit /= 2 {
			if d.Diff = prefix(text, limit); bridge.JSONSize(d.Diff) <= bridge.MaxFrame-gitBytes-64<<10 {
				break
			}
		}
		d.Truncated = d.Truncated || run.more || len(d.Diff) < len(text)
	}
	result.Diff = d
	return gitRun{}, nil
}

const commitFormat = "%H%x00%P%x00%an%x00%ae%x00%at%x00%B"

// log lists commits: git-log(1).
func (r *worktree) log(p bridge.GitLogParams, result *bridge.GitResult) (gitRun, error) {
	paths, err := pathspecs(p.Paths)
	if err != nil {
		return gitRun{}, err
	}
	limit, err := limitOf(p.Limit, bridge.DefaultCommits, bridge.MaxCommits)
	switch {
	case err != nil:
		return gitRun{}, err
	case p.Skip < 0:
		return gitRun{}, bridge.ErrInvalid.With("skip cannot be negative")
	}
	if err := checkRevision(p.Revision, "a revision"); err != nil {
		return gitRun{}, err
	}
	args := []string{
		"log", "-z", "--format=tformat:" + commitFormat, "--no-color", "--no-show-signature", "--no-patch", "--no-ext-diff",
		"--max-count=" + itoa(limit+1), "--skip=" + itoa(p.Skip),
	}
	if p.Revision != "" {
		args = append(args, p.Revision)
	}
	run, err := r.look(append(args, paths...)...)
	if err != nil || run.code != 0 {
		return run, err
	}
	l := &bridge.GitLog{Commits: commitsOf(run.stdout), Truncated: run.more}
	size := 0
	for i, c := range l.Commits {
		size += bridge.JSONSize(c.Subject) + bridge.JSONSize(c.Body) + bridge.JSONSize(c.Name) + bridge.JSONSize(c.Email) + 2*entryBytes
		if i == limit || size > bridge.MaxFrame-64<<10 {
			l.Commits, l.Truncated = l.Commits[:i], true
			break
		}
	}
	result.Log = l
	return gitRun{}, nil
}

// commitsOf reads what git log printed in commitFormat.
func commitsOf(b []byte) []bridge.GitCommit {
	commits := []bridge.GitCommit{}
	for all := fields(b); len(all) >= 6; all = all[6:] {
		message := strings.Trim(valid(string(all[5])), "\n")
		subject, body, _ := strings.Cut(message, "\n")
		commits = append(commits, bridge.GitCommit{
			Hash: string(all[0]), Parents: strings.Fields(string(all[1])),
			Name: prefix(valid(string(all[2])), 400), Email: prefix(valid(string(all[3])), 400),
			Time: int64(atoi(all[4])) * 1000, Subject: prefix(subject, 1000), Body: prefix(strings.Trim(body, "\n"), bridge.MaxCommitMessage),
		})
	}
	return commits
}

// branch lists branches, after having made or switched one.
func (r *worktree) branch(p bridge.GitBranchParams, result *bridge.GitResult) (gitRun, error) {
	for _, name := range []string{p.Create, p.From, p.Switch} {
		if err := checkRevision(name, "the name of a branch"); err != nil {
			return gitRun{}, err
		}
	}
	var args []string
	switch {
	case p.Create == "" && p.From != "", p.Create != "" && p.Switch != "" && p.Create != p.Switch:
		return gitRun{}, bridge.ErrInvalid.With("create one branch, from another or from HEAD, and switch to it or not")
	case p.Create != "" && p.Switch != "":
		args = []string{"switch", "--create", p.Create}
	case p.Create != "":
		args = []string{"branch", p.Create}
	case p.Switch != "":
		args = []string{"switch", p.Switch}
	}
	said := gitRun{}
	if args != nil {
		if p.From != "" {
			args = append(args, p.From)
		}
		var err error
		if said, err = r.run(gitCall{args: args, both: true}); err != nil || said.code != 0 {
			return said, err
		}
	}
	current, err := r.line("symbolic-ref", "--quiet", "--short", "HEAD")
	if err != nil {
		return said, err
	}
	run, err := r.look("for-each-ref", "--sort=-committerdate", "--count="+itoa(bridge.MaxGitBranches+1),
		"--format=%(symref)%00%(refname)%00%(objectname)%00%(upstream:short)%00%(committerdate:unix)%00%(subject)",
		"refs/heads", "refs/remotes")
	if err != nil || run.code != 0 {
		return run, err
	}
	b := &bridge.GitBranches{Current: valid(current), Branches: []bridge.GitBranch{}, Truncated: run.more}
	for line := range bytes.Lines(run.stdout) {
		parts := strings.Split(valid(strings.TrimSuffix(string(line), "\n")), "\x00")
		if len(parts) != 6 || parts[0] != "" {
			continue
		}
		if len(b.Branches) == bridge.MaxGitBranches {
			b.Truncated = true
			break
		}
		name, local := strings.CutPrefix(parts[1], "refs/heads/")
		if !local {
			name = strings.TrimPrefix(parts[1], "refs/remotes/")
		}
		b.Branches = append(b.Branches, bridge.GitBranch{
			Name: name, Remote: !local, Commit: parts[2], Upstream: parts[3], Time: int64(atoi(parts[4])) * 1000, Subject: prefix(parts[5], 400),
		})
	}
	result.Branch = b
	return gitRun{text: said.text}, nil
}
