package identity_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/mac"
	"github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"

	"github.com/kalpana-dev/kalpana/identity"
)

func loadSealer(t testing.TB, path string) *identity.Sealer {
	t.Helper()
	s, err := identity.LoadSealer(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func seal(t testing.TB, s *identity.Sealer, plaintext string) []byte {
	t.Helper()
	sealed, err := s.Seal([]byte(plaintext), "accounts", "p1", "token")
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// keysetText returns the keyset that a template makes, in JSON.
func keysetText(t testing.TB, template *tink_go_proto.KeyTemplate) string {
	t.Helper()
	handle, err := keyset.NewHandle(template)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&text)); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func TestSealer_OpensWhatItSealedAndHidesIt(t *testing.T) {
	s := identity.NewSealer()
	for _, plaintext := range []string{"", "gho_secret", strings.Repeat("x", 1<<20)} {
		sealed := seal(t, s, plaintext)
		if plaintext != "" && bytes.Contains(sealed, []byte(plaintext)) {
			t.Error("the sealed value shows the plaintext")
		}
		if bytes.Equal(sealed, seal(t, s, plaintext)) {
			t.Error("two sealed values are equal")
		}
		got, err := s.Open(sealed, "accounts", "p1", "token")
		if err != nil || string(got) != plaintext {
			t.Errorf("%d bytes come back as %d: %v", len(plaintext), len(got), err)
		}
	}
}

func TestSealer_AValueOpensInItsPlaceAlone(t *testing.T) {
	s := identity.NewSealer()
	place := [3]string{"accounts", "p1", "token"}
	sealed := seal(t, s, "secret")
	for _, other := range [][3]string{
		{"people", "p1", "token"},
		{"accounts", "p2", "token"},
		{"accounts", "p1", "refresh"},
		{"accountsp", "1", "token"}, // the same letters in a row
		{"accounts", "p1t", "oken"},
		{"accountsp1", "", "token"},
		{"", "accountsp1", "token"},
		{"accounts", "p1token", ""},
		{"", "", "accountsp1token"},
		{"accounts\x00p1", "", "token"},
		{"p1", "accounts", "token"},
		{"Accounts", "p1", "token"},
		{},
	} {
		if got, err := s.Open(sealed, other[0], other[1], other[2]); !errors.Is(err, identity.ErrSealed) || got != nil {
			t.Errorf("%q opens as %q: %q, %v", place, other, got, err)
		}
	}
}

func TestSealer_AChangedOrForeignValueIsRefused(t *testing.T) {
	s := identity.NewSealer()
	sealed := seal(t, s, "secret")
	values := map[string][]byte{
		"none": nil, "empty": {}, "text": []byte("secret"), "prefix alone": sealed[:5], "cut off": sealed[:len(sealed)-1],
		"longer": append(bytes.Clone(sealed), 0), "another keyset's": seal(t, identity.NewSealer(), "secret"),
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		values["a bit of byte "+string(rune('0'+i%10))] = changed
	}
	for name, value := range values {
		if got, err := s.Open(value, "accounts", "p1", "token"); !errors.Is(err, identity.ErrSealed) || got != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if !strings.Contains(identity.ErrSealed.Error(), "connect it again") {
		t.Errorf("it does not say what to do: %v", identity.ErrSealed)
	}
}

func TestSealer_WithoutAKeysetSaysSo(t *testing.T) {
	var s *identity.Sealer
	if _, err := s.Seal(nil, "", "", ""); err == nil || !strings.Contains(err.Error(), "no keyset") {
		t.Error(err)
	}
	if _, err := s.Open(nil, "", "", ""); err == nil || !strings.Contains(err.Error(), "no keyset") {
		t.Error(err)
	}
}

func TestLoadSealer_MakesAKeysetThatOnlyItsOwnerReads(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keyset.json")
	sealed := seal(t, loadSealer(t, path), "secret")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("left behind: %v", files)
	}
	if got, err := loadSealer(t, path).Open(sealed, "accounts", "p1", "token"); err != nil || string(got) != "secret" {
		t.Errorf("after a restart: %q, %v", got, err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o644, 0o660, 0o601} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := identity.LoadSealer(path); err == nil || !strings.Contains(err.Error(), "run: chmod 600 "+path) {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
}

func TestLoadSealer_StartersAtOnceAgree(t *testing.T) {
	for range 5 {
		path := filepath.Join(t.TempDir(), "keyset.json")
		sealers := make([]*identity.Sealer, 8)
		var starters sync.WaitGroup
		for i := range sealers {
			starters.Go(func() {
				var err error
				if sealers[i], err = identity.LoadSealer(path); err != nil {
					t.Error(err)
				}
			})
		}
		starters.Wait()
		for _, s := range sealers {
			if _, err := s.Open(seal(t, sealers[0], "x"), "accounts", "p1", "token"); err != nil {
				t.Fatal("two starters have different keysets")
			}
		}
	}
}

func TestLoadSealer_RefusesADamagedKeysetKeepsItAndNeverQuotesIt(t *testing.T) {
	whole := keysetText(t, aead.AES256GCMKeyTemplate())
	_, secret, _ := strings.Cut(whole, `"value":"`)
	secret = secret[:20]
	for name, content := range map[string]string{
		"empty": "", "a line break": "\n", "cut off": whole[:len(whole)-9], "no JSON": "secret " + secret, "another JSON": `{"secret":"` + secret + `"}`,
		"no keys": `{"primaryKeyId":1,"key":[]}`, "keys for another purpose": keysetText(t, mac.HMACSHA256Tag128KeyTemplate()),
		"keys that values would not name": keysetText(t, aead.AES256GCMNoPrefixKeyTemplate()),
		"a short key":                     strings.Replace(whole, secret, secret[:4], 1),
		"another primary key":             strings.Replace(whole, `"primaryKeyId":`, `"primaryKeyId":1`, 1),
	} {
		path := filepath.Join(t.TempDir(), "keyset.json")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := identity.LoadSealer(path)
		if err == nil || !strings.Contains(err.Error(), path+" is damaged") || strings.Contains(err.Error(), secret[:4]) {
			t.Errorf("%s: %v", name, err)
		}
		if kept, err := os.ReadFile(path); err != nil || string(kept) != content {
			t.Errorf("%s: changed to %q, %v", name, kept, err)
		}
	}
}

func TestParseSealer_TakesJSONAndBase64(t *testing.T) {
	text := keysetText(t, aead.AES256GCMKeyTemplate())
	encoded := base64.StdEncoding.EncodeToString([]byte(text))
	first, err := identity.ParseSealer(text)
	if err != nil {
		t.Fatal(err)
	}
	sealed := seal(t, first, "secret")
	for name, form := range map[string]string{
		"JSON with space": "\n " + text + "\n", "base64": encoded, "base64 in lines": encoded[:60] + "\n" + encoded[60:] + "\n",
	} {
		s, err := identity.ParseSealer(form)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, err := s.Open(sealed, "accounts", "p1", "token"); err != nil || string(got) != "secret" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	s := identity.NewSealer()
	sealed := seal(f, s, "secret")
	f.Add(sealed, "accounts", "p1", "token")
	f.Add(sealed, "accounts", "p2", "token")
	f.Add(sealed, "accountsp", "1", "token")
	f.Add(sealed[:len(sealed)-1], "accounts", "p1", "token")
	f.Add(sealed[1:], "accounts", "p1", "token")
	f.Add([]byte{}, "", "", "")
	f.Fuzz(func(t *testing.T, value []byte, collection, person, field string) {
		got, err := s.Open(value, collection, person, field)
		if err != nil {
			if !errors.Is(err, identity.ErrSealed) || got != nil {
				t.Fatalf("%q, %v", got, err)
			}
			return
		}
		if !bytes.Equal(value, sealed) || collection != "accounts" || person != "p1" || field != "token" {
			t.Fatalf("%x opens as %q %q %q", value, collection, person, field)
		}
	})
}

func FuzzParseKeyset(f *testing.F) {
	text := keysetText(f, aead.AES256GCMKeyTemplate())
	f.Add(text)
	f.Add(base64.StdEncoding.EncodeToString([]byte(text)))
	f.Add(strings.Replace(text, "ENABLED", "DISABLED", 1))
	f.Add(`{"primaryKeyId":1,"key":[{"keyData":null,"status":"ENABLED","keyId":1,"outputPrefixType":"TINK"}]}`)
	f.Add(`{"key":[null]}`)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := identity.ParseSealer(text)
		if err != nil {
			return
		}
		if got, err := s.Open(seal(t, s, "x"), "accounts", "p1", "token"); err != nil || string(got) != "x" {
			t.Fatalf("%q, %v", got, err)
		}
	})
}
