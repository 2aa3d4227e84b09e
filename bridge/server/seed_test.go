package server

import (
	"context"
	"encoding/json"
	"io/fs"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/bridge"
)

// repository serves a real git repository over HTTP, and returns its address.
func repository(t *testing.T, before func(http.ResponseWriter, *http.Request) bool) string {
	t.Helper()
	dir := t.TempDir()
	git := func(args ...string) string {
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.com",
			"GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.com")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git("init", "-q", "-b", "main", "work")
	for name, content := range map[string]string{"README.md": "cloned\n", "src/main.go": "package main\n", ".hidden": "h"} {
		p := filepath.Join(dir, "work", name)
		_ = os.MkdirAll(filepath.Dir(p), 0o755)
		if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	git("-C", "work", "add", ".")
	git("-C", "work", "commit", "-q", "-m", "first")
	git("clone", "-q", "--bare", "work", "repo.git")
	git("-C", "repo.git", "config", "http.receivepack", "true")

	backend := &cgi.Handler{
		Path: filepath.Join(git("--exec-path"), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1"},
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if before == nil || before(w, r) {
			backend.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL + "/repo.git"
}

// template makes a template in the container's home.
func template(cfg *Config) {
	dir := filepath.Join(cfg.TemplatesDir, "node")
	_ = os.MkdirAll(filepath.Join(dir, "src"), 0o755)
	_ = os.WriteFile(filepath.Join(dir, "src", "index.js"), []byte("// template\n"), 0o644)
	_ = os.WriteFile(filepath.Join(dir, "run.sh"), []byte("#!/bin/sh\n"), 0o755)
	_ = os.Symlink("src/index.js", filepath.Join(dir, "main.js"))
	cfg.Template = "node"
}

// tree lists the workspace folder, without what is inside .git.
func (c *container) tree() (files []string) {
	_ = filepath.WalkDir(c.workspace, func(p string, d fs.DirEntry, _ error) error {
		rel, _ := filepath.Rel(c.workspace, p)
		if d.IsDir() && d.Name() == ".git" {
			files = append(files, rel)
			return filepath.SkipDir
		}
		if !d.IsDir() {
			files = append(files, rel)
		}
		return nil
	})
	return files
}

func (c *container) mustHold(want ...string) {
	c.t.Helper()
	if diff := cmp.Diff(want, c.tree()); diff != "" {
		c.t.Errorf("workspace folder (-want +got):\n%s", diff)
	}
	if _, err := os.Lstat(filepath.Join(c.home, seedDir)); err == nil {
		c.t.Errorf("%s was left behind", seedDir)
	}
}

func TestSeed_TheTemplateIsThereWhenReadyIsAnnounced(t *testing.T) {
	c := start(t, "serve", template)
	c.waitReady()
	c.mustHold("main.js", "run.sh", "src/index.js")
	if info, err := os.Stat(filepath.Join(c.workspace, "run.sh")); err != nil || info.Mode().Perm()&0o100 == 0 {
		t.Errorf("run.sh: %v, %v", info, err)
	}
	if to, err := os.Readlink(filepath.Join(c.workspace, "main.js")); to != "src/index.js" {
		t.Errorf("main.js leads to %q, %v", to, err)
	}
}

func TestSeed_AFolderWithFilesIsLeftAlone(t *testing.T) {
	c := start(t, "serve", template, func(cfg *Config) {
		_ = os.WriteFile(filepath.Join(cfg.WorkspaceDir, "mine"), nil, 0o644)
	})
	c.waitReady()
	c.mustHold("mine")
}

func TestSeed_AnUnknownTemplateGivesAnEmptyFolder(t *testing.T) {
	for _, name := range []string{"nope", "../templates/node", "/etc", "a b"} {
		c := start(t, "serve", func(cfg *Config) { cfg.Template = name })
		c.waitReady()
		c.mustHold()
		if !strings.Contains(c.log.String(), "NOTE: ") {
			t.Errorf("%q: nothing in the log:\n%s", name, c.log)
		}
	}
}

func TestSeed_TheRepositoryIsClonedWithProgressInTheLog(t *testing.T) {
	address := repository(t, nil)
	c := start(t, "serve", template, func(cfg *Config) { cfg.Repository = address })
	c.waitReady()
	c.mustHold(".git", ".hidden", "README.md", "src/main.go")
	for _, want := range []string{"kalpana: cloning " + address, "Receiving objects: 100%", "kalpana: cloned " + address} {
		if !strings.Contains(c.log.String(), want) {
			t.Errorf("%q is not in the log:\n%s", want, c.log)
		}
	}
	r, err := c.dial().RunCommand(context.Background(), bridge.RunCommandParams{Argv: []string{"git", "status", "--porcelain"}})
	if err != nil || r.ExitCode != 0 || r.Stdout != "" {
		t.Errorf("git status: %+v, %v", r, err)
	}
}

func TestSeed_ACloneThatFailsLeavesTheFolderEmptyAndSaysWhy(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	defer gone.Close()
	private := repository(t, func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("WWW-Authenticate", `Basic realm="private"`)
		w.WriteHeader(http.StatusUnauthorized)
		return false
	})
	elsewhere := repository(t, func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Location", "file:///etc")
		w.WriteHeader(http.StatusFound)
		return false
	})
	for _, address := range []string{
		gone.URL + "/x.git", private, elsewhere, "http://127.0.0.1:1/x.git",
		"ext::sh -c 'touch /tmp/owned'", "file:///etc", "--upload-pack=/bin/sh", "ssh://git@example.com/x", "git@example.com:x",
	} {
		c := start(t, "serve", template, func(cfg *Config) { cfg.Repository = address })
		c.waitReady()
		c.mustHold()
		if !strings.Contains(c.log.String(), "NOTE: the repository could not be cloned: ") {
			t.Errorf("%s: no note in the log:\n%s", address, c.log)
		}
		if f := c.folder("GET"); f.Filling || f.Repository != address || !strings.HasPrefix(f.Fault, "the repository could not be cloned: ") {
			t.Errorf("%s: %+v", address, f)
		}
	}
}

// folder asks on the local socket.
func (c *container) folder(method string) bridge.LocalFolder {
	c.t.Helper()
	status, body := c.local(method, bridge.LocalFolderPath, "")
	var f bridge.LocalFolder
	if err := json.Unmarshal([]byte(body), &f); err != nil || status != http.StatusOK {
		c.t.Fatalf("%s: %d %s", method, status, body)
	}
	return f
}

func TestSeed_ACloneThatFailedIsTriedAgainWhenSomebodyAsks(t *testing.T) {
	t.Parallel()
	var there atomic.Bool
	address := repository(t, func(w http.ResponseWriter, r *http.Request) bool {
		if !there.Load() {
			http.NotFound(w, r)
		}
		return there.Load()
	})
	c := start(t, "serve", template, func(cfg *Config) { cfg.Repository = address })
	c.waitReady()
	first := c.folder("GET")
	if first.Fault == "" {
		t.Fatalf("no fault: %+v", first)
	}
	c.folder("POST")
	eventually(t, "the second try to fail as well", func() bool { return c.folder("GET") == first })
	there.Store(true)
	c.folder("POST")
	eventually(t, "the clone to be there", func() bool { return c.folder("GET") == bridge.LocalFolder{Repository: address} })
	c.mustHold(".git", ".hidden", "README.md", "src/main.go")
	if c.folder("POST").Filling {
		t.Error("what is there is cloned once more")
	}
}

func TestSeed_AFolderThatSomebodyFilledHasNoFault(t *testing.T) {
	t.Parallel()
	c := start(t, "serve", func(cfg *Config) { cfg.Repository = "http://127.0.0.1:1/x.git" })
	c.waitReady()
	if f := c.folder("GET"); f.Fault == "" {
		t.Fatalf("no fault: %+v", f)
	}
	if err := os.WriteFile(filepath.Join(c.workspace, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if f := c.folder("GET"); f.Fault != "" {
		t.Errorf("still a fault: %+v", f)
	}
	c.folder("POST")
	eventually(t, "the try to end", func() bool { return !c.folder("GET").Filling })
	c.mustHold("mine")
}

func TestSeed_OnlyPlainHTTPAddressesAreRepositories(t *testing.T) {
	for _, ok := range []string{"https://example.com/a/b", "https://example.com/a/b.git", "http://localhost:3000/x", "https://[2001:db8::1]/x"} {
		if err := checkRepository(ok); err != nil {
			t.Errorf("%s: %v", ok, err)
		}
	}
	for _, bad := range []string{
		"", "-u", "--upload-pack=x", "ext::sh", "file:///etc", "ssh://h/x", "git://h/x", "/etc", "h:x", "https://", "https:///x",
		"https://user:secret@example.com/x", "https://user@example.com/x", "https://example.com/a b", "https://example.com/\nx",
		"https://example.com/\x00", "HTTPS", "https:example.com/x", "https://example.com/" + strings.Repeat("x", 3000), "https://exa\tmple.com",
	} {
		if err := checkRepository(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestSeed_AKilledCloneIsTriedAgain(t *testing.T) {
	address := repository(t, nil)
	c := start(t, "serve", func(cfg *Config) {
		cfg.Repository = address
		left := filepath.Join(filepath.Dir(cfg.WorkspaceDir), seedDir, "new", ".git")
		_ = os.MkdirAll(left, 0o755)
		_ = os.WriteFile(filepath.Join(left, "half"), nil, 0o644)
	})
	c.waitReady()
	c.mustHold(".git", ".hidden", "README.md", "src/main.go")
}

func TestSeed_AKilledMoveGoesOn(t *testing.T) {
	c := start(t, "serve", template, func(cfg *Config) {
		done := filepath.Join(filepath.Dir(cfg.WorkspaceDir), seedDir, "done")
		_ = os.MkdirAll(done, 0o755)
		_ = os.WriteFile(filepath.Join(done, "second"), []byte("from the clone"), 0o644)
		_ = os.WriteFile(filepath.Join(done, "mine"), []byte("from the clone"), 0o644)
		_ = os.WriteFile(filepath.Join(cfg.WorkspaceDir, "first"), nil, 0o644)
		_ = os.WriteFile(filepath.Join(cfg.WorkspaceDir, "mine"), []byte("made meanwhile"), 0o644)
	})
	c.waitReady()
	c.mustHold("first", "mine", "second")
	if b, _ := os.ReadFile(filepath.Join(c.workspace, "mine")); string(b) != "made meanwhile" {
		t.Errorf("a file that was there holds %q", b)
	}
}

func TestSeed_ASlowCloneDoesNotKeepTheWorkspaceFromStarting(t *testing.T) {
	release := make(chan struct{})
	address := repository(t, func(_ http.ResponseWriter, r *http.Request) bool {
		select {
		case <-release:
		case <-r.Context().Done():
		}
		return true
	})
	c := start(t, "serve", func(cfg *Config) {
		cfg.Repository = address
		cfg.timing.seedHold = 200 * time.Millisecond
	})
	began := time.Now()
	c.waitReady()
	if waited := time.Since(began); waited < 150*time.Millisecond {
		t.Errorf("ready after %s: the clone was not waited for", waited)
	}
	if len(c.tree()) > 0 {
		t.Errorf("the clone is there already: %v", c.tree())
	}
	close(release)
	eventually(t, "the clone arrives", func() bool { return len(c.tree()) == 4 })
}

func TestSeed_AStopDuringTheCloneLeavesNothingHalf(t *testing.T) {
	address := repository(t, func(_ http.ResponseWriter, r *http.Request) bool {
		<-r.Context().Done()
		return false
	})
	c := start(t, "serve", template, func(cfg *Config) { cfg.Repository = address })
	eventually(t, "the clone begins", func() bool { return strings.Contains(c.log.String(), "cloning") })
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	c.mustHold()
}
