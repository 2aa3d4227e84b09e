package identity

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// CleanEmail returns an e-mail address in the form that rules are compared with: lower case, its
// domain in ASCII. Anything but one plain local part at one domain is refused, such as a@b@c: two
// programs read such forms in two ways (GHSA-c5c4-8r6x-56w3).
func CleanEmail(raw string) (string, bool) {
	local, domain, ok := strings.Cut(raw, "@")
	odd := func(r rune) bool {
		return !unicode.IsPrint(r) || unicode.IsSpace(r) || strings.ContainsRune(`"(),:;<>[\]`, r)
	}
	if !ok || local == "" || len(raw) > 254 || !utf8.ValidString(raw) || strings.ContainsFunc(local, odd) {
		return "", false
	}
	if domain, ok = CleanDomain(domain); !ok {
		return "", false
	}
	return lowerASCII(local) + "@" + domain, true
}

// CleanDomain returns a domain in lower case and in ASCII (RFC 5891).
func CleanDomain(raw string) (string, bool) {
	domain, err := idna.Lookup.ToASCII(raw)
	if err != nil || domain == "" || len(domain) > 253 || !utf8.ValidString(raw) {
		return "", false
	}
	// What is no longer a domain once it is in ASCII, nobody else reads as this one.
	if again, err := idna.Lookup.ToASCII(domain); err != nil || again != domain {
		return "", false
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" {
			return "", false
		}
	}
	return domain, true
}

// lowerASCII folds the case of ASCII letters alone: beyond them, two letters may fold to one, such
// as the Kelvin sign to k.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
