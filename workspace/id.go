package workspace

import (
	"crypto/rand"
	"encoding/base32"
	"strings"
)

// IDLength is the number of characters in an [ID].
const IDLength = 10

const idAlphabet = "abcdefghijklmnopqrstuvwxyz234567"

var idEncoding = base32.NewEncoding(idAlphabet).WithPadding(base32.NoPadding)

// ID names a workspace. It is the workspace's host label: ten characters of lower-case base32
// (RFC 4648 alphabet), the first a letter, so that "<port>-<id>" is never ambiguous. An ID is
// never given to another owner, not even after its workspace is deleted: 49 random bits and the
// store's list of retired ids see to that.
type ID string

// NewID returns a random ID.
func NewID() ID {
	for {
		var random [7]byte
		_, _ = rand.Read(random[:]) // never fails (crypto/rand since Go 1.24)
		s := idEncoding.EncodeToString(random[:])[:IDLength]
		if s[0] >= 'a' {
			return ID(s)
		}
	}
}

// ParseID returns the ID that s spells. Only the canonical lower-case form is taken.
func ParseID(s string) (ID, error) {
	if len(s) != IDLength || s[0] < 'a' || s[0] > 'z' {
		return "", ErrInvalidID
	}
	for i := range len(s) {
		if strings.IndexByte(idAlphabet, s[i]) < 0 {
			return "", ErrInvalidID
		}
	}
	return ID(s), nil
}
