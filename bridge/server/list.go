package server

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/kalpana-dev/kalpana/bridge"
)

const (
	// listBytes bounds the entries of one answer as JSON, so that it fits into a frame.
	listBytes = bridge.MaxFrame - 64<<10
	// entryBytes is what an entry needs beside its path.
	entryBytes = 100
	// maxDirEntries is how many names of one folder are looked at.
	maxDirEntries = 20000
)

func (f folder) listFiles(ctx context.Context, p bridge.ListFilesParams) (*bridge.ListFilesResult, error) {
	limit, err := limitOf(p.Limit, bridge.DefaultEntries, bridge.MaxEntries)
	if err != nil {
		return nil, err
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
	file.Close()
	if !info.IsDir() {
		return nil, bridge.ErrInvalid.With("this is not a folder")
	}

	result := &bridge.ListFilesResult{Entries: []bridge.FileEntry{}}
	size := 0
	for folders := []string{rel}; len(folders) > 0; folders = folders[1:] {
		dir := folders[0]
		entries, more, err := readDir(root, dir)
		if err != nil && dir == rel {
			return nil, fileError(err)
		}
		// A folder further down that cannot be read, or is gone by now, is listed itself and that is all.
		result.Truncated = result.Truncated || more
		for _, e := range entries {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			entry, ok := describe(path.Join(dir, e.Name()), e)
			if !ok {
				continue
			}
			size += bridge.JSONSize(entry.Path) + entryBytes
			if len(result.Entries) == limit || size > listBytes {
				result.Truncated = true
				return result, nil
			}
			result.Entries = append(result.Entries, entry)
			if p.Recursive && e.IsDir() && e.Name() != ".git" && e.Name() != "node_modules" {
				folders = append(folders, entry.Path)
			}
		}
	}
	return result, nil
}

// readDir returns a folder's entries sorted by name, and whether there are more than it looked at.
func readDir(root *os.Root, dir string) (entries []fs.DirEntry, more bool, err error) {
	file, info, err := openAny(root, dir)
	if err != nil {
		return nil, false, err
	}
	defer file.Close()
	if !info.IsDir() {
		return nil, false, nil
	}
	entries, err = file.ReadDir(maxDirEntries)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, len(entries) == maxDirEntries, err
}

// describe returns the entry of a file, and false if the file is gone by now.
func describe(rel string, e fs.DirEntry) (bridge.FileEntry, bool) {
	info, err := e.Info()
	if err != nil {
		return bridge.FileEntry{}, false
	}
	entry := bridge.FileEntry{Path: rel, Type: bridge.TypeOther, ModTime: info.ModTime().UnixMilli()}
	switch {
	case info.Mode().IsRegular():
		entry.Type, entry.Size = bridge.TypeFile, info.Size()
	case info.IsDir():
		entry.Type = bridge.TypeDir
	case info.Mode().Type() == fs.ModeSymlink:
		entry.Type = bridge.TypeSymlink
	}
	return entry, true
}

// limitOf reads a limit from the parameters.
func limitOf(n, byDefault, most int) (int, error) {
	switch {
	case n < 0:
		return 0, bridge.ErrInvalid.With("limit cannot be negative")
	case n > most:
		return 0, bridge.ErrInvalid.With("limit is at most %d", most)
	case n == 0:
		return byDefault, nil
	}
	return n, nil
}
