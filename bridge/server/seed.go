package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
)

// A new workspace's files are prepared in a folder beside the workspace folder, on the same file system:
//
//	.kalpana-seed/new/   being cloned or copied; worth nothing after a kill
//	.kalpana-seed/done/  complete; its contents are being moved into the workspace folder
//
// so that whatever instant the container is killed at, the next start begins again or goes on.
const seedDir = ".kalpana-seed"

var templateForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// filling is how far that is.
type filling struct {
	again chan struct{} // somebody wants it tried again

	mu     sync.Mutex
	ended  bool
	failed string
}

func newFilling() *filling { return &filling{again: make(chan struct{}, 1)} }

// end notes how a try ended.
func (f *filling) end(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	if err != nil {
		f.failed = bridge.Printable(err.Error(), maxLine)
	}
}

// retry has it tried again, if it failed.
func (f *filling) retry() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed == "" {
		return
	}
	f.ended, f.failed = false, ""
	f.again <- struct{}{}
}

// seed fills an empty workspace folder, and lets ready go ahead when that is done or takes too long. It returns when
// ctx is done or the folder is complete; what fails is in the start log, and is tried again at the next start, or when
// somebody asks for it.
func (s *Server) seed(ctx context.Context) {
	late := time.AfterFunc(s.cfg.timing.seedHold, func() {
		s.log.printf("the workspace folder is still being filled; VS Code opens meanwhile")
		s.ready.setSeeded()
	})
	for {
		err := s.fill(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.printf("NOTE: %v", err)
		}
		s.filling.end(err)
		if late.Stop() {
			s.ready.setSeeded()
		}
		if err == nil {
			return
		}
		select {
		case <-s.filling.again:
		case <-ctx.Done():
			return
		}
	}
}

// serveFolder answers bridge.LocalFolderPath.
func (s *Server) serveFolder(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		s.filling.retry()
	}
	s.filling.mu.Lock()
	folder := bridge.LocalFolder{Repository: s.cfg.Repository, Filling: !s.filling.ended, Fault: s.filling.failed}
	s.filling.mu.Unlock()
	// Whoever has put something there since has helped themselves.
	if entries, err := os.ReadDir(s.cfg.WorkspaceDir); err == nil && len(entries) > 0 {
		folder.Fault = ""
	}
	writeJSON(w, http.StatusOK, folder)
}

func (s *Server) fill(ctx context.Context) error {
	workspace := s.cfg.WorkspaceDir
	if err := makeDir(workspace); err != nil {
		return err
	}
	base := filepath.Join(filepath.Dir(workspace), seedDir)
	fresh, done := filepath.Join(base, "new"), filepath.Join(base, "done")
	if err := removeAll(fresh); err != nil {
		return err
	}

	if _, err := os.Lstat(done); errors.Is(err, fs.ErrNotExist) {
		entries, err := os.ReadDir(workspace)
		if err != nil {
			return err
		}
		if len(entries) > 0 {
			return nil
		}
		if err := os.MkdirAll(base, 0o700); err != nil {
			return err
		}
		if err := s.prepare(ctx, fresh); err != nil {
			return errors.Join(err, removeAll(base))
		}
		if err := os.Rename(fresh, done); err != nil {
			return err
		}
	}
	if err := s.moveContents(done, workspace); err != nil {
		return err
	}
	return removeAll(base)
}

// prepare makes dir and fills it from the repository, else from the template.
func (s *Server) prepare(ctx context.Context, dir string) error {
	if s.cfg.Repository == "" {
		return s.copyTemplate(dir)
	}
	if err := s.clone(ctx, dir); err != nil {
		return fmt.Errorf("the repository could not be cloned: %w", err)
	}
	return nil
}

// copyTemplate makes dir a copy of the template, or empty if there is none.
func (s *Server) copyTemplate(dir string) error {
	name := s.cfg.Template
	if name == "" {
		return makeDir(dir)
	}
	if !templateForm.MatchString(name) {
		s.log.printf("NOTE: %q is no name of a template; the workspace starts empty", name)
		return makeDir(dir)
	}
	from := filepath.Join(s.cfg.TemplatesDir, name)
	if _, err := os.Stat(from); errors.Is(err, fs.ErrNotExist) {
		s.log.printf("NOTE: there is no template %q; the workspace starts empty", name)
		return makeDir(dir)
	}
	s.log.printf("copying template %s", name)
	return os.CopyFS(dir, os.DirFS(from))
}

// moveContents moves what is in from into to, .git last: until then git has nothing to report as missing. What
// is there already stays, since someone made it meanwhile.
func (s *Server) moveContents(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	slices.SortStableFunc(entries, func(a, b fs.DirEntry) int { return isGit(a) - isGit(b) })
	for _, e := range entries {
		target := filepath.Join(to, e.Name())
		if _, err := os.Lstat(target); err == nil {
			s.log.printf("NOTE: %s exists already and is kept", e.Name())
			continue
		}
		if err := os.Rename(filepath.Join(from, e.Name()), target); err != nil {
			return fmt.Errorf("moving %s: %w", e.Name(), err)
		}
	}
	return nil
}

func isGit(e fs.DirEntry) int {
	if e.Name() == ".git" {
		return 1
	}
	return 0
}

// makeDir makes a folder of the workspace, with the permissions that a folder made in a terminal has.
func makeDir(dir string) error {
	return os.MkdirAll(dir, 0o755) //nolint:gosec // As above.
}

// removeAll is os.RemoveAll for trees with read-only folders, such as git may leave.
func removeAll(dir string) error {
	if err := os.RemoveAll(dir); err == nil {
		return nil
	}
	_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(p, 0o700) //nolint:gosec // A folder.
		}
		return nil
	})
	return os.RemoveAll(dir)
}
