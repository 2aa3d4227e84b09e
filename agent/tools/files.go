package tools

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/aymanbagabas/go-udiff"

	"github.com/kalpana-dev/kalpana/bridge"
)

const (
	// maxReadLines and maxReadBytes bound one readFile.
	maxReadLines = 2000
	maxReadBytes = 50 << 10
)

type readFileInput struct {
	Path  string `json:"path"`
	Line  int    `json:"line,omitempty"`
	Lines int    `json:"lines,omitempty"`
}

func readFile() Tool {
	return define(Tool{
		Name: "readFile",
		Description: "Reads a text file of the workspace, with line numbers. At most 2000 lines and 50 KB at a time: for the rest, and for a part of a long file, give line and lines. " +
			"A file must be read before it is written or edited. Prefer it to cat, head, sed -n.",
		Parameters: json.RawMessage(`{"type":"object","properties":{
"path":{"type":"string","description":"Path of the file, relative to the workspace folder."},
"line":{"type":"integer","minimum":1,"description":"First line to read, from 1. Default 1."},
"lines":{"type":"integer","minimum":1,"maximum":2000,"description":"How many lines to read at most. Default 2000."}},
"required":["path"],"additionalProperties":false}`),
		Reads: true,
	}, func(p *readFileInput) string {
		switch {
		case p.Line > 0 && p.Lines > 0:
			return fmt.Sprintf("Read %s, lines %d–%d", p.Path, p.Line, p.Line+p.Lines-1)
		case p.Line > 1:
			return fmt.Sprintf("Read %s from line %d", p.Path, p.Line)
		}
		return "Read " + p.Path
	}, runReadFile)
}

func runReadFile(ctx context.Context, env *Env, _ Call, p *readFileInput) (*Result, error) {
	if p.Path == "" {
		return nil, required("readFile", "path")
	}
	p.Line = max(p.Line, 1)
	if p.Lines <= 0 || p.Lines > maxReadLines {
		p.Lines = maxReadLines
	}
	r, err := ask(ctx, env, func(cl *bridge.Client) (*bridge.ReadFileResult, error) {
		return cl.ReadFile(ctx, bridge.ReadFileParams{Path: p.Path, Line: p.Line, Lines: p.Lines})
	})
	if errors.Is(err, bridge.ErrTooLarge) {
		return nil, fmt.Errorf("%s is larger than %s: read a part of it with runCommand (sed -n '1,100p', grep -n, tail)", p.Path, size(bridge.MaxLinesFile))
	}
	if err != nil {
		return nil, fileError(ctx, env, "read", p.Path, err)
	}
	content, err := r.Bytes()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrWorkspace, err)
	}
	env.Seen.put(p.Path, r.Version, !r.Binary && bytes.Contains(content, []byte("\r\n")))
	out := &Output{Path: shown(p.Path), Size: &r.Size}
	if r.Binary {
		out.Binary = true
		return &Result{Text: fmt.Sprintf("%s is not a text file (%s): its content is not shown.", shown(p.Path), size(r.Size)), Output: out}, nil
	}
	var text strings.Builder
	n, next := 0, 0
	for line := range strings.Lines(string(content)) {
		line = cutLine(plainText(strings.TrimRight(line, "\r\n")), maxLine)
		if text.Len()+len(line)+8 > maxReadBytes && n > 0 {
			next = p.Line + n
			break
		}
		fmt.Fprintf(&text, "%6d\t%s\n", p.Line+n, line)
		n++
	}
	out.Line, out.Lines, out.Total = p.Line, &n, r.TotalLines
	if next == 0 && r.Truncated && p.Line+n <= r.TotalLines {
		next = p.Line + n
	}
	switch {
	case r.Size == 0:
		return &Result{Text: shown(p.Path) + " is empty.", Output: out}, nil
	case n == 0:
		return &Result{Text: fmt.Sprintf("%s has %s: there is no line %d.", shown(p.Path), plural(r.TotalLines, "line", "lines"), p.Line), Output: out}, nil
	}
	result := fence("file", attribute("path", p.Path)+fmt.Sprintf(` lines="%d-%d" of="%d"`, p.Line, p.Line+n-1, r.TotalLines), text.String())
	if next > 0 {
		out.Truncated = true
		result += fmt.Sprintf("\n%s more: read on with line %d.", plural(max(r.TotalLines-next+1, 0), "line", "lines"), next)
	}
	return &Result{Text: result, Output: out}, nil
}

type writeFileInput struct {
	Path    string `json:"path"`
	Content string `json:"content"`
}

func writeFile() Tool {
	t := define(Tool{
		Name: "writeFile",
		Description: "Writes a whole text file, which is made if it does not exist, together with its folders. A file that exists must have been read before, and not have changed since. " +
			"To change a part of a file use editFile.",
		Parameters: json.RawMessage(`{"type":"object","properties":{
"path":{"type":"string","description":"Path of the file, relative to the workspace folder."},
"content":{"type":"string","description":"All that the file is to hold, at most 512 KB."}},
"required":["path","content"],"additionalProperties":false}`),
	}, func(p *writeFileInput) string { return "Write " + p.Path }, runWriteFile)
	t.paths = onePath
	return t
}

func runWriteFile(ctx context.Context, env *Env, _ Call, p *writeFileInput) (*Result, error) {
	if p.Path == "" {
		return nil, required("writeFile", "path")
	}
	if len(p.Content) > bridge.MaxContent {
		return nil, fmt.Errorf("content has %s: at most %s can be written at a time", size(int64(len(p.Content))), size(bridge.MaxContent))
	}
	version := env.Seen.get(p.Path).Version
	if version == "" {
		version = bridge.VersionNone
	}
	var before string
	known := version == bridge.VersionNone
	if !known { // for the diff
		old, err := ask(ctx, env, func(cl *bridge.Client) (*bridge.ReadFileResult, error) {
			return cl.ReadFile(ctx, bridge.ReadFileParams{Path: p.Path})
		})
		switch {
		case errors.Is(err, bridge.ErrNotFound):
			known, version = true, bridge.VersionNone
		case err != nil && errors.Is(err, ErrWorkspace):
			return nil, err
		case err == nil && !old.Truncated && !old.Binary:
			content, err := old.Bytes()
			before, known = string(content), err == nil
		}
	}
	r, err := once(ctx, env, func(cl *bridge.Client) (*bridge.WriteFileResult, error) {
		return cl.WriteFile(ctx, bridge.WriteFileParams{Path: p.Path, Content: p.Content, CreateDirs: true, IfVersion: version})
	})
	if errors.Is(err, bridge.ErrChanged) {
		if version == bridge.VersionNone {
			return nil, fmt.Errorf("%s exists and has not been read: read it with readFile before writing over it", shown(p.Path))
		}
		return nil, changedSince(env, p.Path)
	}
	if err != nil {
		return nil, fileError(ctx, env, "write", p.Path, err)
	}
	env.Seen.put(p.Path, r.Version, strings.Contains(p.Content, "\r\n"))
	out := &Output{Path: shown(p.Path), Size: &r.Size, Created: version == bridge.VersionNone}
	text := fmt.Sprintf("Wrote %s (%s, %s).", shown(p.Path), plural(countLines(p.Content), "line", "lines"), size(r.Size))
	if out.Created {
		text = fmt.Sprintf("Made %s (%s, %s).", shown(p.Path), plural(countLines(p.Content), "line", "lines"), size(r.Size))
	}
	if known {
		from := "a/" + out.Path
		if out.Created {
			from = "/dev/null"
		}
		out.setDiff(udiff.Unified(from, "b/"+out.Path, before, p.Content))
	}
	return &Result{Text: text, Output: out}, nil
}

type editFileInput struct {
	Path  string     `json:"path"`
	Edits []editText `json:"edits"`
}

type editText struct {
	Old string `json:"old"`
	New string `json:"new"`
	All bool   `json:"all,omitempty"`
}

func editFile() Tool {
	t := define(Tool{
		Name: "editFile",
		Description: "Replaces exact texts in a file that has been read. All edits are made or none, each in what those before it left. " +
			"old must be exactly what the file holds, with its indentation and without the line numbers of readFile, and must occur once: give enough lines around it, or set all.",
		Parameters: json.RawMessage(`{"type":"object","properties":{
"path":{"type":"string","description":"Path of the file, relative to the workspace folder."},
"edits":{"type":"array","minItems":1,"maxItems":200,"items":{"type":"object","properties":{
"old":{"type":"string","description":"The text to replace."},
"new":{"type":"string","description":"What to put in its place; empty to remove it."},
"all":{"type":"boolean","description":"Replace it wherever it occurs. Default false."}},
"required":["old","new"],"additionalProperties":false}}},
"required":["path","edits"],"additionalProperties":false}`),
	}, func(p *editFileInput) string { return "Edit " + p.Path }, runEditFile)
	t.paths = onePath
	return t
}

func runEditFile(ctx context.Context, env *Env, _ Call, p *editFileInput) (*Result, error) {
	switch {
	case p.Path == "":
		return nil, required("editFile", "path")
	case len(p.Edits) == 0:
		return nil, required("editFile", "edits")
	}
	seen := env.Seen.get(p.Path)
	if seen.Version == "" {
		return nil, fmt.Errorf("%s has not been read: read it with readFile before editing it", shown(p.Path))
	}
	edits := make([]bridge.Edit, len(p.Edits))
	for i, e := range p.Edits {
		edits[i] = bridge.Edit(e)
		if seen.CRLF {
			edits[i].Old, edits[i].New = crlf(e.Old), crlf(e.New)
		}
	}
	r, err := once(ctx, env, func(cl *bridge.Client) (*bridge.EditFileResult, error) {
		return cl.EditFile(ctx, bridge.EditFileParams{Path: p.Path, Edits: edits, IfVersion: seen.Version})
	})
	if errors.Is(err, bridge.ErrChanged) {
		return nil, changedSince(env, p.Path)
	}
	if err != nil {
		return nil, fileError(ctx, env, "edit", p.Path, err)
	}
	env.Seen.put(p.Path, r.Version, seen.CRLF)
	out := &Output{Path: shown(p.Path), Size: &r.Size}
	out.setDiff(r.Diff)
	text := fmt.Sprintf("Edited %s: %s replaced.", shown(p.Path), plural(r.Replaced, "place", "places"))
	return &Result{Text: text, Output: out}, nil
}

// crlf has every line end with CR LF.
func crlf(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n")
}

// onePath is the path that a call names.
func onePath(input json.RawMessage) []string {
	var p struct {
		Path string `json:"path"`
	}
	if json.Unmarshal(input, &p) != nil || p.Path == "" {
		return []string{}
	}
	return []string{p.Path}
}

func changedSince(env *Env, p string) error {
	env.Seen.put(p, "", false)
	return fmt.Errorf("%s has changed since it was read, by the person or by a command: read it again with readFile, then make the change to what it holds now", shown(p))
}

// setDiff sets the diff and counts its lines.
func (o *Output) setDiff(diff string) {
	added, removed := 0, 0
	inHunk := false
	for line := range strings.Lines(diff) {
		switch {
		case strings.HasPrefix(line, "@@"):
			inHunk = true
		case inHunk && line[0] == '+':
			added++
		case inHunk && line[0] == '-':
			removed++
		}
	}
	o.Added, o.Removed = &added, &removed
	if len(diff) <= maxDiffShown {
		o.Diff = plainText(diff)
	}
}

// fileError says to the model what went wrong with a file, and where there is none of that name, which there are.
func fileError(ctx context.Context, env *Env, verb, p string, err error) error {
	var named *bridge.Error
	if !errors.As(err, &named) {
		return err
	}
	if !errors.Is(err, bridge.ErrNotFound) {
		return fmt.Errorf("cannot %s %s: %w", verb, shown(p), err)
	}
	hint := ""
	base := path.Base(path.Clean(p))
	if !strings.ContainsAny(base, `*?[]{}!\`) && base != "." && base != "/" {
		found, err := ask(ctx, env, func(cl *bridge.Client) (*bridge.GlobResult, error) {
			return cl.Glob(ctx, bridge.GlobParams{Pattern: base, Limit: 5})
		})
		if err == nil && len(found.Entries) > 0 {
			names := make([]string, len(found.Entries))
			for i, e := range found.Entries {
				names[i] = e.Path
			}
			hint = " Files of that name: " + strings.Join(names, ", ") + "."
		}
	}
	return fmt.Errorf("cannot %s %s: there is no such file.%s", verb, shown(p), hint)
}

// shown is a path for a model or a person.
func shown(p string) string { return bridge.Printable(p, bridge.MaxPath) }

func countLines(s string) int {
	n := strings.Count(s, "\n")
	if s != "" && !strings.HasSuffix(s, "\n") {
		n++
	}
	return n
}
