package checkpoint

import (
	"path"
	"strings"
)

// rules are those of one .gitignore file, in its order (https://git-scm.com/docs/gitignore).
type rules struct {
	dir  string // that the file is in, "" for the workspace folder
	list []rule
}

type rule struct {
	negated, dirOnly bool
	// name, where it is set, is all that the last element of a path must be; suffix what it must end with.
	name, suffix string
	// segments of a pattern with a slash in it, or one for the last element.
	segments []string
	anchored bool
}

// maxRules bounds the lines of one file that count.
const maxRules = 2000

func parseRules(dir, text string) *rules {
	r := &rules{dir: dir}
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		if rule, ok := parseRule(strings.TrimRight(line, "\r\n")); ok && len(r.list) < maxRules {
			r.list = append(r.list, rule)
		}
	}
	return r
}

func parseRule(line string) (r rule, ok bool) {
	for strings.HasSuffix(line, " ") && !strings.HasSuffix(line, `\ `) {
		line = line[:len(line)-1]
	}
	if strings.HasPrefix(line, "#") {
		return r, false
	}
	line, r.negated = strings.CutPrefix(line, "!")
	if len(line) > 1 {
		line, r.dirOnly = strings.CutSuffix(line, "/")
	}
	r.anchored = strings.Contains(line, "/")
	line = strings.TrimPrefix(line, "/")
	if line == "" {
		return r, false
	}
	switch bare := line; {
	case r.anchored:
		r.segments = strings.Split(strings.ReplaceAll(line, "[!", "[^"), "/")
	case !strings.ContainsAny(bare, `*?[\`):
		r.name = bare
	case strings.HasPrefix(bare, "*") && !strings.ContainsAny(bare[1:], `*?[\`):
		r.suffix = bare[1:]
	default:
		r.segments = []string{strings.ReplaceAll(line, "[!", "[^")}
	}
	return r, true
}

// match reports whether the rule is for a path, given from the rules' folder on.
func (r *rule) match(rel, base string, isDir bool) bool {
	switch {
	case r.dirOnly && !isDir:
		return false
	case r.name != "":
		return base == r.name
	case r.segments == nil:
		return strings.HasSuffix(base, r.suffix)
	case !r.anchored:
		return matchSegment(r.segments[0], base)
	}
	return matchSegments(r.segments, rel)
}

// matchSegments matches a pattern with slashes, in which ** stands for any number of folders, and at the end for
// whatever is below.
func matchSegments(pattern []string, rel string) bool {
	for i, segment := range pattern {
		if segment == "**" {
			rest := pattern[i+1:]
			if len(rest) == 0 {
				return rel != ""
			}
			for {
				if matchSegments(rest, rel) {
					return true
				}
				_, after, more := strings.Cut(rel, "/")
				if !more {
					return false
				}
				rel = after
			}
		}
		first, after, more := strings.Cut(rel, "/")
		if rel == "" || !matchSegment(segment, first) {
			return false
		}
		if !more {
			return i == len(pattern)-1
		}
		rel = after
	}
	return false
}

func matchSegment(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

// ignored decides over a path by the rules from the workspace folder down to its own. Whatever is below an ignored
// folder is ignored as well: nobody asks.
func ignored(stack []*rules, rel string, isDir bool) bool {
	base := path.Base(rel)
	for i := len(stack) - 1; i >= 0; i-- {
		from := rel
		if stack[i].dir != "" {
			from = rel[len(stack[i].dir)+1:]
		}
		for j := len(stack[i].list) - 1; j >= 0; j-- {
			if r := &stack[i].list[j]; r.match(from, base, isDir) {
				return !r.negated
			}
		}
	}
	return false
}
