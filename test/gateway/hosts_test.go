package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	kalpana "github.com/kalpana-dev/kalpana/workspace"
)

// hostForms asks for a running workspace under names that are not quite its own, with a good grant.
func hostForms(t *testing.T, s *site) {
	b := s.browser(admin)
	grant := "Cookie: " + b.grant(t, s.mine)
	id, port := s.mine, s.port
	exact := s.host(id)
	other := s.sibling

	good := map[string]string{
		"exact":                exact,
		"upper case":           strings.ToUpper(exact),
		"mixed case":           strings.ToUpper(id[:5]) + exact[5:],
		"upper parent":         id + "." + strings.ToUpper(s.parent) + port,
		"another port":         id + "." + s.parent + ":1",
		"the largest port":     id + "." + s.parent + ":65535",
		"no port":              id + "." + s.parent,
		"a port with a zero":   id + "." + s.parent + ":0080",
		"the scheme's default": id + "." + s.parent + map[string]string{"http": ":80", "https": ":443"}[s.scheme],
	}
	for name, host := range good {
		mark := marker()
		answers := s.exchange(t, exact, head("GET", "/"+mark, host, "", with(grant, "Connection: close")...))
		if len(answers) != 1 || answers[0].status != http.StatusOK || answers[0].app() != id {
			t.Errorf("%s (%s): %v", name, host, answers)
		}
	}

	bad := map[string]string{
		"trailing dot":              id + "." + s.parent + "." + port,
		"trailing dot after id":     id + ".." + s.parent + port,
		"leading dot":               "." + exact,
		"two ids, dashed":           id + "-" + other + "." + s.parent + port,
		"two ids, dotted":           id + "." + other + "." + s.parent + port,
		"two ids, dotted, swapped":  other + "." + id + "." + s.parent + port,
		"nested label":              "x." + exact,
		"nested preview":            "3000." + exact,
		"parent twice":              id + "." + s.parent + "." + s.parent + port,
		"prefix look-alike":         "x" + exact,
		"prefix look-alike, dashed": "x-" + exact,
		"id and a letter":           id + "x." + s.parent + port,
		"id cut short":              id[:9] + "." + s.parent + port,
		"parent's prefix":           id + ".x" + s.parent + port,
		"parent's suffix":           exact[:len(exact)-len(port)] + "x" + port,
		"parent below evil":         id + "." + s.parent + ".evil.com" + port,
		"evil with the id":          id + ".evil.com" + port,
		"parent as a label":         id + "." + strings.ReplaceAll(s.parent, ".", "-") + ".com" + port,
		"the parent alone":          s.parent + port,
		"an empty label":            "." + s.parent + port,
		"a wildcard":                "*." + s.parent + port,
		"IDNA":                      "xn--" + id + "-abc." + s.parent + port,
		"IDNA parent":               id + ".xn--" + s.parent + port,
		"full-width letters":        strings.Map(func(r rune) rune { return r + 0xfee0 }, id) + "." + s.parent + port,
		"a Cyrillic letter":         "а" + id[1:] + "." + s.parent + port,
		"the Kelvin sign":           "\u212a" + id[1:] + "." + s.parent + port,
		"a full-width dot":          id + "\uff0e" + s.parent + port,
		"an ideographic dot":        id + "\u3002" + s.parent + port,
		"percent":                   id[:9] + "%" + fmt.Sprintf("%02x", id[9]) + "." + s.parent + port,
		"percent dot":               id + "%2e" + s.parent + port,
		"a user":                    "user@" + exact,
		"the id as a user":          id + "@" + s.parent + port,
		"evil after a user":         exact + "@evil.com",
		"a path":                    "evil.com/" + exact,
		"the host as a path":        exact + "/evil.com",
		"a backslash":               exact + `\evil.com`,
		"a query":                   exact + "?evil.com",
		"a fragment":                exact + "#evil.com",
		"a comma":                   exact + ",evil.com",
		"a scheme":                  s.scheme + "://" + exact,
		"an underscore":             "_" + exact,
		"a tab":                     id + "\t." + s.parent + port,
		"a space":                   id + " ." + s.parent + port,
		"NUL":                       id + "\x00." + s.parent + port,
		"NUL and evil":              exact + "\x00.evil.com",
		"a port of letters":         id + "." + s.parent + ":http",
		"a port too large":          id + "." + s.parent + ":65536",
		"port 0":                    id + "." + s.parent + ":0",
		"a negative port":           id + "." + s.parent + ":-80",
		"a port with a sign":        id + "." + s.parent + ":+80",
		"two ports":                 id + "." + s.parent + ":80:80",
		"an empty port":             id + "." + s.parent + ":",
		"an address":                "127.0.0.1" + port,
		"an IPv6 address":           "[::1]" + port,
		"brackets":                  "[" + id + "." + s.parent + "]" + port,
		"localhost":                 "localhost" + port,
		"nothing":                   "",
		"preview, no port":          "-" + exact,
		"preview, no id":            "3000-." + s.parent + port,
		"preview, a sign":           "+3000-" + exact,
		"preview, a zero":           "03000-" + exact,
		"preview, hexadecimal":      "0xbb8-" + exact,
		"preview, twice":            "3000-3000-" + exact,
		"preview, other order":      id + "-3000." + s.parent + port,
		"preview, letters":          "http-" + exact,
		"preview, spaces":           "3000 -" + exact,
		"preview, Arabic digits":    "٣٠٠٠-" + exact,
		"preview, exponent":         "3e3-" + exact,
		"two dashes":                "3000--" + exact,
		"a very long name":          strings.Repeat("x.", 5000) + exact,
		"a very long label":         strings.Repeat("x", 64) + "-" + exact,
	}
	for name, host := range bad {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mark := marker()
			for _, headers := range [][]string{program, navigation} {
				answers := s.exchange(t, exact, head("GET", "/"+mark, host, "", with(headers, grant, "Connection: close")...))
				for _, a := range answers {
					s.refusesHost(t, a)
				}
			}
			s.unreached(t, mark, "host "+host)
		})
	}

	t.Run("two Host headers", func(t *testing.T) {
		mark := marker()
		for _, pair := range [][2]string{{exact, "evil.com"}, {"evil.com", exact}, {exact, exact}, {exact, s.host(other)}} {
			raw := "GET /" + mark + " HTTP/1.1\r\nHost: " + pair[0] + "\r\nHost: " + pair[1] + "\r\n" + grant + "\r\nConnection: close\r\n\r\n"
			for _, a := range s.exchange(t, exact, raw) {
				if a.status != http.StatusBadRequest {
					t.Errorf("%q: %v", pair, a)
				}
			}
		}
		s.unreached(t, mark, "two Host headers")
	})

	t.Run("a hundred hosts", func(t *testing.T) {
		seen := map[string]bool{}
		for range 100 {
			id := string(kalpana.NewID())
			for _, host := range []string{s.host(id), strings.ToUpper(s.host(id))} {
				a := s.send(t, "GET", s.scheme+"://"+host+"/", navigation...)
				if want := "host=" + id + "&"; a.status != http.StatusSeeOther || !strings.Contains(a.location()+"&", want) {
					t.Fatalf("%s: %v", host, a)
				}
				seen[a.location()] = true
			}
		}
		if len(seen) != 200 {
			t.Errorf("%d challenges for 200 requests", len(seen))
		}
	})
}

// refusesHost fails when an answer treats a host that is none as one of ours.
func (s *site) refusesHost(t *testing.T, a *answer) {
	t.Helper()
	switch {
	case a.app() != "", len(a.header["Set-Cookie"]) > 0, a.location() != "":
		t.Errorf("it was taken for a workspace: %v", a)
	case a.status < 300 && a.body != "": // Caddy answers a name it does not know with an empty 200
		t.Errorf("it was served: %v", a)
	}
}
