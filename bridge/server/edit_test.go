package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/bridge"
)

func TestReadFile_ReadsLinesAndTellsWhatAFileIs(t *testing.T) {
	c := start(t, "serve")
	cl := c.dial()
	c.write("five", "one\ntwo\nthree\nfour\nfive")
	c.write("empty", "")
	c.write("long", strings.Repeat(strings.Repeat("x", 99)+"\n", 10_000))
	c.write("bin", "a\x00b\n")
	for _, tc := range []struct {
		params    bridge.ReadFileParams
		want      string
		total     int
		truncated bool
	}{
		{bridge.ReadFileParams{Path: "five", Line: 1}, "one\ntwo\nthree\nfour\nfive", 5, false},
		{bridge.ReadFileParams{Path: "five", Line: 2, Lines: 2}, "two\nthree\n", 5, true},
		{bridge.ReadFileParams{Path: "five", Line: 5, Lines: 9}, "five", 5, false},
		{bridge.ReadFileParams{Path: "five", Line: 6}, "", 5, false},
		{bridge.ReadFileParams{Path: "empty", Line: 1}, "", 0, false},
		{bridge.ReadFileParams{Path: "bin", Line: 1}, "a\x00b\n", 1, false},
	} {
		r, err := cl.ReadFile(t.Context(), tc.params)
		if err != nil {
			t.Errorf("%+v: %v", tc.params, err)
			continue
		}
		got, _ := r.Bytes()
		if string(got) != tc.want || r.TotalLines != tc.total || r.Truncated != tc.truncated || r.Binary != strings.Contains(tc.want, "\x00") {
			t.Errorf("%+v: %q of %d lines, truncated %v, binary %v", tc.params, got, r.TotalLines, r.Truncated, r.Binary)
		}
	}
	r, err := cl.ReadFile(t.Context(), bridge.ReadFileParams{Path: "long", Line: 3, Lines: 9000})
	if err != nil || !r.Truncated || len(r.Content) > bridge.MaxContent || len(r.Content)%100 != 0 {
		t.Errorf("%d bytes, truncated %v, %v: not whole lines, as many as fit", len(r.Content), r.Truncated, err)
	}
	for _, p := range []bridge.ReadFileParams{{Path: "five", Line: -1}, {Path: "five", Lines: 3}, {Path: "five", Line: 1, Offset: 2}, {Path: "five", Line: 1, Limit: 2}} {
		if _, err := cl.ReadFile(t.Context(), p); !errors.Is(err, bridge.ErrInvalid) {
			t.Errorf("%+v: %v", p, err)
		}
	}
}

func TestWriteFile_IsRefusedWhereTheFileHasChanged(t *testing.T) {
	c := start(t, "serve")
	cl := c.dial()
	for _, size := range []int{10, 2 << 20} { // told by what it holds, and by its times
		name := fmt.Sprint("file", size)
		c.write(name, strings.Repeat("x", size))
		read, err := cl.ReadFile(t.Context(), bridge.ReadFileParams{Path: name, Limit: 4})
		if err != nil {
			t.Fatal(err)
		}
		write := func(version, content string) error {
			r, err := cl.WriteFile(t.Context(), bridge.WriteFileParams{Path: name, Content: content, IfVersion: version})
			if err == nil {
				read.Version = r.Version
			}
			return err
		}
		old := read.Version
		if err := write(read.Version, "mine"); err != nil {
			t.Errorf("unchanged: %v", err)
		}
		if err := write(read.Version, "mine again"); err != nil {
			t.Errorf("unchanged since the write: %v", err)
		}
		if err := write(old, "lost"); !errors.Is(err, bridge.ErrChanged) {
			t.Errorf("with an old version: %v", err)
		}
		c.write(name, "another's")
		if err := write(read.Version, "lost"); !errors.Is(err, bridge.ErrChanged) {
			t.Errorf("changed by another: %v", err)
		}
		if b, _ := os.ReadFile(filepath.Join(c.workspace, name)); string(b) != "another's" {
			t.Errorf("it holds %q", b)
		}
		if err := write(bridge.VersionNone, "lost"); !errors.Is(err, bridge.ErrChanged) {
			t.Errorf("where there was to be none: %v", err)
		}
		_ = os.Remove(filepath.Join(c.workspace, name))
		if err := write(read.Version, "lost"); !errors.Is(err, bridge.ErrChanged) {
			t.Errorf("removed by another: %v", err)
		}
		if err := write(bridge.VersionNone, "new"); err != nil {
			t.Errorf("where there is none: %v", err)
		}
	}
}

func TestEditFile_MakesAllEditsOrNone(t *testing.T) {
	c := start(t, "serve")
	cl := c.dial()
	const text = "package a\n\nfunc A() int { return 1 }\n\nfunc B() int { return 1 }\n"
	edit := func(edits ...bridge.Edit) (*bridge.EditFileResult, string, error) {
		r, err := cl.EditFile(t.Context(), bridge.EditFileParams{Path: "d/a.go", Edits: edits})
		b, _ := os.ReadFile(filepath.Join(c.workspace, "d/a.go"))
		return r, string(b), err
	}
	c.write("d/a.go", text)
	_ = os.Chmod(filepath.Join(c.workspace, "d/a.go"), 0o640)
	for name, edits := range map[string][]bridge.Edit{
		"one of two does not occur": {{Old: "A()", New: "C()"}, {Old: "A()", New: "D()"}},
		"it occurs twice":           {{Old: "return 1", New: "return 2"}},
		"nothing is to be replaced": {{Old: "", New: "x"}},
		"nothing changes":           {{Old: "A()", New: "A()"}},
		"another space":             {{Old: "A()  int", New: "B()"}},
		"no edits":                  nil,
	} {
		if _, now, err := edit(edits...); !errors.Is(err, bridge.ErrInvalid) || now != text {
			t.Errorf("%s: %v, the file is %q", name, err, now)
		}
	}
	r, now, err := edit(bridge.Edit{Old: "return 1", New: "return 2", All: true}, bridge.Edit{Old: "func A() int { return 2 }", New: "func A() int {\n\treturn 3\n}"})
	if err != nil || r.Replaced != 3 || r.Size != int64(len(now)) {
		t.Fatalf("%+v, %v", r, err)
	}
	if diff := cmp.Diff("package a\n\nfunc A() int {\n\treturn 3\n}\n\nfunc B() int { return 2 }\n", now); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want := "--- a/d/a.go\n+++ b/d/a.go\n@@ -1,5 +1,7 @@\n package a\n \n-func A() int { return 1 }\n+func A() int {\n+\treturn 3\n+}\n \n" +
		"-func B() int { return 1 }\n+func B() int { return 2 }\n"
	if diff := cmp.Diff(want, r.Diff); diff != "" {
		t.Errorf("the diff (-want +got):\n%s", diff)
	}
	if info, err := os.Stat(filepath.Join(c.workspace, "d/a.go")); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	read, err := cl.ReadFile(t.Context(), bridge.ReadFileParams{Path: "d/a.go"})
	if err != nil || read.Version != r.Version {
		t.Errorf("read as %q, edited to %q, %v", read.Version, r.Version, err)
	}
	c.write("d/a.go", text)
	if _, err := cl.EditFile(t.Context(), bridge.EditFileParams{Path: "d/a.go", IfVersion: r.Version, Edits: []bridge.Edit{{Old: "A()", New: "C()"}}}); !errors.Is(err, bridge.ErrChanged) {
		t.Errorf("changed by another: %v", err)
	}
	c.write("bin", "\xff\xfe")
	for name, tc := range map[string]struct {
		path string
		want error
	}{"a folder": {"d", bridge.ErrInvalid}, "no text": {"bin", bridge.ErrInvalid}, "nothing": {"nope", bridge.ErrNotFound}, "outside": {"../x", bridge.ErrOutside}} {
		if _, err := cl.EditFile(t.Context(), bridge.EditFileParams{Path: tc.path, Edits: []bridge.Edit{{Old: "a", New: "b"}}}); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestGlob_FindsFilesNewestFirstAndNotWhatIsIgnored(t *testing.T) {
	c := start(t, "serve")
	cl := c.dial()
	for i, name := range []string{"main.go", "cmd/a/main.go", "cmd/b/x.go", "cmd/b/.hidden.go", "vendor/v.go", "cmd/read.me", ".git/x.go"} {
		c.write(name, "")
		at := time.Unix(1_700_000_000+int64(i), 0)
		_ = os.Chtimes(filepath.Join(c.workspace, name), at, at)
	}
	c.write(".gitignore", "vendor/\n")
	_ = os.Symlink("/etc", filepath.Join(c.workspace, "etc.go"))
	find := func(p bridge.GlobParams) string {
		t.Helper()
		r, err := cl.Glob(t.Context(), p)
		if err != nil {
			t.Fatalf("%+v: %v", p, err)
		}
		var names []string
		for _, e := range r.Entries {
			names = append(names, e.Path)
		}
		if r.Truncated != (p.Limit > 0) {
			t.Errorf("%+v: truncated %v", p, r.Truncated)
		}
		return strings.Join(names, " ")
	}
	for _, tc := range []struct {
		params bridge.GlobParams
		want   string
	}{
		{bridge.GlobParams{Pattern: "*.go"}, "cmd/b/.hidden.go cmd/b/x.go cmd/a/main.go main.go"},
		{bridge.GlobParams{Pattern: "*.go", Limit: 2}, "cmd/b/.hidden.go cmd/b/x.go"},
		{bridge.GlobParams{Pattern: "/cmd/**/main.go"}, "cmd/a/main.go"},
		{bridge.GlobParams{Pattern: "*.go", Path: "cmd/a"}, "cmd/a/main.go"},
		{bridge.GlobParams{Pattern: "*.{md,me}"}, "cmd/read.me"},
		{bridge.GlobParams{Pattern: "*.nope"}, ""},
	} {
		if got := find(tc.params); got != tc.want {
			t.Errorf("%+v: %q, want %q", tc.params, got, tc.want)
		}
	}
	for name, tc := range map[string]struct {
		params bridge.GlobParams
		want   error
	}{
		"no pattern":    {bridge.GlobParams{}, bridge.ErrInvalid},
		"not":           {bridge.GlobParams{Pattern: "!*.go"}, bridge.ErrInvalid},
		"broken":        {bridge.GlobParams{Pattern: "{a"}, bridge.ErrInvalid},
		"outside":       {bridge.GlobParams{Pattern: "*", Path: ".."}, bridge.ErrOutside},
		"large limit":   {bridge.GlobParams{Pattern: "*", Limit: bridge.MaxEntries + 1}, bridge.ErrInvalid},
		"below a link":  {bridge.GlobParams{Pattern: "*", Path: "etc.go"}, bridge.ErrOutside},
		"a file":        {bridge.GlobParams{Pattern: "*", Path: "main.go"}, bridge.ErrInvalid},
		"not one line":  {bridge.GlobParams{Pattern: "a\nb"}, bridge.ErrInvalid},
		"not a folder?": {bridge.GlobParams{Pattern: "*", Path: "nope"}, bridge.ErrNotFound},
	} {
		if _, err := cl.Glob(t.Context(), tc.params); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
}

func TestSearchCode_ReturnsTheLinesAroundAMatch(t *testing.T) {
	c := start(t, "serve")
	cl := c.dial()
	c.write("a", "1\n2\nhit\n4\n5\n6\n7\n8\nhit\nhit\n11\n12\n")
	c.write("b", "hit\n")
	r, err := cl.SearchCode(t.Context(), bridge.SearchCodeParams{Query: "hit", Context: 2})
	if err != nil {
		t.Fatal(err)
	}
	type around struct {
		Path          string
		Line          int
		Before, After []string
	}
	var got []around
	for _, m := range r.Matches {
		got = append(got, around{m.Path, m.Line, m.Before, m.After})
	}
	want := []around{
		{"a", 3, []string{"1", "2"}, []string{"4", "5"}},
		{"a", 9, []string{"7", "8"}, nil},
		{"a", 10, nil, []string{"11", "12"}},
		{"b", 1, nil, nil},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := cl.SearchCode(t.Context(), bridge.SearchCodeParams{Query: "hit", Context: bridge.MaxContext + 1}); !errors.Is(err, bridge.ErrInvalid) {
		t.Errorf("too much context: %v", err)
	}
}
