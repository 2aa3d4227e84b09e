package workspace

import (
	"strings"
	"testing"
)

func TestParseID_TakesTheCanonicalFormOnly(t *testing.T) {
	for _, good := range []string{"abcdefghij", "z234567777", "aaaaaaaaaa"} {
		if id, err := ParseID(good); err != nil || string(id) != good {
			t.Errorf("ParseID(%q) = %q, %v", good, id, err)
		}
	}
	for _, bad := range []string{
		"", "a", "abcdefghi", "abcdefghijk", strings.Repeat("a", 10_000),
		"2bcdefghij", "7777777777", // a number first: "<port>-<id>" must stay clear
		"abcdefghi0", "abcdefghi1", "abcdefghi8", "abcdefghi9", // not in base32
		"Abcdefghij", "ABCDEFGHIJ", "abcdefghiJ",
		"abcde-ghij", "abcde.ghij", "abcde_ghij", "abcde ghij", "abcdefgh\x00j", "abcdefghí", "abcdefghi\n",
		"-bcdefghij", ".bcdefghij", "{bcdefghij",
	} {
		if id, err := ParseID(bad); err != ErrInvalidID || id != "" {
			t.Errorf("ParseID(%q) = %q, %v; want ErrInvalidID", bad, id, err)
		}
	}
}

func TestNewID_IsCanonicalAndStartsWithALetter(t *testing.T) {
	for range 10_000 {
		id := NewID()
		if _, err := ParseID(string(id)); err != nil {
			t.Fatalf("NewID() = %q: %v", id, err)
		}
	}
}

// With 200,000 ids each letter is expected 7,692 times in the first place (standard deviation 86)
// and each character 6,250 times in every other (78); eight deviations never happen by chance.
func TestNewID_EveryCharacterIsEquallyLikely(t *testing.T) {
	const n = 200_000
	var count [IDLength][256]int
	for range n {
		id := NewID()
		for i := range IDLength {
			count[i][id[i]]++
		}
	}
	for i := range count {
		alphabet := idAlphabet
		if i == 0 {
			alphabet = idAlphabet[:26]
		}
		want, allowed := n/len(alphabet), 8*90
		for _, c := range []byte(alphabet) {
			if got := count[i][c]; got < want-allowed || got > want+allowed {
				t.Errorf("%q at %d: %d times, want about %d", c, i, got, want)
			}
		}
	}
}

func TestNewID_NeverRepeats(t *testing.T) {
	seen := map[ID]bool{}
	for range 50_000 {
		id := NewID()
		if seen[id] {
			t.Fatalf("%q came twice", id)
		}
		seen[id] = true
	}
}
