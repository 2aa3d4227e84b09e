package approval

import (
	"slices"
	"strings"
)

// git is a command of git, taken apart.
type git struct {
	is     bool   // it is one
	sub    string // the subcommand, "" where there is none or none that is known
	args   []word
	moved  bool // it works on another folder than the one it is run in, or may
	config bool // it sets options of its own, which can run anything
}

// gitPlain are flags before the subcommand that change nothing.
var gitPlain = wordSet("--no-pager -P --no-optional-locks --literal-pathspecs --no-replace-objects")

// git takes a command of git apart. Of "git-push" it makes the same as of "git push".
func (c simple) git() (g git) {
	name := base(c.words[0].text)
	if sub, ok := strings.CutPrefix(name, "git-"); ok {
		return git{is: true, sub: sub, args: c.words[1:], config: c.setsSomething()}
	}
	if name != "git" {
		return git{}
	}
	g.is, g.config = true, c.setsSomething()
	for i := 1; i < len(c.words); i++ {
		w := c.words[i]
		switch {
		case !w.known || w.glob:
			return g
		case gitPlain[w.text]:
		case w.text == "-C" || w.text == "--git-dir" || w.text == "--work-tree" || w.text == "--namespace":
			g.moved = true
			i++
		case w.text == "-c" || w.text == "--config-env" || w.text == "--exec-path":
			g.config = true
			i++
		case strings.HasPrefix(w.text, "--git-dir=") || strings.HasPrefix(w.text, "--work-tree=") || strings.HasPrefix(w.text, "--namespace="):
			g.moved = true
		case strings.HasPrefix(w.text, "-"):
			if w.text != "--version" && w.text != "--help" && w.text != "-v" && w.text != "-h" {
				g.config = true
			}
		default:
			g.sub, g.args = w.text, c.words[i+1:]
			return g
		}
	}
	return g
}

// setsSomething reports whether variables are set for the command that may give git other settings, as GIT_… and HOME
// do.
func (c simple) setsSomething() bool {
	return slices.ContainsFunc(c.env, func(name string) bool {
		return !slices.Contains(harmless, name) && name != "PAGER" && name != "GIT_PAGER"
	})
}

const (
	gitDiffFlags = "-puswbazRqWr -MCDBX? -USGl: patch no-patch stat? numstat shortstat dirstat? summary name-only name-status raw unified= " +
		"color? no-color color-moved? word-diff? color-words? minimal patience histogram diff-algorithm= ignore-all-space " +
		"ignore-space-change ignore-space-at-eol ignore-blank-lines ignore-cr-at-eol cached staged merge-base no-renames " +
		"find-renames? find-copies? diff-filter= relative? exit-code quiet binary full-index abbrev? check function-context " +
		"inter-hunk-context= no-ext-diff no-textconv no-prefix pickaxe-all pickaxe-regex ignore-submodules? text " +
		"compact-summary patch-with-stat no-indent-heuristic"
	gitLogFlags = gitDiffFlags + " -iEFgcmt -nL: -# oneline graph decorate? no-decorate all branches? tags? remotes? max-count= skip= " +
		"since= after= until= before= author= committer= grep= invert-grep all-match regexp-ignore-case extended-regexp " +
		"fixed-strings perl-regexp merges no-merges first-parent reverse date= format= pretty? abbrev-commit no-abbrev-commit " +
		"follow no-walk? topo-order date-order author-date-order left-right cherry-pick cherry-mark cherry simplify-by-decoration " +
		"full-history ancestry-path source parents children boundary walk-reflogs relative-date no-notes no-mailmap count " +
		"left-only right-only full-diff"
)

// gitReaders are the subcommands that only read and print with those flags.
var gitReaders = map[string]*flags{
	"status":   read("-sbvz -u? short long branch porcelain? verbose untracked-files? ignored? ignore-submodules? no-renames renames find-renames? ahead-behind no-ahead-behind show-stash"),
	"diff":     read(gitDiffFlags),
	"log":      read(gitLogFlags),
	"show":     read(gitLogFlags),
	"rev-list": read(gitLogFlags + " objects use-bitmap-index"),
	"reflog":   read(gitLogFlags).only(func(a args) bool { return len(a.plain) == 0 || a.plain[0].text == "show" }),
	"branch": read("-arvli list all remotes verbose show-current contains= no-contains= merged= no-merged= points-at= sort= format= " +
		"color? no-color abbrev= ignore-case no-column").only(listing),
	"tag": read("-li -n? list contains= no-contains= merged= no-merged= points-at= sort= format= color? ignore-case no-column").only(listing),
	"remote": read("-v verbose push all").only(func(a args) bool {
		return len(a.plain) == 0 && !a.seen["push"] && !a.seen["all"] || len(a.plain) == 2 && a.plain[0].text == "get-url"
	}),
	"stash": read(gitLogFlags).only(func(a args) bool {
		return a.first == "list" || a.first == "show" // "git stash -m list" puts changes away
	}),
	"worktree": read("-vz porcelain").only(func(a args) bool { return len(a.plain) == 1 && a.plain[0].text == "list" }),
	"rev-parse": read("-q show-toplevel abbrev-ref? short? verify quiet git-dir absolute-git-dir is-inside-work-tree is-inside-git-dir " +
		"is-bare-repository is-shallow-repository show-prefix show-cdup symbolic symbolic-full-name all branches? tags? remotes? " +
		"git-common-dir show-superproject-working-tree git-path= end-of-options"),
	"ls-files": read("-cdmoiskuztvf -xX: cached deleted modified others ignored stage unmerged exclude-standard directory " +
		"no-empty-directory error-unmatch full-name exclude= abbrev? eol deduplicate format= killed"),
	"ls-tree":       read("-rdtlz name-only name-status long full-name full-tree abbrev? format= object-only"),
	"cat-file":      read("-ptse").upTo(2),
	"blame":         read("-wlsefnpctb -MC? -L: long since= porcelain line-porcelain date= show-name show-number show-email ignore-rev= abbrev= root incremental"),
	"shortlog":      read("-snec numbered summary email since= after= until= before= author= no-merges merges all group= format="),
	"describe":      read("tags all always dirty? broken? long abbrev= match= exclude= exact-match contains candidates= first-parent debug"),
	"merge-base":    read("-a all is-ancestor fork-point octopus independent"),
	"for-each-ref":  read("format= sort= count= contains= no-contains= merged= no-merged= points-at= ignore-case exclude="),
	"show-ref":      read("-dqs heads branches tags hash? verify quiet dereference abbrev? head"),
	"count-objects": read("-vH verbose human-readable"),
	"check-ignore":  read("-vnq verbose non-matching quiet no-index"),
	"name-rev":      read("tags all name-only always no-undefined refs= exclude="),
	"diff-tree":     read(gitDiffFlags + " -tcmvS root no-commit-id"),
	"cherry":        read("-v abbrev= verbose"),
	"range-diff":    read(gitDiffFlags + " creation-factor= left-only right-only"),
	"version":       read("build-options").upTo(0),
	"grep": read("-ivwEFGPnlLchHqoWpaIrz -eABCmf: -# cached untracked no-index ignore-case word-regexp invert-match extended-regexp " +
		"basic-regexp perl-regexp fixed-strings line-number column files-with-matches name-only files-without-match count " +
		"only-matching quiet and or not all-match color? no-color break heading show-function function-context " +
		"after-context= before-context= context= max-count= max-depth= full-name exclude-standard no-exclude-standard text"),
}

// listing: with a name, and nothing that says that it is a pattern, branch and tag make one.
func listing(a args) bool { return len(a.plain) == 0 || a.seen["l"] || a.seen["list"] }

// gitReads reports whether a command of git only reads and prints.
func (c simple) gitReads() bool {
	g := c.git()
	if g.moved || g.config {
		return false
	}
	switch g.sub {
	case "":
		return len(c.words) == 2 && (c.words[1].text == "--version" || c.words[1].text == "-v")
	case "config":
		return gitConfigReads(g.args)
	}
	if c.words[0].text != "git" {
		return false
	}
	f := gitReaders[g.sub]
	return f != nil && f.allow(g.args)
}

// gitConfigReads reports whether git config only prints.
func gitConfigReads(words []word) bool {
	f := read("-lz list get= get-all= get-regexp= show-origin show-scope name-only local global system worktree null type= bool int path includes no-includes all")
	first := true
	plain, asks, key := 0, false, ""
	for _, w := range words {
		if !strings.HasPrefix(w.text, "-") {
			if first && (w.text == "get" || w.text == "list") {
				asks, plain = true, -1
			}
			first = false
			plain++
			key = w.text
			continue
		}
		name, _, _ := strings.Cut(strings.TrimLeft(w.text, "-"), "=")
		asks = asks || name == "l" || name == "list" || strings.HasPrefix(name, "get")
	}
	return f.allow(words) && (asks && plain <= 2 || plain == 1 && strings.Contains(key, ".")) // "git config edit" is no name
}

// gitKnown are git's own subcommands: whatever else there is may be an alias, which can be anything.
var gitKnown = wordSet(`
	add am annotate apply archive bisect blame branch bundle cat-file check-attr check-ignore check-mailmap
	check-ref-format checkout checkout-index cherry cherry-pick clean clone column commit commit-graph commit-tree config
	count-objects credential describe diff diff-files diff-index diff-tree difftool fast-export fast-import fetch
	fetch-pack filter-branch fmt-merge-msg for-each-ref format-patch fsck gc get-tar-commit-id grep hash-object help
	index-pack init interpret-trailers log ls-files ls-remote ls-tree mailinfo mailsplit maintenance merge merge-base
	merge-file merge-index merge-tree mergetool mktag mktree multi-pack-index mv name-rev notes pack-objects pack-refs
	patch-id prune prune-packed pull push range-diff read-tree rebase reflog remote repack replace request-pull rerere
	reset restore rev-list rev-parse revert rm send-email send-pack shortlog show show-branch show-index show-ref
	sparse-checkout stash status stripspace submodule subtree switch symbolic-ref tag unpack-file unpack-objects
	update-index update-ref update-server-info var verify-commit verify-pack verify-tag version worktree
	write-tree lfs
`)

// pushFlags are the flags of git push that say nothing about where it goes.
var pushFlags = read("-ufndqv46 -o: set-upstream force force-with-lease? force-if-includes no-force-if-includes tags follow-tags no-follow-tags all " +
	"branches mirror prune delete dry-run quiet verbose progress no-progress porcelain atomic no-atomic no-verify verify " +
	"no-signed thin no-thin ipv4 ipv6 no-recurse-submodules push-option=")

// elsewhere says why a script may push to another repository than the workspace's own, or "" when it does not look
// like it. Programs that it runs may push all the same: it is judged by what is written.
func (s *script) elsewhere(remotes []string) string {
	for _, c := range s.commands {
		if why := c.elsewhere(remotes, s.moved); why != "" {
			return why
		}
	}
	if slices.ContainsFunc(s.files, func(w word) bool { return inGit(w.text) }) {
		return "It may change where git pushes to, or what it runs."
	}
	if s.hidden && mentionsPush(s.text) {
		return "It may push to another repository: what it runs cannot be told."
	}
	return ""
}

func mentionsPush(text string) bool {
	text = strings.NewReplacer(`'`, "", `"`, "", `\`, "", "\n", "").Replace(strings.ToLower(text))
	return strings.Contains(text, "push") || strings.Contains(text, "send-pack")
}

// hosting are programs with which repositories are made, forked and pushed to.
var hosting = wordSet("gh glab hub tea berg jj hg sl svn bzr brz fossil darcs pijul")

func (c simple) elsewhere(remotes []string, moved bool) string {
	name := base(c.words[0].text)
	if hosting[name] {
		for _, w := range c.words[1:] {
			if !w.known || slices.Contains([]string{"push", "repo", "fork", "sync", "create", "commit", "api", "alias", "clone", "send", "import", "ci"}, w.text) {
				return "`" + shown(name) + "` can push to another repository."
			}
		}
	}
	g := c.git()
	switch {
	case !g.is:
		if !c.reads(moved) && slices.ContainsFunc(c.words, func(w word) bool { return inGit(w.text) }) {
			return "It may change where git pushes to, or what it runs."
		}
		return ""
	case g.sub == "":
		if len(c.words) > 1 && !slices.Contains([]string{"--version", "--help", "-v", "-h"}, c.words[1].text) {
			return "What git is to do is known to the shell only."
		}
		return ""
	}
	first := ""
	if len(g.args) > 0 {
		first = g.args[0].text
	}
	unknown := slices.ContainsFunc(g.args, func(w word) bool { return !w.known })
	switch g.sub {
	case "push":
		return g.pushesElsewhere(remotes, moved || g.moved)
	case "remote":
		if unknown || slices.ContainsFunc(g.args, func(w word) bool {
			return slices.Contains([]string{"add", "set-url", "rename", "rm", "remove"}, w.text)
		}) {
			return "It changes where git pushes to."
		}
	case "config":
		if unknown || !gitConfigReads(g.args) && !strings.HasPrefix(configKey(g.args), "user.") {
			return "It changes how git works, which can be where it pushes to."
		}
	case "send-pack", "http-push", "send-email", "svn", "p4", "cvsexportcommit":
		return "It sends commits to another place."
	case "subtree", "lfs":
		if unknown || slices.ContainsFunc(g.args, func(w word) bool { return w.text == "push" }) {
			return "It pushes to a place that is named otherwise."
		}
	case "submodule":
		if first == "foreach" && mentionsPush(strings.Join(c.texts(), " ")) {
			return "It may push to other repositories."
		}
	}
	if !gitKnown[g.sub] {
		return "`git " + shown(g.sub) + "` is no command of git's own: it may be an alias of any other."
	}
	if g.config && mentionsPush(strings.Join(c.texts(), " ")) {
		return "It pushes with settings of its own."
	}
	return ""
}

// configKey returns the name of the option that git config sets.
func configKey(words []word) string {
	for _, w := range words {
		switch {
		case w.text == "set" || w.text == "--local":
		case strings.HasPrefix(w.text, "-"):
			return ""
		default:
			return strings.ToLower(w.text)
		}
	}
	return ""
}

// pushesElsewhere judges git push. The workspace's own repository is origin, and whatever has its address.
func (g git) pushesElsewhere(remotes []string, moved bool) string {
	if g.config {
		return "It pushes with settings of its own."
	}
	if slices.ContainsFunc(g.args, func(w word) bool { return !w.known || (w.glob && (w.prefix == "" || w.prefix[0] == '-')) }) {
		return "Where it pushes to is known to the shell only."
	}
	if !pushFlags.allow(g.args) {
		return "It pushes with flags that can say where to."
	}
	to := ""
	for i := 0; i < len(g.args) && to == ""; i++ {
		switch w := g.args[i].text; {
		case w == "-o" || w == "--push-option":
			i++
		case w == "" || w[0] != '-':
			to = w
			if w == "" {
				to = "?"
			}
		}
	}
	return pushTo(to, remotes, moved)
}

func pushTo(to string, remotes []string, moved bool) string {
	switch {
	case len(remotes) == 0:
		return "This workspace has no repository of its own that it could push to."
	case to == "":
		return "It does not say where it pushes to: `git push origin <branch>` does."
	case to != "origin" && !sameAddress(to, remotes):
		return "It pushes to " + shown(to) + ", which is not this workspace's own repository."
	case moved: // an address can stand for another there, too
		return "It pushes from another folder, whose repository may be another."
	}
	return ""
}

// sameAddress reports whether an address of a repository is one of those, whatever way it is written.
func sameAddress(to string, remotes []string) bool {
	to = normalAddress(to)
	return to != "" && slices.ContainsFunc(remotes, func(r string) bool { return normalAddress(r) == to })
}

// normalAddress brings https://host/path.git, ssh://git@host/path and git@host:path to host/path. It is "" for
// anything else, e.g. an address with a port or another user.
func normalAddress(a string) string {
	rest, ok := strings.CutPrefix(a, "https://")
	if !ok {
		if rest, ok = strings.CutPrefix(a, "ssh://"); ok {
			rest = strings.TrimPrefix(rest, "git@")
		} else if rest, ok = strings.CutPrefix(a, "git@"); ok {
			host, path, found := strings.Cut(rest, ":")
			if !found {
				return ""
			}
			rest = host + "/" + path
		} else if rest, ok = strings.CutPrefix(a, "http://"); ok {
			rest = "http://" + rest
			return strings.TrimSuffix(strings.TrimSuffix(rest, "/"), ".git")
		}
	}
	host, path, found := strings.Cut(rest, "/")
	if !ok || !found || host == "" || strings.Trim(path, "/") == "" || strings.ContainsAny(host, "@:") ||
		strings.ContainsAny(path, "?#%\\ ") || strings.Contains(path, "..") {
		return ""
	}
	return strings.ToLower(host) + "/" + strings.TrimSuffix(strings.Trim(path, "/"), ".git")
}

// inGit reports whether a path is of git's own: a folder .git, what is in one, or the person's settings.
func inGit(path string) bool {
	before := ""
	for part := range strings.FieldsFuncSeq(strings.ToLower(path), func(r rune) bool { return r == '/' || r == '\\' || r == '=' || r == ':' }) {
		if part == ".git" || part == ".gitconfig" || (part == "git" && before == ".config") {
			return true
		}
		before = part
	}
	return false
}
