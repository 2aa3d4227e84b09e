package main

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

var mismatch = regexp.MustCompile(`cannot decode TOML (\w+) into .*?(\S+)$`)

// decodeMessage rewords what go-toml says about Go's types.
func decodeMessage(e *toml.DecodeError) string {
	message := strings.TrimPrefix(e.Error(), "toml: ")
	if m := mismatch.FindStringSubmatch(message); m != nil {
		want := map[string]string{"string": "a string", "bool": "true or false", "[]string": "a list of strings"}[m[2]]
		if want == "" {
			want = "a table"
		}
		return fmt.Sprintf("%s must be %s, not a TOML %s", strings.Join(e.Key(), "."), want, m[1])
	}
	return message
}

// knownKeys lists what could have been written instead of key.
func knownKeys(key toml.Key) string {
	t, where := reflect.TypeFor[config](), "at the top"
	for _, part := range key[:len(key)-1] {
		for i := range t.NumField() {
			if field := t.Field(i); strings.EqualFold(field.Tag.Get("toml"), part) {
				t, where = field.Type, "in "+part
				if t.Kind() == reflect.Slice {
					t = t.Elem()
				}
				break
			}
		}
		if t.Kind() != reflect.Struct {
			return "there is no such table"
		}
	}
	var names []string
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("toml"); name != "" {
			names = append(names, name)
		}
	}
	return fmt.Sprintf("the keys %s are %s", where, strings.Join(names, ", "))
}

// problems collects what is wrong with one file, so that a person sees it all at once.
type problems struct {
	file  string
	lines lineIndex
	list  []problem
}

type problem struct {
	line int // 0 if it belongs to none
	text string
}

func (p *problems) add(line int, format string, args ...any) {
	p.list = append(p.list, problem{line, fmt.Sprintf(format, args...)})
}

func (p *problems) at(key, format string, args ...any) {
	p.add(p.lines.of(key), format, args...)
}

func (p *problems) check(key string, err error) {
	if err != nil {
		p.at(key, "%v", err)
	}
}

func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	return p
}

func (p *problems) Error() string {
	slices.SortStableFunc(p.list, func(a, b problem) int { return a.line - b.line })
	var text []string
	for _, one := range p.list {
		if one.line > 0 {
			text = append(text, fmt.Sprintf("%s:%d: %s", p.file, one.line, one.text))
		} else {
			text = append(text, fmt.Sprintf("%s: %s", p.file, one.text))
		}
	}
	return strings.Join(text, "\n")
}
