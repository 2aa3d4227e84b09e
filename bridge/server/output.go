package server

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/kalpana-dev/kalpana/bridge"
)

const (
	// outputJSON bounds one output as JSON, so that both fit into a frame.
	outputJSON = 480 << 10
	// gapText is room for the line about what is missing.
	gapText = 96
)

// output keeps the head and the tail of what is written to it: half of bridge.MaxOutput each.
type output struct {
	head  []byte
	tail  ring
	total int64
}

const outputHalf = bridge.MaxOutput / 2

func (o *output) Write(p []byte) (int, error) {
	n := len(p)
	o.total += int64(n)
	if room := outputHalf - len(o.head); room > 0 {
		take := min(room, len(p))
		o.head = append(o.head, p[:take]...)
		p = p[take:]
	}
	o.tail.limit = outputHalf
	o.tail.write(p)
	return n, nil
}

// text returns the output as UTF-8 of at most bridge.MaxOutput bytes, beside the line that says how much is
// missing, and of at most outputJSON bytes as JSON.
func (o *output) text() (text string, truncated bool) {
	tail := string(o.tail.bytes())
	if o.total <= int64(len(o.head)+len(tail)) {
		if all := valid(string(o.head) + tail); len(all) <= bridge.MaxOutput && bridge.JSONSize(all) <= outputJSON {
			return all, false
		}
	}
	for half := outputHalf; ; half /= 2 {
		head, end := valid(prefix(string(o.head), half)), valid(suffix(tail, half))
		text := head + end
		if len(text) <= bridge.MaxOutput && bridge.JSONSize(text) <= outputJSON-gapText {
			missing := o.total - int64(min(half, len(o.head))+min(half, len(tail)))
			return head + fmt.Sprintf("\n[… %d bytes left out …]\n", missing) + end, true
		}
	}
}

func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// prefix and suffix cut between characters, if there are any.
func prefix(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for i := 0; i < utf8.UTFMax && n-i > 0; i++ {
		if utf8.RuneStart(s[n-i]) {
			return s[:n-i]
		}
	}
	return s[:n]
}

func suffix(s string, n int) string {
	if len(s) <= n {
		return s
	}
	at := len(s) - n
	for i := 0; i < utf8.UTFMax && at+i < len(s); i++ {
		if utf8.RuneStart(s[at+i]) {
			return s[at+i:]
		}
	}
	return s[at:]
}
