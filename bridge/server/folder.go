package server

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/kalpana-dev/kalpana/bridge"
)

// folder gives access to the workspace folder and to nothing else. Each operation opens it anew, since people
// may rename or replace it, and works on paths relative to it through an os.Root, which follows no symlink
// out of it.
type folder struct{ dir string }

// open returns the workspace folder. It refuses one that has been replaced by a symlink.
func (f folder) open() (*os.Root, error) {
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return nil, fileError(err)
	}
	named, err := os.Lstat(f.dir)
	if err == nil {
		var opened fs.FileInfo
		if opened, err = root.Stat("."); err == nil && !os.SameFile(named, opened) {
			err = bridge.ErrOutside
		}
	}
	if err != nil {
		root.Close()
		return nil, fileError(err)
	}
	return root, nil
}

// relative returns p as a clean path relative to the folder, "." being the folder itself. It looks at the text
// alone: symlinks are the os.Root's part.
func (f folder) relative(p string) (string, error) {
	if len(p) > bridge.MaxPath {
		return "", bridge.ErrInvalid.With("a path of more than %d bytes", bridge.MaxPath)
	}
	if strings.IndexByte(p, 0) >= 0 {
		return "", bridge.ErrInvalid.With("a path with a NUL byte")
	}
	p = path.Clean(p)
	if path.IsAbs(p) {
		if p == f.dir {
			return ".", nil
		}
		inside, ok := strings.CutPrefix(p, strings.TrimSuffix(f.dir, "/")+"/")
		if !ok {
			return "", bridge.ErrOutside
		}
		p = inside
	}
	if !filepath.IsLocal(p) {
		return "", bridge.ErrOutside
	}
	return p, nil
}

// locate opens the folder for a path in it.
func (f folder) locate(p string) (*os.Root, string, error) {
	rel, err := f.relative(p)
	if err != nil {
		return nil, "", err
	}
	root, err := f.open()
	return root, rel, err
}

// openDir opens a folder in the workspace folder, to be the working directory of a child: see inside.
func (f folder) openDir(p string) (dir *os.File, rel string, err error) {
	root, rel, err := f.locate(p)
	if err != nil {
		return nil, "", err
	}
	defer root.Close()
	dir, info, err := openAny(root, rel)
	if err != nil {
		return nil, "", err
	}
	if !info.IsDir() {
		dir.Close()
		return nil, "", bridge.ErrInvalid.With("%s is not a folder", rel)
	}
	return dir, rel, nil
}

// openAny opens a file or folder for reading. It does not wait for the other end of a pipe.
func openAny(root *os.Root, rel string) (*os.File, fs.FileInfo, error) {
	file, err := root.OpenFile(rel, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fileError(err)
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, nil, fileError(err)
	}
	return file, info, nil
}

// fileError makes a named error of an error of the file system. The path stays out of it: the caller named it.
func fileError(err error) error {
	var named *bridge.Error
	var at *fs.PathError
	var link *os.LinkError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &named):
		return named
	case isEscape(err):
		return bridge.ErrOutside
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return bridge.ErrNotFound
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return bridge.ErrDenied
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return bridge.ErrDiskFull
	case errors.Is(err, syscall.EISDIR):
		return bridge.ErrInvalid.With("this is a folder")
	case errors.Is(err, syscall.ELOOP):
		return bridge.ErrInvalid.With("too many symlinks")
	case errors.Is(err, syscall.ENAMETOOLONG):
		return bridge.ErrInvalid.With("the name is too long")
	case errors.As(err, &at):
		return bridge.ErrInternal.With("%v", at.Err)
	case errors.As(err, &link):
		return bridge.ErrInternal.With("%v", link.Err)
	}
	return bridge.ErrInternal.With("%v", err)
}

// isEscape recognises the error of os.Root for a path that leads out of it; package os has no name for it.
func isEscape(err error) bool {
	for err != nil {
		if err.Error() == "path escapes from parent" {
			return true
		}
		err = errors.Unwrap(err)
	}
	return false
}
