package bridge

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// MethodGit runs one operation of git in the workspace: see GitParams.
const MethodGit = "git"

// Limits of MethodGit.
const (
	DefaultCommits = 20
	MaxCommits     = 200
	// MaxGitPaths bounds the paths of one operation.
	MaxGitPaths = 500
	// MaxGitFiles bounds the files of a GitStatus and a GitDiff, MaxGitBranches the branches of a GitBranches.
	MaxGitFiles    = 2000
	MaxGitBranches = 500
	MaxGitRemotes  = 50
	// MaxGitOutput bounds GitResult.Output, in bytes: head and tail are kept.
	MaxGitOutput = 32 << 10
	// MaxCommitMessage bounds a commit message, in bytes. Of one that is listed, the start is kept.
	MaxCommitMessage = 16 << 10
)

// How long git may take: what stays in the container; a commit, whose hooks may run tests; what goes over the network.
const (
	GitLocalLimit   = 30 * time.Second
	GitCommitLimit  = 5 * time.Minute
	GitNetworkLimit = 5 * time.Minute
)

// GitParams are the parameters of MethodGit. Exactly one of the operations is set. git runs in the workspace as it
// does in a terminal, hooks included, but that it asks nobody anything, and that what only looks runs no program which
// the repository's configuration names (file system monitors, external diffs, text conversions, pagers, signatures).
type GitParams struct {
	// Path is a folder of the repository; empty means the workspace folder. A repository outside the workspace folder
	// is not found.
	Path string `json:"path,omitempty"`

	Status *GitStatusParams `json:"status,omitempty"`
	Diff   *GitDiffParams   `json:"diff,omitempty"`
	Log    *GitLogParams    `json:"log,omitempty"`
	Branch *GitBranchParams `json:"branch,omitempty"`
	Commit *GitCommitParams `json:"commit,omitempty"`
	Push   *GitPushParams   `json:"push,omitempty"`
	Pull   *GitPullParams   `json:"pull,omitempty"`
	Fetch  *GitFetchParams  `json:"fetch,omitempty"`
}

// GitStatusParams ask for the state of the repository.
type GitStatusParams struct{}

// GitDiffParams ask for what has changed in files that git knows; of others GitStatus tells.
type GitDiffParams struct {
	// Staged compares the index with HEAD. Else, and without From, the files are compared with the index.
	Staged bool `json:"staged,omitempty"`
	// From and To are revisions: the files, or To, are compared with From. "HEAD" is everything since the last commit.
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
	// Paths of files and folders, relative to Path, without wildcards.
	Paths []string `json:"paths,omitempty"`
	// Context is how many lines to show around a change: 0 means three; at most MaxContext.
	Context int `json:"context,omitempty"`
	// Stat leaves the diff itself out.
	Stat bool `json:"stat,omitempty"`
}

// GitLogParams ask for commits, newest first.
type GitLogParams struct {
	// Revision is a revision or a range of them; empty means HEAD.
	Revision string   `json:"revision,omitempty"`
	Paths    []string `json:"paths,omitempty"`
	// Limit: 0 means DefaultCommits; at most MaxCommits. Skip leaves the first ones out.
	Limit int `json:"limit,omitempty"`
	Skip  int `json:"skip,omitempty"`
}

// GitBranchParams list the branches, after having made one or switched to one, if that is asked for.
type GitBranchParams struct {
	// Create is the name of a new branch, from From, by default HEAD. It is switched to if Switch is set as well.
	Create string `json:"create,omitempty"`
	From   string `json:"from,omitempty"`
	// Switch is the name of the branch to switch to. Changes that are not committed go along, or it is refused.
	Switch string `json:"switch,omitempty"`
}

// GitCommitParams make a commit: of Paths and nothing else, of all changes, or, with neither, of what is staged.
type GitCommitParams struct {
	Message string `json:"message"`
	// Paths of files and folders, relative to Path, without wildcards; new and deleted files among them.
	Paths []string `json:"paths,omitempty"`
	All   bool     `json:"all,omitempty"`
	// Name and Email are the author's and the committer's; both or neither. Without, git's configuration decides.
	Name  string `json:"name,omitempty"`
	Email string `json:"email,omitempty"`
}

// GitPushParams push one branch to a remote, under the same name.
type GitPushParams struct {
	// Remote is the name of a remote, by default the branch's own or else origin. Branch is by default the current one.
	Remote string `json:"remote,omitempty"`
	Branch string `json:"branch,omitempty"`
	// SetUpstream makes the remote's branch the one to pull from.
	SetUpstream bool `json:"setUpstream,omitempty"`
	// Force replaces what the remote has, unless somebody else has pushed since it was fetched.
	Force      bool           `json:"force,omitempty"`
	Credential *GitCredential `json:"credential,omitempty"`
}

// GitPullParams fetch a branch and bring the current one up to it.
type GitPullParams struct {
	// Remote and Branch are by default the current branch's upstream; both or neither.
	Remote string `json:"remote,omitempty"`
	Branch string `json:"branch,omitempty"`
	// Mode is one of the Pull constants; empty is PullFastForward, unless the repository is configured otherwise.
	Mode       string         `json:"mode,omitempty"`
	Credential *GitCredential `json:"credential,omitempty"`
}

// Values of GitPullParams.Mode.
const (
	PullFastForward = "ff"     // only if there is nothing to merge
	PullMerge       = "merge"  // with a merge commit
	PullRebase      = "rebase" // own commits come after those of the remote
)

// GitFetchParams fetch the branches of a remote.
type GitFetchParams struct {
	// Remote by default as git has it: the current branch's, or origin.
	Remote     string         `json:"remote,omitempty"`
	Prune      bool           `json:"prune,omitempty"`
	Credential *GitCredential `json:"credential,omitempty"`
}

// GitCredential is what a remote asks for, of one repository, for one operation. git gets it through a pipe that can be
// read once, for URL's scheme, host and path alone; the repository's own credential helpers do not see it, it is on no
// disk, in no environment and in no command line, and redirects are not followed. No hook runs beside it but those of a
// push, once the remote has asked. Whatever runs in the container under the same user can find it in git's memory all the
// same.
type GitCredential struct {
	// URL of the repository, http or https. With or without .git at its end is the same.
	URL      string `json:"url"`
	Username string `json:"username"`
	Password string `json:"password"`
}

// String hides the password, also from %v.
func (c GitCredential) String() string { return "credential for " + Printable(c.URL, 200) }

// GoString hides it from %#v.
func (c GitCredential) GoString() string { return c.String() }

// GitResult is the answer to MethodGit. An operation that git refuses is no error: see ExitCode.
type GitResult struct {
	// ExitCode is git's: 0 when it did what was asked.
	ExitCode int `json:"exitCode"`
	// Failure says why not, where that is known: one of the Failure constants.
	Failure string `json:"failure,omitempty"`
	// Output is what git, its hooks and the remote said, of commit, push, pull, fetch and branch, and of whatever
	// failed. Client replaces control characters but \n and \t by U+FFFD.
	Output     string `json:"output,omitempty"`
	DurationMs int64  `json:"durationMs"`

	// The one that was asked for is set, if ExitCode is 0.
	Status *GitStatus   `json:"status,omitempty"`
	Diff   *GitDiff     `json:"diff,omitempty"`
	Log    *GitLog      `json:"log,omitempty"`
	Branch *GitBranches `json:"branch,omitempty"`
	Commit *GitCommit   `json:"commit,omitempty"` // the one that was made
	Push   *GitPush     `json:"push,omitempty"`
}

// Values of GitResult.Failure.
const (
	FailureNoRepository = "noRepository" // the folder is not in one
	FailureNothing      = "nothing"      // there is nothing to commit
	FailureIdentity     = "identity"     // git does not know who commits
	FailureCredential   = "credential"   // the remote wants another credential, or any
	FailureRejected     = "rejected"     // the remote has what the branch has not: pull first
	FailureConflict     = "conflict"     // both sides changed the same lines
	FailureUnreachable  = "unreachable"  // the remote does not answer
	FailureRedirected   = "redirected"   // the remote has moved; a credential is not sent after it
	FailureTimeout      = "timeout"
)

// GitStatus is the state of a repository.
type GitStatus struct {
	// Root is the repository's folder, relative to the workspace folder; Path of all files is relative to the
	// workspace folder, too.
	Root string `json:"root"`
	// Branch is empty on a detached HEAD, Commit before the first commit.
	Branch   string `json:"branch,omitempty"`
	Commit   string `json:"commit,omitempty"`
	Upstream string `json:"upstream,omitempty"`
	// Ahead and Behind count commits that the upstream, or the branch, does not have.
	Ahead  int `json:"ahead,omitempty"`
	Behind int `json:"behind,omitempty"`
	// Operation is under way: merge, rebase, cherry-pick, revert, bisect; or empty.
	Operation string          `json:"operation,omitempty"`
	Files     []GitFileStatus `json:"files"`
	Truncated bool            `json:"truncated,omitempty"`
	Remotes   []GitRemote     `json:"remotes"`
}

// GitFileStatus is a file that is not as in HEAD.
type GitFileStatus struct {
	Path string `json:"path"`
	// From is where a file was that was renamed or copied.
	From string `json:"from,omitempty"`
	// Index and Worktree are git's letters: M, T, A, D, R, C, U; "?" in both for a file that git does not know, and
	// empty for no change.
	Index    string `json:"index,omitempty"`
	Worktree string `json:"worktree,omitempty"`
	Conflict bool   `json:"conflict,omitempty"`
}

// GitRemote is where to fetch from and push to, with what git's configuration makes of it, and without passwords.
type GitRemote struct {
	Name  string   `json:"name"`
	Fetch string   `json:"fetch"`
	Push  []string `json:"push"`
}

// GitDiff is what has changed.
type GitDiff struct {
	// Diff is a unified diff, raw: bytes that are not UTF-8 are U+FFFD, of a longer one than MaxDiff the start is kept.
	Diff      string        `json:"diff,omitempty"`
	Files     []GitFileDiff `json:"files"`
	Truncated bool          `json:"truncated,omitempty"`
}

// GitFileDiff counts the lines of a file.
type GitFileDiff struct {
	// Path is relative to the workspace folder; From where a file was that was renamed.
	Path    string `json:"path"`
	From    string `json:"from,omitempty"`
	Added   int    `json:"added"`
	Removed int    `json:"removed"`
	Binary  bool   `json:"binary,omitempty"`
}

// GitLog is a list of commits.
type GitLog struct {
	Commits []GitCommit `json:"commits"`
	// Truncated: there are more.
	Truncated bool `json:"truncated,omitempty"`
}

// GitCommit is one commit.
type GitCommit struct {
	Hash    string   `json:"hash"`
	Parents []string `json:"parents,omitempty"`
	Name    string   `json:"name"`
	Email   string   `json:"email"`
	// Time is the author's, in milliseconds since 1970, UTC.
	Time int64 `json:"time"`
	// Subject is the first line, Body what follows it. Client replaces control characters but, in Body, \n and \t.
	Subject string `json:"subject"`
	Body    string `json:"body,omitempty"`
}

// GitBranches are the branches, what was committed to last first.
type GitBranches struct {
	// Current is empty on a detached HEAD.
	Current   string      `json:"current,omitempty"`
	Branches  []GitBranch `json:"branches"`
	Truncated bool        `json:"truncated,omitempty"`
}

// GitBranch is a branch.
type GitBranch struct {
	Name string `json:"name"`
	// Remote: it is a remote's, as it was when it was fetched; Name begins with the remote's.
	Remote   bool   `json:"remote,omitempty"`
	Commit   string `json:"commit"`
	Upstream string `json:"upstream,omitempty"`
	Time     int64  `json:"time"`
	Subject  string `json:"subject"`
}

// GitPush tells where to.
type GitPush struct {
	Remote string `json:"remote"`
	// URL without a password.
	URL    string `json:"url"`
	Branch string `json:"branch"`
}

// Git runs one operation of git. Errors are those of the parameters and of the connection; whether git did what was
// asked is in ExitCode.
func (c *Client) Git(ctx context.Context, p GitParams) (*GitResult, error) {
	limit := GitLocalLimit
	switch {
	case p.Commit != nil:
		limit = GitCommitLimit
	case p.Push != nil, p.Pull != nil, p.Fetch != nil:
		limit = GitNetworkLimit
	}
	return ask(ctx, c, MethodGit, limit+GitLocalLimit, &p, (*GitResult).check)
}

func (r *GitResult) check() error {
	if len(r.Output) > MaxGitOutput {
		return errors.New("output above the limit")
	}
	r.Output = printable(r.Output, MaxGitOutput, "\n\t")
	switch r.Failure {
	case "", FailureNoRepository, FailureNothing, FailureIdentity, FailureCredential, FailureRejected, FailureConflict,
		FailureUnreachable, FailureRedirected, FailureTimeout:
	default:
		return errors.New("no such failure")
	}
	if r.ExitCode == 0 && r.Failure != "" {
		return errors.New("a failure that is none")
	}
	errs := []error{checkExitCode(r.ExitCode), notNegative(r.DurationMs)}
	if r.Status != nil {
		errs = append(errs, r.Status.check())
	}
	if r.Diff != nil {
		errs = append(errs, r.Diff.check())
	}
	if r.Log != nil {
		if len(r.Log.Commits) > MaxCommits {
			return fmt.Errorf("%d commits", len(r.Log.Commits))
		}
		for i := range r.Log.Commits {
			errs = append(errs, r.Log.Commits[i].check())
		}
	}
	if r.Commit != nil {
		errs = append(errs, r.Commit.check())
	}
	if r.Branch != nil {
		errs = append(errs, r.Branch.check())
	}
	if r.Push != nil {
		r.Push.Remote, r.Push.Branch, r.Push.URL = Printable(r.Push.Remote, MaxPath), Printable(r.Push.Branch, MaxPath), Printable(r.Push.URL, MaxPath)
	}
	return errors.Join(errs...)
}

func (s *GitStatus) check() error {
	if len(s.Files) > MaxGitFiles || len(s.Remotes) > MaxGitRemotes {
		return errors.New("files or remotes above the limit")
	}
	var err error
	if s.Root, err = checkPath(s.Root); err != nil {
		return err
	}
	switch s.Operation {
	case "", "merge", "rebase", "cherry-pick", "revert", "bisect":
	default:
		return errors.New("no such operation")
	}
	s.Branch, s.Upstream = Printable(s.Branch, MaxPath), Printable(s.Upstream, MaxPath)
	for i := range s.Files {
		f := &s.Files[i]
		if err := errors.Join(checkPair(&f.Path, &f.From), checkLetter(f.Index), checkLetter(f.Worktree)); err != nil {
			return err
		}
	}
	for i := range s.Remotes {
		r := &s.Remotes[i]
		r.Name, r.Fetch = Printable(r.Name, MaxPath), Printable(r.Fetch, MaxPath)
		if len(r.Push) > MaxGitRemotes {
			return errors.New("addresses above the limit")
		}
		for i := range r.Push {
			r.Push[i] = Printable(r.Push[i], MaxPath)
		}
	}
	return errors.Join(checkHash(s.Commit, true), notNegative(int64(s.Ahead)), notNegative(int64(s.Behind)))
}

func (d *GitDiff) check() error {
	if len(d.Diff) > MaxDiff || len(d.Files) > MaxGitFiles {
		return errors.New("a diff above the limit")
	}
	for i := range d.Files {
		f := &d.Files[i]
		if err := errors.Join(checkPair(&f.Path, &f.From), notNegative(int64(f.Added)), notNegative(int64(f.Removed))); err != nil {
			return err
		}
	}
	return nil
}

func (c *GitCommit) check() error {
	if len(c.Parents) > 100 || len(c.Body) > MaxCommitMessage {
		return errors.New("a commit above the limit")
	}
	c.Name, c.Email = Printable(c.Name, MaxString), Printable(c.Email, MaxString)
	c.Subject, c.Body = Printable(c.Subject, MaxCommitMessage), printable(c.Body, MaxCommitMessage, "\n\t")
	err := checkHash(c.Hash, false)
	for _, p := range c.Parents {
		err = errors.Join(err, checkHash(p, false))
	}
	return err
}

func (b *GitBranches) check() error {
	if len(b.Branches) > MaxGitBranches {
		return fmt.Errorf("%d branches", len(b.Branches))
	}
	b.Current = Printable(b.Current, MaxPath)
	for i := range b.Branches {
		x := &b.Branches[i]
		x.Name, x.Upstream, x.Subject = Printable(x.Name, MaxPath), Printable(x.Upstream, MaxPath), Printable(x.Subject, MaxCommitMessage)
		if err := checkHash(x.Commit, false); err != nil {
			return err
		}
	}
	return nil
}

func checkPair(path, from *string) (err error) {
	if *path, err = checkPath(*path); err != nil || *from == "" {
		return err
	}
	*from, err = checkPath(*from)
	return err
}

func checkLetter(s string) error {
	if len(s) > 1 || !strings.Contains("MTADRCU?!", s) {
		return errors.New("no such letter")
	}
	return nil
}

// checkHash takes SHA-1 and SHA-256.
func checkHash(s string, empty bool) error {
	if empty && s == "" {
		return nil
	}
	if (len(s) != 40 && len(s) != 64) || strings.Trim(s, "0123456789abcdef") != "" {
		return errors.New("no hash of a commit")
	}
	return nil
}

// RepositoryURL returns the address of a repository in a form that can be compared: scheme, host and path, without
// user, password, .git and slash at the end. Of git@host:path it makes ssh://host/path. It returns "" for whatever is
// neither http, https nor ssh.
func RepositoryURL(address string) string {
	if !strings.Contains(address, "://") {
		host, path, ok := strings.Cut(address, ":")
		if !ok || strings.Contains(host, "/") || strings.HasPrefix(address, "-") || strings.HasPrefix(path, ":") {
			return ""
		}
		address = "ssh://" + host + "/" + strings.TrimPrefix(path, "/")
	}
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return ""
	}
	scheme := strings.ToLower(u.Scheme)
	switch scheme {
	case "http", "https", "ssh":
	default:
		return ""
	}
	path := strings.TrimSuffix(strings.TrimRight(u.EscapedPath(), "/"), ".git")
	return scheme + "://" + strings.ToLower(u.Host) + path
}
