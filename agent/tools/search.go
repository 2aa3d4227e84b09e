package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/kalpana-dev/kalpana/bridge"
)

const (
	defaultListed  = 200
	maxListed      = 1000
	defaultMatches = 100
	maxMatches     = 500
)

type listFilesInput struct {
	Path      string `json:"path,omitempty"`
	Recursive bool   `json:"recursive,omitempty"`
	Limit     int    `json:"limit,omitempty"`
}

func listFiles() Tool {
	return define(Tool{
		Name:        "listFiles",
		Description: "Lists a folder of the workspace, hidden and ignored files included. Recursive goes into its folders, nearest first, but for .git and node_modules.",
		Parameters: json.RawMessage(`{"type":"object","properties":{
"path":{"type":"string","description":"Path of the folder, relative to the workspace folder. Default: the workspace folder."},
"recursive":{"type":"boolean","description":"List the folders in it as well. Default false."},
"limit":{"type":"integer","minimum":1,"maximum":1000,"description":"Most entries. Default 200."}},
"additionalProperties":false}`),
		Reads: true,
	}, func(p *listFilesInput) string {
		if p.Path == "" || p.Path == "." {
			return "List files"
		}
		return "List " + p.Path
	}, func(ctx context.Context, env *Env, _ Call, p *listFilesInput) (*Result, error) {
		r, err := ask(ctx, env, func(cl *bridge.Client) (*bridge.ListFilesResult, error) {
			return cl.ListFiles(ctx, bridge.ListFilesParams{Path: p.Path, Recursive: p.Recursive, Limit: limited(p.Limit, defaultListed, maxListed)})
		})
		if errors.Is(err, bridge.ErrNotFound) {
			return nil, fmt.Errorf("cannot list %s: there is no such folder", shown(p.Path))
		}
		if err != nil {
			return nil, fileError(ctx, env, "list", p.Path, err)
		}
		if len(r.Entries) == 0 {
			return entriesResult("The folder is empty.", p.Path, nil, false), nil
		}
		return entriesResult("", p.Path, r.Entries, r.Truncated), nil
	})
}

type globInput struct {
	Pattern string `json:"pattern"`
	Path    string `json:"path,omitempty"`
	Limit   int    `json:"limit,omitempty"`
}

func glob() Tool {
	return define(Tool{
		Name:        "glob",
		Description: "Finds files by name, what was changed last first. Ignored files and .git are left out.",
		Parameters: json.RawMessage(`{"type":"object","properties":{
"pattern":{"type":"string","description":"A glob as in .gitignore: *.go in any folder, /cmd/**/main.go from path on."},
"path":{"type":"string","description":"Folder to look in, relative to the workspace folder. Default: the workspace folder."},
"limit":{"type":"integer","minimum":1,"maximum":1000,"description":"Most files. Default 200."}},
"required":["pattern"],"additionalProperties":false}`),
		Reads: true,
	}, func(p *globInput) string {
		if p.Path != "" && p.Path != "." {
			return "Find " + p.Pattern + " in " + p.Path
		}
		return "Find " + p.Pattern
	}, func(ctx context.Context, env *Env, _ Call, p *globInput) (*Result, error) {
		if p.Pattern == "" {
			return nil, required("glob", "pattern")
		}
		r, err := ask(ctx, env, func(cl *bridge.Client) (*bridge.GlobResult, error) {
			return cl.Glob(ctx, bridge.GlobParams{Pattern: p.Pattern, Path: p.Path, Limit: limited(p.Limit, defaultListed, maxListed)})
		})
		if err != nil {
			return nil, err
		}
		if len(r.Entries) == 0 {
			return entriesResult("No file matches.", p.Path, nil, r.Truncated), nil
		}
		return entriesResult("", p.Path, r.Entries, r.Truncated), nil
	})
}

// entriesResult lists entries, one a line, folders with a slash at the end.
func entriesResult(none, dir string, entries []bridge.FileEntry, truncated bool) *Result {
	var text strings.Builder
	n := 0
	for _, e := range entries {
		line := e.Path
		switch e.Type {
		case bridge.TypeDir:
			line += "/"
		case bridge.TypeSymlink:
			line += " (symlink)"
		case bridge.TypeFile:
			if e.Size >= 100<<10 {
				line += " (" + size(e.Size) + ")"
			}
		}
		if text.Len()+len(line) > maxOutput {
			truncated = true
			break
		}
		text.WriteString(line + "\n")
		n++
	}
	out := &Output{Path: shown(dir), Matches: &n, Truncated: truncated}
	if n == 0 {
		return &Result{Text: none, Output: out}
	}
	out.Text = cutLines(text.String(), maxFoundShown)
	result := fence("files", "", text.String())
	if truncated {
		result += fmt.Sprintf("\nThere are more than these %d: ask for a folder or a narrower pattern.", n)
	}
	return &Result{Text: result, Output: out}
}

type searchCodeInput struct {
	Query         string `json:"query"`
	Path          string `json:"path,omitempty"`
	Glob          string `json:"glob,omitempty"`
	Regex         bool   `json:"regex,omitempty"`
	CaseSensitive bool   `json:"caseSensitive,omitempty"`
	Context       int    `json:"context,omitempty"`
	Limit         int    `json:"limit,omitempty"`
}

func searchCode() Tool {
	return define(Tool{
		Name:        "searchCode",
		Description: "Searches the contents of files with ripgrep, for a text or a regular expression. Ignored files and .git are left out. Prefer it to grep and rg.",
		Parameters: json.RawMessage(`{"type":"object","properties":{
"query":{"type":"string","description":"What to look for, on one line: a text, or with regex a regular expression of ripgrep."},
"path":{"type":"string","description":"File or folder to look in, relative to the workspace folder. Default: the workspace folder."},
"glob":{"type":"string","description":"Only files that match, e.g. *.go or !vendor/."},
"regex":{"type":"boolean","description":"query is a regular expression. Default false."},
"caseSensitive":{"type":"boolean","description":"Upper and lower case differ. Default false."},
"context":{"type":"integer","minimum":0,"maximum":20,"description":"Lines to show before and after each match. Default 0."},
"limit":{"type":"integer","minimum":1,"maximum":500,"description":"Most matching lines. Default 100."}},
"required":["query"],"additionalProperties":false}`),
		Reads: true,
	}, func(p *searchCodeInput) string {
		title := "Search for " + cutLine(p.Query, 60)
		if p.Path != "" && p.Path != "." {
			title += " in " + p.Path
		}
		return title
	}, runSearchCode)
}

func runSearchCode(ctx context.Context, env *Env, _ Call, p *searchCodeInput) (*Result, error) {
	if p.Query == "" {
		return nil, required("searchCode", "query")
	}
	r, err := ask(ctx, env, func(cl *bridge.Client) (*bridge.SearchCodeResult, error) {
		return cl.SearchCode(ctx, bridge.SearchCodeParams{
			Query: p.Query, Path: p.Path, Glob: p.Glob, Regex: p.Regex, CaseSensitive: p.CaseSensitive,
			Context: min(max(p.Context, 0), bridge.MaxContext), Limit: limited(p.Limit, defaultMatches, maxMatches),
		})
	})
	if errors.Is(err, bridge.ErrNotFound) {
		return nil, fmt.Errorf("cannot search %s: there is no such file or folder", shown(p.Path))
	}
	if err != nil {
		return nil, err
	}
	if len(r.Matches) == 0 {
		text := "Nothing was found."
		if r.Truncated {
			text = "Nothing was found in the time there is: search a folder, or narrow it by glob."
		}
		n := 0
		return &Result{Text: text, Output: &Output{Matches: &n, Truncated: r.Truncated}}, nil
	}
	var text strings.Builder
	n, files, file := 0, 0, ""
	for _, m := range r.Matches {
		var part strings.Builder
		if m.Path != file {
			part.WriteString(m.Path + "\n")
		}
		for i, line := range m.Before {
			fmt.Fprintf(&part, "%6d-\t%s\n", m.Line-len(m.Before)+i, plainText(line))
		}
		fmt.Fprintf(&part, "%6d:\t%s\n", m.Line, plainText(m.Text))
		for i, line := range m.After {
			fmt.Fprintf(&part, "%6d-\t%s\n", m.Line+1+i, plainText(line))
		}
		if text.Len()+part.Len() > maxOutput {
			break
		}
		if m.Path != file {
			file = m.Path
			files++
		}
		text.WriteString(part.String())
		n++
	}
	truncated := r.Truncated || n < len(r.Matches)
	result := plural(n, "match", "matches") + " in " + plural(files, "file", "files") + ":\n" + fence("matches", "", text.String())
	if truncated {
		result += "\nThere are more: narrow the search by path or glob, or raise limit."
	}
	out := &Output{Matches: &n, Truncated: truncated, Text: cutLines(text.String(), maxFoundShown)}
	return &Result{Text: result, Output: out}, nil
}

func limited(n, byDefault, most int) int {
	if n <= 0 {
		return byDefault
	}
	return min(n, most)
}
