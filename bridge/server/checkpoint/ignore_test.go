package checkpoint

import (
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What git ignores, a scan passes over: git itself is asked.
func TestIgnored_IsWhatGitIgnores(t *testing.T) {
	parts := []string{"a", "b", "build", "*", "**", "*.log", "a.log", "?", "[ab]", "[!a]", "x*y", "xay", "deep", `\!a`, "a b"}
	names := []string{"a", "b", "build", "a.log", "xay", "deep", "c", "!a", "a b"}
	r := rand.New(rand.NewSource(7))
	for range 8 {
		dir := t.TempDir()
		run := func(stdin string, args ...string) string {
			cmd := exec.Command("git", args...)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
			cmd.Stdin = strings.NewReader(stdin)
			out, _ := cmd.Output() // 1: nothing is ignored
			return string(out)
		}
		run("", "init", "-q")
		var stack []*rules
		for i, at := range []string{"", "deep", "deep/a"} {
			if err := os.MkdirAll(filepath.Join(dir, at), 0o755); err != nil {
				t.Fatal(err)
			}
			var text strings.Builder
			for range r.Intn(4) + 1 - min(i, 1) {
				line := parts[r.Intn(len(parts))]
				for r.Intn(3) == 0 {
					line += "/" + parts[r.Intn(len(parts))]
				}
				if r.Intn(4) == 0 {
					line = "/" + line
				}
				if r.Intn(4) == 0 {
					line += "/"
				}
				if r.Intn(4) == 0 {
					line = "!" + line
				}
				text.WriteString(line + "\n")
			}
			text.WriteString("# comment\n\ntrailing  \n")
			if err := os.WriteFile(filepath.Join(dir, at, ".gitignore"), []byte(text.String()), 0o644); err != nil {
				t.Fatal(err)
			}
			stack = append(stack, parseRules(at, text.String()))
		}
		// Paths of files, with their folders, as a walk comes to them.
		for range 200 {
			var at []string
			for range 1 + r.Intn(4) {
				at = append(at, names[r.Intn(len(names))])
			}
			p := strings.Join(at, "/")
			if os.MkdirAll(filepath.Join(dir, filepath.Dir(p)), 0o755) != nil || os.WriteFile(filepath.Join(dir, p), nil, 0o644) != nil {
				continue // it is a folder, or below a file
			}
		}
		var files []string
		_ = filepath.WalkDir(dir, func(p string, d os.DirEntry, _ error) error {
			if d.Name() == ".git" {
				return filepath.SkipDir
			}
			if !d.IsDir() {
				rel, _ := filepath.Rel(dir, p)
				files = append(files, rel)
			}
			return nil
		})
		want := map[string]bool{}
		for line := range strings.SplitSeq(run(strings.Join(files, "\x00"), "check-ignore", "--no-index", "-z", "--stdin"), "\x00") {
			want[line] = true
		}
		for _, p := range files {
			got := false
			all := strings.Split(p, "/")
			for i := range all {
				prefix := strings.Join(all[:i+1], "/")
				var here []*rules
				for _, s := range stack {
					if s.dir == "" || strings.HasPrefix(prefix, s.dir+"/") {
						here = append(here, s)
					}
				}
				if ignored(here, prefix, i < len(all)-1) {
					got = true
					break
				}
			}
			if got != want[p] {
				var rules strings.Builder
				for _, s := range stack {
					text, _ := os.ReadFile(filepath.Join(dir, s.dir, ".gitignore"))
					rules.WriteString("--- " + s.dir + "\n" + string(text))
				}
				t.Fatalf("%q: ignored %v, by git %v\n%s", p, got, want[p], &rules)
			}
		}
	}
}
