package identity

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"
	"strings"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/core/cryptofmt"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	tink "github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	primitive "github.com/tink-crypto/tink-go/v2/tink"
)

// keyset holds the keys that seal: the primary one seals, the others open what they sealed before.
type keyset struct {
	text   []byte // as it was read or is to be written
	handle *tink.Handle
	aead   primitive.AEAD
	ids    []uint32 // of all keys, the primary one first
}

// errKeyset stands for everything that can be wrong with a keyset's text: the causes that Tink
// gives may quote it.
var errKeyset = errors.New(`it is not a keyset of Tink in JSON whose keys are AEAD keys with the output prefix "TINK"`)

// parseKeyset reads Tink's JSON, or base64 of it.
func parseKeyset(text []byte) (*keyset, error) {
	clean := bytes.TrimSpace(text)
	if len(clean) > 0 && clean[0] != '{' {
		decoded, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(clean)), ""))
		if err != nil {
			return nil, errKeyset
		}
		clean = decoded
	}
	handle, err := insecurecleartextkeyset.Read(tink.NewJSONReader(bytes.NewReader(clean)))
	if err != nil {
		return nil, errKeyset
	}
	k, err := keysetOf(handle)
	if err != nil {
		return nil, err
	}
	k.text = text
	return k, nil
}

func keysetOf(handle *tink.Handle) (*keyset, error) {
	var text bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, tink.NewJSONWriter(&text)); err != nil {
		return nil, errKeyset
	}
	text.WriteByte('\n')
	sealer, err := aead.New(handle)
	if err != nil {
		return nil, errKeyset
	}
	info := handle.KeysetInfo()
	k := &keyset{text: text.Bytes(), handle: handle, aead: sealer, ids: []uint32{info.GetPrimaryKeyId()}}
	for _, key := range info.GetKeyInfo() {
		if key.GetOutputPrefixType() != tink_go_proto.OutputPrefixType_TINK {
			return nil, errKeyset // nothing would tell which key sealed a value
		}
		if key.GetKeyId() != k.primary() {
			k.ids = append(k.ids, key.GetKeyId())
		}
	}
	return k, nil
}

// newKeyset returns a keyset of one new AES-256-GCM key.
func newKeyset() (*keyset, error) {
	handle, err := tink.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, err
	}
	return keysetOf(handle)
}

func (k *keyset) primary() uint32 { return k.ids[0] }

func (k *keyset) has(id uint32) bool { return slices.Contains(k.ids, id) }

// rotating reports whether the keyset has keys beside the primary one.
func (k *keyset) rotating() bool { return len(k.ids) > 1 }

// withNewPrimary returns k with one more key, which seals from then on.
func (k *keyset) withNewPrimary() (*keyset, error) {
	manager := tink.NewManagerFromHandle(k.handle)
	id, err := manager.Add(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, err
	}
	if err := manager.SetPrimary(id); err != nil {
		return nil, err
	}
	handle, err := manager.Handle()
	if err != nil {
		return nil, err
	}
	return keysetOf(handle)
}

// withPrimaryAlone returns k without its other keys.
func (k *keyset) withPrimaryAlone() (*keyset, error) {
	manager := tink.NewManagerFromHandle(k.handle)
	for _, id := range k.ids[1:] {
		if err := manager.Delete(id); err != nil {
			return nil, err
		}
	}
	handle, err := manager.Handle()
	if err != nil {
		return nil, err
	}
	return keysetOf(handle)
}

// sealedWith returns the id of the key that a sealed value names.
func sealedWith(sealed []byte) (uint32, bool) {
	if len(sealed) < cryptofmt.TinkPrefixSize || sealed[0] != cryptofmt.TinkStartByte {
		return 0, false
	}
	return binary.BigEndian.Uint32(sealed[1:]), true
}
