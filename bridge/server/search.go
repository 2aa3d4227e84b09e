package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/kalpana-dev/kalpana/bridge"
)

const (
	// maxEvent bounds one line of ripgrep's JSON; a match on a longer one is left out.
	maxEvent = 4 << 20
	// beforeMatch is how much of a long line is kept before the match, in characters.
	beforeMatch = 60
	// searchBytes bounds the matches of one answer as JSON.
	searchBytes = bridge.MaxFrame - 64<<10
)

func (c commands) searchCode(ctx context.Context, p bridge.SearchCodeParams) (*bridge.SearchCodeResult, error) {
	limit, err := limitOf(p.Limit, bridge.DefaultMatches, bridge.MaxMatches)
	switch {
	case err != nil:
		return nil, err
	case p.Query == "":
		return nil, bridge.ErrInvalid.With("no query")
	case len(p.Query) > bridge.MaxString, len(p.Glob) > bridge.MaxString:
		return nil, bridge.ErrTooLarge.With("query and glob are at most %d bytes", bridge.MaxString)
	case p.Context < 0 || p.Context > bridge.MaxContext:
		return nil, bridge.ErrInvalid.With("context is from 0 to %d lines", bridge.MaxContext)
	case p.TimeoutSeconds < 0 || p.TimeoutSeconds > bridge.MaxSearchSeconds:
		return nil, bridge.ErrInvalid.With("timeoutSeconds is from 1 to %d", bridge.MaxSearchSeconds)
	case strings.ContainsAny(p.Query, "\x00\n"), strings.ContainsAny(p.Glob, "\x00\n"):
		return nil, bridge.ErrInvalid.With("query and glob are one line without NUL")
	}
	root, rel, err := c.folder.locate(p.Path)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	place, info, err := openAny(root, rel)
	if err != nil {
		return nil, err
	}
	defer place.Close()

	allowed := time.Duration(p.TimeoutSeconds) * time.Second
	if allowed == 0 {
		allowed = bridge.DefaultSearchSeconds * time.Second
	}
	ctx, cancel := context.WithTimeoutCause(ctx, allowed, errTimeLimit)
	defer cancel()
	var cmd *exec.Cmd
	where := func(found string) string { return path.Join(rel, found) }
	if info.IsDir() {
		cmd = c.inside(ctx, place, rel, c.searchArgv(p, "."))
	} else if err := regular(info); err != nil {
		return nil, err
	} else {
		// A file is handed over opened, since its path might lead elsewhere by now.
		dir, dirRel, err := c.folder.openDir("")
		if err != nil {
			return nil, err
		}
		defer dir.Close()
		cmd = c.inside(ctx, dir, dirRel, c.searchArgv(p, "/proc/self/fd/3"))
		cmd.ExtraFiles = []*os.File{place}
		where = func(string) string { return rel }
	}
	return search(ctx, cancel, cmd, &findings{limit: limit, context: p.Context, where: where})
}

func (c commands) searchArgv(p bridge.SearchCodeParams, place string) []string {
	argv := []string{"rg", "--json", "--no-config", "--no-messages", "--hidden", "--no-require-git", "--threads=" + itoa(c.threads)}
	if !p.Regex {
		argv = append(argv, "--fixed-strings")
	}
	if p.CaseSensitive {
		argv = append(argv, "--case-sensitive")
	} else {
		argv = append(argv, "--ignore-case")
	}
	if p.Context > 0 {
		argv = append(argv, fmt.Sprintf("--context=%d", p.Context))
	}
	if p.Glob != "" {
		argv = append(argv, "--glob="+p.Glob)
	}
	return append(argv, "--glob=!.git", "--", p.Query, place)
}

// searchThreads is how many threads a search has where a container may use so many processors.
func searchThreads(processors float64) int { return min(max(int(math.Ceil(processors)), 2), 8) }

// search runs ripgrep until it ends, limit is reached or ctx is done.
func search(ctx context.Context, stop func(), cmd *exec.Cmd, found *findings) (*bridge.SearchCodeResult, error) {
	inTime, err := ripgrep(ctx, stop, cmd, found.read, func() bool { return len(found.matches) > 0 })
	if err != nil {
		return nil, err
	}
	found.truncated = found.truncated || !inTime
	slices.SortStableFunc(found.matches, func(a, b bridge.SearchMatch) int {
		if c := strings.Compare(a.Path, b.Path); c != 0 {
			return c
		}
		return a.Line - b.Line
	})
	return &bridge.SearchCodeResult{Matches: found.matches, Truncated: found.truncated}, nil
}

// ripgrep runs it until it ends, read has enough, or ctx is done; inTime is false where the time was over
// before it was through. What is wrong with its parameters is ErrInvalid, where nothing was found all the same.
func ripgrep(ctx context.Context, stop func(), cmd *exec.Cmd, read func(io.Reader) (enough bool), found func() bool) (inTime bool, err error) {
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return false, bridge.ErrInternal.With("%v", err)
	}
	var stderr output
	cmd.Stderr = &stderr
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return false, startFailed("rg", err)
	}
	enough := read(stdout)
	if enough {
		stop()
	}
	err = cmd.Wait()
	switch code := cmd.ProcessState.ExitCode(); {
	case enough:
	case ctx.Err() != nil && !errors.Is(context.Cause(ctx), errTimeLimit):
		return false, bridge.ErrCancelled
	case ctx.Err() != nil:
		return false, nil
	case code == 2 && !found():
		reason, _ := stderr.text()
		if reason = strings.TrimSpace(reason); reason != "" {
			return false, bridge.ErrInvalid.With("%s", bridge.Printable(lastLine(reason), 400))
		}
	case code > 2 || code < 0:
		return false, bridge.ErrInternal.With("rg: %v", err)
	}
	return true, nil
}

// lastLine is where ripgrep says what is wrong with an expression.
func lastLine(s string) string { return s[strings.LastIndexByte(s, '\n')+1:] }

// findings collects matches.
type findings struct {
	limit     int
	context   int // lines before and after
	where     func(string) string
	matches   []bridge.SearchMatch
	size      int
	truncated bool

	before []string // context lines that belong to the next match, if it is near
	near   int      // line number after the last of them
}

// read takes ripgrep's events until there are no more, or until enough was found, which it reports.
func (f *findings) read(r io.Reader) (full bool) {
	f.matches = []bridge.SearchMatch{}
	lines := bufio.NewReaderSize(r, 64<<10)
	for {
		event, err := readEvent(lines)
		if errors.Is(err, errLongEvent) {
			f.truncated = true
			continue
		}
		if err != nil {
			return false
		}
		match, kind := eventOf(event)
		switch kind {
		case eventMatch:
			match.Path = f.where(match.Path)
			if f.near == match.Line {
				match.Before = f.before
			}
			f.before, f.near = nil, 0
			f.size += bridge.JSONSize(match.Path) + bridge.JSONSize(match.Text) + entryBytes
			for _, line := range match.Before {
				f.size += bridge.JSONSize(line)
			}
			if len(f.matches) == f.limit || f.size > searchBytes {
				f.truncated = true
				return true
			}
			f.matches = append(f.matches, match)
		case eventContext:
			f.around(match)
		case eventBegin:
			f.before, f.near = nil, 0
		}
	}
}

// around takes a line of context: the last match's, if that is near enough, or else the next one's.
func (f *findings) around(line bridge.SearchMatch) {
	if n := len(f.matches); n > 0 {
		if last := &f.matches[n-1]; last.Path == f.where(line.Path) && line.Line == last.Line+len(last.After)+1 && len(last.After) < f.context {
			last.After = append(last.After, line.Text)
			f.size += bridge.JSONSize(line.Text)
			return
		}
	}
	if f.near != line.Line {
		f.before = nil
	}
	f.before, f.near = append(f.before, line.Text), line.Line+1
}

var errLongEvent = errors.New("an event above the limit")

// readEvent returns one line, or errLongEvent after having read past a line that is too long.
func readEvent(r *bufio.Reader) ([]byte, error) {
	var line []byte
	long := false
	for {
		part, err := r.ReadSlice('\n')
		if !long {
			line = append(line, part...)
			if len(line) > maxEvent {
				line, long = nil, true
			}
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil:
			return nil, err
		case long:
			return nil, errLongEvent
		}
		return line, nil
	}
}

// rgText is a string of ripgrep's JSON: text, or base64 where it is not UTF-8.
type rgText struct {
	Text  *string `json:"text"`
	Bytes []byte  `json:"bytes"`
}

func (t rgText) bytes() []byte {
	if t.Text != nil {
		return []byte(*t.Text)
	}
	return t.Bytes
}

type eventKind int

const (
	eventOther eventKind = iota
	eventBegin           // of a file
	eventMatch
	eventContext
)

// eventOf reads an event of ripgrep: a line that matches, or one beside it
// (https://docs.rs/grep-printer/latest/grep_printer/struct.JSON.html).
func eventOf(event []byte) (bridge.SearchMatch, eventKind) {
	var e struct {
		Type string `json:"type"`
		Data struct {
			Path       rgText `json:"path"`
			Lines      rgText `json:"lines"`
			LineNumber int    `json:"line_number"`
			Submatches []struct {
				Start int `json:"start"`
			} `json:"submatches"`
		} `json:"data"`
	}
	kind := eventOther
	switch {
	case bytes.HasPrefix(event, []byte(`{"type":"match"`)):
		kind = eventMatch
	case bytes.HasPrefix(event, []byte(`{"type":"context"`)):
		kind = eventContext
	case bytes.HasPrefix(event, []byte(`{"type":"begin"`)):
		return bridge.SearchMatch{}, eventBegin
	}
	if kind == eventOther || json.Unmarshal(event, &e) != nil {
		return bridge.SearchMatch{}, eventOther
	}
	line := bytes.TrimRight(e.Data.Lines.bytes(), "\r\n")
	start := 0
	if len(e.Data.Submatches) > 0 {
		start = max(0, min(e.Data.Submatches[0].Start, len(line)))
	}
	return bridge.SearchMatch{
		Path:   valid(string(e.Data.Path.bytes())),
		Line:   e.Data.LineNumber,
		Column: utf8.RuneCount(line[:start]) + 1,
		Text:   excerpt(line, start),
	}, kind
}

// excerpt returns line, or at most bridge.MaxMatchText bytes of it that begin shortly before start.
func excerpt(line []byte, start int) string {
	if text := valid(string(line)); len(text) <= bridge.MaxMatchText {
		return text
	}
	from := start
	for i := 0; i < beforeMatch && from > 0; i++ {
		_, size := utf8.DecodeLastRune(line[:from])
		from -= size
	}
	window := line[from:min(len(line), from+2*bridge.MaxMatchText)]
	return prefix(valid(string(window)), bridge.MaxMatchText)
}
