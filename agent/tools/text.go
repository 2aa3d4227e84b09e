package tools

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxOutput bounds what a model gets of a command's output, in bytes.
	maxOutput = 30_000
	// maxLine bounds a line, in bytes.
	maxLine = 2000
)

// cleaner makes plain text of what a program prints to a terminal: without escape sequences, and of a line that was
// printed over, as progress bars are, what was printed last. It is fed in parts.
type cleaner struct {
	rest []byte // the start of an escape sequence or character
	line []byte // the last line as it stands
	over bool   // the next character begins the line anew
}

// maxEscape is how long an escape sequence can be, in bytes.
const maxEscape = 4096

// feed returns the lines that are complete with more of the output.
func (c *cleaner) feed(p []byte) string {
	p = append(c.rest, p...)
	c.rest = nil
	var out strings.Builder
	for len(p) > 0 {
		switch b := p[0]; {
		case b == 0x1b:
			n := escapeLength(p)
			if n == 0 {
				if len(p) < maxEscape {
					c.rest = append([]byte(nil), p...)
					return out.String()
				}
				n = 1
			}
			p = p[n:]
		case b == '\n':
			out.Write(c.line)
			out.WriteByte('\n')
			c.line, c.over = c.line[:0], false
			p = p[1:]
		case b == '\r':
			c.over = true
			p = p[1:]
		case b == '\b':
			_, size := utf8.DecodeLastRune(c.line)
			c.line = c.line[:len(c.line)-size]
			p = p[1:]
		case b >= ' ' && b < 0x7f: // most of what there is
			n := 1
			for n < len(p) && p[n] >= ' ' && p[n] < 0x7f {
				n++
			}
			c.put(p[:n], &out)
			p = p[n:]
		default:
			if !utf8.FullRune(p) {
				c.rest = append([]byte(nil), p...)
				return out.String()
			}
			r, size := utf8.DecodeRune(p)
			if r = plainRune(r); r >= 0 {
				c.put(utf8.AppendRune(nil, r), &out)
			}
			p = p[size:]
		}
	}
	return out.String()
}

// put adds text to the line as it stands.
func (c *cleaner) put(text []byte, out *strings.Builder) {
	if c.over {
		c.line, c.over = c.line[:0], false
	}
	if c.line = append(c.line, text...); len(c.line) > maxOutput { // a line without end
		out.Write(c.line)
		c.line = c.line[:0]
	}
}

// end returns the last line, which has no end.
func (c *cleaner) end() string {
	for range c.rest {
		c.line = utf8.AppendRune(c.line, utf8.RuneError)
		break
	}
	line := string(c.line)
	c.rest, c.line, c.over = nil, nil, false
	return line
}

// plain is cleaner for a whole text.
func plain(p []byte) string {
	var c cleaner
	return c.feed(p) + c.end()
}

// escapeLength is how long the escape sequence is that p begins with, 0 where its end is not there
// (ECMA-48, https://ecma-international.org/publications-and-standards/standards/ecma-48/).
func escapeLength(p []byte) int {
	if len(p) < 2 {
		return 0
	}
	switch p[1] {
	case '[': // CSI: parameters, then one final byte
		for i := 2; i < len(p); i++ {
			if p[i] >= 0x40 && p[i] <= 0x7e {
				return i + 1
			}
			if p[i] < 0x20 || p[i] > 0x7e {
				return i
			}
		}
		return 0
	case ']', 'P', 'X', '^', '_': // OSC and other strings, up to BEL or ST
		for i := 2; i < len(p); i++ {
			switch {
			case p[i] == 0x07:
				return i + 1
			case p[i] == 0x1b && i+1 < len(p):
				if p[i+1] == '\\' {
					return i + 2
				}
				return i
			case p[i] == '\n':
				return i
			}
		}
		return 0
	case '(', ')', '*', '+', '#', '%', ' ':
		if len(p) < 3 {
			return 0
		}
		return 3
	}
	return 2
}

// plainRune is what a model and a person get of a character: -1 for control characters, and U+FFFD for those that no
// person sees but a model reads (tags), or that show a line in another order than it has.
func plainRune(r rune) rune {
	switch {
	case r == '\n', r == '\t':
		return r
	case unicode.IsControl(r):
		return -1
	case r >= 0xE0000 && r <= 0xE007F, r >= 0x202A && r <= 0x202E, r >= 0x2066 && r <= 0x2069:
		return utf8.RuneError
	}
	return r
}

// plainText is the text of a file, where nothing is printed over.
func plainText(s string) string {
	return strings.Map(plainRune, strings.ToValidUTF8(s, "\uFFFD"))
}

// fence marks where data of the workspace begins and ends; the text cannot end it itself.
func fence(tag, attributes, text string) string {
	if attributes != "" {
		attributes = " " + attributes
	}
	text = strings.ReplaceAll(text, "</"+tag, "<\u200b/"+tag)
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return "<" + tag + attributes + ">\n" + text + "</" + tag + ">"
}

// attribute quotes a value for fence.
func attribute(name, value string) string {
	return name + `="` + strings.NewReplacer(`"`, "'", "<", "(", ">", ")", "\n", " ").Replace(plainText(value)) + `"`
}

// cutLine shortens a line that is too long.
func cutLine(line string, limit int) string {
	if len(line) <= limit {
		return line
	}
	return cutEnd(line, limit) + fmt.Sprintf(" [… %d more characters]", utf8.RuneCountInString(line[len(cutEnd(line, limit)):]))
}

// cutEnd is the start of a text, cutStart its end, of at most limit bytes, cut between characters.
func cutEnd(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

func cutStart(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	at := len(s) - limit
	for at < len(s) && !utf8.RuneStart(s[at]) {
		at++
	}
	return s[at:]
}

// cutLines is as many lines of a text's start as fit.
func cutLines(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	s = cutEnd(s, limit)
	return s[:strings.LastIndexByte(s, '\n')+1] + "…\n"
}

// headAndTail keeps two thirds of limit of a text's start and one of its end, whole lines where it can.
func headAndTail(s string, limit int) (head, tail string, cut bool) {
	if len(s) <= limit {
		return s, "", false
	}
	head, tail = cutEnd(s, limit*2/3), cutStart(s, limit/3)
	if i := strings.LastIndexByte(head, '\n'); i > len(head)/2 {
		head = head[:i+1]
	}
	if i := strings.IndexByte(tail, '\n'); i >= 0 && i < len(tail)/2 {
		tail = tail[i+1:]
	}
	return head, tail, true
}

// size is a number of bytes for people and models.
func size(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d bytes", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KB", float64(n)/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f GB", float64(n)/(1<<30))
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
