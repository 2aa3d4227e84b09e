package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
)

const (
	// gitStdout bounds what is read of an operation's own output, in bytes; then git is ended.
	gitStdout = 4 << 20
	// gitCredentialBytes is what fits into a pipe that nobody reads yet, with room to spare.
	gitCredentialBytes = 16 << 10
)

// worktree is where one operation of git runs.
type worktree struct {
	commands commands
	ctx      context.Context //nolint:containedctx // It lives as long as the operation.
	dir      *os.File
	rel      string
	root     string // of the repository, relative to the workspace folder
	gitDir   string
	quiet    []string // settings with which looking runs nothing of the repository's: names and values
}

// gitRun is what one run of git left.
type gitRun struct {
	stdout []byte // of all or as much as was wanted
	more   bool   // there was more
	text   string // stderr, or both, for people
	code   int
	failed string // one of bridge's Failure constants, if code is not 0
}

// git serves bridge.MethodGit.
func (c commands) git(ctx context.Context, p bridge.GitParams) (*bridge.GitResult, error) {
	operation, limit, err := gitOperation(p)
	if err != nil {
		return nil, err
	}
	dir, rel, err := c.folder.openDir(p.Path)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errTimeLimit)
	defer cancel()
	began := time.Now()
	result := &bridge.GitResult{}
	r := &worktree{commands: c, ctx: ctx, dir: dir, rel: rel}
	run, err := r.find()
	if err == nil && run.code == 0 {
		run, err = operation(r, result)
	}
	if err != nil {
		return nil, err
	}
	result.ExitCode, result.Failure = run.code, run.failed
	result.Output = shorten(run.text, bridge.MaxGitOutput)
	result.DurationMs = time.Since(began).Milliseconds()
	return result, nil
}

// gitOperation returns what is asked for, and how long it may take.
func gitOperation(p bridge.GitParams) (operation func(*worktree, *bridge.GitResult) (gitRun, error), limit time.Duration, err error) {
	n := 0
	if p.Status != nil {
		n, limit, operation = n+1, bridge.GitLocalLimit, (*worktree).status
	}
	if p.Diff != nil {
		n, limit, operation = n+1, bridge.GitLocalLimit, with((*worktree).diff, *p.Diff)
	}
	if p.Log != nil {
		n, limit, operation = n+1, bridge.GitLocalLimit, with((*worktree).log, *p.Log)
	}
	if p.Branch != nil {
		n, limit, operation = n+1, bridge.GitLocalLimit, with((*worktree).branch, *p.Branch)
	}
	if p.Commit != nil {
		n, limit, operation = n+1, bridge.GitCommitLimit, with((*worktree).commit, *p.Commit)
	}
	if p.Push != nil {
		n, limit, operation = n+1, bridge.GitNetworkLimit, with((*worktree).push, *p.Push)
	}
	if p.Pull != nil {
		n, limit, operation = n+1, bridge.GitNetworkLimit, with((*worktree).pull, *p.Pull)
	}
	if p.Fetch != nil {
		n, limit, operation = n+1, bridge.GitNetworkLimit, with((*worktree).fetch, *p.Fetch)
	}
	if n != 1 {
		return nil, 0, bridge.ErrInvalid.With("exactly one operation of git: status, diff, log, branch, commit, push, pull or fetch")
	}
	return operation, limit, nil
}

// with gives an operation its parameters.
func with[P any](do func(*worktree, P, *bridge.GitResult) (gitRun, error), p P) func(*worktree, *bridge.GitResult) (gitRun, error) {
	return func(r *worktree, result *bridge.GitResult) (gitRun, error) { return do(r, p, result) }
}

// looking are settings for what only looks: no program that the repository names is run. A folder that only looks like
// a repository, as one in a clone can be made to, is none.
var looking = []string{
	"core.fsmonitor", "false", "log.showSignature", "false", "color.ui", "false", "core.quotePath", "false",
	"core.hooksPath", os.DevNull, "safe.bareRepository", "explicit",
}

// gitCall is one run of git.
type gitCall struct {
	args []string
	env  []string
	// stdin is what it reads.
	stdin string
	// both: what it says on either output is for people.
	both bool
	// credential is what it may give to a remote. No hook runs beside it, unless hooks is set.
	credential *bridge.GitCredential
	hooks      bool
}

// look runs git for what it prints.
func (r *worktree) look(args ...string) (gitRun, error) {
	settings := append(looking[:len(looking):len(looking)], r.quiet...)
	return r.run(gitCall{args: args, env: append(gitConfig(settings...), "GIT_OPTIONAL_LOCKS=0", "GIT_NO_LAZY_FETCH=1")})
}

// hush adds the filters that the repository's own configuration names to what looking does not run. Those of the
// system and of the person stay: without them, files that they keep elsewhere (LFS) would look changed.
func (r *worktree) hush() error {
	run, err := r.look("config", "-z", "--includes", "--show-scope", "--name-only", "--get-regexp", `^filter\.`)
	if err != nil {
		return err
	}
	found := fields(run.stdout)
	for i := 0; i+1 < len(found); i += 2 {
		if scope, name := string(found[i]), string(found[i+1]); scope == "local" || scope == "worktree" {
			value := ""
			if strings.HasSuffix(name, ".required") {
				value = "false"
			}
			r.quiet = append(r.quiet, name, value)
		}
	}
	return nil
}

// line is look for one line.
func (r *worktree) line(args ...string) (string, error) {
	run, err := r.look(args...)
	if err != nil || run.code != 0 {
		return "", err
	}
	return strings.TrimRight(string(run.stdout), "\n"), nil
}

// run runs git. The error is about the connection or the container; what git says of its own is in the gitRun.
func (r *worktree) run(call gitCall) (gitRun, error) {
	ctx, stop := context.WithCancel(r.ctx)
	defer stop()
	cmd := r.commands.inside(ctx, r.dir, r.rel, append([]string{"git", "--no-pager"}, call.args...))
	cmd.Env = append(append(cmd.Env,
		"GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "SSH_ASKPASS=", "SSH_ASKPASS_REQUIRE=never",
		"GIT_EDITOR=:", "GIT_SEQUENCE_EDITOR=:", "GIT_MERGE_AUTOEDIT=no", "GIT_PAGER=cat", "PAGER=cat",
		"LC_ALL=C.UTF-8", "LANGUAGE=",
		// What is above the workspace folder is nobody's repository.
		"GIT_CEILING_DIRECTORIES="+filepath.Dir(r.commands.folder.real())), call.env...)
	var text output
	kept := &limited{limit: gitStdout, full: stop}
	var stdout io.Writer = kept
	if call.both {
		stdout = &text
	}
	if call.stdin != "" {
		cmd.Stdin = strings.NewReader(call.stdin)
	}
	if call.credential != nil {
		pipe, env, err := handOver(*call.credential, call.hooks)
		if err != nil {
			return gitRun{}, err
		}
		defer pipe.Close()
		cmd.ExtraFiles = []*os.File{pipe} // descriptor 3
		cmd.Env = append(cmd.Env, env...)
	}
	printed, err := startWith(cmd, stdout, &text)
	if err != nil {
		return gitRun{}, startFailed("git", err)
	}
	_ = cmd.Wait()
	printed()
	run := gitRun{stdout: kept.kept, more: kept.more, code: exitCode(cmd.ProcessState)}
	run.text, _ = text.text()
	switch {
	case run.code == 0:
	case run.more:
		run.code = 0 // it was us who ended it
	case r.ctx.Err() != nil && !errors.Is(context.Cause(r.ctx), errTimeLimit):
		return gitRun{}, bridge.ErrCancelled
	case r.ctx.Err() != nil && killed(cmd.ProcessState):
		run.failed = bridge.FailureTimeout
	default:
		run.failed = gitFailure(run.text)
	}
	return run, nil
}

// limited keeps the head of what is written to it, and says when it is full.
type limited struct {
	kept  []byte
	limit int
	more  bool
	full  func()
}

func (l *limited) Write(p []byte) (int, error) {
	take := min(len(p), l.limit-len(l.kept))
	l.kept = append(l.kept, p[:take]...)
	if take < len(p) && !l.more {
		l.more = true
		l.full()
	}
	return len(p), nil
}

// gitFailures are what git says, in English, where it fails in a way that has a name. The first that occurs counts.
var gitFailures = []struct {
	failure string
	says    *regexp.Regexp
}{
	{bridge.FailureNoRepository, regexp.MustCompile(`not a git repository|must be run in a work tree`)},
	{bridge.FailureRejected, regexp.MustCompile(`\[rejected\]|\(stale info\)|Not possible to fast-forward|Diverging branches`)},
	{bridge.FailureRedirected, regexp.MustCompile(`returned error: 30[1278]`)},
	{bridge.FailureCredential, regexp.MustCompile(`could not read (Username|Password)|Authentication failed|returned error: 40[13]|Permission denied \(|terminal prompts disabled|Invalid username or (password|token)`)},
	{bridge.FailureUnreachable, regexp.MustCompile(`Could not resolve host|Failed to connect|Connection (refused|timed out|reset)|Could not connect|Operation too slow|Couldn't connect`)},
	{bridge.FailureConflict, regexp.MustCompile(`CONFLICT|could not apply|would be overwritten by|needs merge|unmerged files`)},
	{bridge.FailureNothing, regexp.MustCompile(`nothing to commit|no changes added to commit|nothing added to commit`)},
	{bridge.FailureIdentity, regexp.MustCompile(`Please tell me who you are|empty ident name|unable to auto-detect email`)},
}

func gitFailure(text string) string {
	for _, f := range gitFailures {
		if f.says.MatchString(text) {
			return f.failure
		}
	}
	return ""
}

// find finds the repository around the folder. One whose files are not inside the workspace folder is none.
func (r *worktree) find() (gitRun, error) {
	run, err := r.look("rev-parse", "--show-toplevel", "--absolute-git-dir")
	if err != nil || run.code != 0 {
		return run, err
	}
	root, gitDir, _ := strings.Cut(strings.TrimRight(string(run.stdout), "\n"), "\n")
	r.gitDir = gitDir
	rel, err := filepath.Rel(r.commands.folder.real(), root)
	if err != nil || !filepath.IsLocal(rel) {
		return gitRun{code: 128, failed: bridge.FailureNoRepository, text: "The repository's files are outside the workspace folder."}, nil
	}
	r.root = rel
	return run, r.hush()
}

// inWorkspace makes a path relative to the workspace folder of one that is relative to the repository's.
func (r *worktree) inWorkspace(path []byte) string {
	return valid(filepath.Join(r.root, string(path)))
}

// real is the folder with the symlinks on the way to it followed, as git sees it.
func (f folder) real() string {
	if real, err := filepath.EvalSymlinks(f.dir); err == nil {
		return real
	}
	return f.dir
}

// shorten keeps the head and the tail of a text.
func shorten(text string, limit int) string {
	text = strings.TrimRight(text, "\n")
	if len(text) <= limit {
		return text
	}
	half := (limit - gapText) / 2
	return prefix(text, half) + "\n[…]\n" + suffix(text, half)
}

// checkRevision refuses what git would take for an option, or for more than one word.
func checkRevision(s, what string) error {
	switch {
	case len(s) > bridge.MaxString:
		return bridge.ErrTooLarge.With("%s is at most %d bytes", what, bridge.MaxString)
	case strings.HasPrefix(s, "-"), strings.ContainsFunc(s, notInAddress):
		return bridge.ErrInvalid.With("%s cannot begin with - or hold spaces", what)
	}
	return nil
}

// pathspecs are paths as git takes them after "--".
func pathspecs(paths []string) ([]string, error) {
	if len(paths) > bridge.MaxGitPaths {
		return nil, bridge.ErrTooLarge.With("at most %d paths", bridge.MaxGitPaths)
	}
	out := []string{"--"}
	for _, p := range paths {
		if p == "" || len(p) > bridge.MaxPath || strings.IndexByte(p, 0) >= 0 {
			return nil, bridge.ErrInvalid.With("a path has from 1 to %d bytes without NUL", bridge.MaxPath)
		}
		out = append(out, ":(literal)"+p)
	}
	return out, nil
}

// fields cuts what git printed with -z.
func fields(b []byte) [][]byte {
	b = bytes.TrimSuffix(b, []byte{0})
	if len(b) == 0 {
		return nil
	}
	return bytes.Split(b, []byte{0})
}

// credentialPath is what may be in the path of a credential's URL: it gets into a shell's text.
var credentialPath = regexp.MustCompile(`^[A-Za-z0-9._~+@/-]+$`)

// credentialURL checks a credential, and returns its URL without .git, and its path.
func credentialURL(c bridge.GitCredential) (base, path string, err error) {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil, u.Scheme != "https" && u.Scheme != "http", u.Hostname() == "", u.User != nil, u.RawQuery != "", u.Fragment != "",
		strings.ContainsFunc(c.URL, notInAddress):
		return "", "", bridge.ErrInvalid.With("the credential's url is http(s)://host/path")
	}
	path = strings.TrimSuffix(strings.Trim(u.Path, "/"), ".git")
	switch {
	case !credentialPath.MatchString(path):
		return "", "", bridge.ErrInvalid.With("the credential's url has a path of letters, digits and . _ ~ + @ / -")
	case c.Password == "", len(c.URL)+len(c.Username)+len(c.Password) > gitCredentialBytes,
		strings.ContainsAny(c.Username+c.Password, "\x00\r\n"):
		return "", "", bridge.ErrInvalid.With("the credential has a password, and both are one line")
	}
	return u.Scheme + "://" + strings.ToLower(u.Host) + "/" + path, path, nil
}

// handOver puts a credential into a pipe, for descriptor 3 of git, and returns the configuration that makes git read
// it: once, and for its own URL only. All other helpers are out: they would be told of it. So are hooks, unless they
// are wanted: they have the pipe as well, and a remote that asks for nothing leaves it full.
func handOver(c bridge.GitCredential, hooks bool) (pipe *os.File, env []string, err error) {
	base, path, err := credentialURL(c)
	if err != nil {
		return nil, nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, nil, bridge.ErrInternal.With("%v", err)
	}
	_, err = write.WriteString("username=" + c.Username + "\npassword=" + c.Password + "\n")
	_ = write.Close()
	if err != nil {
		_ = read.Close()
		return nil, nil, bridge.ErrInternal.With("%v", err)
	}
	// https://git-scm.com/docs/gitcredentials#_custom_helpers: what is asked for comes as lines of key=value.
	helper := `!f() { [ "$1" = get ] || exit 0; while IFS== read -r k v; do [ "$k" != path ] || p=$v; done; ` +
		`case "$p" in '` + path + `' | '` + path + `.git') cat <&3 ;; esac; }; f`
	config := []string{"credential.helper", "", "credential.useHttpPath", "true"}
	if !hooks {
		config = append(config, "core.hooksPath", os.DevNull)
	}
	for _, address := range []string{base, base + ".git"} {
		config = append(config,
			"credential."+address+".helper", helper,
			"http."+address+".followRedirects", "false",
			"http."+address+".sslVerify", "true")
	}
	return read, append(gitConfig(config...), "GIT_ALLOW_PROTOCOL=http:https"), nil
}

// gitConfig gives names and values to git by its environment, where they come after those of all files.
func gitConfig(pairs ...string) []string {
	env := []string{"GIT_CONFIG_COUNT=" + itoa(len(pairs)/2)}
	for i := 0; i < len(pairs); i += 2 {
		n := itoa(i / 2)
		env = append(env, "GIT_CONFIG_KEY_"+n+"="+pairs[i], "GIT_CONFIG_VALUE_"+n+"="+pairs[i+1])
	}
	return env
}
