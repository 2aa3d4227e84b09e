package gateway

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/kalpana-dev/kalpana/identity"
)

// redirectForms generates more than 500 ways to write an address elsewhere, most of which look like a
// path of this host to somebody.
func redirectForms(s *site) []string {
	evil := []string{"evil.com", "evil.com:80", "evil.com%2f", "user@evil.com", s.host(s.mine) + "@evil.com", s.host(s.mine) + ".evil.com", "[::1]", "2130706433", "evil%E3%80%82com", "ｅvil.com"}
	prefixes := []string{
		"//", "///", "////", "/////", `/\`, `\\`, `\/`, `/\/`, `/\\`, `\/\/`, `//\`, `/\\/`,
		"/%2f", "/%5c", "/%2F%2F", "%2f%2f", "%5c%5c", "/%252f", "/%09/", "/%0a/", "/%0d/", "/%0d%0a/", "/%00/", "/%20/", "/%e3%80%80/",
		"/./", "/../", "/.//", "/..//", "/.;/", "/;//", "/;@", "/@", "/:@", "/x@", "/.", "/..", "/%2e%2e//", "/%2e//",
		"http://", "https://", "HTTP://", "http:", "https:", "http:/", `http:\\`, `http:\/`, "http:///", "hTTp:////", "ftp://", "javascript://", "javascript:alert(1)//", "data:text/html,", "vbscript:", "blob:http://", "view-source:http://", "file://",
		"/?next=//", "/?url=http://", "/#//", "/redirect?to=//",
	}
	var forms []string
	for _, p := range prefixes {
		for _, e := range evil {
			forms = append(forms, p+e)
		}
	}
	return forms
}

// leadsTo returns the origin to which a browser at base goes for a Location. A browser drops tabs and
// line ends and takes a backslash for a slash (WHATWG URL).
func leadsTo(base, location string) (string, error) {
	location = strings.NewReplacer("\t", "", "\n", "", "\r", "", `\`, "/").Replace(strings.TrimSpace(location))
	// It takes any number of slashes for two where there is no host yet.
	for _, scheme := range []string{"", "http:", "https:"} {
		if len(location) > len(scheme) && strings.EqualFold(location[:len(scheme)], scheme) && strings.HasPrefix(location[len(scheme):], "//") {
			location = location[:len(scheme)] + "//" + strings.TrimLeft(location[len(scheme):], "/")
			break
		}
	}
	b, err := url.Parse(base)
	if err != nil {
		return "", err
	}
	u, err := b.Parse(location)
	if err != nil {
		return "", err
	}
	return u.Scheme + "://" + u.Host, nil
}

// openRedirects tries every form at every place that takes an address to return to.
func openRedirects(t *testing.T, s *site) {
	forms := redirectForms(s)
	if len(forms) < 500 {
		t.Fatalf("only %d forms", len(forms))
	}
	b := s.browser(admin) // with a session, and never with a grant: it goes to the console alone
	stays := func(t *testing.T, form, base string, a *answer) {
		t.Helper()
		locations := append(a.header["Location"], a.header["Refresh"]...)
		if len(locations) == 0 {
			return
		}
		to, err := leadsTo(base, a.location())
		if len(locations) > 1 || err != nil || to != s.console && to != s.at(s.mine) {
			t.Errorf("%q leads to %q (%s, %v)", form, locations, to, err)
		}
		if strings.ContainsAny(a.location(), "\\\t") || len(a.header["X-Evil"]) > 0 {
			t.Errorf("%q: %v", form, a)
		}
	}
	const perGroup = 60
	for first := 0; first < len(forms); first += perGroup {
		group := forms[first:min(first+perGroup, len(forms))]
		// A hand-off that begins there: on the way out, and on the way back.
		t.Run(fmt.Sprintf("ReturnPath/%d", first), func(t *testing.T) {
			t.Parallel()
			for _, form := range group {
				for _, a := range s.exchange1(t, s.host(s.mine), head("GET", form, s.host(s.mine), "", navigation...)) {
					stays(t, form, s.at(s.mine)+"/", a)
					nonce := a.cookie(identity.NonceCookie)
					if nonce == nil {
						continue
					}
					if to, _ := leadsTo(s.at(s.mine), a.location()); to != s.console {
						t.Errorf("%q: the hand-off goes to %q", form, a.location())
						continue
					}
					approved := b.do(t, "GET", a.location(), navigation...)
					stays(t, form, s.console+"/", approved)
					_, code, ok := strings.Cut(approved.location(), "?code=")
					if !ok {
						t.Errorf("%q: no code: %v", form, approved)
						continue
					}
					back := s.complete(t, s.mine, code, nonce.Name+"="+nonce.Value)
					stays(t, form, s.at(s.mine)+identity.CallbackPath, back)
					if to, _ := leadsTo(s.at(s.mine)+identity.CallbackPath, back.location()); back.status != http.StatusSeeOther || to != s.at(s.mine) {
						t.Errorf("%q: back to %q (%s)", form, back.location(), to)
					}
				}
			}
		})
		// The parameters of the console's end, and what the login is told to go on to.
		t.Run(fmt.Sprintf("Parameters/%d", first), func(t *testing.T) {
			t.Parallel()
			for _, form := range group {
				q := url.QueryEscape(form)
				challenge := strings.Repeat("0", identity.ChallengeLength)
				for _, target := range []string{
					"/handoff?host=" + q + "&challenge=" + challenge,
					"/handoff?host=" + s.mine + "&challenge=" + q,
					"/handoff?host=" + s.mine + "&challenge=" + challenge + "&next=" + q + "&return=" + q + "&redirect_uri=" + q,
					"/login?next=" + q,
					"/login/link?next=" + q,
				} {
					a := b.do(t, "GET", s.console+target, navigation...)
					stays(t, target, s.console+"/", a)
					if strings.HasPrefix(target, "/handoff?host="+q) && a.location() != "" {
						t.Errorf("%q as a host: %v", form, a)
					}
				}
				a := s.complete(t, s.mine, q, "")
				stays(t, form, s.at(s.mine)+"/", a)
			}
		})
	}
}
