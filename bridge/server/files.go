package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/kalpana-dev/kalpana/bridge"
)

func (f folder) readFile(_ context.Context, p bridge.ReadFileParams) (*bridge.ReadFileResult, error) {
	limit := p.Limit
	switch {
	case p.Path == "":
		return nil, bridge.ErrInvalid.With("no path")
	case p.Offset < 0, limit < 0:
		return nil, bridge.ErrInvalid.With("offset and limit cannot be negative")
	case limit > bridge.MaxContent:
		return nil, bridge.ErrTooLarge.With("at most %d bytes at a time", bridge.MaxContent)
	case p.Line < 0, p.Lines < 0, p.Lines > 0 && p.Line == 0:
		return nil, bridge.ErrInvalid.With("line is from 1 on, and lines go with it")
	case p.Line > 0 && (p.Offset > 0 || p.Limit > 0):
		return nil, bridge.ErrInvalid.With("give either line and lines, or offset and limit")
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

	result := &bridge.ReadFileResult{Size: info.Size()}
	var content []byte
	if p.Line > 0 {
		content, err = readLines(file, p, result)
	} else {
		content, err = io.ReadAll(io.NewSectionReader(file, p.Offset, limit))
		result.Truncated = p.Offset+int64(len(content)) < info.Size()
	}
	if err != nil {
		return nil, fileError(err)
	}
	result.Binary = bytes.IndexByte(content, 0) >= 0
	if result.Truncated {
		content = wholeRunes(content)
	}
	result.Binary = result.Binary || !utf8.Valid(content)
	if result.Version, err = versionOf(file, info); err != nil {
		return nil, fileError(err)
	}
	result.Content, result.Encoding = bridge.EncodeContent(content)
	return result, nil
}

// readLines returns the lines that p asks for, as many as fit.
func readLines(file *os.File, p bridge.ReadFileParams, result *bridge.ReadFileResult) ([]byte, error) {
	if result.Size > bridge.MaxLinesFile {
		return nil, bridge.ErrTooLarge.With("a file of more than %d bytes is read by offset and limit", bridge.MaxLinesFile)
	}
	all, err := io.ReadAll(io.NewSectionReader(file, 0, bridge.MaxLinesFile))
	if err != nil {
		return nil, err
	}
	from, to, line := len(all), len(all), 0
	for at := 0; at < len(all); line++ {
		switch {
		case line == p.Line-1:
			from = at
		case p.Lines > 0 && line == p.Line-1+p.Lines:
			to = at
		}
		if n := bytes.IndexByte(all[at:], '\n'); n >= 0 {
			at += n + 1
		} else {
			at = len(all)
		}
	}
	result.TotalLines = line
	if to-from > bridge.MaxContent {
		to = from + bridge.MaxContent
		if n := bytes.LastIndexByte(all[from:to], '\n'); n >= 0 {
			to = from + n + 1
		}
	}
	result.Truncated = to < len(all)
	return all[from:to], nil
}

// hashedSize bounds what is hashed to tell whether a file has changed; larger ones are told by their
// times, which a careless clock may repeat.
const hashedSize = 1 << 20

// versionOf names what an opened file holds.
func versionOf(file *os.File, info fs.FileInfo) (string, error) {
	if info.Size() > hashedSize {
		stat, _ := info.Sys().(*syscall.Stat_t)
		return fmt.Sprintf("t%d-%d-%d-%d", info.Size(), stat.Ino, stat.Mtim.Nano(), stat.Ctim.Nano()), nil
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, io.NewSectionReader(file, 0, hashedSize)); err != nil {
		return "", err
	}
	return versionOfHash(hash.Sum(nil)), nil
}

func versionOfHash(sum []byte) string { return "h" + hex.EncodeToString(sum[:16]) }

// versionOfContent is versionOf for a file that was just written, whose times are not looked at.
func versionOfContent(content []byte) string {
	sum := sha256.Sum256(content)
	return versionOfHash(sum[:])
}

// unchanged refuses a write that was meant for what a file held before. Between this look and the write
// another may still come: a file system knows no compare and swap.
func unchanged(root *os.Root, target, want string) error {
	if want == "" {
		return nil
	}
	file, info, err := openAny(root, target)
	if errors.Is(err, bridge.ErrNotFound) {
		if want == bridge.VersionNone {
			return nil
		}
		return bridge.ErrChanged
	}
	if err != nil {
		return err
	}
	defer file.Close()
	if err := regular(info); err != nil {
		return err
	}
	version, err := versionOf(file, info)
	if err != nil {
		return fileError(err)
	}
	if version != want {
		return bridge.ErrChanged
	}
	return nil
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
	mode, err := writeTarget(root, rel)
	if err != nil {
		return nil, err
	}
	if p.CreateDirs {
		if err := root.MkdirAll(path.Dir(rel), 0o755); err != nil {
			return nil, fileError(err)
		}
	}
	if err := unchanged(root, rel, p.IfVersion); err != nil {
		return nil, err
	}
	if err := replace(root, rel, content, mode); err != nil {
		return nil, fileError(err)
	}
	return &bridge.WriteFileResult{Size: int64(len(content)), Version: versionOfContent(content)}, nil
}

// writeTarget returns the permissions that a file has, or is to have. A path that leads through a symlink is refused:
// whoever allowed the write, a person or a rule, went by what the path says.
func writeTarget(root *os.Root, rel string) (fs.FileMode, error) {
	for end := 0; end < len(rel); {
		end++
		if n := strings.IndexByte(rel[end:], '/'); n >= 0 {
			end += n
		} else {
			end = len(rel)
		}
		info, err := root.Lstat(rel[:end])
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return 0o644, nil
		case err != nil:
			return 0, fileError(err)
		case info.Mode().Type() == fs.ModeSymlink:
			return 0, throughLink(root, rel[:end])
		case end < len(rel):
		case info.Mode().IsRegular() && info.Mode()&0o200 == 0:
			return 0, bridge.ErrDenied.With("the file is read-only")
		default:
			return info.Mode().Perm(), regular(info)
		}
	}
	return 0, bridge.ErrInvalid.With("the path names no file")
}

// throughLink says why nothing is written through a symlink.
func throughLink(root *os.Root, link string) error {
	to, err := root.Readlink(link)
	if _, statErr := root.Stat(link); isEscape(statErr) {
		err = statErr
	}
	if err != nil {
		return fileError(err)
	}
	return bridge.ErrInvalid.With("%s is a symlink to %s: name the file by its own path", link, to)
}

// replace puts content at target: first into a file beside it, which then takes its name.
func replace(root *os.Root, target string, content []byte, mode fs.FileMode) (err error) {
	temp := fmt.Sprintf("%s/.kalpana-%s.tmp", path.Dir(target), rand.Text())
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
