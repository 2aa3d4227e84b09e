package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/kalpana-dev/kalpana/bridge"
)

// maxSymlinks is how many symlinks in a row a write follows, as in Linux.
const maxSymlinks = 40

func (f folder) readFile(_ context.Context, p bridge.ReadFileParams) (*bridge.ReadFileResult, error) {
	limit := p.Limit
	switch {
	case p.Path == "":
		return nil, bridge.ErrInvalid.With("no path")
	case p.Offset < 0, limit < 0:
		return nil, bridge.ErrInvalid.With("offset and limit cannot be negative")
	case limit > bridge.MaxContent:
		return nil, bridge.ErrTooLarge.With("at most %d bytes at a time", bridge.MaxContent)
	case limit == 0:
		limit = bridge.MaxContent
	}
	root, rel, err := f.locate(p.Path)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	file, info, err := openAny(root, rel)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if err := regular(info); err != nil {
		return nil, err
	}

	content, err := io.ReadAll(io.NewSectionReader(file, p.Offset, limit))
	if err != nil {
		return nil, fileError(err)
	}
	truncated := p.Offset+int64(len(content)) < info.Size()
	if truncated {
		content = wholeRunes(content)
	}
	result := &bridge.ReadFileResult{Size: info.Size(), Truncated: truncated}
	result.Content, result.Encoding = bridge.EncodeContent(content)
	return result, nil
}

// wholeRunes drops the character at the end that is not complete, if what is before it is UTF-8.
func wholeRunes(b []byte) []byte {
	for cut := 1; cut < utf8.UTFMax && cut < len(b); cut++ {
		if at := len(b) - cut; utf8.RuneStart(b[at]) {
			if !utf8.FullRune(b[at:]) && utf8.Valid(b[:at]) {
				return b[:at]
			}
			break
		}
	}
	return b
}

// regular refuses what is not a plain file.
func regular(info fs.FileInfo) error {
	switch {
	case info.Mode().IsRegular():
		return nil
	case info.IsDir():
		return bridge.ErrInvalid.With("this is a folder")
	}
	return bridge.ErrInvalid.With("this is not a regular file")
}

func (f folder) writeFile(_ context.Context, p bridge.WriteFileParams) (*bridge.WriteFileResult, error) {
	if p.Path == "" || strings.HasSuffix(p.Path, "/") {
		return nil, bridge.ErrInvalid.With("the path names no file")
	}
	content, err := bridge.DecodeContent(p.Content, p.Encoding)
	if err != nil {
		return nil, err
	}
	root, rel, err := f.locate(p.Path)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if p.CreateDirs {
		if err := root.MkdirAll(path.Dir(rel), 0o755); err != nil {
			return nil, fileError(err)
		}
	}
	target, mode, err := writeTarget(root, rel)
	if err != nil {
		return nil, err
	}
	if err := replace(root, target, content, mode); err != nil {
		return nil, fileError(err)
	}
	return &bridge.WriteFileResult{Size: int64(len(content))}, nil
}

// writeTarget follows the symlinks at the end of rel, and returns the path to write and its permissions. The
// path is not cleaned: behind a symlink to a folder, ".." is not the folder before it, and os.Root knows.
func writeTarget(root *os.Root, rel string) (string, fs.FileMode, error) {
	for range maxSymlinks {
		info, err := root.Lstat(rel)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return rel, 0o644, nil
		case err != nil:
			return "", 0, fileError(err)
		case info.Mode().IsRegular() && info.Mode()&0o200 == 0:
			return "", 0, bridge.ErrDenied.With("the file is read-only")
		case info.Mode().Type() != fs.ModeSymlink:
			return rel, info.Mode().Perm(), regular(info)
		}
		to, err := root.Readlink(rel)
		if err != nil {
			return "", 0, fileError(err)
		}
		if path.IsAbs(to) {
			return "", 0, bridge.ErrOutside
		}
		rel = dirOf(rel) + "/" + to
	}
	return "", 0, bridge.ErrInvalid.With("too many symlinks")
}

// dirOf is path.Dir without cleaning.
func dirOf(rel string) string {
	if i := strings.LastIndexByte(rel, '/'); i >= 0 {
		return rel[:i]
	}
	return "."
}

// replace puts content at target: first into a file beside it, which then takes its name.
func replace(root *os.Root, target string, content []byte, mode fs.FileMode) (err error) {
	temp := fmt.Sprintf("%s/.kalpana-%s.tmp", dirOf(target), rand.Text())
	file, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = root.Remove(temp)
		}
	}()
	_, err = file.Write(content)
	if err == nil {
		err = file.Chmod(mode)
	}
	if err == nil {
		err = file.Sync() // Else a power cut could leave the name with nothing behind it.
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return root.Rename(temp, target)
}
