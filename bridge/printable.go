package bridge

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable returns s as one line that is safe to show: whatever is not a graphic character becomes
// U+FFFD (so do the controls that reorder text), and what exceeds limit bytes is cut between characters.
func Printable(s string, limit int) string {
	return printable(s, limit, "")
}

// printableLines is Printable for text of several lines, of which it keeps the end.
func printableLines(s string, limit int) string {
	// Each byte may become a three-byte U+FFFD, so cut before and after.
	s = printable(keepEnd(s, limit), 3*limit, "\n\t")
	return keepEnd(s, limit)
}

func keepEnd(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	s = s[len(s)-limit:]
	for len(s) > 0 && !utf8.RuneStart(s[0]) {
		s = s[1:]
	}
	return s
}

func printable(s string, limit int, keep string) string {
	clean := strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) || strings.ContainsRune(keep, r) {
			return r
		}
		return utf8.RuneError
	}, cut(s, limit))
	return cut(clean, limit)
}

// cut shortens s to at most limit bytes, between characters.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
