package approval

import (
	"slices"
	"strings"
)

// wrappers are programs and builtins that run what their arguments say, or that change what later names run.
var wrappers = wordSet(`
	. source eval exec command builtin trap alias unalias enable hash bind complete compgen coproc mapfile readarray
	set shopt declare typeset export readonly local unset let read getopts fc history jobs disown suspend
	sh bash dash ash zsh ksh mksh fish csh tcsh rbash busybox toybox
	env nice ionice nohup timeout time stdbuf setsid setarch linux32 linux64 taskset chrt numactl prlimit flock
	sudo doas su runuser pkexec chroot unshare nsenter capsh systemd-run setpriv start-stop-daemon daemonize
	xargs parallel watch entr strace ltrace gdb perf script expect unbuffer socat nc ncat netcat screen tmux
	ssh rsync scp sftp nix nix-shell npx pnpx bunx uvx pipx
	awk gawk mawk nawk osascript tclsh Rscript
	sg newgrp runcon choom cgexec systemd-inhibit dbus-run-session xvfb-run fakeroot proot bwrap firejail flatpak-spawn
	valgrind hyperfine faketime eatmydata chronic rlwrap tini dumb-init gosu cross-env dotenv concurrently nodemon
	ed ex vi vim nvim emacs less more man m4 dc bc crontab at batch
`)

// interpreters run a file, which is a program like any other, or what their arguments or their input say.
var interpreters = wordSet("perl ruby python python2 python3 pypy pypy3 node nodejs deno bun lua luajit php")

// runners are programs of which these subcommands run what follows.
var runners = map[string][]string{
	"docker": inContainer, "podman": inContainer, "nerdctl": inContainer, "kubectl": inContainer,
	"npm": {"exec", "x", "explore"}, "pnpm": {"exec", "dlx", "x"}, "yarn": {"exec", "dlx", "node"}, "bun": {"x"}, "composer": {"exec"},
	"poetry": {"run"}, "pipenv": {"run"}, "uv": {"run", "tool"}, "pdm": {"run"}, "hatch": {"run"}, "rye": {"run"},
	"conda": {"run"}, "mamba": {"run"}, "bundle": {"exec"}, "mix": {"cmd", "do", "eval", "run"}, "rails": {"runner"},
	"stack": {"exec", "run", "runghc", "eval"}, "cabal": {"exec"}, "nx": {"exec"}, "lerna": {"exec"}, "dotnet": {"exec", "tool"},
	"mise": {"exec", "x"}, "asdf": {"exec"}, "direnv": {"exec"}, "volta": {"run"}, "zig": {"cc", "c++", "run"},
}

var inContainer = []string{"exec", "run", "create", "debug", "build"}

// telling are flags that have a program say which version it is, being the only one.
var telling = []string{"--version", "-V"}

func wordSet(text string) map[string]bool {
	set := map[string]bool{}
	for w := range strings.FieldsSeq(text) {
		set[w] = true
	}
	return set
}

// isWrapper reports whether a command runs what its arguments say.
func (c simple) isWrapper() bool {
	name := base(c.words[0].text)
	if i := strings.IndexByte(name, '.'); i > 0 { // python3.12
		name = name[:i]
	}
	if name == "" { // "."
		return true
	}
	second := ""
	if len(c.words) > 1 {
		second = c.words[1].text
	}
	switch {
	case len(c.words) == 2 && slices.Contains(telling, second):
		return false
	case name == "command":
		return second != "-v" && second != "-V"
	case wrappers[name], strings.HasPrefix(name, "ld-linux"): // the loader runs what it is told to load
		return true
	case interpreters[name]:
		module := strings.HasPrefix(name, "python") && second == "-m" && len(c.words) > 2
		return !module && (second == "" || second[0] == '-' || second == "eval" || second == "x" || second == "repl")
	}
	has := func(words ...string) bool {
		return slices.ContainsFunc(c.words[1:], func(w word) bool {
			return slices.ContainsFunc(words, func(flag string) bool {
				return w.text == flag || (strings.HasSuffix(flag, "*") && strings.HasPrefix(w.text, flag[:len(flag)-1]))
			})
		})
	}
	if has(runners[name]...) {
		return true
	}
	switch name {
	case "find":
		return has("-exec*", "-ok*")
	case "fd", "fdfind":
		return has("-x*", "-X*", "--exec*")
	case "tar":
		return has("--to-command*", "--checkpoint-action*", "-I*", "--use-compress*", "--rsh*", "-F*", "--info-script*", "--new-volume*")
	case "zip":
		return has("-T*", "--unzip-command*", "-TT*")
	case "sort":
		return has("--compress-prog*")
	case "rg":
		return has("--pre", "--pre=*", "--hostname-bin*")
	case "go":
		return has("-exec*", "--exec*", "-toolexec*", "--toolexec*", "-vettool*", "--vettool*")
	case "make":
		return has("--eval*", "-E*", "SHELL*", ".SHELLFLAGS*")
	case "git":
		g := c.git()
		return g.config || slices.Contains([]string{
			"submodule", "bisect", "rebase", "filter-branch", "difftool", "mergetool", "for-each-repo",
			"maintenance", "daemon", "shell", "upload-pack", "receive-pack",
		}, g.sub) && !slices.Contains(c.texts(), "status")
	}
	return false
}

func (c simple) texts() []string {
	out := make([]string, len(c.words))
	for i, w := range c.words {
		out[i] = w.text
	}
	return out
}

// unwrap adds what the arguments of wrappers may be: the command that begins with one of them, and the script that
// one of them is. Only strictness comes of it: a rule that denies or asks is found behind a wrapper as well.
func (s *script) unwrap(depth int) {
	for _, c := range slices.Clone(s.commands) {
		if !c.isWrapper() {
			continue
		}
		s.hide("`" + c.line() + "` runs what its arguments say.")
		if depth >= maxUnwrap || len(s.commands) > maxParts {
			continue
		}
		for i, w := range c.words[1:] {
			if strings.ContainsAny(w.text, " \t\n;|&") && w.text != s.text {
				inner := parseNested(w.text, depth+1)
				s.commands = append(s.commands, inner.commands...)
				s.files = append(s.files, inner.files...)
				s.moved = s.moved || inner.moved
			} else if w.text != "" && w.text[0] != '-' && len(s.commands) <= maxParts {
				rest := simple{words: c.words[i+1:]}
				s.commands = append(s.commands, rest)
				switch base(w.text) {
				case "cd", "pushd":
					s.moved = true
				}
			}
		}
	}
}
