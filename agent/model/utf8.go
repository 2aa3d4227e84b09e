package model

import (
	"bytes"
	"encoding/json"
	"unicode/utf16"
	"unicode/utf8"
)

// piece is a string of a streamed JSON object. It may begin or end within a character: servers cut texts at any byte, or
// at any UTF-16 unit. Bytes that are no UTF-8 stay as they are, and half of a surrogate pair is encoded as if it were a
// character (WTF-8); [joiner] puts them together again. A list of text parts is their text, and anything else is "".
type piece []byte

// UnmarshalJSON implements json.Unmarshaler.
func (p *piece) UnmarshalJSON(raw []byte) error {
	*p = nil
	if len(raw) >= 2 && raw[0] == '"' {
		*p = unquote(raw[1 : len(raw)-1])
		return nil
	}
	if len(raw) > 0 && raw[0] == '[' {
		var parts []struct {
			Text piece `json:"text"`
		}
		if json.Unmarshal(raw, &parts) == nil {
			for _, part := range parts {
				*p = append(*p, part.Text...)
			}
		}
	}
	return nil
}

// unquote resolves the escapes of a JSON string that is known to be well formed.
func unquote(raw []byte) []byte {
	out := make([]byte, 0, len(raw))
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 || i+1 >= len(raw) {
			return append(out, raw...)
		}
		out = append(out, raw[:i]...)
		escaped := raw[i+1]
		raw = raw[i+2:]
		switch escaped {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			unit, ok := hex4(raw)
			if !ok {
				return out
			}
			raw = raw[4:]
			if utf16.IsSurrogate(unit) && len(raw) >= 6 && raw[0] == '\\' && raw[1] == 'u' {
				if low, ok := hex4(raw[2:]); ok {
					if whole := utf16.DecodeRune(unit, low); whole != utf8.RuneError {
						out = utf8.AppendRune(out, whole)
						raw = raw[6:]
						continue
					}
				}
			}
			out = appendUnit(out, unit)
		default: // a quote, a slash or a backslash
			out = append(out, escaped)
		}
	}
}

func hex4(raw []byte) (unit rune, ok bool) {
	if len(raw) < 4 {
		return 0, false
	}
	for _, c := range raw[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		unit = unit<<4 | rune(c)
	}
	return unit, true
}

// appendUnit appends a UTF-16 unit, also half of a pair.
func appendUnit(out []byte, unit rune) []byte {
	if utf16.IsSurrogate(unit) {
		return append(out, 0xED, 0x80|byte(unit>>6&0x3F), 0x80|byte(unit&0x3F)) // #nosec G115 -- six bits each
	}
	return utf8.AppendRune(out, unit)
}

// unitOf reads half of a pair at the beginning.
func unitOf(b []byte) (rune, bool) {
	if len(b) < 3 || b[0] != 0xED || b[1] < 0xA0 || b[1] > 0xBF || b[2]&0xC0 != 0x80 {
		return 0, false
	}
	return 0xD000 | rune(b[1]&0x3F)<<6 | rune(b[2]&0x3F), true
}

// joiner puts characters together that were cut apart.
type joiner struct{ rest []byte }

// join returns what is whole of the text so far, as UTF-8, and keeps the rest.
func (j *joiner) join(p piece) string {
	if len(j.rest) == 0 && utf8.Valid(p) {
		return string(p)
	}
	all := append(j.rest, p...)
	j.rest = nil
	out := make([]byte, 0, len(all))
	for len(all) > 0 {
		r, size := utf8.DecodeRune(all)
		if r != utf8.RuneError || size > 1 {
			out = append(out, all[:size]...)
			all = all[size:]
			continue
		}
		if high, ok := unitOf(all); ok {
			low, two := unitOf(all[3:])
			whole := utf16.DecodeRune(high, low)
			switch {
			case two && whole != utf8.RuneError:
				out = utf8.AppendRune(out, whole)
				all = all[6:]
				continue
			case high < 0xDC00 && beginsUnit(all[3:]):
				j.rest = bytes.Clone(all)
				return string(out)
			}
			out = utf8.AppendRune(out, utf8.RuneError)
			all = all[3:]
			continue
		}
		if !utf8.FullRune(all) || beginsUnit(all) {
			j.rest = bytes.Clone(all)
			return string(out)
		}
		out = utf8.AppendRune(out, utf8.RuneError)
		all = all[1:]
	}
	return string(out)
}

// beginsUnit says whether b is the beginning of half a pair, and not the whole of it.
func beginsUnit(b []byte) bool {
	switch len(b) {
	case 0:
		return true
	case 1:
		return b[0] == 0xED
	case 2:
		return b[0] == 0xED && b[1] >= 0xA0 && b[1] <= 0xBF
	default:
		return false
	}
}

// end returns what is left over, which is no character.
func (j *joiner) end() string {
	if len(j.rest) == 0 {
		return ""
	}
	j.rest = nil
	return string(utf8.RuneError)
}
