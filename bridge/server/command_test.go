package server

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/bridge"
)

func TestRunCommand_ReportsWhatTheCommandDid(t *testing.T) {
	c := start(t, "serve")
	c.waitReady()
	c.write("sub/file", "x")
	cl := c.dial()
	for name, tc := range map[string]struct {
		params bridge.RunCommandParams
		want   bridge.RunCommandResult
	}{
		"argv":     {bridge.RunCommandParams{Argv: []string{"echo", "$HOME", ";", "a b"}}, bridge.RunCommandResult{Stdout: "$HOME ; a b\n"}},
		"command":  {bridge.RunCommandParams{Command: "echo out; echo err >&2; exit 3"}, bridge.RunCommandResult{ExitCode: 3, Stdout: "out\n", Stderr: "err\n"}},
		"cwd":      {bridge.RunCommandParams{Command: "ls; pwd; echo $PWD", Cwd: "sub"}, bridge.RunCommandResult{Stdout: strings.Repeat("file\nX\nX\n", 1)}},
		"stdin":    {bridge.RunCommandParams{Argv: []string{"cat"}, Stdin: "given"}, bridge.RunCommandResult{Stdout: "given"}},
		"no stdin": {bridge.RunCommandParams{Argv: []string{"cat"}}, bridge.RunCommandResult{}},
		"signal":   {bridge.RunCommandParams{Command: "kill -TERM $$"}, bridge.RunCommandResult{ExitCode: 143}},
		"bytes":    {bridge.RunCommandParams{Argv: []string{"printf", `a\377b`}}, bridge.RunCommandResult{Stdout: "a\uFFFDb"}},
	} {
		r, err := cl.RunCommand(t.Context(), tc.params)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		r.DurationMs = 0
		r.Stdout = strings.ReplaceAll(r.Stdout, c.workspace+"/sub", "X")
		if diff := cmp.Diff(tc.want, *r); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestRunCommand_RefusesWhatItCannotRun(t *testing.T) {
	c := start(t, "serve")
	c.waitReady()
	c.write("file", "x")
	cl := c.dial()
	for name, tc := range map[string]struct {
		params bridge.RunCommandParams
		want   error
	}{
		"nothing":         {bridge.RunCommandParams{}, bridge.ErrInvalid},
		"both":            {bridge.RunCommandParams{Argv: []string{"ls"}, Command: "ls"}, bridge.ErrInvalid},
		"empty program":   {bridge.RunCommandParams{Argv: []string{""}}, bridge.ErrInvalid},
		"no such program": {bridge.RunCommandParams{Argv: []string{"no-such-program"}}, bridge.ErrNotFound},
		"not executable":  {bridge.RunCommandParams{Argv: []string{"./file"}}, bridge.ErrDenied},
		"NUL":             {bridge.RunCommandParams{Argv: []string{"echo", "a\x00b"}}, bridge.ErrInvalid},
		"long time":       {bridge.RunCommandParams{Command: "true", TimeoutSeconds: 601}, bridge.ErrInvalid},
		"negative time":   {bridge.RunCommandParams{Command: "true", TimeoutSeconds: -1}, bridge.ErrInvalid},
		"long":            {bridge.RunCommandParams{Command: strings.Repeat("x", bridge.MaxArgBytes+1)}, bridge.ErrTooLarge},
		"many":            {bridge.RunCommandParams{Argv: make([]string, bridge.MaxArgs+1)}, bridge.ErrInvalid},
		"long stdin":      {bridge.RunCommandParams{Command: "cat", Stdin: strings.Repeat("x", bridge.MaxContent+1)}, bridge.ErrTooLarge},
		"huge stdin":      {bridge.RunCommandParams{Command: "cat", Stdin: strings.Repeat("<", bridge.MaxContent)}, bridge.ErrTooLarge},
		"no folder":       {bridge.RunCommandParams{Command: "true", Cwd: "nope"}, bridge.ErrNotFound},
		"cwd a file":      {bridge.RunCommandParams{Command: "true", Cwd: "file"}, bridge.ErrInvalid},
	} {
		if _, err := cl.RunCommand(t.Context(), tc.params); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
}

// family is a command whose processes, an own child and grandchild, hold a file locked for as long as they
// live; lockFree reports whether they are gone.
func family(c *container) (command string, lockFree func() bool) {
	lock := filepath.Join(c.home, "lock")
	return "exec 9>" + lock + "; flock 9; touch " + lock + ".held; (sleep 60 & sleep 60) & sleep 60", func() bool {
		return exec.Command("flock", "--nonblock", lock, "true").Run() == nil
	}
}

func held(c *container) func() bool {
	return func() bool {
		_, err := os.Stat(filepath.Join(c.home, "lock.held"))
		return err == nil
	}
}

func TestRunCommand_TheTimeLimitKillsTheWholeGroup(t *testing.T) {
	t.Parallel()
	c := start(t, "serve")
	c.waitReady()
	command, free := family(c)
	r, err := c.dial().RunCommand(t.Context(), bridge.RunCommandParams{Command: "echo begun; " + command, TimeoutSeconds: 1})
	if err != nil || !r.TimedOut || r.ExitCode != 137 || r.Stdout != "begun\n" || r.DurationMs < 900 || r.DurationMs > 5000 {
		t.Fatalf("%+v, %v", r, err)
	}
	eventually(t, "all processes are gone", free)
}

func TestRunCommand_CancelKillsTheWholeGroupAndReturnsAtOnce(t *testing.T) {
	c := start(t, "serve")
	c.waitReady()
	command, free := family(c)
	cl := c.dial()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		eventually(t, "the command runs", held(c))
		cancel()
	}()
	if r, err := cl.RunCommand(ctx, bridge.RunCommandParams{Command: command}); !errors.Is(err, context.Canceled) {
		t.Fatalf("%+v, %v", r, err)
	}
	eventually(t, "all processes are gone", free)
	if _, err := cl.Health(t.Context()); err != nil {
		t.Errorf("the connection after a cancel: %v", err)
	}
}

func TestRunCommand_TheEndOfTheConnectionKillsIt(t *testing.T) {
	c := start(t, "serve")
	c.waitReady()
	command, free := family(c)
	cl := c.dial()
	go func() {
		eventually(t, "the command runs", held(c))
		cl.Close()
	}()
	if r, err := cl.RunCommand(t.Context(), bridge.RunCommandParams{Command: command}); !errors.Is(err, bridge.ErrClosed) {
		t.Fatalf("%+v, %v", r, err)
	}
	eventually(t, "all processes are gone", free)
}

func TestRunCommand_DoesNotWaitForWhatItLeftInTheBackground(t *testing.T) {
	t.Parallel()
	c := start(t, "serve")
	c.waitReady()
	began := time.Now()
	r, err := c.dial().RunCommand(t.Context(), bridge.RunCommandParams{Command: "sleep 5 & echo $!"})
	if err != nil || r.ExitCode != 0 || time.Since(began) > 4*time.Second {
		t.Fatalf("%+v, %v after %s", r, err, time.Since(began))
	}
	pid := strings.TrimSpace(r.Stdout)
	if err := exec.Command("kill", pid).Run(); err != nil {
		t.Errorf("what was left in the background is gone: %v", err)
	}
}

func TestRunCommand_KeepsHeadAndTailOfLongOutput(t *testing.T) {
	c := start(t, "serve")
	c.waitReady()
	cl := c.dial()
	for name, tc := range map[string]struct {
		command, head, tail string
		truncated           bool
	}{
		"long text":       {"seq 1 500000", "1\n2\n3\n", "499999\n500000\n", true},
		"binary":          {"head -c 1000000 /dev/urandom | tee /dev/stderr", "", "", true},
		"escapes":         {"yes $'\\x01<' | head -c 1000000 | tee /dev/stderr", "\x01<\n", "", true},
		"just fits":       {"yes 1234567 | head -c 262144", "1234567\n", "1234567\n", false},
		"fits, escapes":   {"yes '<' | head -c 60000", "<\n", "<\n", false},
		"one byte beyond": {"yes 1234567 | head -c 262145", "1234567\n", "1234567\n1", true},
	} {
		r, err := cl.RunCommand(t.Context(), bridge.RunCommandParams{Command: tc.command})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !strings.HasPrefix(r.Stdout, tc.head) || !strings.HasSuffix(r.Stdout, tc.tail) || r.Truncated != tc.truncated ||
			strings.Contains(r.Stdout, "bytes left out") != tc.truncated {
			t.Errorf("%s: %d bytes, truncated %v", name, len(r.Stdout), r.Truncated)
		}
	}
}

func TestSearchCode_FindsLinesByTextAndByExpression(t *testing.T) {
	if _, err := exec.LookPath("rg"); err != nil {
		t.Fatal("this test needs ripgrep: apt install ripgrep")
	}
	c := start(t, "serve")
	c.waitReady()
	cl := c.dial()
	c.write("a.go", "package a\n\n// Häuser(x) hier\tund da\n")
	c.write("b/b.txt", "nothing\nhäuser(y)\n")
	c.write("b/.hidden", "HÄUSER(z)\n")
	c.write(".git/config", "häuser(g)\n")
	c.write("ignored/x", "häuser(i)\n")
	c.write(".gitignore", "ignored/\n")
	c.write("-dash", "--version\n")
	c.write("long", strings.Repeat("é", 5000)+"needle"+strings.Repeat("x", 5000)+"\n")
	c.write("latin1", "caf\xe9 needle2\n")
	search := func(p bridge.SearchCodeParams) []bridge.SearchMatch {
		t.Helper()
		r, err := cl.SearchCode(t.Context(), p)
		if err != nil {
			t.Fatalf("%+v: %v", p, err)
		}
		return r.Matches
	}
	a := bridge.SearchMatch{Path: "a.go", Line: 3, Column: 4, Text: "// Häuser(x) hier\tund da"}
	b := bridge.SearchMatch{Path: "b/b.txt", Line: 2, Column: 1, Text: "häuser(y)"}
	hidden := bridge.SearchMatch{Path: "b/.hidden", Line: 1, Column: 1, Text: "HÄUSER(z)"}
	none := []bridge.SearchMatch{}
	for name, tc := range map[string]struct {
		params bridge.SearchCodeParams
		want   []bridge.SearchMatch
	}{
		"text":           {bridge.SearchCodeParams{Query: "häuser("}, []bridge.SearchMatch{a, hidden, b}},
		"case":           {bridge.SearchCodeParams{Query: "häuser(", CaseSensitive: true}, []bridge.SearchMatch{b}},
		"regex":          {bridge.SearchCodeParams{Query: `user\([xy]`, Regex: true}, []bridge.SearchMatch{withColumn(a, 6), withColumn(b, 3)}},
		"glob":           {bridge.SearchCodeParams{Query: "häuser(", Glob: "*.go"}, []bridge.SearchMatch{a}},
		"glob into .git": {bridge.SearchCodeParams{Query: "häuser(g", Glob: "**/config"}, none},
		"folder":         {bridge.SearchCodeParams{Query: "häuser(", Path: "b"}, []bridge.SearchMatch{hidden, b}},
		"file":           {bridge.SearchCodeParams{Query: "häuser(", Path: "b/b.txt"}, []bridge.SearchMatch{b}},
		"nothing":        {bridge.SearchCodeParams{Query: "not anywhere"}, none},
		"an option":      {bridge.SearchCodeParams{Query: "--version"}, []bridge.SearchMatch{{Path: "-dash", Line: 1, Column: 1, Text: "--version"}}},
		"no option":      {bridge.SearchCodeParams{Query: "--files"}, none},
		"not UTF-8":      {bridge.SearchCodeParams{Query: "needle2"}, []bridge.SearchMatch{{Path: "latin1", Line: 1, Column: 6, Text: "caf\uFFFD needle2"}}},
	} {
		if diff := cmp.Diff(tc.want, search(tc.params)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	long := search(bridge.SearchCodeParams{Query: "needle", Path: "long"})
	if len(long) != 1 || long[0].Column != 5001 || !strings.Contains(long[0].Text, "éneedlex") || len(long[0].Text) > bridge.MaxMatchText {
		t.Errorf("%+v", long)
	}
}

func withColumn(m bridge.SearchMatch, column int) bridge.SearchMatch {
	m.Column = column
	return m
}

func TestSearchCode_StopsAtItsLimitsAndSaysWhy(t *testing.T) {
	c := start(t, "serve")
	c.waitReady()
	cl := c.dial()
	c.write("many", strings.Repeat(strings.Repeat("<", 390)+" needle\n", 100_000))
	c.write("huge", strings.Repeat("x", 6<<20)+"pin\npin\n")
	r, err := cl.SearchCode(t.Context(), bridge.SearchCodeParams{Query: "needle", Limit: 5})
	if err != nil || len(r.Matches) != 5 || !r.Truncated {
		t.Errorf("%d matches, %v", len(r.Matches), err)
	}
	r, err = cl.SearchCode(t.Context(), bridge.SearchCodeParams{Query: "needle", Limit: bridge.MaxMatches})
	if err != nil || !r.Truncated || len(r.Matches) < 300 {
		t.Errorf("%v, %+v", err, r)
	}
	r, err = cl.SearchCode(t.Context(), bridge.SearchCodeParams{Query: "pin"})
	if err != nil || !r.Truncated || len(r.Matches) != 1 || r.Matches[0].Line != 2 {
		t.Errorf("%v, %+v", err, r)
	}
	for name, p := range map[string]bridge.SearchCodeParams{
		"an open bracket": {Query: "(", Regex: true},
		"a bad glob":      {Query: "x", Glob: "["},
		"two lines":       {Query: "a\nb"},
		"nothing":         {},
		"a NUL":           {Query: "a\x00"},
		"a limit":         {Query: "x", Limit: bridge.MaxMatches + 1},
	} {
		if _, err := cl.SearchCode(t.Context(), p); !errors.Is(err, bridge.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		} else {
			t.Logf("%s: %v", name, err)
		}
	}
}
