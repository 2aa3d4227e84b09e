package main

import (
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// lineIndex maps a dotted key of a TOML document, such as plugins[1].package, to the line it is on. Keys
// are lower-case, because the decoder ignores case too. go-toml gives positions for what it refuses
// itself, but not for what decodes well and is wrong all the same; hence this walk over its parser.
type lineIndex map[string]int

func indexLines(document []byte) lineIndex {
	var (
		lines  = lineIndex{}
		counts = map[string]int{} // elements seen of each array of tables
		table  string
		parser unstable.Parser
	)
	parser.Reset(document)
	for parser.NextExpression() {
		node := parser.Expression()
		switch node.Kind {
		case unstable.Table:
			table = lines.add(&parser, "", node.Key())
		case unstable.ArrayTable:
			name := lines.add(&parser, "", node.Key())
			table = fmt.Sprintf("%s[%d]", name, counts[name])
			counts[name]++
			lines.add(&parser, "", node.Key(), table)
		case unstable.KeyValue:
			lines.addValue(&parser, table, node)
		}
	}
	return lines
}

// add records the key under prefix, or under the name given instead, and returns that name.
func (l lineIndex) add(parser *unstable.Parser, prefix string, key unstable.Iterator, name ...string) string {
	full, line := prefix, 0
	for key.Next() {
		full = join(full, string(key.Node().Data))
		line = parser.Shape(key.Node().Raw).Start.Line
	}
	if len(name) > 0 {
		full = name[0]
	}
	l[strings.ToLower(full)] = line
	return full
}

func (l lineIndex) addValue(parser *unstable.Parser, prefix string, keyValue *unstable.Node) {
	name := l.add(parser, prefix, keyValue.Key())
	l.addChildren(parser, name, keyValue.Value())
}

func (l lineIndex) addChildren(parser *unstable.Parser, name string, value *unstable.Node) {
	children := value.Children()
	switch value.Kind {
	case unstable.InlineTable:
		for children.Next() {
			l.addValue(parser, name, children.Node())
		}
	case unstable.Array:
		for i := 0; children.Next(); i++ {
			element := fmt.Sprintf("%s[%d]", name, i)
			if raw := children.Node().Raw; raw.Length > 0 {
				l[strings.ToLower(element)] = parser.Shape(raw).Start.Line
			}
			l.addChildren(parser, element, children.Node())
		}
	}
}

// of returns the line of key, or of the closest table around it; 0 if the document has neither.
func (l lineIndex) of(key string) int {
	for key = strings.ToLower(key); key != ""; {
		if line, ok := l[key]; ok {
			return line
		}
		key = key[:max(strings.LastIndexAny(key, ".["), 0)]
	}
	return 0
}

func join(prefix, key string) string {
	if prefix == "" {
		return key
	}
	return prefix + "." + key
}
