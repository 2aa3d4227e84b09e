package server

import (
	"bufio"
	"context"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
)

// globFiles is how many files a glob looks at the times of.
const globFiles = 200_000

// glob finds files by their names, by way of ripgrep, which knows what is ignored.
func (c commands) glob(ctx context.Context, p bridge.GlobParams) (*bridge.GlobResult, error) {
	limit, err := limitOf(p.Limit, bridge.DefaultEntries, bridge.MaxEntries)
	switch {
	case err != nil:
		return nil, err
	case p.Pattern == "":
		return nil, bridge.ErrInvalid.With("no pattern")
	case len(p.Pattern) > bridge.MaxString:
		return nil, bridge.ErrTooLarge.With("a pattern is at most %d bytes", bridge.MaxString)
	case strings.ContainsAny(p.Pattern, "\x00\n"):
		return nil, bridge.ErrInvalid.With("a pattern is one line without NUL")
	case strings.HasPrefix(p.Pattern, "!"):
		return nil, bridge.ErrInvalid.With("a pattern says which files, not which files not")
	}
	root, rel, err := c.folder.locate(p.Path)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	place, rel, err := c.folder.openDir(rel)
	if err != nil {
		return nil, err
	}
	defer place.Close()

	ctx, cancel := context.WithTimeoutCause(ctx, bridge.DefaultSearchSeconds*time.Second, errTimeLimit)
	defer cancel()
	cmd := c.inside(ctx, place, rel, []string{
		"rg", "--files", "--null", "--no-config", "--no-messages", "--hidden", "--no-require-git", "--threads=" + itoa(c.threads),
		"--glob=" + p.Pattern, "--glob=!.git", ".",
	})
	result := &bridge.GlobResult{Entries: []bridge.FileEntry{}}
	read := func(stdout io.Reader) (enough bool) {
		for names := bufio.NewReaderSize(stdout, 64<<10); ; {
			name, err := names.ReadString(0)
			if err != nil {
				return false
			}
			if len(result.Entries) == globFiles {
				result.Truncated = true
				return true
			}
			found := path.Join(rel, strings.TrimSuffix(name, "\x00"))
			if info, err := root.Lstat(found); err == nil && info.Mode().IsRegular() {
				if entry, ok := describe(valid(found), fs.FileInfoToDirEntry(info)); ok {
					result.Entries = append(result.Entries, entry)
				}
			}
		}
	}
	inTime, err := ripgrep(ctx, cancel, cmd, read, func() bool { return len(result.Entries) > 0 })
	if err != nil {
		return nil, err
	}
	result.Truncated = result.Truncated || !inTime
	slices.SortFunc(result.Entries, func(a, b bridge.FileEntry) int {
		if a.ModTime != b.ModTime {
			return int(min(max(b.ModTime-a.ModTime, -1), 1))
		}
		return strings.Compare(a.Path, b.Path)
	})
	size := 0
	for i, e := range result.Entries {
		size += bridge.JSONSize(e.Path) + entryBytes
		if i == limit || size > listBytes {
			result.Entries, result.Truncated = result.Entries[:i], true
			break
		}
	}
	return result, nil
}
