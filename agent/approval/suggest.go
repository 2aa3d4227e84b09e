package approval

import (
	"regexp"
	"slices"
	"strings"
)

// nevers are programs of which no beginning is harmless enough to be allowed for good: what they do is in the rest of
// the words.
var nevers = wordSet(`
	rm rmdir mv cp ln dd install shred truncate unlink chmod chown chgrp chattr setfacl mkfs mount umount kill pkill killall
	curl wget ftp telnet dig nslookup openssl gpg ssh-keygen tee sed find fd fdfind sort uniq rg jq yq patch
	apt apt-get dpkg rpm apk yum dnf pacman snap flatpak brew tar zip unzip docker podman nerdctl kubectl helm terraform
	psql mysql sqlite3 mongosh redis-cli gh glab hub aws gcloud az systemctl service reboot shutdown
	date hostname sysctl passwd useradd usermod
`)

// alone are programs that may be allowed with whatever follows.
var alone = wordSet("pytest tsc eslint prettier jest vitest mocha gofmt gofumpt golangci-lint staticcheck black ruff mypy flake8 rspec rubocop phpunit mkdir touch ctest ninja")

// gitSuggested are subcommands of git that may be allowed with whatever follows. A push to another repository asks
// nevertheless.
var gitSuggested = wordSet("add commit push fetch pull checkout switch restore stash branch merge cherry-pick revert tag mv log diff show status")

// scripted are programs whose second and third word are what is run.
var scripted = map[string]string{"npm": "run", "pnpm": "run", "yarn": "run", "bun": "run", "composer": "run", "deno": "task", "just": "", "make": "", "task": "", "rake": ""}

var subcommand = regexp.MustCompile(`^[a-z][a-z0-9]*(?:[-:][a-z0-9]+)*$`)

// suggestion is the rule that a person is offered for commands of this kind: the program and what it is to do.
func (c simple) suggestion() (Rule, bool) {
	texts := c.texts()
	name := texts[0]
	if c.isWrapper() || nevers[name] || strings.Contains(name, "/") || interpreters[name] && name != "bun" && name != "deno" || name == "go" && len(texts) > 1 && slices.Contains([]string{"run", "generate", "tool", "env", "get", "install"}, texts[1]) {
		return Rule{}, false
	}
	var n int
	run, isScripted := scripted[name]
	switch {
	case alone[name]:
		n = 1
	case len(texts) < 2 || !subcommand.MatchString(texts[1]):
		return Rule{}, false
	case name == "git" && !gitSuggested[texts[1]]:
		return Rule{}, false
	case isScripted && run != "" && texts[1] == run:
		if len(texts) < 3 || !subcommand.MatchString(texts[2]) {
			return Rule{}, false
		}
		n = 3
	case isScripted && run != "" && slices.Contains([]string{"exec", "dlx", "x", "publish", "config", "link", "explore"}, texts[1]):
		return Rule{}, false
	default:
		n = 2
	}
	if n == 2 && !known2[name] && !isScripted {
		return Rule{}, false
	}
	for _, t := range texts[:n] {
		if strings.ContainsAny(t, " \t\n'\"\\$`*?[]{}()<>|&;#~!") {
			return Rule{}, false
		}
	}
	r := Rule{Tool: toolCommand, Command: strings.Join(texts[:n], " "), Verdict: Allow}
	return r, r.Check() == nil
}

// known2 are programs whose second word says what they do.
var known2 = wordSet("go git cargo dotnet mvn gradle mix stack cabal swift flutter dart bundle poetry uv pip pip3 composer rails django-admin cmake bazel zig nx turbo lerna hugo")
