package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/bridge"
)

func TestReadFile_ReturnsTextBytesAndParts(t *testing.T) {
	c := start(t, "serve")
	cl := c.dial()
	binary := string([]byte{0, 0xff, 0xfe, 1})
	escapes := strings.Repeat("<\x01&\"", 1000)
	c.write("a.txt", "hällo\n")
	c.write("d/b.bin", binary)
	c.write("escapes", escapes)
	c.write("empty", "")
	for _, tc := range []struct {
		params    bridge.ReadFileParams
		want      string
		encoding  string
		truncated bool
	}{
		{bridge.ReadFileParams{Path: "a.txt"}, "hällo\n", bridge.EncodingUTF8, false},
		{bridge.ReadFileParams{Path: c.workspace + "/a.txt"}, "hällo\n", bridge.EncodingUTF8, false},
		{bridge.ReadFileParams{Path: "./d/../a.txt"}, "hällo\n", bridge.EncodingUTF8, false},
		{bridge.ReadFileParams{Path: "a.txt", Limit: 2}, "h", bridge.EncodingUTF8, true},
		{bridge.ReadFileParams{Path: "a.txt", Offset: 3, Limit: 2}, "ll", bridge.EncodingUTF8, true},
		{bridge.ReadFileParams{Path: "a.txt", Offset: 100}, "", bridge.EncodingUTF8, false},
		{bridge.ReadFileParams{Path: "d/b.bin"}, binary, bridge.EncodingBase64, false},
		{bridge.ReadFileParams{Path: "escapes"}, escapes, bridge.EncodingBase64, false},
		{bridge.ReadFileParams{Path: "empty"}, "", bridge.EncodingUTF8, false},
	} {
		r, err := cl.ReadFile(t.Context(), tc.params)
		if err != nil {
			t.Errorf("%+v: %v", tc.params, err)
			continue
		}
		got, err := r.Bytes()
		if err != nil || string(got) != tc.want || r.Encoding != tc.encoding || r.Truncated != tc.truncated {
			t.Errorf("%+v: %q, %+v, %v", tc.params, got, r, err)
		}
	}
}

func TestReadFile_ALongFileComesInParts(t *testing.T) {
	c := start(t, "serve")
	cl := c.dial()
	content := strings.Repeat("äöü€\x02", 80_000)
	c.write("long", content)
	var got []byte
	for more := true; more; {
		r, err := cl.ReadFile(t.Context(), bridge.ReadFileParams{Path: "long", Offset: int64(len(got))})
		if err != nil {
			t.Fatal(err)
		}
		part, err := r.Bytes()
		if err != nil || r.Size != int64(len(content)) {
			t.Fatalf("%v, size %d", err, r.Size)
		}
		got, more = append(got, part...), r.Truncated
	}
	if string(got) != content {
		t.Errorf("%d bytes, want %d", len(got), len(content))
	}
}

func TestFiles_ErrorsAreNamed(t *testing.T) {
	c := start(t, "serve")
	cl := c.dial()
	c.write("dir/file", "x")
	if err := syscall.Mkfifo(filepath.Join(c.workspace, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	read := func(p bridge.ReadFileParams) error { _, err := cl.ReadFile(t.Context(), p); return err }
	write := func(p bridge.WriteFileParams) error { _, err := cl.WriteFile(t.Context(), p); return err }
	list := func(p bridge.ListFilesParams) error { _, err := cl.ListFiles(t.Context(), p); return err }
	for name, tc := range map[string]struct{ got, want error }{
		"missing":              {read(bridge.ReadFileParams{Path: "nope"}), bridge.ErrNotFound},
		"below a file":         {read(bridge.ReadFileParams{Path: "dir/file/x"}), bridge.ErrNotFound},
		"a folder":             {read(bridge.ReadFileParams{Path: "dir"}), bridge.ErrInvalid},
		"a pipe":               {read(bridge.ReadFileParams{Path: "fifo"}), bridge.ErrInvalid},
		"no path":              {read(bridge.ReadFileParams{}), bridge.ErrInvalid},
		"NUL":                  {read(bridge.ReadFileParams{Path: "a\x00b"}), bridge.ErrInvalid},
		"long path":            {read(bridge.ReadFileParams{Path: strings.Repeat("a/", 2049)}), bridge.ErrInvalid},
		"long name":            {read(bridge.ReadFileParams{Path: strings.Repeat("a", 300)}), bridge.ErrInvalid},
		"negative offset":      {read(bridge.ReadFileParams{Path: "dir/file", Offset: -1}), bridge.ErrInvalid},
		"large limit":          {read(bridge.ReadFileParams{Path: "dir/file", Limit: bridge.MaxContent + 1}), bridge.ErrTooLarge},
		"write to a folder":    {write(bridge.WriteFileParams{Path: "dir"}), bridge.ErrInvalid},
		"write to the root":    {write(bridge.WriteFileParams{Path: "."}), bridge.ErrInvalid},
		"write to a pipe":      {write(bridge.WriteFileParams{Path: "fifo"}), bridge.ErrInvalid},
		"write with a slash":   {write(bridge.WriteFileParams{Path: "new/"}), bridge.ErrInvalid},
		"write without folder": {write(bridge.WriteFileParams{Path: "no/such/file"}), bridge.ErrNotFound},
		"large write":          {write(bridge.WriteFileParams{Path: "x", Content: strings.Repeat("x", bridge.MaxContent+1)}), bridge.ErrTooLarge},
		"no base64":            {write(bridge.WriteFileParams{Path: "x", Content: "%", Encoding: "base64"}), bridge.ErrInvalid},
		"no encoding":          {write(bridge.WriteFileParams{Path: "x", Encoding: "latin1"}), bridge.ErrInvalid},
		"list a file":          {list(bridge.ListFilesParams{Path: "dir/file"}), bridge.ErrInvalid},
		"list nothing":         {list(bridge.ListFilesParams{Path: "nope"}), bridge.ErrNotFound},
		"large list":           {list(bridge.ListFilesParams{Limit: bridge.MaxEntries + 1}), bridge.ErrInvalid},
	} {
		if !errors.Is(tc.got, tc.want) {
			t.Errorf("%s: %v, want %v", name, tc.got, tc.want)
		}
	}
}

// escapes lists paths that lead out of the workspace folder, by themselves or by symlinks made here.
func escapes(t *testing.T, c *container) []string {
	t.Helper()
	secret := filepath.Join(c.home, "secret")
	if err := os.MkdirAll(secret, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(secret, "key"), []byte("the secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{
		"abs":       filepath.Join(secret, "key"),
		"rel":       "../secret/key",
		"absdir":    secret,
		"reldir":    "../secret",
		"chain":     "chain2",
		"chain2":    "sub/up/secret/key",
		"sub/up":    "../..",
		"dangling":  "../secret/new",
		"outandin":  "../workspace/file",
		"proc":      "/proc/self/root" + secret + "/key",
		"workspace": "../workspace",
	} {
		p := filepath.Join(c.workspace, name)
		_ = os.MkdirAll(filepath.Dir(p), 0o755)
		if err := os.Symlink(to, p); err != nil {
			t.Fatal(err)
		}
	}
	c.write("file", "inside")
	return []string{
		"..", "../", "../secret/key", "../workspace/../secret/key", "a/../../secret/key", "sub/../../secret/key",
		secret, filepath.Join(secret, "key"), "/etc/passwd", "/", c.workspace + "/../secret/key", c.workspace + "x/key",
		"abs", "rel", "absdir/key", "reldir/key", "chain", "chain2", "sub/up", "sub/up/secret/key", "dangling", "outandin",
		"proc", "workspace/file", "absdir", "reldir",
	}
}

func TestFiles_NoPathLeavesTheWorkspaceFolder(t *testing.T) {
	c := start(t, "serve")
	c.waitReady()
	cl := c.dial()
	for _, p := range escapes(t, c) {
		if r, err := cl.ReadFile(t.Context(), bridge.ReadFileParams{Path: p}); !errors.Is(err, bridge.ErrOutside) {
			t.Errorf("readFile %s: %+v, %v", p, r, err)
		}
		for _, mkdir := range []bool{false, true} {
			_, err := cl.WriteFile(t.Context(), bridge.WriteFileParams{Path: p, Content: "pwned", CreateDirs: mkdir})
			if err == nil {
				t.Errorf("writeFile %s was done", p)
			} else if !errors.Is(err, bridge.ErrOutside) && !errors.Is(err, bridge.ErrInvalid) {
				t.Errorf("writeFile %s: %v", p, err)
			}
		}
		if r, err := cl.ListFiles(t.Context(), bridge.ListFilesParams{Path: p}); !errors.Is(err, bridge.ErrOutside) {
			t.Errorf("listFiles %s: %+v, %v", p, r, err)
		}
		if r, err := cl.RunCommand(t.Context(), bridge.RunCommandParams{Argv: []string{"pwd"}, Cwd: p}); !errors.Is(err, bridge.ErrOutside) {
			t.Errorf("runCommand in %s: %+v, %v", p, r, err)
		}
		if r, err := cl.EditFile(t.Context(), bridge.EditFileParams{Path: p, Edits: []bridge.Edit{{Old: "secret", New: "pwned"}}}); err == nil {
			t.Errorf("editFile %s: %+v", p, r)
		}
		if r, err := cl.Glob(t.Context(), bridge.GlobParams{Pattern: "*", Path: p}); !errors.Is(err, bridge.ErrOutside) {
			t.Errorf("glob in %s: %+v, %v", p, r, err)
		}
		if r, err := cl.SearchCode(t.Context(), bridge.SearchCodeParams{Query: "secret", Path: p}); !errors.Is(err, bridge.ErrOutside) {
			t.Errorf("searchCode in %s: %+v, %v", p, r, err)
		}
	}
	if b, err := os.ReadFile(filepath.Join(c.home, "secret", "key")); err != nil || string(b) != "the secret" {
		t.Errorf("the secret is %q, %v", b, err)
	}
	if left, _ := os.ReadDir(filepath.Join(c.home, "secret")); len(left) != 1 {
		t.Errorf("something was written outside: %v", left)
	}
	r, err := cl.ListFiles(t.Context(), bridge.ListFilesParams{Recursive: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range r.Entries {
		if strings.Contains(e.Path, "key") {
			t.Errorf("a recursive list went through a symlink: %+v", e)
		}
	}
	s, err := cl.SearchCode(t.Context(), bridge.SearchCodeParams{Query: "the secret"})
	if err != nil || len(s.Matches) > 0 {
		t.Errorf("a search went through a symlink: %+v, %v", s, err)
	}
}

func TestFiles_AWorkspaceFolderThatBecameASymlinkIsRefused(t *testing.T) {
	c := start(t, "serve")
	c.waitReady()
	if err := os.Rename(c.workspace, c.workspace+"2"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc", c.workspace); err != nil {
		t.Fatal(err)
	}
	if _, err := c.dial().ReadFile(t.Context(), bridge.ReadFileParams{Path: "passwd"}); !errors.Is(err, bridge.ErrOutside) {
		t.Errorf("%v", err)
	}
}

func TestWriteFile_ReplacesAtOnceAndKeepsWhatTheFileWas(t *testing.T) {
	c := start(t, "serve")
	c.waitReady()
	cl := c.dial()
	c.write("script.sh", "old")
	c.write("real/file", "old")
	c.write("readonly", "old")
	_ = os.Chmod(filepath.Join(c.workspace, "script.sh"), 0o750)
	_ = os.Chmod(filepath.Join(c.workspace, "readonly"), 0o444)
	for name, to := range map[string]string{"link": "hop", "hop": "real/file", "real/back": "../new", "d": "real", "gone": "nothing"} {
		if err := os.Symlink(to, filepath.Join(c.workspace, name)); err != nil {
			t.Fatal(err)
		}
	}
	write := func(path, content string) {
		t.Helper()
		r, err := cl.WriteFile(t.Context(), bridge.WriteFileParams{Path: path, Content: content, CreateDirs: true})
		if err != nil || r.Size != int64(len(content)) {
			t.Errorf("%s: %+v, %v", path, r, err)
		}
	}
	write("script.sh", "#!/bin/sh\n")
	write("a/b/c.txt", strings.Repeat("<\x01>", bridge.MaxContent/3))
	for name, want := range map[string]string{
		"script.sh": "#!/bin/sh\n", "real/file": "old",
	} {
		if b, err := os.ReadFile(filepath.Join(c.workspace, name)); err != nil || string(b) != want {
			t.Errorf("%s holds %q, %v", name, b, err)
		}
	}
	if info, err := os.Stat(filepath.Join(c.workspace, "script.sh")); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("script.sh: %v, %v", info.Mode(), err)
	}
	// What is written is what the path says, and nothing that a link makes of it.
	for path, says := range map[string]string{
		"link": "link is a symlink to hop", "d/file": "d is a symlink to real", "d/back": "d is a symlink to real",
		"real/back": "real/back is a symlink to ../new", "gone": "gone is a symlink to nothing", "d/x/y": "d is a symlink to real",
	} {
		_, err := cl.WriteFile(t.Context(), bridge.WriteFileParams{Path: path, Content: "x", CreateDirs: true})
		_, edit := cl.EditFile(t.Context(), bridge.EditFileParams{Path: path, Edits: []bridge.Edit{{Old: "old", New: "new"}}})
		for _, err := range []error{err, edit} {
			if !errors.Is(err, bridge.ErrInvalid) || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
	for _, path := range []string{"new", "nothing", "real/x"} {
		if _, err := os.Lstat(filepath.Join(c.workspace, path)); err == nil {
			t.Errorf("%s was made", path)
		}
	}
	if _, err := cl.WriteFile(t.Context(), bridge.WriteFileParams{Path: "readonly"}); !errors.Is(err, bridge.ErrDenied) {
		t.Errorf("a read-only file: %v", err)
	}
	for _, f := range c.tree() {
		if strings.Contains(f, ".kalpana-") {
			t.Errorf("left behind: %s", f)
		}
	}
}

func TestListFiles_ListsNearestFirstAndNotInsideGit(t *testing.T) {
	c := start(t, "serve")
	c.waitReady()
	cl := c.dial()
	c.write("b/deep/file", "12345")
	c.write("a.txt", "123")
	c.write(".git/config", "")
	c.write("node_modules/x/index.js", "")
	_ = os.Symlink("a.txt", filepath.Join(c.workspace, "link"))
	list := func(p bridge.ListFilesParams) (*bridge.ListFilesResult, string) {
		r, err := cl.ListFiles(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for _, e := range r.Entries {
			lines = append(lines, fmt.Sprintf("%s %s %d", e.Type, e.Path, e.Size))
			if e.ModTime < 1e12 {
				t.Errorf("%s: mtime %d", e.Path, e.ModTime)
			}
		}
		return r, strings.Join(lines, "\n")
	}
	_, got := list(bridge.ListFilesParams{Recursive: true})
	want := "dir .git 0\nfile a.txt 3\ndir b 0\nsymlink link 0\ndir node_modules 0\ndir b/deep 0\nfile b/deep/file 5"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, got = list(bridge.ListFilesParams{Path: "b"}); got != "dir b/deep 0" {
		t.Errorf("%q", got)
	}
	if r, got := list(bridge.ListFilesParams{Limit: 2}); got != "dir .git 0\nfile a.txt 3" || !r.Truncated {
		t.Errorf("%q, %+v", got, r)
	}
}

func TestListFiles_AnAnswerFitsIntoAFrameAndIsFitToShow(t *testing.T) {
	c := start(t, "serve")
	c.waitReady()
	for i := range 1100 {
		c.write(fmt.Sprintf("%s%04d\x1b[31m", strings.Repeat("\x01", 230), i), "")
	}
	r, err := c.dial().ListFiles(t.Context(), bridge.ListFilesParams{Limit: bridge.MaxEntries})
	if err != nil || !r.Truncated || len(r.Entries) < 400 {
		t.Fatalf("%d entries, %v", len(r.Entries), err)
	}
	if strings.ContainsAny(r.Entries[0].Path, "\x01\x1b") {
		t.Errorf("%q", r.Entries[0].Path)
	}
}

func FuzzPath(f *testing.F) {
	home := f.TempDir()
	ws := filepath.Join(home, "ws")
	for _, d := range []string{"ws/sub", "out"} {
		_ = os.MkdirAll(filepath.Join(home, d), 0o755)
	}
	_ = os.WriteFile(filepath.Join(home, "out", "s"), []byte("the secret"), 0o644)
	_ = os.WriteFile(filepath.Join(ws, "f"), []byte("inside"), 0o644)
	for name, to := range map[string]string{"l": "../out", "a": home + "/out", "sub/u": "../..", "sub/d": "../l/s", "sub/ok": "../f"} {
		_ = os.Symlink(to, filepath.Join(ws, name))
	}
	for _, s := range []string{"f", "l/s", "a/s", "sub/u/out/s", "sub/d", "../out/s", home + "/out/s", ws + "/../out/s", "sub/ok", "./sub/../l/./s", ""} {
		f.Add(s)
	}
	files := folder{ws}
	f.Fuzz(func(t *testing.T, p string) {
		if rel, err := files.relative(p); err == nil && !filepath.IsLocal(rel) {
			t.Errorf("%q became %q", p, rel)
		}
		if r, err := files.readFile(context.Background(), bridge.ReadFileParams{Path: p}); err == nil && r.Content != "inside" {
			t.Errorf("%q was read: %q", p, r.Content)
		}
		if _, err := files.writeFile(context.Background(), bridge.WriteFileParams{Path: p, Content: "inside"}); err != nil {
			var named *bridge.Error
			if !errors.As(err, &named) {
				t.Errorf("%q: %v has no name", p, err)
			} else if _, err := json.Marshal(named.Message); err != nil || strings.Contains(named.Message, home) {
				t.Errorf("%q: %q", p, named.Message)
			}
		}
		if b, err := os.ReadFile(filepath.Join(home, "out", "s")); err != nil || string(b) != "the secret" {
			t.Fatalf("%q changed what is outside: %q, %v", p, b, err)
		}
		if left, _ := os.ReadDir(filepath.Join(home, "out")); len(left) != 1 {
			t.Fatalf("%q made something outside: %v", p, left)
		}
	})
}
