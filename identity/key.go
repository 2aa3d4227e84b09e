package identity

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/kalpana-dev/kalpana/workspace"
)

// Key is the secret of one installation, 32 bytes. Everything that is authenticated or derived
// uses a subkey of its own. Losing it ends every grant and changes every bridge token.
type Key [32]byte

// NewKey returns a random key.
func NewKey() Key {
	var k Key
	_, _ = rand.Read(k[:])
	return k
}

// LoadKey reads the key from path, or makes it there with mode 0600 when there is none. Of several
// gateways that start at once, all get the same.
func LoadKey(path string) (Key, error) {
	k, err := readKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	k = NewKey()
	err = createKey(path, k)
	if errors.Is(err, fs.ErrExist) { // another gateway was first
		return readKey(path)
	}
	if err != nil {
		return Key{}, fmt.Errorf("the key cannot be made: %w", err)
	}
	return k, nil
}

func readKey(path string) (Key, error) {
	text, err := readSecret("key", path)
	if err != nil {
		return Key{}, err
	}
	k, err := ParseKey(string(text))
	if err != nil {
		return Key{}, fmt.Errorf("the key %s is damaged: it is one line of 64 hexadecimal digits; restore it from a backup, or remove it to sign everybody out and restart every workspace", path)
	}
	return k, nil
}

// ParseKey returns the key that text spells: 64 hexadecimal digits, which the error does not show.
func ParseKey(text string) (Key, error) {
	raw, err := hex.DecodeString(strings.TrimSpace(text))
	if err != nil || len(raw) != len(Key{}) {
		return Key{}, errors.New("the key is damaged: it is one line of 64 hexadecimal digits")
	}
	return Key(raw), nil
}

// Fingerprint tells keys apart and gives nothing away of them.
func (k Key) Fingerprint() string { return hex.EncodeToString(k.derive("fingerprint")[:8]) }

func createKey(path string, k Key) error {
	return createSecret(path, []byte(hex.EncodeToString(k[:])+"\n"))
}

func (k Key) derive(purpose string) []byte {
	out, err := hkdf.Key(sha256.New, k[:], nil, "kalpana "+purpose, 32)
	if err != nil {
		panic(err) // only for lengths that we never ask for
	}
	return out
}

// BridgeToken returns the token that the ports of a workspace's container demand: 64 hexadecimal
// digits.
func (k Key) BridgeToken(id workspace.ID) string {
	return hex.EncodeToString(k.derive("bridge token " + string(id)))
}

// secretLength is the length of what [NewSecret] returns.
const secretLength = 43

// NewSecret returns 256 random bits as 43 characters of URL-safe base64.
func NewSecret() string { return randomText(32) }

// Hash returns the form in which the store knows a secret.
func Hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}
