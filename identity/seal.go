package identity

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"sync"
)

var (
	b64 = base64.RawURLEncoding
	// strict refuses the second spellings of a last character, so that a MAC has one form.
	strict = b64.Strict()
)

func randomText(bytes int) string {
	buf := make([]byte, bytes)
	_, _ = rand.Read(buf)
	return b64.EncodeToString(buf)
}

const (
	macLength = 43   // of a MAC in text
	maxSigned = 4096 // browsers keep no longer cookie
)

// authenticator appends and checks an HMAC-SHA256. It keeps keyed hashes and their buffers for
// reuse, since it runs on every request.
type authenticator struct{ pool sync.Pool }

func newAuthenticator(key []byte) *authenticator {
	return &authenticator{pool: sync.Pool{New: func() any { return &keyedHash{hash: hmac.New(sha256.New, key)} }}}
}

// sign returns text + "." + MAC.
func (a *authenticator) sign(text string) string {
	h := a.pool.Get().(*keyedHash)
	defer a.pool.Put(h)
	return text + "." + b64.EncodeToString(h.mac(text))
}

// open returns the text of a signed value.
func (a *authenticator) open(signed string) (string, bool) {
	i := len(signed) - macLength - 1
	if i < 0 || len(signed) > maxSigned || signed[i] != '.' {
		return "", false
	}
	var given [macLength]byte
	var got [sha256.Size]byte
	copy(given[:], signed[i+1:])
	// The length counts: the decoder skips line breaks.
	if n, err := strict.Decode(got[:], given[:]); err != nil || n != len(got) {
		return "", false
	}
	h := a.pool.Get().(*keyedHash)
	defer a.pool.Put(h)
	if !hmac.Equal(got[:], h.mac(signed[:i])) {
		return "", false
	}
	return signed[:i], true
}

type keyedHash struct {
	hash hash.Hash
	buf  []byte // the text, then room for the MAC
}

// mac returns the MAC of text; it is good until the next call.
func (k *keyedHash) mac(text string) []byte {
	k.buf = append(k.buf[:0], text...)
	k.hash.Reset()
	k.hash.Write(k.buf)
	return k.hash.Sum(k.buf[:0])
}
