package bridge

import (
	"encoding/base64"
	"encoding/json"
	"unicode/utf8"
)

// EncodeContent returns b as the protocol carries it: as text if it is UTF-8 and no longer in JSON than
// in base64, else in base64. (Escapes make text of control characters or of < and & six times as long.)
func EncodeContent(b []byte) (content, encoding string) {
	if utf8.Valid(b) && JSONSize(string(b)) <= base64.StdEncoding.EncodedLen(len(b))+64 {
		return string(b), EncodingUTF8
	}
	return base64.StdEncoding.EncodeToString(b), EncodingBase64
}

// DecodeContent is the inverse of EncodeContent; an empty encoding means EncodingUTF8.
// It returns ErrInvalid for another encoding and for broken base64, ErrTooLarge above MaxContent.
func DecodeContent(content, encoding string) ([]byte, error) {
	b := []byte(content)
	switch encoding {
	case "", EncodingUTF8:
	case EncodingBase64:
		if base64.StdEncoding.DecodedLen(len(content)) > MaxContent+2 {
			return nil, ErrTooLarge.With("content above %d bytes", MaxContent)
		}
		var err error
		if b, err = base64.StdEncoding.DecodeString(content); err != nil {
			return nil, ErrInvalid.With("content is not base64")
		}
	default:
		return nil, ErrInvalid.With("no encoding %q", Printable(encoding, 32))
	}
	if len(b) > MaxContent {
		return nil, ErrTooLarge.With("content above %d bytes", MaxContent)
	}
	return b, nil
}

// JSONSize is the length of s as a JSON string, in bytes, escapes and quotes included.
func JSONSize(s string) int {
	b, err := json.Marshal(s)
	if err != nil { // A string always has a JSON form.
		return MaxFrame
	}
	return len(b)
}
