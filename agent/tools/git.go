package tools

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
)

// gitReading are the operations of git that change nothing.
var gitReading = []string{"status", "diff", "log", "branches"}

var gitOperations = append(gitReading[:len(gitReading):len(gitReading)], "branch", "commit", "push", "pull", "fetch")

type gitInput struct {
	Operation   string   `json:"operation"`
	Path        string   `json:"path,omitempty"`
	Paths       []string `json:"paths,omitempty"`
	Staged      bool     `json:"staged,omitempty"`
	From        string   `json:"from,omitempty"`
	To          string   `json:"to,omitempty"`
	Stat        bool     `json:"stat,omitempty"`
	Revision    string   `json:"revision,omitempty"`
	Limit       int      `json:"limit,omitempty"`
	Branch      string   `json:"branch,omitempty"`
	Create      bool     `json:"create,omitempty"`
	Message     string   `json:"message,omitempty"`
	All         bool     `json:"all,omitempty"`
	Remote      string   `json:"remote,omitempty"`
	SetUpstream bool     `json:"setUpstream,omitempty"`
	Force       bool     `json:"force,omitempty"`
	Mode        string   `json:"mode,omitempty"`
	Prune       bool     `json:"prune,omitempty"`
}

func git() Tool {
	t := define(Tool{
		Name: "git",
		Description: "Works with the git repository. Operations: status; diff (staged, or from and to, or the files against the index; paths, stat); log (revision, paths, limit); branches; " +
			"branch (switch to branch, or make it with create, from a revision); commit (message, and paths or all; else what is staged), in the person's name; " +
			"push (remote, branch, setUpstream, force); pull (mode ff, merge or rebase); fetch. For anything else use runCommand.",
		Parameters: json.RawMessage(`{"type":"object","properties":{
"operation":{"type":"string","enum":["status","diff","log","branches","branch","commit","push","pull","fetch"],"description":"What to do."},
"path":{"type":"string","description":"A folder of the repository, relative to the workspace folder. Default: the workspace folder."},
"paths":{"type":"array","items":{"type":"string"},"maxItems":500,"description":"Of diff, log and commit: only these files and folders, relative to path."},
"staged":{"type":"boolean","description":"Of diff: what is staged, against HEAD."},
"from":{"type":"string","description":"Of diff: compare with this revision, e.g. HEAD or main. Of branch with create: where it begins."},
"to":{"type":"string","description":"Of diff: compare this revision instead of the files."},
"stat":{"type":"boolean","description":"Of diff: only how many lines of which files."},
"revision":{"type":"string","description":"Of log: a revision or range, e.g. main..HEAD. Default HEAD."},
"limit":{"type":"integer","minimum":1,"maximum":200,"description":"Of log: most commits. Default 20."},
"branch":{"type":"string","description":"Of branch, push and pull: name of the branch. Default for push: the current one."},
"create":{"type":"boolean","description":"Of branch: make it, and switch to it."},
"message":{"type":"string","description":"Of commit: its message."},
"all":{"type":"boolean","description":"Of commit: all changes, new files as well."},
"remote":{"type":"string","description":"Of push, pull and fetch: name of the remote. Default for push: origin."},
"setUpstream":{"type":"boolean","description":"Of push: pull from there in future."},
"force":{"type":"boolean","description":"Of push: replace what the remote has, unless somebody pushed since it was fetched."},
"mode":{"type":"string","enum":["ff","merge","rebase"],"description":"Of pull: how to bring both together. Default ff."},
"prune":{"type":"boolean","description":"Of fetch: forget branches that the remote no longer has."}},
"required":["operation"],"additionalProperties":false}`),
		ReadsCall: func(input json.RawMessage) bool {
			var p gitInput
			return json.Unmarshal(input, &p) == nil && slices.Contains(gitReading, p.Operation)
		},
	}, gitTitle, runGit)
	return t
}

func gitTitle(p *gitInput) string {
	switch p.Operation {
	case "commit":
		return "Commit: " + firstLine(p.Message)
	case "branch":
		if p.Create {
			return "Make branch " + p.Branch
		}
		return "Switch to branch " + p.Branch
	case "push":
		title := "Push"
		if p.Branch != "" {
			title += " " + p.Branch
		}
		if p.Remote != "" {
			title += " to " + p.Remote
		}
		if p.Force {
			title += ", by force"
		}
		return title
	}
	return strings.TrimSpace("git " + p.Operation)
}

func runGit(ctx context.Context, env *Env, _ Call, p *gitInput) (*Result, error) {
	params := bridge.GitParams{Path: p.Path}
	call := ask[bridge.GitResult]
	switch p.Operation {
	case "status":
		params.Status = &bridge.GitStatusParams{}
	case "diff":
		params.Diff = &bridge.GitDiffParams{Staged: p.Staged, From: p.From, To: p.To, Paths: p.Paths, Stat: p.Stat}
	case "log":
		params.Log = &bridge.GitLogParams{Revision: p.Revision, Paths: p.Paths, Limit: p.Limit}
	case "branches":
		params.Branch = &bridge.GitBranchParams{}
	case "branch":
		if p.Branch == "" {
			return nil, required("git", "branch")
		}
		params.Branch = &bridge.GitBranchParams{Switch: p.Branch}
		if p.Create {
			params.Branch.Create, params.Branch.From = p.Branch, p.From
		}
	case "commit":
		if strings.TrimSpace(p.Message) == "" {
			return nil, required("git", "message")
		}
		params.Commit = &bridge.GitCommitParams{Message: p.Message, Paths: p.Paths, All: p.All}
		if name, email := identity(env.Name), identity(env.Email); name != "" && email != "" {
			params.Commit.Name, params.Commit.Email = name, email
		}
		call = once[bridge.GitResult]
	case "push":
		// Not where the branch's configuration points to: a push is approved by the name of its remote.
		if p.Remote == "" {
			p.Remote = "origin"
		}
		params.Push = &bridge.GitPushParams{Remote: p.Remote, Branch: p.Branch, SetUpstream: p.SetUpstream, Force: p.Force}
		call = once[bridge.GitResult]
	case "pull":
		params.Pull = &bridge.GitPullParams{Remote: p.Remote, Branch: p.Branch, Mode: p.Mode}
		call = once[bridge.GitResult]
	case "fetch":
		params.Fetch = &bridge.GitFetchParams{Remote: p.Remote, Prune: p.Prune}
	case "":
		return nil, required("git", "operation")
	default:
		return nil, fmt.Errorf("invalid input for git: there is no operation %q; it is one of %s", bridge.Printable(p.Operation, 100), strings.Join(gitOperations, ", "))
	}
	r, err := call(ctx, env, func(cl *bridge.Client) (*bridge.GitResult, error) { return cl.Git(ctx, params) })
	if name := identity(env.Name); err == nil && r.Failure == bridge.FailureIdentity && params.Commit != nil && name != "" {
		// Nobody has vouched for an address of the person's, and git was told none: better one that leads nowhere than
		// work that cannot be kept.
		params.Commit.Name, params.Commit.Email = name, string(env.Workspace)+"@noreply.invalid" // RFC 2606
		r, err = call(ctx, env, func(cl *bridge.Client) (*bridge.GitResult, error) { return cl.Git(ctx, params) })
	}
	if err != nil {
		return nil, err
	}
	out := &Output{Command: "git " + p.Operation, ExitCode: &r.ExitCode, DurationMs: r.DurationMs}
	said := plainText(r.Output)
	out.Text = said
	if r.ExitCode != 0 {
		text := fmt.Sprintf("git %s failed with exit code %d.", p.Operation, r.ExitCode)
		if why := gitFailures[r.Failure]; why != "" {
			text += " " + why
		}
		if strings.TrimSpace(said) != "" {
			text += "\n" + fence("output", "", said)
		}
		return &Result{Text: text, Output: out}, nil
	}
	return &Result{Text: gitText(p, r, out, said), Output: out}, nil
}

// gitFailures say what to do about what is known of a failure.
var gitFailures = map[string]string{
	bridge.FailureNoRepository: "There is no repository in this folder: give the path of one, or make one with runCommand (git init).",
	bridge.FailureNothing:      "There is nothing to commit: give paths or all, or look at the status.",
	bridge.FailureIdentity:     "git does not know who commits.",
	bridge.FailureCredential:   "The remote wants a sign-in that is not there, or that was not allowed: the output says why. The person can allow it in the console when it is asked for, and add a token for the git server in the settings there.",
	bridge.FailureRejected:     "The remote has commits that the branch has not: pull first.",
	bridge.FailureConflict:     "Both sides changed the same lines: resolve the conflicts in the files, then commit.",
	bridge.FailureUnreachable:  "The remote does not answer.",
	bridge.FailureRedirected:   "The remote has moved: its address must be changed.",
	bridge.FailureTimeout:      "It took too long.",
}

// gitText tells a model what an operation that went well came to.
func gitText(p *gitInput, r *bridge.GitResult, out *Output, said string) string {
	switch {
	case r.Status != nil:
		return statusText(r.Status)
	case r.Diff != nil:
		return diffText(r.Diff, p.Stat, out)
	case r.Log != nil:
		return logText(r.Log, out)
	case r.Commit != nil:
		return fmt.Sprintf("Committed %.12s by %s <%s>: %s", r.Commit.Hash, r.Commit.Name, r.Commit.Email, r.Commit.Subject)
	case r.Push != nil:
		return fmt.Sprintf("Pushed %s to %s (%s).", r.Push.Branch, r.Push.Remote, r.Push.URL)
	case r.Branch != nil && p.Operation == "branch":
		return fmt.Sprintf("On branch %s now.", r.Branch.Current)
	case r.Branch != nil:
		var text strings.Builder
		for _, b := range r.Branch.Branches {
			mark := "  "
			if b.Name == r.Branch.Current && !b.Remote {
				mark = "* "
			}
			fmt.Fprintf(&text, "%s%s %.9s %s\n", mark, b.Name, b.Commit, b.Subject)
		}
		body, _, cut := headAndTail(text.String(), maxOutput)
		out.Truncated = cut || r.Branch.Truncated
		return fence("branches", "", body)
	}
	text := "Done."
	if strings.TrimSpace(said) != "" {
		text += "\n" + fence("output", "", said)
	}
	return text
}

func statusText(s *bridge.GitStatus) string {
	head := "On branch " + s.Branch
	if s.Branch == "" {
		head = fmt.Sprintf("HEAD is detached at %.12s", s.Commit)
	}
	if s.Upstream != "" {
		head += fmt.Sprintf(", %d ahead of and %d behind %s", s.Ahead, s.Behind, s.Upstream)
	}
	head += "."
	if s.Operation != "" {
		head += " A " + s.Operation + " is under way."
	}
	var text strings.Builder
	conflicts := 0
	for _, f := range s.Files {
		line := fmt.Sprintf("%1s%1s %s", orSpace(f.Index), orSpace(f.Worktree), f.Path)
		if f.From != "" {
			line += " (from " + f.From + ")"
		}
		if f.Conflict {
			line += " (conflict)"
			conflicts++
		}
		if text.Len()+len(line) > maxOutput {
			s.Truncated = true
			break
		}
		text.WriteString(line + "\n")
	}
	switch {
	case len(s.Files) == 0:
		head += " Nothing has changed."
	default:
		head += "\n" + fence("status", "", text.String())
		if s.Truncated {
			head += "\nThere are more."
		}
	}
	if conflicts > 0 {
		head += "\n" + plural(conflicts, "conflict", "conflicts") + "."
	}
	for _, r := range s.Remotes {
		head += "\nRemote " + r.Name + ": " + r.Fetch
	}
	return plainText(head)
}

func orSpace(s string) string {
	if s == "" {
		return " "
	}
	return s
}

func diffText(d *bridge.GitDiff, stat bool, out *Output) string {
	if len(d.Files) == 0 {
		return "Nothing differs."
	}
	added, removed := 0, 0
	var files strings.Builder
	for _, f := range d.Files {
		added, removed = added+f.Added, removed+f.Removed
		switch {
		case files.Len() > maxOutput/3:
		case f.Binary:
			files.WriteString(f.Path + " (not text)\n")
		default:
			fmt.Fprintf(&files, "%s +%d -%d\n", f.Path, f.Added, f.Removed)
		}
	}
	out.Added, out.Removed = &added, &removed
	text := plural(len(d.Files), "file", "files") + fmt.Sprintf(", +%d -%d:\n", added, removed) + fence("files", "", files.String())
	if stat {
		return text
	}
	diff := plainText(d.Diff)
	if len(diff) <= maxDiffShown {
		out.Diff = diff
	}
	body := diff
	if len(body) > maxOutput {
		body = cutEnd(body, maxOutput)
		out.Truncated = true
	}
	text += "\n" + fence("diff", "", body)
	if out.Truncated || d.Truncated {
		out.Truncated = true
		text += "\nThe diff goes on: ask for some of the paths."
	}
	return text
}

func logText(l *bridge.GitLog, out *Output) string {
	if len(l.Commits) == 0 {
		return "There are no commits."
	}
	var text strings.Builder
	n := 0
	for _, c := range l.Commits {
		entry := fmt.Sprintf("%.12s %s %s: %s\n", c.Hash, time.UnixMilli(c.Time).UTC().Format("2006-01-02"), c.Name, c.Subject)
		if body := strings.TrimSpace(c.Body); body != "" {
			for line := range strings.Lines(cutEnd(body, 2000)) {
				entry += "    " + strings.TrimRight(line, "\n") + "\n"
			}
		}
		if text.Len()+len(entry) > maxOutput {
			l.Truncated = true
			break
		}
		text.WriteString(entry)
		n++
	}
	out.Matches, out.Truncated = &n, l.Truncated
	result := fence("log", "", plainText(text.String()))
	if l.Truncated {
		result += "\nThere are more commits."
	}
	return result
}
