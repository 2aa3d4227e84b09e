package identity

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"sync"
)

// ErrSealed says that a stored secret cannot be opened: its key is gone, or it was damaged or
// moved. It is lost until the keyset is restored; signing in at the provider again replaces it.
var ErrSealed = errors.New("a stored secret cannot be opened with this gateway's keyset: restore the keyset from a backup, or disconnect the account and connect it again")

var errNoKeyset = errors.New("there is no keyset to seal with")

// Sealer encrypts secrets for storage, with a keyset of Tink. It is safe for concurrent use, and
// follows changes that others make to the keyset's file. A nil Sealer seals and opens nothing.
type Sealer struct {
	path string // of the keyset; "" where it cannot be written

	mu      sync.Mutex
	current *keyset

	step func(name string) error // for tests: fails a rotation after a step
}

// NewSealer returns a Sealer with a new keyset that is kept nowhere.
func NewSealer() *Sealer {
	k, err := newKeyset()
	if err != nil {
		panic(err) // only for templates that we never ask for
	}
	return &Sealer{current: k}
}

// LoadSealer reads the keyset from path, or makes it there with mode 0600 when there is none. Of
// several gateways that start at once, all get the same.
func LoadSealer(path string) (*Sealer, error) {
	s := &Sealer{path: path}
	_, err := s.read()
	if !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	k, err := newKeyset()
	if err != nil {
		return nil, err
	}
	if err := createSecret(path, k.text); err != nil && !errors.Is(err, fs.ErrExist) { // another gateway was first
		return nil, fmt.Errorf("the keyset cannot be made: %w", err)
	}
	_, err = s.read()
	return s, err
}

// ParseSealer returns a Sealer with a keyset from elsewhere, in Tink's JSON or base64 of it.
func ParseSealer(text string) (*Sealer, error) {
	k, err := parseKeyset([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("the keyset is damaged: %w; take it from a backup", err)
	}
	return &Sealer{current: k}, nil
}

// read returns the keyset as it is now.
func (s *Sealer) read() (*keyset, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.path == "" {
		return s.current, nil
	}
	text, err := readSecret("keyset", s.path)
	if err != nil {
		return nil, err
	}
	if s.current != nil && bytes.Equal(text, s.current.text) {
		return s.current, nil
	}
	k, err := parseKeyset(text)
	if err != nil {
		return nil, fmt.Errorf("the keyset %s is damaged: %w; restore it from a backup, or remove it: whoever connected an account connects it again", s.path, err)
	}
	s.current = k
	return k, nil
}

// Seal encrypts plaintext for one field of one person's record in a collection; it opens there
// alone. Store the result at once: [Service.RotateKeyset] allows 30 s from here to the store. It may
// have stored the record meanwhile: on workspace.ErrConflict read that one, and seal into it.
func (s *Sealer) Seal(plaintext []byte, collection, person, field string) ([]byte, error) {
	if s == nil {
		return nil, errNoKeyset
	}
	// Read each time, so that nothing is sealed with a key that a rotation is about to remove.
	k, err := s.read()
	if err != nil {
		return nil, err
	}
	return k.aead.Encrypt(plaintext, associatedData(collection, person, field))
}

// Open decrypts what [Sealer.Seal] made for that field, or fails with ErrSealed.
func (s *Sealer) Open(sealed []byte, collection, person, field string) ([]byte, error) {
	if s == nil {
		return nil, errNoKeyset
	}
	k, err := s.with(sealed)
	if err != nil {
		return nil, err
	}
	plaintext, err := k.aead.Decrypt(sealed, associatedData(collection, person, field))
	if err != nil {
		return nil, ErrSealed
	}
	return plaintext, nil
}

// with returns the keyset that is known, or the one that is in the file now where a sealed value
// names a key that is not known.
func (s *Sealer) with(sealed []byte) (*keyset, error) {
	id, ok := sealedWith(sealed)
	if !ok {
		return nil, ErrSealed
	}
	s.mu.Lock()
	k := s.current
	s.mu.Unlock()
	if k.has(id) {
		return k, nil
	}
	return s.read()
}

// associatedData binds a sealed value to its place. The lengths keep ("ab", "c") and ("a", "bc")
// apart.
func associatedData(collection, person, field string) []byte {
	data := []byte("kalpana sealed 1")
	for _, part := range []string{collection, person, field} {
		data = binary.BigEndian.AppendUint64(data, uint64(len(part)))
		data = append(data, part...)
	}
	return data
}

// replace puts next in the place of k, which must still be what is in the file.
func (s *Sealer) replace(k, next *keyset) error {
	now, err := s.read()
	if err != nil {
		return err
	}
	if !bytes.Equal(now.text, k.text) {
		return ErrRotating
	}
	if err := replaceSecret(s.path, next.text); err != nil {
		return fmt.Errorf("the keyset cannot be written: %w; the gateway must be able to write %s and its directory", err, s.path)
	}
	_, err = s.read()
	return err
}

// after is where tests let a rotation fail.
func (s *Sealer) after(step string) error {
	if s.step == nil {
		return nil
	}
	return s.step(step)
}
