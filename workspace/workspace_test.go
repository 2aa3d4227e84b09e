package workspace

import (
	"strings"
	"testing"
)

func TestCleanName(t *testing.T) {
	for given, want := range map[string]string{
		"a":                                   "a",
		"  my project\t\n":                    "my project",
		"Ünïcode 项目 ✓":                        "Ünïcode 项目 ✓",
		"<script>alert(1)</script>":           "<script>alert(1)</script>", // who shows it escapes it
		strings.Repeat("x", MaxNameLength):    strings.Repeat("x", MaxNameLength),
		strings.Repeat("😀", MaxNameLength):    strings.Repeat("😀", MaxNameLength), // characters, not bytes
		"   " + strings.Repeat("x", 64) + " ": strings.Repeat("x", 64),
	} {
		if got, err := CleanName(given); err != nil || got != want {
			t.Errorf("CleanName(%q) = %q, %v", given, got, err)
		}
	}
	for name, given := range map[string]string{
		"empty":                "",
		"only space":           " \t\r\n\u00a0\u2003 ",
		"65 characters":        strings.Repeat("x", MaxNameLength+1),
		"10,000 characters":    strings.Repeat("x", 10_000),
		"10,000 spaces and a":  strings.Repeat(" ", 10_000) + "a",
		"a newline":            "a\nb",
		"NUL":                  "a\x00b",
		"an escape sequence":   "a\x1b[31mb",
		"DEL":                  "a\x7fb",
		"a C1 control":         "a\u0085b",
		"a line separator":     "a\u2028b",
		"turned writing":       "a\u202eb",
		"a zero-width space":   "a\u200bb",
		"a byte order mark":    "\ufeffa",
		"not UTF-8":            "a\xffb",
		"a cut-off character":  "a\xe2\x82",
		"an unassigned rune":   "a\U000e0001b",
		"a surrogate in UTF-8": "a\xed\xa0\x80b",
	} {
		if got, err := CleanName(given); err != ErrInvalidName || got != "" {
			t.Errorf("%s: CleanName = %q, %v; want ErrInvalidName", name, got, err)
		}
	}
}

func TestCleanRepository_TakesPublicAddresses(t *testing.T) {
	for given, want := range map[string]string{
		"":                                    "",
		" \n":                                 "",
		"https://github.com/kalpana-dev/x":    "https://github.com/kalpana-dev/x",
		" https://github.com/kalpana-dev/x\n": "https://github.com/kalpana-dev/x",
		"HTTPS://github.com/a/b.git":          "https://github.com/a/b.git",
		"http://git.example.com:3000/a/b":     "http://git.example.com:3000/a/b",
		"https://git.example.com/a%20b":       "https://git.example.com/a%20b",
		"https://git.example.com/ü":           "https://git.example.com/%C3%BC",
		"https://git.example.com/~user/$x;y":  "https://git.example.com/~user/$x;y",
		"https://git.example.com/a@b":         "https://git.example.com/a@b",
	} {
		got, err := CleanRepository(given)
		if err != nil || got != want {
			t.Errorf("CleanRepository(%q) = %q, %v; want %q", given, got, err, want)
		}
		if again, err := CleanRepository(got); err != nil || again != got {
			t.Errorf("CleanRepository(%q) = %q, %v the second time", got, again, err)
		}
	}
}

func TestCleanRepository_RefusesEverythingElse(t *testing.T) {
	for _, given := range []string{
		"github.com/a/b", "git@github.com:a/b.git", "ssh://git@github.com/a/b", "git://github.com/a/b", "file:///etc/passwd", "/etc", "../x",
		"ext::sh -c touch% /tmp/x", "--upload-pack=touch /tmp/x", "-u", "javascript:alert(1)", "data:text/plain,x", "https:github.com/a/b",
		"https://", "https:///a/b", "https://github.com", "https://github.com/", "https://github.com//",
		"https://user@github.com/a/b", "https://user:secret@github.com/a/b", "https://@github.com/a/b", "https://:@github.com/a/b",
		"https://github.com/a/b?token=secret", "https://github.com/a/b?", "https://github.com/a/b#main", "https://github.com/a/b#",
		"https://github.com/a\nb", "https://github.com/a%0ab", "https://github.com/a%00b", "https://github.com/a%1bb", "https://github.com/a\x7fb",
		"https://github.com/%E2%80%AEa", "https://github.com/%FF", "https://github.com/%zz",
		"https://git hub.com/a", "https://github.com\\@evil.com/a", "https://bücher.example/a", "https://a'b.example/a", "https://a$(b).example/a",
		"https://[::1]/a", "https://[fe80::1%25eth0]/a",
		"https://github.com:/a", "https://github.com:0/a", "https://github.com:65536/a", "https://github.com:99999999999/a",
		"https://github.com/" + strings.Repeat("x", 10_000), "https://github.com/" + strings.Repeat("ü", 1000),
	} {
		if got, err := CleanRepository(given); err != ErrInvalidRepo || got != "" {
			t.Errorf("CleanRepository(%.80q) = %q, %v; want ErrInvalidRepo", given, got, err)
		}
	}
}

func TestStates_ListsEveryStateOnce(t *testing.T) {
	seen := map[State]bool{}
	for _, s := range States {
		if s == "" || seen[s] {
			t.Errorf("%q is listed twice or empty", s)
		}
		seen[s] = true
	}
	if len(seen) != 8 {
		t.Errorf("%d states", len(seen))
	}
}
