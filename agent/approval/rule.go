package approval

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// The names of tools that are judged by what they are given.
const (
	toolCommand = "runCommand"
	toolGit     = "git"
)

// maxRuleText bounds each text of a rule, in bytes.
const maxRuleText = 1024

var toolName = regexp.MustCompile(`^(?:\*|[A-Za-z0-9_-]{1,64}\*?)$`)

// ParseRule reads a rule as the Caddyfile has it:
//
//	allow|ask|deny <tool> [<command or path …>]
//
// tool is the name of a tool, the first letters of some and "*", or "*" for all. For runCommand and git, the rest are
// the first words of a command; for others, a glob of paths.
func ParseRule(words []string) (Rule, error) {
	if len(words) < 2 {
		return Rule{}, errors.New("a rule is allow, ask or deny, then a tool, then a command or path if it is not for all of its calls")
	}
	r := Rule{Verdict: Verdict(words[0]), Tool: words[1]}
	rest := strings.Join(words[2:], " ")
	switch {
	case r.Tool == toolCommand || r.Tool == toolGit:
		r.Command = rest
	case len(words) > 3:
		return Rule{}, fmt.Errorf("a rule for %s has one path", r.Tool)
	default:
		r.Path = rest
	}
	if len(words) > 2 && strings.TrimSpace(rest) == "" {
		return Rule{}, errors.New("a rule has an empty command or path: leave it out, if the rule is for all calls of the tool")
	}
	return r, r.Check()
}

// Check says what is wrong with a rule, for whoever wrote it.
func (r Rule) Check() error {
	switch r.Verdict {
	case Allow, Ask, Deny:
	default:
		return fmt.Errorf("a rule begins with allow, ask or deny, not %q", shown(string(r.Verdict)))
	}
	if !toolName.MatchString(r.Tool) {
		return fmt.Errorf("%q is no name of a tool", shown(r.Tool))
	}
	if len(r.Command) > maxRuleText || len(r.Path) > maxRuleText {
		return errors.New("a rule is too long")
	}
	if r.Command != "" {
		if r.Tool != toolCommand && r.Tool != toolGit {
			return fmt.Errorf("a rule for %s has no command", shown(r.Tool))
		}
		if r.Tool == toolGit {
			return nil
		}
		words, err := r.words()
		if err != nil {
			return err
		}
		c := simple{words: words}
		if r.Verdict == Allow && c.isWrapper() {
			return fmt.Errorf("%s runs what its arguments say: no rule can allow it", shown(r.Command))
		}
	}
	if r.Path != "" {
		if _, err := pathPattern(r.Path); err != nil {
			return err
		}
	}
	return nil
}

// String returns the rule as ParseRule reads it.
func (r Rule) String() string {
	return strings.TrimSpace(string(r.Verdict) + " " + r.Tool + " " + r.Command + r.Path)
}

// words returns the words of a rule's command.
func (r Rule) words() ([]word, error) {
	s := parse(r.Command)
	if len(s.commands) == 0 || slices.ContainsFunc(s.commands[0].words, func(w word) bool { return !w.literal || w.text == "" }) ||
		len(s.commands[0].env) > 0 || (len(s.commands) > 1 && !s.hidden) || (s.odd != "" && !s.commands[0].isWrapper()) {
		return nil, fmt.Errorf("%q is not the beginning of one plain command", shown(r.Command))
	}
	return s.commands[0].words, nil
}

// concerns reports whether the rule is for a tool at all.
func (r Rule) concerns(tool string) bool {
	if prefix, ok := strings.CutSuffix(r.Tool, "*"); ok {
		return strings.HasPrefix(tool, prefix)
	}
	return r.Tool == tool
}

// begins reports whether a command begins with the rule's words, as it is written.
func begins(c simple, rule []word) bool {
	if len(rule) == 0 || len(c.words) < len(rule) {
		return false
	}
	for i, w := range rule {
		if c.words[i].text != w.text || !c.words[i].known || c.words[i].glob {
			return false
		}
	}
	return true
}

// covers reports whether a rule that allows covers a simple command.
func (r Rule) covers(c simple, moved bool) bool {
	if r.Verdict != Allow || !r.concerns(toolCommand) || r.Path != "" || c.isWrapper() || !c.settled() {
		return false
	}
	if r.Command == "" {
		return true
	}
	rule, err := r.words()
	if err != nil || !begins(c, rule) {
		return false
	}
	name := base(c.words[0].text)
	if name == "git" && moved {
		return false
	}
	rest := c.words[len(rule):]
	if f := tasks[name]; f != nil && (!f.allow(rest) || len(rule) > 1 && slices.ContainsFunc(rest, func(w word) bool { return !strings.HasPrefix(w.text, "-") })) {
		return false
	}
	for _, w := range rest {
		if w.glob && (w.prefix == "" || w.prefix[0] == '-') {
			return false
		}
		if slices.ContainsFunc(strings.Fields(outOfReach[name]), func(flag string) bool { return sameFlag(w.text, flag) }) {
			return false
		}
	}
	return true
}

// tasks are programs to which each further word is one more task, or a variable that goes into a shell's text: a rule
// that allows a task covers these flags beside it, and one that allows the program no variable.
var tasks = map[string]*flags{
	"make":   read("-kBsnqrRwi -j? keep-going silent quiet dry-run jobs? always-make no-print-directory output-sync?").only(noVariable),
	"just":   read("").only(noVariable),
	"task":   read("-fvs force verbose silent").only(noVariable),
	"rake":   read("-qst quiet silent trace").only(noVariable),
	"mvn":    read("-BqeoX batch-mode quiet errors offline").only(noVariable),
	"gradle": read("-qisdS quiet info stacktrace full-stacktrace offline no-daemon parallel continue rerun-tasks").only(noVariable),
}

func noVariable(a args) bool {
	return !slices.ContainsFunc(a.plain, func(w word) bool { return strings.Contains(w.text, "=") })
}

// outOfReach are flags with which a program runs another, or writes where one would not expect it: a rule that allows
// the program does not cover them unless it names them. They are what is known of common programs, a second line.
var outOfReach = map[string]string{
	"go":     "-exec -toolexec -vettool -overlay -ldflags -gccgoflags -gcflags -asmflags -modfile -C -o -pkgdir -installsuffix -compiler -outputdir -coverprofile -cpuprofile -memprofile -blockprofile -mutexprofile -trace -test.",
	"git":    "--upload-pack --receive-pack --exec -u= --config -c= --template --output -O --open-files-in-pager --ext-diff --textconv -x --exec-path --separate-git-dir --strategy -s= --reference",
	"npm":    "--script-shell --node-options --prefix -C --userconfig --globalconfig --git --registry --call -c",
	"pnpm":   "--script-shell --node-options --dir -C --config. --shell-mode -c",
	"yarn":   "--script-shell --cwd --use-yarnrc --config",
	"cargo":  "--config -Z --manifest-path -C --target-dir",
	"pytest": "-p -c --config-file --rootdir --confcutdir -o --override-ini --pdbcls --basetemp",
	"rg":     "--pre --hostname-bin --search-zip -z",
	"sort":   "-o --output --compress-program -T",
	"find":   "-exec -execdir -ok -okdir -delete -fprint -fprintf -fprint0 -fls",
	"tar":    "--to-command --checkpoint-action -I --use-compress-program --rsh-command",
	"eslint": "--resolve-plugins-relative-to --rulesdir --plugin --config -c --parser --format -f -o --output-file",
	"jest":   "--config -c --globalSetup --runner --testRunner --rootDir --resolver --transform",
	"tsc":    "--outDir --outFile --project -p",

	"mocha":    "--require -r --import --loader --experimental-loader --config --file --node-option -n",
	"vitest":   "--config -c --root -r --dir --execArgv --globalSetup --environment",
	"prettier": "--plugin --config",
	"rspec":    "--require -r -I --options -O",
	"rubocop":  "--require -r --plugin --config -c",
	"mypy":     "--python-executable --config-file",
	"phpunit":  "--bootstrap --configuration -c -d",
	"ctest":    "-S -SP --script --build-and-test",
	"ninja":    "-f -C -t",
	"bazel":    "--run_under",
	"dotnet":   "--test-adapter-path --settings",
	"cmake":    "-P -C -E",
}

// sameFlag reports whether a word is a flag, or has it and a value, or is short for it.
func sameFlag(text, flag string) bool {
	if name, ok := strings.CutSuffix(flag, "="); ok {
		return text == name || strings.HasPrefix(text, flag)
	}
	if strings.HasSuffix(flag, ".") {
		return strings.HasPrefix(text, flag) || strings.HasPrefix(text, "-"+flag)
	}
	name, _, _ := strings.Cut(text, "=")
	switch {
	case name == flag:
		return true
	case strings.HasPrefix(flag, "--"): // programs take the beginning of a flag for the flag
		return len(name) > 3 && strings.HasPrefix(flag, name)
	case len(flag) == 2: // -Cfolder
		return strings.HasPrefix(text, flag)
	}
	return name == "-"+flag // go takes two dashes for one
}

// restricts reports whether a rule that asks or denies is about a simple command. What stands before the program's
// own words, as git's flags before the subcommand, does not hide it. sure is false where it only may be.
func (r Rule) restricts(c simple) (hit, sure bool) {
	rule, err := r.words()
	if err != nil {
		return true, false
	}
	forms := []simple{c}
	if name := c.words[0].text; base(name) != name {
		plain := simple{words: slices.Clone(c.words)}
		plain.words[0].text = base(name)
		forms = append(forms, plain)
	}
	if g := c.git(); g.is && g.sub != "" {
		known := word{known: true, literal: true}
		name, sub := known, known
		name.text, sub.text = "git", g.sub
		forms = append(forms, simple{words: append([]word{name, sub}, g.args...)})
	}
	for _, form := range forms {
		if begins(form, rule) {
			return true, true
		}
		if mayBegin(form, rule) {
			hit = true
		}
	}
	return hit, false
}

// mayBegin reports whether a command may turn out to begin with the rule's words.
func mayBegin(c simple, rule []word) bool {
	for i, w := range rule {
		if i >= len(c.words) {
			return false
		}
		if !c.words[i].known || c.words[i].glob {
			return true
		}
		if c.words[i].text != w.text {
			return false
		}
	}
	return true
}

// pathPattern makes an expression of a glob as in .gitignore.
func pathPattern(glob string) (*regexp.Regexp, error) {
	pattern := strings.TrimSuffix(glob, "/")
	if pattern == "" || strings.HasPrefix(pattern, "!") || strings.Contains(pattern, "\\") || slices.Contains(strings.Split(pattern, "/"), "..") {
		return nil, fmt.Errorf("%q is no glob of paths in the workspace folder", shown(glob))
	}
	anchored := strings.Contains(pattern, "/")
	pattern = strings.TrimPrefix(pattern, "/")
	var b strings.Builder
	b.WriteString(`(?s)^`)
	if !anchored {
		b.WriteString(`(?:.*/)?`)
	}
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case strings.HasPrefix(pattern[i:], "**/") && (i == 0 || pattern[i-1] == '/'):
			b.WriteString(`(?:.*/)?`)
			i += 2
		case strings.HasPrefix(pattern[i:], "**"):
			b.WriteString(`.*`)
			i++
		case c == '*':
			b.WriteString(`[^/]*`)
		case c == '?':
			b.WriteString(`[^/]`)
		case c == '[':
			end := strings.IndexByte(pattern[i:], ']')
			if end < 2 {
				return nil, fmt.Errorf("%q has a [ without its ]", shown(glob))
			}
			class := pattern[i+1 : i+end]
			if class[0] == '!' {
				class = "^" + class[1:]
			}
			b.WriteString(`[` + strings.ReplaceAll(class, `[`, `\[`) + `]`)
			i += end
		default:
			_, size := utf8.DecodeRuneInString(pattern[i:])
			b.WriteString(regexp.QuoteMeta(pattern[i : i+size]))
			i += size - 1
		}
	}
	b.WriteString(`(?:/.*)?$`) // a folder is all that is in it
	re, err := regexp.Compile(b.String())
	if err != nil {
		return nil, fmt.Errorf("%q is no glob of paths", shown(glob))
	}
	return re, nil
}

// pathMatches reports whether a rule's glob matches a path. One that begins with a slash may be one in the workspace
// folder, wherever that is: a rule that allows does not match it, and one that asks or denies matches where the glob
// matches any end of it.
func pathMatches(r Rule, name string) bool {
	re, err := pathPattern(r.Path)
	if err != nil || strings.IndexByte(name, 0) >= 0 {
		return r.Verdict != Allow
	}
	name = path.Clean(name)
	if name == ".." || strings.HasPrefix(name, "../") {
		return r.Verdict != Allow
	}
	if !strings.HasPrefix(name, "/") {
		return re.MatchString(name)
	}
	for name != "" && r.Verdict != Allow {
		_, name, _ = strings.Cut(name, "/")
		if name != "" && re.MatchString(name) {
			return true
		}
	}
	return false
}
