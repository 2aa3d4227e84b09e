package approval

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// The tests here look at what was allowed in two other ways: with a scanner that knows nothing of the parser, and with
// bash itself, which tells what it would run.

// scanned is what the scanner makes of a command: its simple commands as words, or why it cannot have been allowed.
func scan(text string) (commands [][]string, fault string) {
	var current []string
	var word strings.Builder
	inWord := false
	end := func() {
		if inWord {
			current = append(current, word.String())
		}
		word.Reset()
		inWord = false
	}
	finish := func() {
		end()
		if len(current) > 0 {
			commands = append(commands, current)
		}
		current = nil
	}
	for i := 0; i < len(text); i++ {
		c := text[i]
		rest := text[i:]
		switch {
		case c == '\n' || c == ';':
			finish()
		case c == ' ' || c == '\t':
			end()
		case c < ' ' || c == 0x7f || c >= 0x80:
			return nil, fmt.Sprintf("byte %#x outside of quotes", c)
		case strings.HasPrefix(rest, "&>/dev/null") || strings.HasPrefix(rest, ">/dev/null"):
			i += strings.Index(rest, "l") + 1
			if word.Len() > 0 && strings.Trim(word.String(), "0123456789") == "" {
				word.Reset()
				inWord = false
			}
			if i+1 < len(text) && strings.IndexByte(" \t\n;|&)<>", text[i+1]) < 0 {
				return nil, "a redirection that is not to /dev/null"
			}
		case redirection.MatchString(rest):
			m := redirection.FindString(rest)
			if strings.Contains(m, "/dev") && !strings.Contains(m, "/dev/null") {
				return nil, "reads from " + m
			}
			if word.Len() > 0 && strings.Trim(word.String(), "0123456789") == "" {
				word.Reset()
				inWord = false
			}
			end()
			i += len(m) - 1
		case strings.HasPrefix(rest, "&&") || strings.HasPrefix(rest, "||") || strings.HasPrefix(rest, "|&"):
			i++
			finish()
		case c == '|' || c == '(' || c == ')':
			finish()
		case c == '&' || c == '<' || c == '>' || c == '`':
			return nil, "has " + string(c)
		case c == '$':
			if i+1 < len(text) && strings.IndexByte("?#$", text[i+1]) >= 0 {
				i++
				word.WriteByte('0')
				inWord = true
				continue
			}
			if i+1 < len(text) && strings.IndexByte(" \t\n;|&)<>", text[i+1]) < 0 {
				return nil, "has a $"
			}
			word.WriteByte(c)
			inWord = true
		case c == '#' && !inWord:
			for i+1 < len(text) && text[i+1] != '\n' {
				i++
			}
		case c == '\\':
			if i++; i >= len(text) {
				word.WriteByte('\\')
				inWord = true
			} else if text[i] != '\n' {
				word.WriteByte(text[i])
				inWord = true
			}
		case c == '\'':
			n := strings.IndexByte(text[i+1:], '\'')
			if n < 0 {
				return nil, "an open quote"
			}
			word.WriteString(text[i+1 : i+1+n])
			inWord = true
			i += n + 1
		case c == '"':
			inWord = true
			for i++; ; i++ {
				if i >= len(text) {
					return nil, "an open quote"
				}
				if text[i] == '"' {
					break
				}
				if text[i] == '`' {
					return nil, "has a ` in quotes"
				}
				if text[i] == '\\' && i+1 < len(text) {
					i++
					if strings.IndexByte("$`\"\\\n", text[i]) < 0 {
						word.WriteByte('\\')
					}
					if text[i] != '\n' {
						word.WriteByte(text[i])
					}
					continue
				}
				if text[i] == '$' && i+1 < len(text) {
					if !dollar.MatchString(text[i:]) {
						return nil, "has a $ in quotes"
					}
					if strings.IndexByte("?#$", text[i+1]) >= 0 {
						i++
						word.WriteByte('0')
						continue
					}
				}
				word.WriteByte(text[i])
			}
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	finish()
	return commands, ""
}

var (
	redirection = regexp.MustCompile(`^(?:(?:&>>?|>>?|>\||<)[ \t]*/dev/null|>&[ \t]*[012]|<&[ \t]*[012]|<[ \t]*(?:/?[A-Za-z0-9_.][A-Za-z0-9_./-]*))(?:$|[ \t\n;|)&])?`)
	dollar      = regexp.MustCompile(`^\$(?:[?#$]|HOME\b|PWD\b|\{(?:HOME|PWD)\}|[^A-Za-z0-9_@*!{(\['-])`)
)

// words that begin or end something, not a command's.
var keywords = wordSet("if then elif else fi while until do done { } ! time -p")

// harmlessNames is what may run at all. The list is kept apart from the one that is tested.
var harmlessNames = wordSet(`cat tac rev head tail wc nl cut tr paste fold expand column comm cmp diff uniq sort grep egrep
	fgrep rg ls tree stat file du df pwd basename dirname realpath readlink whoami id groups uname nproc uptime free ps which
	type date seq sleep true false : cd md5sum sha1sum sha224sum sha256sum sha384sum sha512sum b2sum cksum base64 od hexdump
	strings jq echo printf test [ command sed find fd fdfind git go
	bash python python2 python3 node perl ruby gcc g++ cc clang make curl wget tar java`)

// harmful are flags with which one of those names does more than read.
var harmful = map[string]*regexp.Regexp{
	"sort":   regexp.MustCompile(`^(?:-[^kt-]*[oT]|--o|--c[^h]|--t|--f[^i])`),
	"rg":     regexp.MustCompile(`^--(?:pre|host|sea)|^-[^efgtTABCmMjrdE-]*z`),
	"find":   regexp.MustCompile(`^-(?:exec|ok|delete|fprint|fls|files)`),
	"fd":     regexp.MustCompile(`^-(?:-exec|[^tedEcSjo-]*[xX])`),
	"fdfind": regexp.MustCompile(`^-(?:-exec|[^tedEcSjo-]*[xX])`),
	"sed":    regexp.MustCompile(`^-(?:[^nreE]|.*i)`),
	"git":    regexp.MustCompile(`^--(?:ou|ext-d|op|up|ed|add|unset|repl|exec|git-dir|work|config-env|textc|filt|show-sig)|^-O`),
	"date":   regexp.MustCompile(`^(?:-s|--s|\d)`),
	"test":   regexp.MustCompile(`^-[vRN]$`),
	"[":      regexp.MustCompile(`^-[vRN]$`),
	"go":     regexp.MustCompile(`^-(?:w|u|exec|toolexec)`),
	"tree":   regexp.MustCompile(`^-[^LPI-]*[oR]`),
	"jq":     regexp.MustCompile(`^-[^-]*[fL]|^--(?:from|raw[^-]|slurpf)`),
	"file":   regexp.MustCompile(`^-[^-]*[Cmz]`),
}

// judgeFirst says why the words at the beginning of a command are not of one that reads.
func judgeFirst(name string, words []string) string {
	first := ""
	for _, w := range words {
		if !strings.HasPrefix(w, "-") {
			first = w
			break
		}
	}
	switch name {
	case "sed":
		left := regexp.MustCompile(`/(?:\\.|[^/\\])*/`).ReplaceAllString(first, "")
		if strings.Trim(left, "0123456789$+,;pq") != "" {
			return "sed with " + first
		}
	case "printf":
		if strings.HasPrefix(words[0], "-v") || regexp.MustCompile(`%[-+ #0-9.*']*[n(]`).MatchString(strings.ReplaceAll(words[0], "%%", "")) {
			return "printf with " + words[0]
		}
	case "go":
		if slices.Contains(strings.Fields("run build test generate install get tool vet list mod work clean fix fmt bug telemetry"), first) ||
			first == "env" && slices.ContainsFunc(words, func(w string) bool { return strings.Contains(w, "=") }) {
			return "go " + first
		}
	case "git":
		for _, w := range words {
			if !strings.HasPrefix(w, "-") {
				break
			}
			if strings.HasPrefix(w, "-c") || strings.HasPrefix(w, "-C") || w == "-p" {
				return "git with " + w
			}
		}
		if slices.Contains(strings.Fields("add commit push fetch pull checkout switch restore reset rebase clean merge rm mv init clone apply am gc bisect submodule archive difftool mergetool"), first) {
			return "git " + first
		}
		second := ""
		if i := slices.Index(words, first); i >= 0 && i+1 < len(words) {
			second = words[i+1]
		}
		if first == "stash" && second != "list" && second != "show" {
			return "git stash " + second
		}
		if slices.Contains(strings.Fields("stash remote reflog worktree"), first) && slices.Contains(strings.Fields("pop apply drop push add set-url rename remove rm prune expire delete move lock show-update"), second) {
			return "git " + first + " " + second
		}
	}
	return ""
}

var versionOnly = wordSet("bash python python2 python3 node perl ruby gcc g++ cc clang make curl wget tar java")

// judgeWords says why a simple command should not have passed.
func judgeWords(words []string) string {
	for len(words) > 0 && (keywords[words[0]] || regexp.MustCompile(`^[A-Z_]+=.*$`).MatchString(words[0])) {
		if name, value, ok := strings.Cut(words[0], "="); ok && (slices.Contains([]string{"PATH", "IFS", "LD_PRELOAD", "BASH_ENV", "ENV", "PAGER", "GIT_PAGER"}, name) && value != "cat" || strings.HasPrefix(name, "GIT_") && name != "GIT_PAGER") {
			return "sets " + name
		}
		words = words[1:]
	}
	if len(words) == 0 {
		return ""
	}
	name := words[0]
	if name == "for" {
		return "" // words of these are no commands
	}
	if !harmlessNames[name] {
		return "runs " + name
	}
	if versionOnly[name] && (len(words) != 2 || words[1] != "--version" && words[1] != "-V") {
		return "runs " + name
	}
	if name == "command" && (len(words) < 3 || words[1] != "-v" && words[1] != "-V") {
		return "runs command"
	}
	if len(words) > 1 {
		if why := judgeFirst(name, words[1:]); why != "" {
			return why
		}
	}
	for _, w := range words[1:] {
		if w == "--" {
			break
		}
		if re := harmful[name]; re != nil && re.MatchString(w) {
			return name + " with " + w
		}
	}
	return ""
}

// checkAllowed fails the test where a command that was allowed holds more than reading.
func checkAllowed(t *testing.T, command string) {
	t.Helper()
	commands, fault := scan(command)
	if fault != "" {
		t.Errorf("%q was allowed, but it %s", command, fault)
		return
	}
	for _, words := range commands {
		if why := judgeWords(words); why != "" {
			t.Errorf("%q was allowed, but it %s", command, why)
		}
	}
}

func TestDecide_AScannerFindsOnlyReadingInWhatIsAllowed(t *testing.T) {
	for _, command := range passing {
		checkAllowed(t, command)
	}
	caught := 0
	for _, command := range asking { // the scanner is worth something
		commands, fault := scan(command)
		bad := fault != ""
		for _, words := range commands {
			bad = bad || judgeWords(words) != ""
		}
		if bad {
			caught++
		}
	}
	if caught < len(asking)*3/4 {
		t.Errorf("the scanner finds fault with %d of %d commands that ask", caught, len(asking))
	}
}

// bashPrelude makes bash tell each command that it would run, with its words, instead of running it: there are no
// programs, and no builtins but the one that the telling needs.
const bashPrelude = `
command_not_found_handle() {
	enable printf return
	printf '%s\0' "$@" $'\001' >&3
	return "$TELL_STATUS"
}
PATH=/nonexistent
enable -n . : [ alias bg bind break builtin caller cd command compgen complete compopt continue declare dirs disown echo \
	eval exec exit export false fc fg getopts hash help history jobs kill let local logout mapfile popd printf pushd pwd read \
	readarray readonly return set shift shopt source suspend test times trap true type typeset ulimit umask unalias unset wait
`

// bashRuns returns the commands that bash would run, with their words, where each ends with the given status.
func bashRuns(t testing.TB, bash, dir, command, status string) (ran [][]string, ok bool) {
	prelude := filepath.Join(dir, "prelude")
	if _, err := os.Stat(prelude); err != nil {
		if err := os.WriteFile(prelude, []byte(bashPrelude), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	empty := filepath.Join(dir, "empty")
	_ = os.Mkdir(empty, 0o700)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, bash, "--norc", "--noprofile", "-c", command)
	cmd.Dir = empty
	cmd.Env = []string{"BASH_ENV=" + prelude, "HOME=/nonexistent", "TELL_STATUS=" + status, "LC_ALL=C.UTF-8"}
	cmd.ExtraFiles = []*os.File{w}
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	out := make(chan []byte, 1)
	go func() {
		var b bytes.Buffer
		for piece := make([]byte, 4096); b.Len() < 1<<20; {
			n, err := r.Read(piece)
			b.Write(piece[:n])
			if err != nil {
				break
			}
		}
		out <- b.Bytes()
	}()
	_ = cmd.Wait()
	_ = r.SetReadDeadline(time.Now().Add(5 * time.Second))
	text := <-out
	if ctx.Err() != nil {
		return nil, false
	}
	for record := range strings.SplitSeq(string(text), "\x01\x00") {
		if record != "" {
			ran = append(ran, strings.Split(strings.TrimSuffix(record, "\x00"), "\x00"))
		}
	}
	return ran, true
}

// agree compares what bash would run with what was judged.
func agree(t *testing.T, bash, dir, command string) {
	t.Helper()
	if regexp.MustCompile(`\b(?:while|until)\b`).MatchString(command) {
		return // would not end
	}
	s := parse(command)
	for _, status := range []string{"0", "1"} {
		ran, ok := bashRuns(t, bash, dir, command, status)
		if !ok {
			t.Logf("%q takes too long", command)
			continue
		}
		for _, words := range ran {
			found := slices.ContainsFunc(s.commands, func(c simple) bool {
				if strings.ContainsAny(command, "$~") {
					return c.words[0].text == words[0] && len(c.words) == len(words)
				}
				return slices.Equal(c.texts(), words)
			})
			if !found {
				t.Errorf("%q: bash runs %q, which was not judged", command, words)
			}
		}
		if status == "0" && len(ran) == 0 && len(s.commands) > 0 {
			t.Logf("%q: bash runs nothing", command)
		}
	}
}

func TestDecide_BashRunsWhatWasJudged(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash here")
	}
	dir := t.TempDir()
	ran, _ := bashRuns(t, bash, dir, "ls -la 'a b' | cat && echo x", "0")
	if len(ran) != 3 { // what tells works
		t.Fatalf("bash told %q", ran)
	}
	for _, command := range passing {
		agree(t, bash, dir, command)
	}
}

// FuzzDecide: whatever is allowed holds only commands that read, as a scanner and bash see it.
func FuzzDecide(f *testing.F) {
	for _, command := range append(append([]string{}, passing...), asking...) {
		f.Add(command)
	}
	bash, _ := exec.LookPath("bash")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, command string) {
		if len(command) > 4096 {
			return
		}
		input, err := json.Marshal(map[string]string{"command": command})
		if err != nil {
			return
		}
		call := Call{Tool: "runCommand", Input: input}
		var sent struct{ Command string }
		if json.Unmarshal(input, &sent) != nil || sent.Command != command {
			return // JSON replaced something
		}
		d := Decide(call, AskWrites)
		for _, r := range d.Suggest {
			if r.Check() != nil || r.Verdict != Allow || r.Command == "" {
				t.Errorf("%q suggests %+v", command, r)
			}
		}
		if d.Verdict == Ask && d.Reason == "" {
			t.Errorf("%q asks without a reason", command)
		}
		if d.Verdict != Allow {
			return
		}
		checkAllowed(t, command)
		// Bash is only asked where nothing could come of it, whatever it makes of the text.
		if bash != "" && !strings.ContainsAny(command, "/<>$`~") && os.Getenv("KALPANA_FUZZ_BASH") != "off" {
			agree(t, bash, dir, command)
		}
	})
}
