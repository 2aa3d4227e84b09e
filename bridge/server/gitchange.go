package server

import (
	"slices"
	"strings"

	"github.com/kalpana-dev/kalpana/bridge"
)

// commit makes a commit: git-commit(1).
func (r *worktree) commit(p bridge.GitCommitParams, result *bridge.GitResult) (gitRun, error) {
	paths, err := pathspecs(p.Paths)
	switch {
	case err != nil:
		return gitRun{}, err
	case strings.TrimSpace(p.Message) == "":
		return gitRun{}, bridge.ErrInvalid.With("no message")
	case len(p.Message) > bridge.MaxCommitMessage:
		return gitRun{}, bridge.ErrTooLarge.With("a message is at most %d bytes", bridge.MaxCommitMessage)
	case strings.IndexByte(p.Message, 0) >= 0:
		return gitRun{}, bridge.ErrInvalid.With("a message with a NUL byte")
	case p.All && len(p.Paths) > 0:
		return gitRun{}, bridge.ErrInvalid.With("give either paths or all")
	case (p.Name == "") != (p.Email == ""), len(p.Name)+len(p.Email) > bridge.MaxString,
		strings.ContainsAny(p.Name+p.Email, "\x00\n<>"):
		return gitRun{}, bridge.ErrInvalid.With("name and email are given both, each on one line without < and >")
	}
	commit := []string{"commit", "--file=-"}
	switch {
	case p.All:
		run, err := r.run(gitCall{args: []string{"add", "--all", "--", ":/"}, both: true})
		if err != nil || run.code != 0 {
			return run, err
		}
	case len(p.Paths) > 0:
		run, err := r.run(gitCall{args: append([]string{"add", "--all"}, paths...), both: true})
		if err != nil || run.code != 0 {
			return run, err
		}
		commit = append(append(commit, "--only"), paths...)
	}
	var env []string
	if p.Name != "" {
		env = []string{
			"GIT_AUTHOR_NAME=" + p.Name, "GIT_AUTHOR_EMAIL=" + p.Email,
			"GIT_COMMITTER_NAME=" + p.Name, "GIT_COMMITTER_EMAIL=" + p.Email,
		}
	}
	said, err := r.run(gitCall{args: commit, env: env, stdin: p.Message, both: true})
	if err != nil || said.code != 0 {
		return said, err
	}
	made, err := r.look("log", "-z", "--format=tformat:"+commitFormat, "--no-color", "--no-show-signature", "--no-patch", "--max-count=1")
	if err != nil || made.code != 0 {
		return made, err
	}
	if commits := commitsOf(made.stdout); len(commits) == 1 {
		result.Commit = &commits[0]
	}
	return gitRun{text: said.text}, nil
}

// push pushes a branch: git-push(1).
func (r *worktree) push(p bridge.GitPushParams, result *bridge.GitResult) (gitRun, error) {
	branch, err := r.branchOr(p.Branch)
	if err != nil {
		return gitRun{}, err
	}
	remote, err := r.remoteOr(p.Remote, branch)
	if err != nil {
		return gitRun{}, err
	}
	if err := meant(p.Credential, remote.Push); err != nil {
		return gitRun{}, err
	}
	args := []string{"push", "--porcelain", "--no-recurse-submodules"}
	if p.SetUpstream {
		args = append(args, "--set-upstream")
	}
	if p.Force {
		args = append(args, "--force-with-lease")
	}
	run, err := r.run(gitCall{
		args: append(slow(args), "--", remote.Name, "refs/heads/"+branch+":refs/heads/"+branch), both: true, credential: p.Credential,
		hooks: true, // pre-push, which runs after the remote has answered, and so has asked for the credential
	})
	if err == nil && run.code == 0 {
		result.Push = &bridge.GitPush{Remote: valid(remote.Name), Branch: valid(branch)}
		if len(remote.Push) > 0 {
			result.Push.URL = remote.Push[0]
		}
	}
	return run, err
}

// fetch fetches the branches of a remote: git-fetch(1).
func (r *worktree) fetch(p bridge.GitFetchParams, _ *bridge.GitResult) (gitRun, error) {
	current, err := r.line("symbolic-ref", "--quiet", "--short", "HEAD")
	if err != nil {
		return gitRun{}, err
	}
	remote, err := r.remoteOr(p.Remote, current)
	if err != nil {
		return gitRun{}, err
	}
	if err := meant(p.Credential, []string{remote.Fetch}); err != nil {
		return gitRun{}, err
	}
	args := []string{"fetch", "--no-recurse-submodules"}
	if p.Prune {
		args = append(args, "--prune")
	}
	return r.run(gitCall{args: append(slow(args), "--", remote.Name), both: true, credential: p.Credential})
}

// pull fetches a branch, and then merges it or puts the own commits after it. These are two runs of git, so that what
// the second one may run (filters, hooks) never has to do with the credential of the first.
func (r *worktree) pull(p bridge.GitPullParams, _ *bridge.GitResult) (gitRun, error) {
	switch {
	case (p.Remote == "") != (p.Branch == ""):
		return gitRun{}, bridge.ErrInvalid.With("remote and branch are given both")
	case !slices.Contains([]string{"", bridge.PullFastForward, bridge.PullMerge, bridge.PullRebase}, p.Mode):
		return gitRun{}, bridge.ErrInvalid.With("mode is %s, %s or %s", bridge.PullFastForward, bridge.PullMerge, bridge.PullRebase)
	}
	current, err := r.branchOr("")
	if err != nil {
		return gitRun{}, err
	}
	branch := "refs/heads/" + p.Branch
	if p.Branch == "" {
		if branch, err = r.line("config", "--get", "branch."+current+".merge"); err != nil {
			return gitRun{}, err
		}
		if branch == "" {
			return gitRun{}, bridge.ErrInvalid.With("the branch %q has no upstream: say which remote and branch to pull", current)
		}
	}
	if err := checkRevision(branch, "the name of a branch"); err != nil {
		return gitRun{}, err
	}
	remote, err := r.remoteOr(p.Remote, current)
	if err != nil {
		return gitRun{}, err
	}
	if err := meant(p.Credential, []string{remote.Fetch}); err != nil {
		return gitRun{}, err
	}
	fetched, err := r.run(gitCall{
		args: append(slow([]string{"fetch", "--no-recurse-submodules"}), "--", remote.Name, branch), both: true, credential: p.Credential,
	})
	if err != nil || fetched.code != 0 {
		return fetched, err
	}
	mode := p.Mode
	if mode == "" {
		if mode, err = r.pullMode(current); err != nil {
			return gitRun{}, err
		}
	}
	args := map[string][]string{
		bridge.PullFastForward: {"merge", "--ff-only", "FETCH_HEAD"},
		bridge.PullMerge:       {"merge", "--no-edit", "FETCH_HEAD"},
		bridge.PullRebase:      {"rebase", "FETCH_HEAD"},
	}[mode]
	run, err := r.run(gitCall{args: args, both: true})
	run.text = strings.TrimSpace(fetched.text) + "\n" + run.text
	return run, err
}

// pullMode is how the repository, or the person, wants to pull a branch: git-config(1), pull.rebase.
func (r *worktree) pullMode(branch string) (string, error) {
	for _, key := range []string{"branch." + branch + ".rebase", "pull.rebase"} {
		value, err := r.line("config", "--get", key)
		if err != nil {
			return "", err
		}
		switch strings.ToLower(value) {
		case "":
		case "false", "no", "off", "0":
			return bridge.PullMerge, nil
		default:
			return bridge.PullRebase, nil
		}
	}
	return bridge.PullFastForward, nil
}

// slow are options for the network: who sends next to nothing for a minute is given up.
func slow(args []string) []string {
	return append([]string{"-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=60", "-c", "color.ui=false"}, args...)
}

// branchOr is the name of a branch, by default of the current one.
func (r *worktree) branchOr(name string) (string, error) {
	if err := checkRevision(name, "the name of a branch"); err != nil || name != "" {
		return name, err
	}
	name, err := r.line("symbolic-ref", "--quiet", "--short", "HEAD")
	if err == nil && name == "" {
		err = bridge.ErrInvalid.With("no branch is checked out: say which one")
	}
	return name, err
}

// remoteOr is a remote by its name, by default that of a branch, or origin, or the only one.
func (r *worktree) remoteOr(name, branch string) (bridge.GitRemote, error) {
	all, err := r.remotes()
	if err != nil {
		return bridge.GitRemote{}, err
	}
	if name == "" && branch != "" {
		if name, err = r.line("config", "--get", "branch."+branch+".remote"); err != nil {
			return bridge.GitRemote{}, err
		}
	}
	if name == "" {
		name = "origin"
		if len(all) == 1 {
			name = all[0].Name
		}
	}
	for _, remote := range all {
		if remote.Name == name && !strings.HasPrefix(name, "-") {
			return remote, nil
		}
	}
	return bridge.GitRemote{}, bridge.ErrInvalid.With("the repository has no remote %q", bridge.Printable(name, 100))
}

// meant refuses a credential that is not for where git is going to use it.
func meant(c *bridge.GitCredential, addresses []string) error {
	if c == nil {
		return nil
	}
	base, _, err := credentialURL(*c)
	if err != nil {
		return err
	}
	for _, address := range addresses {
		if bridge.RepositoryURL(address) != base {
			return bridge.ErrInvalid.With("the credential is for %s, and the remote is %s", base, address)
		}
	}
	return nil
}
